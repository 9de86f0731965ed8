"""HTTP through a whole server: real sockets, the in-memory layer, an application in a thread."""

import hashlib
import random
import resource
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from channels import spec
from channels.layers.inmemory import ChannelLayer
from daphne.writes import buffered
from tests.daphne.clients import HttpClient
from tests.reactor import in_reactor
from tests.waiting import wait_until

PLAIN = [(b"Content-Type", b"text/plain")]


def hello(message: dict[str, Any]) -> Any:
    """Answers with a text of known length."""
    return spec.http_response(200, [*PLAIN, (b"Content-Length", b"5")], b"hello")


def path_of(message: dict[str, Any]) -> Any:
    """Answers with the path."""
    return spec.http_response(200, PLAIN, message["path"].encode())


def nothing(message: dict[str, Any]) -> None:
    """Leaves the request open."""


def read_body(layer: Any, message: dict[str, Any]) -> bytes:
    """The whole body of a request, from its body channel if it has one."""
    body = message.get("body", b"")
    channel = message.get("body_channel")
    while channel:
        _, chunk = layer.receive([channel], block=True, timeout=10)
        if chunk is None or chunk.get("closed"):
            raise ConnectionError("the client left")
        body += chunk["content"]
        if not chunk.get("more_content"):
            break
    return body


class TestResponses:
    def test_a_response_has_the_applications_headers_and_ours(self, serve):
        one = serve()
        one.application(http_request=hello)
        response = one.client().get("/")
        assert (response.status, response.body) == (200, b"hello")
        assert response.get("Content-Type") == "text/plain"
        assert response.get("Server") == "Daphne"
        assert response.get("Date")

    def test_the_request_is_what_the_specification_says(self, serve):
        one = serve(root_path="/mounted")
        application = one.application(http_request=hello)
        client = one.client()
        client.request("/caf%C3%A9?a=%20b", "POST", b"data", X_Two="1", x_two="2")
        client.response()
        (message,) = application.messages("http.request")
        checked = spec.check_http_request(message, strict=True)
        assert checked["path"] == "/café"
        assert checked["query_string"] == b"a=%20b"
        assert checked["method"] == "POST"
        assert checked["body"] == b"data"
        assert checked["root_path"] == "/mounted"
        assert checked["scheme"] == "http"
        assert list(checked["client"]) == list(client.socket.getsockname())
        assert list(checked["server"]) == ["127.0.0.1", one.port]
        headers = [tuple(pair) for pair in checked["headers"]]
        assert [v for k, v in headers if k == b"x-two"] == [b"1", b"2"]
        assert checked["reply_channel"].startswith(one.server.send_channel)

    def test_a_head_request_gets_no_body(self, serve):
        one = serve()
        one.application(http_request=hello)
        client = one.client()
        client.request("/", "HEAD")
        assert client.response(head=True).get("Content-Length") == "5"
        assert client.get("/").body == b"hello"

    @pytest.mark.parametrize("status", [204, 304])
    def test_statuses_without_a_body_get_none(self, serve, status):
        one = serve()
        one.application(http_request=lambda m: spec.http_response(status, [], b"never sent"))
        client = one.client()
        first, second = client.get("/"), client.get("/")
        assert first.status == second.status == status
        assert first.get("Transfer-Encoding") is None

    def test_a_streamed_response_arrives_piece_by_piece(self, serve):
        one = serve()
        go_on = threading.Event()

        def stream(message: dict[str, Any]) -> Any:
            one.layer.send(
                message["reply_channel"], spec.http_response(200, PLAIN, b"one", more_content=True)
            )
            go_on.wait(10)
            one.layer.send(message["reply_channel"], spec.http_response_chunk(b"two", True))
            return spec.http_response_chunk(b"three")

        one.application(http_request=stream)
        client = one.client()
        client.request("/")
        while client._file.readline() != b"\r\n":
            pass
        assert client.chunk() == b"one"
        go_on.set()
        assert [client.chunk(), client.chunk(), client.chunk()] == [b"two", b"three", b""]

    def test_a_response_that_is_none_becomes_a_500(self, serve, caplog):
        one = serve()
        one.application(http_request=lambda m: {"content": b"where is the status?"})
        response = one.client().get("/")
        assert response.status == 500
        assert b"where is the status" not in response.body
        assert "status" in caplog.text

    def test_a_header_that_would_split_the_response_becomes_a_500(self, serve, caplog):
        one = serve()
        header = (b"X-A", b"a\r\nSet-Cookie: stolen=1")
        one.application(http_request=lambda m: spec.http_response(200, [header], b""))
        response = one.client().get("/")
        assert response.status == 500
        assert response.get("Set-Cookie") is None


class TestConnections:
    def test_a_connection_serves_many_requests(self, serve):
        one = serve()
        one.application(http_request=path_of)
        client = one.client()
        assert [client.get(f"/{n}").body for n in range(20)] == [b"/%d" % n for n in range(20)]

    def test_close_is_obeyed(self, serve):
        one = serve()
        one.application(http_request=hello)
        client = one.client()
        assert client.get("/", Connection="close").body == b"hello"
        assert client.closed()

    def test_http_1_0_ends_with_the_connection(self, serve):
        one = serve()
        one.application(http_request=path_of)
        client = one.client()
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert client.response().body == b"/old"
        assert client.closed()

    def test_a_hundred_pipelined_requests_are_answered_in_order(self, serve):
        one = serve()
        waits = random.Random(7)

        def after_a_while(message: dict[str, Any]) -> Any:
            threading.Event().wait(waits.random() / 500)
            return path_of(message)

        one.application(http_request=after_a_while)
        one.application(http_request=after_a_while)
        client = one.client()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(100)))
        assert [client.response().body for _ in range(100)] == [b"/%d" % n for n in range(100)]

    def test_a_request_in_single_bytes(self, serve):
        one = serve()
        one.application(http_request=path_of)
        client = one.client()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n":
            client.send(bytes([byte]))
        assert client.response().body == b"/slow"

    def test_many_connections_at_a_time(self, serve):
        one = serve(ChannelLayer(capacity=1000))
        one.application(http_request=path_of)
        clients = [one.client() for _ in range(200)]
        for number, client in enumerate(clients):
            client.request(f"/{number}")
        assert [c.response().body for c in clients] == [b"/%d" % n for n in range(200)]

    def test_a_client_that_closes_its_side_early_is_answered(self, serve):
        one = serve()
        one.application(http_request=hello)
        client = one.client()
        client.request("/")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.response().body == b"hello"
        assert client.closed()

    def test_a_connection_without_a_request_is_closed_after_a_while(self, serve):
        one = serve(header_timeout=0.05)
        one.client()
        wait_until(lambda: one.connections() == 1)
        wait_until(lambda: one.connections() == 0)

    def test_nonsense_is_a_400_and_close(self, serve):
        one = serve()
        client = one.client()
        client.send(b"\x16\x03\x01 this is no request\r\n\r\n")
        assert client.response().status == 400
        assert client.closed()


class TestBodies:
    def test_a_chunked_body_arrives_whole(self, serve):
        one = serve()
        bodies: list[bytes] = []
        one.application(http_request=lambda m: bodies.append(read_body(one.layer, m)) or hello(m))
        client = one.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhello\r\n6; x=y\r\n world\r\n0\r\n\r\n")
        assert client.response().body == b"hello"
        assert bodies == [b"hello world"]

    def test_expect_100_continue_is_answered_before_the_body(self, serve):
        one = serve()
        bodies: list[bytes] = []
        one.application(http_request=lambda m: bodies.append(read_body(one.layer, m)) or hello(m))
        client = one.client()
        client.send(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.response().status == 100
        client.send(b"data")
        assert client.response().status == 200
        assert bodies == [b"data"]

    def test_a_body_over_the_limit_is_a_413(self, serve):
        one = serve(max_body=1000)
        client = one.client()
        client.request("/", "POST", b"x" * 2000)
        assert client.response().status == 413
        assert client.closed()

    def test_a_big_upload_waits_for_its_reader(self, serve):
        """The client is stopped while nobody reads, and nothing is lost."""
        one = serve(ChannelLayer(capacity=4))
        size, read = 48 * 1024 * 1024, threading.Event()
        digests: list[str] = []

        def slow(message: dict[str, Any]) -> Any:
            read.wait(60)
            digests.append(hashlib.sha256(read_body(one.layer, message)).hexdigest())
            return hello(message)

        one.application(http_request=slow)
        client = one.client()
        data = random.Random(3).randbytes(size)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        client.socket.settimeout(1)
        sent = 0
        try:
            while sent < size:
                sent += client.socket.send(data[sent : sent + 65536])
        except TimeoutError:
            pass
        # 4 chunks in the queue, one or two in the server, the rest in the kernel's buffers.
        assert sent < 20 * 1024 * 1024
        read.set()
        client.socket.settimeout(30)
        client.send(data[sent:])
        assert client.response().body == b"hello"
        assert digests == [hashlib.sha256(data).hexdigest()]

    def test_a_big_download_waits_for_its_reader(self, serve):
        """A worker that follows the credit is stopped while the client does not read."""
        one = serve(ChannelLayer(capacity=100))
        piece, count = random.Random(3).randbytes(256 * 1024), 100
        window = spec.RESPONSE_WINDOW
        handed: list[int] = [0]

        def stream(message: dict[str, Any]) -> Any:
            reply, credit = message["reply_channel"], 0
            mirror = spec.credit_channel(reply)
            one.layer.send(reply, spec.http_response(200, PLAIN, b"", more_content=True))
            for _ in range(count):
                while handed[0] + len(piece) - credit > window:
                    _, given = one.layer.receive([mirror], block=True, timeout=30)
                    credit += given["bytes"]
                one.layer.send(reply, spec.http_response_chunk(piece, more_content=True))
                handed[0] += len(piece)
            return spec.http_response_chunk(b"")

        one.application(http_request=stream)
        client = one.client(buffer=4096)
        client.request("/")
        wait_until(lambda: handed[0] >= window)

        def waiting_bytes() -> int:
            return sum(buffered(c._transport) for c in one.server.factory._connections)

        def settled() -> bool:
            before = handed[0]
            threading.Event().wait(0.2)
            return before == handed[0]

        wait_until(settled)
        assert in_reactor(waiting_bytes) <= window
        assert handed[0] < count * len(piece)
        response = client.response()
        assert len(response.body) == count * len(piece)
        assert response.body == piece * count

    def test_a_worker_is_told_when_the_client_of_its_stream_leaves(self, serve):
        one = serve()
        started = threading.Event()
        replies: list[str] = []

        def stream(message: dict[str, Any]) -> Any:
            replies.append(message["reply_channel"])
            started.set()
            return spec.http_response(200, PLAIN, b"x", more_content=True)

        one.application(http_request=stream)
        client = one.client()
        client.request("/")
        started.wait(10)
        client.close()
        mirror = spec.credit_channel(replies[0])

        def told() -> bool:
            _, credit = one.layer.receive([mirror])
            return bool(credit and credit.get("closed"))

        wait_until(told)


class TestFailures:
    def test_a_full_queue_is_a_503_and_close(self, serve, layer):
        for _ in range(layer.capacity):
            layer.send("http.request", {})
        client = serve().client()
        response = client.get("/")
        assert response.status == 503
        assert b"queue full" in response.body.lower()
        assert response.get("Connection") == "close"
        assert client.closed()

    def test_an_application_that_does_not_answer_is_a_503(self, serve):
        one = serve(http_timeout=0.1)
        one.application(http_request=nothing)
        response = one.client().get("/")
        assert response.status == 503
        assert b"Worker server failed to respond within time limit." in response.body

    def test_a_client_that_leaves_gives_a_disconnect(self, serve):
        one = serve()
        application = one.application(http_request=nothing, http_disconnect=nothing)
        client = one.client()
        client.request("/wait")
        wait_until(lambda: application.messages("http.request"))
        client.close()
        wait_until(lambda: application.messages("http.disconnect"))
        (request,) = application.messages("http.request")
        (message,) = application.messages("http.disconnect")
        assert message == {"reply_channel": request["reply_channel"], "path": "/wait"}

    def test_an_emptied_layer_closes_connections_and_goes_on(self, serve, layer):
        one = serve()
        one.application(http_request=hello)
        idle = one.client()
        assert idle.get("/").body == b"hello"
        layer.flush()
        assert idle.closed()
        assert one.client().get("/").body == b"hello"

    def test_a_bad_message_costs_one_request_and_no_more(self, serve, caplog):
        one = serve()
        answers = iter([{"status": "two hundred"}])
        one.application(http_request=lambda m: next(answers, None) or hello(m))
        assert one.client().get("/").status == 500
        assert one.client().get("/").body == b"hello"


@pytest.fixture
def many_files() -> None:
    """Allow this process both ends of more than a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))


def test_a_thousand_long_polls_are_answered_by_one_group_send(serve, many_files):
    """Those that left are told by http.disconnect; no thread was held meanwhile."""
    layer = ChannelLayer(capacity=3000)
    one = serve(layer)

    def hold(message: dict[str, Any]) -> None:
        layer.group_add("waiting", message["reply_channel"])

    application = one.application(
        http_request=hold,
        http_disconnect=lambda m: layer.group_discard("waiting", m["reply_channel"]),
    )
    clients = [one.client() for _ in range(1000)]
    for number, client in enumerate(clients):
        client.request(f"/{number}")
    wait_until(lambda: len(application.messages("http.request")) == 1000)
    for client in clients[:50]:
        client.close()
    wait_until(lambda: len(application.messages("http.disconnect")) == 50)
    left = {message["path"] for message in application.messages("http.disconnect")}
    assert left == {f"/{number}" for number in range(50)}
    wait_until(lambda: len(layer.group_channels("waiting")) == 950)

    layer.send_group("waiting", spec.http_response(200, PLAIN, b"news"))
    assert all(client.response().body == b"news" for client in clients[50:])
    assert application.errors == []


def test_a_layer_that_only_blocks_serves_as_well(serve):
    one = serve(force_sync=True)
    one.application(http_request=path_of)
    client = one.client()
    assert [client.get(f"/{n}").body for n in range(5)] == [b"/%d" % n for n in range(5)]


def stream_path(layer: Any, message: dict[str, Any]) -> Any:
    """Answers with the path in two messages, or one."""
    path = message["path"].encode()
    if not path.endswith(b"streamed"):
        return spec.http_response(200, PLAIN, path)
    first = spec.http_response(200, PLAIN, path[:5], more_content=True)
    layer.send(message["reply_channel"], first)
    return spec.http_response_chunk(path[5:])


def visit(port: int, chance: random.Random, count: int) -> list[tuple[str, bytes]]:
    """Send requests for unique paths, and leave connections at random moments, some by a reset.

    Returns the paths that were answered by anything else.
    """
    wrong = []
    client = HttpClient(("127.0.0.1", port))
    for _ in range(count):
        path = f"/{chance.getrandbits(64):x}-{chance.choice(['whole', 'streamed'])}"
        client.request(path)
        if chance.random() < 0.7:
            body = client.response().body
            if body != path.encode():
                wrong.append((path, body))
            continue
        if chance.random() < 0.5:
            client.socket.recv(chance.randrange(1, 250))
        if chance.random() < 0.5:
            reset = struct.pack("ii", 1, 0)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        client.close()
        client = HttpClient(("127.0.0.1", port))
    client.close()
    return wrong


def test_no_client_sees_the_answer_of_another(serve):
    """Ten thousand requests on connections that are killed at random moments."""
    layer = ChannelLayer(capacity=10_000)
    one = serve(layer)
    for _ in range(2):
        one.application(http_request=lambda message: stream_path(layer, message))
    with ThreadPoolExecutor(8) as pool:
        visits = [pool.submit(visit, one.port, random.Random(seed), 1250) for seed in range(8)]
        wrong = [pair for one_visit in visits for pair in one_visit.result()]
    assert wrong == []
