"""What is looked at in a server that runs: its state, its counters, its layer's statistics.

One object that ``/readyz`` and ``/metrics`` ask. How they are served is in ``daphne.admin``.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool

from channels.spec import HTTP_REQUEST, WEBSOCKET_CONNECT, WEBSOCKET_RECEIVE
from daphne.http_protocol import HTTPFactory
from daphne.meters import Meters
from daphne.probe import Probe

if TYPE_CHECKING:
    from daphne.udp import UdpServer

__all__ = ["Observation"]

#: Channels whose statistics are asked for: those in which clients' messages pile up.
_CHANNELS = (HTTP_REQUEST, WEBSOCKET_CONNECT, WEBSOCKET_RECEIVE)

#: Seconds that the layer may take to count.
_PATIENCE = 1.0

Statistics = dict[str, dict[str, float]]


class Observation:
    """A server, as who watches over it sees it."""

    def __init__(
        self,
        reactor: Any,
        layer: Any,
        meters: Meters,
        factory: HTTPFactory,
        probe: Probe,
        udp: "UdpServer | None" = None,
    ) -> None:
        """``layer`` is the channel layer itself, whose statistics may block."""
        self.meters = meters
        self.factory = factory
        self.udp = udp
        #: Whether the server listens, and whether it is about to stop.
        self.listening = False
        self.draining = False
        self._reactor = reactor
        self._layer = layer
        self._probe = probe
        probe.observe = meters.round_trip_seconds.observe
        #: Whether a thread is at the layer's statistics, which may hang.
        self._counting = False

    @property
    def layer_drops(self) -> int | None:
        """Messages that the layer object dropped; None where it does not count."""
        drops = getattr(self._layer, "drops", None)
        return drops if isinstance(drops, int) else None

    def obstacles(self) -> "Deferred[list[str]]":
        """Why this server should get no traffic; empty if it should."""
        found = []
        if self.draining:
            found.append("the server is stopping")
        elif not self.listening:
            found.append("the server does not listen yet")
        return self.probe_layer().addCallback(lambda reason: found + [reason] * bool(reason))

    def probe_layer(self) -> "Deferred[str]":
        """What is wrong with the layer, in words; empty if nothing."""
        return self._probe.ask()

    def statistics(self) -> "Deferred[Statistics]":
        """What the layer counts, by channel, in all under the empty name; {} if it cannot tell."""
        if self._counting or "statistics" not in getattr(self._layer, "extensions", ()):
            return succeed({})
        self._counting = True
        pool = self._reactor.getThreadPool()
        counting = deferToThreadPool(self._reactor, pool, _count, self._layer, _CHANNELS)
        result: Deferred[Statistics] = Deferred()
        counting.addCallbacks(self._counted, self._not_counted, (result,), errbackArgs=(result,))
        result.addTimeout(_PATIENCE, self._reactor, lambda _, seconds: {})
        return result

    def _counted(self, statistics: Statistics, result: "Deferred[Statistics]") -> None:
        self._counting = False
        if not result.called:
            result.callback(statistics)

    def _not_counted(self, failure: object, result: "Deferred[Statistics]") -> None:
        """The layer is away, which ``probe_layer`` tells."""
        self._counted({}, result)


def _count(layer: Any, channels: Iterable[str]) -> Statistics:
    return {
        "": layer.global_statistics(),
        **{channel: layer.channel_statistics(channel) for channel in channels},
    }
