"""From the bytes of a head to a checked request."""

from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from django.core.handlers.wsgi import get_path_info

from daphne.exceptions import RequestRefused
from daphne.options import Options
from daphne.protocol.request import CHUNKED, Request, decode_path, parse_request
from tests.daphne.protocol.driving import make_context


def parse(
    target: bytes = b"/",
    fields: bytes = b"Host: x\r\n",
    method: bytes = b"GET",
    version: bytes = b"1.1",
    **context: Any,
) -> Request:
    data = method + b" " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n"
    return parse_request(data, make_context(**context))


def refusal(*args: Any, **kwargs: Any) -> int:
    with pytest.raises(RequestRefused) as caught:
        parse(*args, **kwargs)
    return caught.value.status


def test_a_plain_request() -> None:
    head, *rest = parse(b"/a%20b/%C3%A9?c=%20d", b"Host: x:1\r\nX-Y: Z\r\nx-y: z\r\n")
    assert head.method == "GET"
    assert head.target == b"/a%20b/%C3%A9?c=%20d"
    assert head.path == "/a b/é"
    assert head.query_string == b"c=%20d"
    assert head.http_version == "1.1"
    assert head.headers == [(b"host", b"x:1"), (b"x-y", b"Z"), (b"x-y", b"z")]
    assert (head.root_path, head.scheme) == ("", "http")
    assert (head.client, head.server) == (("192.0.2.1", 4711), ("127.0.0.1", 8000))
    assert head.get(b"x-y") == b"Z"
    assert head.get(b"none") is None
    assert head.get_all(b"x-y") == [b"Z", b"z"]
    assert rest == [0, True, False, False, None]


@pytest.mark.parametrize(
    ("fields", "version", "keep_alive"),
    [
        (b"", b"1.1", True),
        (b"Connection: close\r\n", b"1.1", False),
        (b"Connection: foo\r\nConnection: CLOSE\r\n", b"1.1", False),
        (b"Connection: keep-alive\r\n", b"1.1", True),
        (b"", b"1.0", False),
        (b"Connection: Keep-Alive\r\n", b"1.0", True),
        (b"Connection: keep-alive, close\r\n", b"1.0", False),
    ],
)
def test_whether_the_connection_may_stay(fields: bytes, version: bytes, keep_alive: bool) -> None:
    assert parse(fields=b"Host: x\r\n" + fields, version=version).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (b"", 0),
        (b"Content-Length: 0\r\n", 0),
        (b"Content-Length: 0042\r\n", 42),
        (b"Transfer-Encoding: Chunked\r\n", CHUNKED),
    ],
)
def test_the_length_of_the_body(fields: bytes, length: int) -> None:
    assert parse(fields=b"Host: x\r\n" + fields, method=b"POST").length == length


def test_an_absolute_target_names_the_host() -> None:
    head = parse(b"HTTP://y:81/a?b", b"A: b\r\nHost: x\r\n").head
    assert (head.path, head.query_string, head.target) == ("/a", b"b", b"/a?b")
    assert head.get_all(b"host") == [b"y:81"]
    assert head.get(b"a") == b"b"


def test_an_absolute_target_without_a_path() -> None:
    assert parse(b"http://y").head.path == "/"
    head = parse(b"https://[::1]?b").head
    assert (head.path, head.query_string) == ("/", b"b")


def test_an_absolute_target_does_not_replace_a_missing_or_bad_host() -> None:
    assert refusal(b"http://y/", b"") == 400
    assert refusal(b"http://y/", b"Host: a b\r\n") == 400


@pytest.mark.parametrize("target", [b"/a#b", b"http://x/#b", b"a", b"*", b"ftp://x/", b"http:///"])
def test_a_target_that_is_none_is_refused(target: bytes) -> None:
    assert refusal(target) == 400


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"1.1"),
        (b"Transfer-Encoding: chunked\r\n", b"1.0"),
        (b"Transfer-Encoding: gzip, chunked\r\n", b"1.1"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"1.1"),
        (b"Content-Length: 9999999999999999999\r\n", b"1.1"),
    ],
)
def test_a_length_that_two_parties_may_read_differently_is_refused(
    fields: bytes, version: bytes
) -> None:
    assert refusal(fields=b"Host: x\r\n" + fields, version=version, method=b"POST") == 400


def test_options_for_the_whole_server() -> None:
    assert parse(b"*", method=b"OPTIONS").head.path == "*"


def test_a_tunnel_is_refused_with_the_methods_that_are_allowed() -> None:
    with pytest.raises(RequestRefused) as caught:
        parse(b"x:80", method=b"CONNECT")
    assert caught.value.status == 405
    assert caught.value.headers[0][0] == b"Allow"


def test_names_with_an_underscore_are_dropped() -> None:
    head = parse(fields=b"Host: x\r\nX_Forwarded_For: a\r\nContent_Length: 5\r\nA-B: c\r\n").head
    assert head.headers == [(b"host", b"x"), (b"a-b", b"c")]


def test_expectations() -> None:
    fields = b"Host: x\r\nContent-Length: 1\r\n"
    assert parse(fields=fields + b"Expect: 100-Continue\r\n").expects_continue
    assert not parse(fields=fields).expects_continue
    assert not parse(fields=fields + b"Expect: foo\r\n", version=b"1.0").expects_continue
    assert refusal(fields=fields + b"Expect: foo\r\n") == 417
    assert refusal(fields=fields + b"Expect: 100-continue\r\nExpect: 100-continue\r\n") == 417


UPGRADE = b"Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"


def test_websocket_upgrades() -> None:
    assert parse(fields=UPGRADE).is_websocket
    assert parse(fields=UPGRADE + b"Content-Length: 0\r\n").is_websocket
    assert not parse(fields=UPGRADE, method=b"POST").is_websocket
    assert not parse(fields=UPGRADE, version=b"1.0").is_websocket
    assert not parse(fields=b"Host: x\r\nUpgrade: websocket\r\n").is_websocket
    assert not parse(fields=b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n").is_websocket
    assert refusal(fields=UPGRADE + b"Content-Length: 1\r\n") == 400
    assert refusal(fields=UPGRADE + b"Transfer-Encoding: chunked\r\n") == 400


def test_the_scheme_of_an_encrypted_connection() -> None:
    assert parse(secure=True).head.scheme == "https"


def test_the_root_path_is_that_of_the_options() -> None:
    assert parse(options=Options(root_path="/site")).head.root_path == "/site"


def test_a_root_path_header_is_honoured_only_from_a_trusted_peer_and_always_removed() -> None:
    fields = b"Host: x\r\nDaphne-Root-Path: /caf%C3%A9/\r\n"
    trusted = parse(fields=fields, trusted_peer=True, options=Options(root_path="/site")).head
    stranger = parse(fields=fields, options=Options(root_path="/site")).head
    assert (trusted.root_path, stranger.root_path) == ("/café", "/site")
    assert trusted.headers == stranger.headers == [(b"host", b"x")]


FORWARDED = b"Host: x\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
PROXY = {
    "proxy_forwarded_address_header": "X-Forwarded-For",
    "proxy_forwarded_port_header": "X-Forwarded-Port",
    "proxy_forwarded_proto_header": "X-Forwarded-Proto",
}


def test_forwarded_headers_need_the_option_and_a_trusted_peer() -> None:
    options = Options(**PROXY)  # type: ignore[arg-type]
    believed = parse(fields=FORWARDED, trusted_peer=True, options=options).head
    assert (believed.client, believed.scheme) == (("203.0.113.7", 0), "https")
    for head in (
        parse(fields=FORWARDED, options=options).head,
        parse(fields=FORWARDED, trusted_peer=True).head,
        parse(trusted_peer=True, options=options).head,
    ):
        assert (head.client, head.scheme) == (("192.0.2.1", 4711), "http")


def test_a_forwarded_host_takes_the_place_of_host() -> None:
    fields = b"X-A: 1\r\nHost: inner\r\nX-Forwarded-Host: a.example\r\n"
    options = Options(proxy_forwarded_host_header="X-Forwarded-Host", proxy_forwarded=True)
    head = parse(fields=fields, trusted_peer=True, options=options).head
    assert head.get_all(b"host") == [b"a.example"]
    assert head.get(b"x-a") == b"1" and head.get(b"x-forwarded-host") == b"a.example"
    standard = b"Forwarded: host=b.example\r\n"
    head = parse(fields=standard, trusted_peer=True, options=options, version=b"1.0").head
    assert head.headers == [(b"host", b"b.example"), (b"forwarded", b"host=b.example")]
    assert parse(fields=fields, options=options).head.get_all(b"host") == [b"inner"]


@pytest.mark.parametrize(
    "raw",
    [
        b"/",
        b"/a%20b%2Fc",
        b"/%C3%A9",
        b"/%FF",
        b"/a%FFb%C3%A9%C3",
        b"/%c3%28",
        b"/%F0%9F%98%80",
        b"/%ED%A0%80",
        b"/%",
        b"/%4",
        b"/%zz%41",
        b"/%00",
        b"/a+b;c=d",
        b"//a//b/../c",
    ],
)
def test_a_path_is_decoded_as_django_does_under_wsgi(raw: bytes) -> None:
    path_info = unquote_to_bytes(raw).decode("latin-1")
    assert decode_path(raw) == get_path_info({"PATH_INFO": path_info})
