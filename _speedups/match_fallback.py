"""``match`` over the standard library's ``re``; ``match.pyi`` says what each class does."""

from bisect import bisect_right

__all__ = ["Branch", "Index", "Leaf", "Node", "Opaque", "Table"]


def _read(content, stripped, key):
    """The value of ``key`` as a str, cut where an include did so; None where no filter can match."""
    if key in stripped:
        return stripped[key]
    value = content[key] if key in content else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else None


def _first(nodes, content, stripped, message):
    """The first node's result that is not None."""
    for node in nodes:
        result = node.resolve(content, stripped, message)
        if result is not None:
            return result
    return None


def _apply(filters, content, stripped):
    """What every filter found, by key, and their named groups; None where one does not match."""
    cut, kwargs = {}, {}
    for key, match, captures in filters:
        value = _read(content, stripped, key)
        found = None if value is None else match(value)
        if found is None:
            return None
        if captures:
            kwargs.update(found.groupdict())
        cut[key] = value[found.end() :]
    return cut, kwargs


class Node:
    __slots__ = ()

    def resolve(self, content, stripped, message):
        raise NotImplementedError


class Leaf(Node):
    __slots__ = ("consumer", "filters")

    def __init__(self, filters, consumer):
        self.filters = tuple(filters)
        self.consumer = consumer

    def resolve(self, content, stripped, message):
        applied = _apply(self.filters, content, stripped)
        return None if applied is None else (self.consumer, applied[1])


class Branch(Node):
    __slots__ = ("children", "filters")

    def __init__(self, filters, children):
        self.filters = tuple(filters)
        self.children = tuple(children)

    def resolve(self, content, stripped, message):
        applied = _apply(self.filters, content, stripped)
        if applied is None:
            return None
        cut, kwargs = applied
        result = _first(self.children, content, stripped | cut, message)
        return None if result is None else (result[0], kwargs | result[1])


class Opaque(Node):
    __slots__ = ("match", "view")

    def __init__(self, match, view):
        self.match = match
        self.view = view

    def resolve(self, content, stripped, message):
        result = self.match(self.view(message, stripped) if stripped else message)
        if result is None:
            return None
        consumer, kwargs = result
        return consumer, dict(kwargs)


class Index(Node):
    __slots__ = ("backwards", "buckets", "key", "literals", "parents", "rest")

    def __init__(self, key, backwards, literals, parents, buckets, rest):
        self.key = key
        self.backwards = backwards
        self.literals = list(literals)
        self.parents = list(parents)
        self.buckets = [tuple(bucket) for bucket in buckets]
        self.rest = tuple(rest)

    def resolve(self, content, stripped, message):
        return _first(self._candidates(content, stripped), content, stripped, message)

    def _candidates(self, content, stripped):
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

    def __init__(self, channels, others):
        self.channels = {name: tuple(nodes) for name, nodes in channels.items()}
        self.others = tuple(others)

    def match(self, channel, content, message):
        return _first(self.channels.get(channel, self.others), content, {}, message)
