"""Waiting for room in a full channel.

Whoever waits says so to all clients; a client that takes a message from such a channel tells those
who wait, and they look how many messages are left. Nobody looks in between.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from channels.layers.rabbitmq.replies import start

if TYPE_CHECKING:
    from channels.layers.rabbitmq.engine import Engine

__all__ = ["Levels", "Rooms", "Wait"]

#: Seconds for which a client is told of room where it does not repeat that it waits.
_WANTED = 60.0

#: Seconds for which a message that was taken counts for one who says afterwards that they wait.
_LATELY = 10.0

#: Channels that messages were taken from lately that are remembered.
_REMEMBERED = 1_000


class Levels:
    """How many messages filled a queue whose size in bytes is bounded too, by the broker's name.

    The broker counts messages, and not their bytes; so where it refused one, there is room when
    fewer are left than there were then.
    """

    def __init__(self, lifetime: float) -> None:
        #: Seconds after which all that was in a full queue has left it.
        self._lifetime = lifetime
        self._full: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def refused(self, name: str, count: int) -> None:
        """A message was refused, and ``count`` were there."""
        self._full[name] = count, time.monotonic() + self._lifetime
        self._full.move_to_end(name)
        if len(self._full) > _REMEMBERED:
            self._full.popitem(last=False)

    def has_room(self, name: str) -> None:
        """A message was taken in."""
        self._full.pop(name, None)

    def limit(self, name: str, capacity: int) -> int:
        """How many messages ``name``, whose capacity is ``capacity``, holds now."""
        level, until = self._full.get(name, (capacity, 0.0))
        return min(level, capacity) if time.monotonic() < until else capacity


class Wait:
    """One wait for room; ``finished`` is called when there is some."""

    __slots__ = ("finished", "queue", "there")

    def __init__(self, queue: str, finished: Callable[[], object]) -> None:
        self.queue = queue
        self.finished = finished
        self.there = False

    def finish(self) -> None:
        """There is room."""
        self.there = True
        self.finished()


class Rooms:
    """The waits of one engine, and what others wait for. Runs in the engine's thread."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._lines: dict[str, OrderedDict[Wait, None]] = {}
        self._looking: dict[str, bool] = {}
        self._left: OrderedDict[str, float] = OrderedDict()
        self._repeating = False

    # Those who wait here

    def ask(self, wait: Wait) -> None:
        """Finish ``wait`` when there is room."""
        is_first = wait.queue not in self._lines
        self._lines.setdefault(wait.queue, OrderedDict())[wait] = None
        if is_first:
            start(self._want(wait.queue))
        else:
            self.look(wait.queue)

    def end_all(self) -> None:
        """Let everybody try, because the layer is closed."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            for wait in line:
                wait.finish()

    def withdraw(self, wait: Wait) -> None:
        """Forget ``wait``."""
        line = self._lines.get(wait.queue)
        if line is not None and wait in line:
            del line[wait]
            if not line:
                self._ended(wait.queue)

    def _ended(self, queue: str) -> None:
        del self._lines[queue]
        session = self._engine.session
        if session is not None:
            session.journal.operate(do="unwant", queue=queue, client=self._engine.client)

    async def _want(self, queue: str) -> None:
        """Look, and say that we wait; look again then, since somebody may not have known."""
        await self._look_once(queue)
        session = self._engine.session
        if session is None or queue not in self._lines:
            return
        until = time.time() + _WANTED
        await session.journal.operate(
            do="want", queue=queue, client=self._engine.client, until=until
        )
        self.look(queue)
        self._repeat()

    def _repeat(self) -> None:
        if not self._repeating:
            self._repeating = True
            self._engine.call_later(_WANTED / 2, self.ask_again)

    def ask_again(self) -> None:
        """Say again what we wait for: time has passed, or the connection is a new one."""
        self._repeating = False
        for queue in list(self._lines):
            start(self._want(queue))

    def look(self, queue: str) -> None:
        """See whether there is room now; once more afterwards, if asked to meanwhile."""
        if queue in self._looking:
            self._looking[queue] = True
        elif queue in self._lines:
            start(self._look(queue))

    def look_everywhere(self) -> None:
        """See where there is room."""
        for queue in list(self._lines):
            self.look(queue)

    async def _look(self, queue: str) -> None:
        self._looking[queue] = True
        try:
            while self._looking.get(queue) and queue in self._lines:
                self._looking[queue] = False
                await self._look_once(queue)
        finally:
            self._looking.pop(queue, None)

    async def _look_once(self, queue: str) -> None:
        count, limit = await self._engine.fill(queue)
        line = self._lines.get(queue)
        # An empty queue lets everybody try: nothing will leave it any more to tell the next.
        free = limit - count if count else len(line or ())
        while line and free > 0:
            wait, _ = line.popitem(last=False)
            free -= 1
            if not line:
                self._ended(queue)
            wait.finish()

    # Those who wait elsewhere

    def left(self, queue: str) -> None:
        """A message left ``queue`` to this client."""
        self._left[queue] = time.monotonic()
        self._left.move_to_end(queue)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        self._engine.tell(queue)

    def wanted(self, queue: str, client: str) -> None:
        """``client`` began to wait, maybe after a message that left ``queue`` just now."""
        if time.monotonic() - self._left.get(queue, float("-inf")) < _LATELY:
            self._engine.tell(queue, client)
