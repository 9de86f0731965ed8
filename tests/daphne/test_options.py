"""The options object: frozen, complete, and each option explained where it is defined."""

import dataclasses
import inspect
import re

import pytest

from daphne.options import Options, in_short

SOURCE = inspect.getsource(Options)


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().http_timeout = 5  # type: ignore[misc]


def test_options_are_given_by_name():
    with pytest.raises(TypeError):
        Options("server")  # type: ignore[misc]


def test_an_unknown_option_is_an_error_that_names_it():
    with pytest.raises(TypeError, match="no_such_option"):
        Options(no_such_option=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Options)])
def test_every_option_says_what_it_is(name):
    assert re.search(rf"#: .*\n    {name}:", SOURCE)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("http_timeout", 120),
        ("ping_interval", 20),
        ("ping_timeout", 30),
        ("root_path", ""),
        ("max_headers", 128),
        ("header_line_limit", 8192),
        ("header_total_limit", 65536),
        ("header_timeout", 10),
        ("websocket_max_frame", 1024 * 1024),
        ("websocket_max_message", 1024 * 1024),
        ("websocket_receive_wait", 5),
        ("websocket_write_limit", 4 * 1024 * 1024),
        ("websocket_slow_consumer", "close"),
        ("websocket_message_rate", 1000),
        ("websocket_byte_rate", 16 * 1024 * 1024),
    ],
)
def test_documented_defaults(name, default):
    assert getattr(Options(), name) == default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shutdown_timeout", -5),
        ("http_timeout", -1),
        ("http_timeout", float("inf")),
        ("ping_interval", float("nan")),
        ("header_timeout", "10"),
        ("half_close_grace", None),
        ("body_grace", 0),
        ("body_chunk_size", 0),
        ("max_headers", 1.5),
        ("max_headers", True),
        ("max_body", -1),
        ("max_body", 10**400),
        ("websocket_max_frame", 2**63),
        ("server_name", "a\r\nb"),
        ("server_name", "caf\u00e9"),
        ("websocket_slow_consumer", "wait"),
        ("websocket_message_rate", 0),
        ("websocket_byte_rate", 0),
        ("coalesce", 1.0),
    ],
)
def test_a_value_that_no_server_could_work_with_is_an_error_that_names_it(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {re.escape(repr(value))}; it must be "):
        Options(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_timeout", None),
        ("http_timeout", 0.5),
        ("ping_interval", 0),
        ("max_body", 0),
        ("max_body", 2**63 - 1),
        ("http_timeout", 1e300),
        ("max_connections", None),
        ("server_name", ""),
        ("coalesce", 0.1),
    ],
)
def test_values_at_the_edge_are_accepted(name, value):
    assert getattr(Options(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (0, "0"),
        (1000, "1000"),
        (4096, "4K"),
        (3 * 1024**2, "3M"),
        (5.0, "5"),
        (0.25, "0.25"),
    ],
)
def test_limits_are_written_in_short(value, text):
    assert in_short(value) == text
    assert in_short(60.0, " s") == "60 s"
