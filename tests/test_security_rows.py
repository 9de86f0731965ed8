"""Every row of the tables in ``docs/security.md`` names its tests, and these exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The rows that there have to be, by table.
TABLES = {
    "HTTP/1.1": [
        "Request smuggling",
        "Control bytes in headers",
        "Header limits",
        "Header names",
        "Body limits",
        "Pipelining",
        "Chunked lines",
        "Response splitting",
        "Slowloris, slow read",
        "Expect, HEAD, 1xx, 204, 304",
        "Host",
        "Access log",
        "Forwarded headers",
    ],
    "HTTP/2": ["Rapid reset", "Floods", "Header smuggling"],
    "WebSocket": [
        "Size limits",
        "Length parsing",
        "Fragment flood",
        "Deflate bombs",
        "Empty messages",
        "Sub-protocols",
        "Cross-site hijacking",
        "Slow consumer",
        "Message floods",
        "Control frames",
    ],
    "Channel layers": [
        "Never another client's data",
        "No code execution from stored bytes",
        "Shared memory",
        "Encryption",
        "Backend away",
        "Capacity",
        "Abandoned channels",
    ],
    "Applications": ["Sessions", "Logout, permission change", "Data binding", "Uploads"],
}

_ROW = re.compile(r"^- \*\*(.+?)\.\*\*(.*(?:\n  .+)*)", re.MULTILINE)
_TEST = re.compile(r"`((?:tests|channels)/[\w/]+\.py)((?:::\w+)+)`")


def tables() -> dict[str, dict[str, list[tuple[str, str]]]]:
    """The rows of each table: their tests, as file and name."""
    text = (ROOT / "docs/security.md").read_text().partition("## What the tests hold\n")[2]
    found = {}
    for section in text.split("\n### ")[1:]:
        title, _, rows = section.partition("\n")
        found[title] = {row: _TEST.findall(tests) for row, tests in _ROW.findall(rows)}
    return found


def words(text: str) -> str:
    """The words of a row as they stand in a name."""
    return "_".join(re.findall(r"[a-z0-9]+", text.lower().replace("'", "")))


@cache
def names_in(path: str) -> frozenset[str]:
    """The tests in a file, those of classes behind their class."""
    tree = ast.parse((ROOT / path).read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"::{node.name}::{inner.name}" for inner in node.body if _is_function(inner)}
        elif _is_function(node):
            found.add(f"::{node.name}")
    return frozenset(found)


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


ROWS = [(table, row) for table, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{table}: {row}" for table, row in ROWS])
def test_a_row_is_a_test_with_its_words_in_the_name(table: str, row: str) -> None:
    tests = tables()[table][row]
    for path, name in tests:
        assert name in names_in(path), f"{path} has no {name}"
    assert any(words(row) in words(path + name) for path, name in tests), tests


def test_no_row_is_missing_in_the_list() -> None:
    assert {table: list(rows) for table, rows in tables().items()} == TABLES
