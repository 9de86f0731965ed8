"""However the bytes of a client are cut into reads, the same operations follow; and whatever
happens in whatever order, each stream comes to its end once, and nothing is left behind."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from daphne.options import Options
from daphne.protocol.http2 import Http2Core
from daphne.protocol.http2.frames import PREFACE
from tests.daphne.protocol.driving import Driver
from tests.daphne.protocol.http2.peers import OK, request_fields
from tests.daphne.protocol.socket_driver import TEXT, client_frame

SEEDS = 200

OPTIONS = Options(
    body_chunk_size=64,
    max_body=250,
    http2_max_resets=20,
    http2_max_control_frames=50,
    http2_max_streams=5,
    http2_write_limit=50_000,
    half_close_grace=1,
    keep_alive_timeout=None,
)

#: The same where nothing depends on when the layer answers.
UNHURRIED = replace(OPTIONS, body_chunk_size=5000, http2_max_streams=100)

SOCKET = [
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"),
    (b":authority", b"x"), (b":path", b"/ws"), (b"sec-websocket-version", b"13"),
]  # fmt: skip

HEADS = [
    request_fields("/a"),
    request_fields("/b", "HEAD"),
    request_fields("/c", "POST", (b"content-length", b"100")),
    request_fields("/d", "POST", (b"expect", b"100-continue")),
    request_fields("/e", "GET", (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")),
    request_fields("/f", "GET", (b"X-Bad", b"y")),
    request_fields("relative"),
    SOCKET,
]

MESSAGES: list[dict[str, Any]] = [
    OK,
    {"status": 304},
    {"status": 200, "content": b"part", "more_content": True},
    {"status": 200, "headers": [(b"content-length", b"8")], "content": b"x", "more_content": True},
    {"content": b"more", "more_content": True},
    {"content": b"x" * 9000, "more_content": True},
    {"content": b"end"},
    {"closed": True},
    {"status": 200, "content": b"y" * 40_000},
    {"status": 200, "headers": [(b"a", b"b\r\nc: d")]},
    {"accept": True},
    {"text": "frame"},
    {"close": True},
    {"request": {"http_version": "2", "method": "GET", "path": "/p", "query_string": b"",
                 "headers": []}},
]  # fmt: skip


class Script:
    """Random frames of a client that mostly keeps to the rules."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.encoder = Encoder()
        self.next_id = 1

    def frames(self, count: int) -> bytes:
        data = PREFACE + SettingsFrame(0).serialize()
        return data + b"".join(self.frame() for _ in range(count))

    def stream_id(self) -> int:
        known = [1, *range(1, self.next_id, 2)]
        return self.chance.choice([2, self.next_id] if self.chance.random() < 0.01 else known)

    def frame(self) -> bytes:
        kinds = (
            [self.head] * 6 + [self.data] * 8 + [self.reset, self.window, self.other, self.split]
        )
        made: Frame | bytes = self.chance.choice(kinds)()
        return made if isinstance(made, bytes) else made.serialize()

    def head(self) -> Frame:
        known = self.chance.random() < 0.05
        frame = HeadersFrame(self.stream_id() if known else self.next_id, flags=["END_HEADERS"])
        self.next_id += 0 if known else 2
        frame.data = self.encoder.encode(self.chance.choice(HEADS))
        if self.chance.random() < 0.5:
            frame.flags.add("END_STREAM")
        return frame

    def split(self) -> bytes:
        head = self.head()
        head.flags.discard("END_HEADERS")  # type: ignore[attr-defined]
        more = ContinuationFrame(head.stream_id, flags=["END_HEADERS"])
        head.data, more.data = head.data[:7], head.data[7:]  # type: ignore[attr-defined]
        return head.serialize() + more.serialize()

    def data(self) -> Frame:
        frame = DataFrame(self.stream_id())
        sizes = [b"", b"x" * 30, b"x" * 100, b"x" * 300, client_frame(TEXT, b"hello")]
        frame.data = self.chance.choice(sizes)
        if self.chance.random() < 0.2:
            frame.flags.add("END_STREAM")
        return frame

    def reset(self) -> Frame:
        return RstStreamFrame(self.stream_id())

    def window(self) -> Frame:
        frame = WindowUpdateFrame(self.chance.choice([0, self.stream_id()]))
        frame.window_increment = self.chance.choice([1, 1000, 2**30])
        return frame

    def other(self) -> Frame | bytes:
        settings_frame = SettingsFrame(0)
        settings_frame.settings = {4: self.chance.choice([0, 10, 70_000]), 1: 100}
        return self.chance.choice(
            [
                PingFrame(0, b"12345678"),
                PriorityFrame(1, depends_on=0),
                settings_frame,
                settings_frame,
                GoAwayFrame(0),
                b"\x00\x00\x01\xbb\x00\x00\x00\x00\x01x",
                bytes(self.chance.randrange(256) for _ in range(20)),
            ]
        )


def outcome(pieces: list[bytes]) -> tuple[Any, ...]:
    """All that the application and the client get, but for random names."""
    driver = Driver(UNHURRIED, Http2Core).feed(*pieces)
    requests = sorted(
        (one["path"], one["method"], repr(one["headers"]), one["body"]) for one in driver.requests
    )
    sockets = len(driver.on("websocket.connect"))
    disconnects = sorted(one["path"] for one in driver.on("http.disconnect"))
    statuses = sorted(log.get("status") or 0 for log in driver.logs)
    # What waits for its turn while a read is handled may be given up in it, but not the heads.
    heads = [frame for frame in frames_of(driver.output) if frame[3] == HeadersFrame.type]
    return requests, sockets, disconnects, statuses, driver.closed, heads


def frames_of(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 9 + int.from_bytes(data[:3])
        found.append(data[:size])
        data = data[size:]
    return found


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 9, 10, 30, 500]), st.integers(0, 30))
def test_the_same_operations_however_the_bytes_are_split(seed: int, size: int, first: int) -> None:
    data = Script(random.Random(seed)).frames(25)
    pieces = [data[:first], *(data[at : at + size] for at in range(first, len(data), size))]
    assert outcome(pieces) == outcome([data])


class Conversation:
    """One core, frames and events at random, and the end of all."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.driver = Driver(OPTIONS, Http2Core)
        self.script = Script(self.chance)
        self.driver.feed(PREFACE + SettingsFrame(0).serialize())
        self.written = 0
        self.lost = False
        self.failed = False

    def run(self) -> None:
        events = [self.receive] * 10 + [self.answer] * 8
        events += [self.slow, self.confirm, self.room, self.fill, self.fail, self.drain, self.sleep]
        events += [self.pause, self.rare]
        for _ in range(60):
            if not self.lost:
                self.chance.choice(events)()
        if not self.lost:
            self.driver.lose()
        self.driver.failing.clear()
        self.driver.slow_layer = False
        while self.driver.unconfirmed or self.driver.waiting:
            self.driver.room()
            while self.driver.unconfirmed:
                self.driver.confirm()

    def receive(self) -> None:
        if self.driver.reading:
            self.driver.feed(self.script.frame())

    def answer(self) -> None:
        if self.driver.locals:
            local = self.chance.choice(self.driver.locals[-20:])
            message = self.chance.choice(MESSAGES)
            self.driver.do(self.driver.core.deliver, local, message, {})

    def slow(self) -> None:
        self.driver.slow_layer = not self.driver.slow_layer

    def confirm(self) -> None:
        if self.driver.unconfirmed:
            self.driver.confirm()

    def fill(self) -> None:
        names = ["http.request", "http.request.body?x1", "websocket.receive", "websocket.connect"]
        self.driver.full.add(self.chance.choice(names))

    def room(self) -> None:
        self.driver.room()

    def fail(self) -> None:
        name = self.chance.choice(["http.request", "http.request.body?", "websocket.receive"])
        if self.driver.failing.pop(name, None) is None and self.chance.random() < 0.2:
            self.driver.failing[name] = RuntimeError("the layer is away")
            self.failed = True

    def drain(self) -> None:
        left, self.written = len(self.driver.output) - self.written, len(self.driver.output)
        if left:
            self.driver.do(self.driver.core.drained, left)

    def pause(self) -> None:
        if not self.driver.closed:
            self.driver.do(self.driver.core.pause_writing)
            self.sleep()
            if not self.driver.closed:
                self.driver.do(self.driver.core.resume_writing)

    def sleep(self) -> None:
        self.driver.sleep(self.chance.choice([0.5, 2, 15]))

    def rare(self) -> None:
        if self.driver.closed or self.chance.random() < 0.1:
            self.lost = True
            self.driver.lose()
        elif self.chance.random() < 0.1:
            core = self.driver.core
            self.driver.do(self.chance.choice([core.shutdown, core.receive_eof]))


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    made = [Conversation(seed) for seed in range(SEEDS)]
    for one in made:
        one.run()
    return made


def replies(messages: list[dict[str, Any]]) -> Counter[str]:
    return Counter(message["reply_channel"] for message in messages)


def test_they_are_worth_their_while(conversations: list[Conversation]) -> None:
    statuses = Counter(line.get("status") for one in conversations for line in one.driver.logs)
    assert {200, 304, 400, 413, 499, 500, 503, None} <= set(statuses)
    assert sum(not one.driver.closed for one in conversations) < SEEDS


def test_every_request_has_one_disconnect_message(conversations: list[Conversation]) -> None:
    for one in conversations:
        requests = replies(one.driver.requests)
        assert set(requests.values()) <= {1}
        assert replies(one.driver.on("http.disconnect")) == requests


def test_every_socket_has_one_disconnect_message(conversations: list[Conversation]) -> None:
    for one in conversations:
        connects = replies(one.driver.on("websocket.connect"))
        assert replies(one.driver.on("websocket.disconnect")) == connects


def test_every_request_has_one_line_of_the_access_log(conversations: list[Conversation]) -> None:
    for one in conversations:
        logged = Counter(line["path"] for line in one.driver.logs)
        assert not Counter(request["path"] for request in one.driver.requests) - logged


def test_nothing_is_left_registered_waiting_or_armed(conversations: list[Conversation]) -> None:
    for one in conversations:
        core: Any = one.driver.core
        one.driver.sleep(1000)
        assert one.driver.is_over
        assert one.driver.timers == {}
        assert (core._streams, core._waiting, core._buffered, core._pushed) == ({}, set(), 0, 0)
        assert core._timers == {}
