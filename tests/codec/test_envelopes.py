"""Envelopes: what is packed and unpacked, what is refused and how."""

import enum
from collections import UserList

import pytest
from django.utils.safestring import SafeString

from channels import codec as public
from channels.exceptions import InvalidStoredMessage
from tests.codec.damaged import head


class Milliseconds(enum.IntEnum):
    SOME = 300


def test_an_envelope_comes_back_as_it_went(codec):
    packed = codec.pack_envelope(b"body", 1_790_000_000_123, ["one", "", "t" * 200])
    envelope = codec.unpack_envelope(packed)
    assert envelope == (1_790_000_000_123, ("one", "", "t" * 200), b"body")
    assert isinstance(envelope, public.Envelope)
    assert envelope.deadline_ms == 1_790_000_000_123
    assert envelope.targets == ("one", "", "t" * 200)
    assert envelope.body == b"body"


def test_the_deadline_stands_at_a_fixed_place(codec):
    for targets in ((), ("a",), ("b" * 200,) * 2000):
        packed = codec.pack_envelope(b"", 0x0102030405060708, targets)
        assert packed[0] == public.VERSION
        assert packed[1:9] == bytes(range(1, 9))


def test_targets_may_come_in_any_sequence(codec):
    packed = codec.pack_envelope(b"", 1, ("a", "b"))
    assert codec.pack_envelope(b"", 1, ["a", "b"]) == packed
    assert codec.pack_envelope(b"", 1, UserList(["a", "b"])) == packed
    assert codec.pack_envelope(b"", 1, [SafeString("a"), "b"]) == packed


def test_a_deadline_may_be_a_subclass_of_int(codec):
    assert codec.pack_envelope(b"", Milliseconds.SOME) == codec.pack_envelope(b"", 300)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((b"", -1), ValueError, "a deadline of -1 ms does not fit 64 unsigned bits"),
        ((b"", 2**64), ValueError, "does not fit 64 unsigned bits"),
        ((b"", 1.5), TypeError, "a deadline is an int of milliseconds, not float"),
        (("", 1), TypeError, "the body of an envelope must be bytes, not str"),
        ((bytearray(), 1), TypeError, "the body of an envelope must be bytes, not bytearray"),
        ((b"", 1, "abc"), TypeError, "targets must be a list or tuple of str, not str"),
        ((b"", 1, [b"a"]), TypeError, "a target must be a str, not bytes"),
        ((b"", 1, ["a" * 201]), ValueError, "of at most 200 ASCII characters"),
        ((b"", 1, ["é"]), ValueError, "of at most 200 ASCII characters"),
        ((b"", 1, ["a"] * 2001), ValueError, "2001 targets in one envelope; send at most 2000"),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_an_envelope_out_of_bounds_is_not_packed(codec, arguments, error, text):
    with pytest.raises(error) as caught:
        codec.pack_envelope(*arguments)
    assert text in str(caught.value)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (b"", "an envelope of 0 bytes ends within its head"),
        (head(0)[:10], "an envelope of 10 bytes ends within its head"),
        (head(0, version=2), "an envelope of version 2 was read; this program reads version 1"),
        (b"\x00", "an envelope of version 0 was read"),
        (head(1), "an envelope ends within the target at byte 11"),
        (head(1) + b"\x02a", "an envelope ends within the target at byte 11"),
        (head(2) + b"\x01a", "an envelope ends within the target at byte 13"),
        (head(2001) + bytes(3000), "an envelope announces 2001 targets"),
        (head(65535), "an envelope announces 65535 targets"),
        (head(1) + b"\xc9" + b"a" * 201, "the target at byte 11 is not of at most 200 ASCII"),
        (head(1) + b"\x02\xc3\xa9", "the target at byte 11 is not of at most 200 ASCII"),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_stored_bytes_that_are_no_envelope_are_refused(codec, stored, text):
    with pytest.raises(InvalidStoredMessage) as caught:
        codec.unpack_envelope(stored)
    assert text in str(caught.value)


def test_the_body_of_an_envelope_is_not_looked_at(codec):
    assert codec.unpack_envelope(head(0) + b"\xc1\xc1").body == b"\xc1\xc1"
