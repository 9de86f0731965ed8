"""The commands of the pages that start Daphne do start it, each in a process of its own."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.blocks import PAGES, Block, blocks_of
from tests.documentation.languages import commands
from tests.management.project import ROOT, Interpreter, Project
from tests.servers.authority import Authority
from tests.servers.ports import free_port

pytestmark = [pytest.mark.compiled_only, pytest.mark.slow]

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from channels.asgi import get_channel_layer
channel_layer = get_channel_layer()
"""


def started(block: Block) -> Iterator[str]:
    """The commands of a block that start Daphne, on sockets of their own."""
    if block.language in ("sh", "console") and block.note == "":
        for command in commands(block):
            if command.startswith("daphne ") and "fd:" not in command:
                yield command.partition(" #")[0].strip()


COMMANDS = sorted({one for page in PAGES for block in blocks_of(page) for one in started(block)})
COMMANDS.append("daphne --config daphne.toml")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    project.write("mysite/asgi.py", ASGI)
    authority = Authority(tmp_path)
    key, certificate = authority.issue()
    project.write("key.pem", key.read_text())
    project.write("cert.pem", certificate.read_text())
    config = next(block for page in PAGES for block in blocks_of(page) if block.language == "toml")
    project.write("daphne.toml", on_free_ports(config.code))
    yield project
    project.end()


def on_free_ports(text: str) -> str:
    """The same with other ports; a busy machine may have those of the pages."""
    return re.sub(
        r"(?<![\w.])(80|443|5000|8000|8443|9000|9100)\b", lambda _: str(free_port()), text
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_it_listens(project, command):
    # For commands that name none; those that do come before it.
    port = {"DAPHNE_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
    arguments = ("-m", *shlex.split(on_free_ports(command)))
    process = project.run(*arguments, interpreter=Interpreter(environment=port))

    process.wait_for(r"Listening on|Serving by")
