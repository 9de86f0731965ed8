"""Origin checks: which pages may open a WebSocket (Channels documentation, Security).

Browsers let any page connect to any server, and send the cookies of the server along. So a server
that knows users by cookies has to look at the ``Origin`` header, which says whose page it was.
"""

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port, validate_host
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from channels.exceptions import DenyConnection
from channels.message import Message
from channels.sessions.scope import message_of

__all__ = [
    "AllowedHostsOnlyOriginValidator",
    "BaseOriginValidator",
    "allowed_hosts_only",
    "check_origin",
    "default_validator",
    "trusted_origins",
]

logger = logging.getLogger("django.channels")

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")

#: An origin as browsers write it: scheme, host and port, nothing else (RFC 6454, 6.2).
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\\\s]+)", re.ASCII | re.IGNORECASE)

#: Scheme, host and port.
_Origin = tuple[str, str, int | None]

#: The ports that browsers leave out.
_DEFAULT_PORTS = {"http": 80, "https": 443}

#: What ALLOWED_HOSTS stands for where it is empty and DEBUG is on, as in Django.
_DEBUG_HOSTS = [".localhost", "127.0.0.1", "[::1]"]


class BaseOriginValidator(Generic[P, R]):
    """A decorator of ``websocket.connect`` consumers that refuses connections by their origin.

    Subclasses write ``validate_origin``. What it refuses raises ``DenyConnection``, by which the
    worker rejects the handshake. Works on functions and on methods.
    """

    def __init__(self, func: Callable[P, R]) -> None:
        self.func = func
        functools.update_wrapper(self, func)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        self.check(message_of(args, type(self).__name__))
        return self.func(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: "BaseOriginValidator[Concatenate[T, Q], R]", instance: T, owner: type | None = None
    ) -> Callable[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def check(self, message: Message) -> None:
        """Raise ``DenyConnection`` where the origin is not a valid one, and log it."""
        origin = self.get_origin(message)
        if self.validate_origin(message, origin):
            return
        logger.warning(
            "Refused a WebSocket on path %r: its Origin %r is not one that %s takes.",
            message.get("path"),
            origin,
            type(self).__qualname__,
        )
        raise DenyConnection(f"origin {origin!r} refused")

    def get_header(self, message: Message, name: bytes) -> bytes:
        """The value of a header, given in lower case.

        Raises ``KeyError`` where there is none, and where it was sent more than once.
        """
        headers = message.get("headers") or ()
        pairs = headers.items() if isinstance(headers, dict) else headers
        wanted = (name, name.decode("latin-1"))
        found = [value for key, value in pairs if key in wanted]
        if len(found) != 1:
            raise KeyError(f"{len(found)} headers are named {name!r}")
        value = found[0]
        return value if isinstance(value, bytes) else str(value).encode()

    def get_origin(self, message: Message) -> str | None:
        """The origin, None where it is missing, was sent twice or is not ASCII."""
        try:
            return self.get_header(message, b"origin").decode("ascii")
        except (KeyError, UnicodeDecodeError):
            return None

    def validate_origin(self, message: Message, origin: str | None) -> bool:
        """Whether a message from there is accepted."""
        raise NotImplementedError(f"{type(self).__name__} does not define validate_origin")


class AllowedHostsOnlyOriginValidator(BaseOriginValidator[P, R]):
    """Accepts pages of the hosts in ``ALLOWED_HOSTS``, which are compared as Django does it.

    Where the setting ``CHANNELS_TRUSTED_ORIGINS`` is given, a list such as
    ``["https://example.com", "https://*.example.com:8443"]``, scheme, host and port must be those
    of one of them as well. A missing or malformed origin is refused, and ``null``.
    """

    def validate_origin(self, message: Message, origin: str | None) -> bool:
        """Whether ``origin`` is one of the project's."""
        parsed = _parse(origin or "")
        if parsed is None:
            return False
        hosts = settings.ALLOWED_HOSTS
        if settings.DEBUG and not hosts:
            hosts = _DEBUG_HOSTS
        if not validate_host(parsed[1], hosts):
            return False
        trusted = trusted_origins()
        return trusted is None or any(_matches(parsed, *each) for each in trusted)


#: The name that the documentation uses.
allowed_hosts_only = AllowedHostsOnlyOriginValidator


def check_origin(message: Message) -> None:
    """What the setting ``CHANNELS_ORIGIN_CHECK`` asks for, on any ``websocket.connect`` message.

    True stands for ``allowed_hosts_only``; a dotted path names another ``BaseOriginValidator``.
    Raises ``DenyConnection``, and ``ImproperlyConfigured`` for any other value.
    """
    validator = default_validator()
    if validator is not None:
        validator.check(message)


def default_validator() -> BaseOriginValidator[..., None] | None:
    """What ``CHANNELS_ORIGIN_CHECK`` stands for, None where it is off.

    Raises ``ImproperlyConfigured`` for a value that stands for nothing.
    """
    setting = getattr(settings, "CHANNELS_ORIGIN_CHECK", False)
    if setting is False or setting is None:
        return None
    if setting is True:
        return _ALLOWED_HOSTS_ONLY
    if isinstance(setting, str):
        return _imported(setting)
    raise _no_validator(setting)


@functools.lru_cache(maxsize=8)
def _imported(path: str) -> BaseOriginValidator[..., None]:
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"CHANNELS_ORIGIN_CHECK cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseOriginValidator)):
        raise _no_validator(path)
    return found(_accept)


def _no_validator(setting: object) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        "CHANNELS_ORIGIN_CHECK must be True, False or the dotted path of a subclass of "
        f"BaseOriginValidator, not {setting!r}"
    )


def _accept(*args: Any, **kwargs: Any) -> None:
    """Stands for the consumer, which is run by others."""


_ALLOWED_HOSTS_ONLY = AllowedHostsOnlyOriginValidator(_accept)


def _parse(origin: str) -> _Origin | None:
    """Scheme, host and port of an origin; None for what is none. Hosts in lower case."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme = match[1].lower()
    host, port = split_domain_port(match[2])
    if not host or (port and int(port) > 65535):
        return None
    return scheme, host, int(port) if port else _DEFAULT_PORTS.get(scheme)


def trusted_origins() -> list[tuple[_Origin, bool]] | None:
    """The origins in ``CHANNELS_TRUSTED_ORIGINS``, and whether each stands for all hosts below its
    own; None where the setting is not given.

    Raises ``ImproperlyConfigured`` for anything but a list of origins.
    """
    setting = getattr(settings, "CHANNELS_TRUSTED_ORIGINS", None)
    if setting is None:
        return None
    if not isinstance(setting, list | tuple | set | frozenset):
        raise ImproperlyConfigured(
            f"CHANNELS_TRUSTED_ORIGINS must be a list of origins, not {setting!r}; write "
            "['https://example.com']"
        )
    return [_trusted(each) for each in setting]


def _trusted(origin: object) -> tuple[_Origin, bool]:
    parsed = _parse(origin.replace("://*.", "://", 1)) if isinstance(origin, str) else None
    if parsed is None:
        raise ImproperlyConfigured(
            f"{origin!r} in CHANNELS_TRUSTED_ORIGINS is no origin; write scheme and host, and the "
            "port where it is not the usual one: 'https://example.com'"
        )
    return parsed, "://*." in str(origin)


def _matches(origin: _Origin, trusted: _Origin, has_wildcard: bool) -> bool:
    """Whether an origin is the trusted one, or below it."""
    scheme, host, port = trusted
    if (origin[0], origin[2]) != (scheme, port):
        return False
    if has_wildcard:
        return origin[1] != host and is_same_domain(origin[1], f".{host}")
    return origin[1] == host
