"""The ``daphne`` command: options in, a running ``daphne.server.Server`` out.

Every option may be written with hyphens or with underscores. What the options mean, and where
their defaults come from, is said in ``daphne.options``.
"""

import argparse
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, TextIO

from channels.distributions import find_conflicts
from daphne.access import AccessLogGenerator
from daphne.exceptions import DaphneError
from daphne.options import Options
from daphne.server import Server, build_endpoint_description_strings

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "CommandLineInterface", "load_layer"]

logger = logging.getLogger("daphne.cli")

#: Where the server listens if no option says anything else.
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000

#: Seconds that the application has to answer a handshake, from this command (``Server`` has 20).
_CONNECT_TIMEOUT = 5

_LOG_LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


def _number(text: str) -> float:
    """A number of seconds."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _number_or_none(text: str) -> float | None:
    """A number of seconds; ``none`` or a negative number means no limit."""
    if text.lower() == "none":
        return None
    value = _number(text)
    return None if value < 0 else value


def _count(text: str) -> int:
    """A number of bytes or things, with K or M for 1024 and 1024 * 1024."""
    factor = {"k": 1024, "m": 1024 * 1024}.get(text[-1:].lower())
    value = int(text[:-1]) * factor if factor else int(text)
    if value < 0:
        raise ValueError(f"{value} is negative")
    return value


def _count_or_none(text: str) -> int | None:
    """The same; ``none`` means no limit."""
    return None if text.lower() == "none" else _count(text)


for _type, _name in (
    (_number, "number"),
    (_number_or_none, "number"),
    (_count, "count"),
    (_count_or_none, "count"),
):
    _type.__name__ = _name  # argparse names the type by it: "invalid count value: 'x'"


class _Limit(NamedTuple):
    """A field of ``Options`` that is set by an option of the same name."""

    type: Callable[[str], Any]
    metavar: str
    help: str
    aliases: tuple[str, ...] = ()


#: The options that go straight to ``Options``.
_LIMITS = {
    "server_name": _Limit(str, "NAME", "value of the Server header"),
    "max_connections": _Limit(
        _count_or_none, "N", "connections at a time; none: what 'ulimit -n' allows"
    ),
    "max_connections_per_address": _Limit(_count_or_none, "N", "the same, from one address"),
    "shutdown_timeout": _Limit(_number, "S", "wait for open requests when stopped"),
    "max_headers": _Limit(_count, "N", "header fields of a request"),
    "header_line_limit": _Limit(_count, "BYTES", "length of a header line"),
    "header_total_limit": _Limit(_count, "BYTES", "length of all header lines together"),
    "request_line_limit": _Limit(_count, "BYTES", "length of a request line"),
    "max_body": _Limit(_count_or_none, "BYTES", "length of a request's body"),
    "body_chunk_size": _Limit(_count, "BYTES", "length of a body's chunks in messages"),
    "header_timeout": _Limit(_number_or_none, "S", "wait for a request's head"),
    "keep_alive_timeout": _Limit(_number_or_none, "S", "wait for another request"),
    "body_min_rate": _Limit(_count_or_none, "BYTES", "bytes a second of an upload, on average"),
    "body_grace": _Limit(_number, "S", "time before that rate is looked at"),
    "write_timeout": _Limit(_number_or_none, "S", "wait for a client that reads nothing"),
    "response_write_limit": _Limit(_count, "BYTES", "what may wait for a slow HTTP client"),
    "half_close_grace": _Limit(_number, "S", "wait for answers once a client's side is closed"),
    "websocket_handshake_timeout": _Limit(
        _number_or_none, "S", "wait for the answer to a handshake, if that is shorter"
    ),
    "websocket_max_frame": _Limit(_count, "BYTES", "length of a WebSocket frame"),
    "websocket_max_message": _Limit(_count, "BYTES", "length of a WebSocket message, inflated"),
    "websocket_max_fragments": _Limit(_count, "N", "frames of a WebSocket message"),
    "websocket_receive_wait": _Limit(
        _number, "S", "wait for room in a full websocket.receive", ("--ws-receive-wait",)
    ),
    "websocket_write_limit": _Limit(_count, "BYTES", "what may wait for a slow WebSocket client"),
    "websocket_close_timeout": _Limit(_number, "S", "wait for a client's close frame"),
}


class _Failure(Exception):
    """Something that ends the command with a message and exit code 1."""


class CommandLineInterface:
    """The command: parses arguments, loads the layer, runs the server."""

    description = "The HTTP and WebSocket interface server of channels-batteries."
    server_class = Server

    def __init__(self) -> None:
        self.parser = _build_parser(self.description)
        #: The server, once it was made.
        self.server: Server | None = None

    @classmethod
    def entrypoint(cls) -> NoReturn:
        """Run with the process's arguments and exit with the code that ``run`` gives."""
        sys.exit(cls().run(sys.argv[1:]))

    def run(self, args: Sequence[str]) -> int:
        """Serve until told to stop; the exit code.

        0 after SIGTERM or SIGINT, 1 where the server could not start. Wrong options raise
        ``SystemExit`` with code 2.
        """
        options = self.parser.parse_args(_with_hyphens(args))
        logging.basicConfig(
            level=_LOG_LEVELS[options.verbosity],
            format="%(asctime)-15s %(levelname)-8s %(message)s",
        )
        try:
            self._refuse_mixture()
            sys.path.insert(0, ".")
            layer = load_layer(options.channel_layer)
            if getattr(layer, "is_local", False):
                logger.warning(
                    "The channel layer %s exists in this process only: workers in others cannot "
                    "answer. Use 'manage.py runserver', or a layer that processes share.",
                    layer,
                )
            self.server = self._make_server(layer, options)
            self.server.run()
        except (_Failure, DaphneError) as error:
            print(f"daphne: {error}", file=sys.stderr)
            return 1
        return 0

    def _refuse_mixture(self) -> None:
        """Say so when another distribution's files may be running in place of ours."""
        conflicts = find_conflicts()
        if conflicts:
            raise _Failure("; ".join(f"{conflict}. {conflict.remedy}" for conflict in conflicts))

    def _make_server(self, layer: Any, options: argparse.Namespace) -> Server:
        values = {name: getattr(options, name) for name in (*_LIMITS, "websocket_compression")}
        if options.proxy_headers:
            values |= {
                "proxy_forwarded_address_header": "X-Forwarded-For",
                "proxy_forwarded_port_header": "X-Forwarded-Port",
                "proxy_forwarded_proto_header": "X-Forwarded-Proto",
            }
        if options.trusted_proxies:
            values["trusted_proxies"] = tuple(options.trusted_proxies)
        try:
            return self.server_class(
                layer,
                endpoints=_endpoints(options),
                http_timeout=options.http_timeout,
                websocket_timeout=options.websocket_timeout,
                websocket_connect_timeout=options.websocket_connect_timeout,
                ping_interval=options.ping_interval,
                ping_timeout=options.ping_timeout,
                ws_protocols=options.ws_protocols,
                root_path=options.root_path,
                force_sync=options.force_sync,
                verbosity=options.verbosity,
                action_logger=_action_logger(options.access_log, options.verbosity),
                **values,
            )
        except ValueError as error:
            raise _Failure(str(error)) from error


def load_layer(path: str) -> Any:
    """The channel layer that ``module:path.to.layer`` names.

    Raises an exception with a message for the user where there is none; exceptions of the module
    itself go through as they are.
    """
    module_name, colon, attributes = path.partition(":")
    if not (module_name and colon and attributes) or path.startswith("."):
        raise _Failure(
            f"{path!r} does not name a channel layer; write module:attribute, for example "
            "mysite.asgi:channel_layer"
        )
    target = _import(module_name)
    reached = module_name
    for name in attributes.split("."):
        try:
            target = getattr(target, name)
        except AttributeError:
            raise _Failure(f"{path!r}: {reached!r} has no attribute {name!r}") from None
        reached += f".{name}"
    _check_layer(path, target)
    return target


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise _Failure(
                f"there is no module {missing!r} in the current directory or on sys.path"
            ) from None
        raise


def _check_layer(path: str, target: object) -> None:
    """Tell a channel layer from what is given in its place by mistake."""
    if target is None:
        raise _Failure(
            f"{path!r} is None: configure the setting CHANNEL_LAYERS, so that "
            "get_channel_layer() has something to give"
        )
    if all(callable(getattr(target, name, None)) for name in ("send", "receive", "new_channel")):
        return
    if callable(target):
        raise _Failure(
            f"{path!r} is an application, as ASGI 3 servers run them, and not a channel layer; "
            "name the object that channels.asgi.get_channel_layer() gives. This server runs none "
            "of the application's code: workers do, see 'manage.py runworker'"
        )
    raise _Failure(f"{path!r} is no channel layer but {type(target).__name__} {target!r:.80}")


def _endpoints(options: argparse.Namespace) -> list[str]:
    """Endpoint strings of all options that say where to listen; the default without any."""
    host, port = options.host, options.port
    if host is not None or port is not None:
        host = DEFAULT_HOST if host is None else host
        port = DEFAULT_PORT if port is None else port
    elif options.unix_socket is None and options.file_descriptor is None:
        if not options.socket_strings:
            host, port = DEFAULT_HOST, DEFAULT_PORT
    built = build_endpoint_description_strings(
        host, port, options.unix_socket, options.file_descriptor
    )
    return sorted(options.socket_strings + built)


def _action_logger(path: str | None, verbosity: int) -> AccessLogGenerator | None:
    """The access log that ``--access-log`` and ``-v`` ask for."""
    if path is None and verbosity < 1:
        return None
    return AccessLogGenerator(_open_log(path))


def _open_log(path: str | None) -> TextIO:
    if path is None or path == "-":
        return sys.stdout
    try:
        return open(path, "a", buffering=1, encoding="ascii")
    except OSError as error:
        raise _Failure(f"cannot write the access log {path!r}: {error.strerror}") from error


def _with_hyphens(args: Sequence[str]) -> list[str]:
    """The arguments with the underscores in option names made hyphens."""
    result: list[str] = []
    for position, arg in enumerate(args):
        if arg == "--":
            return result + list(args[position:])
        if arg.startswith("--"):
            name, equals, value = arg.partition("=")
            arg = name.replace("_", "-") + equals + value
        result.append(arg)
    return result


# -- the parser -----------------------------------------------------------------------------------


def _build_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="daphne",
        description=description,
        epilog="Options may be written with underscores, too. Times are in seconds; 'none' as a "
        "limit means that there is none. Sizes take K and M.",
    )
    parser.add_argument(
        "channel_layer",
        help="the channel layer, as module:path.to.layer (mysite.asgi:channel_layer)",
    )
    _add_listening(parser.add_argument_group("where to listen"))
    _add_logging(parser.add_argument_group("logging"))
    _add_application(parser.add_argument_group("application"))
    _add_proxies(parser.add_argument_group("proxies"))
    _add_times(parser.add_argument_group("times"))
    _add_limits(parser.add_argument_group("limits"))
    return parser


def _add_listening(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-p", "--port", type=int, help=f"TCP port (default {DEFAULT_PORT})")
    group.add_argument(
        "-b", "--bind", dest="host", metavar="ADDRESS", help=f"address (default {DEFAULT_HOST})"
    )
    group.add_argument("-u", "--unix-socket", metavar="PATH", help="a unix socket")
    group.add_argument(
        "--fd", type=int, dest="file_descriptor", metavar="N", help="a socket that listens already"
    )
    group.add_argument(
        "-e",
        "--endpoint",
        action="append",
        dest="socket_strings",
        metavar="STRING",
        default=[],
        help="an endpoint string as Twisted reads it (ssl:8443:privateKey=...); repeatable",
    )


def _add_logging(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-v",
        "--verbosity",
        type=int,
        choices=sorted(_LOG_LEVELS),
        default=1,
        help="0 errors, 1 what listens where and an access log, 2 more (default 1)",
    )
    group.add_argument(
        "--access-log",
        metavar="PATH",
        help="file that the access log is appended to, - for the standard output "
        "(default: the standard output, nothing with -v 0)",
    )


def _add_application(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--root-path", default="", metavar="PATH", help="where the application is mounted"
    )
    group.add_argument(
        "--ws-protocol",
        nargs="*",
        action="extend",
        dest="ws_protocols",
        metavar="NAME",
        help="WebSocket sub-protocols that are spoken",
    )
    group.add_argument(
        "--ws-compression",
        "--websocket-compression",
        action="store_true",
        dest="websocket_compression",
        help="compress the messages of WebSockets whose client offers it (permessage-deflate)",
    )
    group.add_argument(
        "--force-sync",
        action="store_true",
        help="read the channel layer in a thread although it can wait in the reactor",
    )


def _add_proxies(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--proxy-headers",
        action="store_true",
        help="believe X-Forwarded-For, -Port and -Proto of trusted proxies",
    )
    group.add_argument(
        "--trusted-proxies",
        action="extend",
        type=lambda text: [entry.strip() for entry in text.split(",") if entry.strip()],
        metavar="LIST",
        help="addresses, networks or 'unix', with commas; repeatable "
        f"(default {','.join(Options().trusted_proxies)})",
    )


def _add_times(group: argparse._ArgumentGroup) -> None:
    for flags, kind, default, text in (
        (("-t", "--http-timeout"), _number_or_none, 120, "wait for a response, then 503"),
        (("--ping-interval",), _number, 20, "silence before a WebSocket is sent a ping; 0: none"),
        (("--ping-timeout",), _number, 30, "wait for the answer to a ping"),
        (
            ("--websocket-connect-timeout",),
            _number_or_none,
            _CONNECT_TIMEOUT,
            "wait for the application to accept a WebSocket",
        ),
    ):
        group.add_argument(
            *flags, type=kind, default=default, metavar="S", help=f"{text} (default {default})"
        )
    group.add_argument(
        "--websocket-timeout",
        type=_number,
        metavar="S",
        help="longest life of a WebSocket, -1: no limit (default: the layer's group_expiry)",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    defaults = Options()
    for name, limit in _LIMITS.items():
        default = getattr(defaults, name)
        group.add_argument(
            f"--{name.replace('_', '-')}",
            *limit.aliases,
            dest=name,
            type=limit.type,
            default=default,
            metavar=limit.metavar,
            help=f"{limit.help} (default {'none' if default is None else default})",
        )
