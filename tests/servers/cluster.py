"""A private Redis Cluster: three masters, and a replica of the first where it is asked for."""

from contextlib import ExitStack
from typing import Self

from redis.crc import key_slot

from tests.servers.ports import PORTS, free_port
from tests.servers.redis import RedisServer, version
from tests.waiting import wait_until

__all__ = ["Cluster", "ClusterNode"]

_SLOTS = 16384

#: Milliseconds after which a node that does not answer counts as failed.
_NODE_TIMEOUT = "500"

#: The bus of a node has its port plus this number, where it has no own one.
_BUS = 10_000


class ClusterNode(RedisServer):
    """One node; its bus has a port of its own, since ``port`` + 10000 may be none."""

    def __init__(self) -> None:
        port, self.bus, bus = _ports()
        super().__init__(
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
            *("--cluster-node-timeout", _NODE_TIMEOUT, *bus),
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            port=port,
        )
        self.id = ""

    def sees(self, state: str, nodes: int) -> bool:
        """Whether it knows ``nodes`` nodes and thinks the cluster ``state`` (ok or fail)."""
        text = self.ask("CLUSTER", "INFO").decode()
        return f"cluster_state:{state}" in text and f"cluster_known_nodes:{nodes}" in text


def _ports() -> tuple[int, int, list[str]]:
    """A node's port, that of its bus, and the argument that says so. Redis 6.2 takes none."""
    if version() >= (7, 0):
        bus = free_port()
        return free_port(), bus, ["--cluster-port", str(bus)]
    bus = free_port(range(PORTS.start + _BUS, PORTS.stop))
    return bus - _BUS, bus, []


class Cluster:
    """A context manager; a slot belongs to one of ``masters``."""

    def __init__(self, masters: int = 3, with_replica: bool = False) -> None:
        self.masters = [ClusterNode() for _ in range(masters)]
        self.replica = ClusterNode() if with_replica else None
        self._stack = ExitStack()

    @property
    def nodes(self) -> list[ClusterNode]:
        """All of them."""
        return [*self.masters, *([self.replica] if self.replica else [])]

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """The nodes, as layers take them."""
        return [node.address for node in self.nodes]

    def owner(self, slot: int) -> ClusterNode:
        """The master that serves ``slot`` now."""
        for first, last, (_, port, *_), *_ in self.nodes[1].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody serves slot {slot}")

    def begin_move(self, slot: int, target: ClusterNode) -> ClusterNode:
        """Open ``slot`` for its move to ``target``; returns the node that it leaves."""
        source = self.owner(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        return source

    def move_keys(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Move the keys that are there now."""
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", *target.address, "", 0, 5000, "REPLACE", "KEYS", *keys)

    def end_move(self, slot: int, target: ClusterNode) -> None:
        """Make ``target`` the owner, as all nodes are told."""
        for node in [target, *(other for other in self.masters if other is not target)]:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def move(self, slot: int, target: ClusterNode) -> None:
        """Move a slot with its keys, as resharding does."""
        source = self.begin_move(slot, target)
        self.move_keys(slot, source, target)
        self.end_move(slot, target)

    slot = staticmethod(key_slot)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.__exit__, None, None, None)
                node.launch()
            self._join()
            self._stack = stack.pop_all()
        return self

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            node.wait_until_it_listens()
            node.id = node.ask("CLUSTER", "MYID").decode()
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(self.masters):
            count = len(self.masters)
            first, end = _SLOTS * number // count, _SLOTS * (number + 1) // count
            node.ask("CLUSTER", "ADDSLOTS", *range(first, end))
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", *self.nodes[0].address, self.nodes[0].bus)
        for node in self.nodes:
            wait_until(lambda n=node: n.sees("ok", len(self.nodes)), 30)
        if self.replica is not None:
            self._replicate(self.replica)

    def _replicate(self, replica: ClusterNode) -> None:
        replica.ask("CLUSTER", "REPLICATE", self.masters[0].id)
        wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 30)

    def __exit__(self, *error: object) -> None:
        self._stack.close()
