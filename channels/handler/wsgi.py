"""``WSGIConsumer``: the consumer that answers requests by any WSGI application.

The reference's "ASGI to WSGI application" (ASGI spec, WSGI Compatibility), with PEP 3333 for what
it leaves open. ``manage.py runwsgi`` runs it; Django's own requests are made in ``request``.
"""

import contextvars
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any
from wsgiref.util import FileWrapper

from channels.exceptions import InvalidMessage, RequestAborted, RequestTimeout
from channels.handler.body import open_body
from channels.handler.environ import announced_length, path_info, variables
from channels.handler.flow import ResponseSender
from channels.handler.response import chunk_bytes
from channels.spec import BODY_CHUNK, check_http_response, http_response, http_response_chunk

__all__ = ["WSGIApplication", "WSGIConsumer", "make_environ"]

logger = logging.getLogger("django.channels")

#: A WSGI application, as PEP 3333 has it.
WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

#: Seconds that reading the body waits for its next part, as for Django's requests.
_BODY_TIMEOUT = 60


class WSGIConsumer:
    """A consumer of ``http.request`` that has ``application`` answer.

    ``multithread`` says whether several threads run it at a time.
    """

    def __init__(self, application: WSGIApplication, multithread: bool = False) -> None:
        self.application = application
        self.multithread = multithread

    def __call__(self, message: Any) -> None:
        """Answer ``message``; raises ``InvalidMessage`` where it has no reply channel.

        What the application raises is logged and answered by a 500, or ends the response if it had
        begun.
        """
        if message.reply_channel is None:
            raise InvalidMessage(
                "a request without a reply_channel cannot be answered (ASGI spec, HTTP, Request)"
            )
        # In a context of its own, so that the next request on this thread finds no traces of it.
        contextvars.copy_context().run(self._answer, message)

    def _answer(self, message: Any) -> None:
        response = _Response(
            ResponseSender(message.reply_channel), message.content.get("method") == "HEAD"
        )
        try:
            environ = make_environ(message)
            environ["wsgi.multithread"] = self.multithread
            with closing(environ["wsgi.input"]):
                response.run(self.application, environ)
        except (_ClientGone, RequestAborted):
            pass
        except RequestTimeout:
            response.fail(408, b"408 Request Timeout (upload too slow)")
        except (Exception, SystemExit):  # no worker ends by the latter, so nobody would answer
            logger.exception(
                "The WSGI application failed at %s:", message.content.get("path", "a request")
            )
            response.fail(500, b"Internal Server Error")


def make_environ(message: Any) -> dict[str, Any]:
    """The environ of the request ``message`` (ASGI spec, WSGI Compatibility).

    Strings are "native" ones (PEP 3333): bytes, decoded as latin-1. ``wsgi.input`` ends with the
    body, whether its length was announced or not; reading it raises ``RequestTimeout`` and
    ``RequestAborted``.
    """
    content = message.content
    root_path = content.get("root_path") or ""
    environ = variables(
        content,
        _native(root_path.rstrip("/")),
        _native(path_info(content["path"], root_path, root_path)),
    )
    if "REMOTE_PORT" in environ:
        environ["REMOTE_PORT"] = str(environ["REMOTE_PORT"])
    body, channel = content.get("body") or b"", content.get("body_channel")
    if body and not channel:
        environ.setdefault("CONTENT_LENGTH", str(len(body)))
    length = announced_length(environ)
    environ["wsgi.version"] = (1, 0)
    environ["wsgi.run_once"] = False
    environ["wsgi.errors"] = sys.stderr
    environ["wsgi.input"] = open_body(body, channel, message.channel_layer, _BODY_TIMEOUT, length)
    environ["wsgi.input_terminated"] = True
    environ["wsgi.file_wrapper"] = _FileWrapper
    return environ


def _native(text: str) -> str:
    return text.encode().decode("latin-1")


class _FileWrapper(FileWrapper):
    """Reads a file in parts that make whole messages, whatever size the application asks for."""

    def __init__(self, filelike: Any, blksize: int = BODY_CHUNK) -> None:
        super().__init__(filelike, BODY_CHUNK)


class _ClientGone(Exception):
    """The response is wanted no more."""


class _Response:
    """One call of the application, and the messages that it leads to."""

    def __init__(self, sender: ResponseSender, without_body: bool) -> None:
        self._sender = sender
        self._without_body = without_body
        #: Status and headers, until they are sent with the first part of the body.
        self._head: tuple[int, list[list[bytes]]] | None = None
        self._started = False
        self._ended = False

    def run(self, application: WSGIApplication, environ: dict[str, Any]) -> None:
        """Call ``application`` and send what it gives; its iterable is closed in any case."""
        result = application(environ, self._start)
        try:
            count = len(result) if isinstance(result, list | tuple) else None
            for number, data in enumerate(self._wanted(result), 1):
                if data and not self._ended:
                    self._send(data, more=number != count)
            if not self._ended:
                self._send(b"", more=False)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _wanted(self, result: Iterable[bytes]) -> Iterator[bytes]:
        """The parts of the body, up to the end of the response."""
        for data in result:
            yield data
            if self._ended:
                return

    def _start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: _ExcInfo | None = None,
    ) -> Callable[[bytes], None]:
        """``start_response`` of PEP 3333."""
        try:
            if exc_info is not None and self._started:
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and self._head is not None:
                raise RuntimeError(
                    "start_response was called a second time without exc_info (PEP 3333)"
                )
        finally:
            exc_info = None  # no cycle by way of the traceback
        pairs = [[name.encode("latin-1"), value.encode("latin-1")] for name, value in headers]
        self._head = int(status.split(" ", 1)[0]), pairs
        return self._write

    def _write(self, data: bytes) -> None:
        """The ``write`` callable of PEP 3333: what it is given has left when it returns."""
        if data and not self._ended:
            self._send(data, more=True)

    def _send(self, data: bytes, more: bool) -> None:
        if self._head is None:
            raise RuntimeError("the application gave a body before it called start_response")
        if not isinstance(data, bytes):
            raise TypeError(f"a body consists of bytes, not {type(data).__name__} (PEP 3333)")
        if self._without_body:
            data, more = b"", False
        for part, last in chunk_bytes(data, BODY_CHUNK):
            self._send_message(self._message(part, more or not last))
        self._ended = not more

    def _message(self, content: bytes, more: bool) -> dict[str, Any]:
        if self._started or self._head is None:
            return dict(http_response_chunk(content, more))
        message = dict(http_response(*self._head, content=content, more_content=more))
        check_http_response(message)
        return message

    def _send_message(self, message: dict[str, Any]) -> None:
        if not self._sender.send(message):
            raise _ClientGone
        self._started = True

    def fail(self, status: int, text: bytes) -> None:
        """Answer by an error page; where the response has begun, cut it."""
        if self._started:
            self._sender.abort()
            return
        headers = [[b"Content-Type", b"text/plain"], [b"Content-Length", b"%d" % len(text)]]
        self._head = status, headers
        try:
            self._send(text, more=False)
        except _ClientGone:
            pass
