"""The admin address: health, readiness and metrics, of servers that work and of others."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from channels.exceptions import LayerUnavailable
from channels.layers.inmemory import ChannelLayer
from daphne.endpoints import admin_endpoint
from daphne.exceptions import ListenError
from daphne.observation import Observation
from daphne.server import Server
from tests.daphne.clients import HttpClient, Response
from tests.reactor import in_reactor
from tests.waiting import wait_until

LOCAL = "127.0.0.1:0"


class Watched:
    """A server with an admin address, and who looks at it."""

    def __init__(self, serve: Callable[..., Any], layer: Any = None, **options: Any) -> None:
        options = {"admin": LOCAL, **options}
        self.one = serve(**options) if layer is None else serve(layer, **options)
        address = in_reactor(lambda: self.one.server.admin_address)
        self.address = (address.host, address.port)

    @property
    def observation(self) -> Observation:
        observation: Observation = self.one.server._admin.observation
        return observation

    def client(self) -> HttpClient:
        client: HttpClient = self.one.client(self.address)
        return client

    def get(self, path: str, **headers: str) -> Response:
        client = self.client()
        try:
            return client.get(path, **headers)
        finally:
            client.close()

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Values by name, each by the values of its labels."""
        response = self.get("/metrics")
        assert response.status == 200
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(response.body.decode()):
            for sample in family.samples:
                labels = tuple(sample.labels.values())
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def value(self, name: str, *labels: str) -> float:
        return self.metrics()[name].get(labels, 0.0)


@pytest.fixture
def watch(serve: Callable[..., Any]) -> Callable[..., Watched]:
    return lambda *args, **options: Watched(serve, *args, **options)


def hello(message: dict[str, Any]) -> Any:
    return {"status": 200, "headers": [], "content": b"hello"}


def accept(message: dict[str, Any]) -> Any:
    return {"accept": True}


def nothing(message: dict[str, Any]) -> None:
    """Answers nothing."""


# -- health and readiness -------------------------------------------------------------------------


def test_a_server_that_serves_is_healthy_and_ready(watch):
    one = watch()
    for path, body in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        response = one.get(path)
        assert (response.status, response.body) == (200, body)
        assert response.get("Cache-Control") == "no-store"


def test_other_pages_and_methods_are_refused(watch):
    one = watch()
    assert one.get("/").status == 404
    client = one.client()
    client.request("/healthz", "HEAD")
    assert client.response(head=True).status == 200
    client.request("/healthz", "DELETE")
    refusal = client.response()
    assert (refusal.status, refusal.get("Allow")) == (405, "GET, HEAD")
    client.request("/healthz", "POST", b"x")
    assert client.response().status == 413


def test_websockets_are_refused_at_the_admin_address(watch):
    one = watch()
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://127.0.0.1:{one.address[1]}/healthz")
    assert caught.value.response.status_code == 403


class Away(ChannelLayer):
    """A layer whose server can be taken away."""

    away = False

    def send_twisted(self, channel: str, message: Any) -> Any:
        if self.away:
            raise LayerUnavailable("the test took it away")
        return super().send_twisted(channel, message)


def test_a_server_whose_layer_is_away_is_healthy_and_not_ready(watch):
    layer = Away()
    one = watch(layer)
    layer.away = True
    response = one.get("/readyz")
    assert response.status == 503
    assert response.body == (b"the channel layer failed: LayerUnavailable: the test took it away\n")
    assert one.get("/healthz").status == 200
    assert one.value("daphne_layer_up") == 0
    layer.away = False
    assert one.get("/readyz").status == 200
    assert one.value("daphne_layer_up") == 1


class Swallowing(ChannelLayer):
    """A layer that takes messages and brings none."""

    def send_twisted(self, channel: str, message: Any) -> Any:
        return super().send_twisted("elsewhere", message)


def test_a_layer_that_brings_nothing_back_is_not_ready(watch):
    one = watch(Swallowing())
    clients = [one.client() for _ in range(5)]
    for client in clients:
        client.request("/readyz")
    for client in clients:
        response = client.response()
        assert response.status == 503 and b"did not bring back a message" in response.body


def test_a_server_that_is_stopping_is_not_ready_until_it_has_ended(watch):
    one = watch(shutdown_timeout=20)
    application = one.one.application(http_request=nothing)
    waiting = one.one.client()
    waiting.request("/slow")
    wait_until(lambda: application.messages("http.request"))
    admin = one.client()
    assert admin.get("/readyz").status == 200
    ended: list[Any] = []
    in_reactor(lambda: one.one.server.shut_down().addCallback(ended.append) and None)
    response = admin.get("/readyz")
    assert response.status == 503 and b"the server is stopping\n" in response.body
    assert admin.get("/healthz").status == 200
    (message,) = application.messages("http.request")
    one.one.layer.send(message["reply_channel"], hello(message))
    assert waiting.response().status == 200
    wait_until(lambda: ended)
    with pytest.raises(ConnectionRefusedError):
        one.client()


def test_a_server_that_does_not_listen_yet_is_not_ready(watch):
    one = watch()
    one.observation.listening = False
    response = one.get("/readyz")
    assert (response.status, response.body) == (503, b"the server does not listen yet\n")


# -- metrics --------------------------------------------------------------------------------------


def test_requests_are_counted_by_status_and_timed(watch):
    one = watch()
    one.one.application(http_request=hello)
    client = one.one.client()
    for _ in range(3):
        assert client.get("/").status == 200
    client.request("/ bad")
    assert client.response().status == 400
    found = one.metrics()
    assert found["daphne_requests_total"] == {("200",): 3, ("400",): 1}
    assert found["daphne_response_body_bytes_total"][()] == 15
    assert found["daphne_request_seconds_count"][()] == 4
    assert found["daphne_request_first_byte_seconds_bucket"]["+Inf",] == 4
    assert 0 < found["daphne_request_seconds_sum"][()] < 60
    assert found["daphne_messages_sent_total"]["http.request",] == 3
    assert found["daphne_deliveries_total"][()] >= 3
    assert found["daphne_layer_send_seconds_count"][()] >= 3
    assert found["daphne_layer_round_trip_seconds_count"][()] >= 1


def test_open_connections_are_counted_by_kind_and_those_of_the_admin_address_are_not(watch):
    one = watch()
    one.one.application(http_request=hello, websocket_connect=accept, websocket_disconnect=nothing)
    client = one.one.client()
    client.get("/")
    with connect(one.one.url):
        found = one.metrics()
        assert found["daphne_connections"] == {("http/1",): 1, ("websocket",): 1}
        assert found["daphne_connections_accepted_total"][()] == 2
    wait_until(lambda: one.value("daphne_websocket_closes_total", "1000") == 1)
    found = one.metrics()
    assert found["daphne_websocket_handshakes_total"] == {("connected",): 1}
    assert found["daphne_websocket_accept_seconds_count"][()] == 1


def test_refused_handshakes_and_connections_are_counted(watch):
    one = watch(max_connections=1)
    one.one.application(websocket_connect=lambda message: {"accept": False})
    with pytest.raises(InvalidStatus):
        connect(one.one.url)
    assert one.value("daphne_websocket_handshakes_total", "rejected") == 1
    wait_until(lambda: one.one.connections() == 0)
    clients = [one.one.client() for _ in range(3)]
    assert [client.closed() for client in clients[1:]] == [True, True]
    assert one.value("daphne_connections_refused_total", "all") == 2


def test_full_channels_are_counted(watch):
    one = watch(ChannelLayer(capacity=1))
    clients = [one.one.client() for _ in range(3)]
    for client in clients:
        client.request("/")
    assert [client.response().status for client in clients[1:]] == [503, 503]
    found = one.metrics()
    assert found["daphne_messages_refused_total"]["http.request",] == 2
    assert found["daphne_layer_channel_full_total"]["http.request",] == 2
    assert found["daphne_layer_messages_pending"]["http.request",] == 1
    assert found["daphne_layer_messages_pending"]["",] >= 1
    assert found["daphne_layer_oldest_message_seconds"]["http.request",] >= 0


def test_datagrams_are_counted(watch):
    one = watch(udp=[LOCAL])
    one.one.application(udp_receive=lambda message: {"data": b"back"})
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(in_reactor(lambda: one.one.server.udp_addresses[0]))
        client.send(b"x")
        assert client.recv(10) == b"back"
    found = one.metrics()
    assert found["daphne_udp_datagrams_total"] == {("in",): 1, ("out",): 1}
    assert found["daphne_udp_clients"][()] == 1
    assert found["daphne_messages_sent_total"]["udp.receive",] == 1


def test_a_lost_layer_is_counted(watch):
    layer = ChannelLayer()
    one = watch(layer)
    one.one.application(websocket_connect=accept, websocket_disconnect=nothing)
    with connect(one.one.url) as client:
        layer.flush()
        with pytest.raises(ConnectionClosed):
            client.recv(10)
    assert one.value("daphne_layer_losses_total") == 1


def test_the_process_is_measured(watch):
    found = watch().metrics()
    assert found["process_resident_memory_bytes"][()] > 1024 * 1024
    assert found["process_open_fds"][()] > 3
    assert "python_gc_collections_total" in found


def test_the_format_is_negotiated(watch):
    one = watch()
    assert (one.get("/metrics").get("Content-Type") or "").startswith("text/plain")
    wanted = "application/openmetrics-text; version=1.0.0"
    response = one.get("/metrics", Accept=f"{wanted},text/plain;q=0.5")
    assert (response.get("Content-Type") or "").startswith(wanted)
    assert response.body.endswith(b"# EOF\n")


class Hanging(ChannelLayer):
    """A layer whose statistics take for ever."""

    def global_statistics(self) -> Any:
        wait_until(lambda: self.released, 60)
        return super().global_statistics()

    released = False


def test_metrics_come_without_statistics_that_take_too_long(watch):
    layer = Hanging()
    one = watch(layer)
    try:
        assert "daphne_layer_messages_pending" not in one.metrics()
        assert one.observation._counting
    finally:
        layer.released = True
    wait_until(lambda: "daphne_layer_messages_pending" in one.metrics())


# -- the address ----------------------------------------------------------------------------------


def test_a_unix_socket(serve, tmp_path):
    path = str(tmp_path / "admin")
    one = serve(admin=f"unix:{path}")
    assert one.client(path, socket.AF_UNIX).get("/healthz").status == 200
    in_reactor(one.server.shut_down)
    assert not os.path.exists(path)


def test_the_admin_address_is_never_counted_by_connection_limits(watch):
    one = watch(max_connections=1, max_connections_per_address=1, trusted_proxies=())
    busy = one.one.client()
    busy.request("/")
    assert one.get("/healthz").status == 200
    assert one.get("/readyz").status == 200
    assert one.one.connections() == 1


@pytest.mark.parametrize(
    ("where", "endpoint"),
    [
        ("127.0.0.1:9100", "tcp:port=9100:interface=127.0.0.1"),
        ("[::1]:9100", r"tcp:port=9100:interface=\:\:1"),
        (":9100", "tcp:port=9100:interface="),
        ("unix:/run/admin", "unix:/run/admin"),
        ("fd:fileno=5", "fd:fileno=5"),
    ],
)
def test_where_it_may_be(where, endpoint):
    assert admin_endpoint(where) == endpoint


@pytest.mark.parametrize(
    ("where", "number", "endpoint"),
    [
        ("127.0.0.1:9100", 2, "tcp:port=9102:interface=127.0.0.1"),
        ("127.0.0.1:0", 2, "tcp:port=0:interface=127.0.0.1"),
        ("unix:/run/admin", 2, "unix:/run/admin.2"),
        ("unix:/run/admin", 0, "unix:/run/admin"),
        ("fd:fileno=5", 0, "fd:fileno=5"),
    ],
)
def test_each_process_of_several_has_its_own(where, number, endpoint):
    assert admin_endpoint(where, number) == endpoint


def test_one_socket_is_not_enough_for_several_processes():
    with pytest.raises(ListenError, match="'fd:fileno=5' is one address"):
        admin_endpoint("fd:fileno=5", 1)


@pytest.mark.parametrize("where", ["9100", "localhost", "127.0.0.1:http", "::1:9100"])
def test_where_it_may_not_be(where):
    with pytest.raises(ListenError, match="is no address"):
        admin_endpoint(where)


def test_an_admin_address_in_use_is_an_error_that_names_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        server = Server(ChannelLayer(), endpoints=["tcp:0"], admin=where, signal_handlers=False)
        with pytest.raises(ListenError, match=f"the admin address {where}"):
            in_reactor(server.start)


def test_prometheus_client_is_loaded_only_for_an_admin_address():
    code = "import daphne.server, sys; print('prometheus_client' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout == "False\n"


def test_a_socket_that_was_handed_over_is_left_to_a_successor_at_once(serve):
    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        parent.listen()
        one = serve(admin=f"fd:fileno={os.dup(parent.fileno())}", shutdown_timeout=20)
        waiting = one.client()
        waiting.request("/never")
        wait_until(lambda: one.connections() == 1)
        admin = one.client(parent.getsockname())
        assert admin.get("/readyz").status == 200
        in_reactor(lambda: one.server.shut_down() and None)
        assert admin.closed()
        with socket.create_connection(parent.getsockname()) as client:
            successor, _ = parent.accept()
            successor.close()
            assert client.recv(1) == b""
