"""What the benchmarks of layers send, where they listen, and how CPU time is counted."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

__all__ = ["CHANNELS", "MESSAGE", "ROUNDS", "cpu_seconds", "microseconds"]

#: A chat line as Daphne sends it: 150 bytes when encoded.
MESSAGE = {
    "reply_channel": "daphne.response.0123456789abcdef!0123456789abcdef",
    "path": "/chat/",
    "order": 3,
    "text": "x" * 64,
    "bytes": None,
}
CHANNELS = ["http.request", "websocket.connect", "websocket.receive", "websocket.disconnect"]

#: Rounds of a measurement, whose median counts.
ROUNDS = 5

#: Clock ticks a second in /proc (proc(5)).
TICKS = os.sysconf("SC_CLK_TCK")


def microseconds(run: Callable[[], object], operations: int) -> float:
    """CPU of this process for each of the operations of ``run``, the median of some rounds."""
    figures = []
    for _ in range(ROUNDS):
        before = time.process_time()
        run()
        figures.append((time.process_time() - before) / operations * 1e6)
    return median(figures)


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that another process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
