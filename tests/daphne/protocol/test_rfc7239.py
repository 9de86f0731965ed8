"""The header Forwarded: what is read of it, and that nothing malformed is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daphne.protocol.host import is_host
from daphne.protocol.rfc7239 import Hop, parse_forwarded


@pytest.mark.parametrize(
    ("value", "hops"),
    [
        (b"", []),
        (b" \t", []),
        (b",, ;, ", []),
        (b"for=192.0.2.43", [Hop("192.0.2.43")]),
        (b'For="192.0.2.43:47011"', [Hop("192.0.2.43", 47011)]),
        (b'for="[2001:DB8:0::17]:4711"', [Hop("2001:db8::17", 4711)]),
        (b'for="[2001:db8::17]"', [Hop("2001:db8::17")]),
        (b"for=_SEVKISEK", [Hop("_SEVKISEK")]),
        (b'for="_gazonk:_port"', [Hop("_gazonk")]),
        (b"for=Unknown", [Hop("unknown")]),
        (
            b"for=192.0.2.60;proto=http;by=203.0.113.43",
            [Hop("192.0.2.60", 0, "http")],
        ),
        (
            b'for=192.0.2.43, for="[2001:db8:cafe::17]" ,\tfor=unknown',
            [Hop("192.0.2.43"), Hop("2001:db8:cafe::17"), Hop("unknown")],
        ),
        (b'proto=HTTPS; host="a.example:8443"', [Hop("", 0, "https", b"a.example:8443")]),
        (b'host="a.example:80";;secret=x', [Hop("", 0, "", b"a.example:80")]),
        (b'for="1\\92.0.2.1";ext="a,b;\\"c=\xff"', [Hop("192.0.2.1")]),
    ],
)
def test_what_is_read(value: bytes, hops: list[Hop]) -> None:
    assert parse_forwarded([value]) == hops


def test_several_lines_are_one_list() -> None:
    assert parse_forwarded([b"for=192.0.2.1,for=192.0.2.2", b"for=192.0.2.3"]) == [
        Hop("192.0.2.1"),
        Hop("192.0.2.2"),
        Hop("192.0.2.3"),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        b"192.0.2.1",
        b"for",
        b"for=",
        b"=192.0.2.1",
        b"for =192.0.2.1",
        b"for= 192.0.2.1",
        b"for=192.0.2.1:80",  # a port needs quotes
        b"for=[2001:db8::1]",  # and so do brackets
        b'for="2001:db8::1"',  # an address of version 6 needs brackets
        b'for="[2001:db8::1"',
        b'for="[2001:db8::1%eth0]"',
        b'for="[1.2.3.4]"',
        b"for=1.2.3",
        b"for=01.2.3.4",
        b"for=1.2.3.256",
        b"for=a.example",
        b"for=_",
        b'for="_a b"',
        b'for="1.2.3.4:"',
        b'for="1.2.3.4:65536"',
        b'for="1.2.3.4:123456"',
        b'for="1.2.3.4:-1"',
        b'for="192.0.2.1',
        b'for="192.0.2.1\\',
        b'for="192.0.2.1"x',
        b"for='192.0.2.1'",
        b"for=192.0.2.1 proto=http",
        b"for=192.0.2.1;for=192.0.2.2",
        b"for=192.0.2.1;FOR=192.0.2.1",
        b"by=a.example",
        b"proto=1a",
        b'proto=""',
        b'host="a b"',
        b'host=""',
        b"host=a.example:80",  # a colon needs quotes here, too
        b'host="a.example/path"',
        b"f\xc3\xb6r=192.0.2.1",
    ],
)
def test_a_malformed_header_is_refused_as_a_whole(bad: bytes) -> None:
    for value in ([bad], [b"for=192.0.2.9," + bad], [bad + b",for=192.0.2.9"], [b"for=_x", bad]):
        assert parse_forwarded(value) is None, value


@pytest.mark.costs
@pytest.mark.parametrize("piece", [b" ", b"for=", b'for="', b"a=b;", b"\\", b'"', b",", b"a"])
def test_the_time_is_linear_in_the_length(piece: bytes) -> None:
    def seconds(length: int) -> float:
        value = piece * (length // len(piece)) + b"\x00"
        start = time.perf_counter()
        parse_forwarded([value])
        return time.perf_counter() - start

    small = min(seconds(20_000) for _ in range(5))
    large = min(seconds(320_000) for _ in range(5))
    assert large < 100 * small + 0.01  # squared it would be 256 times


@given(st.binary(max_size=60))
def test_any_bytes_give_hops_or_nothing(value: bytes) -> None:
    hops = parse_forwarded([value])
    assert hops is None or all(not hop.host or is_host(hop.host) for hop in hops)


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(0, 65535)), max_size=4))
def test_addresses_come_back(addresses: list[tuple[object, int]]) -> None:
    quoted = [f'for="[{a}]:{p}"' if ":" in str(a) else f'for="{a}:{p}"' for a, p in addresses]
    hops = parse_forwarded([", ".join(quoted).encode()])
    assert hops == [Hop(str(address), port) for address, port in addresses]
