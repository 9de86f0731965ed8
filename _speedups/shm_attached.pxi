"""Attaching to a segment, carrying out requests, and what is said where that fails."""


cdef class Attached:
    """A layer object's hold on the segment at ``path``: requests go to the one that is there.

    ``expiry`` in seconds; ``capacity_of`` gives the capacity of a queue. Memories are in bytes;
    None takes those of a segment that exists. Raises ``SegmentRefused``.
    """

    cdef Mapping mapping
    cdef readonly str path
    cdef readonly str prefix
    cdef object message_memory, group_memory, capacity_of
    cdef dict capacities
    cdef uint64_t life, patience
    cdef object announced
    cdef uint64_t announced_until
    cdef uint32_t announced_version
    cdef Mapping announced_in
    cdef bint create

    def __init__(
        self, prefix, path, message_memory, group_memory, expiry, capacity_of, lock_timeout,
        create=True,
    ):
        self.prefix, self.path = prefix, path
        self.message_memory, self.group_memory = message_memory, group_memory
        self.capacity_of = capacity_of
        self.capacities = {}
        self.life = nanoseconds(expiry)
        self.patience = max(<uint64_t>1, nanoseconds(lock_timeout))
        self.create = create
        self.mapping = self.attached()

    # Attaching

    def after_fork(self):
        """Let go of what is the parent's; the child attaches when it first needs to."""
        self.mapping = None
        self.announced_in = None

    def close(self):
        """Leave the segment. It is attached to again where it is used again."""
        self.mapping = None
        self.announced_in = None

    cdef Mapping current(self):
        cdef Mapping mapping = self.mapping
        if mapping is None:
            mapping = self.attached()
            if self.mapping is None:
                self.mapping = mapping
            else:  # another thread was faster
                mapping = self.mapping
        return mapping

    cdef int renew(self, Mapping old) except -1:
        """Go over to the segment that took the place of a removed one."""
        if self.mapping is old:
            self.mapping = None
        return 0

    cdef Mapping attached(self):
        cdef Mapping mapping
        cdef int error, attempt
        for attempt in range(100):
            mapping = Mapping()
            error = self.opened(mapping)
            if error == ENOENT and self.create:
                mapping = Mapping()
                error = self.created(mapping)
                if error == EEXIST:
                    continue  # another process was faster
            if error:
                raise self.refusal(error)
            if self.join(mapping):
                return mapping
            # It is being removed: its name is gone, or is about to go.
            if not self.create:
                raise self.refusal(ENOENT)
            time.sleep(0)
        raise self.refusal(EEXIST)

    cdef int set_path(self, Mapping mapping) except -1:
        cdef bytes path = os.fsencode(self.path)
        if len(path) >= 500:
            raise SegmentRefused(f"the path {self.path!r} of a segment is too long")
        memcpy(mapping.s.path, <const char*>path, len(path) + 1)
        mapping.s.pid = getpid()
        return 0

    cdef int opened(self, Mapping mapping) except -1:
        self.set_path(mapping)
        return shm_open_existing(&mapping.s, self.message_memory or 0, self.group_memory or 0)

    cdef int created(self, Mapping mapping) except -1:
        self.set_path(mapping)
        return shm_create(&mapping.s, self.message_memory, self.group_memory)

    cdef bint join(self, Mapping mapping) except -1:
        """Become a client of a mapping; False where it was retired."""
        cdef uint32_t client = self.joined(mapping, drawn(), 0)
        if client == NOBODY:
            return False
        mapping.client, mapping.joined = client, True
        return True

    cdef uint32_t joined(self, Mapping mapping, uint64_t identity, uint32_t bell) except? 0:
        """A new client's number; NOBODY where the segment was retired."""
        cdef request_t r
        cdef int result
        shm_begin(&r, SHM_OP_JOIN)
        r.id, r.bell = identity, bell
        result = self.carry_out(mapping, &r)
        if result == SHM_RETIRED:
            return NOBODY
        if result == SHM_NO_MEMORY:
            raise LayerUnavailable(
                f"the segment of prefix {self.prefix!r} has {SHM_CLIENTS} clients, which is all it "
                "takes: share one layer object in each process"
            )
        if result != SHM_OK:
            raise self.failure(mapping, result)
        return r.client - 1

    # Requests

    cdef int carry_out(self, Mapping mapping, request_t* r) except -1:
        cdef int result = shm_perform(&mapping.s, r, 0)
        if result == SHM_BUSY:
            with nogil:
                result = shm_perform(&mapping.s, r, self.patience)
        if r.wakes.count:
            shm_deliver(&mapping.s, &r.wakes)
        return result

    cdef int run(self, request_t* r) except -1:
        """Carry out a request that belongs to no mapping; its result, of those that are no
        failure."""
        cdef Mapping mapping
        cdef int result
        while True:
            mapping = self.current()
            result = self.carry_out(mapping, r)
            if result <= SHM_NO_MEMORY:
                return result
            if result != SHM_RETIRED:
                shm_out_end(&r.out)
                raise self.failure(mapping, result)
            self.renew(mapping)

    cdef object failure(self, Mapping mapping, int result):
        if result == SHM_BUSY:
            owner = mapping.s.header.owner
            return LayerUnavailable(
                f"the lock of the shared memory of prefix {self.prefix!r} was not free within "
                f"{self.patience / MONOTONIC:g} s: process {owner}, which took it last, is stopped "
                "or does not run; continue or end it"
            )
        if result == SHM_NO_HEAP:
            return MemoryError()
        return SegmentRefused(
            f"the shared memory of prefix {self.prefix!r} is damaged beyond repair; "
            + self.remedy()
        )

    cdef object no_waits(self):
        return LayerUnavailable(
            f"the shared memory of prefix {self.prefix!r} has no room for more waits: too many "
            "channels are waited for at once"
        )

    cdef object remedy(self):
        return f"stop its processes and run: manage.py ipcsegment {self.prefix} --remove"

    cdef object refusal(self, int error):
        what = f"the shared memory of prefix {self.prefix!r} ({self.path}) "
        if error == SHM_NOT_OURS:
            return SegmentRefused(
                what + "belongs to another user, or others may use it; choose another prefix, or "
                "run all processes of the project as one user"
            )
        if error == SHM_NO_SEGMENT or error == ELOOP:
            return SegmentRefused(
                what + "is no segment of this layer, or was truncated; " + self.remedy()
            )
        if error == SHM_OTHER_LAYOUT:
            return SegmentRefused(
                what + "was made by another version of channels-batteries, or with another C "
                "library; " + self.remedy()
            )
        if error == SHM_OTHER_PIDS:
            return SegmentRefused(
                what + "was made in another PID namespace, such as another container, where its "
                "lock cannot work; share the namespace, or " + self.remedy()
            )
        if error == SHM_OTHER_SIZES:
            return SegmentRefused(
                what + "has another message_memory or group_memory; give all processes the same, "
                "or " + self.remedy()
            )
        if error == ENOSPC or error == ENOMEM:
            return SegmentRefused(
                what + "does not fit into shared memory, which is full; in a container, make "
                "/dev/shm larger, such as by docker run --shm-size"
            )
        return SegmentRefused(f"{what}cannot be opened: {strerror(error).decode()}")
