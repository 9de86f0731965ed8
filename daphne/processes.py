"""``--processes N``: the parent that binds the sockets and keeps N children that serve them.

The parent imports no reactor and none of the application. It binds, starts children with the
sockets (``daphne.child``), and does what signals ask for:

- A child that dies is replaced: at once if it had served for a while, else after a delay that
  grows. No client is refused meanwhile, because the parent holds the sockets.
- SIGHUP starts as many new children. Once all of them are ready, the old ones are told to stop; if
  one of the new ones does not come up, all of those end, and the old ones go on.
- SIGTERM and SIGINT have all children stop in order, a second one at once.

Each child has a line to its parent, a pair of sockets. The child says by it that it listens, then
that it is ready, as its layer has answered; the parent says that it shall stop. Its end means that
the other side is gone: children whose parent was killed stop in order.
"""

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from channels.children import ending, sentence, waking
from channels.outage import Backoff
from channels.readiness import Readiness
from daphne.binding import Sockets
from daphne.exit_codes import ExitCode

__all__ = ["ABORT", "READY", "STOP", "Processes"]

logger = logging.getLogger("daphne.processes")

#: What the parent says on the line: stop in order, stop at once.
STOP, ABORT = b"s", b"a"

#: What a child says second, after what it says when it listens.
READY = "ready"

#: Seconds after which a child that served is sound, so that its successor need not wait.
_SOUND_AFTER = 10.0

#: Seconds that the children of a new generation have to come up.
_START_TIMEOUT = 60.0

#: Seconds after a second signal in which a child may end by itself.
_KILL_AFTER = 5.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class _Child:
    """A child as its parent sees it."""

    def __init__(self, number: int, popen: "subprocess.Popen[bytes]", line: socket.socket) -> None:
        #: Its number among those of its generation.
        self.number = number
        self.popen = popen
        self.line = line
        self.started = time.monotonic()
        #: What it said when it listened; None before.
        self.said: str | None = None
        #: Whether its layer has answered as well.
        self.ready = False
        self._heard = b""

    def hear(self) -> bool:
        """Read what it says; False at the end of the line."""
        try:
            data = self.line.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard += data
        said, *more = self._heard.decode("utf-8", "replace").split("\n")
        if more:
            self.said = said.strip()
            self.ready = READY in more[:-1]
        return bool(data)

    def tell(self, word: bytes) -> None:
        """Tell it to stop. One that does not listen yet has nothing to finish, and is ended."""
        try:
            self.line.send(word)
        except OSError:
            pass  # it is gone
        if self.said is None:
            self.popen.terminate()


class Processes:
    """The children of one command."""

    def __init__(
        self, count: int, args: Sequence[str], sockets: Sockets, readiness: Readiness | None = None
    ) -> None:
        """``args`` are the command's; the children read all options again.

        ``readiness`` is told when all children are ready, when others take over, and at the end.
        """
        self._count = count
        self._readiness = readiness or Readiness(environ={})
        self._args = [*args]
        self._sockets = sockets
        self._selector = selectors.DefaultSelector()
        self._serving: list[_Child] = []
        #: The next generation, until all of it listens.
        self._coming: list[_Child] = []
        #: Those that were told to stop.
        self._leaving: list[_Child] = []
        #: When to start successors of children that died.
        self._restarts: list[float] = []
        self._delays = Backoff()
        self._came_up = False
        self._stopping = False
        #: Whether another SIGHUP came before the last one was done with.
        self._again = False
        self._coming_until = self._kill_at = float("inf")
        self._code = int(ExitCode.STOPPED)

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        with waking(self._selector, _SIGNALS, self._signalled):
            self._serving = [self._start(number) for number in range(self._count)]
            while self._serving or self._coming or self._leaving or self._restarts:
                self._turn()
        return self._code

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        for child in [*self._serving, *self._coming, *self._leaving]:
            if child.popen.poll() is not None:
                self._ended(child, child.popen.returncode)
        self._look_at_the_time()

    def _patience(self) -> float | None:
        """Seconds until something is due."""
        due = min([*self._restarts, self._coming_until, self._kill_at])
        return None if due == float("inf") else max(0.0, due - time.monotonic())

    def _look_at_the_time(self) -> None:
        now = time.monotonic()
        for due in [due for due in self._restarts if due <= now]:
            self._restarts.remove(due)
            self._restart()
        if now >= self._coming_until:
            self._give_up_coming(f"they were not ready within {_START_TIMEOUT:.0f} s")
        if now >= self._kill_at:
            self._kill_at = float("inf")
            for child in [*self._serving, *self._coming, *self._leaving]:
                child.popen.kill()

    # -- signals ----------------------------------------------------------------------------------

    def _signalled(self, reading: int) -> None:
        for number in os.read(reading, 1024):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(signal.Signals(number).name)
            elif number == signal.SIGHUP:
                self._replace()

    def _stop(self, name: str) -> None:
        if self._stopping:
            logger.warning("%s again: stopping at once", name)
            self._kill_at = time.monotonic() + _KILL_AFTER
            self._tell_all(ABORT)
            return
        logger.info("%s: stopping", name)
        self._end_all()

    def _end_all(self) -> None:
        """Have all children stop, and start no more."""
        self._stopping = True
        self._readiness.stopping()
        self._again = False
        self._coming_until = float("inf")
        self._restarts.clear()
        self._sockets.close()
        self._tell_all(STOP)

    def _tell_all(self, word: bytes) -> None:
        for child in [*self._serving, *self._coming, *self._leaving]:
            child.tell(word)

    # -- children ---------------------------------------------------------------------------------

    def _start(self, number: int) -> _Child:
        """Start a child. Raises ``OSError`` where the system has nothing left for it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        handed_over = {"line": theirs.fileno(), **self._sockets.inherited(number)}
        try:
            popen = subprocess.Popen(
                [sys.executable, "-m", "daphne.child", json.dumps(handed_over), *self._args],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *self._sockets.numbers(number)],
                process_group=0,  # a Ctrl-C of the terminal is for the parent, which passes it on
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        child = _Child(number, popen, ours)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._heard(child))
        return child

    def _restart(self) -> None:
        """Start the successor of a child that died; later, where that cannot be done now."""
        taken = {child.number for child in self._serving}
        try:
            self._serving.append(self._start(min(set(range(self._count)) - taken)))
        except OSError as error:  # too little memory, too many processes or files
            delay = self._delays.next_delay()
            logger.error("No process can be started (%s); trying again in %.1f s", error, delay)
            self._restarts.append(time.monotonic() + delay)

    def _heard(self, child: _Child) -> None:
        listened, was_ready = child.said is not None, child.ready
        if not child.hear():
            self._selector.unregister(child.line)
        if child.said is not None and not listened:
            self._listens(child)
        if child.ready and not was_ready:
            self._is_ready(child)

    def _listens(self, child: _Child) -> None:
        """A child has said that it listens."""
        if self._stopping:
            child.tell(STOP)
        elif child in self._coming:
            pass  # until it is ready as well
        elif self._came_up:
            logger.info("Process %d serves", child.popen.pid)
        elif all(one.said is not None for one in self._serving):
            self._up()

    def _is_ready(self, child: _Child) -> None:
        """The layer of a child that listens has answered."""
        if self._stopping:
            return
        if child in self._coming and all(one.ready for one in self._coming):
            self._take_over()
        elif child in self._serving and not self._coming:
            self._tell_if_ready()

    def _tell_if_ready(self) -> None:
        """Tell that the children are ready that serve, if all of them are."""
        if len(self._serving) == self._count and all(one.ready for one in self._serving):
            self._readiness.ready(f"{self._serving[0].said}; {self._named(self._serving)}")

    def _up(self) -> None:
        """All children of the first generation listen."""
        self._came_up = True
        logger.info("%s; %s", self._serving[0].said, self._named(self._serving))
        if self._again:
            self._replace()

    def _ended(self, child: _Child, code: int) -> None:
        if child.line in self._selector.get_map():
            self._selector.unregister(child.line)
        child.line.close()
        for group in (self._serving, self._coming, self._leaving):
            if child in group:
                group.remove(child)
                break
        how = f"process {child.popen.pid} ended with {ending(code)}"
        if self._stopping or group is self._leaving:
            self._left(code, how)
        elif group is self._coming:
            self._give_up_coming(how)
        elif not self._came_up:
            logger.error("Not started: %s before it listened", how)
            self._code = code if code > 0 else ExitCode.FAILED
            self._end_all()
        else:
            self._died(child, how)

    def _left(self, code: int, how: str) -> None:
        """A child that was told to stop has ended."""
        if code in (0, -signal.SIGTERM):
            logger.debug("%s, as told", sentence(how))
            return
        logger.warning("%s instead of 0", sentence(how))
        if self._stopping and self._code == ExitCode.STOPPED:
            self._code = ExitCode.CUT_SHORT

    def _died(self, child: _Child, how: str) -> None:
        sound = child.said is not None and time.monotonic() - child.started > _SOUND_AFTER
        if sound:
            self._delays.reset()
        delay = 0.0 if sound else self._delays.next_delay()
        logger.error("%s; another one takes its place in %.1f s", sentence(how), delay)
        self._restarts.append(time.monotonic() + delay)

    # -- the next generation ----------------------------------------------------------------------

    def _replace(self) -> None:
        """Start new children that are to take over."""
        if self._stopping:
            return
        if self._coming or not self._came_up:
            self._again = True
            return
        self._again = False
        self._readiness.reloading()
        logger.info("SIGHUP: starting %d new process(es)", self._count)
        self._coming_until = time.monotonic() + _START_TIMEOUT
        try:
            for number in range(self._count):
                self._coming.append(self._start(number))
        except OSError as error:
            self._give_up_coming(f"they cannot be started: {error}")

    def _take_over(self) -> None:
        """The new ones are ready: the old ones stop, and nobody was refused in between."""
        for child in self._serving:
            child.tell(STOP)
        self._leaving += self._serving
        self._serving, self._coming = self._coming, []
        self._coming_until = float("inf")
        self._restarts.clear()
        self._delays.reset()
        logger.info("%s took over; the old ones finish", sentence(self._named(self._serving)))
        self._tell_if_ready()
        if self._again:
            self._replace()

    def _give_up_coming(self, why: str) -> None:
        logger.error("The new processes did not come up (%s); the old ones go on serving", why)
        for child in self._coming:
            child.tell(STOP)
        self._leaving += self._coming
        self._coming = []
        self._coming_until = float("inf")
        self._tell_if_ready()
        if self._again:  # what was wrong may have been mended since
            self._replace()

    def _named(self, children: Sequence[_Child]) -> str:
        return "processes " + ", ".join(str(child.popen.pid) for child in children)
