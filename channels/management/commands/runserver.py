"""``manage.py runserver``: Daphne and workers in one process, for development.

Where Channels is not to be used (``--noasgi``, or no default layer) it is Django's own command. The
options, checks, autoreloader and address come from Django, the server from ``daphne``, the workers
from ``channels.worker``.
"""

import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.management.base import CommandError, CommandParser
from django.core.servers.basehttp import WSGIServer
from django.db import connections
from django.utils import autoreload

from channels import DEFAULT_CHANNEL_LAYER
from channels.asgi import ChannelLayerWrapper, channel_layers
from channels.log import setup_logger
from channels.management.consumers import http_consumer, serves_static
from channels.management.options import add_option
from channels.management.threads import WorkerThread
from daphne.exceptions import ListenError
from daphne.server import Server, build_endpoint_description_strings

__all__ = ["Command", "WorkerThread"]

#: Workers in the process, so that a slow view leaves room for others.
WORKERS = 4

#: Seconds for which Ctrl-C and a reload wait for running consumers: a developer is waiting too.
#: (On Ctrl-C the autoreloader's parent process kills this one after 0.25 s, so less is had there.)
STOP_TIMEOUT = 2.0

#: What Django's runserver says for the usual errors of a server's start.
LISTEN_ERRORS = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: "That port is already in use.",
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}

#: The words of the log for what happens to a socket.
WEBSOCKET_ACTIONS = {
    "connecting": "HANDSHAKING",
    "connected": "CONNECT",
    "disconnected": "DISCONNECT",
    "rejected": "REJECT",
}

#: The name in Django's palettes for each class of HTTP status.
STATUS_STYLES = {
    1: "HTTP_INFO",
    2: "HTTP_SUCCESS",
    3: "HTTP_REDIRECT",
    4: "HTTP_BAD_REQUEST",
    5: "HTTP_SERVER_ERROR",
}


class Command(RunserverCommand):
    """Django's ``runserver``, with WebSockets and consumers."""

    help = "Starts a development server for HTTP and WebSockets, with workers for its consumers."

    #: What serves; called with the arguments of ``daphne.server.Server``.
    server_cls: Any = Server

    # Set by Django's handle() from the argument addrport.
    addr: str
    port: str
    use_ipv6: bool
    _raw_ipv6: bool

    def add_arguments(self, parser: CommandParser) -> None:
        """Add to Django's options those of the workers and of Daphne."""
        super().add_arguments(parser)
        if not apps.is_installed("django.contrib.staticfiles"):
            parser.set_defaults(use_static_handler=False)
        add_option(
            parser,
            "--noworker",
            action="store_false",
            dest="run_worker",
            help="Run no workers here; start them with runworker.",
        )
        add_option(
            parser,
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Run Django's own WSGI server, without Channels.",
        )
        add_option(
            parser,
            "--http-timeout",
            type=int,
            default=60,
            metavar="SECONDS",
            help="Answer 503 when a response has not begun by then (default: %(default)s).",
        )
        add_option(
            parser,
            "--websocket-handshake-timeout",
            type=int,
            default=5,
            metavar="SECONDS",
            help="Give up a WebSocket that is neither accepted nor refused by then "
            "(default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the options that are not Django's, then go on as Django does."""
        self.logger = setup_logger("django.channels", options["verbosity"])
        self._stoppers: list[Callable[[], object]] = []
        super().handle(*args, **options)

    def run(self, **options: Any) -> None:
        """Serve, under the autoreloader if wanted; stop in order when it is over."""
        try:
            super().run(**options)
        finally:
            # The main thread comes by here on Ctrl-C and when the autoreloader ends the process to
            # start a new one, while the server and the workers still run in other threads.
            self._stop_all()

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Serve, in whichever thread the autoreloader put this."""
        if not self.uses_channels(options):
            self.server_cls = WSGIServer
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()
        try:
            self._check_project(options)
            self._run_project(*args, **options)
        except KeyboardInterrupt:
            pass  # Ctrl-C before the server has taken over the signal
        if options.get("shutdown_message"):
            self.stdout.write(options["shutdown_message"])

    def uses_channels(self, options: Mapping[str, Any]) -> bool:
        """Whether Daphne serves, and not Django's own server."""
        return options["use_asgi"] and DEFAULT_CHANNEL_LAYER in channel_layers

    def get_consumer(self, *args: Any, **options: Any) -> Callable[..., Any]:
        """The consumer of HTTP requests that no route of the project takes."""
        static = serves_static(options["use_static_handler"], options["insecure_serving"])
        return http_consumer(static)

    def log_action(self, protocol: str, action: str, details: Mapping[str, Any]) -> None:
        """Write one line to standard error about a request or a socket."""
        path = _printable(details["path"])
        client = details["client"]
        if protocol == "http" and action == "complete":
            line = (
                f"HTTP {_printable(details['method'])} {path} {details['status']} "
                f"[{details['time_taken']:.2f}, {client}]"
            )
            style = _status_style(details["status"])
        elif protocol == "websocket" and action in WEBSOCKET_ACTIONS:
            line = f"WebSocket {WEBSOCKET_ACTIONS[action]} {path} [{client}]"
            style = "HTTP_BAD_REQUEST" if action == "rejected" else "HTTP_INFO"
        else:
            return
        now = datetime.now().strftime("%Y/%m/%d %H:%M:%S")
        self.stderr.write(f"[{now}] {line}", getattr(self.style, style))

    def _check_project(self, options: Mapping[str, Any]) -> None:
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()

    def _run_project(self, *args: Any, **options: Any) -> None:
        """Serve, with workers beside the server, until it is stopped."""
        layer = channel_layers[DEFAULT_CHANNEL_LAYER]
        layer.router.check_default(http_consumer=self.get_consumer(*args, **options))
        if options["run_worker"]:
            self._start_workers(layer, options)
        elif layer.local_only():
            self.stderr.write(
                f"--noworker leaves all messages to other processes, and channel layer {layer} is "
                "in-memory: nothing will answer. Choose another BACKEND, or leave out --noworker."
            )
        try:
            self._serve(layer, options)
        except (OSError, ListenError) as error:
            self._give_up(error, options)

    def _start_workers(self, layer: ChannelLayerWrapper, options: Mapping[str, Any]) -> None:
        workers = WorkerThread(layer, WORKERS if options["use_threading"] else 1)
        self._stoppers.append(lambda: workers.stop(STOP_TIMEOUT))
        workers.start()

    def _serve(self, layer: ChannelLayerWrapper, options: Mapping[str, Any]) -> None:
        server = self.server_cls(
            channel_layer=layer.channel_layer,
            endpoints=self._endpoints(),
            # The autoreloader has the main thread, and the signals with it.
            signal_handlers=not options["use_reloader"],
            action_logger=self.log_action,
            http_timeout=options["http_timeout"],
            websocket_handshake_timeout=options["websocket_handshake_timeout"],
            ws_protocols=getattr(settings, "CHANNELS_WS_PROTOCOLS", None),
            root_path=getattr(settings, "FORCE_SCRIPT_NAME", None) or "",
            verbosity=options["verbosity"],
            shutdown_timeout=STOP_TIMEOUT,
            drain=0,
            ready=lambda server: self._print_banner(layer, server.addresses[0].port),
        )
        ended = threading.Event()
        self._stoppers.append(lambda: _stop_server(server, ended))
        try:
            server.run()
        finally:
            ended.set()

    def _endpoints(self) -> list[str]:
        """Where to listen, as descriptions for Twisted, which takes no names of hosts."""
        family = socket.AF_INET6 if self.use_ipv6 else socket.AF_INET
        found = socket.getaddrinfo(self.addr, int(self.port), family, socket.SOCK_STREAM)
        return build_endpoint_description_strings(host=str(found[0][4][0]), port=int(self.port))

    def _print_banner(self, layer: ChannelLayerWrapper, port: int) -> None:
        host = f"[{self.addr}]" if self._raw_ipv6 else self.addr
        quit_command = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        now = datetime.now().strftime("%B %d, %Y - %X")
        self.stdout.write(
            f"{now}\n"
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Starting Channels development server at {self.protocol}://{host}:{port}/\n"
            f"Channel layer {layer}\n"
            f"Quit the server with {quit_command}."
        )

    def _give_up(self, error: OSError | ListenError, options: Mapping[str, Any]) -> None:
        """End the process because the server cannot listen."""
        reason = LISTEN_ERRORS.get(error.errno or 0, str(error))
        text = f"Cannot listen on {self.addr}:{self.port}. {reason}"
        if not options["use_reloader"]:
            raise CommandError(text) from error
        self.stderr.write(f"Error: {text}")
        self.stdout.flush()
        # As Django does: the main thread, which runs the autoreloader, cannot be ended from here.
        os._exit(1)

    def _stop_all(self) -> None:
        while self._stoppers:
            self._stoppers.pop()()


def _stop_server(server: Server, ended: threading.Event) -> None:
    server.stop()
    # Its own time-out is for the connections; the second is for what it still has to send.
    ended.wait(2 * STOP_TIMEOUT)


def _printable(text: str) -> str:
    """``text`` in ASCII and without control characters, so that it cannot fake a log line."""
    return text.encode("unicode_escape").decode("ascii")


def _status_style(status: int) -> str:
    if status == 304:
        return "HTTP_NOT_MODIFIED"
    return "HTTP_NOT_FOUND" if status == 404 else STATUS_STYLES.get(status // 100, "HTTP_INFO")
