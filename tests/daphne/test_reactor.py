"""Which reactor is installed, whatever is imported first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "print(type(reactor).__name__)"


def printed(program: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")
@pytest.mark.parametrize("module", ["daphne.server", "daphne.reactor", "daphne.child"])
def test_it_is_epolls_on_linux(module):
    program = f"import {module}; from twisted.internet import reactor; {NAME}"
    assert printed(program) == "EPollReactor"


def test_it_goes_by_the_monotonic_clock():
    program = (
        "import time; from daphne.reactor import reactor;"
        "before = time.monotonic(); call = reactor.callLater(5, print);"
        "print(before <= reactor.seconds() <= time.monotonic() and before <= call.getTime() - 5)"
    )
    assert printed(program) == "True"


def test_one_that_is_installed_already_is_kept():
    program = (
        "from twisted.internet import pollreactor; pollreactor.install(); "
        f"from daphne.reactor import reactor; {NAME}"
    )
    assert printed(program) == "PollReactor"
