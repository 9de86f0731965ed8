"""Conformance: waiting for room in a full channel."""

import functools

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance.kit import Background, Kit, needs, refused
from channels.layers.conformance.wakeups import WatchedThread, quietest

__all__ = ["RoomConformance"]


class RoomConformance(Kit):
    """Waiting until a full channel takes messages again."""

    def _full(self, channel: str = "full") -> BaseChannelLayer:
        layer = self.made(capacity=2)
        for number in range(2):
            layer.send(channel, {"n": number})
        return layer

    def _waiting(self, layer: BaseChannelLayer, channel: str = "full") -> WatchedThread:
        """A thread that is blocked until there is room."""
        waiting = WatchedThread(layer.wait_for_room, channel, self.patience + self.idle_window)
        return waiting.settled(self.idle_window)

    def test_a_channel_with_room_is_not_waited_for(self) -> None:
        assert self.layer.wait_for_room("empty", 0) is True
        assert self.layer.wait_for_room("empty!local", self.patience) is True

    def test_a_full_channel_is_given_up_after_the_timeout(self) -> None:
        layer = self._full()
        assert layer.wait_for_room("full", 0) is False
        assert layer.wait_for_room("full", 0.02) is False

    def test_a_receive_makes_room(self) -> None:
        for channel, listened in (("full", "full"), ("full?x", "full?x"), ("full!y", "full!")):
            layer = self._full(channel)
            waiting = self._waiting(layer, channel)
            self.other_client(layer).receive([listened])
            assert waiting.result(self.patience) is True
            layer.send(channel, {})

    @needs("flush")
    def test_a_flush_makes_room(self) -> None:
        layer = self._full()
        waiting = self._waiting(layer)
        layer.flush()
        assert waiting.result(self.patience) is True

    def test_every_sender_that_waits_gets_through(self) -> None:
        layer = self._full()

        def send(number: int) -> None:
            while True:
                assert layer.wait_for_room("full", self.patience)
                try:
                    return layer.send("full", {"n": number})
                except layer.ChannelFull:
                    continue  # another one was quicker

        senders = [Background(send, number) for number in range(2, 12)]
        received = [self.receives(layer, ["full"])[1] for _ in range(12)]
        for sender in senders:
            sender.result(self.patience)
        assert sorted(message["n"] for message in received if message) == list(range(12))

    def test_a_sender_that_gave_up_keeps_no_other_from_room(self) -> None:
        layer = self._full()
        for _ in range(5):
            assert layer.wait_for_room("full", 0.01) is False
        waiting = self._waiting(layer)
        layer.receive(["full"])
        assert waiting.result(self.patience) is True

    def test_senders_that_were_woken_and_do_not_send_leave_the_room_to_others(self) -> None:
        layer = self._full()
        waiting = [self._waiting(layer) for _ in range(4)]
        assert len(self.everything(layer, ["full"])) == 2
        assert all(one.result(self.patience) for one in waiting)

    def test_an_interruption_is_no_room(self) -> None:
        layer = self._full()
        waiting = self._waiting(layer)
        for _ in range(20):
            layer.interrupt()
        assert layer.wait_for_room("full", 0) is False
        assert waiting.is_alive()
        layer.receive(["full"])
        assert waiting.result(self.patience) is True

    def test_room_in_one_channel_is_none_in_another(self) -> None:
        layer = self._full()
        layer.send("other", {})
        waiting = self._waiting(layer)
        for _ in range(20):
            layer.send("other", {})
            layer.receive(["other"])
        assert waiting.is_alive()
        layer.receive(["full"])
        assert waiting.result(self.patience) is True

    def test_a_wait_for_room_does_not_wake_up_for_nothing(self) -> None:
        layer = self._full()
        waiting = self._waiting(layer)
        pause = functools.partial(self.busy_elsewhere, layer)
        wakeups = quietest(waiting.activity, pause, self.idle_wakeups)
        layer.receive(["full"])
        assert waiting.result(self.patience) is True
        assert wakeups <= self.idle_wakeups, f"{wakeups} wake-ups in {self.idle_window} s at idle"

    def test_room_in_a_bad_name_is_a_type_error(self) -> None:
        with refused(TypeError):
            self.layer.wait_for_room("a b", 0)
