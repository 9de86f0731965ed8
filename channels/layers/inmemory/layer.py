"""The in-memory layer: the primitives over dicts of deques, under one lock.

Every operation begins by removing what has expired, which one look at the earliest deadline
decides; so no operation depends on how many channels exist. Wake-ups are chosen under the lock and
given when it is released.
"""

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from channels import codec, names
from channels.layers.base import BaseChannelLayer
from channels.layers.entries import Stored
from channels.layers.inmemory.agenda import Agenda
from channels.layers.inmemory.groups import Groups
from channels.layers.inmemory.queues import Counters, Queue
from channels.layers.inmemory.section import Section
from channels.layers.statistics import Tally, count_in, statistics
from channels.layers.waiting import Listening, Waiter, WaitingLine

__all__ = ["ChannelLayer"]

T = TypeVar("T")

#: Channels whose counters are kept when they hold nothing, and evicted process channels that are
#: remembered. An application has far fewer; the bound is for names made at random.
_REMEMBERED = 10_000


def _remember(memory: OrderedDict[str, T], name: str, value: T) -> None:
    """Set ``memory[name]``; past the bound the name that was set the longest ago is forgotten."""
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


class ChannelLayer(BaseChannelLayer):
    """A layer within one process. Arguments as for ``BaseChannelLayer``.

    ``clock`` gives seconds and never goes back; tests put their own here.
    """

    is_local = True

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 10,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        *,
        message_limit: int = codec.DEFAULT_LIMIT,
        drop_rate: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            expiry,
            group_expiry,
            capacity,
            channel_capacity,
            message_limit=message_limit,
            drop_rate=drop_rate,
        )
        self._clock = clock
        self._start()

    def _start(self) -> None:
        self._section = Section()
        self._woken: deque[Waiter] = deque()
        self._readers = WaitingLine()
        self._senders = WaitingLine()
        self._messages = Tally()
        self._full = Tally()
        self._dropped = 0
        self._counters: OrderedDict[str, Counters] = OrderedDict()
        self._passing_counters: OrderedDict[str, Counters] = OrderedDict()
        self._reset()

    def _reset(self) -> None:
        self._store: dict[str, Queue] = {}
        self._agenda: Agenda[Queue] = Agenda(self._forget)
        self._groups = Groups()
        self._pending = 0
        self._epoch = names.random_part()
        self._evictions: OrderedDict[str, int] = OrderedDict()

    def _after_fork(self) -> None:
        """Begin empty in the child, which is another process and so has another store.

        A copy of the parent's messages would be delivered twice, and its lock may be held by a
        thread that does not exist here.
        """
        super()._after_fork()
        self._start()

    # Entries

    def _push(self, queue: str, targets: tuple[str, ...], body: bytes) -> bool:
        section = self._section
        with section.lock:
            if section.busy:
                raise section.refuse()
            section.busy = True
            try:
                now = self._now()
                accepted = self._append(queue, targets, body, now)
                if not accepted:
                    count_in(now, self._full, self._store[queue].counters.full)
            finally:
                section.busy = False
        if self._woken:
            self._notify_woken()
        return accepted

    def _append(self, name: str, targets: tuple[str, ...], body: bytes, now: float) -> bool:
        queue = self._store.get(name)
        if queue is None:
            capacity = self.get_capacity(name)
            queue = self._store[name] = Queue(name, capacity, self._counters_of(name))
        if not queue.offer(now + self.expiry, targets, body):
            return False
        if not queue.scheduled:
            self._agenda.add(queue)
        self._pending += 1
        count_in(now, self._messages, queue.counters.messages)
        if self._readers.lines:
            self._wake(self._readers, name)
        return True

    def _take_one(self, listening: Listening, waiter: Waiter | None = None) -> Stored | None:
        section = self._section
        with section.lock:
            if section.busy:
                raise section.refuse()
            section.busy = True
            try:
                self._now()
                queue = self._next_queue(listening)
                if queue is not None:
                    count = len(queue.entries)
                    _, targets, body = queue.pop_target()
                    if len(queue.entries) < count:
                        self._popped(queue)
                elif waiter is not None:
                    self._readers.add(waiter, listening.queues)
            finally:
                section.busy = False
        if self._woken:
            self._notify_woken()
        return None if queue is None else (queue.name, targets, body)

    def _take(self, listening: Listening, limit: int, waiter: Waiter | None = None) -> list[Stored]:
        taken: list[Stored] = []
        with self._section:
            self._now()
            while len(taken) < limit and (queue := self._next_queue(listening)) is not None:
                _, targets, body = queue.pop()
                taken.append((queue.name, targets, body))
                self._popped(queue)
            if not taken and waiter is not None:
                self._readers.add(waiter, listening.queues)
        if self._woken:
            self._notify_woken()
        return taken

    def _next_queue(self, listening: Listening) -> Queue | None:
        """The queue that is served next, None where all are empty."""
        for position, name in enumerate(listening.in_turn()):
            queue = self._store.get(name)
            if queue is not None and queue.entries:
                listening.served(position)
                return queue
        return None

    def _popped(self, queue: Queue) -> None:
        """Account for an entry that left."""
        self._pending -= 1
        if not queue.entries and queue.is_passing:
            del self._store[queue.name]
            self._agenda.emptied()
        if self._senders.lines:
            self._wake(self._senders, queue.name, everybody=not queue.entries)

    # Waiting

    def _room(self, queue: str, waiter: Waiter | None = None) -> bool:
        with self._section:
            now = self._now()
            found = self._store.get(queue)
            has_room = found is None or not found.is_full()
            if waiter is not None and has_room:
                waiter.owed = None  # the room is its own to use
            elif waiter is not None and found is not None:
                self._senders.add(waiter, (queue,))
                waiter.look_again = found.entries[0][0] - now
        self._notify_woken()
        return has_room

    def _withdraw(self, waiter: Waiter) -> None:
        line = waiter.line
        if line is None:
            return
        with self._section:
            owed = line.remove(waiter)
            if owed is not None and self._is_worth_a_look(line, owed):
                self._wake(line, owed)
        self._notify_woken()

    def _is_worth_a_look(self, line: WaitingLine, name: str) -> bool:
        queue = self._store.get(name)
        if line is self._readers:
            return queue is not None and bool(queue.entries)
        return queue is None or not queue.is_full()

    def _wake(self, line: WaitingLine, name: str, everybody: bool = False) -> None:
        """Choose who is notified once the lock is released.

        A message wakes one reader, and room one sender. An empty queue wakes all its senders: some
        of those woken before may never have sent, and nothing would leave the queue any more to
        wake the next.
        """
        while (waiter := line.next(name)) is not None:
            self._woken.append(waiter)
            if not everybody:
                return

    def _notify_woken(self) -> None:
        while self._woken:
            try:
                waiter = self._woken.popleft()
            except IndexError:
                return  # another thread has notified the last
            if not waiter.notify():
                self._withdraw(waiter)

    # Expiry

    def _now(self) -> float:
        """The time, after everything that expired by it was removed."""
        now = self._clock()
        heap = self._agenda.heap
        if heap and heap[0][0] <= now:
            self._expire(now)
        memberships = self._groups.agenda.heap
        if memberships and memberships[0][0] <= now:
            self._groups.expire(now)
        return now

    def _expire(self, now: float) -> None:
        while (first := self._agenda.first()) is not None and first[0] <= now:
            queue = first[1]
            self._groups.evict(queue.name)
            if names.is_process_channel(queue.name):
                self._pending -= queue.clear()
                _remember(self._evictions, queue.name, self._evictions.get(queue.name, 0) + 1)
            else:
                queue.pop()
                self._pending -= 1
            self._wake(self._senders, queue.name, everybody=True)

    def _forget(self, queue: Queue) -> None:
        """Drop a queue that holds nothing and stands in the agenda no more."""
        if self._store.get(queue.name) is queue:
            del self._store[queue.name]

    def _clear(self) -> None:
        with self._section:
            self._reset()

    # Groups

    def _group_add(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        with self._section:
            now = self._now()
            self._groups.add(group, queue, "".join(targets), now + self.group_expiry)
        self._notify_woken()

    def _group_discard(self, group: str, queue: str, targets: tuple[str, ...]) -> None:
        with self._section:
            self._groups.discard(group, queue, "".join(targets))

    def _group_channels(self, group: str) -> list[str]:
        with self._section:
            self._now()
            found = [
                members.queue + local
                for members in self._groups.members(group)
                for local in members
            ]
        self._notify_woken()
        return found

    def _push_group(self, group: str, body: bytes) -> list[tuple[str, int]]:
        with self._section:
            now = self._now()
            dropped = [
                (members.queue, len(targets) or 1)
                for members in self._groups.members(group)
                for targets in members.packed()
                if not self._append(members.queue, targets, body, now)
            ]
        self._notify_woken()
        return dropped

    # What is known about channels

    def _exists(self, channel: str) -> bool:
        name, local = names.split_name(channel)
        with self._section:
            self._now()
            queue = self._store.get(name)
            waits = queue is not None and any(
                not targets or local in targets for _, targets, _ in queue.entries
            )
            found = waits or self._groups.has_member(name, local)
        self._notify_woken()
        return found

    def _queues(self) -> list[str]:
        with self._section:
            self._now()
            found = [name for name, queue in self._store.items() if queue.entries]
        self._notify_woken()
        return found

    def _generation(self, queue: str | None) -> str:
        with self._section:
            self._now()
            evictions = 0 if queue is None else self._evictions.get(queue, 0)
            generation = f"{self._epoch}.{evictions}"
        self._notify_woken()
        return generation

    def _statistics(self, queue: str | None) -> dict[str, int | float]:
        with self._section:
            now = self._now()
            if queue is None:
                found = self._global_statistics(now)
            else:
                found = self._queue_statistics(queue, now)
        self._notify_woken()
        return found

    def _count_dropped(self, dropped: Iterable[tuple[str, int]]) -> None:
        with self._section:
            for queue, count in dropped:
                self._dropped += count
                self._counters_of(queue).dropped += count

    def _global_statistics(self, now: float) -> dict[str, int | float]:
        first = self._agenda.first()
        age = 0.0 if first is None else now - (first[0] - self.expiry)
        return statistics(self._messages, self._full, self._pending, age, now, self._dropped)

    def _queue_statistics(self, name: str, now: float) -> dict[str, int | float]:
        queue = self._store.get(name)
        if queue is None:
            counters = self._counter_store(name).get(name) or Counters()
            return statistics(counters.messages, counters.full, 0, 0.0, now, counters.dropped)
        due = queue.due()
        age = 0.0 if due is None else now - (due - self.expiry)
        pending, counters = len(queue.entries), queue.counters
        return statistics(counters.messages, counters.full, pending, age, now, counters.dropped)

    def _counter_store(self, name: str) -> OrderedDict[str, Counters]:
        # apart, so that a flood of names made for one use pushes out no other channel's counters
        return self._passing_counters if "?" in name else self._counters

    def _counters_of(self, name: str) -> Counters:
        store = self._counter_store(name)
        counters = store.get(name) or Counters()
        _remember(store, name, counters)
        return counters
