"""Writing to a transport with an immediate ``send``, at the end of a turn of the reactor.

``transport.write`` of Twisted only appends to a buffer, asks epoll for writability and sends one
turn later: four times the cost of a ``send`` right away. The kernel's buffer has room almost
always, so the bytes are offered to it first and only what it does not take goes to Twisted. That
needs the names of Twisted's buffers, which are used in this module alone; ``tests/daphne`` pins
them.
"""

from typing import Any, Protocol

from twisted.internet import tcp, unix

__all__ = ["Cork", "buffered", "is_plain", "write"]

#: Connections whose output waits for the others', at most: more would gain little, and be late.
_MOST_HELD = 64

#: Transports whose socket carries exactly the bytes written: no TLS in between.
_PLAIN = frozenset({tcp.Server, unix.Server})


def is_plain(transport: Any) -> bool:
    """Whether the transport is an unencrypted stream socket."""
    return type(transport) in _PLAIN and not transport.TLS


def buffered(transport: Any) -> int:
    """Bytes that a transport holds in its buffers, encrypted ones where there is TLS on top."""
    plain = getattr(transport, "transport", transport)
    count: int = len(plain.dataBuffer) - plain.offset + plain._tempDataLen
    return count


def write(transport: Any, data: bytes) -> int:
    """Send what the kernel takes now, buffer the rest; the number of bytes that have left.

    The transport must be plain. With a rest, the transport calls its producer's
    ``resumeProducing`` as soon as its buffer is empty, whether or not it asked it to pause.
    """
    if not transport.connected:
        return 0
    sent = 0
    if not transport.dataBuffer and not transport._tempDataLen:
        try:
            sent = transport.socket.send(data)
        except OSError:  # no room, or broken: then the transport's own send finds out
            sent = 0
        if sent == len(data):
            return sent
        data = data[sent:]
    transport.write(data)
    if transport.producer is not None:
        transport.producerPaused = True
    return sent


class Holding(Protocol):
    """A connection whose output is held back."""

    def flush(self) -> None:
        """Write it."""


class Cork:
    """Holds back what connections write until all that came in a turn of the reactor was handled.

    A write may wake the process at its other end, which costs more than the write. So the answers
    of a turn are written one right after the other: who reads several of them (a proxy, a load
    balancer) is awake from the first one on.
    """

    def __init__(self, reactor: Any) -> None:
        self._call_later = reactor.callLater
        #: In the order in which they began to wait.
        self._held: dict[Holding, None] = {}
        self._due = False

    def hold(self, connection: Holding) -> None:
        """Have a connection flushed at the end of the turn; it may be held already."""
        self._held[connection] = None
        if len(self._held) >= _MOST_HELD:
            self.release()
        elif not self._due:
            self._due = True
            self._call_later(0, self._turn_ends)

    def _turn_ends(self) -> None:
        self._due = False
        self.release()

    def release(self) -> None:
        """Flush all that are held."""
        held, self._held = self._held, {}
        for connection in held:
            connection.flush()
