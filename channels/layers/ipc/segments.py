"""Where segments are, by prefix, and whether this system can have any."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channels import _speedups
from channels.exceptions import LayerNotInstalled

if TYPE_CHECKING:
    from channels._speedups import shm

__all__ = ["FOLDER", "bell_paths", "check_available", "check_prefix", "open_segment", "path_of"]

#: Where Linux has POSIX shared memory.
FOLDER = Path("/dev/shm")

#: Characters of a prefix, at most; file names have a bound, and bells add to the prefix.
_LONGEST = 100

_PREFIX = re.compile(r"[a-zA-Z0-9._-]+")


def check_prefix(prefix: object) -> str:
    """Return ``prefix`` if it can be part of a file's name; raises ``ValueError``."""
    if isinstance(prefix, str) and len(prefix) <= _LONGEST and _PREFIX.fullmatch(prefix):
        return prefix
    raise ValueError(
        f"prefix must be a str of 1 to {_LONGEST} ASCII letters, digits, '.', '-' and '_', "
        f"not {prefix!r}"
    )


def check_available() -> None:
    """Raise ``LayerNotInstalled`` where the extension cannot be used."""
    if _speedups.is_available("shm"):
        return
    if sys.platform != "linux":
        reason = f"it works on Linux only, and this is {sys.platform}"
        remedy = "use another layer, such as channels.layers.redis.RedisChannelLayer"
    elif _speedups.PURE_PYTHON:
        reason = "it needs its compiled extension, and CHANNELS_PURE_PYTHON=1 asks for none"
        remedy = "unset CHANNELS_PURE_PYTHON"
    else:
        reason = "its compiled extension channels._speedups.shm was not built"
        remedy = (
            "install a C compiler and the headers of Python, then run: "
            "CHANNELS_REQUIRE_EXTENSIONS=1 pip install --force-reinstall --no-deps "
            "--no-binary channels-batteries channels-batteries"
        )
    raise LayerNotInstalled(f"the shared-memory channel layer cannot be used: {reason}; {remedy}")


def path_of(prefix: str) -> Path:
    """The segment of a prefix."""
    return FOLDER / f"channels-{prefix}"


def bell_paths(prefix: str) -> list[Path]:
    """The FIFOs of a prefix, those that a killed process left behind among them."""
    name = re.escape(path_of(prefix).name)
    pattern = re.compile(rf"{name}\.[0-9a-f]{{16}}")
    return [path for path in FOLDER.iterdir() if pattern.fullmatch(path.name)]


def open_segment(
    prefix: str,
    message_memory: int | None = None,
    group_memory: int | None = None,
    expiry: float = 60,
    capacity_of: Any = None,
    lock_timeout: float = 3,
    create: bool = False,
) -> "shm.Segment":
    """The segment of ``prefix``; None for the memories takes what an existing one has.

    Memories in bytes, ``expiry`` and ``lock_timeout`` in seconds; ``capacity_of`` gives the
    capacity of a queue, and is needed for sending only. Raises ``LayerNotInstalled`` and
    ``SegmentRefused``, also where there is none and ``create`` is False.
    """
    check_available()
    from channels._speedups import shm  # noqa: PLC0415  (may not be there)

    return shm.Segment(
        check_prefix(prefix),
        str(path_of(prefix)),
        message_memory,
        group_memory,
        expiry,
        capacity_of,
        lock_timeout,
        create,
    )
