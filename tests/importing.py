"""Imports modules one by one, each into a process where none of the others was imported before.

Run as a program it reads ``{"prepare": code, "modules": [names]}``, forks for each module and
writes ``{name: outcome}``. A fork takes milliseconds, a fresh interpreter with its libraries half a
second.
"""

import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TypedDict

__all__ = ["Outcome", "find_modules", "import_each_alone"]

ROOT = Path(__file__).parent.parent

#: Where the sources of each package stand.
PACKAGES = {
    "channels": ROOT / "channels",
    "channels._speedups": ROOT / "_speedups",
    "channels.delay": ROOT / "delay",
    "daphne": ROOT / "daphne",
}


class Outcome(TypedDict):
    """How an import went: its traceback if it failed, and the top-level packages it left loaded."""

    error: str | None
    loaded: list[str]


def find_modules() -> list[str]:
    """Every module of the distribution that has Python source, by its import name."""
    found = set()
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):  # does not follow the symlinks between the packages
            parts = path.relative_to(folder).with_suffix("").parts
            found.add(".".join((package, *parts)).removesuffix(".__init__"))
    return sorted(found)


def import_each_alone(modules: list[str], prepare: str = "") -> dict[str, Outcome]:
    """Import each of ``modules`` in a process of its own, in which ``prepare`` was executed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO_")}
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({"prepare": prepare, "modules": modules}),
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, Outcome] = json.loads(done.stdout)
    return outcomes


def _outcome_of(name: str) -> Outcome:
    try:
        importlib.import_module(name)
    except BaseException:
        error = traceback.format_exc()
    else:
        error = None
    return {"error": error, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}


def _in_child(name: str) -> Outcome:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # what a module prints must not get between the results
        with os.fdopen(writer, "w") as pipe:
            json.dump(_outcome_of(name), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        written = pipe.read()
    _, status = os.waitpid(child, 0)
    if not written:
        return {"error": f"the process ended with status {status}", "loaded": []}
    outcome: Outcome = json.loads(written)
    return outcome


def _main() -> None:
    task = json.load(sys.stdin)
    sys.path = [entry for entry in sys.path if entry != str(ROOT / "tests")]
    exec(task["prepare"], {})
    json.dump({name: _in_child(name) for name in task["modules"]}, sys.stdout)


if __name__ == "__main__":
    _main()
