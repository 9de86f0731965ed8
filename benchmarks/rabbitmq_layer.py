"""Send and receive, and group sends, over RabbitMQ: ours against channels_rabbitmq, in one run.

A channel of channels_rabbitmq is read by one process; so is a process channel of ours. One that
anybody may read has a line of its own: there the broker confirms first that a message was taken.
Each measurement is a process of its own, taking turns; the broker is a private one. ``client`` is
the CPU of the measuring process, ``broker`` that of RabbitMQ meanwhile.
"""

import asyncio
import functools
import importlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from traffic import MESSAGE, ROUNDS, cpu_seconds

#: Messages sent and received one after the other in a round, and before it.
MESSAGES, WARM_UP = 3_000, 300
#: What is measured, as the tables call it.
SINGLE, ANYBODY, GROUP = (
    "send + receive, a process channel",
    "send + receive, a channel that anybody may read",
    "group delivery",
)
#: Members of the group, all of one process, and messages to it.
MEMBERS, GROUP_SENDS = 1_000, 20


def _measured(operations: int, broker: int, run: Callable[[], None]) -> dict[str, float]:
    """See ``_between``."""
    before = time.process_time(), cpu_seconds(broker), time.perf_counter()
    run()
    after = time.process_time(), cpu_seconds(broker), time.perf_counter()
    return _between(operations, before, after)


def _ours(url: str, broker: int) -> dict[str, dict[str, float]]:
    module: Any = importlib.import_module("channels.layers.rabbitmq")
    layer = module.RabbitmqChannelLayer(url, prefix=f"bench-{secrets.token_hex(4)}")

    def exchange(count: int, sent_to: str, received_from: str) -> None:
        for _ in range(count):
            layer.send(sent_to, MESSAGE)
            layer.receive([received_from], block=True)

    def group() -> None:
        for _ in range(GROUP_SENDS):
            layer.send_group("everybody", MESSAGE)
            deliveries = layer._deliveries(listening, None, 100)  # as an interface server gets them
            assert sum(len(one.targets) for one in deliveries) == MEMBERS

    listening = layer._listening(["serv!"])

    found = {}
    for title, *names in ((SINGLE, "serv!a", "serv!"), (ANYBODY, "one", "one")):
        exchange(WARM_UP, *names)
        run = functools.partial(exchange, MESSAGES, *names)
        found[title] = _measured(MESSAGES, broker, run)
    for number in range(MEMBERS):
        layer.group_add("everybody", f"serv!{number}")
    found[GROUP] = _measured(GROUP_SENDS * MEMBERS, broker, group)
    layer.close()
    return found


async def _theirs(url: str, broker: int) -> dict[str, dict[str, float]]:
    module: Any = importlib.import_module("channels_rabbitmq.core")
    layer = module.RabbitmqChannelLayer(host=url, local_capacity=MEMBERS, remote_capacity=MEMBERS)
    channel = await layer.new_channel()

    async def exchange(count: int) -> None:
        for _ in range(count):
            await layer.send(channel, MESSAGE)
            await layer.receive(channel)

    async def group() -> None:
        for _ in range(GROUP_SENDS):
            await layer.group_send("everybody", MESSAGE)
            for member in members:
                await layer.receive(member)

    await exchange(WARM_UP)
    found = {SINGLE: await _measured_async(MESSAGES, broker, lambda: exchange(MESSAGES))}
    members = [await layer.new_channel() for _ in range(MEMBERS)]
    for member in members:
        await layer.group_add("everybody", member)
    found[GROUP] = await _measured_async(GROUP_SENDS * MEMBERS, broker, group)
    await layer.close()
    return found


async def _measured_async(operations: int, broker: int, run: Callable[[], Any]) -> Any:
    before = time.process_time(), cpu_seconds(broker), time.perf_counter()
    await run()
    after = time.process_time(), cpu_seconds(broker), time.perf_counter()
    return _between(operations, before, after)


def _between(
    operations: int, before: tuple[float, ...], after: tuple[float, ...]
) -> dict[str, float]:
    """Microseconds for each operation: of the client's CPU, of the broker's, and on the clock."""
    return {
        name: (end - begin) / operations * 1e6
        for name, begin, end in zip(("client", "broker", "clock"), before, after, strict=True)
    }


def _in_process(python: str, which: str, url: str, broker: int) -> dict[str, dict[str, float]]:
    command = [python, __file__, which, url, str(broker)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def _report() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    broker = importlib.import_module("tests.servers.rabbitmq").Broker()
    contenders = {"ours": (sys.executable, "--ours")}
    peer = os.environ.get("PEER_PYTHON", "")
    if shutil.which(peer):
        contenders["channels_rabbitmq"] = (peer, "--theirs")
    else:
        print("  no peer: run `make bench`, or name its interpreter in PEER_PYTHON")
    broker.start()
    try:
        rounds = [
            {
                name: _in_process(python, which, broker.url, broker.pid)
                for name, (python, which) in contenders.items()
            }
            for _ in range(ROUNDS)
        ]
    finally:
        broker.close()
    for title in (SINGLE, ANYBODY, GROUP):
        _print_table(
            title,
            [{name: one[name][title] for name in one if title in one[name]} for one in rounds],
        )


def _print_table(title: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"{title}, 150 bytes, microseconds, medians of {ROUNDS} rounds")
    print(f"  {'':18}{'client':>9}{'broker':>9}{'clock':>9}{'client, ratio':>15}")
    for name in rounds[0]:
        figures = [
            median(one[name][key] for one in rounds) for key in ("client", "broker", "clock")
        ]
        ratio = median(one[name]["client"] / one["ours"]["client"] for one in rounds)
        print(f"  {name:18}{figures[0]:9.1f}{figures[1]:9.1f}{figures[2]:9.1f}{ratio:15.2f}")


if __name__ == "__main__":
    if "--ours" in sys.argv:
        print(json.dumps(_ours(sys.argv[2], int(sys.argv[3]))))
    elif "--theirs" in sys.argv:
        print(json.dumps(asyncio.run(_theirs(sys.argv[2], int(sys.argv[3])))))
    else:
        _report()
