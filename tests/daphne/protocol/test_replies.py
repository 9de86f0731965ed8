"""What Send/Close/Accept messages mean."""

import logging
from typing import Any

import pytest

from daphne.protocol import replies
from daphne.protocol.replies import Reply, Verdict, read_reply


def read(message: dict[str, Any]) -> Reply:
    reply = read_reply(message, {})
    assert reply is not None
    return reply


def frame(reply: Reply) -> bytes | None:
    return None if reply.write is None else reply.write.data


# -- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message, expected",
    [
        ({"text": "hi"}, b"\x81\x02hi"),
        ({"text": "ü"}, b"\x81\x02\xc3\xbc"),
        ({"text": ""}, b"\x81\x00"),
        ({"bytes": b"hi"}, b"\x82\x02hi"),
        ({"bytes": b""}, b"\x82\x00"),
        ({"text": None, "bytes": b""}, b"\x82\x00"),
        ({"text": "", "bytes": None}, b"\x81\x00"),
        ({"text": None, "bytes": None}, None),
        ({}, None),
    ],
)
def test_data_becomes_a_frame(message: dict[str, Any], expected: bytes | None) -> None:
    assert frame(read(message)) == expected


# -- the handshake ------------------------------------------------------------------------------

DATA: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"text": None}, False),
    ({"bytes": None}, False),
    ({"text": None, "bytes": None}, False),
    ({"text": ""}, False),
    ({"bytes": b""}, False),
    ({"text": "x"}, True),
    ({"bytes": b"x"}, True),
    ({"text": "x", "bytes": None}, True),
]
CLOSE: list[tuple[dict[str, Any], int | None]] = [
    ({}, None),
    ({"close": False}, None),
    ({"close": None}, None),
    ({"close": 0}, None),
    ({"close": True}, 1000),
    ({"close": 1001}, 1001),
    ({"close": 4321}, 4321),
    ({"close": 1}, 1011),
    ({"close": 1005}, 1011),
]


@pytest.mark.parametrize("data, filled", DATA)
@pytest.mark.parametrize("close, code", CLOSE)
@pytest.mark.parametrize("accept", [{"accept": True}, {"accept": False}, {"accept": None}, {}])
def test_each_cell_of_the_table(
    accept: dict[str, Any],
    close: dict[str, Any],
    code: int | None,
    data: dict[str, Any],
    filled: bool,
) -> None:
    if accept.get("accept") is True:
        expected = Verdict.ACCEPT
    elif accept.get("accept") is False:
        expected = Verdict.REJECT
    elif filled:
        expected = Verdict.ACCEPT
    elif code is not None:
        expected = Verdict.REJECT
    else:
        expected = Verdict.WAIT
    reply = read({**accept, **close, **data})
    assert (reply.verdict, reply.close) == (expected, code)


# -- close codes --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_an_application_may_close_with_these_codes(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert read({"close": code}).close == code
    assert not caplog.records


@pytest.mark.parametrize("code", [1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 10**9])
def test_another_code_is_logged_and_becomes_1011(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert read({"close": code}).close == 1011
    assert [record.name for record in caplog.records] == ["daphne.ws_protocol"]
    assert str(code) in caplog.text


# -- invalid messages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"text": "a", "bytes": b"a"},
        {"text": "", "bytes": b""},
        {"text": "a", "bytes": b"a", "accept": True},
        {"text": b"a"},
        {"bytes": "a"},
        {"text": 1},
        {"accept": 1},
        {"accept": "yes"},
        {"close": "1000"},
        {"close": -1},
        {"close": 1000.0},
        {"content": "hello"},
        {"text": "a", "status": 200},
        {"text": "\ud800"},
    ],
)
def test_an_invalid_message_is_logged_and_ignored(
    message: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "daphne.ws_protocol"):
        assert read_reply(message, {}) is None
    assert len(caplog.records) == 1


# -- fan-out ------------------------------------------------------------------------------------


def test_a_delivery_is_read_once_for_all_its_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = replies.build_frame
    monkeypatch.setattr(replies, "build_frame", lambda *args: built.append(1) or build(*args))
    shared: dict[Any, Any] = {}
    first = read_reply({"text": "news"}, shared)
    assert all(read_reply({"text": "news"}, shared) is first for _ in range(100))
    assert len(built) == 1


def test_an_invalid_delivery_is_logged_once_for_all_its_targets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared: dict[Any, Any] = {}
    assert {read_reply({"oops": 1}, shared) for _ in range(100)} == {None}
    assert len(caplog.records) == 1
