"""The table of everything that the ``daphne`` command can be told: one line for each option.

An option of this table is a flag of the command line, with hyphens or with underscores, and a
setting of the same name in the environment and in a configuration file. What is a field of
``daphne.options.Options`` has its default there and goes to the server as it is; ``daphne.cli``
looks after the rest. How the three are read is in ``daphne.configuration``.
"""

import ipaddress
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from daphne.access import FORMATS
from daphne.endpoints import host_and_port
from daphne.exceptions import ListenError
from daphne.options import Options

__all__ = ["APPLICATION", "DEFAULT_HOST", "DEFAULT_PORT", "GROUPS", "OPTIONS", "Kind", "Option"]

#: Where the server listens if no option says anything else.
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000

#: Seconds that the application has to answer a handshake, from this command (``Server`` has 20).
_CONNECT_TIMEOUT = 5


class Kind(NamedTuple):
    """What the values of an option are, and how they are read from text."""

    #: Gives the value of a text, or of one entry of a list. Raises ``ValueError``.
    read: Callable[[str], Any]

    #: What is expected, to be read after "expected".
    expected: str

    #: A switch, which takes no value on the command line.
    is_flag: bool = False

    #: A list: the option may be given several times.
    is_list: bool = False

    #: What parts the entries of a list in one text; None: blanks.
    separator: str | None = None

    #: Whether one flag may be followed by several entries.
    takes_many: bool = False

    #: Whether None is a value, "none" in text, and not the want of one.
    may_be_none: bool = False


def _integer(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError
    return int(text)


def _mode(text: str) -> int:
    mode = int(text, 8)
    if not 0 <= mode <= 0o777:
        raise ValueError
    return mode


def _signed(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return int(value) if value.is_integer() else value


def _number(text: str) -> float:
    value = _signed(text)
    if value < 0:
        raise ValueError
    return value


def _limit(text: str) -> float | None:
    value = _signed(text)
    return None if value < 0 else value


def _count(text: str) -> int:
    factor = {"k": 1024, "m": 1024**2, "g": 1024**3}.get(text[-1:].lower())
    return _integer(text[:-1]) * factor if factor else _integer(text)


def _or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.lower() == "none" else read(text)


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _SWITCHES:
        raise ValueError
    return _SWITCHES[word]


def _positive(text: str) -> float:
    value = _number(text)
    if not value:
        raise ValueError
    return value


def _address(text: str) -> str:
    try:
        host_and_port(text)
    except ListenError:
        raise ValueError from None
    return text


def _network(text: str) -> str:
    if text != "unix":
        ipaddress.ip_network(text, strict=False)
    return text


def choice(*choices: str, read: Callable[[str], Any] = str) -> Kind:
    """The kind of an option with few possible values."""

    def one_of(text: str) -> Any:
        if text not in choices:
            raise ValueError
        return read(text)

    return Kind(one_of, f"one of {', '.join(choices)}")


_SWITCHES = {"1": True, "true": True, "yes": True, "on": True}
_SWITCHES |= {"0": False, "false": False, "no": False, "off": False}

TEXT = Kind(str, "a text")
FLAG = Kind(_switch, "true or false", is_flag=True)
INTEGER = Kind(_integer, "a whole number, 0 or more")
NUMBER = Kind(_number, "a number, 0 or more")
SIGNED = Kind(_signed, "a number")
MODE = Kind(_mode, "an octal number such as 660")
LIMIT = Kind(_or_none(_limit), "a number, or 'none' for no limit", may_be_none=True)
COUNT = Kind(_count, "a whole number, 0 or more, such as 1000, 64K or 10M")
COUNT_LIMIT = Kind(
    _or_none(_count), "a whole number such as 1000, 64K or 10M, or 'none'", may_be_none=True
)
WORDS = Kind(str, "words", is_list=True, takes_many=True)
ENDPOINTS = Kind(str, "an endpoint string", is_list=True)
RATE = Kind(_or_none(_positive), "a number above 0, or 'none' for no limit")
ADDRESSES = Kind(_address, "host:port, or [host]:port for IPv6", is_list=True)
NETWORKS = Kind(
    _network, "an address, a network such as 10.0.0.0/8, or 'unix'", is_list=True, separator=","
)


class _FromOptions:
    """Stands for the default of the field of ``Options``."""


_FROM_OPTIONS = _FromOptions()


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    ``name`` makes ``--name``, the variable ``DAPHNE_NAME`` and the key ``name`` of a file, and so
    do the long ones of ``aliases``. ``field`` is what the value is called inside, if that differs.
    """

    name: str
    kind: Kind
    metavar: str
    help: str
    aliases: tuple[str, ...] = ()
    field: str = ""
    default: Any = _FROM_OPTIONS

    @property
    def dest(self) -> str:
        """What the value is called inside: the field of ``Options``, if it is one."""
        return self.field or self.name

    @property
    def default_value(self) -> Any:
        """The value where nobody gives one."""
        if not isinstance(self.default, _FromOptions):
            return self.default
        return getattr(_DEFAULTS, self.dest)

    @property
    def names(self) -> list[str]:
        """Its name and the other long ones, with underscores."""
        long = [alias.removeprefix("--") for alias in self.aliases if alias.startswith("--")]
        return [self.name, *(name.replace("-", "_") for name in long)]

    @property
    def flags(self) -> list[str]:
        """What it is called on the command line."""
        short = [alias for alias in self.aliases if not alias.startswith("--")]
        return [*short, *("--" + name.replace("_", "-") for name in self.names)]

    def entries(self, text: str) -> list[Any]:
        """The values of a text that may hold several entries of a list. Raises as ``read``."""
        if self.kind.separator is None:
            return [self.read(text)]
        parts = (part.strip() for part in text.split(self.kind.separator))
        return [self.read(part) for part in parts if part]

    def read(self, text: str) -> Any:
        """The value of one text; an entry of the list, for a list.

        Raises ``ValueError`` with a message that names the text and what is expected.
        """
        try:
            return self.kind.read(text)
        except ValueError:
            raise ValueError(f"{text!r} will not do; expected {self.kind.expected}") from None


_DEFAULTS = Options()

#: The channel layer, which on the command line is given without a flag.
APPLICATION = Option(
    "channel_layer",
    TEXT,
    "module:path.to.layer",
    "the channel layer, such as mysite.asgi:channel_layer",
    default=None,
)

#: The options as ``--help`` groups them.
GROUPS: dict[str, Sequence[Option]] = {
    "where to listen": (
        Option("port", INTEGER, "N", f"TCP port (default {DEFAULT_PORT})", ("-p",), default=None),
        Option("bind", TEXT, "ADDRESS", f"address (default {DEFAULT_HOST})", ("-b",), "host", None),
        Option("unix_socket", TEXT, "PATH", "a unix socket", ("-u",), default=None),
        Option(
            "unix_socket_mode", MODE, "MODE", "who may connect to that (default 666)", default=None
        ),
        Option(
            "fd",
            INTEGER,
            "N",
            "a socket that listens already",
            field="file_descriptor",
            default=None,
        ),
        Option(
            "endpoint",
            ENDPOINTS,
            "STRING",
            "endpoint string as Twisted reads it, such as ssl:8443:privateKey=...; repeatable",
            ("-e",),
            "socket_strings",
            (),
        ),
        Option("udp", ADDRESSES, "HOST:PORT", "datagrams are taken here, too; repeatable"),
    ),
    "processes": (
        Option("workers", COUNT, "N", "worker threads in each process (default 0)", default=0),
        Option(
            "processes",
            COUNT,
            "N",
            "processes under a parent; 0: one without (default 0)",
            default=0,
        ),
    ),
    "logging": (
        Option(
            "verbosity",
            choice("0", "1", "2", read=int),
            "N",
            "0 errors, 1 what listens where and an access log, 2 more",
            ("-v",),
        ),
        Option(
            "access_log",
            TEXT,
            "PATH",
            "file that the access log is appended to, - for the standard output "
            "(default: the standard output, nothing with -v 0)",
            default=None,
        ),
        Option(
            "access_log_format",
            choice(*FORMATS),
            "NAME",
            "common, combined (with Referer and User-Agent) or json, an object on each line",
            default="common",
        ),
        Option("slow_request", RATE, "S", "warn of requests whose response begins later"),
    ),
    "watching": (
        Option(
            "admin",
            TEXT,
            "HOST:PORT",
            "where /metrics, /healthz and /readyz are, for those who run the server; "
            "or an endpoint string such as unix:/run/admin",
        ),
        Option(
            "ready_file",
            TEXT,
            "PATH",
            "file that holds the process's number while it listens and its layer answers",
            default=None,
        ),
    ),
    "application": (
        Option("root_path", TEXT, "PATH", "where the application is mounted"),
        Option(
            "ws_protocol",
            WORDS,
            "NAME",
            "WebSocket sub-protocols that are spoken",
            field="ws_protocols",
        ),
        Option(
            "ws_compression",
            FLAG,
            "",
            "compress messages of WebSockets whose client offers it (permessage-deflate)",
            ("--websocket-compression",),
            "websocket_compression",
        ),
        Option(
            "force_sync",
            FLAG,
            "",
            "read the channel layer in a thread although it can wait in the reactor",
        ),
        Option("server_name", TEXT, "NAME", "value of the Server header"),
        Option("coalesce", NUMBER, "S", "handle together what comes within S, when busy"),
    ),
    "proxies": (
        Option(
            "proxy_headers",
            FLAG,
            "",
            "believe X-Forwarded-For, -Port, -Proto and -Host of trusted proxies, or where there "
            "is none of them Forwarded",
            default=False,
        ),
        Option(
            "trusted_proxies",
            NETWORKS,
            "LIST",
            "addresses, networks or 'unix', with commas; repeatable",
        ),
    ),
    "connections": (
        Option(
            "max_connections",
            COUNT_LIMIT,
            "N",
            "connections at a time; none: what 'ulimit -n' allows",
        ),
        Option("max_connections_per_address", COUNT_LIMIT, "N", "the same, from one address"),
        Option("drain", NUMBER, "S", "spread the end of WebSockets when stopped"),
        Option("shutdown_timeout", NUMBER, "S", "wait for open requests when stopped"),
        Option("write_timeout", LIMIT, "S", "wait for a client that reads nothing"),
        Option("half_close_grace", NUMBER, "S", "wait for answers once a client's side is closed"),
    ),
    "HTTP": (
        Option("http_timeout", LIMIT, "S", "wait for a response, then 503", ("-t",)),
        Option("header_timeout", LIMIT, "S", "wait for a request's head"),
        Option("keep_alive_timeout", LIMIT, "S", "wait for another request"),
        Option("max_headers", COUNT, "N", "header fields of a request"),
        Option("header_line_limit", COUNT, "BYTES", "length of a header line"),
        Option("header_total_limit", COUNT, "BYTES", "length of all header lines together"),
        Option("request_line_limit", COUNT, "BYTES", "length of a request line"),
        Option("max_body", COUNT_LIMIT, "BYTES", "length of a request's body"),
        Option("body_chunk_size", COUNT, "BYTES", "length of a body's chunks in messages"),
        Option("body_min_rate", COUNT_LIMIT, "BYTES", "bytes a second of an upload, on average"),
        Option("body_grace", NUMBER, "S", "time before that rate is looked at"),
        Option("response_write_limit", COUNT, "BYTES", "what may wait for a slow HTTP client"),
    ),
    "HTTP/2": (
        Option("http2", FLAG, "", "speak HTTP/2 as well (default: true, where h2 is installed)"),
        Option("http2_max_streams", COUNT, "N", "requests of one connection at a time"),
        Option("http2_max_resets", COUNT, "N", "requests given up in ten seconds"),
        Option("http2_max_control_frames", COUNT, "N", "frames without content in ten seconds"),
        Option("http2_write_limit", COUNT, "BYTES", "what may wait for a slow HTTP/2 client"),
    ),
    "WebSocket": (
        Option(
            "websocket_timeout",
            SIGNED,
            "S",
            "longest life of a WebSocket, -1: no limit (default: the layer's group_expiry)",
            default=None,
        ),
        Option(
            "websocket_connect_timeout",
            LIMIT,
            "S",
            "wait for the application to accept a WebSocket",
            default=_CONNECT_TIMEOUT,
        ),
        Option(
            "websocket_handshake_timeout",
            LIMIT,
            "S",
            "wait for the answer to a handshake, if that is shorter",
        ),
        Option("ping_interval", NUMBER, "S", "silence before a WebSocket is sent a ping; 0: none"),
        Option("ping_timeout", NUMBER, "S", "wait for the answer to a ping"),
        Option("websocket_max_frame", COUNT, "BYTES", "length of a WebSocket frame"),
        Option("websocket_max_message", COUNT, "BYTES", "length of a WebSocket message, inflated"),
        Option("websocket_max_fragments", COUNT, "N", "frames of a WebSocket message"),
        Option(
            "websocket_receive_wait",
            NUMBER,
            "S",
            "wait for room in a full websocket.receive",
            ("--ws-receive-wait",),
        ),
        Option(
            "websocket_write_limit", COUNT, "BYTES", "what may wait for a slow WebSocket client"
        ),
        Option(
            "websocket_slow_consumer",
            choice("close", "drop"),
            "POLICY",
            "close slow clients (1013), or drop messages to them",
        ),
        Option(
            "websocket_message_rate",
            RATE,
            "N",
            "frames a second from a client, on average, then 1008",
        ),
        Option(
            "websocket_byte_rate",
            COUNT_LIMIT,
            "BYTES",
            "the same in bytes a second",
        ),
        Option("websocket_close_timeout", NUMBER, "S", "wait for a client's close frame"),
    ),
    "UDP": (
        Option("udp_max_clients", COUNT, "N", "clients that can be replied to at a time"),
        Option("udp_client_timeout", NUMBER, "S", "time for replies to a client"),
        Option("udp_max_pending", COUNT, "N", "datagrams that may wait for the channel layer"),
    ),
}

#: All of them.
OPTIONS: tuple[Option, ...] = tuple(option for group in GROUPS.values() for option in group)

#: The fields of ``Options`` that options of the table set.
FIELDS = frozenset(field.name for field in fields(Options)) & {option.dest for option in OPTIONS}
