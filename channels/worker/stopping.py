"""SIGTERM and SIGINT as a request to stop, for a main thread that may be anywhere when they come.

A handler in Python cannot do it. It runs between two bytecodes of the main thread: while that waits
in a lock it is not run at all if the signal came a moment before the wait began, so an idle worker
would sleep on; where it does run, the main thread may hold any lock, the channel layer's included;
and an exception out of it could lose the message that was just popped.

So the handler does nothing. Python's own C handler writes the signal's number into a pipe at once
(``signal.set_wakeup_fd``), and a thread that reads the pipe does the rest.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSignals"]

logger = logging.getLogger("django.channels")

#: The signals that ask for an orderly end: what supervisors send, and Ctrl-C.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: What ends the thread; no signal has this number.
_END = b"\0"


class StopSignals:
    """Calls ``stop`` in a thread of its own when the process gets SIGTERM or SIGINT.

    A second signal ends the process at once, with status 128 and its number added: a consumer that
    never returns must not make it immortal. What comes within ``grace`` seconds of the first is
    taken as one with it: process managers pass on a Ctrl-C that the terminal has sent to everybody.

    As a context manager it puts the earlier handlers back at the end.
    """

    def __init__(self, stop: Callable[[], None], grace: float = 1.0) -> None:
        self.grace = grace
        self._stop = stop
        self._earlier: dict[int, Any] = {}
        self._earlier_wakeup = -1
        self._pipe: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "StopSignals":
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()

    def install(self) -> None:
        """Take over the signals, unless it has. Raises ``RuntimeError`` outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "signal handlers can only be installed by the main thread, this is "
                f"{threading.current_thread().name!r}; give the worker signal_handlers=False and "
                "call its stop()"
            )
        if self._pipe is not None:
            return
        self._pipe = reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self._thread = threading.Thread(
            target=self._relay, args=(reading,), name="stop-signals", daemon=True
        )
        self._thread.start()
        self._earlier_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            self._earlier[number] = signal.signal(number, _do_nothing)
        _installed.add(self)

    def restore(self) -> None:
        """Put back the handlers that were there before, and end the thread."""
        if self._pipe is None or self._thread is None:
            return
        self._put_back()
        reading, writing = self._pipe
        os.write(writing, _END)
        self._thread.join()
        os.close(reading)
        os.close(writing)
        self._pipe = self._thread = None

    def _put_back(self) -> None:
        """Also called in a forked process, whose signals are not the worker's."""
        _installed.discard(self)
        for number, handler in self._earlier.items():
            # One that was not installed from Python reads as None and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._earlier_wakeup)

    def _relay(self, reading: int) -> None:
        """Act on the numbers in the pipe; those of other signals with handlers come as well."""
        first: float | None = None
        while (read := os.read(reading, 1)) != _END:
            number = read[0]
            if number not in STOP_SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                self._begin(signal.Signals(number).name)
            elif time.monotonic() - first >= self.grace:
                os._exit(128 + number)

    def _begin(self, name: str) -> None:
        logger.info(
            "%s: running consumers are finished first; another signal ends the process at once.",
            name,
        )
        self._stop()


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """What Python runs for the signals, so that its C handler writes to the pipe."""


#: What has taken over the signals in this process.
_installed: set[StopSignals] = set()

#: The signals that a thread that is forking had blocked before.
_forking = threading.local()


def _before_fork() -> None:
    """Hold back signals until it is clear whose they are.

    A process that a consumer forks inherits handler and pipe: a signal to it would be read, and
    obeyed, by its parent.
    """
    if _installed:
        _forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _after_fork() -> None:
    blocked = getattr(_forking, "blocked", None)
    if blocked is not None:
        _forking.blocked = None
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _after_fork_in_child() -> None:
    for signals in tuple(_installed):
        signals._put_back()
    _after_fork()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
)
