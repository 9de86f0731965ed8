"""A channel layer over SQLite: what was not yet received is there again after a restart.

It serves the threads of one process, and has no groups. ``docs/layers.md`` goes through it.
"""

import functools
import sqlite3
import threading
import time
from collections import Counter, deque
from itertools import islice

from channels.layers.base import BaseChannelLayer
from channels.layers.waiting import WaitingLine
from channels.names import is_process_channel, random_part, split_name

TABLE = "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, queue, target, body, due)"
FIRST = "SELECT id, target, body, due FROM entry WHERE queue = ? ORDER BY id LIMIT 1"
EXPIRE = """DELETE FROM entry WHERE due <= ?1 OR (queue LIKE '%!' AND queue IN
    (SELECT queue FROM entry WHERE due <= ?1)) RETURNING queue"""


def step(primitive):
    """Run ``primitive`` under the lock, without what has expired; wake others afterwards."""

    @functools.wraps(primitive)
    def under_the_lock(self, *arguments):
        with self._lock:
            for (queue,) in set(self._rows(EXPIRE, time.time())):
                self._evictions[queue] += 1
                self._wake("room in " + queue, everybody=True)
            result = primitive(self, *arguments)
            woken = [self._woken.popleft() for _ in range(len(self._woken))]
        for waiter in woken:
            waiter.notify() or self._withdraw(waiter)
        return result

    return under_the_lock


class SQLiteChannelLayer(BaseChannelLayer):
    """Keeps its messages in the file ``path``; further arguments as for ``BaseChannelLayer``."""

    is_local = True
    provides = ("twisted", "asyncio")

    def __init__(self, path, **arguments):
        super().__init__(**arguments)
        self._lock, self._line, self._woken = threading.Lock(), WaitingLine(), deque()
        self._epoch, self._evictions = random_part(), Counter()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._rows(TABLE)

    def _rows(self, query, *arguments):
        return self._database.execute(query, arguments).fetchall()

    def _wake(self, name, everybody=False):
        while (waiter := self._line.next(name)) is not None:
            self._woken.append(waiter)
            if not everybody:
                return

    def _has_room(self, queue):
        (count,) = self._rows("SELECT count(*) FROM entry WHERE queue = ?", queue)[0]
        return count < self.get_capacity(queue)

    @step
    def _push(self, queue, targets, body):
        if has_room := self._has_room(queue):
            entry = (queue, "".join(targets), body, time.time() + self.expiry)
            self._rows("INSERT INTO entry VALUES (NULL, ?, ?, ?, ?)", *entry)
            self._wake(queue)
        return has_room

    @step
    def _take(self, listening, limit, waiter=None):
        taken = list(islice(iter(lambda: self._next(listening), None), limit))
        if not taken and waiter is not None:
            self._line.add(waiter, listening.queues)
        return taken

    def _next(self, listening):
        for position, queue in enumerate(listening.in_turn()):
            for number, target, body, _ in self._rows(FIRST, queue):
                self._rows("DELETE FROM entry WHERE id = ?", number)
                self._wake("room in " + queue, everybody=not self._rows(FIRST, queue))
                listening.served(position)
                return queue, (target,) if is_process_channel(queue) else (), body

    def _take_one(self, listening, waiter=None):
        return next(iter(self._take(listening, 1, waiter)), None)

    @step
    def _room(self, queue, waiter=None):
        has_room = self._has_room(queue)
        if waiter is not None and has_room:
            waiter.owed = None
        elif waiter is not None:
            self._line.add(waiter, ("room in " + queue,))
            waiter.look_again = self._rows(FIRST, queue)[0][-1] - time.time()
        return has_room

    @step
    def _withdraw(self, waiter):
        if owed := self._line.remove(waiter):  # it was woken and did not use it
            self._wake(owed)

    @step
    def _exists(self, channel):
        query = "SELECT 1 FROM entry WHERE (queue, target) = (?, ?)"
        return bool(self._rows(query, *split_name(channel)))

    @step
    def _queues(self):
        return [queue for (queue,) in self._rows("SELECT DISTINCT queue FROM entry")]

    @step
    def _generation(self, queue):
        return f"{self._epoch}.{self._evictions[queue]}"
