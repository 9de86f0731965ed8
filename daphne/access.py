"""The access log: one line for each request and each step of a WebSocket's life.

The format is NCSA's common log format, with ``WS...`` in place of a method for WebSockets. What
comes from clients is escaped, so that nobody forges lines or sends codes to a terminal
(CVE-2020-7694).
"""

import re
import time
from typing import Any, TextIO

__all__ = ["AccessLogGenerator", "escape"]

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
    """An action logger that writes lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        """``stream`` is flushed after each line."""
        self.stream = stream

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write a line for one of the actions that the server reports; ignore others."""
        if protocol == "http" and action == "complete":
            self.write_entry(
                host=details["client"],
                request=f"{details['method']} {details['path']}",
                status=details["status"],
                length=details["size"],
            )
        elif protocol == "websocket" and action in _WEBSOCKET_ACTIONS:
            self.write_entry(
                host=details["client"],
                request=f"{_WEBSOCKET_ACTIONS[action]} {details['path']}",
            )

    def write_entry(
        self,
        host: str | None,
        request: str,
        status: int | None = None,
        length: int | None = None,
    ) -> None:
        """Write one line; None becomes ``-``."""
        date = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        self.stream.write(
            f'{escape(host or "-")} - - [{date}] "{escape(request)}" '
            f"{'-' if status is None else status} {'-' if length is None else length}\n"
        )
        self.stream.flush()
