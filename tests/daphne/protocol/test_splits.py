"""However the bytes of a client are cut into reads, the same operations follow.

Every stream is fed whole and cut at random places; what is compared is all that the application and
the client get (``conversation``). Streams that are refused are cut in ``test_http1_smuggling``, and
frames of HTTP/2 in ``http2/test_splits``.
"""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daphne.options import Options
from daphne.protocol import engine
from daphne.protocol.body import BodyDecoder, ChunkedDecoder, LengthDecoder
from tests.daphne.protocol.conversation import Outcome, outcome_of
from tests.daphne.protocol.socket_driver import (
    BINARY,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
)

pytestmark = pytest.mark.costs

_TOKEN = "!#$%&'*+.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
_VALUE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])

names = st.text(_TOKEN, min_size=1, max_size=12).map(lambda name: b"X-" + name.encode())
values = st.lists(st.sampled_from(_VALUE), max_size=30).map(bytes)
fields = st.lists(st.tuples(names, values), max_size=4).map(
    lambda pairs: b"".join(b"%b: %b\r\n" % pair for pair in pairs)
)
paths = st.text("abc/%20~.-", max_size=12).map(lambda text: b"/" + text.encode())
queries = st.sampled_from([b"", b"?", b"?a=%20&b", b"?x?y"])
bodies = st.one_of(st.binary(max_size=80), st.binary(min_size=200, max_size=900))


@st.composite
def plain(draw: st.DrawFn) -> bytes:
    """A request without a body."""
    method = draw(st.sampled_from([b"GET", b"HEAD", b"OPTIONS", b"DELETE"]))
    target = draw(paths) + draw(queries)
    if draw(st.booleans()):
        target = b"http://other:80" + target
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, target, draw(fields))


@st.composite
def with_length(draw: st.DrawFn) -> bytes:
    """A request with a body of known length."""
    body = draw(bodies)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (draw(paths), len(body))
    if draw(st.booleans()):
        head += b"Expect: 100-continue\r\n"
    return head + draw(fields) + b"\r\n" + body


@st.composite
def encoded(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks of any sizes, with extensions and trailers."""
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    extensions = st.sampled_from([b"", b";a", b';a="b c";d=e'])
    chunks = [b"%x%b\r\n%b\r\n" % (len(part), draw(extensions), part) for part in parts if part]
    zeros = draw(st.sampled_from([b"0", b"000"]))
    return b"".join(chunks) + zeros + draw(extensions) + b"\r\n" + draw(fields) + b"\r\n"


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    """A request with a body in chunks."""
    head = b"PUT %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" % draw(paths)
    return head + draw(fields) + b"\r\n" + draw(encoded(draw(bodies)))


requests = st.one_of(plain(), with_length(), chunked(), st.just(b"\r\n"))
pipelines = st.lists(requests, min_size=1, max_size=5).map(b"".join)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Messages, some in fragments with control frames between them, perhaps up to a close frame."""
    stream = b""
    for content in draw(st.lists(st.one_of(st.text(max_size=70), st.binary(max_size=200)))):
        raw = content.encode() if isinstance(content, str) else content
        cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=3)))
        parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        for index, part in enumerate(parts):
            opcode = 0 if index else TEXT if isinstance(content, str) else BINARY
            stream += client_frame(opcode, part, fin=index == len(parts) - 1)
            if draw(st.booleans()):
                stream += client_frame(draw(st.sampled_from([PING, PONG])), b"%d" % index)
    ends = [b"", close_frame(), close_frame(1000, b"bye"), client_frame(3), close_frame(1005)]
    return stream + draw(st.sampled_from([*ends, client_frame(TEXT, b"\xff\xff\xff")]))


@st.composite
def sockets(draw: st.DrawFn) -> bytes:
    """A handshake, perhaps after other requests, and what follows it."""
    handshake = (
        b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    )
    before = draw(st.one_of(st.just(b""), pipelines))
    return before + handshake + draw(fields) + b"\r\n" + draw(frames())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, none of them empty."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in zip(ends, ends[1:], strict=False)]


anywhere = st.lists(st.integers(0, 1 << 16), max_size=12)
every_byte = list(range(1 << 12))


@pytest.fixture(scope="module", params=[16, 512 * 1024], ids=["body channel", "inline"])
def options(request: pytest.FixtureRequest) -> Options:
    return Options(body_chunk_size=request.param)


def check(stream: bytes, places: list[int], options: Options) -> Outcome:
    """Both ways the same; what that was."""
    whole = outcome_of([stream], options)
    assert outcome_of(cut(stream, places), options) == whole
    return whole


@settings(max_examples=30)
@given(stream=requests, places=anywhere)
@example(stream=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", places=every_byte)
def test_a_request_is_the_same_however_it_is_cut(
    options: Options, stream: bytes, places: list[int]
) -> None:
    outcome = check(stream, places, options)
    assert len(outcome.requests) == (stream != b"\r\n")


@settings(max_examples=50)
@given(data=st.data(), body=bodies, places=anywhere)
def test_a_body_is_the_same_however_it_is_cut(
    data: st.DataObject, body: bytes, places: list[int]
) -> None:
    rest = data.draw(st.binary(max_size=20))
    chunks = data.draw(encoded(body))
    for stream, decoder in [
        (body + rest, LengthDecoder(len(body))),
        (chunks + rest, ChunkedDecoder(8192, 65536, 128)),
    ]:
        assert decode(decoder, cut(stream, places)) == (body, rest)


def decode(decoder: BodyDecoder, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The body, and what follows it."""
    body = b""
    for index, piece in enumerate(pieces):
        part, rest = decoder.feed(piece)
        body += part
        if rest is not None:
            return body, rest + b"".join(pieces[index + 1 :])
    part, rest = decoder.feed(b"") if not pieces else (b"", None)
    assert rest is not None, "the body has no end"
    return body + part, rest


@settings(max_examples=30)
@given(stream=pipelines, places=anywhere)
def test_a_pipeline_is_the_same_however_it_is_cut(
    options: Options, stream: bytes, places: list[int]
) -> None:
    outcome = check(stream, places, options)
    assert outcome.statuses == (200,) * len(outcome.requests)
    assert all(request.whole for request in outcome.requests)


@pytest.fixture(scope="module", params=list(engine.ENGINES))
def only_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have sockets use this engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ENGINES", {request.param: engine.ENGINES[request.param]})
        yield


@settings(max_examples=30)
@given(stream=sockets(), places=anywhere)
def test_a_websocket_is_the_same_however_it_is_cut(
    only_engine: None, stream: bytes, places: list[int]
) -> None:
    outcome = check(stream, places, Options())
    assert outcome.socket is not None and outcome.socket.path == "/chat"
