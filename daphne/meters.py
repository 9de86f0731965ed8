"""What a server counts while its admin address is on: plain numbers, cheap to change.

Only what has to be counted as it happens is here; what can be asked for is asked when somebody
looks. How it is shown is in ``daphne.exposition``. Everything runs in the reactor's thread.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from channels.exceptions import ChannelFull
from channels.layers.entries import Delivery
from channels.spec import (
    HTTP_DISCONNECT,
    HTTP_REQUEST,
    UDP_RECEIVE,
    WEBSOCKET_CONNECT,
    WEBSOCKET_DISCONNECT,
    WEBSOCKET_RECEIVE,
)
from daphne.layers import ReactorLayer

__all__ = ["CHANNELS", "Histogram", "MeteredLayer", "Meters"]

#: Channels that are counted each by itself; the names of others have random parts.
CHANNELS = (
    HTTP_REQUEST,
    HTTP_DISCONNECT,
    WEBSOCKET_CONNECT,
    WEBSOCKET_RECEIVE,
    WEBSOCKET_DISCONNECT,
    UDP_RECEIVE,
)

#: What the others are counted as: chunks of bodies, credits, probes.
_OTHER = "other"


class Histogram:
    """How often something took how many seconds."""

    #: Upper ends of the buckets, in seconds; there is one more, without an end.
    BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.BOUNDS, seconds)] += 1
        self.total += seconds


class Meters:
    """The counters of one server; an action logger as well, for what the access log hears of."""

    def __init__(self) -> None:
        #: Requests by status; 499 are those whose client left.
        self.requests: Counter[int] = Counter()
        #: Bytes of the bodies of responses.
        self.response_bytes = 0
        self.request_seconds = Histogram()
        self.first_byte_seconds = Histogram()
        #: Handshakes of WebSockets by what became of them: ``connected`` or ``rejected``.
        self.handshakes: Counter[str] = Counter()
        self.accept_seconds = Histogram()
        #: Ends of WebSockets by code.
        self.closes: Counter[int] = Counter()
        #: Messages to slow WebSockets that were left out.
        self.dropped = 0
        #: Messages to the layer by channel, those that found it full, and other failures.
        self.sent = dict.fromkeys((*CHANNELS, _OTHER), 0)
        self.full = dict.fromkeys((*CHANNELS, _OTHER), 0)
        self.send_failures = 0
        self.send_seconds = Histogram()
        #: Messages from the layer, and how many clients they were for.
        self.received = 0
        self.deliveries = 0
        self.receive_failures = 0
        #: From sending a message to ourselves until it comes back.
        self.round_trip_seconds = Histogram()

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Count an action."""
        if action == "complete":
            self.requests[details["status"]] += 1
            self.response_bytes += details["size"]
            self.request_seconds.observe(details["time_taken"])
            self.first_byte_seconds.observe(details.get("first_byte", details["time_taken"]))
        elif action == "connected":
            self.handshakes[action] += 1
            self.accept_seconds.observe(details["time_taken"])
        elif action == "rejected":
            self.handshakes[action] += 1
        elif action == "disconnected":
            self.closes[details["code"]] += 1
        elif action == "dropped":
            self.dropped += 1


class MeteredLayer:
    """A layer whose messages are counted, and its sends timed."""

    def __init__(self, layer: ReactorLayer, meters: Meters, clock: Callable[[], float]) -> None:
        self._layer = layer
        self._meters = meters
        self._clock = clock
        self.new_channel = layer.new_channel
        self.room = layer.room
        self.generation = layer.generation
        self.has_listener = layer.has_listener
        self.stop = layer.stop

    def send(self, channel: str, message: dict[str, Any]) -> "Deferred[None]":
        started = self._clock()
        counted = channel if channel in self._meters.sent else _OTHER
        return self._layer.send(channel, message).addBoth(self._sent, counted, started)

    def _sent(self, result: Any, channel: str, started: float) -> Any:
        meters = self._meters
        meters.send_seconds.observe(self._clock() - started)
        if not isinstance(result, Failure):
            meters.sent[channel] += 1
        elif result.check(ChannelFull):
            meters.full[channel] += 1
        else:
            meters.send_failures += 1
        return result

    def receive(self, channel: str) -> "Deferred[list[Delivery]]":
        return self._layer.receive(channel).addBoth(self._received)

    def _received(self, result: Any) -> Any:
        meters = self._meters
        if isinstance(result, Failure):
            meters.receive_failures += result.check(CancelledError) is None
            return result
        meters.received += len(result)
        for delivery in result:
            meters.deliveries += len(delivery.targets)
        return result
