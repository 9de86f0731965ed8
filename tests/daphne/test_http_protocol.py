"""The factory: limits of connections, and closing all of them."""

from daphne.protocol.core import Core
from daphne.protocol.operations import Close, Write
from tests.daphne.cores import Script
from tests.reactor import in_reactor
from tests.waiting import wait_until


def echo(core: Core, data: bytes) -> None:
    core.emit(Write(data))


def test_connections_over_the_limit_are_closed(shell, caplog):
    one = shell(Script(receive_data=echo), max_connections=2)
    first, second = one.connect(), one.connect()
    wait_until(lambda: len(one.factory) == 2)
    assert one.connect().recv(1) == b""
    first.close()
    for core in one.script.cores[:1]:
        wait_until(lambda core=core: "receive_eof" in core.names())
    second.sendall(b"x")
    assert second.recv(1) == b"x"
    assert "--max-connections" in caplog.text


def test_connections_of_one_address_are_limited(shell):
    one = shell(Script(receive_data=echo), max_connections_per_address=1, trusted_proxies=())
    first = one.connect()
    wait_until(lambda: len(one.factory) == 1)
    assert one.connect().recv(1) == b""
    in_reactor(one.factory.abort)
    wait_until(lambda: len(one.factory) == 0)
    again = one.connect()
    again.sendall(b"x")
    assert again.recv(1) == b"x"
    first.close()


def test_trusted_proxies_are_not_limited(shell):
    one = shell(Script(receive_data=echo), max_connections_per_address=1)
    for client in [one.connect() for _ in range(3)]:
        client.sendall(b"x")
        assert client.recv(1) == b"x"


def test_shedding_asks_every_core_to_shut_down(shell, caplog):
    one = shell(Script(shutdown=lambda core: core.emit(Close())))
    clients = [one.connect() for _ in range(20)]
    wait_until(lambda: len(one.factory) == 20)
    in_reactor(one.factory.shed, "a test says so")
    for client in clients:
        assert client.recv(1) == b""
    assert "a test says so" in caplog.text
    assert one.connect().send(b"x") == 1  # it goes on listening
