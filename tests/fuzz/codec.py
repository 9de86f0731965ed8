"""The codec under any bytes: compiled and fallback give the same value, or the same refusal.

What is read can be written again, and is then the same.
"""

from collections.abc import Callable
from typing import Any

from channels.exceptions import InvalidStoredMessage
from tests.codec.damaged import REFUSED, head
from tests.implementations import find_implementations

__all__ = ["DICTIONARY", "SEEDS", "check"]

_FORMS = [found.imported_module for found in find_implementations("codec")]

_MESSAGES: list[dict[str, Any]] = [
    {},
    {"text": "é" * 40, "bytes": b"\0\xff", "n": None, "t": True, "f": False},
    {"a": [1, -1, 127, 128, -33, 2**31, -(2**63), 2**63 - 1, 1.5, [{"b": {}}]]},
    {f"key{number}": number for number in range(17)},
]

SEEDS = [
    *[data for data, _ in REFUSED.values()],
    *[_FORMS[0].encode(message) for message in _MESSAGES],
    _FORMS[0].pack_envelope(b"\x80", 5, ["a", "b" * 30]),
    head(0) + b"\x80",
    head(1) + b"\x03abc\x81\xa1a\x01",
]

DICTIONARY = [
    b"\x81\xa1a", b"\xc0", b"\xc4\x01x", b"\xcb", b"\xcf", b"\xd9\x20", b"\xde\0\1", b"\xdc\0\1",
]  # fmt: skip


def check(data: bytes) -> None:
    """Raise where the two forms do not agree on ``data``."""
    value = _alike("decode", data)
    _alike("unpack_envelope", data)
    if isinstance(value, dict):
        encoded = {form.encode(value) for form in _FORMS}
        assert len(encoded) == 1
        assert repr(_FORMS[0].decode(encoded.pop())) == repr(value)


def _alike(function: str, data: bytes) -> object:
    """What both forms make of ``data``; the text of the error where both refuse it."""
    first, *others = [_outcome(getattr(form, function), data) for form in _FORMS]
    for other in others:
        assert repr(first) == repr(other), (function, first, other)
    return first


def _outcome(function: Callable[[bytes], object], data: bytes) -> object:
    try:
        return function(data)
    except InvalidStoredMessage as error:
        return str(error)
