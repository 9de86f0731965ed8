"""How a WebSocket ends, and what the application hears of it."""

from typing import Any

import pytest

from tests.daphne.protocol.socket_driver import (
    BINARY,
    PING,
    TEXT,
    Driver,
    client_frame,
    close_frame,
    server_close,
)

CONTINUATION = 0


def ended(driver: Driver) -> bool:
    """Whether nothing of the connection is left but what the shell has to do."""
    return not driver.timers and driver.is_over and (driver.closed or driver.aborted)


# -- the client closes ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1014, 3000, 4999])
def test_a_client_that_closes_gets_its_code_back(code: int) -> None:
    driver = Driver().opened().receive(close_frame(code, b"bye"))
    assert driver.written == server_close(code)
    assert ended(driver) and driver.code == code
    assert driver.actions == ["connecting", "connected", "disconnected"]


def test_a_client_that_closes_without_a_code() -> None:
    driver = Driver().opened().receive(close_frame())
    assert driver.written == server_close(None)
    assert ended(driver) and driver.code == 1005


def test_a_connection_that_is_lost() -> None:
    driver = Driver().opened().lose()
    assert driver.code == 1006
    assert driver.timers == {} and driver.is_over


def test_a_client_that_closes_only_its_side() -> None:
    driver = Driver().opened()
    driver.core.receive_eof()
    driver.apply()
    assert ended(driver) and driver.code == 1006


def test_a_client_that_closes_its_side_in_the_handshake() -> None:
    driver = Driver()
    driver.core.receive_eof()
    driver.apply().lose()
    assert ended(driver) and driver.code == 1006 and driver.written == b""


def test_the_application_hears_of_an_end_once() -> None:
    driver = Driver().opened().receive(close_frame(1000)).lose().lose()
    assert len(driver.disconnects()) == 1
    assert driver.actions.count("disconnected") == 1


# -- the application closes -----------------------------------------------------------------------


def test_the_server_waits_for_the_clients_close_frame() -> None:
    driver = Driver().opened().reply({"close": 4001})
    assert driver.written == server_close(4001)
    assert not driver.closed and driver.code is None
    driver.receive(close_frame(4001))
    assert driver.written == server_close(4001)
    assert ended(driver) and driver.code == 4001


def test_the_code_is_the_clients() -> None:
    assert Driver().opened().reply({"close": True}).receive(close_frame(1001)).code == 1001


def test_a_client_that_does_not_answer_is_dropped() -> None:
    driver = Driver(websocket_close_timeout=5.0).opened().reply({"close": True})
    driver.advance(4.9)
    assert not driver.aborted
    driver.advance(0.2)
    assert ended(driver) and driver.aborted and driver.code == 1006


def test_a_connection_that_is_lost_in_the_closing_handshake() -> None:
    assert Driver().opened().reply({"close": True}).lose().code == 1006


def test_what_comes_after_our_close_frame_is_dropped() -> None:
    driver = Driver().opened().reply({"close": True})
    driver.take()
    driver.receive(client_frame(TEXT, b"late") + client_frame(PING) + close_frame(1000))
    assert driver.contents() == [] and driver.written == b""
    assert driver.disconnects()[0]["order"] == 1


def test_nothing_is_sent_after_our_close_frame() -> None:
    driver = Driver().opened().reply({"close": True})
    driver.take()
    driver.reply({"text": "one more thing"}).reply({"close": 4000})
    assert driver.written == b""


def test_a_rule_broken_in_the_closing_handshake_ends_it() -> None:
    driver = Driver().opened().reply({"close": True})
    driver.take()
    driver.receive(client_frame(3))
    assert ended(driver) and driver.written == b""


def test_messages_received_before_the_application_closed_reach_it() -> None:
    driver = Driver().opened()
    driver.prompt = False
    driver.receive(client_frame(TEXT, b"1") + client_frame(TEXT, b"2")).reply({"close": True})
    driver.settle().receive(close_frame(1000)).settle()
    assert driver.contents() == ["1", "2"] and driver.code == 1000


# -- the client breaks rules or limits ------------------------------------------------------------


@pytest.mark.parametrize(
    "data, code",
    [
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(3), 1002),
        (client_frame(TEXT, rsv=4), 1002),
        (client_frame(TEXT, b"hi", masked=False), 1002),
        (client_frame(PING, b"x" * 126), 1002),
        (close_frame(1005), 1002),
        (client_frame(BINARY, length=b"\x7f\x00\x00\x01\x00\x00\x00\x00\x00"), 1009),
        (client_frame(BINARY, b"x" * 1001), 1009),
        (client_frame(TEXT, fin=False) + client_frame(CONTINUATION, fin=False) * 10, 1008),
    ],
)
def test_a_client_that_breaks_a_rule_is_closed(data: bytes, code: int) -> None:
    options: dict[str, Any] = {"websocket_max_frame": 1000, "websocket_max_fragments": 10}
    driver = Driver(**options).opened().receive(client_frame(TEXT, b"fine") + data)
    assert driver.written[:1] == b"\x88"
    assert int.from_bytes(driver.written[2:4], "big") == code
    assert driver.contents() == ["fine"]
    assert ended(driver) and driver.code == code


def test_a_limit_that_bites_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Driver(websocket_max_frame=1000).opened().receive(client_frame(BINARY, b"x" * 1001))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("daphne.ws_protocol", "WARNING")
    assert "1009" in record.message and "1000" in record.message


# -- the server closes ----------------------------------------------------------------------------


def test_a_server_that_stops_asks_to_connect_again() -> None:
    driver = Driver().opened().shutdown()
    assert driver.written[2:4] == (1012).to_bytes(2, "big")
    assert driver.receive(close_frame(1012)).code == 1012
    assert ended(driver)


def test_a_server_that_stops_refuses_handshakes() -> None:
    driver = Driver().shutdown()
    assert driver.written.startswith(b"HTTP/1.1 503 ")
    assert ended(driver) and driver.code == 1006


def test_a_server_that_stops_while_a_socket_ends() -> None:
    driver = Driver().opened().receive(close_frame(1000))
    driver.take()
    assert driver.shutdown().written == b""


def test_no_socket_outlives_its_time() -> None:
    driver = Driver(websocket_timeout=3600.0, ping_interval=None).opened()
    driver.advance(3599)
    assert driver.written == b""
    driver.advance(2)
    assert driver.written == server_close(1000)
    assert driver.receive(close_frame(1000)).code == 1000


def test_a_socket_without_a_time_limit_has_no_deadline() -> None:
    assert Driver(websocket_timeout=None, ping_interval=None).opened().timers == {}
