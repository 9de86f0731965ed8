"""Notice that the system's clock was set: by it things are due sooner then, or later, than slept.

Linux tells it through a timer's descriptor (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). Elsewhere
nobody tells, and a step is noticed when a sleep ends.
"""

import ctypes
import errno
import os
import struct
import sys
import threading
import time
from collections.abc import Callable

__all__ = ["ClockWatch"]

#: Values of Linux's timerfd.h; Python's ``os`` has them from 3.13 on only.
_CLOCK_REALTIME = 0
_TFD_CLOEXEC = 0o2000000
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2

#: Seconds ahead for which the timer is set: it is the steps of the clock that matter, not its end.
_FAR = 10 * 365 * 86_400


class ClockWatch:
    """Calls ``stepped`` in a thread of its own whenever the clock was set. A context manager."""

    def __init__(self, stepped: Callable[[], None]) -> None:
        self._stepped = stepped
        self._ended = False
        self._timer = -1

    def __enter__(self) -> "ClockWatch":
        if sys.platform == "linux":
            self._timer = _made()
        if self._timer >= 0:
            self._set()
            threading.Thread(target=self._run, name="clock-watch", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer >= 0:
            self._ended = True
            self._set(soon=True)

    def _run(self) -> None:
        """Read until the end; a read waits for the timer, or fails when the clock was set."""
        while not self._ended:
            try:
                os.read(self._timer, 8)
            except OSError as error:
                if error.errno != errno.ECANCELED:
                    break
                self._stepped()
            if not self._ended:
                self._set()
        os.close(self._timer)

    def _set(self, soon: bool = False) -> None:
        end = 1 if soon else int(time.time()) + _FAR
        # struct itimerspec: no interval, and the time of the first end.
        times = struct.pack("@llll", 0, 0, end, 0)
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        _libc().timerfd_settime(self._timer, flags, times, None)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _made() -> int:
    """A descriptor, or -1 where the system gives none."""
    try:
        return int(_libc().timerfd_create(_CLOCK_REALTIME, _TFD_CLOEXEC))
    except AttributeError:
        return -1
