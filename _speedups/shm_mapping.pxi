"""What a process has of a segment: its mapping, prepared names, and places to sleep in."""


cdef inline text_t text_of(str name) except *:
    """The characters of an ASCII str, which the caller keeps alive; hashed later."""
    cdef Py_ssize_t size
    cdef text_t text
    text.at = PyUnicode_AsUTF8AndSize(name, &size)
    text.length = <uint32_t>size
    text.hash = 0
    return text


cdef inline str ascii_str(const char* at, Py_ssize_t size):
    return PyUnicode_DecodeASCII(at, size, "replace")


cdef class Names:
    """The queues of a receive, prepared, and whose turn it is."""

    cdef names_t c
    cdef readonly tuple queues

    def __cinit__(self, queues):
        cdef Py_ssize_t number
        self.queues = tuple(queues)
        self.c.count = <uint32_t>len(self.queues)
        self.c.names = <text_t*>malloc(sizeof(text_t) * (len(self.queues) + 1))
        if self.c.names == NULL:
            raise MemoryError
        for number in range(len(self.queues)):
            self.c.names[number] = text_of(self.queues[number])

    def __dealloc__(self):
        free(self.c.names)


cdef class Mapping:
    """A segment as this process has it mapped. Lives as long as anybody uses it."""

    cdef segment_t s
    cdef uint32_t client
    cdef bint joined

    def __cinit__(self):
        memset(&self.s, 0, sizeof(segment_t))
        self.s.fd = -1
        self.client = NOBODY
        pthread_mutex_init(&self.s.bells_lock, NULL)

    def __dealloc__(self):
        cdef request_t r
        if self.joined and self.s.base != NULL and getpid() == self.s.pid:
            shm_begin(&r, SHM_OP_QUIT)
            r.client = self.client
            shm_perform(&self.s, &r, <uint64_t>100_000_000)
            shm_deliver(&self.s, &r.wakes)
        shm_close(&self.s)


class Moved(Exception):
    """The bell of a sleeper belongs to a segment whose place another took: make a new one."""


cdef class Sleeper:
    """A place to sleep in: a futex, or with ``bell`` a mark that the bell's owner finds.

    ``interrupted`` says that ``notify`` was called since ``begin``.
    """

    cdef Mapping mapping
    cdef uint32_t client
    cdef uint32_t ref
    cdef bint registered
    cdef volatile int interruption
    cdef object __weakref__
    cdef readonly object bell

    def __init__(self, bell=None):
        self.bell = bell
        self.client = NOBODY

    @property
    def interrupted(self):
        return bool(self.interruption)

    def begin(self):
        """Forget an interruption."""
        self.interruption = 0

    def notify(self):
        """Wake whoever sleeps here. Takes no lock; for any thread, and for signal handlers."""
        cdef uint32_t* word
        self.interruption = 1
        __sync_synchronize()
        if self.mapping is not None and self.ref:
            word = &self.waiter().word
            word[0] = SHM_WOKEN
            shm_rouse(word)
        return True

    cdef waiter_t* waiter(self) noexcept:
        return <waiter_t*>(self.mapping.s.base + <uint64_t>self.ref * SHM_UNIT)

    def __dealloc__(self):
        cdef request_t r
        cdef Mapping mapping = self.mapping
        if mapping is None or not self.ref or getpid() != mapping.s.pid:
            return
        shm_begin(&r, SHM_OP_FREE_WAITER)
        r.waiter, r.client = self.ref, self.client
        shm_perform(&mapping.s, &r, <uint64_t>100_000_000)
        shm_deliver(&mapping.s, &r.wakes)
