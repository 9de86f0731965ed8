"""What is fuzzed: one line for each target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

__all__ = ["TARGETS", "Target", "load_target"]

#: Where each target is: a module, its function that raises where something is wrong, and the files
#: that it is about.
TARGETS = {
    "http1": ("tests.fuzz.http1", "check", "daphne/protocol/*"),
    "http2": ("tests.fuzz.http2", "check", "daphne/protocol/http2/*"),
    "frames": ("tests.fuzz.frames", "check", "daphne/protocol/engine*"),
    "frames-fallback": ("tests.fuzz.frames", "check_fallback", "daphne/protocol/engine*"),
    "codec": ("tests.fuzz.codec", "check", "_speedups/codec*"),
    "resp": ("tests.fuzz.resp", "check", "_speedups/resp*"),
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
    #: The files whose coverage is of interest, a pattern.
    files: str


def load_target(name: str) -> Target:
    """Import a target, and what it tests with it."""
    path, function, files = TARGETS[name]
    module = import_module(path)
    return Target(getattr(module, function), module.SEEDS, module.DICTIONARY, files)
