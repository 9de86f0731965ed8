/* Clients: the layer objects and event loops that wait, and what becomes of those that died. */
#ifndef SHM_CLIENTS_H
#define SHM_CLIENTS_H

#include "shm_waits.h"

static waiter_t *shm_waiter_new(segment_t *s, uint32_t client) {
    waiter_t *waiter = shm_alloc(s, SHM_WAITS, sizeof(waiter_t));
    if (waiter == NULL) return NULL;
    client_t *owner = &s->clients[client];
    waiter_t *first = owner->waiters ? shm_waiter_at(s, owner->waiters) : NULL;
    PUT(waiter->word, SHM_AWAKE);
    PUT(waiter->client, client);
    PUT(waiter->waits, 0);
    PUT(waiter->owed, 0);
    PUT(waiter->previous, 0);
    PUT(waiter->next, owner->waiters);
    PUT(waiter->woken_before, 0);
    PUT(waiter->woken_after, 0);
    COMMIT(waiter->cell.kind, SHM_WAITER);
    if (first) PUT(first->previous, shm_ref(s, waiter));
    PUT(owner->waiters, shm_ref(s, waiter));
    return waiter;
}

static void shm_waiter_free(segment_t *s, waiter_t *waiter, wakes_t *wakes, uint64_t now) {
    if (waiter->client >= SHM_CLIENTS) shm_fault(s);
    if (!s->fault) shm_withdraw(s, waiter, wakes, now);
    if (s->fault) return;
    waiter_t *before = waiter->previous ? shm_waiter_at(s, waiter->previous) : NULL;
    waiter_t *after = waiter->next ? shm_waiter_at(s, waiter->next) : NULL;
    if (s->fault) return;
    if (before) PUT(before->next, waiter->next);
    else PUT(s->clients[waiter->client].waiters, waiter->next);
    if (after) PUT(after->previous, waiter->previous);
    shm_free(s, SHM_WAITS, waiter);
}

/* Forget a client, with all that waits for it. */
static void shm_reap(segment_t *s, uint32_t client, wakes_t *wakes, uint64_t now) {
    client_t *gone = &s->clients[client];
    uint64_t bell = gone->bell ? gone->id : 0;
    char path[600];
    /* First out of every line, so that none of its own takes over what another of them owes. */
    ref_t ref = gone->waiters;
    for (uint32_t guard = s->guard; ref && !s->fault; guard--) {
        waiter_t *waiter = guard ? shm_waiter_at(s, ref) : NULL;
        if (waiter == NULL) {
            shm_fault(s);
            return;
        }
        shm_waiter_leave(s, waiter);
        ref = waiter->next;
    }
    while (gone->waiters && !s->fault) {
        waiter_t *waiter = shm_waiter_at(s, gone->waiters);
        if (waiter) shm_waiter_free(s, waiter, wakes, now);
    }
    if (s->fault) return;
    COMMIT(gone->id, 0);
    if (bell) {
        shm_bell_path(s, bell, path, sizeof path);
        unlink(path);
    }
}

static void shm_reap_the_dead(segment_t *s, wakes_t *wakes, uint64_t now) {
    for (uint32_t client = 0; client < SHM_CLIENTS && !s->fault; client++)
        if (s->clients[client].id && !shm_alive(s, client)) shm_reap(s, client, wakes, now);
}

/* Become a client; its number + 1, or 0 where there are too many. */
static uint32_t shm_join(segment_t *s, uint64_t id, uint32_t bell, wakes_t *wakes, uint64_t now) {
    shm_reap_the_dead(s, wakes, now);
    for (uint32_t client = 0; client < SHM_CLIENTS; client++) {
        client_t *place = &s->clients[client];
        if (place->id || shm_is_own(s, client)) continue;
        if (shm_client_lock(s, client, F_OFD_SETLK, F_WRLCK) < 0) continue;
        s->own[client / 8] |= (uint8_t)(1 << client % 8);
        PUT(place->waiters, 0);
        PUT(place->bell, bell);
        COMMIT(place->id, id);
        return client + 1;
    }
    return 0;
}

static void shm_quit(segment_t *s, uint32_t client, wakes_t *wakes, uint64_t now) {
    shm_reap(s, client, wakes, now);
    s->own[client / 8] &= (uint8_t)~(1 << client % 8);
    shm_client_lock(s, client, F_OFD_SETLK, F_UNLCK);
}

/* What every sleeper does once a second: look after those that were woken and did not look. Their
 * wake-ups go to others as well; the dead are forgotten. Senders that found no memory try again. */
static void shm_tend(segment_t *s, wakes_t *wakes, uint64_t now) {
    for (int n = 0; n < 100 && s->header->woken_first && !s->fault; n++) {
        waiter_t *waiter = shm_waiter_at(s, s->header->woken_first);
        if (waiter == NULL || waiter->woken_at + SHM_TICK > now) break;
        uint32_t client = waiter->client, side = waiter->side & 1;
        if (client >= SHM_CLIENTS) {
            shm_fault(s);
            return;
        }
        if (!shm_alive(s, client)) {
            shm_reap(s, client, wakes, now);
            continue;
        }
        line_t *line = shm_object(s, SHM_WAITS, waiter->owed, SHM_LINE);
        if (line == NULL) return;
        shm_woken_remove(s, waiter);
        shm_woken_add(s, waiter, now);
        shm_notify(s, wakes, waiter); /* the call may have been lost with a process that died */
        if (line->first[side] && shm_worth_a_look(s, line, side))
            shm_wake_line(s, line, side, 0, wakes, now);
    }
    if (s->header->starving && s->header->starved_at + SHM_TICK <= now) {
        text_t nameless = shm_text(s, "", 0);
        PUT(s->header->starving, 0);
        shm_wake(s, nameless, SHM_SENDERS, 1, wakes, now);
    }
    struct stat status;
    if (fstat(s->fd, &status) == 0 && status.st_nlink == 0) COMMIT(s->header->retired, 1);
}

#endif
