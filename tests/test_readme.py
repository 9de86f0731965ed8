"""The thirty lines of the README, copied as a newcomer would, do what it says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent


def readme_blocks() -> dict[str, str]:
    """The Python blocks of the README by the file that their first line names."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL)
    return {name: code.lstrip("\n") for name, code in blocks}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of ``startproject`` with the README's lines added to it."""
    startproject = [sys.executable, "-m", "django", "startproject", "mysite", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO_")}
    subprocess.run(startproject, check=True, env=environment)
    for name, code in readme_blocks().items():
        with (tmp_path / name).open("a") as file:
            file.write("\n" + code)
    return tmp_path


@pytest.fixture
def address(project: Path) -> Iterator[str]:
    """``host:port`` of the project's ``runserver``."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONUNBUFFERED": "1",
    }
    log = project / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", "127.0.0.1:0"],
            cwd=project,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def announced() -> re.Match[str] | None:
        assert server.poll() is None, log.read_text()
        return re.search(r"http://(127\.0\.0\.1:[1-9]\d*)/", log.read_text())

    try:
        found = wait_until(announced, timeout=30)
        assert isinstance(found, re.Match)
        yield found[1]
    finally:
        server.terminate()
        server.wait(20)


def test_the_readme_shows_about_thirty_lines_of_code() -> None:
    lines = [line for code in readme_blocks().values() for line in code.splitlines() if line]
    assert 20 <= len(lines) <= 35


def test_what_one_socket_sends_reaches_every_socket(address: str) -> None:
    url = f"ws://{address}/chat/"
    with connect(url) as one, connect(url) as two:
        one.send("hello, both of you")
        assert one.recv(timeout=20) == "hello, both of you"
        assert two.recv(timeout=20) == "hello, both of you"
