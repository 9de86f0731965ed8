/* How a segment of shared memory is laid out, and the two ways in which it is written to.
 *
 * A segment has a header, tables, and three arenas of cells: messages, groups and waits. What a
 * segment *says* stands in the cells' headers and in a few words that are written by one store,
 * with COMMIT. Everything else - free lists, indexes, queues, counts - follows from that and can be
 * built anew (shm_recovery.h); it is written with PUT. So a process may die between any two
 * stores.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#define SHM_MAGIC UINT64_C(0x314d48534c4e4843) /* "CHNLSHM1" */
/* Changes with any change of this file, and of what the other headers write. */
#define SHM_VERSION 2

#define SHM_UNIT 64u           /* bytes that a reference counts in */
#define SHM_SLAB (64u << 10)   /* bytes of a slab, whose cells are all of one size */
#define SHM_GROWTH (1u << 20)  /* bytes by which memory is asked for and given back */
#define SHM_SLABS_A_STEP (SHM_GROWTH / SHM_SLAB)
#define SHM_CLASSES 7          /* sizes of cells: 64, 128 ... 4096 */
#define SHM_LARGEST 4096u
#define SHM_CLIENTS 4096u      /* layer objects and event loops, of all processes together */
#define SHM_WAITS_BYTES (16u << 20)
#define SHM_MAX_TARGETS 2000u
#define SHM_MAX_NAME 200u
#define SHM_REMEMBERED 10000u  /* idle channels whose counts are kept */
#define SHM_PASSING 1000u      /* the same for names that were made for one use */
#define SHM_FORGOTTEN 1024u    /* counts of evictions of channels that were forgotten, by hash */
#define SHM_LOCKS (INT64_C(1) << 40) /* where the bytes lie whose locks tell who is alive */
#define SHM_TICK UINT64_C(1000000000) /* nanoseconds after which a sleeper looks after others */

typedef uint32_t ref_t; /* where a cell begins, in units from the segment's begin; 0 is none */

enum { SHM_MESSAGES, SHM_GROUPS, SHM_WAITS, SHM_ARENAS };
enum { SHM_READERS, SHM_SENDERS, SHM_SIDES };

/* What a cell holds. Its first word; 0 means free. */
enum {
    SHM_FREE = 0,
    SHM_MORE = 0x51ce0001, /* the continuation of another cell */
    SHM_CHANNEL,
    SHM_ENTRY,
    SHM_BODY,
    SHM_GROUP,
    SHM_HOLDER,
    SHM_PARTY,
    SHM_MEMBERSHIP,
    SHM_LINE,
    SHM_WAIT,
    SHM_WAITER,
    SHM_NOTE,
    SHM_KINDS_END
};

/* What operations return. */
enum {
    SHM_OK,
    SHM_NOTHING,   /* there is nothing to take; no room */
    SHM_FULL,      /* the channel is at its capacity */
    SHM_NO_MEMORY, /* its part of the segment, or /dev/shm, is full */
    SHM_NO_HEAP,   /* malloc failed */
    SHM_BUSY,      /* the lock was not free in time */
    SHM_RETIRED,   /* the segment was removed */
    SHM_CORRUPT,   /* what was read makes no sense, and building anew did not help */
    SHM_BROKEN     /* the lock itself is unusable */
};

typedef struct {
    uint32_t kind;
    ref_t chain;   /* the cell in which the object goes on */
    ref_t link;    /* the next of a free list, or of a chain of the index */
    uint32_t size; /* bytes of the object, all its cells together, without their headers */
} cell_t;

/* Events in all, and by tenths of a second. */
typedef struct {
    uint64_t total;
    uint32_t slot;
    uint32_t recent[10];
    uint32_t unused;
} tally_t;

/* A channel that was used lately, up to the "!". */
typedef struct {
    cell_t cell;
    uint32_t hash;
    uint16_t length;
    uint8_t process, passing;
    ref_t first, last;   /* its entries, oldest first */
    ref_t older, newer;  /* its neighbours among the idle ones */
    uint32_t count, agenda, capacity;
    uint32_t evictions;  /* committed */
    uint64_t bytes;
    uint32_t evicting;   /* committed: an eviction that was begun has to be ended */
    uint32_t idle;       /* whether it stands among the idle ones */
    tally_t sent, full;
    char name[];
} channel_t;

typedef struct {
    cell_t cell;
    uint64_t order;    /* grows with each entry of the segment */
    uint64_t created, deadline;
    uint64_t position; /* committed: targets taken << 32 | bytes of these */
    ref_t channel, body, next;
    uint32_t targets;  /* how many follow, each with its length before it */
    char data[];
} entry_t;

typedef struct {
    cell_t cell;
    uint32_t entries; /* that refer to it */
    uint32_t length;
    char data[];
} body_t;

/* A group, or a queue with members in groups ("holder"). */
typedef struct {
    cell_t cell;
    uint32_t hash, length;
    ref_t parties; /* the latest */
    uint32_t count;
    uint32_t capacity; /* of a holder's channel */
    uint32_t unused;
    char name[];
} name_t;

/* The members of one group behind one queue. */
typedef struct {
    cell_t cell;
    uint32_t hash;
    ref_t group, holder;
    ref_t in_group[2], in_holder[2]; /* previous and next */
    ref_t first, last;               /* memberships, the longest unrenewed first */
    uint32_t count, agenda;
} party_t;

typedef struct {
    cell_t cell;
    uint32_t hash, length;
    ref_t party, older, newer;
    uint32_t unused;
    uint64_t deadline; /* committed */
    char local[];
} membership_t;

/* Those who wait for one channel. */
typedef struct {
    cell_t cell;
    uint32_t hash, length;
    ref_t first[SHM_SIDES], last[SHM_SIDES];
    uint32_t owed; /* wake-ups under way */
    char name[];
} line_t;

typedef struct {
    cell_t cell;
    ref_t line, waiter;
    ref_t previous, next; /* in the line */
    ref_t other;          /* the next one of the waiter */
    uint32_t side;
} wait_t;

enum { SHM_BELL = 1, SHM_LOOK_AT_ALL = 2 };

enum { SHM_AWAKE, SHM_ASLEEP, SHM_WOKEN };

typedef struct {
    cell_t cell;
    uint32_t word; /* the futex */
    uint32_t client;
    ref_t waits;
    ref_t owed; /* the line for which it was woken, until it looked */
    uint32_t side;
    ref_t previous, next;             /* of its client */
    ref_t woken_before, woken_after;  /* among those that were woken */
    uint32_t unused;
    uint64_t woken_at;
} waiter_t;

/* What a listener announced. */
typedef struct {
    cell_t cell;
    uint32_t hash, length;
    uint64_t deadline; /* committed */
    uint64_t order;
    ref_t previous, next;
    char data[]; /* the listener's name, then the channels, each with its length before it */
} note_t;

typedef struct {
    uint32_t size_class; /* committed: 1 to SHM_CLASSES, 0 where it is free */
    uint32_t fresh;      /* committed: cells from here on were never used */
    uint32_t used;
    ref_t free;
    uint32_t previous, next; /* in the list of its class, or of free ones: number + 1 */
} slab_t;

typedef struct {
    uint32_t committed; /* whether the memory was granted */
    uint32_t busy;      /* slabs in use */
} step_t;

typedef struct {
    uint32_t partial[SHM_CLASSES + 1]; /* slabs with free cells by class; at 0 those that are free */
    uint32_t idle_steps;
    uint32_t unused;
    uint64_t used; /* bytes of cells in use */
} arena_state_t;

typedef struct {
    uint64_t id;    /* committed: drawn by lot; 0 where the place is free */
    uint32_t bell;  /* SHM_BELL where it is woken through a FIFO, with SHM_LOOK_AT_ALL */
    ref_t waiters;
} client_t;

typedef struct {
    uint64_t due;
    ref_t ref;
    uint32_t unused;
} heap_item_t;

typedef struct {
    uint32_t length;
    uint32_t unused;
    uint64_t granted; /* bytes */
} heap_state_t;

typedef struct {
    ref_t oldest, newest;
    uint32_t count;
    uint32_t unused;
} idle_t;

typedef struct {
    /* Written once, before the segment gets its name; whoever opens it compares. */
    uint64_t magic;
    uint32_t version, mutex_size;
    char libc[32];
    uint64_t pid_namespace;
    uint64_t total, message_memory, group_memory;
    uint64_t seed, epoch;
    int64_t born;
    char unused[64];
    pthread_mutex_t mutex __attribute__((aligned(64)));
    int32_t mutex_kind;
    /* Under the lock from here on. */
    uint32_t owner;   /* process that took the lock last, for error messages */
    uint32_t retired; /* committed */
    uint32_t damaged; /* committed: to be built anew before anything else */
    uint32_t flushing; /* committed */
    uint32_t starving; /* there was no memory, and a sender waits for some */
    uint64_t starved_at;
    uint64_t flushes; /* committed */
    uint64_t order, recoveries;
    uint64_t pending;
    tally_t sent, full;
    arena_state_t arenas[SHM_ARENAS];
    heap_state_t heaps[2]; /* channels by their first deadline; parties */
    idle_t idle[2];        /* channels without entries; of passing names */
    uint32_t waiting[SHM_SIDES];
    ref_t woken_first, woken_last;
    ref_t notes;
    uint32_t notes_version;
    uint32_t forgotten[SHM_FORGOTTEN]; /* committed */
} header_t;

/* One process's view of a segment. Its bounds are its own, so that no scribble moves them. */
typedef struct {
    char *base;
    header_t *header;
    int fd;
    int fault; /* set under the lock, when something makes no sense */
    uint64_t total;
    uint64_t start[SHM_ARENAS], size[SHM_ARENAS];
    uint32_t first_slab[SHM_ARENAS], slabs[SHM_ARENAS];
    client_t *clients;
    slab_t *slab_table;
    step_t *step_table;
    uint32_t *buckets[SHM_ARENAS];
    uint32_t mask[SHM_ARENAS];
    heap_item_t *heap[2];
    uint64_t heap_size[2];
    uint64_t fixed; /* bytes of header and tables, granted from the start */
    uint64_t byte_limit; /* of one process channel */
    uint32_t guard; /* steps that no loop passes */
    int32_t pid;
    uint8_t own[SHM_CLIENTS / 8]; /* clients of this view */
    pthread_mutex_t bells_lock;
    struct {
        uint64_t id;
        int fd;
    } bells[64];
    char path[512];
} segment_t;

/* The test build dies at a chosen one of its stores. */
#ifdef SHM_CRASH_POINTS
static int64_t shm_steps, shm_crash_at;
static inline void shm_step(void) {
    if (++shm_steps == shm_crash_at) kill(getpid(), SIGKILL);
}
#else
static inline void shm_step(void) {}
#endif

/* A store of what can be built anew. */
#define PUT(place, value) do { shm_step(); (place) = (value); } while (0)

/* A store that says something; nothing moves past it. */
#define COMMIT(place, value) do { \
    shm_step(); \
    __atomic_signal_fence(__ATOMIC_SEQ_CST); \
    __atomic_store_n(&(place), (value), __ATOMIC_RELEASE); \
    __atomic_signal_fence(__ATOMIC_SEQ_CST); \
} while (0)

static inline void shm_copy(void *to, const void *from, size_t size) {
    shm_step();
    if (size) memcpy(to, from, size);
}

/* Have the system grant memory, in portions that signals leave the time for. */
static int shm_grant(segment_t *s, uint64_t offset, uint64_t size) {
    int error = 0;
    for (uint64_t end = offset + size, portion; offset < end && !error; offset += portion) {
        portion = end - offset < SHM_GROWTH ? end - offset : SHM_GROWTH;
        do error = posix_fallocate(s->fd, (off_t)offset, (off_t)portion);
        while (error == EINTR);
    }
    return error;
}

static inline uint64_t shm_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Seeded, since group names may be chosen by users. */
static inline uint32_t shm_hash(uint64_t seed, const char *text, uint32_t length) {
    uint64_t hash = seed ^ (length * UINT64_C(0x9E3779B97F4A7C15)), eight;
    for (; length >= 8; length -= 8, text += 8) {
        memcpy(&eight, text, 8);
        hash = (hash ^ eight) * UINT64_C(0xC2B2AE3D27D4EB4F);
        hash ^= hash >> 29;
    }
    eight = 0;
    if (length) memcpy(&eight, text, length);
    hash = (hash ^ eight) * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(hash >> 32);
}

#endif
