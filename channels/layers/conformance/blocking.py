"""Conformance: receives that block."""

import functools
import os
import signal
import threading
import time
from typing import Any

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance.kit import Background, Kit, needs
from channels.layers.conformance.wakeups import WatchedThread, quietest

__all__ = ["BlockingConformance"]


class BlockingConformance(Kit):
    """ASGI spec, Specification Details: ``receive`` with ``block``, which is never a look again."""

    def test_a_message_that_is_there_is_returned_at_once(self) -> None:
        self.layer.send("one", {"n": 1})
        assert self.layer.receive(["none", "one"], True) == ("one", {"n": 1})

    def test_a_blocked_receive_ends_with_a_message(self) -> None:
        client = self.other_client(self.layer)
        for channel, listened in (("one", "one"), ("two?x", "two?x"), ("three!y", "three!")):
            blocked = WatchedThread(self.layer.receive, ["none", listened, "no!"], True)
            blocked.settled(self.idle_window)
            client.send(channel, {"to": channel})
            assert blocked.result(self.patience) == (channel, {"to": channel})

    @needs("groups")
    def test_a_blocked_receive_ends_with_a_message_to_a_group(self) -> None:
        for member in ("serv!a", "serv!b"):
            self.layer.group_add("everybody", member)
        blocked = [Background(self.layer.receive, ["serv!"], True) for _ in range(2)]
        self.layer.send_group("everybody", {"n": 1})
        received = sorted(one.result(self.patience) for one in blocked)
        assert [channel for channel, _ in received] == ["serv!a", "serv!b"]

    def test_a_blocked_receive_ends_with_its_timeout(self) -> None:
        for timeout in (0, 0.01, 0.1):
            begin = time.monotonic()
            assert self.layer.receive(["none"], block=True, timeout=timeout) == (None, None)
            assert time.monotonic() - begin >= timeout * 0.9

    def test_a_receive_that_timed_out_takes_no_message_with_it(self) -> None:
        received = []
        for number in range(100):
            blocked = Background(self.layer.receive, ["one"], True, number % 7 / 1000)
            self.layer.send("one", {"n": number})
            channel, message = blocked.result(self.patience)
            if channel is None:
                channel, message = self.receives(self.layer, ["one"])
            received.append(message["n"] if message else None)
        assert received == list(range(100))

    def test_each_message_ends_one_blocked_receive(self) -> None:
        blocked = [Background(self.layer.receive, ["one"], True) for _ in range(5)]
        for number in range(5):
            self.layer.send("one", {"n": number})
        received = [one.result(self.patience)[1]["n"] for one in blocked]
        assert sorted(received) == list(range(5))

    def test_receivers_of_different_channels_do_not_take_each_others_wake_ups(self) -> None:
        for _ in range(30):
            blocked = {
                "a": Background(self.layer.receive, ["a"], True),
                "b": Background(self.layer.receive, ["b"], True),
                "c": Background(self.layer.receive, ["a", "b", "c"], True),
            }
            for channel in ("a", "b", "c", "a", "b"):
                if any(one.is_alive() for one in blocked.values()):
                    self.layer.send(channel, {})
            for one in blocked.values():
                assert one.result(self.patience)[0] is not None
            self.everything(self.layer, ["a", "b", "c"])

    def test_an_interrupted_receive_returns_nothing(self) -> None:
        layer = self.layer
        token = layer.interruption
        blocked = [
            Background(layer.receive, [channel], True, interruption=token) for channel in "ab"
        ]
        layer.interrupt()
        assert [one.result(self.patience) for one in blocked] == [(None, None)] * 2
        layer.send("a", {"n": 1})
        assert layer.receive(["a"], True) == ("a", {"n": 1})

    def test_an_interruption_between_token_and_receive_is_felt(self) -> None:
        layer = self.layer
        token = layer.interruption
        layer.interrupt()
        layer.send("a", {"n": 1})
        assert layer.receive(["a"], True, interruption=token) == (None, None)
        assert layer.receive(["a"], True, interruption=layer.interruption) == ("a", {"n": 1})

    def test_interruptions_lose_no_message(self) -> None:
        layer = self.layer
        stopped = threading.Event()

        def interrupt() -> None:
            while not stopped.is_set():
                layer.interrupt()

        interrupting = Background(interrupt)
        try:
            received = []
            for number in range(100):
                layer.send("one", {"n": number})
                received.append(self._insisting(layer, ["one"])["n"])
        finally:
            stopped.set()
            interrupting.result(self.patience)
        assert received == list(range(100))

    def _insisting(self, layer: BaseChannelLayer, channels: list[str]) -> dict[str, Any]:
        deadline = time.monotonic() + self.patience
        while True:
            _, message = layer.receive(channels, block=True, timeout=self.patience)
            if message is not None:
                return message
            assert time.monotonic() < deadline, "a message was lost"

    def test_a_signal_handler_may_interrupt(self) -> None:
        layer = self.layer
        handled: list[int] = []

        def handler(number: int, frame: object) -> None:
            handled.append(number)
            layer.interrupt()

        def ring() -> None:
            self.eventually(rung)

        def rung() -> bool:
            os.kill(os.getpid(), signal.SIGUSR1)
            return bool(done)

        done: list[bool] = []
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            ringing = Background(ring)
            assert layer.receive(["one"], True, self.patience) == (None, None)
            done.append(True)
            ringing.result(self.patience)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert handled

    def test_a_blocked_receive_does_not_wake_up_for_nothing(self) -> None:
        layer = self.layer
        blocked = WatchedThread(layer.receive, ["quiet", "still!"], True)
        blocked.settled(self.idle_window)
        pause = functools.partial(self.busy_elsewhere, layer)
        wakeups = quietest(blocked.activity, pause, self.idle_wakeups)
        layer.send("quiet", {"n": 1})
        assert blocked.result(self.patience) == ("quiet", {"n": 1})
        assert wakeups <= self.idle_wakeups, f"{wakeups} wake-ups in {self.idle_window} s at idle"
