"""The blocks of code and the tables of the two pages about upgrading."""

import re
from pathlib import Path

__all__ = ["after", "before", "page", "table"]

DOCS = Path(__file__).parents[2] / "docs"

#: The first line of a block that is a file, or a part of one: ``# before: chat/consumers.py``.
_BLOCK = re.compile(
    r"^```python\n# (before: )?([\w/]+\.py)(?:, continued)?\n(.*?)^```", re.MULTILINE | re.DOTALL
)


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / f"{name}.md").read_text()


def _files(text: str, mark: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for found, file, code in _BLOCK.findall(text):
        if found == mark:
            files[file] = files.get(file, "") + "\n" + code
    return files


def after(text: str) -> dict[str, str]:
    """The files that a page says how to write here."""
    return _files(text, "")


def before(text: str) -> dict[str, str]:
    """The files of the old project."""
    return _files(text, "before: ")


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose head begins with ``first``."""
    _, _, rest = text.partition(f"\n| {first} |")
    lines = rest.split("\n\n")[0].splitlines()[2:]
    assert lines, f"there is no table of {first}"
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
