"""Tests of the session decorators with every engine: what consumers find, and what is stored."""

import gc
import itertools
import weakref

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils.module_loading import import_string

from channels.auth import channel_session_user
from channels.exceptions import ConsumeLater
from channels.message import Message
from channels.sessions import (
    channel_and_http_session,
    channel_session,
    http_session,
    session_for_reply_channel,
    session_scope,
)
from tests.sessions.sockets import Socket, browser_session, queries, rows


@channel_session
def store(message, **values):
    message.channel_session.update(values)


@channel_session
def seen(message):
    return dict(message.channel_session.items())


@http_session
def browsers(message):
    return message.http_session


# -- channel_session ------------------------------------------------------------------------------


def test_what_one_consumer_stores_the_next_one_of_the_socket_finds(engine):
    socket, other = Socket(), Socket()
    store(socket.connect(), name="ada", rooms=["a", "b"])
    assert seen(socket.receive()) == {"name": "ada", "rooms": ["a", "b"]}
    assert seen(other.receive()) == {}


def test_a_change_of_a_stored_session_is_stored(engine):
    socket = Socket()
    store(socket.connect(), number=1)
    store(socket.receive(), number=2)
    assert seen(socket.receive()) == {"number": 2}


def test_the_last_key_removed_leaves_no_row(database):
    socket = Socket()
    store(socket.connect(), number=1)
    assert rows() == 1

    @channel_session
    def remove(message):
        del message.channel_session["number"]

    remove(socket.receive())
    assert rows() == 0
    assert seen(socket.receive()) == {}


def test_an_anonymous_socket_that_stores_nothing_has_no_row_and_costs_no_query(database):
    socket = Socket()
    consumer = channel_session(lambda message: None)
    with queries() as made:
        consumer(socket.connect())
        consumer(socket.receive())
    assert made == []

    with queries() as made:
        seen(socket.receive())
    assert made == ["SELECT"]
    with queries() as made:
        consumer(socket.disconnect())
    assert made == ["SELECT"]
    assert rows() == 0


@pytest.mark.parametrize("decorator", [channel_session, channel_session_user])
def test_a_message_leaves_no_garbage_to_be_collected(decorator):
    message = Socket().receive()
    gone = weakref.ref(message)
    gc.disable()
    try:
        decorator(lambda message: None)(message)
        del message
        assert gone() is None
    finally:
        gc.enable()


def test_the_session_is_there_after_the_consumer_as_well(engine):
    socket = Socket()
    store(socket.connect(), value="stored")
    message = socket.receive()
    channel_session(lambda message: None)(message)
    assert message.channel_session["value"] == "stored"


def test_a_message_costs_one_query_and_one_more_to_store(database):
    socket = Socket()
    with queries() as made:
        store(socket.connect(), number=1)
    assert made == ["SELECT", "INSERT"]
    with queries() as made:
        store(socket.receive(), number=2)
    assert made == ["SELECT", "UPDATE"]
    with queries() as made:
        seen(socket.disconnect())
    assert made == ["SELECT", "DELETE"]


def test_what_a_failing_consumer_stored_is_kept(engine):
    socket = Socket()

    @channel_session
    def fail(message):
        message.channel_session["number"] = 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(socket.connect())
    assert seen(socket.receive()) == {"number": 1}


def test_a_session_that_was_flushed_is_empty_and_can_be_filled_again(engine):
    socket = Socket()
    store(socket.connect(), number=1)

    @channel_session
    def flush(message, **values):
        message.channel_session.flush()
        message.channel_session.update(values)

    flush(socket.receive())
    assert seen(socket.receive()) == {}
    flush(socket.receive(), number=3)
    assert seen(socket.receive()) == {"number": 3}


def test_a_consumer_may_save_by_itself(engine):
    socket = Socket()

    @channel_session
    def save(message, number):
        message.channel_session.save()
        message.channel_session["number"] = number
        message.channel_session.save()
        assert session_for_reply_channel(socket.name)["number"] == number

    save(socket.connect(), number=1)
    save(socket.receive(), number=2)
    assert seen(socket.receive()) == {"number": 2}


def test_the_engine_s_own_store_reads_what_is_stored(engine):
    socket = Socket()
    store(socket.connect(), number=1)
    key = session_for_reply_channel(socket.name).session_key
    plain = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(key)
    assert dict(plain.items()) == {"number": 1}


def test_a_message_without_reply_channel_is_refused():
    with pytest.raises(ValueError, match="needs a message with a reply_channel"):
        seen(Message({"a": 1}, "chat", None))


def test_a_consumer_without_message_is_refused():
    with pytest.raises(ValueError, match="channel_session called without Message instance"):
        seen("no message", "neither", Socket().connect())


def test_methods_get_the_message_second():
    class Consumers:
        @channel_session
        def store(self, message, number):
            message.channel_session["number"] = number
            return self

        @classmethod
        @channel_session
        def seen(cls, message):
            return message.channel_session["number"]

    socket = Socket()
    consumers = Consumers()
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        assert consumers.store(socket.connect(), 1) is consumers
        assert Consumers.seen(socket.receive()) == 1


@pytest.mark.parametrize("setting", ["SESSION_ENGINE", "CHANNEL_SESSION_ENGINE"])
def test_sessions_in_cookies_are_refused_with_the_setting_that_helps(setting):
    engine = "django.contrib.sessions.backends.signed_cookies"
    with override_settings(**{setting: engine}), pytest.raises(ValueError) as caught:
        seen(Socket().connect())
    assert f"{setting} = {engine!r}" in str(caught.value)
    assert "set CHANNEL_SESSION_ENGINE to" in str(caught.value)


def test_channel_sessions_may_have_an_engine_of_their_own(database):
    socket = Socket()
    with override_settings(
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        CHANNEL_SESSION_ENGINE="django.contrib.sessions.backends.db",
    ):
        store(socket.connect(), number=1)
        assert rows() == 1
        assert seen(socket.receive()) == {"number": 1}


# -- the end of a socket --------------------------------------------------------------------------


def test_the_session_goes_away_when_the_socket_does(engine):
    socket = Socket()
    store(socket.connect(), number=1)
    assert seen(socket.disconnect()) == {"number": 1}
    assert dict(session_for_reply_channel(socket.name).items()) == {}


def test_the_session_stays_where_the_last_message_will_come_again(engine):
    socket = Socket()
    store(socket.connect(), number=1)

    @channel_session
    def later(message):
        raise ConsumeLater

    with pytest.raises(ConsumeLater):
        later(socket.disconnect())
    assert seen(socket.disconnect()) == {"number": 1}


def test_the_session_goes_away_where_the_last_consumer_fails(engine):
    socket = Socket()
    store(socket.connect(), number=1)

    @channel_session
    def fail(message):
        message.channel_session["number"] = 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(socket.disconnect())
    assert dict(session_for_reply_channel(socket.name).items()) == {}


def test_a_late_message_never_recreates_a_session(engine):
    socket = Socket()
    store(socket.connect(), number=1)
    seen(socket.disconnect())
    for number in range(3):
        store(socket.receive(), number=number)
        assert dict(session_for_reply_channel(socket.name).items()) == {}


def test_a_message_that_is_in_work_when_the_socket_ends_does_not_recreate_its_session(engine):
    socket = Socket()
    store(socket.connect(), number=1)

    @channel_session
    def slow(message):
        message.channel_session["number"] = 2
        seen(socket.disconnect())

    slow(socket.receive())
    assert dict(session_for_reply_channel(socket.name).items()) == {}


def test_a_socket_that_has_ended_before_its_connect_message_was_consumed_leaves_none(engine):
    socket = Socket()
    seen(socket.disconnect())
    store(socket.connect(), number=1)
    assert dict(session_for_reply_channel(socket.name).items()) == {}


def test_sessions_outlive_sockets_and_then_expire(database):
    session = session_for_reply_channel(Socket().name)
    assert session.get_expiry_age() == settings.SESSION_COOKIE_AGE
    with override_settings(SESSION_COOKIE_AGE=60):
        assert session.get_expiry_age() == 86400


def test_a_session_that_a_crash_has_left_expires(engine):
    socket = Socket()

    @channel_session
    def expire(message):
        message.channel_session["number"] = 1
        message.channel_session.set_expiry(-1)

    expire(socket.connect())
    assert dict(session_for_reply_channel(socket.name).items()) == {}
    store(socket.receive(), number=2)
    if engine != "cache":  # which forgets it before it can be found again
        assert seen(socket.receive()) == {"number": 2}


def test_consumers_around_one_message_share_its_session_to_the_end(engine):
    socket = Socket()
    store(socket.connect(), number=1)
    message = socket.disconnect()
    with session_scope(message):
        assert seen(message) == {"number": 1}
        assert seen(message) == {"number": 1}
    assert dict(session_for_reply_channel(socket.name).items()) == {}


# -- two workers at once --------------------------------------------------------------------------


def test_two_workers_that_create_a_session_at_once_both_store(engine):
    socket = Socket()

    @channel_session
    def slow(message):
        message.channel_session["slow"] = 1
        store(socket.receive(), quick=2)

    slow(socket.receive())
    assert seen(socket.receive()) == {"slow": 1, "quick": 2}


# -- the key --------------------------------------------------------------------------------------


def test_keys_cannot_be_made_of_the_name_alone():
    name = Socket().name
    key = session_for_reply_channel(name).session_key
    assert key == session_for_reply_channel(name).session_key
    with override_settings(SECRET_KEY="another one"):
        assert session_for_reply_channel(name).session_key != key
    assert len(key) == 40


def test_a_browser_cannot_use_a_channel_session(database):
    socket = Socket()
    store(socket.connect(), number=1)
    key = session_for_reply_channel(socket.name).session_key
    assert browsers(Socket(cookie=key).connect()) is None
    assert browsers(Socket(query=f"session_key={key}".encode()).connect()) is None


# -- both -----------------------------------------------------------------------------------------


@channel_and_http_session
def both(message):
    return message.channel_session, message.http_session


def test_the_browser_s_session_is_there_for_later_messages_of_the_socket(engine):
    session = browser_session(number=1)
    socket = Socket(session.session_key)
    both(socket.connect())
    channel, browser = both(socket.receive())
    assert channel[settings.SESSION_COOKIE_NAME] == session.session_key
    assert browser["number"] == 1


def test_the_browser_s_session_is_none_after_a_logout(engine):
    session = browser_session(number=1)
    socket = Socket(session.session_key)
    both(socket.connect())
    session.flush()
    assert both(socket.receive())[1] is None


def test_without_cookie_both_leave_nothing(database):
    socket = Socket()
    assert both(socket.connect())[1] is None
    assert both(socket.receive())[1] is None
    assert rows() == 0


def test_two_decorators_share_the_browsers_session_and_what_was_put_in_it(database):
    socket = Socket(browser_session(number=1).session_key)
    channel_and_http_session(lambda message: None)(socket.connect())
    number_of = channel_and_http_session(lambda message: message.http_session["number"])

    @channel_and_http_session
    def consumer(message):
        message.http_session["number"] = 2
        return number_of(message)

    assert consumer(socket.receive()) == 2
    assert number_of(socket.receive()) == 2


def test_other_requests_have_both_sessions_too(engine):
    session = browser_session(number=1)
    message = Socket(session.session_key).connect()
    request = Message(message.content, "http.request", message.channel_layer)
    assert both(request)[1]["number"] == 1


DECORATORS = (channel_session, http_session, channel_and_http_session)


@pytest.mark.parametrize(
    "decorators", list(itertools.permutations(DECORATORS)), ids=lambda each: each[0].__name__
)
def test_they_compose_in_any_order(engine, decorators):
    session = browser_session(number=1)
    socket = Socket(session.session_key)

    def consumer(message):
        message.channel_session["sum"] = (
            message.channel_session.get("sum", 0) + message.http_session["number"]
        )
        message.http_session["number"] += 1

    for decorator in decorators:
        consumer = decorator(consumer)
    with queries() as made:
        consumer(socket.connect())
    if engine == "db":
        assert sorted(made) == ["INSERT", "SELECT", "SELECT", "UPDATE"]
    consumer(socket.receive())
    assert seen(socket.receive())["sum"] == 3
