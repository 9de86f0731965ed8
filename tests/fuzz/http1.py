"""The HTTP/1.1 core under any bytes: however they are cut they mean the same, and to h11 as well.

Every request that the core passes on must be one that h11 finds at the same place with the same
meaning; what h11 accepts and the core refuses is no difference. The exceptions are listed with
``_requests_of_peer``.
"""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import h11

from daphne.options import Options
from daphne.protocol.http1 import Http1Core
from daphne.protocol.opening import OpeningCore
from daphne.protocol.request import decode_path
from tests.daphne.corpus.smuggling import ROWS
from tests.daphne.protocol.conversation import Conversation, Outcome, Seen
from tests.fuzz.cutting import chance_of, pieces

__all__ = ["DICTIONARY", "SEEDS", "check"]

#: Bodies of more than this go by a channel of their own.
_SMALL_CHUNKS = Options(body_chunk_size=16)

#: Refusals: which of them a head gets that is wrong twice depends on what of it came first.
_REFUSALS = frozenset({400, 413, 414, 417, 431, 501, 505})

_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)

_DROPPED = frozenset({b"daphne-root-path"})

_UPGRADE = (
    b"GET /chat?a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

SEEDS = [
    *[row.data for row in ROWS if len(row.data) < 600],
    _UPGRADE + b"\x81\x85\0\0\0\0hello\x88\x80\0\0\0\0",
    b"GET http://y/a?b HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n" + b"x" * 20,
]

DICTIONARY = [
    b"GET ", b"HEAD ", b"POST ", b"OPTIONS ", b"CONNECT ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n",
    b"\r\n", b"\r\n\r\n", b"Host: ", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
    b"Connection: ", b"close", b"keep-alive", b"Upgrade", b"Upgrade: websocket\r\n", b"h2c",
    b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"http://", b"X: ", b"_", b"%", b"*", b"\x85",
    b"Sec-WebSocket-Protocol: ", b"Sec-WebSocket-Extensions: permessage-deflate",
]  # fmt: skip


def check(data: bytes) -> None:
    """Raise where the core does with ``data`` what it should not."""
    whole = _talk([data])
    cut = pieces(data, chance_of(data))
    _compare(whole, _talk(cut))
    _compare(whole, _talk(cut, _SMALL_CHUNKS))
    if not data.startswith(b"PRI") and b"http2-settings" not in data.lower():
        _compare(whole, _talk(cut, None, OpeningCore))
    requests = [request for request in whole.requests if request.whole]
    if whole.socket is not None:
        requests.append(whole.socket)
    theirs, lost = _requests_of_peer(data)
    if lost:
        requests = requests[: len(theirs)]
    assert [_with_lower_encoding(request) for request in requests] == theirs[: len(requests)]


def _with_lower_encoding(request: Seen) -> Seen:
    pairs = request.headers
    lower = [(k, v.lower() if k == b"transfer-encoding" else v) for k, v in pairs]
    return replace(request, headers=tuple(lower))


def _talk(cut: list[bytes], options: Options | None = None, core: Any = Http1Core) -> Outcome:
    conversation = Conversation(options, core)
    conversation.feed(*cut)
    outcome = conversation.outcome()
    ends = conversation.on("http.disconnect") + conversation.on("websocket.disconnect")
    assert len(conversation.locals) - len(ends) <= 1
    conversation.lose()
    assert conversation.is_over, "a reply channel leads somewhere"
    if outcome.socket is None:
        requests = Counter(message["reply_channel"] for message in conversation.requests)
        ends = Counter(message["reply_channel"] for message in conversation.on("http.disconnect"))
        assert requests == ends, "a request has not one end"
        answered = [log["status"] for log in conversation.logs if log["status"] != 499]
        assert tuple(answered) == outcome.statuses, "the access log says something else"
    return outcome


def _compare(whole: Outcome, cut: Outcome) -> None:
    """The same, but for which page a refused request got, and bodies that have not all come."""
    for name in ("socket", "messages", "closed"):
        assert getattr(whole, name) == getattr(cut, name), (name, whole, cut)
    assert [one for one in whole.requests if one.whole] == [
        one for one in cut.requests if one.whole
    ]
    assert len(whole.statuses) == len(cut.statuses)
    differing = {
        pair for pair in zip(whole.statuses, cut.statuses, strict=True) if pair[0] != pair[1]
    }
    assert all(set(pair) <= _REFUSALS for pair in differing), differing
    if not differing and whole.statuses and whole.statuses[-1] not in _REFUSALS:
        assert whole.output == cut.output


class _Lost(Exception):
    """h11 refuses what stands in trailers."""


def _requests_of_peer(data: bytes) -> tuple[list[Seen], bool]:
    """The whole requests that h11 finds, and whether there may be more.

    Each is read by a connection of its own, because of what h11 does otherwise than we do:

    - empty lines before a request line are an error there; here they are skipped (RFC 9112, 2.2),
      so they are skipped before it sees them;
    - HTTP/1.0 never keeps a connection there; here it does where both sides say so;
    - it writes the value of Transfer-Encoding in lower case;
    - it refuses trailers that say something else of the body than it was; here trailers are checked
      for their grammar and dropped, so from there on nothing is compared.

    What follows is done to what it finds, as we do it: names with an underscore are dropped, and so
    is what only a trusted proxy may say; the host of an absolute target takes the place of Host's
    (RFC 9112, 3.2.2).
    """
    found: list[Seen] = []
    while data := _without_empty_lines(data):
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(data)
        try:
            request = _next_request(connection)
        except _Lost:
            return found, True
        except h11.RemoteProtocolError:
            break
        if request is None:
            break
        found.append(request)
        if not _may_stay(connection, request):
            break
        data = connection.trailing_data[0]
    return found, False


def _without_empty_lines(data: bytes) -> bytes:
    while data.startswith(b"\r\n"):
        data = data[2:]
    return data


def _next_request(connection: h11.Connection) -> Seen | None:
    """The request, once its end has come."""
    head = connection.next_event()
    if not isinstance(head, h11.Request) or head.method == b"CONNECT":  # there are no tunnels here
        return None
    body = b""
    try:
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError as error:
        if "Content-Length" in str(error) or "Transfer-Encoding" in str(error):
            raise _Lost from error
        raise
    if not isinstance(event, h11.EndOfMessage):
        return None
    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    target = head.target
    headers = [pair for pair in head.headers if b"_" not in pair[0] and pair[0] not in _DROPPED]
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        headers = [(b"host", absolute[1]), *[pair for pair in headers if pair[0] != b"host"]]
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    path, _, query = target.partition(b"?")
    return Seen(
        head.method.decode(),
        decode_path(path),
        query,
        head.http_version.decode(),
        tuple(headers),
        body,
        True,
    )


def _may_stay(connection: h11.Connection, request: Seen) -> bool:
    options = b",".join(value.lower() for name, value in request.headers if name == b"connection")
    tokens = {token.strip() for token in options.split(b",")}
    if request.http_version == "1.0":
        return b"keep-alive" in tokens and b"close" not in tokens
    return connection.our_state is h11.DONE
