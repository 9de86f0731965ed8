"""Thousands of sockets, slow readers among them, and an upload without end: what Daphne holds.

They print figures, which ``docs/daphne.md`` has: ``pytest -s tests/deployment/test_crowds.py``.
"""

import hashlib
import os
import secrets
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from channels._speedups import COMPILED
from tests.deployment.crowd import Crowd, memory, peak_memory
from tests.deployment.layers import LAYERS
from tests.deployment.matrix import OWN
from tests.deployment.site import Daphne, Site
from tests.layers.ipc.segments import remove
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.compiled_only,
    pytest.mark.skipif(not COMPILED, reason="shared memory is compiled only"),
]

SOCKETS, SLOW = 5_000, 500

#: Bytes that may wait for a slow reader.
WRITE_LIMIT = 64 * 1024

#: What is said to slow readers, how often: more than the system keeps for each of them.
LONG, TIMES = "y" * 60_000, 120

#: Kilobytes of an idle socket (docs, cost budgets).
IDLE_BUDGET = 15


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A deployment of its own over shared memory, with a worker."""
    prefix = f"crowd{secrets.token_hex(4)}"
    site = Site(tmp_path, LAYERS["ipc"].settings(prefix=prefix), OWN)
    site.have_workers(1)
    yield site
    print(site.outputs())
    site.end()
    remove(prefix)


class Requests(threading.Thread):
    """One client that asks for a page again and again, and how long each answer took."""

    def __init__(self, daphne: Daphne) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._client = daphne.client()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            begin = time.perf_counter()
            assert self._client.get("/hello/").body == b"hello"
            self.seconds.append(time.perf_counter() - begin)

    def end(self) -> str:
        """Stop; the figures in milliseconds."""
        self._ended.set()
        self.join()
        quantiles = statistics.quantiles(self.seconds, n=100)
        p50, p99 = (quantiles[number] * 1e3 for number in (49, 98))
        return f"{len(self.seconds)} requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def test_slow_readers_among_thousands_of_sockets_are_closed_and_nobody_else_is_slowed(site):
    daphne = site.start_daphne("--websocket-write-limit", str(WRITE_LIMIT), "--ping-interval", "0")
    pid = daphne.process.pid
    warm = Crowd(daphne.port, "/", 100)
    warm.leave()
    before = memory(pid)
    crowd = Crowd(daphne.port, "/room-all/", SOCKETS - SLOW)
    idle = memory(pid)
    per_socket = (idle - before) * 1024 / len(crowd.sockets)
    print(f"an idle socket takes {per_socket:.1f} KB; {before:.0f} MiB before, {idle:.0f} with all")
    slow = Crowd(daphne.port, "/room-slow/", SLOW, receive_buffer=4096)

    requests = Requests(daphne)
    requests.start()
    for number in range(20):
        text = b"%d" % number
        crowd.say(text)
        crowd.read(2 + len(text))
    alone = requests.end()

    requests = Requests(daphne)
    requests.start()
    sender = site.make_layer()
    for number in range(TIMES):
        sender.send_group("room-slow", {"text": LONG})
        crowd.say(b"%d" % (number % 10))
        crowd.read(3)
    slowed = requests.end()
    peak = peak_memory(pid)
    print(f"HTTP beside sends to {len(crowd.sockets)} sockets: {alone}")
    print(f"the same with {SLOW} sockets that do not read: {slowed}; peak {peak:.0f} MiB")
    assert max(slow.read_to_the_end()) < TIMES * len(LONG)
    crowd.say(b"end")
    crowd.read(5)
    assert per_socket <= IDLE_BUDGET
    # what may wait for each slow one, and as much again for what the system refused of a frame
    assert peak - idle < 2 * SLOW * (WRITE_LIMIT + len(LONG)) / 2**20 + 50
    crowd.drop()
    slow.drop()


def test_ten_thousand_sockets_that_come_and_go_leave_nothing(site):
    daphne = site.daphnes[0]
    pid = daphne.process.pid

    def come_and_go(number: int) -> float:
        for _ in range(number // 500):
            crowd = Crowd(daphne.port, "/room-all/", 500)
            crowd.leave()
        return memory(pid)

    settled = come_and_go(5_000)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    after = come_and_go(10_000)
    print(f"{settled:.1f} MiB after 5,000 sockets, {after:.1f} after 15,000")
    assert after <= settled * 1.05
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= descriptors)


def test_an_upload_of_two_gigabytes_to_a_slow_view_takes_little_memory(site):
    size, piece = 2 * 2**30, os.urandom(1 << 20)
    daphne = site.daphnes[0]
    digest = hashlib.sha256()
    client = daphne.client()
    client.socket.settimeout(300)
    client.send(
        b"POST /slow-upload/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
    )
    begin = time.monotonic()
    for _ in range(size // len(piece)):
        client.send(piece)
        digest.update(piece)
    response = client.response()
    seconds = time.monotonic() - begin
    assert response.status == 200
    assert response.body == b'{"size": %d, "sha256": "%s"}' % (size, digest.hexdigest().encode())
    peaks = {
        "daphne": peak_memory(daphne.process.pid),
        "worker": peak_memory(site.workers[0].pid),
    }
    print(f"2 GiB in {seconds:.0f} s; at most {peaks} MiB")
    assert max(peaks.values()) < 200
