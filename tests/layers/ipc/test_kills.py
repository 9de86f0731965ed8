"""Processes that are killed at any moment take nothing with them but what they held."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layers.ipc.segments import needs_extension

pytestmark = needs_extension

ROOT = Path(__file__).resolve().parents[3]


def kills(mode, number):
    """Run the program; what it counted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.layers.ipc.kills", mode, str(number)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("load", 50),
        ("quiet", 50),
        pytest.param("load", 500, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
        pytest.param("quiet", 500, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_every_message_is_accounted_for(mode, number):
    counted = kills(mode, number)
    assert counted["kills"] == number
    assert counted["sent"] >= number
