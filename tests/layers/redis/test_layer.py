"""What the kit does not ask of a layer over Redis: connections, refusals, keys, forks."""

import logging
import os
import re
import threading
import time
from pathlib import Path

import pytest
import redis

from channels import codec
from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis import RedisChannelLayer, listening
from channels.layers.redis.connection import Endpoint, NotDone, error_code
from channels.layers.redis.hosts import parse_hosts
from channels.layers.redis.scripts import SCRIPTS
from tests.layers.redis.lent import fresh_prefix, lent_servers
from tests.servers.redis import RedisServer
from tests.waiting import wait_until


@pytest.fixture
def layer():
    layer = RedisChannelLayer(hosts=lent_servers(1), capacity=5, **fresh_prefix())
    yield layer
    layer.close()


def of_server(server, **arguments):
    return RedisChannelLayer(hosts=[server.url], **arguments)


# Connections


def test_the_socket_of_redis_py_becomes_ours_without_notifications_or_time_outs():
    endpoint = Endpoint(parse_hosts(lent_servers(1))[0])
    connection = endpoint.connect()
    maker = endpoint.address.kind(**endpoint.address.arguments, protocol=2)
    maker.connect()
    try:
        assert maker._sock.fileno() >= 0, "redis-py keeps its socket elsewhere"
        assert maker.protocol == 2
        configuration = getattr(maker, "maint_notifications_config", None)
        assert configuration is None or configuration.enabled is False
        assert connection.sock.gettimeout() is None
        assert connection.exchange(b"*1\r\n$4\r\nPING\r\n") == b"PONG"
    finally:
        maker.disconnect()
        connection.close()


def test_connections_go_on_when_redis_py_s_object_is_gone(layer):
    for number in range(3):
        layer.send("one", {"n": number})
        assert layer.receive(["one"]) == ("one", {"n": number})
    assert len(layer.topology.shards[0].endpoint()._idle) == 1


def test_unix_sockets_and_databases_are_served(server):
    path = f"{server.folder}/redis.sock"
    first = RedisChannelLayer(hosts=[f"unix://{path}"])
    second = RedisChannelLayer(hosts=[{"path": path, "db": 1}])
    first.send("one", {"n": 1})
    assert second.receive(["one"]) == (None, None)
    assert of_server(server).receive(["one"]) == ("one", {"n": 1})
    for layer in (first, second):
        layer.close()


def test_an_older_server_is_refused_by_its_version():
    endpoint = Endpoint(parse_hosts(None)[0])
    assert endpoint._checked_version("6.2.14") == (6, 2, 14)
    assert endpoint._checked_version("10.0.0") == (10, 0, 0)
    for version in ("6.0.16", "5.0.3", ""):
        with pytest.raises(LayerUnavailable, match=r"6\.2 or later"):
            endpoint._checked_version(version)


def test_a_connection_that_was_killed_while_idle_is_made_anew(layer, client):
    layer.send("one", {})
    (connection,) = layer.topology.shards[0].endpoint()._idle
    client.client_kill_filter(_id=connection.client_id)
    wait_until(lambda: str(connection.client_id) not in client_ids(client))
    connection.used_at = 0.0  # as after a pause
    assert layer.receive(["one"]) == ("one", {})


def client_ids(client):
    return {entry["id"] for entry in client.client_list()}


def test_a_killed_blocking_receive_goes_on(layer, client):
    received = []
    thread = threading.Thread(
        target=lambda: received.append(layer.receive(["one"], True, timeout=10))
    )
    thread.start()
    for _ in range(3):
        blocked = wait_until(lambda: blocked_clients(client, layer))
        client.client_kill_filter(_id=blocked[0])
        wait_until(lambda gone=blocked[0]: gone not in client_ids(client))
    wait_until(lambda: blocked_clients(client, layer))
    layer.send("one", {"n": 1})
    thread.join(10)
    assert received == [("one", {"n": 1})]


def blocked_clients(client, layer):
    commands = next(iter(layer._blocked), None)
    return commands and [
        entry["id"] for entry in client.client_list() if entry["cmd"] in {"blpop", "blmpop"}
    ]


def pops(client):
    return client.info("commandstats").get("cmdstat_blpop", {"calls": 0})["calls"]


@pytest.mark.parametrize("servers", [1, 4])
def test_blocking_commands_are_renewed_when_their_time_is_over(servers, monkeypatch):
    monkeypatch.setattr(listening, "BLOCK_SECONDS", 1)
    layer = RedisChannelLayer(hosts=lent_servers(servers), **fresh_prefix())
    received = []
    thread = threading.Thread(
        target=lambda: received.append(layer.receive(["one"], True, timeout=30))
    )
    with redis.Redis.from_url(lent_servers(1)[0]) as client:
        before = pops(client)
        thread.start()
        wait_until(lambda: pops(client) > before + 1)
    layer.send("one", {"n": 1})
    thread.join(10)
    assert received == [("one", {"n": 1})]
    layer.close()


# Refusals


def test_a_server_that_is_not_there_is_named(server):
    layer = of_server(server)
    layer.send("one", {})
    server.stop()
    for call in (
        lambda: layer.send("one", {}),
        lambda: layer.receive(["one"]),
        lambda: layer.receive(["one"], block=True),
        lambda: layer.group_add("group", "one"),
        lambda: layer.send_group("group", {}),
        lambda: layer.group_channels("group"),
        lambda: layer.wait_for_room("one", 5),
        layer.global_statistics,
        layer.flush,
    ):
        with pytest.raises(LayerUnavailable, match=f"127.0.0.1:{server.port}"):
            call()
    with pytest.raises(ConnectionError):
        layer.send("one", {})
    assert layer.has_listener("one")
    server.start()
    layer.send("one", {"n": 1})
    assert layer.receive(["one"], True) == ("one", {"n": 1})
    layer.close()


def test_a_wrong_password_says_so():
    with RedisServer("--requirepass", "right") as server:
        for password in ("", ":wrong@"):
            layer = RedisChannelLayer(hosts=[f"redis://{password}127.0.0.1:{server.port}"])
            with pytest.raises(LayerUnavailable, match="password") as refused:
                layer.send("one", {})
            assert "wrong" not in str(refused.value).replace("WRONGPASS", "")
        layer = RedisChannelLayer(hosts=[f"redis://:right@127.0.0.1:{server.port}"])
        layer.send("one", {})
        layer.close()


def test_a_user_with_the_permissions_that_the_documentation_names_may_do_everything(server):
    text = " ".join(Path("docs/redis.md").read_text(encoding="utf-8").split())
    commands = re.search(r"the commands `([^`]*)`", text)[1].split()
    keys = re.search(r"the keys `(\S*)` and `(\S*)`", text).groups()
    server.ask("ACL", "SETUSER", "web", "on", ">secret", *keys, *commands)
    layer = RedisChannelLayer(hosts=[f"redis://web:secret@127.0.0.1:{server.port}/1"], capacity=20)
    for number in range(18):
        layer.send("serv!a", {"n": number})
    for number in range(20):
        layer.send("full", {"n": number})
    assert not layer.wait_for_room("full", 0.01)
    layer.group_add("group", "serv!a")
    layer.send_group("group", {})
    assert layer.group_channels("group") == ["serv!a"]
    assert layer.receive(["serv!"], True)[0] == "serv!a"
    assert layer.receive(["none"], True, 0.01) == (None, None)
    assert layer.new_channel("serv!")
    layer.announce_listening("worker", ["one"])
    assert not layer.has_listener("two")
    layer.group_discard("group", "serv!a")
    assert layer.global_statistics()["messages_count"] == 39
    layer.flush()
    layer.close()


def test_a_full_memory_refuses_messages_and_gives_out_those_that_are_there(server):
    layer = of_server(server, capacity=10_000)
    layer.send("one", {"n": 1})
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1mb")
        with pytest.raises(LayerUnavailable, match="maxmemory"):
            while True:
                layer.send("one", {"fill": b"x" * 10_000})
        assert layer.receive(["one"], True) == ("one", {"n": 1})
        client.config_set("maxmemory", 0)
        layer.send("two", {"n": 2})
        assert layer.receive(["two"]) == ("two", {"n": 2})
    layer.close()


def test_scripts_that_the_server_forgot_are_loaded_again(layer, client):
    layer.send("one", {"n": 1})
    client.script_flush()
    layer.group_add("group", "one")
    client.script_flush()
    layer.send_group("group", {"n": 2})
    client.script_flush()
    assert layer.receive(["one"]) == ("one", {"n": 1})
    assert layer.receive(["one"], True) == ("one", {"n": 2})


def test_what_another_program_stored_is_dropped_and_counted(layer, client, caplog):
    key = layer.topology.shards[0].queue_keys("one")[0]
    good = codec.pack_envelope(codec.encode({"n": 1}), int(time.time() * 1000) + 60_000)
    client.rpush(key, b"\x02" + good[1:], b"\x01short", good[:-1], good)
    with caplog.at_level(logging.WARNING, logger="channels.layers"):
        assert layer.receive(["one"]) == ("one", {"n": 1})
    assert layer.drops == 3
    assert "invalid" in caplog.text


# Time


def test_expiry_goes_by_the_clock_of_the_server(layer):
    endpoint = layer.topology.shards[0].endpoint()
    layer.send("serv!a", {"n": 1})
    generation = layer.generation("serv!")
    endpoint.set_clock(endpoint.now() + 3_600_000)  # as if our clock ran an hour ahead
    assert layer.receive(["serv!"]) == ("serv!a", {"n": 1})
    assert layer.generation("serv!") == generation


def test_keys_are_gone_with_what_they_hold(client):
    layer = RedisChannelLayer(hosts=lent_servers(1), expiry=0.2, group_expiry=0.4, **fresh_prefix())

    def kinds():
        keys = client.keys(layer.prefix + "*")
        return {key.decode().removeprefix(layer.prefix).partition(":")[0] for key in keys}

    def are_there():
        """Fill the layer, and look before it expires."""
        for channel in ("one", "two?x", "three!y"):
            layer.send(channel, {})
            layer.group_add("group", channel)
        layer.send_group("group", {})
        return kinds() >= {"q", "i", "g", "m", "p"}

    wait_until(are_there)
    wait_until(lambda: kinds() <= {"epoch"})
    for key in client.keys(layer.stats_prefix + "*"):
        assert 0 < client.ttl(key) <= 86400
    layer.close()


def test_a_restarted_server_is_another_generation(server):
    layer = of_server(server)
    first = layer.generation()
    server.stop()
    assert layer.generation() == first
    server.start()
    wait_until(lambda: layer.generation() != first)
    assert layer.generation("serv!").startswith(layer.generation())
    layer.close()


def test_a_flushall_by_hand_is_another_generation(server):
    layer = of_server(server)
    first = layer.generation("serv!")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    wait_until(lambda: layer.generation("serv!") != first)
    layer.close()


# Capacity


def test_a_process_channel_is_full_by_bytes_too(layer):
    layer = RedisChannelLayer(hosts=lent_servers(1), capacity=1000, **fresh_prefix())
    sent = 0
    with pytest.raises(layer.ChannelFull):
        while sent < 100:
            layer.send("serv!a", {"bytes": bytes(1024 * 1024 * 3)})
            sent += 1
    assert 16 <= sent <= 22
    layer.send("other!a", {})
    layer.flush()
    layer.close()


# Forks and threads


def test_the_child_of_a_fork_uses_connections_of_its_own(layer):
    layer.send("one", {"n": 0})
    layer.receive(["one"], True)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - another process
        try:
            for number in range(1, 6):
                layer.send("one", {"n": number})
            os.write(writing, b"sent" if not layer._blocked else b"?")
        finally:
            os._exit(0)
    received = [layer.receive(["one"], True, 10)[1]["n"] for _ in range(5)]
    assert os.read(reading, 10) == b"sent"
    assert os.waitpid(child, 0)[1] == 0
    os.close(reading)
    os.close(writing)
    assert received == [1, 2, 3, 4, 5]
    layer.send("one", {"n": 6})
    assert layer.receive(["one"]) == ("one", {"n": 6})


def test_a_closed_layer_has_no_connection_left(server):
    layer = of_server(server)
    layer.receive(["one"], True, 0.01)
    layer.send("one", {})
    with redis.Redis.from_url(server.url) as client:
        layer.close()
        wait_until(lambda: len(client.client_list()) == 1)
        layer.send("two", {})
        assert layer.receive(["one", "two"])[0] == "one"
        layer.close()


# Scripts


def test_scripts_are_packed_with_the_package():
    assert {script.name for script in SCRIPTS} >= {"push", "take", "group_send", "check"}
    assert all(script.source.count("KEYS") for script in SCRIPTS)


def test_what_was_surely_not_stored_is_told_apart():
    layer = RedisChannelLayer(hosts=[("127.0.0.1", 1)])
    with pytest.raises(NotDone):
        layer.send("one", {})


def test_an_error_in_a_script_is_known_on_every_version():
    before_7 = "ERR Error running script (call to f_12ab): @user_script:3: @user_script: 3: -OOM no"
    assert error_code(resp.ReplyError(before_7)) == "OOM"
    assert error_code(resp.ReplyError("READONLY You can't write")) == "READONLY"
    assert error_code(resp.ReplyError("ERR syntax error")) == "ERR"
