"""Conformance: messages, memberships and process channels that come to their end."""

import time

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance.kit import Background, Kit, needs

__all__ = ["ExpiryConformance"]


class ExpiryConformance(Kit):
    """ASGI spec, Persistence. Time is awaited by its effect, and only ever with a lower bound."""

    def _short(self, **arguments: float) -> BaseChannelLayer:
        return self.made(capacity=5, expiry=self.short_expiry, **arguments)

    def _until_nothing_waits(self, layer: BaseChannelLayer) -> None:
        self.eventually(lambda: self.nothing_waits(layer))

    def test_a_message_lasts_as_long_as_the_expiry_and_no_longer(self) -> None:
        layer = self._short()
        begin = time.monotonic()
        for channel in ("one", "two?x", "three!y"):
            layer.send(channel, {})
        self._until_nothing_waits(layer)
        assert time.monotonic() - begin >= self.short_expiry * 0.9
        assert layer.receive(["one", "two?x", "three!"]) == (None, None)
        assert layer.channels() == []

    @needs("statistics")
    def test_a_message_that_is_not_expired_is_received_behind_one_that_is(self) -> None:
        layer = self._short()

        def received() -> bool:
            """Begins again where this process was so slow that more expired meanwhile."""
            if self._pending(layer, "one") == 0:
                layer.send("one", {"n": 1})
            age = layer.channel_statistics("one")["messages_max_age"]
            if age <= self.short_expiry * 0.6:
                return False
            layer.send("one", {"n": 2})
            if self._pending(layer, "one") != 2:
                return False
            self.eventually(lambda: self._pending(layer, "one") != 2)
            _, message = layer.receive(["one"])
            assert message in (None, {"n": 2})
            return message is not None

        self.eventually(received)

    def test_expired_messages_make_room(self) -> None:
        layer = self._short()
        for _ in range(5):
            layer.send("full", {})
        waiting = Background(layer.wait_for_room, "full", self.patience)
        assert waiting.result(self.patience) is True
        layer.send("full", {})

    @needs("groups")
    def test_a_member_whose_message_expires_leaves_its_groups(self) -> None:
        layer = self._short()
        members = ["unread", "unread?x", "unread!a", "unread!b"]
        for member in [*members, "other", "other!a"]:
            layer.group_add("one", member)
            layer.group_add("two", member)
        for member in members[:3]:
            layer.send(member, {})
        self.eventually(lambda: len(list(layer.group_channels("one"))) == 2)
        assert set(layer.group_channels("one")) == {"other", "other!a"}
        assert set(layer.group_channels("two")) == {"other", "other!a"}
        layer.send_group("one", {})
        everything = ["unread", "unread?x", "unread!", "other", "other!"]
        received = self.everything(layer, everything)
        assert sorted(str(channel) for channel, _ in received) == ["other", "other!a"]

    @needs("groups")
    def test_a_group_message_that_expires_ends_the_membership(self) -> None:
        layer = self._short()
        for member in ("dead!a", "dead!b", "dead"):
            layer.group_add("one", member)
        layer.send_group("one", {})
        self.eventually(lambda: list(layer.group_channels("one")) == [])

    @needs("groups")
    def test_a_member_may_be_added_again(self) -> None:
        layer = self._short()
        for member in ("back", "back!a"):
            layer.group_add("one", member)
            layer.send(member, {})
        self.eventually(lambda: list(layer.group_channels("one")) == [])
        for member in ("back", "back!a"):
            layer.group_add("one", member)
        layer.send_group("one", {"n": 1})
        assert len(self.everything(layer, ["back", "back!"])) == 2
        assert set(layer.group_channels("one")) == {"back", "back!a"}

    @needs("statistics")
    def test_a_dead_process_channel_is_evicted_with_all_that_waits_in_it(self) -> None:
        layer = self._short()
        before = {name: layer.generation(name) for name in ("dead!", "alive!", None)}

        def an_old_and_a_new_one_wait() -> bool:
            """Begins again where this process was so slow that the old one expired meanwhile."""
            if self._pending(layer, "dead!") == 0:
                layer.send("dead!a", {"n": 1})
            age = layer.channel_statistics("dead!")["messages_max_age"]
            if age <= self.short_expiry * 0.6:
                return False
            layer.send("dead!b", {"n": 2})
            return self._pending(layer, "dead!") == 2

        self.eventually(an_old_and_a_new_one_wait)
        self.eventually(lambda: self._pending(layer, "dead!") != 2)
        assert self._pending(layer, "dead!") == 0
        assert layer.receive(["dead!"]) == (None, None)
        self.eventually(lambda: layer.generation("dead!") != before["dead!"])
        assert layer.generation("alive!") == before["alive!"]
        assert layer.generation() == before[None]

    def _pending(self, layer: BaseChannelLayer, channel: str) -> float:
        return layer.channel_statistics(channel)["messages_pending"]

    def test_an_evicted_process_channel_carries_on(self) -> None:
        layer = self._short()
        generation = layer.generation("back!")
        layer.send("back!a", {})
        self._until_nothing_waits(layer)
        assert layer.receive(["back!"]) == (None, None)
        self.eventually(lambda: layer.generation("back!") != generation)
        renewed = layer.generation("back!")
        layer.send("back!a", {"n": 1})
        assert layer.receive(["back!"]) == ("back!a", {"n": 1})
        assert layer.generation("back!") == renewed

    @needs("groups", "statistics")
    def test_a_process_channel_that_is_read_is_not_evicted(self) -> None:
        layer = self._short()
        layer.group_add("one", "alive!a")
        generation = layer.generation("alive!")
        layer.send("dead", {})

        def read() -> bool:
            layer.send("alive!a", {})
            layer.receive(["alive!"])
            return self._pending(layer, "dead") == 0

        self.eventually(read)
        assert layer.generation("alive!") == generation
        assert list(layer.group_channels("one")) == ["alive!a"]

    @needs("groups")
    def test_a_membership_ends_after_the_group_expiry(self) -> None:
        layer = self.made(capacity=5, group_expiry=self.short_expiry)
        begin = time.monotonic()
        for member in ("one", "two!a", "two!b"):
            layer.group_add("everybody", member)
        self.eventually(lambda: list(layer.group_channels("everybody")) == [])
        assert time.monotonic() - begin >= self.short_expiry * 0.9
        layer.send_group("everybody", {})
        assert layer.channels() == []

    @needs("groups")
    def test_a_membership_counts_from_the_latest_add(self) -> None:
        layer = self.made(capacity=5, group_expiry=self.short_expiry)
        for member in ("renewed!a", "left!a", "renewed", "left"):
            layer.group_add("everybody", member)

        def renew() -> bool:
            layer.group_add("everybody", "renewed!a")
            layer.group_add("everybody", "renewed")
            members = set(layer.group_channels("everybody"))
            assert members >= {"renewed!a", "renewed"}
            return members == {"renewed!a", "renewed"}

        self.eventually(renew)
        layer.send_group("everybody", {})
        received = self.everything(layer, ["renewed!", "renewed", "left!", "left"])
        assert sorted(str(channel) for channel, _ in received) == ["renewed", "renewed!a"]
