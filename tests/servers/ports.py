"""Free TCP ports, and who listens already."""

import secrets
import socket
from pathlib import Path

__all__ = ["PORTS", "free_port", "listens"]

#: Below the ports that the system gives to clients (ip_local_port_range in ip(7)): nobody is given
#: one of these before a server listens on it, nor while that server is stopped for a while.
PORTS = range(10_240, 32_768)


def free_port(ports: range = PORTS) -> int:
    """A port of the loopback interface on which nothing listens now."""
    while True:
        port = secrets.choice(ports)
        with socket.socket() as probe:
            if _binds(probe, port):
                return port


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def listens(address: int | Path) -> bool:
    """Whether something accepts connections on a port, or a unix socket: its file comes earlier."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    target = ("127.0.0.1", address) if isinstance(address, int) else str(address)
    with socket.socket(family) as probe:
        return probe.connect_ex(target) == 0
