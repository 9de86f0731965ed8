"""The views of the test project, one for each thing that a response may do."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import get_script_prefix, reverse
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt

from channels.exceptions import RequestAborted, RequestTimeout, ResponseLater

__all__ = ["CONTENT_OF_FILE", "LARGE", "closed_streams"]


#: What ``file`` answers.
CONTENT_OF_FILE = b"0123456789abcdef" * 80_000

#: Bytes that ``large`` answers.
LARGE = 1_200_000

#: Names of the streams whose ``finally`` was reached.
closed_streams: list[str] = []


def hello(request: HttpRequest) -> HttpResponse:
    """The shortest answer."""
    return HttpResponse("Hello, world")


def name(request: HttpRequest, name: str) -> JsonResponse:
    """What depends on the path and the script's prefix."""
    return JsonResponse(
        {
            "name": name,
            "path": request.path,
            "reversed": reverse("name", args=[name]),
            "absolute": request.build_absolute_uri(),
            "prefix": get_script_prefix(),
        }
    )


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    """The body again."""
    return HttpResponse(request.body, content_type=request.content_type or "text/plain")


@csrf_exempt
def form(request: HttpRequest) -> JsonResponse:
    """Fields and files."""
    files = {
        key: [[upload.name, upload.size, type(upload).__name__] for upload in uploads]
        for key, uploads in request.FILES.lists()
    }
    return JsonResponse({"fields": dict(request.POST.lists()), "files": files})


@csrf_exempt
def read(request: HttpRequest) -> HttpResponse:
    """The body line by line."""
    return HttpResponse(b"|".join(list(request)))


def host(request: HttpRequest) -> HttpResponse:
    """The host, which Django validates."""
    return HttpResponse(request.get_host())


def headers(request: HttpRequest) -> HttpResponse:
    """Headers and cookies of all sorts."""
    response = HttpResponse("x", status=201, reason="Made", headers={"X-Camel-Case": "caf\u00e9"})
    response["content-language"] = "eo"
    response.set_cookie("session", "abc", max_age=60, httponly=True, samesite="Lax")
    response.set_cookie("odd", 'a;b"c', path="/x")
    response.delete_cookie("gone")
    return response


def unsafe(request: HttpRequest, where: str) -> HttpResponse:
    """A response that an attacker has put line ends or NUL into."""
    response = HttpResponse("x")
    evil = "a\r\nSet-Cookie: stolen=1"
    if where == "value":
        response.headers._store["x-evil"] = ("X-Evil", evil)
    elif where == "name":
        response.headers._store[evil.lower()] = (evil, "x")
    elif where == "nul":
        response["X-Evil"] = "a\x00b"
    elif where == "reason":
        response.reason_phrase = evil
    elif where == "cookie":
        response.set_cookie("a", "b")
        dict.__setitem__(response.cookies["a"], "path", evil)
    elif where == "redirect":
        response = HttpResponseRedirect("/")
        response.headers._store["location"] = ("Location", evil)
    elif where == "unencodable":
        response.headers._store["x-evil"] = ("X-Evil", "\u20ac")
    return response


def redirect(request: HttpRequest) -> HttpResponse:
    """A redirect to where the query says, or to another view."""
    return HttpResponseRedirect(request.GET.get("to", reverse("name", args=["x"])))


def large(request: HttpRequest) -> HttpResponse:
    """More content than one message holds."""
    return HttpResponse(b"x" * LARGE, content_type="application/octet-stream")


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    """Three parts, the middle one larger than a message."""
    return StreamingHttpResponse(_parts("streamed"))


def _parts(label: str) -> Iterator[Any]:
    try:
        yield "first"
        yield b"m" * 600_000
        yield "last"
    finally:
        closed_streams.append(label)


def empty_stream(request: HttpRequest) -> StreamingHttpResponse:
    """Not one part."""
    return StreamingHttpResponse([])


async def streamed_async(request: HttpRequest) -> StreamingHttpResponse:
    """The same from an asynchronous iterator."""
    return StreamingHttpResponse(_async_parts())


async def _async_parts() -> AsyncIterator[Any]:
    try:
        yield "first"
        await asyncio.sleep(0)
        yield await sync_to_async(lambda: b"m" * 600_000)()
        yield "last"
    finally:
        await asyncio.sleep(0)
        closed_streams.append("streamed_async")


def broken_stream(request: HttpRequest, parts: int) -> StreamingHttpResponse:
    """Fails after so many parts."""

    def content() -> Iterator[str]:
        for number in range(parts):
            yield f"part {number}"
        raise ValueError("the stream broke")

    return StreamingHttpResponse(content())


def file(request: HttpRequest) -> HttpResponse:
    """A file on disk, or 304 on demand."""
    if "HTTP_IF_NONE_MATCH" in request.META:
        return HttpResponseNotModified()
    stored = tempfile.TemporaryFile()
    stored.write(CONTENT_OF_FILE)
    stored.seek(0)
    return FileResponse(stored, filename="digits.txt")


async def asynchronous(request: HttpRequest) -> HttpResponse:
    """An asynchronous view."""
    await asyncio.sleep(0)
    return HttpResponse(json.dumps({"method": request.method}))


def unawaited(request: HttpRequest) -> Any:
    """A synchronous view that returns a coroutine by mistake."""
    coroutine = asynchronous(request)
    coroutine.close()  # or Python warns of it at some time later
    return coroutine


_ERRORS: dict[str, type[BaseException]] = {
    "missing": Http404,
    "denied": PermissionDenied,
    "bad": BadRequest,
    "suspicious": SuspiciousOperation,
    "slow": RequestTimeout,
    "aborted": RequestAborted,
    "exit": ZeroDivisionError,
    "exit_worker": SystemExit,
    "cancelled": asyncio.CancelledError,
}


def error(request: HttpRequest, kind: str = "exit") -> HttpResponse:
    """Raises."""
    raise _ERRORS[kind](f"the view raised {kind}")


def later(request: HttpRequest) -> HttpResponse:
    """Leaves the answer to somebody else."""
    raise ResponseLater


def language(request: HttpRequest) -> HttpResponse:
    """Activates a language and leaves it so, as middleware does."""
    translation.activate("eo")
    return HttpResponse(translation.get_language())
