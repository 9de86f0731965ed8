"""The frames that every message needs, read and written without pika's objects (AMQP 0-9-1, 4.2).

pika spends 150 microseconds on a message that is sent and received, most of it on finding out whom
a frame is for. Deliveries, acknowledgements and confirmations are read and written here, on the
AMQP channels that were named; all other frames are pika's, which counts ours as its own, since its
heartbeats depend on that.
"""

import functools
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from pika import BasicProperties
from pika.channel import Channel
from pika.connection import Connection
from pika.spec import Basic

__all__ = ["Wire", "close_uncancelled"]

#: Type, channel, size of the payload; after the payload comes an end octet.
_HEAD = struct.Struct(">BHI")
_END = b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3

#: Class and method of what is handled here.
_DELIVER, _ACK, _NACK = (60 << 16) | 60, (60 << 16) | 80, (60 << 16) | 120
_QOS, _QOS_OK = (60 << 16) | 10, (60 << 16) | 11
_ID = struct.Struct(">I")
_LONG = struct.Struct(">Q")

#: Of the flags that say which properties a message has: the lower byte's bit for ``message_id``,
#: and both bytes where it has that and ``expiration``, as the layer's own do.
_HAS_MESSAGE_ID, _OUR_FLAGS = 0x80, b"\x01\x80"

#: Whole frames: ``basic.ack`` for one message, and ``basic.qos`` for each consumer to come.
_ACK_FRAME = struct.Struct(">BHIIQBB")
_QOS_FRAME = struct.Struct(">BHIIIHBB")

#: Reads a frame of one channel: its type, all that was read, where the payload begins, its size.
#: False where the frame is pika's.
_Reader = Callable[[int, bytes, int, int], bool]


class Wire:
    """Stands between ``connection``, which is open, and its bytes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pass_on: Callable[[bytes], None] = connection._on_data_available
        self._readers: dict[int, _Reader] = {}
        self._deliveries: dict[int, _Deliveries] = {}
        self._rest = b""
        # pika's adapters call it by this name on their connection; a test pins that.
        connection._on_data_available = self._read

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        try:
            while end - position >= 8:
                kind, channel, size = _HEAD.unpack_from(data, position)
                begin, position = position, position + size + 8
                if position > end:
                    position = begin
                    break
                reader = self._readers.get(channel)
                if reader is not None and reader(kind, data, begin + 7, size):
                    self._connection.bytes_received += size + 8
                else:
                    self._pass_on(data[begin:position])
        finally:
            self._rest = data[position:]

    # Reading

    def on_confirmation(
        self, channel: Channel, confirmed: Callable[[int, bool, bool], None]
    ) -> None:
        """Call ``confirmed`` with the number of a message published on ``channel``, whether all
        before it are meant too, and whether they were refused."""

        def read(kind: int, data: bytes, start: int, size: int) -> bool:
            if kind != _METHOD:
                return False
            (method,) = _ID.unpack_from(data, start)
            if method != _ACK and method != _NACK:
                return False
            confirmed(
                _LONG.unpack_from(data, start + 4)[0], bool(data[start + 12] & 1), method == _NACK
            )
            return True

        self._readers[channel.channel_number] = read

    def on_delivery(
        self, channel: Channel, delivered: Callable[[str, int, str, bytes], None]
    ) -> None:
        """Call ``delivered`` with the consumer tag, the delivery tag, the identifier, empty where
        the sender gave none, and the body of each message that the broker hands to a consumer of
        ``channel``."""
        deliveries = self._deliveries[channel.channel_number] = _Deliveries(delivered)
        self._readers[channel.channel_number] = deliveries.read

    # Writing

    def acknowledge(self, channel: Channel, tag: int) -> None:
        """``basic.ack`` of one message."""
        number = channel.channel_number
        self._write(_ACK_FRAME.pack(_METHOD, number, 13, _ACK, tag, 0, _END[0]))

    def synchronize(self, channel: Channel, prefetch: int, then: Callable[[], None]) -> None:
        """Call ``then`` when the broker has done all that was asked of it on ``channel``.

        It has no method for that: this is ``basic.qos``, with the ``prefetch`` that the channel has
        already. ``on_delivery`` was called for the channel.
        """
        number = channel.channel_number
        self._deliveries[number].synchronizations.append(then)
        self._write(_QOS_FRAME.pack(_METHOD, number, 11, _QOS, 0, prefetch, 0, _END[0]))

    def publish(
        self, channel: Channel, exchange: str, key: str, body: bytes, properties: BasicProperties
    ) -> None:
        """``basic.publish``, which returns what no queue takes."""
        number = channel.channel_number
        encoded = b"".join(properties.encode())
        parts = [
            _publish_method(number, exchange, key),
            _HEAD.pack(_HEADER, number, 12 + len(encoded)),
            b"\x00\x3c\x00\x00",  # class 60, and a weight that is always 0
            _LONG.pack(len(body)),
            encoded,
            _END,
        ]
        most = self._connection._body_max_length
        for start in range(0, len(body), most):
            piece = body[start : start + most] if len(body) > most else body
            parts += (_HEAD.pack(_BODY, number, len(piece)), piece, _END)
        self._write(b"".join(parts))

    def _write(self, data: bytes) -> None:
        self._connection._output_marshaled_frames([data])


class _Deliveries:
    """Puts the frames of a delivery together."""

    def __init__(self, delivered: Callable[[str, int, str, bytes], None]) -> None:
        self._delivered = delivered
        self._consumer: str | None = None
        self._tag = 0
        self._message_id = ""
        self._missing = 0
        self._pieces: list[bytes] = []
        self.synchronizations: deque[Callable[[], None]] = deque()

    def read(self, kind: int, data: bytes, start: int, size: int) -> bool:
        """See ``_Reader``."""
        if kind == _METHOD:
            (method,) = _ID.unpack_from(data, start)
            if method == _QOS_OK and self.synchronizations:
                self.synchronizations.popleft()()
                return True
            if method != _DELIVER:
                return False
            end = start + 5 + data[start + 4]
            self._consumer = data[start + 5 : end].decode()
            (self._tag,) = _LONG.unpack_from(data, end)
            return True
        if self._consumer is None:
            return False
        if kind == _HEADER:
            (self._missing,) = _LONG.unpack_from(data, start + 4)
            self._message_id = _message_id(data, start + 12)
        else:
            self._pieces.append(data[start : start + size])
            self._missing -= size
        if self._missing <= 0:
            self._finish(self._consumer)
        return True

    def _finish(self, consumer: str) -> None:
        pieces, self._pieces, self._consumer = self._pieces, [], None
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._delivered(consumer, self._tag, self._message_id, body)


def _message_id(data: bytes, start: int) -> str:
    """The identifier among the properties that begin at ``start``, empty where there is none."""
    if not data[start + 1] & _HAS_MESSAGE_ID:
        return ""
    if data[start : start + 2] == _OUR_FLAGS:
        begin = start + 3 + data[start + 2]
        return data[begin + 1 : begin + 1 + data[begin]].decode("utf-8", "replace")
    properties = BasicProperties()  # something between sender and queue has added to them
    try:
        properties.decode(data, start)
    except Exception:  # no layer has written them, and nothing depends on them
        return ""
    message_id = properties.message_id
    return message_id if isinstance(message_id, str) else ""


def close_uncancelled(channel: Channel, consumer: str) -> None:
    """Close ``channel`` and so end its ``consumer``.

    pika asks the broker to cancel the consumer first, and closes once it has: between the two the
    broker serves the next consumer, without what this one has not acknowledged.
    """
    channel._cancelled.add(consumer)  # a test pins that pika leaves it alone then
    channel.close()


@functools.lru_cache(maxsize=1024)
def _publish_method(number: int, exchange: str, key: str) -> bytes:
    method = Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
    payload = _ID.pack(method.INDEX) + b"".join(_encoded(method))
    return _HEAD.pack(_METHOD, number, len(payload)) + payload + _END


def _encoded(method: Any) -> list[bytes]:
    pieces: list[bytes] = method.encode()
    return pieces
