"""The spellings of ``hosts``."""

import pytest
import redis.connection

from channels.layers.redis import RedisChannelLayer
from channels.layers.redis.hosts import parse_hosts


def parsed(host, **shared):
    return parse_hosts([host], shared)[0]


def test_without_hosts_the_server_of_this_machine_is_meant():
    (address,) = parse_hosts(None)
    assert address.text == "localhost:6379"
    assert address.kind is redis.connection.Connection


def test_a_pair_of_host_and_port_is_taken():
    assert parsed(("redis.example", 7000)).arguments["port"] == 7000
    assert parsed(["redis.example", "7000"]).text == "redis.example:7000"


def test_a_url_tells_database_user_and_password():
    address = parsed("redis://chat:p%40ss@redis.example:7000/3")
    assert address.text == "redis.example:7000"
    assert {key: address.arguments[key] for key in ("username", "password", "db")} == {
        "username": "chat",
        "password": "p@ss",
        "db": 3,
    }


def test_a_url_may_ask_for_tls_or_a_unix_socket():
    assert parsed("rediss://redis.example").kind is redis.connection.SSLConnection
    address = parsed("unix:///run/redis.sock?db=2")
    assert address.kind is redis.connection.UnixDomainSocketConnection
    assert address.text == "/run/redis.sock"
    assert address.arguments["db"] == 2


def test_a_dict_of_arguments_is_taken():
    address = parsed({"host": "redis.example", "ssl": True, "ssl_cert_reqs": "none"})
    assert address.kind is redis.connection.SSLConnection
    assert address.arguments["ssl_cert_reqs"] == "none"
    assert parsed({"address": "redis://redis.example:1", "db": 4}).arguments["db"] == 4
    assert parsed({"path": "/run/redis.sock"}).text == "/run/redis.sock"


def test_arguments_for_all_servers_yield_to_those_of_one():
    address = parsed("redis://redis.example?socket_timeout=8", socket_timeout=6, client_name="web")
    assert address.arguments["socket_timeout"] == 8
    assert address.arguments["client_name"] == "web"


@pytest.mark.parametrize("hosts", ["redis://localhost", b"localhost", "", []])
def test_what_is_no_list_of_servers_is_refused(hosts):
    with pytest.raises(ValueError, match="hosts must"):
        RedisChannelLayer(hosts=hosts)


@pytest.mark.parametrize("host", [None, 6379, ("a", 1, 2), "http://redis.example", "localhost"])
def test_what_is_no_server_is_refused(host):
    with pytest.raises(ValueError):
        parse_hosts([host])


def test_a_refused_url_does_not_show_its_password():
    with pytest.raises(ValueError) as refused:
        parse_hosts(["http://chat:secret@redis.example"])
    assert "secret" not in str(refused.value)


def test_a_short_socket_timeout_is_refused():
    with pytest.raises(ValueError, match="socket_timeout"):
        RedisChannelLayer(connection_kwargs={"socket_timeout": 4.9})
    with pytest.raises(ValueError, match="socket_timeout"):
        RedisChannelLayer(hosts=["redis://localhost?socket_timeout=1"])
    RedisChannelLayer(connection_kwargs={"socket_timeout": 5})


def test_a_single_key_is_refused():
    with pytest.raises(ValueError, match="symmetric_encryption_keys"):
        RedisChannelLayer(symmetric_encryption_keys="secret")
