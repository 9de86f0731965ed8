"""How a message format is written down, and how a message is checked against it.

A :class:`Format` is an ordered table of :class:`Field`. The formats themselves are in the modules
of their protocols; nothing here knows any of them. No I/O, no Django.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from reprlib import Repr
from typing import Any, NamedTuple, TypeGuard

from channels.exceptions import InvalidMessage
from channels.names import is_channel_name

__all__ = [
    "REQUIRED",
    "Address",
    "Field",
    "Format",
    "Headers",
    "Message",
    "address",
    "boolean",
    "byte_string",
    "channel_name",
    "non_empty_text",
    "optional",
    "request_headers",
    "response_headers",
    "safe_headers",
    "text",
    "whole_number",
]

#: A message as it comes from a channel layer.
Message = Mapping[str, Any]

#: ``[name, value]`` pairs, both byte strings; a pair may be a list or a tuple.
Headers = list[Any]

#: ``[host, port]`` of one end of a connection.
Address = list[Any]

#: The default of a field that has none.
REQUIRED: Any = object()

# Characters of a header name (RFC 9110, 5.6.2) and what may never be part of a value (RFC 9110,
# 5.5).
_TOKENS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SPLITTING = re.compile(rb"[\x00\r\n]")
_UPPER = re.compile(rb"[A-Z]")

_shorten = Repr()
_shorten.maxstring = _shorten.maxother = 80


class Field(NamedTuple):
    """One key of a format."""

    name: str
    #: Whether a value is right.
    accepts: Callable[[Any], bool]
    #: What the value must be, to end the sentence "it must be ...".
    expected: str
    #: What a missing key means; ``REQUIRED`` where it may not be missing. Never a mutable object.
    default: Any = REQUIRED


class Format:
    """The format of one kind of message.

    ``title`` names it in errors; ``source`` is its place in the reference.
    """

    __slots__ = ("_names", "fields", "source", "title")

    def __init__(self, title: str, source: str, *fields: Field) -> None:
        self.title = title
        self.source = source
        self.fields = fields
        self._names = frozenset(field.name for field in fields)

    def check(self, message: Message, strict: bool = False) -> dict[str, Any]:
        """Return a new dict with the keys of the format, defaults filled in.

        Keys that the format does not know are left out, or, if ``strict``, refused. Raises
        ``InvalidMessage``.
        """
        if not isinstance(message, Mapping):
            raise InvalidMessage(f"{self.title}: a message must be a dict, not {_show(message)}")
        if strict and not self._names.issuperset(message):
            unknown = sorted(map(repr, set(message) - self._names))
            raise InvalidMessage(
                f"{self.title}: there is no key {', '.join(unknown)} in this format "
                f"({self.source}); remove it"
            )
        checked = {}
        for name, accepts, expected, default in self.fields:
            value = message.get(name, default)
            if value is REQUIRED:
                raise InvalidMessage(
                    f"{self.title}: the key {name!r} is missing; it must be {expected} "
                    f"({self.source})"
                )
            if value is not default and not accepts(value):
                raise self.error(name, value, expected)
            checked[name] = value
        return checked

    def error(self, name: str, value: object, expected: str) -> InvalidMessage:
        """The exception for a wrong value, to be raised by the caller."""
        return InvalidMessage(
            f"{self.title}: the key {name!r} is {_show(value)}; it must be {expected} "
            f"({self.source})"
        )


def _show(value: object) -> str:
    return f"{_shorten.repr(value)} ({type(value).__name__})"


def text(value: object) -> bool:
    """A unicode string."""
    return isinstance(value, str)


def non_empty_text(value: object) -> bool:
    """A unicode string that is not empty."""
    return isinstance(value, str) and value != ""


def byte_string(value: object) -> bool:
    """A byte string."""
    return isinstance(value, bytes)


def boolean(value: object) -> bool:
    """``True`` or ``False``, no other object that is true or false."""
    return value is True or value is False


def whole_number(low: int, high: int | None = None) -> Callable[[object], bool]:
    """An integer in a range with both ends; booleans are none."""

    def accepts(value: object) -> bool:
        if not isinstance(value, int) or value is True or value is False:
            return False
        return value >= low and (high is None or value <= high)

    return accepts


def channel_name(value: object) -> bool:
    """A name that may be sent to."""
    return is_channel_name(value)


def optional(accepts: Callable[[Any], bool]) -> Callable[[object], bool]:
    """The same or ``None``."""
    return lambda value: value is None or accepts(value)


def address(value: object) -> bool:
    """``[host, port]``, a unicode string and an integer."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def request_headers(value: object) -> bool:
    """Pairs of byte strings with lower-case names."""
    return _pairs(value) and not _UPPER.search(b"\n".join([pair[0] for pair in value]))


def response_headers(value: object) -> bool:
    """Pairs of byte strings that can be written as header lines and nothing else."""
    return _pairs(value) and safe_headers(value)


def safe_headers(pairs: Sequence[Sequence[bytes]]) -> bool:
    """Whether no header could split a response.

    Names are tokens, in any case; no value holds CR, LF or NUL, with which an application could be
    made to write further headers or a second response.
    """
    if not pairs:
        return True
    names = [name for name, _ in pairs]
    # Joined, because one search over all is cheaper than one for each; an empty name would hide.
    if not _TOKENS.fullmatch(b"-".join(names)) or b"" in names:
        return False
    return not _SPLITTING.search(b" ".join([value for _, value in pairs]))


def _pairs(value: object) -> TypeGuard[Sequence[Sequence[bytes]]]:
    if not isinstance(value, (list, tuple)):
        return False
    for pair in value:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            return False
        if not isinstance(pair[0], bytes) or not isinstance(pair[1], bytes):
            return False
    return True
