"""What every layer that encrypts has to show; backends derive their tests from it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

__all__ = ["Make", "SealedLayerTests"]

Make = Callable[..., Any]


class SealedLayerTests:
    """A backend says how a layer is made, and what its store holds."""

    def fresh_prefix(self) -> Any:
        """What ``make_layer`` takes for layers that share an empty store."""
        raise NotImplementedError

    def make_layer(self, prefix: Any, keys: tuple[str, ...] | None) -> Any:
        """A layer with these ``symmetric_encryption_keys``."""
        raise NotImplementedError

    def stored(self, layer: Any, queue: str) -> bytes:
        """The first entry of a queue; it stays there."""
        raise NotImplementedError

    @pytest.fixture
    def layers(self) -> Iterator[Make]:
        """Makes layers with the given keys; they share a store."""
        made: list[Any] = []
        prefix = self.fresh_prefix()

        def make(*keys: str) -> Any:
            made.append(self.make_layer(prefix, keys or None))
            return made[-1]

        yield make
        for layer in made:
            layer.close()

    def test_messages_are_sealed_and_open_with_any_key(self, layers: Make) -> None:
        old, new = layers("old"), layers("new", "old")
        old.group_add("chat", "serv!a")
        old.send("one", {"text": "hidden-text"})
        old.send_group("chat", {"text": "hidden-text"})
        for queue in ("one", "serv!"):
            entry = self.stored(old, queue)
            assert entry and b"hidden" not in entry
            assert new.receive([queue], block=True)[1] == {"text": "hidden-text"}
        new.send("one", {"text": "of the new key"})
        assert old.receive(["one"], block=True, timeout=0.1) == (None, None)
        assert old.drops == 1

    def test_messages_in_clear_or_of_another_key_are_dropped_and_counted(
        self, layers: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        layers("other").send("one", {"n": 1})
        layers().send("one", {"n": 2})
        layer = layers("key")
        layer.send("one", {"n": 3})
        assert layer.receive(["one"], block=True) == ("one", {"n": 3})
        assert layer.drops == 2
        assert "no key of symmetric_encryption_keys opens it" in caplog.text
