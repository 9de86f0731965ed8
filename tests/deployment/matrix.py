"""Which Pythons run the two commands: the tests' own, or pairs of those that were installed into.

``make test-matrix`` installs wheels for several versions, and names their interpreters in
``CHANNELS_MATRIX``, as ``3.11=/path/python:3.12=/path/python``. Then Daphne runs on one of them and
the workers on another, for each two of them, and compiled beside pure on the first.
"""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass

from tests.management.project import Interpreter

__all__ = ["OWN", "PAIRS", "Pair"]

#: What the processes of wheels get: nothing of the repository.
_INSTALLED = {"PYTHONPATH": "", "CHANNELS_PURE_PYTHON": ""}
_PURE = {"PYTHONPATH": "", "CHANNELS_PURE_PYTHON": "1"}


@dataclass(frozen=True)
class Pair:
    """The interpreters of Daphne and of the workers, and what the pair is called."""

    name: str
    daphne: Interpreter
    worker: Interpreter


#: The tests' own Python, on which daphne and workers run where nothing else is asked for.
OWN = Pair("own", Interpreter(), Interpreter())


def _pair(daphne: tuple[str, Interpreter], worker: tuple[str, Interpreter]) -> Pair:
    return Pair(f"daphne-{daphne[0]}-worker-{worker[0]}", daphne[1], worker[1])


def _pairs(variable: str) -> list[Pair]:
    pythons: Mapping[str, str] = dict(entry.split("=", 1) for entry in variable.split(":"))
    compiled = [(name, Interpreter(python, _INSTALLED)) for name, python in pythons.items()]
    name, python = next(iter(pythons.items()))
    pure = (f"{name}-pure", Interpreter(python, _PURE))
    mixed = [_pair(compiled[0], pure), _pair(pure, compiled[0])]
    return [_pair(*two) for two in itertools.permutations(compiled, 2)] + mixed


#: The pairs of ``CHANNELS_MATRIX``; none where it is not set.
PAIRS = _pairs(os.environ["CHANNELS_MATRIX"]) if os.environ.get("CHANNELS_MATRIX") else []
