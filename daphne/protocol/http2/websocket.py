"""The core of a stream that is a WebSocket (RFC 8441).

An extended CONNECT takes the place of the handshake's GET, and 200 that of 101; there is no key.
All else is ``daphne.protocol.websocket``: frames travel as the stream's DATA, and the end of a
stream is that of a connection.
"""

from collections.abc import Sequence

from daphne.protocol.error_pages import error_page
from daphne.protocol.handshake import Handshake, check_stream_handshake
from daphne.protocol.head import Head
from daphne.protocol.http2.response import page_headers
from daphne.protocol.operations import Close, Respond, Write
from daphne.protocol.websocket import WebSocketCore

__all__ = ["StreamWebSocketCore"]


class StreamWebSocketCore(WebSocketCore):
    """One WebSocket on one stream."""

    __slots__ = ()

    def end_body(self) -> None:
        """The client has ended its side of the stream."""
        self.receive_eof()

    def _check(self, head: Head) -> Handshake:
        options = self.context.options
        return check_stream_handshake(head, options.ws_protocols, options.websocket_compression)

    def _write_acceptance(self, handshake: Handshake) -> None:
        headers = [(b":status", b"200")]
        if server_name := self.context.options.server_name:
            headers.append((b"server", server_name.encode("ascii")))
        if handshake.protocol is not None:
            headers.append((b"sec-websocket-protocol", handshake.protocol.encode("ascii")))
        if handshake.deflate is not None:
            headers.append((b"sec-websocket-extensions", handshake.deflate.header()))
        self.emit(Respond(headers))

    def _refuse(
        self, status: int, detail: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        page = error_page(status, detail)
        now, server_name = self.context.now(), self.context.options.server_name
        head = page_headers(status, len(page), now=now, server_name=server_name, headers=headers)
        self.emit(Respond(head))
        self.emit(Write(page))
        self.emit(Close())
