"""Server push: a request that the application makes in place of the client (RFC 9113, 8.4).

It is checked like a request of a client before anything of it is written, and then travels like one
(ASGI spec, HTTP, Server Push).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from channels.exceptions import InvalidMessage
from daphne.exceptions import RequestRefused
from daphne.protocol.head import Head
from daphne.protocol.host import is_host
from daphne.protocol.http2.request import check_field, is_path
from daphne.protocol.operations import Headers
from daphne.protocol.request import Request

__all__ = ["promise_headers", "promised_request"]

#: Methods that are safe, cacheable and have no body.
_METHODS = frozenset({"GET", "HEAD"})

_QUERY = re.compile(rb"[!-\"$-~]*")

#: Characters of a path that need no escape (RFC 3986, 3.3), beside those that never do.
_SAFE = "/!$&'()*+,;=:@"


def promised_request(push: Mapping[str, Any], parent: Head) -> Request:
    """The request that a checked message of the application asks for.

    ``parent`` is the request whose response it belongs to; what the message leaves open is taken
    from there, and so is the scheme that the client is told. Raises ``InvalidMessage``.
    """
    if push["method"] not in _METHODS:
        raise _invalid("method", push["method"], "GET or HEAD")
    path, query = push["path"], push["query_string"]
    target = quote(path, safe=_SAFE, errors="replace").encode("ascii")
    if not is_path(target):
        raise _invalid("path", path, "a path that begins with /")
    if not _QUERY.fullmatch(query):
        raise _invalid("query_string", query, "printable ASCII without blanks and #")
    headers = [(bytes(name), bytes(value)) for name, value in push["headers"]]
    head = Head(
        push["method"],
        target + b"?" + query if query else target,
        path,
        query,
        "2",
        _with_host(headers, parent),
        push["root_path"] or parent.root_path,
        parent.scheme,
        _address(push["client"]) or parent.client,
        _address(push["server"]) or parent.server,
    )
    return Request(head, 0, True, False, False)


def _address(pair: Sequence[Any] | None) -> tuple[str, int] | None:
    return None if pair is None else (pair[0], pair[1])


def _with_host(headers: Headers, parent: Head) -> Headers:
    """The headers of a push with its host in front: one of its own, or the parent's."""
    for name, value in headers:
        try:
            check_field(name, value)
        except RequestRefused as error:
            raise _invalid("headers", (name, value), "a header field of a request") from error
    hosts = [value for name, value in headers if name == b"host"]
    host = hosts[0] if hosts else parent.get(b"host") or b""
    if len(hosts) > 1 or not is_host(host):
        raise _invalid("headers", hosts, "one valid host at most")
    return [(b"host", host), *(pair for pair in headers if pair[0] != b"host")]


def _invalid(key: str, value: object, wanted: str) -> InvalidMessage:
    return InvalidMessage(
        f"http.response server push: the key {key!r} of its request has the value {value!r:.100}; "
        f"it must be {wanted} (RFC 9113, 8.4)"
    )


def promise_headers(head: Head) -> Headers:
    """The same request as the client is told of it."""
    return [
        (b":method", head.method.encode("ascii")),
        (b":scheme", head.scheme.encode("ascii")),
        (b":authority", head.headers[0][1]),
        (b":path", head.target),
        *head.headers[1:],
    ]
