"""Clients and applications for the tests of whole servers."""

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Application", "HttpClient", "Response"]


@dataclass
class Response:
    """A response as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        """The first value of a header."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class HttpClient:
    """One connection that says exactly what it is told to, and reads whole responses."""

    def __init__(self, address: Any, family: int = socket.AF_INET, buffer: int = 0) -> None:
        self.socket = socket.socket(family)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect(address)
        self._file = self.socket.makefile("rb")

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS, with a server that is called localhost."""
        self._file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def request(
        self, target: str = "/", method: str = "GET", body: bytes = b"", **headers: str
    ) -> None:
        """Send a request with a Host header; underscores of header names become hyphens."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def response(self, head: bool = False) -> Response:
        """Read the next response; ``head`` says that it has no body whatever its headers say."""
        line = self._file.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        status = int(line.split()[1])
        headers = self._headers()
        response = Response(status, headers, b"")
        if not head and status >= 200 and status not in (204, 304):
            response.body = self._body(response)
        return response

    def get(self, target: str = "/", **headers: str) -> Response:
        """Send a request and read the response."""
        self.request(target, **headers)
        return self.response()

    def closed(self) -> bool:
        """Wait for the server to close; False where it sends something first."""
        return self._file.read(1) == b""

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self.socket.close()

    def _headers(self) -> list[tuple[str, str]]:
        headers = []
        while (line := self._file.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        return headers

    def _body(self, response: Response) -> bytes:
        if response.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self.chunk, b""))
        length = response.get("Content-Length")
        return self._file.read() if length is None else self._file.read(int(length))

    def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty at its end."""
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        if self._file.readline() != b"\r\n":
            raise ConnectionError("a chunk does not end with CRLF")
        return data


class Application:
    """Takes messages off channels in a thread, and answers them by functions.

    A function gets the message; what it returns is sent to the reply channel.
    """

    def __init__(self, layer: Any, **handlers: Callable[[dict[str, Any]], Any]) -> None:
        self._layer = layer
        self._handlers = {name.replace("_", "."): one for name, one in handlers.items()}
        self._stopped = threading.Event()
        #: ``(channel, message)`` in the order in which they were taken.
        self.taken: list[tuple[str, dict[str, Any]]] = []
        #: Exceptions of handlers.
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="application", daemon=True)
        self._thread.start()

    def messages(self, channel: str) -> list[dict[str, Any]]:
        """What was taken off a channel so far."""
        return [message for name, message in list(self.taken) if name == channel]

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        while self._thread.is_alive():
            self._layer.interrupt()
            self._thread.join(0.05)

    def _run(self) -> None:
        channels: Sequence[str] = list(self._handlers)
        while not self._stopped.is_set():
            channel, message = self._layer.receive(channels, block=True)
            if channel is None:
                continue
            self.taken.append((channel, message))
            try:
                answer = self._handlers[channel](message)
                if answer is not None:
                    self._layer.send(message["reply_channel"], answer)
            except BaseException as error:
                self.errors.append(error)
