"""One scope for each message: its sessions, kept once and saved in one place.

Every decorator of ``channels.sessions`` and ``channels.auth`` enters the scope of its message. The
outermost one that leaves it saves, whatever the order in which they stand; those inside find what
the others have made. At the end of a socket the scope deletes its session.
"""

import functools
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.conf import settings

from channels.exceptions import ConsumeLater
from channels.message import Message

from .ends import DISCONNECTED, how_it_ended, mark_ended
from .stores import (
    BrowserSession,
    ChannelSession,
    channel_session_engine,
    session_for_key,
    session_for_reply_channel,
)
from .waiting import park_again

if TYPE_CHECKING:
    from channels.handler.request import AsgiRequest

__all__ = [
    "SessionScope",
    "at_the_end",
    "channel_sessions",
    "in_scope",
    "message_of",
    "session_scope",
]

P = ParamSpec("P")
R = TypeVar("R")

#: The attribute of a message that holds its scope while there is one.
_ATTRIBUTE = "_session_scope"

#: The keys of a message that a session's key is looked for in.
_REQUEST_KEYS = ("path", "root_path", "query_string", "headers")

_UNKNOWN: Any = object()


class SessionScope:
    """What the decorators around one consumer share; a context manager that may be nested.

    On the way out of the outermost context both sessions are saved where they were changed.
    """

    def __init__(self, message: Message) -> None:
        self.message = message
        #: Called before and after the save of a message that was consumed; afterwards is the time
        #: for what others may only see when it has been done, and not where it failed.
        self.before_save: list[Callable[[], object]] = []
        self.after_save: list[Callable[[], object]] = []
        #: Called when that is over, whatever came of it.
        self.at_exit: list[Callable[[], object]] = []
        #: Whether it is known to be the turn of the message (``channels.sessions.ordering``).
        self.has_turn = False
        #: The users that were loaded, by what their session says of them.
        self.users: dict[Any, Any] = {}
        self._channel_session: ChannelSession | None = None
        self._offers_channel_session = False
        self._http_session: BrowserSession | None = _UNKNOWN
        self._http_key: str | None = _UNKNOWN
        self._depth = 0
        self._abandoned = False

    # -- the sessions ---------------------------------------------------------------------------

    def channel_session(self) -> ChannelSession:
        """The session of the message's reply channel, which becomes ``message.channel_session``.

        Raises ``ValueError`` for a message without one, and for an engine that cannot keep it.
        """
        session = self._channel_session
        if session is None:
            session = session_for_reply_channel(self._reply_channel)
            self._channel_session = session
            self.message.channel_session = session
        return session

    def offer_channel_session(self) -> None:
        """The same when somebody looks at ``message.channel_session``; most consumers never do."""
        if not self._offers_channel_session:
            # As this one would raise: nobody shall learn it later, or never.
            _ = self._reply_channel, channel_session_engine()
            self._offers_channel_session = True
            if self._channel_session is None:
                self.message.make_when_needed("channel_session", self.channel_session_of)

    def channel_session_of(self, message: Message) -> ChannelSession:
        """The same for who has the message, be it after the end of the scope."""
        self.message = message
        return self.channel_session()

    def http_session(self) -> BrowserSession | None:
        """The session that the request names, which becomes ``message.http_session``.

        None where the message names none, or one that is not there. Raises ``ValueError`` for a
        message that is no request.
        """
        if self._http_session is _UNKNOWN:
            self.set_http_session(_session_key(self.message))
        return self._http_session

    def set_http_session(self, key: str | None) -> None:
        """Take the session with that key as the request's; it is looked for once."""
        if key != self._http_key:
            self._http_key = key
            self._http_session = session_for_key(key) if key else None
        self.message.http_session = self._http_session

    def is_on(self, channel: str) -> bool:
        """Whether the message came on that channel."""
        return self.message.channel is not None and self.message.channel.name == channel

    # -- the one place that saves ---------------------------------------------------------------

    def __enter__(self) -> "SessionScope":
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        message = self.message
        del vars(message)[_ATTRIBUTE]
        try:
            if not self._abandoned:
                self._finish(will_come_again=isinstance(error, ConsumeLater))
        finally:
            # The message has what holds this scope.
            del self.message
            for function in self.at_exit:
                function()
            if message.carried:
                park_again(message.channel_layer, message.carried)

    def _finish(self, will_come_again: bool) -> None:
        for function in () if will_come_again else self.before_save:
            function()
        self._save(will_come_again)
        for function in () if will_come_again else self.after_save:
            function()

    def abandon(self) -> bool:
        """Save nothing, since the message is not consumed now; returns False."""
        self._abandoned = True
        return False

    def _save(self, will_come_again: bool) -> None:
        http, channel = self._http_session, self._channel_session
        if http is not _UNKNOWN and http is not None and http.modified:
            http.save()
        if self.is_on("websocket.disconnect") and not will_come_again:
            if channel is not None or self._offers_channel_session:
                self._forget(self.channel_session())
        elif channel is not None:
            self._keep(channel)

    def _keep(self, session: ChannelSession) -> None:
        """Save; the row of a socket that has ended in the meantime does not stay."""
        if session.modified:
            session.save()
        # While the mark is looked at it is away, but the row keeps others from creating it then.
        if session.created and how_it_ended(*self._socket) is not None:
            session.delete()

    def _forget(self, session: ChannelSession) -> None:
        """Delete, and leave word for workers that still have a message of the socket."""
        try:
            mark_ended(*self._socket, DISCONNECTED)
            for function in at_the_end:
                function(self.message, session)
        finally:
            if not session.is_new():
                session.delete()

    @property
    def _socket(self) -> tuple[Any, str]:
        """The layer and the reply channel, of a message that has one."""
        return self.message.channel_layer, self._reply_channel

    @property
    def _reply_channel(self) -> str:
        """Its name; raises ``ValueError`` for a message without one."""
        if self.message.reply_channel is None:
            raise ValueError(
                "channel_session needs a message with a reply_channel, which is what the "
                f"session belongs to; {self.message!r} has none"
            )
        name: str = self.message.reply_channel.name
        return name


#: Called with the last message of a socket and its session, before that is deleted.
at_the_end: list[Callable[[Message, ChannelSession], object]] = []


class ChannelSessions:
    """Whether any consumer of this process keeps channel sessions."""

    used = False


channel_sessions = ChannelSessions()


def session_scope(message: Message) -> SessionScope:
    """The scope of ``message``, to be entered by ``with``.

    Around several consumers of one message it has them share its sessions: they are saved, or
    deleted at a disconnect, when all are done.
    """
    scope: SessionScope | None = vars(message).get(_ATTRIBUTE)
    if scope is None:
        scope = SessionScope(message)
        setattr(message, _ATTRIBUTE, scope)
    return scope


def in_scope(
    func: Callable[P, R],
    prepare: Callable[[SessionScope], object],
    name: str,
    keeps: bool = True,
) -> Callable[P, R]:
    """The consumer ``func`` within the scope of its message, after ``prepare`` was called with it.

    ``name`` is what errors call the decorator, ``keeps`` whether it gives channel sessions. The
    message is the first or, for methods, the second positional argument.
    """
    if keeps:
        channel_sessions.used = True

    @functools.wraps(func)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with session_scope(message_of(args, name)) as scope:
            prepare(scope)
            return func(*args, **kwargs)

    return inner


def message_of(args: tuple[Any, ...], name: str) -> Message:
    """The message among the positional arguments of a consumer. Raises ``ValueError``."""
    for argument in args[:2]:
        if isinstance(argument, Message):
            return argument
    raise ValueError(
        f"{name} called without Message instance: the message has to be the first positional "
        "argument of the consumer, or the second one of a method"
    )


def _session_key(message: Message) -> str | None:
    """The key in the parameter ``session_key``, else in the session cookie."""
    content = message.content
    if "cookies" in content or "get" in content:
        parameter = (content.get("get") or {}).get("session_key")
        if isinstance(parameter, (list, tuple)):
            parameter = parameter[-1] if parameter else None
        cookies = content.get("cookies") or {}
        key: str | None = parameter or cookies.get(settings.SESSION_COOKIE_NAME)
        return key
    request = _request_of(message)
    return request.GET.get("session_key") or request.COOKIES.get(settings.SESSION_COOKIE_NAME)


def _request_of(message: Message) -> "AsgiRequest":
    """The part of a request in which clients send cookies and parameters."""
    # A process that only serves loads the app, and has no use for the handler.
    from channels.handler.request import AsgiRequest  # noqa: PLC0415

    found = {key: message.content[key] for key in _REQUEST_KEYS if key in message.content}
    try:
        return AsgiRequest(Message({**found, "method": "FAKE"}, None, None))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Cannot parse HTTP message {message!r}: {error}. http_session reads requests and "
            "websocket.connect messages, or any message with 'cookies' or 'get'"
        ) from error
