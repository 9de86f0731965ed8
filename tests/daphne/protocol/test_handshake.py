"""The rules of the opening handshake."""

import time
from typing import Any

import pytest

from daphne.protocol.handshake import (
    Handshake,
    HandshakeError,
    build_acceptance,
    check_handshake,
)
from tests.daphne.protocol.socket_driver import ACCEPT, KEY, Driver, make_head, make_headers


def refused(**changes: Any) -> HandshakeError:
    with pytest.raises(HandshakeError) as raised:
        check_handshake(make_head(**changes), ())
    return raised.value


def check(*headers: tuple[bytes, bytes], protocols: tuple[str, ...] = ()) -> Handshake:
    return check_handshake(make_head(headers=make_headers(*headers)), protocols)


def test_a_proper_request_passes() -> None:
    assert check() == Handshake(KEY, None)


@pytest.mark.parametrize("name, value", [(b"upgrade", b"WebSocket"), (b"connection", b"UPGRADE")])
def test_tokens_are_compared_without_case(name: bytes, value: bytes) -> None:
    headers = [*make_headers(without=name), (name, value)]
    assert check_handshake(make_head(headers=headers), ()).key == KEY


@pytest.mark.parametrize(
    "name, value",
    [(b"upgrade", b"h2c, websocket"), (b"connection", b"close,\tupgrade , x")],
)
def test_tokens_are_found_in_lists(name: bytes, value: bytes) -> None:
    headers = [*make_headers(without=name), (name, value)]
    assert check_handshake(make_head(headers=headers), ()).key == KEY


def test_tokens_are_found_on_any_line() -> None:
    headers = [(b"connection", b"keep-alive"), (b"connection", b"upgrade")]
    headers += make_headers(without=b"connection")
    assert check_handshake(make_head(headers=headers), ()).key == KEY


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS"])
def test_only_get_is_a_handshake(method: str) -> None:
    error = refused(method=method)
    assert (error.status, list(error.headers)) == (405, [(b"Allow", b"GET")])


def test_http_1_0_has_no_handshake() -> None:
    assert refused(http_version="1.0").status == 400


@pytest.mark.parametrize(
    "name", [b"upgrade", b"connection", b"sec-websocket-key"], ids=lambda name: name.decode()
)
def test_a_missing_header_is_a_bad_request(name: bytes) -> None:
    assert refused(headers=make_headers(without=name)).status == 400


@pytest.mark.parametrize(
    "name, value",
    [(b"upgrade", b"h2c"), (b"upgrade", b"websockets"), (b"connection", b"upgraded, close")],
)
def test_other_tokens_are_a_bad_request(name: bytes, value: bytes) -> None:
    assert refused(headers=[*make_headers(without=name), (name, value)]).status == 400


@pytest.mark.parametrize("version", [None, b"", b"8", b"12", b"14", b"013", b"13, 8", b"x"])
def test_another_version_gets_426_and_the_version_spoken(version: bytes | None) -> None:
    headers = make_headers(without=b"sec-websocket-version")
    if version is not None:
        headers.append((b"sec-websocket-version", version))
    error = refused(headers=headers)
    assert error.status == 426
    assert (b"Sec-WebSocket-Version", b"13") in error.headers
    assert (b"Upgrade", b"websocket") in error.headers


@pytest.mark.parametrize("name", [b"sec-websocket-version", b"sec-websocket-key", b"origin"])
def test_a_header_that_may_stand_once_only(name: bytes) -> None:
    value = {b"sec-websocket-version": b"13", b"sec-websocket-key": KEY}.get(name, b"http://a")
    twice = [*make_headers(without=name), (name, value), (name, value)]
    assert refused(headers=twice).status == 400


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"short",
        b"dGhlIHNhbXBsZSBub25jZQ",  # no padding
        b"dGhlIHNhbXBsZSBub25jZQ====",  # too much of it
        b"dGhlIHNhbXBsZSBub25jZT09Cg==",  # 19 bytes
        b"dGhlIHNhbXBsZSBub25j",  # 15 bytes
        b"dGhlIHNhbXBs ZSBub25jZQ==",
        b"dGhlIHNhbXBsZSBub25jZ\xff==",
        b"________________________",
    ],
)
def test_a_key_that_is_not_16_bytes_in_base64_is_a_bad_request(key: bytes) -> None:
    headers = [*make_headers(without=b"sec-websocket-key"), (b"sec-websocket-key", key)]
    assert refused(headers=headers).status == 400


# -- sub-protocols ------------------------------------------------------------------------------

OFFER = b"sec-websocket-protocol"


def test_the_first_protocol_offered_that_the_server_speaks_is_chosen() -> None:
    chosen = check((OFFER, b"mqtt, chat.v2, chat.v1"), protocols=("chat.v1", "chat.v2")).protocol
    assert chosen == "chat.v2"


def test_offers_on_several_lines_are_one_list() -> None:
    chosen = check((OFFER, b"a"), (OFFER, b" b ,, c"), protocols=("c", "b")).protocol
    assert chosen == "b"


@pytest.mark.parametrize("offered", [b"", b",", b"soap", b"CHAT", b"chats", b"cha"])
def test_a_protocol_that_was_not_offered_is_never_chosen(offered: bytes) -> None:
    assert check((OFFER, offered), protocols=("chat",)).protocol is None


def test_without_an_offer_nothing_is_chosen() -> None:
    assert check(protocols=("chat",)).protocol is None


@pytest.mark.parametrize(
    "offered",
    [b"ch\xc3\xa4t", b"\xff", b"chat, \x85", b"a b", b"a;q=1", b'"chat"', b"a\x00", b"(x)"],
)
def test_an_offer_that_is_no_token_is_a_bad_request(offered: bytes) -> None:
    assert refused(headers=make_headers((OFFER, offered))).status == 400


def cost_of_offers(size: int) -> float:
    """Processor seconds for a list of ``size`` bytes, the best of three."""
    header = (OFFER, b"a," * (size // 2))
    costs = []
    for _ in range(3):
        start = time.process_time()
        check(header, protocols=("chat",))
        costs.append(time.process_time() - start)
    return min(costs)


@pytest.mark.costs
def test_sub_protocols_a_list_of_a_megabyte_takes_linear_time() -> None:
    # Sixteen times the list: a quadratic search would take 256 times as long.
    assert cost_of_offers(1024 * 1024) < 100 * cost_of_offers(64 * 1024)


# -- the response -------------------------------------------------------------------------------


def test_the_acceptance_proves_that_the_key_was_read() -> None:
    lines = build_acceptance(Handshake(KEY, None), "daphne").split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert b"Sec-WebSocket-Accept: " + ACCEPT in lines
    assert b"Upgrade: websocket" in lines and b"Connection: Upgrade" in lines
    assert b"Server: daphne" in lines
    assert lines[-2:] == [b"", b""]


def test_the_acceptance_names_the_protocol_only_if_one_was_chosen() -> None:
    assert b"Protocol:" not in build_acceptance(Handshake(KEY, None), "")
    assert b"Sec-WebSocket-Protocol: chat\r\n" in build_acceptance(Handshake(KEY, "chat"), "")


def test_an_empty_server_name_leaves_the_header_out() -> None:
    assert b"Server" not in build_acceptance(Handshake(KEY, None), "")


@pytest.mark.parametrize("name", ["é".encode(), b"\xff", b"a b", b'"a"', b"a/b", b"a\x85"])
def test_sub_protocols_that_are_no_tokens_are_400(name: bytes) -> None:
    head = make_head(headers=make_headers((b"sec-websocket-protocol", b"chat, " + name)))
    with pytest.raises(HandshakeError) as caught:
        check_handshake(head, ("chat", name.decode("latin-1")))
    assert caught.value.status == 400


@pytest.mark.parametrize("offered", [None, b"", b"other", b"Chat", b"chat2, c, hat"])
def test_sub_protocols_that_were_not_offered_are_never_selected(offered: bytes | None) -> None:
    more = [] if offered is None else [(b"sec-websocket-protocol", offered)]
    driver = Driver(make_head(headers=make_headers(*more)), ws_protocols=("chat", "b"))
    driver.reply({"accept": True})
    assert b"101" in driver.written and b"Sec-WebSocket-Protocol" not in driver.written
