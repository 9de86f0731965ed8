"""What the Twisted forms do beyond the demands of the conformance kit."""

import os
import subprocess
import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from channels.layers.inmemory import ChannelLayer
from channels.layers.twisted import ReactorLoop
from tests.reactor import in_reactor, reactor
from tests.waiting import wait_until


def test_a_deferred_does_not_fire_within_the_send_that_wakes_it() -> None:
    layer = ChannelLayer()
    events: list[Any] = []

    def send_in_the_reactor() -> None:
        layer.receive_twisted(["chat"]).addCallback(events.append)
        layer.send("chat", {"n": 1})
        events.append("sent")

    in_reactor(send_in_the_reactor)
    wait_until(lambda: len(events) == 2)
    assert events == ["sent", ("chat", {"n": 1})]


def test_an_error_of_the_backend_reaches_the_deferred() -> None:
    layer = ChannelLayer()
    received: list[Any] = []

    class Broken(Exception):
        pass

    def start() -> None:
        layer.receive_twisted(["chat"]).addErrback(received.append)

    in_reactor(start)

    def fail(*args: Any) -> Any:
        raise Broken

    layer._take_one = fail  # type: ignore[method-assign, assignment]
    layer.send("chat", {})
    wait_until(lambda: received)
    assert received[0].check(Broken)
    assert not layer._blocked


def test_many_wake_ups_of_one_deferred_do_no_harm() -> None:
    layer = ChannelLayer(capacity=100)
    received: list[Any] = []

    def listen(_: Any = None) -> None:
        layer.receive_deliveries_twisted(["chat!"]).addCallback(got)

    def got(deliveries: Any) -> None:
        received.extend(deliveries)
        if len(received) < 50:
            listen()

    in_reactor(listen)
    for number in range(50):
        layer.send("chat!a", {"n": number})
        layer.interrupt()
    wait_until(lambda: len(received) == 50)
    assert [delivery.message["n"] for delivery in received] == list(range(50))


SIGNALLED = """
import os, signal, threading
from twisted.internet import reactor
from channels.layers.inmemory import ChannelLayer
from channels.layers.twisted import ReactorLoop

layer = ChannelLayer()
received = []
signal.signal(signal.SIGUSR1, lambda number, frame: layer.interrupt())

def start():
    layer.receive_twisted(["chat"]).addCallback(received.append).addCallback(lambda _: end())
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGUSR1]).start()

def end():
    late.cancel()
    reactor.stop()

late = reactor.callLater(20, reactor.stop)
reactor.callWhenRunning(start)
reactor.run(installSignalHandlers=False)
assert received == [(None, None)], received
"""


def test_a_signal_handler_in_the_thread_of_the_reactor_interrupts() -> None:
    """Nothing but the interrupt itself ends the reactor's sleep there."""
    subprocess.run([sys.executable, "-c", SIGNALLED], check=True, timeout=60)


def test_no_channels_give_nothing_at_once() -> None:
    layer = ChannelLayer()
    assert in_reactor(layer.receive_twisted, []) == (None, None)
    assert in_reactor(layer.receive_deliveries_twisted, []) == []


def test_bad_names_are_refused_in_the_call() -> None:
    layer = ChannelLayer()
    for call in (layer.receive_twisted, layer.receive_deliveries_twisted):
        with pytest.raises(TypeError):
            in_reactor(call, ["a b"])
    with pytest.raises(TypeError):
        in_reactor(layer.room_twisted, "a b")


def test_a_wait_leaves_nothing_behind() -> None:
    layer = ChannelLayer(capacity=1, expiry=100)
    layer.send("chat", {})
    before = len(in_reactor(reactor.getDelayedCalls))

    def start_and_cancel() -> None:
        waits: list[Deferred[Any]] = [
            layer.room_twisted("chat"),
            layer.receive_twisted(["a"]),
            layer.receive_deliveries_twisted(["a!", "b"]),
        ]
        for wait in waits:
            wait.addErrback(lambda failure: None)
            wait.cancel()

    in_reactor(start_and_cancel)
    assert not layer._blocked
    assert not layer._readers.lines
    assert not layer._senders.lines
    assert len(in_reactor(reactor.getDelayedCalls)) == before


def test_the_reactor_watches_descriptors_for_layers() -> None:
    loop = ReactorLoop(reactor)
    assert loop == ReactorLoop(reactor)
    assert not loop.is_closed()
    read, write = os.pipe()
    events: list[Any] = []
    in_reactor(loop.watch, read, lambda: events.append(os.read(read, 10)))
    in_reactor(loop.call_later, 0.001, lambda: os.write(write, b"x") and None)
    wait_until(lambda: events)
    loop.unwatch(read, lambda: events.append("gone"))
    wait_until(lambda: len(events) == 2)
    os.write(write, b"y")
    in_reactor(lambda: None)
    assert events == [b"x", "gone"]
    os.close(read)
    os.close(write)
