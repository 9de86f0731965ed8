"""Random routings and messages, and what a plain loop over ``re`` makes of them."""

import itertools
import random
import re
from collections.abc import Iterable
from typing import Any

from channels.message import Message
from channels.routing import include, route

__all__ = ["CHANNELS", "KEYS", "Custom", "Supply", "plain_loop"]

CHANNELS = ("http.request", "websocket.connect", "websocket.receive")
CHANNEL_LISTS = [list(names) for n in (1, 1, 2) for names in itertools.combinations(CHANNELS, n)]
KEYS = ("path", "method", "subject")

#: What patterns and values are put together from.
LITERALS = (
    "/",
    "/a",
    "/ab",
    "/abc",
    "a",
    "b",
    "ab",
    ".",
    "é",
    "\n",
    " ",
    "K",
    "\u212a",
    "ſ",
    "x2f",
)
COMMON = LITERALS[:7]
PIECES = (
    *map(re.escape, LITERALS * 2),
    *(
        "(?P<%s>[a-z]+)",
        "(?P<%s>/[^/]*)?",
        "(?P<%s>.*)",
        "(?P<%s>a)?(?(%s)b|/)",
        "(?P<%s>a)(?P=%s)",
    ),
    *("(?:a|/b)", "(?>a+)", "a?", "/*", "b*?", "b{1,2}", "b{2}", "a{0}", "[/a]", "[^]a]", "[]a(]"),
    *(r"\w", r"\b", r"\A", r"\/", r"\x2f", r"\141", r"\u00e9", r"\N{KELVIN SIGN}"),
    *("(?<!a)", "(?<=/)", "(?=/)", "(?i:A)", "(?x: a # )\n)", "(?#a)", "^", "$", "|", "."),
)
HEADS = ("", "^", "^", "^", "(?i)", "(?m)", "(?x)", "(?s)", "(?a)")
TAILS = ("", "", "$", r"\Z")


class PlainRoute:
    """A route, ``real``, and the plain loop's idea of it."""

    def __init__(self, channels: list[str], consumer: Any, filters: dict[str, str]) -> None:
        self.channels, self.consumer, self.filters = channels, consumer, filters
        self.real = route(channels, consumer, **filters)

    def match(self, channel: str, content: dict[str, Any]) -> Any:
        if channel not in self.channels:
            return None
        found = match_all(self.filters, content)
        return None if found is None else (self.consumer, found[0])

    def __repr__(self) -> str:
        return str(self.real)


class PlainInclude:
    """An include: the message is copied with what the prefixes left."""

    def __init__(self, entries: list[Any], prefixes: dict[str, str]) -> None:
        self.entries, self.prefixes = entries, prefixes
        self.real = include([entry.real for entry in entries], **prefixes)

    def match(self, channel: str, content: dict[str, Any]) -> Any:
        found = match_all(self.prefixes, content)
        inner = found and plain_loop(self.entries, channel, {**content, **found[1]})
        return inner and (inner[0], {**found[0], **inner[1]})

    def __repr__(self) -> str:
        return f"{self.prefixes}: {self.entries}"


class PlainCustom:
    """A routing object that takes what contains a text, and tells what it saw."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.real = Custom(text)

    def match(self, channel: str, content: dict[str, Any]) -> Any:
        return self.real.match(content)

    def __repr__(self) -> str:
        return f"custom {self.text!r}"


class Custom:
    """The routing object itself."""

    def __init__(self, text: str) -> None:
        self.text = text

    def channel_names(self) -> set[str]:
        return set(CHANNELS)

    def match(self, message: Any) -> Any:
        seen = message.get("path")
        if isinstance(seen, bytes):
            seen = seen.decode("utf-8", "surrogateescape")
        if not isinstance(seen, str) or self.text not in seen:
            return None
        return (self, {"seen": seen, "x0": "custom"})


def plain_loop(entries: Iterable[Any], channel: str, content: dict[str, Any]) -> Any:
    """The consumer and keyword arguments of the first entry that matches, or None."""
    for entry in entries:
        found = entry.match(channel, content)
        if found is not None:
            return found
    return None


def match_all(filters: dict[str, str], content: dict[str, Any]) -> Any:
    """The keyword arguments, and what is left of each value; None where one does not match."""
    kwargs: dict[str, Any] = {}
    rests = {}
    for key, pattern in filters.items():
        value = content.get(key)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        found = re.match(pattern, value) if isinstance(value, str) else None
        if not found:
            return None
        kwargs.update(found.groupdict())
        rests[key] = value[found.end() :]
    return kwargs, rests


class Supply:
    """Patterns, routes and messages that several routings are put together from and tried with.

    Their number is such that the cache of ``re`` holds every pattern: compiling anew takes longer
    than all the rest.
    """

    SIZE = 200

    def __init__(self, source: random.Random, selective: bool = False) -> None:
        """With ``selective`` every route has filters, which match few values."""
        self.random = source
        self.selective = selective
        self.patterns = [self._pattern() for _ in range(self.SIZE)]
        self.routes = [self.route(names) for names in source.choices(CHANNEL_LISTS, k=self.SIZE)]
        self.values = [self._value() for _ in range(self.SIZE)]
        self._messages = [self._message() for _ in range(self.SIZE)]

    def entries(self, depth: int = 0) -> list[Any]:
        """A routing of one to six entries, includes up to three deep among them."""
        entries: list[Any] = []
        for roll in [self.random.random() for _ in range(self.random.randint(1, 6))]:
            if roll < 0.2 and depth < 3:
                entries.append(PlainInclude(self.entries(depth + 1), self.filters()))
            elif roll < 0.25:
                entries.append(PlainCustom(self.random.choice(LITERALS)))
            else:
                entries.append(self.random.choice(self.routes))
        return entries

    def route(self, channels: list[str]) -> PlainRoute:
        """A route with a consumer of its own."""
        return PlainRoute(channels, lambda message, **kwargs: None, self.filters())

    def filters(self) -> dict[str, str]:
        """Up to two filters."""
        numbers = (1, 2) if self.selective else (0, 1, 1, 1, 2)
        keys = self.random.choices(KEYS, k=self.random.choice(numbers))
        return {key: self.random.choice(self.patterns) for key in keys}

    def messages(self) -> list[Message]:
        """Six messages; some lack keys, or come on a channel that has no route."""
        return self.random.choices(self._messages, k=6)

    def _pattern(self) -> str:
        if self.selective or self.random.random() < 0.3:
            return self._selective_pattern()
        pieces = self.random.choices(PIECES, k=self.random.randint(1, 4))
        text = "".join(piece.replace("%s", f"x{i}") for i, piece in enumerate(pieces))
        return self.random.choice(HEADS) + text + self.random.choice(TAILS)

    def _selective_pattern(self) -> str:
        start, end = (re.escape(self._text(self.random.randint(0, 2))) for _ in range(2))
        middle = self.random.choice(("", "[/a-z]*", "(?P<x>.*)"))
        return f"^{start}{middle}{end}{self.random.choice(TAILS)}"

    def _value(self) -> Any:
        text = self._text(self.random.randint(0, 4))
        as_bytes = (text.encode(), text.encode("latin-1", "ignore"))
        return self.random.choice((text, text, text + "\n", text + "\n", *as_bytes, 7))

    def _text(self, length: int) -> str:
        """Often of the few literals that are common, so that values meet patterns."""
        few = self.selective or self.random.random() < 0.5
        return "".join(self.random.choices(COMMON if few else LITERALS, k=length))

    def _message(self) -> Message:
        keys = self.random.choices(KEYS, k=3)
        content = {key: self.random.choice(self.values) for key in keys}
        return Message(content, self.random.choice((*CHANNELS, "other")), None)
