"""Free TCP ports."""

import secrets
import socket

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


def listens(port: int) -> bool:
    """Whether something accepts connections on ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
