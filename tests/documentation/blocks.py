"""The blocks of code of a page, and what is said of them in comments that readers do not see.

A comment right above a block says why it is not run as it stands: one of ``REASONS``, or the path
of the test that runs it::

    <!-- test: output -->

A comment of several lines is Python, which is run at its place, before and between the blocks: it
has names that they need, and asserts what has to be true after them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["PAGES", "REASONS", "ROOT", "Block", "blocks_of", "page_named"]

ROOT = Path(__file__).parents[2]

#: Why a block is not run: what each means, for whoever writes a page.
REASONS = {
    "output": "what a program prints",
    "drawing": "bytes, a format or a file as it is laid out, in no language",
    "fragment": "a part of something: it is parsed, and what it names must exist",
    "machine": "changes the machine, or needs more of them: its syntax is checked",
}

#: What has pages: everything but what stands elsewhere in the repository, with tests of its own.
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "<!-- mirror: " not in page.read_text(encoding="utf-8")
)

_NOTE = re.compile(r"<!-- test:(.*?)-->\s*\Z", re.DOTALL)
_FILE = re.compile(r"\A(?:#|//|/\*|<!--)\s*([\w./@-]+\.[\w-]+)\b.*\n")


@dataclass(frozen=True)
class Block:
    """A block of code, or hidden Python (``is_hidden``), which begins at ``line``."""

    page: Path
    line: int
    language: str
    code: str
    note: str = ""
    is_hidden: bool = False

    @property
    def file(self) -> str | None:
        """The file that the first line names, if it does."""
        found = _FILE.match(self.code)
        return found[1] if found else None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def page_named(name: str) -> Path:
    """The page of a test's id."""
    return ROOT / name


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order, those of lists and quotations included."""
    note = ""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        line = (token.map or [0])[0] + 1
        if token.type == "html_block":
            found = _NOTE.search(token.content)
            note = found[1].strip(" ") if found else ""
            if note.startswith("\n"):
                yield Block(page, line, "python", note, is_hidden=True)
                note = ""
        elif token.type in ("fence", "code_block"):
            if not _is_directive(token):
                yield Block(page, line, _language(token), token.content, note.strip())
            note = ""
        elif token.nesting == 1:
            note = ""


def _language(token: Token) -> str:
    return token.info.split()[0] if token.info.strip() else ""


def _is_directive(token: Token) -> bool:
    """Whether the site's own build runs it: a toctree, a table of options."""
    return token.info.startswith("{") and not token.info.startswith("{code")
