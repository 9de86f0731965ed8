"""supervisor, as the commands see it: its parser for files, and the interface of one that runs.

The interface is XML-RPC (supervisor's manual, XML-RPC API Documentation). What is restarted and in
which order, is in ``rolling``.
"""

import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import CommandError
from supervisor.options import ClientOptions, ServerOptions
from supervisor.xmlrpc import SupervisorTransport

__all__ = ["Address", "Supervisor", "check_files", "read_address"]


class _Refused(Exception):
    """What supervisor would write before it ends."""


class _Server(ServerOptions):  # type: ignore[misc]  # has no types
    def usage(self, msg: object) -> NoReturn:
        raise _Refused(str(msg))


class _Client(ClientOptions):  # type: ignore[misc]  # has no types
    def usage(self, msg: object) -> NoReturn:
        raise _Refused(str(msg))


def check_files(file: Path) -> dict[str, list[str]]:
    """The processes of each group that supervisord would make of ``file``, by its own parser.

    Raises ``CommandError`` where it refuses, or warns.
    """
    options = _Server()
    try:
        options.realize(["-c", str(file)], doc="")
    except (_Refused, ValueError) as error:
        raise CommandError(f"supervisor does not take {file}: {error}") from error
    complaints = [*options.parse_criticals, *options.parse_warnings]
    if complaints:
        raise CommandError(f"supervisor warns of {file}: {' '.join(complaints)}")
    return {
        group.name: [process.name for process in group.process_configs]
        for group in options.process_group_configs
    }


@dataclass(frozen=True, slots=True)
class Address:
    """Where a supervisord is, and who it lets in."""

    url: str
    user: str | None = None
    password: str | None = None


def read_address(file: str | None, url: str | None) -> Address:
    """The address that supervisorctl would use: of ``file``, or of the usual places for one.

    ``url`` takes the place of its serverurl. Raises ``CommandError``.
    """
    arguments = ["-c", file] if file else []
    options = _Client()
    try:
        options.realize([*arguments, *(["-s", url] if url else []), "status"], doc="")
    except (_Refused, ValueError) as error:
        raise CommandError(f"There is no address of supervisor: {error}") from error
    return Address(options.serverurl, options.username, options.password)


class Supervisor:
    """A supervisord that runs. Methods raise ``CommandError`` where it is not there or refuses."""

    def __init__(self, address: Address) -> None:
        self._address = address
        transport = SupervisorTransport(address.user, address.password, address.url)
        # The transport knows where to; the proxy wants an address of the web all the same.
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def configured(self) -> list[dict[str, Any]]:
        """What it knows of each process that it may start."""
        configured: list[dict[str, Any]] = self._call("getAllConfigInfo")
        return configured

    def state(self, process: str) -> dict[str, Any]:
        """What ``process``, written group:name, is at now."""
        state: dict[str, Any] = self._call("getProcessInfo", process)
        return state

    def stop(self, process: str) -> None:
        """Stop it; returns when it has ended, by SIGKILL if need be."""
        self._call("stopProcess", process)

    def start(self, process: str) -> None:
        """Start it; returns at once."""
        self._call("startProcess", process, False)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._proxy.supervisor, name)(*arguments)
        except xmlrpc.client.Fault as fault:
            subject = f" {arguments[0]}" if arguments else ""
            raise CommandError(f"supervisor refused {name}{subject}: {fault.faultString}") from None
        except (OSError, xmlrpc.client.ProtocolError) as error:
            raise CommandError(self._absent(error)) from error

    def _absent(self, error: OSError | xmlrpc.client.ProtocolError) -> str:
        if isinstance(error, xmlrpc.client.ProtocolError):
            why = f"{error.errcode} {error.errmsg}"
        else:
            why = error.strerror or str(error)
        return (
            f"supervisor does not answer at {self._address.url}: {why}. Name its file by "
            "--configuration or its address by --supervisor; user and password are those of the "
            "section [supervisorctl] in the file."
        )
