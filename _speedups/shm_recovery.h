/* Building anew, from what the cells say, everything else in a segment.
 *
 * Done by whoever gets the lock of a process that died with it, and when something makes no sense.
 * What is not valid, or refers to what is not, is dropped. A process that dies in here leaves the
 * work to the next: the segment stays marked as damaged until the end.
 */
#ifndef SHM_RECOVERY_H
#define SHM_RECOVERY_H

#include "shm_groups.h"
#include "shm_marks.h"
#include "shm_notes.h"

/* Messages */

static int shm_visit_channel(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    channel_t *channel = object;
    (void)rebuild, (void)arena;
    if (channel->length == 0 || channel->length > SHM_MAX_NAME ||
        shm_behind(&channel->cell, offsetof(channel_t, name)) != channel->length)
        return 0;
    text_t name = shm_text(s, channel->name, channel->length);
    if (shm_find_channel(s, name)) return 0;
    PUT(channel->hash, name.hash);
    PUT(channel->process, channel->name[channel->length - 1] == '!');
    PUT(channel->passing, memchr(channel->name, '?', channel->length) != NULL);
    PUT(channel->first, 0);
    PUT(channel->last, 0);
    PUT(channel->older, 0);
    PUT(channel->newer, 0);
    PUT(channel->count, 0);
    PUT(channel->agenda, 0);
    PUT(channel->bytes, 0);
    PUT(channel->idle, 0);
    shm_index_add(s, SHM_MESSAGES, channel);
    return 1;
}

static int shm_visit_body(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    body_t *body = object;
    (void)s, (void)rebuild, (void)arena;
    if (shm_behind(&body->cell, offsetof(body_t, data)) != body->length) return 0;
    PUT(body->entries, 0);
    return 1;
}

/* Whether the targets of an entry fill it, and its position is where one of them begins. */
static int shm_targets_fit(segment_t *s, entry_t *entry) {
    uint32_t bytes = shm_target_bytes(entry), at = 0;
    uint32_t taken = (uint32_t)(entry->position >> 32), skipped = (uint32_t)entry->position;
    int positioned = taken == 0 && skipped == 0;
    cursor_t cursor = shm_cursor(s, SHM_MESSAGES, entry, entry->data);
    if (entry->targets > SHM_MAX_TARGETS || (taken && taken >= entry->targets)) return 0;
    for (uint32_t n = 0; n < entry->targets; n++) {
        uint8_t length;
        if (at >= bytes || !shm_read(s, SHM_MESSAGES, &cursor, (char *)&length, 1)) return 0;
        if (length > bytes - at - 1 || !shm_read(s, SHM_MESSAGES, &cursor, NULL, length)) return 0;
        at += 1u + length;
        if (n + 1 == taken && at == skipped) positioned = 1;
    }
    return positioned && at == bytes;
}

static int shm_visit_entry(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    entry_t *entry = object;
    cell_t *channel = shm_cell_at(s, arena, entry->channel);
    cell_t *body = shm_cell_at(s, arena, entry->body);
    if (channel == NULL || channel->kind != SHM_CHANNEL || !shm_marked(rebuild, entry->channel) ||
        body == NULL || body->kind != SHM_BODY || !shm_marked(rebuild, entry->body) ||
        !shm_targets_fit(s, entry) || (entry->targets != 0) != ((channel_t *)channel)->process) {
        s->fault = 0;
        return 0;
    }
    if (rebuild->count == rebuild->room) {
        size_t room = rebuild->room ? rebuild->room * 2 : 1024;
        ordered_t *items = realloc(rebuild->items, room * sizeof *items);
        if (items == NULL) return -1;
        rebuild->items = items;
        rebuild->room = room;
    }
    rebuild->items[rebuild->count++] = (ordered_t){entry->order, shm_ref(s, entry)};
    return 1;
}

static int shm_by_order(const void *first, const void *second) {
    const ordered_t *a = first, *b = second;
    return a->order != b->order ? (a->order > b->order) - (a->order < b->order)
                                : (a->ref > b->ref) - (a->ref < b->ref);
}

static int shm_queue_again(segment_t *s, rebuild_t *rebuild) {
    if (rebuild->count) qsort(rebuild->items, rebuild->count, sizeof *rebuild->items, shm_by_order);
    for (size_t n = 0; n < rebuild->count; n++) {
        entry_t *entry = shm_object(s, SHM_MESSAGES, rebuild->items[n].ref, SHM_ENTRY);
        channel_t *channel = entry ? shm_channel_at(s, entry->channel) : NULL;
        body_t *body = channel ? shm_object(s, SHM_MESSAGES, entry->body, SHM_BODY) : NULL;
        if (body == NULL) return 0;
        PUT(entry->next, 0);
        if (!channel->agenda &&
            !shm_heap_add(s, SHM_MESSAGES, shm_ref(s, channel), entry->deadline))
            return 0;
        shm_append(s, channel, entry, body);
        if (entry->order > s->header->order) PUT(s->header->order, entry->order);
    }
    return !s->fault;
}

static int shm_visit_unused_body(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    (void)s, (void)rebuild, (void)arena;
    return ((body_t *)object)->entries != 0;
}

static int shm_visit_idle(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    channel_t *channel = object;
    (void)rebuild, (void)arena;
    if (channel->count) return 1;
    if (channel->evicting) COMMIT(channel->evicting, 0);
    shm_idle_add(s, channel);
    return 1;
}

/* Groups */

static int shm_visit_name(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    name_t *name = object;
    (void)rebuild, (void)arena;
    if (name->length == 0 || name->length > SHM_MAX_NAME ||
        shm_behind(&name->cell, offsetof(name_t, name)) != name->length)
        return 0;
    text_t text = shm_text(s, name->name, name->length);
    if (shm_find_name(s, name->cell.kind, text)) return 0;
    PUT(name->hash, text.hash);
    PUT(name->parties, 0);
    PUT(name->count, 0);
    if (name->capacity == 0) PUT(name->capacity, 1);
    shm_index_add(s, SHM_GROUPS, name);
    return 1;
}

static int shm_is_name(segment_t *s, rebuild_t *rebuild, ref_t ref, uint32_t kind) {
    cell_t *cell = shm_cell_at(s, SHM_GROUPS, ref);
    return cell && cell->kind == kind && shm_marked(rebuild, ref);
}

static int shm_visit_party(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    party_t *party = object;
    (void)arena;
    if (!shm_is_name(s, rebuild, party->group, SHM_GROUP) ||
        !shm_is_name(s, rebuild, party->holder, SHM_HOLDER))
        return 0;
    name_t *group = shm_name_at(s, party->group, SHM_GROUP);
    name_t *holder = shm_name_at(s, party->holder, SHM_HOLDER);
    if (shm_find_party(s, group, holder)) return 0;
    PUT(party->hash, shm_party_hash(s, party->group, party->holder));
    PUT(party->first, 0);
    PUT(party->last, 0);
    PUT(party->count, 0);
    PUT(party->agenda, 0);
    shm_index_add(s, SHM_GROUPS, party);
    return 1;
}

static int shm_visit_membership(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    membership_t *member = object;
    (void)arena;
    cell_t *cell = shm_cell_at(s, SHM_GROUPS, member->party);
    if (member->length > SHM_MAX_NAME ||
        shm_behind(&member->cell, offsetof(membership_t, local)) != member->length ||
        cell == NULL || cell->kind != SHM_PARTY || !shm_marked(rebuild, member->party))
        return 0;
    party_t *party = (party_t *)cell;
    text_t local = shm_text(s, member->local, member->length);
    if (shm_find_membership(s, party, local)) return 0;
    PUT(member->hash, shm_membership_hash(member->party, local));
    if (party->agenda == 0 &&
        !shm_heap_add(s, SHM_GROUPS, member->party, member->deadline))
        return -1;
    shm_index_add(s, SHM_GROUPS, member);
    /* In the order of their deadlines, as far as that is cheap; sends look at each anyway. */
    shm_membership_link(s, party, member);
    return 1;
}

/* Parties without members go; the others are linked. */
static int shm_visit_linked_party(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    party_t *party = object;
    (void)rebuild, (void)arena;
    if (party->first == 0) {
        shm_index_remove(s, SHM_GROUPS, party);
        return 0;
    }
    shm_party_link(s, shm_name_at(s, party->group, SHM_GROUP), party, SHM_IN_GROUP);
    shm_party_link(s, shm_name_at(s, party->holder, SHM_HOLDER), party, SHM_IN_HOLDER);
    return 1;
}

static int shm_visit_used_name(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    name_t *name = object;
    (void)rebuild, (void)arena;
    if (name->parties) return 1;
    shm_index_remove(s, SHM_GROUPS, name);
    return 0;
}

/* Waits: every waiter is to look again; it is in no line any more. */

static int shm_visit_gone(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    (void)s, (void)rebuild, (void)arena, (void)object;
    return 0;
}

static int shm_visit_waiter(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    waiter_t *waiter = object;
    (void)rebuild, (void)arena;
    if (waiter->client >= SHM_CLIENTS || s->clients[waiter->client].id == 0) return 0;
    client_t *client = &s->clients[waiter->client];
    waiter_t *first = client->waiters ? shm_waiter_at(s, client->waiters) : NULL;
    PUT(waiter->waits, 0);
    PUT(waiter->owed, 0);
    PUT(waiter->word, SHM_WOKEN);
    PUT(waiter->previous, 0);
    PUT(waiter->next, client->waiters);
    if (first) PUT(first->previous, shm_ref(s, waiter));
    PUT(client->waiters, shm_ref(s, waiter));
    return 1;
}

static int shm_visit_note(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    note_t *note = object;
    (void)rebuild, (void)arena;
    if (note->length == 0 || note->length > SHM_MAX_NAME ||
        shm_behind(&note->cell, offsetof(note_t, data)) < note->length)
        return 0;
    text_t listener = shm_text(s, note->data, note->length);
    note_t *other = shm_find_note(s, listener);
    if (other && other->order > note->order) return 0; /* an older one ends by its deadline */
    PUT(note->hash, listener.hash);
    shm_note_link(s, note);
    return 1;
}

/* Cells and slabs, when all that is in use is marked */

static void shm_sweep_slab(segment_t *s, rebuild_t *rebuild, int arena, uint32_t number) {
    slab_t *slab = shm_slab(s, arena, number);
    uint32_t size = shm_cell_size(slab->size_class);
    char *at = s->base + s->start[arena] + (uint64_t)number * SHM_SLAB;
    PUT(slab->used, 0);
    PUT(slab->free, 0);
    for (uint32_t k = 0; k < slab->fresh; k++, at += size) {
        cell_t *cell = (cell_t *)at;
        ref_t ref = shm_ref(s, cell);
        if (shm_marked(rebuild, ref)) {
            PUT(slab->used, slab->used + 1);
            continue;
        }
        if (cell->kind) COMMIT(cell->kind, SHM_FREE);
        PUT(cell->link, slab->free);
        PUT(slab->free, ref);
    }
    PUT(s->header->arenas[arena].used,
        s->header->arenas[arena].used + (uint64_t)slab->used * size);
}

/* A slab whose memory the system may have taken back holds nothing; touching it would bring it
 * back without asking whether there is any. */
static void shm_look_at_slab(segment_t *s, int arena, uint32_t number) {
    slab_t *slab = shm_slab(s, arena, number);
    PUT(slab->previous, 0);
    PUT(slab->next, 0);
    if (slab->size_class == 0) return;
    if (slab->size_class > SHM_CLASSES || !shm_step_of(s, arena, number)->committed)
        COMMIT(slab->size_class, 0);
    else if (slab->fresh > SHM_SLAB / shm_cell_size(slab->size_class))
        COMMIT(slab->fresh, SHM_SLAB / shm_cell_size(slab->size_class));
}

static void shm_sweep_step(segment_t *s, int arena, uint32_t number) {
    uint32_t first = number * SHM_SLABS_A_STEP, busy = 0;
    step_t *step = shm_step_of(s, arena, first);
    for (uint32_t k = 0; k < SHM_SLABS_A_STEP; k++)
        if (shm_slab(s, arena, first + k)->size_class) busy++;
    PUT(step->busy, busy);
    if (busy == 0) {
        if (step->committed) COMMIT(step->committed, 0);
        shm_punch(s, s->start[arena] + (uint64_t)number * SHM_GROWTH, SHM_GROWTH);
        return;
    }
    if (step->committed != 1) COMMIT(step->committed, 1);
    for (uint32_t k = SHM_SLABS_A_STEP; k-- > 0;) {
        slab_t *slab = shm_slab(s, arena, first + k);
        if (slab->size_class == 0) shm_slab_link(s, arena, 0, first + k);
        else if (slab->free || slab->fresh < SHM_SLAB / shm_cell_size(slab->size_class))
            shm_slab_link(s, arena, slab->size_class, first + k);
    }
}

static void shm_sweep(segment_t *s, rebuild_t *rebuild, int arena) {
    for (uint32_t n = 0; n < s->slabs[arena]; n++) {
        slab_t *slab = shm_slab(s, arena, n);
        if (slab->size_class == 0) continue;
        shm_sweep_slab(s, rebuild, arena, n);
        if (slab->used == 0) COMMIT(slab->size_class, 0);
    }
    for (uint32_t n = 0; n < shm_steps_of(s, arena); n++) shm_sweep_step(s, arena, n);
}

/* The whole */

static void shm_forget_derived(segment_t *s) {
    header_t *header = s->header;
    shm_step();
    memset(header->arenas, 0, sizeof header->arenas);
    memset(header->idle, 0, sizeof header->idle);
    memset(header->waiting, 0, sizeof header->waiting);
    for (int heap = 0; heap < 2; heap++) {
        PUT(header->heaps[heap].length, 0);
        PUT(header->heaps[heap].granted, 0); /* it is granted again, which costs nothing */
    }
    for (int arena = 0; arena < SHM_ARENAS; arena++) {
        shm_step();
        memset(s->buckets[arena], 0, sizeof(uint32_t) * ((size_t)s->mask[arena] + 1));
        for (uint32_t n = 0; n < s->slabs[arena]; n++) shm_look_at_slab(s, arena, n);
    }
    PUT(header->pending, 0);
    PUT(header->woken_first, 0);
    PUT(header->woken_last, 0);
    PUT(header->notes, 0);
    PUT(header->starving, 0);
    for (uint32_t client = 0; client < SHM_CLIENTS; client++)
        if (s->clients[client].waiters) PUT(s->clients[client].waiters, 0);
}

static int shm_rebuild_objects(segment_t *s, rebuild_t *rebuild) {
    static const struct {
        int arena;
        uint32_t kind;
        visit_t visit;
    } visits[] = {
        {SHM_MESSAGES, 0, shm_visit_first}, {SHM_GROUPS, 0, shm_visit_first},
        {SHM_WAITS, 0, shm_visit_first},
        {SHM_MESSAGES, SHM_CHANNEL, shm_visit_channel}, {SHM_MESSAGES, SHM_BODY, shm_visit_body},
        {SHM_MESSAGES, SHM_ENTRY, shm_visit_entry},
        {SHM_GROUPS, SHM_GROUP, shm_visit_name}, {SHM_GROUPS, SHM_HOLDER, shm_visit_name},
        {SHM_GROUPS, SHM_PARTY, shm_visit_party},
        {SHM_GROUPS, SHM_MEMBERSHIP, shm_visit_membership},
        {SHM_GROUPS, SHM_PARTY, shm_visit_linked_party},
        {SHM_GROUPS, SHM_GROUP, shm_visit_used_name},
        {SHM_GROUPS, SHM_HOLDER, shm_visit_used_name},
        {SHM_WAITS, SHM_LINE, shm_visit_gone}, {SHM_WAITS, SHM_WAIT, shm_visit_gone},
        {SHM_WAITS, SHM_WAITER, shm_visit_waiter}, {SHM_WAITS, SHM_NOTE, shm_visit_note}};
    for (size_t n = 0; n < sizeof visits / sizeof *visits; n++)
        if (shm_each(s, rebuild, visits[n].arena, visits[n].kind, visits[n].visit) < 0) return 0;
    return shm_queue_again(s, rebuild) &&
           shm_each(s, rebuild, SHM_MESSAGES, SHM_BODY, shm_visit_unused_body) == 0;
}

/* Wake everybody: whoever waited stands in no line any more. */
static void shm_wake_all(segment_t *s, wakes_t *wakes) {
    for (uint32_t client = 0; client < SHM_CLIENTS; client++) {
        if (s->clients[client].id == 0) continue;
        ref_t ref = s->clients[client].waiters;
        for (uint32_t guard = s->guard; ref && guard; guard--) {
            waiter_t *waiter = shm_waiter_at(s, ref);
            if (waiter == NULL) return;
            PUT(waiter->word, SHM_WOKEN);
            shm_notify(s, wakes, waiter);
            if (s->clients[client].bell) { /* one ring is enough */
                PUT(s->clients[client].bell, SHM_BELL | SHM_LOOK_AT_ALL);
                break;
            }
            ref = waiter->next;
        }
    }
}

/* End what a process that died had begun. */
static void shm_complete(segment_t *s, wakes_t *wakes, uint64_t now) {
    uint32_t guard = s->guard;
    for (uint32_t at = 0; at < shm_heap_length(s, SHM_MESSAGES) && guard; at++, guard--) {
        channel_t *channel = shm_channel_at(s, s->heap[SHM_MESSAGES][at].ref);
        if (channel == NULL || !channel->evicting) continue;
        shm_expire_channel(s, channel, wakes, now);
    }
}

static void shm_flush_now(segment_t *s);

/* Build everything anew. SHM_NO_HEAP leaves it to the next who comes. */
static int shm_rebuild(segment_t *s, wakes_t *wakes, uint64_t now) {
    rebuild_t rebuild = {calloc(s->guard / 8 + 1, 1), NULL, 0, 0};
    if (rebuild.marks == NULL) return SHM_NO_HEAP;
    COMMIT(s->header->damaged, 1);
    s->fault = 0;
    if (s->header->flushing) shm_flush_now(s);
    shm_forget_derived(s);
    int built = shm_rebuild_objects(s, &rebuild);
    if (built) {
        for (int arena = 0; arena < SHM_ARENAS; arena++) shm_sweep(s, &rebuild, arena);
        shm_each(s, &rebuild, SHM_MESSAGES, SHM_CHANNEL, shm_visit_idle);
    }
    free(rebuild.marks);
    free(rebuild.items);
    if (!built && !s->fault) return SHM_NO_HEAP;
    if (!s->fault) shm_complete(s, wakes, now);
    if (s->fault) return SHM_CORRUPT;
    shm_wake_all(s, wakes);
    PUT(s->header->recoveries, s->header->recoveries + 1);
    COMMIT(s->header->damaged, 0);
    return SHM_OK;
}

/* Empty the arenas of messages and groups. */
static void shm_flush_now(segment_t *s) {
    COMMIT(s->header->flushes, s->header->flushes + 1);
    for (int arena = SHM_MESSAGES; arena <= SHM_GROUPS; arena++)
        for (uint32_t n = 0; n < s->slabs[arena]; n++)
            if (shm_slab(s, arena, n)->size_class) COMMIT(shm_slab(s, arena, n)->size_class, 0);
    COMMIT(s->header->flushing, 0);
}

#endif
