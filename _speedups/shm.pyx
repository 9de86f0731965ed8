# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=False, binding=True
"""The shared-memory layer's segment: the C code of ``shm_*.h`` as Python objects.

Every operation is one request, which ``shm_perform`` carries out under the segment's lock without
touching Python. The interpreter lock is let go only where that lock is not free at once, and to
sleep. ``docs/ipc.md`` tells how the whole works; ``shm.pyi`` describes what is here.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EEXIST, EINTR, ENOENT, ENOMEM, ENOSPC, ETIMEDOUT
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strerror
from posix.unistd cimport close, getpid

import os
import time

from channels.exceptions import (
    ChannelFull,
    GroupMemoryFull,
    LayerUnavailable,
    SegmentRefused,
)

__all__ = ["Bell", "Moved", "Names", "Segment", "Sleeper", "crash_at", "steps"]

include "shm_declarations.pxi"

#: Names that no client is given.
cdef uint32_t NOBODY = 0xFFFFFFFF

cdef double MONOTONIC = 1e9

#: Capacities by queue that a segment remembers.
cdef Py_ssize_t CAPACITIES = 4096

include "shm_mapping.pxi"
include "shm_attached.pxi"


cdef class Segment(Attached):
    """One layer object's access to the segment at ``path``."""

    # Entries

    cdef uint32_t capacity(self, str queue) except? 0:
        cdef object found = self.capacities.get(queue)
        if found is None:
            found = self.capacity_of(queue)
            if "?" not in queue:
                if len(self.capacities) >= CAPACITIES:
                    self.capacities.clear()
                self.capacities[queue] = found
        return min(<object>found, 0xFFFFFFFF)

    def push(self, str queue not None, tuple targets not None, bytes body not None):
        """Whether an entry was appended. Raises ``ChannelFull`` where there is no memory."""
        cdef request_t r
        cdef bytes packed
        cdef int result
        shm_begin(&r, SHM_OP_PUSH)
        r.message.name = text_of(queue)
        r.message.capacity = self.capacity(queue)
        packed = pack_targets(targets)
        r.message.targets = <uint32_t>len(targets)
        r.message.target_bytes = <uint32_t>len(packed)
        r.message.target_data = packed
        r.message.data = body
        r.message.size = <uint32_t>len(body)
        r.message.life = self.life
        result = self.run(&r)
        if result == SHM_NO_MEMORY:
            raise ChannelFull(
                f"no memory for a message of {len(body)} bytes to channel {queue!r}: the "
                f"message_memory of prefix {self.prefix!r}, or /dev/shm, is full; its readers are "
                "slower than its senders"
            )
        return result == SHM_OK

    def push_group(self, str group not None, bytes body not None):
        """Put an entry into the queue of each member; queue and targets of what was dropped."""
        cdef request_t r
        shm_begin(&r, SHM_OP_PUSH_GROUP)
        r.message.name = text_of(group)
        r.message.data = body
        r.message.size = <uint32_t>len(body)
        r.message.life = self.life
        self.run(&r)
        return numbered(&r.out)

    def take_one(self, Names names not None, Sleeper sleeper=None):
        """The next entry, as one for a single target, or None; then ``sleeper`` is registered."""
        cdef request_t r
        cdef int result = self.take(&r, names, 1, False, sleeper, False)
        try:
            return first_stored(names, &r.out) if result == SHM_OK else None
        finally:
            shm_out_end(&r.out)

    def take_many(self, Names names not None, uint32_t limit, Sleeper sleeper=None):
        """Up to ``limit`` entries with all their targets; with none ``sleeper`` is registered."""
        cdef request_t r
        cdef int result = self.take(&r, names, limit, True, sleeper, False)
        try:
            return all_stored(names, &r.out) if result == SHM_OK else []
        finally:
            shm_out_end(&r.out)

    cdef int take(
        self, request_t* r, Names names, uint32_t limit, bint whole, Sleeper sleeper, bint tend
    ) except -1:
        cdef Mapping mapping
        cdef int result
        while True:
            shm_begin(r, SHM_OP_TAKE)
            r.names, r.limit, r.whole, r.tend = &names.c, limit, whole, tend
            if sleeper is None:
                return self.run(r)
            mapping = self.bind(sleeper)
            r.waiter, r.client = sleeper.ref, sleeper.client
            result = self.carry_out(mapping, r)
            sleeper.registered = result != SHM_OK
            if result == SHM_OK or result == SHM_NOTHING:
                return result
            shm_out_end(&r.out)
            if result == SHM_NO_MEMORY:
                raise self.no_waits()
            if result != SHM_RETIRED:
                raise self.failure(mapping, result)
            self.renew(mapping)

    # Sleeping

    cdef Mapping bind(self, Sleeper sleeper):
        """Have ``sleeper`` be one of the present mapping; returns that."""
        cdef Mapping mapping
        cdef request_t r
        cdef int result
        cdef uint32_t client
        while True:
            mapping = self.current()
            if sleeper.mapping is mapping:
                return mapping
            client = mapping.client if sleeper.bell is None else (<Bell>sleeper.bell).client
            if sleeper.bell is not None and (<Bell>sleeper.bell).mapping is not mapping:
                raise Moved
            shm_begin(&r, SHM_OP_WAITER)
            r.client = client
            result = self.carry_out(mapping, &r)
            if result == SHM_RETIRED:
                self.renew(mapping)
                continue
            if result == SHM_NO_MEMORY:
                raise self.no_waits()
            if result != SHM_OK:
                raise self.failure(mapping, result)
            sleeper.mapping, sleeper.ref, sleeper.client = mapping, r.waiter, client
            if sleeper.bell is not None:
                (<Bell>sleeper.bell).sleepers[r.waiter] = sleeper
            return mapping

    def await_one(self, Names names not None, Sleeper sleeper not None, deadline):
        """``take_one``, sleeping until there is an entry.

        None after ``deadline``, of ``time.monotonic()``, and once ``sleeper`` was notified.
        """
        cdef request_t r
        cdef bint tend = False
        cdef int result, slept
        while not sleeper.interruption:
            result = self.take(&r, names, 1, False, sleeper, tend)
            try:
                if result == SHM_OK:
                    return first_stored(names, &r.out)
            finally:
                shm_out_end(&r.out)
            slept = self.sleep(sleeper, deadline, True)
            if slept < 0:
                return None
            tend = slept == ETIMEDOUT
        return None

    def await_room(self, str queue not None, Sleeper sleeper not None, deadline):
        """Whether a push may succeed, sleeping until it may; False after ``deadline``."""
        cdef request_t r
        cdef bint tend = False
        cdef int slept
        while True:
            if self.look_for_room(&r, queue, sleeper, tend) == SHM_OK:
                return True
            slept = self.sleep(sleeper, earliest(deadline, r.until), False)
            if slept < 0 and deadline is not None and time.monotonic() >= deadline:
                return False
            tend = slept == ETIMEDOUT

    cdef int sleep(self, Sleeper sleeper, deadline, bint heeds_interruptions) except -2:
        """0 or the errno of the wait; -1 where the deadline has passed, and there was none."""
        cdef uint64_t left = SHM_TICK
        cdef uint32_t* word = &sleeper.waiter().word
        cdef int error
        cdef Mapping mapping = sleeper.mapping
        PyErr_CheckSignals()
        if heeds_interruptions and sleeper.interruption:
            return 0
        if deadline is not None:
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                return -1
            left = min(SHM_TICK, nanoseconds(seconds))
        with nogil:
            error = shm_sleep(word, left)
        if error == EINTR:
            PyErr_CheckSignals()
        if error == ETIMEDOUT and left < SHM_TICK:
            return 0  # the deadline's own end; looked at once more
        return error

    cdef int look_for_room(
        self, request_t* r, str queue, Sleeper sleeper, bint tend
    ) except -1:
        cdef Mapping mapping
        cdef int result
        while True:
            shm_begin(r, SHM_OP_ROOM)
            r.message.name = text_of(queue)
            r.message.capacity = self.capacity(queue)
            r.tend = tend
            if sleeper is None:
                return self.run(r)
            mapping = self.bind(sleeper)
            r.waiter, r.client = sleeper.ref, sleeper.client
            result = self.carry_out(mapping, r)
            sleeper.registered = result != SHM_OK
            if result == SHM_OK or result == SHM_NOTHING:
                return result
            if result == SHM_NO_MEMORY:
                raise self.no_waits()
            if result != SHM_RETIRED:
                raise self.failure(mapping, result)
            self.renew(mapping)

    def room(self, str queue not None, Sleeper sleeper=None):
        """None where a push may succeed; else the seconds until something expires, and
        ``sleeper`` is registered."""
        cdef request_t r
        if self.look_for_room(&r, queue, sleeper, False) == SHM_OK:
            return None
        if r.until == 0xFFFFFFFFFFFFFFFF:
            return float("inf")
        return max(0.0, r.until / MONOTONIC - time.monotonic())

    def withdraw(self, Sleeper sleeper not None):
        """Take a sleeper out; a wake-up that it did not use goes to another.

        Raises nothing: where the lock is not to be had, others pass its wake-ups on.
        """
        cdef request_t r
        cdef Mapping mapping = sleeper.mapping
        cdef int result
        if not sleeper.registered or mapping is None or mapping is not self.mapping:
            return
        shm_begin(&r, SHM_OP_WITHDRAW)
        r.waiter, r.client = sleeper.ref, sleeper.client
        result = self.carry_out(mapping, &r)
        if result != SHM_OK:  # what it has in the segment stays there until the process leaves
            sleeper.mapping, sleeper.ref = None, 0
        sleeper.registered = False

    # Groups

    def group_add(self, str group not None, str queue not None, str local not None, life):
        """Add or renew a membership for ``life`` seconds. Raises ``GroupMemoryFull``."""
        cdef request_t r
        shm_begin(&r, SHM_OP_GROUP_ADD)
        r.group = text_of(group)
        r.message.name = text_of(queue)
        r.local = text_of(local)
        r.message.capacity = self.capacity(queue)
        r.life = nanoseconds(life)
        if self.run(&r) == SHM_NO_MEMORY:
            raise GroupMemoryFull(
                f"no memory to add {queue + local!r} to group {group!r}: the group_memory of "
                f"prefix {self.prefix!r}, or /dev/shm, is full; raise group_memory, or lower "
                "group_expiry"
            )

    def group_discard(self, str group not None, str queue not None, str local not None):
        """Remove a membership, if there is one."""
        cdef request_t r
        shm_begin(&r, SHM_OP_GROUP_DISCARD)
        r.group = text_of(group)
        r.message.name = text_of(queue)
        r.local = text_of(local)
        self.run(&r)

    def group_channels(self, str group not None):
        """The full names of the members."""
        cdef request_t r
        shm_begin(&r, SHM_OP_GROUP_LIST)
        r.group = text_of(group)
        self.run(&r)
        return [name for name, _ in numbered(&r.out)]

    # What is known

    def exists(self, str queue not None, str local not None):
        """Whether a message waits for a channel, or it is a member of a group."""
        cdef request_t r
        shm_begin(&r, SHM_OP_EXISTS)
        r.message.name = text_of(queue)
        r.local = text_of(local)
        return self.run(&r) == SHM_OK

    def queues(self):
        """The queues that hold entries, and how many."""
        cdef request_t r
        shm_begin(&r, SHM_OP_QUEUES)
        self.run(&r)
        return numbered(&r.out)

    def generation(self, str queue):
        """Changes when the segment is another, was flushed, or ``queue`` was evicted."""
        cdef request_t r
        shm_begin(&r, SHM_OP_GENERATION)
        if queue is not None:
            r.message.name = text_of(queue)
        self.run(&r)
        return f"{r.id:x}.{r.flushes}.{r.evictions}"

    def statistics(self, str queue):
        """Sent, full, pending, sent and full in the last second, and the oldest age in seconds."""
        cdef request_t r
        shm_begin(&r, SHM_OP_STATISTICS)
        if queue is not None:
            r.message.name = text_of(queue)
        self.run(&r)
        return (
            r.figures.sent, r.figures.full, r.figures.pending, r.figures.sent_lately,
            r.figures.full_lately, r.figures.age / MONOTONIC,
        )

    def flush(self):
        """Remove all entries and groups."""
        cdef request_t r
        shm_begin(&r, SHM_OP_FLUSH)
        self.run(&r)

    # What listeners announce

    def announce(self, str listener not None, channels, life):
        """Keep what a listener of a name of at most 200 ASCII characters listens to."""
        cdef request_t r
        cdef bytes data = listener.encode("ascii") + pack_targets(tuple(sorted(channels)))
        shm_begin(&r, SHM_OP_ANNOUNCE)
        r.local = text_of(listener)
        r.message.data = data
        r.message.size = <uint32_t>len(data)
        r.life = nanoseconds(life)
        if self.run(&r) == SHM_NO_MEMORY:
            raise self.no_waits()

    def is_listened_to(self, str queue not None):
        """Whether somebody announced ``queue``, or nobody anything."""
        cdef Mapping mapping = self.current()
        if (
            self.announced_in is not mapping
            or mapping.s.header.notes_version != self.announced_version
            or mapping.s.header.retired
            or shm_now() >= self.announced_until
        ):
            self.read_announcements()
        return not self.announced or queue in self.announced

    cdef int read_announcements(self) except -1:
        cdef request_t r
        cdef Mapping mapping = self.current()
        cdef uint32_t version = mapping.s.header.notes_version
        shm_begin(&r, SHM_OP_NOTES)
        self.run(&r)
        self.announced = frozenset(unpack_targets(r.out.data, r.out.size))
        shm_out_end(&r.out)
        self.announced_in = mapping if mapping is self.mapping else None
        self.announced_version, self.announced_until = version, r.until
        return 0

    # For the command and for tests

    def retire(self):
        """Remove the segment; its clients go over to a new one when they next use it."""
        cdef request_t r
        cdef Mapping mapping = self.current()
        shm_begin(&r, SHM_OP_RETIRE)
        self.carry_out(mapping, &r)
        self.renew(mapping)

    def check(self):
        """What is wrong with the segment, None where every invariant holds."""
        cdef request_t r
        shm_begin(&r, SHM_OP_CHECK)
        self.run(&r)
        return None if r.wrong == NULL else r.wrong.decode()

    def describe(self):
        """What the segment holds, in numbers by name."""
        cdef request_t r
        cdef description_t* d = &r.description
        shm_begin(&r, SHM_OP_DESCRIBE)
        self.run(&r)
        found = {
            "messages_pending": d.pending, "channels": d.channels, "groups": d.groups,
            "memberships": d.memberships, "listeners": d.notes, "recoveries": d.recoveries,
            "clients": d.clients, "clients_elsewhere": d.living, "readers_waiting": d.waiting[0],
            "senders_waiting": d.waiting[1], "born": d.born,
        }
        for number, name in enumerate(("message", "group", "wait")):
            found[f"{name}_memory"] = d.size[number]
            found[f"{name}_memory_granted"] = d.granted[number]
            found[f"{name}_memory_used"] = d.used[number]
        return found


include "shm_bell.pxi"
include "shm_values.pxi"


def crash_at(int64_t step):
    """Die at the store with this number, in the test build; 0 for none. Begins to count anew."""
    shm_set_crash(step)


def steps():
    """The stores since ``crash_at``, in the test build; else 0."""
    return shm_count_steps()
