"""What the management commands share: options in both spellings, and the layer that they are given.

The commands themselves are in ``commands``; those of the ``daphne`` program in ``daphne.cli``.
"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.exceptions import InvalidChannelLayerError
from channels.readiness import Readiness

__all__ = [
    "add_layer_option",
    "add_option",
    "add_ready_file_option",
    "add_threads_option",
    "readiness_of",
    "shared_layer",
    "threads_of",
]


def add_option(parser: CommandParser, name: str, **arguments: Any) -> None:
    """Add the option ``name``, written with hyphens, so that underscores are understood as well.

    ``arguments`` are those of ``argparse.ArgumentParser.add_argument``.
    """
    spellings = dict.fromkeys([name, "--" + name.removeprefix("--").replace("-", "_")])
    parser.add_argument(*spellings, **arguments)


def add_layer_option(parser: CommandParser) -> None:
    """Add ``--layer``, the alias of the channel layer to work on."""
    add_option(
        parser,
        "--layer",
        default=DEFAULT_CHANNEL_LAYER,
        metavar="ALIAS",
        help="The channel layer, by its alias in CHANNEL_LAYERS (default: %(default)s).",
    )


def add_threads_option(parser: CommandParser, what: str) -> None:
    """Add ``--threads``, how many at a time of ``what`` there are; ``threads_of`` reads it."""
    add_option(
        parser,
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help=f"The number of {what} (default: %(default)s).",
    )


def threads_of(options: dict[str, Any]) -> int:
    """What ``--threads`` says. Raises ``CommandError`` for less than one."""
    threads: int = options["threads"]
    if threads < 1:
        raise CommandError(f"--threads must be 1 or more, not {threads}.")
    return threads


def add_ready_file_option(parser: CommandParser) -> None:
    """Add ``--ready-file``; ``readiness_of`` reads it."""
    add_option(
        parser,
        "--ready-file",
        metavar="PATH",
        help="A file that holds the number of the process for as long as it receives messages; "
        "its folder must exist. systemd and supervisor are told without it.",
    )


def readiness_of(options: dict[str, Any]) -> Readiness:
    """Who is to be told that the process is ready: systemd, supervisor, and ``--ready-file``.

    Raises ``CommandError`` where the file cannot be written.
    """
    try:
        return Readiness(options["ready_file"])
    except OSError as error:
        raise CommandError(
            f"--ready-file {options['ready_file']} cannot be written: {error.strerror}. Name a "
            "file in a folder that exists, and in which this user may write."
        ) from error


def shared_layer(alias: str) -> ChannelLayerWrapper:
    """The layer ``alias`` for a process that works for others.

    Raises ``CommandError`` where it is not configured, or is one that no other process can reach.
    """
    if alias not in channel_layers:
        configured = ", ".join(map(repr, channel_layers.configs)) or "none"
        raise CommandError(
            f"There is no channel layer {alias!r}: the setting CHANNEL_LAYERS has {configured}. "
            f"Add {alias!r} to it, or choose another one with --layer."
        )
    try:
        layer = channel_layers[alias]
    except InvalidChannelLayerError as error:
        raise CommandError(str(error)) from error
    if layer.local_only():
        raise CommandError(
            "You cannot span multiple processes with the in-memory layer. "
            f"The channel layer {layer} exists in one process only, which is what runserver uses; "
            f"give CHANNEL_LAYERS[{alias!r}] another BACKEND to run workers of their own."
        )
    return layer
