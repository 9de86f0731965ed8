"""The matcher gives what a plain loop over ``re`` gives, and few patterns are tried for it."""

import random
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from channels import matching
from channels.literals import literal_end, literal_start
from channels.message import Message
from channels.routing import Router, include, route
from tests.implementations import Implementation, find_implementations

CHANNELS = ("http.request", "websocket.connect", "websocket.receive")
KEYS = ("path", "method", "subject")

#: What random patterns and values are put together from.
LITERALS = ("/", "/a", "/ab", "/abc", "a", "b", "ab", ".", "é", "\n", " ")
PIECES = (
    *map(re.escape, LITERALS * 2),
    "(?P<%s>[a-z]+)",
    "(?P<%s>/[^/]*)?",
    "(?P<%s>.*)",
    "(?:a|/b)",
    "a?",
    "/*",
    "b{1,2}",
    "a{0}",
    "[/a]",
    "[^]a]",
    "[]a]",
    r"\w",
    r"\b",
    "(?<!a)",
    "(?<=/)",
    "(?=/)",
    "(?i:A)",
    "^",
    "$",
    "|",
    ".",
)


@pytest.fixture(params=find_implementations("match"), ids=str)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that tables are made of in this test."""
    chosen: Implementation = request.param
    monkeypatch.setattr(matching, "speedups", chosen.imported_module)
    return chosen.imported_module


class Custom:
    """A routing object that takes what contains a text, and tells what it saw."""

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


def plain_loop(entries: list[Any], channel: str, content: dict[str, Any]) -> Any:
    """The reference: each entry in turn, each filter by ``re``, messages copied for includes."""
    for kind, *rest in entries:
        if kind == "custom":
            found = rest[0].match(Message(content, channel, None))
        elif kind == "route":
            found = plain_route(*rest, channel, content)
        else:
            found = plain_include(*rest, channel, content)
        if found is not None:
            return found
    return None


def plain_route(
    channels: Any, consumer: Any, filters: Any, channel: str, content: dict[str, Any]
) -> Any:
    if channel not in channels:
        return None
    found = plain_filters(filters, content)
    return None if found is None else (consumer, found[0])


def plain_include(
    entries: list[Any], prefixes: dict[str, str], channel: str, content: dict[str, Any]
) -> Any:
    found = plain_filters(prefixes, content)
    inner = found and plain_loop(entries, channel, {**content, **found[1]})
    return inner and (inner[0], {**found[0], **inner[1]})


def plain_filters(filters: dict[str, str], content: dict[str, Any]) -> Any:
    """The keyword arguments, and what is left of each value."""
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


def random_pattern(source: random.Random) -> str:
    pieces = source.choices(PIECES, k=source.randint(1, 4))
    text = "".join(piece % f"x{i}" if "%s" in piece else piece for i, piece in enumerate(pieces))
    head = source.choice(("", "^", "^", "^", "(?i)", "(?m)", "(?x)"))
    return head + text + source.choice(("", "", "$", r"\Z"))


def random_filters(source: random.Random, most: int) -> dict[str, str]:
    keys = source.sample(KEYS, source.randint(0, most))
    return {key: random_pattern(source) for key in keys}


def random_entries(source: random.Random, depth: int = 0) -> list[Any]:
    """Entries as the plain loop takes them."""
    entries: list[Any] = []
    for number in range(source.randint(1, 6)):
        roll = source.random()
        if roll < 0.2 and depth < 3:
            entries.append(
                ("include", random_entries(source, depth + 1), random_filters(source, 2))
            )
        elif roll < 0.25:
            entries.append(("custom", Custom(source.choice(LITERALS))))
        else:
            channels = source.sample(CHANNELS, source.randint(1, 2))
            entries.append(("route", channels, consumer(depth, number), random_filters(source, 2)))
    return entries


def consumer(*name: int) -> Any:
    """A consumer of its own for every place in a routing."""

    def consume(message: Any, **kwargs: Any) -> tuple[int, ...]:
        return name

    return consume


def real(entries: list[Any]) -> list[Any]:
    """The same entries as ``channels.routing`` has them."""
    made: list[Any] = []
    for kind, *rest in entries:
        if kind == "custom":
            made.append(rest[0])
        elif kind == "route":
            made.append(route(rest[0], rest[1], **rest[2]))
        else:
            made.append(include(real(rest[0]), **rest[1]))
    return made


def random_value(source: random.Random) -> Any:
    text = "".join(source.choices(LITERALS, k=source.randint(0, 4)))
    return source.choice((text, text, text, text + "\n", text.encode(), text.encode("latin-1"), 7))


def random_contents(source: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    for _ in range(6):
        keys = source.sample(KEYS, source.randint(1, 3))
        yield source.choice((*CHANNELS, "other")), {key: random_value(source) for key in keys}


def compare_random_routings(seed: int, number: int) -> int:
    """How many of ``number`` routings' messages matched; fails at the first difference."""
    source = random.Random(seed)
    matched = 0
    for _ in range(number):
        entries = random_entries(source)
        router = Router(real(entries))
        for channel, content in random_contents(source):
            expected = plain_loop(entries, channel, content)
            assert router.match(Message(content, channel, None)) == expected, (entries, content)
            matched += expected is not None
    return matched


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_random_routings_match_as_a_plain_loop_does(implementation: Any) -> None:
    assert compare_random_routings(seed=1, number=2_000) > 1_000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_a_hundred_thousand_random_routings_match_as_a_plain_loop_does(
    implementation: Any,
) -> None:
    assert compare_random_routings(seed=2, number=100_000) > 50_000


def test_many_routes_of_one_channel_match_as_a_plain_loop_does(implementation: Any) -> None:
    """Long lists, in which the indexes lie within each other."""
    source = random.Random(3)
    for _ in range(20):
        entries = [
            ("route", CHANNELS[:1], consumer(number), random_filters(source, 2))
            for number in range(200)
        ]
        router = Router(real(entries))
        for _ in range(20):
            content = {key: random_value(source) for key in KEYS}
            expected = plain_loop(entries, CHANNELS[0], content)
            assert router.match(Message(content, CHANNELS[0], None)) == expected


def test_literals_are_part_of_every_string_that_matches() -> None:
    source = random.Random(4)
    told = 0
    for _ in range(20_000):
        pattern = re.compile(random_pattern(source))
        start, end = literal_start(pattern), literal_end(pattern)
        for _ in range(3):
            value = "".join(source.choices(LITERALS, k=source.randint(0, 5)))
            if pattern.match(value):
                assert value.startswith(start), (pattern, value)
                assert value.removesuffix("\n").endswith(end), (pattern, value)
                told += bool(start or end)
    assert told > 300


@pytest.mark.parametrize(
    ("pattern", "start", "end"),
    [
        (r"^/chat/$", "/chat/", "/chat/"),
        (r"/chat/\Z", "/chat/", "/chat/"),
        (r"^/chat", "/chat", ""),
        (r"^/chat/(?P<room>\w+)/stream/$", "/chat/", "/stream/"),
        (r"^/a\.b\-c", "/a.b-c", ""),
        (r"^/ab?c$", "/a", "c"),
        (r"^/ab{2}c$", "/a", "c"),
        (r"^/ab{x}$", "/a", "x}"),
        (r"^/a|^/b", "", ""),
        (r"^/(?:a|b)/c$", "/", "/c"),
        (r"^/[a)]/(?:[)(]\)|x)z$", "/", "z"),
        (r"(?i)^/chat/$", "", ""),
        (r"(?x)^/chat/$", "", ""),
        (r"(?m)^/chat/$", "", ""),
        (r"^/a(?#comment)b", "", ""),
        (r"^/a(?x: b # (" + "\n)c", "", ""),
        (r"\d+/c$", "", "/c"),
        (r"^a^b$", "a", "b"),
        ("^a\nb$", "a\nb", ""),
        (r"^POST$", "POST", "POST"),
        (r"", "", ""),
        (r"$", "", ""),
    ],
)
def test_literals_of_a_pattern(pattern: str, start: str, end: str) -> None:
    compiled = re.compile(pattern)
    assert (literal_start(compiled), literal_end(compiled)) == (start, end)


def attempts(implementation: Any, patterns: list[str], value: str, channels: int = 1) -> int:
    """How many regular expressions are tried for ``value``, found by the last of ``patterns``."""
    tried = 0

    def counting(match: Any) -> Any:
        def count(text: str) -> Any:
            nonlocal tried
            tried += 1
            return match(text)

        return count

    plans = []
    for number, pattern in enumerate(patterns):
        plan = matching.leaf(
            [f"channel.{number % channels}"], {"path": re.compile(pattern)}, number
        )
        (name,) = plan.channels
        leaf = implementation.Leaf([("path", counting(re.compile(pattern).match), True)], number)
        plan.channels[name] = matching.Candidate(leaf, plan.channels[name].literals)
        plans.append(plan)
    last = len(patterns) - 1
    found = matching.table(plans).match(f"channel.{last % channels}", {"path": value}, None)
    assert found is not None and found[0] == last
    return tried


@pytest.mark.parametrize(
    "pattern",
    [
        r"^/app{}/$",
        r"^/app{}/(?P<id>\d+)/$",
        r"^/(?P<room>\w+)/app{}/$",
        r"^/(?P<version>v\d)/(?P<kind>[a-z]+)/app{}$",
    ],
    ids=["exact", "prefix", "suffix", "suffix after two groups"],
)
def test_a_thousand_routes_of_a_channel_try_no_more_patterns_than_ten(
    implementation: Any, pattern: str
) -> None:
    value = {
        r"^/app{}/$": "/app{}/",
        r"^/app{}/(?P<id>\d+)/$": "/app{}/12/",
        r"^/(?P<room>\w+)/app{}/$": "/lobby/app{}/",
        r"^/(?P<version>v\d)/(?P<kind>[a-z]+)/app{}$": "/v1/list/app{}",
    }[pattern]
    counts = {
        number: attempts(
            implementation,
            [pattern.replace("{}", str(i)) for i in range(number)],
            value.format(number - 1),
        )
        for number in (10, 1_000)
    }
    assert counts[1_000] < 2 * counts[10]


def test_routes_of_other_channels_are_never_tried(implementation: Any) -> None:
    patterns = [r"^/(?P<any>.*)$"] * 1_000
    assert attempts(implementation, patterns, "/x", channels=1_000) == 1


def test_includes_are_found_by_their_prefixes(implementation: Any) -> None:
    """Of a thousand includes, the one whose prefix begins the path is entered."""
    entered = []

    class Watcher(Custom):
        def match(self, message: Any) -> Any:
            entered.append(self.text)
            return super().match(message)

    routing = [include([Watcher(f"/{i}!")], path=rf"^/app{i}x") for i in range(1_000)]
    message = Message({"path": "/app999x/999!"}, "http.request", None)
    found = Router(routing).match(message)
    assert found is not None and found[1]["seen"] == "/999!"
    assert entered == ["/999!"]


def test_indexes_hold_a_bounded_number_of_references(
    implementation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the routes tell nothing, and would stand in each bucket of the others."""
    held = 0

    def index(
        key: str, backwards: bool, literals: Any, parents: Any, buckets: Any, rest: Any
    ) -> Any:
        nonlocal held
        held += sum(map(len, buckets))
        return implementation.Index(key, backwards, literals, parents, buckets, rest)

    spied = SimpleNamespace(**{**vars(implementation), "Index": index})
    monkeypatch.setattr(matching, "speedups", spied)
    plans = [
        matching.leaf(["x"], {"path": re.compile(f"^/app{i}/" if i % 2 else "^(?:a|b)")}, i)
        for i in range(3_000)
    ]
    table = matching.table(plans)
    assert table.match("x", {"path": "/app2999/"}, None) == (2_999, {})
    assert held <= 200_000
