"""Groups: memberships lie on the shard of the member's queue, so that a send is one script there.

A group's part on a shard is a *directory*, which tells the queues of its members and in how many
buckets they lie. Scripts name every key that they touch, so a client keeps the directories of the
groups that it sends to. A script compares the version and gives the new directory where the client
has an old one; then only what is missing is sent to.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Reply
from channels.layers.redis.queues import RedisQueues
from channels.layers.redis.scripts import GROUP_ADD, GROUP_DISCARD, GROUP_MEMBERS, GROUP_SEND
from channels.layers.redis.shards import Shard

__all__ = ["RedisGroups"]

#: Buckets of one queue that one part of a call serves: they fill one entry.
_BUCKETS_PER_PART = 2

#: Parts of one script call. Each takes 0.1 ms for 2,000 members, if nothing has to be packed.
_PARTS_PER_CALL = 16

#: Groups whose directories are kept.
_KEPT = 10_000


class Span(NamedTuple):
    """Some buckets of a group's members behind one queue."""

    queue: str
    first: int
    last: int


class Directory(NamedTuple):
    """What a shard has of a group: a version, and the number of buckets for each queue."""

    version: bytes
    buckets: dict[str, int]

    @classmethod
    def of(cls, fields: Sequence[bytes]) -> "Directory":
        """The directory as the fields and values of its hash."""
        pairs = dict(zip(fields[::2], fields[1::2], strict=True))
        version = pairs.pop(b"", b"")
        return cls(version, {queue.decode(): int(number) for queue, number in pairs.items()})

    def beyond(self, known: "Directory") -> Iterator[Span]:
        """The buckets that are not in ``known``."""
        for queue, buckets in self.buckets.items():
            for first in range(known.buckets.get(queue, 0), buckets, _BUCKETS_PER_PART):
                yield Span(queue, first, min(first + _BUCKETS_PER_PART, buckets) - 1)


_NOTHING = Directory(b"", {})


def _calls(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Portions for one script call each."""
    waiting = iter(spans)
    while portion := list(itertools.islice(waiting, _PARTS_PER_CALL)):
        yield portion


class RedisGroups(RedisQueues):
    """The primitives of groups."""

    def _start_groups(self) -> None:
        self._directories: OrderedDict[tuple[Shard, str], Directory] = OrderedDict()

    def _group_add(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        shard = self.topology.home(queue)
        process, capacity, expiry = self._limits(shard, queue)
        keys = self._group_keys(shard, group, queue)
        shard.call(GROUP_ADD(keys, queue, "".join(targets), process, capacity, expiry))

    def _group_keys(self, shard: Shard, group: str, queue: str) -> tuple[bytes, ...]:
        """All keys of the members of a group behind a queue."""
        members = _member_keys(shard, group, queue)
        return (shard.key("g", group), *shard.queue_keys(queue), *members)

    def _group_discard(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        shard = self.topology.home(queue)
        keys = shard.key("g", group), *_member_keys(shard, group, queue)
        shard.call(GROUP_DISCARD(keys, queue, "".join(targets)))

    # Sending

    def _push_group(self, group: str, body: bytes) -> Iterable[tuple[str, int]]:
        """One call for each shard and some buckets, all written before any reply is read.

        Then, if need be, more: for buckets that calls left, and for those that were not known.
        """
        known = {shard: self._directory(shard, group) for shard in self.topology.shards}
        spans = {shard: list(found.beyond(_NOTHING)) for shard, found in known.items()}
        dropped, left, news = self._send_round(group, body, spans, known)
        for shard, directory in news.items():
            left.setdefault(shard, []).extend(directory.beyond(known[shard]))
        while left := {shard: spans for shard, spans in left.items() if spans}:
            more, left, _ = self._send_round(group, body, left, {})
            dropped += more
        return dropped

    def _send_round(
        self,
        group: str,
        body: bytes,
        spans: dict[Shard, list[Span]],
        known: dict[Shard, Directory],
    ) -> tuple[list[tuple[str, int]], dict[Shard, list[Span]], dict[Shard, Directory]]:
        """What was dropped, what is left to be served, and directories other than ``known``."""
        calls = {shard: list(_calls(some)) or [[]] for shard, some in spans.items()}
        requests = []
        for shard, portions in calls.items():
            version = known[shard].version if shard in known else b"-"
            versions = [version, *[b"-"] * (len(portions) - 1)]
            frames = [
                self._send_frame(shard, group, body, portion, version)
                for portion, version in zip(portions, versions, strict=True)
            ]
            requests.append((shard, frames))
        dropped: list[tuple[str, int]] = []
        left: dict[Shard, list[Span]] = {}
        news: dict[Shard, Directory] = {}
        failures = []
        for (shard, _), replies in zip(requests, self.topology.scatter(requests), strict=True):
            if isinstance(replies, LayerUnavailable):
                failures.append(replies)
                continue
            for portion, reply in zip(calls[shard], replies, strict=True):
                dropped += _dropped(portion, reply)
                left.setdefault(shard, []).extend(portion[reply[1] :])
                if len(reply) > 2:
                    news[shard] = self._learn(shard, group, reply[2])
        self._some_failed(group, failures, len(requests))
        return dropped, left, news

    def _some_failed(self, group: str, failures: list[LayerUnavailable], asked: int) -> None:
        """Raise where no shard answered; else the members on the others have it."""
        if failures and len(failures) == asked:
            raise failures[0]
        for failure in failures:
            self._drops.add(group, 1, f"a shard failed when a group was sent to: {failure}")

    def _send_frame(
        self, shard: Shard, group: str, body: bytes, portion: Sequence[Span], version: bytes
    ) -> bytes:
        keys = [shard.key("g", group), shard.global_counts]
        args: list[bytes | str | int] = []
        for span in portion:
            keys += self._span_keys(shard, group, span)
            keys.append(shard.counts_key(span.queue))
            args += self._span_args(shard, span)
        return GROUP_SEND(
            tuple(keys),
            *(version, body, self._expiry_ms, self._group_expiry_ms, *self._counts_expiries("")),
            *args,
        )

    def _span_keys(self, shard: Shard, group: str, span: Span) -> list[bytes]:
        return [*shard.queue_keys(span.queue), *_member_keys(shard, group, span.queue)]

    def _span_args(self, shard: Shard, span: Span) -> list[bytes | str | int]:
        process, capacity, _ = self._limits(shard, span.queue)
        return [span.queue, process, capacity, span.first, span.last]

    # Directories

    def _directory(self, shard: Shard, group: str) -> Directory:
        return self._directories.get((shard, group), _NOTHING)

    def _learn(self, shard: Shard, group: str, fields: Sequence[bytes]) -> Directory:
        directory = self._directories[shard, group] = Directory.of(fields)
        if len(self._directories) > _KEPT:
            try:
                self._directories.popitem(last=False)
            except KeyError:
                pass  # another thread made room
        return directory

    # Members

    def _group_channels(self, group: str) -> list[str]:
        asked = [
            (shard, [GROUP_MEMBERS((shard.key("g", group),), 1, self._group_expiry_ms)])
            for shard in self.topology.shards
        ]
        portions: dict[Shard, list[list[Span]]] = {}
        for (shard, _), replies in zip(asked, self.topology.scatter(asked), strict=True):
            if isinstance(replies, LayerUnavailable):
                raise replies
            directory = self._learn(shard, group, replies[0][1])
            portions[shard] = list(_calls(directory.beyond(_NOTHING)))
        requests = [
            (shard, [self._members_frame(shard, group, spans) for spans in calls])
            for shard, calls in portions.items()
            if calls
        ]
        found: list[str] = []
        for (shard, _), replies in zip(requests, self.topology.scatter(requests), strict=True):
            if isinstance(replies, LayerUnavailable):
                raise replies
            for spans, reply in zip(portions[shard], replies, strict=True):
                for span, locals_ in zip(spans, reply[0], strict=True):
                    found += [span.queue + local.decode() for local in locals_]
        return found

    def _members_frame(self, shard: Shard, group: str, portion: Sequence[Span]) -> bytes:
        keys = [shard.key("g", group)]
        args: list[bytes | str | int] = []
        for span in portion:
            keys += self._span_keys(shard, group, span)
            args += self._span_args(shard, span)
        return GROUP_MEMBERS(tuple(keys), 0, self._group_expiry_ms, *args)


def _member_keys(shard: Shard, group: str, queue: str) -> tuple[bytes, bytes]:
    """The memberships of a group behind a queue, and the packed copies of them."""
    return shard.key("m", group, queue), shard.key("p", group, queue)


def _dropped(portion: Sequence[Span], reply: Reply) -> list[tuple[str, int]]:
    places, sizes = reply[0][::2], reply[0][1::2]
    return [(portion[place].queue, size) for place, size in zip(places, sizes, strict=True)]
