"""The blocking commands of one wait of a thread, and the pipe by which others end it.

``blocking`` says what is waited for.
"""

import math
import os
import select
import time
from collections.abc import Iterator

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Connection, Reply
from channels.layers.redis.listening import BLOCK_SECONDS
from channels.layers.redis.shards import Shard
from channels.layers.waiting import Waiter

__all__ = ["Commands"]

#: Seconds until CLIENT UNBLOCK is sent again where it came before the command that it is to end, at
#: first and at last.
_SOON, _LATER = 0.0005, 0.01


class Wakeup(Waiter):
    """The pipe of one wait."""

    __slots__ = ("_reading", "_writing")

    def __init__(self) -> None:
        super().__init__()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        """The descriptor that is readable once it was notified."""
        return self._reading

    def notify(self) -> bool:
        """Write to the pipe; takes no lock."""
        try:
            os.write(self._writing, b"!")
        except BlockingIOError:
            pass  # full of calls that nobody has seen yet
        return True

    def clear(self) -> None:
        """Forget the calls so far."""
        try:
            os.read(self._reading, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reading)
        os.close(self._writing)


class Commands:
    """Blocking commands, one for each shard at most; used again for wait after wait.

    The connections stay with it, so that they need to be registered for polling only once.
    """

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        #: The shards whose command is blocked, and when each is given up (``time.monotonic()``).
        self.blocked: dict[Shard, float] = {}
        self._connections: dict[Shard, Connection] = {}
        self._shards: dict[int, Shard] = {}
        self._ready: list[tuple[int, int]] = []
        self._poll = select.poll()
        self._poll.register(self.wakeup, select.POLLIN)

    def quick(self, shard: Shard, frame: bytes, deadline: float) -> Reply:
        """Send the only blocking command; its reply, if that comes undisturbed until ``deadline``.

        None in any other case; the command is then blocked, or its connection given up.
        """
        connection = self._connections.get(shard)
        if connection is None or connection.endpoint is not shard.endpoint():
            return None
        self.blocked[shard] = time.monotonic() + BLOCK_SECONDS + connection.endpoint.timeout
        try:
            connection.write(frame)
        except LayerUnavailable as error:
            self._broke(shard, error)
            return None
        return self.quick_reply(shard, deadline)

    def is_ready_for(self, shard: Shard) -> bool:
        """Whether there is a connection to the shard that can be expected to work."""
        connection = self._connections.get(shard)
        return (
            connection is not None
            and connection.endpoint is shard.endpoint()
            and connection.is_sound()
        )

    def join(self, shard: Shard, frame: bytes, blocking: bytes) -> Reply:
        """Send a command, and in the same write the only blocking one; the reply to the first.

        To be called where ``is_ready_for``. Raises ``LayerUnavailable``; none is blocked then.
        """
        connection = self._connections[shard]
        self.blocked[shard] = time.monotonic() + BLOCK_SECONDS + connection.endpoint.timeout
        try:
            connection.write(frame + blocking)
            return connection.read()
        except BaseException as error:
            self._broke(shard, error)
            raise

    def push(self, shard: Shard, frame: bytes) -> None:
        """Send a command whose reply is left to ``answers``.

        To be called where ``is_ready_for``. Raises ``LayerUnavailable``.
        """
        connection = self._connections.get(shard)
        if connection is None:
            raise LayerUnavailable("the connection broke; it is made anew with the next use")
        try:
            connection.write(frame)
        except BaseException as error:
            self._broke(shard, error)
            raise

    def answers(self, shard: Shard, number: int) -> list[Reply | LayerUnavailable]:
        """The replies to ``push``, in order, or why there are none."""
        found: list[Reply | LayerUnavailable] = []
        connection = self._connections.get(shard)
        failure = LayerUnavailable(
            "the connection broke before the answer; whether it did what was asked is not known"
        )
        if connection is not None:
            try:
                while len(found) < number:
                    found.append(connection.read())
                connection.used_at = time.monotonic()
            except BaseException as error:
                self._broke(shard, error)
                if not isinstance(error, LayerUnavailable):
                    raise
                failure = error
        return found + [failure] * (number - len(found))

    def _broke(self, shard: Shard, error: BaseException) -> None:
        """Give up a connection on which an exchange did not come to its end."""
        if isinstance(error, LayerUnavailable):
            shard.failed(error)
        self._forget(shard)

    def quick_reply(self, shard: Shard, deadline: float) -> Reply:
        """The reply to the only blocking command, which was sent; see ``quick``."""
        if not self._connections[shard].has_buffered():
            now = time.monotonic()
            given_up = self.blocked[shard]
            left = (deadline if deadline < given_up else given_up) - now
            # a negative time would mean: for ever
            ready = self._ready = self._poll.poll(left * 1000 if left > 0 else 0)
            if len(ready) != 1 or self._shards.get(ready[0][0]) is not shard:
                return None
        reply = self._reply(shard)
        if isinstance(reply, LayerUnavailable):
            shard.failed(reply)
            return None
        return reply

    def start(self, shard: Shard, frame: bytes) -> None:
        """Send a blocking command."""
        connection = self._connections.get(shard)
        if (
            connection is None
            or connection.endpoint is not shard.endpoint()
            or not connection.is_sound()
        ):
            connection = self._connect(shard)
        self.blocked[shard] = time.monotonic() + BLOCK_SECONDS + connection.endpoint.timeout
        try:
            connection.write(frame)
        except LayerUnavailable:
            self._forget(shard)
            raise

    def _connect(self, shard: Shard) -> Connection:
        self._forget(shard)
        connection = self._connections[shard] = shard.take()
        descriptor = connection.fileno()
        self._shards[descriptor] = shard
        self._poll.register(descriptor, select.POLLIN)
        return connection

    def wait(self, deadline: float) -> None:
        """Block until a reply comes, or an interruption, or ``deadline``."""
        left = min((deadline, *self.blocked.values())) - time.monotonic()
        self._ready = self._polled(math.ceil(left * 1000) if left > 0 else 0)

    def _polled(self, milliseconds: float) -> list[tuple[int, int]]:
        """The descriptors that are ready; waits for one."""
        buffered = [
            (self._connections[shard].fileno(), select.POLLIN)
            for shard in self.blocked
            if self._connections[shard].has_buffered()
        ]
        return buffered or self._poll.poll(milliseconds)

    def replies(self) -> Iterator[tuple[Shard, Reply | LayerUnavailable]]:
        """The replies that are there, or why there will be none."""
        for descriptor, _ in self._ready:
            shard = self._shards.get(descriptor)
            if shard is None:
                self.wakeup.clear()
            elif shard in self.blocked:
                yield shard, self._reply(shard)
            else:
                self._forget(shard)  # an idle connection has come to its end
        if not self._ready:
            now = time.monotonic()
            for shard in [shard for shard, given_up in self.blocked.items() if given_up <= now]:
                failure = self._connections[shard].lost(TimeoutError())
                self._forget(shard)
                yield shard, failure

    def _reply(self, shard: Shard) -> Reply | LayerUnavailable:
        connection = self._connections[shard]
        try:
            reply = connection.read()
        except LayerUnavailable as error:
            self._forget(shard)
            return error
        connection.used_at = time.monotonic()
        del self.blocked[shard]
        if isinstance(reply, resp.ReplyError):
            if shard.redirected(reply, 0):
                return None
            return connection.endpoint.refused(reply)
        return reply

    def _forget(self, shard: Shard) -> None:
        """Close the connection to a shard, if there is one."""
        self.blocked.pop(shard, None)
        connection = self._connections.pop(shard, None)
        if connection is None:
            return
        descriptor = next(one for one, of in self._shards.items() if of is shard)
        del self._shards[descriptor]
        self._poll.unregister(descriptor)
        connection.close()

    def end(self) -> list[tuple[Shard, Reply]]:
        """Have no command blocked any more; what they gave in the last moment."""
        found = []
        pause = 0.0
        while self.blocked:
            try:
                self._ready = self._polled(pause * 1000)
                for shard, reply in self.replies() if self._ready else ():
                    if isinstance(reply, LayerUnavailable):
                        shard.failed(reply)
                    elif reply is not None:
                        found.append((shard, reply))
                self._unblock()
            except BaseException:
                self.close_connections()
                raise
            pause = min(pause * 2 or _SOON, _LATER)
        return found

    def _unblock(self) -> None:
        """Tell the servers to end the commands, all before any of them answers."""
        asked = []
        for shard in list(self.blocked):
            connection = self._connections[shard]
            try:
                other = connection.endpoint.take()
                other.write(resp.pack(("CLIENT", "UNBLOCK", connection.client_id)))
                asked.append((shard, other))
            except LayerUnavailable as error:
                self._broke(shard, error)
        for shard, other in asked:
            try:
                other.read()
                other.endpoint.give_back(other)
            except LayerUnavailable as error:
                self._broke(shard, error)

    def close_connections(self) -> None:
        """Close the connections; new ones are made when needed."""
        for shard in list(self._connections):
            self._forget(shard)

    def close(self) -> None:
        """Close everything."""
        self.close_connections()
        self.wakeup.close()
