"""Encrypted messages over Redis: what is stored, and who can read it."""

from collections.abc import Iterator
from typing import Any

import pytest

from channels._speedups import resp
from channels.layers.redis import RedisChannelLayer
from tests.layers.redis.lent import fresh_prefix, lent_servers


@pytest.fixture
def layers() -> Iterator[Any]:
    """Makes layers with the given keys; they share a prefix."""
    made: list[RedisChannelLayer] = []
    prefix = fresh_prefix()

    def make(*keys: str) -> RedisChannelLayer:
        layer = RedisChannelLayer(
            hosts=lent_servers(1), symmetric_encryption_keys=keys or None, **prefix
        )
        made.append(layer)
        return layer

    yield make
    for layer in made:
        layer.close()


def test_messages_are_sealed_and_open_with_any_key(layers: Any) -> None:
    old, new = layers("old"), layers("new", "old")
    old.group_add("chat", "serv!a")
    old.send("one", {"text": "hidden-text"})
    old.send_group("chat", {"text": "hidden-text"})
    shard = old.topology.home("one")
    for queue in ("one", "serv!"):
        entry = shard.call(resp.pack(("LINDEX", shard.queue_keys(queue)[0], 0)))
        assert entry and b"hidden" not in entry
        assert new.receive([queue])[1] == {"text": "hidden-text"}


def test_messages_sealed_with_another_key_are_dropped_and_counted(
    layers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    layers("other").send("one", {"n": 1})
    layers().send("one", {"n": 2})
    layer = layers("key")
    layer.send("one", {"n": 3})
    assert layer.receive(["one"], block=True) == ("one", {"n": 3})
    assert layer.drops == 2
    assert "no key of symmetric_encryption_keys opens it" in caplog.text
