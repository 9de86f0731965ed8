"""The commands in the files of ``deploy/``, as the programs themselves read them."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from channels.routing import null_consumer
from channels.worker import Worker
from daphne.configuration import build_parser, read_configuration
from tests.management.project import ROOT
from tests.worker.workers import make_layer

pytestmark = pytest.mark.compiled_only

DEPLOY = ROOT / "deploy"


def unit_commands() -> list[list[str]]:
    """The commands of systemd's units."""
    texts = [path.read_text() for path in sorted(DEPLOY.glob("systemd/*.service"))]
    lines = [re.search(r"^ExecStart=\S*/bin/(.*)$", text, re.MULTILINE) for text in texts]
    return [shlex.split(line[1]) for line in lines if line is not None]


def compose() -> dict[str, Any]:
    """The services of compose.yaml, by name."""
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
    return services["services"]


def image_instruction(name: str) -> str:
    """The last instruction of a name in the Dockerfile."""
    text = re.sub(r"\\\n", "", Path(DEPLOY, "docker/Dockerfile").read_text())
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[-1]


def container_commands() -> list[list[str]]:
    """The commands of the image and of the services that run another one in it."""
    built = [service for service in compose().values() if "build" in service]
    own: list[str] = yaml.safe_load(image_instruction("CMD"))
    return [own, *(service["command"] for service in built if "command" in service)]


def options_of(command: list[str]) -> dict[str, Any]:
    """What a command is told; fails where it is not understood."""
    if command[0] == "daphne":
        return dict(read_configuration(build_parser("daphne"), command[1:], {}).values)
    assert command[:2] == ["python", "manage.py"]
    name, *rest = command[2:]
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    return {"command": name, **vars(parser.parse_args(rest))}


@pytest.mark.parametrize(
    "commands", [unit_commands(), container_commands()], ids=["systemd", "containers"]
)
def test_the_workers_of_all_files_listen_to_everything(commands):
    options = [options_of(command) for command in commands]
    workers = [one for one in options if one.get("command") == "runworker"]
    layer = make_layer({"thumbnail": null_consumer})
    layer.router.check_default(http_consumer=null_consumer)
    heard = [
        Worker(
            layer,
            only_channels=one["only_channels"],
            exclude_channels=one["exclude_channels"],
        ).channels()
        for one in workers
    ]
    # Each channel has one kind of worker.
    assert sorted(channel for channels in heard for channel in channels) == sorted(
        layer.router.channels
    )
    assert sum("channel_layer" in one for one in options) == 1
    assert [one.get("command") for one in options].count("rundelay") == 1


def test_every_file_is_packed():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    patterns = tools["setuptools"]["package-data"]["channels.deploy"]
    packed = {path for pattern in patterns for path in DEPLOY.glob(pattern) if path.is_file()}
    files = {
        path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - packed == {DEPLOY / "__init__.py"}


def test_containers_look_at_the_file_that_says_who_is_ready():
    _, _, check = image_instruction("HEALTHCHECK").partition("CMD ")
    program, _, file = yaml.safe_load(check)
    assert program == "test"
    assert {options_of(command)["ready_file"] for command in container_commands()} == {file}
