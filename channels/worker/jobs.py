"""What a worker's threads are doing, in memory that it shares with its keeper.

It stays readable whatever becomes of the worker: while a consumer holds the interpreter's lock, and
after the process was killed. Nothing waits for anybody here: a thread writes into its own slot, and
the keeper reads all of them.
"""

import mmap
import os
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

__all__ = ["IDLE_WATCH", "Job", "JobTable", "Running", "Slot", "Watch"]

#: Seconds of the monotonic clock at which the message was begun (0.0: none is), how many the slot
#: has seen, how many more are in hand, and the length of the text.
_HEAD = struct.Struct("=dQHH")

#: The number of those that are in hand, and where it stands.
_FURTHER = struct.Struct("=H")
_FURTHER_AT = struct.calcsize("=dQ")

#: Bytes of a slot; a cache line or more apart, and long enough for the names.
_SLOT = 512

#: Bytes of the text that names a message.
_TEXT = _SLOT - _HEAD.size


class Running(NamedTuple):
    """A message whose consumer runs."""

    #: When it was begun, in seconds of the monotonic clock, which all processes share.
    started: float
    #: What names it: its channel, and the reply channel if it has one.
    text: str
    #: How many more messages its thread had in hand when it began this one.
    further: int = 0


class Job:
    """Where a thread notes the message that it handles; this one notes nothing."""

    def begin(self, channel: str, content: dict[str, Any], further: int = 0) -> None:
        """Note that a message which came on ``channel`` is about to be handled.

        ``further`` are in hand behind it.
        """

    def alone(self) -> None:
        """Note that nothing is in hand behind it any more. For any thread."""

    def end(self) -> None:
        """Note that it is done with."""


class Watch:
    """What workers are given to note their messages in; this one has them noted nowhere."""

    @contextmanager
    def job(self) -> Iterator[Job]:
        """A context in which the calling thread has a place of its own."""
        yield Job()


#: What workers have that nobody watches.
IDLE_WATCH = Watch()


class Slot(Job):
    """One thread's place in the table."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory = memory
        self._offset = offset
        self._seen = _HEAD.unpack_from(memory, offset)[1]

    def begin(self, channel: str, content: dict[str, Any], further: int = 0) -> None:
        """Note a message. What reads meanwhile sees none yet."""
        reply = content.get("reply_channel") if isinstance(content, dict) else None
        text = (f"{channel} of {reply}" if reply else channel).encode("utf-8", "replace")[:_TEXT]
        self._seen += 1
        start = self._offset + _HEAD.size
        self._memory[start : start + len(text)] = text
        head = time.monotonic(), self._seen, further, len(text)
        _HEAD.pack_into(self._memory, self._offset, *head)

    def alone(self) -> None:
        """See ``Job.alone``."""
        _FURTHER.pack_into(self._memory, self._offset + _FURTHER_AT, 0)

    def end(self) -> None:
        """Note that no message is handled any more."""
        _HEAD.pack_into(self._memory, self._offset, 0.0, self._seen, 0, 0)


class JobTable:
    """Slots for so many threads, in a file that has no name."""

    def __init__(self, descriptor: int) -> None:
        """``descriptor`` is that of another table, in this process or one that it came from."""
        self._memory = mmap.mmap(descriptor, 0)
        self._lock = threading.Lock()
        self._free = [*range(len(self._memory) // _SLOT)]

    @classmethod
    def make(cls, threads: int) -> tuple["JobTable", int]:
        """A new one, and a descriptor of it to be inherited and then closed.

        Raises ``OSError`` where there is no room for it.
        """
        with tempfile.TemporaryFile() as file:
            # Written, not truncated: a disk that fills up later would end the worker by SIGBUS.
            file.write(bytes(threads * _SLOT))
            file.flush()
            return cls(file.fileno()), os.dup(file.fileno())

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """A context in which the caller has a slot; there must be one for each thread."""
        with self._lock:
            number = self._free.pop()
        slot = Slot(self._memory, number * _SLOT)
        try:
            yield slot
        finally:
            slot.end()
            with self._lock:
                self._free.append(number)

    def running(self) -> list[Running]:
        """The messages whose consumers run, the oldest first."""
        found = []
        for offset in range(0, len(self._memory), _SLOT):
            started, _, further, length = _HEAD.unpack_from(self._memory, offset)
            start = offset + _HEAD.size
            text = self._memory[start : start + length].decode("utf-8", "replace")
            if started:
                found.append(Running(started, text, further))
        return sorted(found)

    def seen(self) -> int:
        """How many messages were begun so far."""
        offsets = range(0, len(self._memory), _SLOT)
        return sum(_HEAD.unpack_from(self._memory, offset)[1] for offset in offsets)

    def close(self) -> None:
        """Leave the memory."""
        self._memory.close()
