"""A WebSocket whose queue is full, whose layer fails, or whose client does not read."""

from collections.abc import Callable
from typing import Any

import pytest

from channels.exceptions import ChannelFull, LayerUnavailable, MessageTooLarge
from tests.daphne.protocol.socket_driver import (
    PING,
    TEXT,
    Driver,
    client_frame,
    close_frame,
    server_frame,
)


def close_code(driver: Driver) -> int:
    """The code of the close frame that was written last."""
    head, mark, rest = driver.written.rpartition(b"\x88")
    assert mark and rest
    return int.from_bytes(rest[1:3], "big")


def texts(*numbers: int) -> bytes:
    return b"".join(client_frame(TEXT, b"%d" % number) for number in numbers)


# -- a full queue ---------------------------------------------------------------------------------


def test_a_full_queue_pauses_the_socket_until_there_is_room() -> None:
    driver = Driver().opened().fill().receive(texts(1, 2, 3))
    assert not driver.reading and len(driver.waits) == 1
    assert driver.waits[0].channel == "websocket.receive"
    driver.empty().make_room()
    assert driver.contents() == ["1", "2", "3"]
    assert driver.reading and driver.waits == []
    assert "room" not in driver.timers


def test_room_that_was_taken_by_others_is_waited_for_again() -> None:
    driver = Driver().opened().fill().receive(texts(1, 2))
    driver.make_room().make_room()
    assert driver.contents() == [] and len(driver.waits) == 1
    driver.empty().make_room()
    assert driver.contents() == ["1", "2"]
    assert [m["order"] for c, m in driver.messages if c == "websocket.receive"] == [1, 2]


def test_a_queue_that_stays_full_closes_with_1013() -> None:
    driver = Driver(websocket_receive_wait=5.0).opened().fill().receive(texts(1, 2))
    driver.advance(4.9)
    assert driver.written == b""
    driver.advance(0.2)
    assert close_code(driver) == 1013
    assert driver.reading
    driver.receive(close_frame(1013))
    assert driver.contents() == [] and driver.code == 1013
    assert driver.disconnects()[0]["order"] == 1


def test_vain_attempts_do_not_prolong_the_wait() -> None:
    driver = Driver(websocket_receive_wait=5.0).opened().fill().receive(texts(1))
    for _ in range(4):
        driver.advance(1.2).make_room()
    driver.advance(0.3)
    assert close_code(driver) == 1013


def test_each_frame_has_the_whole_wait() -> None:
    driver = Driver(websocket_receive_wait=5.0, ping_interval=None).opened()
    for _ in range(5):
        driver.fill().receive(texts(1)).advance(4)
        driver.empty().make_room()
    assert driver.written == b"" and len(driver.contents()) == 5


def gone(driver: Driver) -> Driver:
    """The client closes, and its connection ends."""
    return driver.receive(close_frame(1001)).lose()


@pytest.mark.parametrize("leave, code", [(gone, 1001), (Driver.lose, 1006)])
def test_frames_of_a_client_that_has_left_wait_for_room_too(
    leave: Callable[[Driver], Driver], code: int
) -> None:
    driver = leave(Driver().opened().fill().receive(texts(1, 2, 3)))
    assert driver.code is None and driver.is_over
    driver.empty().make_room()
    assert driver.contents() == ["1", "2", "3"]
    assert driver.code == code and driver.disconnects()[0]["order"] == 4
    assert driver.timers == {} and driver.waits == []


def test_a_queue_that_is_found_full_after_the_end_is_waited_for() -> None:
    driver = Driver().opened()
    driver.prompt = False
    driver.receive(texts(1, 2)).lose().settle(ChannelFull())
    assert driver.code is None and "room" in driver.timers
    driver.make_room().settle().settle()
    assert driver.contents() == ["1", "2"] and driver.code == 1006
    assert driver.timers == {}


def test_frames_that_find_no_room_after_the_end_are_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = Driver(websocket_receive_wait=5.0).opened().fill().receive(texts(1, 2)).lose()
    driver.advance(4.9)
    assert driver.code is None
    driver.advance(0.2)
    assert driver.code == 1006 and driver.disconnects()[0]["order"] == 1
    assert driver.timers == {} and "stays full" in caplog.text
    driver.empty().make_room()
    assert driver.contents() == [] and len(driver.disconnects()) == 1


def test_what_is_left_at_the_end_shares_one_wait() -> None:
    driver = Driver(websocket_receive_wait=5.0).opened().fill().receive(texts(*range(10))).lose()
    driver.prompt = False
    for _ in range(2):
        driver.advance(2).make_room().settle()  # there is room for one
        driver.settle(ChannelFull())
    driver.advance(2)
    assert driver.contents() == ["0", "1"]
    assert driver.code == 1006 and driver.disconnects()[0]["order"] == 3


def test_an_application_may_close_while_the_queue_is_full() -> None:
    driver = Driver().opened().fill().receive(texts(1, 2)).reply({"close": True})
    assert close_code(driver) == 1000
    assert driver.reading  # or the client's close frame would never be seen
    driver.empty().make_room()
    assert driver.contents() == ["1", "2"]
    assert driver.receive(close_frame(1000)).code == 1000


# -- a slow layer ---------------------------------------------------------------------------------


def test_a_socket_is_not_read_faster_than_the_layer_takes() -> None:
    driver = Driver().opened()
    driver.prompt = False
    reads = 0
    while driver.reading:
        driver.receive(client_frame(TEXT, b"x" * 1000) * 10)
        reads += 1
    assert reads < 10
    while len(driver.contents()) < 10 * reads - 2:
        assert not driver.settle().reading
    while driver.pending:
        driver.settle()
    assert driver.reading and len(driver.contents()) == 10 * reads


def test_empty_frames_count_too() -> None:
    driver = Driver().opened()
    driver.prompt = False
    reads = 0
    while driver.reading:
        driver.receive(client_frame(TEXT) * 100)
        reads += 1
    assert reads < 20


def test_a_few_frames_do_not_pause_a_socket() -> None:
    driver = Driver().opened()
    driver.prompt = False
    driver.receive(texts(*range(10)))
    assert driver.reading


# -- a failing layer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, code",
    [
        (LayerUnavailable("away"), 1013),
        (MessageTooLarge("large"), 1009),
        (RuntimeError("what"), 1011),
    ],
)
def test_a_layer_that_fails_closes_the_socket(
    error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver().opened().receive(texts(1))
    driver.prompt = False
    driver.receive(texts(2, 3)).settle(error)
    assert close_code(driver) == code
    assert str(error) in caplog.text
    driver.receive(close_frame(code))
    assert driver.contents() == ["1"]
    assert driver.code == code and driver.disconnects()[0]["order"] == 2


def test_a_layer_that_fails_while_room_is_awaited() -> None:
    driver = Driver().opened().fill().receive(texts(1))
    driver.empty().core.send_failed(driver.waits.pop().key, LayerUnavailable("away"))
    driver.apply()
    assert close_code(driver) == 1013
    assert "room" not in driver.receive(close_frame(1013)).timers


# -- a client that does not read ------------------------------------------------------------------

LIMIT = 10_000


def slow_socket(**options: Any) -> Driver:
    driver = Driver(websocket_write_limit=LIMIT, **options).opened()
    driver.core.pause_writing()
    return driver.apply()


def test_slow_consumer_outgoing_buffer_is_bounded_then_closed_with_1013() -> None:
    """The row "Slow consumer" of the requirements, as it is by default."""
    driver = slow_socket()
    for _ in range(10):
        driver.reply({"text": "x" * 990})
    assert b"\x88" not in driver.written
    driver.reply({"text": "x" * 990})
    assert close_code(driver) == 1013
    size = len(driver.written)
    for _ in range(1000):
        driver.reply({"text": "x" * 990})
    assert len(driver.written) == size
    driver.advance(6)
    assert driver.aborted and driver.code == 1006


def test_a_client_that_reads_in_time_is_not_closed() -> None:
    driver = slow_socket()
    for _ in range(100):
        driver.reply({"text": "x" * 990})
        driver.core.drained(993)
    driver.core.resume_writing()
    for _ in range(100):
        driver.reply({"text": "x" * 990})
    assert b"\x88" not in driver.written


def test_a_new_stop_is_counted_anew() -> None:
    driver = slow_socket()
    for _ in range(50):
        driver.reply({"text": "x" * 990})
        driver.core.resume_writing()
        driver.core.pause_writing()
    assert b"\x88" not in driver.written


def test_pings_of_a_client_that_does_not_read_pongs_are_bounded() -> None:
    driver = slow_socket()
    flood = client_frame(PING, b"x" * 125) * 100
    for _ in range(10):
        driver.receive(flood)
    assert close_code(driver) == 1013
    assert len(driver.written) < LIMIT + 200


def test_slow_consumer_outgoing_buffer_is_bounded_then_messages_are_dropped_by_policy() -> None:
    """The row "Slow consumer" of the requirements, with the other policy."""
    driver = slow_socket(websocket_slow_consumer="drop", ping_interval=None)
    for number in range(100):
        driver.reply({"text": f"{number:0990}"})
    assert len(driver.written) < LIMIT + 200 and b"\x88" not in driver.written
    dropped = [details for _, action, details in driver.logged if action == "dropped"]
    assert len(dropped) == 90 and dropped[0]["client"] == "192.0.2.7:50000"
    driver.core.resume_writing()
    driver.take()
    driver.reply({"text": "and on"})
    assert driver.written == server_frame(TEXT, b"and on")


def test_a_slow_consumer_whose_messages_are_dropped_can_be_closed_all_the_same() -> None:
    driver = slow_socket(websocket_slow_consumer="drop")
    for _ in range(20):
        driver.reply({"text": "x" * 990})
    driver.reply({"text": "x" * 990, "close": 4000})
    assert close_code(driver) == 4000


def test_a_slow_consumer_that_never_reads_again_is_dropped_as_its_pings_go_unanswered() -> None:
    driver = slow_socket(websocket_slow_consumer="drop", ping_interval=20, ping_timeout=30)
    for _ in range(20):
        driver.reply({"text": "x" * 990})
    driver.advance(51)
    assert driver.aborted and driver.code == 1006


def test_others_of_a_group_are_not_slowed() -> None:
    slow, quick = slow_socket(), Driver().opened()
    for _ in range(100):
        shared: dict[object, object] = {}
        slow.reply({"text": "x" * 100}, shared)
        quick.reply({"text": "x" * 100}, shared)
    assert quick.written == server_frame(TEXT, b"x" * 100) * 100


# -- a client that sends too much -----------------------------------------------------------------


def test_message_floods_per_socket_receive_rate_is_closed_by_1008(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The row "Message floods" of the requirements: the rate."""
    driver = Driver(websocket_message_rate=10).opened()
    driver.receive(texts(*range(60)))
    driver.receive(texts(*range(40)))
    assert driver.written == b"" and len(driver.contents()) == 100
    driver.receive(texts(1))
    assert close_code(driver) == 1008 and driver.closed and driver.code == 1008
    assert len(driver.contents()) == 100
    assert "websocket_message_rate" in caplog.text and "192.0.2.7:50000" in caplog.text


def test_message_floods_per_socket_byte_budget_is_closed_by_1008(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The row "Message floods" of the requirements: the bytes."""
    driver = Driver(websocket_byte_rate=1000).opened()
    for _ in range(9):
        driver.receive(client_frame(TEXT, b"x" * 1000))
    assert driver.written == b""
    driver.receive(client_frame(TEXT, b"x" * 1000))
    assert close_code(driver) == 1008 and driver.code == 1008
    assert "websocket_byte_rate" in caplog.text


def test_message_floods_of_control_frames_count_too() -> None:
    driver = Driver(websocket_message_rate=10).opened()
    driver.receive(client_frame(PING, b"x") * 101)
    assert close_code(driver) == 1008


def test_a_client_that_keeps_to_the_rates_is_never_closed() -> None:
    driver = Driver(websocket_message_rate=10, websocket_byte_rate=100, ping_interval=None).opened()
    for _ in range(100):
        driver.receive(client_frame(TEXT, b"x" * 4) * 10).advance(1)
    assert driver.written == b"" and len(driver.contents()) == 1000


def test_idle_sockets_have_no_budget() -> None:
    assert Driver().opened().core._budget is None
