"""Pages that live elsewhere in the repository, and links that hold there as well as on the site.

A page with the comment ``<!-- mirror: PATH -->`` has the text of that file on the site. Links are
written as they hold in the repository; on the site they lead to the pages of the same files. Files
that have no page may be downloaded.
"""

import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

__all__ = ["setup"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_MIRROR = re.compile(r"<!-- mirror: (\S+) -->")
_FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
_TESTS = re.compile(r"^<!-- test:.*?-->\n", re.DOTALL | re.MULTILINE)


def _pages() -> dict[Path, Path]:
    """The pages of files that are not in ``docs``, and of folders that one of them describes."""
    pages = {ROOT / "README.md": DOCS / "index.md"}
    for page in DOCS.glob("*.md"):
        if found := _MIRROR.search(page.read_text(encoding="utf-8")):
            file = DOCS.joinpath(found[1]).resolve()
            pages |= {file: page, file.parent: page}
    examples = pages.get(ROOT / "examples")
    if examples is not None:
        pages |= {folder: examples for folder in (ROOT / "examples").iterdir() if folder.is_dir()}
    pages.pop(ROOT, None)
    return pages


def _with_links(text: str, file: Path, page: Path) -> str:
    """``text`` of ``file`` as it stands on ``page``, whose links lead to pages where there are."""
    pages = _pages()

    def link(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(file.parent / match[1]))
        return os.path.relpath(pages.get(target, target), page.parent)

    parts = _FENCED.split(text)
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    page = file = DOCS / f"{name}.md"
    text = source[0]
    if found := _MIRROR.search(text):
        file = DOCS.joinpath(found[1]).resolve()
        app.env.note_dependency(str(file))
        text = file.read_text(encoding="utf-8")
    # What tests run between the blocks is not for readers; its lines stay, so that lines count.
    text = _TESTS.sub(lambda match: "\n" * match[0].count("\n"), text)
    source[0] = _with_links(text, file, page)


def _changed(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Remember whether the list of pages that stands on each of them may have changed."""
    env.all_pages_change = bool(added or removed or "index" in changed)
    return []


def _also_written(app: Sphinx, env: BuildEnvironment) -> list[str]:
    return sorted(env.found_docs) if getattr(env, "all_pages_change", False) else []


def setup(app: Sphinx) -> dict[str, Any]:
    """Change what is read of pages."""
    app.connect("source-read", _read)
    app.connect("env-get-outdated", _changed)
    app.connect("env-updated", _also_written)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
