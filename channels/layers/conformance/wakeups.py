"""Counting how often a blocked thread runs, which is how polling shows."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["WatchedThread"]


class WatchedThread(threading.Thread):
    """Runs ``function`` and counts what its thread does meanwhile.

    ``activity`` grows with each call that the thread makes, and where the system tells it with each
    time that the thread was put to sleep; it stands still while the thread is blocked.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._calls = 0
        self.result: Any = None
        self.start()

    def run(self) -> None:
        sys.setprofile(self._count)
        try:
            self.result = self._function()
        finally:
            sys.setprofile(None)

    def _count(self, frame: object, event: str, argument: object) -> None:
        self._calls += 1

    def activity(self) -> int:
        """Calls and switches so far."""
        return self._calls + self._switches()

    def _switches(self) -> int:
        status = Path(f"/proc/self/task/{self.native_id}/status")
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return 0  # another system, or the thread has ended
        return sum(
            int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches")
        )
