"""The ``daphne`` command: options in, a running ``daphne.server.Server`` out.

Which options there are is in ``daphne.option_table``, how they are read in
``daphne.configuration``, what they mean in ``daphne.options``.
"""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

from channels.distributions import find_conflicts
from daphne.access import AccessLogGenerator
from daphne.configuration import (
    Configuration,
    ConfigurationError,
    build_parser,
    read_configuration,
)
from daphne.exceptions import DaphneError, StartError
from daphne.loading import load_layer
from daphne.option_table import DEFAULT_HOST, DEFAULT_PORT, FIELDS
from daphne.server import Server, build_endpoint_description_strings

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "CommandLineInterface", "load_layer"]

logger = logging.getLogger("daphne.cli")

_LOG_LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


class CommandLineInterface:
    """The command: parses arguments, loads the layer, runs the server."""

    description = "The HTTP and WebSocket interface server of channels-batteries."
    server_class = Server

    def __init__(self) -> None:
        self.parser = build_parser(self.description)
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
        try:
            configuration = read_configuration(self.parser, args, os.environ)
        except ConfigurationError as error:
            self.parser.error(str(error))
        logging.basicConfig(
            level=_LOG_LEVELS[configuration["verbosity"]],
            format="%(asctime)-15s %(levelname)-8s %(message)s",
        )
        try:
            self._refuse_mixture()
            sys.path.insert(0, ".")
            layer = load_layer(configuration["channel_layer"])
            if getattr(layer, "is_local", False):
                logger.warning(
                    "The channel layer %s exists in this process only: workers in others cannot "
                    "answer. Use 'manage.py runserver', or a layer that processes share.",
                    layer,
                )
            self.server = self._make_server(layer, configuration)
            self.server.run()
        except DaphneError as error:
            print(f"daphne: {error}", file=sys.stderr)
            return 1
        return 0

    def _refuse_mixture(self) -> None:
        """Say so when another distribution's files may be running in place of ours."""
        conflicts = find_conflicts()
        if conflicts:
            raise StartError("; ".join(f"{conflict}. {conflict.remedy}" for conflict in conflicts))

    def _make_server(self, layer: Any, configuration: Configuration) -> Server:
        values = {name: configuration[name] for name in FIELDS}
        if configuration["proxy_headers"]:
            values |= {
                "proxy_forwarded_address_header": "X-Forwarded-For",
                "proxy_forwarded_port_header": "X-Forwarded-Port",
                "proxy_forwarded_proto_header": "X-Forwarded-Proto",
            }
        values["action_logger"] = _action_logger(configuration)
        try:
            return self.server_class(layer, endpoints=_endpoints(configuration), **values)
        except ValueError as error:
            # Most begin with the name of an option, as those of ``Options`` do.
            source = configuration.sources.get(str(error).partition(" ")[0])
            self.parser.error(f"{source}: {error}" if source else str(error))


def _endpoints(configuration: Configuration) -> list[str]:
    """Endpoint strings of all options that say where to listen; the default without any."""
    host, port = configuration["host"], configuration["port"]
    unix_socket, descriptor = configuration["unix_socket"], configuration["file_descriptor"]
    strings: list[str] = [*configuration["socket_strings"]]
    if host is not None or port is not None:
        host = DEFAULT_HOST if host is None else host
        port = DEFAULT_PORT if port is None else port
    elif unix_socket is None and descriptor is None and not strings:
        host, port = DEFAULT_HOST, DEFAULT_PORT
    return sorted(strings + build_endpoint_description_strings(host, port, unix_socket, descriptor))


def _action_logger(configuration: Configuration) -> AccessLogGenerator | None:
    """The access log that ``--access-log`` and ``-v`` ask for."""
    path = configuration["access_log"]
    if path is None and configuration["verbosity"] < 1:
        return None
    return AccessLogGenerator(_open_log(path))


def _open_log(path: str | None) -> TextIO:
    if path is None or path == "-":
        return sys.stdout
    try:
        return open(path, "a", buffering=1, encoding="ascii")
    except OSError as error:
        raise StartError(f"cannot write the access log {path!r}: {error.strerror}") from error
