"""The code samples of the Channels documentation, each kept once, in ``chapters``.

A chapter is a file, a sample a heading in it with one block of code or two. What was mended in them
is in ``README.md``.
"""

import functools
import re
from pathlib import Path

__all__ = ["CHAPTERS", "chapter", "samples_in"]

_FOLDER = Path(__file__).parent / "chapters"

#: The names of the chapters.
CHAPTERS = sorted(path.stem for path in _FOLDER.glob("*.md"))


def chapter(name: str) -> dict[str, str]:
    """The samples of a chapter by their names."""
    return samples_in(_FOLDER / f"{name}.md")


@functools.cache
def samples_in(file: Path) -> dict[str, str]:
    """The samples of a file by their names; two blocks of one come one after the other."""
    _, *parts = re.split(r"^## (\w+)$", file.read_text(), flags=re.MULTILINE)
    return {
        sample: "\n".join(re.findall(r"```\w+\n(.*?)```", text, re.DOTALL))
        for sample, text in zip(parts[::2], parts[1::2], strict=True)
    }
