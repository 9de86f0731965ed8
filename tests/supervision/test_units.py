"""The units of ``deploy/systemd``, as systemd reads them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.management.project import ROOT

pytestmark = [pytest.mark.compiled_only, pytest.mark.needs("systemd-analyze")]

UNITS = [
    "mysite.target",
    "mysite-daphne.socket",
    "mysite-daphne.service",
    "mysite-http@1.service",
    "mysite-websocket@1.service",
    "mysite-background@1.service",
    "mysite-delay.service",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units, whose programs are those of this environment."""
    shutil.copytree(ROOT / "deploy" / "systemd", tmp_path / "units")
    for path in (tmp_path / "units").glob("*.service"):
        text = path.read_text()
        assert "/srv/mysite/venv/bin/" in text
        path.write_text(text.replace("/srv/mysite/venv/bin/", f"{Path(sys.executable).parent}/"))
    return tmp_path / "units"


def verify(folder: Path, units: list[str]) -> str:
    """What systemd has against them."""
    paths = [str(folder / unit) for unit in units]
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
    command = ["systemd-analyze", "verify", "--man=no", *paths]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


def test_systemd_has_nothing_against_the_units(folder):
    assert sorted(path.name for path in folder.glob("*.*")) == sorted(
        [*(unit.replace("@1", "@") for unit in UNITS), "mysite-.service.d"]
    )
    assert verify(folder, UNITS) == ""


def test_what_they_have_in_common_is_read_for_each_of_them(folder):
    common = folder / "mysite-.service.d" / "common.conf"
    common.write_text(common.read_text() + "NoSuchThing=yes\n")
    for unit in UNITS[2:]:
        assert "'NoSuchThing'" in verify(folder, [unit])
