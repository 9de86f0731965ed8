"""No reply ever reaches another command than its own, whatever happens to connections.

Each request writes and reads back a token that nobody else has. Connections are killed by the
server, cut by a proxy in the middle of a reply, and left by threads that were interrupted.
"""

import random
import secrets
import threading

import pytest

from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Endpoint
from channels.layers.redis.hosts import parse_hosts
from tests.layers.redis.lent import lent_servers


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt and its kind."""


class CuttingSocket:
    """A socket on which reading fails after so many bytes, as an interrupt would make it."""

    def __init__(self, sock, left):
        self._sock = sock
        self._left = left

    def recv_into(self, buffer):
        if self._left <= 0:
            raise Interrupted
        size = self._sock.recv_into(memoryview(buffer)[: min(self._left, len(buffer))])
        self._left -= size
        return size

    def __getattr__(self, name):
        return getattr(self._sock, name)


def echo(token):
    return b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(token), token)


def test_a_command_that_was_interrupted_at_any_byte_leaves_no_reply_behind():
    endpoint = Endpoint(parse_hosts(lent_servers(1))[0])
    token = secrets.token_hex(16).encode()
    reply_size = len(b"$32\r\n") + len(token) + 2
    for offset in range(reply_size):
        connection = endpoint.take()
        connection.sock = CuttingSocket(connection.sock, offset)
        endpoint.give_back(connection)
        with pytest.raises(Interrupted):
            endpoint.call(echo(token))
        for _ in range(2):
            other = secrets.token_hex(16).encode()
            assert endpoint.call(echo(other)) == other
    endpoint.close()


def test_never_another_clients_data_while_connections_are_killed():
    endpoint = Endpoint(parse_hosts(lent_servers(1))[0])
    stopped = threading.Event()
    foreign, answered, failed = [], [], []

    def ask(seed):
        generator = random.Random(seed)
        for _ in range(1250):
            token = secrets.token_hex(generator.randrange(1, 200)).encode()
            try:
                reply = endpoint.call(echo(token))
            except LayerUnavailable:
                failed.append(token)
                continue
            answered.append(token)
            if reply != token:
                foreign.append(reply)

    def kill():
        killer = Endpoint(parse_hosts(lent_servers(1))[0])
        while not stopped.wait(0.05):
            killer.call(b"*4\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$4\r\nTYPE\r\n$6\r\nnormal\r\n")
        killer.close()

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    killing = threading.Thread(target=kill)
    for thread in (*threads, killing):
        thread.start()
    for thread in threads:
        thread.join(60)
    stopped.set()
    killing.join(10)
    assert not foreign
    assert len(answered) + len(failed) == 10_000
    assert len(answered) > 1_000
    endpoint.close()
