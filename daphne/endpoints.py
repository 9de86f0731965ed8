"""Where a server listens: endpoint strings from options, and listening on them.

Endpoint strings are Twisted's (``tcp:``, ``ssl:``, ``unix:`` ...), plus ``fd:fileno=N`` for a
socket that listens already, which supervisor or systemd hands over.
"""

import errno
import os
import socket
import stat
from typing import Any

from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    quoteStringArgument,
    serverFromString,
)
from twisted.internet.error import CannotListenError

from daphne.exceptions import ListenError

__all__ = ["build_endpoint_description_strings", "describe", "endpoint_from", "listen_error"]

#: Connections that wait to be accepted; Twisted's 50 make a burst of clients wait for retries.
_BACKLOG = 2048


def build_endpoint_description_strings(
    host: str | None = None,
    port: int | None = None,
    unix_socket: str | None = None,
    file_descriptor: int | None = None,
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
        descriptions.append(f"unix:{quoteStringArgument(unix_socket)}")
    if file_descriptor is not None:
        descriptions.append(f"fd:fileno={int(file_descriptor)}")
    return descriptions


def endpoint_from(reactor: Any, description: str) -> Any:
    """The stream server endpoint of a string.

    A unix socket that a dead server left behind is removed. Raises ``ListenError`` where the
    string is not understood, a file that it names cannot be read, or the path or file descriptor
    cannot be listened on.
    """
    kind = description.partition(":")[0]
    try:
        if kind == "fd":
            return _adopted(reactor, description)
        endpoint = serverFromString(reactor, _with_defaults(kind, description))
    except ListenError:
        raise
    except OSError as error:
        raise ListenError(f"{description!r}: {error.filename}: {error.strerror}") from error
    except Exception as error:  # parsers are plugins, and OpenSSL has exceptions of its own
        raise ListenError(f"{description!r} is no endpoint string: {error}") from error
    if kind == "unix":
        if not endpoint._address:
            raise ListenError(f"{description!r} is no endpoint string: it names no path")
        _make_way(endpoint._address)
    return endpoint


def _with_defaults(kind: str, description: str) -> str:
    """The string with our defaults for what it leaves open."""
    if kind in ("tcp", "ssl", "tls", "unix") and ":backlog=" not in description:
        description += f":backlog={_BACKLOG}"
    if kind == "unix" and ":lockfile=" not in description:
        # Twisted's lock names a process id, which a restarted container uses again.
        description += ":lockfile=0"
    return description


def _adopted(reactor: Any, description: str) -> AdoptedStreamServerEndpoint:
    """The endpoint of ``fd:fileno=N`` or ``fd:N``."""
    number = int(description.partition(":")[2].removeprefix("fileno="))
    try:
        with socket.socket(fileno=os.dup(number)) as listening:
            family = listening.family
            if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ListenError(f"file descriptor {number} is a socket that does not listen")
    except OSError as error:
        raise ListenError(f"file descriptor {number} is no socket: {error.strerror}") from error
    return AdoptedStreamServerEndpoint(reactor, number, family)


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


def describe(address: Any) -> str:
    """A bound address as the start-up line names it."""
    host = getattr(address, "host", None)
    if host is None:
        name = getattr(address, "name", None) or b"?"
        return "unix:" + (name.decode("utf-8", "replace") if isinstance(name, bytes) else name)
    return f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}"
