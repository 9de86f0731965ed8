"""Sealed bodies: what opens them and what does not, nonces, forks, the bytes, and a layer."""

import hmac
import os
import random
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels import codec
from channels.exceptions import InvalidStoredMessage
from channels.layers import sealing
from channels.layers.conformance import ChannelLayerConformance
from channels.layers.inmemory import ChannelLayer
from channels.layers.sealing import SealedChannelLayer, Sealer
from tests.reactor import in_reactor

HEAD = 32  # key id, salt, nonce
MESSAGE = {"text": "hi"}


class SealedLayer(SealedChannelLayer, ChannelLayer):
    """The in-memory layer with sealed bodies."""


def keyed(*keys: str | bytes) -> SealedLayer:
    return SealedLayer(symmetric_encryption_keys=keys)


def moved(source: ChannelLayer, queue: str, target: ChannelLayer, to: str) -> None:
    """Have a stranger put the next stored body of ``queue`` into another layer or queue."""
    stored = source._take_one(source._listening([queue]))
    assert stored is not None
    assert target._push(to, stored[1], stored[2])


# Keys


def test_what_was_sealed_opens() -> None:
    sealer = Sealer(["key"])
    for body in (b"", b"a", secrets.token_bytes(100_000)):
        sealed = sealer.seal(body, b"name")
        assert len(sealed) == HEAD + len(body) + 16
        assert sealer.open(sealed, b"name") == body
        assert not body[8:] or body[8:] not in sealed


def test_encryption_the_first_key_seals_and_every_key_opens() -> None:
    old, both, new = Sealer(["old"]), Sealer(["new", "old"]), Sealer(["new"])
    assert both.open(old.seal(b"body", b""), b"") == b"body"
    assert new.open(both.seal(b"body", b""), b"") == b"body"
    with pytest.raises(InvalidStoredMessage, match="no key of symmetric_encryption_keys opens it"):
        old.open(both.seal(b"body", b""), b"")


def test_keys_are_text_or_bytes_of_any_length() -> None:
    assert Sealer([b"schl\xc3\xbcssel"]).open(Sealer(["schlüssel"]).seal(b"b", b""), b"") == b"b"
    long = secrets.token_bytes(5000)
    assert Sealer([long]).open(Sealer([long]).seal(b"b", b""), b"") == b"b"


def test_keys_with_the_same_id_are_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = sealing._derived

    def colliding(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        return b"same" if length == 4 else derived(key, salt, info, length)

    monkeypatch.setattr(sealing, "_derived", colliding)
    both = Sealer(["one", "two"])
    for key in ("one", "two"):
        assert both.open(Sealer([key]).seal(b"body", b""), b"") == b"body"
    with pytest.raises(InvalidStoredMessage):
        both.open(Sealer(["three"]).seal(b"body", b""), b"")


@pytest.mark.parametrize("keys", ["key", b"key", [], (), [""], ["key", b""]])
def test_keys_without_sense_are_refused(keys: Any) -> None:
    with pytest.raises(ValueError, match="symmetric_encryption_keys"):
        Sealer(keys)


@pytest.mark.parametrize("key", [5, None, ["key"], bytearray(b"key")])
def test_keys_of_other_types_are_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(TypeError, match="must be str or bytes") as caught:
        Sealer(["key", key])
    assert "key'" not in str(caught.value)


def test_no_error_and_no_repr_shows_a_key() -> None:
    sealer = Sealer(["very-secret"])
    with pytest.raises(InvalidStoredMessage) as caught:
        sealer.open(bytes(100), b"")
    assert "very-secret" not in repr(sealer) + str(caught.value)


# What does not open


def test_a_body_opens_with_its_associated_data_only() -> None:
    sealer = Sealer(["key"])
    sealed = sealer.seal(b"body", b"name")
    for other in (b"", b"nam", b"names", b"Name"):
        with pytest.raises(InvalidStoredMessage, match="for another channel"):
            sealer.open(sealed, other)


def test_no_changed_bit_and_no_cut_goes_unnoticed() -> None:
    sealer = Sealer(["key"])
    sealed = sealer.seal(b"body", b"name")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidStoredMessage):
            sealer.open(bytes(changed), b"name")
    for end in range(len(sealed)):
        with pytest.raises(InvalidStoredMessage):
            sealer.open(sealed[:end], b"name")
    with pytest.raises(InvalidStoredMessage):
        sealer.open(sealed + b"\0", b"name")


def test_hostile_bytes_raise_what_is_documented() -> None:
    layer, source = keyed("key"), random.Random(secrets.randbits(32))
    known = layer._encode(MESSAGE, "one")[: 1 + HEAD]
    for _ in range(20_000):
        body = source.choice([b"", b"\x01", b"\x02", known]) + source.randbytes(
            source.randrange(80)
        )
        with pytest.raises(InvalidStoredMessage):
            layer._decode(body, "one")


def test_foreign_salts_take_no_memory_without_bound() -> None:
    sealer = Sealer(["key"])
    sealed = sealer.seal(b"body", b"")
    for number in range(3000):
        strange = sealed[:4] + number.to_bytes(16, "big") + sealed[20:]
        with pytest.raises(InvalidStoredMessage):
            sealer.open(strange, b"")
        with pytest.raises(InvalidStoredMessage):
            sealer.open(number.to_bytes(4, "big") + sealed[4:], b"")
    assert sealer._ciphers.cache_info().currsize <= 1024


# Nonces


def test_no_nonce_repeats_in_threads() -> None:
    sealer = Sealer(["key"])
    heads: list[bytes] = []

    def seal() -> None:
        heads.extend([sealer.seal(b"", b"")[:HEAD] for _ in range(5000)])

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(heads)) == len(heads) == 40_000


def test_a_salt_is_used_for_a_bounded_number_of_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_BODIES", 10)
    sealer = Sealer(["key"])
    sealed = [sealer.seal(b"body", b"") for _ in range(31)]
    assert len({one[4:20] for one in sealed}) == 4
    assert len({one[4:32] for one in sealed}) == 31
    assert {sealer.open(one, b"") for one in sealed} == {b"body"}


def test_a_fork_gets_a_salt_of_its_own() -> None:
    sealer = Sealer(["key"])
    sealer.seal(b"", b"")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, sealer.seal(b"body", b""))
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(reading, 1000), sealer.seal(b"body", b"")
    os.close(reading)
    os.close(writing)
    assert theirs[4:20] != ours[4:20]
    assert sealer.open(theirs, b"") == b"body"
    assert [sealer.open(ours, b""), int.from_bytes(ours[20:32], "big")] == [b"body", 1]


# The bytes


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 for a single block, from the standard library alone."""
    pseudorandom = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(pseudorandom, info + b"\x01", "sha256")[:length]


def sealed_by_another(key: bytes, salt: bytes, number: int, body: bytes, bound: bytes) -> bytes:
    """A body as an implementation in another language would seal it."""
    nonce = number.to_bytes(12, "big")
    subkey = hkdf(key, salt, b"channels-batteries body 1", 32)
    key_id = hkdf(key, b"", b"channels-batteries key id 1", 4)
    return key_id + salt + nonce + AESGCM(subkey).encrypt(nonce, body, bound)


def test_bodies_of_another_implementation_open() -> None:
    for key in (b"key", bytes(range(200))):
        salt, number = secrets.token_bytes(16), secrets.randbits(96)
        sealed = sealed_by_another(key, salt, number, b"body", b"\x01one")
        assert Sealer(["other", key]).open(sealed, b"\x01one") == b"body"


def test_another_implementation_reads_ours() -> None:
    sealed = Sealer(["key"]).seal(b"body", b"bound")
    number = int.from_bytes(sealed[20:32], "big")
    assert sealed == sealed_by_another(b"key", sealed[4:20], number, b"body", b"bound")


#: Stored bodies of ``MESSAGE``, sealed with the key "key" in earlier days.
GOLDEN = {
    "daphne.response.ab!": (
        "01da9f5689000102030405060708090a0b0c0d0e0f0000000000000000000000057113cbf5180ece3542"
        "45e3b083d5b8b12b58d7feb4feb13b16"
    ),
    "member!": (
        "020463686174da9f5689000102030405060708090a0b0c0d0e0f000000000000000000000005"
        "7113cbf5180ece35420a0c0ca0ef0931491653922adcdb2434"
    ),
}


@pytest.mark.parametrize("queue", ["daphne.response.ab!", "member!"])
def test_bodies_of_earlier_days_open(queue: str) -> None:
    assert keyed("key")._decode(bytes.fromhex(GOLDEN[queue]), queue) == MESSAGE


def test_the_example_of_the_documentation_is_right() -> None:
    text = Path("docs/encryption.md").read_text(encoding="utf-8")
    example = text.split("```")[-2].strip()
    digits = "".join(re.split(r"\s{2,}", line + "  ")[0] for line in example.splitlines())
    assert bytes.fromhex(digits).hex() == GOLDEN["daphne.response.ab!"]


# A layer with sealed bodies


class TestSealedLayer(ChannelLayerConformance):
    """Every demand of the kit, sealed."""

    idle_wakeups = 0

    def make_layer(self, **arguments: Any) -> ChannelLayer:
        return SealedLayer(symmetric_encryption_keys=["key"], **arguments)

    def in_reactor(self, function: Callable[..., Any], *args: Any) -> Any:
        return in_reactor(function, *args)


def test_the_store_sees_no_message() -> None:
    layer = keyed("key")
    layer.group_add("chat", "one!a")
    layer.send("one!a", {"text": "secret-text"})
    layer.send_group("chat", {"text": "secret-text"})
    for _, _, body in layer._take(layer._listening(["one!"]), 2):
        assert b"secret" not in body and b"text" not in body


def test_without_keys_bodies_are_messages() -> None:
    layer = SealedLayer()
    layer.send("one", MESSAGE)
    stored = layer._take_one(layer._listening(["one"]))
    assert stored is not None
    assert stored[2] == codec.encode(MESSAGE)


@pytest.mark.parametrize(
    ("sender", "reader", "reason"),
    [
        (["other"], ["key"], "no key of symmetric_encryption_keys opens it"),
        (None, ["key"], "it is not sealed"),
        (["key"], None, "it is sealed, but this layer has no symmetric_encryption_keys"),
    ],
)
def test_messages_of_a_process_with_other_keys_are_dropped_and_logged(
    sender: Any, reader: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = SealedLayer(symmetric_encryption_keys=sender)
    target = SealedLayer(symmetric_encryption_keys=reader)
    source.send("one", MESSAGE)
    moved(source, "one", target, "one")
    target.send("one", {"n": 2})
    assert target.receive(["one"]) == ("one", {"n": 2})
    assert target.drops == 1
    assert reason in caplog.text


def test_a_message_moved_to_another_channel_does_not_open() -> None:
    source, target = keyed("key"), keyed("key")
    for queue, channel in (("one", "one"), ("two!", "two!a"), ("three?x", "three?x")):
        source.send(channel, MESSAGE)
        moved(source, queue, target, "other" + queue[-1])
        source.send(channel, MESSAGE)
        moved(source, queue, target, queue)
        assert target.receive([queue])[1] == MESSAGE
        assert target.receive(["other" + queue[-1]]) == (None, None)
    assert target.drops == 3


def test_a_message_to_a_channel_is_none_to_a_group_of_that_name() -> None:
    layer = keyed("key")
    body = layer._encode(MESSAGE, "chat")
    with pytest.raises(InvalidStoredMessage):
        layer._decode(b"\x02\x04chat" + body[1:], "chat")
    group_body = layer._encode_for_group(MESSAGE, "chat")
    assert layer._decode(group_body, "any!") == MESSAGE
    with pytest.raises(InvalidStoredMessage):
        layer._decode(b"\x02\x04chit" + group_body[6:], "any!")
    with pytest.raises(InvalidStoredMessage):
        layer._decode(b"\x01" + group_body[6:], "chat")


def test_cryptography_is_loaded_where_keys_are_given_only() -> None:
    code = (
        "import sys\n"
        "from channels.layers.sealing import SealedChannelLayer, Sealer\n"
        "assert 'cryptography' not in sys.modules\n"
        "Sealer(['key'])\n"
        "assert 'cryptography' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
