"""Finds the first route that matches a message, in a tree that ``channels.matching`` builds.

A filter is a triple: the key of the message, ``re.Pattern.match`` or what behaves like it, and
whether the pattern has named groups. A value is a str, or bytes read as UTF-8 with surrogates for
what is none; any other value and a missing key match no filter.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Filter = tuple[str, Callable[[str], Any], bool]
Result = tuple[Any, dict[str, Any]]

class Node:
    """A part of the tree."""

class Leaf(Node):
    """A route: ``consumer`` where every filter matches."""

    def __init__(self, filters: Sequence[Filter], consumer: Any) -> None: ...

class Branch(Node):
    """An include: cuts off what its filters match, then asks its children in order."""

    def __init__(self, filters: Sequence[Filter], children: Sequence[Node]) -> None: ...

class Opaque(Node):
    """A routing object of the application's: ``match(message)`` decides.

    Inside an include the message is ``view(message, stripped)``, where ``stripped`` holds the
    values that were cut.
    """

    def __init__(
        self, match: Callable[[Any], Any], view: Callable[[Any, dict[str, str]], Any]
    ) -> None: ...

class Index(Node):
    """Nodes by the literal text with which the value of ``key`` must begin, or end where it is
    ``backwards``.

    ``literals`` are sorted, and reversed where it is ``backwards``. ``parents`` has for each of
    them the position of the longest other one that it begins with, -1 for none; ``buckets`` the
    nodes, in their order, that can match a value which begins with it and with no longer one;
    ``rest`` those that can match any other value.
    """

    def __init__(
        self,
        key: str,
        backwards: bool,
        literals: Sequence[str],
        parents: Sequence[int],
        buckets: Sequence[Sequence[Node]],
        rest: Sequence[Node],
    ) -> None: ...

class Table:
    """The nodes for each channel, and for ``others`` that none of them names."""

    def __init__(self, channels: Mapping[str, Sequence[Node]], others: Sequence[Node]) -> None: ...
    def match(self, channel: str, content: Mapping[str, Any], message: Any) -> Result | None:
        """The consumer of the first match and its keyword arguments, or None."""
