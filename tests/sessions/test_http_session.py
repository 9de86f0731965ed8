"""Tests of ``http_session`` with every engine: which session a request has, and what is stored."""

import pytest
from django.test import override_settings

from channels.message import Message
from channels.sessions import http_session
from tests.sessions.sockets import Socket, browser_session, queries, rows


@http_session
def browsers(message):
    return message.http_session


def test_the_session_of_the_cookie_is_found(engine):
    session = browser_session(number=1)
    assert dict(browsers(Socket(session.session_key).connect()).items()) == {"number": 1}


def test_the_parameter_wins_over_the_cookie(engine):
    cookie, parameter = browser_session(number=1), browser_session(number=2)
    query = f"a=b&session_key={parameter.session_key}".encode()
    found = browsers(Socket(cookie.session_key, query).connect())
    assert found["number"] == 2


@pytest.mark.parametrize(
    "content",
    [
        {"cookies": {"sessionid": "KEY"}},
        {"get": {"session_key": ["KEY"]}},
        {"get": {"session_key": "KEY"}, "cookies": {"sessionid": "another"}},
        {"path": "/", "headers": {"cookie": b"sessionid=KEY"}},
        {"path": b"/", "headers": [(b"cookie", b"a=b; sessionid=KEY")]},
        {"path": "/", "query_string": "session_key=KEY"},
    ],
    ids=str,
)
def test_any_message_with_cookies_or_get_will_do(database, content):
    key = browser_session(number=1).session_key

    def fill(value):
        if isinstance(value, dict):
            return {name: fill(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [fill(item) for item in value]
        if isinstance(value, bytes):
            return value.replace(b"KEY", key.encode())
        return value.replace("KEY", key)

    message = Message(fill(content), "anything", None)
    assert browsers(message)["number"] == 1


def test_without_cookie_there_is_no_session_and_no_query(database):
    with queries() as made:
        assert browsers(Socket().connect()) is None
    assert made == []


@pytest.mark.parametrize(
    "key", ["unknown-key-of-32-characters-....", "x", "", "../../etc/passwd", "\x00" * 32, "é" * 32]
)
def test_a_session_that_is_not_there_is_none_and_is_not_created(engine, key):
    socket = Socket(query=f"session_key={key}".encode())
    assert browsers(socket.connect()) is None
    assert rows() == 0


def test_an_expired_session_is_none_and_stays_away(engine, tmp_path):
    session = browser_session(number=1)
    session.set_expiry(-1)
    session.save()
    assert browsers(Socket(session.session_key).connect()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_change_is_stored(engine):
    session = browser_session(number=1)

    @http_session
    def change(message):
        message.http_session["number"] = 2

    change(Socket(session.session_key).connect())
    assert type(session)(session.session_key)["number"] == 2


def test_a_session_that_goes_away_meanwhile_is_not_created_again(engine, tmp_path):
    session = browser_session(number=1)

    @http_session
    def change(message):
        message.http_session["number"] = 2
        session.delete()

    change(Socket(session.session_key).connect())
    assert dict(type(session)(session.session_key).items()) == {}
    assert rows() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_consumer_may_end_the_session(engine, tmp_path):
    session = browser_session(number=1)

    @http_session
    def flush(message):
        message.http_session.flush()
        message.http_session["number"] = 2

    flush(Socket(session.session_key).connect())
    assert dict(type(session)(session.session_key).items()) == {}
    assert rows() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_key_of_a_browser_s_session_never_changes(engine):
    session = browser_session(number=1)

    @http_session
    def cycle(message):
        message.http_session.cycle_key()
        message.http_session["number"] = 2

    cycle(Socket(session.session_key).connect())
    assert type(session)(session.session_key)["number"] == 2


def test_sessions_in_cookies_can_be_read():
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        session = browser_session(number=1)
        assert browsers(Socket(session.session_key).connect())["number"] == 1
        assert browsers(Socket(session.session_key + "x").connect()) is None


def test_one_query_reads_the_session(database):
    session = browser_session(number=1)
    with queries() as made:
        browsers(Socket(session.session_key).connect())["number"]
    assert made == ["SELECT"]


def test_a_message_that_is_no_request_is_refused():
    with pytest.raises(ValueError, match="Cannot parse HTTP message"):
        browsers(Message({"reply_channel": "a!b"}, "chat", None))
    with pytest.raises(ValueError, match="Cannot parse HTTP message"):
        browsers(Message({"path": "/", "headers": 1}, "chat", None))
