"""The keeper of a worker process: it replaces the worker, in order or by force.

A worker that has its messages behind it, or takes too much memory, is told to end, and another one
takes its place while it finishes. One that dies is replaced, and the messages that it had in hand
are named. A consumer that runs for too long is ended with its process, since nothing else ends what
hangs: the interpreter's lock may be held, so that no thread of that process runs. What it did goes
to the log first. No other consumer of the process is cut off by that: it takes no more messages,
and is ended when those that run have all been given their time.

The keeper runs no consumer, has no thread, and never touches the layer. The worker's side is in
``kept``. If the keeper is gone, its worker ends in order.
"""

import contextlib
import json
import logging
import os
import re
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from channels.children import ending, sentence, waking
from channels.outage import Backoff
from channels.readiness import Readiness

from .jobs import JobTable, Running
from .kept import DUMP, ENVIRONMENT, LIMIT, READY, STOP
from .limits import Limits

__all__ = ["Keeper", "memory_of"]

logger = logging.getLogger("django.channels")

#: Exit codes: stopped in order; not started; told to stop, but consumers were cut off (as
#: ``daphne.exit_codes`` has them).
_STOPPED, _FAILED, _CUT_SHORT = 0, 1, 3

#: Seconds after which a process that worked is sound, so that its successor need not wait.
_SOUND_AFTER = 10.0

#: Seconds that the loop sleeps at most; systems refuse waits of centuries.
_PATIENCE = 3600.0

#: Seconds between two looks at the memory.
_MEMORY_INTERVAL = 1.0

#: Seconds in which a process that has to end, once it runs no consumer any more, has to be gone. It
#: still sends what the last one has left.
_END_WITHIN = 30.0

#: Seconds in which a process that was told to end takes no more messages. What its other threads
#: have begun until then is theirs to finish.
_HEED_WITHIN = 0.5

#: Seconds in which the stacks of a process that hangs have to be written.
_DUMP_WITHIN = 1.0

#: Seconds in which a further signal is taken as one with the first: terminals and process managers
#: both send one.
_GRACE = 1.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def memory_of(pid: int) -> int:
    """Bytes that a process has for itself, swapped out or not (proc(5), RssAnon and VmSwap).

    0 where it is gone. Raises ``OSError`` where the system does not tell.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/status").exists():
            return 0
        raise
    return 1024 * sum(map(int, re.findall(r"^(?:RssAnon|VmSwap):\s+(\d+) kB", status, re.M)))


class _Child:
    """A worker process as its keeper sees it."""

    def __init__(self, command: Sequence[str], threads: int) -> None:
        """Raises ``OSError`` where the system has nothing left for it."""
        with contextlib.ExitStack() as passed_on, contextlib.ExitStack() as held:
            self.line, theirs = socket.socketpair()
            held.enter_context(self.line)
            passed_on.enter_context(theirs)
            self.line.setblocking(False)
            self.jobs, table = JobTable.make(threads)
            held.callback(self.jobs.close)
            passed_on.callback(os.close, table)
            self._stacks = held.enter_context(tempfile.TemporaryFile())
            descriptors = [theirs.fileno(), table, self._stacks.fileno()]
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**os.environ, ENVIRONMENT: json.dumps(descriptors)},
            )
            self._held = held.pop_all()
        self.pid = self.popen.pid
        self.started = time.monotonic()
        self.is_ready = False
        #: When it had to end, as far as the keeper knows; None while it may work.
        self.left: float | None = None
        #: Since when it has run no consumer, of one that has to end; None where that is not so.
        self.idle: float | None = None

    @property
    def heeds_at(self) -> float:
        """When it takes no more messages, of one that has to end."""
        return float("-inf") if self.left is None else self.left + _HEED_WITHIN

    def hear(self) -> bytes:
        """What it says; nothing where it is gone."""
        try:
            return self.line.recv(1024)
        except OSError:
            return b""

    def tell_to_stop(self) -> None:
        """Have it end in order. One that is not ready has nothing to finish, and is ended."""
        self.left = self.left or time.monotonic()
        with contextlib.suppress(OSError):  # it is gone
            self.line.send(STOP)
        if not self.is_ready:
            self.popen.terminate()

    def kill(self) -> str:
        """End it by force; returns what its threads did, as far as it could say."""
        if self.is_ready:
            self.popen.send_signal(DUMP)
            self._wait_for_stacks()
        self.popen.kill()
        self.popen.wait()
        self._stacks.seek(0)
        return self._stacks.read().decode("utf-8", "replace")

    def _wait_for_stacks(self) -> None:
        end = time.monotonic() + _DUMP_WITHIN
        before = 0
        while self.popen.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
            size = os.fstat(self._stacks.fileno()).st_size
            if size and size == before:
                return
            before = size

    def close(self) -> None:
        """Let go of what was shared with it."""
        self._held.close()


class Keeper:
    """Runs ``command``, which is a worker of so many ``threads``, again and again.

    ``readiness`` is told when the first one is ready, and when all of it stops.
    """

    def __init__(
        self,
        command: Sequence[str],
        limits: Limits,
        threads: int = 1,
        readiness: Readiness | None = None,
    ) -> None:
        self._command = command
        self._limits = limits
        self._threads = threads
        self._readiness = readiness or Readiness(environ={})
        self._selector = selectors.DefaultSelector()
        self._child: _Child | None = None
        #: Those that have to end.
        self._leaving: list[_Child] = []
        self._restart = float("inf")
        self._next_memory = float("-inf")
        self._delays = Backoff()
        self._came_up = self._warned = False
        #: When it was told to stop.
        self._stopping: float | None = None
        self._code = _STOPPED

    def run(self) -> int:
        """Keep a worker until SIGTERM or SIGINT; the exit code.

        0 means stopped in order, 1 that the first worker did not start, 3 that consumers were cut
        off at the end; 128 and the number of a signal that it came twice.
        """
        with waking(self._selector, _SIGNALS, self._signalled):
            self._start()
            while self._children or self._restart < float("inf"):
                self._turn()
        return self._code

    @property
    def _children(self) -> list[_Child]:
        return [*self._leaving, *([self._child] if self._child else [])]

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        for child in self._children:
            if child.popen.poll() is not None:
                self._ended(child)
        for child in self._children:
            self._look_at(child)
        if time.monotonic() >= self._restart:
            self._start()

    def _patience(self) -> float:
        """Seconds until something is due."""
        due = [self._restart]
        if self._limits.max_memory is not None and self._child is not None:
            due.append(self._next_memory)
        due += [self._next_look(child) for child in self._children]
        return min(max(0.0, min(due) - time.monotonic()), _PATIENCE)

    def _next_look(self, child: _Child) -> float:
        """When a consumer may be over its time, or the process be late with its end."""
        now = time.monotonic()
        timeout = self._limits.consumer_timeout
        running = child.jobs.running()
        if child.left is not None and not running:
            return (child.idle or now) + _END_WITHIN
        if timeout is None:
            return now + _END_WITHIN if child.left is not None else float("inf")
        ends = [max(job.started + timeout, child.heeds_at) for job in running]
        return min((end for end in ends if end > now), default=now + timeout)

    # -- signals ----------------------------------------------------------------------------------

    def _signalled(self, reading: int) -> None:
        for number in os.read(reading, 1024):
            if number != signal.SIGCHLD:
                self._stop(number)

    def _stop(self, number: int) -> None:
        now = time.monotonic()
        if self._stopping is None:
            logger.info("%s: the worker stops.", signal.Signals(number).name)
            self._stopping = now
            self._readiness.stopping()
            self._restart = float("inf")
            for child in self._children:
                child.tell_to_stop()
        elif now - self._stopping >= _GRACE:
            self._code = 128 + number
            for child in self._children:
                child.popen.kill()

    # -- children ---------------------------------------------------------------------------------

    def _start(self) -> None:
        """Start a process; later, where that cannot be done now, unless it is the first."""
        self._restart = float("inf")
        try:
            self._child = child = _Child(self._command, self._threads)
        except OSError as error:  # too little memory, too many processes or files
            if not self._came_up:
                logger.error("Not started: %s", error)
                self._code = _FAILED
                return
            delay = self._delays.next_delay()
            logger.error("No process can be started (%s); trying again in %.1f s", error, delay)
            self._restart = time.monotonic() + delay
            return
        self._selector.register(child.line, selectors.EVENT_READ, lambda: self._hear(child))

    def _hear(self, child: _Child) -> None:
        said = child.hear()
        if not said:
            self._selector.unregister(child.line)
        if READY in said:
            self._ready(child)
        if LIMIT in said:
            self._succeed(child)

    def _ready(self, child: _Child) -> None:
        child.is_ready = True
        if not self._came_up:
            self._came_up = True
            self._readiness.ready(f"Keeps a worker, first process {child.pid}")
        logger.info("Process %d is ready.", child.pid)

    def _replace(self, child: _Child, why: str, *args: object) -> None:
        """Have a process end and another one take its place."""
        child.tell_to_stop()
        logger.warning(f"Process %d is replaced: {why}", child.pid, *args)
        self._succeed(child)

    def _succeed(self, child: _Child) -> None:
        """Start the successor of a process that takes no more messages."""
        child.left = child.left or time.monotonic()
        if child is self._child:
            self._child = None
            self._leaving.append(child)
            if self._stopping is None:
                self._start()

    def _ended(self, child: _Child) -> None:
        self._hear_the_rest(child)
        code = child.popen.returncode
        how = f"process {child.pid} ended with {ending(code)}"
        self._count_lost(child.jobs.running(), how)
        was_kept = child is self._child
        self._forget(child)
        if child.left is not None:
            if code not in (0, -signal.SIGTERM):
                logger.warning("%s instead of 0", sentence(how))
                self._cut_short()
        elif not self._came_up:
            logger.error("Not started: %s before it was ready", how)
            self._code = code if code > 0 else _FAILED
        elif was_kept:
            self._died(child, how)

    def _hear_the_rest(self, child: _Child) -> None:
        """What it said before its end, which may not have been heard yet."""
        if child.line in self._selector.get_map():
            self._hear(child)

    def _died(self, child: _Child, how: str) -> None:
        sound = child.is_ready and time.monotonic() - child.started > _SOUND_AFTER
        if sound:
            self._delays.reset()
        delay = 0.0 if sound else self._delays.next_delay()
        logger.error("%s; another one takes its place in %.1f s", sentence(how), delay)
        self._restart = time.monotonic() + delay

    def _count_lost(self, lost: Sequence[Running], how: str) -> None:
        if lost:
            logger.error(
                "%s; %d message(s) that it handled are lost: %s",
                sentence(how),
                len(lost),
                "; ".join(job.text for job in lost),
            )
        if further := sum(job.further for job in lost):
            logger.error(
                "Up to %d message(s) that it had in hand behind them are lost too (--prefetch)",
                further,
            )

    def _cut_short(self) -> None:
        if self._stopping is not None and self._code == _STOPPED:
            self._code = _CUT_SHORT

    def _forget(self, child: _Child) -> None:
        if child.line in self._selector.get_map():
            self._selector.unregister(child.line)
        if child is self._child:
            self._child = None
        else:
            self._leaving.remove(child)
        child.close()

    # -- limits -----------------------------------------------------------------------------------

    def _look_at(self, child: _Child) -> None:
        """See whether it is over one of its limits."""
        now = time.monotonic()
        running = child.jobs.running()
        if child is self._child and now >= self._next_memory:
            self._next_memory = now + _MEMORY_INTERVAL
            self._look_at_memory(child)
        timeout = self._limits.consumer_timeout
        late = [] if timeout is None else [job for job in running if job.started + timeout <= now]
        child.idle = None if running or child.left is None else child.idle or now
        if late and child.left is None:
            self._replace(child, "a consumer runs for more than %g s (--consumer-timeout)", timeout)
        elif late and len(late) == len(running) and now >= child.heeds_at:
            self._end_by_force(child, late, f"no consumer of it ends within {timeout:g} s")
        elif child.idle is not None and now >= child.idle + _END_WITHIN:
            self._end_by_force(child, [], f"it had to be gone within {_END_WITHIN:g} s")

    def _look_at_memory(self, child: _Child) -> None:
        limit = self._limits.max_memory
        if limit is None or not child.is_ready or child.left is not None:
            return
        if (held := memory_of(child.pid)) <= limit:
            return
        if child.jobs.seen():
            text = "it holds %.0f MiB of memory, more than %.0f (--max-memory)"
            self._replace(child, text, held / 2**20, limit / 2**20)
        elif not self._warned:
            self._warned = True
            logger.error(
                "Process %d holds %.0f MiB before its first message, more than --max-memory allows "
                "(%.0f MiB); raise it, since it is replaced after each message",
                *(child.pid, held / 2**20, limit / 2**20),
            )

    def _end_by_force(self, child: _Child, lost: Sequence[Running], why: str) -> None:
        stacks = child.kill()
        logger.error(
            "Process %d is ended by force: %s; what it did:\n%s",
            *(child.pid, why, stacks.rstrip() or "(it could not say)"),
        )
        self._count_lost(lost, f"process {child.pid} was ended")
        self._cut_short()
        self._forget(child)
