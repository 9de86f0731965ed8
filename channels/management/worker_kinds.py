"""Which workers a project has: kinds of them, each with its channels, that share the routing.

By default there is one kind for HTTP, one for WebSockets, and one for all other channels, if there
are any: a long task holds up no page then, and no page a socket.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from channels.asgi import ChannelLayerWrapper
from channels.management.commands.runworker import Command as Runworker
from channels.management.commands.runworker import limits_of
from channels.worker import Worker

__all__ = ["Kind", "kinds_of", "overridden"]

#: Processes of each kind: with less than two, messages wait while one is replaced.
_PROCESSES = 2

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

#: What is given as a list.
_LISTS = ("only", "exclude", "options")

_COUNT = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(\d+)(?:x(\d+))?")


@dataclass(frozen=True, slots=True)
class Kind:
    """Some workers that listen to the same channels: ``only`` those, but not to ``exclude``.

    ``options`` are further ones of ``runworker``.
    """

    name: str
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    processes: int = _PROCESSES
    threads: int = 1
    options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The options of ``runworker`` that make such a worker."""
        arguments = [f"--only-channels={pattern}" for pattern in self.only]
        arguments += [f"--exclude-channels={pattern}" for pattern in self.exclude]
        arguments += [f"--threads={self.threads}"] if self.threads > 1 else []
        return [*arguments, *self.options]

    @property
    def description(self) -> str:
        """Its channels in words."""
        only = ", ".join(self.only) or "all channels"
        return f"{only} but {', '.join(self.exclude)}" if self.exclude else only

    def channels(self, layer: ChannelLayerWrapper) -> list[str]:
        """Those of the layer's routing that it listens to. Raises ``CommandError`` for none."""
        worker = Worker(
            layer, signal_handlers=False, only_channels=self.only, exclude_channels=self.exclude
        )
        try:
            return worker.channels()
        except ImproperlyConfigured as error:
            raise CommandError(f"Workers of the kind {self.name!r}: {error}.") from error


#: The kinds of every project. The third is for its own channels.
_HTTP = Kind("http", only=("http.*",))
_WEBSOCKET = Kind("websocket", only=("websocket.*",))
_BACKGROUND = Kind("background", exclude=("http.*", "websocket.*"))


def kinds_of(layer: ChannelLayerWrapper, given: Any, counts: Iterable[str]) -> list[Kind]:
    """The kinds of workers for ``layer``, whose channels are shared out among them.

    ``given`` is what the settings say: None, or a dict of names to dicts with ``only``,
    ``exclude``, ``processes``, ``threads`` and ``options``. ``counts`` are as ``overridden`` takes
    them. Raises ``CommandError`` where they are wrong, or leave a channel to nobody.
    """
    kinds = _default(layer) if given is None else [*map(_read, *_items(given))]
    kinds = [kind for kind in overridden(kinds, counts) if kind.processes]
    covered = {channel for kind in kinds for channel in kind.channels(layer)}
    left = sorted(layer.router.channels - covered)
    if left:
        raise CommandError(
            f"No worker would listen to {', '.join(left)}, which layer {layer} has routes for; add "
            "a kind of workers for them to CHANNELS_SUPERVISOR['workers']."
        )
    return kinds


def overridden(kinds: Sequence[Kind], counts: Iterable[str]) -> list[Kind]:
    """The kinds with other numbers of processes and threads, such as "http=4" and "http=4x8".

    Raises ``CommandError`` for what is written otherwise, and for a kind that there is not.
    """
    by_name = {kind.name: kind for kind in kinds}
    for text in counts:
        found = _COUNT.fullmatch(text)
        if found is None or found[1] not in by_name:
            raise CommandError(
                f"--workers {text}: expected KIND=PROCESSES or KIND=PROCESSESxTHREADS, such as "
                f"http=4x2, with one of the kinds {', '.join(by_name) or 'none'}."
            )
        kind = by_name[found[1]]
        threads = kind.threads if found[3] is None else int(found[3])
        by_name[kind.name] = _checked(replace(kind, processes=int(found[2]), threads=threads))
    return list(by_name.values())


def _default(layer: ChannelLayerWrapper) -> list[Kind]:
    own = ("http.", "websocket.")
    others = [channel for channel in layer.router.channels if not channel.startswith(own)]
    return [_HTTP, _WEBSOCKET, *([_BACKGROUND] if others else [])]


def _items(given: Any) -> tuple[list[Any], list[Any]]:
    if not isinstance(given, Mapping):
        raise CommandError(
            "CHANNELS_SUPERVISOR['workers'] must be a dict of names to dicts, such as "
            f"{{'http': {{'only': ['http.*'], 'processes': 2}}}}, not {given!r}."
        )
    return list(given), list(given.values())


def _read(name: Any, options: Any) -> Kind:
    """A kind as the settings have it."""
    where = f"CHANNELS_SUPERVISOR['workers'][{name!r}]"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CommandError(f"{where}: a name has letters, digits and underscores.")
    known = ("only", "exclude", "processes", "threads", "options")
    if not isinstance(options, Mapping) or not set(options) <= set(known):
        raise CommandError(
            f"{where} must be a dict with some of {', '.join(known)}, not {options!r}."
        )
    lists: dict[str, Any] = {
        key: _texts(f"{where}[{key!r}]", options.get(key, ())) for key in _LISTS
    }
    numbers = {key: options[key] for key in ("processes", "threads") if key in options}
    return _checked(Kind(name, **lists, **numbers), where)


def _texts(where: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise CommandError(f"{where} must be a list of texts, not {value!r}.")
    return tuple(value)


def _checked(kind: Kind, where: str = "--workers") -> Kind:
    for key, value, least in (("processes", kind.processes, 0), ("threads", kind.threads, 1)):
        if type(value) is not int or value < least:
            raise CommandError(
                f"{where}: {key} must be a whole number, {least} or more, not {value!r}."
            )
    try:
        limits_of(
            vars(Runworker().create_parser("manage.py", "runworker").parse_args(kind.options))
        )
    except (CommandError, SystemExit) as error:
        raise CommandError(
            f"{where}: runworker does not take the options {shlex.join(kind.options)}: {error}"
        ) from error
    return kind
