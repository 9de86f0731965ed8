"""Tables of options that are made of the code itself, so that none goes out of date.

``{daphne-options}`` lists the options of the ``daphne`` command, ``{command-options} NAME`` those
of a management command.
"""

import argparse
from collections.abc import Iterable
from typing import Any

from django.core.management import get_commands, load_command_class
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from daphne.configuration import help_of
from daphne.option_table import GROUPS, Option

__all__ = ["command_table", "daphne_tables", "setup"]

#: The options of every management command, which Django documents.
_DJANGOS = {
    *("help", "version", "settings", "pythonpath", "traceback", "no_color", "force_color"),
    *("skip_checks", "verbosity"),
}


def daphne_tables() -> str:
    """The options of ``daphne`` as Markdown, a table for each group of ``--help``."""
    return "\n\n".join(
        f"**{title[:1].upper()}{title[1:]}**\n\n{_table(map(_daphne_row, group))}"
        for title, group in GROUPS.items()
    )


def command_table(name: str) -> str:
    """The options of a management command as a Markdown table, those of every command left out."""

    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    return _table(_command_row(action) for action in parser._actions if action.dest not in _DJANGOS)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    return "\n".join(["| option | what it does |", "|---|---|", *(f"| {line} |" for line in lines)])


def _daphne_row(option: Option) -> tuple[str, str]:
    return _flags(option.flags, option.metavar), _sentence(help_of(option).replace("%%", "%"))


def _command_row(action: argparse.Action) -> tuple[str, str]:
    flags = [flag for flag in action.option_strings if "_" not in flag]
    metavar = action.metavar if flags and isinstance(action.metavar, str) else ""
    text = (action.help or "") % {"default": action.default}
    return _flags(flags or [action.dest], metavar), _sentence(text)


def _flags(flags: Iterable[str], metavar: str) -> str:
    return ", ".join(f"`{flag} {metavar}`".replace(" `", "`") for flag in flags)


def _sentence(text: str) -> str:
    """As it stands between others: no code is meant by its quotes, so they stay."""
    text = " ".join(text.split()).removesuffix(".")
    return text[:1].upper() + text[1:].replace("*", r"\*")


class _Tables(SphinxDirective):
    """Puts Markdown in its own place."""

    def markdown(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(self.markdown())


class DaphneOptions(_Tables):
    """``{daphne-options}``."""

    def markdown(self) -> str:
        return daphne_tables()


class CommandOptions(_Tables):
    """``{command-options} NAME``."""

    required_arguments = 1

    def markdown(self) -> str:
        return command_table(self.arguments[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("daphne-options", DaphneOptions)
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
