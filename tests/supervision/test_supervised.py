"""A site under a real supervisord: started, used, restarted while it is used, and stopped."""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from websockets.sync.client import connect

from channels.readiness import is_ready
from tests.daphne.clients import HttpClient
from tests.deployment.layers import LAYERS
from tests.layers.ipc.segments import needs_extension, remove
from tests.management.project import Process
from tests.servers.ports import free_port, listens
from tests.supervision.supervised import Supervised
from tests.waiting import wait_until

pytestmark = [pytest.mark.compiled_only, *needs_extension]

WORKERS = ["site-workers:all-0", "site-workers:all-1"]


def page(port: int) -> int:
    """The status of a page."""
    client = HttpClient(("127.0.0.1", port))
    try:
        return client.get("/hello/").status
    finally:
        client.close()


def ended(process: Process) -> bool:
    """Whether it ends within the time between two requests of a client."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.needs("redis-server")
def test_a_site_is_served_while_its_workers_are_restarted_and_ends_in_order(supervise):
    redis = f"redis://:secret@127.0.0.1:{free_port()}/0"
    layer = LAYERS["redis"].settings(prefix="supervised", redis=redis)
    site: Supervised = supervise(layer, "channels.delay", redis=True)
    site.prepare()
    site.listen_to_events()
    site.start()
    names = site.names()
    assert sorted(names) == ["site-daphne:site-daphne", "site-delay:site-delay-0", *WORKERS]
    before = {name: site.pid(name) for name in names}

    assert page(site.port) == 200
    with connect(f"ws://127.0.0.1:{site.port}/", open_timeout=20, proxy=None) as socket:
        roll = site.project.start("restartworkers", "--configuration", str(site.configuration))
        asked = 0
        while not ended(roll):
            socket.send(f"{asked}")
            assert (socket.recv(timeout=20), page(site.port)) == (f"{asked}", 200)
            asked += 1
        assert roll.wait() == 0
        socket.send("still")
        assert socket.recv(timeout=20) == "still"
    assert asked > 2
    lines = roll.output().splitlines()
    assert [line.partition(": ")[0] for line in lines[:2]] == WORKERS
    assert lines[2] == "2 of 2 done."
    after = {name: site.pid(name) for name in names}
    assert [name for name in names if before[name] != after[name]] == WORKERS
    assert all(map(site.is_ready, names))

    expected = {f"all-0 {before[WORKERS[0]]} STOPPING=1", f"all-0 {after[WORKERS[0]]} READY=1"}
    wait_until(lambda: expected <= set(site.events()))
    assert site.stop() == 0
    assert "SIGKILL" not in (log := site.output())  # nobody took longer than he has
    assert "XSUPERVISOR" not in log
    assert site.ready_files() == []
    assert not listens(site.port)


@pytest.fixture
def workers(supervise: Any) -> Iterator[Supervised]:
    """Two workers alone, over shared memory."""
    prefix = f"supervised{secrets.token_hex(4)}"
    site: Supervised = supervise(LAYERS["ipc"].settings(prefix=prefix))
    site.prepare()
    site.leave_out("daphne")
    site.start()
    yield site
    remove(prefix)


def roll(site: Supervised, *names: str, **options: Any) -> str:
    """What a rolling restart says, its error at last."""
    address, said = f"unix://{site.folder}/run/supervisor.sock", StringIO()
    try:
        call_command("restartworkers", *names, supervisor=address, stdout=said, **options)
    except CommandError as error:
        return f"{said.getvalue()}CommandError: {error}"
    return said.getvalue()


@pytest.mark.slow
def test_a_worker_that_died_is_replaced_and_one_that_does_not_come_up_ends_the_roll(workers):
    site, folder = workers, workers.project.folder
    first, second = map(site.pid, WORKERS)
    os.kill(first, signal.SIGKILL)
    # What it has left behind does not count for the one that takes its place.
    file = site.folder / "state" / "site-all-0.ready"
    wait_until(lambda: file.exists() and not is_ready(file, first), 30)
    wait_until(lambda: site.is_ready(WORKERS[0]), 30)
    first = site.pid(WORKERS[0])

    (folder / "stuck").touch()
    output = roll(site, timeout=1)
    assert output.startswith("CommandError: site-workers:all-0 was not ready within 1 s: process ")
    assert f" has not written {site.folder}/state/site-all-0.ready." in output
    assert "Not restarted: site-workers:all-1." in output
    assert site.pid(WORKERS[0]) != first and site.pid(WORKERS[1]) == second

    (folder / "broken").touch()
    (folder / "stuck").unlink()
    output = roll(site, "site-workers:all-1")
    assert "CommandError: site-workers:all-1 ended before it was ready: " in output
    assert "Not restarted: none." in output

    (folder / "broken").unlink()
    wait_until(lambda: len(site.ready_files()) == 2, 60)
    wait_until(lambda: all(map(site.is_ready, WORKERS)), 60)
    site.supervisor.stop(WORKERS[1])
    output = roll(site, "site-workers")
    assert "all-0: stopped in " in output and "all-1: was stopped, and is left so" in output
    assert output.endswith("2 of 2 done.\n")
