"""Requests as a WSGI server makes them, for the tests of ``WSGIInterface``."""

import io
from contextlib import closing
from typing import Any, ClassVar
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from channels.interfaces.wsgi import WSGIInterface

__all__ = ["Call", "ask", "environ"]


def environ(path: str = "/", body: bytes | None = None, **variables: Any) -> dict[str, Any]:
    """A request as a server hands it over; ``body`` comes with its length."""
    found: dict[str, Any] = {"PATH_INFO": path.encode().decode("latin-1"), "SCRIPT_NAME": ""}
    if body is not None:
        found |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        found |= {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "text/plain"}
    found |= variables
    setup_testing_defaults(found)
    return found


class Call:
    """One request, by the rules that the standard library's validator knows."""

    made: ClassVar[list["Call"]] = []

    def __init__(self, application: Any, environ: dict[str, Any]) -> None:
        environ.setdefault("QUERY_STRING", "")
        self.status, self.headers = "", {}
        self.result = validator(application)(environ, self._start_response)
        self.parts = iter(self.result)
        Call.made.append(self)

    def _start_response(self, status: str, headers: list[Any], exc_info: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda data: None

    def read(self) -> bytes:
        """The whole body."""
        with closing(self.result):
            return b"".join(self.parts)


def ask(layer: Any, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Call:
    return Call(WSGIInterface(layer, **options or {}), environ(*args, **kwargs))
