"""Requests on which two parties could disagree, and what the server has to make of them.

Each row is what a client sends on one connection. ``statuses`` are the answers, in order, when the
application answers each request by 200; ``paths`` are those of the requests that reach it.
Whether the connection is closed afterwards follows from ``closes``. The rows are replayed against
the core (``tests/daphne/protocol/test_http1_smuggling.py``); nothing in them needs a core.
"""

from typing import NamedTuple

__all__ = ["ROWS", "Row"]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


class Row(NamedTuple):
    """One conversation."""

    name: str
    data: bytes
    statuses: tuple[int, ...] = (400,)
    closes: bool = True
    paths: tuple[str, ...] = ()


def _post(name: str, fields: bytes, body: bytes = SMUGGLED, **expected: object) -> Row:
    data = b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n" + body
    return Row(name, data, **expected)  # type: ignore[arg-type]


def _get(name: str, fields: bytes, **expected: object) -> Row:
    data = b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n" + SMUGGLED
    return Row(name, data, **expected)  # type: ignore[arg-type]


CONTENT_LENGTH = [
    _post("repeated, equal", b"Content-Length: 5\r\nContent-Length: 5"),
    _post("repeated, different", b"Content-Length: 5\r\nContent-Length: 6"),
    _post("list", b"Content-Length: 5, 5"),
    _post("plus sign", b"Content-Length: +5"),
    _post("minus sign", b"Content-Length: -5"),
    _post("hexadecimal", b"Content-Length: 0x5"),
    _post("letters", b"Content-Length: abc"),
    _post("empty", b"Content-Length:"),
    _post("blank inside", b"Content-Length: 5 5"),
    _post("underscore inside", b"Content-Length: 1_0"),
    _post("fraction", b"Content-Length: 5.0"),
    _post("over 2^64", b"Content-Length: 18446744073709551621"),
    _post("over 2^63", b"Content-Length: 9223372036854775813"),
    _post("other digits", b"Content-Length: \xd9\xa5"),
    _post("vertical tab before", b"Content-Length: \x0b5"),
    _post("NUL after", b"Content-Length: 5\x00"),
    _post("form feed after", b"Content-Length: 5\x0c"),
    _post("no-break space before", b"Content-Length: \xa05"),
    _post("on a folded line", b"Content-Length:\r\n 5"),
    _post("tab inside", b"Content-Length: 5\t5"),
    _post("quoted", b'Content-Length: "5"'),
    _post("repeated, one empty", b"Content-Length: 5\r\nContent-Length:"),
    _post("in two cases", b"Content-Length: 5\r\ncontent-length: 6"),
    _post(
        "blanks around it",
        b"Content-Length: \t 5 \t",
        b"hello" + SMUGGLED,
        statuses=(200, 200),
        closes=False,
        paths=("/", "/smuggled"),
    ),
    _post(
        "leading zeros",
        b"Content-Length: 005",
        b"hello" + SMUGGLED,
        statuses=(200, 200),
        closes=False,
        paths=("/", "/smuggled"),
    ),
    _post(
        "understated",
        b"Content-Length: 3",
        b"hello" + SMUGGLED,
        statuses=(200, 400),
        paths=("/",),
    ),
    *[
        Row(
            f"with {method}, whose body is read",
            b"%b / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
            % (method.encode(), len(SMUGGLED), SMUGGLED),
            (200,),
            False,
            ("/",),
        )
        for method in ("GET", "OPTIONS", "DELETE", "TRACE")
    ],
]

TRANSFER_ENCODING = [
    _post("with Content-Length", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
    _post("before Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
    _post("gzip", b"Transfer-Encoding: gzip"),
    _post("identity", b"Transfer-Encoding: identity"),
    _post("identity with Content-Length", b"Content-Length: 5\r\nTransfer-Encoding: identity"),
    _post("gzip, chunked", b"Transfer-Encoding: gzip, chunked"),
    _post("chunked, identity", b"Transfer-Encoding: chunked, identity"),
    _post("xchunked", b"Transfer-Encoding: xchunked"),
    _post("chunkedx", b"Transfer-Encoding: chunkedx"),
    _post("comma before", b"Transfer-Encoding: ,chunked"),
    _post("comma after", b"Transfer-Encoding: chunked,"),
    _post("chunked twice", b"Transfer-Encoding: chunked, chunked"),
    _post("two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    _post("two lines, identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    _post("parameter", b"Transfer-Encoding: chunked;q=1"),
    _post("quoted", b'Transfer-Encoding: "chunked"'),
    _post("empty", b"Transfer-Encoding:"),
    _post("vertical tab", b"Transfer-Encoding: \x0bchunked"),
    _post("form feed after", b"Transfer-Encoding: chunked\x0c"),
    _post("on a folded line", b"Transfer-Encoding:\r\n chunked"),
    _post("folded after another", b"X: y\r\n Transfer-Encoding: chunked"),
    _post("space before the colon", b"Transfer-Encoding : chunked"),
    _post("tab before the colon", b"Transfer-Encoding\t: chunked"),
    _post("NUL before the colon", b"Transfer-Encoding\x00: chunked"),
    _post("vertical tab in front", b"\x0bTransfer-Encoding: chunked"),
    _post("no-break space before", b"Transfer-Encoding: \xa0chunked"),
    _post("next line before", b"Transfer-Encoding: \x85chunked"),
    _post("cow", b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow"),
    _post("deflate", b"Transfer-Encoding: deflate, chunked"),
    _post("chunked, gzip", b"Transfer-Encoding: chunked, gzip"),
    _post("other letters", "Transfer-Encoding: chun\u212aed".encode()),
    _post("bare CR before", b"X: y\rTransfer-Encoding: chunked"),
    _post("bare LF before", b"X: y\nTransfer-Encoding: chunked"),
    Row(
        "on HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    ),
    Row(
        "on HTTP/1.0 with Content-Length",
        b"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: keep-alive\r\n\r\n0\r\n\r\n" + SMUGGLED,
    ),
    Row(
        "with GET, whose chunks are read",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(SMUGGLED), SMUGGLED),
        (200,),
        False,
        ("/",),
    ),
    _post(
        "upper case is chunked",
        b"Transfer-Encoding: CHUNKED",
        b"0\r\n\r\n",
        statuses=(200,),
        closes=False,
        paths=("/",),
    ),
    _post(
        "blanks before are chunked",
        b"Transfer-Encoding: \t chunked",
        b"0\r\n\r\n" + SMUGGLED,
        statuses=(200, 200),
        closes=False,
        paths=("/", "/smuggled"),
    ),
]

FIELDS = [
    _get("folded line", b"X: y\r\n z"),
    _get("first field folded", b" X: y"),
    _get("space before colon", b"X : y"),
    _get("tab before colon", b"X\t: y"),
    _get("space before colon of Content-Length", b"Content-Length : 35"),
    _get("no colon", b"Xy"),
    _get("no name", b": y"),
    _get("space in name", b"X y: z"),
    _get("bracket in name", b"X(y): z"),
    _get("high byte in name", b"X\xe9: z"),
    _get("CR in name", b"X\ry: z"),
    _get("LF in value", b"X: y\nz: a"),
    _get("CR in value", b"X: y\rz"),
    _get("CR CR LF", b"X: y\r\r\nz: a"),
    *[_get(f"byte {byte:#04x} in value", b"X: y%cz" % byte) for byte in range(32) if byte != 9],
    _get("byte 0x7f in value", b"X: y\x7fz"),
    _get(
        "underscore for hyphen",
        b"Content_Length: 35\r\nTransfer_Encoding: chunked",
        statuses=(200, 200),
        closes=False,
        paths=("/", "/smuggled"),
    ),
]

LINES = [
    Row("LF only", b"GET / HTTP/1.1\nHost: x\n\n"),
    Row("LF after request line", b"GET / HTTP/1.1\nHost: x\r\n\r\n"),
    Row("LF before request line", b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("CR before request line", b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("empty line ends by LF", b"GET / HTTP/1.1\r\nHost: x\r\n\nGET /smuggled HTTP/1.1\r\n\r\n"),
    Row("space before method", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("two spaces before target", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("two spaces before version", b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("space after version", b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    Row("tab after method", b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("space in target", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("NUL in target", b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("high byte in path", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("fragment", b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("high byte in query", b"GET /?\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("high byte in method", b"G\xc9T / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("vertical tab after method", b"GET\x0b/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("request line in target", b"GET /a HTTP/1.1\x0bX HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("backslash in host of target", b"GET http://a\\b/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("no host in target", b"GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("bad port in target", b"GET http://a:b/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("relative target", b"GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("empty target", b"GET  HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("asterisk without OPTIONS", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("authority form", b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("other scheme", b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("user in target", b"GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("CONNECT", b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED, (405,)),
    Row("unknown method", b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("method in lower case", b"get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    Row("HTTP/0.9", b"GET /\r\n\r\n"),
    Row("HTTP/0.9 named", b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", (505,)),
    Row("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", (505,)),
    Row("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", (505,)),
    Row("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (505,)),
    Row("HTTP/11.1", b"GET / HTTP/11.1\r\nHost: x\r\n\r\n"),
    Row("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
    Row("http/1.1", b"GET / http/1.1\r\nHost: x\r\n\r\n"),
    Row("RTSP", b"DESCRIBE / RTSP/1.0\r\nHost: x\r\n\r\n"),
    Row("ICE", b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n"),
    Row(
        "empty lines before request line",
        b"\r\n\r\n" + SMUGGLED,
        (200,),
        False,
        ("/smuggled",),
    ),
]

HOST = [
    Row("missing", b"GET / HTTP/1.1\r\n\r\n"),
    Row("repeated", b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    Row("repeated, equal", b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    *[
        Row(repr(host), b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        for host in (
            b"",
            b"a b",
            b"a, b",
            b"user@a",
            b"a/b",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a:b",
            b"a:80:80",
            b":80",
            b"[::1",
            b"[::1]x",
            b"[g::1]",
            b"<script>",
            b'"a"',
            b"a%2",
            b"a%zz",
            b"\xc3\xa9",
            b"a\x85",
        )
    ],
    Row("missing on HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", (200,), True, ("/",)),
    Row("repeated on HTTP/1.0", b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"),
    *[
        Row(repr(host), b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", (200,), False, ("/",))
        for host in (
            b"a",
            b"a.example:8000",
            b"127.0.0.1",
            b"[::1]",
            b"[2001:db8::1]:8000",
            b"[v1.fe80::a+en1]",
            b"a_b",
            b"a%20b",
            b"a:",
        )
    ],
]


def _chunked(name: str, body: bytes, **expected: object) -> Row:
    return _post(name, b"Transfer-Encoding: chunked", body, **expected)


CHUNKS = [
    _chunked("0x size", b"0x5\r\nhello\r\n0\r\n\r\n"),
    _chunked("signed size", b"+5\r\nhello\r\n0\r\n\r\n"),
    _chunked("negative size", b"-5\r\nhello\r\n0\r\n\r\n"),
    _chunked("underscore in size", b"1_0\r\nhello\r\n0\r\n\r\n"),
    _chunked("blank before size", b" 5\r\nhello\r\n0\r\n\r\n"),
    _chunked("blank after size", b"5 \r\nhello\r\n0\r\n\r\n"),
    _chunked("blank before extension", b"5 ;a\r\nhello\r\n0\r\n\r\n"),
    _chunked("no size", b"\r\nhello\r\n0\r\n\r\n"),
    _chunked("extension without size", b";a\r\nhello\r\n0\r\n\r\n"),
    _chunked("other digits", b"\xd9\xa5\r\nhello\r\n0\r\n\r\n"),
    _chunked("tab after size", b"5\t\r\nhello\r\n0\r\n\r\n"),
    _chunked("vertical tab before size", b"\x0b5\r\nhello\r\n0\r\n\r\n"),
    _chunked("NUL before size", b"\x005\r\nhello\r\n0\r\n\r\n"),
    _chunked("hash after size", b"5#\r\nhello\r\n0\r\n\r\n"),
    _chunked(
        "size that wraps at 2^32", b"100000005\r\nhello\r\n0\r\n\r\n", statuses=(), closes=False
    ),
    _chunked("quoted line end in extension", b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
    _chunked("letters", b"xyz\r\nhello\r\n0\r\n\r\n"),
    _chunked("size over 2^64", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    _chunked("LF after size", b"5\nhello\r\n0\r\n\r\n"),
    _chunked("LF in extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    _chunked("CR in extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    _chunked("NUL in extension", b"5;a\x00b\r\nhello\r\n0\r\n\r\n"),
    _chunked("no CR LF after data", b"5\r\nhello0\r\n\r\n" + SMUGGLED),
    _chunked("LF after data", b"5\r\nhello\n0\r\n\r\n" + SMUGGLED),
    _chunked("CR after data", b"5\r\nhello\r0\r\n\r\n" + SMUGGLED),
    _chunked("LF CR after data", b"5\r\nhello\n\r0\r\n\r\n" + SMUGGLED),
    _chunked("data shorter than size", b"6\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    _chunked("two bytes instead of CR LF", b"5\r\nhelloXX0\r\n\r\n" + SMUGGLED),
    _chunked("data longer than size", b"3\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    _chunked("LF after last chunk", b"0\n\n" + SMUGGLED),
    _chunked("bare CR after last chunk", b"0\r\r\n" + SMUGGLED),
    _chunked("line of 9 KiB", b"5;" + b"a" * 9216 + b"\r\nhello\r\n0\r\n\r\n"),
    _chunked("line without end", b"5;" + b"a" * 9216),
    _chunked("trailer without colon", b"0\r\nX\r\n\r\n"),
    _chunked("folded trailer", b"0\r\nX: y\r\n z\r\n\r\n"),
    _chunked("NUL in trailer", b"0\r\nX: y\x00\r\n\r\n"),
    _chunked("LF in trailer", b"0\r\nX: y\nz: a\r\n\r\n" + SMUGGLED),
    _chunked("trailer without name", b"0\r\n: y\r\n\r\n"),
    _chunked(
        "many zeros are the last chunk",
        b"0000\r\n\r\n" + SMUGGLED,
        statuses=(200, 200),
        closes=False,
        paths=("/", "/smuggled"),
    ),
    _chunked("blank before colon of trailer", b"0\r\nX : y\r\n\r\n"),
    _chunked("too many trailers", b"0\r\n" + b"X: y\r\n" * 129 + b"\r\n", statuses=(431,)),
    _chunked(
        "extensions, leading zeros and trailers",
        b'0005;a=b;c="d"\r\nhello\r\n0;e\r\nContent-Length: 99\r\nX: y\r\n\r\n' + SMUGGLED,
        statuses=(200, 200),
        closes=False,
        paths=("/", "/smuggled"),
    ),
]


def _upgrades() -> list[Row]:
    """An upgrade is never a reason to read a body as a request."""
    body = SMUGGLED
    framings = {
        "with Content-Length": (b"Content-Length: %d" % len(body), body),
        "chunked": (
            b"Transfer-Encoding: chunked",
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        ),
    }
    rows = []
    for framing, (field, encoded) in framings.items():
        for protocol in (b"h2c", b"websocket", b"unknown/1.0", b"foo, h2c"):
            upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n" + field
            refused = protocol == b"websocket"
            rows.append(
                _post(
                    f"{protocol.decode()} {framing}",
                    upgrade,
                    encoded,
                    statuses=(400,) if refused else (200,),
                    closes=refused,
                    paths=() if refused else ("/",),
                )
            )
    rows.append(
        _post(
            "h2c with a body, then a request",
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5",
            b"hello" + SMUGGLED,
            statuses=(200, 200),
            closes=False,
            paths=("/", "/smuggled"),
        )
    )
    return rows


UPGRADES = _upgrades()

CONNECTION = [
    Row(
        "nothing after Connection: close",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + SMUGGLED,
        (200,),
        True,
        ("/",),
    ),
    Row(
        "close in a list",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n" + SMUGGLED,
        (200,),
        True,
        ("/",),
    ),
    Row(
        "HTTP/1.0 closes",
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n" + SMUGGLED,
        (200,),
        True,
        ("/",),
    ),
    Row("two requests", SMUGGLED * 2, (200, 200), False, ("/smuggled", "/smuggled")),
    Row(
        "HTTP/1.0 keeps the connection where both sides say so",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + SMUGGLED,
        (200, 200),
        False,
        ("/", "/smuggled"),
    ),
    Row(
        "close and keep-alive",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n" + SMUGGLED,
        (200,),
        True,
        ("/",),
    ),
    Row(
        "Proxy-Connection says nothing",
        b"GET / HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n\r\n" + SMUGGLED,
        (200, 200),
        False,
        ("/", "/smuggled"),
    ),
]

LIMITS = [
    Row(
        "129 headers",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 128 + b"\r\n" + SMUGGLED,
        (431,),
    ),
    Row(
        "128 headers",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 127 + b"\r\n",
        (200,),
        False,
        ("/",),
    ),
    Row("line over 8 KiB", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8192 + b"\r\n\r\n", (431,)),
    Row("line without end", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8192, (431,)),
    Row(
        "over 64 KiB in all",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"y" * 1020 + b"\r\n") * 64 + b"\r\n",
        (431,),
    ),
    Row(
        "request line too long",
        b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        (414,),
    ),
    Row("request line without end", b"GET /" + b"a" * 9000, (414,)),
    Row(
        "unknown expectation",
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello",
        (417,),
    ),
    *[
        _post(
            f"expectation {value!r}",
            b"Expect: " + value + b"\r\nContent-Length: 35",
            statuses=(417,),
        )
        for value in (b"y 100-continue", b"100-continue, 100-continue", b"", b"100-continue\xa0")
    ],
]

ROWS = [
    row._replace(name=f"{section}: {row.name}")
    for section, rows in {
        "Content-Length": CONTENT_LENGTH,
        "Transfer-Encoding": TRANSFER_ENCODING,
        "fields": FIELDS,
        "lines": LINES,
        "Host": HOST,
        "chunks": CHUNKS,
        "upgrades": UPGRADES,
        "connection": CONNECTION,
        "limits": LIMITS,
    }.items()
    for row in rows
]
