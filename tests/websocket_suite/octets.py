"""Strings of Python 2, which the cases work with: text that has one character for each octet."""

import binascii
from typing import Any

from autobahn.websocket.utf8validator import Utf8Validator as _Utf8Validator

__all__ = ["Utf8Validator", "b2a_hex", "octets"]


def octets(value: Any) -> Any:
    """The bytes that text stands for, also within lists and tuples; anything else as it is."""
    if isinstance(value, list | tuple):
        return [octets(item) for item in value]
    return value.encode("latin-1") if isinstance(value, str) else value


def b2a_hex(value: str | bytes) -> str:
    """What ``binascii.b2a_hex`` gave."""
    return binascii.b2a_hex(octets(value)).decode()


class Utf8Validator(_Utf8Validator):  # type: ignore[misc]  # the module has no types
    """Autobahn's validator, for such text."""

    def validate(self, value: str | bytes) -> Any:
        """See Autobahn."""
        return super().validate(octets(value))
