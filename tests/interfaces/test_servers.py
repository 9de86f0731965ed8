"""uvicorn, hypercorn and granian in Daphne's place, and WSGI servers: all of them real processes.

Each server is one process, the workers are another one; they share nothing but the channel layer.
"""

import hashlib
import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from channels.layers.base import BaseChannelLayer
from channels.layers.ipc import IPCChannelLayer
from channels.layers.redis import RedisChannelLayer
from tests.interfaces.site import Site
from tests.layers.ipc.segments import fresh_prefix, remove
from tests.servers.redis import RedisServer
from tests.waiting import wait_until

ASGI_SERVERS = ["uvicorn", "hypercorn", "granian"]
WSGI_SERVERS = ["gunicorn", "waitress"]

#: With the slow tests they are asked all that ASGI 3 servers are; without, they have one test.
SLOW_WSGI_SERVERS = [pytest.param(kind, marks=pytest.mark.slow) for kind in WSGI_SERVERS]

#: The fallbacks are tested where they are used: nothing here depends on which of the two runs.
pytestmark = pytest.mark.compiled_only

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["redis", pytest.param("ipc", marks=pytest.mark.slow)])
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer | None]:
    """A server, or None where the layers are to be in shared memory."""
    if request.param == "ipc":
        yield None
        return
    with RedisServer() as server:
        yield server


class Sites:
    """Servers, each with a worker process behind it; they start side by side.

    What is between them is a layer over ``redis``, or where that is None, shared memory.
    """

    def __init__(self, redis: RedisServer | None, folder: Path) -> None:
        self._redis = redis
        self._folder = folder
        self._sites: dict[str, Site] = {}
        self._layers: list[BaseChannelLayer] = []

    def start(self, kinds: list[str], *worker: str) -> None:
        """Start servers of ``kinds``; ``worker`` is the management command behind them."""
        for kind in kinds:
            folder = self._folder / kind
            folder.mkdir()
            self._sites[kind] = Site(folder, self._layer(kind))
            self._sites[kind].work(*(worker or ("runworker", "--threads", "4")))
            self._sites[kind].serve(kind)

    def _layer(self, kind: str) -> dict[str, Any]:
        """The entry of CHANNEL_LAYERS for a site of its own."""
        config: dict[str, Any]
        if self._redis is None:
            config = {"prefix": fresh_prefix(), "capacity": 100}
            self._layers.append(IPCChannelLayer(**config))
            return {"BACKEND": "channels.layers.ipc.IPCChannelLayer", "CONFIG": config}
        config = {"hosts": [self._redis.url], "prefix": f"{self._folder.name}.{kind}:"}
        self._layers.append(RedisChannelLayer(**config))
        return {"BACKEND": "channels.layers.redis.RedisChannelLayer", "CONFIG": config}

    def empty_layers(self) -> None:
        """Forget everything in the layers of all sites."""
        for layer in self._layers:
            layer.flush()

    def get(self, kind: str) -> Site:
        """The server of a kind, once it listens; one that was not yet started is now."""
        if kind not in self._sites:
            self.start([kind])
        site = self._sites[kind]
        site.wait_until_it_listens()
        return site

    def end(self) -> None:
        """End all processes."""
        for site in self._sites.values():
            site.end()
        for layer in self._layers:
            layer.close()
            if isinstance(layer, IPCChannelLayer):
                remove(layer.prefix)


@pytest.fixture(scope="module")
def sites(redis: RedisServer | None, tmp_path_factory: Any) -> Iterator[Sites]:
    """Servers for the tests that leave them as they are."""
    running = Sites(redis, tmp_path_factory.mktemp("sites"))
    try:
        running.start(ASGI_SERVERS)
        yield running
    finally:
        running.end()


@pytest.fixture
def own_sites(redis: RedisServer | None, tmp_path: Path) -> Iterator[Sites]:
    """Servers of the test's own, which it starts."""
    running = Sites(redis, tmp_path)
    yield running
    running.end()


@pytest.fixture(params=ASGI_SERVERS)
def site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    """Each ASGI 3 server."""
    return sites.get(request.param)


@pytest.fixture(params=[*ASGI_SERVERS, *SLOW_WSGI_SERVERS])
def any_site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    """Each ASGI 3 and each WSGI server."""
    return sites.get(request.param)


def fetch(
    site: Site, path: str, method: str = "GET", **options: Any
) -> tuple[http.client.HTTPResponse, bytes]:
    """The response to a request on a connection of its own, and its body."""
    with closing(http.client.HTTPConnection(*site.address, timeout=60)) as connection:
        connection.request(method, path, **options)
        response = connection.getresponse()
        return response, response.read()


def socket_to(site: Site, path: str = "/echo/", **options: Any) -> Any:
    """A WebSocket, as a context manager."""
    options = {"compression": None, "max_size": 8 * MIB} | options
    return connect(f"ws://127.0.0.1:{site.port}{path}", **options)


# -- HTTP ------------------------------------------------------------------------------------------


def test_a_view_answers(any_site):
    response, body = fetch(any_site, "/hello/", headers={"X-Name": "World"})

    assert (response.status, body) == (200, b"hello World")
    assert response.getheader("X-Seen") == "yes"


def test_the_request_reaches_the_view_as_it_was_sent(any_site):
    _, body = fetch(any_site, "/about/?a=1&b=%20", headers={"Host": "shop.example"})

    about = json.loads(body)
    assert about.pop("protocol") == "HTTP/1.1"
    assert about == {
        "method": "GET",
        "path": "/about/",
        "path_info": "/about/",
        "query": "a=1&b=%20",
        "scheme": "http",
        "client": "127.0.0.1",
        "host": "shop.example",
    }


def test_head_and_errors_are_answered(any_site):
    response, body = fetch(any_site, "/hello/", "HEAD")
    assert (response.status, body) == (200, b"")

    assert fetch(any_site, "/no/such/page/")[0].status == 404


def test_a_connection_serves_one_request_after_the_other(site):
    with closing(http.client.HTTPConnection(*site.address, timeout=60)) as connection:
        for number in range(20):
            connection.request("GET", "/hello/", headers={"X-Name": str(number)})
            assert connection.getresponse().read() == b"hello %d" % number


def test_many_clients_get_each_their_own_answer(any_site):
    found: dict[int, bytes] = {}

    def client(number: int) -> None:
        for _ in range(5):
            found[number] = fetch(any_site, "/hello/", headers={"X-Name": str(number)})[1]

    clients = [threading.Thread(target=client, args=[number]) for number in range(20)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)

    assert found == {number: b"hello %d" % number for number in range(20)}


def test_a_part_of_a_response_arrives_before_the_next_is_made(any_site):
    with closing(http.client.HTTPConnection(*any_site.address, timeout=60)) as connection:
        connection.request("GET", "/stream/")
        response = connection.getresponse()
        assert response.read(6) == b"first "

        assert fetch(any_site, "/gate/")[1] == b"opened"

        assert response.read() == b"second"


def test_an_upload_of_50_mb_arrives_whole(any_site):
    content = os.urandom(50_000_000)

    _, body = fetch(any_site, "/upload/", "POST", body=content)

    assert json.loads(body) == {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_an_upload_without_a_length_arrives_whole(any_site):
    parts = [os.urandom(100_000) for _ in range(20)]

    _, body = fetch(any_site, "/upload/", "POST", body=iter(parts), encode_chunked=True)

    assert json.loads(body)["sha256"] == hashlib.sha256(b"".join(parts)).hexdigest()


def test_a_large_response_arrives_whole(any_site):
    _, body = fetch(any_site, "/large/?parts=20")

    assert hashlib.sha256(body).digest() == hashlib.sha256(bytes(range(256)) * 4096 * 20).digest()


def test_a_client_that_does_not_read_stops_the_worker_until_it_leaves(any_site):
    before = len(any_site.lines("closed"))
    connection = http.client.HTTPConnection(*any_site.address, timeout=60)
    connection.request("GET", "/endless/")
    response = connection.getresponse()
    assert len(response.read(MIB)) == MIB
    made = _settled(lambda: len(any_site.lines("made")))

    assert made < 400, "the worker runs ahead of a client that does not read"

    response.close()
    connection.close()
    wait_until(lambda: len(any_site.lines("closed")) == before + 1, timeout=30)


def _settled(count: Any) -> int:
    """The value of ``count`` once it stays the same for a while."""
    seen: list[int] = []

    def still() -> bool:
        seen.append(count())
        return len(seen) > 300 and seen[-1] == seen[-300]

    wait_until(still, timeout=60)
    return seen[-1]


def test_a_response_that_fails_midway_is_cut(any_site):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        fetch(any_site, "/broken/")

    assert fetch(any_site, "/hello/")[1] == b"hello you"


def test_the_end_of_each_request_is_told_to_the_workers(any_site):
    def ends() -> int:
        return any_site.lines("http-disconnects").count("/hello/")

    before = ends()
    fetch(any_site, "/hello/")

    wait_until(lambda: ends() > before)


def test_a_client_that_leaves_during_its_upload_is_told_to_the_workers(site):
    before = site.lines("http-disconnects").count("/upload/")
    with socket.create_connection(site.address) as connection:
        head = b"POST /upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head + bytes(2 * MIB))

    wait_until(lambda: site.lines("http-disconnects").count("/upload/") > before)
    assert fetch(site, "/hello/")[1] == b"hello you"


# -- WebSocket -------------------------------------------------------------------------------------


def test_frames_come_back(site):
    with socket_to(site) as websocket:
        for content in ("hello", "", "\u20ac" * 1000, b"", b"\x00\xff", b"x" * 500_000):
            websocket.send(content)
            assert websocket.recv(timeout=10) == content


def test_frames_keep_their_order(site):
    with socket_to(site) as websocket:
        for expected in range(1, 30):
            websocket.send("order?")
            assert websocket.recv(timeout=10) == str(expected)


def test_the_handshake_reaches_the_application_as_it_was_sent(site):
    headers = [("Cookie", "a=1"), ("Cookie", "b=2")]
    with socket_to(site, "/scope/?x=%20y", additional_headers=headers) as websocket:
        known = json.loads(websocket.recv(timeout=10))

    assert known.pop("client")[0] == "127.0.0.1"
    assert known == {
        "path": "/scope/",
        "scheme": "ws",
        "order": 0,
        "query": "x=%20y",
        "cookies": ["a=1", "b=2"],
    }


def test_a_text_accepts(site):
    with socket_to(site, "/first-text/") as websocket:
        assert websocket.recv(timeout=10) == "welcome"


def test_a_rejected_socket_gets_a_403(site):
    with pytest.raises(InvalidStatus) as refusal, socket_to(site, "/reject/"):
        pass

    assert refusal.value.response.status_code == 403
    wait_until(lambda: "/reject/ 1006 1" in site.lines("disconnects"))


def test_an_application_that_does_not_answer_is_no_open_socket(site):
    with pytest.raises(InvalidStatus) as refusal, socket_to(site, "/silent/"):
        pass

    assert refusal.value.response.status_code == 503


def test_the_first_offered_subprotocol_that_is_spoken_is_chosen(site):
    with socket_to(site, subprotocols=["other", "chat"]) as websocket:
        assert websocket.subprotocol == "chat"


def test_the_application_closes_with_its_code(site):
    with socket_to(site) as websocket:
        websocket.send("close 4001")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=10)

    assert closed.value.rcvd.code == 4001


def test_data_and_close_in_the_handshake_are_carried_out_in_this_order(site):
    with socket_to(site, "/say-and-close/") as websocket:
        assert websocket.recv(timeout=10) == "bye"
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=10)

    assert closed.value.rcvd.code == 4005


def test_the_client_closes_with_its_code(site):
    # hypercorn tells the application whether it has answered, and not which code the client sent.
    codes = (1000, 1006) if site.kind == "hypercorn" else (4002,)
    with socket_to(site, "/code/") as websocket:
        websocket.send("hello")
        websocket.recv(timeout=10)
        websocket.close(4002)

    wanted = {f"/code/ {code} 2" for code in codes}
    wait_until(lambda: wanted.intersection(site.lines("disconnects")))


def test_a_client_that_vanishes_is_told_to_the_workers(site):
    with socket_to(site, "/gone/") as websocket:
        websocket.socket.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: any(line.startswith("/gone/ ") for line in site.lines("disconnects")))
    (line,) = [line for line in site.lines("disconnects") if line.startswith("/gone/ ")]
    assert line.split()[1:] in (["1006", "1"], ["1005", "1"])


def test_a_group_message_reaches_all_members(site):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket_to(site, "/room/")) for _ in range(10)]
        for websocket in sockets:
            websocket.send("here")
            assert websocket.recv(timeout=10) == "here"

        fetch(site, "/say/?text=everybody")

        assert [websocket.recv(timeout=10) for websocket in sockets] == ["everybody"] * 10


def test_a_client_that_does_not_read_is_given_up(site):
    with socket_to(site, "/slow/", max_queue=1) as websocket:
        websocket.send("flood 200")

        wait_until(
            lambda: any(line.startswith("/slow/ ") for line in site.lines("disconnects")),
            timeout=60,
        )
        websocket.socket.close()


def test_many_sockets_at_a_time(site):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket_to(site)) for _ in range(50)]
        for number, websocket in enumerate(sockets):
            websocket.send(str(number))
        assert [websocket.recv(timeout=20) for websocket in sockets] == [str(n) for n in range(50)]


# -- the life of a server --------------------------------------------------------------------------


def ends_in_order(site: Site) -> None:
    """Stop the server by a signal, as a supervisor does."""
    assert site.server is not None
    site.server.send_signal(signal.SIGTERM)
    assert site.server.wait(20) in (0, -signal.SIGTERM)
    assert "Traceback" not in site.output()


def test_sockets_are_shed_when_the_layer_is_emptied_and_the_servers_go_on(own_sites):
    own_sites.start(ASGI_SERVERS)
    for site in (all_sites := [own_sites.get(kind) for kind in ASGI_SERVERS]):
        assert fetch(site, "/hello/")[1] == b"hello you"
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket_to(site)) for site in all_sites]
        own_sites.empty_layers()
        for websocket in sockets:
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv(timeout=30)
            assert closed.value.rcvd.code == 1012
    for site in all_sites:
        with socket_to(site) as websocket:
            websocket.send("again")
            assert websocket.recv(timeout=10) == "again"
        ends_in_order(site)


def test_wsgi_servers_in_front_of_a_wsgi_application(own_sites):
    own_sites.start(WSGI_SERVERS, "runwsgi", "--threads", "4")
    for site in [own_sites.get(kind) for kind in WSGI_SERVERS]:
        content = os.urandom(3 * MIB)
        assert fetch(site, "/hello/")[1] == b"hello you"
        _, body = fetch(site, "/upload/", "POST", body=content)
        assert json.loads(body)["sha256"] == hashlib.sha256(content).hexdigest()
        assert fetch(site, "/large/?parts=3")[1] == bytes(range(256)) * 4096 * 3
        ends_in_order(site)
