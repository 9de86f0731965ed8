"""Workers that die, are told to stop, and share the work, while sockets and senders go on."""

import signal
import threading
from contextlib import ExitStack

import pytest

from channels.exceptions import ChannelFull
from tests.deployment.layers import LAYERS
from tests.deployment.matrix import OWN
from tests.deployment.site import Site
from tests.management.project import Process
from tests.waiting import wait_until

#: Messages that flow while workers are stopped.
MESSAGES = 2_000

#: For tests of ``--prefetch``, which makes a difference over Redis.
takes_several = pytest.mark.parametrize(
    "whole_site",
    [pytest.param((LAYERS["redis"], OWN), id="redis", marks=LAYERS["redis"].marks)],
    indirect=True,
)


def test_a_killed_worker_is_replaced_and_no_socket_drops(site):
    with ExitStack() as stack:
        websockets = [
            stack.enter_context(daphne.websocket()) for daphne in site.daphnes for _ in range(10)
        ]
        for websocket in websockets:
            websocket.send("before")
            assert websocket.recv(timeout=20) == "before"

        kill(site.workers[0])
        for number, websocket in enumerate(websockets):
            websocket.send(f"meanwhile {number}")
        site.have_workers(1)

        for number, websocket in enumerate(websockets):
            assert websocket.recv(timeout=20) == f"meanwhile {number}"
            websocket.send("after")
            assert websocket.recv(timeout=20) == "after"


def test_a_worker_killed_at_work_loses_that_message_at_most(site):
    site.layer.send("hold", {})
    wait_until(lambda: site.lines("holding"))
    for number in range(50):
        site.layer.send("record", {"number": number})

    kill(site.workers[0])
    site.have_workers(1)

    wait_until(lambda: len(site.recorded()) == 50)
    assert set(site.recorded().values()) == {1}
    assert len(site.lines("holding")) <= 2  # a layer may hand it out again, but not for ever


def test_workers_told_to_stop_while_messages_flow_lose_none(site):
    site.have_workers(3)
    stop_workers_while_messages_flow(site)


@takes_several
def test_workers_that_take_several_at_once_lose_none_either(site):
    have_prefetching_workers(site, 3)
    stop_workers_while_messages_flow(site)


@takes_several
def test_nothing_waits_behind_a_consumer_that_takes_long(site):
    have_prefetching_workers(site, 2)
    send_numbers(site, 200)
    site.layer.send("hold", {})
    wait_until(lambda: site.lines("holding"))

    for number in range(200, 400):
        site.layer.send("record", {"number": number})

    wait_until(lambda: len(site.lines("recorded")) == 400)
    assert site.recorded() == dict.fromkeys(range(400), 1)
    site.open_gate()


def have_prefetching_workers(site: Site, number: int) -> None:
    """In place of the worker that is there."""
    for worker in site.workers:
        kill(worker)  # it may have just begun, and not heed signals yet
    site.have_workers(number, "--prefetch=16")


def stop_workers_while_messages_flow(site: Site) -> None:
    """See that each message is handled once."""
    sender = threading.Thread(target=send_numbers, args=(site, MESSAGES))
    sender.start()

    for reached, worker in zip((MESSAGES // 10, MESSAGES // 3), site.workers, strict=False):
        wait_until(lambda reached=reached: len(site.lines("recorded")) >= reached, timeout=30)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.output()
    sender.join(30)
    assert not sender.is_alive()

    wait_until(lambda: len(site.lines("recorded")) >= MESSAGES, timeout=30)
    assert site.recorded() == dict.fromkeys(range(MESSAGES), 1)


@pytest.mark.parametrize(
    ("workers", "frames"), [(2, 100), pytest.param(8, 1_000, marks=pytest.mark.slow)]
)
def test_frames_of_a_socket_are_consumed_in_order(site, workers, frames):
    site.have_workers(workers)
    see_frames_in_order(site, frames)


@takes_several
def test_frames_of_a_socket_are_consumed_in_order_where_several_are_taken(site):
    have_prefetching_workers(site, 2)
    see_frames_in_order(site, 300)


def see_frames_in_order(site: Site, frames: int) -> None:
    """Have sockets send numbered frames, and see that they are answered in that order."""
    expected = [f"{number} frame {number}" for number in range(1, frames + 1)]
    with ExitStack() as stack:
        websockets = [stack.enter_context(daphne.websocket("/ordered/")) for daphne in site.daphnes]
        for websocket in websockets:
            for number in range(1, frames + 1):
                websocket.send(f"frame {number}")
        for websocket in websockets:
            assert [websocket.recv(timeout=60) for _ in expected] == expected

    wait_until(lambda: sum(line.endswith(" bye") for line in site.lines("counted")) == 2)
    counted = [line.split(" ", 2) for line in site.lines("counted")]
    for socket in {name for name, _, _ in counted}:
        orders = [int(order) for name, order, _ in counted if name == socket]
        assert orders == list(range(1, frames + 2))
    wait_until(lambda: not any((site.project.folder / "sessions").iterdir()))


def test_a_worker_told_to_stop_finishes_what_it_does(site):
    worker = site.workers[0]
    site.layer.send("hold", {})
    wait_until(lambda: site.lines("holding"))
    site.layer.send("record", {"number": 1})

    worker.signal(signal.SIGTERM)
    worker.wait_for("running consumers are finished first")
    assert worker.running
    site.open_gate()

    assert worker.wait() == 0, worker.output()
    site.have_workers(1)
    wait_until(lambda: site.recorded() == {1: 1})
    assert len(site.lines("holding")) == 1


def test_two_workers_work_at_a_time(site):
    site.have_workers(2)

    for _ in range(2):
        site.layer.send("hold", {})
    wait_until(lambda: len(site.lines("holding")) == 2)
    site.open_gate()

    assert set(map(int, site.lines("holding"))) == {worker.pid for worker in site.workers}


def send_numbers(site: Site, count: int) -> None:
    """Send the numbers below ``count`` to be recorded, waiting for room where there is none."""
    layer = site.layer
    for number in range(count):
        while True:
            try:
                layer.send("record", {"number": number})
            except ChannelFull:
                layer.wait_for_room("record", timeout=20)
            else:
                break


def kill(worker: Process) -> None:
    """End it as a crash does."""
    worker.signal(signal.SIGKILL)
    worker.wait()
