"""Being woken in an event loop."""


cdef class Bell:
    """A FIFO by which the sleepers of one event loop are woken; ``fileno`` is to be watched."""

    cdef Mapping mapping
    cdef Segment segment
    cdef uint32_t client
    cdef int fd
    cdef str path
    cdef dict sleepers
    cdef object __weakref__

    def __init__(self, Segment segment not None):
        self.fd = -1
        self.client = NOBODY
        self.sleepers = {}
        self.segment = segment
        while self.client == NOBODY:
            self.open(segment, segment.current())

    cdef int open(self, Segment segment, Mapping mapping) except -1:
        """Become a client, then make the FIFO: who dies in between leaves no file behind."""
        cdef uint64_t identity = drawn()
        self.client = segment.joined(mapping, identity, 1)
        if self.client == NOBODY:
            segment.renew(mapping)
            return 0
        self.mapping = mapping
        self.path = f"{segment.path}.{identity:016x}"
        try:
            os.mkfifo(self.path, 0o600)
            self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self.leave()
            raise
        return 0

    cdef int unlink(self) except -1:
        try:
            os.unlink(self.path)
        except OSError:
            pass  # it was removed with the segment, or by whoever took us for dead
        return 0

    def fileno(self):
        return self.fd

    def is_current(self):
        """Whether its segment is still the layer's."""
        return self.mapping is not None and self.mapping is self.segment.mapping

    def woken(self, bint tend):
        """The sleepers that were woken since they registered; all of them once the segment was
        removed. With ``tend`` those of others who died are looked after."""
        cdef request_t r
        cdef int result
        cdef uint32_t* refs
        if self.mapping is None:
            return []
        try:
            os.read(self.fd, 65536)
        except BlockingIOError:
            pass
        shm_begin(&r, SHM_OP_WOKEN)
        r.client, r.tend = self.client, tend
        result = self.segment.carry_out(self.mapping, &r)
        try:
            if result == SHM_RETIRED:
                self.segment.renew(self.mapping)
                return list(self.sleepers.values())
            if result != SHM_OK:
                raise self.segment.failure(self.mapping, result)
            refs = <uint32_t*>r.out.data
            found = [self.sleepers.get(refs[n]) for n in range(r.out.size // sizeof(uint32_t))]
            return [sleeper for sleeper in found if sleeper is not None]
        finally:
            shm_out_end(&r.out)

    def leave(self):
        """Be no client any more. The descriptor stays open, since the loop may be watching it."""
        cdef request_t r
        cdef Mapping mapping = self.mapping
        self.mapping = None
        if mapping is None or mapping.s.pid != getpid():
            return
        self.unlink()
        shm_begin(&r, SHM_OP_QUIT)
        r.client = self.client
        self.segment.carry_out(mapping, &r)

    def close(self):
        """Close the descriptor, which nobody may watch any more."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
