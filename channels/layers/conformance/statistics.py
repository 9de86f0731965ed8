"""Conformance: statistics."""

from channels.layers.conformance.kit import Kit, needs, refused

__all__ = ["StatisticsConformance"]

KEYS = {
    "messages_count",
    "messages_count_per_second",
    "messages_pending",
    "messages_max_age",
    "channel_full_count",
    "channel_full_count_per_second",
}


@needs("statistics")
class StatisticsConformance(Kit):
    """ASGI spec, Specification Details: the statistics extension."""

    def test_the_statistics_extension_is_stated(self) -> None:
        assert "statistics" in self.layer.extensions

    def test_an_unused_layer_has_all_keys_at_zero(self) -> None:
        for found in (self.layer.global_statistics(), self.layer.channel_statistics("unused")):
            assert found.pop("messages_dropped", 0) == 0  # not every layer counts them for all
            assert found == dict.fromkeys(KEYS, 0)
            assert all(type(key) is str for key in found)

    def test_messages_are_counted_globally_and_by_channel(self) -> None:
        for channel in ("one", "one", "two?x", "three!a", "three!b"):
            self.layer.send(channel, {})
        self.layer.receive(["one"])
        one = self.layer.channel_statistics("one")
        assert (one["messages_count"], one["messages_pending"]) == (2, 1)
        assert self.layer.channel_statistics("two?x")["messages_count"] == 1
        process = self.layer.channel_statistics("three!")
        assert (process["messages_count"], process["messages_pending"]) == (2, 2)
        assert self.layer.channel_statistics("three!a")["messages_count"] == 2
        clients = [self.layer, self.other_client(self.layer)]
        found = [client.global_statistics() for client in clients]
        assert [whole["messages_pending"] for whole in found] == [4, 4]
        assert [whole["messages_count"] for whole in found] == [5, 5 if self.shares_counts else 0]

    def test_counts_outlive_the_messages(self) -> None:
        for _ in range(3):
            self.layer.send("one", {})
            self.layer.receive(["one"])
        found = self.layer.channel_statistics("one")
        assert (found["messages_count"], found["messages_pending"]) == (3, 0)
        assert found["messages_max_age"] == 0

    def test_refused_messages_are_counted_apart(self) -> None:
        layer = self.made(capacity=2)
        for _ in range(2):
            layer.send("full", {})
        for _ in range(3):
            with refused(layer.ChannelFull):
                layer.send("full", {})
        for found in (layer.channel_statistics("full"), layer.global_statistics()):
            assert found["channel_full_count"] == 3
            assert found["messages_count"] == 2
        assert layer.channel_statistics("other")["channel_full_count"] == 0

    def test_the_last_second_is_counted_and_forgotten(self) -> None:
        layer = self.made(capacity=1)

        def counts_a_burst() -> bool:
            layer.send("one", {})
            with refused(layer.ChannelFull):
                layer.send("one", {})
            found = [layer.channel_statistics("one"), layer.global_statistics()]
            layer.receive(["one"])
            return all(_per_second(one) > (0, 0) for one in found)

        self.eventually(counts_a_burst)
        self.eventually(lambda: _per_second(layer.global_statistics()) == (0, 0))
        assert _per_second(layer.channel_statistics("one")) == (0, 0)
        assert layer.channel_statistics("one")["messages_count"] > 0

    def test_the_age_is_that_of_the_oldest_message(self) -> None:
        layer = self.layer
        layer.send("old", {})
        self.eventually(lambda: layer.channel_statistics("old")["messages_max_age"] > 0.05)
        layer.send("young", {})
        layer.send("old", {})
        young, old = (self._age(name) for name in ("young", "old"))
        assert 0 <= young < old
        assert layer.global_statistics()["messages_max_age"] >= old
        layer.receive(["old"])
        assert self._age("old") <= self._age("young")

    def _age(self, channel: str) -> float:
        return self.layer.channel_statistics(channel)["messages_max_age"]


def _per_second(found: dict[str, int | float]) -> tuple[int | float, int | float]:
    return found["messages_count_per_second"], found["channel_full_count_per_second"]
