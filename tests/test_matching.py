"""The matcher gives what a plain loop over ``re`` gives, and few patterns are tried for it."""

import random
import re
from types import SimpleNamespace
from typing import Any

import pytest

from channels import matching
from channels.message import Message
from channels.routing import Router, include
from tests.implementations import Implementation, find_implementations
from tests.random_routings import CHANNELS, KEYS, Custom, Supply, plain_loop

#: Random routings for which one supply of patterns and values is used.
ROUTINGS_OF_A_SUPPLY = 500

# Random patterns may hold what looks like a nested set.
pytestmark = pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")


@pytest.fixture(params=find_implementations("match"), ids=str)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that tables are made of in this test."""
    chosen: Implementation = request.param
    monkeypatch.setattr(matching, "speedups", chosen.imported_module)
    return chosen.imported_module


@pytest.fixture(params=[1, 3])
def _indexed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists longer than this are indexed: as many as possible, and as many as in earnest."""
    monkeypatch.setattr(matching, "_SHORT", request.param)


@pytest.mark.usefixtures("_indexed")
@pytest.mark.parametrize("number", [5_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_random_routings_match_as_a_plain_loop_does(implementation: Any, number: int) -> None:
    """Twice the number of them, since there are two ways to index."""
    source = random.Random(2)
    matched = 0
    for count in range(number):
        if count % ROUTINGS_OF_A_SUPPLY == 0:
            supply = Supply(source)
        entries = supply.entries()
        router = Router([entry.real for entry in entries])
        for message in supply.messages():
            expected = plain_loop(entries, message.channel.name, message.content)
            assert router.match(message) == expected, (entries, message.content)
            matched += expected is not None
    assert matched > number


def test_many_routes_of_one_channel_match_as_a_plain_loop_does(implementation: Any) -> None:
    """Long lists, in which the indexes lie within each other and few routes match a message."""
    source = random.Random(3)
    places = set()
    for _ in range(20):
        supply = Supply(source, selective=True)
        entries = [supply.route([CHANNELS[0]]) for _ in range(200)]
        consumers = [entry.consumer for entry in entries]
        router = Router([entry.real for entry in entries])
        for _ in range(50):
            content = dict(zip(KEYS, source.choices(supply.values, k=3), strict=True))
            expected = plain_loop(entries, CHANNELS[0], content)
            assert router.match(Message(content, CHANNELS[0], None)) == expected
            places.add(expected and consumers.index(expected[0]))
    assert None in places
    assert len(places) > 50


def leaves(*filters: dict[str, str]) -> list[matching.Plan]:
    """Routes of one channel; the consumers are their numbers."""
    return [
        matching.leaf(["x"], {key: re.compile(each[key]) for key in each}, number)
        for number, each in enumerate(filters)
    ]


@pytest.mark.parametrize("tail", ["$", r"\Z"])
@pytest.mark.parametrize("value", ["/x/c", "/x/c\n", b"/x/c\n", "/x/c\n\n", "/x/cc", "c", "/\n"])
def test_routes_found_by_their_ends_allow_what_the_end_allows(
    implementation: Any, value: Any, tail: str
) -> None:
    """A dollar sign matches before a last newline too."""
    patterns = [f"[/x]*/{letter}{tail}" for letter in "abcde"]
    found = matching.table(leaves(*({"path": each} for each in patterns))).match(
        "x", {"path": value}, None
    )
    text = value.decode() if isinstance(value, bytes) else value
    assert found == ((2, {}) if re.match(patterns[2], text) else None)


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


@pytest.fixture
def held(implementation: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many references each index got that was made."""
    held: list[int] = []

    def index(
        key: str, backwards: bool, literals: Any, parents: Any, buckets: Any, rest: Any
    ) -> Any:
        held.append(sum(map(len, buckets)) + len(rest))
        return implementation.Index(key, backwards, literals, parents, buckets, rest)

    spied = SimpleNamespace(**{**vars(implementation), "Index": index})
    monkeypatch.setattr(matching, "speedups", spied)
    monkeypatch.setattr(matching, "_MAX_REFERENCES", 2_000)
    return held


def test_a_list_whose_index_would_be_too_large_stays_plain(held: list[int]) -> None:
    """Half the routes tell nothing, and would stand in each bucket of the others."""
    patterns = [f"^/app{i}/" if i % 2 else "^(?:a|b)" for i in range(300)]
    table = matching.table(leaves(*({"path": pattern} for pattern in patterns)))
    assert table.match("x", {"path": "/app299/"}, None) == (299, {})
    assert held == []


def test_indexes_within_each_other_share_one_limit(held: list[int]) -> None:
    """Each level holds no more than the limit, and there are two for each key."""
    source = random.Random(5)
    table = matching.table(
        leaves(
            *(
                {key: f"^{source.choice('abc')}.*{source.choice('abc')}$" for key in keys}
                for keys in (source.sample(KEYS, 2) for _ in range(100))
            ),
            {"path": "^b.*x$"},
        )
    )
    assert table.match("x", {"path": "bx"}, None) == (100, {})
    assert 100 < sum(held) <= 2_000 * 2 * len(KEYS)
