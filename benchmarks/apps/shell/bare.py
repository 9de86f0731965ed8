"""The least that a server over httptools does on Twisted's epoll reactor. Argument: the port."""

import sys
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

import httptools  # noqa: E402  (the reactor comes first)
from twisted.internet import reactor  # noqa: E402
from twisted.internet.protocol import Factory, Protocol  # noqa: E402

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
    b"Server: bare\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nHello, world!"
)


class Bare(Protocol):
    """Parses requests, keeps their headers, and answers each by the same bytes."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Bytes of requests."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._headers.append((name, value))

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._headers = []
        self.transport.write(RESPONSE)


factory: Any = Factory.forProtocol(Bare)
loop: Any = reactor
loop.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
loop.run()
