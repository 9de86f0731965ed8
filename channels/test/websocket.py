"""``WSClient``: a WebSocket in a test, with cookies, headers, a session and perhaps a user."""

import json as json_module
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import authenticate, load_backend, login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from channels import DEFAULT_CHANNEL_LAYER
from channels.test.client import Client
from channels.test.messages import shortened

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

__all__ = ["WSClient"]

_CONNECT = "websocket.connect"


class WSClient(Client):
    """A client for WebSocket consumers on the layer ``alias``.

    What it sends has the keys of the WebSocket messages. With ``ordered`` it counts them in
    ``order``, from 0, as a socket does.
    """

    def __init__(self, ordered: bool = False, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        super().__init__(alias)
        #: The number of the next message, where they are counted.
        self.order = 0
        self._ordered = ordered
        self._cookies: dict[str, str] = {}
        self._headers: dict[str, str | bytes] = {}
        self._session: Any = None
        self._channel_session: Any = None
        self._kept: list[dict[str, Any]] = []

    # Cookies, headers and the session

    def set_cookie(self, key: str, value: str) -> None:
        """Send a cookie from now on."""
        self._cookies[key] = value
        self._forget_sessions()

    def set_header(self, key: str, value: str | bytes) -> None:
        """Send a header from now on.

        Raises ``ValueError`` for cookies, which ``set_cookie`` is for.
        """
        if key.lower() == "cookie":
            raise ValueError("set_header() sets no cookies; use set_cookie(name, value)")
        self._headers[key] = value

    def get_cookies(self) -> dict[str, str]:
        """The cookies that are sent: those that were set, and that of the session."""
        if self._session is not None and self._session.session_key:
            self._cookies[settings.SESSION_COOKIE_NAME] = self._session.session_key
        return dict(self._cookies)

    @property
    def headers(self) -> dict[str, str | bytes]:
        """The headers that are sent; the cookies among them are bytes."""
        cookies = "; ".join(
            f"{name}={SimpleCookie().value_encode(value)[1]}"
            for name, value in self.get_cookies().items()
        )
        return self._headers | ({"cookie": cookies.encode()} if cookies else {})

    @property
    def session(self) -> Any:
        """The session of the browser, ``message.http_session`` of consumers.

        It is created when it is first asked for, or by a login. What a test changes in it is to be
        saved; after each consumer it is read anew. Raises ``ImproperlyConfigured`` without the app
        ``django.contrib.sessions``.
        """
        _require_sessions("session")
        if self._session is None:
            self._session = _store()(self._cookies.get(settings.SESSION_COOKIE_NAME))
            if self._session.session_key is None:
                self._session.save()
        return self._session

    @property
    def channel_session(self) -> Any:
        """The session of the socket, ``message.channel_session`` of consumers; as ``session``."""
        _require_sessions("channel_session")
        if self._channel_session is None:
            # Named by its path: a project without sessions never loads it.
            make = import_string("channels.sessions.session_for_reply_channel")
            self._channel_session = make(self.reply_channel)
        return self._channel_session

    def _forget_sessions(self) -> None:
        """Read them anew when they are next asked for."""
        self.get_cookies()  # a session whose key follows what is in it has a new one
        self._session = self._channel_session = None

    # Users

    def login(self, **credentials: Any) -> bool:
        """Log a user in as a view does; whether the credentials were right."""
        user = authenticate(**credentials)
        if user is None:
            return False
        self._login(user)
        return True

    def force_login(self, user: "AbstractBaseUser", backend: str | None = None) -> None:
        """Log ``user`` in without credentials.

        ``backend`` is a dotted path, by default the first configured one that knows users.
        """
        self._login(user, backend or _first_backend())

    def _login(self, user: Any, backend: str | None = None) -> None:
        _require_sessions("login")
        request = HttpRequest()
        request.session = _store()(self.get_cookies().get(settings.SESSION_COOKIE_NAME))
        login(request, user, backend)
        request.session.save()
        self._session = request.session

    # Messages

    def send(
        self,
        to: str,
        content: Mapping[str, Any] = {},  # noqa: B006  (only read)
        text: Any = None,
        path: str = "/",
    ) -> None:
        """Send a message to the channel ``to``.

        ``text`` is a str, or something that is sent as JSON. ``path`` may have a query string,
        which only ``websocket.connect`` gets. ``content`` has further keys, which go before.
        Raises ``ValueError`` for an ``order`` where the client counts itself.
        """
        self.channel_layer.send(to, self._content(to, content, text, path))

    def receive(self, json: bool = True) -> Any:
        """The next reply: its text read as JSON, or as it is without ``json``.

        A reply without text comes as the whole content. None where there is no reply. Raises
        ``ValueError`` for a text that is no JSON.
        """
        content = self._next_reply()
        if content is None or "text" not in content:
            return content
        text = content["text"]
        return _parsed(text) if json and isinstance(text, str) else text

    def send_and_consume(  # type: ignore[override]  # documented so
        self,
        channel: str,
        content: Mapping[str, Any] = {},  # noqa: B006  (only read)
        text: Any = None,
        path: str = "/",
        fail_on_none: bool = True,
        check_accept: bool = True,
    ) -> Any:
        """``send`` to ``channel``, then ``consume`` from it."""
        self.send(channel, content, text, path)
        return self.consume(channel, fail_on_none, check_accept)

    def consume(self, channel: str, fail_on_none: bool = True, check_accept: bool = True) -> Any:
        """As ``Client.consume``.

        With ``check_accept`` the consumer of ``websocket.connect`` has to accept the socket, else
        ``AssertionError`` is raised; its reply is then read already, but for a frame that came with
        it.
        """
        try:
            result = super().consume(channel, fail_on_none)
        finally:
            self._forget_sessions()
        if channel == _CONNECT and check_accept:
            self._check_accepted()
        return result

    def _next_reply(self) -> dict[str, Any] | None:
        reply: dict[str, Any] | None = self._kept.pop() if self._kept else super().receive()
        return reply

    def _check_accepted(self) -> None:
        reply = self._next_reply()
        if reply is None or not _accepts(reply):
            sent = "sent nothing" if reply is None else f"sent {shortened(reply)}"
            raise AssertionError(
                f"Expected the consumer of {_CONNECT!r} to accept the socket, by "
                f"{{'accept': True}}, but it {sent}. Where it is to refuse, call with "
                "check_accept=False."
            )
        rest = {key: value for key, value in reply.items() if key != "accept"}
        if rest:
            self._kept.append(rest)

    def _content(self, to: str, given: Mapping[str, Any], text: Any, path: str) -> dict[str, Any]:
        content = self._with_reply_channel(given)
        path, _, query = path.partition("?")
        content.setdefault("path", path)
        if to == _CONNECT:
            content.setdefault("query_string", query.encode())
        content.setdefault("headers", self._header_pairs())
        if self._ordered:
            self._count(content)
        text = content.get("text") if text is None else text
        if text is not None:
            content["text"] = text if isinstance(text, str) else json_module.dumps(text)
        return content

    def _header_pairs(self) -> list[list[bytes]]:
        """The headers as messages have them: names in lower case, all in bytes."""
        return [
            [name.lower().encode(), value.encode() if isinstance(value, str) else value]
            for name, value in self.headers.items()
        ]

    def _count(self, content: dict[str, Any]) -> None:
        if "order" in content:
            raise ValueError(
                f"the client counts the messages itself; leave out 'order' ({content['order']!r}), "
                "or make it without ordered=True"
            )
        content["order"] = self.order
        self.order += 1


def _require_sessions(user: str) -> None:
    if not apps.is_installed("django.contrib.sessions"):
        raise ImproperlyConfigured(
            f"WSClient.{user} needs 'django.contrib.sessions'; add it to INSTALLED_APPS"
        )


def _store() -> Any:
    """The class of the sessions of browsers."""
    return import_string(f"{settings.SESSION_ENGINE}.SessionStore")


def _first_backend() -> str:
    paths = settings.AUTHENTICATION_BACKENDS
    return next(path for path in paths if hasattr(load_backend(path), "get_user"))


def _accepts(reply: dict[str, Any]) -> bool:
    """Whether a socket that is being opened takes ``reply`` as a yes."""
    if reply.get("accept") is not None:
        return bool(reply["accept"])
    return bool(reply.get("text") or reply.get("bytes"))


def _parsed(text: str) -> Any:
    try:
        return json_module.loads(text)
    except ValueError as error:
        raise ValueError(
            f"the reply {shortened(text)} is no JSON ({error}); read it with receive(json=False)"
        ) from error
