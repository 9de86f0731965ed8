"""Random conversations with an HTTP/1.1 core: whatever happens in whatever order, each request is
told of its end once, and nothing is left behind."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from channels.spec import http_response, http_response_aborted, http_response_chunk
from daphne.options import Options
from tests.daphne.protocol.driving import Driver

pytestmark = pytest.mark.costs

#: Conversations of the run, and events in each.
SEEDS, EVENTS = 600, 60

OPTIONS = Options(body_chunk_size=64, max_body=4096, response_write_limit=4096, half_close_grace=1)

REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    b"POST /g HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"40\r\n" + b"x" * 64 + b"\r\n41\r\n" + b"x" * 65 + b"\r\n0\r\n\r\n",
    b"POST /h HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /i HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
    b"\r\n",
]  # fmt: skip
REFUSED = [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\x00"]

MESSAGES: list[dict[str, Any]] = [
    dict(http_response(200, [(b"Content-Length", b"2")], b"ok")),
    dict(http_response(200, [], b"ok")),
    dict(http_response(304)),
    dict(http_response(200, [(b"Connection", b"close")], b"ok")),
    dict(http_response(200, [], b"part", more_content=True)),
    dict(http_response(200, [(b"Content-Length", b"8")], b"part", more_content=True)),
    dict(http_response_chunk(b"more", True)),
    dict(http_response_chunk(b"x" * 5000, True)),
    dict(http_response_chunk(b"end")),
    dict(http_response_aborted()),
    {"status": 200, "headers": [(b"a", b"b\r\nc: d")]},
    {"unknown": "key"},
]


class Conversation:
    """One core, a source of chance, and the requests that the application knows of."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.driver = Driver(OPTIONS)
        self.core: Any = self.driver.core
        self.unsent = b""
        self.written = 0
        self.lost = False
        self.eof = False
        #: Whether the layer was away at times.
        self.failed = False
        self.events: list[Callable[[], None]] = [
            *[self.receive] * 8, *[self.answer] * 8, self.slow, self.confirm, self.fill, self.room,
            self.fail, self.pause, self.resume, self.drain, self.sleep, self.end_input,
            self.leave, self.shut_down,
        ]  # fmt: skip

    def run(self) -> None:
        """Let things happen, then end the connection, then let the layer answer the rest."""
        for _ in range(EVENTS):
            self.chance.choice(self.events)()
        if not self.lost:
            self.lose()
        self.driver.failing.clear()
        self.driver.slow_layer = False
        while self.driver.unconfirmed or self.driver.waiting:
            self.driver.room()
            while self.driver.unconfirmed:
                self.driver.confirm()

    def lose(self) -> None:
        self.lost = True
        self.driver.lose()

    # -- events -----------------------------------------------------------------------------------

    def receive(self) -> None:
        if self.lost or self.eof or self.driver.closed or not self.driver.reading:
            return
        if not self.unsent:
            choices = REFUSED if self.chance.random() < 0.03 else REQUESTS
            self.unsent = b"".join(self.chance.choices(choices, k=self.chance.randrange(1, 4)))
        size = self.chance.choice([1, 7, 50, 400, 10_000])
        piece, self.unsent = self.unsent[:size], self.unsent[size:]
        self.driver.feed(piece)

    def answer(self) -> None:
        if self.driver.requests:
            latest = self.chance.random() < 0.9
            which = -1 if latest else self.chance.randrange(len(self.driver.requests))
            self.driver.reply(self.chance.choice(MESSAGES), which)

    def slow(self) -> None:
        self.driver.slow_layer = not self.driver.slow_layer

    def confirm(self) -> None:
        if self.driver.unconfirmed:
            self.driver.confirm()

    def fill(self) -> None:
        self.driver.full.add(self.chance.choice(["http.request", "http.request.body?x1"]))

    def room(self) -> None:
        self.driver.room()

    def fail(self) -> None:
        name = self.chance.choice(["http.request", "http.request.body?", "http.request.body?x1"])
        if self.driver.failing.pop(name, None) is None and self.chance.random() < 0.2:
            self.driver.failing[name] = RuntimeError("the layer is away")
            self.failed = True

    def pause(self) -> None:
        if not self.lost and not self.driver.closed:
            self.driver.do(self.core.pause_writing)

    def resume(self) -> None:
        if not self.lost and not self.driver.closed:
            self.drain()
            self.driver.do(self.core.resume_writing)

    def drain(self) -> None:
        left, self.written = len(self.driver.output) - self.written, len(self.driver.output)
        if left and not self.lost:
            self.driver.do(self.core.drained, left)

    def sleep(self) -> None:
        self.driver.sleep(self.chance.choice([0.5, 2, 15, 130]))

    def end_input(self) -> None:
        if self.chance.random() < 0.2 and not self.lost and not self.eof:
            self.eof = True
            self.driver.do(self.core.receive_eof)

    def leave(self) -> None:
        if not self.lost and (self.driver.closed or self.chance.random() < 0.1):
            self.lose()

    def shut_down(self) -> None:
        if self.chance.random() < 0.1 and not self.lost:
            self.driver.do(self.core.shutdown)


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    """All of them, each at its end."""
    made = [Conversation(seed) for seed in range(SEEDS)]
    for one in made:
        one.run()
    return made


def replies(messages: list[dict[str, Any]]) -> Counter[str]:
    return Counter(message["reply_channel"] for message in messages)


def test_they_are_worth_their_while(conversations: list[Conversation]) -> None:
    statuses = Counter(line["status"] for one in conversations for line in one.driver.logs)
    assert {200, 304, 400, 408, 413, 499, 500, 503} <= set(statuses)
    assert sum(len(one.driver.on("http.request.body?x1")) for one in conversations) > 100


def test_every_request_has_one_disconnect_message(conversations: list[Conversation]) -> None:
    for one in conversations:
        requests = replies(one.driver.requests)
        assert set(requests.values()) <= {1}
        assert replies(one.driver.on("http.disconnect")) == requests


def test_every_request_has_one_line_of_the_access_log(conversations: list[Conversation]) -> None:
    for one in conversations:
        logged = Counter(line["path"] for line in one.driver.logs)
        assert not Counter(request["path"] for request in one.driver.requests) - logged


def test_every_body_channel_comes_to_its_end(conversations: list[Conversation]) -> None:
    for one in conversations:
        channels = sum("body_channel" in request for request in one.driver.requests)
        chunks = one.driver.on("http.request.body?x1")
        ends = sum(bool(c.get("closed") or not c.get("more_content")) for c in chunks)
        assert ends == channels or (one.failed and ends < channels)


def test_nothing_is_left_registered(conversations: list[Conversation]) -> None:
    assert all(one.driver.is_over for one in conversations)


def test_a_connection_that_was_closed_has_no_deadline(conversations: list[Conversation]) -> None:
    for one in conversations:
        one.driver.sleep(1000)
        assert one.driver.timers == {}
