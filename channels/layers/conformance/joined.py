"""Conformance: a send and the receive after it in one call, as workers make them."""

import time
from collections.abc import Callable

from channels.layers.conformance.kit import Background, Kit, needs, refused
from channels.layers.conformance.wakeups import WatchedThread

__all__ = ["JoinedConformance"]

NOTHING = (None, None, None)


class JoinedConformance(Kit):
    """``send_and_receive`` does what ``send`` and then a ``receive`` that blocks do."""

    def test_what_is_sent_with_a_receive_may_be_what_is_received(self) -> None:
        for number in range(3):
            sent = self.layer.send_and_receive("one", {"n": number}, ["none", "one"])
            assert sent == (None, "one", {"n": number})

    def test_what_is_sent_with_a_receive_reaches_others(self) -> None:
        client = self.other_client(self.layer)
        self.layer.receive(["two"], True, 0.01)
        for channel in ("one", "one?x", "one!y"):
            blocked = WatchedThread(self.layer.send_and_receive, channel, {"to": channel}, ["two"])
            listened = channel.partition("!")[0] + "!" if "!" in channel else channel
            assert self.receives(client, [listened]) == (channel, {"to": channel})
            blocked.settled(self.idle_window)
            client.send("two", {"for": channel})
            assert blocked.result(self.patience) == (None, "two", {"for": channel})

    def test_a_receive_after_a_send_ends_with_its_timeout(self) -> None:
        for timeout in (0, 0.01, 0.1):
            begin = time.monotonic()
            assert self.layer.send_and_receive("one", {}, ["none"], timeout) == NOTHING
            assert time.monotonic() - begin >= timeout * 0.9
        assert len(self.everything(self.layer, ["one"])) == 3

    def test_a_refused_send_is_told_and_nothing_is_waited_for(self) -> None:
        for _ in range(2):
            for number in range(5):
                self.layer.send("full", {"n": number})
            failure, *received = self.layer.send_and_receive("full", {"n": 5}, ["none"])
            assert isinstance(failure, self.layer.ChannelFull)
            assert received == [None, None]
            found = sorted(str(message) for _, message in self.everything(self.layer, ["full"]))
            assert found == [str({"n": number}) for number in range(5)]

    def test_a_refused_send_loses_no_message_that_waits(self) -> None:
        self.layer.receive(["other"], True, 0.01)
        for number in range(5):
            self.layer.send("full", {"n": number})
        self.layer.send("other", {"n": 1})
        failure, channel, message = self.layer.send_and_receive("full", {}, ["other"])
        assert isinstance(failure, self.layer.ChannelFull)
        if channel is None:
            channel, message = self.receives(self.layer, ["other"])
        assert (channel, message) == ("other", {"n": 1})

    def test_what_cannot_be_sent_is_told_and_nothing_is_taken(self) -> None:
        self.layer.send("other", {"n": 1})
        for channel, message, error in (
            ("bad name", {}, TypeError),
            ("one", {"value": object()}, TypeError),
            ("one", {"text": "x" * self.layer.message_limit}, self.layer.MessageTooLarge),
        ):
            failure, *received = self.layer.send_and_receive(channel, message, ["other"])
            assert isinstance(failure, error)
            assert received == [None, None]
        assert self.receives(self.layer, ["other"]) == ("other", {"n": 1})

    def test_a_bad_name_to_receive_from_is_raised_and_nothing_is_sent(self) -> None:
        with refused(TypeError):
            self.layer.send_and_receive("one", {}, ["bad name"])
        assert self.layer.receive(["one"]) == (None, None)

    def test_an_interrupted_receive_after_a_send_returns_nothing(self) -> None:
        layer = self.layer
        layer.receive(["none"], True, 0.01)
        blocked = Background(layer.send_and_receive, "one", {"n": 1}, ["none"])
        assert self.receives(layer, ["one"]) == ("one", {"n": 1})
        self.eventually(lambda: self._ended_by(layer.interrupt, blocked))
        assert blocked.result(self.patience) == NOTHING

    def _ended_by(self, end: Callable[[], None], blocked: Background) -> bool:
        end()  # again, should it not have been blocked yet
        return not blocked.is_alive()

    def test_an_interrupt_before_a_joined_call_stops_its_receive_alone(self) -> None:
        token = self.layer.interruption
        self.layer.interrupt()
        self.layer.send("other", {})
        joined = self.layer.send_and_receive("one", {"n": 1}, ["other"], interruption=token)
        assert joined == NOTHING
        assert self.layer.receive(["one"]) == ("one", {"n": 1})
        assert self.layer.receive(["other"]) == ("other", {})

    @needs("flush")
    def test_a_flush_ends_a_receive_after_a_send(self) -> None:
        layer = self.layer
        layer.receive(["none"], True, 0.01)
        blocked = Background(layer.send_and_receive, "one", {"n": 1}, ["none"])
        self.eventually(lambda: self._ended_by(layer.flush, blocked))
        assert blocked.result(self.patience) == NOTHING

    def test_threads_that_send_and_receive_lose_and_double_nothing(self) -> None:
        layer = self.made(capacity=1000)
        count = self.stress_messages

        def passes_on() -> list[int]:
            """Send one's own numbers while taking whatever comes."""
            taken = []
            for number in range(count):
                failure, _, message = layer.send_and_receive("one", {"n": number}, ["one"], 30)
                assert failure is None
                assert message is not None
                taken.append(message["n"])
            return taken

        threads = [Background(passes_on) for _ in range(4)]
        taken = [number for one in threads for number in one.result(self.patience * 6)]
        assert sorted(taken) == sorted(list(range(count)) * 4)
        assert layer.receive(["one"]) == (None, None)
