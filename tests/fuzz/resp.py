"""Redis commands of any arguments: both forms pack them alike, and hiredis reads them."""

from tests.implementations import find_implementations

__all__ = ["DICTIONARY", "SEEDS", "check"]

_FORMS = [found.imported_module for found in find_implementations("resp")]

#: What separates the arguments in an input.
_SEPARATOR = b"\0"

SEEDS = [b"PING", b"SET\0key\0value\r\n", b"X\0\0" + b"v" * 100, b"12\0-7\0\xc3\xa9"]

DICTIONARY = [b"\0", b"\r\n", b"$", b"*", b"\xc3\xa9"]


def check(data: bytes) -> None:
    """Raise where the two forms do not agree on the arguments in ``data``."""
    args = tuple(data.split(_SEPARATOR))
    mixed = tuple(_typed(arg) for arg in args)
    for command in (args, mixed):
        packed = {form.pack(command) for form in _FORMS}
        assert len(packed) == 1, (command, packed)
        reader = _FORMS[0].Reader()
        reader.feed(packed.pop())
        assert reader.gets() == list(args)
    assert len({form.bulk(args[0], args[-1]) for form in _FORMS}) == 1


def _typed(arg: bytes) -> bytes | str | int:
    """The argument as another type with the same bytes, where there is one."""
    if arg.isdigit() and len(arg) < 18 and str(int(arg)).encode() == arg:
        return int(arg)
    try:
        return arg.decode()
    except UnicodeDecodeError:
        return arg
