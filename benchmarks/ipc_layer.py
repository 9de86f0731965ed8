"""Shared memory: messages from one process to another, their latency, and how cost grows.

CPU is that of both processes, divided by the messages. The peer is
``multiprocessing.SimpleQueue``, the standard library's way to hand a dict to another process,
without any of a channel layer's rules.
"""

import importlib
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any, NamedTuple

from traffic import CHANNELS, MESSAGE, ROUNDS, microseconds

MESSAGES = 100_000
#: Messages whose latency is taken, and the seconds between them.
PINGS = 1000
PAUSE = 0.002
SIZES = (1, 10, 100, 1_000, 10_000)

#: Microseconds of CPU for a send and its receive by another process, and messages a second, that
#: the project has set itself.
BUDGET = 10.0
LEAST_RATE = 100_000


class Passage(NamedTuple):
    """What it took to bring messages from one process to another."""

    rate: float
    sender: float
    receiver: float


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _layer(**arguments: Any) -> Iterator[Any]:
    made = importlib.import_module("channels.layers.ipc").IPCChannelLayer
    layer = made(f"benchmark-{os.getpid()}", **arguments)
    try:
        yield layer
    finally:
        layer._segment.retire()
        layer.close()


def _send(layer: Any, channel: str, message: dict[str, Any]) -> None:
    while True:
        try:
            return layer.send(channel, message)
        except layer.ChannelFull:
            layer.wait_for_room(channel)


@contextmanager
def _child(function: Callable[[], object]) -> Iterator[Callable[[], float]]:
    """Run ``function`` in another process; gives what it returns, a float."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, f"{function()}".encode())
        finally:
            os._exit(0)
    os.close(write)
    try:
        yield lambda: float(os.read(read, 100))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)


def _passage(send: Callable[[], object], receive: Callable[[], object]) -> Passage:
    """Let another process receive what this one sends."""

    def receive_all() -> float:
        before = _cpu()
        for _ in range(MESSAGES):
            receive()
        return (_cpu() - before) / MESSAGES * 1e6

    with _child(receive_all) as result:
        before, begin = _cpu(), time.perf_counter()
        for _ in range(MESSAGES):
            send()
        sender = (_cpu() - before) / MESSAGES * 1e6
        receiver = result()
        rate = MESSAGES / (time.perf_counter() - begin)
    return Passage(rate, sender, receiver)


def _ours() -> Passage:
    with _layer(capacity=100) as layer:
        return _passage(
            lambda: _send(layer, "websocket.receive", MESSAGE),
            lambda: layer.receive(CHANNELS, True),
        )


def _peer() -> Passage:
    queue: Any = multiprocessing.SimpleQueue()
    return _passage(lambda: queue.put(MESSAGE), queue.get)


def _show(name: str, passages: list[Passage]) -> float:
    """Print the round whose CPU is the median; returns that."""
    typical = sorted(passages, key=lambda one: one.sender + one.receiver)[len(passages) // 2]
    cpu = typical.sender + typical.receiver
    print(
        f"  {name:28} {typical.rate:9,.0f} /s  {cpu:6.2f} us CPU "
        f"({typical.sender:.2f} + {typical.receiver:.2f})"
    )
    return cpu


# Latency


def _latencies(layer: Any) -> list[float]:
    """Microseconds from a send to the return of the receive that was blocked in another process."""

    def echo() -> float:
        while True:
            _, message = layer.receive(["ping"], True)
            layer.send("pong", {"took": time.monotonic() - message["sent"]})

    found = []
    with _child(echo):
        for _ in range(PINGS):
            time.sleep(PAUSE)
            layer.send("ping", {"sent": time.monotonic(), "text": "x" * 100})
            found.append(layer.receive(["pong"], True)[1]["took"] * 1e6)
    return found


def _traffic(layer: Any) -> float:
    """What the processes of the load do: 5,000 messages a second."""
    while True:
        time.sleep(0.001)
        for _ in range(5):
            _send(layer, "load", MESSAGE)


def _sink(layer: Any) -> float:
    while True:
        layer.receive(["load"], True)


def _report_latency() -> None:
    print(f"latency of one message to a process that waits, us, {PINGS} messages")
    with _layer(capacity=100) as layer:
        idle = _latencies(layer)
        with _child(lambda: _traffic(layer)), _child(lambda: _sink(layer)):
            loaded = _latencies(layer)
    for name, found in (("at idle", idle), ("beside 5,000 messages a second", loaded)):
        centiles = quantiles(found, n=100)
        print(f"  {name:32} p50 {centiles[49]:6.0f}   p99 {centiles[98]:6.0f}")


# How cost grows


def _beside(number: int) -> float:
    """Send and receive while so many other channels hold a message."""
    with _layer() as layer:
        for each in range(number):
            layer.send(f"other.{each}", {})

        def run() -> None:
            for _ in range(5_000):
                layer.send("websocket.receive", MESSAGE)
                layer.receive(CHANNELS, True)

        return microseconds(run, 5_000)


def _listening(number: int) -> float:
    """Send and receive where the receiver listens to so many channels, all but one empty."""
    with _layer() as layer:
        channels = [f"channel.{each}" for each in range(number)]
        operations = max(50, 5_000 // number)

        def run() -> None:
            for each in range(operations):
                layer.send(channels[each * 7 % number], MESSAGE)
                layer.receive(channels, True)

        return microseconds(run, operations)


def _group(number: int) -> float:
    """A group send and its deliveries, for each of so many members behind one process channel."""
    with _layer(capacity=100) as layer:
        for each in range(number):
            layer.group_add("everybody", f"daphne.response.x!{each}")
        listening = layer._listening(["daphne.response.x!"])
        sends = max(5, 5_000 // number)

        def run() -> None:
            for _ in range(sends):
                layer.send_group("everybody", MESSAGE)
                while layer._deliveries(listening, None, 100):
                    pass

        return microseconds(run, sends * number)


def _joining(number: int) -> float:
    """``group_add`` and ``group_discard`` in a group of so many members."""
    with _layer() as layer:
        for each in range(number):
            layer.group_add("everybody", f"daphne.response.x!{each}")

        def run() -> None:
            for each in range(2_000):
                layer.group_add("everybody", f"daphne.response.y!{each}")
            for each in range(2_000):
                layer.group_discard("everybody", f"daphne.response.y!{each}")

        return microseconds(run, 4_000)


GROWTH: tuple[tuple[str, Callable[[int], float]], ...] = (
    ("send + receive beside N channels", _beside),
    ("... listening to N channels", _listening),
    ("group of N, each delivery", _group),
    ("join or leave a group of N", _joining),
)


def _report_growth() -> None:
    print(f"us of CPU, one process, median of {ROUNDS} rounds; N =")
    print(" " * 36 + "".join(f"{size:>10,}" for size in SIZES))
    for name, cost in GROWTH:
        print(f"  {name:34}" + "".join(f"{cost(size):10.2f}" for size in SIZES), flush=True)


def _report() -> None:
    print(f"from one process to another, 150 bytes, median of {ROUNDS} rounds of {MESSAGES:,}")
    rounds = [(_ours(), _peer()) for _ in range(ROUNDS)]
    ours = _show("ours", [one for one, _ in rounds])
    peer = _show("multiprocessing.SimpleQueue", [other for _, other in rounds])
    print(f"  (budget {BUDGET} us, {LEAST_RATE:,} /s)   peer {peer / ours:.2f} x our CPU")
    _report_latency()
    _report_growth()


if __name__ == "__main__":
    _report()
