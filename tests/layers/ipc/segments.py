"""Segments of tests: names of their own, and their removal."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from channels import _speedups
from channels.layers.ipc import IPCChannelLayer
from channels.layers.ipc.segments import bell_paths, path_of

__all__ = ["fresh_prefix", "made_layer", "needs_extension", "remove"]

#: The layer exists compiled only; whether that was built is another test's matter.
needs_extension = [
    pytest.mark.compiled_only,
    pytest.mark.skipif(not _speedups.is_available("shm"), reason="needs channels._speedups.shm"),
]


def fresh_prefix() -> str:
    """A prefix that nobody else has, and that names the process that made it."""
    return f"test-{os.getpid()}-{secrets.token_hex(6)}"


def remove(prefix: str) -> None:
    """Unlink what a prefix has; processes that use it go on with what they have mapped."""
    for path in [path_of(prefix), *bell_paths(prefix)]:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def made_layer(**arguments: Any) -> Iterator[IPCChannelLayer]:
    """A layer with a segment of its own, whose invariants hold at the end."""
    layer = IPCChannelLayer(fresh_prefix(), **arguments)
    try:
        yield layer
        assert layer._segment.check() is None
    finally:
        layer.close()
        remove(layer.prefix)
