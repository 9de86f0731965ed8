"""The codec over generated messages and bytes: the round trip, and that its two forms agree."""

import math
from dataclasses import dataclass

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels._speedups import codec_fallback
from channels.codec import Envelope
from channels.exceptions import InvalidStoredMessage, MessageTooLarge
from tests.golden.messages import ENVELOPES, MESSAGES
from tests.implementations import built, find_implementations

IMPLEMENTATIONS = {twin.tag: twin.imported_module for twin in find_implementations("codec")}

#: What may come out of the codec instead of a result.
ERRORS = (TypeError, ValueError, MessageTooLarge, InvalidStoredMessage)

pytestmark = pytest.mark.compiled_only  # which has both forms

both_forms = pytest.mark.skipif(not built("codec"), reason="the compiled codec is not built here")

texts = st.text() | st.text(alphabet=st.characters(max_codepoint=127), max_size=300)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-(2**17), 2**17)
    | st.floats()
    | texts
    | st.binary(max_size=300)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(texts, inner)
        | st.lists(st.integers(0, 3), min_size=14, max_size=18)
    ),
    max_leaves=20,
)
messages = st.dictionaries(texts, values)

foreign = (
    st.integers()
    | st.sets(st.integers(), max_size=2)
    | st.complex_numbers()
    | st.binary(max_size=3).map(bytearray)
    | st.text(st.characters(), max_size=3)
    | st.dates()
    | st.decimals()
)
doubtful_messages = st.dictionaries(
    texts | st.text(st.characters()) | st.integers(),
    st.recursive(
        scalars | foreign,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(texts | st.integers() | st.none(), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@dataclass(frozen=True)
class Mutation:
    """A change of stored bytes: ``length`` of them, from ``start`` on, give way to ``insert``."""

    start: int
    length: int
    insert: bytes

    def of(self, data: bytes) -> bytes:
        start = self.start % (len(data) + 1)
        return data[:start] + self.insert + data[start + self.length :]


mutations = st.builds(
    Mutation, st.integers(0, 10_000), st.integers(0, 3), st.binary(min_size=0, max_size=6)
)


def plain(value):
    """``value`` as it is to come back: tuples as lists, NaN as something equal to itself."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def typed(value):
    """``value`` with the types of its scalars, so that True differs from 1 and 0.0 from 0."""
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


def outcome(function, *arguments):
    """What a call led to: its result, or the type and text of its error."""
    try:
        return "result", function(*arguments)
    except ERRORS as error:
        return type(error), str(error)


@given(message=messages)
def test_every_valid_message_makes_the_round_trip(message):
    expected = typed(plain(message))
    for codec in IMPLEMENTATIONS.values():
        encoded = codec.encode(message)
        assert encoded == codec_fallback.encode(message)
        assert typed(plain(codec.decode(encoded))) == expected
        assert typed(plain(msgpack.unpackb(encoded))) == expected  # so reads any reader of msgpack
        assert typed(plain(message)) == expected  # which is as it was


@pytest.mark.parametrize("tag", IMPLEMENTATIONS)
@given(
    body=st.binary(max_size=100),
    deadline_ms=st.integers(0, 2**64 - 1),
    targets=st.lists(st.text(st.characters(max_codepoint=127), max_size=200)),
)
def test_every_envelope_makes_the_round_trip(tag, body, deadline_ms, targets):
    codec = IMPLEMENTATIONS[tag]
    packed = codec.pack_envelope(body, deadline_ms, targets)
    assert codec.unpack_envelope(packed) == Envelope(deadline_ms, tuple(targets), body)


@both_forms
@given(message=doubtful_messages, limit=st.integers(-1, 200) | st.just(2**70))
@example(message={"a": 2**63}, limit=200)
@example(message={"a": "\ud800"}, limit=2)
def test_both_forms_refuse_the_same_messages_in_the_same_words(message, limit):
    fallback, compiled = (
        outcome(codec.encode, message, limit) for codec in IMPLEMENTATIONS.values()
    )
    assert compiled == fallback


def assert_same_decoding(data):
    fallback, compiled = (outcome(codec.decode, data) for codec in IMPLEMENTATIONS.values())
    assert compiled[0] == fallback[0]
    assert typed(plain(compiled[1])) == typed(plain(fallback[1]))


@both_forms
@settings(max_examples=2000)
@given(data=st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: b"\x82\xa1a" + data))
def test_both_forms_decode_any_bytes_alike(data):
    assert_same_decoding(data)


@both_forms
@given(message=messages, changes=st.lists(mutations, min_size=1, max_size=3))
def test_both_forms_decode_damaged_messages_alike(message, changes):
    data = codec_fallback.encode(message)
    for change in changes:
        data = change.of(data)
    assert_same_decoding(data)


@both_forms
@settings(max_examples=2000)
@given(data=st.binary(max_size=40), change=mutations)
def test_both_forms_unpack_any_envelope_alike(data, change):
    for stored in (data, change.of(codec_fallback.pack_envelope(data, 5, ("one", "two")))):
        fallback, compiled = (
            outcome(codec.unpack_envelope, stored) for codec in IMPLEMENTATIONS.values()
        )
        assert compiled == fallback


@both_forms
@given(
    body=st.binary(max_size=9) | st.none(),
    deadline_ms=st.integers() | st.floats(),
    targets=st.lists(st.text(max_size=3) | st.text(min_size=190, max_size=210) | st.none())
    | st.text(max_size=3),
)
def test_both_forms_pack_any_envelope_alike(body, deadline_ms, targets):
    fallback, compiled = (
        outcome(codec.pack_envelope, body, deadline_ms, targets)
        for codec in IMPLEMENTATIONS.values()
    )
    assert compiled == fallback


@both_forms
def test_the_compiled_form_does_all_that_is_valid_itself(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("the fallback was asked for something valid")

    for name in ("encode", "decode", "pack_envelope", "unpack_envelope"):
        monkeypatch.setattr(codec_fallback, name, refuse)
    compiled = IMPLEMENTATIONS["compiled"]
    for message in MESSAGES.values():
        assert plain(compiled.decode(compiled.encode(message))) == plain(message)
    for body, deadline_ms, targets in ENVELOPES.values():
        packed = compiled.pack_envelope(body, deadline_ms, targets)
        assert compiled.unpack_envelope(packed) == (deadline_ms, targets, body)
