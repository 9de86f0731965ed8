"""Pings keep a connection alive and find those that are dead."""

import pytest

from channels.exceptions import ChannelFull
from tests.daphne.protocol.socket_driver import (
    PING,
    PONG,
    TEXT,
    Driver,
    client_frame,
    server_frame,
)

PINGED = server_frame(PING)


def open_socket(**options: float | None) -> Driver:
    settings = {"ping_interval": 20.0, "ping_timeout": 30.0, "websocket_timeout": None} | options
    return Driver(**settings).opened()


def test_a_silent_client_gets_a_ping() -> None:
    driver = open_socket().advance(19.9)
    assert driver.written == b""
    assert driver.advance(0.2).written == PINGED


def test_a_client_that_does_not_answer_is_dropped() -> None:
    driver = open_socket().advance(49.9)
    assert not driver.aborted
    driver.advance(0.2)
    assert driver.aborted and driver.code == 1006


@pytest.mark.parametrize("answer", [client_frame(PONG), client_frame(TEXT, b"hi"), b"\x81"])
def test_anything_heard_is_an_answer(answer: bytes) -> None:
    driver = open_socket().advance(21).receive(answer)
    driver.take()
    assert driver.advance(19.8).written == b""
    assert driver.advance(0.4).written == PINGED
    assert not driver.aborted


def test_a_busy_client_gets_no_ping() -> None:
    driver = open_socket()
    for _ in range(100):
        driver.advance(10).receive(client_frame(TEXT, b"busy"))
    assert driver.written == b""


def test_traffic_arms_no_deadlines() -> None:
    driver = open_socket()
    armed = driver.timers_armed
    for _ in range(1000):
        driver.receive(client_frame(TEXT, b"busy")).reply({"text": "busy"})
    assert driver.timers_armed == armed


def test_an_idle_socket_wakes_up_for_its_pings_only() -> None:
    driver = open_socket()
    for pings in range(1, 11):
        driver.advance(20).receive(client_frame(PONG))
        assert (driver.take(), driver.wakeups) == (PINGED, pings)


def test_pings_may_be_off() -> None:
    for interval in (None, 0.0):
        driver = open_socket(ping_interval=interval)
        assert driver.timers == {}


def test_without_a_timeout_a_silent_client_is_pinged_again() -> None:
    driver = open_socket(ping_timeout=None).advance(61)
    assert driver.written == PINGED * 3 and not driver.aborted


def test_a_socket_that_is_not_read_is_not_blamed_for_silence() -> None:
    driver = open_socket(ping_interval=1.0, ping_timeout=2.0)
    driver.fails = lambda channel: ChannelFull() if channel == "websocket.receive" else None
    driver.advance(1.1).receive(client_frame(TEXT, b"full"))
    assert not driver.reading
    driver.advance(4.0)
    assert not driver.aborted
    driver.fails = lambda channel: None
    driver.make_room()
    assert driver.reading and not driver.aborted


@pytest.mark.parametrize("before", [0, 21])
def test_no_ping_follows_a_close_frame(before: float) -> None:
    driver = open_socket(websocket_close_timeout=1000.0).advance(before).reply({"close": True})
    driver.take()
    driver.receive(client_frame(TEXT, b"late")).advance(900)
    assert driver.written == b"" and not driver.aborted
