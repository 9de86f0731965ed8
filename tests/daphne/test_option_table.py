"""The table of options: complete, consistent, and readable."""

import dataclasses

import pytest

from daphne.option_table import APPLICATION, FIELDS, GROUPS, OPTIONS, Option
from daphne.options import Options

BY_NAME = {option.name: option for option in OPTIONS}

#: The fields that ``--proxy-headers`` sets together.
PROXY_FIELDS = {
    "proxy_forwarded",
    *(f"proxy_forwarded_{part}_header" for part in ("address", "port", "proto", "host")),
}


def test_every_field_of_the_options_can_be_set():
    assert FIELDS == {field.name for field in dataclasses.fields(Options)} - PROXY_FIELDS


def test_no_name_is_given_twice():
    flags = [flag for option in OPTIONS for flag in option.flags]
    assert len(flags) == len(set(flags))
    assert len({option.dest for option in (APPLICATION, *OPTIONS)}) == len(OPTIONS) + 1


def test_names_are_written_with_underscores_and_flags_with_hyphens():
    for option in OPTIONS:
        assert all(name.isidentifier() for name in option.names)
        assert not any("_" in flag for flag in option.flags)


def test_every_option_is_explained():
    assert all(option.help and not option.help.endswith(".") for option in OPTIONS)
    assert all(option.metavar or option.kind.is_flag for option in OPTIONS)


def test_each_is_in_one_group():
    assert sum(map(len, GROUPS.values())) == len(OPTIONS)


def test_an_option_has_its_aliases_as_names():
    option = BY_NAME["websocket_receive_wait"]
    assert option.names == ["websocket_receive_wait", "ws_receive_wait"]
    assert option.flags == ["--websocket-receive-wait", "--ws-receive-wait"]
    assert BY_NAME["port"].names == ["port"] and BY_NAME["port"].flags == ["-p", "--port"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "80", 80),
        ("bind", "::1", "::1"),
        ("http_timeout", "0.5", 0.5),
        ("http_timeout", "2.0", 2),
        ("http_timeout", "none", None),
        ("http_timeout", "-1", None),
        ("websocket_timeout", "-1", -1),
        ("max_body", "10M", 10 * 1024**2),
        ("max_body", "2g", 2 * 1024**3),
        ("max_body", "None", None),
        ("max_headers", "1k", 1024),
        ("proxy_headers", "yes", True),
        ("proxy_headers", "OFF", False),
        ("verbosity", "2", 2),
        ("trusted_proxies", "10.0.0.0/8", "10.0.0.0/8"),
        ("trusted_proxies", "unix", "unix"),
    ],
)
def test_texts_are_read(name, text, value):
    read = BY_NAME[name].read(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("port", "http", "a whole number, 0 or more"),
        ("port", "-1", "a whole number, 0 or more"),
        ("port", "²", "a whole number, 0 or more"),
        ("http_timeout", "soon", "a number, or 'none' for no limit"),
        ("http_timeout", "nan", "a number, or 'none' for no limit"),
        ("shutdown_timeout", "-5", "a number, 0 or more"),
        ("websocket_timeout", "inf", "a number"),
        ("max_headers", "none", "a whole number, 0 or more, such as 1000, 64K or 10M"),
        ("max_body", "M", "a whole number such as 1000, 64K or 10M, or 'none'"),
        ("proxy_headers", "perhaps", "true or false"),
        ("verbosity", "7", "one of 0, 1, 2"),
        ("trusted_proxies", "nonsense", "an address, a network such as 10.0.0.0/8, or 'unix'"),
    ],
)
def test_a_text_that_means_nothing_is_an_error_that_says_what_would(name, text, expected):
    with pytest.raises(ValueError) as caught:
        BY_NAME[name].read(text)
    assert str(caught.value) == f"{text!r} will not do; expected {expected}"


def test_a_text_with_entries_of_a_list():
    assert BY_NAME["trusted_proxies"].entries("10.0.0.0/8, ::1,") == ["10.0.0.0/8", "::1"]
    assert BY_NAME["endpoint"].entries("unix:/a b") == ["unix:/a b"]


def test_a_default_may_differ_from_that_of_the_field():
    assert BY_NAME["websocket_connect_timeout"].default_value == 5
    assert BY_NAME["http_timeout"].default_value == Options().http_timeout
    assert Option("port", BY_NAME["port"].kind, "N", "", default=None).default_value is None
