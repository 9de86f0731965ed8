"""The entries of one channel. Guarded by the layer's lock."""

from collections import deque

from channels.layers.statistics import Tally

__all__ = ["PROCESS_CHANNEL_BYTES", "Counters", "Entry", "Queue"]

#: Bytes of entries that a process channel holds before it counts as full, beside its capacity in
#: entries: each of them may be as large as a message can be, and one interface server must not use
#: up the memory of all.
PROCESS_CHANNEL_BYTES = 64 * 1024 * 1024

#: Bytes that a target adds to an entry, roughly: the str of a local part and the reference to it.
_TARGET_BYTES = 90

#: Deadline (monotonic seconds), targets, encoded message.
Entry = tuple[float, tuple[str, ...], bytes]


class Counters:
    """The tallies of a channel, which outlive its queue."""

    __slots__ = ("dropped", "full", "messages")

    def __init__(self) -> None:
        self.messages = Tally()
        self.full = Tally()
        self.dropped = 0


class Queue:
    """A queue that has held an entry lately, oldest entry first."""

    __slots__ = (
        "byte_limit",
        "bytes",
        "capacity",
        "counters",
        "entries",
        "is_passing",
        "name",
        "scheduled",
    )

    def __init__(self, name: str, capacity: int, counters: Counters) -> None:
        self.name = name
        self.capacity = capacity
        self.counters = counters
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self.byte_limit = float(PROCESS_CHANNEL_BYTES) if name.endswith("!") else float("inf")
        self.scheduled = False
        #: Whether its name was made for one use, so that it is not kept once it is empty.
        self.is_passing = "?" in name

    def due(self) -> float | None:
        """The deadline of the oldest entry."""
        return self.entries[0][0] if self.entries else None

    def is_full(self) -> bool:
        """Whether it takes no further entry.

        The last one in may overshoot the bytes, so that whatever finds room fits.
        """
        return len(self.entries) >= self.capacity or self.bytes >= self.byte_limit

    def offer(self, deadline: float, targets: tuple[str, ...], body: bytes) -> bool:
        """Add an entry at the end; False where it is full."""
        entries = self.entries
        if len(entries) >= self.capacity or self.bytes >= self.byte_limit:
            return False
        entries.append((deadline, targets, body))
        self.bytes += len(body) + _TARGET_BYTES * len(targets)
        return True

    def clear(self) -> int:
        """Remove all entries; returns how many there were."""
        count = len(self.entries)
        self.entries.clear()
        self.bytes = 0
        return count

    def pop(self) -> Entry:
        """Remove the oldest entry."""
        entry = self.entries.popleft()
        self.bytes -= len(entry[2]) + _TARGET_BYTES * len(entry[1])
        return entry

    def pop_target(self) -> Entry:
        """Remove the oldest entry's first target, and the entry with its last one."""
        entry = self.entries[0]
        deadline, targets, body = entry
        if len(targets) > 1:
            self.entries[0] = (deadline, targets[1:], body)
            self.bytes -= _TARGET_BYTES
            return deadline, targets[:1], body
        del self.entries[0]
        self.bytes -= len(body) + _TARGET_BYTES * len(targets)
        return entry
