"""The access log: its lines, and that nobody can forge them."""

import io
import json
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daphne.access import AccessLogGenerator, SlowRequestLog, escape

LINE = re.compile(
    r'(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "([^"]*)" (\S+) (\S+)\n'
)


def logged(protocol: str, action: str, details: dict[str, object], format: str = "common") -> str:
    stream = io.StringIO()
    AccessLogGenerator(stream, format)(protocol, action, details)
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


# -- other formats --------------------------------------------------------------------------------

HEADERS = [
    (b"host", b"a.example"),
    (b"user-agent", b'Agent/1 "x"\xff'),
    (b"referer", b"http://b.example/"),
    (b"user-agent", b"second"),
]


def test_the_combined_format_adds_referer_and_user_agent():
    line = logged("http", "complete", complete(headers=HEADERS), "combined")
    assert line.endswith(r' 200 12 "http://b.example/" "Agent/1 \x22x\x22\xc3\xbf"' + "\n")
    assert LINE.fullmatch(logged("http", "complete", complete(headers=HEADERS)))


def test_the_combined_format_has_dashes_for_what_is_not_known():
    socket = {"path": "/ws", "client": "10.0.0.1:80"}
    for line in (
        logged("http", "complete", complete(), "combined"),
        logged("websocket", "connected", socket, "combined"),
    ):
        assert line.endswith(' "-" "-"\n')


def test_json_has_the_keys_that_are_documented():
    details = complete(
        headers=HEADERS, http_version="1.1", first_byte=0.05, reply_channel="daphne.response.x!y"
    )
    entry = json.loads(logged("http", "complete", details, "json"))
    assert datetime.fromisoformat(entry.pop("time")).utcoffset() == timedelta(0)
    assert entry == {
        "protocol": "http",
        "action": "complete",
        "client": "10.0.0.1:80",
        "method": "GET",
        "path": "/",
        "http_version": "1.1",
        "status": 200,
        "size": 12,
        "duration": 0.1,
        "first_byte": 0.05,
        "reply_channel": "daphne.response.x!y",
        "host": "a.example",
        "referer": "http://b.example/",
        "user_agent": 'Agent/1 "x"\xff',
    }


def test_json_about_a_websocket():
    details = {"path": "/ws", "client": None, "code": 1001, "time_taken": 2.5}
    entry = json.loads(logged("websocket", "disconnected", details, "json"))
    del entry["time"]
    assert entry == {
        "protocol": "websocket",
        "action": "disconnected",
        "path": "/ws",
        "code": 1001,
        "duration": 2.5,
    }


def test_every_key_of_json_is_documented():
    details = complete(
        headers=HEADERS, http_version="1.1", first_byte=1.0, reply_channel="x", code=1
    )
    for key in json.loads(logged("http", "complete", details, "json")):
        assert f"``{key}``" in (AccessLogGenerator.__doc__ or "")


def test_an_unknown_format_is_an_error_that_names_the_others():
    with pytest.raises(ValueError, match="'xml' is no format.*common, combined, json"):
        AccessLogGenerator(io.StringIO(), "xml")


@given(st.text(), st.text(), st.binary(), st.sampled_from(["combined", "json"]))
def test_access_log_control_and_non_ascii_bytes_escaped_always_one_line_a_request(
    path, method, header, format
):
    """The row "Access log" of the requirements, for formats with headers."""
    headers = [(b"user-agent", header), (b"referer", header), (b"host", header)]
    line = logged("http", "complete", complete(path=path, method=method, headers=headers), format)
    assert line.isascii()
    assert line.count("\n") == 1 and line.endswith("\n")
    assert not re.search(r"[\x00-\x1f\x7f]", line[:-1])
    if format == "json":
        assert json.loads(line)["path"] == path
    else:
        assert line.count('"') == 6


# -- slow requests --------------------------------------------------------------------------------


def slow(caplog, action="complete", protocol="http", **changes):
    SlowRequestLog(1.0)(protocol, action, complete(**changes))
    return caplog.text


def test_a_slow_request_is_a_warning_with_path_time_and_reply_channel(caplog):
    text = slow(caplog, path="/a\r\n?b", time_taken=1.5, reply_channel="daphne.response.x!y")
    assert r"GET /a\x0d\x0a?b took 1.500 s" in text
    assert "daphne.response.x!y" in text and "slow_request" in text
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_response_that_began_in_time_is_not_slow(caplog):
    assert slow(caplog, time_taken=90.0, first_byte=0.2) == ""
    assert slow(caplog, time_taken=0.9) == ""


def test_other_actions_are_not_looked_at(caplog):
    assert slow(caplog, "disconnected", "websocket", time_taken=99.0) == ""
