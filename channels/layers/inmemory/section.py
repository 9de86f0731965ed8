"""The critical section of the layer: one thread at a time, and never twice in one thread."""

import threading
from types import TracebackType

__all__ = ["Section"]


class Section:
    """A lock whose holder, coming again, gets a ``RuntimeError`` instead of waiting for itself.

    The garbage collector runs finalisers in the middle of anything, the layer's own operations
    included, and a finaliser may call the layer: a generator that is closed, a log record for a
    handler that sends. A plain lock would then hold for ever, and all threads with it. An answer
    cannot be given: the state is half changed.

    As a context manager it costs two Python calls. The busiest operations spell it out instead:
    under ``lock`` they raise ``refuse()`` where ``busy`` is set, and set it meanwhile.
    """

    __slots__ = ("busy", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        #: Whether the thread that holds the lock is inside.
        self.busy = False

    def refuse(self) -> RuntimeError:
        """What is raised at the thread that comes again."""
        return RuntimeError(
            "the channel layer was called by a finaliser or a signal handler that ran in the "
            "middle of another call of the layer in the same thread; leave such work to a thread"
        )

    def __enter__(self) -> None:
        self.lock.acquire()
        if self.busy:
            self.lock.release()
            raise self.refuse()
        self.busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.busy = False
        self.lock.release()
