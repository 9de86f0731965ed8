"""Send and receive within one process: the in-memory layer against Channels 4's, in CPU time."""

import asyncio
import importlib
import os
import shutil
import subprocess
import sys

from traffic import CHANNELS, MESSAGE, ROUNDS, microseconds

OPERATIONS = 20_000
#: Microseconds of CPU that a send and a receive may take (docs, cost budgets).
BUDGET = 5.0


def _ours() -> float:
    layer = importlib.import_module("channels.layers.inmemory").ChannelLayer()

    def run() -> None:
        for _ in range(OPERATIONS):
            layer.send("websocket.receive", MESSAGE)
            layer.receive(CHANNELS, True)

    return microseconds(run, OPERATIONS)


def _ours_beside(channels: int) -> float:
    layer = importlib.import_module("channels.layers.inmemory").ChannelLayer()
    for number in range(channels):
        layer.send(f"other.{number}", {})

    def run() -> None:
        for _ in range(OPERATIONS):
            layer.send("websocket.receive", MESSAGE)
            layer.receive(CHANNELS, True)

    return microseconds(run, OPERATIONS)


def _ours_group(members: int, sends: int = 20) -> float:
    layer = importlib.import_module("channels.layers.inmemory").ChannelLayer(capacity=10_000)
    for number in range(members):
        layer.group_add("everybody", f"daphne.response.x!{number}")

    def run() -> None:
        for _ in range(sends):
            layer.send_group("everybody", MESSAGE)
            listening = layer._listening(["daphne.response.x!"])
            while layer._deliveries(listening, None, 100):
                pass

    return microseconds(run, sends * members)


def _theirs() -> float:
    layer = importlib.import_module("channels.layers").InMemoryChannelLayer()

    async def run() -> None:
        for _ in range(OPERATIONS):
            await layer.send("websocket.receive", MESSAGE)
            await layer.receive("websocket.receive")

    return microseconds(lambda: asyncio.run(run()), OPERATIONS)


def _peer() -> float | None:
    """What this file measures when the peer's interpreter runs it."""
    python = os.environ.get("PEER_PYTHON", "")
    if not shutil.which(python):
        return None
    found = subprocess.run([python, __file__, "--peer"], capture_output=True, text=True, check=True)
    return float(found.stdout)


def _report() -> None:
    ours, peer = _ours(), _peer()
    print(f"send + receive, 150 bytes, us of CPU, median of {ROUNDS} rounds")
    print(f"  ours                           {ours:6.2f}   (budget {BUDGET})")
    if peer is None:
        print("  no peer: run `make bench`, or name its interpreter in PEER_PYTHON")
    else:
        print(f"  channels 4, in memory          {peer:6.2f}   {peer / ours:.2f} x ours")
    crowded = _ours_beside(100_000)
    print(f"  ours beside 100,000 channels   {crowded:6.2f}   {crowded / ours:.2f} x ours")
    print(f"  group of 1,000, each delivery  {_ours_group(1000):6.2f}")


if __name__ == "__main__":
    if "--peer" in sys.argv:
        print(_theirs())
    else:
        _report()
