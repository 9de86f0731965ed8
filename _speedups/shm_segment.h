/* Making, opening and locking a segment. */
#ifndef SHM_SEGMENT_H
#define SHM_SEGMENT_H

#include "shm_layout.h"

/* Why a segment was refused, beside the values of errno. */
enum {
    SHM_REFUSED = 1000,
    SHM_NOT_OURS,     /* another owner, or others may write to it */
    SHM_NO_SEGMENT,   /* a file that never was one, or too short */
    SHM_OTHER_LAYOUT, /* version, mutex or C library differ */
    SHM_OTHER_PIDS,   /* made in another PID namespace */
    SHM_OTHER_SIZES
};

static inline uint64_t shm_align(uint64_t size, uint64_t to) { return (size + to - 1) / to * to; }

static inline uint32_t shm_power(uint64_t least) {
    uint32_t power = 1024;
    while (power < least && power < (1u << 26)) power <<= 1;
    return power;
}

static uint64_t shm_pid_namespace(void) {
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static void shm_libc(char *name, size_t size) {
#ifdef __GLIBC__
    snprintf(name, size, "glibc %s", gnu_get_libc_version());
#else
    snprintf(name, size, "other");
#endif
}

/* Where everything lies in a segment with so much memory. */
static void shm_measure(segment_t *s, uint64_t message_memory, uint64_t group_memory) {
    s->size[SHM_MESSAGES] = shm_align(message_memory, SHM_GROWTH);
    s->size[SHM_GROUPS] = shm_align(group_memory, SHM_GROWTH);
    s->size[SHM_WAITS] = SHM_WAITS_BYTES;
    uint64_t at = shm_align(sizeof(header_t), 4096);
    s->clients = (client_t *)at;
    at += sizeof(client_t) * SHM_CLIENTS;
    uint32_t slabs = 0;
    for (int arena = 0; arena < SHM_ARENAS; arena++) {
        s->first_slab[arena] = slabs;
        s->slabs[arena] = (uint32_t)(s->size[arena] / SHM_SLAB);
        slabs += s->slabs[arena];
    }
    at = shm_align(at, 64);
    s->slab_table = (slab_t *)at;
    at = shm_align(at + sizeof(slab_t) * slabs, 64);
    s->step_table = (step_t *)at;
    at = shm_align(at + sizeof(step_t) * (slabs / SHM_SLABS_A_STEP), 4096);
    const uint64_t share[SHM_ARENAS] = {2048, 512, 512};
    for (int arena = 0; arena < SHM_ARENAS; arena++) {
        uint32_t buckets = shm_power(s->size[arena] / share[arena]);
        s->buckets[arena] = (uint32_t *)at;
        s->mask[arena] = buckets - 1;
        at += sizeof(uint32_t) * buckets;
    }
    s->fixed = at = shm_align(at, 4096);
    for (int heap = 0; heap < 2; heap++) {
        s->heap[heap] = (heap_item_t *)at;
        s->heap_size[heap] = s->size[heap] / 16;
        at += shm_align(s->heap_size[heap], 4096);
    }
    at = shm_align(at, SHM_GROWTH);
    for (int arena = 0; arena < SHM_ARENAS; arena++) {
        s->start[arena] = at;
        at += s->size[arena];
    }
    s->total = at + 4096; /* a name that a scribble made longer is read beyond its cell */
    s->guard = (uint32_t)(at / SHM_UNIT);
    s->byte_limit = s->size[SHM_MESSAGES] / 2;
}

/* Turn the offsets of ``shm_measure`` into pointers. */
static void shm_place(segment_t *s, char *base) {
    s->base = base;
    s->header = (header_t *)base;
    s->clients = (client_t *)(base + (uintptr_t)s->clients);
    s->slab_table = (slab_t *)(base + (uintptr_t)s->slab_table);
    s->step_table = (step_t *)(base + (uintptr_t)s->step_table);
    for (int arena = 0; arena < SHM_ARENAS; arena++)
        s->buckets[arena] = (uint32_t *)(base + (uintptr_t)s->buckets[arena]);
    for (int heap = 0; heap < 2; heap++)
        s->heap[heap] = (heap_item_t *)(base + (uintptr_t)s->heap[heap]);
}

static int shm_map(segment_t *s) {
    char *base = mmap(NULL, s->total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
    if (base == MAP_FAILED) return errno;
    shm_place(s, base);
    return 0;
}

static int shm_random(void *to, size_t size) {
    return getrandom(to, size, 0) == (ssize_t)size ? 0 : EIO;
}

static int shm_init_mutex(header_t *header) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error) return error;
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    error = pthread_mutex_init(&header->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
#ifdef __GLIBC__
    header->mutex_kind = header->mutex.__data.__kind;
#endif
    return error;
}

static int shm_fill_header(segment_t *s, uint64_t message_memory, uint64_t group_memory) {
    header_t *header = s->header;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    header->version = SHM_VERSION;
    header->mutex_size = sizeof(pthread_mutex_t);
    shm_libc(header->libc, sizeof header->libc);
    header->pid_namespace = shm_pid_namespace();
    header->total = s->total;
    header->message_memory = message_memory;
    header->group_memory = group_memory;
    header->born = (int64_t)now.tv_sec;
    int error = shm_random(&header->seed, sizeof header->seed);
    if (!error) error = shm_random(&header->epoch, sizeof header->epoch);
    if (!error) error = shm_init_mutex(header);
    header->magic = SHM_MAGIC;
    return error;
}

/* Give a finished file its name; EEXIST where another was faster. */
static int shm_publish(segment_t *s) {
    char own[64];
    snprintf(own, sizeof own, "/proc/self/fd/%d", s->fd);
    return linkat(AT_FDCWD, own, AT_FDCWD, s->path, AT_SYMLINK_FOLLOW) ? errno : 0;
}

/* Make a segment. It has no name until it is complete, so nobody ever sees half of one. */
static int shm_create(segment_t *s, uint64_t message_memory, uint64_t group_memory) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s", s->path);
    *strrchr(folder, '/') = 0;
    shm_measure(s, message_memory, group_memory);
    s->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0) return errno;
    int error = fchmod(s->fd, 0600) || ftruncate(s->fd, (off_t)s->total) ? errno : 0;
    if (!error) error = shm_grant(s, 0, s->fixed);
    if (!error) error = shm_grant(s, s->total - 4096, 4096);
    if (!error) error = shm_map(s);
    if (!error) error = shm_fill_header(s, message_memory, group_memory);
    if (!error) error = shm_publish(s);
    return error;
}

/* What does not fit in the header of a file of ``size`` bytes. */
static int shm_compare(const header_t *header, uint64_t size) {
    char libc[sizeof header->libc] = {0};
    shm_libc(libc, sizeof libc);
    if (header->magic != SHM_MAGIC) return SHM_NO_SEGMENT;
    if (header->version != SHM_VERSION || header->mutex_size != sizeof(pthread_mutex_t) ||
        memcmp(header->libc, libc, sizeof libc))
        return SHM_OTHER_LAYOUT;
    if (header->pid_namespace != shm_pid_namespace()) return SHM_OTHER_PIDS;
    if (header->total != size) return SHM_NO_SEGMENT;
    return 0;
}

static int shm_open_file(segment_t *s, uint64_t *size) {
    struct stat status;
    s->fd = open(s->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (s->fd < 0) return errno;
    if (fstat(s->fd, &status)) return errno;
    if (!S_ISREG(status.st_mode)) return SHM_NO_SEGMENT;
    if (status.st_uid != geteuid() || status.st_mode & 077) return SHM_NOT_OURS;
    if ((uint64_t)status.st_size < shm_align(sizeof(header_t), 4096)) return SHM_NO_SEGMENT;
    *size = (uint64_t)status.st_size;
    return 0;
}

/* Open an existing segment; memories of 0 take what it has. */
static int shm_open_existing(segment_t *s, uint64_t message_memory, uint64_t group_memory) {
    uint64_t size = 0;
    header_t header;
    int error = shm_open_file(s, &size);
    if (error) return error;
    ssize_t got = pread(s->fd, &header, sizeof header, 0);
    if (got != (ssize_t)sizeof header) return got < 0 ? errno : SHM_NO_SEGMENT;
    error = shm_compare(&header, size);
    if (error) return error;
    if ((message_memory && header.message_memory != message_memory) ||
        (group_memory && header.group_memory != group_memory))
        return SHM_OTHER_SIZES;
    if (header.message_memory > size || header.group_memory > size) return SHM_NO_SEGMENT;
    shm_measure(s, header.message_memory, header.group_memory);
    if (s->total != size) return SHM_NO_SEGMENT;
    return shm_map(s);
}

static void shm_close(segment_t *s) {
    for (int n = 0; n < 64; n++)
        if (s->bells[n].id) close(s->bells[n].fd);
    if (s->base) munmap(s->base, s->total);
    if (s->fd >= 0) close(s->fd);
    pthread_mutex_destroy(&s->bells_lock);
    memset(s, 0, sizeof *s);
    s->fd = -1;
}

/* Take the name from a segment, if it still has it. Under its lock, so that nobody else does. */
static void shm_unname(segment_t *s) {
    struct stat own, named;
    if (fstat(s->fd, &own) == 0 && lstat(s->path, &named) == 0 && own.st_ino == named.st_ino &&
        own.st_dev == named.st_dev)
        unlink(s->path);
}

/* The lock */

static int shm_is_sane(const header_t *header) {
#ifdef __GLIBC__
    /* glibc aborts the process for some values that a scribble may leave. PTHREAD_MUTEX_ROBUST of
     * a process-shared mutex has these bits. */
    return header->mutex.__data.__kind == header->mutex_kind && header->mutex_kind == (128 | 16);
#else
    return 1;
#endif
}

static inline void shm_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

/* Take the lock; EOWNERDEAD where its last owner died with it. */
static int shm_take_lock(segment_t *s, uint64_t nanoseconds) {
    struct timespec until;
    if (!shm_is_sane(s->header)) return ENOTRECOVERABLE;
    if (nanoseconds == 0) {
        int error = EBUSY; /* whoever has it is soon done, unless it does not run */
        for (int n = 0; n < 100 && error == EBUSY; n++) {
            error = pthread_mutex_trylock(&s->header->mutex);
            if (error == EBUSY) shm_pause();
        }
        return error;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t end = (uint64_t)until.tv_nsec + nanoseconds;
    until.tv_sec += (time_t)(end / 1000000000u);
    until.tv_nsec = (long)(end % 1000000000u);
    return pthread_mutex_timedlock(&s->header->mutex, &until);
}

#endif
