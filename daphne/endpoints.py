"""Where a server listens: endpoint strings from options, and listening on them.

Endpoint strings are Twisted's (``tcp:``, ``ssl:``, ``unix:`` ...), plus ``fd:fileno=N`` for a
socket that listens already, which supervisor, systemd or a parent process hands over. What is
spoken on such a socket may follow: ``fd:fileno=N:as=ssl:443:privateKey=...`` listens on it as the
endpoint after ``as=`` would on one of its own.
"""

import errno
import os
import re
import socket
import stat
from typing import Any

from twisted.internet import unix
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from daphne.exceptions import ListenError

__all__ = [
    "admin_endpoint",
    "build_endpoint_description_strings",
    "describe",
    "endpoint_from",
    "host_and_port",
    "listen_error",
    "listening_family",
    "parse_inherited",
]

#: Connections that wait to be accepted; Twisted's 50 make a burst of clients wait for retries.
_BACKLOG = 2048


def build_endpoint_description_strings(
    host: str | None = None,
    port: int | None = None,
    unix_socket: str | None = None,
    file_descriptor: int | None = None,
    unix_socket_mode: int | None = None,
) -> list[str]:
    """The endpoint strings for the plain ways to say where to listen.

    Raises ``ValueError`` where only one of ``host`` and ``port`` is given.
    """
    descriptions = []
    if (host is None) != (port is None):
        raise ValueError(f"give both host and port, or neither; host={host!r}, port={port!r}")
    if host is not None:
        interface = quoteStringArgument(host.strip("[]"))
        descriptions.append(f"tcp:port={int(port or 0)}:interface={interface}")
    if unix_socket:
        mode = "" if unix_socket_mode is None else f":mode={unix_socket_mode:o}"
        descriptions.append(f"unix:{quoteStringArgument(unix_socket)}{mode}")
    if file_descriptor is not None:
        descriptions.append(f"fd:fileno={int(file_descriptor)}")
    return descriptions


def host_and_port(text: str) -> tuple[str, int]:
    """The parts of ``host:port`` or ``[address]:port``; raises ``ListenError``.

    Without a host it is every IPv4 address of the machine.
    """
    host, colon, port = text.rpartition(":")
    bare = host.startswith("[") and host.endswith("]")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not (colon and digits and int(port) < 65536) or (":" in host and not bare):
        raise ListenError(f"{text!r} is no address; write host:port, or [host]:port for IPv6")
    return host[1:-1] if bare else host, int(port)


def admin_endpoint(where: str, number: int = 0) -> str:
    """The endpoint string of ``host:port``, or of what is one already (``unix:...``).

    ``number`` is that of a process of several: it is added to the port, or to a path after a dot.
    Raises ``ListenError``.
    """
    kind = where.partition(":")[0]
    if kind in ("fd", "ssl", "systemd", "tcp", "unix"):
        if number and kind != "unix":
            raise ListenError(
                f"{where!r} is one address; several processes take host:port or unix:PATH, from "
                "which each of them has its own"
            )
        return f"{where}.{number}" if number else where
    host, port = host_and_port(where)
    return build_endpoint_description_strings(host, port + number if port else 0)[0]


def endpoint_from(reactor: Any, description: str) -> Any:
    """The stream server endpoint of a string.

    A unix socket that a dead server left behind is removed. Raises ``ListenError`` where the
    string is not understood, a file that it names cannot be read, or the path or file descriptor
    cannot be listened on.
    """
    kind = description.partition(":")[0]
    if kind == "fd":
        return _adopted(reactor, description)
    endpoint = _parsed(reactor, kind, description)
    if kind == "unix":
        if not endpoint._address:
            raise ListenError(f"{description!r} is no endpoint string: it names no path")
        _make_way(endpoint._address)
    return endpoint


def _parsed(reactor: Any, kind: str, description: str) -> Any:
    """The endpoint as Twisted makes it."""
    try:
        return serverFromString(reactor, _with_defaults(kind, description))
    except OSError as error:
        raise ListenError(f"{description!r}: {error.filename}: {error.strerror}") from error
    except Exception as error:  # parsers are plugins, and OpenSSL has exceptions of its own
        raise ListenError(f"{description!r} is no endpoint string: {error}") from error


def _with_defaults(kind: str, description: str) -> str:
    """The string with our defaults for what it leaves open."""
    if kind in ("tcp", "ssl", "tls", "unix") and ":backlog=" not in description:
        description += f":backlog={_BACKLOG}"
    if kind == "unix" and ":lockfile=" not in description:
        # Twisted's lock names a process id, which a restarted container uses again.
        description += ":lockfile=0"
    return description


# -- sockets that listen already ------------------------------------------------------------------


def parse_inherited(description: str) -> tuple[int, str]:
    """The descriptor of ``fd:fileno=N`` or ``fd:N``, and what follows ``:as=``, if anything does.

    Raises ``ListenError``.
    """
    found = re.fullmatch(r"fd:(?:fileno=)?(\d+)(?::as=(.+))?", description)
    if found is None:
        raise ListenError(f"{description!r} is no endpoint string: write fd:fileno=N")
    return int(found[1]), found[2] or ""


def _adopted(reactor: Any, description: str) -> Any:
    number, spoken = parse_inherited(description)
    inherited = _Inherited(reactor, number, listening_family(number))
    if not spoken:
        return _InheritedEndpoint(inherited)
    return _parsed(inherited, spoken.partition(":")[0], spoken)


def listening_family(number: int) -> int:
    """The address family of a file descriptor that listens. Raises ``ListenError``."""
    try:
        with socket.socket(fileno=os.dup(number)) as listening:
            if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ListenError(f"file descriptor {number} is a socket that does not listen")
            return listening.family
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "there is no such number"
        raise ListenError(f"file descriptor {number} is no socket: {reason}") from error


def _let_go(number: int) -> None:
    """Close a descriptor; a standard stream stays open, since its number would be used again."""
    if number > 2:
        os.close(number)
        return
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    os.close(null)


class _Inherited:
    """A reactor that listens on a socket which listens already, whatever it is asked to bind."""

    def __init__(self, reactor: Any, number: int, family: int) -> None:
        self._reactor = reactor
        self._number = number
        self._family = family

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def adopt(self, factory: Any) -> Any:
        """Listen, and let go of the descriptor as it was given; the port has one of its own."""
        os.set_blocking(self._number, False)
        if self._family == socket.AF_UNIX:
            port = _inherited_unix_port(self._reactor, self._number, factory)
        else:
            port = self._reactor.adoptStreamPort(self._number, self._family, factory)
        _let_go(self._number)
        return port

    def listenTCP(self, port: int, factory: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        return self.adopt(factory)

    def listenUNIX(self, path: str, factory: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        return self.adopt(factory)

    def listenSSL(  # noqa: N802
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        *args: Any,
        **kwargs: Any,  # noqa: N803
    ) -> Any:
        return self.adopt(TLSMemoryBIOFactory(contextFactory, False, factory))


@implementer(IStreamServerEndpoint)
class _InheritedEndpoint:
    """The endpoint of ``fd:fileno=N``."""

    def __init__(self, inherited: _Inherited) -> None:
        self._inherited = inherited

    def listen(self, factory: Any) -> "Deferred[Any]":
        """Listen; Twisted's own endpoint has ports that would remove a unix socket's path."""
        return execute(self._inherited.adopt, factory)


def _inherited_unix_port(reactor: Any, number: int, factory: Any) -> Any:
    """A port on a unix socket that others have bound, and look after."""
    ports: Any = unix.Port
    port = ports._fromListeningDescriptor(reactor, number, factory)
    # A name that begins with a null byte is no file to Twisted. It would make that readable and
    # writable for everybody when it begins to listen, and remove it when it stops.
    port._bindPath = b"\0" + port._bindPath
    # As Twisted does for TCP: to shut the socket down would do so for all that listen on it.
    port._shouldShutdown = False
    port.backlog = _BACKLOG
    port.startListening()
    return port


# -- unix sockets of dead servers -----------------------------------------------------------------


def _make_way(path: str) -> None:
    """Remove the socket of a server that is dead; raise ``ListenError`` for one that lives."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing there; other errors are those of listening
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path} exists and is no socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINPROGRESS):
                raise ListenError(f"{path} cannot be taken over: {error.strerror}") from error
    raise ListenError(f"another process listens on {path} already", errno.EADDRINUSE)


def listen_error(description: str, error: BaseException | None) -> ListenError:
    """The error of a ``listen`` that failed, with the reason and its number."""
    reason = error.socketError if isinstance(error, CannotListenError) else error
    number = getattr(reason, "errno", None)
    text = getattr(reason, "strerror", None) or str(reason)
    return ListenError(f"cannot listen on {description}: {text}", number)


def describe(address: Any, description: str = "") -> str:
    """A bound address as the start-up line names it; ``description`` is its endpoint string."""
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", None) or b"?"
        return "unix:" + (name.decode("utf-8", "replace") if isinstance(name, bytes) else name)
    _, _, spoken = description.rpartition(":as=")
    scheme = "https" if spoken.partition(":")[0] in ("ssl", "tls") else "http"
    return (
        f"{scheme}://[{host}]:{address.port}"
        if ":" in host
        else f"{scheme}://{host}:{address.port}"
    )
