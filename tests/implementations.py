"""The twins of each compiled module, for tests that run over both or compare them."""

import importlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType

from channels import _speedups

__all__ = ["Implementation", "built", "find_implementations"]


@dataclass(frozen=True)
class Implementation:
    """One form of a module of ``channels._speedups``; ``tag`` is ``compiled`` or ``fallback``."""

    tag: str
    imported_module: ModuleType

    def __str__(self) -> str:
        return self.tag


def built(name: str) -> bool:
    """Whether the compiled form of ``name`` exists here."""
    return importlib.util.find_spec(f"channels._speedups.{name}") is not None


def find_implementations(name: str) -> list[Implementation]:
    """The forms of ``name`` that exist here, the fallback first."""
    found = [Implementation("fallback", _load(name, f"{name}_fallback"))]
    if built(name):
        found.append(Implementation("compiled", _load(name, name)))
    return found


def _load(name: str, submodule: str) -> ModuleType:
    chosen = getattr(_speedups, name)
    module = importlib.import_module(f"channels._speedups.{submodule}")
    setattr(_speedups, name, chosen)  # an import binds the submodule's name over the chooser's
    return module
