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

    __slots__ = ("_at", "_bytes", "_messages", "_options")

    def __init__(self, options: Options, now: float) -> None:
        """``now`` is in seconds of the clock that ``spend`` is given, too."""
        self._options = options
        self._at = now
        self._messages = _full(options.websocket_message_rate)
        self._bytes = _full(options.websocket_byte_rate)

    def spend(self, messages: int, size: int, now: float) -> str:
        """Take ``messages`` messages of ``size`` bytes together; the option that is exceeded.

        Empty where none is. Control frames count as messages, too.
        """
        options, passed = self._options, now - self._at
        self._at = now
        self._messages = _left(self._messages, options.websocket_message_rate, passed, messages)
        self._bytes = _left(self._bytes, options.websocket_byte_rate, passed, size)
        if self._messages < 0:
            return "websocket_message_rate"
        return "websocket_byte_rate" if self._bytes < 0 else ""


def _full(rate: float | None) -> float:
    return _UNLIMITED if rate is None else rate * _BURST


def _left(level: float, rate: float | None, passed: float, taken: int) -> float:
    """What is in a bucket after ``passed`` seconds, less what is taken."""
    return level if rate is None else min(rate * _BURST, level + rate * passed) - taken
