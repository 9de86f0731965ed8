"""``docs/upgrading-from-channels-4.md``: its code works, and its tables name what there is."""

import ast
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from channels.asgi import import_backend
from daphne.option_table import GROUPS
from daphne.options import Options
from tests.management.project import Interpreter, Process
from tests.upgrading.pages import after, before, page, table

pytestmark = pytest.mark.compiled_only  # the consumers that it shows have tests of both forms

TEXT = page("upgrading-from-channels-4")

#: Names of modules, classes and settings in the column of what is here.
NAME = re.compile(r"`((?:channels|daphne)(?:\.\w+)+)`?")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of ``startproject`` with the files of the page, and further tests of them."""
    folder = tmp_path_factory.mktemp("upgraded")
    startproject = [sys.executable, "-m", "django", "startproject", "mysite", str(folder)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DJANGO_")}
    subprocess.run(startproject, check=True, env=environment)
    for name, code in after(TEXT).items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as stream:
            stream.write("\n" + code)
    (folder / "chat/__init__.py").touch()
    shutil.copy(Path(__file__).with_name("chat_tests.py"), folder / "chat/tests_of_the_rest.py")
    return folder


def test_the_tests_of_the_new_project_pass(project: Path) -> None:
    """Also that ``check`` has nothing to say, which the command asks first."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "manage.py", "test"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "System check identified no issues" in result.stdout + result.stderr
    assert re.search(r"^Ran 9 tests", result.stderr, re.MULTILINE), result.stderr


def test_the_new_project_chats_and_refuses_strangers(project: Path) -> None:
    """Over the layer in memory, since the page's Redis is nowhere."""
    with (project / "mysite/settings.py").open("a") as settings:
        layer = {"BACKEND": "channels.layers.inmemory.ChannelLayer", "CONFIG": {}}
        settings.write(f'CHANNEL_LAYERS["default"].update({layer})\n')
    manage = [sys.executable, "manage.py"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
    tables = [*manage, "migrate", "--run-syncdb", "--verbosity", "0"]
    subprocess.run(tables, cwd=project, env=environment, check=True)
    arguments = ("manage.py", "runserver", "--noreload", "127.0.0.1:0")
    settings_module = Interpreter(environment={"DJANGO_SETTINGS_MODULE": "mysite.settings"})
    server = Process(project, arguments, project / "log.txt", settings_module)
    try:
        address = server.wait_for(r"http://(127\.0\.0\.1:[1-9]\d*)/")[1]
        assert_it_chats(address)
    finally:
        server.end()


def assert_it_chats(address: str) -> None:
    url = f"ws://{address}/chat/lobby/"
    with connect(url, origin=Origin(f"http://{address}")) as one:
        with connect(url, origin=Origin(f"http://{address}")) as other:
            one.send('{"text": "hello"}')
            assert [json.loads(socket.recv(timeout=20)) for socket in (one, other)] == [
                {"name": "", "text": "hello"}
            ] * 2
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, origin=Origin("http://elsewhere.example"))


def test_the_old_code_is_python_of_the_same_files() -> None:
    old = before(TEXT)

    assert set(old) <= set(after(TEXT)) | {"chat/models.py"}
    for code in old.values():
        ast.parse(code)


def test_the_old_names_are_nowhere_in_the_new_code() -> None:
    for name, code in after(TEXT).items():
        assert not re.search(r"channels_redis|generic\.websocket\b|await self\.|scope", code), name


def test_tables_name_what_there_is() -> None:
    named = {
        name
        for row in table(TEXT, "Channels 4") + table(TEXT, "`BACKEND` of Channels 4")
        for name in NAME.findall(row[1])
    }

    assert len(named) > 8
    for name in named:
        pkgutil.resolve_name(name)


def test_backends_take_what_the_table_of_config_keeps() -> None:
    layer = import_backend("default", "channels.layers.redis.RedisChannelLayer")
    taken = inspect.signature(layer).parameters
    for argument, here in table(TEXT, "`CONFIG` of `channels_redis`"):
        for name in re.findall(r"`(\w+)`", argument.partition(" with ")[0]):
            assert (name in taken) == (not here.startswith("gone")), name


def test_options_of_daphne_are_those_of_today() -> None:
    here = {flag for group in GROUPS.values() for option in group for flag in option.flags}
    for old, new in table(TEXT, "Daphne 4"):
        for flag in re.findall(r"--[\w-]+", new):
            assert flag in here, flag
        if "the same" not in new:
            assert not {flag.replace("_", "-") for flag in re.findall(r"--[\w-]+", old)} & here, old


def test_the_default_is_as_told() -> None:

    rows = dict(table(TEXT, "Daphne 4"))
    assert f"{Options().http_timeout:g} seconds" in rows["`--http-timeout`, none by default"]
