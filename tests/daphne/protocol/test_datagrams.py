"""Datagrams to messages and replies to datagrams, without sockets."""

import pytest

from channels.exceptions import InvalidMessage
from channels.names import is_channel_name
from channels.spec import check_udp_receive
from daphne.options import Options
from daphne.protocol.datagrams import MAX_DATAGRAM, Client, Datagrams

PREFIX = "udp.send.0123456789abcdef0123456789abcdef!"
SOCKET = object()
SERVER = ("127.0.0.1", 5000)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def datagrams(clock: Clock | None = None, **options: object) -> Datagrams:
    return Datagrams(Options(**options), PREFIX, clock or Clock())  # type: ignore[arg-type]


def client(number: int = 1, host: str = "192.0.2.1", socket: object = SOCKET) -> Client:
    return Client((host, number), socket)


def local(one: Datagrams, who: Client, data: bytes = b"x") -> str:
    """The local part of the reply channel of a datagram."""
    message, _ = one.receive(data, who, SERVER)
    return message["reply_channel"].removeprefix(PREFIX)


def test_one_datagram_is_one_message() -> None:
    message, forgotten = datagrams().receive(b"\x00data", client(4711), SERVER)
    assert check_udp_receive(message, strict=True) == {
        "reply_channel": PREFIX + "1",
        "data": b"\x00data",
        "client": ["192.0.2.1", 4711],
        "server": ["127.0.0.1", 5000],
    }
    assert is_channel_name(message["reply_channel"]) and forgotten == []


def test_an_address_of_ipv6_has_host_and_port_in_the_message() -> None:
    one, who = datagrams(), Client(("fe80::1", 7, 0, 3), SOCKET)
    message, _ = one.receive(b"", who, ("::", 5000))
    assert message["client"] == ["fe80::1", 7]
    assert one.reply("1", {"data": b"back"}) == (who, b"back")


def test_a_client_keeps_its_reply_channel_and_others_have_others() -> None:
    one = datagrams()
    first = local(one, client(1))
    assert local(one, client(1)) == first
    others = {
        local(one, client(2)),
        local(one, client(1, "192.0.2.2")),
        local(one, client(1, socket=object())),
    }
    assert len(others | {first}) == 4 and len(one) == 4


def test_a_reply_goes_to_the_client_of_its_channel() -> None:
    one = datagrams()
    a, b = local(one, client(1)), local(one, client(2))
    assert one.reply(b, {"data": b"for b"}) == (client(2), b"for b")
    assert one.reply(a, {"data": b""}) == (client(1), b"")
    assert one.reply("99", {"data": b"for nobody"}) is None


def test_a_client_is_forgotten_after_its_time() -> None:
    clock = Clock()
    one = datagrams(clock, udp_client_timeout=10.0)
    old = local(one, client(1))
    clock.now += 9
    assert one.reply(old, {"data": b"x"}) is not None
    young = local(one, client(2))
    clock.now += 1
    assert one.reply(old, {"data": b"x"}) is None
    _, forgotten = one.receive(b"", client(3), SERVER)
    assert forgotten == [old] and len(one) == 2
    assert one.reply(young, {"data": b"x"}) is not None


def test_a_datagram_keeps_its_client_for_longer_and_a_reply_does_not() -> None:
    clock = Clock()
    one = datagrams(clock, udp_client_timeout=10.0)
    talks, listens = local(one, client(1)), local(one, client(2))
    for _ in range(3):
        clock.now += 4
        local(one, client(1))
        one.reply(listens, {"data": b"x"})
    assert one.reply(talks, {"data": b"x"}) is not None
    assert one.reply(listens, {"data": b"x"}) is None


def test_memory_is_bounded_by_the_number_of_clients() -> None:
    one = datagrams(udp_max_clients=100)
    for number in range(100):
        local(one, client(number))
    local(one, client(0))  # so the oldest is the next one
    _, forgotten = one.receive(b"", client(1000), SERVER)
    assert forgotten == ["2"] and len(one) == 100
    for number in range(2000, 12_000):
        local(one, client(number, f"192.0.2.{number % 250}"))
    assert len(one) == 100 and len(one._by_local) == 100


def test_without_memory_a_client_is_forgotten_at_once() -> None:
    one = datagrams(udp_client_timeout=0)
    _, forgotten = one.receive(b"", client(), SERVER)
    assert forgotten == ["1"] and len(one) == 0


def test_an_identifier_is_never_used_again() -> None:
    one = datagrams(udp_max_clients=1)
    assert len({local(one, client(number % 2)) for number in range(50)}) == 50


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"data": "text"},
        {"data": None},
        {"data": b"x", "text": "y"},
        {"data": b"x" * (MAX_DATAGRAM["ipv4"] + 1)},
    ],
    ids=["empty", "text", "none", "unknown-key", "too-large"],
)
def test_what_is_no_reply_is_refused(message: dict[str, object]) -> None:
    one = datagrams()
    channel = local(one, client())
    with pytest.raises(InvalidMessage, match="data|text"):
        one.reply(channel, message)


def test_the_largest_replies() -> None:
    one = datagrams()
    for host, size in (("192.0.2.1", 65507), ("2001:db8::1", 65527)):
        channel = local(one, client(1, host))
        assert one.reply(channel, {"data": b"x" * size}) is not None
        with pytest.raises(InvalidMessage, match=f"carries {size} at most"):
            one.reply(channel, {"data": b"x" * (size + 1)})
