"""Encoding and decoding of three messages, against the other codecs of msgpack: CPU, and ratios.

``python benchmarks/codec.py``. The contenders take turns in each round, so that a drift of the
machine meets all of them, and the median of the rounds counts. The peers do less: none of them
checks what a message may hold, and their decoders have no caps of their own.
"""

import gc
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

from channels._speedups import COMPILED, codec, codec_fallback

__all__ = ["main"]

ROUNDS = 15
#: CPU seconds that a contender gets in each round, for each of encoding and decoding.
SHARE = 0.02

Message = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """A codec: what it is called, and its two functions."""

    name: str
    encode: Callable[[Message], bytes]
    decode: Callable[[bytes], Message]


@dataclass(frozen=True)
class Case:
    """A message and what encoding and decoding it may cost, in microseconds, where that is set."""

    title: str
    message: Message
    budget: float | None


REPLY = "daphne.response.3f0c8b1e9a7d4526b1c0e8f7a6d5c4b3!9d2e4f60718293a4b5c6d7e8f9012345"

HTTP_REQUEST: Message = {
    "reply_channel": REPLY,
    "http_version": "1.1",
    "method": "GET",
    "scheme": "https",
    "path": "/articles/2026/11/a-title-of-some-length/",
    "root_path": "",
    "query_string": b"page=2&sort=-date",
    "headers": [
        [b"host", b"www.example.org"],
        [b"connection", b"keep-alive"],
        [
            b"user-agent",
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            b"Chrome/142.0.0.0 Safari/537.36",
        ],
        [b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"],
        [b"accept-encoding", b"gzip, deflate, br, zstd"],
        [b"accept-language", b"en-GB,en;q=0.9,de;q=0.8"],
        [b"cookie", b"csrftoken=" + b"t" * 32 + b"; sessionid=" + b"s" * 32],
        [b"referer", b"https://www.example.org/articles/2026/"],
        [b"upgrade-insecure-requests", b"1"],
        [b"sec-fetch-mode", b"navigate"],
        [b"sec-fetch-site", b"same-origin"],
        [b"sec-fetch-dest", b"document"],
    ],
    "body": b"",
    "body_channel": None,
    "client": ["203.0.113.9", 54321],
    "server": ["192.0.2.1", 443],
}

WEBSOCKET_RECEIVE: Message = {
    "reply_channel": REPLY,
    "path": "/chat/",
    "order": 17,
    "bytes": None,
    "text": '{"text": "hello", "room": 1}',
}

CASES = [
    Case("http.request", HTTP_REQUEST, 3.6),
    Case("websocket.receive", WEBSOCKET_RECEIVE, 0.75),
    Case(
        "http.response of 200 KB",
        {
            "status": 200,
            "headers": [[b"Content-Type", b"text/html; charset=utf-8"]],
            "content": bytes(range(256)) * 800,
            "more_content": False,
        },
        None,
    ),
]


def _peers() -> tuple[list[Contender], list[str]]:
    """The other codecs, and the names of those that are not installed."""
    found, missing = [], []
    for name, module, encode, decode in [
        ("msgpack", "msgpack", "packb", "unpackb"),
        ("ormsgpack", "ormsgpack", "packb", "unpackb"),
        ("msgspec", "msgspec.msgpack", "encode", "decode"),
    ]:
        if find_spec(name) is None:
            missing.append(name)
            continue
        library = importlib.import_module(module)
        found.append(Contender(name, getattr(library, encode), getattr(library, decode)))
    return found, missing


def _contenders() -> tuple[list[Contender], list[str]]:
    own = Contender("ours" if COMPILED else "ours (pure)", codec.encode, codec.decode)
    fallback = Contender("our fallback", codec_fallback.encode, codec_fallback.decode)
    peers, missing = _peers()
    return [own, *peers, *([fallback] if COMPILED else [])], missing


def _repetitions(function: Callable[[Any], object], argument: Any) -> int:
    """How often ``function`` runs in a share of CPU."""
    repetitions = 1
    while _cpu(function, argument, repetitions) * repetitions < SHARE / 2 * 1e6:
        repetitions *= 2
    return repetitions


def _cpu(function: Callable[[Any], object], argument: Any, repetitions: int) -> float:
    """Microseconds of CPU for each of ``repetitions`` calls."""
    begin = time.process_time_ns()
    for _ in range(repetitions):
        function(argument)
    return (time.process_time_ns() - begin) / repetitions / 1e3


def _measure(case: Case, contenders: list[Contender]) -> list[tuple[float, float]]:
    """For each contender the medians of encoding and of decoding."""
    tasks: list[tuple[Callable[[Any], object], Any]] = []
    for contender in contenders:
        stored = contender.encode(case.message)
        tasks += [(contender.encode, case.message), (contender.decode, stored)]
    repetitions = [_repetitions(*task) for task in tasks]
    rounds: list[list[float]] = [[] for _ in tasks]
    for _ in range(ROUNDS):
        for figures, task, times in zip(rounds, tasks, repetitions, strict=True):
            gc.collect()
            figures.append(_cpu(*task, times))
    medians = [median(figures) for figures in rounds]
    return list(zip(medians[::2], medians[1::2], strict=True))


def _report(case: Case, contenders: list[Contender]) -> None:
    size = len(contenders[0].encode(case.message))
    budget = f", budget {case.budget} us" if case.budget else ""
    print(f"{case.title}, {size:,} bytes{budget}; us of CPU for each operation")
    measured = _measure(case, contenders)
    own = sum(measured[0])
    for contender, (encoding, decoding) in zip(contenders, measured, strict=True):
        both = encoding + decoding
        print(
            f"  {contender.name:12} encode {encoding:8.2f}  decode {decoding:8.2f}  "
            f"both {both:8.2f}  {both / own:6.2f} x ours"
        )


def main() -> None:
    """Print a table for each message."""
    contenders, missing = _contenders()
    print(f"codec, median of {ROUNDS} rounds")
    for case in CASES:
        _report(case, contenders)
    if missing:
        print(f"  not installed, so not compared: {', '.join(missing)}")


if __name__ == "__main__":
    main()
