"""From routing entries to the tree that ``channels._speedups.match`` walks.

The channel's name is looked at first: each channel has a list of its own. Within a list, nodes are
found by the literal text with which a value must begin ("/chat/" of ``^/chat/(?P<room>\\w+)/$``)
or, on an anchored pattern, end; so that a thousand routes of one channel cost little more than ten.
Only what is certain from the pattern's text is used, everything else is tried in order, and the
first match wins as in a plain loop. The entries themselves and the errors in them are in
``channels.routing``.
"""

import copy
import re
from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channels._speedups import match as speedups
from channels.literals import literals

__all__ = ["Candidate", "Plan", "custom", "group", "leaf", "table"]

#: Lists up to this length are tried one by one: an index costs as much as two or three regular
#: expressions.
_SHORT = 3

#: References that the indexes of one list may hold on each level; past it lists stay plain.
_MAX_REFERENCES = 200_000

Patterns = Mapping[str, re.Pattern[str]]

#: Where an index looks: a key of the message, and whether at the end of its value.
Axis = tuple[str, bool]


@dataclass(slots=True)
class Plan:
    """An entry's candidate for each channel that it names, and for all others (None for none)."""

    channels: dict[str, "Candidate"] = field(default_factory=dict)
    others: "Candidate | None" = None


@dataclass(slots=True)
class Candidate:
    """A node, and the literals without which it cannot match."""

    node: Any
    literals: dict[Axis, str] = field(default_factory=dict)


def leaf(channels: Iterable[str], patterns: Patterns, consumer: Any) -> Plan:
    """The plan of a route."""
    candidate = Candidate(speedups.Leaf(_filters(patterns), consumer), _literals(patterns))
    return Plan(dict.fromkeys(channels, candidate))


def custom(match: Callable[[Any], Any]) -> Plan:
    """The plan of any other routing object: it is asked for every channel."""
    return Plan(others=Candidate(speedups.Opaque(match, _view)))


def group(patterns: Patterns, plans: Sequence[Plan]) -> Plan:
    """The plan of an include."""
    filters, literals = _filters(patterns), _literals(patterns)
    channels, others = _lists(plans)

    def branch(children: list[Candidate]) -> Candidate:
        return Candidate(speedups.Branch(filters, _arrange(children)), literals)

    return Plan(
        {name: branch(children) for name, children in channels.items()},
        branch(others) if others else None,
    )


def table(plans: Sequence[Plan]) -> Any:
    """The ``Table`` of a whole routing."""
    channels, others = _lists(plans)
    return speedups.Table(
        {name: _arrange(candidates) for name, candidates in channels.items()}, _arrange(others)
    )


def _view(message: Any, stripped: dict[str, str]) -> Any:
    """``message`` as a routing object inside an include sees it; its content is not copied.

    What the object writes into it is its own: neither the message nor other entries see it.
    """
    view = copy.copy(message)
    view.content = ChainMap({}, stripped, message.content)
    return view


def _filters(patterns: Patterns) -> list[tuple[str, Any, bool]]:
    return [(key, each.match, bool(each.groupindex)) for key, each in patterns.items()]


def _literals(patterns: Patterns) -> dict[Axis, str]:
    """The literals of every filter; those of an end are reversed, as the index has them."""
    found = {}
    for key, pattern in patterns.items():
        start, end = literals(pattern)
        found[key, False], found[key, True] = start, end[::-1]
    return {axis: literal for axis, literal in found.items() if literal}


def _lists(plans: Sequence[Plan]) -> tuple[dict[str, list[Candidate]], list[Candidate]]:
    """The candidates of each channel in the entries' order, and those of every other channel."""
    named: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    everywhere: list[tuple[int, Candidate]] = []
    for position, plan in enumerate(plans):
        for name, candidate in plan.channels.items():
            named[name].append((position, candidate))
        if plan.others is not None:
            everywhere.append((position, plan.others))
    return (
        {name: _merged(found, everywhere) for name, found in named.items()},
        [candidate for _, candidate in everywhere],
    )


def _merged(
    found: list[tuple[int, Candidate]], everywhere: list[tuple[int, Candidate]]
) -> list[Candidate]:
    """Both in order; an entry's candidate for the channel itself stands before its one for any."""
    if not everywhere:
        return [candidate for _, candidate in found]
    return [candidate for _, candidate in sorted((dict(everywhere) | dict(found)).items())]


def _arrange(candidates: list[Candidate]) -> tuple[Any, ...]:
    """The nodes to try in order: the candidates' own, or an index of them."""
    return _index(candidates, _MAX_REFERENCES, frozenset())


def _index(candidates: list[Candidate], limit: int, spent: frozenset[Axis]) -> tuple[Any, ...]:
    """As ``_arrange``, for what is already told apart by the axes ``spent``."""
    axis = _best_axis(candidates, spent) if len(candidates) > _SHORT else None
    if axis is None:
        return tuple(candidate.node for candidate in candidates)
    members, rest = _split(candidates, axis)
    literals = sorted(members)
    parents = _parents(literals)
    # Counted before any bucket is made, since there may be far too many of them.
    total = _references([len(members[literal]) for literal in literals], parents, len(rest))
    if total > limit:
        return tuple(candidate.node for candidate in candidates)

    def inner(positions: list[int]) -> tuple[Any, ...]:
        part = [candidates[position] for position in positions]
        return _index(part, limit * len(part) // total, spent | {axis})

    chains: list[list[int]] = []
    for literal, parent in zip(literals, parents, strict=True):
        chains.append(members[literal] + (chains[parent] if parent >= 0 else []))
    buckets = [inner(sorted(chain + rest)) for chain in chains]
    return (speedups.Index(*axis, literals, parents, buckets, inner(rest)),)


def _best_axis(candidates: list[Candidate], spent: frozenset[Axis]) -> Axis | None:
    """The axis that tells most candidates apart; None where none does."""
    distinct: dict[Axis, set[str]] = defaultdict(set)
    for candidate in candidates:
        for axis, literal in candidate.literals.items():
            if axis not in spent:
                distinct[axis].add(literal)
    best = max(distinct, key=lambda axis: len(distinct[axis]), default=None)
    return best if best is not None and len(distinct[best]) > 1 else None


def _split(candidates: list[Candidate], axis: Axis) -> tuple[dict[str, list[int]], list[int]]:
    """The candidates' positions by their literal on ``axis``, and those of all without one."""
    members: dict[str, list[int]] = defaultdict(list)
    rest: list[int] = []
    for position, candidate in enumerate(candidates):
        literal = candidate.literals.get(axis)
        (rest if literal is None else members[literal]).append(position)
    return members, rest


def _references(sizes: list[int], parents: list[int], rest: int) -> int:
    """How many candidates stand in all buckets and the rest, each bucket with its parents'."""
    held: list[int] = []
    for size, parent in zip(sizes, parents, strict=True):
        held.append(size + (held[parent] if parent >= 0 else 0))
    return sum(held) + rest * (len(held) + 1)


def _parents(literals: list[str]) -> list[int]:
    """For each of the sorted literals where the longest other is that it begins with, or -1."""
    parents: list[int] = []
    for position, literal in enumerate(literals):
        parent = position - 1
        while parent >= 0 and not literal.startswith(literals[parent]):
            parent = parents[parent]
        parents.append(parent)
    return parents
