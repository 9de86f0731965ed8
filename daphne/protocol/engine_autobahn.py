"""The engine that reads frames by Autobahn, through the public hooks of its server protocol.

Autobahn's protocol insists on its own handshake, so it is fed a canonical request on a transport
that drops its answer: the real handshake is ``daphne.protocol.handshake``. From then on it only
parses. Its hooks collect events here, and everything that it would do by itself is off: no timers
(so no reactor is asked for), no logging, no statistics worth naming, no answers to control frames.
Limits are checked in the hooks, since they come before the payload is taken. Small payloads are
unmasked here, since Autobahn's own way costs more than all the rest of a small frame. Compressed
ones are inflated here, since Autobahn loses what comes out at the end of a message only.
"""

import codecs
import zlib
from importlib import import_module
from typing import Any, NoReturn

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOfferAccept

from daphne.protocol.engine import (
    Binary,
    Closed,
    Engine,
    Event,
    Failure,
    Limits,
    Ping,
    Pong,
    Text,
    read_close,
)

__all__ = ["AutobahnEngine", "make_engine"]

#: Bytes given to Autobahn at a time. It copies what is left of its buffer after each frame, which
#: is quadratic for a read that is full of small frames unless the pieces are small.
_PIECE = 16 * 1024

#: Bytes up to which Python's integers unmask faster than Autobahn's C code (measured), which takes
#: six calls for a payload and lets go of the interpreter's lock in each.
_SMALL = 1024

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
_OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"

#: What a compressor has left away at the end of a message (RFC 7692, section 7.2.2).
_FLUSHED = b"\x00\x00\xff\xff"

# Its type hints do not export it.
_new_masker: Any = import_module("autobahn.websocket.xormasker").create_xor_masker
_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class _EndOfInput(Exception):
    """Raised in a hook to leave Autobahn's loop: its last event is a ``Closed`` or ``Failure``."""


class _Silence:
    """A logger that drops everything; Autobahn logs each read and write."""

    def debug(self, *args: object, **fields: object) -> None:
        """Drop a record."""

    info = warn = error = debug


class _NowhereTransport:
    """A transport that has no peer and drops what is written."""

    def write(self, data: bytes) -> None:
        """Drop Autobahn's answer to the canonical request."""

    def getPeer(self) -> None:
        """There is no address."""


class _Reader(WebSocketServerProtocol):
    """Autobahn's protocol with its hooks turned into events."""

    log = _Silence()

    limits: Limits
    events: list[Event]
    validator: codecs.IncrementalDecoder | None

    def read(self, data: bytes) -> None:
        """Parse a piece of input; ``events`` grows."""
        self.data += data
        self.consumeData()

    def _end(self, event: Closed | Failure) -> NoReturn:
        self.events.append(event)
        raise _EndOfInput

    def onFrameData(self, payload: bytes) -> Any:
        """Some payload of a frame, still masked."""
        frame: Any = self.current_frame
        if payload:
            start = self.current_frame_masker.pointer() - len(payload)
            payload = _unmask(payload, frame.mask, start)
        return super().onFrameData(payload)

    # -- messages -------------------------------------------------------------------------------

    def onMessageBegin(self, isBinary: bool) -> None:
        """A first frame begins."""
        self.is_binary = isBinary
        self.validator = None
        self.content: bytes | bytearray = b""
        self.frames = 0
        self.announced = 0
        self.message_data_total_length = 0  # Autobahn counts on it while it inflates

    def onMessageFrameBegin(self, length: int) -> None:
        """A frame's header was read: the place to refuse it."""
        limits = self.limits
        self.frames += 1
        self.announced += length
        if length > limits.frame:
            self._end(Failure(1009, f"a frame may have {limits.frame} bytes"))
        if self.announced > limits.message:
            self._end(Failure(1009, f"a message may have {limits.message} bytes"))
        if self.frames > limits.fragments:
            self._end(Failure(1008, f"a message may have {limits.fragments} frames"))

    def onMessageFrameData(self, payload: bytes) -> None:
        """Some payload of a frame, unmasked."""
        if not payload:
            return
        if not self.content:
            self.content = payload
            return
        if isinstance(self.content, bytes):
            self.content = bytearray(self.content)
        if not self.is_binary:
            self._validate(payload)
        self.content += payload

    def _validate(self, payload: bytes) -> None:
        # Text that comes in pieces is refused at its first bad byte, not at the message's end.
        try:
            if self.validator is None:
                self.validator = _new_utf8_decoder()
                self.validator.decode(bytes(self.content))
            self.validator.decode(payload)
        except UnicodeDecodeError:
            self._end(Failure(1007, "text must be UTF-8"))

    def onMessageFrameEnd(self) -> None:
        """A frame has ended: where others follow, its text is checked before them."""
        frame: Any = self.current_frame
        if not (self.is_binary or frame.fin) and self.content and self.validator is None:
            self._validate(b"")

    def onMessageEnd(self) -> None:
        """The last frame of a message has ended."""
        content, self.content = bytes(self.content), b""
        if self.is_binary:
            self.events.append(Binary(content))
            return
        try:
            self.events.append(Text(content.decode()))
        except UnicodeDecodeError:
            self._end(Failure(1007, "text must be UTF-8"))

    # -- control frames -------------------------------------------------------------------------

    def onPing(self, payload: bytes) -> None:
        """A ping came."""
        self.events.append(Ping(payload))

    def onPong(self, payload: bytes) -> None:
        """A pong came."""
        self.events.append(Pong(payload))

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> None:
        """A close frame came; a payload of one byte was refused before."""
        head = b"" if code is None else code.to_bytes(2)
        self._end(read_close(head + (reasonRaw or b"")))

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        """Autobahn wants to fail the connection."""
        self._end(Failure(code or 1002, (reasonUtf8 or b"").decode()))


class _Inflater:
    """Inflates the messages of one reader, each by itself and to no more than one may have."""

    __slots__ = ("_decompressor", "_reader", "_room")

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def take_the_place_of(self, extension: Any) -> None:
        """Have Autobahn call us instead of its extension."""
        extension.start_decompress_message = self._start
        extension.decompress_message_data = self._inflate
        extension.end_decompress_message = self._end

    def _start(self) -> None:
        self._decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
        self._room = self._reader.limits.message

    def _inflate(self, data: bytes, max_output_len: int | None = None) -> bytes:
        if self._decompressor.eof:  # zlib would collect what follows its last block, over and over
            return b""
        try:
            inflated = self._decompressor.decompress(data, self._room + 1)
        except zlib.error:
            self._reader._end(Failure(1007, "compressed data must be that of deflate"))
        self._room -= len(inflated)
        if self._room < 0:
            limit = self._reader.limits.message
            self._reader._end(Failure(1009, f"a message may have {limit} bytes"))
        return inflated

    def _end(self) -> None:
        self._reader.onMessageFrameData(self._inflate(_FLUSHED))


def _unmask(payload: bytes, mask: bytes, start: int) -> bytes:
    """Payload that begins at byte ``start`` of its frame, without its mask (RFC 6455, 5.3)."""
    size, turn = len(payload), start % 4
    mask = mask[turn:] + mask[:turn]
    if size > _SMALL:
        unmasked: bytes = _new_masker(mask, size).process(payload)
        return unmasked
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def _accept_deflate(offers: list[Any]) -> Any:
    """Accept what ``_OFFER`` offers; only its part for the client's messages is made use of."""
    accept: Any = PerMessageDeflateOfferAccept
    return accept(offers[0], request_no_context_takeover=True)


def _make_factory() -> Any:
    # The reactor is named so that Autobahn does not import the global one; it is never used.
    new_factory: Any = WebSocketServerFactory
    factory = new_factory(reactor=object())
    factory.protocol = _Reader
    factory.setProtocolOptions(
        versions=[13],
        failByDrop=False,
        applyMask=False,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        autoPingInterval=0,
        utf8validateIncoming=False,
        perMessageCompressionAccept=_accept_deflate,
        tcpNoDelay=False,
    )
    # Autobahn copies the factory's options to each protocol and renders them for its log, which
    # is most of what a connection costs. Options that the class has already are left alone.
    for name in WebSocketServerProtocol.CONFIG_ATTRS:
        value = getattr(factory, name)
        setattr(_Reader, name, staticmethod(value) if callable(value) else value)
    _Reader.CONFIG_ATTRS = []
    return factory


_NOWHERE = _NowhereTransport()
_FACTORY = _make_factory()


class AutobahnEngine(Engine):
    """An engine over Autobahn's protocol."""

    __slots__ = ("_reader",)

    def __init__(self, limits: Limits) -> None:
        reader: Any = _FACTORY.buildProtocol(None)
        reader.limits = limits
        reader.events = []
        reader.makeConnection(_NOWHERE)
        reader.read(_REQUEST + (_OFFER if limits.deflate else b"") + b"\r\n")
        for extension in reader.websocket_extensions_in_use:
            _Inflater(reader).take_the_place_of(extension)
        self._reader = reader

    def feed(self, data: bytes) -> list[Event]:
        """See :meth:`daphne.protocol.engine.Engine.feed`."""
        reader = self._reader
        if reader is None:
            return []
        try:
            if len(data) <= _PIECE:
                reader.read(data)
            else:
                for start in range(0, len(data), _PIECE):
                    reader.read(data[start : start + _PIECE])
        except _EndOfInput:
            self._reader = None
        events: list[Event] = reader.events
        if events:
            reader.events = []
        return events


def make_engine(limits: Limits) -> Engine:
    """An engine for one connection whose handshake is done."""
    return AutobahnEngine(limits)
