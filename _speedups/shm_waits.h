/* Who waits for which channel, and how a wake-up reaches one of them.
 *
 * A wake-up says "look again". Its waiter is taken out of all its lines, and owes the wake-up until
 * it has looked: until then it stands among the woken, where others find it should it have died
 * (``shm_tend``). The call to the system is made when the lock is free again (``shm_deliver``);
 * a process that dies before it leaves a sleeper that looks by itself within a second.
 */
#ifndef SHM_WAITS_H
#define SHM_WAITS_H

#include "shm_index.h"

#define SHM_WAKES 64

typedef struct {
    uint32_t count;
    struct {
        ref_t waiter;
        uint32_t client;
        uint64_t bell; /* the id of a client with a FIFO, 0 for a futex */
    } items[SHM_WAKES];
} wakes_t;

static int shm_has_entries(segment_t *s, text_t name);
static int shm_has_room(segment_t *s, text_t name);

/* System calls */

static inline int shm_sleep(uint32_t *word, uint64_t nanoseconds) {
    struct timespec timeout = {(time_t)(nanoseconds / 1000000000u),
                               (long)(nanoseconds % 1000000000u)};
    if (syscall(SYS_futex, word, FUTEX_WAIT, SHM_ASLEEP, &timeout, NULL, 0) == 0) return 0;
    return errno;
}

static inline void shm_rouse(uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static inline void shm_bell_path(const segment_t *s, uint64_t id, char *path, size_t size) {
    snprintf(path, size, "%s.%016llx", s->path, (unsigned long long)id);
}

static int shm_bell_open(const char *path) {
    struct stat status;
    int fd = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -1;
    if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && status.st_uid == geteuid())
        return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

/* Ring the FIFO of a client. One that is full was rung already. */
static void shm_ring(segment_t *s, uint64_t id) {
    char path[600];
    pthread_mutex_lock(&s->bells_lock);
    uint32_t place = id % 64;
    if (s->bells[place].id != id) {
        if (s->bells[place].id) close(s->bells[place].fd);
        shm_bell_path(s, id, path, sizeof path);
        s->bells[place].fd = shm_bell_open(path);
        s->bells[place].id = s->bells[place].fd < 0 ? 0 : id;
    }
    if (s->bells[place].id) {
        ssize_t ignored = write(s->bells[place].fd, "", 1);
        (void)ignored;
    }
    pthread_mutex_unlock(&s->bells_lock);
}

static void shm_deliver(segment_t *s, wakes_t *wakes) {
    for (uint32_t n = 0; n < wakes->count; n++) {
        if (wakes->items[n].bell) shm_ring(s, wakes->items[n].bell);
        else {
            waiter_t *waiter = (waiter_t *)(s->base + (uint64_t)wakes->items[n].waiter * SHM_UNIT);
            shm_rouse(&waiter->word);
        }
    }
    wakes->count = 0;
}

static int shm_client_lock(segment_t *s, uint32_t client, int command, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET,
                         .l_start = SHM_LOCKS + client, .l_len = 1};
    if (fcntl(s->fd, command, &lock) < 0) return -1;
    return lock.l_type;
}

static inline int shm_is_own(segment_t *s, uint32_t client) {
    return s->own[client / 8] >> (client % 8) & 1;
}

/* Whether the process of a client lives: it holds the lock on the client's byte. */
static int shm_alive(segment_t *s, uint32_t client) {
    return shm_is_own(s, client) || shm_client_lock(s, client, F_OFD_GETLK, F_WRLCK) != F_UNLCK;
}

/* Lines */

static void shm_line_tidy(segment_t *s, line_t *line) {
    if (line->first[SHM_READERS] || line->first[SHM_SENDERS] || line->owed) return;
    shm_index_remove(s, SHM_WAITS, line);
    shm_free(s, SHM_WAITS, line);
}

static line_t *shm_line(segment_t *s, text_t name) {
    line_t *line = shm_find_line(s, name);
    if (line || s->fault) return line;
    line = shm_alloc(s, SHM_WAITS, offsetof(line_t, name) + name.length);
    if (line == NULL) return NULL;
    PUT(line->hash, name.hash);
    PUT(line->length, name.length);
    for (int side = 0; side < SHM_SIDES; side++) {
        PUT(line->first[side], 0);
        PUT(line->last[side], 0);
    }
    PUT(line->owed, 0);
    shm_copy(line->name, name.at, name.length);
    COMMIT(line->cell.kind, SHM_LINE);
    shm_index_add(s, SHM_WAITS, line);
    return line;
}

static inline wait_t *shm_wait_at(segment_t *s, ref_t ref) {
    return shm_object(s, SHM_WAITS, ref, SHM_WAIT);
}

static void shm_wait_unlink(segment_t *s, line_t *line, wait_t *wait) {
    uint32_t side = wait->side & 1;
    wait_t *before = wait->previous ? shm_wait_at(s, wait->previous) : NULL;
    wait_t *after = wait->next ? shm_wait_at(s, wait->next) : NULL;
    if (s->fault) return;
    if (before) PUT(before->next, wait->next);
    else PUT(line->first[side], wait->next);
    if (after) PUT(after->previous, wait->previous);
    else PUT(line->last[side], wait->previous);
    PUT(s->header->waiting[side], s->header->waiting[side] - 1);
}

/* Take a waiter out of all its lines. */
static void shm_waiter_leave(segment_t *s, waiter_t *waiter) {
    for (uint32_t guard = s->guard; waiter->waits && !s->fault; guard--) {
        wait_t *wait = shm_wait_at(s, waiter->waits);
        line_t *line = wait ? shm_object(s, SHM_WAITS, wait->line, SHM_LINE) : NULL;
        if (line == NULL || guard == 0) {
            shm_fault(s);
            return;
        }
        shm_wait_unlink(s, line, wait);
        PUT(waiter->waits, wait->other);
        shm_free(s, SHM_WAITS, wait);
        shm_line_tidy(s, line);
    }
}

/* Put a waiter at the end of a line. */
static int shm_waiter_enter(segment_t *s, waiter_t *waiter, text_t name, uint32_t side) {
    line_t *line = shm_line(s, name);
    if (line == NULL) return SHM_NO_MEMORY;
    wait_t *wait = shm_alloc(s, SHM_WAITS, sizeof(wait_t));
    if (wait == NULL) {
        shm_line_tidy(s, line);
        return SHM_NO_MEMORY;
    }
    wait_t *last = line->last[side] ? shm_wait_at(s, line->last[side]) : NULL;
    PUT(wait->line, shm_ref(s, line));
    PUT(wait->waiter, shm_ref(s, waiter));
    PUT(wait->side, side);
    PUT(wait->next, 0);
    PUT(wait->previous, line->last[side]);
    PUT(wait->other, waiter->waits);
    COMMIT(wait->cell.kind, SHM_WAIT);
    ref_t ref = shm_ref(s, wait);
    if (last) PUT(last->next, ref);
    else PUT(line->first[side], ref);
    PUT(line->last[side], ref);
    PUT(waiter->waits, ref);
    PUT(s->header->waiting[side], s->header->waiting[side] + 1);
    return SHM_OK;
}

/* Waiters that were woken and have not looked yet */

static inline waiter_t *shm_waiter_at(segment_t *s, ref_t ref) {
    return shm_object(s, SHM_WAITS, ref, SHM_WAITER);
}

static void shm_woken_add(segment_t *s, waiter_t *waiter, uint64_t now) {
    header_t *header = s->header;
    waiter_t *last = header->woken_last ? shm_waiter_at(s, header->woken_last) : NULL;
    ref_t ref = shm_ref(s, waiter);
    PUT(waiter->woken_at, now);
    PUT(waiter->woken_before, header->woken_last);
    PUT(waiter->woken_after, 0);
    if (last) PUT(last->woken_after, ref);
    else PUT(header->woken_first, ref);
    PUT(header->woken_last, ref);
}

static void shm_woken_remove(segment_t *s, waiter_t *waiter) {
    waiter_t *before = waiter->woken_before ? shm_waiter_at(s, waiter->woken_before) : NULL;
    waiter_t *after = waiter->woken_after ? shm_waiter_at(s, waiter->woken_after) : NULL;
    if (s->fault) return;
    if (before) PUT(before->woken_after, waiter->woken_after);
    else PUT(s->header->woken_first, waiter->woken_after);
    if (after) PUT(after->woken_before, waiter->woken_before);
    else PUT(s->header->woken_last, waiter->woken_before);
}

static void shm_reap(segment_t *s, uint32_t client, wakes_t *wakes, uint64_t now);

static void shm_notify(segment_t *s, wakes_t *wakes, waiter_t *waiter) {
    uint32_t client = waiter->client;
    if (wakes->count == SHM_WAKES) shm_deliver(s, wakes); /* under the lock, for once */
    wakes->items[wakes->count].waiter = shm_ref(s, waiter);
    wakes->items[wakes->count].client = client;
    wakes->items[wakes->count].bell = s->clients[client].bell ? s->clients[client].id : 0;
    wakes->count++;
}

/* Wake the first of a line, or all. */
static void shm_wake_line(segment_t *s, line_t *line, uint32_t side, int everybody, wakes_t *wakes,
                          uint64_t now) {
    PUT(line->owed, line->owed + 1); /* so that it stays while waiters leave it */
    for (uint32_t guard = s->guard; line->first[side] && !s->fault; guard--) {
        wait_t *wait = shm_wait_at(s, line->first[side]);
        waiter_t *waiter = wait ? shm_waiter_at(s, wait->waiter) : NULL;
        if (waiter == NULL || waiter->client >= SHM_CLIENTS || guard == 0) {
            shm_fault(s);
            return;
        }
        if (!shm_alive(s, waiter->client)) {
            shm_reap(s, waiter->client, wakes, now);
            continue;
        }
        shm_waiter_leave(s, waiter);
        if (s->fault) return;
        PUT(waiter->owed, shm_ref(s, line));
        PUT(waiter->side, side);
        PUT(line->owed, line->owed + 1);
        shm_woken_add(s, waiter, now);
        PUT(waiter->word, SHM_WOKEN);
        shm_notify(s, wakes, waiter);
        if (!everybody) break;
    }
    if (s->fault) return;
    PUT(line->owed, line->owed - 1);
    shm_line_tidy(s, line);
}

static inline void shm_wake(segment_t *s, text_t name, uint32_t side, int everybody,
                            wakes_t *wakes, uint64_t now) {
    if (s->header->waiting[side] == 0) return;
    line_t *line = shm_find_line(s, name);
    if (line) shm_wake_line(s, line, side, everybody, wakes, now);
}

static int shm_worth_a_look(segment_t *s, line_t *line, uint32_t side) {
    text_t name = {line->name, shm_length(line->length), line->hash};
    return side == SHM_READERS ? shm_has_entries(s, name) : shm_has_room(s, name);
}

/* End the debt of a waiter. With ``pass``, its wake-up goes to another where it is worth it. */
static void shm_settle(segment_t *s, waiter_t *waiter, int pass, wakes_t *wakes, uint64_t now) {
    if (waiter->owed == 0) return;
    line_t *line = shm_object(s, SHM_WAITS, waiter->owed, SHM_LINE);
    uint32_t side = waiter->side & 1;
    if (line == NULL) return;
    shm_woken_remove(s, waiter);
    PUT(waiter->owed, 0);
    PUT(line->owed, line->owed - 1);
    if (pass && line->first[side] && shm_worth_a_look(s, line, side))
        shm_wake_line(s, line, side, 0, wakes, now);
    else shm_line_tidy(s, line);
}

/* The end of a wait, for whatever reason. */
static void shm_withdraw(segment_t *s, waiter_t *waiter, wakes_t *wakes, uint64_t now) {
    shm_waiter_leave(s, waiter);
    if (s->fault) return;
    PUT(waiter->word, SHM_AWAKE);
    shm_settle(s, waiter, 1, wakes, now);
}

/* Begin to wait, or go on waiting; a waiter that stands in its lines keeps its place. */
static int shm_wait_for(segment_t *s, waiter_t *waiter, const text_t *names, uint32_t count,
                        uint32_t side, wakes_t *wakes, uint64_t now) {
    shm_settle(s, waiter, 0, wakes, now);
    if (s->fault) return SHM_CORRUPT;
    PUT(waiter->word, SHM_ASLEEP);
    if (waiter->waits) return SHM_OK;
    for (uint32_t n = 0; n < count; n++) {
        int result = shm_waiter_enter(s, waiter, names[n], side);
        if (result != SHM_OK) {
            if (!s->fault) shm_waiter_leave(s, waiter);
            return result;
        }
    }
    return SHM_OK;
}

#endif
