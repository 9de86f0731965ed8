"""Flow control of streamed responses."""

from typing import Any

import pytest

from channels.exceptions import ChannelFull, LayerUnavailable
from channels.spec import RESPONSE_WINDOW
from daphne.protocol.credit import farewell
from tests.daphne.protocol.conversation import Conversation
from tests.daphne.protocol.driving import Driver

STEP = RESPONSE_WINDOW // 4

_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def streaming() -> Driver:
    driver = Driver().feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return driver.reply({"status": 200, "content": b"", "more_content": True})


def send(driver: Driver, size: int) -> None:
    driver.reply({"content": b"x" * size, "more_content": True})


def drain(driver: Driver) -> None:
    """Everything written has left for the client."""
    driver.do(driver.core.drained, len(driver.take_output()))


def credits_of(driver: Driver) -> list[dict[str, Any]]:
    return driver.on(driver.requests[0]["reply_channel"].replace("!", "?"))


def test_credit_is_given_for_what_has_left() -> None:
    driver = streaming()
    drain(driver)
    send(driver, STEP)
    assert credits_of(driver) == []
    drain(driver)
    assert credits_of(driver) == [{"bytes": STEP}]


def test_small_amounts_are_added_up() -> None:
    driver = streaming()
    for _ in range(10):
        send(driver, STEP // 4)
        drain(driver)
    assert credits_of(driver) == [{"bytes": STEP}, {"bytes": STEP}]


def test_framing_is_no_body() -> None:
    driver = streaming()
    for _ in range(1000):
        send(driver, 1)
    drain(driver)
    send(driver, STEP - 1001)
    drain(driver)
    assert credits_of(driver) == []


def test_what_has_partly_left_is_credited_in_part() -> None:
    driver = streaming()
    drain(driver)
    send(driver, 2 * STEP)
    written = len(driver.take_output())
    driver.do(driver.core.drained, STEP)
    assert credits_of(driver) == []
    driver.do(driver.core.drained, 100)
    (first,) = credits_of(driver)
    assert STEP <= first["bytes"] <= STEP + 100
    driver.do(driver.core.drained, written - STEP - 100)
    send(driver, STEP)
    drain(driver)
    assert sum(credit["bytes"] for credit in credits_of(driver)) == 3 * STEP


def test_a_response_in_one_message_costs_no_credit() -> None:
    driver = Driver().feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    driver.reply({"status": 200, "content": b"x" * 2 * STEP})
    channel = driver.requests[0]["reply_channel"].replace("!", "?")
    driver.do(driver.core.drained, len(driver.take_output()))
    assert driver.on(channel) == []


@pytest.mark.parametrize("how", ["connection_lost", "invalid chunk"])
def test_a_client_that_leaves_closes_the_credit(how: str) -> None:
    driver = streaming()
    if how == "connection_lost":
        driver.lose()
    else:
        driver.reply({"content": "text"})
    assert credits_of(driver) == [{"closed": True}]


def test_a_finished_response_needs_no_closing_credit() -> None:
    driver = streaming().reply({"content": b"end"})
    driver.lose()
    assert credits_of(driver) == []


def test_one_credit_at_a_time_is_under_way() -> None:
    driver = streaming()
    driver.slow_layer = True
    for _ in range(3):
        send(driver, STEP)
        drain(driver)
    assert credits_of(driver) == [{"bytes": STEP}]
    driver.confirm()
    assert credits_of(driver) == [{"bytes": STEP}, {"bytes": 2 * STEP}]


def test_a_full_credit_channel_is_waited_for() -> None:
    driver = streaming()
    channel = driver.requests[0]["reply_channel"].replace("!", "?")
    driver.full.add(channel)
    send(driver, STEP)
    drain(driver)
    send(driver, STEP)
    drain(driver)
    assert credits_of(driver) == []
    driver.room()
    assert credits_of(driver) == [{"bytes": 2 * STEP}]


def test_a_full_credit_channel_is_waited_for_when_the_client_has_left() -> None:
    driver = streaming()
    driver.slow_layer = True
    send(driver, STEP)
    drain(driver)
    driver.lose()
    driver.do(driver.core.send_failed, driver.unconfirmed.pop().key, ChannelFull("x"))
    driver.room()
    assert credits_of(driver)[-1] == {"closed": True}


def test_a_credit_that_failed_is_given_with_the_next_one() -> None:
    driver = streaming()
    channel = driver.requests[0]["reply_channel"].replace("!", "?")
    driver.failing[channel] = LayerUnavailable("away")
    send(driver, STEP)
    drain(driver)
    del driver.failing[channel]
    send(driver, STEP)
    drain(driver)
    assert credits_of(driver) == [{"bytes": 2 * STEP}]


# -- what comes too late --------------------------------------------------------------------------


def test_who_streams_on_after_the_end_of_a_response_is_told_each_time() -> None:
    driver = streaming()
    driver.reply({"content": b"end"})
    assert credits_of(driver) == []
    send(driver, 1)
    driver.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    driver.reply({"content": b"x", "more_content": True}, 0)
    assert credits_of(driver) == [{"closed": True}] * 2
    driver.reply({"content": b"the last one"}, 0)
    assert credits_of(driver) == [{"closed": True}] * 2
    assert driver.take_output().endswith(b"\r\n0\r\n\r\n")
    driver.reply({"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}, 1)
    assert driver.output.endswith(b"\r\n\r\nok")


def test_who_streams_to_a_connection_that_became_a_websocket_is_told() -> None:
    driver = Conversation()
    driver.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", _HANDSHAKE)
    output = driver.output
    driver.reply({"content": b"x", "text": "x", "more_content": True})
    assert credits_of(driver) == [{"closed": True}]
    assert driver.output == output and not driver.closed


def test_servers_without_credit_are_told_nothing() -> None:
    assert farewell("example.response!x", {"more_content": True}) is None
