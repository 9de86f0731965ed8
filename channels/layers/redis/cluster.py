"""Redis Cluster: a fixed number of buckets, each of them a shard whose keys share a hash tag.

Buckets are spread evenly over the slots, so that each master of a cluster as it is created has some
of them. Whoever serves a bucket's slot has the bucket; redirections are followed here.
"""

import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.prefetch import Failed
from channels.layers.redis.connection import Connection, Endpoint, NotDone, Reply, error_code
from channels.layers.redis.hosts import Address, parse_hosts
from channels.layers.redis.layer import RedisChannelLayer
from channels.layers.redis.shards import Shard, Topology
from channels.outage import Backoff

__all__ = ["Bucket", "Nodes", "RedisClusterChannelLayer"]

#: Buckets where nothing else is said: evenly spread over 2, 3, 4, 6 and 12 masters.
DEFAULT_BUCKETS = 12

#: Redirections of one command that are followed. A cluster that settles needs one or two.
_MOST_REDIRECTIONS = 50

#: Seconds for which a command is repeated while its slot moves to another node, which for so long
#: serves none that has several keys.
_MOVING_PATIENCE = 5.0

#: Seconds between two such tries, at first and at last.
_TRY_FIRST, _TRY_LAST = 0.01, 0.1

_ASKING = resp.pack(("ASKING",))
_SLOTS = resp.pack(("CLUSTER", "SLOTS"))


def bucket_tag(prefix: str, number: int, count: int) -> str:
    """The hash tag of a bucket, such as ``asgi:07``: its slot is in the bucket's part of all slots.

    Where the plain tag is elsewhere, a point and a number make it another one.
    """
    first = REDIS_CLUSTER_HASH_SLOTS * number // count
    end = REDIS_CLUSTER_HASH_SLOTS * (number + 1) // count
    plain = f"{prefix}{number:02}"
    others = (f"{plain}.{more}" for more in itertools.count())
    return next(tag for tag in itertools.chain([plain], others) if first <= _slot(tag) < end)


def _slot(tag: str) -> int:
    slot: int = key_slot(tag.encode())
    return slot


class Nodes:
    """Which node serves which slot, as far as is known. Safe in threads, without a lock."""

    def __init__(self, seeds: Sequence[Address]) -> None:
        self._seeds = [Endpoint(address) for address in seeds]
        self._known: dict[str, Endpoint] = {}
        #: First slot, last slot, master.
        self._ranges: list[tuple[int, int, Endpoint]] = []
        #: Slots that moved since all were learnt.
        self._moved: dict[int, Endpoint] = {}
        #: The failures of nodes when all were learnt.
        self._failures: dict[Endpoint, int] = {}
        self.is_outdated = True

    def owner(self, slot: int) -> Endpoint | None:
        """The master that is known to serve ``slot``."""
        moved = self._moved.get(slot)
        if moved is not None:
            return moved
        return next((node for low, high, node in self._ranges if low <= slot <= high), None)

    def is_doubtful(self, node: Endpoint) -> bool:
        """Whether something was wrong with a node since all were learnt."""
        return self.is_outdated or node.failures != self._failures.get(node, 0)

    def known(self) -> list[Endpoint]:
        """All nodes, and where they were learnt from."""
        known = dict(self._known)
        return [*known.values(), *(node for node in self._seeds if node.text not in known)]

    def at(self, where: str, beside: Endpoint) -> Endpoint:
        """The node at ``host:port``; without a host, it is that of ``beside``."""
        host, _, port = where.rpartition(":")
        address = self._seeds[0].address
        address = address.but(host or beside.address.arguments["host"], int(port))
        return self._known.setdefault(address.text, Endpoint(address))

    def moved(self, slot: int, where: str) -> None:
        """Note the node that serves ``slot`` now, as a redirection names it."""
        if where.startswith(":"):
            self.is_outdated = True  # a node that does not know its host
        else:
            self._moved[slot] = self.at(where, self._seeds[0])

    def learn(self) -> None:
        """Ask for all slots. Raises ``LayerUnavailable`` where no node answers."""
        failure: LayerUnavailable | None = None
        for node in self._worth_asking():
            try:
                reply = node.call(_SLOTS)
                if isinstance(reply, resp.ReplyError):
                    raise node.refused(reply)
                self._note(node, reply)
                return
            except LayerUnavailable as error:
                failure = error
        assert failure is not None
        raise failure

    def _worth_asking(self) -> list[Endpoint]:
        """Those first that worked lately."""
        return sorted(self.known(), key=lambda node: node.failures != self._failures.get(node, 0))

    def _note(self, asked: Endpoint, reply: Reply) -> None:
        ranges: list[tuple[int, int, Endpoint]] = []
        named: dict[str, Endpoint] = {}
        for low, high, *nodes in reply:
            endpoints = [self._endpoint(asked, *node[:2]) for node in nodes]
            named |= {node.text: node for node in endpoints}
            ranges.append((low, high, endpoints[0]))
        gone = [node for text, node in self._known.items() if text not in named]
        self._ranges, self._known = ranges, named
        self._moved = {}
        self._failures = {node: node.failures for node in self.known()}
        self.is_outdated = False
        for node in gone:
            node.close()

    def _endpoint(self, asked: Endpoint, host: bytes | None, port: int) -> Endpoint:
        return self.at(f"{(host or b'').decode()}:{port}", asked)


class Bucket(Shard):
    """The shard of one hash tag."""

    def __init__(self, number: int, tag: str, stats_prefix: str, nodes: Nodes) -> None:
        super().__init__(number, f"{{{tag}}}", f"{stats_prefix}{{{tag}}}")
        self.slot = _slot(tag)
        self._nodes = nodes
        self._delays = Backoff(_TRY_FIRST, _TRY_LAST)
        self._redirected_at = 0.0
        self._paused_until = 0.0

    def endpoint(self) -> Endpoint:
        return self._nodes.owner(self.slot) or self._learnt()

    def located(self) -> Endpoint:
        node = self._nodes.owner(self.slot)
        if node is None or self._nodes.is_doubtful(node):
            return self._learnt()
        return node

    def _learnt(self) -> Endpoint:
        self._nodes.learn()
        node = self._nodes.owner(self.slot)
        if node is None:
            raise NotDone(
                f"no master of the cluster serves slot {self.slot} of {self.prefix!r}; assign it, "
                "for example by redis-cli --cluster fix"
            )
        return node

    def call(self, frame: bytes) -> Reply:
        """See ``Shard.call``; waits while the slot moves, 5 seconds at most."""
        until = time.monotonic() + _MOVING_PATIENCE
        for attempt in itertools.count():
            self._settle()
            node = self.located()
            reply = node.call(frame)
            if type(reply) is resp.ReplyError and str(reply).startswith("ASK "):
                node = self._nodes.at(str(reply).split(" ")[2], node)
                reply = _asking(node, frame)
            if type(reply) is not resp.ReplyError:
                return reply
            if not self.redirected(reply, attempt) or time.monotonic() > until:
                node.failures += 1  # ask others where the slot is
                raise node.refused(reply)
        raise AssertionError("counting has no end")

    def take(self) -> Connection:
        """See ``Shard.take``; waits for a tenth of a second while the slot moves."""
        self._settle()
        return super().take()

    def redirected(self, error: resp.ReplyError, attempt: int) -> bool:
        code = error_code(error)
        if code == "MOVED":
            self._nodes.moved(self.slot, str(error).split(" ")[2])
        elif code in {"UNBLOCKED", "READONLY"}:  # by a master that has become a replica
            self._nodes.is_outdated = True
        elif code not in {"ASK", "TRYAGAIN"}:
            return False
        now = time.monotonic()
        if now - self._redirected_at > 1:
            self._delays.reset()
        elif code != "MOVED" or now - self._redirected_at < _TRY_FIRST:
            self._paused_until = now + self._delays.next_delay()
        self._redirected_at = now
        return attempt < _MOST_REDIRECTIONS

    def incarnation(self) -> str:
        """Nothing: the keys move from one server to another, and the epoch with them."""
        return ""

    def _settle(self) -> None:
        """Wait before another try. That a slot has moved nobody tells."""
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            time.sleep(pause)


def _asking(node: Endpoint, frame: bytes) -> Reply:
    """The reply of a node to which the slot is moving."""
    connection = node.take()
    connection.write(_ASKING + frame)
    connection.read()
    reply = connection.read()
    node.give_back(connection)
    return reply


class _Buckets(Topology):
    """Each channel in one bucket, normal ones too: the buckets that a worker listens to are few."""

    def __init__(self, buckets: Sequence[Bucket], nodes: Nodes) -> None:
        super().__init__(buckets)
        self.nodes = nodes

    def _all_from(self, queue: str) -> tuple[Shard, ...]:
        return (self.home(queue),)

    def capacity_on(self, shard: Shard, queue: str, capacity: int) -> int:
        return capacity

    def endpoints(self) -> list[Endpoint]:
        return self.nodes.known()

    def scan(self, *kinds: str) -> Iterator[tuple[Shard, list[bytes]]]:
        self.nodes.learn()  # SCAN is never redirected
        yield from super().scan(*kinds)


class RedisClusterChannelLayer(RedisChannelLayer):
    """A layer over a Redis Cluster.

    ``hosts``: some of its nodes, from which the others are learnt; in each spelling that
    ``RedisChannelLayer`` takes. ``buckets``: into how many parts the channels are divided, 12 by
    default. It has to be the same in every process, and should be as many as there are masters at
    least. The other arguments are those of ``RedisChannelLayer``.

    Raises ``ValueError`` for arguments out of range.
    """

    def __init__(self, *args: Any, buckets: int = DEFAULT_BUCKETS, **kwargs: Any) -> None:
        if not isinstance(buckets, int) or not 1 <= buckets <= 1000:
            raise ValueError(f"buckets must be a number from 1 to 1000, not {buckets!r}")
        self.buckets = buckets
        super().__init__(*args, **kwargs)

    def prefetch(self, channels: Collection[str], failed: Failed) -> None:
        """None: commands that are under way may be sent elsewhere, out of their order."""

    def _make_topology(
        self, hosts: Collection[Any] | None, connection_kwargs: Mapping[str, Any] | None
    ) -> Topology:
        for name, prefix in (("prefix", self.prefix), ("stats_prefix", self.stats_prefix)):
            if "{" in prefix or "}" in prefix:
                raise ValueError(
                    f"{name} must be without braces, not {prefix!r}: the layer puts hash tags into "
                    "its keys"
                )
        nodes = Nodes(parse_hosts(hosts, connection_kwargs))
        tags = [bucket_tag(self.prefix, number, self.buckets) for number in range(self.buckets)]
        buckets = [Bucket(n, tag, self.stats_prefix, nodes) for n, tag in enumerate(tags)]
        return _Buckets(buckets, nodes)
