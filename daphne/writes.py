"""Writing to a transport with an immediate ``send``, without a turn of the reactor.

``transport.write`` of Twisted only appends to a buffer, asks epoll for writability and sends one
turn later: four times the cost of a ``send`` right away. The kernel's buffer has room almost
always, so the bytes are offered to it first and only what it does not take goes to Twisted. That
needs the names of Twisted's buffers, which are used in this module alone; ``tests/daphne`` pins
them.
"""

from typing import Any

from twisted.internet import tcp, unix

__all__ = ["buffered", "is_plain", "write"]

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
