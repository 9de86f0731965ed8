"""The grammar of channel and group names."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import names

ALPHABET = string.ascii_letters + string.digits + "._-"
PARTS = st.text(ALPHABET, min_size=1, max_size=60)

VALID = [
    "a",
    "http.request",
    "A-z_0.9",
    "websocket.connect",
    "http.request.body?",
    "http.request.body?abc",
    "daphne.response.x!",
    "daphne.response.x!y",
    "x!-._",
    "-",
    "a" * 200,
    "a" * 100 + "!" + "b" * 99,
]

INVALID = [
    "",
    "!",
    "?",
    "!a",
    "?a",
    "a!b!c",
    "a?b?c",
    "a!b?c",
    "a?b!c",
    "a!!",
    "a b",
    "a\n",
    "\na",
    "a!b\n",
    "a\0",
    "a/b",
    "a*",
    "é",
    "a\u0661",
    "\uff41",
    "a" * 201,
    "a" * 200 + "!",
    b"http.request",
    None,
    5,
    ["a"],
]


@pytest.mark.parametrize("name", VALID)
def test_names_of_the_grammar_are_channel_names(name):
    assert names.is_channel_name(name)
    names.check_channel_name(name)


@pytest.mark.parametrize("name", INVALID, ids=ascii)
def test_anything_else_is_refused_by_name(name):
    assert not names.is_channel_name(name)
    with pytest.raises(TypeError, match="invalid channel name") as caught:
        names.check_channel_name(name)
    assert repr(name) in str(caught.value)


@given(main=PARTS, mark=st.sampled_from(["", "?", "!"]), local=PARTS | st.just(""))
def test_a_name_is_a_main_part_and_perhaps_a_type_with_its_own(main, mark, local):
    name = main + mark + (local if mark else "")
    assert names.is_channel_name(name)


@given(name=st.text(max_size=20))
def test_no_other_character_stands_in_a_name(name):
    if not set(name) <= set(ALPHABET + "?!"):
        assert not names.is_channel_name(name)
        assert not names.is_group_name(name)


@pytest.mark.parametrize("name", ["a", "a!", "a?", "a?b"])
def test_channels_are_received_by_their_queue(name):
    assert names.is_channel_name(name, receive=True)
    names.check_channel_name(name, receive=True)


def test_one_socket_of_a_process_channel_is_not_received_on():
    assert not names.is_channel_name("a!b", receive=True)
    with pytest.raises(TypeError, match=r"cannot receive on 'a!b'.*'a!'"):
        names.check_channel_name("a!b", receive=True)


def test_a_bad_name_stays_a_bad_name_for_receiving():
    with pytest.raises(TypeError, match="invalid channel name 'a b!c'"):
        names.check_channel_name("a b!c", receive=True)


@pytest.mark.parametrize("name", ["a", "room-1", "A._-9", "g" * 200])
def test_names_of_the_grammar_are_group_names(name):
    assert names.is_group_name(name)
    names.check_group_name(name)


@pytest.mark.parametrize("name", ["", "a!", "a?", "a!b", "a b", "a\n", "é", "g" * 201, b"a", None])
def test_any_other_group_name_is_refused_by_name(name):
    assert not names.is_group_name(name)
    with pytest.raises(TypeError, match="invalid group name") as caught:
        names.check_group_name(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("several", [[], ["a"], ("a", "b!"), {"a": 1}.keys(), {"a"}])
def test_several_names_come_in_any_collection(several):
    names.check_channel_names(several, receive=True)


@pytest.mark.parametrize("several", ["http.request", b"http.request", None, 5])
def test_a_bare_name_is_no_list_of_names(several):
    with pytest.raises(TypeError, match="channel names must be a list, not"):
        names.check_channel_names(several)


def test_each_of_several_names_is_checked():
    with pytest.raises(TypeError, match="invalid channel name 'b c'"):
        names.check_channel_names(["a", "b c"])
    with pytest.raises(TypeError, match="cannot receive on 'a!b'"):
        names.check_channel_names(["a!b"], receive=True)


@pytest.mark.parametrize(
    ("name", "queue", "local"),
    [
        ("a", "a", ""),
        ("a?b", "a?b", ""),
        ("a!", "a!", ""),
        ("a!b", "a!", "b"),
    ],
)
def test_a_name_divides_into_queue_and_local_part(name, queue, local):
    assert names.split_name(name) == (queue, local)
    assert names.queue_name(name) == queue
    assert names.is_process_channel(name) is ("!" in name)


def test_random_parts_fit_names_and_never_come_twice():
    parts = {names.random_part() for _ in range(10_000)}
    assert len(parts) == 10_000
    assert all(names.is_channel_name(f"x!{part}") for part in parts)
    assert {len(part) * 4 for part in parts} == {128}  # bits


def test_all_that_is_public_exists():
    assert all(hasattr(names, name) for name in names.__all__)
