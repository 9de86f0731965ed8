"""The decorators that give consumers sessions (Channels documentation, Reference, Decorators).

They compose in any order, and work on functions and on methods.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.conf import settings

from .scope import SessionScope, in_scope

__all__ = ["channel_and_http_session", "channel_session", "http_session", "prepare_both"]

P = ParamSpec("P")
R = TypeVar("R")


def channel_session(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer ``message.channel_session``, which lives as long as the reply channel.

    It is read when it is first looked at, and saved after the consumer where it was changed. Raises
    ``ValueError`` for messages without reply channel, and for an engine that keeps sessions in
    cookies.
    """
    return in_scope(func, SessionScope.offer_channel_session, "channel_session")


def http_session(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer ``message.http_session``, the session of the browser.

    It is that of the parameter ``session_key``, else of the session cookie, and None where there is
    no such session; none is ever created. It is saved after the consumer where it was changed.
    Raises ``ValueError`` for messages that are no requests and have neither ``cookies`` nor
    ``get``.
    """
    return in_scope(func, SessionScope.http_session, "http_session", keeps=False)


def channel_and_http_session(func: Callable[P, R]) -> Callable[P, R]:
    """Give the consumer both sessions, the browser's on later messages of a socket as well.

    At ``websocket.connect`` its key is put into the channel's session, under the name of the
    session cookie. ``message.http_session`` is None once it has gone, as after a logout.
    """
    return in_scope(func, prepare_both, "channel_and_http_session")


def prepare_both(scope: SessionScope) -> None:
    """What ``channel_and_http_session`` does before the consumer."""
    session = scope.channel_session()
    if scope.is_on("websocket.connect"):
        found = scope.http_session()
        if found is not None:
            session[settings.SESSION_COOKIE_NAME] = found.session_key
        return
    key = session.get(settings.SESSION_COOKIE_NAME)
    if key is None and scope.message.content.keys() & _REQUEST_KEYS:
        scope.http_session()
    else:
        scope.set_http_session(key)


#: What only requests have.
_REQUEST_KEYS = {"headers", "query_string", "cookies", "get"}
