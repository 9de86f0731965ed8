"""What the ``daphne`` command is told: by its arguments, the environment and a file.

Each option of ``daphne.option_table`` may be a flag (``--max-body 10M``), a variable of the
environment (``DAPHNE_MAX_BODY=10M``) and a key of the TOML file that ``--config`` or
``DAPHNE_CONFIG`` names (``max_body = "10M"``). The first of these that gives an option counts, for
each option by itself; what nobody gives has its default. Nothing is loaded or opened here but that
file.
"""

import argparse
import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from channels import __version__
from daphne.option_table import APPLICATION, GROUPS, OPTIONS, Option
from daphne.options import in_short

__all__ = ["Configuration", "ConfigurationError", "build_parser", "help_of", "read_configuration"]

#: What variables of the environment begin with.
PREFIX = "DAPHNE_"

#: The variable that names the file, as ``--config`` does.
_CONFIG = f"{PREFIX}CONFIG"

_BY_NAME = {name: option for option in (APPLICATION, *OPTIONS) for name in option.names}


class ConfigurationError(ValueError):
    """The command was told something wrong; the message says where, what, and what to do."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The values of all options."""

    #: Value of each option by ``Option.dest``.
    values: Mapping[str, Any]

    #: Where values that are no defaults were given, by ``Option.dest``, for messages.
    sources: Mapping[str, str]

    def __getitem__(self, dest: str) -> Any:
        return self.values[dest]

    def source(self, dest: str) -> str:
        """Where the value comes from."""
        return self.sources.get(dest, "the default")


def read_configuration(
    parser: argparse.ArgumentParser, args: Sequence[str], environ: Mapping[str, str]
) -> Configuration:
    """The values that ``args``, ``environ`` and the file give.

    Raises ``ConfigurationError`` for what the environment or the file say wrong and where no
    channel layer is named, ``SystemExit`` with code 2 for wrong arguments.
    """
    given = vars(parser.parse_args(_with_hyphens(args)))
    path = given.pop("config", None) or environ.get(_CONFIG)
    told = [_from_arguments(given), _from_environment(environ)]
    if path:
        told.append(_from_file(path))
    values = {option.dest: option.default_value for option in (APPLICATION, *OPTIONS)}
    sources: dict[str, str] = {}
    for source in reversed(told):
        for option, value, where in source:
            values[option.dest] = tuple(value) if option.kind.is_list else value
            sources[option.dest] = where
    if not values[APPLICATION.dest]:
        raise ConfigurationError(
            "no channel layer is named: add module:path.to.layer (mysite.asgi:channel_layer) to "
            f"the command, or set {_variable(APPLICATION.name)} or channel_layer in a file"
        )
    return Configuration(values, sources)


#: One thing that was told: the option, its value, and where.
_Told = tuple[Option, Any, str]


def _from_arguments(given: Mapping[str, Any]) -> list[_Told]:
    by_dest = {option.dest: option for option in (APPLICATION, *OPTIONS)}
    return [
        (by_dest[dest], value, f"argument {by_dest[dest].flags[-1]}")
        for dest, value in given.items()
    ]


# -- the environment ------------------------------------------------------------------------------


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _from_environment(environ: Mapping[str, str]) -> list[_Told]:
    variables = {_variable(name): option for name, option in _BY_NAME.items()}
    told: dict[Option, _Told] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == _CONFIG:
            continue
        where = f"environment variable {name}"
        option = variables.get(name)
        if option is None:
            raise _unknown(where, name, [*variables, _CONFIG], f"unset {name}")
        if text:  # an empty one is as good as none
            _once(told, option, where)
            with _located(where):
                told[option] = option, _value_of_text(option, text), where
    return list(told.values())


def _value_of_text(option: Option, text: str) -> Any:
    """The value of a variable; entries of lists are parted by blanks where not by commas."""
    if not option.kind.is_list:
        return option.read(text)
    parts = text.split() if option.kind.separator is None else [text]
    return [entry for part in parts for entry in option.entries(part)]


# -- the file -------------------------------------------------------------------------------------


def _from_file(path: str) -> list[_Told]:
    told: dict[Option, _Told] = {}
    for key, value in _load(path).items():
        where = f"{path}, key {key}"
        option = _BY_NAME.get(key.replace("-", "_"))
        if option is None:
            raise _unknown(where, key, _BY_NAME, "remove it")
        _once(told, option, where)
        with _located(where):
            told[option] = option, _value_of_toml(option, value), where
    return list(told.values())


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(
            f"the configuration file {path} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:  # also of bytes that are no text, and of numbers without end
        raise ConfigurationError(
            f"the configuration file {path} is no TOML: {error}; write lines such as port = 8000"
        ) from error


def _value_of_toml(option: Option, value: Any) -> Any:
    """What a value of the file means; numbers and texts are as good as each other."""
    kind = option.kind
    if kind.is_list:
        items = value if isinstance(value, list) else [value]
        return [entry for item in items for entry in option.entries(_text(option, item))]
    if kind.is_flag and isinstance(value, bool):
        return value
    return option.read(_text(option, value))


def _text(option: Option, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} will not do; expected {option.kind.expected}")
    if isinstance(value, str) and "\0" in value:  # the other sources cannot have it
        raise ValueError(f"{value!r} will not do: it has a NUL character")
    return str(value)


# -- what is told wrong ---------------------------------------------------------------------------


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Say where the value was given that could not be read."""
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _once(told: Mapping[Option, _Told], option: Option, where: str) -> None:
    if option in told:
        raise ConfigurationError(f"{where}: {told[option][2]} sets the same option; remove one")


def _unknown(where: str, name: str, known: Iterable[str], remedy: str) -> ConfigurationError:
    close = difflib.get_close_matches(name.replace("-", "_"), known, 1)
    hint = f"did you mean {close[0]}?" if close else "see daphne --help"
    return ConfigurationError(f"{where}: there is no such option; {remedy}, or {hint}")


# -- the command line -----------------------------------------------------------------------------


def build_parser(description: str) -> argparse.ArgumentParser:
    """The parser of the command line; it sets only what the command line gives."""
    parser = argparse.ArgumentParser(
        prog="daphne",
        usage="daphne [options] module:path.to.layer",
        description=description,
        epilog=f"Each option may also be a variable of the environment ({PREFIX}MAX_BODY=10M) or a "
        'key of the file (max_body = "10M"); what is given here comes first, then the '
        "environment, then the file. Options may be written with underscores. Times are in "
        "seconds; 'none' as a limit means that there is none. Sizes take K, M and G. Exit codes: 0 "
        "stopped as told, 1 could not start, 2 wrong options, 3 stopped as told but connections or "
        "consumers were cut off.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        APPLICATION.dest, nargs="?", metavar=APPLICATION.metavar, help=APPLICATION.help
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file with options (default: none is read)"
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"daphne of channels-batteries {__version__}",
        help="show the version and exit",
    )
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option)
    return parser


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    kind = option.kind
    arguments: dict[str, Any] = {"dest": option.dest, "help": help_of(option)}
    if kind.is_flag:
        group.add_argument(*option.flags, action=argparse.BooleanOptionalAction, **arguments)
        return
    read = option.entries if kind.is_list and not kind.takes_many else option.read
    arguments |= {"metavar": option.metavar, "type": _argument_type(read)}
    if kind.is_list:
        arguments |= {"action": "extend", "nargs": "*" if kind.takes_many else None}
    group.add_argument(*option.flags, **arguments)


def _argument_type(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def read_argument(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_argument


def help_of(option: Option) -> str:
    """What ``--help`` says: with the default, unless the text speaks of it or there is none."""
    value, text = option.default_value, option.help
    nothing = value in ("", ()) or (value is None and not option.kind.may_be_none)
    if "(default" not in text and not option.kind.is_flag and not nothing:
        text += f" (default {_shown(option, value)})"
    return text.replace("%", "%%")


def _shown(option: Option, value: Any) -> str:
    if option.kind.is_list:
        return (option.kind.separator or " ").join(value)
    return value if isinstance(value, str) else in_short(value)


def _with_hyphens(args: Sequence[str]) -> list[str]:
    """The arguments with the underscores in option names made hyphens."""
    result: list[str] = []
    for position, arg in enumerate(args):
        if arg == "--":
            return result + list(args[position:])
        if arg.startswith("--"):
            name, equals, value = arg.partition("=")
            arg = name.replace("_", "-") + equals + value
        result.append(arg)
    return result
