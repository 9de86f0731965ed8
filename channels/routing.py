"""Routing: which consumer gets a message (Channels documentation, Routing).

``route``, ``route_class`` and ``include`` make the entries of a routing list; a ``Router`` answers
for a whole one, default routes included. Everything that can be wrong with an entry is said when it
is made. How a match is found quickly is in ``channels.matching``.
"""

import functools
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from channels import matching
from channels.names import check_channel_name

__all__ = [
    "Include",
    "Route",
    "RouteClass",
    "Router",
    "connect_consumer",
    "consumer_name",
    "import_dotted",
    "include",
    "null_consumer",
    "route",
    "route_class",
]

#: What a match gives: the consumer, and the keyword arguments that the named groups captured.
Match = tuple[Callable[..., Any], dict[str, Any]]


class _Entry:
    """What the built-in entries share: a plan, by which they match alone and within a router."""

    def plans(self) -> list[matching.Plan]:
        """What ``channels.matching`` makes a table from."""
        raise NotImplementedError

    def match(self, message: Any) -> Match | None:
        """The consumer and keyword arguments for ``message``, or None."""
        return _match(self._table, message)

    @property
    def _table(self) -> Any:
        return matching.table(self.plans())


class Route(_Entry):
    """A consumer for one or several channels, limited by filters.

    ``channels`` is a name or a list of names; ``consumer`` a callable or the dotted path of one.
    Each of ``filters`` is a regular expression that the message's value of that key has to match
    from its start; all have to match. Raises ``ImproperlyConfigured`` or, for groups without names,
    ``ValueError``.
    """

    def __init__(
        self, channels: Any, consumer: Callable[..., Any] | str, **filters: str | bytes
    ) -> None:
        self.consumer = _import_consumer(consumer)
        self.channels = _channel_names(channels, consumer_name(self.consumer))
        self.filters = filters
        self._patterns = _compile(filters, self)

    def channel_names(self) -> set[str]:
        """The channels that it takes messages from."""
        return set(self.channels)

    def plans(self) -> list[matching.Plan]:
        return [matching.leaf(self.channels, self._patterns, self.consumer)]

    @functools.cached_property
    def _table(self) -> Any:
        return super()._table

    def __str__(self) -> str:
        where = f"{'/'.join(self.channels)}{_filters_text(self.filters)}"
        return f"{where} -> {consumer_name(self.consumer)}"


class RouteClass(Route):
    """A class-based consumer, which names its channels itself.

    Raises ``ValueError`` where it has no ``channel_names()``, and what ``Route`` does.
    """

    def __init__(self, consumer: Any, **filters: str | bytes) -> None:
        consumer = _import_consumer(consumer)
        if not callable(getattr(consumer, "channel_names", None)):
            raise ValueError(
                f"route_class() needs a class-based consumer with a channel_names() method, and "
                f"{consumer_name(consumer)} has none; use route() for function consumers"
            )
        super().__init__(consumer.channel_names(), consumer, **filters)


class Include(_Entry):
    """Another routing, limited by prefixes.

    ``routing`` is a list, a dict or the dotted path of one. Each of ``prefixes`` is a regular
    expression as in ``Route``; what it matched is cut off the value for the entries inside, and for
    them alone. Keyword arguments of inner entries win over those of prefixes.
    """

    def __init__(self, routing: Any, **prefixes: str | bytes) -> None:
        self.routing = Router.resolve_routing(routing)
        self.prefixes = prefixes
        self._patterns = _compile(prefixes, self)

    def channel_names(self) -> set[str]:
        """The channels of all entries inside."""
        return {name for entry in self.routing for name in entry.channel_names()}

    def plans(self) -> list[matching.Plan]:
        inner = [plan for entry in self.routing for plan in _plans(entry)]
        return [matching.group(self._patterns, inner)] if self._patterns else inner

    def __str__(self) -> str:
        return f"include{_filters_text(self.prefixes)} of {len(self.routing)} entries"


class Router:
    """A whole routing.

    ``channels`` is the set of channels that it can handle; it is replaced, never changed, where
    entries are added, so that threads may go through it. Entries are added by ``add_route``; the
    default routes of ``check_default`` stand after all of them.
    """

    def __init__(self, routing: Any) -> None:
        self.root = Include(routing)
        self.channels = _listened_to(self.root)
        self._defaults: dict[str, Route] = {}
        self._table: Any = None
        self._lock = threading.Lock()

    def match(self, message: Any) -> Match | None:
        """The consumer and keyword arguments of the first entry that matches, or None."""
        return _match(self._table or self._compiled(), message)

    def add_route(self, route: Any) -> None:
        """Append an entry."""
        with self._lock:
            self.channels = self.channels | _listened_to(_checked_entry(route))
            self.root.routing.append(route)
            self._table = None

    def check_default(self, http_consumer: Callable[..., Any] | None = None) -> None:
        """Have what no entry matches handled as Django and a browser expect.

        ``http.request`` goes to ``http_consumer``, by default the Django views; sockets are
        accepted, and what comes on them is dropped. Calling it again changes nothing but a consumer
        that it gives.
        """
        defaults = dict(self._defaults)
        if http_consumer is not None or "http.request" not in defaults:
            # Named by its path: the handler stands a floor above, and is loaded where it is used.
            consumer = http_consumer or import_string("channels.handler.ViewConsumer")()
            defaults["http.request"] = Route("http.request", consumer)
        defaults["websocket.connect"] = Route("websocket.connect", connect_consumer)
        for channel in ("websocket.receive", "websocket.disconnect"):
            defaults[channel] = Route(channel, null_consumer)
        with self._lock:
            self._defaults = defaults
            self.channels = self.channels | set(defaults)
            self._table = None

    def _compiled(self) -> Any:
        with self._lock:
            if self._table is None:
                defaults = [plan for entry in self._defaults.values() for plan in entry.plans()]
                self._table = matching.table(self.root.plans() + defaults)
            return self._table

    @classmethod
    def resolve_routing(cls, routing: Any) -> list[Any]:
        """The entries of a list, of a dict of channel to consumer, or of the dotted path of either.

        Raises ``ImproperlyConfigured``.
        """
        if isinstance(routing, str):
            try:
                return cls.resolve_routing(import_dotted(routing))
            except ImportError as error:
                raise ImproperlyConfigured(f"Cannot import routing {routing!r}: {error}") from error
        if isinstance(routing, Mapping):
            return [Route(channel, consumer) for channel, consumer in routing.items()]
        if isinstance(routing, (list, tuple)):
            return [_checked_entry(entry) for entry in routing]
        raise ImproperlyConfigured(
            "a routing must be a list of routes, a dict of channel to consumer, or the dotted path "
            f"of one, not {routing!r}"
        )

    @classmethod
    def normalise_re_arg(cls, value: str | bytes) -> str:
        """A pattern or a value as str; bytes are read as UTF-8."""
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def null_consumer(*args: Any, **kwargs: Any) -> None:
    """Do nothing: the default for what comes on a socket."""


def connect_consumer(message: Any, *args: Any, **kwargs: Any) -> None:
    """Accept the socket: the default for ``websocket.connect``."""
    message.reply_channel.send({"accept": True})


def consumer_name(consumer: Any) -> str:
    """The dotted name of a consumer for logs and errors; of its class for any other object."""
    if isinstance(consumer, functools.partial):
        return consumer_name(consumer.func)
    if not hasattr(consumer, "__qualname__"):
        consumer = type(consumer)
    return f"{consumer.__module__}.{consumer.__qualname__}"


def _match(table: Any, message: Any) -> Match | None:
    result: Match | None = table.match(message.channel.name, message.content, message)
    return result


def _plans(entry: Any) -> Iterable[matching.Plan]:
    """The plans of an entry; one that decides for itself, by a ``match`` of its own, is asked."""
    if isinstance(entry, _Entry) and getattr(entry.match, "__func__", None) is _Entry.match:
        return entry.plans()
    return [matching.custom(entry.match)]


def _checked_entry(entry: Any) -> Any:
    if callable(getattr(entry, "match", None)) and callable(getattr(entry, "channel_names", None)):
        return entry
    raise ImproperlyConfigured(
        f"{entry!r} cannot stand in a routing list: it has no match(message) and channel_names(); "
        "use route(), route_class() or include()"
    )


def import_dotted(path: str) -> Any:
    """What the dotted path names; raises ``ImportError``, for a relative path as well."""
    if path.startswith("."):
        raise ImportError("it is relative, and nothing says to what; begin with the top package")
    return import_string(path)


def _import_consumer(consumer: Any) -> Any:
    if isinstance(consumer, str):
        try:
            consumer = import_dotted(consumer)
        except ImportError as error:
            raise ImproperlyConfigured(f"Cannot import consumer {consumer!r}: {error}") from error
    if not callable(consumer):
        raise ImproperlyConfigured(
            f"the consumer {consumer!r} is not callable; give a function, a class or the dotted "
            "path of one"
        )
    return consumer


def _channel_names(channels: Any, consumer: str) -> list[str]:
    """``channels`` as a list of str, each of which can be listened to."""
    if isinstance(channels, (str, bytes)):
        channels = [channels]
    if not isinstance(channels, Iterable):
        raise ImproperlyConfigured(
            f"the channels of {consumer} must be a name or a list of names, not {channels!r}"
        )
    names = [Router.normalise_re_arg(channel) for channel in channels]
    for name in names:
        try:
            check_channel_name(name, receive=True)
        except TypeError as error:
            raise ImproperlyConfigured(f"{consumer} cannot be routed to: {error}") from error
    return names


def _listened_to(entry: Any) -> set[str]:
    """The channels of an entry, also of an application's own, each fit to be listened to."""
    return set(_channel_names(entry.channel_names(), "a routing object"))


def _compile(filters: Mapping[str, str | bytes], owner: _Entry) -> dict[str, re.Pattern[str]]:
    return {key: _compile_one(key, pattern, owner) for key, pattern in filters.items()}


def _compile_one(key: str, pattern: str | bytes, owner: _Entry) -> re.Pattern[str]:
    if not isinstance(pattern, (str, bytes)):
        raise ImproperlyConfigured(
            f"the filter {key}={pattern!r} of {owner} must be a regular expression, a str or bytes"
        )
    try:
        compiled = re.compile(Router.normalise_re_arg(pattern))
    except re.error as error:
        raise ImproperlyConfigured(
            f"the filter {key}={pattern!r} of {owner} is no valid regular expression: {error}"
        ) from error
    if compiled.groups != len(compiled.groupindex):
        raise ValueError(
            f"the filter {key}={pattern!r} of {owner} has positional groups; name them, "
            "(?P<name>...), or do not capture, (?:...)"
        )
    return compiled


def _filters_text(filters: Mapping[str, str | bytes]) -> str:
    if not filters:
        return ""
    return f"({', '.join(f'{key}={pattern!r}' for key, pattern in filters.items())})"


# The lower-case names, which read like urls.py.
route = Route
route_class = RouteClass
include = Include
