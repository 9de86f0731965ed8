"""UDP through real sockets: messages, replies, floods, and servers that share a layer."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.layers.inmemory import ChannelLayer
from daphne.exceptions import ListenError
from daphne.server import Server
from tests.reactor import in_reactor
from tests.waiting import wait_until

LOCAL = "127.0.0.1:0"


def shout(message: dict[str, Any]) -> Any:
    """Sends back what came, in capitals."""
    return {"data": message["data"].upper()}


@pytest.fixture
def talk() -> Iterator[Callable[..., Any]]:
    """Makes clients of a UDP address."""
    made: list[socket.socket] = []

    def connect(address: tuple[str, int]) -> socket.socket:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.settimeout(10)
        client.connect(address)
        made.append(client)
        return client

    yield connect
    for one in made:
        one.close()


def address(server: Any, number: int = 0) -> tuple[str, int]:
    found: tuple[str, int] = in_reactor(lambda: server.server.udp_addresses[number])
    return found


def ask(client: socket.socket, data: bytes) -> bytes:
    client.send(data)
    return client.recv(65536)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_datagram_is_a_message_and_its_reply_a_datagram(serve, talk, host):
    one = serve(udp=[f"{host}:0"], endpoints=[])
    application = one.application(udp_receive=shout)
    client = talk(address(one))
    for data in (b"hello", b"", b"x" * 40_000, bytes(range(128))):
        assert ask(client, data) == data.upper()
    messages = application.messages("udp.receive")
    assert [message["data"] for message in messages][0] == b"hello"
    assert list(messages[0]["client"]) == list(client.getsockname()[:2])
    assert list(messages[0]["server"]) == list(address(one))
    (channel,) = {message["reply_channel"] for message in messages}
    assert len(channel.removeprefix("udp.send.").partition("!")[0]) == 32  # 128 bits


def test_the_largest_datagram(serve, talk):
    one = serve(udp=[LOCAL])
    one.application(udp_receive=shout)
    assert ask(talk(address(one)), b"x" * 65507) == b"X" * 65507


def test_replies_leave_from_the_socket_that_was_asked(serve, talk):
    one = serve(udp=[LOCAL, LOCAL])
    one.application(udp_receive=shout)
    # A connected socket hears nobody but the address that it is connected to.
    for number in (0, 1):
        assert ask(talk(address(one, number)), b"%d" % number) == b"%d" % number


def test_two_servers_on_one_layer_answer_only_their_own_clients(serve, talk):
    layer = ChannelLayer(capacity=1000)
    servers = [serve(layer, udp=[LOCAL]) for _ in range(2)]
    servers[0].application(udp_receive=shout)
    clients = [[talk(address(server)) for server in servers] for _ in range(10)]
    for turn in range(10):
        for number, pair in enumerate(clients):
            for which, client in enumerate(pair):
                client.send(b"%d %d %d" % (turn, number, which))
        for number, pair in enumerate(clients):
            for which, client in enumerate(pair):
                assert client.recv(100) == b"%d %d %d" % (turn, number, which)


def test_a_group_of_clients(serve, talk):
    layer = ChannelLayer()
    one = serve(layer, udp=[LOCAL])

    def join(message: dict[str, Any]) -> Any:
        layer.group_add("listeners", message["reply_channel"])
        return {"data": b"joined"}

    one.application(udp_receive=join)
    clients = [talk(address(one)) for _ in range(3)]
    assert [ask(client, b"hello") for client in clients] == [b"joined"] * 3
    layer.send_group("listeners", {"data": b"to all"})
    assert [client.recv(100) for client in clients] == [b"to all"] * 3


def dropped(server: Any, reason: str) -> int:
    count: int = in_reactor(lambda: server.server._udp.dropped.get(reason, 0))
    return count


def test_a_full_queue_drops_the_datagram_and_counts_it(serve, talk, caplog):
    layer = ChannelLayer(capacity=3)
    one = serve(layer, udp=[LOCAL])
    client = talk(address(one))
    for number in range(10):
        client.send(b"%d" % number)
    wait_until(lambda: dropped(one, "channel_full") == 7)
    lines = [line for line in caplog.text.splitlines() if "Datagrams are dropped" in line]
    assert len(lines) == 1 and "udp.receive is full" in lines[0]
    application = one.application(udp_receive=shout)
    assert [client.recv(100) for _ in range(3)] == [b"0", b"1", b"2"]
    assert ask(client, b"and on") == b"AND ON"
    assert len(application.messages("udp.receive")) == 4


def test_a_reply_that_is_none_is_told_and_ignored(serve, talk, caplog):
    one = serve(udp=[LOCAL])
    replies = iter([{"data": "text"}, {"data": b"x" * 65508}, {"text": "x"}, {"data": b"right"}])
    one.application(udp_receive=lambda message: next(replies))
    client = talk(address(one))
    for _ in range(4):
        client.send(b"x")
    assert client.recv(100) == b"right"
    assert dropped(one, "invalid_reply") == 3
    assert "A message to a client of UDP was ignored" in caplog.text
    assert "the key 'data' is 'text'" in caplog.text or "byte string" in caplog.text


def test_a_flood_does_not_keep_http_from_being_served(serve, talk):
    layer = ChannelLayer(capacity=100)
    one = serve(layer, udp=[LOCAL])
    one.application(http_request=lambda message: {"status": 204, "headers": [], "content": b""})
    flood = talk(address(one))
    flood.setblocking(False)
    client = one.client()
    for _ in range(20):
        for _ in range(200):
            try:
                flood.send(b"")
            except OSError:
                break
        assert client.get("/").status == 204


def test_clients_are_forgotten_by_number(serve, talk):
    one = serve(udp=[LOCAL], udp_max_clients=2)
    waiting: list[dict[str, Any]] = []
    one.application(udp_receive=waiting.append)
    clients = [talk(address(one)) for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(b"x")
        wait_until(lambda number=number: len(waiting) == number + 1)
    for message in waiting:
        one.layer.send(message["reply_channel"], {"data": b"late"})
    assert [client.recv(100) for client in clients[1:]] == [b"late"] * 2
    clients[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        clients[0].recv(100)
    assert in_reactor(lambda: len(one.server._udp._dispatch)) == 2


def test_a_server_needs_an_endpoint_or_a_udp_address():
    with pytest.raises(UserWarning, match="No endpoints"):
        Server(ChannelLayer(), udp=[])
    assert Server(ChannelLayer(), udp=[LOCAL]).endpoints == []


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("nonsense", "'nonsense' is no address; write host:port"),
        ("127.0.0.1:65536", "is no address"),
        ("::1:80", r"write host:port, or \[host\]:port for IPv6"),
        ("no.such.host:1", "udp no.such.host:1"),
        ("192.0.2.1:0", "cannot listen on udp 192.0.2.1:0"),
    ],
)
def test_an_address_that_cannot_be_used_is_an_error(where, reason):
    server = Server(ChannelLayer(), udp=[where], signal_handlers=False)
    with pytest.raises(ListenError, match=reason):
        in_reactor(server.start)


def test_the_end_of_a_server_closes_its_sockets(serve, talk, caplog):
    caplog.set_level("INFO", "daphne.server")
    one = serve(udp=[LOCAL], endpoints=[])
    host, port = address(one)
    wait_until(lambda: f"udp://{host}:{port}" in caplog.text)
    in_reactor(one.server.shut_down)
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind((host, port))
