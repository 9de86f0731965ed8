"""HTTP/2 through real sockets: the preface, ALPN, an upgrade."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from daphne.protocol import opening
from tests.daphne.certificates import write_certificate
from tests.daphne.conftest import RunningServer
from tests.reactor import in_reactor
from tests.waiting import wait_until

OK = {"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}

Serve = Callable[..., RunningServer]


class Client:
    """``h2``'s client on a socket."""

    def __init__(self, connection: socket.socket, begin: bool = True) -> None:
        self.socket = connection
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.bodies: dict[int, bytes] = {}
        self.headers: dict[int, list[Any]] = {}
        self.ended: set[int] = set()
        if begin:
            self.h2.initiate_connection()

    def get(self, path: str, body: bytes = b"") -> int:
        """Send a request; the number of its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        fields = [
            (b":method", b"POST" if body else b"GET"), (b":scheme", b"http"),
            (b":authority", b"localhost"), (b":path", path.encode()),
        ]  # fmt: skip
        self.h2.send_headers(stream_id, fields, end_stream=not body)
        for start in range(0, len(body), 16384):
            part = body[start : start + 16384]
            while self.h2.local_flow_control_window(stream_id) < len(part):
                self.step()
            self.h2.send_data(stream_id, part, start + 16384 >= len(body))
        self.flush()
        return stream_id

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def step(self) -> None:
        """Send what is due, and take what comes next."""
        self.flush()
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        for event in self.h2.receive_data(data):
            match event:
                case events.ResponseReceived():
                    self.headers[event.stream_id] = list(event.headers)
                case events.DataReceived():
                    size = event.flow_controlled_length
                    self.bodies[event.stream_id] = (
                        self.bodies.get(event.stream_id, b"") + event.data
                    )
                    if size:
                        self.h2.acknowledge_received_data(size, event.stream_id)
                case events.StreamEnded():
                    self.ended.add(event.stream_id)
        self.flush()

    def body(self, stream_id: int) -> bytes:
        """The whole body of a response."""
        while stream_id not in self.ended:
            self.step()
        return self.bodies.get(stream_id, b"")


def echo(message: dict[str, Any]) -> dict[str, Any]:
    return {"status": 200, "content": f"{message['http_version']} {message['path']}".encode()}


def test_prior_knowledge_and_http_1_on_one_port(serve: Serve) -> None:
    server = serve()
    server.application(http_request=echo)
    client = Client(server.client().socket)
    streams = [client.get(f"/{number}") for number in range(9)]
    assert [client.body(stream) for stream in streams] == [b"2 /%d" % n for n in range(9)]
    assert server.client().get("/old").body == b"1.1 /old"
    assert {entry[2]["status"] for entry in server.logged} == {200}


def test_alpn_over_tls(serve: Serve, tmp_path: Path) -> None:
    key, certificate = write_certificate(tmp_path)
    server = serve(endpoints=[f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"])
    server.application(http_request=echo)
    for offered, chosen in (
        (["h2", "http/1.1"], "h2"),
        (["http/1.1"], "http/1.1"),
        ([], None),
    ):
        context = ssl.create_default_context(cafile=str(certificate))
        if offered:
            context.set_alpn_protocols(offered)
        plain = server.client().socket
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            assert secure.selected_alpn_protocol() == chosen
            if chosen == "h2":
                client = Client(secure)
                assert client.body(client.get("/tls")) == b"2 /tls"
            else:
                secure.sendall(b"GET /tls HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"1.1 /tls" in secure.recv(65536)


def test_alpn_offers_no_http_2_where_it_is_turned_off(serve: Serve, tmp_path: Path) -> None:
    key, certificate = write_certificate(tmp_path)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    server = serve(endpoints=[endpoint], http2=False)
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(server.client().socket, server_hostname="localhost") as secure:
        assert secure.selected_alpn_protocol() == "http/1.1"


def test_without_h2_the_server_says_so_and_speaks_http_1(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "daphne.server")
    monkeypatch.setattr(opening, "_has_h2", lambda: False)
    server = serve()
    server.application(http_request=echo)
    client = server.client()
    client.request("/up", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c",
                   HTTP2_Settings="AAMAAABk")  # fmt: skip
    assert client.response().body == b"1.1 /up"
    assert server.server.factory.acceptableProtocols() == [b"http/1.1"]
    wait_until(lambda: "no HTTP/2, since h2 is not installed" in caplog.text)


def test_an_upgrade(serve: Serve) -> None:
    server = serve()
    server.application(http_request=echo)
    raw = server.client()
    client = Client(raw.socket, begin=False)
    settings = client.h2.initiate_upgrade_connection() or b""
    raw.request("/up", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c",
                HTTP2_Settings=settings.rstrip(b"=").decode())  # fmt: skip
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.socket.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert client.body(1) == b"2 /up"
    assert client.body(client.get("/next")) == b"2 /next"


@pytest.mark.parametrize("size", [1, 300_000, 3_000_000])
def test_uploads_and_downloads_of_any_size(serve: Serve, size: int) -> None:
    server = serve()

    def measure(message: dict[str, Any]) -> dict[str, Any]:
        count, channel = len(message["body"]), message.get("body_channel")
        while channel:
            _, chunk = server.layer.receive([channel], block=True)
            count += len(chunk["content"])
            if not chunk["more_content"]:
                break
        server.layer.send(message["reply_channel"], {"status": 200, "more_content": True})
        return {"content": b"%d" % count + b"x" * size}

    server.application(http_request=measure)
    client = Client(server.client().socket)
    body = client.body(client.get("/", b"y" * size))
    assert body == b"%d" % size + b"x" * size


def test_the_end_of_a_server_is_told_by_goaway(serve: Serve) -> None:
    server = serve(shutdown_timeout=10)
    server.application(http_request=echo)
    client = Client(server.client().socket)
    assert client.body(client.get("/")) == b"2 /"
    in_reactor(server.server.factory.shed, "a test")
    data = client.socket.recv(65536)
    assert any(isinstance(e, events.ConnectionTerminated) for e in client.h2.receive_data(data))
    assert client.socket.recv(1) == b""
    wait_until(lambda: server.connections() == 0)
