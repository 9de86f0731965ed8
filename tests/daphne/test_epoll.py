"""The epoll reactor's handling of events, and the private names of Twisted's that it rests on."""

import inspect
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

if sys.platform != "linux" and not TYPE_CHECKING:
    pytest.skip("epoll is Linux's", allow_module_level=True)

from twisted.internet import epollreactor
from twisted.internet.main import CONNECTION_DONE

from daphne.epoll import EPollReactor


class Reader:
    """A descriptor with something to read; ``read`` is called for it."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.send(b"x")
        self.doRead = read
        self.lost: list[Any] = []

    def fileno(self) -> int:
        return self.ours.fileno()

    def logPrefix(self) -> str:  # noqa: N802
        return "test"

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.lost.append(reason.value)


@pytest.fixture
def reactor() -> Iterator[EPollReactor]:
    """A reactor that is not the process's own; its turns are made by hand."""
    made = EPollReactor()
    yield made
    made.removeAll()
    made._poller.close()


def test_what_is_private_to_twisted_is_as_it_was() -> None:
    source = inspect.getsource(epollreactor.EPollReactor)
    for name in ("self._poller = epoll(", "self._selectables = {}", "_drdw = self._doReadOrWrite"):
        assert name in source
    assert epollreactor.EPollReactor.doIteration is epollreactor.EPollReactor.doPoll
    parameters = inspect.signature(epollreactor.EPollReactor._doReadOrWrite).parameters
    assert list(parameters) == ["self", "selectable", "fd", "event"]


def test_every_descriptor_that_is_ready_is_read(reactor: EPollReactor) -> None:
    read: list[int] = []
    readers = [Reader(lambda number=number: read.append(number)) for number in range(5)]  # type: ignore[misc]
    for reader in readers:
        reactor.addReader(reader)
    reactor.doIteration(None)
    assert sorted(read) == [0, 1, 2, 3, 4]


def test_one_that_an_earlier_one_has_removed_is_passed_over(reactor: EPollReactor) -> None:
    read = []

    def first_to_come() -> None:
        read.append(1)
        for reader in readers:
            reactor.removeReader(reader)

    readers = [Reader(first_to_come), Reader(first_to_come)]
    for reader in readers:
        reactor.addReader(reader)
    reactor.doIteration(None)
    assert read == [1]


def test_one_that_fails_is_dropped_and_the_others_are_read(reactor: EPollReactor) -> None:
    def fail() -> None:
        raise RuntimeError("defect")

    read: list[int] = []
    failing, sound = Reader(fail), Reader(lambda: read.append(1))
    reactor.addReader(failing)
    reactor.addReader(sound)
    reactor.doIteration(None)
    reactor.doIteration(0)
    assert isinstance(failing.lost[0], RuntimeError)
    assert read == [1, 1]


def test_one_whose_end_fails_does_not_end_the_loop(reactor: EPollReactor) -> None:
    def end(reason: Any) -> None:
        raise RuntimeError("another defect")

    reader = Reader(lambda: CONNECTION_DONE)
    reader.connectionLost = end  # type: ignore[method-assign]
    reactor.addReader(reader)
    reactor.doIteration(None)
    assert reader not in reactor.getReaders()


def busy(reactor: EPollReactor, window: float) -> None:
    """Have the reactor let events wait for others."""
    reactor.coalescing.window = window
    for _ in range(8):
        reactor.addReader(Reader(lambda: None))
    for _ in range(4):
        reactor.doIteration(0.01)


def test_a_busy_one_collects_events(reactor: EPollReactor) -> None:
    busy(reactor, 0.02)
    begin = time.monotonic()
    reactor.doIteration(None)
    reactor.doIteration(None)
    assert time.monotonic() - begin > 0.02


def test_delayed_calls_do_not_wait_for_events(reactor: EPollReactor) -> None:
    busy(reactor, 30.0)
    begin = time.monotonic()
    reactor.doIteration(0.01)
    reactor.doIteration(0)
    assert time.monotonic() - begin < 20


def test_everybody_is_answered_by_a_busy_server(serve: Callable[..., Any]) -> None:
    server = serve(coalesce=0.01)
    server.application(
        websocket_connect=lambda message: {"accept": True},
        websocket_receive=lambda message: {"text": message["text"]},
    )
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.url)) for _ in range(10)]
        for number in range(20):
            for client in clients:
                client.send(str(number))
            assert [client.recv(10) for client in clients] == [str(number)] * 10
