"""The worker's side of its keeper: the process that runs consumers.

It notes in shared memory what it does, hears from its keeper that it shall end, and ends in order
also when the keeper is gone. The other side is in ``keeper``.
"""

import contextlib
import faulthandler
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from channels.readiness import Readiness

from .jobs import Job, JobTable, Watch
from .limits import Limits
from .worker import Worker

__all__ = ["DUMP", "ENVIRONMENT", "LIMIT", "READY", "STOP", "Kept"]

logger = logging.getLogger("django.channels")

#: The variable by which a process knows that it has a keeper, and how to reach it.
ENVIRONMENT = "CHANNELS_WORKER_KEEPER"

#: What the worker says: that it listens; that it has had its messages and ends.
READY, LIMIT = b"r", b"l"

#: What the keeper says: that the worker shall end in order.
STOP = b"s"

#: The signal at which a worker writes what its threads do, whatever holds the interpreter's lock.
DUMP = signal.SIGQUIT


class Kept(Watch):
    """What a worker has of its keeper: ``line`` to it, the table of jobs, the file for stacks."""

    def __init__(self, line: socket.socket, jobs: JobTable, stacks: int, limits: Limits) -> None:
        self._line = line
        self._jobs = jobs
        self._stacks = stacks
        self._left = limits.messages_of_one()
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        #: By it the keeper hears that the worker is ready, and tells whoever started it.
        self.readiness: Readiness = _Readiness(lambda: self._say(READY))

    @classmethod
    def from_environment(cls, limits: Limits) -> "Kept | None":
        """The keeper that started this process; None where it was started by somebody else.

        Processes that consumers start do not take themselves for workers, nor hold on to anything
        of the keeper's.
        """
        text = os.environ.pop(ENVIRONMENT, None)
        if text is None:
            return None
        descriptors = json.loads(text)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        line, table, stacks = descriptors
        jobs = JobTable(table)
        os.close(table)
        return cls(socket.socket(fileno=line), jobs, stacks, limits)

    def watch(self, worker: Worker) -> None:
        """Have ``worker``, which is about to run, watched and told by the keeper."""
        self._worker = worker
        worker.watch = self
        faulthandler.register(DUMP, file=self._stacks, all_threads=True)
        threading.Thread(target=self._listen, name="keeper", daemon=True).start()

    @contextlib.contextmanager
    def job(self) -> Iterator[Job]:
        """A slot for the calling thread."""
        with self._jobs.slot() as slot:
            yield slot if self._left is None else _Counted(slot, self._count)

    def _count(self) -> None:
        """Note that a message is begun; with the last one nothing more is received."""
        with self._lock:
            assert self._left is not None
            self._left -= 1
            last = self._left == 0
        if last and self._worker is not None:
            logger.info("This process has had its messages (--max-messages), and is replaced.")
            self._say(LIMIT)
            self._worker.stop()

    def _listen(self) -> None:
        """Wait for the keeper's word, or for its end."""
        with contextlib.suppress(OSError):
            if self._line.recv(1) != STOP:
                logger.error("The keeper of this worker is gone; the worker stops.")
        if self._worker is not None:
            self._worker.stop()

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, which the listening thread sees
            self._line.send(word)


class _Readiness(Readiness):
    """The readiness of a worker whose keeper hears of it."""

    def __init__(self, say: Callable[[], None]) -> None:
        super().__init__(environ={})
        self._say = say

    def ready(self, status: str = "") -> None:
        self._say()


class _Counted(Job):
    """A job that counts as well."""

    def __init__(self, job: Job, count: Callable[[], None]) -> None:
        self._job = job
        self._count = count

    def begin(self, channel: str, content: dict[str, object], further: int = 0) -> None:
        self._job.begin(channel, content, further)
        self._count()

    def alone(self) -> None:
        self._job.alone()

    def end(self) -> None:
        self._job.end()
