"""The variables that CGI, WSGI and Django know a request by, made of an ``http.request`` message.

Django's ``META`` and the environ of a WSGI application have most of them in common. What is
particular to one is in ``request`` and ``wsgi``.
"""

import functools
from collections.abc import Iterable
from typing import Any

__all__ = ["add_headers", "announced_length", "path_info", "variables"]

#: Header names whose keys are remembered: many more than browsers and proxies use.
_KNOWN_NAMES = 256

#: Digits of a content length that announces nothing: more than a file can have bytes.
_MANY_DIGITS = 20


def variables(content: dict[str, Any], script_name: str, path: str) -> dict[str, Any]:
    """The variables of a request, its headers among them (ASGI spec, WSGI Compatibility).

    ``REMOTE_PORT`` is an int, ``SERVER_PORT`` a str. Header names that hold an underscore are left
    out: they could pass for the hyphenated header of a proxy.
    """
    query = content.get("query_string") or b""
    found = {
        "REQUEST_METHOD": content["method"].upper(),
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path,
        "QUERY_STRING": (query.encode() if isinstance(query, str) else query).decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{content.get('http_version', '1.1')}",
        "wsgi.url_scheme": content.get("scheme") or "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
    }
    server = content.get("server") or ("unknown", 0)
    found["SERVER_NAME"], found["SERVER_PORT"] = server[0], str(server[1])
    client = content.get("client")
    if client:
        found["REMOTE_ADDR"] = found["REMOTE_HOST"] = client[0]
        found["REMOTE_PORT"] = client[1]
    headers = content.get("headers") or ()
    add_headers(found, headers.items() if isinstance(headers, dict) else headers)
    return found


def announced_length(found: dict[str, Any]) -> int | None:
    """The size in bytes that the client announced for the body, None where it has not."""
    length: str = found.get("CONTENT_LENGTH", "")
    if length.isascii() and length.isdigit() and len(length) < _MANY_DIGITS:
        return int(length)
    return None


def path_info(path: str, root_path: str, script_name: str) -> str:
    """The part of the path that the application sees, never empty.

    What stands before it is the root path, or the forced script name; a proxy may have removed it.
    """
    for prefix in (root_path.rstrip("/"), script_name.rstrip("/")):
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            return path[len(prefix) :] or "/"
    return path or "/"


def add_headers(found: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Put headers into the variables in one pass.

    Those that repeat are joined at the end, in linear time.
    """
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        key = _key(name)
        if key is None:
            continue
        text = value if isinstance(value, str) else value.decode("latin-1")
        if key not in found:
            found[key] = text
        elif key in repeated:
            repeated[key].append(text)
        else:
            repeated[key] = [found[key], text]
    for key, values in repeated.items():
        # Cookies are the one header that commas do not join (RFC 9113, 8.2.3).
        found[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)


@functools.lru_cache(maxsize=_KNOWN_NAMES)
def _key(name: bytes | str) -> str | None:
    """The key of a header; None for a name that could pass for another one's."""
    text = name if isinstance(name, str) else name.decode("latin-1")
    if "_" in text:
        return None
    key = text.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
