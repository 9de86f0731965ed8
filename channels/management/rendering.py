"""Templates of ``channels.deploy`` as text, with values that mean the same to supervisor.

Which values, is in ``deployment``; nothing is written here.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from django.core.management.base import CommandError
from django.template import Context, Engine

__all__ = ["command_line", "plain", "redis_text", "render", "variables"]

#: A line with nothing but a tag, which is to leave nothing.
_TAG_LINE = re.compile(r"^[ ]*(\{%[^%]*%\})\n", re.MULTILINE)

#: What would end a value in supervisor's files, or begin a comment in it.
_ENDS_VALUE = re.compile(r"[\n\r\0]|\s[;#]")

_engine = Engine(autoescape=False)


def render(template: str, **values: Any) -> str:
    """A template of supervisor's, by its name, with ``values``, which stand there as they are."""
    source = files("channels.deploy").joinpath("supervisor", template).read_text(encoding="utf-8")
    compiled = _engine.from_string(_TAG_LINE.sub(r"\1", source))
    return str(compiled.render(Context(values, autoescape=False)))


def plain(text: str) -> str:
    """``text`` for a value of supervisor's, where percent signs begin expansions.

    Raises ``CommandError`` for what cannot stand there.
    """
    if _ENDS_VALUE.search(text):
        raise CommandError(
            f"{text!r} cannot stand in a file of supervisor, which would end it at a line break "
            "or read a comment after a blank with ; or #; choose another name."
        )
    return text.replace("%", "%%")


def command_line(arguments: Iterable[str]) -> str:
    """A command as supervisor splits it."""
    return plain(shlex.join(arguments))


def redis_text(text: str) -> str:
    """``text`` for a value in a file of Redis's, which reads escapes between quotation marks."""
    for character, escape in (("\\", r"\\"), ('"', r"\""), ("\n", r"\n"), ("\r", r"\r")):
        text = text.replace(character, escape)
    return f'"{text}"'


def variables(values: Mapping[str, str]) -> str:
    """Variables of the environment as supervisor reads them. Raises as ``plain``."""
    for name, value in values.items():
        if not isinstance(value, str):
            raise CommandError(f"the variable {name} must be a text, not {value!r}")
        # supervisor knows no way to write one mark, and takes the other one off both ends.
        if '"' in value or value != value.strip("'"):
            raise CommandError(f"the variable {name} has a quotation mark: {value!r}")
    return ",".join(f'{name}="{plain(value)}"' for name, value in values.items())
