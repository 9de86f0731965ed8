"""The body of a request that comes in parts, as a stream.

Holds one part at a time, whatever the size of the upload.
"""

import io
from typing import Any

from channels.exceptions import InvalidMessage, RequestAborted, RequestTimeout
from channels.layers.exchange import receive_within
from channels.spec import check_http_request_body_chunk

__all__ = ["BodyStream", "open_body"]

#: Bytes that one read of the multipart parser asks for (Django's ``FileUploadHandler.chunk_size``).
_READ_SIZE = 64 * 1024


class BodyStream(io.RawIOBase):
    """Reads ``start`` and then the chunks that arrive on ``channel`` of ``layer``.

    ``length`` is the announced size in bytes: nothing after that is read, as under WSGI; None where
    none was announced. Reading raises ``RequestTimeout`` where the next chunk takes longer than
    ``timeout`` seconds, and ``RequestAborted`` where the client is gone.
    """

    def __init__(
        self, start: bytes, layer: Any, channel: str, timeout: float, length: int | None
    ) -> None:
        self._part = memoryview(start)
        self._layer = layer
        self._channel = channel
        self._timeout = timeout
        self._left = length
        self._more = True

    def readable(self) -> bool:
        """A body can be read, and nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current chunk, or the next one where it is used up."""
        while not self._part and self._more and self._left != 0:
            self._part = memoryview(self._next_chunk())
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._part))
        if self._left is not None:
            size = min(size, self._left)
            self._left -= size
        target[:size] = self._part[:size]
        self._part = self._part[size:]
        return size

    def _next_chunk(self) -> bytes:
        message = receive_within(self._layer, self._channel, self._timeout)
        if message is None:
            raise RequestTimeout(
                f"the next part of the request's body did not come within {self._timeout} seconds"
            )
        chunk = check_http_request_body_chunk(message)
        if chunk["closed"]:
            raise RequestAborted("the client closed the connection before the end of its request")
        self._more = chunk["more_content"]
        return chunk["content"]


def open_body(
    body: bytes, channel: str | None, layer: Any, timeout: float, length: int | None
) -> io.BufferedIOBase:
    """The stream of a request's body: in memory where it is all there, else a :class:`BodyStream`.

    Raises ``InvalidMessage`` where there is a channel but no layer.
    """
    if not channel:
        return io.BytesIO(body if length is None or length >= len(body) else body[:length])
    if layer is None:
        raise InvalidMessage(
            f"the body of the request comes by the channel {channel!r}, but its message has no "
            "channel layer; make the Message with the layer that it was received from"
        )
    return io.BufferedReader(BodyStream(body, layer, channel, timeout, length), _READ_SIZE)
