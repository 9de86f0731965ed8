"""The layer in Twisted's reactor: replies, connections that break, servers that hang."""

import secrets
from signal import SIGCONT, SIGSTOP

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.conformance.asynchronous import TwistedConformance
from channels.layers.redis import RedisChannelLayer, connection
from channels.layers.redis.twisted import _session
from tests.layers.redis.hooks import RedisHooks
from tests.reactor import in_reactor
from tests.waiting import wait_until


class TestServerWithoutBlmpop(RedisHooks, TwistedConformance):
    """Redis 6.2 has no BLMPOP: interface servers pop one message and take the rest after it."""

    @pytest.fixture(autouse=True)
    def without_blmpop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "_BLMPOP_VERSION", (99,))

    def test_several_messages_come_at_once(self) -> None:
        for number in range(5):
            self.layer.send("serv!a", {"n": number})
        deliveries = self.in_reactor(self.layer.receive_deliveries_twisted, ["serv!"])
        assert [delivery.message["n"] for delivery in deliveries] == list(range(5))


@pytest.fixture
def layer(server):
    layer = RedisChannelLayer(hosts=[server.url])
    yield layer
    layer.close()


def echo(token):
    return b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(token), token)


def ask(layer, count):
    """Send ``count`` commands at once; pairs of what was sent and what came back."""
    session, shard = _session(layer), layer.topology.shards[0]
    deferreds = []
    for _ in range(count):
        token = secrets.token_hex(secrets.randbelow(300) + 1).encode()
        deferred = Deferred()
        session.call(shard, echo(token), lambda reply, d=deferred, t=token: d.callback((t, reply)))
        deferreds.append(deferred)
    return gatherResults(deferreds)


def test_pipelined_commands_get_their_own_replies_while_connections_are_killed(layer, server):
    answered = 0
    for number in range(100):
        if number % 3 == 2:
            server.ask("CLIENT", "KILL", "TYPE", "normal")
        for token, reply in in_reactor(ask, layer, 100):
            if isinstance(reply, Exception):
                assert isinstance(reply, LayerUnavailable)
            else:
                assert reply == token
                answered += 1
    assert answered > 5_000


def test_replies_that_are_cut_off_reach_no_other_command(layer):
    """The reader has had part of a reply when its connection breaks, at each place."""
    session, shard = in_reactor(_session, layer), layer.topology.shards[0]

    def cut(after):
        stream = session._links[shard].stream
        stream.connection._reader.feed((b"$64\r\n" + b"f" * 64 + b"\r\n")[:after])
        waiting = ask(layer, 3)
        stream.lose(ConnectionResetError("cut"))
        return waiting

    for after in range(1, 71):
        ((token, reply),) = in_reactor(ask, layer, 1)
        assert reply == token
        for _, reply in in_reactor(cut, after):
            assert isinstance(reply, LayerUnavailable)


def test_a_hanging_server_does_not_block_the_reactor(layer, server):
    in_reactor(layer.send_twisted, "one", {"n": 1})
    waiting = []
    server.signal(SIGSTOP)
    try:
        in_reactor(lambda: waiting.append(layer.send_twisted("one", {"n": 2})))
        in_reactor(lambda: waiting.append(layer.receive_twisted(["two"])))
        in_reactor(lambda: waiting.append(layer.new_channel_twisted("serv!")))
        for _ in range(100):
            in_reactor(lambda: None)
        assert not any(deferred.called for deferred in waiting)
    finally:
        server.signal(SIGCONT)
    wait_until(lambda: waiting[0].called and waiting[2].called)
    waiting[1].addErrback(lambda failure: failure.trap(CancelledError))
    in_reactor(waiting[1].cancel)
    assert layer.receive(["one"], True)[1] == {"n": 1}
    assert layer.receive(["one"], True)[1] == {"n": 2}


def test_a_receive_lives_through_the_end_of_its_connection(layer, server):
    waiting = []
    in_reactor(lambda: waiting.append(layer.receive_twisted(["one"])))
    for _ in range(2):
        wait_until(lambda: int(server.info("clients")["blocked_clients"]) == 1)
        server.ask("CLIENT", "KILL", "TYPE", "normal")
    wait_until(lambda: int(server.info("clients")["blocked_clients"]) == 1)
    layer.send("one", {"n": 1})
    wait_until(lambda: waiting[0].called)
    assert waiting[0].result == ("one", {"n": 1})


def test_without_a_server_everything_fails_and_works_again_with_it(layer, server):
    in_reactor(layer.send_twisted, "one", {})
    server.stop()
    for call in (
        lambda: layer.send_twisted("one", {}),
        lambda: layer.receive_twisted(["one"]),
        lambda: layer.receive_deliveries_twisted(["serv!"]),
        lambda: layer.room_twisted("one"),
        lambda: layer.new_channel_twisted("serv!"),
    ):
        with pytest.raises(LayerUnavailable):
            in_reactor(call)
    server.start()
    in_reactor(layer.send_twisted, "one", {"n": 1})
    assert in_reactor(layer.receive_twisted, ["one"]) == ("one", {"n": 1})


def test_a_closed_layer_ends_its_receives_and_leaves_the_reactor_alone(layer, server):
    waiting = []
    in_reactor(lambda: waiting.append(layer.receive_twisted(["one"])))
    wait_until(lambda: int(server.info("clients")["blocked_clients"]) == 1)
    session = layer._reactor_session
    layer.close()
    wait_until(lambda: waiting[0].called)
    assert waiting[0].result == (None, None)
    outcome = []
    in_reactor(session.call, layer.topology.shards[0], resp.pack(("PING",)), outcome.append)
    assert "the layer was closed" in str(outcome[0])
    assert not session._streams and session._look is None
    assert in_reactor(layer.send_twisted, "one", {"n": 1}) is None  # opened anew
