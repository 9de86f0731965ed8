"""The ``daphne`` command: options in, a running server out, in one process or in several.

Which options there are is in ``daphne.option_table``, how they are read in
``daphne.configuration``, what they mean in ``daphne.options``. Where several processes serve, their
parent is ``daphne.processes``; it imports no reactor, so this module does not either.
"""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TextIO

from channels.distributions import find_conflicts
from channels.readiness import Readiness
from daphne.access import AccessLogGenerator
from daphne.activation import passed_endpoints
from daphne.binding import Sockets, bind, bind_udp
from daphne.configuration import (
    Configuration,
    ConfigurationError,
    build_parser,
    read_configuration,
)
from daphne.endpoints import admin_endpoint, build_endpoint_description_strings
from daphne.exceptions import DaphneError, StartError
from daphne.exit_codes import ExitCode
from daphne.loading import load_layer
from daphne.option_table import DEFAULT_HOST, DEFAULT_PORT, FIELDS
from daphne.processes import Processes
from daphne.workers import Workers

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "CommandLineInterface", "load_layer"]

logger = logging.getLogger("daphne.cli")

_LOG_LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}

#: Called with the server once it listens, and with the line that says what listens where.
Announce = Callable[[Any, str], None]


class CommandLineInterface:
    """The command: parses arguments, loads the layer, runs the server."""

    description = "The HTTP and WebSocket interface server of channels-batteries."

    #: The class of the server; None: ``daphne.server.Server``.
    server_class: Any = None

    def __init__(self) -> None:
        self.parser = build_parser(self.description)
        #: The server, once it was made; there is none in a parent of several processes.
        self.server: Any = None

    @classmethod
    def entrypoint(cls) -> NoReturn:
        """Run with the process's arguments and exit with the code that ``run`` gives."""
        sys.exit(cls().run(sys.argv[1:]))

    def run(self, args: Sequence[str]) -> int:
        """Serve until told to stop; an ``ExitCode``.

        Wrong options raise ``SystemExit`` with that code.
        """
        configuration = self._configure(args)
        try:
            self._refuse_mixture()
            with _readiness(configuration) as readiness:
                endpoints = _endpoints(configuration)
                if configuration["processes"]:
                    sockets = _bind_all(configuration, endpoints)
                    return Processes(configuration["processes"], args, sockets, readiness).run()
                return self._serve(configuration, endpoints, _log_start, readiness)
        except DaphneError as error:
            return _not_started(error)

    def run_child(
        self,
        args: Sequence[str],
        inherited: Mapping[str, Any],
        announce: Announce,
        readiness: Readiness,
    ) -> int:
        """The same for a process of several, which listens on sockets of its parent.

        ``inherited`` is what ``daphne.binding.Sockets`` hands over; ``readiness`` tells the parent.
        """
        configuration = self._configure(args)
        own = {name: inherited[name] for name in ("udp", "admin") if name in inherited}
        configuration = replace(configuration, values={**configuration.values, **own})
        try:
            return self._serve(configuration, inherited["endpoints"], announce, readiness)
        except DaphneError as error:
            return _not_started(error)

    def _configure(self, args: Sequence[str]) -> Configuration:
        """Read the options, and log as they say."""
        try:
            configuration = read_configuration(self.parser, args, os.environ)
        except ConfigurationError as error:
            self.parser.error(str(error))
        logging.basicConfig(
            level=_LOG_LEVELS[configuration["verbosity"]],
            format="%(asctime)-15s %(levelname)-8s %(message)s",
        )
        return configuration

    def _refuse_mixture(self) -> None:
        """Say so when another distribution's files may be running in place of ours."""
        conflicts = find_conflicts()
        if conflicts:
            raise StartError("; ".join(f"{conflict}. {conflict.remedy}" for conflict in conflicts))

    # -- one process ------------------------------------------------------------------------------

    def _serve(
        self,
        configuration: Configuration,
        endpoints: Sequence[str],
        announce: Announce,
        readiness: Readiness,
    ) -> int:
        sys.path.insert(0, ".")
        layer = load_layer(configuration["channel_layer"])
        _warn_of_local_layer(layer, configuration)
        self.server = self._make_server(layer, configuration, endpoints, announce, readiness)
        self.server.run()
        return ExitCode.CUT_SHORT if self.server.cut_short else ExitCode.STOPPED

    def _make_server(
        self,
        layer: Any,
        configuration: Configuration,
        endpoints: Sequence[str],
        announce: Announce,
        readiness: Readiness,
    ) -> Any:
        values = {name: configuration[name] for name in FIELDS}
        if configuration["proxy_headers"]:
            values |= {
                "proxy_forwarded_address_header": "X-Forwarded-For",
                "proxy_forwarded_port_header": "X-Forwarded-Port",
                "proxy_forwarded_proto_header": "X-Forwarded-Proto",
                "proxy_forwarded_host_header": "X-Forwarded-Host",
                "proxy_forwarded": True,
            }
        values["action_logger"] = _action_logger(configuration)
        if configuration["workers"]:
            values["workers"] = Workers(layer, configuration["workers"])
        if readiness.is_watched:
            values["readiness"] = readiness
        make = self.server_class or importlib.import_module("daphne.server").Server
        try:
            return make(layer, endpoints=list(endpoints), announce=announce, **values)
        except ValueError as error:
            # Most begin with the name of an option, as those of ``Options`` do.
            source = configuration.sources.get(str(error).partition(" ")[0])
            self.parser.error(f"{source}: {error}" if source else str(error))


def _log_start(server: object, text: str) -> None:
    logger.info("%s", text)


def _not_started(error: DaphneError) -> int:
    print(f"daphne: {error}", file=sys.stderr)
    return ExitCode.FAILED


def _warn_of_local_layer(layer: Any, configuration: Configuration) -> None:
    """Say what cannot work with a layer that exists in one process only."""
    if not getattr(layer, "is_local", False):
        return
    if not configuration["workers"]:
        logger.warning(
            "The channel layer %s exists in this process only: workers in others cannot answer. "
            "Use --workers, 'manage.py runserver', or a layer that processes share.",
            layer,
        )
    elif configuration["processes"] > 1:
        logger.warning(
            "The channel layer %s exists in each process by itself: groups and reply channels "
            "reach the sockets of one process only. Use a layer that processes share.",
            layer,
        )


# -- where to listen, what to tell whom -----------------------------------------------------------


def _endpoints(configuration: Configuration) -> list[str]:
    """Endpoint strings of all options that say where to listen.

    Without any, those of sockets that systemd passes, or else the default.
    """
    host, port = configuration["host"], configuration["port"]
    unix_socket, descriptor = configuration["unix_socket"], configuration["file_descriptor"]
    strings: list[str] = [*configuration["socket_strings"]]
    if host is not None or port is not None:
        host = DEFAULT_HOST if host is None else host
        port = DEFAULT_PORT if port is None else port
    elif unix_socket is None and descriptor is None and not strings:
        if passed := passed_endpoints():
            return passed
        if configuration["udp"]:
            return []
        host, port = DEFAULT_HOST, DEFAULT_PORT
    built = build_endpoint_description_strings(
        host, port, unix_socket, descriptor, configuration["unix_socket_mode"]
    )
    return sorted(strings + built)


def _bind_all(configuration: Configuration, endpoints: Sequence[str]) -> Sockets:
    """The sockets that a parent holds for its children; none is left bound where one cannot be."""
    where, count = configuration["admin"], configuration["processes"]
    admin = [] if where is None else [admin_endpoint(where, number) for number in range(count)]
    sockets = Sockets([], [], [])
    try:
        sockets.endpoints.extend(map(bind, endpoints))
        sockets.udp.extend(map(bind_udp, configuration["udp"]))
        sockets.admin.extend(map(bind, admin))
    except DaphneError:
        sockets.close()
        raise
    return sockets


def _readiness(configuration: Configuration) -> Readiness:
    """Who is told that the server is ready; raises ``StartError`` for a file that cannot be."""
    path = configuration["ready_file"]
    try:
        return Readiness(path)
    except OSError as error:
        raise StartError(f"cannot write the ready file {path!r}: {error.strerror}") from error


def _action_logger(configuration: Configuration) -> AccessLogGenerator | None:
    """The access log that ``--access-log`` and ``-v`` ask for."""
    path = configuration["access_log"]
    if path is None and configuration["verbosity"] < 1:
        return None
    return AccessLogGenerator(_open_log(path), configuration["access_log_format"])


def _open_log(path: str | None) -> TextIO:
    if path is None or path == "-":
        return sys.stdout
    try:
        return open(path, "a", buffering=1, encoding="ascii")
    except OSError as error:
        raise StartError(f"cannot write the access log {path!r}: {error.strerror}") from error
