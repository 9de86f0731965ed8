"""What is remembered between a request and its response."""

from daphne.protocol.exchange import Exchange, client_name
from daphne.protocol.request import parse_request
from tests.daphne.protocol.driving import PREFIX, make_context


def exchange() -> Exchange:
    request = parse_request(b"GET /%7Ea?b HTTP/1.1\r\nHost: x\r\n\r\n", make_context())
    return Exchange(request, "l", PREFIX + "l", 1000.0)


def test_an_exchange_begins_unannounced_and_unanswered() -> None:
    new = exchange()
    assert (new.is_announced, new.status, new.held) == (False, 0, False)


def test_the_message_is_for_the_reply_channel_of_the_exchange() -> None:
    message = exchange().message()
    assert (message["reply_channel"], message["path"]) == (PREFIX + "l", "/~a")


def test_the_access_log_gets_the_target_as_it_came() -> None:
    assert exchange().details(200, 5, 0.25) == {
        "path": "/%7Ea?b",
        "status": 200,
        "method": "GET",
        "client": "192.0.2.1:4711",
        "time_taken": 0.25,
        "size": 5,
        "first_byte": 0.25,
        "http_version": "1.1",
        "headers": [(b"host", b"x")],
        "reply_channel": PREFIX + "l",
    }


def test_the_first_byte_of_a_response_in_several_messages_came_before_its_end() -> None:
    new = exchange()
    new.answered = 1000.125
    details = new.details(200, 5, 0.25)
    assert (details["first_byte"], details["time_taken"]) == (0.125, 0.25)


def test_a_client_without_an_address_has_no_name() -> None:
    assert client_name(None) is None
    assert client_name(("::1", 80)) == "::1:80"
