"""The Redis layer against channels_redis 4 and against a bare hiredis loop with the same scripts.

CPU of client and server, and rates, in one run; contenders take turns in each round. Growth with
the number of channels that are listened to, and of members of a group.
"""

import asyncio
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

from traffic import CHANNELS, MESSAGE, cpu_seconds

ROUNDS = 3
#: Messages of a round: of those that are quick, and of channels_redis, which is not.
MANY, FEW = 10_000, 1_500
#: Messages that an interface server sends in one turn of its reactor, under load.
BATCH = 20
MEMBERS = 1_000
#: Sends to the group in a round.
GROUP_SENDS = {"ours": 50, "core": 3, "pubsub": 5}
NUMBERS = [1, 10, 100, 1_000, 10_000]
#: Microseconds of CPU that a send and a receive may take in the client (docs, cost budgets).
BUDGET = 40.0


class Cost(NamedTuple):
    """What an operation took: microseconds of CPU of client and server, and of the clock."""

    client: float
    server: float
    clock: float


class Server(NamedTuple):
    """A redis-server on a unix socket."""

    pid: int
    path: str

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"unix://{self.path}"

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        return cpu_seconds(self.pid)


@contextmanager
def _server() -> Iterator[Server]:
    """A private server."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            while not os.path.exists(path):
                time.sleep(0.01)
            yield Server(process.pid, path)
        finally:
            process.terminate()
            process.wait()


def _cost(run: Callable[[], None], operations: int, server: Server) -> Cost:
    served, used, begin = server.cpu(), time.process_time(), time.monotonic()
    run()
    clock, cpu = time.monotonic() - begin, time.process_time() - used
    share = 1e6 / operations
    return Cost(cpu * share, (server.cpu() - served) * share, clock * share)


# Ours


def _layer(server: Server, **arguments: Any) -> Any:
    return importlib.import_module("channels.layers.redis").RedisChannelLayer(
        hosts=[server.url], **arguments
    )


def _ours(server: Server, channels: list[str] = CHANNELS, operations: int = MANY) -> Cost:
    layer = _layer(server)

    def run() -> None:
        for _ in range(operations):
            layer.send("websocket.receive", MESSAGE)
            layer.receive(channels, True)

    layer.receive(channels)
    cost = _cost(run, operations, server)
    layer.close()
    return cost


def _ours_joined(server: Server) -> Cost:
    """As a worker works: each send in one write with the receive after it."""
    layer = _layer(server)

    def run() -> None:
        for _ in range(MANY):
            layer.send_and_receive("websocket.receive", MESSAGE, CHANNELS)

    layer.receive(CHANNELS, True, 0.001)
    cost = _cost(run, MANY, server)
    layer.close()
    return cost


def _bare(server: Server) -> Cost:
    """The same two commands for each message, and nothing that a layer has to do beside."""
    hiredis = importlib.import_module("hiredis")
    codec = importlib.import_module("channels.codec")
    layer = _layer(server)
    shard = layer.topology.shards[0]
    layer.send("websocket.receive", MESSAGE)
    layer.receive(CHANNELS, True)
    script = importlib.import_module("channels.layers.redis.scripts").PUSH
    keys = (
        *shard.queue_keys("websocket.receive"),
        shard.counts_key("websocket.receive"),
        shard.global_counts,
    )
    tail = codec.pack_envelope(codec.encode(MESSAGE), 0)[9:]
    limits = (0, 100, 60_000, 86_400_000, 3_600_000, 86_400_000, 1)
    push = ("EVALSHA", script.sha, len(keys), *keys, *limits, tail)
    pop = ("BLPOP", *(shard.queue_keys(channel)[0] for channel in CHANNELS), 5)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(server.path)
    reader = hiredis.Reader()

    def exchange(command: tuple[Any, ...]) -> Any:
        sock.sendall(hiredis.pack_command(command))
        while (reply := reader.gets()) is False:
            reader.feed(sock.recv(65536))
        return reply

    def run() -> None:
        for _ in range(MANY):
            exchange(push)
            exchange(pop)

    cost = _cost(run, MANY, server)
    sock.close()
    layer.close()
    return cost


def _ours_pipelined(server: Server) -> Cost:
    """As an interface server works: in the reactor, many sends in a turn, many messages taken."""
    layer = _layer(server, capacity=1000)
    reactor = importlib.import_module("twisted.internet.reactor")
    importlib.import_module("channels.layers.redis.twisted")  # not in the measured time
    received = 0

    def count(deliveries: list[Any]) -> None:
        nonlocal received
        received += len(deliveries)
        if received >= MANY:
            reactor.stop()
            return
        receive()
        if received % BATCH == 0:
            send()

    def receive() -> None:
        deferred = layer.receive_deliveries_twisted(["daphne.response.x!"])
        deferred.addCallbacks(count, lambda failure: failure.printTraceback())

    def send() -> None:
        for number in range(BATCH):
            layer.send_twisted(f"daphne.response.x!{number}", MESSAGE)

    reactor.callWhenRunning(receive)
    reactor.callWhenRunning(send)
    cost = _cost(reactor.run, MANY, server)
    layer.close()
    return cost


def _in_a_process(what: str) -> Callable[[Server], Cost]:
    """A measurement of ours in a process of its own, since a reactor runs only once."""

    def measure(server: Server) -> Cost:
        command = [sys.executable, __file__, "--ours", what, str(server.pid), server.path]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return Cost(*json.loads(found.stdout))

    return measure


def _ours_group(server: Server, members: int = MEMBERS, sends: int = GROUP_SENDS["ours"]) -> Cost:
    """A delivery to one member of a group behind one interface server."""
    layer = _layer(server, capacity=10_000)
    layer.flush()
    for number in range(members):
        layer.group_add("everybody", f"daphne.response.x!{number:032x}")
    listening = layer._listening(["daphne.response.x!"])

    def run() -> None:
        for _ in range(sends):
            layer.send_group("everybody", MESSAGE)
            while layer._deliveries(listening, None, 100):
                pass

    run()
    cost = _cost(run, sends * members, server)
    layer.close()
    return cost


# The peers, in their own interpreter


def _peer_layer(kind: str, url: str) -> Any:
    module = importlib.import_module(f"channels_redis.{kind}")
    name = {"core": "RedisChannelLayer", "pubsub": "RedisPubSubChannelLayer"}[kind]
    return getattr(module, name)(hosts=[url], **({"capacity": 10_000} if kind == "core" else {}))


async def _peer_messages(layer: Any, at_a_time: int) -> None:
    channel = await layer.new_channel()
    await layer.send(channel, MESSAGE)
    await layer.receive(channel)
    begin = time.process_time(), time.monotonic()
    for _ in range(FEW // at_a_time):
        if at_a_time == 1:
            await layer.send(channel, MESSAGE)
        else:
            await asyncio.gather(*(layer.send(channel, MESSAGE) for _ in range(at_a_time)))
        for _ in range(at_a_time):
            await layer.receive(channel)
    _print_used(begin, FEW)


async def _peer_group(layer: Any, sends: int) -> None:
    channels = [await layer.new_channel() for _ in range(MEMBERS)]
    for channel in channels:
        await layer.group_add("everybody", channel)
    begin = time.process_time(), time.monotonic()
    for _ in range(sends):
        await layer.group_send("everybody", MESSAGE)
        await asyncio.gather(*(layer.receive(channel) for channel in channels))
    _print_used(begin, sends * MEMBERS)


def _print_used(begin: tuple[float, float], operations: int) -> None:
    used = time.process_time() - begin[0], time.monotonic() - begin[1]
    print(json.dumps([operations, *used]))


def _be_peer(kind: str, what: str, url: str) -> None:
    layer = _peer_layer(kind, url)
    if what == "group":
        asyncio.run(_peer_group(layer, GROUP_SENDS[kind]))
    else:
        asyncio.run(_peer_messages(layer, BATCH if what == "pipelined" else 1))


def _peer(kind: str, what: str) -> Callable[[Server], Cost]:
    def measure(server: Server) -> Cost:
        before = server.cpu()
        command = [os.environ["PEER_PYTHON"], __file__, "--peer", kind, what, server.url]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        operations, cpu, clock = json.loads(found.stdout)
        share = 1e6 / operations
        return Cost(cpu * share, (server.cpu() - before) * share, clock * share)

    return measure


# The report


def _compare(title: str, contenders: dict[str, Callable[[Server], Cost]]) -> dict[str, Cost]:
    rounds: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, measure in contenders.items():
            with _server() as server:
                rounds[name].append(measure(server))
    typical = {
        name: Cost(*(median(figures) for figures in zip(*costs, strict=True)))
        for name, costs in rounds.items()
    }
    print(f"{title}, us of CPU, median of {ROUNDS} rounds")
    own = typical["ours"]
    for name, cost in typical.items():
        print(
            f"  {name:24} client {cost.client:7.1f}  server {cost.server:6.1f}  "
            f"rate {1e6 / cost.clock:8,.0f} /s  "
            f"{(cost.client + cost.server) / (own.client + own.server):6.2f} x our CPU"
        )
    return typical


def _growth() -> None:
    print("send + receive, by the number of channels listened to")
    for number in NUMBERS:
        channels = [*(f"other.{count}" for count in range(number - 1)), "websocket.receive"]
        with _server() as server:
            cost = _ours(server, channels, min(MANY, 1_000_000 // number))
        print(f"  {number:6,} channels     client {cost.client:8.1f}  server {cost.server:8.1f}")
    print("group send, each delivery, by the number of members behind one server")
    for number in NUMBERS:
        with _server() as server:
            cost = _ours_group(server, number, max(5, min(2_000, 50_000 // number)))
        print(f"  {number:6,} members      client {cost.client:8.2f}  server {cost.server:8.2f}")


def _peers(what: str) -> dict[str, Callable[[Server], Cost]]:
    if not shutil.which(os.environ.get("PEER_PYTHON", "")):
        print("no peers: run `make bench`, or name their interpreter in PEER_PYTHON")
        return {}
    return {f"channels_redis {kind}": _peer(kind, what) for kind in ("core", "pubsub")}


def _longest_call(members: int, processes: int) -> None:
    """How long a send to a large group blocks the server at a time, packed copies out of date."""
    scripts = importlib.import_module("channels.layers.redis.scripts")
    with _server() as server:
        layer = _layer(server, capacity=10_000)
        shard = layer.topology.shards[0]
        names = [f"daphne.response.{number % processes}!" for number in range(members)]
        for first in range(0, members, 10_000):
            frames = []
            for number in range(first, min(members, first + 10_000)):
                keys = layer._group_keys(shard, "everybody", names[number])
                args = (names[number], f"{number:032x}", 1, 10_000, 86_400_000)
                frames.append(scripts.GROUP_ADD(keys, *args))
            layer.topology.scatter([(shard, frames)])
        redis = importlib.import_module("redis").Redis(unix_socket_path=server.path)
        redis.config_set("slowlog-log-slower-than", 0)
        redis.config_set("slowlog-max-len", 10_000)
        for state in ("out of date", "up to date"):
            redis.slowlog_reset()
            redis.config_resetstat()
            begin = time.monotonic()
            layer.send_group("everybody", MESSAGE)
            clock = time.monotonic() - begin
            number = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
            calls = [
                call["duration"] / 1000
                for call in redis.slowlog_get(10_000)
                if call["command"].startswith(b"EVALSHA")
            ]
            print(
                f"  {members:7,} members, {processes:3} processes, packed copies {state}: "
                f"{number:3} calls, longest {max(calls):5.2f} ms, in all {clock * 1e3:6.1f} ms"
            )
        redis.close()
        layer.close()


def main() -> None:
    """Print all of it."""
    found = _compare(
        "send + receive, 150 bytes, one at a time",
        {"ours": _ours, "ours, as workers do": _ours_joined, "bare hiredis loop": _bare}
        | _peers("messages"),
    )
    ours, bare = found["ours"], found["bare hiredis loop"]
    print(f"  budget of the client {BUDGET}; {bare.clock / ours.clock:.0%} of the bare loop's rate")
    _compare(
        f"send + receive, 150 bytes, {BATCH} at a time",
        {"ours": _in_a_process("pipelined"), **_peers("pipelined")},
    )
    _compare(f"group send to {MEMBERS:,}, each delivery", {"ours": _ours_group, **_peers("group")})
    _growth()
    print("how long one call of a group send blocks the server")
    for members, processes in ((1_000, 1), (100_000, 1), (100_000, 10), (100_000, 1_000)):
        _longest_call(members, processes)


if __name__ == "__main__":
    if "--peer" in sys.argv:
        _be_peer(*sys.argv[2:])
    elif "--ours" in sys.argv:
        print(json.dumps(_ours_pipelined(Server(int(sys.argv[3]), sys.argv[4]))))
    else:
        main()
