"""Running the suite in a process of its own, which has the reactor for itself."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.websocket_suite.verdict import Verdict

__all__ = ["LONG", "check", "verdicts_of"]

#: Cases of limits and of compression, which take long.
LONG = ("9.*", "12.*", "13.*")


def verdicts_of(url: str, *arguments: str) -> dict[str, Verdict]:
    """The verdicts on the server at ``url``, by the number of the case."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "verdicts.json")
        command = [sys.executable, "-m", "tests.websocket_suite", url, f"--json={path}"]
        run = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert path.exists(), f"the suite did not run: {run.stderr[-2000:]}"
        return {number: Verdict(*fields) for number, fields in json.loads(path.read_text()).items()}


def check(verdicts: dict[str, Verdict], cases: int) -> None:
    """Assert that so many cases were run, and what they may say."""
    assert len(verdicts) == cases
    assert {number: one for number, one in verdicts.items() if not one.passed} == {}
    assert Counter(one.behavior for one in verdicts.values())["NON-STRICT"] <= 10
