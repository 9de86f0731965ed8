/* Which cells of a damaged segment are in use, and visits to the objects in them. */
#ifndef SHM_MARKS_H
#define SHM_MARKS_H

#include "shm_memory.h"

typedef struct {
    uint64_t order;
    ref_t ref;
} ordered_t;

typedef struct {
    uint8_t *marks; /* one bit for each unit of the segment: whether a cell there is in use */
    ordered_t *items;
    size_t count, room;
} rebuild_t;

typedef int (*visit_t)(segment_t *s, rebuild_t *rebuild, int arena, void *object);

static inline int shm_marked(rebuild_t *rebuild, ref_t ref) {
    return rebuild->marks[ref / 8] >> (ref % 8) & 1;
}

static inline void shm_mark(rebuild_t *rebuild, ref_t ref) {
    rebuild->marks[ref / 8] |= (uint8_t)(1 << ref % 8);
}

static inline void shm_unmark(rebuild_t *rebuild, ref_t ref) {
    rebuild->marks[ref / 8] &= (uint8_t)~(1 << ref % 8);
}

/* Take back the marks of an object's first cells. */
static void shm_unmark_cells(segment_t *s, rebuild_t *rebuild, int arena, cell_t *cell,
                             uint32_t count) {
    for (; count; count--) {
        shm_unmark(rebuild, shm_ref(s, cell));
        if (count > 1) cell = shm_cell_at(s, arena, cell->chain);
    }
}

/* Mark an object's cells, if its chain holds what its size says, and none of another's. */
static int shm_mark_object(segment_t *s, rebuild_t *rebuild, int arena, cell_t *first) {
    uint64_t size = first->size, room = shm_cell_room(s, arena, shm_ref(s, first));
    int long_ones = first->kind == SHM_ENTRY || first->kind == SHM_BODY || first->kind == SHM_NOTE;
    cell_t *cell = first;
    uint32_t count = 1;
    if (size > s->size[arena] || shm_marked(rebuild, shm_ref(s, first))) return 0;
    if (size > room && !(long_ones && room == SHM_LARGEST - sizeof(cell_t))) return 0;
    shm_mark(rebuild, shm_ref(s, first));
    while (room < size) {
        ref_t chain = cell->chain;
        cell = shm_cell_at(s, arena, chain);
        if (cell == NULL || cell->kind != SHM_MORE || shm_marked(rebuild, chain)) break;
        shm_mark(rebuild, chain);
        room += shm_cell_room(s, arena, chain);
        count++;
    }
    if (room >= size && cell->chain == 0) return 1;
    shm_unmark_cells(s, rebuild, arena, first, count);
    return 0;
}

/* An object that turned out to be invalid: its cells are free ones now. */
static void shm_drop(segment_t *s, rebuild_t *rebuild, int arena, cell_t *cell) {
    ref_t chain = cell->chain;
    shm_unmark(rebuild, shm_ref(s, cell));
    COMMIT(cell->kind, SHM_FREE);
    while (chain) {
        cell = shm_cell_at(s, arena, chain);
        shm_unmark(rebuild, chain);
        chain = cell->chain;
    }
}

static inline uint32_t shm_least_size(uint32_t kind) {
    static const uint32_t sizes[] = {
        offsetof(channel_t, name), offsetof(entry_t, data), offsetof(body_t, data),
        offsetof(name_t, name), offsetof(name_t, name), sizeof(party_t),
        offsetof(membership_t, local), offsetof(line_t, name), sizeof(wait_t), sizeof(waiter_t),
        offsetof(note_t, data)};
    return sizes[kind - SHM_CHANNEL] - (uint32_t)sizeof(cell_t);
}

/* Visit each cell of an arena of one kind that is marked, or of all kinds that begin an object. */
static int shm_each(segment_t *s, rebuild_t *rebuild, int arena, uint32_t kind, visit_t visit) {
    for (uint32_t n = 0; n < s->slabs[arena]; n++) {
        slab_t *slab = shm_slab(s, arena, n);
        if (slab->size_class == 0) continue;
        uint32_t size = shm_cell_size(slab->size_class);
        char *at = s->base + s->start[arena] + (uint64_t)n * SHM_SLAB;
        for (uint32_t k = 0; k < slab->fresh; k++, at += size) {
            cell_t *cell = (cell_t *)at;
            if (kind ? cell->kind != kind || !shm_marked(rebuild, shm_ref(s, cell))
                     : cell->kind <= SHM_MORE || cell->kind >= SHM_KINDS_END)
                continue;
            int result = visit(s, rebuild, arena, cell);
            if (result < 0) return result;
            if (result == 0 && kind) shm_drop(s, rebuild, arena, cell);
        }
    }
    return 0;
}

static int shm_visit_first(segment_t *s, rebuild_t *rebuild, int arena, void *object) {
    cell_t *cell = object;
    if (cell->size < shm_least_size(cell->kind) || !shm_mark_object(s, rebuild, arena, cell))
        COMMIT(cell->kind, SHM_FREE);
    return 1;
}

static inline uint32_t shm_behind(cell_t *cell, uint32_t begin) {
    return cell->size - (begin - (uint32_t)sizeof(cell_t));
}

#endif
