"""Conformance: flush, and the generation that tells of it."""

from channels.layers.conformance.kit import Background, Kit, needs

__all__ = ["FlushConformance"]


@needs("flush")
class FlushConformance(Kit):
    """ASGI spec, Specification Details: the flush extension."""

    def test_the_flush_extension_is_stated(self) -> None:
        assert "flush" in self.layer.extensions

    def test_a_flush_leaves_nothing_for_any_client(self) -> None:
        client = self.other_client(self.layer)
        everything = ["one", "two?x", "three!"]
        for channel in ("one", "two?x", "three!a"):
            client.send(channel, {})
        self.layer.flush()
        for layer in (self.layer, client):
            assert layer.receive(everything) == (None, None)
            assert layer.channels() == []

    @needs("groups")
    def test_a_flush_leaves_no_group_for_any_client(self) -> None:
        client = self.other_client(self.layer)
        before = client.generation()
        for channel in ("one", "two?x", "three!a"):
            client.group_add("everybody", channel)
        assert client.generation() == before
        self.layer.flush()
        for layer in (self.layer, client):
            assert list(layer.group_channels("everybody")) == []
        client.send_group("everybody", {})
        assert self.layer.receive(["one", "two?x", "three!"]) == (None, None)

    def test_a_flushed_layer_works(self) -> None:
        for _ in range(3):
            for number in range(5):
                self.layer.send("one", {"n": number})
            self.layer.flush()
        self.layer.send("one", {"n": 1})
        assert self.layer.receive(["one"]) == ("one", {"n": 1})

    @needs("groups")
    def test_a_flushed_layer_has_groups(self) -> None:
        self.layer.group_add("everybody", "one")
        self.layer.flush()
        self.layer.group_add("everybody", "one")
        self.layer.send_group("everybody", {"n": 1})
        assert self.layer.receive(["one"]) == ("one", {"n": 1})

    def test_the_generation_changes_with_a_flush_and_with_nothing_else(self) -> None:
        client = self.other_client(self.layer)
        before = self.layer.generation()
        before_process = self.layer.generation("serv!")
        self.layer.send("serv!a", {})
        self.layer.receive(["serv!"])
        assert client.generation() == self.layer.generation() == before
        assert client.generation("serv!") == before_process
        self.layer.flush()
        assert self.layer.generation() != before
        assert self.layer.generation("serv!") != before_process
        self.eventually(lambda: client.generation() == self.layer.generation())

    def test_a_flush_makes_blocked_receives_return(self) -> None:
        blocked = [
            Background(self.layer.receive, channels, True) for channels in (["one"], ["two!"])
        ]
        self.eventually(lambda: self._flushed_all(blocked))
        assert [one.result(self.patience) for one in blocked] == [(None, None)] * 2

    def _flushed_all(self, blocked: list[Background]) -> bool:
        self.layer.flush()  # again, should a thread not have been blocked yet
        return not any(one.is_alive() for one in blocked)
