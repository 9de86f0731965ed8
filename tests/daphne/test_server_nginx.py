"""The corpus of smuggled requests behind a real nginx: it and the server see the same requests.

nginx reuses its connections to the server, so bytes that the two read differently would become
somebody else's request. It gives each request that it passes on an id of its own, and writes the
ids into its log: the application must get exactly these, each once.
"""

import secrets
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels import spec
from channels.layers.inmemory import ChannelLayer
from tests.daphne.clients import HttpClient
from tests.daphne.conftest import RunningServer
from tests.daphne.corpus.smuggling import ROWS, Row
from tests.servers.nginx import nginx_command
from tests.servers.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("nginx")

#: As permissive as nginx can be: all that it does not refuse itself is passed on.
CONFIGURATION = """
log_format ids "$request_id $upstream_status";
access_log {folder}/access.log ids;
ignore_invalid_headers off;
underscores_in_headers on;
merge_slashes off;
large_client_header_buffers 8 128k;
client_header_timeout 2s;
client_body_timeout 2s;
upstream server {{ server 127.0.0.1:{server}; keepalive 4; }}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://server;
        proxy_http_version 1.1;
        proxy_request_buffering {buffering};
        proxy_next_upstream off;
        proxy_ignore_client_abort on;
        proxy_set_header Host $http_host;
        proxy_set_header X-Request-Id $request_id;
        proxy_set_header Connection "{connection}";
        proxy_set_header Upgrade $http_upgrade;
    }}
}}
"""


class Nginx:
    """A server, nginx in front of it, and what both of them have seen."""

    def __init__(self, folder: Path, buffering: str, connection: str) -> None:
        self.server = RunningServer(ChannelLayer(capacity=1000), header_timeout=None)
        self.application = self.server.application(
            http_request=lambda message: spec.http_response(200, [], b"answer")
        )
        self.port = free_port()
        self._log = folder / "access.log"
        http = CONFIGURATION.format(
            folder=folder,
            server=self.server.port,
            port=self.port,
            buffering=buffering,
            connection=connection,
        )
        self._process = subprocess.Popen(nginx_command(folder, http), stderr=subprocess.PIPE)
        wait_until(self._accepts)

    def _accepts(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"nginx ended: {self._process.communicate()[1]!r}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def talk(self, data: bytes) -> None:
        """Send the bytes on one connection, and read until nginx closes."""
        client = HttpClient(("127.0.0.1", self.port))
        try:
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(65536):
                pass
        except ConnectionError:
            pass  # refused before all was sent
        finally:
            client.close()

    def passed_on(self) -> Counter[str]:
        """Ids of the requests that nginx has passed on to the server."""
        whole = self._log.read_text().rpartition("\n")[0]  # the last line may still be written
        lines = [line.split(" ", 1) for line in whole.splitlines()]
        return Counter(request_id for request_id, status in lines if status != "-")

    def arrived(self) -> Counter[str]:
        """Ids of the requests that have reached the application."""
        return Counter(
            _header(message, b"x-request-id")
            for message in self.application.messages("http.request")
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)
        self.server.close()


def _header(message: dict[str, Any], name: bytes) -> str:
    """All values of a header in one text, so that a second one is noticed."""
    return ",".join(value.decode("latin-1") for key, value in message["headers"] if key == name)


@pytest.fixture(
    scope="module",
    params=[("on", ""), ("off", "upgrade")],
    ids=["buffered, reused connections", "unbuffered, upgrades passed on"],
)
def nginx(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    one = Nginx(tmp_path_factory.mktemp("nginx"), *request.param)
    yield one
    one.close()


def check(nginx: Nginx) -> None:
    """Ask for a last page, then compare: whatever was left over would have spoilt it."""
    token = secrets.token_hex(8)
    client = HttpClient(("127.0.0.1", nginx.port))
    assert client.get(f"/{token}").body == b"answer"
    client.close()
    wait_until(lambda: nginx.passed_on() >= nginx.arrived())
    extra = nginx.arrived() - nginx.passed_on()
    assert not extra, "requests at the application that nginx knows nothing of"
    assert max(nginx.arrived().values()) == 1


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_request_smuggling_behind_nginx_both_see_the_same_requests(nginx: Nginx, row: Row):
    nginx.talk(row.data)
    check(nginx)
