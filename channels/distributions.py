"""Finds other installed distributions that bring a ``channels`` or ``daphne`` package of their own.

They overwrite or hide ours file by file, so what runs is a mixture. Knows no Django: the ``daphne``
command asks as well as the system checks.
"""

import re
from importlib import metadata
from typing import NamedTuple

__all__ = ["DISTRIBUTION", "Conflict", "find_conflicts"]

#: The distribution that this package belongs to.
DISTRIBUTION = "channels-batteries"

#: A line in a wheel's list of files that makes it an owner of one of our import names.
_OWNED = re.compile(r"^(channels|daphne)/__init__\.py\b", re.MULTILINE)


class Conflict(NamedTuple):
    """A distribution beside ours that owns one of our import names."""

    distribution: str
    version: str
    package: str

    def __str__(self) -> str:
        return (
            f"the distribution {self.distribution!r} {self.version} is installed beside "
            f"{DISTRIBUTION!r} and brings another {self.package!r} package"
        )

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return (
            f"Run: pip uninstall {self.distribution}; "
            f"pip install --force-reinstall --no-deps {DISTRIBUTION}"
        )


def find_conflicts() -> list[Conflict]:
    """The conflicts among what is installed, by name of distribution."""
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        package = _owned_package(distribution) if name else None
        if package and _normal(name) != DISTRIBUTION:
            found[_normal(name)] = Conflict(name, distribution.version, package)
    return sorted(found.values())


def _owned_package(distribution: metadata.Distribution) -> str | None:
    for file in ("RECORD", "installed-files.txt", "SOURCES.txt"):
        if (text := distribution.read_text(file)) and (owned := _OWNED.search(text)):
            return owned[1]
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
