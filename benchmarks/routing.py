"""Route matching: ours against a loop of compiled patterns, one alternation and Django's resolver.

For 10, 50 and 1,000 routes of one channel of which the last matches, and for as many channels.
"""

import functools
import re
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import django
from django.conf import settings
from django.urls import re_path
from django.urls.resolvers import RegexPattern, URLResolver

sys.path.insert(0, str(Path(__file__).parent.parent))

from channels import _speedups  # noqa: E402  (found by the line above)
from channels.message import Message  # noqa: E402
from channels.routing import Router, include, route  # noqa: E402

#: Rounds; the contenders take turns in each, so that a drift of the machine meets all of them.
ROUNDS = 7
#: Seconds for each contender in a round, about.
SECONDS = 0.05

PATTERN = r"^/app{}/(?P<id>\d+)/$"
PATH = "/app{}/12/"


def consume(message: Any, **kwargs: Any) -> None:
    """The consumer and view of all routes."""


def ours(number: int) -> Callable[[], object]:
    routes = [route("http.request", consume, path=PATTERN.format(i)) for i in range(number)]
    message = Message({"path": PATH.format(number - 1)}, "http.request", None)
    return functools.partial(Router(routes).match, message)


def ours_included(number: int) -> Callable[[], object]:
    inner = [route("http.request", consume, path=r"^/(?P<id>\d+)/$")]
    routes = [include(inner, path=rf"^/app{i}\b") for i in range(number)]
    message = Message({"path": PATH.format(number - 1)}, "http.request", None)
    return functools.partial(Router(routes).match, message)


def ours_by_channel(number: int) -> Callable[[], object]:
    routes = [route(f"channel.{i}", consume, path=r"^/app/(?P<id>\d+)/$") for i in range(number)]
    message = Message({"path": "/app/12/"}, f"channel.{number - 1}", None)
    return functools.partial(Router(routes).match, message)


def loop(number: int) -> Callable[[], object]:
    patterns = [re.compile(PATTERN.format(i)) for i in range(number)]
    path = PATH.format(number - 1)

    def run() -> object:
        for pattern in patterns:
            if found := pattern.match(path):
                return consume, found.groupdict()
        return None

    return run


def alternation(number: int) -> Callable[[], object]:
    patterns = [PATTERN.format(i).replace("<id>", f"<id{i}>") for i in range(number)]
    joined = re.compile("|".join(f"(?P<r{i}>{each})" for i, each in enumerate(patterns)))
    path = PATH.format(number - 1)

    def run() -> object:
        found = joined.match(path)
        name = found.lastgroup if found else None
        return name and (consume, {"id": found["id" + name[1:]]})  # type: ignore[index]

    return run


def resolver(number: int) -> Callable[[], object]:
    urls = [re_path(PATTERN.format(i).replace("^/", "^"), consume) for i in range(number)]
    path = PATH.format(number - 1)
    return functools.partial(URLResolver(RegexPattern(r"^/"), urls).resolve, path)


CONTENDERS = {
    "ours": ours,
    "ours, each route in an include": ours_included,
    "ours, each route on a channel": ours_by_channel,
    "loop": loop,
    "alternation": alternation,
    "Django's resolver": resolver,
}


def main() -> None:
    """Print microseconds for each number of routes, and how often ours fits in."""
    if not settings.configured:
        settings.configure()
        django.setup()
    for number in (10, 50, 1_000):
        timers = {name: timeit.Timer(make(number)) for name, make in CONTENDERS.items()}
        counts = {name: calls_for(timer, SECONDS) for name, timer in timers.items()}
        figures: dict[str, list[float]] = {name: [] for name in timers}
        for _ in range(ROUNDS):
            for name, timer in timers.items():
                figures[name].append(timer.timeit(counts[name]) / counts[name] * 1e6)
        own = median(figures["ours"])
        print(f"{number} routes, the last matches ({engine()})")
        for name, rounds in figures.items():
            print(f"  {name:32} {median(rounds):9.2f} us  {median(rounds) / own:7.2f} x ours")


def calls_for(timer: timeit.Timer, seconds: float) -> int:
    """How many calls take about ``seconds``."""
    calls, taken = timer.autorange()
    return max(1, round(calls * seconds / taken))


def engine() -> str:
    """Which form of the matcher runs."""
    return "compiled" if "fallback" not in _speedups.match.__name__ else "pure Python"


if __name__ == "__main__":
    main()
