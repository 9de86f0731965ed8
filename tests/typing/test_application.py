"""The public API has types: what mypy says of an application, and that the application works.

``tests/typing/blog`` is checked in strict mode with django-stubs, once for all tests. In it, a line
``# R: type`` stands before what mypy has to reveal, with the modules left out of the names, and
``# E: code`` at the end of what it has to refuse. It may say nothing else of any line.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOG = ROOT / "tests" / "typing" / "blog"

#: A line of mypy's: file, line, what it is, the text, and the code of an error.
_SAID = re.compile(r"(\S+):(\d+): (?:error|note): (.*?)(?:  \[([a-z-]+)\])?")
_REVEALED = re.compile(r'Revealed type is "(.*)"')
_MODULES = re.compile(r"\b(?:\w+\.)+(?=[A-Za-z_])")

#: File, line, and the type or the code.
Verdicts = set[tuple[str, int, str]]


@pytest.fixture(scope="module")
def said() -> str:
    """All that mypy says of the application."""
    arguments = ["--config-file", "tests/typing/mypy.ini", "--package", "tests.typing.blog"]
    cache = ["--cache-dir", ".mypy_cache/application"]  # the other settings would empty its own
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, *cache],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert checked.returncode == 1, checked.stderr  # errors, and no crash
    return checked.stdout


def verdicts(said: str) -> Iterator[tuple[str, int, str, bool]]:
    """File, line, type or code, and whether it is an error; what explains errors is left out."""
    for line in said.splitlines():
        match = _SAID.fullmatch(line)
        if match is None:
            continue
        path, number, text, code = match.groups()
        if code:
            yield Path(path).name, int(number), code, True
        elif revealed := _REVEALED.fullmatch(text):
            yield Path(path).name, int(number), _MODULES.sub("", revealed[1]), False


def expected(mark: str) -> Verdicts:
    """What the lines marked with ``mark`` say; one that stands alone speaks of the next line."""
    found = set()
    for path in BLOG.glob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            before, found_mark, verdict = line.partition(f"# {mark}: ")
            if found_mark:
                found.add((path.name, number if before.strip() else number + 1, verdict))
    return found


def test_mypy_refuses_mistakes_and_nothing_else(said: str) -> None:
    refused = {verdict[:3] for verdict in verdicts(said) if verdict[3]}
    assert refused == expected("E"), said
    assert {name for name, _, _ in refused} == {"refused.py"}


def test_decorators_keep_signatures_and_messages_have_types(said: str) -> None:
    revealed = {verdict[:3] for verdict in verdicts(said) if not verdict[3]}
    assert revealed == expected("R")
    assert len(revealed) >= 50


def test_the_application_works() -> None:
    """Its own tests pass, and the settings that mypy reads are good ones."""
    command = ["-m", "django", "test", "tests.typing.blog.tests"]
    tested = subprocess.run(
        [sys.executable, *command, "--settings", "tests.typing.blog.settings"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert tested.returncode == 0, tested.stderr
    assert re.search(r"Ran [7-9] tests", tested.stderr), tested.stderr


def test_the_marks_of_typed_packages_are_installed(tmp_path: Path) -> None:
    built = tmp_path / "built"
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(built)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=110,
    )
    found = {path.relative_to(built).as_posix() for path in built.rglob("*.*")}
    assert {"channels/py.typed", "daphne/py.typed", "channels/_speedups/codec.pyi"} <= found
