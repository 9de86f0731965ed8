"""What is done while something fails that comes back: wait longer and longer, log in bounds.

For workers whose layer went away and layers whose server did; knows neither.
"""

import logging
import random
import time

__all__ = ["Backoff", "FailureLog"]


class Backoff:
    """Delays in seconds that double from ``first`` up to ``most``, with jitter.

    Each delay is drawn from the upper half of its range, so that workers that lost the same server
    at the same moment do not come back to it at the same moment.
    """

    def __init__(self, first: float = 0.1, most: float = 10.0) -> None:
        self.first = first
        self.most = most
        self._ceiling = first

    def next_delay(self) -> float:
        """The seconds to wait now; the range of the next call is twice as high."""
        ceiling = self._ceiling
        self._ceiling = min(self.most, ceiling * 2)
        return random.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        """Start over, because the last try succeeded."""
        self._ceiling = self.first


class FailureLog:
    """Logs the failures of one operation, at most one in ``interval`` seconds.

    What is left out is counted, and the next line says how many there were. ``traceback``: whether
    the exception that is being handled belongs to the line; ``level`` is that of the line.
    """

    def __init__(
        self,
        logger: logging.Logger,
        interval: float = 10.0,
        *,
        traceback: bool = True,
        level: int = logging.ERROR,
    ) -> None:
        self.failing = False
        self._level = level
        self._traceback = traceback
        self._logger = logger
        self._interval = interval
        self._left_out = 0
        self._last_was_logged = False
        self._next_line = float("-inf")

    def failed(self, text: str, *args: object) -> None:
        """Log ``text % args``, if a line is due."""
        self.failing = True
        now = time.monotonic()
        self._last_was_logged = now >= self._next_line
        if not self._last_was_logged:
            self._left_out += 1
            return
        self._next_line = now + self._interval
        if self._left_out:
            text += " (and %d times since the last such line)"
            args = (*args, self._left_out)
            self._left_out = 0
        self._logger.log(self._level, text, *args, exc_info=self._traceback)

    def recovered(self, text: str, *args: object) -> None:
        """Log that what failed works again, unless the last failure was left out as well."""
        self.failing = False
        if self._last_was_logged:
            self._logger.info(text, *args)
