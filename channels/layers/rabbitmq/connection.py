"""pika's connection on the layer's own loop; pika calls such a class an adapter.

The protocol is pika's. Here bytes come and go: what is sent in one turn goes in one write, at once
if the socket takes it.
"""

import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any

from pika.connection import Connection, Parameters
from pika.exceptions import StreamLostError

from channels.layers.rabbitmq.loop import Loop, Timer

__all__ = ["LoopConnection"]

#: Bytes that are read at once.
_READ = 65_536


class LoopConnection(Connection):  # type: ignore[misc]  # pika has no types
    """A connection to one broker, made by the constructor.

    One of ``opened`` and ``failed`` is called, and after the former ``closed``. Raises ``OSError``
    where nobody listens.
    """

    def __init__(
        self,
        parameters: Parameters,
        loop: Loop,
        opened: Callable[[Connection], None],
        failed: Callable[[BaseException], None],
        closed: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._corks = 0
        self._outgoing: list[bytes] = []
        self._unsent = b""
        self._socket: socket.socket | None = None
        super().__init__(
            parameters,
            on_open_callback=opened,
            on_open_error_callback=lambda _, error: failed(error),
            on_close_callback=lambda _, error: closed(error),
            internal_connection_workflow=False,
        )
        self._socket = _connected(parameters)
        self._descriptor = self._socket.fileno()
        loop.add_reader(self._descriptor, self._readable)
        self._patience = loop.call_later(parameters.stack_timeout, self._late)
        self._on_stream_connected()

    def _late(self) -> None:
        if not self.is_open:
            self._terminated(TimeoutError("RabbitMQ accepted the connection, and says nothing"))

    # Writing

    def cork(self) -> None:
        """Keep what is sent until the same number of calls of ``uncork``."""
        self._corks += 1

    def uncork(self) -> None:
        """Send what was kept."""
        self._corks -= 1
        if self._outgoing and not self._corks:
            self._flush()

    def _flush(self) -> None:
        data, self._outgoing = b"".join(self._outgoing), []
        if self._unsent:
            self._unsent += data
        elif self._socket is not None:
            self._write(data)

    def _write(self, data: bytes) -> None:
        assert self._socket is not None
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError as error:
            self._loop.call_later(0, functools.partial(self._terminated, error))
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.set_writer(self._descriptor, self._writable)

    def _writable(self) -> None:
        data, self._unsent = self._unsent, b""
        self._loop.set_writer(self._descriptor, None)
        self._write(data)

    # Reading

    def _readable(self) -> None:
        try:
            data = self._read()
        except OSError as error:
            self._terminated(error)
            return
        if data is None:
            return
        if not data:
            self._terminated(EOFError("RabbitMQ closed the connection"))
            return
        self.cork()
        try:
            self._on_data_available(data)
        finally:
            self.uncork()

    def _read(self) -> bytes | None:
        """What there is, empty at the end, None where there is nothing after all."""
        if self._socket is None:
            return None
        try:
            data = self._socket.recv(_READ)
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                data += self._socket.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        return data

    def _terminated(self, error: BaseException | None) -> None:
        closing, self._socket = self._socket, None
        if closing is None:
            return
        self._patience.cancel()
        self._loop.remove(self._descriptor)
        closing.close()
        if error is not None and not isinstance(error, Exception):
            error = ConnectionError(repr(error))
        self._on_stream_terminated(None if error is None else StreamLostError(repr(error), error))

    # What pika asks of an adapter

    def _adapter_emit_data(self, data: bytes) -> None:
        self._outgoing.append(data)
        if not self._corks:
            self._flush()

    def _adapter_call_later(self, delay: float, callback: Callable[[], Any]) -> Timer:
        return self._loop.call_later(delay, callback)

    def _adapter_remove_timeout(self, timeout_id: Timer) -> None:
        timeout_id.cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[[], Any]) -> None:
        raise NotImplementedError("other threads go through EngineThread.call")

    def _adapter_connect_stream(self) -> None:
        raise NotImplementedError("the constructor connects")

    def _adapter_disconnect_stream(self) -> None:
        self._loop.call_later(0, lambda: self._terminated(None))


def _connected(parameters: Parameters) -> socket.socket:
    """A socket that is connected, and does not block from now on."""
    address = (parameters.host, parameters.port)
    connected = socket.create_connection(address, parameters.socket_timeout)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = parameters.ssl_options
        if options is not None:
            name = options.server_hostname or parameters.host
            connected = options.context.wrap_socket(connected, server_hostname=name)
        connected.setblocking(False)
    except BaseException:
        connected.close()
        raise
    return connected
