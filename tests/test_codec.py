"""The codec, in both its forms: what goes in, what comes out, what is refused and how."""

import copy
import enum
import gc
import json
import math
import re
import struct
import sys
import tracemalloc
from collections import OrderedDict, UserList, defaultdict, namedtuple
from pathlib import Path

import pytest
from django.http import QueryDict
from django.utils.functional import lazystr
from django.utils.safestring import SafeString

from channels import codec as public
from channels.exceptions import InvalidStoredMessage, MessageTooLarge
from tests.golden.messages import ENVELOPES, MESSAGES
from tests.golden.write import FOLDER, in_lines
from tests.implementations import find_implementations

MIB = 1024 * 1024


@pytest.fixture(scope="session", params=find_implementations("codec"), ids=str)
def codec(request):
    return request.param.imported_module


def nested(levels):
    """A message of ``levels`` containers in one another."""
    value = []
    for _ in range(levels - 2):
        value = [value]
    return {"a": value}


# --- What messages hold


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        0.1,
        -0.0,
        1.7976931348623157e308,
        5e-324,
        float("inf"),
        float("-inf"),
        "",
        "NUL \0 inside",
        "\U0001f600 emoji, 漢字, ü",
        "x" * MIB,
        b"",
        bytes(range(256)),
        b"\xff" * MIB,
        [],
        {},
        [[], {}, [{}]],
        {"nested": {"deeper": [1, {"deepest": None}]}},
        {"": "an empty key", "ключ": 1},
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_every_type_comes_back_as_it_went(codec, value):
    decoded = codec.decode(codec.encode({"value": value}))["value"]
    assert decoded == value
    assert type(decoded) is type(value)


def test_a_zero_keeps_its_sign(codec):
    assert math.copysign(1, codec.decode(codec.encode({"a": -0.0}))["a"]) == -1


def test_not_a_number_is_a_double_like_others(codec):
    assert math.isnan(codec.decode(codec.encode({"a": math.nan}))["a"])


def test_a_float_stays_a_float(codec):
    decoded = codec.decode(codec.encode({"a": 1.0}))["a"]
    assert type(decoded) is float


def test_a_bool_is_no_int_and_an_int_no_bool(codec):
    decoded = codec.decode(codec.encode({"a": [True, 1, False, 0]}))["a"]
    assert [type(value) for value in decoded] == [bool, int, bool, int]


def test_tuples_become_lists(codec):
    assert codec.decode(codec.encode({"a": ((1, 2), ())})) == {"a": [[1, 2], []]}


def test_keys_keep_their_order(codec):
    message = {"z": 1, "a": 2, "m": {"y": 3, "b": 4}}
    decoded = codec.decode(codec.encode(message))
    assert list(decoded) == ["z", "a", "m"]
    assert list(decoded["m"]) == ["y", "b"]


def test_the_message_is_neither_changed_nor_shared(codec):
    message = {"a": [1, {"b": "c"}], "d": (1,)}
    before = copy.deepcopy(message)
    decoded = codec.decode(codec.encode(message))
    decoded["a"][1]["b"] = "changed"
    assert message == before


def test_a_value_that_stands_twice_is_written_twice(codec):
    shared = [1]
    decoded = codec.decode(codec.encode({"a": shared, "b": shared}))
    assert decoded["a"] == decoded["b"]
    assert decoded["a"] is not decoded["b"]


class Color(enum.IntEnum):
    RED = 300


class Word(enum.StrEnum):
    HELLO = "hello"


class Bytes(bytes):
    """Claims to be something else, where it is asked."""

    def __bytes__(self):
        return b"other"

    def __len__(self):
        return 10**9


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "other"

    def __len__(self):
        return 10**9

    def isascii(self):
        return True


class Float(float):
    __slots__ = ()

    def __float__(self):
        return 2.0


Pair = namedtuple("Pair", "first second")


class Errors(UserList, list):
    """Keeps its items elsewhere than in the list that it is, as Django's ErrorList does."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (SafeString("<b>"), "<b>"),
        (Text("text"), "text"),
        (Text("é"), "é"),
        (Word.HELLO, "hello"),
        (Color.RED, 300),
        (Bytes(b"raw"), b"raw"),
        (Float(1.5), 1.5),
        (Pair(1, "a"), [1, "a"]),
        (Errors(["one"]), ["one"]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, {"a": [1]}), {"a": [1]}),
        (QueryDict("a=1&a=2&b=3"), {"a": "2", "b": "3"}),
        ({SafeString("key"): 1}, {"key": 1}),
        ({Word.HELLO: [Color.RED]}, {"hello": [300]}),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_subclasses_count_as_the_type_they_are_of(codec, value, plain):
    assert codec.decode(codec.encode({"a": value})) == {"a": plain}
    assert codec.encode({"a": value}) == codec.encode({"a": plain})


def test_a_message_may_be_a_subclass_of_dict(codec):
    assert codec.decode(codec.encode(OrderedDict(a=1))) == {"a": 1}


# --- What is refused


class Foreign:
    pass


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"a": {1}}, "message['a'] is of type set; convert it to one of dict,"),
        ({"a": [0, {"b": Foreign()}]}, "message['a'][1]['b'] is of type Foreign"),
        ({"a": bytearray(b"x")}, "message['a'] is of type bytearray"),
        ({"a": memoryview(b"x")}, "message['a'] is of type memoryview"),
        ({"a": 1j}, "message['a'] is of type complex"),
        ({"a": lazystr("x")}, "message['a'] is of type __proxy__"),
        ({"a": 2**63}, "message['a'] is an int outside of the signed 64-bit range"),
        ({"a": -(2**63) - 1}, "message['a'] is an int outside"),
        ({"a": (1, 2**64)}, "message['a'][1] is an int outside"),
        ({"a": "\ud800"}, "message['a'] holds a lone surrogate"),
        ({"a": Text("\udfff")}, "message['a'] holds a lone surrogate"),
        ({"\udc00": 1}, "message['\\udc00'] holds a lone surrogate"),
        ({1: "a"}, "message has the key 1 of type int; keys must be str"),
        ({b"a": 1}, "message has the key b'a' of type bytes; keys must be str"),
        ({"a": [{None: 1}]}, "message['a'][0] has the key None of type NoneType"),
        ({"a": {(): 1}}, "message['a'] has the key () of type tuple"),
        ([], "a message must be a dict, not list"),
        (None, "a message must be a dict, not NoneType"),
        ([("a", 1)], "a message must be a dict, not list"),
        ({"k" * 100: {1}}, "message['" + "k" * 59 + "] is of type set"),
    ],
    ids=lambda value: f"{value!a:.40}",
)
def test_a_refusal_names_the_path_and_the_reason(codec, message, text):
    with pytest.raises(TypeError) as caught:
        codec.encode(message)
    assert str(caught.value).startswith(text)


def test_the_deepest_message_makes_the_round_trip(codec):
    message = nested(public.MAX_DEPTH)
    assert codec.decode(codec.encode(message)) == message


def test_a_deeper_message_is_refused_on_both_ways(codec):
    with pytest.raises(TypeError, match=r"message\['a'\]\[0\].*is nested deeper than 128 levels"):
        codec.encode(nested(public.MAX_DEPTH + 1))
    stored = b"\x81\xa1a" + b"\x91" * (public.MAX_DEPTH - 1) + b"\x90"
    with pytest.raises(InvalidStoredMessage, match="nested deeper than 128 levels"):
        codec.decode(stored)


def test_a_message_that_contains_itself_is_refused(codec):
    message = {"a": []}
    message["a"].append(message)
    with pytest.raises(TypeError, match="nested deeper"):
        codec.encode(message)


def test_a_list_that_doubles_at_each_level_is_refused_before_it_unfolds(codec):
    value = [1]
    for _ in range(100):
        value = [value, value]
    with pytest.raises(MessageTooLarge, match="more than 1048576 values"):
        codec.encode({"a": value})


def test_an_exception_from_the_items_of_a_subclass_passes_through(codec):
    class Failing(dict):
        def items(self):
            raise LookupError("no items today")

    with pytest.raises(LookupError, match="no items today"):
        codec.encode({"a": Failing(b=1)})


def test_an_exception_in_the_middle_of_a_subclass_passes_through(codec):
    class Failing(list):
        def __iter__(self):
            yield 1
            raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        codec.encode({"a": Failing([1, 2, 3])})


def test_a_subclass_that_changes_the_message_while_it_is_read_does_no_harm(codec):
    message = {"a": 1}

    class Meddling(dict):
        def items(self):
            message.clear()
            message.update({str(n): [n] for n in range(100)})
            return super().items()

    message["b"] = Meddling(c=1)
    message["d"] = "x" * 100
    # The first look finds the original entries; whatever comes out is a whole message.
    assert isinstance(codec.decode(codec.encode(message)), dict)


# --- Sizes


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


# --- Stored bytes


REFUSED = {
    "nothing": (b"", "at byte 0, they end before the map"),
    "a list": (b"\x90", "at byte 0, something other than a map begins"),
    "text": (b"hello", "at byte 0, something other than a map begins"),
    "a pickle": (b"\x80\x04\x95", "at byte 1, more follows after the end"),
    "trailing bytes": (b"\x80\x80", "at byte 1, more follows after the end"),
    "no value": (b"\x81\xa1a", "at byte 3, they end before a value"),
    "half a map header": (b"\xde\x00", "at byte 0, a value is cut off"),
    "half a list header": (b"\x81\xa1a\xdd\x00\x00\x00", "at byte 3, a value is cut off"),
    "half a string": (b"\x81\xa1a\xa3ab", "at byte 3, a value is cut off"),
    "half a string header": (b"\x81\xa1a\xd9", "at byte 3, a value is cut off"),
    "half a key": (b"\x81\xa3ab", "at byte 1, a value is cut off"),
    "half bytes": (b"\x81\xa1a\xc4\x05abcd", "at byte 3, a value is cut off"),
    "half an int": (b"\x81\xa1a\xcd\x00", "at byte 3, a value is cut off"),
    "half a double": (b"\x81\xa1a\xcb\x00\x00\x00", "at byte 3, a value is cut off"),
    "4 GiB of text": (b"\x81\xa1a\xdb\xff\xff\xff\xff", "at byte 3, a value is cut off"),
    "4 GiB of bytes": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "at byte 3, a value is cut off"),
    "2^32 items": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "at byte 3, a container announces more"),
    "2^32 entries": (b"\xdf\xff\xff\xff\xff", "at byte 0, a container announces more"),
    "an int key": (b"\x81\x01\x01", "at byte 1, a key is no string"),
    "a bytes key": (b"\x81\xc4\x01a\x01", "at byte 1, a key is no string"),
    "a list as key": (b"\x81\x90\x01", "at byte 1, a key is no string"),
    "a repeated key": (b"\x82\xa1a\x01\xa1a\x02", "at byte 0, a map repeats a key"),
    "the unused type": (b"\x81\xa1a\xc1", "at byte 3, a value has the type 0xc1"),
    "an extension": (b"\x81\xa1a\xd4\x05x", "at byte 3, a value has the type 0xd4"),
    "a timestamp": (b"\x81\xa1a\xd6\xff\0\0\0\0", "at byte 3, a value has the type 0xd6"),
    "a long extension": (b"\x81\xa1a\xc7\x01\x05x", "at byte 3, a value has the type 0xc7"),
    "an int of 64 bits": (b"\x81\xa1a\xcf" + b"\xff" * 8, "at byte 3, an integer is outside"),
    "the int 2^63": (b"\x81\xa1a\xcf\x80" + b"\0" * 7, "at byte 3, an integer is outside"),
    "bad UTF-8": (b"\x81\xa1a\xa1\xff", "at byte 3, a string is not UTF-8"),
    "a coded surrogate": (b"\x81\xa1a\xa3\xed\xa0\x80", "at byte 3, a string is not UTF-8"),
    "an overlong slash": (b"\x81\xa1a\xa2\xc0\xaf", "at byte 3, a string is not UTF-8"),
    "a key of bad UTF-8": (b"\x81\xa1\xff\x01", "at byte 1, a string is not UTF-8"),
}


@pytest.mark.parametrize(("stored", "reason"), REFUSED.values(), ids=REFUSED)
def test_stored_bytes_that_are_no_message_are_refused(codec, stored, reason):
    with pytest.raises(InvalidStoredMessage) as caught:
        codec.decode(stored)
    assert str(caught.value).startswith(f"the stored bytes are no message: {reason}")
    assert caught.value.__cause__ is None


def test_every_cut_of_a_message_is_refused(codec):
    stored = codec.encode(MESSAGES["http.request"])
    for size in range(len(stored)):
        with pytest.raises(InvalidStoredMessage):
            codec.decode(stored[:size])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"\x81\xa1a\xcf\x00\x00\x00\x00\x00\x00\x00\x01", {"a": 1}),
        (b"\x81\xa1a\xd0\x01", {"a": 1}),
        (b"\x81\xa1a\xd3\xff\xff\xff\xff\xff\xff\xff\xff", {"a": -1}),
        (b"\x81\xa1a\xd1\x00\x01", {"a": 1}),
        (b"\x81\xa1a\xd2\x80\x00\x00\x00", {"a": -(2**31)}),
        (b"\x81\xa1a\xca\x3f\xc0\x00\x00", {"a": 1.5}),
        (b"\x81\xd9\x01a\xda\x00\x01b", {"a": "b"}),
        (b"\x81\xdb\x00\x00\x00\x01a\xc6\x00\x00\x00\x01b", {"a": b"b"}),
        (b"\xde\x00\x01\xa1a\xdc\x00\x01\xc0", {"a": [None]}),
        (b"\xdf\x00\x00\x00\x01\xa1a\xdd\x00\x00\x00\x00", {"a": []}),
        (b"\x81\xa1a\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", {"a": 2**63 - 1}),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_other_writers_may_use_longer_forms(codec, stored, message):
    assert codec.decode(stored) == message


@pytest.mark.parametrize("form", [bytearray, memoryview], ids=lambda form: form.__name__)
def test_any_buffer_is_decoded(codec, form):
    assert codec.decode(form(b"\x81\xa1a\x01")) == {"a": 1}
    packed = codec.pack_envelope(b"\x80", 7, ["x"])
    assert codec.unpack_envelope(form(packed)) == (7, ("x",), b"\x80")


@pytest.mark.parametrize("data", ["text", None, 5, {}], ids=repr)
def test_what_has_no_buffer_is_a_type_error(codec, data):
    with pytest.raises(TypeError, match="bytes-like"):
        codec.decode(data)
    with pytest.raises(TypeError, match="bytes-like"):
        codec.unpack_envelope(data)


# --- Envelopes


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
    assert codec.pack_envelope(b"", Color.RED) == codec.pack_envelope(b"", 300)


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


def head(count, version=public.VERSION):
    return struct.pack(">BQH", version, 5, count)


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


# --- Bytes that stay


def in_folder(kind, name):
    return (FOLDER / kind / f"{name}.hex").read_text(encoding="ascii")


@pytest.mark.parametrize("name", MESSAGES)
def test_stored_messages_keep_their_bytes(codec, name):
    encoded = codec.encode(MESSAGES[name])
    assert in_lines(encoded) == in_folder("messages", name), "new bytes need a new VERSION"
    assert codec.encode(codec.decode(encoded)) == encoded


@pytest.mark.parametrize("name", ENVELOPES)
def test_stored_envelopes_keep_their_bytes(codec, name):
    body, deadline_ms, targets = ENVELOPES[name]
    packed = codec.pack_envelope(body, deadline_ms, targets)
    assert in_lines(packed) == in_folder("envelopes", name), "new bytes need a new VERSION"
    assert codec.unpack_envelope(packed) == (deadline_ms, targets, body)


def test_every_golden_file_is_looked_at():
    stored = {path.relative_to(FOLDER) for path in FOLDER.rglob("*.hex")}
    known = {Path("messages") / f"{name}.hex" for name in MESSAGES}
    known |= {Path("envelopes") / f"{name}.hex" for name in ENVELOPES}
    assert stored == known


def test_the_example_in_the_documentation_holds():
    page = (FOLDER.parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
    namespace = {}
    exec(page.partition("```python\n")[2].partition("```")[0], namespace)
    dump = re.search(r"```\n(01 +version 1\n.*?)```", page, re.DOTALL)[1]
    pairs = [re.match(r"(?:[0-9a-f]{2} )*[0-9a-f]{2}\b", line)[0] for line in dump.splitlines()]
    assert bytes.fromhex("".join(pairs)) == namespace["stored"]


# --- Memory


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


def test_nothing_is_leaked(codec):
    for _ in range(20):
        exercise(codec)
    gc.collect()
    before = sys.getallocatedblocks()
    tracemalloc.start()
    try:
        for _ in range(100):
            exercise(codec)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 32 * 1024
    assert sys.getallocatedblocks() - before < 200


def test_constants_keep_their_reference_counts(codec):
    stored = codec.encode({"a": [None, True, False, 1, "", b""] * 1000})
    before = [sys.getrefcount(value) for value in (None, True, False)]
    for _ in range(10):
        codec.decode(stored)
        codec.encode({"a": [None, True, False] * 1000})
    after = [sys.getrefcount(value) for value in (None, True, False)]
    assert all(abs(a - b) < 500 for a, b in zip(after, before, strict=True))


# --- The public module


def test_the_public_module_offers_the_chosen_implementation():
    message = {"a": 1}
    assert public.decode(public.encode(message)) == message
    assert public.unpack_envelope(public.pack_envelope(b"x", 1)).body == b"x"
    assert all(hasattr(public, name) for name in public.__all__)
