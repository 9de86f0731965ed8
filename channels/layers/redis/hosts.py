"""The argument ``hosts``: where servers are, in each of its spellings, as arguments of redis-py."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import redis.connection

__all__ = ["DEFAULT_PORT", "Address", "parse_host", "parse_hosts"]

DEFAULT_PORT = 6379

#: Seconds that connecting may take, and that a reply may take, where nothing else is said.
_TIMEOUT = 5.0

#: Seconds without which a reply counts as lost at the least: blocking pops are renewed in such
#: intervals.
_LEAST_TIMEOUT = 5.0


class Address(NamedTuple):
    """One server."""

    #: What errors call it; holds no password.
    text: str
    #: redis-py's kind of connection: TCP, TLS or unix socket.
    kind: type[Any]
    #: redis-py's arguments for it.
    arguments: dict[str, Any]

    def but(self, host: str, port: int) -> "Address":
        """The same way of connecting, to another host."""
        arguments = {**self.arguments, "host": host, "port": port}
        arguments.pop("path", None)
        return Address(f"{host}:{port}", self.kind, arguments)


def parse_hosts(
    hosts: Collection[Any] | None, connection_kwargs: Mapping[str, Any] | None = None
) -> list[Address]:
    """The servers of ``hosts``; None stands for the one on this machine.

    ``connection_kwargs`` are arguments of redis-py's connections that hold for each of them. Raises
    ``ValueError`` for what is no host, and for a ``socket_timeout`` below 5 seconds.
    """
    if isinstance(hosts, str | bytes):
        raise ValueError(f"hosts must be a list of servers, as in [{hosts!r}], not one str")
    if hosts is None:
        hosts = [("localhost", DEFAULT_PORT)]
    if not hosts:
        raise ValueError("hosts must name one server at least")
    shared = {"socket_timeout": _TIMEOUT, **(connection_kwargs or {})}
    _check_timeout(shared["socket_timeout"])
    return [parse_host(host, shared) for host in hosts]


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and timeout < _LEAST_TIMEOUT:
        raise ValueError(
            f"socket_timeout must be {_LEAST_TIMEOUT:.0f} seconds or more, not {timeout!r}: "
            "blocking receives are renewed in such intervals"
        )


def parse_host(host: Any, shared: Mapping[str, Any]) -> Address:
    """One server: a URL, a pair of host and port, or a dict of redis-py's arguments."""
    if isinstance(host, str):
        arguments = _from_url(host)
    elif isinstance(host, tuple | list) and len(host) == 2:
        arguments = {"host": host[0], "port": int(host[1])}
    elif isinstance(host, Mapping):
        arguments = dict(host)
        if "address" in arguments:
            arguments |= parse_host(arguments.pop("address"), {}).arguments
    else:
        raise ValueError(
            f"{host!r} is no server: give a URL such as 'redis://localhost:6379/0', a pair of host "
            "and port, or a dict of redis-py's connection arguments"
        )
    arguments = {**shared, **arguments}
    _check_timeout(arguments.get("socket_timeout"))
    return _address(arguments)


def _from_url(url: str) -> dict[str, Any]:
    try:
        arguments: dict[str, Any] = dict(redis.connection.parse_url(url))
    except ValueError as error:
        # without the URL, which may hold a password
        raise ValueError(f"a URL in hosts is not one of a Redis server: {error}") from None
    return arguments


def _address(arguments: dict[str, Any]) -> Address:
    kind = arguments.pop("connection_class", None)
    if arguments.pop("ssl", False):
        kind = redis.connection.SSLConnection
    if "path" in arguments or "unix_socket_path" in arguments:
        path = arguments.pop("unix_socket_path", None) or arguments["path"]
        arguments["path"] = path
        return Address(str(path), redis.connection.UnixDomainSocketConnection, arguments)
    arguments.setdefault("host", "localhost")
    arguments.setdefault("port", DEFAULT_PORT)
    text = f"{arguments['host']}:{arguments['port']}"
    return Address(text, kind or redis.connection.Connection, arguments)
