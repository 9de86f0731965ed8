"""Requests for the tests of the handler: as messages, and the same ones as WSGI environments."""

import io
import sys
from typing import Any
from wsgiref.util import setup_testing_defaults

from channels.layers.inmemory import ChannelLayer
from channels.message import Message
from channels.spec import HTTP_REQUEST, http_request

__all__ = ["REPLY_CHANNEL", "environ_of", "request_message"]

#: A reply channel as this package's interface server names them.
REPLY_CHANNEL = "daphne.response.tests!client"


def request_message(
    path: str = "/", method: str = "GET", headers: Any = (), layer: Any = None, **keys: Any
) -> Message:
    """A message of ``http.request``; further keys are those of ``channels.spec.http_request``."""
    pairs = [[b"host", b"testserver"], *headers] if isinstance(headers, (list, tuple)) else headers
    keys.setdefault("client", ["203.0.113.9", 50000])
    keys.setdefault("server", ["127.0.0.1", 8000])
    content = http_request(REPLY_CHANNEL, method, path, pairs, **keys)
    return Message(dict(content), HTTP_REQUEST, layer or ChannelLayer())


def environ_of(message: Message) -> dict[str, Any]:
    """What a WSGI server makes of the same request."""
    content = message.content
    root, path = content["root_path"], content["path"]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": content["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": path.removeprefix(root).encode().decode("latin-1"),
        "QUERY_STRING": content["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{content['http_version']}",
        "wsgi.url_scheme": content["scheme"],
        "wsgi.input": io.BytesIO(content["body"]),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "SERVER_NAME": content["server"][0],
        "SERVER_PORT": str(content["server"][1]),
        "REMOTE_ADDR": content["client"][0],
        "REMOTE_HOST": content["client"][0],
        "REMOTE_PORT": content["client"][1],
    }
    for name, value in content["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    host = environ.get("HTTP_HOST")
    setup_testing_defaults(environ)
    if host is None:
        environ.pop("HTTP_HOST", None)
    return environ
