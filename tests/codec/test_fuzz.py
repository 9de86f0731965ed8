"""Random and mutated bytes through the decoders: a million where slow tests are run.

A plain loop over a seeded generator: hypothesis is too slow for such numbers. A failure names the
seed and the bytes; ``CHANNELS_FUZZ_SEED`` repeats a run.
"""

import os
import random
import secrets

import pytest

from channels._speedups import codec_fallback
from channels.exceptions import InvalidStoredMessage
from tests.golden.messages import ENVELOPES, MESSAGES
from tests.implementations import built, find_implementations

IMPLEMENTATIONS = {twin.tag: twin.imported_module for twin in find_implementations("codec")}

pytestmark = pytest.mark.compiled_only  # which has both forms

needs_compiled = pytest.mark.skipif(
    not built("codec"), reason="the compiled codec is not built here"
)

SEED = int(os.environ.get("CHANNELS_FUZZ_SEED") or secrets.randbits(32))

#: Inputs of a normal run: a million takes longer than it has for one test.
INPUTS = 100_000

#: Bytes that mean something: every kind of header, and lengths that promise too much.
HEADERS = [bytes([tag]) for tag in range(0x80, 0x100)] + [
    b"\xdd\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xdf\x7f\xff\xff\xff",
    b"\xdb\x80\x00\x00\x00",
    b"\xc6\x00\x10\x00\x00",
    b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\x81\xa1a",
    b"\x91" * 130,
    b"\xa3\xed\xa0\x80",
]

SOURCES = [
    encoded for encoded in map(codec_fallback.encode, MESSAGES.values()) if len(encoded) < 1000
] + [codec_fallback.encode({"a": {"b": [{"c": [1, -1, 2.5, "é", b"x", None, True]}] * 3}})]


def random_bytes(random_):
    """Bytes that are likely to be a map at least at their first byte."""
    return bytes([0x80 + random_.getrandbits(2)]) + random_.randbytes(random_.randrange(40))


def mutated(random_, sources):
    """A stored value with up to three of its parts changed, cut out or put elsewhere."""
    data = bytearray(random_.choice(sources))
    for _ in range(random_.randrange(1, 4)):
        place = random_.randrange(len(data) + 1)
        kind = random_.getrandbits(2)
        if kind == 0 and place < len(data):
            data[place] = random_.getrandbits(8)
        elif kind == 1:
            data[place : place + random_.randrange(2)] = random_.choice(HEADERS)
        elif kind == 2:
            del data[place : place + random_.randrange(1, 8)]
        else:
            data[place:place] = data[: random_.randrange(30)]
    return bytes(data)


def inputs(count, sources=SOURCES):
    random_ = random.Random(SEED)
    for number in range(count):
        yield random_bytes(random_) if number % 4 == 0 else mutated(random_, sources)


def run(decode, count):
    """The number of inputs that were decoded; every other one must be refused as documented."""
    accepted = 0
    for data in inputs(count):
        try:
            message = decode(data)
        except InvalidStoredMessage:
            continue
        except Exception as error:
            raise AssertionError(f"seed {SEED}: {data!r} raised {error!r}") from error
        assert type(message) is dict, f"seed {SEED}: {data!r}"
        accepted += 1
    return accepted


#: How many inputs a decoder gets.
COUNTS = pytest.mark.parametrize(
    "count", [INPUTS, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)


@needs_compiled
@COUNTS
def test_any_bytes_are_decoded_or_refused_by_the_compiled_decoder(count):
    accepted = run(IMPLEMENTATIONS["compiled"].decode, count)
    assert 0 < accepted < count  # so both ways were met


@COUNTS
def test_any_bytes_are_decoded_or_refused_by_the_fallback(count):
    assert 0 < run(codec_fallback.decode, count) < count


@needs_compiled
def test_both_forms_accept_the_same_bytes(monkeypatch):
    compiled, reference = IMPLEMENTATIONS["compiled"].decode, codec_fallback.decode

    def refuse(data):
        raise InvalidStoredMessage("left to the fallback")

    monkeypatch.setattr(codec_fallback, "decode", refuse)
    for data in inputs(INPUTS):
        try:
            expected = reference(data)
        except InvalidStoredMessage:
            with pytest.raises(InvalidStoredMessage, match="left to the fallback"):
                compiled(data)
        else:
            decoded = compiled(data)
            assert codec_fallback.encode(decoded) == codec_fallback.encode(expected), data


@pytest.mark.parametrize("tag", IMPLEMENTATIONS)
def test_any_bytes_are_unpacked_or_refused(tag):
    unpack = IMPLEMENTATIONS[tag].unpack_envelope
    envelopes = [
        codec_fallback.pack_envelope(body, deadline_ms, targets[:20])
        for body, deadline_ms, targets in ENVELOPES.values()
    ]
    accepted = 0
    for data in inputs(INPUTS, envelopes):
        try:
            envelope = unpack(data)
        except InvalidStoredMessage:
            continue
        assert codec_fallback.pack_envelope(envelope.body, *envelope[:2]) == data
        accepted += 1
    assert 0 < accepted < INPUTS
