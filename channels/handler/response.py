"""How a Django response becomes messages: its headers, and its content in parts.

What is in the messages is defined in ``channels.spec``; when they are made and sent is decided by
the handler and the consumer.
"""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections
from django.http.response import HttpResponseBase

from channels.exceptions import InvalidMessage
from channels.spec import http_response, http_response_chunk, safe_headers

__all__ = ["chunk_bytes", "encode"]

_END = object()


def encode(
    response: HttpResponseBase, chunk_size: int, body: bool = True
) -> Generator[dict[str, Any]]:
    """Yield the messages of ``response``, with at most ``chunk_size`` bytes of content each.

    A streaming response gives one message for each of its parts, and an empty one at the end;
    without ``body``, its parts are never made. Raises ``InvalidMessage`` for a header or a reason
    that would split the response, and whatever the content raises.
    """
    status, headers = _head(response)
    first = True
    with closing(_pieces(response, chunk_size, body)) as pieces:
        for content, more in pieces:
            if first:
                first = False
                yield dict(http_response(status, headers, content, more))
            else:
                yield dict(http_response_chunk(content, more))


def chunk_bytes(data: bytes, size: int) -> Iterator[tuple[bytes, bool]]:
    """Cut ``data`` into pieces of ``size`` bytes; yields each, and whether it is the last one."""
    if len(data) <= size:
        yield data, True
        return
    for position in range(0, len(data), size):
        yield data[position : position + size], position + size >= len(data)


def _head(response: HttpResponseBase) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The status and the headers, cookies last."""
    headers = [(_encoded(name, name), _encoded(name, value)) for name, value in response.items()]
    for cookie in response.cookies.values():
        headers.append((b"Set-Cookie", _encoded("Set-Cookie", cookie.output(header="").strip())))
    if not safe_headers(headers):
        raise _splitting(next(pair for pair in headers if not safe_headers([pair])))
    reason = getattr(response, "_reason_phrase", None)
    if reason is not None and not safe_headers([(b"reason", _encoded("reason", reason))]):
        raise _splitting(("reason phrase", reason))
    return int(response.status_code), headers


def _encoded(name: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError:
        raise InvalidMessage(
            f"the response header {name!r} holds characters beyond ISO-8859-1: {value!r:.200}; "
            "encode its value (RFC 8187, or percent-encoding)"
        ) from None


def _splitting(header: tuple[Any, Any]) -> InvalidMessage:
    name, value = header
    return InvalidMessage(
        f"the response header {name!r:.200}: {value!r:.200} cannot be sent: a name must be a "
        "token (RFC 9110) and a value free of CR, LF and NUL; remove what came unchecked from "
        "outside"
    )


def _pieces(response: Any, chunk_size: int, body: bool) -> Generator[tuple[bytes, bool]]:
    """The content in pieces, each with whether more follow."""
    if not response.streaming:
        for chunk, last in chunk_bytes(response.content, chunk_size):
            yield chunk, not last
        return
    if body:
        with _open_parts(response) as parts:
            for part in parts:
                for chunk, _ in chunk_bytes(part, chunk_size):
                    yield chunk, True
    else:
        yield b"", True
    yield b"", False


@contextmanager
def _open_parts(response: Any) -> Iterator[Iterable[bytes]]:
    if not getattr(response, "is_async", False):
        yield response
        return
    with closing(_AsyncParts(response.streaming_content)) as parts:
        yield parts


class _AsyncParts:
    """The parts of an asynchronous iterator one by one, for synchronous code.

    They are made on this thread, in one event loop that runs only while a part is asked for. As
    under Django's own asynchronous handler, synchronous code that the iterator calls runs on one
    thread of the response's own, whose database connections are closed at the end.
    """

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self._runner = asyncio.Runner()
        self._threads = ThreadSensitiveContext()
        self._runner.run(self._threads.__aenter__())  # type: ignore[no-untyped-call]

    def __iter__(self) -> "_AsyncParts":
        return self

    def __next__(self) -> bytes:
        part: Any = self._runner.run(self._next())
        if part is _END:
            raise StopIteration
        return part  # type: ignore[no-any-return]

    async def _next(self) -> Any:
        return await anext(self._parts, _END)

    def close(self) -> None:
        """Finish the iterator, wherever it is, and the loop."""
        with self._runner:
            self._runner.run(self._finish())

    async def _finish(self) -> None:
        await asyncio.get_running_loop().shutdown_asyncgens()
        await sync_to_async(connections.close_all)()
        await self._threads.__aexit__(None, None, None)  # type: ignore[no-untyped-call]
