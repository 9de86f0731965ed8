"""The shared-memory layer's segment. Linux only, compiled only; ``docs/ipc.md`` tells how it
works.

Names are ASCII strs of at most 200 characters. Every operation may raise ``LayerUnavailable``,
where the lock is not to be had in time, and ``SegmentRefused``, where the segment is damaged beyond
repair.
"""

from collections.abc import Callable, Iterable

Stored = tuple[str, tuple[str, ...], bytes]

class Names:
    """The queues of a receive, prepared, and whose turn it is."""

    queues: tuple[str, ...]
    def __init__(self, queues: Iterable[str]) -> None: ...

class Moved(Exception):
    """The bell of a sleeper belongs to a segment whose place another took: make a new one."""

class Sleeper:
    """A place to sleep in: a futex, or with ``bell`` a mark that the bell's owner finds.

    ``interrupted`` says that ``notify`` was called since ``begin``.
    """

    bell: Bell | None
    interrupted: bool
    def __init__(self, bell: Bell | None = None) -> None: ...
    def begin(self) -> None:
        """Forget an interruption."""
    def notify(self) -> bool:
        """Wake whoever sleeps here. Takes no lock; for any thread, and for signal handlers."""

class Segment:
    """One layer object's access to the segment at ``path``, which ``create`` makes if need be.

    ``expiry`` and ``lock_timeout`` in seconds, memories in bytes; None takes those of the segment
    that exists. ``capacity_of`` gives the capacity of a queue. Raises ``SegmentRefused``.
    """

    path: str
    prefix: str
    def __init__(
        self,
        prefix: str,
        path: str,
        message_memory: int | None,
        group_memory: int | None,
        expiry: float,
        capacity_of: Callable[[str], int],
        lock_timeout: float,
        create: bool = True,
    ) -> None: ...
    def after_fork(self) -> None:
        """Let go of what is the parent's; the child attaches when it first needs to."""
    def close(self) -> None:
        """Leave the segment. It is attached to again where it is used again."""
    def push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        """Whether an entry was appended. Raises ``ChannelFull`` where there is no memory."""
    def push_group(self, group: str, body: bytes) -> list[tuple[str, int]]:
        """Put an entry into the queue of each member; queue and targets of what was dropped."""
    def take_one(self, names: Names, sleeper: Sleeper | None = None) -> Stored | None:
        """The next entry, as one for a single target, or None; then ``sleeper`` is registered."""
    def take_many(self, names: Names, limit: int, sleeper: Sleeper | None = None) -> list[Stored]:
        """Up to ``limit`` entries with all their targets; with none ``sleeper`` is registered."""
    def await_one(self, names: Names, sleeper: Sleeper, deadline: float | None) -> Stored | None:
        """``take_one``, sleeping until there is an entry.

        None after ``deadline``, of ``time.monotonic()``, and once ``sleeper`` was notified.
        """
    def await_room(self, queue: str, sleeper: Sleeper, deadline: float | None) -> bool:
        """Whether a push may succeed, sleeping until it may; False after ``deadline``."""
    def room(self, queue: str, sleeper: Sleeper | None = None) -> float | None:
        """None where a push may succeed; else the seconds until something expires, and
        ``sleeper`` is registered."""
    def withdraw(self, sleeper: Sleeper) -> None:
        """Take a sleeper out; a wake-up that it did not use goes to another.

        Raises nothing: where the lock is not to be had, others pass its wake-ups on.
        """
    def group_add(self, group: str, queue: str, local: str, life: float) -> None:
        """Add or renew a membership for ``life`` seconds. Raises ``GroupMemoryFull``."""
    def group_discard(self, group: str, queue: str, local: str) -> None:
        """Remove a membership, if there is one."""
    def group_channels(self, group: str) -> list[str]:
        """The full names of the members."""
    def exists(self, queue: str, local: str) -> bool:
        """Whether a message waits for a channel, or it is a member of a group."""
    def queues(self) -> list[tuple[str, int]]:
        """The queues that hold entries, and how many."""
    def generation(self, queue: str | None) -> str:
        """Changes when the segment is another, was flushed, or ``queue`` was evicted."""
    def statistics(self, queue: str | None) -> tuple[int, int, int, int, int, float]:
        """Sent, full, pending, sent and full in the last second, and the oldest age in seconds."""
    def flush(self) -> None:
        """Remove all entries and groups."""
    def announce(self, listener: str, channels: Iterable[str], life: float) -> None:
        """Keep what a listener of a name of at most 200 ASCII characters listens to."""
    def is_listened_to(self, queue: str) -> bool:
        """Whether somebody announced ``queue``, or nobody anything."""
    def retire(self) -> None:
        """Remove the segment; its clients go over to a new one when they next use it."""
    def check(self) -> str | None:
        """What is wrong with the segment, None where every invariant holds."""
    def describe(self) -> dict[str, int]:
        """What the segment holds, in numbers by name."""

class Bell:
    """A FIFO by which the sleepers of one event loop are woken; ``fileno`` is to be watched."""

    def __init__(self, segment: Segment) -> None: ...
    def fileno(self) -> int: ...
    def is_current(self) -> bool:
        """Whether its segment is still the layer's."""
    def woken(self, tend: bool) -> list[Sleeper]:
        """The sleepers that were woken since they registered; all of them once the segment was
        removed.

        With ``tend`` those of others who died are looked after.
        """
    def leave(self) -> None:
        """Be no client any more.

        The descriptor stays open, since the loop may be watching it.
        """
    def close(self) -> None:
        """Close the descriptor, which nobody may watch any more."""

def crash_at(step: int) -> None:
    """Die at the store with this number, in the test build; 0 for none.

    Begins to count anew.
    """

def steps() -> int:
    """The stores since ``crash_at``, in the test build; else 0."""
