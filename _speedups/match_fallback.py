"""``match`` over the standard library's ``re``; ``match.pyi`` says what each class does."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Branch", "Index", "Leaf", "Node", "Opaque", "Table"]

Filter = tuple[str, Callable[[str], Any], bool]
Result = tuple[Any, dict[str, Any]]
Content = Mapping[str, Any]
Stripped = dict[str, str]


def _read(content: Content, stripped: Stripped, key: str) -> str | None:
    """The value of ``key`` as a str, cut where an include did so; None for no such value."""
    if key in stripped:
        return stripped[key]
    value = content[key] if key in content else None
    if isinstance(value, bytes):
        return bytes.decode(value, "utf-8", "surrogateescape")
    return str.__str__(value) if isinstance(value, str) else None  # no subclass: its plain text


def _apply(
    filters: Iterable[Filter], content: Content, stripped: Stripped
) -> tuple[Stripped, dict[str, Any]] | None:
    """What every filter left of its value, and the named groups; None where one does not match."""
    cut: Stripped = {}
    kwargs: dict[str, Any] = {}
    for key, match, captures in filters:
        value = _read(content, stripped, key)
        found = None if value is None else match(value)
        if value is None or found is None:
            return None
        if captures:
            kwargs.update(found.groupdict())
        cut[key] = value[found.end() :]
    return cut, kwargs


class Node:
    __slots__ = ()

    def resolve(self, content: Content, stripped: Stripped, message: Any) -> Result | None:
        raise NotImplementedError(f"{type(self).__name__} is no part of a table")


def _first(
    nodes: Iterable[Node], content: Content, stripped: Stripped, message: Any
) -> Result | None:
    """The first node's result that is not None."""
    for node in nodes:
        result = node.resolve(content, stripped, message)
        if result is not None:
            return result
    return None


class Leaf(Node):
    __slots__ = ("consumer", "filters")

    def __init__(self, filters: Sequence[Filter], consumer: Any) -> None:
        self.filters = tuple(filters)
        self.consumer = consumer

    def resolve(self, content: Content, stripped: Stripped, message: Any) -> Result | None:
        applied = _apply(self.filters, content, stripped)
        return None if applied is None else (self.consumer, applied[1])


class Branch(Node):
    __slots__ = ("children", "filters")

    def __init__(self, filters: Sequence[Filter], children: Sequence[Node]) -> None:
        self.filters = tuple(filters)
        self.children = tuple(children)

    def resolve(self, content: Content, stripped: Stripped, message: Any) -> Result | None:
        applied = _apply(self.filters, content, stripped)
        if applied is None:
            return None
        cut, kwargs = applied
        result = _first(self.children, content, stripped | cut, message)
        return None if result is None else (result[0], kwargs | result[1])


class Opaque(Node):
    __slots__ = ("match", "view")

    def __init__(self, match: Callable[[Any], Any], view: Callable[[Any, Stripped], Any]) -> None:
        self.match = match
        self.view = view

    def resolve(self, content: Content, stripped: Stripped, message: Any) -> Result | None:
        result = self.match(self.view(message, stripped) if stripped else message)
        if result is None:
            return None
        consumer, kwargs = result
        return consumer, dict(kwargs)


class Index(Node):
    __slots__ = ("backwards", "buckets", "key", "literals", "parents", "rest")

    def __init__(
        self,
        key: str,
        backwards: bool,
        literals: Sequence[str],
        parents: Sequence[int],
        buckets: Sequence[Sequence[Node]],
        rest: Sequence[Node],
    ) -> None:
        self.key = key
        self.backwards = backwards
        self.literals = list(literals)
        self.parents = list(parents)
        self.buckets = [tuple(bucket) for bucket in buckets]
        self.rest = tuple(rest)

    def resolve(self, content: Content, stripped: Stripped, message: Any) -> Result | None:
        return _first(self._candidates(content, stripped), content, stripped, message)

    def _candidates(self, content: Content, stripped: Stripped) -> tuple[Node, ...]:
        value = _read(content, stripped, self.key)
        if value is None:
            return self.rest
        if self.backwards:
            value = value.removesuffix("\n")[::-1]  # `$` also matches before a last newline
        # Whatever the value begins with is not after it, and begins the greatest literal that is
        # not after it.
        position = bisect_right(self.literals, value) - 1
        while position >= 0:
            if value.startswith(self.literals[position]):
                return self.buckets[position]
            position = self.parents[position]
        return self.rest


class Table:
    __slots__ = ("channels", "others")

    def __init__(self, channels: Mapping[str, Sequence[Node]], others: Sequence[Node]) -> None:
        self.channels = {name: tuple(nodes) for name, nodes in channels.items()}
        self.others = tuple(others)

    def match(self, channel: str, content: Content, message: Any) -> Result | None:
        return _first(self.channels.get(channel, self.others), content, {}, message)
