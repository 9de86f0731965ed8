"""Conformance: groups."""

from channels.layers.base import BaseChannelLayer
from channels.layers.conformance.kit import Kit, needs

__all__ = ["GroupConformance"]


@needs("groups")
class GroupConformance(Kit):
    """ASGI spec, Groups; Specification Details; Persistence."""

    def test_the_groups_extension_is_stated(self) -> None:
        assert self.layer.supports_groups
        assert "groups" in self.layer.extensions

    def test_every_member_gets_the_message(self) -> None:
        layer = self.layer
        members = {"one", "two?x", "three!a", "three!b", "four!c"}
        for member in members:
            layer.group_add("everybody", member)
        layer.group_add("others", "five")
        self.other_client(layer).send_group("everybody", {"n": 1})
        received = self.everything(layer, ["one", "two?x", "three!", "four!", "five"])
        assert sorted(str(channel) for channel, _ in received) == sorted(members)
        assert all(message == {"n": 1} for _, message in received)

    def test_a_group_without_members_takes_messages(self) -> None:
        self.layer.send_group("nobody", {})
        assert list(self.layer.group_channels("nobody")) == []
        assert self.layer.channels() == []

    def test_a_channel_that_was_added_twice_gets_a_message_once(self) -> None:
        for member in ("one", "two!a"):
            self.layer.group_add("everybody", member)
            self.layer.group_add("everybody", member)
        self.layer.send_group("everybody", {})
        assert len(self.everything(self.layer, ["one", "two!"])) == 2
        self.layer.group_discard("everybody", "one")
        self.layer.group_discard("everybody", "two!a")
        assert list(self.layer.group_channels("everybody")) == []

    def test_a_discarded_channel_gets_no_more(self) -> None:
        for member in ("one", "two!a", "two!b"):
            self.layer.group_add("everybody", member)
        self.layer.group_discard("everybody", "one")
        self.layer.group_discard("everybody", "two!a")
        self.layer.send_group("everybody", {})
        received = self.everything(self.layer, ["one", "two!"])
        assert [channel for channel, _ in received] == ["two!b"]

    def test_discarding_what_is_no_member_does_nothing(self) -> None:
        self.layer.group_discard("nobody", "one")
        self.layer.group_add("everybody", "one")
        self.layer.group_discard("everybody", "two!a")
        self.layer.group_discard("everybody", "one?x")
        assert list(self.layer.group_channels("everybody")) == ["one"]

    def test_adds_and_discards_are_seen_at_once(self) -> None:
        client = self.other_client(self.layer)
        for number in range(20):
            channel = f"member!{number}" if number % 2 else f"member.{number}"
            self.layer.group_add("everybody", channel)
            assert channel in set(self.layer.group_channels("everybody"))
            assert channel in set(client.group_channels("everybody"))
        assert len(list(self.layer.group_channels("everybody"))) == 20
        for number in range(0, 20, 2):
            self.layer.group_discard("everybody", f"member.{number}")
            assert f"member.{number}" not in set(self.layer.group_channels("everybody"))
        assert len(list(self.layer.group_channels("everybody"))) == 10

    def test_membership_outlives_deliveries(self) -> None:
        for member in ("one", "two!a"):
            self.layer.group_add("everybody", member)
        for number in range(20):
            self.layer.send_group("everybody", {"n": number})
            received = self.everything(self.layer, ["one", "two!"])
            assert sorted(str(channel) for channel, _ in received) == ["one", "two!a"]

    def test_a_full_member_misses_the_message_and_others_get_it(self) -> None:
        layer = self.made(capacity=2)
        for member in ("full", "room", "full!a", "full!b", "room!c"):
            layer.group_add("everybody", member)
        for _ in range(2):
            layer.send("full", {"old": True})
            layer.send("full!a", {"old": True})
        before = layer.drops
        layer.send_group("everybody", {"old": False})
        assert layer.drops - before == 3
        self._check_dropped(layer, "full!", 2)
        received = self.everything(layer, ["full", "full!", "room", "room!"])
        new = [channel for channel, message in received if message == {"old": False}]
        assert sorted(str(channel) for channel in new) == ["room", "room!c"]
        assert len(received) == 6

    def _check_dropped(self, layer: BaseChannelLayer, channel: str, count: int) -> None:
        """Compare with the statistics of layers that count drops for all their clients."""
        if layer.supports("statistics"):
            found = layer.channel_statistics(channel).get("messages_dropped", count)
            whole = self.other_client(layer).global_statistics().get("messages_dropped", count)
            assert found == count <= whole

    def test_a_group_never_raises_channel_full(self) -> None:
        layer = self.made(capacity=1)
        layer.group_add("everybody", "one")
        for number in range(10):
            layer.send_group("everybody", {"n": number})
        assert self.everything(layer, ["one"]) == [("one", {"n": 0})]
        assert layer.drops == 9

    def test_the_members_behind_a_process_channel_take_one_place_of_its_capacity(self) -> None:
        layer = self.made(capacity=2)
        members = {f"serv!{number}" for number in range(50)}
        for member in members:
            layer.group_add("everybody", member)
        layer.send_group("everybody", {"n": 1})
        layer.send_group("everybody", {"n": 2})
        layer.send_group("everybody", {"n": 3})
        assert layer.drops == 50
        received = self.everything(layer, ["serv!"])
        assert len(received) == 100
        assert {channel for channel, _ in received[:50]} == members
        assert [message["n"] for _, message in received if message] == [1] * 50 + [2] * 50

    def test_a_group_of_thousands_behind_one_process_reaches_each_member_once(self) -> None:
        members = {f"serv!{number}" for number in range(2_500)}
        for member in members:
            self.layer.group_add("everybody", member)
        self.layer.send_group("everybody", {"n": 1})
        received = self.everything(self.layer, ["serv!"])
        assert len(received) == len(members)
        assert {channel for channel, _ in received} == members

    def test_a_message_to_one_member_keeps_its_place_among_group_messages(self) -> None:
        for local in ("a", "b"):
            self.layer.group_add("everybody", f"serv!{local}")
        self.layer.send("serv!a", {"n": 1})
        self.layer.send_group("everybody", {"n": 2})
        self.layer.send("serv!a", {"n": 3})
        received = self.everything(self.layer, ["serv!"])
        to_a = [message["n"] for channel, message in received if channel == "serv!a" and message]
        assert to_a == [1, 2, 3]
        assert ("serv!b", {"n": 2}) in received
        assert len(received) == 4
