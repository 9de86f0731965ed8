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

#: Where installers and distributors list files (relative to the metadata, one of them) or packages.
_LISTS = ("RECORD", "installed-files.txt", "SOURCES.txt", "top_level.txt")

#: A line of theirs that makes a distribution an owner of one of our import names.
_OWNED = re.compile(r"^(?:\.\./)?(channels|daphne)(?:/__init__\.py\b|$)", re.MULTILINE)

#: The distributions that own them whatever is listed: an editable install lists next to nothing.
_OWNERS = ("channels", "daphne")


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
        if "Name" not in distribution.metadata:  # left behind by a broken uninstall
            continue
        name = distribution.metadata["Name"]
        package = _owned_package(distribution, _normal(name))
        if package and _normal(name) != DISTRIBUTION:
            found[_normal(name)] = Conflict(name, distribution.version, package)
    return sorted(found.values())


def _owned_package(distribution: metadata.Distribution, name: str) -> str | None:
    for file in _LISTS:
        if (text := distribution.read_text(file)) and (owned := _OWNED.search(text)):
            return owned[1]
    return name if name in _OWNERS else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
