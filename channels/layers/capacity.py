"""How many messages a channel holds: the default, and the exceptions by name (ASGI spec, Capacity).

Counting the messages and refusing one too many is the backend's part.
"""

import fnmatch
import re
from collections.abc import Mapping

__all__ = ["check_capacity", "compile_capacities", "match_capacity"]


def check_capacity(capacity: object, where: str) -> int:
    """Return ``capacity`` if it is a positive int.

    ``where`` names the argument in the ``ValueError``.
    """
    if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
        raise ValueError(f"{where} must be an int of at least 1 message, not {capacity!r}")
    return capacity


def compile_capacities(
    channel_capacity: Mapping[str | re.Pattern[str], int] | None,
) -> list[tuple[re.Pattern[str], int]]:
    """Turn ``{glob or compiled pattern: messages}`` into pairs of pattern and capacity, in order.

    A str is a glob as in ``fnmatch``, which has to match the whole name; a compiled pattern is
    applied with ``match``. Raises ``ValueError`` for a capacity below 1 and ``TypeError`` for a key
    of another type.
    """
    compiled = []
    for key, capacity in (channel_capacity or {}).items():
        check_capacity(capacity, f"channel_capacity[{key!r}]")
        if isinstance(key, str):
            compiled.append((re.compile(fnmatch.translate(key)), capacity))
        elif isinstance(key, re.Pattern) and isinstance(key.pattern, str):
            compiled.append((key, capacity))
        else:
            raise TypeError(
                f"a key of channel_capacity must be a glob or a compiled str pattern, not {key!r}"
            )
    return compiled


def match_capacity(name: str, capacities: list[tuple[re.Pattern[str], int]], default: int) -> int:
    """The capacity of the queue ``name``.

    That of the first pattern that matches, else ``default``.
    """
    for pattern, capacity in capacities:
        if pattern.match(name):
            return capacity
    return default
