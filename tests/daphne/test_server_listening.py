"""Where a server listens, and what it tells of its clients: sockets of each kind, proxies, logs."""

import random
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels import spec
from channels.layers.inmemory import ChannelLayer
from daphne.access import AccessLogGenerator
from tests.daphne.certificates import write_certificate
from tests.waiting import wait_until

PLAIN = [(b"Content-Type", b"text/plain")]


def hello(message: dict[str, Any]) -> Any:
    """Answers with a text of known length."""
    return spec.http_response(200, [*PLAIN, (b"Content-Length", b"5")], b"hello")


class TestWhereItListens:
    def test_on_a_unix_socket(self, serve, tmp_path):
        path = str(tmp_path / "daphne.sock")
        one = serve(endpoints=[f"unix:{path}"])
        application = one.application(http_request=hello)
        client = one.client(path, socket.AF_UNIX)
        assert client.get("/").body == b"hello"
        message = application.messages("http.request")[0]
        assert message.get("client") is None

    def test_on_ipv6(self, serve):
        one = serve(endpoints=[r"tcp:0:interface=\:\:1"])
        application = one.application(http_request=hello)
        client = one.client(("::1", one.port), socket.AF_INET6)
        assert client.get("/").body == b"hello"
        assert application.messages("http.request")[0]["client"][0] == "::1"

    def test_on_several_endpoints(self, serve, tmp_path):
        path = str(tmp_path / "daphne.sock")
        one = serve(endpoints=["tcp:0:interface=127.0.0.1", f"unix:{path}"])
        one.application(http_request=hello)
        assert one.client().get("/").body == b"hello"
        assert one.client(path, socket.AF_UNIX).get("/").body == b"hello"

    def test_over_tls(self, serve, certificate):
        key, cert = certificate
        one = serve(endpoints=[f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}"])
        big = random.Random(5).randbytes(3_000_000)
        application = one.application(http_request=lambda m: spec.http_response(200, PLAIN, big))
        context = ssl.create_default_context(cafile=str(cert))
        with socket.create_connection(("127.0.0.1", one.port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                received = b""
                while data := client.recv(65536):
                    received += data
        assert received.endswith(big)
        assert application.messages("http.request")[0]["scheme"] == "https"

    def test_a_client_that_does_not_end_tls_is_dropped(self, serve, certificate, monkeypatch):
        monkeypatch.setattr("daphne.connection._LINGER", 0.05)
        key, cert = certificate
        one = serve(endpoints=[f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}"])
        context = ssl.create_default_context(cafile=str(cert))
        with socket.create_connection(("127.0.0.1", one.port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"nonsense\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
                wait_until(lambda: one.connections() == 0)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key and a certificate of its own for localhost."""
    return write_certificate(tmp_path)


class TestProxies:
    NAMES = {
        "proxy_forwarded_address_header": "X-Forwarded-For",
        "proxy_forwarded_port_header": "X-Forwarded-Port",
        "proxy_forwarded_proto_header": "X-Forwarded-Proto",
    }
    SENT = {
        "X_Forwarded_For": "192.0.2.7",
        "X_Forwarded_Port": "4711",
        "X_Forwarded_Proto": "https",
        "Daphne_Root_Path": "/a%20b",
    }

    def seen(self, serve: Callable[..., Any], **options: Any) -> dict[str, Any]:
        one = serve(**options)
        application = one.application(http_request=hello)
        assert one.client().get("/", **self.SENT).status == 200
        message: dict[str, Any] = application.messages("http.request")[0]
        return message

    def test_headers_of_a_trusted_proxy_are_believed(self, serve):
        message = self.seen(serve, **self.NAMES)
        assert list(message["client"]) == ["192.0.2.7", 4711]
        assert message["scheme"] == "https"
        assert message["root_path"] == "/a b"
        assert b"daphne-root-path" not in [name for name, _ in message["headers"]]

    def test_forwarded_headers_are_used_only_with_the_proxy_option_on_and_from_listed_proxies(
        self, serve
    ):
        """The row "Forwarded headers", for the standard header and for hosts."""
        sent = {"Forwarded": 'for="192.0.2.9:7";proto=https;host=a.example'}
        unlisted = {"trusted_proxies": ("192.0.2.0/24", "unix")}
        for options, believed in (
            ({"proxy_forwarded": True}, True),
            ({"proxy_forwarded": True, **unlisted}, False),
            ({}, False),
        ):
            one = serve(ChannelLayer(), **options)
            application = one.application(http_request=hello)
            assert one.client().get("/", **sent).status == 200
            (message,) = application.messages("http.request")
            assert (list(message["client"]) == ["192.0.2.9", 7]) is believed
            assert message["scheme"] == ("https" if believed else "http")
            hosts = [bytes(value) for name, value in message["headers"] if name == b"host"]
            assert hosts == [b"a.example" if believed else b"localhost"]

    def test_forwarded_headers_are_believed_from_a_unix_socket(self, serve, tmp_path):
        path = str(tmp_path / "s")
        one = serve(endpoints=[f"unix:{path}"], proxy_forwarded=True)
        application = one.application(http_request=hello)
        client = one.client(path, socket.AF_UNIX)
        assert client.get("/", Forwarded="for=192.0.2.9").status == 200
        assert list(application.messages("http.request")[0]["client"]) == ["192.0.2.9", 0]

    def test_headers_of_anybody_else_are_not(self, serve):
        message = self.seen(serve, trusted_proxies=("192.0.2.0/24",), **self.NAMES)
        assert message["client"][0] == "127.0.0.1"
        assert message["scheme"] == "http"
        assert message["root_path"] == ""

    def test_without_the_option_they_are_not_looked_at(self, serve):
        message = self.seen(serve)
        assert message["client"][0] == "127.0.0.1"
        assert message["scheme"] == "http"


def test_each_request_is_one_line_of_the_access_log(serve, tmp_path):
    one = serve()
    one.application(http_request=hello)
    client = one.client()
    for target in ("/a", '/%22%0d%0a"', "/%1b[31m", "/caf%C3%A9?x=%0a"):
        client.get(target)
    client.send(b"nonsense\r\n\r\n")
    client.response()
    wait_until(lambda: len([e for e in one.logged if e[1] == "complete"]) >= 4)
    with (tmp_path / "log").open("w") as stream:
        generator = AccessLogGenerator(stream)
        for entry in one.logged:
            generator(*entry)
    lines = (tmp_path / "log").read_bytes().decode("ascii").splitlines()
    assert len(lines) == len([e for e in one.logged if e[1] == "complete"])
    assert all(re.fullmatch(r'127\.0\.0\.1:\d+ - - \[[^]]+\] "[^"]*" \d{3} \S+', x) for x in lines)
    details = one.logged[0][2]
    assert {"path", "status", "method", "client", "time_taken", "size"} <= details.keys()
    assert (details["status"], details["method"], details["size"]) == (200, "GET", 5)
