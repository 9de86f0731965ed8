"""Chooses between the compiled hot loops and their fallbacks.

A module ``name`` lives here as ``name.pyx`` (compiled) and ``name_fallback.py``, with one
interface, which ``name.pyi`` describes. ``from channels._speedups import name`` gives the compiled
one where it was built and ``CHANNELS_PURE_PYTHON`` is not ``1``, the fallback elsewhere. Two
modules have no twin here: nothing but a compiled ``shm`` can do what it does, and what stands in
for ``wsframe`` is Autobahn, behind an interface of Daphne's (``daphne.protocol.engine``).
"""

import importlib
import importlib.util
import os
from types import ModuleType

__all__ = [
    "COMPILED",
    "COMPILED_ONLY",
    "MODULES",
    "PURE_PYTHON",
    "codec",
    "is_available",
    "match",
    "resp",
]

#: Every module that exists in a compiled and in a fallback form.
MODULES = ("codec", "match", "resp")

#: Modules that exist compiled, or not at all; ``shm`` on Linux only.
COMPILED_ONLY = ("shm", "wsframe")

#: Whether the environment asks for the fallbacks.
PURE_PYTHON = os.environ.get("CHANNELS_PURE_PYTHON") == "1"


def _is_built(name: str) -> bool:
    return importlib.util.find_spec(f"{__name__}.{name}") is not None


#: Whether every module that has a substitute is used in its compiled form.
COMPILED = not PURE_PYTHON and all(_is_built(name) for name in (*MODULES, "wsframe"))


def is_available(name: str) -> bool:
    """Whether a module of ``COMPILED_ONLY`` may be imported here."""
    return not PURE_PYTHON and _is_built(name)


def _choose(name: str) -> ModuleType:
    compiled = not PURE_PYTHON and _is_built(name)
    return importlib.import_module(
        f"{__name__}.{name}" if compiled else f"{__name__}.{name}_fallback"
    )


def __getattr__(name: str) -> ModuleType:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = globals()[name] = _choose(name)
    return module
