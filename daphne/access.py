"""The access log: one line for each request and each step of a WebSocket's life.

``common`` is NCSA's common log format, with ``WS...`` in place of a method for WebSockets;
``combined`` adds the headers Referer and User-Agent, as Apache does; ``json`` has an object on each
line, whose keys are listed in ``AccessLogGenerator``. What comes from clients is escaped in all of
them, so that nobody forges lines or sends codes to a terminal (CVE-2020-7694).

Requests that took long, and messages that were dropped, are told to the ordinary log by
``SlowRequestLog`` and ``DropLog``.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from channels.outage import FailureLog

__all__ = ["FORMATS", "AccessLogGenerator", "DropLog", "SlowRequestLog", "escape"]

_logger = logging.getLogger("daphne.access")

#: What is written as ``\\xNN``: all but printable ASCII, and the two characters of our quoting.
_UNSAFE = re.compile(r'[^\x20-\x7e]|["\\]')

#: Method names of the lines about WebSockets.
_WEBSOCKET_ACTIONS = {
    "connecting": "WSCONNECTING",
    "connected": "WSCONNECT",
    "disconnected": "WSDISCONNECT",
    "rejected": "WSREJECT",
}


def escape(text: str) -> str:
    """``text`` as printable ASCII on one line, without bare quotes; every byte can be told."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    undecodable = "\udc80" <= character <= "\udcff"
    data = character.encode("utf-8", "surrogateescape" if undecodable else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


class AccessLogGenerator:
    """An action logger that writes lines to a stream.

    The keys of ``json``: ``time`` (ISO 8601, UTC), ``protocol`` (``http`` or ``websocket``),
    ``action`` (``complete``; ``connecting``, ``connected``, ``disconnected`` or ``rejected``),
    ``client`` (address and port), ``path`` (the target with its query; of a WebSocket the decoded
    path), ``reply_channel`` and ``duration`` (seconds). Requests have ``method``, ``status``,
    ``size`` (bytes of body), ``http_version`` and ``first_byte`` (seconds until the response
    began) as well, the end of a WebSocket its ``code``. The headers ``host``, ``referer`` and
    ``user_agent`` are in lines about requests and the beginning of handshakes. What is not known is
    left out.
    """

    def __init__(self, stream: TextIO, format: str = "common") -> None:
        """``stream`` is flushed after each line; ``format`` is one of ``FORMATS``.

        Raises ``ValueError`` for another format.
        """
        if format not in FORMATS:
            raise ValueError(
                f"{format!r} is no format of the access log; choose one of {', '.join(FORMATS)}"
            )
        self.stream = stream
        self._line = FORMATS[format]

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write a line for one of the actions that the server reports; ignore others."""
        if (protocol == "http" and action == "complete") or (
            protocol == "websocket" and action in _WEBSOCKET_ACTIONS
        ):
            self._write(self._line(protocol, action, details))

    def write_entry(
        self,
        host: str | None,
        request: str,
        status: int | None = None,
        length: int | None = None,
    ) -> None:
        """Write one line in the common format; None becomes ``-``."""
        self._write(_entry(host, request, status, length))

    def _write(self, line: str) -> None:
        self.stream.write(line + "\n")
        self.stream.flush()


def _entry(
    host: str | None, request: str, status: int | None = None, length: int | None = None
) -> str:
    date = time.strftime("%d/%b/%Y:%H:%M:%S %z")
    return (
        f'{escape(host or "-")} - - [{date}] "{escape(request)}" '
        f"{'-' if status is None else status} {'-' if length is None else length}"
    )


def _common(protocol: str, action: str, details: dict[str, Any]) -> str:
    if protocol == "http":
        request = f"{details['method']} {details['path']}"
        return _entry(details["client"], request, details["status"], details["size"])
    return _entry(details["client"], f"{_WEBSOCKET_ACTIONS[action]} {details['path']}")


def _combined(protocol: str, action: str, details: dict[str, Any]) -> str:
    headers = _headers(details)
    referer, agent = (escape(headers.get(name, "-")) for name in ("referer", "user_agent"))
    return f'{_common(protocol, action, details)} "{referer}" "{agent}"'


def _json(protocol: str, action: str, details: dict[str, Any]) -> str:
    time_taken = details.get("time_taken")
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "protocol": protocol,
        "action": action,
        "client": details["client"],
        "method": details.get("method"),
        "path": details["path"],
        "http_version": details.get("http_version"),
        "status": details.get("status"),
        "size": details.get("size"),
        "code": details.get("code"),
        "duration": _rounded(time_taken),
        "first_byte": _rounded(details.get("first_byte")),
        "reply_channel": details.get("reply_channel"),
        **_headers(details),
    }
    # Escapes all but ASCII, and with it what ends a line.
    return json.dumps({name: value for name, value in entry.items() if value is not None})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


#: The headers that a line may have, by their keys.
_HEADERS = {b"host": "host", b"referer": "referer", b"user-agent": "user_agent"}


def _headers(details: dict[str, Any]) -> dict[str, str]:
    """The first value of each header that lines have, as far as the action knows of headers."""
    found: dict[str, str] = {}
    for name, value in details.get("headers", ()):
        key = _HEADERS.get(name)
        if key is not None and key not in found:
            found[key] = value.decode("latin-1")
    return found


#: How a line is made, by the format's name.
FORMATS: dict[str, Callable[[str, str, dict[str, Any]], str]] = {
    "common": _common,
    "combined": _combined,
    "json": _json,
}


class SlowRequestLog:
    """An action logger that warns of requests whose response began late."""

    def __init__(self, threshold: float) -> None:
        """``threshold``: seconds until the first byte of the response, or until there was none."""
        self._threshold = threshold

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Look at a request that is over; ignore other actions."""
        if protocol != "http" or action != "complete":
            return
        seconds = details.get("first_byte")
        seconds = details["time_taken"] if seconds is None else seconds
        if seconds >= self._threshold:
            _logger.warning(
                "Slow request: %s %s took %.3f s to its response (%d), reply channel %s "
                "(option slow_request)",
                escape(details["method"]),
                escape(details["path"]),
                seconds,
                details["status"],
                details.get("reply_channel"),
            )


class DropLog:
    """An action logger that warns, in bounds, of messages to slow WebSockets that were left out."""

    def __init__(self) -> None:
        self._log = FailureLog(_logger, level=logging.WARNING, traceback=False)

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Look at a message that was dropped; ignore other actions."""
        if protocol == "websocket" and action == "dropped":
            self._log.failed(
                "A message to %s at %s was dropped: its client does not read "
                "(option websocket_slow_consumer)",
                details["client"],
                escape(details["path"]),
            )
