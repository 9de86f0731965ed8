"""``AsgiHandler``: Django's cycle for one ``http.request`` message.

It is the counterpart of ``django.core.handlers.wsgi.WSGIHandler``: signals, middleware, views,
error pages are Django's own. How messages reach the client is the consumer's part.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Generator, Iterator
from typing import Any

from django.conf import settings
from django.core import signals
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.handlers import base
from django.core.handlers.exception import response_for_exception
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseServerError,
)
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix, set_script_prefix

from channels.exceptions import InvalidMessage, RequestAborted, RequestTimeout, ResponseLater
from channels.handler import response as encoding
from channels.handler.request import AsgiRequest
from channels.spec import BODY_CHUNK, credit_channel, http_response_aborted

__all__ = ["AsgiHandler"]

logger = logging.getLogger("django.request")

#: What a view may raise to end its request without an error page.
_ENDINGS = (ResponseLater, RequestTimeout, RequestAborted)

#: What clients make the construction of a request raise, and would wait for an answer to: a path
#: that is no UTF-8, a charset that Python knows but not for text, too many parameters.
_CLIENTS_FAULTS = (LookupError, ValueError, BadRequest, SuspiciousOperation)

#: What is answered by an error page. No worker ends by the last two, so nobody else would answer.
_FAILURES = (Exception, SystemExit, asyncio.CancelledError)


class AsgiHandler(base.BaseHandler):
    """Runs Django on request messages; ``handler(message)`` yields the messages of the response.

    Nothing happens before the first one is asked for; after the last one, or when the generator is
    closed earlier, the response is closed and ``request_finished`` sent.
    """

    #: What requests are made with.
    request_class: type[AsgiRequest] = AsgiRequest

    #: Bytes of content in one message, at most.
    chunk_size: int = BODY_CHUNK

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def __call__(self, message: Any) -> Generator[dict[str, Any]]:
        """Answer ``message``, a :class:`channels.message.Message` of ``http.request``.

        Yields nothing where the view raised ``ResponseLater`` or the client went away while its
        request was read.
        """
        prefix = get_script_prefix()
        request: AsgiRequest | None = None
        response: HttpResponseBase | None = None
        try:
            signals.request_started.send(sender=type(self), message=message)
            request, response = self._respond(message, prefix)
            if request is None:
                yield from self.encode_response(response)
            elif isinstance(request.ending, RequestTimeout) and response.status_code != 408:
                yield from self.encode_response(_ending_response(request.ending))
            elif request.ending is None or isinstance(request.ending, RequestTimeout):
                yield from self._encode(request, response)
        finally:
            if response is None:
                signals.request_finished.send(sender=type(self))
            else:
                response.close()
            # What else runs on this thread shall not build its URLs with this request's prefix.
            if request is None or _script_prefix(request) != prefix:
                set_script_prefix(prefix)

    def _respond(self, message: Any, prefix: str) -> tuple[AsgiRequest | None, HttpResponseBase]:
        """Make the request and have it answered; a request that cannot be made is None.

        ``prefix`` is that of the thread, which stays where it is that of the request as well.
        """
        request: AsgiRequest | None = None
        response: HttpResponseBase
        try:
            request = self.request_class(message)
        except InvalidMessage:
            raise  # the server's fault
        except _CLIENTS_FAULTS as fault:
            logger.warning(
                "Bad Request (%s)", type(fault).__name__, exc_info=True, extra={"status_code": 400}
            )
            response = HttpResponseBadRequest()
        else:
            if _script_prefix(request) != prefix:
                set_script_prefix(request.script_name)
            response = self._get_some_response(request)
        response._handler_class = type(self)  # type: ignore[attr-defined]
        return request, response

    def _get_some_response(self, request: AsgiRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        except _FAILURES:  # no server is further up to answer for an error page that failed
            return _last_resort(request)

    def _get_response(self, request: AsgiRequest) -> HttpResponseBase:
        """Django's inner cycle; an ending leaves it as a response, for the middleware around it."""
        try:
            return super()._get_response(request)  # type: ignore[misc, no-any-return]
        except _ENDINGS as ending:
            request.ending = ending
            return _ending_response(ending)

    def process_exception_by_middleware(self, exception: Exception, request: Any) -> Any:
        """Ask the middleware about an exception; an ending is none of its business."""
        if isinstance(exception, _ENDINGS):
            return None
        return super().process_exception_by_middleware(exception, request)

    @classmethod
    def encode_response(cls, response: HttpResponseBase) -> Generator[dict[str, Any]]:
        """Yield ``response`` as messages for a reply channel; it is not closed afterwards.

        Raises ``InvalidMessage`` for a header that cannot be sent (Channels documentation,
        Getting Started with Channels, and ASGI spec, HTTP, Response).
        """
        return cls._pieces_of(response, True)

    @classmethod
    def chunk_bytes(cls, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Cut ``data`` into chunks; yields each, and whether it is the last one."""
        return encoding.chunk_bytes(data, cls.chunk_size)

    @classmethod
    def _pieces_of(cls, response: HttpResponseBase, body: bool) -> Generator[dict[str, Any]]:
        if isinstance(response, FileResponse):
            response.block_size = cls.chunk_size
        return encoding.encode(response, cls.chunk_size, body)

    def _encode(
        self, request: AsgiRequest, response: HttpResponseBase
    ) -> Generator[dict[str, Any]]:
        """The messages of a response; where making or sending one fails, those of an error page.

        Who sends them raises the failure here. Once the head has left, all that is left to do is to
        tell the server that no more will come.
        """
        started = False
        try:
            for message in self._pieces_of(response, request.method != "HEAD"):
                yield message
                started = True
        except _FAILURES as error:  # the content is made by the application
            if started:
                yield from _aborted(request)
            else:
                yield from self._error_page(request, error)

    def _error_page(self, request: AsgiRequest, error: Any) -> list[dict[str, Any]]:
        try:
            return list(self.encode_response(response_for_exception(request, error)))
        except Exception:  # the application's own error handler may fail
            return list(self.encode_response(_last_resort(request)))


def _script_prefix(request: AsgiRequest) -> str:
    """The prefix of URLs that Django makes of where the request says that the site begins."""
    return request.script_name if request.script_name.endswith("/") else f"{request.script_name}/"


def _ending_response(ending: Exception) -> HttpResponse:
    """What passes through the middleware for a request that ended early; only the 408 is sent."""
    if isinstance(ending, RequestTimeout):
        return HttpResponse("408 Request Timeout (upload too slow)", status=408)
    return HttpResponse(status=204)


def _last_resort(request: AsgiRequest) -> HttpResponse:
    """The plain answer to an exception that Django has no page for; called while it is handled."""
    if settings.DEBUG_PROPAGATE_EXCEPTIONS:
        raise  # the exception that is being handled, as Django does it
    logger.exception(
        "Internal Server Error: %s", request.path, extra={"status_code": 500, "request": request}
    )
    text = traceback.format_exc() if settings.DEBUG else "Internal Server Error"
    return HttpResponseServerError(text, content_type="text/plain")


def _aborted(request: AsgiRequest) -> Iterator[dict[str, Any]]:
    """Log the failure of a response that had begun; called while its exception is handled."""
    signals.got_request_exception.send(sender=None, request=request)
    logger.exception(
        "Response failed after its start: %s",
        request.path,
        extra={"status_code": 500, "request": request},
    )
    if request.reply_channel is not None and credit_channel(request.reply_channel.name):
        yield dict(http_response_aborted())


def _note_ending(request: Any = None, **kwargs: Any) -> None:
    """Remember an ending that a middleware let through, which Django makes an error page of."""
    error = sys.exc_info()[1]
    if isinstance(error, _ENDINGS) and isinstance(request, AsgiRequest):
        request.ending = error


signals.got_request_exception.connect(_note_ending, dispatch_uid="channels.handler")
