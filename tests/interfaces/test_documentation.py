"""The files and commands of ``docs/interfaces.md``, copied as they stand, serve a page."""

import http.client
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.interfaces.site import Site
from tests.management.project import ROOT
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.compiled_only  # it is about commands

TEXT = (ROOT / "docs" / "interfaces.md").read_text()

#: The Python blocks by the file that their first line names.
FILES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))

COMMANDS = re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE)
SERVERS = [command for command in COMMANDS if "8000" in command]

PLAIN = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello from WSGI"]
"""


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def site(redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """The project of the documentation, with our pages."""
    layer = FILES["mysite/settings.py"].replace("redis://127.0.0.1:6379/0", redis.url)
    site = Site(tmp_path, {})
    project = {
        "settings.py": "from settings import *\n" + layer,
        "routing.py": (tmp_path / "routing.py").read_text(),
        "asgi.py": FILES["mysite/asgi.py"],
        "wsgi.py": FILES["mysite/wsgi.py"],
        "plain.py": PLAIN,
        "__init__.py": "",
    }
    (tmp_path / "mysite").mkdir()
    for name, text in project.items():
        (tmp_path / "mysite" / name).write_text(text)
    manage = (tmp_path / "manage.py").read_text().replace('"settings"', '"mysite.settings"')
    (tmp_path / "manage.py").write_text(manage)
    redis.ask("FLUSHALL")
    yield site
    site.end()


def run(site: Site, command: str) -> Any:
    """Start a command of the documentation, on the site's port."""
    program, *arguments = shlex.split(command.replace("8000", str(site.port)))
    if program != "python":
        arguments = [str(Path(sys.executable).parent / program), *arguments]
    return site.run(*arguments)


def get(site: Site) -> bytes:
    with closing(http.client.HTTPConnection(*site.address, timeout=30)) as connection:
        connection.request("GET", "/hello/")
        return connection.getresponse().read()


def test_the_documentation_has_commands_of_every_server():
    programs = [command.split()[0] for command in SERVERS]
    assert programs == ["uvicorn", "hypercorn", "granian", "gunicorn", "waitress-serve"]


@pytest.mark.parametrize("command", SERVERS, ids=lambda command: command.split()[0])
def test_a_server_serves_the_projects_pages(site, command):
    site.server = run(site, command)
    run(site, "python manage.py runworker --threads 4")
    site.wait_until_it_listens()

    assert get(site) == b"hello you"


def test_a_wsgi_application_serves_behind_the_layer(site):
    site.server = run(site, SERVERS[0])
    (command,) = [command for command in COMMANDS if "runwsgi" in command]
    run(site, command)
    site.wait_until_it_listens()

    assert get(site) == b"hello from WSGI"


def test_the_statistics_are_shown(site):
    process = run(site, "python manage.py channelstats --once")

    assert process.wait(30) == 0, site.output()
    assert "http.request" in site.output()
