"""What is believed of what proxies say."""

import pytest

from daphne.options import Options
from daphne.protocol.forwarded import Forwarded, read_forwarded, read_root_path

OPTIONS = Options(
    proxy_forwarded_address_header="X-Forwarded-For",
    proxy_forwarded_port_header="X-Forwarded-Port",
    proxy_forwarded_proto_header="X-Forwarded-Proto",
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
    assert read() == (None, None)


def test_one_proxy() -> None:
    assert read(b"203.0.113.7", b"4711", b"https") == (("203.0.113.7", 4711), "https")


def test_an_address_that_the_client_made_up_is_not_believed() -> None:
    assert read(b"1.2.3.4, 203.0.113.7").client == ("203.0.113.7", 0)


def test_proxies_of_ours_at_the_end_of_the_list_are_skipped() -> None:
    assert read(b"1.2.3.4, 203.0.113.7, 10.1.1.1,127.0.0.1").client == ("203.0.113.7", 0)


def test_a_list_of_proxies_only_begins_with_the_client() -> None:
    assert read(b"10.0.0.9, 10.0.0.1").client == ("10.0.0.9", 0)


def test_several_headers_are_one_list() -> None:
    headers = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"203.0.113.7, 10.0.0.1")]
    assert read_forwarded(headers, OPTIONS).client == ("203.0.113.7", 0)


def test_port_and_scheme_are_those_of_the_same_hop() -> None:
    said = read(b"1.1.1.1, 203.0.113.7, 10.0.0.1", b"1, 4711, 80", b"http, https, http")
    assert said == (("203.0.113.7", 4711), "https")


def test_a_single_port_and_scheme_hold_for_a_chain() -> None:
    said = read(b"203.0.113.7, 10.0.0.1", b"4711", b"https")
    assert said == (("203.0.113.7", 4711), "https")


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        (b"203.0.113.7:80", "203.0.113.7"),
        (b"[2001:470::1]:80", "2001:470::1"),
        (b"[2001:470::1]", "2001:470::1"),
        (b"2001:470::1", "2001:470::1"),
        (b"2001:470:0:0::1", "2001:470::1"),
        (b" 203.0.113.7\t", "203.0.113.7"),
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
    ("value", "scheme"), [(b"HTTPS", "https"), (b"http", "http"), (b"ftp", None), (b"\xff", None)]
)
def test_schemes(value: bytes, scheme: str | None) -> None:
    assert read(scheme=value).scheme == scheme


def test_headers_whose_option_is_off_are_not_read() -> None:
    options = Options(proxy_forwarded_address_header="X-Real-Ip")
    assert read(b"203.0.113.7", b"1", b"https", options) == (None, None)


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
