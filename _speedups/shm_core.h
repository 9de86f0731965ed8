/* Operations as callers see them: a request is carried out under the lock, and what makes no sense
 * on the way is built anew. */
#ifndef SHM_CORE_H
#define SHM_CORE_H

#include "shm_check.h"
#include "shm_segment.h"

enum {
    SHM_OP_PUSH, SHM_OP_TAKE, SHM_OP_ROOM, SHM_OP_WITHDRAW, SHM_OP_WAITER, SHM_OP_FREE_WAITER,
    SHM_OP_EXISTS, SHM_OP_QUEUES, SHM_OP_GENERATION, SHM_OP_STATISTICS, SHM_OP_GROUP_ADD,
    SHM_OP_GROUP_DISCARD, SHM_OP_GROUP_LIST, SHM_OP_PUSH_GROUP, SHM_OP_FLUSH, SHM_OP_ANNOUNCE,
    SHM_OP_NOTES, SHM_OP_JOIN, SHM_OP_QUIT, SHM_OP_WOKEN, SHM_OP_RETIRE, SHM_OP_CHECK,
    SHM_OP_DESCRIBE
};

typedef struct {
    uint64_t sent, full, pending;
    uint64_t sent_lately, full_lately;
    uint64_t age; /* nanoseconds */
} figures_t;

typedef struct {
    uint64_t used[SHM_ARENAS], granted[SHM_ARENAS], size[SHM_ARENAS];
    uint64_t pending, channels, groups, memberships, recoveries, notes;
    uint32_t clients, living, waiting[SHM_SIDES];
    int64_t born;
} description_t;

typedef struct {
    int op;
    int tend;  /* whether the second has passed after which sleepers look after others */
    int whole; /* take entries with all their targets */
    int done;  /* something was committed that a second attempt must not repeat */
    message_t message; /* its name is the queue, or the group that is sent to */
    text_t group, local;
    names_t *names;
    uint32_t limit;
    uint32_t client, bell;
    ref_t waiter;
    uint64_t id, life, until;
    uint64_t flushes, evictions;
    const char *wrong;
    figures_t figures;
    description_t description;
    wakes_t wakes;
    out_t out;
} request_t;

static inline void shm_begin(request_t *r, int op) {
    memset(r, 0, offsetof(request_t, wakes));
    r->op = op;
    r->wakes.count = 0;
    shm_out_begin(&r->out);
}

/* Lists, figures */

static int shm_queues(segment_t *s, out_t *out) {
    for (uint32_t at = 0; at < shm_heap_length(s, SHM_MESSAGES); at++) {
        channel_t *channel = shm_channel_at(s, s->heap[SHM_MESSAGES][at].ref);
        if (channel == NULL) return SHM_CORRUPT;
        if (channel->count == 0) continue;
        if (!shm_out_name(out, channel->count, channel->name, shm_length(channel->length), "", 0))
            return SHM_NO_HEAP;
    }
    return SHM_OK;
}

static int shm_figures(segment_t *s, request_t *r, uint64_t now) {
    tally_t *sent = &s->header->sent, *full = &s->header->full;
    figures_t *figures = &r->figures;
    entry_t *oldest = NULL;
    figures->pending = s->header->pending;
    if (r->message.name.length) {
        channel_t *channel = shm_find_channel(s, r->message.name);
        if (channel == NULL) {
            figures->pending = 0;
            return SHM_OK;
        }
        sent = &channel->sent;
        full = &channel->full;
        figures->pending = channel->count;
        if (channel->count) oldest = shm_object(s, SHM_MESSAGES, channel->first, SHM_ENTRY);
    } else if (shm_first_to_expire(s, &oldest) == NULL) oldest = NULL;
    figures->sent = sent->total;
    figures->full = full->total;
    figures->sent_lately = shm_per_second(sent, now);
    figures->full_lately = shm_per_second(full, now);
    if (oldest && oldest->created < now) figures->age = now - oldest->created;
    return SHM_OK;
}

static int shm_describe(segment_t *s, description_t *d) {
    for (int arena = 0; arena < SHM_ARENAS; arena++) {
        d->size[arena] = s->size[arena];
        d->used[arena] = s->header->arenas[arena].used;
        for (uint32_t n = 0; n < shm_steps_of(s, arena); n++)
            if (shm_step_of(s, arena, n * SHM_SLABS_A_STEP)->committed)
                d->granted[arena] += SHM_GROWTH;
        for (uint32_t n = 0; n < s->slabs[arena]; n++) {
            slab_t *slab = shm_slab(s, arena, n);
            for (uint32_t k = 0; k < shm_fresh(slab); k++) {
                cell_t *cell = (cell_t *)(s->base + s->start[arena] + (uint64_t)n * SHM_SLAB +
                                          (uint64_t)k * shm_cell_size(slab->size_class));
                d->channels += cell->kind == SHM_CHANNEL && ((channel_t *)cell)->count;
                d->groups += cell->kind == SHM_GROUP;
                d->memberships += cell->kind == SHM_MEMBERSHIP;
                d->notes += cell->kind == SHM_NOTE;
            }
        }
    }
    for (uint32_t client = 0; client < SHM_CLIENTS; client++) {
        if (s->clients[client].id == 0) continue;
        d->clients++;
        d->living += shm_alive(s, client) && !shm_is_own(s, client);
    }
    d->pending = s->header->pending;
    d->recoveries = s->header->recoveries;
    d->born = s->header->born;
    memcpy(d->waiting, s->header->waiting, sizeof d->waiting);
    return SHM_OK;
}

/* Waiting */

/* The request's waiter, if it is still one of the client's. */
static waiter_t *shm_own_waiter(segment_t *s, request_t *r) {
    waiter_t *waiter = (waiter_t *)shm_cell_at(s, SHM_WAITS, r->waiter);
    if (waiter == NULL || waiter->cell.kind != SHM_WAITER || waiter->client != r->client)
        return NULL;
    return waiter;
}

static int shm_op_take(segment_t *s, request_t *r, uint64_t now) {
    waiter_t *waiter = r->waiter ? shm_own_waiter(s, r) : NULL;
    if (r->waiter && waiter == NULL) return SHM_RETIRED;
    int result = shm_take(s, r->names, r->limit, r->whole, &r->out, &r->done, &r->wakes, now);
    if (waiter == NULL || s->fault) return result;
    if (result == SHM_OK) shm_withdraw(s, waiter, &r->wakes, now);
    else if (result == SHM_NOTHING) {
        int entered = shm_wait_for(s, waiter, r->names->names, r->names->count, SHM_READERS,
                                   &r->wakes, now);
        if (entered != SHM_OK) return entered;
    }
    return result;
}

static int shm_op_room(segment_t *s, request_t *r, uint64_t now) {
    channel_t *channel = shm_find_channel(s, r->message.name);
    waiter_t *waiter = r->waiter ? shm_own_waiter(s, r) : NULL;
    entry_t *oldest = NULL;
    if (r->waiter && waiter == NULL) return SHM_RETIRED;
    if (channel) PUT(channel->capacity, r->message.capacity);
    if (!s->header->starving && (channel == NULL || !shm_is_full(s, channel))) {
        if (waiter == NULL) return SHM_OK;
        shm_settle(s, waiter, 0, &r->wakes, now); /* the room is its own to use */
        if (!s->fault) shm_withdraw(s, waiter, &r->wakes, now);
        return SHM_OK;
    }
    if (channel && channel->first)
        oldest = shm_object(s, SHM_MESSAGES, channel->first, SHM_ENTRY);
    r->until = oldest ? oldest->deadline : UINT64_MAX;
    if (waiter == NULL || s->fault) return SHM_NOTHING;
    text_t names[2] = {r->message.name, shm_text(s, "", 0)};
    int entered = shm_wait_for(s, waiter, names, 2, SHM_SENDERS, &r->wakes, now);
    return entered == SHM_OK ? SHM_NOTHING : entered;
}

/* The waiters of a client with a bell that were woken: all of its own after a recovery, which owe
 * nothing; else those among all that owe. */
static int shm_op_woken(segment_t *s, request_t *r) {
    client_t *client = &s->clients[r->client];
    int all = (client->bell & SHM_LOOK_AT_ALL) != 0;
    ref_t ref = all ? client->waiters : s->header->woken_first;
    if (all) PUT(client->bell, SHM_BELL);
    for (uint32_t guard = s->guard; ref && !s->fault; guard--) {
        waiter_t *waiter = guard ? shm_waiter_at(s, ref) : NULL;
        if (waiter == NULL) return SHM_CORRUPT;
        if (waiter->client == r->client && waiter->word == SHM_WOKEN) {
            char *at = shm_out_room(&r->out, sizeof ref);
            if (at == NULL) return SHM_NO_HEAP;
            memcpy(at, &ref, sizeof ref);
            r->out.size += sizeof ref;
        }
        ref = all ? waiter->next : waiter->woken_after;
    }
    return SHM_OK;
}

static int shm_op_waiter(segment_t *s, request_t *r) {
    waiter_t *waiter;
    if (s->clients[r->client].id == 0) return SHM_RETIRED;
    waiter = shm_waiter_new(s, r->client);
    if (waiter == NULL) return SHM_NO_MEMORY;
    r->waiter = shm_ref(s, waiter);
    return SHM_OK;
}

static int shm_op_end_wait(segment_t *s, request_t *r, uint64_t now) {
    waiter_t *waiter = shm_own_waiter(s, r);
    if (waiter == NULL) return SHM_OK;
    if (r->op == SHM_OP_WITHDRAW) shm_withdraw(s, waiter, &r->wakes, now);
    else shm_waiter_free(s, waiter, &r->wakes, now);
    return SHM_OK;
}

static int shm_op_generation(segment_t *s, request_t *r) {
    channel_t *channel = NULL;
    if (r->message.name.length) channel = shm_find_channel(s, r->message.name);
    r->id = s->header->epoch;
    r->flushes = s->header->flushes;
    r->evictions = channel ? channel->evictions : *shm_forgotten(s, r->message.name.hash);
    return SHM_OK;
}

static int shm_op_flush(segment_t *s, request_t *r, uint64_t now) {
    COMMIT(s->header->damaged, 1);
    COMMIT(s->header->flushing, 1);
    return shm_rebuild(s, &r->wakes, now);
}

static int shm_op_retire(segment_t *s, request_t *r) {
    COMMIT(s->header->retired, 1);
    shm_wake_all(s, &r->wakes);
    shm_unname(s);
    return SHM_OK;
}

static int shm_run(segment_t *s, request_t *r, uint64_t now) {
    message_t *m = &r->message;
    switch (r->op) {
    case SHM_OP_PUSH: return shm_push(s, m, &r->done, &r->wakes, now);
    case SHM_OP_TAKE: return shm_op_take(s, r, now);
    case SHM_OP_ROOM: return shm_op_room(s, r, now);
    case SHM_OP_WAITER: return shm_op_waiter(s, r);
    case SHM_OP_WITHDRAW:
    case SHM_OP_FREE_WAITER: return shm_op_end_wait(s, r, now);
    case SHM_OP_EXISTS: return shm_exists(s, m->name, r->local, now) ? SHM_OK : SHM_NOTHING;
    case SHM_OP_QUEUES: return shm_queues(s, &r->out);
    case SHM_OP_GENERATION: return shm_op_generation(s, r);
    case SHM_OP_STATISTICS: return shm_figures(s, r, now);
    case SHM_OP_GROUP_ADD:
        return shm_group_add(s, r->group, m->name, m->capacity, r->local, now + r->life);
    case SHM_OP_GROUP_DISCARD: shm_group_discard(s, r->group, m->name, r->local); return SHM_OK;
    case SHM_OP_GROUP_LIST: return shm_group_list(s, r->group, &r->out, now);
    case SHM_OP_PUSH_GROUP:
        return shm_push_group(s, m, &r->out, &r->done, &r->wakes, now);
    case SHM_OP_FLUSH: return shm_op_flush(s, r, now);
    case SHM_OP_ANNOUNCE: return shm_announce(s, r->local, m->data, m->size, now + r->life, now);
    case SHM_OP_NOTES: return shm_notes_read(s, &r->out, &r->until, now);
    case SHM_OP_JOIN:
        r->client = shm_join(s, r->id, r->bell, &r->wakes, now);
        return r->client ? SHM_OK : s->fault ? SHM_CORRUPT : SHM_NO_MEMORY;
    case SHM_OP_QUIT: shm_quit(s, r->client, &r->wakes, now); return SHM_OK;
    case SHM_OP_WOKEN: return shm_op_woken(s, r);
    case SHM_OP_RETIRE: return shm_op_retire(s, r);
    case SHM_OP_CHECK: r->wrong = shm_check(s); return SHM_OK;
    case SHM_OP_DESCRIBE: return shm_describe(s, &r->description);
    }
    return SHM_CORRUPT;
}

/* The critical section */

/* ``patience``: nanoseconds to wait for the lock; 0 to try only. */
static int shm_enter(segment_t *s, wakes_t *wakes, uint64_t patience) {
    int error = shm_take_lock(s, patience);
    int died = error == EOWNERDEAD, result = SHM_OK;
    if (error && !died) return error == EBUSY || error == ETIMEDOUT ? SHM_BUSY : SHM_BROKEN;
    if (died) COMMIT(s->header->damaged, 1);
    if (s->header->damaged) result = shm_rebuild(s, wakes, shm_now());
    if (died) pthread_mutex_consistent(&s->header->mutex); /* last: until here it may be repeated */
    if (result == SHM_OK && s->header->retired) {
        shm_unname(s); /* whoever retired it may have died before */
        result = SHM_RETIRED;
    }
    if (result != SHM_OK) pthread_mutex_unlock(&s->header->mutex);
    else s->header->owner = (uint32_t)s->pid;
    return result;
}

static void shm_hash_texts(segment_t *s, request_t *r) {
    uint64_t seed = s->header->seed;
    text_t *texts[] = {&r->message.name, &r->group, &r->local};
    for (int n = 0; n < 3; n++) texts[n]->hash = shm_hash(seed, texts[n]->at, texts[n]->length);
    if (r->names == NULL || r->names->seed == seed) return;
    for (uint32_t n = 0; n < r->names->count; n++) {
        text_t *name = &r->names->names[n];
        name->hash = shm_hash(seed, name->at, name->length);
    }
    r->names->seed = seed;
}

/* Carry out a request; what has to be woken is left in ``wakes`` for ``shm_deliver``. */
static int shm_perform(segment_t *s, request_t *r, uint64_t patience) {
    int result = shm_enter(s, &r->wakes, patience);
    if (result != SHM_OK) return result;
    uint64_t now = shm_now();
    shm_hash_texts(s, r);
    for (int attempt = 0;; attempt++) {
        s->fault = 0;
        if (r->tend) shm_tend(s, &r->wakes, now);
        if (!s->fault) shm_expire(s, &r->wakes, now);
        if (!s->fault) result = shm_run(s, r, now);
        if (!s->fault && result != SHM_CORRUPT) break;
        result = attempt ? SHM_CORRUPT : shm_rebuild(s, &r->wakes, now);
        if (result != SHM_OK || r->done) break;
        r->out.size = 0;
    }
    s->fault = 0;
    pthread_mutex_unlock(&s->header->mutex);
    return result;
}

#endif
