"""Immediate writes, and the names of Twisted's buffers that they rest on."""

import inspect
import socket
from collections.abc import Callable, Iterator

import pytest
from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOProtocol

from daphne.writes import Cork, buffered, is_plain, write
from tests.reactor import in_reactor, reactor
from tests.waiting import wait_until


class Producer(Protocol):
    """A protocol that registers as its transport's producer and counts what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def connectionMade(self) -> None:  # noqa: N802
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:  # noqa: N802
        self.calls.append("pause")

    def resumeProducing(self) -> None:  # noqa: N802
        self.calls.append("resume")

    def stopProducing(self) -> None:  # noqa: N802
        self.calls.append("stop")


@pytest.fixture
def connection() -> Iterator[tuple[Producer, socket.socket]]:
    """A server side with a small send buffer, and the client's socket."""
    made: list[Producer] = []

    class Listening(Factory):
        noisy = False

        def buildProtocol(self, address: object) -> Producer:  # noqa: N802
            made.append(Producer())
            return made[-1]

    port = in_reactor(reactor.listenTCP, 0, Listening(), interface="127.0.0.1")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", port.getHost().port))
    wait_until(lambda: made and made[0].transport is not None)
    yield made[0], client
    client.close()
    in_reactor(port.stopListening)


def test_twisted_still_has_the_buffers_that_are_looked_at():
    assert FileDescriptor.dataBuffer == b""
    assert FileDescriptor.offset == 0
    descriptor = FileDescriptor(object())
    assert descriptor._tempDataBuffer == []
    assert descriptor._tempDataLen == 0
    assert FileDescriptor.producerPaused is False
    assert "producerPaused" in inspect.getsource(FileDescriptor.doWrite)
    assert tcp.Server.TLS is False
    assert issubclass(unix.Server, tcp.Server)


def test_plain_transports_are_told_from_encrypted_ones(connection):
    protocol, _ = connection
    assert is_plain(protocol.transport)
    assert not is_plain(TLSMemoryBIOProtocol.__new__(TLSMemoryBIOProtocol))


def test_what_fits_leaves_at_once(connection):
    protocol, client = connection
    assert in_reactor(write, protocol.transport, b"hello") == 5
    assert in_reactor(buffered, protocol.transport) == 0
    assert client.recv(5) == b"hello"


def test_the_rest_is_buffered_and_arrives_in_order(connection):
    protocol, client = connection
    data = b"".join(b"%015d\n" % number for number in range(500_000))
    sent = in_reactor(write, protocol.transport, data)
    assert 0 < sent < len(data)
    assert in_reactor(write, protocol.transport, b"the end") == 0
    received = bytearray()
    while len(received) < len(data) + 7:
        received += client.recv(65536)
    assert bytes(received) == data + b"the end"
    wait_until(lambda: in_reactor(buffered, protocol.transport) == 0)


def test_a_producer_hears_when_the_rest_has_left_though_it_was_not_paused(connection):
    protocol, client = connection
    # Fill the kernel's buffers to the last byte, so that a small rest stays, below the size at
    # which Twisted pauses producers.
    while in_reactor(buffered, protocol.transport) == 0:
        in_reactor(write, protocol.transport, b"x" * 10_000)
    assert protocol.calls == []
    client.setblocking(False)

    def resumed() -> bool:
        try:
            while client.recv(65536):
                pass
        except BlockingIOError:
            pass
        return protocol.calls == ["resume"]

    wait_until(resumed)


def test_a_big_rest_pauses_the_producer(connection):
    protocol, _ = connection
    in_reactor(write, protocol.transport, b"x" * 20_000_000)
    assert protocol.calls == ["pause"]


def test_writing_to_a_connection_that_is_gone_does_nothing(connection):
    protocol, client = connection
    client.close()
    wait_until(lambda: not protocol.transport.connected)
    assert in_reactor(write, protocol.transport, b"anybody?") == 0


def test_an_error_of_the_socket_ends_the_connection(connection):
    protocol, client = connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    def reset_and_write() -> int:
        client.close()
        return write(protocol.transport, b"x") + write(protocol.transport, b"x" * 1000)

    in_reactor(reset_and_write)
    wait_until(lambda: protocol.calls[-1:] == ["stop"])


class Held:
    """Says in ``flushed`` when it is flushed; ``then`` is done at that time."""

    def __init__(self, flushed: list["Held"], then: Callable[[], object] = bool) -> None:
        self._flushed = flushed
        self._then = then

    def flush(self) -> None:
        self._flushed.append(self)
        self._then()


def test_what_is_held_back_leaves_once_and_in_order_when_the_turn_ends():
    clock, flushed = Clock(), []
    cork = Cork(clock)
    first, second = Held(flushed), Held(flushed)
    for one in (first, second, first):
        cork.hold(one)
    assert flushed == []
    clock.advance(0)
    assert flushed == [first, second]
    clock.advance(0)
    assert flushed == [first, second]


def test_what_a_flush_leads_to_leaves_after_the_others():
    clock, flushed = Clock(), []
    cork = Cork(clock)
    last, second = Held(flushed), Held(flushed)
    first = Held(flushed, lambda: cork.hold(last))
    cork.hold(first)
    cork.hold(second)
    clock.advance(0)
    assert flushed == [first, second, last]


def test_a_turn_that_handles_very_many_holds_back_a_few_of_them_only():
    flushed = []
    cork = Cork(Clock())
    many = [Held(flushed) for _ in range(150)]
    for one in many:
        cork.hold(one)
    assert flushed == many[:128]
