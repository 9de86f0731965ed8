"""What the codec reserves for bytes that promise too much, and that it keeps nothing."""

import gc
import struct
import sys
import tracemalloc
from collections import OrderedDict

import pytest

from channels.exceptions import InvalidStoredMessage, MessageTooLarge
from tests.codec.damaged import REFUSED, head
from tests.golden.messages import MESSAGES

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "stored",
    [
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xdb\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\x7f\xff\xff\xff",
        b"\x81\xa1a" + b"\xdd\x00\x0f\xff\xff" * 100,
        b"\x81\xa1a" + b"\x91\xdf\x00\x07\xff\xff\xa1b" * 20,
    ],
    ids=lambda stored: f"{stored[:10]!r}",
)
def test_announced_lengths_reserve_no_memory(codec, stored):
    with pytest.raises(InvalidStoredMessage):  # what is imported or cached on first use
        codec.decode(stored)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidStoredMessage):
            codec.decode(stored)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * 1024


def test_decoding_four_mebibytes_of_containers_stays_within_bounds(codec):
    stored = b"\x81\xa1a\xdd" + struct.pack(">I", 4 * MIB) + b"\x80" * (4 * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidStoredMessage):
            codec.decode(stored)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB


#: How often a leak would be repeated.
ROUNDS = 50


def exercise(codec):
    """Every way through the codec once, those that fail included."""
    for message in (
        MESSAGES["http.request"],
        {"a": OrderedDict(b=(1, 2.5))},
        {"é" * 20: "ü" * 5000},
    ):
        packed = codec.pack_envelope(codec.encode(message), 5, ["a", "b"])
        codec.decode(codec.unpack_envelope(packed).body)
    for wrong in ({"a": [1, {2}]}, {"a": 2**70}, {"\ud800": 1}, {"a": "x" * 9000 + "\ud800"}):
        with pytest.raises(TypeError):
            codec.encode(wrong)
    with pytest.raises(MessageTooLarge):
        codec.encode({"a": ["x" * 3000] * 10}, 9000)
    for stored, _ in REFUSED.values():
        with pytest.raises(InvalidStoredMessage):
            codec.decode(stored)
        with pytest.raises(InvalidStoredMessage):
            codec.unpack_envelope(head(2) + b"\x01a\xff" + stored)


def left_behind(codec):
    """The blocks and the bytes that are kept after ``ROUNDS`` times through the codec."""
    gc.collect()
    before = sys.getallocatedblocks()
    tracemalloc.start()
    try:
        for _ in range(ROUNDS):
            exercise(codec)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return sys.getallocatedblocks() - before, kept


def test_nothing_is_leaked(codec):
    for _ in range(20):
        exercise(codec)
    # Threads that other tests have left behind take memory now and then; a leak takes it each time.
    blocks, kept = min(left_behind(codec) for _ in range(3))
    assert blocks < ROUNDS  # not one of each round
    assert kept < 16 * 1024


def test_constants_keep_their_reference_counts(codec):
    stored = codec.encode({"a": [None, True, False, 1, "", b""] * 1000})
    before = [sys.getrefcount(value) for value in (None, True, False)]
    for _ in range(10):
        codec.decode(stored)
        codec.encode({"a": [None, True, False] * 1000})
    after = [sys.getrefcount(value) for value in (None, True, False)]
    assert all(abs(a - b) < 500 for a, b in zip(after, before, strict=True))
