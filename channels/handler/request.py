"""The Django request that is made of an ``http.request`` message.

Equal in all its public attributes to what ``django.core.handlers.wsgi.WSGIRequest`` makes of the
same request. Also used for the handshake of a WebSocket, which has no method and no body of its
own.
"""

import io
import sys
from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict, parse_cookie
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property

from channels.exceptions import InvalidMessage, RequestAborted, RequestTimeout, ResponseLater
from channels.handler.body import open_body
from channels.handler.environ import announced_length, path_info, variables

__all__ = ["AsgiRequest", "get_script_name"]


class AsgiRequest(HttpRequest):
    """The request of ``message``, a :class:`channels.message.Message`.

    ``message`` and ``reply_channel`` are kept as attributes. Header names that hold an underscore
    are left out: they could pass for the hyphenated header of a proxy. Raises ``InvalidMessage``
    where the message lacks a path or a method, ``UnicodeDecodeError`` where a path of bytes is not
    UTF-8.
    """

    # Attributes of HttpRequest that its type stubs do not know.
    _encoding: str | None
    _files: MultiValueDict[str, Any]

    #: Seconds that reading the body waits for its next part, after which it raises RequestTimeout.
    body_receive_timeout: float = 60

    # The exceptions by which a view, or the reading of the body in it, ends without a usual
    # response.
    ResponseLater = ResponseLater
    RequestTimeout = RequestTimeout
    RequestAborted = RequestAborted

    #: The exception of those three with which the request ended; the handler sets it.
    ending: Exception | None = None

    def __init__(self, message: Any) -> None:
        content = message.content
        self.message = message
        self.reply_channel = message.reply_channel
        self.resolver_match = None
        self._read_started = False
        try:
            path, self.method = content["path"], content["method"].upper()
        except KeyError as missing:
            raise InvalidMessage(
                f"a request needs the key {missing} in its message (ASGI spec, HTTP, Request)"
            ) from None
        self.script_name = get_script_name(content)
        self.path_info = path_info(_text(path), _text(content.get("root_path")), self.script_name)
        prefix = self.script_name.rstrip("/")
        self.path = f"{prefix}/{self.path_info.replace('/', '', 1)}"
        self.META = variables(content, self.script_name, self.path_info)
        if "CONTENT_TYPE" in self.META:
            self._set_content_type_params(self.META)  # type: ignore[attr-defined]
        else:
            self.content_type, self.content_params = "", {}
        self._stream = open_body(  # type: ignore[assignment]
            content.get("body") or b"",
            content.get("body_channel"),
            message.channel_layer,
            self.body_receive_timeout,
            self._announced_length(),
        )

    def _announced_length(self) -> int | None:
        return announced_length(self.META)

    def _get_scheme(self) -> str:
        scheme: str = self.META["wsgi.url_scheme"]
        return scheme

    @cached_property
    def GET(self) -> QueryDict:  # type: ignore[override]
        """The parameters of the query string."""
        query: str = self.META["QUERY_STRING"]
        return QueryDict(query.encode("latin-1"), encoding=self._encoding)

    @cached_property
    def COOKIES(self) -> dict[str, str]:  # type: ignore[override]
        """The cookies; their bytes are read as UTF-8."""
        raw: str = self.META.get("HTTP_COOKIE", "")
        return parse_cookie(raw.encode("latin-1").decode(errors="replace")) if raw else {}

    @property
    def body(self) -> bytes:
        """The whole body; raises ``RequestDataTooBig`` over ``DATA_UPLOAD_MAX_MEMORY_SIZE``."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        read = self._read_started or hasattr(self, "_body")
        if not read and limit is not None and self._announced_length() is None:
            # Django measures what it can seek in, and this stream has no end to seek to.
            self._stream = io.BytesIO(self._stream.read(limit + 1))
        return super().body

    def _get_post(self) -> QueryDict:
        if not hasattr(self, "_post"):
            self._load_post_and_files()
        return self._post

    def _set_post(self, post: QueryDict) -> None:
        self._post = post

    #: The fields of a form.
    POST = property(_get_post, _set_post)

    @property
    def FILES(self) -> MultiValueDict[str, Any]:  # type: ignore[override]
        """The uploaded files of a form."""
        if not hasattr(self, "_files"):
            self._load_post_and_files()
        return self._files

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:
        """Parse a multipart body, also one whose length was not announced (chunked encoding).

        Upload handlers are then told a length above any limit, so that files go to disk.
        """
        if not META.get("CONTENT_LENGTH"):
            META = {**META, "CONTENT_LENGTH": str(sys.maxsize)}
        return super().parse_file_upload(META, post_data)

    def close(self) -> None:
        """Close the uploaded files and the body."""
        super().close()
        self._stream.close()


def get_script_name(content: dict[str, Any]) -> str:
    """The prefix that the application is mounted at: FORCE_SCRIPT_NAME, or the message's root path.

    The root path may be bytes, which it is in ``websocket.connect`` messages.
    """
    forced: str | None = settings.FORCE_SCRIPT_NAME
    return forced if forced is not None else _text(content.get("root_path"))


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
