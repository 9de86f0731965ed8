"""What is a host with or without a port."""

import pytest

from daphne.protocol.host import is_host


@pytest.mark.parametrize(
    "value", [b"a", b"a.example:80", b"[2001:db8::1]:443", b"[v1.x]", b"a%41", b"1.2.3.4:", b"_a"]
)
def test_hosts(value: bytes) -> None:
    assert is_host(value)


@pytest.mark.parametrize(
    "value", [b"", b"a b", b"a,b", b"a:b", b"a/b", b"a@b", b"[a", b"a%4", b"\xff", b"a\n", b":80"]
)
def test_what_is_no_host(value: bytes) -> None:
    assert not is_host(value)
