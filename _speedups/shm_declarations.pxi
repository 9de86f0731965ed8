"""What the headers offer."""

from cpython.object cimport PyObject

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(str name, Py_ssize_t* size) except NULL
    str PyUnicode_DecodeASCII(const char* at, Py_ssize_t size, const char* errors)

cdef extern from "errno.h":
    int ELOOP

cdef extern from "pthread.h":
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes) nogil

cdef extern from *:
    """
    #include "shm_core.h"
    #ifdef SHM_CRASH_POINTS
    static void shm_set_crash(int64_t step) { shm_steps = 0; shm_crash_at = step; }
    static int64_t shm_count_steps(void) { return shm_steps; }
    #else
    static void shm_set_crash(int64_t step) { (void)step; }
    static int64_t shm_count_steps(void) { return 0; }
    #endif
    """
    void shm_set_crash(int64_t step)
    int64_t shm_count_steps()
    void __sync_synchronize() noexcept nogil

    const uint64_t SHM_TICK
    const uint32_t SHM_UNIT, SHM_CLIENTS
    const int SHM_OK, SHM_NOTHING, SHM_FULL, SHM_NO_MEMORY, SHM_NO_HEAP, SHM_BUSY, SHM_RETIRED
    const int SHM_NOT_OURS, SHM_NO_SEGMENT, SHM_OTHER_LAYOUT, SHM_OTHER_PIDS, SHM_OTHER_SIZES
    const uint32_t SHM_WOKEN
    const int SHM_OP_PUSH, SHM_OP_TAKE, SHM_OP_ROOM, SHM_OP_WITHDRAW, SHM_OP_WAITER
    const int SHM_OP_FREE_WAITER, SHM_OP_EXISTS, SHM_OP_QUEUES, SHM_OP_GENERATION
    const int SHM_OP_STATISTICS, SHM_OP_GROUP_ADD, SHM_OP_GROUP_DISCARD, SHM_OP_GROUP_LIST
    const int SHM_OP_PUSH_GROUP, SHM_OP_FLUSH, SHM_OP_ANNOUNCE, SHM_OP_NOTES, SHM_OP_JOIN
    const int SHM_OP_QUIT, SHM_OP_WOKEN, SHM_OP_RETIRE, SHM_OP_CHECK, SHM_OP_DESCRIBE

    ctypedef struct text_t:
        const char* at
        uint32_t length
        uint32_t hash
    ctypedef struct names_t:
        uint32_t count
        uint32_t turn
        uint64_t seed
        text_t* names
    ctypedef struct header_t:
        uint32_t owner
        uint32_t retired
        uint32_t notes_version
    ctypedef struct segment_t:
        char* base
        header_t* header
        int fd
        int pid
        char path[512]
        pthread_mutex_t bells_lock
    ctypedef struct waiter_t:
        uint32_t word
    ctypedef struct message_t:
        text_t name
        uint32_t capacity
        uint32_t targets
        uint32_t target_bytes
        const char* target_data
        const char* data
        uint32_t size
        uint64_t life
    ctypedef struct wakes_t:
        uint32_t count
    ctypedef struct out_t:
        char* data
        size_t size
    ctypedef struct figures_t:
        uint64_t sent
        uint64_t full
        uint64_t pending
        uint64_t sent_lately
        uint64_t full_lately
        uint64_t age
    ctypedef struct description_t:
        uint64_t used[3]
        uint64_t granted[3]
        uint64_t size[3]
        uint64_t pending
        uint64_t channels
        uint64_t groups
        uint64_t memberships
        uint64_t recoveries
        uint64_t notes
        uint32_t clients
        uint32_t living
        uint32_t waiting[2]
        int64_t born
    ctypedef struct request_t:
        int op
        int tend
        int whole
        message_t message
        text_t group
        text_t local
        names_t* names
        uint32_t limit
        uint32_t client
        uint32_t bell
        uint32_t waiter
        uint64_t id
        uint64_t life
        uint64_t until
        uint64_t flushes
        uint64_t evictions
        const char* wrong
        figures_t figures
        description_t description
        wakes_t wakes
        out_t out

    void shm_begin(request_t* r, int op) noexcept nogil
    void shm_out_end(out_t* out) noexcept nogil
    int shm_perform(segment_t* s, request_t* r, uint64_t patience) noexcept nogil
    void shm_deliver(segment_t* s, wakes_t* wakes) noexcept nogil
    int shm_sleep(uint32_t* word, uint64_t nanoseconds) noexcept nogil
    void shm_rouse(uint32_t* word) noexcept nogil
    int shm_open_existing(segment_t* s, uint64_t messages, uint64_t groups) noexcept nogil
    int shm_create(segment_t* s, uint64_t messages, uint64_t groups) noexcept nogil
    void shm_close(segment_t* s) noexcept nogil
    uint64_t shm_now() noexcept nogil
