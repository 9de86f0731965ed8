"""HTTP/2 as other programs speak it: nghttp, h2load, curl and Chromium."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.layers.inmemory import ChannelLayer
from channels.spec import http_server_push
from tests.browsers import headless_chromium
from tests.daphne.certificates import write_certificate
from tests.daphne.conftest import RunningServer
from tests.waiting import wait_until

Serve = Callable[..., RunningServer]

PAGE = b"""<!DOCTYPE html><title>waiting</title><script>
const socket = new WebSocket(`wss://${location.host}/socket`);
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => { document.title = event.data; };
socket.onerror = () => { document.title = "failed"; };
</script>"""


@pytest.fixture
def server(serve: Serve) -> RunningServer:
    """A server with an application that says what it was asked."""
    return running(serve)


@pytest.fixture
def secure(serve: Serve, tmp_path: Path) -> Iterator[tuple[RunningServer, Path]]:
    """The same over TLS, and its certificate."""
    key, certificate = write_certificate(tmp_path)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    yield running(serve, endpoints=[endpoint]), certificate


def running(serve: Serve, **options: Any) -> RunningServer:
    one = serve(ChannelLayer(capacity=1000), **options)

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        if message["path"].endswith("/refused"):
            return {"status": 404, "content": b"not now"}
        count, channel = len(message["body"]), message.get("body_channel")
        while channel:
            _, chunk = one.layer.receive([channel], block=True)
            count += len(chunk["content"])
            channel = channel if chunk["more_content"] else None
        if message["path"] == "/page":
            return {"status": 200, "headers": [(b"Content-Type", b"text/html")], "content": PAGE}
        if message["path"] == "/pushing":
            push = http_server_push("GET", "/pushed", [])
            one.layer.send(message["reply_channel"], push)
        text = f"{message['http_version']} {message['method']} {message['path']} {count}"
        return {"status": 200, "content": text.encode()}

    one.application(
        http_request=answer,
        websocket_connect=lambda message: {"accept": True},
        websocket_receive=lambda message: {"text": message["text"] + " over a stream"},
    )
    return one


def output(*command: str) -> str:
    """What a program prints; it must not fail."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


# -- nghttp ---------------------------------------------------------------------------------------


@pytest.mark.needs("nghttp")
def test_nghttp_asks_by_prior_knowledge_and_by_upgrade(server: RunningServer) -> None:
    url = f"http://127.0.0.1:{server.port}"
    assert output("nghttp", f"{url}/a", f"{url}/b").count("2 GET /") == 2
    assert "2 GET /up 0" in output("nghttp", "-u", f"{url}/up")


@pytest.mark.needs("nghttp")
def test_nghttp_is_pushed_a_response(server: RunningServer) -> None:
    said = output("nghttp", "-v", f"http://127.0.0.1:{server.port}/pushing")
    assert "recv PUSH_PROMISE frame" in said
    assert ":path: /pushed" in said
    assert "2 GET /pushed 0" in said and "2 GET /pushing 0" in said
    quiet = output("nghttp", "-v", "--no-push", f"http://127.0.0.1:{server.port}/pushing")
    assert "PUSH_PROMISE" not in quiet and "2 GET /pushing 0" in quiet


@pytest.mark.needs("nghttp")
def test_nghttp_uploads_a_file(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"x" * 3_000_000)
    said = output("nghttp", "-d", str(path), f"http://127.0.0.1:{server.port}/up")
    assert "2 POST /up 3000000" in said


@pytest.mark.needs("h2load")
def test_h2load_loses_no_request(server: RunningServer) -> None:
    said = output(
        "h2load", "-n", "600", "-c", "4", "-m", "30", f"http://127.0.0.1:{server.port}/load"
    )
    assert re.search(r"600 succeeded, 0 failed, 0 errored, 0 timeout", said), said
    assert "status codes: 600 2xx" in said
    wait_until(lambda: server.connections() == 0)


# -- curl -----------------------------------------------------------------------------------------


@pytest.mark.needs("curl")
def test_curl_asks_in_every_way(server: RunningServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}/c"
    path = tmp_path / "body"
    path.write_bytes(b"x" * 2_000_000)
    prior = ["curl", "-sS", "--http2-prior-knowledge"]
    assert output(*prior, url) == "2 GET /c 0"
    assert output(*prior, "-T", str(path), url) == "2 PUT /c 2000000"
    assert output(*prior, "-H", "Expect: 100-continue", "-d", "abc", url) == "2 POST /c 3"
    assert output(*prior, "-I", url).startswith("HTTP/2 200")
    assert output("curl", "-sS", "--http2", url, url) == "2 GET /c 0" * 2
    # An answer before the end of the body is no failure.
    assert output(*prior, "-T", str(path), f"{url}/refused") == "not now"
    # An upgrade with a body is not taken, and its body is no request.
    assert output("curl", "-sS", "--http2", "-d", "abc", url) == "1.1 POST /c 3"
    assert output("curl", "-sS", "--http1.1", url) == "1.1 GET /c 0"


@pytest.mark.needs("curl")
def test_curl_chooses_by_alpn(secure: tuple[RunningServer, Path]) -> None:
    server, certificate = secure
    url = f"https://localhost:{server.port}/tls"
    base = ["curl", "-sS", "--cacert", str(certificate), "--resolve"]
    base.append(f"localhost:{server.port}:127.0.0.1")
    assert output(*base, url) == "2 GET /tls 0"
    assert output(*base, "--http1.1", url) == "1.1 GET /tls 0"


# -- Chromium -------------------------------------------------------------------------------------


@pytest.mark.needs("chromium", "chromedriver")
def test_chromium_loads_a_page_and_opens_a_websocket_over_one_connection(
    secure: tuple[RunningServer, Path], tmp_path: Path
) -> None:
    server, _ = secure
    with headless_chromium(tmp_path / "profile", "--ignore-certificate-errors") as browser:
        browser.get(f"https://127.0.0.1:{server.port}/page")
        wait_until(lambda: browser.title == "hello over a stream", timeout=30)
        entry = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
        assert browser.execute_script(entry) == "h2"
    (application,) = server._applications
    (connect,) = application.messages("websocket.connect")
    # Over HTTP/2 there is no key (RFC 8441, 5).
    assert b"sec-websocket-key" not in dict(connect["headers"])
    assert connect["scheme"] == "wss"
