"""What all clients of a layer agree on: groups, evictions, and which channels exist.

Each client keeps a copy, and every copy sees the same operations in the same order, so that a look
at it needs no question to the broker. An operation is a message, as ``channels.codec`` encodes it;
its key ``do`` names the method that carries it out. Deadlines are seconds since 1970, because they
are compared on other machines than the one that set them.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from channels import names
from channels.layers.inmemory.groups import Groups

__all__ = ["Replica"]

#: Evicted process channels that are remembered. An application has far fewer; the bound is for
#: names made at random.
_REMEMBERED = 10_000


class Replica:
    """One client's copy."""

    def __init__(self) -> None:
        #: How often the messages of a process channel expired unread.
        self.evictions: OrderedDict[str, int] = OrderedDict()
        #: The channels that there were when the layer was emptied last.
        self.emptied: list[str] = []
        self._begin("")

    def _begin(self, epoch: str) -> None:
        #: Changes when the layer was emptied.
        self.epoch = epoch
        self.groups = Groups()
        #: The channels that may hold messages, and until when.
        self.queues: OrderedDict[str, float] = OrderedDict()
        #: What each listener listens to, and until when.
        self.listeners: dict[str, tuple[frozenset[str], float]] = {}
        #: The clients that wait for room in a channel, and until when.
        self.wanted: dict[str, dict[str, float]] = {}

    # Operations

    def apply(self, operation: dict[str, Any]) -> None:
        """Carry out what some client published."""
        arguments = dict(operation)
        getattr(self, "_" + arguments.pop("do"))(**arguments)

    def _join(self) -> None:
        """A client has come; nothing changes."""

    def _empty(self, epoch: str) -> None:
        self.emptied = list(self.queues)
        self._begin(epoch)

    def _hold(self, client: str, number: int) -> None:
        """``client`` asks how many messages others have at hand; nothing changes."""

    def _emptied(self) -> None:
        """The queues that there were are deleted; nothing changes."""

    def _add(self, group: str, queue: str, local: str, until: float) -> None:
        self.groups.add(group, queue, local, until)

    def _discard(self, group: str, queue: str, local: str) -> None:
        self.groups.discard(group, queue, local)

    def _use(self, queue: str, until: float) -> None:
        self.queues[queue] = until
        self.queues.move_to_end(queue)
        self._forget_unused()

    def _announce(self, listener: str, channels: list[str], until: float) -> None:
        now = time.time()
        self.listeners = {
            name: known for name, known in self.listeners.items() if known[1] > now
        }  # those that were killed
        if channels:
            self.listeners[listener] = (frozenset(channels), until)
        else:
            self.listeners.pop(listener, None)

    def _want(self, queue: str, client: str, until: float) -> None:
        self._forget_wants()
        self.wanted.setdefault(queue, {})[client] = until

    def _forget_wants(self) -> None:
        """Those of clients that were killed."""
        now = time.time()
        for queue, clients in list(self.wanted.items()):
            for client in [one for one, until in clients.items() if until <= now]:
                self._unwant(queue, client)

    def _unwant(self, queue: str, client: str) -> None:
        clients = self.wanted.get(queue, {})
        clients.pop(client, None)
        if not clients:
            self.wanted.pop(queue, None)

    def expired(self, queue: str, evictions: int) -> bool:
        """A message of ``queue`` expired unread.

        False where that queue had been evicted before.
        """
        if evictions != self.evicted(queue):
            return False
        self.groups.evict(queue)
        if names.is_process_channel(queue):
            self.queues.pop(queue, None)
            self.evictions[queue] = evictions + 1
            self.evictions.move_to_end(queue)
            if len(self.evictions) > _REMEMBERED:
                self.evictions.popitem(last=False)
        return True

    def _forget_unused(self) -> None:
        now = time.time()
        while self.queues and next(iter(self.queues.values())) <= now:
            self.queues.popitem(last=False)

    # Looks

    def evicted(self, queue: str) -> int:
        """How often ``queue`` was evicted."""
        return self.evictions.get(queue, 0)

    def generation(self, queue: str | None) -> str:
        """See ``BaseChannelLayer.generation``."""
        return f"{self.epoch}.{0 if queue is None else self.evicted(queue)}"

    def current_groups(self) -> Groups:
        """The groups, without the memberships that are over."""
        self.groups.expire(time.time())
        return self.groups

    def listened(self) -> list[frozenset[str]]:
        """What each listener listens to."""
        now = time.time()
        return [channels for channels, until in list(self.listeners.values()) if until > now]

    def wanting(self, queue: str) -> list[str]:
        """The clients that wait for room in ``queue``."""
        clients = self.wanted.get(queue)
        if not clients:
            return []
        now = time.time()
        return [client for client, until in clients.items() if until > now]

    # Snapshots

    def snapshot(self) -> dict[str, Any]:
        """All of it, as a message."""
        now = time.time()
        return {
            "epoch": self.epoch,
            "evictions": dict(self.evictions),
            "queues": dict(self.queues),
            "listeners": {
                listener: [until, *channels]
                for listener, (channels, until) in self.listeners.items()
                if until > now
            },
            "groups": list(self._memberships()),
        }

    def _memberships(self) -> Iterator[list[Any]]:
        """Group, queue, local parts and deadlines; the last two packed, since there are many."""
        for group, queue, members in self.current_groups().everything():
            deadlines = " ".join(f"{until:.3f}" for until in members.values())
            yield [group, queue, " ".join(members), deadlines]

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what ``snapshot`` says."""
        self._begin(snapshot["epoch"])
        self.evictions.update(snapshot["evictions"])
        self.queues.update(snapshot["queues"])
        for listener, (until, *channels) in snapshot["listeners"].items():
            self._announce(listener, channels, until)
        for group, queue, locals_, deadlines in snapshot["groups"]:
            for local, until in zip(locals_.split(" "), deadlines.split(" "), strict=True):
                self.groups.add(group, queue, local, float(until))
