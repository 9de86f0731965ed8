"""Which peers count as proxies of ours."""

import pytest

from daphne.options import Options
from daphne.protocol.trust import TrustedProxies


@pytest.mark.parametrize(
    ("entries", "host", "expected"),
    [
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.1/8"], "10.255.0.1", True),
        (["::1"], "::1", True),
        (["2001:db8::/32"], "2001:db8::5", True),
        (["2001:db8::/32"], "10.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], None, False),
        (["unix"], None, True),
        (["unix"], "127.0.0.1", False),
        ([], "127.0.0.1", False),
        (["10.0.0.0/8"], "no address", False),
    ],
)
def test_peers_are_looked_up_in_the_list(entries, host, expected):
    assert TrustedProxies(entries).trusts(host) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), (None, True), ("10.0.0.1", False)],
)
def test_by_default_loopback_and_unix_sockets_are_trusted(host, expected):
    assert TrustedProxies(Options().trusted_proxies).trusts(host) is expected


def test_an_entry_that_is_none_is_an_error_that_quotes_it():
    with pytest.raises(ValueError, match="'proxy.example'"):
        TrustedProxies(["proxy.example"])
