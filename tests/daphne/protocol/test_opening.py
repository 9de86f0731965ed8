"""Telling HTTP/2 from HTTP/1.1, by the preface and by an upgrade."""

from dataclasses import replace
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from daphne.options import Options
from daphne.protocol.http1 import Http1Core
from daphne.protocol.http2 import Http2Core
from daphne.protocol.http2.frames import PREFACE
from daphne.protocol.opening import OpeningCore, UpgradingCore, speaks_http2
from daphne.protocol.operations import Upgrade, Write
from tests.daphne.protocol.driving import Driver, make_context
from tests.daphne.protocol.http2.peers import OK, Peer

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: %b\r\n"
SETTINGS = b"AAMAAABkAARAAAAAAAIAAAAA"


def opened(*pieces: bytes, **changes: Any) -> Driver:
    return Driver(None, OpeningCore, **changes).feed(*pieces)


def switched(driver: Driver) -> Any:
    assert driver.upgraded is not None
    return driver.upgraded


@given(st.lists(st.integers(0, len(PREFACE) + 3), max_size=8))
def test_the_preface_is_found_however_it_is_split(cuts: list[int]) -> None:
    data = PREFACE + b"xyz"
    places = [0, *sorted(cuts), len(data)]
    driver, rest = opened(), b""
    for start, end in zip(places, places[1:], strict=False):
        if driver.upgraded is None:
            driver.feed(data[start:end])
        else:
            rest += data[start:end]
    assert isinstance(switched(driver).core, Http2Core)
    assert switched(driver).rest + rest == data


@given(st.integers(1, 30), st.sampled_from([GET, b"PRI * HTTP/2.0\r\n\r\nXX", b"PUT /", b"\r\n"]))
def test_anything_else_is_http_1(step: int, data: bytes) -> None:
    driver, fed = opened(), 0
    for start in range(0, len(data), step):
        if driver.upgraded is None:
            driver.feed(data[start : start + step])
            fed = start + step
    assert type(switched(driver).core) is UpgradingCore
    assert switched(driver).rest == data[:fed]


def test_a_client_that_says_nothing_is_closed() -> None:
    for said in (b"", b"PRI * HTTP"):
        driver = opened(said)
        driver.sleep(11)
        assert driver.closed
    driver = Driver(Options(header_timeout=None), OpeningCore)
    assert driver.timers == {}


def test_a_client_that_leaves_or_a_server_that_stops_ends_it() -> None:
    driver = opened(b"PRI")
    driver.do(driver.core.receive_eof)
    assert driver.closed
    driver = Driver(Options(drain=0), OpeningCore)
    driver.do(driver.core.shutdown)
    assert driver.closed


def test_a_client_that_has_just_connected_may_ask_when_the_server_stops() -> None:
    driver = opened()
    driver.do(driver.core.shutdown)
    driver.sleep(1.9)
    assert not driver.closed
    driver.sleep(0.2)
    assert driver.closed


def test_http_2_may_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert speaks_http2(Options())
    assert not speaks_http2(Options(http2=False))


# -- the upgrade ----------------------------------------------------------------------------------


def asked(head: bytes, **changes: Any) -> Driver:
    return Driver(None, UpgradingCore, **changes).feed(head)


def test_an_upgrade_is_answered_over_http_2() -> None:
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    settings = client.initiate_upgrade_connection() or b""
    old = asked(GET + UPGRADE % settings.rstrip(b"=") + b"X-Y: z\r\n\r\n")
    assert old.output == (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    peer = Peer(make_core=lambda context: switched(old).core, h2=client)
    (message,) = peer.driver.requests
    assert (message["http_version"], message["path"]) == ("2", "/a")
    assert message["headers"] == [(b"host", b"x"), (b"x-y", b"z")]
    peer.reply(OK)
    assert (peer.response(1).status, peer.response(1).body) == (200, b"ok")
    again = peer.request("/again")
    peer.reply(OK)
    assert (again, peer.response(again).body) == (3, b"ok")


@pytest.mark.parametrize(
    "head",
    [
        GET + UPGRADE % b"!!!!",
        GET + UPGRADE % b"AAMAAABkAA",
        GET + UPGRADE % (b"AAMAAABk" * 40),
        GET + UPGRADE % SETTINGS + b"HTTP2-Settings: AAMAAABk\r\n",
        GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        GET + b"Connection: HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h3\r\nHTTP2-Settings: AAMA\r\n",
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
    ],
    ids=["base64", "length", "many", "twice", "one token", "other token", "protocol", "missing"],
)
def test_an_upgrade_that_is_not_proper_is_ignored(head: bytes) -> None:
    driver = asked(head + b"\r\n")
    assert driver.upgraded is None
    assert driver.requests[0]["http_version"] == "1.1"


def test_an_upgrade_is_ignored_with_a_body_over_tls_and_where_bytes_follow() -> None:
    head = GET + UPGRADE % SETTINGS
    body = asked(head + b"Content-Length: 5\r\n\r\nGET /")
    assert (body.upgraded, body.requests[0]["body"]) == (None, b"GET /")
    chunked = asked(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert (chunked.upgraded, len(chunked.requests)) == (None, 1)
    secure = asked(head + b"\r\n", secure=True)
    assert secure.upgraded is None
    follows = asked(head + b"\r\n" + GET + b"\r\n")
    assert follows.upgraded is None
    old = asked((head + b"\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert old.upgraded is None
    plain = Driver(None, Http1Core).feed(head + b"\r\n")
    assert plain.upgraded is None


def test_a_websocket_is_preferred_to_an_upgrade() -> None:
    head = (GET + UPGRADE % SETTINGS).replace(b"h2c", b"websocket, h2c")
    assert type(switched(asked(head + b"\r\n")).core).__name__ == "WebSocketCore"


def test_what_comes_through_a_tunnel_of_a_proxy_is_the_clients_word() -> None:
    driver = asked(GET + UPGRADE % SETTINGS + b"\r\n", trusted_peer=True)
    context = switched(driver).core.context
    assert context == replace(driver.core.context, trusted_peer=False)


def test_the_101_is_written_before_the_upgrade() -> None:
    core = UpgradingCore(make_context())
    core.receive_data(GET + UPGRADE % SETTINGS + b"\r\n")
    kinds = [type(operation) for operation in core.operations()]
    assert kinds[-2:] == [Write, Upgrade]
