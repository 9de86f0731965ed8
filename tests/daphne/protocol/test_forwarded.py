"""What is believed of what proxies say."""

import pytest

from daphne.options import Options
from daphne.protocol.forwarded import Forwarded, read_forwarded, read_root_path

OPTIONS = Options(
    proxy_forwarded_address_header="X-Forwarded-For",
    proxy_forwarded_port_header="X-Forwarded-Port",
    proxy_forwarded_proto_header="X-Forwarded-Proto",
    proxy_forwarded_host_header="X-Forwarded-Host",
    proxy_forwarded=True,
    trusted_proxies=("127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"),
)


def read(
    address: bytes = b"", port: bytes = b"", scheme: bytes = b"", options: Options = OPTIONS
) -> Forwarded:
    fields = [
        (b"x-forwarded-for", address),
        (b"x-forwarded-port", port),
        (b"x-forwarded-proto", scheme),
    ]
    return read_forwarded([field for field in fields if field[1]], options)


def test_nothing_said() -> None:
    assert read() == Forwarded()


def test_one_proxy() -> None:
    assert read(b"203.0.113.7", b"4711", b"https") == (("203.0.113.7", 4711), "https", None)


def test_an_address_that_the_client_made_up_is_not_believed() -> None:
    assert read(b"1.2.3.4, 203.0.113.7").client == ("203.0.113.7", 0)


def test_proxies_of_ours_at_the_end_of_the_list_are_skipped() -> None:
    assert read(b"1.2.3.4, 203.0.113.7, 10.1.1.1,127.0.0.1").client == ("203.0.113.7", 0)


def test_a_list_of_proxies_only_begins_with_the_client() -> None:
    assert read(b"10.0.0.9, 10.0.0.1").client == ("10.0.0.9", 0)


def test_several_headers_are_one_list() -> None:
    headers = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"203.0.113.7, 10.0.0.1")]
    assert read_forwarded(headers, OPTIONS).client == ("203.0.113.7", 0)


def test_the_host_is_that_of_the_same_hop() -> None:
    headers = [
        (b"x-forwarded-for", b"203.0.113.7, 10.0.0.1"),
        (b"x-forwarded-host", b"a.example, b.example:80"),
    ]
    assert read_forwarded(headers, OPTIONS).host == b"a.example"
    assert read_forwarded(headers[1:], OPTIONS).host == b"b.example:80"


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"a@b", b"\xff", b"a.example, "])
def test_what_is_no_host_is_ignored(host: bytes) -> None:
    assert read_forwarded([(b"x-forwarded-host", host)], OPTIONS).host is None


# -- Forwarded (RFC 7239) -------------------------------------------------------------------------


def standard(*values: bytes, options: Options = OPTIONS) -> Forwarded:
    return read_forwarded([(b"forwarded", value) for value in values], options)


def test_the_standard_header() -> None:
    value = b'for="203.0.113.7:4711";proto=https;host=a.example'
    assert standard(value) == (("203.0.113.7", 4711), "https", b"a.example")


def test_the_standard_header_is_read_from_its_end_through_trusted_proxies() -> None:
    value = b'for=1.2.3.4;proto=http, for="203.0.113.7:1";proto=https, for=10.1.1.1;proto=http'
    assert standard(value) == (("203.0.113.7", 1), "https", None)
    assert standard(*value.split(b", ")) == standard(value)


def test_what_the_client_made_up_of_the_standard_header_is_not_believed() -> None:
    value = b"for=1.2.3.4;host=evil.example;proto=https, for=203.0.113.7"
    assert standard(value) == (("203.0.113.7", 0), None, None)


def test_what_the_first_proxy_did_not_say_is_what_the_next_one_said() -> None:
    value = b"for=203.0.113.7, for=10.0.0.1;proto=https;host=a.example"
    assert standard(value) == (("203.0.113.7", 0), "https", b"a.example")


def test_a_standard_header_of_proxies_only_begins_with_the_client() -> None:
    assert standard(b'for="[2001:db8::9]", for=10.0.0.1').client == ("2001:db8::9", 0)


@pytest.mark.parametrize("node", [b"unknown", b"_hidden", b'"_hidden:80"'])
def test_a_client_that_a_proxy_hides_is_not_known(node: bytes) -> None:
    value = b"for=1.2.3.4, for=" + node + b";proto=https, for=10.0.0.1"
    assert standard(value) == (None, "https", None)


def test_a_malformed_standard_header_is_ignored_as_a_whole() -> None:
    for bad in (b'for="1.2.3.4', b"for=1.2.3.4;for=1.2.3.4", b"nonsense"):
        assert standard(bad + b", for=203.0.113.7;proto=https;host=a") == Forwarded()
        assert standard(bad, b"for=203.0.113.7;proto=https;host=a") == Forwarded()


@pytest.mark.parametrize(
    "field",
    [
        (b"x-forwarded-for", b"203.0.113.7"),
        (b"x-forwarded-for", b"nonsense"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-port", b"80"),
        (b"x-forwarded-host", b"b.example"),
    ],
)
def test_x_forwarded_headers_win_over_the_standard_one(field: tuple[bytes, bytes]) -> None:
    made_up = (b"forwarded", b"for=1.2.3.4;proto=https;host=evil.example")
    alone = read_forwarded([field], OPTIONS)
    assert read_forwarded([made_up, field], OPTIONS) == alone
    assert read_forwarded([field, made_up], OPTIONS) == alone


def test_the_standard_header_alone_can_be_believed() -> None:
    options = Options(proxy_forwarded=True)
    headers = [(b"x-forwarded-for", b"1.2.3.4"), (b"forwarded", b"for=203.0.113.7")]
    assert read_forwarded(headers, options).client == ("203.0.113.7", 0)
    assert standard(b"for=203.0.113.7", options=Options()) == Forwarded()


# -- each of them ---------------------------------------------------------------------------------


def test_port_and_scheme_are_those_of_the_same_hop() -> None:
    said = read(b"1.1.1.1, 203.0.113.7, 10.0.0.1", b"1, 4711, 80", b"http, https, http")
    assert said == (("203.0.113.7", 4711), "https", None)


def test_a_single_port_and_scheme_hold_for_a_chain() -> None:
    said = read(b"203.0.113.7, 10.0.0.1", b"4711", b"https")
    assert said == (("203.0.113.7", 4711), "https", None)


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        (b"203.0.113.7:80", "203.0.113.7"),
        (b"[2001:470::1]:80", "2001:470::1"),
        (b"[2001:470::1]", "2001:470::1"),
        (b"2001:470::1", "2001:470::1"),
        (b"2001:470:0:0::1", "2001:470::1"),
        (b" 203.0.113.7\t", "203.0.113.7"),
        (b"::ffff:203.0.113.7", "203.0.113.7"),
        (b"[::ffff:203.0.113.7]:80", "203.0.113.7"),
        (b'fe80::1%e - - "GET / 200"', "fe80::1"),
    ],
)
def test_notations_of_an_address(entry: bytes, host: str) -> None:
    assert read(entry).client == (host, 0)


@pytest.mark.parametrize("entry", [b"unknown", b"_hidden", b"a.example", b"1.2.3", b"\xff", b","])
def test_what_is_no_address_is_ignored(entry: bytes) -> None:
    assert read(entry).client is None


@pytest.mark.parametrize("port", [b"", b"-1", b"65536", b"a", b"1 2", b"\xb2", b"9" * 50])
def test_what_is_no_port_is_unknown(port: bytes) -> None:
    assert read(b"203.0.113.7", port).client == ("203.0.113.7", 0)


@pytest.mark.parametrize(
    ("value", "scheme"),
    [(b"HTTPS", "https"), (b"http", "http"), (b"wss", "https"), (b"ws", "http"), (b"ftp", None)],
)
def test_schemes(value: bytes, scheme: str | None) -> None:
    assert read(scheme=value).scheme == scheme


def test_headers_whose_option_is_off_are_not_read() -> None:
    options = Options(proxy_forwarded_address_header="X-Real-Ip")
    assert read(b"203.0.113.7", b"1", b"https", options) == Forwarded()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (b"/site", "/site"),
        (b"/site/", "/site"),
        (b"/", ""),
        (b"/caf%C3%A9", "/café"),
        (b"/%FF", "/\ufffd"),
    ],
)
def test_root_paths_are_unquoted(value: bytes, path: str) -> None:
    assert read_root_path(value) == path
