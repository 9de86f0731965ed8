"""The thirty lines of the README, copied as a newcomer would, do what it says."""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from channels._speedups import is_available
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.servers.ports import free_port, listens
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent


ONE_LINE = 'CHANNEL_LAYERS["default"]["BACKEND"] = "channels.layers.ipc.IPCChannelLayer"'


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


@contextmanager
def running(project: Path, pattern: str, *command: str) -> Iterator[str]:
    """A command of the project, from when it prints ``pattern``; gives the pattern's group."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONUNBUFFERED": "1",
    }
    log = project / f"{command[0]}-{secrets.token_hex(4)}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=project,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def announced() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(pattern, log.read_text())

    try:
        found = wait_until(announced, timeout=30)
        assert isinstance(found, re.Match)
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def address(project: Path) -> Iterator[str]:
    """``host:port`` of the project's ``runserver``."""
    command = "manage.py", "runserver", "--noreload", "127.0.0.1:0"
    with running(project, r"http://(127\.0\.0\.1:[1-9]\d*)/", *command) as address:
        yield address


def test_the_readme_shows_about_thirty_lines_of_code() -> None:
    lines = [line for code in readme_blocks().values() for line in code.splitlines() if line]
    assert 20 <= len(lines) <= 35


def test_what_one_socket_sends_reaches_every_socket(address: str) -> None:
    assert_they_chat(f"ws://{address}/chat/")


@pytest.mark.compiled_only
@pytest.mark.skipif(not is_available("shm"), reason="needs channels._speedups.shm")
def test_one_line_moves_it_to_processes_apart(project: Path) -> None:
    assert ONE_LINE in (ROOT / "README.md").read_text()
    prefix = fresh_prefix()
    config = f'CHANNEL_LAYERS["default"]["CONFIG"] = {{"prefix": "{prefix}"}}'
    with (project / "mysite/settings.py").open("a") as settings:
        settings.write(f"\n{ONE_LINE}\n{config}\n")
    port = free_port()
    daphne = "-m", "daphne", "--port", str(port), "mysite.asgi:channel_layer"
    worker = "manage.py", "runworker", "--threads", "4"
    try:
        with running(project, r"(Listening) on channels", *worker):
            with running(project, r"(Listening on)", *daphne):
                wait_until(lambda: listens(port))
                assert_they_chat(f"ws://127.0.0.1:{port}/chat/")
    finally:
        remove(prefix)


def assert_they_chat(url: str) -> None:
    with connect(url) as one, connect(url) as two:
        one.send("hello, both of you")
        assert one.recv(timeout=20) == "hello, both of you"
        assert two.recv(timeout=20) == "hello, both of you"
