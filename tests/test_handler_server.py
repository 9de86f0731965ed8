"""Django behind Daphne: views, uploads and streams from socket to socket."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings

from channels.handler import AsgiHandler, ViewConsumer
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.spec import BODY_CHUNK, HTTP_REQUEST, RESPONSE_WINDOW
from daphne.server import Server
from tests.daphne.clients import Application, HttpClient, Response
from tests.reactor import in_reactor
from tests.views import CONTENT_OF_FILE
from tests.waiting import wait_until


class Site:
    """A server and one worker thread, which runs ``consumer`` on requests."""

    def __init__(self, consumer: ViewConsumer) -> None:
        self.layer = ChannelLayer()
        self.server = Server(
            self.layer,
            endpoints=["tcp:0:interface=127.0.0.1"],
            signal_handlers=False,
            shutdown_timeout=1,
        )
        in_reactor(self.server.start)
        wait_until(lambda: self.server.addresses)
        self.handled = 0
        self.consumer = consumer
        self.application = Application(self.layer, http_request=self._handle)

    def _handle(self, content: dict) -> None:
        self.consumer(Message(content, HTTP_REQUEST, self.layer))
        self.handled += 1

    def client(self, **kwargs) -> HttpClient:
        port = in_reactor(lambda: self.server.addresses[0].port)
        return HttpClient(("127.0.0.1", port), **kwargs)

    def close(self) -> None:
        in_reactor(self.server.shut_down)
        self.application.stop()


@pytest.fixture
def site() -> Iterator[Site]:
    with override_settings(MIDDLEWARE=[]):
        running = Site(ViewConsumer())
        yield running
        running.close()


def serve(site: Site, view) -> None:
    """Have ``site`` answer every request by ``view``."""

    class Handler(AsgiHandler):
        def get_response(self, request):
            return view(request)

    class Consumer(ViewConsumer):
        handler_class = Handler

    site.consumer = Consumer()


def test_views_answer_one_after_the_other_on_one_connection(site):
    client = site.client()
    assert client.get("/hello/").body == b"Hello, world"
    assert client.get("/name/caf%C3%A9/").body.startswith(b'{"name": "caf\\u00e9"')
    assert client.get("/error/").status == 500
    assert client.get("/file/").body == CONTENT_OF_FILE
    assert client.get("/async/").status == 200


def test_headers_and_cookies_arrive_as_the_view_set_them(site):
    response = site.client().get("/headers/")
    assert response.status == 201
    assert ("X-Camel-Case", "caf\u00e9") in response.headers
    assert sum(name == "Set-Cookie" for name, _ in response.headers) == 3


@pytest.mark.parametrize("path", ["/hello/", "/streamed/", "/file/"])
def test_head_gets_the_headers_of_get_and_the_connection_goes_on(site, path):
    client = site.client()
    whole = client.get(path)
    client.request(path, "HEAD")
    head = client.response(head=True)
    assert head.status == 200
    assert comparable(head) == comparable(whole)
    assert client.get("/hello/").body == b"Hello, world"


def comparable(response: Response) -> list[tuple[str, str]]:
    """The headers that HEAD and GET have to share (RFC 9110, 9.3.2)."""
    return [pair for pair in response.headers if pair[0] not in ("Date", "Transfer-Encoding")]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_that_no_client_gets_holds_up_no_worker(site, method, status, streamed):
    parts = [bytes(BODY_CHUNK)] * (3 * RESPONSE_WINDOW // BODY_CHUNK)
    respond = StreamingHttpResponse if streamed else HttpResponse
    serve(site, lambda request: respond(parts, status=status))
    client = site.client()
    for handled in (1, 2):
        client.request("/", method)
        assert client.response(head=True).status == status
        wait_until(lambda handled=handled: site.handled == handled)


@pytest.mark.parametrize("where", ["value", "name", "nul", "reason", "cookie", "redirect"])
def test_nothing_of_a_split_response_reaches_the_wire(site, where):
    client = site.client()
    response = client.get(f"/unsafe/{where}/")
    assert response.status == 500
    assert "stolen" not in str(response.headers)
    assert client.get("/hello/").status == 200


def test_a_large_upload_passes_through(site):
    received = []

    def view(request):
        digest = hashlib.sha256()
        while data := request.read(100_000):
            digest.update(data)
        received.append(digest.hexdigest())
        return HttpResponse("stored")

    serve(site, view)
    body = bytes(range(256)) * 4 * 1024 * 20
    client = site.client()
    client.request("/", "POST", body)
    assert client.response().body == b"stored"
    assert received == [hashlib.sha256(body).hexdigest()]


@pytest.mark.parametrize(
    ("size", "kind"),
    [(5, "InMemoryUploadedFile"), (3 * BODY_CHUNK + 1, "TemporaryUploadedFile")],
)
def test_a_form_in_chunks_of_unknown_number_is_parsed(site, size, kind):
    part = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = (
        part % (b"title", b"Report") + part % (b'doc"; filename="a.bin', bytes(size)) + b"--b--\r\n"
    )
    client = site.client()
    client.send(
        b"POST /form/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    for start in range(0, len(body), 100_000):
        piece = body[start : start + 100_000]
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.send(b"0\r\n\r\n")
    assert json.loads(client.response().body) == {
        "fields": {"title": ["Report"]},
        "files": {"doc": [["a.bin", size, kind]]},
    }


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_django_s_limit_is_400_and_the_server_goes_on(site, chunked):
    client = site.client()
    body = bytes(3_000_000)
    if chunked:
        client.request("/echo/", "POST", Transfer_Encoding="chunked")
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    else:
        client.request("/echo/", "POST", body)
    assert client.response().status == 400
    assert site.client().get("/hello/").status == 200


def test_an_upload_that_the_view_ignores_does_not_stop_the_server(site):
    client = site.client()
    with contextlib.suppress(OSError):  # the server may close what it did not read to the end
        client.request("/hello/", "POST", bytes(40 * BODY_CHUNK))
        client.response()
        client.request("/hello/", "POST", bytes(40 * BODY_CHUNK))
        client.response()
    assert site.client().get("/hello/").status == 200


def test_a_client_that_leaves_in_its_upload_ends_the_request(site):
    client = site.client()
    client.send(b"POST /read/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
    client.send(bytes(BODY_CHUNK + 1))
    client.close()
    wait_until(lambda: site.handled == 1)
    assert site.client().get("/hello/").status == 200


def test_a_stream_of_any_size_arrives_whole(site):
    serve(site, lambda request: StreamingHttpResponse(bytes([n]) * BODY_CHUNK for n in range(40)))
    body = site.client().get("/").body
    assert body == b"".join(bytes([n]) * BODY_CHUNK for n in range(40))


def test_a_stream_is_never_far_ahead_of_its_client(site):
    made = []

    def parts():
        for number in range(200):
            made.append(number)
            yield bytes(BODY_CHUNK)

    serve(site, lambda request: StreamingHttpResponse(parts()))
    client = site.client(buffer=4096)
    client.request("/")
    wait_until(lambda: len(made) > RESPONSE_WINDOW // BODY_CHUNK)
    read = 0
    ahead = []
    while data := client.socket.recv(BODY_CHUNK):
        read += len(data)
        ahead.append(len(made) * BODY_CHUNK - read)
        if data.endswith(b"0\r\n\r\n"):
            break
    assert len(made) == 200
    # The window, and what the kernel keeps in the buffers of both sockets.
    assert max(ahead) < RESPONSE_WINDOW + 12 * 1024 * 1024


def test_a_stream_ends_where_its_client_leaves(site):
    closed = []

    def parts():
        try:
            while True:
                yield bytes(BODY_CHUNK)
        finally:
            closed.append(True)

    serve(site, lambda request: StreamingHttpResponse(parts()))
    client = site.client()
    client.request("/")
    client.socket.recv(1000)
    client.close()
    wait_until(lambda: closed)


def test_a_slow_stream_ends_where_its_client_leaves(site):
    closed = []

    def parts():
        try:
            while True:
                yield b"tick"
                time.sleep(0.01)  # the view's own pace
        finally:
            closed.append(True)

    serve(site, lambda request: StreamingHttpResponse(parts()))
    client = site.client()
    client.request("/")
    client.socket.recv(1000)
    client.close()
    wait_until(lambda: closed)


def test_a_stream_that_fails_is_not_taken_for_whole(site):
    client = site.client()
    client.request("/streamed/broken/2/")
    with pytest.raises((ConnectionError, ValueError)):
        client.response()
    assert site.client().get("/hello/").status == 200
