"""Reads blocks that are no Python as the programs read them that they are for."""

import argparse
import configparser
import html.parser
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from django.core.management import get_commands, load_command_class
from django.template import Template

from daphne.cli import CommandLineInterface
from daphne.configuration import build_parser, read_configuration
from daphne.option_table import FIELDS
from daphne.options import Options
from tests.documentation.blocks import ROOT, Block
from tests.servers.programs import find_program

__all__ = ["check", "commands"]


def check(block: Block, folder: Path) -> None:
    """Fail where the program of the block's language would not take it.

    ``folder`` is for files.
    """
    assert block.language in _CHECKS, (
        f"{block.place}: nothing checks a block in {block.language!r}; name its language, or say "
        "above it what it is (tests/documentation/blocks.py)"
    )
    _CHECKS[block.language](block, folder)


# -- commands -------------------------------------------------------------------------------------


def commands(block: Block) -> list[str]:
    """The commands of a shell's block: of a session those after its prompts."""
    text = re.sub(r"\\\n\s*", "", block.code)
    lines = text.splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith(("$ ", "# "))]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _check_shell(block: Block, folder: Path) -> None:
    syntax = subprocess.run(
        ["bash", "-n"], input="\n".join(commands(block)), capture_output=True, text=True
    )
    assert syntax.returncode == 0, f"{block.place}: {syntax.stderr}"
    if block.note == "machine":
        return
    for command in commands(block):
        words = [word for word in shlex.split(command, comments=True) if word != "&"]
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        _check_command(words, block)


def _check_command(words: list[str], block: Block) -> None:
    program, *arguments = words
    if program in ("python", "python3", ".venv/bin/python") and arguments[:1] == ["-m"]:
        program, *arguments = arguments[1:]
    elif program in ("python", "python3"):
        program, *arguments = arguments
    name = program.rpartition("/")[2]
    assert name in _PROGRAMS or (ROOT / program).is_file(), (
        f"{block.place}: nothing checks the program {program!r}; if it changes the machine, say so"
    )
    try:
        _PROGRAMS.get(name, _nothing)(arguments)
    except (SystemExit, argparse.ArgumentError) as error:
        raise AssertionError(f"{block.place}: {' '.join(words)!r} is refused") from error


def _nothing(arguments: list[str]) -> None:
    """For programs whose arguments are their own business."""


def check_daphne(arguments: list[str]) -> None:
    """Read options as the command does; those of the server have to do."""
    parser = build_parser(CommandLineInterface.description)
    read = read_configuration(parser, arguments, {})
    Options(**{name: read[name] for name in FIELDS if name != "websocket_timeout"})


def _check_manage(arguments: list[str]) -> None:
    name, *rest = arguments
    assert name in get_commands(), f"there is no management command {name!r}"
    load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(rest)


def _check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in (word for word in arguments if "=" not in word):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target!r}"


_PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "daphne": check_daphne,
    "manage.py": _check_manage,
    "django-admin": _check_manage,
    "make": _check_make,
    "cd": _nothing,
    "curl": _nothing,
    "mkdir": _nothing,
}


# -- files ----------------------------------------------------------------------------------------


def _check_toml(block: Block, folder: Path) -> None:
    values = tomllib.loads(block.code)
    if block.file is not None and "daphne" in block.file:
        file = folder / "daphne.toml"
        file.write_text(block.code)
        check_daphne(["--config", str(file)])
    assert values, block.place


def _check_ini(block: Block, folder: Path) -> None:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block.code)
    assert parser.sections(), block.place


def _check_json(block: Block, folder: Path) -> None:
    json.loads(block.code)


def _check_yaml(block: Block, folder: Path) -> None:
    assert yaml.safe_load(block.code), block.place


def _check_javascript(block: Block, folder: Path) -> None:
    file = folder / "block.mjs"
    file.write_text(block.code)
    result = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True)
    assert result.returncode == 0, f"{block.place}: {result.stderr}"


class _Page(html.parser.HTMLParser):
    """Collects the scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.scripts.append(data)


def _check_html(block: Block, folder: Path) -> None:
    Template(block.code)
    page = _Page()
    page.feed(re.sub(r"{[%{].*?[%}]}", "x", block.code))
    assert page.tags, block.place
    for script in page.scripts:
        if script.strip():
            _check_javascript(Block(block.page, block.line, "js", script), folder)


#: Around what a block of nginx's configuration is part of.
_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{ access_log off; {temporary} {text} }}
"""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _check_nginx(block: Block, folder: Path) -> None:
    nginx = find_program("nginx")
    if nginx is None:
        return
    whole = "server" in block.code.split("{")[0] or "upstream" in block.code
    text = block.code if whole else f"server {{ listen 127.0.0.1:1; {block.code} }}"
    temporary = "".join(f"{name}_temp_path {folder}/{name}; " for name in _TEMPORARY)
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, temporary=temporary, text=text))
    result = subprocess.run(
        [nginx, "-t", "-q", "-p", str(folder), "-c", str(file), "-e", "stderr"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{block.place}: {result.stderr}"


def _check_css(block: Block, folder: Path) -> None:
    assert block.code.count("{") == block.code.count("}") > 0, block.place


_CHECKS: dict[str, Callable[[Block, Path], None]] = {
    **dict.fromkeys(("sh", "bash", "shell", "console"), _check_shell),
    **dict.fromkeys(("js", "javascript"), _check_javascript),
    **dict.fromkeys(("yaml", "yml"), _check_yaml),
    **dict.fromkeys(("html", "django", "html+django"), _check_html),
    **dict.fromkeys(("ini", "systemd"), _check_ini),
    "css": _check_css,
    "json": _check_json,
    "nginx": _check_nginx,
    "toml": _check_toml,
}


def checked_languages() -> Iterable[str]:
    """What blocks may be written in, beside Python."""
    return _CHECKS
