"""Connections to one server: redis-py makes them (TLS, AUTH, time-outs), then the socket is ours.

A connection on which an exchange did not come to its end, for whatever reason, is closed and never
used again, so that no reply can reach another command.
"""

import re
import select
import socket
import ssl
import struct
import time
from typing import Any

import redis.exceptions

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.hosts import Address
from channels.layers.redis.scripts import SCRIPTS

__all__ = ["LEAST_VERSION", "Connection", "Endpoint", "NotDone", "Reply", "error_code"]

#: What a command gives: bytes, int, None, lists of these, or an error of the server.
Reply = Any

#: LPOP with a count is of this version.
LEAST_VERSION = (6, 2)

#: BLMPOP is of this version.
_BLMPOP_VERSION = (7, 0)

#: Bytes of one read. Larger buffers cost more than the calls that they save.
_BUFFER_SIZE = 65536

#: Seconds of silence after which the system probes whether the other side is there.
_KEEPALIVE = 30


#: Seconds after its last use for which an idle connection is trusted without a look.
_TRUSTED_FOR = 0.01


class NotDone(LayerUnavailable):
    """The server cannot be reached, or refused: nothing was done, and another one may be asked."""


class Connection:
    """One connection, for one thread at a time. ``Endpoint.connect`` makes it."""

    __slots__ = (
        "_buffer",
        "_poll",
        "_reader",
        "client_id",
        "endpoint",
        "is_tls",
        "sock",
        "used_at",
    )

    def __init__(self, endpoint: "Endpoint", sock: socket.socket) -> None:
        self.endpoint = endpoint
        self.sock = sock
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        #: The server's number of it, for CLIENT UNBLOCK.
        self.client_id = 0
        #: When its latest exchange ended, as a ``time.monotonic()``.
        self.used_at = time.monotonic()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._reader = resp.Reader()
        self._buffer = bytearray(_BUFFER_SIZE)

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self.sock.fileno()

    def exchange(self, frame: bytes) -> Reply:
        """Send one command; its reply. Raises ``LayerUnavailable``; then the connection is gone."""
        try:
            self.sock.sendall(frame)
            return self._receive()
        except (OSError, resp.ProtocolError) as error:
            raise self.lost(error) from error
        except BaseException:
            self.close()
            raise

    def write(self, frames: bytes) -> None:
        """Send commands whose replies are read later."""
        try:
            self.sock.sendall(frames)
        except (OSError, resp.ProtocolError) as error:
            raise self.lost(error) from error
        except BaseException:
            self.close()
            raise

    def read(self) -> Reply:
        """The next reply."""
        try:
            return self._receive()
        except (OSError, resp.ProtocolError) as error:
            raise self.lost(error) from error
        except BaseException:
            self.close()
            raise

    def _receive(self) -> Reply:
        reader = self._reader
        while (reply := reader.gets()) is False:
            size = self.sock.recv_into(self._buffer)
            if not size:
                raise ConnectionResetError("the server closed the connection")
            reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]  # takes any buffer
        return reply

    def gather(self) -> None:
        """Read what came, without waiting, for ``gathered``. For sockets that do not block.

        One call of the system suffices: an event loop tells again of what is left in the socket.
        Nobody tells of what TLS has taken out of it, so that is read to its end.
        """
        while True:
            try:
                size = self.sock.recv_into(self._buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not size:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]  # takes any buffer
            if not self.is_tls:
                return

    def gathered(self) -> Reply:
        """The next reply of those that were read; False where it is not complete."""
        return self._reader.gets()

    def has_buffered(self) -> bool:
        """Whether bytes are here already that polling the descriptor would not tell of."""
        return self._reader.has_data() or (
            isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        )

    def is_sound(self) -> bool:
        """Whether an idle connection may be used: nothing came on it, no end and no reply."""
        return time.monotonic() - self.used_at < _TRUSTED_FOR or not self._poll.poll(0)

    def lost(self, error: Exception) -> LayerUnavailable:
        """Close it; what to raise where ``error`` came in an exchange."""
        self.close()
        self.endpoint.failures += 1
        if isinstance(error, TimeoutError | BlockingIOError | ssl.SSLWantReadError):
            return LayerUnavailable(
                f"Redis at {self.endpoint.text} did not answer within {self.endpoint.timeout:g} s; "
                "whether it did what was asked is not known. See whether it hangs or is overloaded"
            )
        return LayerUnavailable(
            f"the connection to Redis at {self.endpoint.text} broke ({error}); whether it did what "
            "was asked is not known. It is made anew with the next use"
        )

    def close(self) -> None:
        """Close the descriptor; the server sees the end of the connection."""
        self.sock.close()


class Endpoint:
    """One server, and the idle connections to it. Safe to use from several threads."""

    def __init__(self, address: Address) -> None:
        self.address = address
        #: Seconds that a reply may take.
        self.timeout = float(address.arguments.get("socket_timeout") or 86400)
        #: Milliseconds that the server's clock is ahead of our monotonic one.
        self.clock_offset = 0.0
        #: The identity of the server process; another one has forgotten scripts, and maybe data.
        self.run_id = ""
        self.version: tuple[int, ...] = (0,)
        #: Connections that broke, or could not be made; who looks servers up looks again then.
        self.failures = 0
        self._idle: list[Connection] = []
        self._loaded_for = ""

    @property
    def text(self) -> str:
        """What errors call it."""
        return self.address.text

    @property
    def has_blmpop(self) -> bool:
        """Whether the server knows BLMPOP."""
        return self.version >= _BLMPOP_VERSION

    def now(self) -> float:
        """The server's time, in milliseconds, as well as we know it."""
        return time.monotonic() * 1000 + self.clock_offset

    def set_clock(self, server_ms: float) -> None:
        """Note what the server's time is now."""
        self.clock_offset = server_ms - time.monotonic() * 1000

    # Commands

    def call(self, frame: bytes) -> Reply:
        """The reply to one command, which may be an error of the server.

        Raises ``LayerUnavailable`` where none came.
        """
        connection = self.take()
        reply = connection.exchange(frame)
        if type(reply) is resp.ReplyError and str(reply).startswith("NOSCRIPT"):
            self._load_scripts(connection)
            reply = connection.exchange(frame)
        self.give_back(connection)
        return reply

    def take(self) -> Connection:
        """A connection that nobody else uses; ``give_back`` or ``close`` it."""
        idle = self._idle
        while idle:
            try:
                connection = idle.pop()
            except IndexError:
                break  # another thread was quicker
            if connection.is_sound():
                return connection
            connection.close()
        return self.connect()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection on which no reply is outstanding, for the next user."""
        connection.used_at = time.monotonic()
        self._idle.append(connection)

    def give_back_unblocked(self, connection: Connection) -> None:
        """The same for a connection that an event loop has used."""
        self._set_timeouts(connection.sock)
        self.give_back(connection)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    # Connecting

    def connect(self) -> Connection:
        """A new connection. Blocks; raises ``LayerUnavailable``."""
        try:
            connection = Connection(self, self._socket())
        except LayerUnavailable:
            self.failures += 1
            raise
        try:
            self._greet(connection)
        except BaseException:
            self.failures += 1
            connection.close()
            raise
        return connection

    def _socket(self) -> socket.socket:
        arguments = {
            "socket_connect_timeout": self.timeout,
            **self.address.arguments,
            "protocol": 2,
        }
        maker = self.address.kind(**arguments)
        try:
            maker.connect()
        except (redis.exceptions.RedisError, OSError) as error:
            raise self.unavailable(error) from error
        # The one place that takes redis-py's socket; without it, nothing closes the connection but
        # us. Notifications of maintenance are off: only redis-py's pools turn them on.
        sock: socket.socket = maker._sock
        maker._sock = None
        self._set_timeouts(sock)
        return sock

    def _set_timeouts(self, sock: socket.socket) -> None:
        if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(self.timeout)
        else:
            # The system keeps the time, which spares a call of poll() for each read.
            sock.settimeout(None)
            span = struct.pack("ll", int(self.timeout), int(self.timeout % 1 * 1e6))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)

    def _greet(self, connection: Connection) -> None:
        """Learn who the server is, and have it know the scripts."""
        connection.write(_GREETING)
        replies = [connection.read() for _ in range(3)]
        for reply in replies:
            if isinstance(reply, resp.ReplyError):
                raise self.refused(reply)
        information, connection.client_id, (seconds, microseconds) = replies
        self.set_clock(int(seconds) * 1000 + int(microseconds) / 1000)
        facts = dict(
            line.split(":", 1) for line in information.decode().splitlines() if ":" in line
        )
        self.version = self._checked_version(facts.get("redis_version", ""))
        self.run_id = facts.get("run_id", "")
        if self._loaded_for != self.run_id:
            self._load_scripts(connection)

    def _checked_version(self, text: str) -> tuple[int, ...]:
        version = tuple(int(part) for part in text.split(".") if part.isdigit())
        if version < LEAST_VERSION:
            least = ".".join(map(str, LEAST_VERSION))
            raise NotDone(
                f"the server at {self.text} is Redis {text or 'of an unknown version'}; channel "
                f"layers need {least} or later, or Valkey: upgrade the server"
            )
        return version

    def _load_scripts(self, connection: Connection) -> None:
        connection.write(b"".join(script.load for script in SCRIPTS))
        for _ in SCRIPTS:
            reply = connection.read()
            if isinstance(reply, resp.ReplyError):
                raise self.refused(reply)
        self._loaded_for = self.run_id

    # Errors

    def unavailable(self, error: Exception) -> NotDone:
        """What to raise where no connection could be made."""
        if isinstance(error, redis.exceptions.AuthenticationError):
            return NotDone(
                f"Redis at {self.text} rejects the user or password ({error}); "
                "correct them in the hosts of this layer"
            )
        if isinstance(error, redis.exceptions.TimeoutError | TimeoutError):
            return NotDone(
                f"Redis at {self.text} did not answer in time while connecting ({error}); "
                "see whether it hangs or a firewall drops the packets"
            )
        if isinstance(error, redis.exceptions.ResponseError):
            return self.refused(error)
        return NotDone(
            f"no connection to Redis at {self.text} ({error}); see whether it runs, and listens "
            "there"
        )

    def refused(self, reply: Exception) -> NotDone:
        """What to raise for an error that the server replied."""
        advice = _ADVICE.get(error_code(reply), "see its log")
        return NotDone(f"Redis at {self.text} refused a command ({reply}); {advice}")


#: How Redis 6.2 tells of an error in a script; later versions tell the error itself.
_IN_SCRIPT = re.compile(r"ERR Error running script .*: -([A-Z]+) ", re.DOTALL)


def error_code(error: Exception) -> str:
    """Which error of the server it is, such as ``OOM``: its first word, or that of an error in a
    script."""
    text = str(error)
    in_script = _IN_SCRIPT.match(text)
    return in_script[1] if in_script else text.partition(" ")[0]


#: What to do about an error of the server, by its code.
_ADVICE = {
    "OOM": "its memory is full: raise maxmemory, or let it hold less",
    "NOAUTH": "it wants a password: name it in the hosts of this layer",
    "WRONGPASS": "it rejects the user or password: correct them in the hosts of this layer",
    "NOPERM": "the user lacks a permission: grant it the keys of the prefix and all commands that "
    "docs/redis.md lists",
    "READONLY": "it is a replica: name the master in hosts, or use RedisSentinelChannelLayer",
    "LOADING": "it is loading its data, and will be there in a moment",
    "MISCONF": "it cannot write its snapshot to disk: give it room, or turn snapshots off",
    "MOVED": "it is part of a cluster: use RedisClusterChannelLayer",
    "CLUSTERDOWN": "its cluster lacks a master: see that each of them, or a replica, works",
    "TRYAGAIN": "a slot of its cluster moves to another node, and takes long",
    "CROSSSLOT": "it is part of a cluster: use RedisClusterChannelLayer",
}

_GREETING = b"".join(
    resp.pack(command) for command in (("INFO", "server"), ("CLIENT", "ID"), ("TIME",))
)
