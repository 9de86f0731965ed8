"""The layer in Twisted's reactor, without a thread for each wait. Loaded when first used.

The reactor is imported only inside a call, since the import installs one and that choice is the
application's. Everything here runs in the reactor's thread, but for ``soon``.
"""

import importlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from zope.interface import implementer

from channels import names
from channels.layers.entries import Delivery, Received, Stored
from channels.layers.redis.connection import Reply
from channels.layers.redis.listening import RedisListening
from channels.layers.redis.session import Session
from channels.layers.redis.streams import Cancellable, Stream
from channels.layers.redis.waits import Receive, RoomWait, Wait

if TYPE_CHECKING:
    from channels.layers.redis.layer import RedisChannelLayer

__all__ = [
    "ReactorLoop",
    "new_channel",
    "receive",
    "receive_deliveries",
    "room",
    "send",
]


@implementer(IReadDescriptor, IWriteDescriptor)
class _Descriptor:
    """A stream as the reactor polls it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def fileno(self) -> int:
        return self._stream.connection.fileno()

    def logPrefix(self) -> str:
        return "redis"

    def doRead(self) -> None:
        self._stream.readable()

    def doWrite(self) -> None:
        self._stream.writable()

    def connectionLost(self, reason: Any) -> None:
        self._stream.lose(ConnectionResetError(reason.getErrorMessage()))


class ReactorLoop:
    """``streams.Loop`` over the reactor."""

    def __init__(self) -> None:
        self.reactor: Any = importlib.import_module("twisted.internet.reactor")

    def watch(self, stream: Stream) -> None:
        stream.reader = _Descriptor(stream)
        self.reactor.addReader(stream.reader)

    def unwatch(self, stream: Stream) -> None:
        self.reactor.removeReader(stream.reader)
        self.reactor.removeWriter(stream.reader)

    def watch_writes(self, stream: Stream, watch: bool) -> None:
        if watch:
            self.reactor.addWriter(stream.reader)
        else:
            self.reactor.removeWriter(stream.reader)

    def later(self, seconds: float, function: Callable[[], object]) -> Cancellable:
        return _Call(self.reactor.callLater(seconds, function))

    def soon(self, function: Callable[[], object]) -> None:
        self.reactor.callFromThread(function)

    def in_thread(self, function: Callable[[], Any], done: Callable[[Any], object]) -> None:
        def work() -> None:
            try:
                result: Any = function()
            except Exception as error:
                result = error
            self.reactor.callFromThread(done, result)

        self.reactor.callInThread(work)


class _Call:
    """A delayed call that may be cancelled when it is over, too."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()


def _session(layer: "RedisChannelLayer") -> Session:
    """The session of ``layer`` in the reactor, opened when first used."""
    session = layer._reactor_session
    if session is None:
        session = layer._reactor_session = Session(layer, ReactorLoop())
    return session


def _fire(deferred: "Deferred[Any]", result: Any) -> None:
    """Give a Deferred its result, unless it was cancelled."""
    if deferred.called:
        return
    if isinstance(result, Exception):
        deferred.errback(result)
    else:
        deferred.callback(result)


def _waiting(wait_of: Callable[[Callable[[Any], object]], Wait]) -> "Deferred[Any]":
    """A Deferred for what a wait gives, which may be cancelled without a loss."""
    deferred: Deferred[Any] = Deferred(lambda _: wait.cancel())
    wait = wait_of(lambda result: None if wait.is_cancelled else _fire(deferred, result))
    wait.start()
    return deferred


def receive(layer: "RedisChannelLayer", channels: Collection[str]) -> "Deferred[Received]":
    """See ``BaseChannelLayer.receive_twisted``."""
    listening = layer._listening(channels)
    if not listening.queues:
        return succeed((None, None))
    prepared = cast(RedisListening, listening)

    def first(stored: list[Stored]) -> Received | None:
        return layer._opened(stored[0])

    return _waiting(
        lambda done: Receive(_session(layer), prepared, None, first, (None, None), done)
    )


def receive_deliveries(
    layer: "RedisChannelLayer", channels: Collection[str], limit: int
) -> "Deferred[list[Delivery]]":
    """See ``BaseChannelLayer.receive_deliveries_twisted``."""
    listening = layer._listening(channels)
    if not listening.queues:
        return succeed([])
    prepared = cast(RedisListening, listening)
    return _waiting(
        lambda done: Receive(_session(layer), prepared, limit, layer._delivered, [], done)
    )


def send(layer: "RedisChannelLayer", channel: str, message: dict[str, Any]) -> "Deferred[None]":
    """See ``BaseChannelLayer.send_twisted``."""
    try:
        queue, targets = layer._address(channel)
        body = layer._encode(message, queue)
    except Exception:
        return fail()
    if layer.drop_rate and layer._drops_on_purpose(queue):
        return succeed(None)
    deferred: Deferred[None] = Deferred()

    def pushed(reply: Reply) -> None:
        if isinstance(reply, Exception):
            _fire(deferred, reply)
        else:
            _fire(deferred, None if reply else layer._refusal(queue))

    _session(layer).push(queue, targets, body, pushed)
    return deferred


def room(layer: "RedisChannelLayer", channel: str) -> "Deferred[None]":
    """See ``BaseChannelLayer.room_twisted``."""
    queue, _ = layer._address(channel)
    return _waiting(lambda done: RoomWait(_session(layer), queue, done))


def new_channel(layer: "RedisChannelLayer", pattern: str) -> "Deferred[str]":
    """See ``BaseChannelLayer.new_channel_twisted``."""
    deferred: Deferred[str] = Deferred()

    def draw() -> None:
        name = layer._drawn(pattern)
        queue, local = names.split_name(name)
        shard = layer.topology.home(queue)

        def told(reply: Reply) -> None:
            if reply and not isinstance(reply, Exception):
                draw()
            else:
                _fire(deferred, reply if isinstance(reply, Exception) else name)

        _session(layer).call(shard, layer._exists_frame(shard, queue, local), told)

    try:
        draw()
    except TypeError:
        return fail()
    return deferred
