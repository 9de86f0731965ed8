"""How much a client may send over its WebSocket: messages and bytes a second, on average.

A bucket for each holds what may come at once, ten seconds' worth, and fills up again as time
passes. Back-pressure bounds what a client can pile up here; this bounds what it can have the
application work on, at the expense of other clients.
"""

from daphne.options import Options

__all__ = ["Budget"]

#: Seconds of the rates that may be used up at once.
_BURST = 10.0

_UNLIMITED = float("inf")


class Budget:
    """The budget of one socket."""

    __slots__ = (
        "_at",
        "_byte_rate",
        "_bytes",
        "_message_rate",
        "_messages",
        "_most_bytes",
        "_most_messages",
    )

    def __init__(self, options: Options, now: float) -> None:
        """``now`` is in seconds of the clock that ``spend`` is given, too."""
        self._at = now
        self._message_rate, self._most_messages = _bucket(options.websocket_message_rate)
        self._byte_rate, self._most_bytes = _bucket(options.websocket_byte_rate)
        #: What is in the buckets.
        self._messages, self._bytes = self._most_messages, self._most_bytes

    def spend(self, messages: int, size: int, now: float) -> str:
        """Take ``messages`` messages of ``size`` bytes together; the option that is exceeded.

        Empty where none is. Control frames count as messages, too.
        """
        passed, self._at = now - self._at, now
        left = self._messages + passed * self._message_rate
        self._messages = (left if left < self._most_messages else self._most_messages) - messages
        left = self._bytes + passed * self._byte_rate
        self._bytes = (left if left < self._most_bytes else self._most_bytes) - size
        if self._messages < 0:
            return "websocket_message_rate"
        return "websocket_byte_rate" if self._bytes < 0 else ""


def _bucket(rate: float | None) -> tuple[float, float]:
    """What flows into a bucket in a second, and what it holds."""
    return (0.0, _UNLIMITED) if rate is None else (rate, rate * _BURST)
