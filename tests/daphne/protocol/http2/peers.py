"""A client of HTTP/2 at the other side of a core: ``h2``'s, or one that writes frames by hand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, SettingsFrame

from daphne.options import Options
from daphne.protocol.http2 import Http2Core
from daphne.protocol.http2.frames import PREFACE
from tests.daphne.protocol.driving import Driver

__all__ = ["OK", "Attacker", "Peer", "Response", "request_fields"]

OK = {"status": 200, "headers": [(b"Content-Length", b"2")], "content": b"ok"}

Fields = list[tuple[bytes, bytes]]


def request_fields(path: str = "/", method: str = "GET", *more: tuple[bytes, bytes]) -> Fields:
    """The header fields of a request."""
    return [
        (b":method", method.encode()),
        (b":scheme", b"http"),
        (b":authority", b"example.com"),
        (b":path", path.encode()),
        *more,
    ]


@dataclass
class Response:
    """What came on a stream."""

    headers: Fields = field(default_factory=list)
    interim: list[Fields] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    #: Error code of RST_STREAM.
    reset: int | None = None
    #: Fields of the request that was promised.
    promise: Fields = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.get(b":status") or 0)

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


def _make_client(settings: dict[SettingCodes, int]) -> H2Connection:
    client = H2Connection(
        H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    client.local_settings = Settings(client=True, initial_values=settings)
    client.initiate_connection()
    return client


class Peer:
    """A client that keeps to the rules, and the driver of the core that it talks to."""

    def __init__(
        self,
        options: Options | None = None,
        settings: dict[SettingCodes, int] | None = None,
        make_core: Callable[..., Any] = Http2Core,
        h2: H2Connection | None = None,
        **changes: Any,
    ) -> None:
        """``h2`` is a client that has said its preface already."""
        self.driver = Driver(options, make_core, **changes)
        self.h2 = h2 or _make_client(settings or {})
        #: Whether what came is given back to the server's windows.
        self.reads = True
        #: Whether the transport takes what is written.
        self.drains = True
        self.responses: dict[int, Response] = {}
        self.seen: list[Any] = []
        self.talk()

    def talk(self) -> "Peer":
        """Let both sides say all that they have to say."""
        while True:
            out = self.h2.data_to_send()
            if out:
                self.driver.feed(out)
            back = self.driver.take_output()
            if back and self.drains:
                self.driver.do(self.driver.core.drained, len(back))
            for event in self.h2.receive_data(back) if back else ():
                self._see(event)
            if not out and not back:
                return self

    def _see(self, event: Any) -> None:
        self.seen.append(event)
        match event:
            case events.ResponseReceived():
                self.response(event.stream_id).headers = list(event.headers)
            case events.InformationalResponseReceived():
                self.response(event.stream_id).interim.append(list(event.headers))
            case events.DataReceived():
                self.response(event.stream_id).body += event.data
                if self.reads and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self.response(event.stream_id).ended = True
            case events.StreamReset():
                self.response(event.stream_id).reset = int(event.error_code)
            case events.PushedStreamReceived():
                self.response(event.pushed_stream_id).promise = list(event.headers)

    def response(self, stream_id: int | None) -> Response:
        """What came on a stream so far."""
        return self.responses.setdefault(stream_id or 0, Response())

    def request(
        self, path: str = "/", method: str = "GET", *more: tuple[bytes, bytes], end: bool = True
    ) -> int:
        """Send a request's head; the number of its stream."""
        return self.send_fields(request_fields(path, method, *more), end=end)

    def send_fields(self, fields: Fields, end: bool = True) -> int:
        """Send a head with any fields."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, fields, end_stream=end)
        self.talk()
        return stream_id

    def send(self, stream_id: int, data: bytes, end: bool = False) -> "Peer":
        """Send a part of a body, as far as the windows have room; in frames of 16 KiB."""
        while data:
            size = min(len(data), 16384)
            part, data = data[:size], data[size:]
            self.h2.send_data(stream_id, part, end and not data)
            self.talk()
        return self

    def reply(self, *messages: dict[str, Any], request: int = -1) -> "Peer":
        """Answer one of the requests that reached the application."""
        for message in messages:
            self.driver.reply(message, request)
            self.talk()
        return self

    def window(self, stream_id: int) -> int:
        """Bytes that may be sent on a stream."""
        return self.h2.local_flow_control_window(stream_id)

    @property
    def goaway(self) -> events.ConnectionTerminated | None:
        """The GOAWAY that came."""
        found = [one for one in self.seen if isinstance(one, events.ConnectionTerminated)]
        return found[0] if found else None


class Attacker:
    """A client that writes whatever frames it likes; ``peer`` reads what comes back."""

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.driver = Driver(options, Http2Core, **changes)
        self.encoder = Encoder()
        self.driver.feed(PREFACE + SettingsFrame(0).serialize())
        self.next_id = 1

    def write(self, *frames: Frame) -> "Attacker":
        """Send frames in one piece."""
        return self.write_bytes(b"".join(frame.serialize() for frame in frames))

    def write_bytes(self, data: bytes) -> "Attacker":
        """Send bytes, as long as the connection is open."""
        self.driver.feed(data)
        return self

    def headers(
        self, fields: Iterable[tuple[bytes, bytes]], *flags: str, stream_id: int = 0
    ) -> HeadersFrame:
        """A frame with a whole block of header fields, of a new stream."""
        if not stream_id:
            stream_id, self.next_id = self.next_id, self.next_id + 2
        frame = HeadersFrame(stream_id, flags=["END_HEADERS", *flags])
        frame.data = self.encoder.encode(list(fields), huffman=False)
        return frame

    def data(self, stream_id: int, data: bytes, *flags: str) -> DataFrame:
        """A DATA frame."""
        frame = DataFrame(stream_id, flags=flags)
        frame.data = data
        return frame

    def frames(self) -> list[Frame]:
        """The frames that the server has written."""
        data = memoryview(self.driver.output)
        found = []
        while data:
            frame, size = Frame.parse_frame_header(data[:9])
            frame.parse_body(data[9 : 9 + size])
            found.append(frame)
            data = data[9 + size :]
        return found

    def last(self, kind: type[Frame]) -> Any:
        """The last frame of a kind."""
        return [frame for frame in self.frames() if isinstance(frame, kind)][-1]
