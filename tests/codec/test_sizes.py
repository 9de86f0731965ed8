"""How large messages may be, in bytes and in values."""

import json
import struct

import pytest

from channels import codec as public
from channels.exceptions import InvalidStoredMessage, MessageTooLarge

MIB = 1024 * 1024


def test_a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not(codec):
    size = len(codec.encode({"a": b"x" * 1000}))
    assert codec.encode({"a": b"x" * 1000}, size)
    with pytest.raises(MessageTooLarge, match=f"more than {size - 1} bytes"):
        codec.encode({"a": b"x" * 1000}, size - 1)


@pytest.mark.parametrize("size", [*range(4080, 4110), 65_500, 65_536, 200_000])
def test_messages_around_the_sizes_of_buffers_are_whole(codec, size):
    for message in ({"a": b"x" * size}, {"a": ["é"] * (size // 3)}, {"a": [size] * (size // 3)}):
        encoded = codec.encode(message)
        assert codec.decode(encoded) == message
        assert codec.encode(message, len(encoded)) == encoded
        with pytest.raises(MessageTooLarge):
            codec.encode(message, len(encoded) - 1)


def test_the_default_limit_is_four_mebibytes(codec):
    assert public.DEFAULT_LIMIT == 4 * MIB
    codec.encode({"a": b"x" * (4 * MIB - 8)})
    with pytest.raises(MessageTooLarge):
        codec.encode({"a": b"x" * (4 * MIB)})


def test_no_limit_goes_beyond_what_is_decoded(codec):
    largest = {"a": b"x" * (public.MAX_SIZE - 8)}
    assert len(codec.encode(largest, 10**30)) == public.MAX_SIZE
    with pytest.raises(MessageTooLarge):
        codec.encode({"a": b"x" * (public.MAX_SIZE - 7)}, 10**30)


def test_a_body_chunk_of_one_mebibyte_passes_with_its_keys(codec):
    chunk = {"content": b"\xff" * MIB, "more_content": True, "closed": False}
    assert codec.decode(codec.encode(chunk)) == chunk


@pytest.mark.parametrize(
    "item",
    [0, 0.5, 1e22, "", "é", None, [], {}, {"": 0}, 10**18, -(10**17), "x" * 40],
    ids=repr,
)
def test_whatever_fits_one_mebibyte_of_json_passes(codec, item):
    width = len(json.dumps(item, separators=(",", ":"))) + 1
    message = {"a": [item] * ((MIB - 8) // width)}
    assert MIB - 100 < len(json.dumps(message, separators=(",", ":"))) <= MIB
    assert codec.decode(codec.encode(message)) == message


def test_one_mebibyte_of_json_in_many_short_keys_passes(codec):
    message = {f"{n:x}": 0 for n in range(MIB // 10)}
    assert codec.decode(codec.encode(message)) == message


def test_the_number_of_values_is_capped_on_both_ways(codec):
    most = {"a": [None] * (public.MAX_VALUES - 2)}
    stored = codec.encode(most)
    assert len(codec.decode(stored)["a"]) == public.MAX_VALUES - 2
    with pytest.raises(MessageTooLarge, match="values"):
        codec.encode({"a": [None] * (public.MAX_VALUES - 1)})
    count = struct.pack(">I", public.MAX_VALUES - 1)
    with pytest.raises(InvalidStoredMessage, match="over 1048576 values"):
        codec.decode(b"\x81\xa1a\xdd" + count + b"\xc0" * (public.MAX_VALUES - 1))
