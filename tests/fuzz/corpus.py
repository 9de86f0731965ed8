"""The inputs that are kept: one file for each target, one input a line, as Python writes bytes.

So they can be read, compared and reviewed. libFuzzer wants a folder instead, which is made of them
and read back.
"""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FOLDER", "load", "save", "spread"]

#: Where the corpora are.
FOLDER = Path(__file__).parent / "corpus"

#: Bytes of the inputs that are kept, at most; longer ones hardly reach what shorter ones do not.
_LONGEST = 2048


def load(target: str) -> list[bytes]:
    """The inputs kept for a target."""
    lines = (FOLDER / f"{target}.txt").read_text("ascii").splitlines()
    return [ast.literal_eval(line) for line in lines]


def save(target: str, inputs: Iterable[bytes]) -> int:
    """Keep these inputs and no others; how many that are."""
    lines = sorted({repr(one) for one in inputs if len(one) <= _LONGEST}, key=lambda s: (len(s), s))
    (FOLDER / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")
    return len(lines)


def spread(inputs: Iterable[bytes], folder: Path) -> None:
    """Write a file for each input."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in inputs:
        (folder / hashlib.sha1(one).hexdigest()).write_bytes(one)
