"""Bodies that come by a channel: streamed, in time, and never held whole."""

import functools
import threading
import tracemalloc

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile

from channels.exceptions import InvalidMessage, RequestAborted, RequestTimeout
from channels.handler import AsgiRequest
from channels.handler.body import BodyStream, open_body
from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.spec import BODY_CHUNK, HTTP_REQUEST, http_request_body_chunk
from tests.http_messages import request_message

CHANNEL = "http.request.body?tests"
MULTIPART = b"multipart/form-data; boundary=BoUnDaRy"


def streamed_request(layer, start=b"", headers=(), method="POST") -> AsgiRequest:
    return AsgiRequest(
        request_message(
            method=method, headers=headers, layer=layer, body=start, body_channel=CHANNEL
        )
    )


def send_chunks(layer, *contents: bytes) -> None:
    for number, content in enumerate(contents, start=1):
        more = number < len(contents)
        layer.send(CHANNEL, http_request_body_chunk(content, more_content=more))


class Uploads:
    """A layer of a third party that knows no timeout, and makes chunks as they are asked for."""

    extensions: list[str] = []

    def __init__(self, chunks) -> None:
        self.chunks = iter(chunks)
        self.asked = 0

    def receive(self, channels, block=False):
        assert channels == [CHANNEL]
        self.asked += 1
        content = next(self.chunks, None)
        if content is None:
            return CHANNEL, http_request_body_chunk(b"")
        return CHANNEL, http_request_body_chunk(content, more_content=True)


def test_chunks_are_joined_to_the_start_of_the_body():
    layer = ChannelLayer()
    send_chunks(layer, b"one ", b"", b"two ", b"three")
    assert streamed_request(layer, b"zero ").body == b"zero one two three"


def test_what_follows_the_last_chunk_is_left_in_the_channel():
    layer = ChannelLayer()
    send_chunks(layer, b"one")
    send_chunks(layer, b"another")
    assert streamed_request(layer).body == b"one"
    assert layer.receive([CHANNEL])[0] == CHANNEL


def test_reading_takes_no_more_chunks_than_it_needs():
    layer = Uploads([b"line 1\nli", b"ne 2\n", b"line 3\n"])
    request = AsgiRequest(
        Message({"path": "/", "method": "POST", "body_channel": CHANNEL}, HTTP_REQUEST, layer)
    )
    assert request.readline() == b"line 1\n"
    assert layer.asked == 1
    assert list(request) == [b"line 2\n", b"line 3\n"]
    assert request.read(10) == b""


def test_a_chunk_that_comes_later_is_waited_for():
    layer = ChannelLayer()
    request = streamed_request(layer)
    bodies = []
    reader = threading.Thread(target=lambda: bodies.append(request.body))
    reader.start()
    send_chunks(layer, b"one ", b"two")
    reader.join(10)
    assert bodies == [b"one two"]


def test_an_interruption_of_the_layer_does_not_end_the_wait():
    layer = ChannelLayer()
    request = streamed_request(layer)
    bodies = []
    reader = threading.Thread(target=lambda: bodies.append(request.body))
    reader.start()
    layer.interrupt()
    send_chunks(layer, b"whole")
    reader.join(10)
    assert bodies == [b"whole"]


def test_a_chunk_that_does_not_come_is_a_timeout():
    class Impatient(AsgiRequest):
        body_receive_timeout = 0.02

    message = request_message(method="POST", body_channel=CHANNEL)
    with pytest.raises(RequestTimeout, match=r"within 0\.02 seconds"):
        Impatient(message).read()


def test_without_patience_only_what_is_there_is_read():
    class Impatient(AsgiRequest):
        body_receive_timeout = 0

    layer = ChannelLayer()
    send_chunks(layer, b"one", b"two")
    request = Impatient(request_message(method="POST", layer=layer, body_channel=CHANNEL))
    assert request.read() == b"onetwo"
    late = Impatient(request_message(method="POST", layer=layer, body_channel=CHANNEL))
    with pytest.raises(RequestTimeout):
        late.read()


def test_a_layer_that_cannot_wait_is_asked_again_until_the_time_is_over():
    class Empty:
        asked = 0

        def receive(self, channels, block=False):
            self.asked += 1
            return None, None

    layer = Empty()
    with pytest.raises(RequestTimeout):
        open_body(b"", CHANNEL, layer, 0.12, None).read()
    assert 2 <= layer.asked <= 5


def test_a_layer_that_does_not_tell_what_its_receive_takes_is_asked_without_waiting():
    class Compiled(Uploads):
        def __init__(self, chunks):
            super().__init__(chunks)
            self.receive = functools.partial(self.receive)
            self.receive.__signature__ = "unknown"

    assert open_body(b"", CHANNEL, Compiled([b"one"]), 1, None).read() == b"one"


def test_a_client_that_goes_away_is_an_abort():
    layer = ChannelLayer()
    layer.send(CHANNEL, http_request_body_chunk(b"one", more_content=True))
    layer.send(CHANNEL, http_request_body_chunk(closed=True))
    with pytest.raises(RequestAborted):
        streamed_request(layer).read()


def test_a_chunk_that_is_none_is_named():
    layer = ChannelLayer()
    layer.send(CHANNEL, {"text": "hello"})
    with pytest.raises(InvalidMessage, match="'content' is missing"):
        streamed_request(layer).read()


def test_a_body_channel_without_a_layer_is_refused():
    content = {"path": "/", "method": "POST", "body_channel": CHANNEL}
    with pytest.raises(InvalidMessage, match="no channel layer"):
        AsgiRequest(Message(content, HTTP_REQUEST, None))


def test_nothing_after_the_announced_length_is_read():
    layer = Uploads([b"one", b"two", b"three"])
    stream = open_body(b"", CHANNEL, layer, 1, 4)
    assert stream.read() == b"onet"
    assert layer.asked == 2


def test_a_stream_can_be_read_into_any_buffer():
    stream = BodyStream(b"abc", Uploads([b"defg"]), CHANNEL, 1, None)
    buffer = bytearray(2)
    assert stream.readinto(memoryview(buffer)) == 2
    assert buffer == b"ab"
    assert stream.readall() == b"cdefg"
    assert stream.readinto(buffer) == 0
    assert not stream.seekable()


def upload(size: int):
    """The chunks of a multipart body with one file of ``size`` bytes."""
    yield b'--BoUnDaRy\r\nContent-Disposition: form-data; name="doc"; filename="a.bin"\r\n\r\n'
    for _ in range(size // BODY_CHUNK):
        yield bytes(BODY_CHUNK)
    yield b"\r\n--BoUnDaRy--\r\n"


def check_upload_memory(size: int, length: int | None) -> None:
    headers = [(b"content-type", MULTIPART)]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    message = request_message(
        method="POST", headers=headers, layer=Uploads(upload(size)), body_channel=CHANNEL
    )
    request = AsgiRequest(message)
    tracemalloc.start()
    try:
        stored = request.FILES["doc"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(stored, TemporaryUploadedFile)
    assert stored.size == size
    assert peak < 8 * BODY_CHUNK
    request.close()


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_of_100_megabytes_goes_to_disk_and_is_never_held_whole(announced):
    size = 200 * BODY_CHUNK
    check_upload_memory(size, sum(map(len, upload(size))) if announced else None)
