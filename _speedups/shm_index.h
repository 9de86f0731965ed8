/* Finding things: by name, in a table of chains, and by deadline, in a heap.
 *
 * Everything that is indexed has its hash right behind the cell's header, and its place in the heap
 * ("agenda", its index + 1) in itself. An item of the heap may stand there under a deadline that
 * has since moved to later, so that a queue which is used all the time costs nothing.
 */
#ifndef SHM_INDEX_H
#define SHM_INDEX_H

#include "shm_memory.h"

typedef struct {
    cell_t cell;
    uint32_t hash;
} hashed_t;

typedef struct {
    const char *at;
    uint32_t length;
    uint32_t hash;
} text_t;

static inline text_t shm_text(segment_t *s, const char *at, uint32_t length) {
    text_t text = {at, length, shm_hash(s->header->seed, at, length)};
    return text;
}

static inline int shm_same(text_t text, const char *name, uint32_t length) {
    return text.length == length && memcmp(text.at, name, length) == 0;
}

static inline void shm_index_add(segment_t *s, int arena, void *object) {
    hashed_t *item = object;
    uint32_t *bucket = &s->buckets[arena][item->hash & s->mask[arena]];
    PUT(item->cell.link, *bucket);
    PUT(*bucket, shm_ref(s, object));
}

static void shm_index_remove(segment_t *s, int arena, void *object) {
    hashed_t *item = object;
    ref_t *place = &s->buckets[arena][item->hash & s->mask[arena]], ref = shm_ref(s, object);
    for (uint32_t guard = s->guard; *place != ref; guard--) {
        cell_t *cell = shm_cell_at(s, arena, *place);
        if (cell == NULL || guard == 0) {
            shm_fault(s);
            return;
        }
        place = &cell->link;
    }
    PUT(*place, item->cell.link);
}

/* The objects of one chain that have a hash and a kind, one after the other. */
static inline void *shm_index_next(segment_t *s, int arena, ref_t *ref, uint32_t hash,
                                   uint32_t kind) {
    for (uint32_t guard = s->guard; *ref; guard--) {
        hashed_t *item = (hashed_t *)shm_cell_at(s, arena, *ref);
        if (item == NULL || item->cell.kind == SHM_FREE || guard == 0) return shm_fault(s);
        *ref = item->cell.link;
        if (item->hash == hash && item->cell.kind == kind) return item;
    }
    return NULL;
}

static inline ref_t shm_index_first(segment_t *s, int arena, uint32_t hash) {
    return s->buckets[arena][hash & s->mask[arena]];
}

/* A bound for the names that are compared, whatever a scribble says. */
static inline uint32_t shm_length(uint32_t length) {
    return length <= SHM_MAX_NAME ? length : 0;
}

static channel_t *shm_find_channel(segment_t *s, text_t name) {
    ref_t ref = shm_index_first(s, SHM_MESSAGES, name.hash);
    channel_t *channel;
    while ((channel = shm_index_next(s, SHM_MESSAGES, &ref, name.hash, SHM_CHANNEL)) != NULL)
        if (shm_same(name, channel->name, shm_length(channel->length))) return channel;
    return NULL;
}

static name_t *shm_find_name(segment_t *s, uint32_t kind, text_t name) {
    ref_t ref = shm_index_first(s, SHM_GROUPS, name.hash);
    name_t *found;
    while ((found = shm_index_next(s, SHM_GROUPS, &ref, name.hash, kind)) != NULL)
        if (shm_same(name, found->name, shm_length(found->length))) return found;
    return NULL;
}

static line_t *shm_find_line(segment_t *s, text_t name) {
    ref_t ref = shm_index_first(s, SHM_WAITS, name.hash);
    line_t *line;
    while ((line = shm_index_next(s, SHM_WAITS, &ref, name.hash, SHM_LINE)) != NULL)
        if (shm_same(name, line->name, shm_length(line->length))) return line;
    return NULL;
}

/* The heaps: of channels, and of parties */

static inline uint32_t *shm_agenda(segment_t *s, int heap, ref_t ref) {
    static const uint32_t kinds[] = {SHM_CHANNEL, SHM_PARTY};
    void *object = shm_object(s, heap, ref, kinds[heap]); /* a heap has its arena's number */
    if (object == NULL) return NULL;
    return heap == SHM_MESSAGES ? &((channel_t *)object)->agenda : &((party_t *)object)->agenda;
}

static inline uint32_t shm_heap_length(segment_t *s, int heap) {
    uint32_t length = s->header->heaps[heap].length;
    if ((uint64_t)length * sizeof(heap_item_t) > s->header->heaps[heap].granted ||
        (uint64_t)length * sizeof(heap_item_t) > s->heap_size[heap]) {
        shm_fault(s);
        return 0;
    }
    return length;
}

static inline void shm_heap_put(segment_t *s, int heap, uint32_t at, heap_item_t item) {
    uint32_t *agenda = shm_agenda(s, heap, item.ref);
    if (agenda == NULL) return;
    PUT(s->heap[heap][at], item);
    PUT(*agenda, at + 1);
}

static void shm_heap_up(segment_t *s, int heap, uint32_t at, heap_item_t item) {
    heap_item_t *items = s->heap[heap];
    while (at && items[(at - 1) / 2].due > item.due) {
        shm_heap_put(s, heap, at, items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    shm_heap_put(s, heap, at, item);
}

static void shm_heap_down(segment_t *s, int heap, uint32_t at, uint32_t length, heap_item_t item) {
    heap_item_t *items = s->heap[heap];
    for (uint32_t child; (child = 2 * at + 1) < length; at = child) {
        if (child + 1 < length && items[child + 1].due < items[child].due) child++;
        if (items[child].due >= item.due) break;
        shm_heap_put(s, heap, at, items[child]);
    }
    shm_heap_put(s, heap, at, item);
}

static int shm_heap_add(segment_t *s, int heap, ref_t ref, uint64_t due) {
    heap_state_t *state = &s->header->heaps[heap];
    uint32_t length = shm_heap_length(s, heap);
    uint64_t needed = ((uint64_t)length + 1) * sizeof(heap_item_t);
    if (s->fault || needed > s->heap_size[heap]) return 0;
    if (needed > state->granted) {
        uint64_t more = s->heap_size[heap] - state->granted;
        if (more > SHM_SLAB) more = SHM_SLAB;
        if (shm_grant(s, (uint64_t)((char *)s->heap[heap] - s->base) + state->granted, more))
            return 0;
        PUT(state->granted, state->granted + more);
    }
    PUT(state->length, length + 1);
    shm_heap_up(s, heap, length, (heap_item_t){due, ref, 0});
    return 1;
}

static void shm_heap_remove(segment_t *s, int heap, uint32_t *agenda) {
    uint32_t length = shm_heap_length(s, heap), at = *agenda - 1;
    if (s->fault || at >= length || shm_agenda(s, heap, s->heap[heap][at].ref) != agenda) {
        shm_fault(s);
        return;
    }
    heap_item_t last = s->heap[heap][--length];
    PUT(s->header->heaps[heap].length, length);
    PUT(*agenda, 0);
    if (at == length) return;
    if (at && s->heap[heap][(at - 1) / 2].due > last.due) shm_heap_up(s, heap, at, last);
    else shm_heap_down(s, heap, at, length, last);
}

/* Move the first item, whose deadline turned out to be later. */
static inline void shm_heap_postpone(segment_t *s, int heap, uint64_t due) {
    heap_item_t item = s->heap[heap][0];
    item.due = due;
    shm_heap_down(s, heap, 0, shm_heap_length(s, heap), item);
}

/* Move an item to the deadline ``due``, unless its own is sooner. */
static void shm_heap_hasten(segment_t *s, int heap, uint32_t *agenda, uint64_t due) {
    uint32_t at = *agenda - 1;
    if (at >= shm_heap_length(s, heap)) {
        shm_fault(s);
        return;
    }
    heap_item_t item = s->heap[heap][at];
    if (item.due <= due) return;
    item.due = due;
    shm_heap_up(s, heap, at, item);
}

#endif
