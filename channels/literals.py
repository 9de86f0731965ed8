"""Literal text that a regular expression demands, read off its pattern.

Only what is certain is told, from a scan of the pattern's top level: the literal characters before
the first group, set, quantifier or other special thing, and those after the last one where the
pattern is anchored at its end. A pattern with alternatives at its top level, or with flags that
change what a character means, tells nothing.
"""

import re
from collections.abc import Iterable
from itertools import takewhile

__all__ = ["literal_end", "literal_start"]

#: Flags under which a character of the pattern need not be in the value as it is.
_CHANGING_FLAGS = re.IGNORECASE | re.VERBOSE | re.LOCALE

#: What may hold unbalanced parentheses: comments, and groups in which comments are allowed.
_COMMENTS = re.compile(r"\(\?(#|[aiLmsu]*x)")

#: A set; one inside which a bracket stands first holds that bracket.
_SET = r"\[\^?\]?(?:\\.|[^\]\\])*\]"

#: One thing at a pattern's top level; a group is only opened here. A top-level "|" is none of them.
_ATOM = re.compile(
    rf"""
    \\(?P<escaped>[^a-zA-Z0-9])
    | (?P<end>\\Z|\$)
    | (?P<special>\\.|\.|\^|{_SET})
    | (?P<group>\()
    | (?P<quantifier>[*+?]|\{{[0-9,]*\}}?)
    | (?P<literal>[^|])
    """,
    re.VERBOSE | re.DOTALL,
)

#: One thing inside a group.
_INNER = re.compile(rf"\\.|{_SET}|.", re.DOTALL)


def literal_start(pattern: re.Pattern[str]) -> str:
    """Text with which every string begins that ``pattern`` matches; "" where none is certain."""
    atoms, _ = _scan(pattern)
    return _literal(atoms)


def literal_end(pattern: re.Pattern[str]) -> str:
    """Text with which such a string ends, but for one last newline; "" where none is certain."""
    atoms, anchored = _scan(pattern)
    literal = _literal(reversed(atoms))[::-1] if anchored else ""
    return "" if "\n" in literal else literal


def _literal(atoms: Iterable[str | None]) -> str:
    return "".join(atom or "" for atom in takewhile(lambda atom: atom is not None, atoms))


def _scan(pattern: re.Pattern[str]) -> tuple[list[str | None], bool]:
    """The atoms, None for all that is not literal, and whether the value's end must follow them."""
    text = pattern.pattern.removeprefix("^")  # a match begins at the start of the value anyway
    if pattern.flags & _CHANGING_FLAGS or _COMMENTS.search(text):
        return [], False
    atoms: list[str | None] = []
    kind, position = None, 0
    while position < len(text):
        found = _ATOM.match(text, position)
        if found is None:
            return [], False
        kind, position = found.lastgroup, found.end()
        if kind == "group":
            position = _group_end(text, position)
        if kind == "quantifier":
            atoms[-1:] = [None]
        else:
            atoms.append(found[kind] if kind in ("escaped", "literal") else None)
    if kind == "end" and not pattern.flags & re.MULTILINE:
        return atoms[:-1], True
    return atoms, False


def _group_end(text: str, position: int) -> int:
    """Where the group ends whose inner part begins at ``position``."""
    depth = 1
    while depth and (found := _INNER.match(text, position)):
        position = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
    return position
