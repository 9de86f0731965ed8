"""Messages through the codec: what goes in, what comes out, what is refused and how."""

import copy
import enum
import math
from collections import OrderedDict, UserList, defaultdict, namedtuple

import pytest
from django.http import QueryDict
from django.utils.functional import lazystr
from django.utils.safestring import SafeString

from channels import codec as public
from channels.exceptions import InvalidStoredMessage, MessageTooLarge

MIB = 1024 * 1024


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
    ids=lambda value: f"{value!a:.40}".partition(" at 0x")[0],  # the same in each process
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


# --- The public module


def test_the_public_module_offers_the_chosen_implementation():
    message = {"a": 1}
    assert public.decode(public.encode(message)) == message
    assert public.unpack_envelope(public.pack_envelope(b"x", 1)).body == b"x"
    assert all(hasattr(public, name) for name in public.__all__)
