"""The frames that the layer reads and writes itself, which have to be as pika's are."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from pika import frame, spec
from pika.adapters.twisted_connection import TwistedProtocolConnection
from pika.connection import Connection

from channels.layers.rabbitmq.engine import Engine
from channels.layers.rabbitmq.replies import Reply
from channels.layers.rabbitmq.twisted import connection_of
from channels.layers.rabbitmq.wire import Wire, close_uncancelled
from tests.layers.rabbitmq.brokers import fresh_layer

CHANNEL: Any = SimpleNamespace(channel_number=3)


class Stub:
    """What a wire uses of pika's connection; it notes what is passed on and what is written."""

    def __init__(self) -> None:
        self.bytes_received = 0
        self.passed: list[bytes] = []
        self.written = b""
        self._body_max_length = 100
        self._on_data_available: Callable[[bytes], None] = self.passed.append

    def _output_marshaled_frames(self, frames: list[bytes]) -> None:
        self.written += b"".join(frames)


def _frames(data: bytes) -> list[Any]:
    """What pika reads of ``data``."""
    found = []
    while data:
        size, one = frame.decode_frame(data)
        found.append(one)
        data = data[size:]
    return found


def _delivery(body: bytes, pieces: int = 1, **properties: Any) -> bytes:
    deliver = spec.Basic.Deliver("ctag", 7, False, "exchange", "key")
    header = frame.Header(
        3, len(body), spec.BasicProperties(**{"expiration": "60000", **properties})
    )
    size = max(1, -(-len(body) // pieces))
    bodies = [frame.Body(3, body[i : i + size]).marshal() for i in range(0, len(body), size)]
    return frame.Method(3, deliver).marshal() + header.marshal() + b"".join(bodies)


def test_pika_has_what_the_layer_uses_of_it() -> None:
    for name in ("_on_data_available", "_output_marshaled_frames", "_on_stream_connected"):
        assert callable(getattr(Connection, name))
    assert callable(Connection._on_stream_terminated)
    connection = connection_of(TwistedProtocolConnection(pika.ConnectionParameters()))
    assert isinstance(connection, Connection)
    assert connection.bytes_received == 0
    assert hasattr(connection, "_body_max_length")  # known once it is open


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 250, bytes(range(256))])
@pytest.mark.parametrize("pieces", [1, 3])
def test_deliveries_are_read_at_every_split(body: bytes, pieces: int) -> None:
    data = _delivery(body, pieces, message_id="id") * 2
    for split in range(0, len(data), 7):
        stub, found = Stub(), []
        wire = Wire(stub)
        wire.on_delivery(CHANNEL, lambda *delivery: found.append(delivery))  # noqa: B023
        stub._on_data_available(data[:split])
        stub._on_data_available(data[split:])
        assert found == [("ctag", 7, "id", body)] * 2
        assert stub.bytes_received == len(data)
        assert not stub.passed


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"expiration": None},
        {"message_id": "a-1"},
        {"message_id": "x" * 255, "expiration": "1"},
        {"message_id": "a-1", "expiration": None},
        {"message_id": "a-1", "headers": {"a": 1}, "timestamp": 5, "type": "op"},
        {"headers": {"message_id": "b"}, "reply_to": "c", "user_id": "d"},
    ],
)
def test_the_identifier_is_found_among_all_properties(properties: dict[str, Any]) -> None:
    stub = Stub()
    found: list[str] = []
    Wire(stub).on_delivery(
        CHANNEL, lambda consumer, tag, message_id, body: found.append(message_id)
    )
    stub._on_data_available(_delivery(b"body", **properties))
    assert found == [properties.get("message_id", "")]


def _damaged(**properties: Any) -> bytes:
    """A delivery with an identifier, and maybe a header, that no client of ours writes."""
    good = _delivery(b"body", message_id="idid", **properties)
    return good.replace(b"idid", b"\xff\xfe\xfd\xfc").replace(b"headI", b"head?")


@pytest.mark.parametrize("properties", [{}, {"expiration": None}, {"headers": {"head": 1}}])
def test_damaged_properties_keep_no_delivery_back(properties: dict[str, Any]) -> None:
    stub = Stub()
    found: list[tuple[str, bytes]] = []
    Wire(stub).on_delivery(
        CHANNEL, lambda consumer, tag, message_id, body: found.append((message_id, body))
    )
    whole = _delivery(b"first", message_id="1") + _damaged(**properties) + _delivery(b"last")
    stub._on_data_available(whole)
    assert [body for _, body in found] == [b"first", b"body", b"last"]
    assert found[1][0] not in ("1", "idid") and found[2][0] == ""


def test_other_frames_are_passed_on_whole_and_in_order() -> None:
    stub = Stub()
    wire = Wire(stub)
    found: list[Any] = []
    wire.on_delivery(CHANNEL, lambda *delivery: found.append(delivery))
    others = [
        frame.Heartbeat().marshal(),
        frame.Method(3, spec.Basic.CancelOk("ctag")).marshal(),
        frame.Method(4, spec.Basic.Deliver("ctag", 1, False, "", "")).marshal(),
        frame.Method(3, spec.Basic.QosOk()).marshal(),
    ]
    data = others[0] + others[1] + _delivery(b"body") + others[2] + others[3]
    for index in range(len(data)):
        stub._on_data_available(data[index : index + 1])
    assert stub.passed == others
    assert found == [("ctag", 7, "", b"body")]


def test_confirmations_are_told_apart() -> None:
    stub = Stub()
    found: list[tuple[int, bool, bool]] = []
    Wire(stub).on_confirmation(CHANNEL, lambda *confirmation: found.append(confirmation))
    methods = [
        spec.Basic.Ack(5, False),
        spec.Basic.Ack(2**40, True),
        spec.Basic.Nack(6, False, True),
        spec.Basic.Nack(7, True, False),
    ]
    stub._on_data_available(b"".join(frame.Method(3, one).marshal() for one in methods))
    assert found == [(5, False, False), (2**40, True, False), (6, False, True), (7, True, True)]
    returned = frame.Method(3, spec.Basic.Return(312, "NO_ROUTE", "", "key")).marshal()
    stub._on_data_available(returned)
    assert stub.passed == [returned]


@pytest.mark.parametrize("size", [0, 1, 100, 101, 250])
def test_pika_reads_what_is_published(size: int) -> None:
    stub = Stub()
    properties = spec.BasicProperties(expiration="60000", type="op", message_id="a.1")
    Wire(stub).publish(CHANNEL, "exchange", "key", b"x" * size, properties)
    method, header, *bodies = _frames(stub.written)
    assert (method.method.exchange, method.method.routing_key) == ("exchange", "key")
    assert method.method.mandatory and method.channel_number == header.channel_number == 3
    assert header.body_size == size and header.properties == properties
    assert [len(one.fragment) for one in bodies] == [100] * (size // 100) + (
        [size % 100] if size % 100 else []
    )


def test_pika_reads_acknowledgements_and_synchronizations() -> None:
    stub = Stub()
    wire = Wire(stub)
    wire.on_delivery(CHANNEL, lambda *delivery: None)
    done: list[int] = []
    wire.acknowledge(CHANNEL, 2**40)
    wire.synchronize(CHANNEL, 50, lambda: done.append(1))
    ack, qos = (one.method for one in _frames(stub.written))
    assert (ack.NAME, ack.delivery_tag, ack.multiple) == ("Basic.Ack", 2**40, False)
    assert (qos.NAME, qos.prefetch_count, qos.global_qos) == ("Basic.Qos", 50, False)
    stub._on_data_available(frame.Method(3, spec.Basic.QosOk()).marshal())
    assert done == [1]
    assert not stub.passed


def test_a_reader_that_raises_loses_no_other_frame() -> None:
    stub = Stub()
    found: list[bytes] = []

    def delivered(consumer: str, tag: int, message_id: str, body: bytes) -> None:
        found.append(body)
        if len(found) == 1:
            raise ValueError

    Wire(stub).on_delivery(CHANNEL, delivered)
    with pytest.raises(ValueError):
        stub._on_data_available(_delivery(b"one") + _delivery(b"two"))
    stub._on_data_available(_delivery(b"three"))
    assert found == [b"one", b"two", b"three"]


async def _given_back(engine: Engine) -> list[bytes]:
    """What the second consumer of a queue gets that serves one at a time: of three messages, the
    first had two when it was ended, and the last came at that moment."""
    session = await engine.ready()
    first, second = await session.open_channel(), await session.open_channel()
    queue = session.name("line")
    one_at_a_time = {"x-single-active-consumer": True}
    declared: Reply[Any] = Reply()
    first.queue_declare(queue, False, False, True, False, one_at_a_time, declared.succeed)
    await declared
    held: list[bytes] = []
    got: list[bytes] = []
    both: Reply[None] = Reply()
    all_three: Reply[None] = Reply()

    def hold(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        held.append(body)
        if len(held) == 2:
            both.succeed(None)

    def get(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        got.append(body)
        if len(got) == 3:
            all_three.succeed(None)

    consumer = first.basic_consume(queue, hold)
    for body in (b"1", b"2"):
        session.publisher.publish("", queue, body, spec.BasicProperties())
    await both
    second.basic_consume(queue, get)
    close_uncancelled(first, consumer)
    session.publisher.publish("", queue, b"3", spec.BasicProperties())
    await all_three
    return got


@pytest.mark.needs("rabbitmq-server")
def test_the_next_consumer_gets_what_an_ended_one_had_before_anything_else() -> None:
    layer = fresh_layer(timeout=30)
    assert layer._ask(_given_back) == [b"1", b"2", b"3"]
    layer.close()
