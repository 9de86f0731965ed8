"""Tests of users: who a consumer's user is, by which decorator, and how a user's sockets close."""

import itertools
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.test import override_settings

from channels import channel_layers
from channels.asgi import ChannelLayerWrapper
from channels.auth import (
    channel_and_http_session_user_from_http,
    channel_session,
    channel_session_user,
    channel_session_user_from_http,
    close_sockets_on_logout,
    close_user_sockets,
    http_session_user,
    transfer_user,
    user_group,
)
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.sessions import session_for_reply_channel
from tests.accounts.models import UserByMail, UserByUUID
from tests.sessions.sockets import Socket, browser_session, queries, rows
from tests.sessions.users import log_in


@pytest.fixture
def ada(database) -> User:
    return User.objects.create_user("ada")


@pytest.fixture(params=[UserByUUID, UserByMail], ids=lambda model: model.__name__)
def user_model(request, database):
    """Each custom user model in turn."""
    with override_settings(AUTH_USER_MODEL=request.param._meta.label):
        yield request.param


@pytest.fixture
def layer():
    """An empty default layer."""
    layer = ChannelLayer(capacity=1000)
    old = channel_layers.set("default", ChannelLayerWrapper(layer, "default", []))
    yield layer
    channel_layers.set("default", old)


@channel_session_user_from_http
def connect(message):
    return message.user


@channel_session_user
def user_of(message):
    return message.user


@http_session_user
def user_of_browser(message):
    return message.user


# -- whose socket it is ---------------------------------------------------------------------------


def test_the_user_of_the_browser_is_the_user_of_the_socket(engine):
    user = User.objects.create_user("ada")
    socket = Socket(log_in(user).session_key)
    assert connect(socket.connect()) == user
    assert user_of(socket.receive()) == user
    assert user_of(socket.disconnect()) == user


def test_the_user_may_be_named_by_the_parameter(ada):
    query = f"session_key={log_in(ada).session_key}".encode()
    assert user_of_browser(Socket(query=query).connect()) == ada


@pytest.mark.parametrize(
    "consumer",
    [connect, user_of, user_of_browser],
    ids=["channel_session_user_from_http", "channel_session_user", "http_session_user"],
)
def test_without_session_the_user_is_anonymous_and_nothing_is_stored(database, consumer):
    socket = Socket()
    assert consumer(socket.connect()).is_anonymous
    assert isinstance(consumer(socket.receive()), AnonymousUser)
    assert rows() == 0


def test_a_session_without_user_is_anonymous(database):
    socket = Socket(browser_session(number=1).session_key)
    assert connect(socket.connect()).is_anonymous
    assert user_of(socket.receive()).is_anonymous


def test_a_user_that_was_deleted_is_anonymous(ada):
    socket = Socket(log_in(ada).session_key)
    connect(socket.connect())
    ada.delete()
    assert user_of(socket.receive()).is_anonymous


def test_a_changed_password_ends_the_socket_s_log_in(ada):
    socket = Socket(log_in(ada).session_key)
    assert connect(socket.connect()) == ada
    ada.set_password("difference")
    ada.save()
    assert user_of(socket.receive()).is_anonymous
    assert user_of_browser(socket.connect()).is_anonymous


def test_a_secret_key_that_was_replaced_is_still_good_for_users(ada):
    session = log_in(ada)
    old = settings.SECRET_KEY
    with override_settings(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=["other"]):
        assert user_of_browser(Socket(session.session_key).connect()).is_anonymous
    with override_settings(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=[old]):
        socket = Socket(session.session_key)
        look = channel_session_user_from_http(lambda message: message.user == ada)
        assert look(socket.connect())
        assert user_of(socket.receive()) == ada
    # The browser's session was signed anew under its own key, which the browser knows.
    with override_settings(SECRET_KEY="the new one"):
        assert user_of_browser(Socket(session.session_key).connect()) == ada


def test_several_backends_are_asked_as_the_session_says(ada):
    other = "tests.sessions.users.OtherBackend"
    with override_settings(
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend", other]
    ):
        socket = Socket(log_in(ada, other).session_key)
        assert connect(socket.connect()).found_by == "OtherBackend"
        assert user_of(socket.receive()).found_by == "OtherBackend"
        assert not hasattr(user_of_browser(Socket(log_in(ada).session_key).connect()), "found_by")
    assert user_of(socket.receive()).is_anonymous


def test_custom_user_models(user_model, layer):
    user = user_model.objects.create(**{user_model.USERNAME_FIELD: "ädä@example.com"})
    other = user_model.objects.create(**{user_model.USERNAME_FIELD: "other@example.com"})
    sockets = [Socket(log_in(each).session_key, layer=layer) for each in (user, other)]
    for socket, each in zip(sockets, (user, other), strict=True):
        found = connect(wrapped(socket.connect(), layer))
        assert (found.__class__, found) == (user_model, each)
        assert user_of(socket.receive()) == each
    close_user_sockets(user)
    assert layer.receive(["daphne.response.tests!"]) == (sockets[0].name, {"close": True})
    assert layer.receive(["daphne.response.tests!"]) == (None, None)


def test_transfer_user_copies_the_user_alone(ada):
    session = log_in(ada)
    session["number"] = 1
    to = session_for_reply_channel("a!b")
    transfer_user(session, to)
    assert set(to.keys()) == {auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY}
    transfer_user(browser_session(), to)
    assert len(to.keys()) == 3


# -- both sessions --------------------------------------------------------------------------------


@channel_and_http_session_user_from_http
def all_of(message):
    return message.channel_session, message.http_session, message.user


def test_a_socket_may_keep_the_browser_s_session_and_user(engine):
    user = User.objects.create_user("ada")
    session = log_in(user)
    session["number"] = 1
    session.save()
    socket = Socket(session.session_key)
    for message in (socket.connect(), socket.receive(), socket.disconnect()):
        channel, browser, found = all_of(message)
        assert (found, browser["number"]) == (user, 1)
        assert channel[auth.SESSION_KEY] == str(user.pk)


def test_a_logout_ends_the_user_of_such_a_socket(ada):
    session = log_in(ada)
    socket = Socket(session.session_key)
    all_of(socket.connect())
    session.flush()
    assert all_of(socket.receive())[2].is_anonymous


# -- queries --------------------------------------------------------------------------------------


def test_users_cost_one_query_and_only_where_they_are_looked_at(ada):
    socket = Socket(log_in(ada).session_key)
    with queries() as made:
        connect(socket.connect())
    assert made == ["SELECT", "SELECT", "INSERT"]  # both sessions

    with queries() as made:
        user_of(socket.receive())
    assert made == []
    with queries() as made:
        channel_session_user(lambda message: message.user.username + message.user.email)(
            socket.receive()
        )
    assert made == ["SELECT", "SELECT"]  # the session and the user


def test_decorators_around_one_another_fetch_a_user_once(ada):
    socket = Socket(log_in(ada).session_key)

    @channel_session_user_from_http
    def consumer(message):
        outer = message.user.username

        @channel_session_user
        def inner(message):
            return outer, message.user.username

        return inner(message)

    with queries() as made:
        assert consumer(socket.connect()) == ("ada", "ada")
    assert made == ["SELECT", "SELECT", "SELECT", "INSERT"]  # two sessions and the user


TRANSFERRING = (channel_session_user_from_http, channel_and_http_session_user_from_http)
DECORATORS = (channel_session, channel_session_user, http_session_user, *TRANSFERRING)


def test_they_compose_in_any_order_also_on_methods(ada):
    session = log_in(ada)
    tried = 0
    for decorators in itertools.permutations(DECORATORS, 3):
        if not set(decorators) & set(TRANSFERRING):
            continue

        class Consumers:
            def consumer(self, message):
                message.channel_session["number"] = 1
                return message.user

        for decorator in decorators:
            Consumers.consumer = decorator(Consumers.consumer)
        socket = Socket(session.session_key)
        assert Consumers().consumer(socket.connect()) == ada, decorators
        assert user_of(socket.receive()) == ada, decorators
        tried += 1
    assert tried == 54


# -- the end of a user's sockets ------------------------------------------------------------------


def wrapped(message: Message, layer: ChannelLayer) -> Message:
    """The message as a worker of the default layer gets it."""
    return Message(message.content, message.channel.name, channel_layers["default"])


def open_socket(user, layer, decorator=channel_session_user_from_http):
    socket = Socket(log_in(user).session_key, layer=layer)
    decorator(lambda message: None)(wrapped(socket.connect(), layer))
    return socket


def closed(layer):
    """The names of the sockets that were closed, by their codes."""
    found = {}
    while (received := layer.receive(["daphne.response.tests!"]))[0] is not None:
        found[received[0]] = received[1]["close"]
    return found


@pytest.mark.parametrize(
    "decorator",
    [
        channel_session_user_from_http,
        http_session_user,
        channel_and_http_session_user_from_http,
    ],
    ids=lambda each: each.__name__,
)
def test_logout_permission_change_all_sockets_of_a_user_are_closed_and_no_other_ones(
    ada, layer, decorator
):
    sockets = [open_socket(ada, layer, decorator) for _ in range(3)]
    open_socket(User.objects.create_user("grace"), layer, decorator)
    connect(wrapped(Socket(layer=layer).connect(), layer))

    close_user_sockets(ada, code=4001)

    assert closed(layer) == dict.fromkeys([socket.name for socket in sockets], 4001)


@pytest.mark.parametrize("decorator", [channel_session, channel_session_user])
def test_a_socket_that_has_ended_is_in_no_group_any_more(ada, layer, decorator):
    socket = open_socket(ada, layer)
    assert layer.group_channels(user_group(ada)) == [socket.name]
    decorator(lambda message: None)(wrapped(socket.disconnect(), layer))
    assert layer.group_channels(user_group(ada)) == []
    close_user_sockets(ada)
    assert closed(layer) == {}


def test_a_logout_closes_the_sockets_where_the_receiver_is_connected(ada, layer):
    def log_out():
        session = log_in(ada)
        auth.logout(SimpleNamespace(session=session, META={}, user=ada))

    socket = open_socket(ada, layer)
    log_out()
    assert closed(layer) == {}

    user_logged_out.connect(close_sockets_on_logout)
    try:
        log_out()
        assert closed(layer) == {socket.name: True}
        auth.logout(SimpleNamespace(session=browser_session(), META={}, user=AnonymousUser()))
    finally:
        user_logged_out.disconnect(close_sockets_on_logout)


def test_anonymous_users_have_no_sockets_of_their_own():
    with pytest.raises(ValueError, match="no primary key"):
        close_user_sockets(AnonymousUser())
