"""The tutorial, done as a newcomer does it: its files, its commands, its page in a browser."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from websockets.sync.client import connect

from channels._speedups import is_available
from tests.browsers import headless_chromium
from tests.documentation.blocks import ROOT, Block, blocks_of
from tests.documentation.languages import commands
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.management.project import Interpreter, Process
from tests.waiting import wait_until

pytestmark = pytest.mark.compiled_only  # it is about commands

BLOCKS = [block for block in blocks_of(ROOT / "docs/tutorial.md") if not block.is_hidden]
COMMANDS = [command for block in BLOCKS if block.language == "sh" for command in commands(block)]

#: The newcomer's environment: the tests' own settings are nobody's business there.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}


def command(start: str) -> list[str]:
    """The arguments of the one command of the page that begins so."""
    (found,) = [command for command in COMMANDS if command.startswith(start)]
    words = shlex.split(found)
    if words[0] == "python":
        return words[1:]
    return ["-m", {"django-admin": "django"}.get(words[0], words[0]), *words[1:]]


def complete(folder: Path, start: str) -> str:
    """Run a command of the page to its end."""
    result = subprocess.run(
        [sys.executable, *command(start)],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def write(folder: Path, block: Block) -> None:
    """Do with a file what the page says: settings are added to, others are written."""
    assert block.file is not None
    file = folder / block.file
    before = file.read_text() if block.file.endswith("settings.py") else ""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(before + "\n" + block.code)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is where the page says that it runs, and before several processes."""
    folder = tmp_path_factory.mktemp("tutorial")
    complete(folder, "django-admin")
    complete(folder, "python manage.py startapp")
    files = [block for block in BLOCKS if block.file is not None]
    for block in files[:-2]:
        write(folder, block)
    complete(folder, "python manage.py migrate")
    return folder


@contextmanager
def running(folder: Path, arguments: list[str], pattern: str) -> Iterator[Any]:
    """A command that goes on, from when it prints ``pattern``; gives the match."""
    log = folder / f"{arguments[1]}.log"
    interpreter = Interpreter(
        environment={"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    )
    process = Process(folder, tuple(arguments), log, interpreter)
    try:
        yield process.wait_for(pattern)
    finally:
        process.end()


def test_its_test_passes(project):
    assert "Ran 1 test" in complete(project, "python manage.py test")


@pytest.mark.needs("chromium", "chromedriver")
def test_two_windows_of_the_page_chat(project, tmp_path):
    runserver = [*command("python manage.py runserver"), "--noreload", "127.0.0.1:0"]
    with running(project, runserver, r"http://(127\.0\.0\.1:[1-9]\d*)/") as found:
        with headless_chromium(tmp_path) as browser:
            windows = [browser.current_window_handle]
            browser.get(f"http://{found[1]}/lobby/")
            browser.switch_to.new_window("tab")
            windows.append(browser.current_window_handle)
            browser.get(f"http://{found[1]}/lobby/")
            for window in windows:
                browser.switch_to.window(window)
                wait_until(lambda: browser.find_element(By.ID, "status").text == "connected")
            browser.find_element(By.ID, "text").send_keys("hello, both\n")
            for window in windows:
                browser.switch_to.window(window)
                wait_until(lambda: "hello, both" in browser.find_element(By.ID, "lines").text)


@pytest.mark.skipif(not is_available("shm"), reason="needs channels._speedups.shm")
def test_sockets_stay_open_while_a_worker_is_replaced(project):
    prefix = fresh_prefix()
    for block in [block for block in BLOCKS if block.file is not None][-2:]:
        write(project, block)
    settings = project / "mysite/settings.py"
    settings.write_text(settings.read_text().replace('"prefix": "mysite"', f'"prefix": "{prefix}"'))
    daphne = [word.replace("8000", "0") for word in command("daphne")]
    worker = command("python manage.py runworker")
    try:
        with (
            running(project, daphne, r"Listening on http://(\S+?);") as found,
            ExitStack() as sockets,
        ):
            with running(project, worker, "Listening on channels"):
                socket = sockets.enter_context(connect(f"ws://{found[1]}/rooms/lobby/"))
            consumers = project / "chat/consumers.py"
            consumers.write_text(consumers.read_text().replace("text[:1000]", "text.upper()"))
            socket.send(json.dumps({"text": "meanwhile"}))
            with running(project, worker, "Listening on channels"):
                assert json.loads(socket.recv(timeout=20)) == {"text": "MEANWHILE"}
    finally:
        remove(prefix)
