"""Users for consumers: who a socket's browser is logged in as (Channels documentation,
Authentication), and the end of a user's sockets.

Users are found as ``django.contrib.auth`` finds that of a request, from what a session says: every
authentication backend and user model that Django takes, and the same checks. Sessions are in
``channels.sessions``.
"""

import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.contrib import auth
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.utils.functional import SimpleLazyObject

from channels.asgi import channel_layers
from channels.channel import Group
from channels.message import Message
from channels.sessions import channel_and_http_session, channel_session, http_session
from channels.sessions.decorators import prepare_both
from channels.sessions.scope import SessionScope, at_the_end, in_scope

if TYPE_CHECKING:
    from django.contrib.auth.models import _AnyUser

__all__ = [
    "channel_and_http_session",
    "channel_and_http_session_user_from_http",
    "channel_session",
    "channel_session_user",
    "channel_session_user_from_http",
    "close_sockets_on_logout",
    "close_user_sockets",
    "http_session",
    "http_session_user",
    "transfer_user",
    "user_group",
]

P = ParamSpec("P")
R = TypeVar("R")

#: What a session says of its user: the primary key, the backend, and the hash of the password.
_KEYS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)


def channel_session_user(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer ``message.channel_session`` and the ``message.user`` that it holds.

    The user is fetched when it is first looked at, and an ``AnonymousUser`` where there is none.
    """
    return in_scope(func, _user_of_channel, "channel_session_user")


def http_session_user(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer ``message.http_session`` and the ``message.user`` who is logged in there.

    The user is fetched when it is first looked at, and an ``AnonymousUser`` where there is none.
    """
    return in_scope(func, _user_of_request, "http_session_user", keeps=False)


def channel_session_user_from_http(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer both sessions, and put the user of the browser's into the channel's.

    For ``websocket.connect``; later consumers of the socket have the user by
    ``channel_session_user``.
    """
    return in_scope(func, _user_from_request, "channel_session_user_from_http")


def channel_and_http_session_user_from_http(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer what ``channel_and_http_session`` gives and the browser's ``message.user``.

    Works for all messages of a socket. The user is looked for in the browser's session each time,
    so that a logout has its effect on the next message.
    """
    return in_scope(func, _user_and_both_sessions, "channel_and_http_session_user_from_http")


def transfer_user(from_session: SessionBase, to_session: SessionBase) -> None:
    """Copy from one session to another who is logged in, and how it was made sure."""
    for key in _KEYS:
        if key in from_session:
            to_session[key] = from_session[key]


def _user_of_channel(scope: SessionScope) -> None:
    scope.offer_channel_session()
    _set_user(scope, scope.channel_session_of)


def _user_of_request(scope: SessionScope) -> None:
    session = scope.http_session()
    _set_user(scope, lambda message: session)
    _join_group(scope, session)


def _user_from_request(scope: SessionScope) -> None:
    session = scope.http_session()
    if session is None:
        return _user_of_channel(scope)
    transfer_user(session, scope.channel_session())
    _set_user(scope, lambda message: session)
    _join_group(scope, session)


def _user_and_both_sessions(scope: SessionScope) -> None:
    prepare_both(scope)
    session = scope.http_session()
    if session is not None and scope.is_on("websocket.connect"):
        transfer_user(session, scope.channel_session())
        _join_group(scope, session)
    _set_user(scope, lambda message: session)


# -- the user of a session ------------------------------------------------------------------------


def _set_user(scope: SessionScope, session: Callable[[Message], SessionBase | None]) -> None:
    def user(message: Message) -> Any:
        return SimpleLazyObject(lambda: _user_in(scope, session(message)))

    scope.message.make_when_needed("user", user)


def _user_in(scope: SessionScope, session: SessionBase | None) -> Any:
    """The user that a session holds; two sessions that say the same cost one query."""
    said = tuple(session.get(key) for key in _KEYS) if session is not None else None
    if said not in scope.users:
        request: Any = SimpleNamespace(session={} if session is None else session)
        scope.users[said] = auth.get_user(request)
    return scope.users[said]


# -- the sockets of a user ------------------------------------------------------------------------


def user_group(user: Any) -> str:
    """The name of the group of a user's sockets, for any kind of primary key."""
    return _group_name(user._meta.pk.value_to_string(user))


def close_user_sockets(user: "_AnyUser", code: int | None = None) -> None:
    """Close all sockets of ``user``, on every channel layer: after a logout, or where permissions
    were taken away.

    These are the sockets whose ``websocket.connect`` consumer had the user by a decorator of this
    module. ``code`` is the close code, 1000 by default. In a consumer it happens when that ends.
    Raises ``ValueError`` for an anonymous user.
    """
    if user.pk is None:
        raise ValueError(f"{user!r} has no primary key, so it cannot have sockets of its own")
    for alias in channel_layers.configs:
        layer = channel_layers[alias]
        if layer.supports_groups:
            Group(user_group(user), channel_layer=layer).send({"close": code or True})


def close_sockets_on_logout(sender: Any, user: Any = None, **kwargs: Any) -> None:
    """Close the sockets of who logs out: a receiver for Django's signal ``user_logged_out``.

    Connect it where a logout shall end them, in the ``ready`` of an app's configuration, say.
    """
    if user is not None:
        close_user_sockets(user)


def _group_name(primary_key: str) -> str:
    return f"__user__.{hashlib.sha256(primary_key.encode()).hexdigest()}"


def _join_group(scope: SessionScope, session: SessionBase | None) -> None:
    """Make a socket that has just been opened a member of its user's group."""
    message = scope.message
    if session is None or not scope.is_on("websocket.connect") or message.reply_channel is None:
        return
    group = _group_in(message, session)
    if group is not None:
        group.add(message.reply_channel)


def _leave_group(message: Message, session: SessionBase) -> None:
    """Take a socket that has ended out of the group."""
    group = _group_in(message, session)
    if group is not None and message.reply_channel is not None:
        group.discard(message.reply_channel)


at_the_end.append(_leave_group)


def _group_in(message: Message, session: SessionBase) -> Group | None:
    """The group of the user in a session; None without user, or where the layer has no groups."""
    key, layer = session.get(SESSION_KEY), message.channel_layer
    if key is None or not getattr(layer, "supports_groups", False):
        return None
    return Group(_group_name(key), channel_layer=layer)
