"""Literal text that a regular expression demands, read off its pattern.

Only what is certain is told, from a scan of the pattern's top level: the literal characters before
the first group, set, quantifier or other special thing, and those after the last one where the
pattern is anchored at its end. Nothing is told where anything stands that the scan does not know by
name, where the top level has alternatives, or under flags that change what a character means.
"""

import functools
import re
from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

__all__ = ["Literals", "literals"]

#: Flags under which a character of the pattern need not be in the value as it is.
_CHANGING_FLAGS = re.IGNORECASE | re.VERBOSE | re.LOCALE

#: What may hold unbalanced parentheses: comments, and groups in which comments are allowed.
_COMMENTS = re.compile(r"\(\?(#|[a-zA-Z]*x)")

#: A set; one inside which a bracket stands first holds that bracket.
_SET = r"\[\^?\]?(?:\\.|[^\]\\])*\]"

#: One thing at a pattern's top level; a group is only opened here. Unknown are "|", and escapes of
#: letters and digits other than classes and anchors: of ``\x41`` the last two are no literals.
_ATOM = re.compile(
    rf"""
    \\(?P<escaped>[^a-zA-Z0-9])
    | (?P<end>\\Z|\$)
    | (?P<special>\\[AbBdDsSwW]|\.|\^|{_SET})
    | (?P<group>\()
    | (?P<quantifier>[*+?]|\{{[0-9,]*\}}?)
    | (?P<literal>[^|\\])
    """,
    re.VERBOSE | re.DOTALL,
)

#: One thing inside a group.
_INNER = re.compile(rf"\\.|{_SET}|.", re.DOTALL)


class Literals(NamedTuple):
    """Text with which each string that a pattern matches begins, and text with which it ends but
    for one last newline; "" where none is certain.
    """

    start: str = ""
    end: str = ""


@functools.lru_cache(maxsize=512)  # many routes share a few patterns, such as "^POST$"
def literals(pattern: re.Pattern[str]) -> Literals:
    """The literals of ``pattern`` under ``Pattern.match``."""
    text = pattern.pattern.removeprefix("^")  # a match begins at the start of the value anyway
    if pattern.flags & _CHANGING_FLAGS or _COMMENTS.search(text):
        return Literals()
    atoms, anchored = _scan(text)
    anchored = anchored and not pattern.flags & re.MULTILINE
    end = _joined(reversed(atoms[:-1]))[::-1] if anchored else ""
    return Literals(_joined(atoms), "" if "\n" in end else end)


def _joined(atoms: Iterable[str | None]) -> str:
    return "".join(atom or "" for atom in takewhile(lambda atom: atom is not None, atoms))


def _scan(text: str) -> tuple[list[str | None], bool]:
    """The atoms, None for all that is not literal, and whether the last is the value's end."""
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
    return atoms, kind == "end"


def _group_end(text: str, position: int) -> int:
    """Where the group ends whose inner part begins at ``position``."""
    depth = 1
    while depth and (found := _INNER.match(text, position)):
        position = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
    return position
