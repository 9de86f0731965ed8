"""What is fuzzed: one line for each target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

__all__ = ["TARGETS", "Target", "load_target"]

#: Where each target is: a module, and its function that raises where something is wrong.
TARGETS = {
    "http1": ("tests.fuzz.http1", "check"),
    "frames": ("tests.fuzz.frames", "check"),
    "frames-fallback": ("tests.fuzz.frames", "check_fallback"),
    "codec": ("tests.fuzz.codec", "check"),
    "resp": ("tests.fuzz.resp", "check"),
}


@dataclass(frozen=True)
class Target:
    """Something that is fed any bytes."""

    #: Takes an input, and raises where something is wrong.
    check: Callable[[bytes], None]
    #: Inputs to begin with.
    seeds: Sequence[bytes]
    #: Parts of inputs, for the fuzzer to put in.
    dictionary: Sequence[bytes]


def load_target(name: str) -> Target:
    """Import a target, and what it tests with it."""
    path, function = TARGETS[name]
    module = import_module(path)
    return Target(getattr(module, function), module.SEEDS, module.DICTIONARY)
