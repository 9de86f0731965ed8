"""What comes at a moment when it means nothing, or something else than usual."""

import pytest

from channels.exceptions import LayerUnavailable
from channels.spec import RESPONSE_WINDOW, http_response, http_response_chunk
from daphne.options import Options
from daphne.protocol.credit import Credit
from daphne.protocol.http_connection import HttpConnection
from daphne.protocol.message_stream import MessageStream
from daphne.protocol.operations import Operation, Send
from daphne.protocol.upload import Upload
from tests.daphne.protocol.driving import Driver, make_context
from tests.daphne.protocol.socket_driver import TEXT, client_frame
from tests.daphne.protocol.socket_driver import Driver as SocketDriver

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"


def test_credit_that_is_under_way_when_the_client_leaves_is_followed_by_the_news() -> None:
    operations: list[Operation] = []
    credit = Credit("credit", operations.append)
    credit.advance(RESPONSE_WINDOW)
    credit.close()
    credit.close()
    assert [send.message for send in operations if isinstance(send, Send)] == [
        {"bytes": RESPONSE_WINDOW}
    ]
    credit.sent()
    assert [send.message for send in operations if isinstance(send, Send)][1:] == [{"closed": True}]
    credit.sent()
    assert len(operations) == 2


def test_a_connection_is_closed_once() -> None:
    for first, second in ((HttpConnection._close, HttpConnection._abort),) * 2:
        core = HttpConnection(make_context())
        first(core)
        second(core)
        first(core)
        assert len(core.operations()) == 1


def test_an_end_of_input_while_the_last_response_waits_for_its_reader() -> None:
    driver = Driver().feed(GET)
    driver.reply(dict(http_response(200, [(b"Content-Length", b"2")], b"ok")))
    driver.do(driver.core.pause_writing)
    driver.do(driver.core.receive_eof)
    assert not driver.closed
    driver.do(driver.core.resume_writing)
    assert driver.closed and not driver.aborted


def test_an_end_of_input_within_a_response_lets_it_go_on() -> None:
    driver = Driver().feed(GET)
    driver.reply(dict(http_response(200, [], b"a", more_content=True)))
    driver.do(driver.core.receive_eof)
    driver.sleep(100)
    driver.reply(dict(http_response_chunk(b"b")))
    assert driver.output.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert driver.closed and not driver.aborted


def test_an_end_of_input_after_the_end_of_the_connection() -> None:
    driver = Driver().feed(b"nonsense\r\n\r\n")
    output = driver.output
    driver.do(driver.core.receive_eof)
    driver.do(driver.core.resume_writing)
    assert driver.output == output


def test_a_transport_that_drains_before_the_response_changes_nothing() -> None:
    driver = Driver().feed(GET)
    before = dict(driver.timers)
    driver.do(driver.core.pause_writing)
    driver.do(driver.core.resume_writing)
    assert driver.timers == before
    driver.sleep(121)
    assert driver.status == 503


def test_a_stream_that_goes_on_while_its_client_does_not_read_waits_for_the_client() -> None:
    driver = Driver().feed(GET)
    driver.reply(dict(http_response(200, [], b"a", more_content=True)))
    driver.sleep(50)
    driver.do(driver.core.pause_writing)
    driver.reply(dict(http_response_chunk(b"b", True)))
    driver.sleep(59)
    assert not driver.closed, "write_timeout counts from when it stopped to read"
    driver.sleep(2)
    assert driver.aborted


def test_requests_that_are_sent_ahead_wait() -> None:
    driver = Driver().feed(GET, GET)
    assert len(driver.requests) == 1 and driver.reading


def test_answers_to_nobody_are_ignored() -> None:
    driver = Driver().feed(GET)
    for method in (driver.core.sent, driver.core.room):
        driver.do(method, "nobody's")
    driver.do(driver.core.send_failed, "nobody's", LayerUnavailable("gone"))
    driver.do(driver.core.channel_made, "nobody's", "name")
    assert driver.output == b"" and not driver.closed


def test_a_client_that_was_not_told_to_send_its_body_is_not_too_slow() -> None:
    driver = Driver(Options(body_chunk_size=10))
    driver.slow_layer = True
    driver.feed(POST + b"Expect: 100-continue\r\n\r\n")
    driver.sleep(60)
    assert driver.output == b"" and not driver.closed
    driver.confirm()
    assert driver.output == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_request_that_the_layer_refuses_after_its_response_began_is_cut() -> None:
    driver = Driver()
    driver.slow_layer = True
    driver.feed(GET)
    driver.reply(dict(http_response(200, [], b"a", more_content=True)))
    driver.do(driver.core.send_failed, driver.unconfirmed[0].key, LayerUnavailable("gone"))
    assert driver.aborted


def test_an_upload_that_is_over_takes_nothing() -> None:
    operations: list[Operation] = []
    upload = Upload({}, operations.append, 100)
    upload.begin(5)
    upload.abandon()
    upload.feed(b"hello", True, 0.0)
    upload.sent(0.0)
    upload.room()
    upload.channel_made("late", 0.0)
    assert operations == []


def test_frames_that_are_dropped_while_one_is_under_way_leave_that_one() -> None:
    operations: list[Operation] = []
    stream = MessageStream(operations.append, "reply!1", "/")
    for content in ("one", "two"):
        stream.receive(content)
    stream.drop()
    stream.sent()
    assert len(operations) == 1 and stream.backlog == 0


def test_a_socket_that_has_ended_hears_nothing_more() -> None:
    driver = SocketDriver().opened()
    driver.lose()
    heard = list(driver.messages)
    driver.core.connection_made()
    driver.core.receive_eof()
    driver.core.receive_data(client_frame(TEXT, b"late"))
    for name in ("connect", "ping", "lifetime", "close", "unknown"):
        driver.core.timer(name)
    driver.apply()
    assert driver.messages == heard and driver.take() == b""


def test_a_deadline_of_another_name_is_none_of_a_sockets() -> None:
    driver = SocketDriver().opened()
    driver.core.timer("unknown")
    driver.core.drained(5)
    driver.apply()
    assert not driver.closed


def test_data_after_the_end_of_the_frames_is_dropped() -> None:
    driver = SocketDriver().opened()
    driver.receive(client_frame(8) + client_frame(TEXT, b"late"))
    assert driver.closed and driver.contents() == []
    driver.core._read(client_frame(TEXT, b"later"))
    assert driver.contents() == []


def test_only_what_cannot_be_decoded_stays_escaped() -> None:
    with pytest.raises(UnicodeEncodeError):
        "\ud800".encode("utf-8", "daphne.keep_escaped")
