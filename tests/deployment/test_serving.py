"""Requests and sockets over every shared layer: Daphne and the workers are processes apart."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.client import ClientConnection

from tests.deployment.matrix import PAIRS
from tests.waiting import wait_until


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test opens."""
    with ExitStack() as stack:
        yield stack


def test_a_view_answers_every_request_of_a_connection(site):
    for daphne in site.daphnes:
        client = daphne.client()
        for _ in range(3):
            response = client.get("/hello/")
            assert (response.status, response.body) == (200, b"hello")


def test_a_streamed_response_arrives_whole(site):
    response = site.daphnes[0].client().get("/stream/")

    assert response.status == 200
    assert response.body == b"".join(bytes([number]) * 30_000 for number in range(40))


def test_a_big_upload_arrives_whole(site):
    body = bytes(range(256)) * 20_000

    client = site.daphnes[1].client()
    client.request("/upload/", "POST", body)

    assert json.loads(client.response().body) == {
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


@pytest.mark.needs("curl")
def test_http_2_reaches_the_worker_and_back(site, tmp_path):
    body = bytes(range(256)) * 20_000
    (tmp_path / "body").write_bytes(body)
    url = f"http://127.0.0.1:{site.daphnes[0].port}"

    def curl(path, *arguments):
        command = ["curl", "-sSf", "--http2-prior-knowledge", *arguments, url + path]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    upload = json.loads(curl("/upload/", "--data-binary", f"@{tmp_path / 'body'}"))
    assert upload == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert curl("/stream/") == b"".join(bytes([number]) * 30_000 for number in range(40))


def test_sockets_echo_text_and_bytes_in_order(site, stack):
    websocket = stack.enter_context(site.daphnes[0].websocket())
    sent: list[str | bytes] = ["hello", bytes(range(256)), "", "€ 🐟", b"x" * 100_000]

    for data in sent:
        websocket.send(data)

    assert [websocket.recv(timeout=20) for _ in sent] == sent


def test_a_message_to_a_group_reaches_its_sockets_on_all_daphnes(site, stack):
    def socket(number: int, room: str) -> ClientConnection:
        return stack.enter_context(site.daphnes[number].websocket(f"/{room}/"))

    members = [socket(0, "room-a"), socket(1, "room-a"), socket(0, "room-a")]
    other = socket(1, "room-b")

    members[0].send("from a socket")
    site.layer.send_group("room-a", {"text": "from elsewhere"})
    other.send("to the other room")

    for member in members:
        texts = [member.recv(timeout=20), member.recv(timeout=20)]
        assert sorted(texts) == ["from a socket", "from elsewhere"]
    assert other.recv(timeout=20) == "to the other room"


def test_sockets_that_left_are_no_members_any_more(site, stack):
    leaver = stack.enter_context(site.daphnes[0].websocket("/room-c/"))
    stayer = stack.enter_context(site.daphnes[1].websocket("/room-c/"))
    assert len(site.layer.group_channels("room-c")) == 2

    leaver.close()

    wait_until(lambda: len(site.layer.group_channels("room-c")) == 1)
    stayer.send("alone")
    assert stayer.recv(timeout=20) == "alone"


def test_messages_arrive_as_they_were_sent_whatever_is_in_them(site):
    content = {
        "constants": [None, True, False],
        "integers": [0, -1, 127, 128, -129, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)],
        "doubles": [0.0, 1.0, -1.5, 5e-324, 1.7976931348623157e308],
        "text": ["", "é € 🐟 \0", "x" * 70_000],
        "bytes": [b"", bytes(range(256)), b"\xff" * 70_000],
        "nested": {"": [[], [{}], {"a": {"b": [1, [2, [3]]]}}]},
    }
    queue = site.layer.new_channel("deployment?").replace("?", ".") + "!"
    reply = site.layer.new_channel(queue)

    site.layer.send("mirror", {"content": content, "reply_channel": reply})
    channel, message = site.layer.receive([queue], block=True, timeout=20)

    assert channel == reply
    assert message["content"] == content
    assert message["seen"] == repr(content)  # which tells True from 1, and text from bytes


def test_the_workers_run_on_the_python_that_they_should(site):
    executable, module, compiled = site.daphnes[0].client().get("/python/").body.decode().split()
    interpreter = site.pythons.worker
    environment = {**os.environ, **interpreter.environment}

    assert executable == interpreter.python
    assert ("site-packages" in module) == bool(PAIRS)
    assert compiled == str(environment.get("CHANNELS_PURE_PYTHON") != "1")


def test_a_view_sends_background_work(site):
    assert site.daphnes[0].client().get("/record/7/").status == 204

    wait_until(lambda: site.recorded() == {7: 1})
