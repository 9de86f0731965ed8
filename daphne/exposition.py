"""What ``/metrics`` shows of a server, by ``prometheus_client``.

Loaded when an admin address is opened, and not before: the library takes some time to import. What
is counted is in ``daphne.meters``; everything else is looked up when somebody asks. Each metric is
described by its own text below, and in the documentation.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from daphne.meters import Histogram

if TYPE_CHECKING:
    from daphne.observation import Observation

__all__ = ["Exposition"]

#: What statistics of a layer are called (ASGI spec, Details), by their keys.
_STATISTICS = {
    "messages_count": (CounterMetricFamily, "messages", "Messages that were sent"),
    "messages_pending": (GaugeMetricFamily, "messages_pending", "Messages that wait"),
    "messages_max_age": (GaugeMetricFamily, "oldest_message_seconds", "Age of the oldest one"),
    "channel_full_count": (CounterMetricFamily, "channel_full", "Sends to a full channel"),
    "messages_dropped": (
        CounterMetricFamily,
        "messages_dropped",
        "Messages to members of groups that were full",
    ),
}


class Exposition(Collector):
    """All metrics of a server, in a registry of their own."""

    def __init__(self, observation: "Observation") -> None:
        self._observation = observation
        #: What the layer said of itself last: for all channels, and by channel.
        self.statistics: Mapping[str, Mapping[str, float]] = {}
        #: Whether it was found to work.
        self.layer_up = False
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page, and its content type, in the format that ``accept`` asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: names do not clash in this registry."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric of ours."""
        yield from self._connections()
        yield from self._requests()
        yield from self._websockets()
        yield from self._messages()
        yield from self._layer()
        yield from self._datagrams()

    def _connections(self) -> Iterator[Metric]:
        factory = self._observation.factory
        yield _by(GaugeMetricFamily, "connections", "Open ones", "kind", factory.kinds())
        yield CounterMetricFamily(
            "daphne_connections_accepted", "Connections in all", value=factory.accepted
        )
        yield _by(
            CounterMetricFamily,
            "connections_refused",
            "Connections that were closed at once",
            "limit",
            factory.refused,
        )
        yield GaugeMetricFamily(
            "daphne_draining",
            "1 once the server stops and waits for its connections",
            value=self._observation.draining,
        )

    def _requests(self) -> Iterator[Metric]:
        meters = self._observation.meters
        text = "Requests that are over; 499: the client left before there was a response"
        yield _by(CounterMetricFamily, "requests", text, "status", meters.requests)
        yield CounterMetricFamily(
            "daphne_response_body_bytes", "Bytes of responses' bodies", value=meters.response_bytes
        )
        yield _histogram(
            "request_seconds", "From a request's head to the response's end", meters.request_seconds
        )
        yield _histogram(
            "request_first_byte_seconds",
            "From a request's head to the response's first byte",
            meters.first_byte_seconds,
        )

    def _websockets(self) -> Iterator[Metric]:
        meters = self._observation.meters
        yield _by(
            CounterMetricFamily,
            "websocket_handshakes",
            "Handshakes that the application was asked about",
            "outcome",
            meters.handshakes,
        )
        yield _histogram(
            "websocket_accept_seconds",
            "From a handshake's request to its acceptance",
            meters.accept_seconds,
        )
        yield _by(
            CounterMetricFamily,
            "websocket_closes",
            "Ends of WebSockets by the code that the application was told",
            "code",
            meters.closes,
        )
        yield CounterMetricFamily(
            "daphne_websocket_messages_dropped",
            "Messages that were not sent to clients that do not read",
            value=meters.dropped,
        )

    def _messages(self) -> Iterator[Metric]:
        meters = self._observation.meters
        yield _by(
            CounterMetricFamily,
            "messages_sent",
            "Messages that the layer took",
            "channel",
            meters.sent,
        )
        yield _by(
            CounterMetricFamily,
            "messages_refused",
            "Messages whose channel was full",
            "channel",
            meters.full,
        )
        yield CounterMetricFamily(
            "daphne_messages_received", "Messages from the layer", value=meters.received
        )
        yield CounterMetricFamily(
            "daphne_deliveries",
            "Clients that messages from the layer were for; a group's message counts for each",
            value=meters.deliveries,
        )
        yield _histogram(
            "layer_send_seconds", "Until the layer took or refused a message", meters.send_seconds
        )
        yield _histogram(
            "layer_round_trip_seconds",
            "Until a message to this server itself came back, one for each look",
            meters.round_trip_seconds,
        )

    def _layer(self) -> Iterator[Metric]:
        meters, observation = self._observation.meters, self._observation
        yield GaugeMetricFamily(
            "daphne_layer_up", "1 if a message just came back from it", value=self.layer_up
        )
        yield _by(
            CounterMetricFamily,
            "layer_failures",
            "Sends and receives that failed, full channels aside",
            "operation",
            {"send": meters.send_failures, "receive": meters.receive_failures},
        )
        yield CounterMetricFamily(
            "daphne_layer_losses",
            "How often all connections were closed because the layer was lost or emptied",
            value=observation.factory.sheds,
        )
        drops = observation.layer_drops
        if drops is not None:
            yield CounterMetricFamily(
                "daphne_layer_drops", "Messages that this process's layer dropped", value=drops
            )
        for key, (family, name, text) in _STATISTICS.items():
            values = {
                channel: found[key] for channel, found in self.statistics.items() if key in found
            }
            if values:
                text += ", by channel; in all channels where it is empty"
                yield _by(family, f"layer_{name}", text, "channel", values)

    def _datagrams(self) -> Iterator[Metric]:
        udp = self._observation.udp
        if udp is None:
            return
        yield GaugeMetricFamily("daphne_udp_clients", "Clients remembered", value=len(udp))
        directions = {"in": udp.received, "out": udp.replied}
        yield _by(CounterMetricFamily, "udp_datagrams", "Datagrams", "direction", directions)
        yield _by(
            CounterMetricFamily, "udp_dropped", "Datagrams and replies lost", "reason", udp.dropped
        )


def _by(
    family: Any, name: str, text: str, label: str, values: Mapping[Any, float]
) -> GaugeMetricFamily | CounterMetricFamily:
    """A metric with a value for each of a label's."""
    metric: GaugeMetricFamily | CounterMetricFamily
    metric = family(f"daphne_{name}", text, labels=(label,))
    for key, value in values.items():
        metric.add_metric((str(key),), value)
    return metric


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    ends = [*map(str, histogram.BOUNDS), "+Inf"]
    buckets = list(zip(ends, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(f"daphne_{name}", text, buckets=buckets, sum_value=histogram.total)
