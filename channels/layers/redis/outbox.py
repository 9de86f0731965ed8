"""Commands that wait to leave together; neighbouring pushes to one queue become one script call.

The server spends as much on calling a script as on what it does for one message.
"""

from typing import NamedTuple

from channels._speedups import resp
from channels.layers.redis.connection import Reply
from channels.layers.redis.scripts import with_several

__all__ = ["Outbox", "PushHead", "shares"]

#: Entries, and bytes of them, that one call pushes at most: the server does nothing else meanwhile.
_MOST_ENTRIES, _MOST_BYTES = 32, 65536


class PushHead(NamedTuple):
    """What the pushes to one queue have in common."""

    #: The script call, up to the entry.
    packed: bytes
    #: Of the queue; one call pushes no more, since readers that wait get nothing before its end.
    capacity: int


def shares(reply: Reply, number: int) -> list[Reply]:
    """What is the reply to each of the pushes of one call: 1, 0 where it was full, or an error."""
    if isinstance(reply, int):
        return [1] * reply + [0] * (number - reply)
    return [reply] * number


class Outbox:
    """What was not written yet, in the order in which it came."""

    __slots__ = ("_frames", "_head", "_room", "_tails")

    def __init__(self) -> None:
        self._frames = bytearray()
        #: The pushes that came last.
        self._head = PushHead(b"", 0)
        self._tails: list[bytes] = []
        #: Bytes that may still join them.
        self._room = 0

    def __bool__(self) -> bool:
        return bool(self._frames or self._tails)

    def __len__(self) -> int:
        """Bytes that wait, roughly."""
        return len(self._frames) + (_MOST_BYTES - self._room if self._tails else 0)

    def command(self, frame: bytes) -> None:
        """Add a command."""
        if self._tails:
            self._close()
        self._frames += frame

    def push(self, head: PushHead, tail: bytes) -> bool:
        """Add a push; whether it has joined the one before it, with which it has its reply."""
        tails = self._tails
        if tails:
            most = min(_MOST_ENTRIES, head.capacity)
            if head == self._head and len(tails) < most and len(tail) <= self._room:
                self._room -= len(tail)
                tails.append(tail)
                return True
            self._close()
        self._head = head
        self._room = _MOST_BYTES - len(tail)
        self._tails.append(tail)
        return False

    def take(self) -> bytearray:
        """All that waits; nothing does then."""
        if self._tails:
            self._close()
        frames, self._frames = self._frames, bytearray()
        return frames

    def _close(self) -> None:
        """Pack the last pushes: no other joins them."""
        tails = self._tails
        if len(tails) == 1:
            self._frames += resp.bulk(self._head.packed, tails[0])
        else:
            self._frames += with_several(self._head.packed, tails)
        tails.clear()
