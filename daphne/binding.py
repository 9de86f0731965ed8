"""Listening sockets that a parent process binds, and that its children listen on.

The parent runs no reactor: a stand-in for one binds what an endpoint string says and keeps the
socket. A child gets the descriptors, and listens by the strings of ``Listener.inherited``.
"""

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import CannotListenError

from daphne.endpoints import (
    endpoint_from,
    host_and_port,
    listen_error,
    listening_family,
    parse_inherited,
)
from daphne.exceptions import ListenError

__all__ = ["Listener", "Sockets", "bind", "bind_udp"]


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that was bound for an endpoint string."""

    description: str
    socket: socket.socket
    #: The unix socket to remove in the end, with its device and inode; None: nothing of ours.
    path: str | None = None
    identity: tuple[int, int] | None = None

    def inherited(self) -> str:
        """The endpoint string of a child that has the socket under the same number."""
        number, kind = self.socket.fileno(), self.description.partition(":")[0]
        if kind in ("fd", "systemd"):
            _, _, spoken = self.description.partition(":as=")
            return f"fd:fileno={number}:as={spoken}" if spoken else f"fd:fileno={number}"
        return f"fd:fileno={number}:as={self.description}"

    def close(self) -> None:
        """Listen no more; remove a unix socket of ours, unless another has taken its place."""
        self.socket.close()
        if self.path is not None and _identity(self.path) == self.identity:
            with suppress(OSError):  # the folder may be another's by now
                os.unlink(self.path)


@dataclass(frozen=True, slots=True)
class Sockets:
    """All sockets of a parent: those of every child, and one of each child for itself."""

    endpoints: list[Listener]
    udp: list[Listener]
    #: The admin addresses of the children, by their number; or none.
    admin: list[Listener]

    def inherited(self, number: int) -> dict[str, Any]:
        """What the child of that number is told, by the options that it takes the place of."""
        told: dict[str, Any] = {
            "endpoints": [listener.inherited() for listener in self.endpoints],
            "udp": [listener.inherited() for listener in self.udp],
        }
        return told | ({"admin": self.admin[number].inherited()} if self.admin else {})

    def numbers(self, number: int) -> list[int]:
        """The descriptors that the child inherits."""
        own = self.admin[number : number + 1]
        return [listener.socket.fileno() for listener in (*self.endpoints, *self.udp, *own)]

    def close(self) -> None:
        """Listen no more."""
        for listener in (*self.endpoints, *self.udp, *self.admin):
            listener.close()


def bind(description: str) -> Listener:
    """Bind what an endpoint string says. Raises ``ListenError``."""
    if description.startswith("fd:"):
        number, _ = parse_inherited(description)
        listening_family(number)
        return Listener(description, socket.socket(fileno=os.dup(number)))
    binder = _Binder()
    failures: list[Any] = []
    endpoint_from(binder, description).listen(None).addErrback(failures.append)
    if failures:
        raise listen_error(description, failures[0].value)
    if binder.bound is None:
        raise ListenError(f"{description!r} cannot be shared by several processes")
    path = binder.path
    return Listener(description, binder.bound, path, _identity(path) if path else None)


def bind_udp(where: str) -> Listener:
    """Bind ``host:port`` for datagrams. Raises ``ListenError``."""
    host, port = host_and_port(where)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise listen_error(f"udp {where}", error) from error
    return Listener("fd:", bound)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None


class _Binder:
    """What endpoints take for a reactor: it binds, listens, and keeps the socket."""

    def __init__(self) -> None:
        self.bound: socket.socket | None = None
        self.path: str | None = None

    def listenTCP(  # noqa: N802
        self, port: int, factory: object, backlog: int = 50, interface: str = ""
    ) -> None:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        if not 0 <= port < 65536:  # getaddrinfo would take the rest of a division
            raise OverflowError("a port is a number from 0 to 65535")
        try:
            found = socket.getaddrinfo(
                interface or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            self._listen(family, found[0][4], backlog)
        except OSError as error:
            raise CannotListenError(interface, port, error) from error

    def listenSSL(  # noqa: N802
        self,
        port: int,
        factory: object,
        contextFactory: object,  # noqa: N803
        backlog: int = 50,
        interface: str = "",
    ) -> None:
        self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(  # noqa: N802
        self,
        path: str,
        factory: object,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,  # noqa: N803
    ) -> None:
        mask = os.umask(0o777 & ~mode)  # so that it has its mode from the first moment on
        try:
            self._listen(socket.AF_UNIX, path, backlog)
        except OSError as error:
            raise CannotListenError(None, path, error) from error
        finally:
            os.umask(mask)
        self.path = path

    def adoptStreamPort(self, number: int, family: int, factory: object) -> None:  # noqa: N802
        """What systemd hands over, by ``systemd:domain=...:index=N``."""
        self.bound = socket.socket(fileno=os.dup(number))

    def _listen(self, family: int, address: Any, backlog: int) -> None:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family != socket.AF_UNIX:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(backlog)
        except BaseException:
            listening.close()
            raise
        self.bound = listening
