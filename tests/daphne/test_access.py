"""The access log: its lines, and that nobody can forge them."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daphne.access import AccessLogGenerator, escape

LINE = re.compile(
    r'(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "([^"]*)" (\S+) (\S+)\n'
)


def logged(protocol: str, action: str, details: dict[str, object]) -> str:
    stream = io.StringIO()
    AccessLogGenerator(stream)(protocol, action, details)
    return stream.getvalue()


def complete(**changes: object) -> dict[str, object]:
    return {
        "path": "/",
        "status": 200,
        "method": "GET",
        "client": "10.0.0.1:80",
        "time_taken": 0.1,
        "size": 12,
    } | changes


def test_a_request_is_a_line_in_the_common_format():
    match = LINE.fullmatch(logged("http", "complete", complete(path="/a?b=c")))
    assert match is not None
    assert match.groups() == ("10.0.0.1:80", "GET /a?b=c", "200", "12")


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("connecting", "WSCONNECTING"),
        ("connected", "WSCONNECT"),
        ("disconnected", "WSDISCONNECT"),
        ("rejected", "WSREJECT"),
    ],
)
def test_each_step_of_a_websocket_is_a_line(action, name):
    match = LINE.fullmatch(logged("websocket", action, {"path": "/ws", "client": "10.0.0.1:80"}))
    assert match is not None
    assert match.groups() == ("10.0.0.1:80", f"{name} /ws", "-", "-")


def test_an_unknown_client_is_a_dash():
    assert logged("http", "complete", complete(client=None)).startswith("- - - [")


def test_other_actions_write_nothing():
    assert logged("http", "started", {}) == ""
    assert logged("udp", "complete", {}) == ""


def test_line_breaks_quotes_and_escapes_are_escaped():
    line = logged("http", "complete", complete(path='/\r\n1.2.3.4 "\\ \x1b[31m\x85'))
    assert r'"GET /\x0d\x0a1.2.3.4 \x22\x5c \x1b[31m\xc2\x85"' in line
    assert line.count("\n") == 1


@given(st.text(), st.text(), st.text())
def test_whatever_a_client_sends_is_one_ascii_line(path, method, client):
    line = logged("http", "complete", complete(path=path, method=method, client=client or None))
    assert line.isascii()
    assert line.count("\n") == 1 and line.endswith("\n")
    assert not re.search(r"[\x00-\x1f\x7f]", line[:-1])
    assert line.count('"') == 2


def test_undecodable_bytes_are_shown_as_they_came():
    assert escape(b"\xff/x".decode("utf-8", "surrogateescape")) == r"\xff/x"


def test_lone_surrogates_from_elsewhere_do_not_fail():
    assert escape("\ud800").isascii()
