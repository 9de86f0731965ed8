/* The invariants of a segment, looked at one by one; for tests and for the command that inspects. */
#ifndef SHM_CHECK_H
#define SHM_CHECK_H

#include "shm_recovery.h"

typedef struct {
    uint8_t *reached; /* cells that something refers to */
    uint64_t cells[SHM_ARENAS];
    const char *wrong;
} check_t;

#define SHM_HOLDS(condition, text) do { \
    if (!(condition)) { if (check->wrong == NULL) check->wrong = (text); return; } \
} while (0)

static void shm_reach(segment_t *s, check_t *check, int arena, void *object, uint32_t kind) {
    SHM_HOLDS(object && ((cell_t *)object)->kind == kind, "a reference to another kind of cell");
    ref_t ref = shm_ref(s, object);
    while (ref) {
        cell_t *cell = shm_cell_at(s, arena, ref);
        SHM_HOLDS(cell && cell->kind != SHM_FREE, "a reference to a free cell");
        SHM_HOLDS(!(check->reached[ref / 8] >> ref % 8 & 1), "a cell in two places");
        check->reached[ref / 8] |= (uint8_t)(1 << ref % 8);
        check->cells[arena] += shm_cell_room(s, arena, ref) + sizeof(cell_t);
        ref = cell->chain;
    }
}

static int shm_is_reached(check_t *check, ref_t ref) {
    return check->reached[ref / 8] >> ref % 8 & 1;
}

/* Each cell is free and in its slab's free list, or in use and reached. */
static void shm_check_slab(segment_t *s, check_t *check, int arena, uint32_t number) {
    slab_t *slab = shm_slab(s, arena, number);
    SHM_HOLDS(shm_step_of(s, arena, number)->committed, "a slab in memory that was not granted");
    SHM_HOLDS(slab->fresh && slab->fresh == shm_fresh(slab), "the size of a slab");
    uint32_t size = shm_cell_size(slab->size_class), used = 0, listed = 0;
    char *at = s->base + s->start[arena] + (uint64_t)number * SHM_SLAB;
    for (uint32_t k = 0; k < slab->fresh; k++) {
        cell_t *cell = (cell_t *)(at + (uint64_t)k * size);
        int reached = shm_is_reached(check, shm_ref(s, cell));
        SHM_HOLDS(reached == (cell->kind != SHM_FREE), "a cell that leaked");
        used += (uint32_t)reached;
    }
    for (ref_t ref = slab->free; ref; listed++) {
        cell_t *cell = shm_cell_at(s, arena, ref);
        SHM_HOLDS(cell && cell->kind == SHM_FREE && listed < slab->fresh &&
                  shm_slab_number(s, arena, ref) == number, "a free list");
        ref = cell->link;
    }
    SHM_HOLDS(used == slab->used && used + listed == slab->fresh, "the counts of a slab");
    SHM_HOLDS(used, "an empty slab that was not released");
}

static void shm_check_arena(segment_t *s, check_t *check, int arena) {
    arena_state_t *state = &s->header->arenas[arena];
    uint32_t idle = 0, linked = 0, expected = 0;
    for (uint32_t n = 0; n < s->slabs[arena] && !check->wrong; n++) {
        slab_t *slab = shm_slab(s, arena, n);
        if (slab->size_class) {
            shm_check_slab(s, check, arena, n);
            if (check->wrong) return;
            uint32_t cells = SHM_SLAB / shm_cell_size(slab->size_class);
            expected += slab->free || slab->fresh < cells;
        } else expected += shm_step_of(s, arena, n)->committed;
    }
    for (uint32_t n = 0; n < shm_steps_of(s, arena); n++) {
        step_t *step = shm_step_of(s, arena, n * SHM_SLABS_A_STEP);
        uint32_t busy = 0;
        for (uint32_t k = 0; k < SHM_SLABS_A_STEP; k++)
            busy += shm_slab(s, arena, n * SHM_SLABS_A_STEP + k)->size_class != 0;
        if (!step->committed) SHM_HOLDS(busy == 0, "slabs in memory that was given back");
        else SHM_HOLDS(busy == step->busy, "the count of a step");
        idle += step->committed && busy == 0;
    }
    SHM_HOLDS(idle == state->idle_steps && idle <= 1, "the free steps");
    for (uint32_t list = 0; list <= SHM_CLASSES; list++) {
        uint32_t before = 0;
        for (uint32_t n = state->partial[list]; n; linked++) {
            SHM_HOLDS(n <= s->slabs[arena] && linked < s->slabs[arena], "a list of slabs");
            slab_t *slab = shm_slab(s, arena, n - 1);
            SHM_HOLDS(slab->size_class == list && slab->previous == before, "a slab's place");
            before = n;
            n = slab->next;
        }
    }
    SHM_HOLDS(linked == expected, "slabs that are in no list");
    SHM_HOLDS(check->cells[arena] == state->used, "the count of bytes in use");
}

static void shm_check_heap(segment_t *s, check_t *check, int heap) {
    uint32_t length = shm_heap_length(s, heap);
    for (uint32_t at = 0; at < length; at++) {
        uint32_t *agenda = shm_agenda(s, heap, s->heap[heap][at].ref);
        SHM_HOLDS(agenda && *agenda == at + 1, "a place in a heap");
        SHM_HOLDS(at == 0 || s->heap[heap][(at - 1) / 2].due <= s->heap[heap][at].due,
                  "the order of a heap");
    }
}

static void shm_check_channel(segment_t *s, check_t *check, channel_t *channel,
                              uint64_t *pending, uint32_t idle[2]) {
    uint32_t count = 0;
    uint64_t bytes = 0, order = 0;
    ref_t last = 0;
    shm_reach(s, check, SHM_MESSAGES, channel, SHM_CHANNEL);
    for (ref_t ref = channel->first; ref && !check->wrong; count++) {
        entry_t *entry = shm_object(s, SHM_MESSAGES, ref, SHM_ENTRY);
        body_t *body = entry ? shm_object(s, SHM_MESSAGES, entry->body, SHM_BODY) : NULL;
        SHM_HOLDS(body && entry->channel == shm_ref(s, channel), "an entry");
        SHM_HOLDS(entry->order > order && shm_targets_fit(s, entry), "an entry's order");
        shm_reach(s, check, SHM_MESSAGES, entry, SHM_ENTRY);
        if (!shm_is_reached(check, entry->body))
            shm_reach(s, check, SHM_MESSAGES, body, SHM_BODY);
        bytes += shm_entry_bytes(entry, body);
        order = entry->order;
        last = ref;
        ref = entry->next;
    }
    SHM_HOLDS(count == channel->count && last == channel->last && bytes == channel->bytes,
              "the counts of a channel");
    SHM_HOLDS(channel->idle == (count == 0) && !channel->evicting, "an idle channel");
    SHM_HOLDS(count == 0 || channel->agenda, "a channel that never expires");
    *pending += count;
    idle[channel->passing & 1] += count == 0;
}

static void shm_check_party(segment_t *s, check_t *check, party_t *party) {
    uint32_t count = 0;
    shm_reach(s, check, SHM_GROUPS, party, SHM_PARTY);
    for (ref_t ref = party->first, before = 0; ref && !check->wrong; count++) {
        membership_t *member = shm_membership_at(s, ref);
        SHM_HOLDS(member && member->party == shm_ref(s, party) && member->older == before,
                  "a membership");
        text_t local = shm_text(s, member->local, shm_length(member->length));
        SHM_HOLDS(shm_find_membership(s, party, local) == member, "a membership's index");
        before = ref;
        ref = member->newer;
    }
    SHM_HOLDS(count && count == party->count && party->agenda, "the counts of a party");
}

static void shm_check_name(segment_t *s, check_t *check, name_t *name) {
    uint32_t count = 0;
    int side = name->cell.kind == SHM_GROUP ? SHM_IN_GROUP : SHM_IN_HOLDER;
    shm_reach(s, check, SHM_GROUPS, name, name->cell.kind);
    for (ref_t ref = name->parties, before = 0; ref && !check->wrong; count++) {
        party_t *party = shm_party_at(s, ref);
        SHM_HOLDS(party && shm_links(party, side)[0] == before, "a list of parties");
        SHM_HOLDS((side == SHM_IN_GROUP ? party->group : party->holder) == shm_ref(s, name),
                  "a party of another");
        before = ref;
        ref = shm_links(party, side)[1];
    }
    SHM_HOLDS(count && count == name->count, "the count of parties");
}

static void shm_check_line(segment_t *s, check_t *check, line_t *line, uint32_t waiting[2]) {
    shm_reach(s, check, SHM_WAITS, line, SHM_LINE);
    for (uint32_t side = 0; side < SHM_SIDES; side++) {
        ref_t before = 0;
        for (ref_t ref = line->first[side]; ref && !check->wrong; waiting[side]++) {
            wait_t *wait = shm_wait_at(s, ref);
            SHM_HOLDS(wait && wait->line == shm_ref(s, line) && wait->previous == before &&
                      wait->side == side, "a wait");
            shm_reach(s, check, SHM_WAITS, wait, SHM_WAIT);
            before = ref;
            ref = wait->next;
        }
        SHM_HOLDS(line->last[side] == before, "the end of a line");
    }
}

static void shm_check_clients(segment_t *s, check_t *check, uint32_t waiting) {
    uint32_t waits = 0, owing = 0, woken = 0, owed = 0;
    for (uint32_t n = 0; n < SHM_CLIENTS; n++) {
        for (ref_t ref = s->clients[n].id ? s->clients[n].waiters : 0; ref && !check->wrong;) {
            waiter_t *waiter = shm_waiter_at(s, ref);
            SHM_HOLDS(waiter && waiter->client == n, "a waiter");
            shm_reach(s, check, SHM_WAITS, waiter, SHM_WAITER);
            for (ref_t each = waiter->waits; each && waits <= waiting; waits++) {
                wait_t *wait = shm_wait_at(s, each);
                SHM_HOLDS(wait && wait->waiter == ref, "a waiter's wait");
                each = wait->other;
            }
            SHM_HOLDS(!waiter->waits || !waiter->owed, "a waiter that was woken and waits");
            owing += waiter->owed != 0;
            ref = waiter->next;
        }
    }
    for (ref_t ref = s->header->woken_first; ref && woken <= owing; woken++) {
        waiter_t *waiter = shm_waiter_at(s, ref);
        SHM_HOLDS(waiter && waiter->owed, "a waiter among the woken");
        ref = waiter->woken_after;
    }
    for (uint32_t n = 0; n <= s->mask[SHM_WAITS]; n++)
        for (ref_t ref = s->buckets[SHM_WAITS][n]; ref;) {
            hashed_t *item = (hashed_t *)shm_cell_at(s, SHM_WAITS, ref);
            SHM_HOLDS(item, "the index of lines");
            if (item->cell.kind == SHM_LINE) owed += ((line_t *)item)->owed;
            ref = item->cell.link;
        }
    SHM_HOLDS(waits == waiting, "the waits of the waiters");
    SHM_HOLDS(woken == owing && owed == owing, "the wake-ups under way");
}

static void shm_check_indexed(segment_t *s, check_t *check, int arena, uint64_t *pending,
                              uint32_t idle[2], uint32_t waiting[2]) {
    uint32_t guard = s->guard;
    for (uint32_t n = 0; n <= s->mask[arena]; n++) {
        for (ref_t ref = s->buckets[arena][n]; ref && !check->wrong; guard--) {
            hashed_t *item = (hashed_t *)shm_cell_at(s, arena, ref);
            SHM_HOLDS(item && guard && (item->hash & s->mask[arena]) == n, "an index");
            switch (item->cell.kind) {
            case SHM_CHANNEL:
                shm_check_channel(s, check, (channel_t *)item, pending, idle);
                break;
            case SHM_GROUP:
            case SHM_HOLDER: shm_check_name(s, check, (name_t *)item); break;
            case SHM_PARTY: shm_check_party(s, check, (party_t *)item); break;
            case SHM_LINE: shm_check_line(s, check, (line_t *)item, waiting); break;
            default: shm_reach(s, check, arena, item, item->cell.kind);
            }
            ref = item->cell.link;
        }
    }
}

static void shm_check_bodies(segment_t *s, check_t *check) {
    uint64_t entries = 0;
    for (uint32_t n = 0; n < s->slabs[SHM_MESSAGES]; n++) {
        slab_t *slab = shm_slab(s, SHM_MESSAGES, n);
        char *at = s->base + s->start[SHM_MESSAGES] + (uint64_t)n * SHM_SLAB;
        for (uint32_t k = 0; k < shm_fresh(slab); k++) {
            cell_t *cell = (cell_t *)(at + (uint64_t)k * shm_cell_size(slab->size_class));
            if (cell->kind == SHM_BODY) entries += ((body_t *)cell)->entries;
        }
    }
    SHM_HOLDS(entries == s->header->pending, "the references to bodies");
}

static void shm_check_all(segment_t *s, check_t *check) {
    uint64_t pending = 0;
    uint32_t idle[2] = {0, 0}, waiting[SHM_SIDES] = {0, 0};
    for (int arena = 0; arena < SHM_ARENAS && !check->wrong; arena++)
        shm_check_indexed(s, check, arena, &pending, idle, waiting);
    if (check->wrong == NULL)
        shm_check_clients(s, check, waiting[SHM_READERS] + waiting[SHM_SENDERS]);
    if (check->wrong == NULL) shm_check_bodies(s, check);
    for (int heap = 0; heap < 2 && !check->wrong; heap++) shm_check_heap(s, check, heap);
    for (int arena = 0; arena < SHM_ARENAS && !check->wrong; arena++)
        shm_check_arena(s, check, arena);
    if (check->wrong) return;
    SHM_HOLDS(pending == s->header->pending, "the count of entries");
    SHM_HOLDS(idle[0] == s->header->idle[0].count && idle[1] == s->header->idle[1].count,
              "the count of idle channels");
    SHM_HOLDS(waiting[0] == s->header->waiting[0] && waiting[1] == s->header->waiting[1],
              "the count of waits");
    SHM_HOLDS(!s->header->damaged && !s->header->flushing && !s->fault, "a mark of damage");
}

/* What is wrong, or NULL. Under the lock. */
static const char *shm_check(segment_t *s) {
    check_t check = {calloc(s->guard / 8 + 1, 1), {0, 0, 0}, NULL};
    if (check.reached == NULL) return "no memory to check with";
    s->fault = 0;
    shm_check_all(s, &check);
    free(check.reached);
    if (check.wrong == NULL && s->fault) return "a reference that leads nowhere";
    s->fault = 0;
    return check.wrong;
}

#endif
