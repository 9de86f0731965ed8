"""Shards and their topology: which keys lie together, where, and which shard has which name.

See the package for how another topology is put in here.
"""

import functools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from channels import names
from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Connection, Endpoint, Reply, error_code
from channels.layers.redis.hosts import Address
from channels.layers.redis.ring import Ring
from channels.outage import Backoff

__all__ = ["NOTHING_DONE", "Replies", "Shard", "Topology", "is_normal"]

#: What the commands of a shard gave, or why they gave nothing.
Replies = list[Reply] | LayerUnavailable

#: Keys that one SCAN looks at.
_SCANNED = 1000

#: Rests of a shard that failed, in seconds, before it is tried again where others serve.
_SHORTEST_REST, _LONGEST_REST = 0.1, 2.0


#: Errors that a server replies before it does anything, and that may be gone at another try.
NOTHING_DONE = {"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "LOADING"}


def _again(shard: "Shard", frame: bytes, error: resp.ReplyError) -> Reply:
    """Repeat a command of many that failed by itself."""
    if error_code(error) not in NOTHING_DONE:
        raise shard.endpoint().refused(error)
    return shard.call(frame)


def _repeated(shard: "Shard", frames: Sequence[bytes], replies: Replies) -> Replies:
    """The replies, after those commands were repeated that failed by themselves."""
    if isinstance(replies, LayerUnavailable):
        return replies
    try:
        return [
            _again(shard, frame, reply) if type(reply) is resp.ReplyError else reply
            for frame, reply in zip(frames, replies, strict=True)
        ]
    except LayerUnavailable as error:
        return error


def _noted(shard: "Shard", outcome: Replies) -> Replies:
    """``outcome``, after the shard was told of it."""
    if isinstance(outcome, LayerUnavailable):
        shard.failed(outcome)
    else:
        shard.worked()
    return outcome


def is_normal(queue: str) -> bool:
    """Whether a queue has neither mark, so that each shard may hold a part of it."""
    return "?" not in queue and not names.is_process_channel(queue)


class Shard:
    """Keys that lie together on one server: what one script may touch.

    ``prefix`` and ``stats_prefix`` stand in front of all keys of the shard; in a cluster they hold
    its hash tag. A subclass finds the server in its own way (``endpoint``) and follows the server's
    redirections in its own way (``redirected``).
    """

    def __init__(self, number: int, prefix: str, stats_prefix: str) -> None:
        self.number = number
        self.prefix = prefix
        self.stats_prefix = stats_prefix
        self.epoch_key = self.key("epoch")
        self.global_counts = f"{stats_prefix}global".encode()
        self._owned = re.compile(
            b"%s(?:[qitg]:[^:]+|[mp]:[^:]+:[^:]+|epoch|listeners)|%s(?:c:[^:]+|global)"
            % (re.escape(prefix.encode()), re.escape(stats_prefix.encode()))
        )
        self._delays = Backoff(_SHORTEST_REST, _LONGEST_REST)
        self._rests_until = 0.0
        self._trying = threading.Lock()
        #: What reads the answers to commands that a thread has sent over a connection of its own,
        #: by ``threading.get_ident()``: what it sends next has to come after them.
        self.under_way: dict[int, Callable[[], None]] = {}
        #: Why it failed lately; None where it works.
        self.failure: LayerUnavailable | None = None

    def endpoint(self) -> Endpoint:
        """The server that has the shard now; raises ``LayerUnavailable``."""
        raise NotImplementedError("a shard has to know its server")

    def located(self) -> Endpoint:
        """``endpoint``, looked up anew where the server may be another one by now. May block."""
        return self.endpoint()

    def redirected(self, error: resp.ReplyError, attempt: int) -> bool:
        """Called with an error that the server replied, before anything was done.

        True where ``endpoint`` now gives another server, or the same once more, and the command is
        to be sent again; ``attempt`` counts from 0.
        """
        return False

    def incarnation(self) -> str:
        """What tells, beside the epoch, that the server may have forgotten something: its run."""
        return self.endpoint().run_id[:8]

    # Keys

    def key(self, kind: str, *parts: str) -> bytes:
        """The key of a kind for some names; a colon is in no name."""
        return ":".join((f"{self.prefix}{kind}", *parts)).encode()

    def owns(self, key: bytes) -> bool:
        """Whether a key is the layer's; another prefix may begin with its own."""
        return self._owned.fullmatch(key) is not None

    def queue_keys(self, queue: str) -> tuple[bytes, bytes, bytes]:
        """The list, the information and the tokens for waiting senders of a queue."""
        return self.key("q", queue), self.key("i", queue), self.key("t", queue)

    def counts_key(self, queue: str) -> bytes:
        """Where the statistics of a queue are counted."""
        return f"{self.stats_prefix}c:{queue}".encode()

    # Commands

    def call(self, frame: bytes) -> Reply:
        """The reply to one command; raises ``LayerUnavailable``, also for an error replied."""
        if self.under_way:
            self.settle()
        attempt = 0
        while True:
            endpoint = self.located()
            reply = endpoint.call(frame)
            if type(reply) is not resp.ReplyError:
                return reply
            if not self.redirected(reply, attempt):
                raise endpoint.refused(reply)
            attempt += 1

    def settle(self) -> None:
        """Wait for the answers to what the calling thread has under way."""
        settle = self.under_way.get(threading.get_ident())
        if settle is not None:
            settle()

    def take(self) -> Connection:
        """A connection for a blocking pop."""
        return self.located().take()

    # Failures

    def after_fork(self) -> None:
        """Called in the child of a fork: no thread of it tries the shard, or has sent to it."""
        self._trying = threading.Lock()
        self.under_way = {}

    def failed(self, error: LayerUnavailable) -> None:
        """Note a failure: for a moment others are preferred."""
        self.failure = error
        self._rests_until = time.monotonic() + self._delays.next_delay()

    def worked(self) -> None:
        """Note a success."""
        if self.failure is not None:
            self.failure = None
            self._rests_until = 0.0
            self._delays.reset()

    def rest(self) -> float:
        """Seconds for which a shard beside others should be left alone, 0 where it works.

        When its rest is over, a thread tries it, since that may take seconds in which those who use
        the others would wait.
        """
        if self.failure is None:
            return 0.0
        left = self._rests_until - time.monotonic()
        if left <= 0 and self._trying.acquire(blocking=False):
            threading.Thread(target=self._try, name="redis-shard", daemon=True).start()
        return max(_SHORTEST_REST, left)

    def _try(self) -> None:
        try:
            endpoint = self.located()
            endpoint.give_back(endpoint.connect())
            self.worked()
        except LayerUnavailable as error:
            self.failed(error)
        finally:
            self._trying.release()


class _Standalone(Shard):
    """A shard that is a server of its own."""

    def __init__(self, number: int, prefix: str, stats_prefix: str, endpoint: Endpoint) -> None:
        super().__init__(number, prefix, stats_prefix)
        self._endpoint = endpoint

    def endpoint(self) -> Endpoint:
        return self._endpoint


class Topology:
    """All shards of a layer, and who is where."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        self._ring = Ring(len(self.shards))
        self.all_from = functools.lru_cache(maxsize=10_000)(self._all_from)

    @classmethod
    def standalone(cls, addresses: Sequence[Address], prefix: str, stats_prefix: str) -> "Topology":
        """Servers that know nothing of each other; raises ``ValueError`` where two are one."""
        for place, address in enumerate(addresses):
            if address in addresses[:place]:
                raise ValueError(
                    f"hosts names {address.text} twice, with the same database: members of groups "
                    "would get each message twice; name it once"
                )
        return cls(
            [
                _Standalone(number, prefix, stats_prefix, Endpoint(address))
                for number, address in enumerate(addresses)
            ]
        )

    def home(self, queue: str) -> Shard:
        """The shard of a queue: all of a ``?`` or ``!`` queue, and every membership, lie there."""
        return self.shards[self._ring.place(queue)]

    def _all_from(self, queue: str) -> tuple[Shard, ...]:
        """The shards on which entries of a queue may lie, its home first."""
        home = self._ring.place(queue)
        if is_normal(queue):
            return self.shards[home:] + self.shards[:home]
        return (self.shards[home],)

    def capacity_on(self, shard: Shard, queue: str, capacity: int) -> int:
        """The part of a queue's capacity that a shard has; the parts add up to it."""
        if not is_normal(queue):
            return capacity
        size = len(self.shards)
        share, rest = divmod(capacity, size)
        distance = (shard.number - self._ring.place(queue)) % size
        return share + (distance < rest)

    def endpoints(self) -> list[Endpoint]:
        """The servers known by now."""
        found: dict[Endpoint, None] = {}
        for shard in self.shards:
            try:
                found[shard.endpoint()] = None
            except LayerUnavailable:
                continue
        return list(found)

    def close(self) -> None:
        """Close all idle connections."""
        for endpoint in self.endpoints():
            endpoint.close()

    # Commands to many shards

    def scatter(self, requests: Sequence[tuple[Shard, Sequence[bytes]]]) -> list[Replies]:
        """Send commands to several shards, and only then wait for any reply.

        Shards that are on one server share a connection.
        """
        outcomes: dict[int, Replies] = {}
        servers: dict[Endpoint, list[int]] = {}
        for place, (shard, _) in enumerate(requests):
            if shard.under_way:
                shard.settle()
            try:
                servers.setdefault(shard.located(), []).append(place)
            except LayerUnavailable as error:
                outcomes[place] = error
        begun: list[tuple[Connection, list[int]]] = []
        for endpoint, places in servers.items():
            try:
                connection = endpoint.take()
                connection.write(b"".join(frame for at in places for frame in requests[at][1]))
                begun.append((connection, places))
            except LayerUnavailable as error:
                outcomes |= dict.fromkeys(places, error)
        for connection, places in begun:
            outcomes |= self._finish(connection, places, requests)
        return [_noted(shard, outcomes[place]) for place, (shard, _) in enumerate(requests)]

    def _finish(
        self,
        connection: Connection,
        places: Sequence[int],
        requests: Sequence[tuple[Shard, Sequence[bytes]]],
    ) -> dict[int, Replies]:
        """Read what was written to one connection; the outcomes of the requests at ``places``."""
        found: dict[int, Replies] = {}
        try:
            for place in places:
                found[place] = [connection.read() for _ in requests[place][1]]
            connection.endpoint.give_back(connection)
        except LayerUnavailable as error:
            found |= {place: error for place in places if place not in found}
        return {place: _repeated(*requests[place], replies) for place, replies in found.items()}

    def scan(self, *kinds: str) -> Iterator[tuple[Shard, list[bytes]]]:
        """The keys of some kinds, in portions; all keys of the layer where none is named.

        Blocks no server for long, and may give a key twice.
        """
        for shard in self.shards:
            starts = [f"{shard.prefix}{kind}:" for kind in kinds]
            for start in starts or dict.fromkeys((shard.prefix, shard.stats_prefix)):
                for _, keys in self._scan(shard, start):
                    if owned := [key for key in keys if shard.owns(key)]:
                        yield shard, owned

    def _scan(self, shard: Shard, start: str) -> Iterator[tuple[Shard, list[bytes]]]:
        pattern = "".join(f"\\{letter}" if letter in "\\*?[]^" else letter for letter in start)
        cursor = b"0"
        while True:
            frame = resp.pack(("SCAN", cursor, "MATCH", f"{pattern}*", "COUNT", _SCANNED))
            cursor, keys = shard.call(frame)
            if keys:
                yield shard, keys
            if cursor == b"0":
                return
