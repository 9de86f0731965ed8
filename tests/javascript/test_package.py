"""The file for pages, as the Python distribution carries it; its own tests are in ``js/tests``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

import channels

pytestmark = pytest.mark.compiled_only

ROOT = Path(channels.__file__).parent.parent
BRIDGE = "channels/static/channels/js/websocketbridge.js"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``setup.py`` would pack: ``lib`` for wheels, ``SOURCES.txt`` lists the sdist."""
    folder = tmp_path_factory.mktemp("built")
    commands = ["egg_info", "--egg-base", folder, "build_py", "--build-lib", folder / "lib"]
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", *commands],
        cwd=ROOT,
        env={**os.environ, "CHANNELS_NO_EXTENSIONS": "1"},
        check=True,
        capture_output=True,
    )
    return folder


def test_the_wheel_has_the_file(built: Path):
    assert (built / "lib" / BRIDGE).read_bytes() == (ROOT / BRIDGE).read_bytes()


def test_the_sdist_has_the_file(built: Path):
    (sources,) = built.glob("*.egg-info/SOURCES.txt")
    assert BRIDGE in sources.read_text().splitlines()


def test_templates_find_the_file():
    assert finders.find("channels/js/websocketbridge.js") == str(ROOT / BRIDGE)


def test_the_npm_package_has_the_version_of_the_distribution():
    version = json.loads((ROOT / "package.json").read_text())["version"]
    assert version.replace("-dev.", ".dev") == channels.__version__


def test_the_lock_file_names_no_address_to_download_from():
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert len(packages) > 20
    assert [name for name, package in packages.items() if "resolved" in package] == []
