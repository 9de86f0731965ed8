"""The codec over the msgpack library: what messages may hold, their bytes, and their envelope.

This is the codec where nothing was compiled, and the compiled one hands over to it whatever it does
not take itself: every refusal, so that each error has one text, and the subclasses of containers,
whose iteration is Python code. The wire format is described in ``docs/wire-format.md``. No I/O, no
clock.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import msgpack  # type: ignore[import-untyped]  # the library carries no type information

from channels.exceptions import InvalidStoredMessage, MessageTooLarge

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_DEPTH",
    "MAX_SIZE",
    "MAX_TARGETS",
    "MAX_TARGET_LENGTH",
    "MAX_VALUES",
    "VERSION",
    "Envelope",
    "decode",
    "encode",
    "pack_envelope",
    "unpack_envelope",
]

#: The layout of envelope and body. It changes with the bytes; the golden files hold it to that.
VERSION = 1

#: Bytes of an encoded message, unless a layer sets its own limit. A message of 1 MiB measured as
#: JSON takes up to 2.3 MiB here (many short floats), and a body chunk of 1 MiB comes with its keys.
DEFAULT_LIMIT = 4 * 1024 * 1024

#: Bytes that are encoded or decoded at all, whatever limit a layer sets.
MAX_SIZE = 64 * 1024 * 1024

#: Containers in one another, the message included: within what ``copy`` and ``json`` can walk.
MAX_DEPTH = 128

#: List items, dict keys and dict values in one message, all counted: twice what 1 MiB of JSON can
#: hold. Without it 4 MiB of empty dicts would take 300 MiB of memory when decoded.
MAX_VALUES = 1024 * 1024

#: Sockets behind one envelope, at most, so that a reader's share of work stays bounded.
MAX_TARGETS = 2000

#: Characters of one target, the local part of a channel name: as long as a whole name may be.
MAX_TARGET_LENGTH = 200

_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)

#: Version, deadline, number of targets. The deadline's place is fixed: Redis scripts read it there.
_HEAD = struct.Struct(">BQH")


class Envelope(NamedTuple):
    """What travels around an encoded message.

    ``deadline_ms`` is the time in milliseconds since the Unix epoch after which nobody wants the
    message, ``targets`` are local parts of channel names (empty for a normal channel), ``body`` is
    what ``encode`` returned.
    """

    deadline_ms: int
    targets: tuple[str, ...]
    body: bytes


def encode(message: dict[str, Any], limit: int = DEFAULT_LIMIT) -> bytes:
    """Check ``message`` and return its bytes.

    Subclasses of the allowed types are encoded as those; tuples become lists. Raises ``TypeError``,
    with the path to the value, for anything that a message may not hold (ASGI spec, Channels and
    Messages), and ``MessageTooLarge`` when the result has more than ``limit`` bytes, or the message
    more than ``MAX_VALUES`` values.
    """
    if not isinstance(message, dict):
        raise TypeError(f"a message must be a dict, not {_type_name(message)}")
    limit = min(limit, MAX_SIZE)
    plain = _Copy(limit).value(message, None, 0)
    body: bytes = msgpack.packb(plain)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def decode(data: bytes) -> dict[str, Any]:
    """Return the message that ``encode`` made ``data`` of.

    Raises ``InvalidStoredMessage`` for bytes that are no message, and ``TypeError`` for what is not
    bytes-like.
    """
    return _Reader(data).message()


def pack_envelope(body: bytes, deadline_ms: int, targets: Sequence[str] = ()) -> bytes:
    """Put an encoded message into its envelope.

    ``deadline_ms`` counts milliseconds since the Unix epoch; of ``targets``, local parts of channel
    names, there are at most ``MAX_TARGETS`` of ``MAX_TARGET_LENGTH`` ASCII characters. Raises
    ``ValueError`` for what is out of these bounds, ``TypeError`` for other types.
    """
    if not isinstance(body, bytes):
        raise TypeError(f"the body of an envelope must be bytes, not {_type_name(body)}")
    if not isinstance(deadline_ms, int):
        raise TypeError(f"a deadline is an int of milliseconds, not {_type_name(deadline_ms)}")
    deadline_ms = int.__pos__(deadline_ms)  # a range asks a subclass to compare with each number
    if deadline_ms not in _UINT64:
        raise ValueError(f"a deadline of {deadline_ms} ms does not fit 64 unsigned bits")
    if isinstance(targets, (str, bytes)):
        raise TypeError(f"targets must be a list or tuple of str, not {_type_name(targets)}")
    if len(targets) > MAX_TARGETS:
        raise ValueError(f"{len(targets)} targets in one envelope; send at most {MAX_TARGETS}")
    head = _HEAD.pack(VERSION, deadline_ms, len(targets))
    return b"".join((head, *map(_pack_target, targets), body))


def unpack_envelope(data: bytes) -> Envelope:
    """Take an envelope apart; the body is not looked at.

    Raises ``InvalidStoredMessage`` when ``data`` is no envelope of this version, and ``TypeError``
    for what is not bytes-like.
    """
    data = _as_bytes(data)
    if data and data[0] != VERSION:
        raise InvalidStoredMessage(
            f"an envelope of version {data[0]} was read; this program reads version {VERSION} only"
        )
    if len(data) < _HEAD.size:
        raise InvalidStoredMessage(f"an envelope of {len(data)} bytes ends within its head")
    _, deadline_ms, count = _HEAD.unpack_from(data)
    if count > MAX_TARGETS:
        raise InvalidStoredMessage(
            f"an envelope announces {count} targets, which is more than {MAX_TARGETS}"
        )
    targets = []
    position = _HEAD.size
    for _ in range(count):
        target, position = _unpack_target(data, position)
        targets.append(target)
    return Envelope(deadline_ms, tuple(targets), data[position:])


def _pack_target(target: str) -> bytes:
    if not isinstance(target, str):
        raise TypeError(f"a target must be a str, not {_type_name(target)}")
    if len(target) > MAX_TARGET_LENGTH or not target.isascii():
        raise ValueError(
            f"target {target!r:.60} must be of at most {MAX_TARGET_LENGTH} ASCII characters"
        )
    return b"%c%b" % (len(target), target.encode("ascii"))


def _unpack_target(data: bytes, position: int) -> tuple[str, int]:
    """The target at ``position`` and the position after it."""
    length = data[position] if position < len(data) else 0
    end = position + 1 + length
    if end > len(data):
        raise InvalidStoredMessage(f"an envelope ends within the target at byte {position}")
    raw = data[position + 1 : end]
    if length > MAX_TARGET_LENGTH or not raw.isascii():
        raise InvalidStoredMessage(
            f"the target at byte {position} is not of at most {MAX_TARGET_LENGTH} ASCII characters"
        )
    return raw.decode("ascii"), end


def _as_bytes(data: bytes) -> bytes:
    """``data`` itself, or a copy of another object's buffer; ``TypeError`` where it has none."""
    return data if type(data) is bytes else memoryview(data).tobytes()


def _type_name(value: object) -> str:
    return type(value).__name__


def _too_large(limit: int) -> MessageTooLarge:
    return MessageTooLarge(
        f"the encoded message has more than {limit} bytes; send its content in several messages"
    )


# -------------------------------------------------------------------------------------------------
# Encoding: first a checked copy of plain types, so that no other thread and no subclass can change
# what is packed.

#: Where a value stands: its container's path and the key or index in it; None for the message.
_Path = tuple[Any, str | int] | None

#: Steps of a path that an error shows, at most: a depth of 128 needs no line of its own for each.
_SHOWN_STEPS = 12


class _Copy:
    """One message on its way to plain types, with what it has taken so far."""

    __slots__ = ("limit", "size", "values")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.values = 0

    def value(self, value: Any, path: _Path, depth: int) -> Any:
        """A plain copy of ``value``, which stands inside of ``depth`` containers."""
        copier = _COPIERS.get(type(value)) or _copier_of_subclass(value, path)
        return copier(self, value, path, depth)

    def constant(self, value: Any, path: _Path, depth: int) -> Any:
        return value

    def text(self, value: str, path: _Path, depth: int) -> str:
        plain = str.__str__(value)
        try:
            self._take(len(plain) if plain.isascii() else len(plain.encode()))
        except UnicodeEncodeError:
            raise TypeError(
                f"{_path_text(path)} holds a lone surrogate, which is no text"
            ) from None
        return plain

    def data(self, value: bytes, path: _Path, depth: int) -> bytes:
        plain = _as_bytes(value)
        self._take(len(plain))
        return plain

    def integer(self, value: int, path: _Path, depth: int) -> int:
        plain = int.__pos__(value)
        if plain not in _INT64:
            raise TypeError(f"{_path_text(path)} is an int outside of the signed 64-bit range")
        return plain

    def double(self, value: float, path: _Path, depth: int) -> float:
        return float.__pos__(value)

    def sequence(self, value: Sequence[Any], path: _Path, depth: int) -> list[Any]:
        items = list(value)
        self._enter(len(items), path, depth)
        return [self.value(item, (path, index), depth + 1) for index, item in enumerate(items)]

    def mapping(self, value: dict[str, Any], path: _Path, depth: int) -> dict[str, Any]:
        items = tuple(value.items())
        self._enter(2 * len(items), path, depth)
        plain = {}
        for key, item in items:
            plain[self._key(key, path, depth)] = self.value(item, (path, key), depth + 1)
        return plain

    def _key(self, key: Any, path: _Path, depth: int) -> str:
        if not isinstance(key, str):
            raise TypeError(
                f"{_path_text(path)} has the key {key!r:.60} of type {_type_name(key)}; "
                "keys must be str"
            )
        return self.text(key, (path, key), depth)

    def _enter(self, count: int, path: _Path, depth: int) -> None:
        """Account for a container of ``count`` values, before they are looked at."""
        if depth >= MAX_DEPTH:
            raise TypeError(f"{_path_text(path)} is nested deeper than {MAX_DEPTH} levels")
        self.values += count
        if self.values > MAX_VALUES:
            raise MessageTooLarge(
                f"the message has more than {MAX_VALUES} values; "
                "send its content in several messages"
            )

    def _take(self, size: int) -> None:
        """Account for ``size`` bytes of text or data, before the library would copy them."""
        self.size += size
        if self.size > self.limit:
            raise _too_large(self.limit)


_Copier = Callable[[_Copy, Any, _Path, int], Any]

_COPIERS: dict[type, _Copier] = {
    str: _Copy.text,
    bytes: _Copy.data,
    int: _Copy.integer,
    float: _Copy.double,
    list: _Copy.sequence,
    tuple: _Copy.sequence,
    dict: _Copy.mapping,
    bool: _Copy.constant,
    type(None): _Copy.constant,
}


def _copier_of_subclass(value: object, path: _Path) -> _Copier:
    for kind, copier in _COPIERS.items():
        if isinstance(value, kind):
            return copier
    raise TypeError(
        f"{_path_text(path)} is of type {_type_name(value)}; "
        "convert it to one of dict, list, tuple, str, bytes, int, float, bool and None"
    )


def _path_text(path: _Path) -> str:
    """The path as it would be written in Python: ``message['a'][3]``."""
    steps = []
    while path is not None:
        path, step = path
        steps.append(f"[{step!r:.60}]")
    steps.reverse()
    if len(steps) > _SHOWN_STEPS:
        steps[_SHOWN_STEPS // 2 : -_SHOWN_STEPS // 2] = ["[...]"]
    return "message" + "".join(steps)


# -------------------------------------------------------------------------------------------------
# Decoding: token by token, so that nothing is allocated on the word of a header.

_ARRAY_TAGS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
_MAP_TAGS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
_TEXT_TAGS = frozenset([*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB])
_UINT64_TAG = 0xCF
#: The unused tag and the extension types.
_FOREIGN_TAGS = frozenset([0xC1, 0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8])


class _Reader:
    """A cursor over the bytes of one message."""

    __slots__ = ("data", "source", "values")

    def __init__(self, data: bytes) -> None:
        self.data = _as_bytes(data)
        self.values = 0
        if len(self.data) > MAX_SIZE:
            self._refuse(f"they go on after {MAX_SIZE} bytes", MAX_SIZE)
        if not self.data:
            self._refuse("they end before the map", 0)
        # The buffer's size caps every announced length, and saves the library's default of 1 MiB.
        self.source = msgpack.Unpacker(
            raw=False, strict_map_key=False, max_buffer_size=len(self.data)
        )
        self.source.feed(self.data)

    def message(self) -> dict[str, Any]:
        """The whole of it, which must be one dict and nothing after."""
        if self.data[0] not in _MAP_TAGS:
            self._refuse("something other than a map begins", 0)
        message: dict[str, Any] = self._value(0)
        if self.source.tell() != len(self.data):
            self._refuse("more follows after the end", self.source.tell())
        return message

    def _value(self, depth: int) -> Any:
        start = self.source.tell()
        tag = self._tag(start)
        if tag in _MAP_TAGS:
            return self._map(start, depth)
        if tag in _ARRAY_TAGS:
            count = self._enter(self.source.read_array_header, 1, start, depth)
            return [self._value(depth + 1) for _ in range(count)]
        if tag in _FOREIGN_TAGS:
            self._refuse(f"a value has the type 0x{tag:02x}, which messages do not use", start)
        value = self._scalar(start)
        if tag == _UINT64_TAG and value not in _INT64:
            self._refuse("an integer is outside of the signed 64-bit range", start)
        return value

    def _map(self, start: int, depth: int) -> dict[str, Any]:
        count = self._enter(self.source.read_map_header, 2, start, depth)
        plain = {}
        for _ in range(count):
            position = self.source.tell()
            if self._tag(position) not in _TEXT_TAGS:
                self._refuse("a key is no string", position)
            key = self._scalar(position)
            plain[key] = self._value(depth + 1)
        if len(plain) != count:
            self._refuse("a map repeats a key", start)
        return plain

    def _enter(self, header: Callable[[], int], width: int, start: int, depth: int) -> int:
        """The number of entries of the container at ``start``, each of ``width`` values."""
        if depth >= MAX_DEPTH:
            self._refuse(f"a container is nested deeper than {MAX_DEPTH} levels", start)
        try:
            count = header()
        except msgpack.OutOfData:
            self._refuse("a value is cut off", start)
        except ValueError:  # the library without its extension compares with the buffer's size
            count = len(self.data)
        if count * width > len(self.data) - self.source.tell():
            self._refuse("a container announces more values than bytes follow", start)
        self.values += count * width
        if self.values > MAX_VALUES:
            self._refuse(f"a container takes the message over {MAX_VALUES} values", start)
        return count

    def _tag(self, position: int) -> int:
        if position >= len(self.data):
            self._refuse("they end before a value", position)
        return self.data[position]

    def _scalar(self, start: int) -> Any:
        try:
            return self.source.unpack()
        except UnicodeDecodeError:
            self._refuse("a string is not UTF-8", start)
        except (
            ValueError,
            msgpack.OutOfData,
        ):  # an announced length over the buffer's size, or over what is left
            self._refuse("a value is cut off", start)

    def _refuse(self, reason: str, position: int) -> NoReturn:
        raise InvalidStoredMessage(
            f"the stored bytes are no message: at byte {position}, {reason}; "
            "they are damaged, or another program or version wrote them"
        ) from None
