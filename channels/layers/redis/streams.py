"""Connections in an event loop, whichever that is: commands leave soon, replies come in order.

No byte is waited for in here. ``Loop`` is what Twisted's reactor and asyncio's loop have in common.
"""

import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from channels._speedups import resp
from channels.exceptions import LayerUnavailable
from channels.layers.redis.connection import Connection, Reply
from channels.layers.redis.outbox import Outbox, PushHead, shares

__all__ = ["Answer", "Cancellable", "Loop", "Stream"]

#: Called with a reply of the server, which may be an error that it replied, or with the failure
#: that is why none will come.
Answer = Callable[[Reply], object]

#: What a socket that does not block raises where it would.
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

#: Bytes that are waiting to be written before the server counts as dead.
_MOST_WAITING = 256 * 1024 * 1024


class Cancellable(Protocol):
    """A call that was put off."""

    def cancel(self) -> object:
        """Have it not happen."""


class Loop(Protocol):
    """An event loop."""

    def watch(self, stream: "Stream") -> None:
        """Call ``stream.readable()`` when it is."""

    def unwatch(self, stream: "Stream") -> None:
        """Call neither that nor ``writable`` any more."""

    def watch_writes(self, stream: "Stream", watch: bool) -> None:
        """Call ``stream.writable()`` when it is, or no longer."""

    def later(self, seconds: float, function: Callable[[], object]) -> Cancellable:
        """Call a function after some time."""

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function in the loop; may itself be called by any thread."""

    def in_thread(self, function: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Call a function that blocks in a thread, and ``done`` in the loop.

        ``done`` gets what it returned or raised.
        """


class _Shared:
    """The answers of pushes that were one call."""

    __slots__ = ("answers",)

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers

    def __call__(self, reply: Reply) -> None:
        """Tell each push whether there was room, as ``shares`` says."""
        for answer, share in zip(self.answers, shares(reply, len(self.answers)), strict=True):
            answer(share)


class Stream:
    """A connection whose replies go to the callbacks of its commands."""

    __slots__ = (
        *("_answers", "_is_stuck", "_loop", "_out", "_outbox"),
        *("connection", "is_open", "lost", "reader", "since"),
    )

    def __init__(self, loop: Loop, connection: Connection, lost: Callable[["Stream"], object]):
        self.connection = connection
        self.is_open = True
        #: Called when the connection is gone.
        self.lost = lost
        #: Where the loop keeps what it needs for this stream.
        self.reader: Any = None
        #: When the oldest command that has no reply was sent, as a ``time.monotonic()``.
        self.since = 0.0
        self._loop = loop
        self._answers: deque[Answer] = deque()
        #: Commands that were not written yet; there are none where no reply is awaited.
        self._outbox = Outbox()
        #: What was taken out of it, and not by the socket.
        self._out = bytearray()
        #: Whether that waits for the socket to be writable.
        self._is_stuck = False
        connection.sock.setblocking(False)
        loop.watch(self)

    @property
    def is_idle(self) -> bool:
        """Whether no reply is awaited."""
        return not self._answers

    def send(self, frame: bytes, answer: Answer) -> None:
        """Write a command; ``answer`` is called with its reply.

        It leaves at once where no reply is awaited, else with all others that came since, when the
        next reply is there: one system call, at either end, for as many commands as are sent in the
        time that one takes.
        """
        if self._may_send(answer):
            self._outbox.command(frame)
            self._answers.append(answer)
            self._sent()

    def push(self, head: PushHead, tail: bytes, answer: Answer) -> None:
        """Write the script call that pushes ``tail``, as the last argument after ``head``.

        The same as ``send``; calls to one queue that wait become one.
        """
        if not self._may_send(answer):
            return
        if not self._outbox.push(head, tail):
            self._answers.append(answer)
        elif isinstance(self._answers[-1], _Shared):
            self._answers[-1].answers.append(answer)
        else:
            self._answers[-1] = _Shared([self._answers[-1], answer])
        self._sent()

    def _may_send(self, answer: Answer) -> bool:
        if not self.is_open:
            answer(LayerUnavailable(f"the connection to {self.connection.endpoint.text} is gone"))
        return self.is_open

    def _sent(self) -> None:
        """A command was put into the outbox."""
        if len(self._answers) == 1:
            self.since = time.monotonic()
            self._write()
        elif len(self._out) + len(self._outbox) > _MOST_WAITING:
            self.lose(TimeoutError())

    def _write(self) -> None:
        self._out += self._outbox.take()
        try:
            sent = self.connection.sock.send(self._out)
        except _NOT_YET:
            sent = 0
        except OSError as error:
            self.lose(error)
            return
        del self._out[:sent]
        if self._is_stuck is not bool(self._out):
            self._is_stuck = not self._is_stuck
            self._loop.watch_writes(self, self._is_stuck)

    def writable(self) -> None:
        """Write on."""
        self._write()

    def readable(self) -> None:
        """Hand out the replies that are complete, and write what waited for them."""
        failure: Exception | None = None
        try:
            self.connection.gather()
        except OSError as error:
            failure = error  # after the replies that came before
        try:
            self._hand_out()
        except (OSError, resp.ProtocolError) as error:
            failure = error
        if failure is not None:
            self.lose(failure)
        if self._outbox and self.is_open and not self._is_stuck:
            self._write()

    def _hand_out(self) -> None:
        answers = self._answers
        while self.is_open and (reply := self.connection.gathered()) is not False:
            if not answers:
                raise ConnectionResetError("the server sent what nobody asked for")
            answer = answers.popleft()
            if answers:
                self.since = time.monotonic()
            answer(reply)

    def lose(self, error: Exception) -> None:
        """Close it; the callbacks that wait get the failure."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.unwatch(self)
        failure = self.connection.lost(error)
        self.lost(self)
        answers, self._answers = self._answers, deque()
        for answer in answers:
            answer(failure)

    def release(self) -> None:
        """Give an idle connection back to those who block."""
        self.is_open = False
        self._loop.unwatch(self)
        self.connection.endpoint.give_back_unblocked(self.connection)
