"""The Twisted forms of the RabbitMQ layer's calls: an engine in the reactor, over pika's adapter.

So an interface server has one connection, that of its reactor, and hands nothing to another thread.
Loaded when first used, in the reactor's thread; what imports the reactor does so inside a call.
"""

import importlib
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from pika.connection import Connection, Parameters
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from channels.layers.entries import Delivery, Received, Stored
from channels.layers.rabbitmq.engine import Engine
from channels.layers.rabbitmq.failures import guarded, no_answer
from channels.layers.rabbitmq.layer import RabbitmqChannelLayer
from channels.layers.rabbitmq.receiving import Request
from channels.layers.rabbitmq.replies import Reply, start
from channels.layers.rabbitmq.rooms import Wait
from channels.layers.waiting import Waiter

__all__ = ["ReactorLink", "new_channel", "receive", "receive_deliveries", "room", "send"]

T = TypeVar("T")


class ReactorLink:
    """The reactor as the loop of an engine."""

    def __init__(self) -> None:
        self._reactor: Any = importlib.import_module("twisted.internet.reactor")

    def call(self, function: Callable[[], object]) -> None:
        """Call ``function`` in a turn of the reactor; any thread may ask for it."""
        self._reactor.callFromThread(function)

    def call_later(self, delay: float, function: Callable[[], None]) -> None:
        """See ``Link``."""
        self._reactor.callLater(delay, function)

    def connect(
        self,
        parameters: Parameters,
        opened: Callable[[Connection], None],
        failed: Callable[[BaseException], None],
        closed: Callable[[BaseException], None],
    ) -> None:
        """See ``Link``."""
        adapter = importlib.import_module("pika.adapters.twisted_connection")
        protocol = adapter.TwistedProtocolConnection(parameters)

        def ready(_: object) -> None:
            protocol.closed.addBoth(lambda reason: closed(_error(reason)))
            opened(connection_of(protocol))

        reasons = _reasons(protocol)
        protocol.ready.addCallbacks(
            ready, lambda failure: failed(reasons[0] if reasons else _error(failure))
        )
        try:
            endpoint = self._endpoint(parameters)
        except (ValueError, OSError) as error:
            failed(error)
            return
        connecting = endpoint.connect(Factory.forProtocol(lambda: protocol))
        connecting.addErrback(lambda failure: failed(_error(failure)))

    def _endpoint(self, parameters: Parameters) -> Any:
        host = parameters.host
        endpoint: Any = HostnameEndpoint(
            self._reactor, host, parameters.port, timeout=parameters.socket_timeout
        )
        if parameters.ssl_options is None:
            return endpoint
        tls = importlib.import_module("channels.layers.rabbitmq.tls")
        settings = getattr(parameters, "tls", {})
        return wrapClientTLS(tls.client_options(host, settings), endpoint)


def connection_of(protocol: Protocol) -> Connection:
    """The pika connection behind its Twisted protocol, whose own methods make a Deferred of each
    call. pika has no public name for it; a test pins the private one."""
    return protocol._impl  # type: ignore[attr-defined]


def _reasons(protocol: Any) -> list[BaseException]:
    """Gets what TLS finds wrong, of which pika's error says nothing."""
    reasons: list[BaseException] = []
    lost = protocol.connectionLost

    def connection_lost(reason: Failure) -> None:
        if not reason.check(ConnectionDone, ConnectionLost):
            reasons.append(_error(reason))
        lost(reason)

    protocol.connectionLost = connection_lost
    return reasons


def _error(reason: object) -> BaseException:
    error = reason.value if isinstance(reason, Failure) else reason
    return error if isinstance(error, BaseException) else ConnectionError(str(error))


def _engine(layer: RabbitmqChannelLayer) -> Engine:
    return layer.reactor_engine()


class _Receive(Waiter, Generic[T]):
    """A receive of the reactor; ``convert`` makes its result, None where it has to go on."""

    __slots__ = (
        "_convert",
        "_empty",
        "_engine",
        "_layer",
        "_limit",
        "_listening",
        "_request",
        "_token",
        "deferred",
    )

    def __init__(
        self,
        layer: RabbitmqChannelLayer,
        channels: Any,
        limit: int | None,
        convert: Callable[[list[Stored]], T | None],
        empty: Callable[[], T],
    ) -> None:
        super().__init__()
        self._layer = layer
        self._engine = _engine(layer)
        self._listening = layer._listening(channels)
        self._limit = limit
        self._convert = convert
        self._empty = empty
        self._token = layer.interruption
        self._request: Request | None = None
        self.deferred: Deferred[T] = Deferred(lambda _: self._end())

    def start(self) -> "Deferred[T]":
        """Ask, unless nothing is listened to."""
        if not self._listening.queues:
            return succeed(self._empty())
        self._layer._blocked[self] = None
        self._ask()
        return self.deferred

    def _ask(self) -> None:
        self._request = request = Request(
            self._listening, self._limit, lambda: self._taken(request)
        )
        self._engine.ask(request)

    def _taken(self, request: Request) -> None:
        if request is not self._request:
            return  # withdrawn
        value = self._convert(request.taken or [])
        if value is not None:
            self._fire(value)
        elif self._token is not self._layer.interruption or not request.taken:
            self._fire(self._empty())
        else:
            self._ask()  # what came was no message

    def notify(self) -> bool:
        """Have the reactor see whether the layer was interrupted."""
        self._layer.call_in_reactor(self._look)
        return True

    def _look(self) -> None:
        if self in self._layer._blocked and self._token is not self._layer.interruption:
            self._end()
            self.deferred.callback(self._empty())

    def _fire(self, value: T) -> None:
        self._layer._blocked.pop(self, None)
        self._request = None
        self.deferred.callback(value)

    def _end(self) -> None:
        self._layer._blocked.pop(self, None)
        request, self._request = self._request, None
        if request is not None:
            engine = self._engine
            request.finished = lambda: engine.put_back(request.taken or ())
            engine.withdraw(request)


def receive(layer: RabbitmqChannelLayer, channels: Any) -> "Deferred[Received]":
    """See ``BaseChannelLayer.receive_twisted``."""

    def convert(taken: list[Stored]) -> Received | None:
        return layer._opened(taken[0]) if taken else None

    return _Receive[Received](layer, channels, None, convert, lambda: (None, None)).start()


def receive_deliveries(
    layer: RabbitmqChannelLayer, channels: Any, limit: int
) -> "Deferred[list[Delivery]]":
    """See ``BaseChannelLayer.receive_deliveries_twisted``."""

    def convert(taken: list[Stored]) -> list[Delivery] | None:
        return layer._delivered(taken) or None

    return _Receive[list[Delivery]](layer, channels, limit, convert, list).start()


def send(layer: RabbitmqChannelLayer, channel: str, message: Any) -> "Deferred[None]":
    """See ``BaseChannelLayer.send_twisted``."""
    try:
        queue, targets = layer._address(channel)
        body = layer._encode(message, queue)
        if layer.drop_rate and layer._drops_on_purpose(queue):
            return succeed(None)
    except Exception:
        return fail()

    def sent(stored: bool) -> None:
        if not stored:
            raise layer._refusal(queue)

    return _deferred(layer, _engine(layer).push(queue, targets, body)).addCallback(sent)


def new_channel(layer: RabbitmqChannelLayer, pattern: str) -> "Deferred[str]":
    """See ``BaseChannelLayer.new_channel_twisted``."""
    ready = _deferred(layer, _engine(layer).ready())
    return ready.addCallback(lambda _: layer.new_channel(pattern))


def room(layer: RabbitmqChannelLayer, channel: str) -> "Deferred[None]":
    """See ``BaseChannelLayer.room_twisted``."""
    queue, _ = layer._address(channel)
    engine = _engine(layer)
    deferred: Deferred[None] = Deferred(lambda _: engine.give_up_room(wait))
    wait = Wait(queue, lambda: deferred.callback(None))
    engine.await_room(wait)
    return deferred


def _deferred(layer: RabbitmqChannelLayer, coroutine: Coroutine[Any, Any, T]) -> "Deferred[T]":
    """The outcome of a coroutine of the engine, within the layer's time."""
    reply = start(coroutine)
    deferred: Deferred[T] = Deferred()
    if reply.settled:
        _fire(deferred, reply)
        return deferred
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    late = reactor.callLater(
        layer.timeout, lambda: deferred.errback(no_answer(layer.broker, layer.timeout))
    )

    def settled() -> None:
        if late.active():
            late.cancel()
            _fire(deferred, reply)

    reply.when_settled(settled)
    return deferred


def _fire(deferred: "Deferred[T]", reply: Reply[T]) -> None:
    try:
        value = reply.result()
    except Exception as error:
        deferred.errback(guarded(error))
    else:
        deferred.callback(value)
