"""A layer in an event loop: commands on one connection for each shard, blocking pops on others.

Nothing blocks here; connections are made in threads. ``twisted`` and ``asynchronous`` say which
loop it is.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Connection, Endpoint, NotDone, Reply, error_code
from channels.layers.redis.listening import BLOCK_SECONDS
from channels.layers.redis.outbox import PushHead
from channels.layers.redis.queues import pushed_tail
from channels.layers.redis.shards import NOTHING_DONE, Shard
from channels.layers.redis.streams import Answer, Cancellable, Loop, Stream
from channels.layers.redis.tasks import Outcome

if TYPE_CHECKING:
    from channels.layers.redis.layer import RedisChannelLayer
    from channels.layers.redis.waits import Receive

__all__ = ["Command", "Session"]

#: Seconds until CLIENT UNBLOCK is sent again where it came before the command that it is to end.
_AGAIN = 0.01

#: Seconds between two looks at what is overdue, and at generations and listeners.
_LOOK = 5.0

#: The reply of a command that has none yet.
_NONE_YET = object()


class Link:
    """The commands to one shard: pipelined on a connection that is made when first needed."""

    def __init__(self, session: "Session", shard: Shard) -> None:
        self.stream: Stream | None = None
        self._session = session
        self._shard = shard
        self._waiting: list[tuple[bytes, Answer]] = []
        self._connecting = False

    def push(self, head: PushHead, tail: bytes, answer: Answer) -> None:
        """Push an entry as ``Stream.push`` does, or once there is a connection."""
        if self.stream is not None and not self._session.is_closed:
            self.stream.push(head, tail, answer)
        else:
            self.send(resp.bulk(head.packed, tail), answer)

    def send(self, frame: bytes, answer: Answer) -> None:
        """Send a command now, or once there is a connection."""
        if self._session.is_closed:
            answer(self._session.closed_error())
            return
        if self.stream is not None:
            self.stream.send(frame, answer)
            return
        self._waiting.append((frame, answer))
        if not self._connecting:
            self._connecting = True
            self._session.loop.in_thread(self._shard.take, self._connected)

    def _connected(self, result: Connection | Exception) -> None:
        self._connecting = False
        waiting, self._waiting = self._waiting, []
        result = self._session.unless_closed(result)
        if isinstance(result, Exception):
            failure = self._session.failed(self._shard, result)
            for _, answer in waiting:
                answer(failure)
            return
        self._shard.worked()
        self.stream = self._session.command_stream(result, self)
        for frame, answer in waiting:
            self.stream.send(frame, answer)

    def drop(self, stream: Stream) -> None:
        """Use ``stream`` no more."""
        if self.stream is stream:
            self.stream = None


class Command:
    """A command that blocks in the server, on a connection of its own.

    ``sent_on`` is the stream that has sent it already, where one has; whoever sent it passes the
    reply to ``replied``.
    """

    def __init__(
        self,
        session: "Session",
        shard: Shard,
        frame: Callable[[Endpoint], bytes],
        changed: Callable[[], object],
        sent_on: Stream | None = None,
    ) -> None:
        self.shard = shard
        #: None at the end of its time; ``LayerUnavailable`` where it failed.
        self.reply: Reply = _NONE_YET
        self._session = session
        self._frame = frame
        self._changed = changed
        self._stream = sent_on
        self._timer: Cancellable | None = None
        self._is_ending = False
        if sent_on is None:
            session.blocking_stream(shard, self._connected)

    @property
    def is_over(self) -> bool:
        """Whether ``reply`` is there."""
        return self.reply is not _NONE_YET

    def end(self) -> None:
        """Have the reply come soon, whatever it is."""
        if self.is_over or self._is_ending:
            return
        self._is_ending = True
        if self._stream is None:
            self._finish(None)  # it was never sent
        else:
            self._unblock()

    def _connected(self, result: Stream | Exception) -> None:
        if isinstance(result, Exception):
            self._finish(result)
        elif self._is_ending:
            self._session.idle(self.shard, result)
        else:
            self._stream = result
            result.send(self._frame(result.connection.endpoint), self.replied)

    def replied(self, reply: Reply) -> None:
        """Take the reply to the command."""
        stream = self._stream
        assert stream is not None
        if isinstance(reply, resp.ReplyError):
            self._session.retire(stream)  # the shard may be elsewhere now
            again = self.shard.redirected(reply, 0)
            reply = None if again else stream.connection.endpoint.refused(reply)
        elif stream.is_open:
            self._session.idle(self.shard, stream)
        self._finish(reply)

    def _finish(self, reply: Reply) -> None:
        if self.is_over:
            return
        if isinstance(reply, Exception):
            reply = self._session.failed(self.shard, reply)
        else:
            self.shard.worked()
        self.reply = reply
        self._stream = None
        if self._timer is not None:
            self._timer.cancel()
        self._changed()

    def _unblock(self) -> None:
        self._timer = None
        stream = self._stream
        if stream is None:
            return
        frame = resp.pack(("CLIENT", "UNBLOCK", stream.connection.client_id))
        self._session.send_to(self.shard, stream, frame, self._unblocked)

    def _unblocked(self, reply: Reply) -> None:
        if self.is_over or self._stream is None:
            return
        if isinstance(reply, Exception):
            self._stream.lose(reply)  # nobody can end it, so it must not pop anything any more
        elif reply == 0:
            self._timer = self._session.loop.later(_AGAIN, self._unblock)


class Session:
    """The streams of a layer in one loop. All methods are called in the loop's thread."""

    def __init__(self, layer: "RedisChannelLayer", loop: Loop, is_passing: bool = False) -> None:
        self.layer = layer
        #: Whether it ends with the last wait.
        self.is_passing = is_passing
        self.loop = loop
        self._links: dict[Shard, Link] = {}
        self._idle: dict[Shard, list[Stream]] = {}
        self._streams: set[Stream] = set()
        self._look: Cancellable | None = None
        #: The receives that wait.
        self.receives: dict[Receive, None] = {}
        #: Whether its layer was closed; whoever still waits gets nothing, and nothing is opened.
        self.is_closed = False

    # Commands

    def call(self, shard: Shard, frame: bytes, answer: Answer) -> None:
        """Send a command; ``answer`` gets its reply or a ``LayerUnavailable``."""
        self._link(shard).send(frame, self._repeating(shard, lambda: frame, answer))

    def _link(self, shard: Shard) -> Link:
        link = self._links.get(shard)
        if link is None:
            link = self._links[shard] = Link(self, shard)
        return link

    def ask(self, shard: Shard, frame: bytes) -> Outcome[Reply]:
        """The same for coroutines."""
        outcome: Outcome[Reply] = Outcome()
        self.call(shard, frame, outcome.resolve)
        return outcome

    def _repeating(self, shard: Shard, frame: Callable[[], bytes], answer: Answer) -> Answer:
        """``answer``, but for errors of the server, at which the command may be sent again."""

        def replied(reply: Reply) -> None:
            if type(reply) is resp.ReplyError:
                self._refused(shard, frame(), reply, answer)
            else:
                answer(reply)

        return replied

    def _refused(self, shard: Shard, frame: bytes, error: resp.ReplyError, answer: Answer) -> None:
        """Send a command again where nothing was done, in a thread that may follow elsewhere."""
        code = error_code(error)
        link = self._links[shard]
        if code not in NOTHING_DONE:
            endpoint = link.stream.connection.endpoint if link.stream else shard.endpoint()
            answer(endpoint.refused(error))
            return
        if code != "NOSCRIPT" and link.stream is not None:
            link.stream.lose(ConnectionResetError(str(error)))
        self.loop.in_thread(lambda: shard.call(frame), answer)

    def send_to(self, shard: Shard, beside: Stream, frame: bytes, answer: Answer) -> None:
        """Send a command to the server that ``beside`` is connected to."""
        link = self._links.get(shard)
        stream = None if link is None else link.stream
        if stream is not None and stream.connection.endpoint is beside.connection.endpoint:
            stream.send(frame, answer)
        else:
            endpoint = beside.connection.endpoint
            self.loop.in_thread(lambda: endpoint.call(frame), answer)

    # Streams

    def command_stream(self, connection: Connection, link: Link) -> Stream:
        """The stream over a new connection."""

        def lost(stream: Stream) -> None:
            link.drop(stream)
            self._streams.discard(stream)

        return self._opened(Stream(self.loop, connection, lost))

    def blocking_stream(self, shard: Shard, answer: Callable[[Any], object]) -> None:
        """Call ``answer`` with an idle stream for a blocking command, or with a failure."""
        if self.is_closed:
            answer(self.closed_error())
            return
        idle = self.idle_stream(shard)
        if idle is not None:
            answer(idle)
            return

        def connected(result: Connection | Exception) -> None:
            result = self.unless_closed(result)
            if isinstance(result, Exception):
                answer(result)
                return
            answer(self._opened(Stream(self.loop, result, self._lost_idle)))
            if not self.is_passing:
                self._learn_generation(shard)  # the server may be another one, or empty

        self.loop.in_thread(shard.take, connected)

    def idle_stream(self, shard: Shard) -> Stream | None:
        """A stream for a blocking command, where there is one already."""
        idle = self._idle.get(shard)
        return idle.pop() if idle else None

    def idle(self, shard: Shard, stream: Stream) -> None:
        """Keep a stream for the next blocking command."""
        self._idle.setdefault(shard, []).append(stream)

    def retire(self, stream: Stream) -> None:
        """Give the connection of an idle stream back to its server."""
        stream.release()
        self._streams.discard(stream)

    def _lost_idle(self, stream: Stream) -> None:
        self._streams.discard(stream)
        for streams in self._idle.values():
            if stream in streams:
                streams.remove(stream)

    def _opened(self, stream: Stream) -> Stream:
        self._streams.add(stream)
        if self._look is None:
            self._look = self.loop.later(_LOOK, self._look_around)
        return stream

    def failed(self, shard: Shard, error: Exception) -> Exception:
        """Note a failure of a shard."""
        if isinstance(error, LayerUnavailable) and not self.is_closed:
            shard.failed(error)
        return error

    def unless_closed(self, result: Connection | Exception) -> Connection | Exception:
        """``result``, a connection or why there is none; none for a session that was closed."""
        if not self.is_closed or isinstance(result, Exception):
            return result
        result.close()
        return self.closed_error()

    @staticmethod
    def closed_error() -> LayerUnavailable:
        """What a closed session answers to everybody."""
        return LayerUnavailable("the layer was closed while it was used; its next use opens it")

    def close(self) -> None:
        """Close every stream, and open none any more."""
        self.is_closed = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for stream in list(self._streams):
            stream.lose(ConnectionResetError("the layer was closed"))

    def abandon(self) -> None:
        """Close every connection where the loop is closed, and calls nothing any more."""
        for stream in self._streams:
            stream.connection.close()

    def release(self) -> None:
        """Leave the loop; idle connections go back to the pool."""
        for stream in list(self._streams):
            if stream.is_idle:
                stream.release()
                self._streams.discard(stream)
        self._idle.clear()
        self._links.clear()
        self.close()

    # Looking around

    def _look_around(self) -> None:
        """Give up what is overdue, and learn generations and listeners."""
        self._look = self.loop.later(_LOOK, self._look_around)
        now = time.monotonic()
        for stream in list(self._streams):
            patience = BLOCK_SECONDS + stream.connection.endpoint.timeout
            if not stream.is_idle and now - stream.since > patience:
                stream.lose(TimeoutError())
        for shard in {*self._links, *(part.shard for one in self.receives for part in one.parts)}:
            self._learn_generation(shard)
        shard, key = self.layer._listeners()
        if shard in self._links:
            self.call(shard, resp.pack(("HVALS", key)), self._learn_listeners)

    def _learn_generation(self, shard: Shard) -> None:
        queues = self.layer._followed(shard)

        def learnt(reply: Reply) -> None:
            if isinstance(reply, Exception):
                return
            before = self.layer._known_generations(shard)
            self.layer._checked(shard, queues, reply)
            if before[0] and self.layer._known_generations(shard) != before:
                self.wake()

        self.call(shard, self.layer._check_frame(shard, queues), learnt)

    def wake(self) -> None:
        """Have all receives end, since a generation changed, which their owners have to see."""
        for receive in list(self.receives):
            receive.wake()

    def _learn_listeners(self, reply: Reply) -> None:
        if not isinstance(reply, Exception):
            self.layer._note_listeners(self.layer._listeners()[0], reply)

    # Sending

    def push(self, queue: str, targets: tuple[str, ...], body: bytes, answer: Answer) -> None:
        """Append an entry; ``answer`` gets whether there was room, or a failure."""
        tail = pushed_tail(targets, body)
        shards = self.layer.topology.all_from(queue)
        if len(shards) == 1:
            self._push_to(shards[0], queue, tail, True, answer)
        else:
            self._push(queue, tail, self.layer._shards_to_push(queue, shards), None, answer)

    def _push(
        self, queue: str, tail: bytes, shards: list[Shard], outcome: Reply, answer: Answer
    ) -> None:
        """Try the shards one after the other; ``outcome`` is what came of those before."""
        if not shards:
            answer(outcome)
            return
        shard = shards.pop(0)

        def pushed(reply: Reply) -> None:
            if isinstance(reply, NotDone) or (reply == 0 and not isinstance(reply, Exception)):
                known = outcome if isinstance(reply, NotDone) and outcome == 0 else reply
                self._push(queue, tail, shards, known, answer)
            else:
                answer(reply)

        self._push_to(shard, queue, tail, not shards, pushed)

    def _push_to(
        self, shard: Shard, queue: str, tail: bytes, counted: bool, answer: Answer
    ) -> None:
        """Push an entry to one shard; ``answer`` as with ``call``."""
        head = self.layer._push_head(queue, shard, counted)
        replied = self._repeating(shard, lambda: resp.bulk(head.packed, tail), answer)
        self._link(shard).push(head, tail, replied)
