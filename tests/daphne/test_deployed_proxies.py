"""The files of ``deploy/`` for nginx and HAProxy, in front of a server: what clients and it see."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from channels import spec
from channels.layers.inmemory import ChannelLayer
from tests.daphne.certificates import client_context, write_certificate
from tests.daphne.clients import HttpClient
from tests.daphne.conftest import RunningServer
from tests.management.project import ROOT
from tests.servers.nginx import nginx_command
from tests.servers.ports import free_port
from tests.waiting import wait_until

#: What ``--proxy-headers`` sets.
PROXY_HEADERS = {
    "proxy_forwarded_address_header": "X-Forwarded-For",
    "proxy_forwarded_port_header": "X-Forwarded-Port",
    "proxy_forwarded_proto_header": "X-Forwarded-Proto",
    "proxy_forwarded_host_header": "X-Forwarded-Host",
    "proxy_forwarded": True,
}

#: What a client writes that would be somebody else.
FORGED = """\
X-Forwarded-For: 9.9.9.9\r
X-Forwarded-Proto: gopher\r
X-Forwarded-Host: evil.example\r
Forwarded: for=9.9.9.9;host=evil.example\r
Daphne-Root-Path: /evil\r
"""


def copied(source: str, folder: Path, *changes: tuple[str, str]) -> Path:
    """A file of ``deploy/`` with other ports and paths."""
    text = (ROOT / "deploy" / source).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    copy = folder / Path(source).name
    copy.write_text(text)
    return copy


class Proxy:
    """A proxy by TLS on ``port``, and the server behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RunningServer(
            ChannelLayer(capacity=1000), admin="127.0.0.1:0", **PROXY_HEADERS
        )
        self.key, self.certificate = write_certificate(folder)
        self.port, self.plain_port = free_port(), free_port()
        self.context = client_context(self.certificate)
        self._process = subprocess.Popen(self.command(), stderr=subprocess.PIPE)
        try:
            wait_until(self._serves, 20)
        except BaseException:
            self.close()
            raise

    @property
    def admin_port(self) -> int:
        return int(self.server.server.admin_address.port)

    def command(self) -> list[str]:
        """What starts it, with files in its folder."""
        raise NotImplementedError

    def _serves(self) -> bool:
        assert self._process.poll() is None, self._process.communicate()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self) -> HttpClient:
        """A connection over TLS."""
        client = HttpClient(("localhost", self.port))
        client.start_tls(self.context)
        return client

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)
        self.server.close()


class Nginx(Proxy):
    """nginx with deploy/nginx/mysite.conf."""

    def command(self) -> list[str]:
        copied(
            "nginx/mysite.conf",
            self.folder,
            ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
            ("127.0.0.1:8000", f"127.0.0.1:{self.server.port}"),
            ("/etc/ssl/mysite.pem", str(self.certificate)),
            ("/etc/ssl/mysite.key", str(self.key)),
            ("/srv/mysite/static/", f"{self.folder}/"),
        )
        http = f"access_log off; include {self.folder}/mysite.conf;"
        command = nginx_command(self.folder, http)
        assert subprocess.run([*command, "-t"], capture_output=True).returncode == 0
        return command


class HAProxy(Proxy):
    """HAProxy with deploy/haproxy/haproxy.cfg."""

    def command(self) -> list[str]:
        both = self.folder / "both.pem"
        both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        file = copied(
            "haproxy/haproxy.cfg",
            self.folder,
            ("maxconn 20000", "maxconn 200"),
            ("timeout http-request 10s", "timeout http-request 60s"),  # of a busy machine
            ("bind :80\n", f"bind 127.0.0.1:{self.plain_port}\n"),
            ("bind :443 ", f"bind 127.0.0.1:{self.port} "),
            ("server daphne1 127.0.0.1:8000", f"server daphne1 127.0.0.1:{self.server.port}"),
            ("addr 127.0.0.1 port 9100", f"addr 127.0.0.1 port {self.admin_port}"),
            ("/etc/haproxy/mysite.pem", str(both)),
        )
        checked = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True)
        assert checked.returncode == 0, checked.stderr
        assert b"WARNING" not in checked.stderr, checked.stderr
        return ["haproxy", "-db", "-f", str(file)]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Nginx, marks=pytest.mark.needs("nginx"), id="nginx"),
        pytest.param(HAProxy, marks=pytest.mark.needs("haproxy"), id="haproxy"),
    ],
)
def proxy(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    one: Proxy = request.param(tmp_path_factory.mktemp("proxy"))
    yield one
    one.close()


def test_the_server_knows_the_client_whatever_that_writes(proxy):
    application = proxy.server.application(
        http_request=lambda message: spec.http_response(200, [], b"answer")
    )
    client = proxy.client()
    own = client.socket.getsockname()
    request = f"GET /page HTTP/1.1\r\nHost: example.org\r\n{FORGED}\r\n"
    client.send(request.encode())
    assert client.response().body == b"answer"
    client.close()
    (message,) = [one for one in application.messages("http.request") if one["path"] == "/page"]
    assert (message["client"], message["scheme"]) == ([own[0], own[1]], "https")
    headers = dict(message["headers"])
    assert headers[b"host"] == b"example.org"
    assert message["root_path"] == "" and b"daphne-root-path" not in headers
    assert b"forwarded" not in headers
    application.stop()


def test_plain_connections_are_sent_to_tls(proxy):
    client = HttpClient(("127.0.0.1", proxy.plain_port))
    client.send(b"GET /page HTTP/1.1\r\nHost: example.org\r\n\r\n")
    response = client.response()
    client.close()
    assert response.status == 301
    assert response.get("Location") == "https://example.org/page"


def test_websockets_pass(proxy):
    application = proxy.server.application(
        websocket_connect=lambda message: {"accept": True},
        websocket_receive=lambda message: {"text": message["text"] + " " + scheme()},
        websocket_disconnect=lambda message: None,
    )

    def scheme() -> str:
        return str(application.messages("websocket.connect")[-1]["scheme"])

    url = f"wss://localhost:{proxy.port}/"
    with connect(url, ssl=proxy.context, open_timeout=20, proxy=None) as client:
        client.send("hello")
        assert client.recv(timeout=20) == "hello wss"
    application.stop()


def test_what_is_streamed_goes_on_at_once(proxy):
    came = threading.Event()

    def stream(message: dict[str, Any]) -> dict[str, Any]:
        reply, send = message["reply_channel"], proxy.server.layer.send
        send(reply, spec.http_response(200, [], b"first", more_content=True))
        assert came.wait(20)
        return {"content": b"last"}

    application = proxy.server.application(http_request=stream)
    client = proxy.client()
    client.send(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
    received = b""
    while b"first" not in received:
        received += client.socket.recv(4096)
    assert b"last" not in received
    came.set()
    while b"last" not in received:
        received += client.socket.recv(4096)
    client.close()
    application.stop()
    assert application.errors == []
