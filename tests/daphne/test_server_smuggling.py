"""The corpus of smuggled requests, over real sockets: one request in is one at the application."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels import spec
from channels.layers.inmemory import ChannelLayer
from tests.daphne.conftest import RunningServer
from tests.daphne.corpus.smuggling import ROWS, Row
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for all rows, whose application answers everything by 200."""
    one = RunningServer(ChannelLayer(capacity=1000), half_close_grace=0.2, header_timeout=None)
    one.app = one.application(  # type: ignore[attr-defined]
        http_request=lambda message: spec.http_response(200, [(b"Content-Length", b"6")], b"answer")
    )
    yield one
    one.close()


class Arrivals:
    """What reaches the application of one client, whose port an earlier one may have had."""

    def __init__(self, application: Any, client: Any) -> None:
        self._application = application
        self._port = client.socket.getsockname()[1]
        self._earlier = len(application.messages("http.request"))

    def paths(self) -> tuple[str, ...]:
        """Paths of its requests."""
        requests = self._application.messages("http.request")[self._earlier :]
        return tuple(message["path"] for message in requests if message["client"][1] == self._port)


def whole(client: Any, data: bytes) -> None:
    client.send(data)


def in_pieces(client: Any, data: bytes) -> None:
    """Send in pieces that no line ends with, and that may arrive as they are."""
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size = max(7, len(data) // 300)
    for start in range(0, len(data), size):
        try:
            client.send(data[start : start + size])
        except ConnectionError:
            return  # refused before the rest was sent


#: Rows that are an error of HTTP/1.1 and the beginning of HTTP/2, which the server speaks.
HTTP_2 = {"lines: HTTP/2 preface"}
HTTP_1 = [row for row in ROWS if row.name not in HTTP_2]


@pytest.mark.parametrize("send", [whole, in_pieces])
@pytest.mark.parametrize("row", HTTP_1, ids=[row.name for row in HTTP_1])
def test_request_smuggling_one_request_in_is_one_at_the_application(
    server, row: Row, send: Callable[[Any, bytes], None]
):
    client = server.client()
    arrivals = Arrivals(server.app, client)
    send(client, row.data)
    statuses = [client.response(head=row.data.startswith(b"HEAD")).status for _ in row.statuses]
    assert tuple(statuses) == row.statuses
    if not row.closes:
        client.socket.shutdown(socket.SHUT_WR)
    assert client.closed()
    wait_until(lambda: len(arrivals.paths()) >= len(row.paths))
    assert arrivals.paths() == row.paths
    client.close()
