/* Cells: allocation, objects that take several of them, and the memory behind them.
 *
 * An arena is cut into slabs, a slab into cells of one size. Memory is granted by the system in
 * steps, and given back when all slabs of a step are free and another free step is at hand.
 */
#ifndef SHM_MEMORY_H
#define SHM_MEMORY_H

#include "shm_layout.h"

static inline void *shm_fault(segment_t *s) {
    s->fault = 1;
    return NULL;
}

static inline uint32_t shm_cell_size(uint32_t size_class) { return 32u << size_class; }

static inline uint32_t shm_class_of(uint32_t size) {
    uint32_t size_class = 1;
    while (size_class < SHM_CLASSES && shm_cell_size(size_class) < size) size_class++;
    return size_class;
}

/* How many cells of a slab were ever used, as far as they can be. */
static inline uint32_t shm_fresh(const slab_t *slab) {
    if (slab->size_class - 1 >= SHM_CLASSES) return 0;
    uint32_t cells = SHM_SLAB / shm_cell_size(slab->size_class);
    return slab->fresh < cells ? slab->fresh : cells;
}

static inline slab_t *shm_slab(segment_t *s, int arena, uint32_t number) {
    return &s->slab_table[s->first_slab[arena] + number];
}

static inline step_t *shm_step_of(segment_t *s, int arena, uint32_t number) {
    return &s->step_table[(s->first_slab[arena] + number) / SHM_SLABS_A_STEP];
}

static inline uint32_t shm_slab_number(segment_t *s, int arena, ref_t ref) {
    return (uint32_t)(((uint64_t)ref * SHM_UNIT - s->start[arena]) / SHM_SLAB);
}

/* The cell at a reference; NULL where none begins there. */
static inline cell_t *shm_cell_at(segment_t *s, int arena, ref_t ref) {
    uint64_t offset = (uint64_t)ref * SHM_UNIT - s->start[arena];
    if (offset >= s->size[arena]) return NULL; /* also where it lies before the start */
    slab_t *slab = shm_slab(s, arena, (uint32_t)(offset / SHM_SLAB));
    uint32_t size_class = slab->size_class;
    if (size_class - 1 >= SHM_CLASSES) return NULL;
    uint32_t inside = (uint32_t)(offset % SHM_SLAB), size = shm_cell_size(size_class);
    if (inside & (size - 1) || inside / size >= slab->fresh) return NULL;
    return (cell_t *)(s->base + (uint64_t)ref * SHM_UNIT);
}

/* The object of a kind at a reference; a fault where there is none. */
static inline void *shm_object(segment_t *s, int arena, ref_t ref, uint32_t kind) {
    cell_t *cell = shm_cell_at(s, arena, ref);
    if (cell == NULL || cell->kind != kind) return shm_fault(s);
    return cell;
}

static inline ref_t shm_ref(segment_t *s, const void *object) {
    return (ref_t)(((const char *)object - s->base) / SHM_UNIT);
}

/* Bytes that one cell holds behind its header. */
static inline uint32_t shm_cell_room(segment_t *s, int arena, ref_t ref) {
    slab_t *slab = shm_slab(s, arena, shm_slab_number(s, arena, ref));
    return shm_cell_size(slab->size_class) - (uint32_t)sizeof(cell_t);
}

/* Slabs in lists */

static inline void shm_slab_unlink(segment_t *s, int arena, uint32_t list, uint32_t number) {
    slab_t *slab = shm_slab(s, arena, number);
    uint32_t before = slab->previous, after = slab->next;
    if (before > s->slabs[arena] || after > s->slabs[arena]) {
        shm_fault(s);
        return;
    }
    if (before) PUT(shm_slab(s, arena, before - 1)->next, after);
    else PUT(s->header->arenas[arena].partial[list], after);
    if (after) PUT(shm_slab(s, arena, after - 1)->previous, before);
    PUT(slab->previous, 0);
    PUT(slab->next, 0);
}

static inline void shm_slab_link(segment_t *s, int arena, uint32_t list, uint32_t number) {
    slab_t *slab = shm_slab(s, arena, number);
    uint32_t *first = &s->header->arenas[arena].partial[list];
    if (*first > s->slabs[arena]) {
        shm_fault(s);
        return;
    }
    PUT(slab->previous, 0);
    PUT(slab->next, *first);
    if (*first) PUT(shm_slab(s, arena, *first - 1)->previous, number + 1);
    PUT(*first, number + 1);
}

/* Memory from the system and back */

static inline void shm_punch(segment_t *s, uint64_t offset, uint64_t size) {
    /* Best effort: memory that stays is granted again later. */
    int ignored = fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                            (off_t)size);
    (void)ignored;
}

static inline uint32_t shm_steps_of(segment_t *s, int arena) {
    return s->slabs[arena] / SHM_SLABS_A_STEP;
}

/* Have one more step granted; its slabs become free ones. */
static int shm_grow(segment_t *s, int arena) {
    for (uint32_t n = 0; n < shm_steps_of(s, arena); n++) {
        uint32_t first = n * SHM_SLABS_A_STEP;
        step_t *step = shm_step_of(s, arena, first);
        if (step->committed) continue;
        if (shm_grant(s, s->start[arena] + (uint64_t)n * SHM_GROWTH, SHM_GROWTH)) return 0;
        PUT(step->busy, 0);
        COMMIT(step->committed, 1);
        for (uint32_t k = SHM_SLABS_A_STEP; k-- > 0;) shm_slab_link(s, arena, 0, first + k);
        PUT(s->header->arenas[arena].idle_steps, s->header->arenas[arena].idle_steps + 1);
        return 1;
    }
    return 0;
}

static void shm_give_back(segment_t *s, int arena, uint32_t number) {
    uint32_t first = number / SHM_SLABS_A_STEP * SHM_SLABS_A_STEP;
    for (uint32_t k = 0; k < SHM_SLABS_A_STEP; k++) shm_slab_unlink(s, arena, 0, first + k);
    COMMIT(shm_step_of(s, arena, number)->committed, 0);
    shm_punch(s, s->start[arena] + (uint64_t)first * SHM_SLAB, SHM_GROWTH);
}

/* Take a free slab for cells of a class; 0, or its number + 1. */
static uint32_t shm_slab_take(segment_t *s, int arena, uint32_t size_class) {
    arena_state_t *state = &s->header->arenas[arena];
    if (state->partial[0] == 0 && !shm_grow(s, arena)) return 0;
    uint32_t number = state->partial[0];
    if (s->fault || number == 0 || number > s->slabs[arena]) {
        shm_fault(s);
        return 0;
    }
    slab_t *slab = shm_slab(s, arena, number - 1);
    step_t *step = shm_step_of(s, arena, number - 1);
    shm_slab_unlink(s, arena, 0, number - 1);
    if (step->busy == 0) PUT(state->idle_steps, state->idle_steps - 1);
    PUT(step->busy, step->busy + 1);
    COMMIT(slab->fresh, 0);
    PUT(slab->used, 0);
    PUT(slab->free, 0);
    COMMIT(slab->size_class, size_class);
    shm_slab_link(s, arena, size_class, number - 1);
    return number;
}

static void shm_slab_release(segment_t *s, int arena, uint32_t number) {
    arena_state_t *state = &s->header->arenas[arena];
    slab_t *slab = shm_slab(s, arena, number);
    step_t *step = shm_step_of(s, arena, number);
    shm_slab_unlink(s, arena, slab->size_class, number);
    COMMIT(slab->size_class, 0);
    shm_slab_link(s, arena, 0, number);
    PUT(step->busy, step->busy - 1);
    if (step->busy) return;
    if (state->idle_steps) shm_give_back(s, arena, number);
    else PUT(state->idle_steps, 1);
}

/* Cells */

static cell_t *shm_cell_new(segment_t *s, int arena, uint32_t size_class) {
    arena_state_t *state = &s->header->arenas[arena];
    uint32_t number = state->partial[size_class], size = shm_cell_size(size_class);
    if (number == 0) number = shm_slab_take(s, arena, size_class);
    if (number == 0) return NULL;
    if (number > s->slabs[arena]) return shm_fault(s);
    slab_t *slab = shm_slab(s, arena, --number);
    if (slab->size_class != size_class) return shm_fault(s);
    cell_t *cell;
    if (slab->free) {
        cell = shm_cell_at(s, arena, slab->free);
        if (cell == NULL || cell->kind != SHM_FREE) return shm_fault(s);
        if (shm_slab_number(s, arena, slab->free) != number) return shm_fault(s);
        PUT(slab->free, cell->link);
    } else {
        uint32_t fresh = slab->fresh;
        if (fresh >= SHM_SLAB / size) return shm_fault(s);
        cell = (cell_t *)(s->base + s->start[arena] + (uint64_t)number * SHM_SLAB +
                          (uint64_t)fresh * size);
        COMMIT(cell->kind, SHM_FREE);
        COMMIT(slab->fresh, fresh + 1);
    }
    PUT(slab->used, slab->used + 1);
    PUT(state->used, state->used + size);
    if (slab->free == 0 && slab->fresh == SHM_SLAB / size)
        shm_slab_unlink(s, arena, size_class, number);
    PUT(cell->chain, 0);
    PUT(cell->link, 0);
    return cell;
}

/* A cell for so many bytes; where memory is short, also a larger one than is needed. */
static cell_t *shm_cell_for(segment_t *s, int arena, uint32_t size) {
    uint32_t size_class = shm_class_of(size);
    cell_t *cell = shm_cell_new(s, arena, size_class);
    while (cell == NULL && !s->fault && size_class < SHM_CLASSES)
        cell = shm_cell_new(s, arena, ++size_class);
    return cell;
}

/* Put a cell that says nothing any more on the free list. */
static void shm_cell_free(segment_t *s, int arena, cell_t *cell) {
    ref_t ref = shm_ref(s, cell);
    uint32_t number = shm_slab_number(s, arena, ref);
    slab_t *slab = shm_slab(s, arena, number);
    uint32_t size = shm_cell_size(slab->size_class);
    int was_full = slab->free == 0 && slab->fresh == SHM_SLAB / size;
    PUT(cell->link, slab->free);
    PUT(slab->free, ref);
    PUT(slab->used, slab->used - 1);
    PUT(s->header->arenas[arena].used, s->header->arenas[arena].used - size);
    if (was_full) shm_slab_link(s, arena, slab->size_class, number);
    if (slab->used == 0) shm_slab_release(s, arena, number);
}

/* Objects */

/* Free an object and its continuations. From the first store on it is gone. */
static void shm_free(segment_t *s, int arena, void *object) {
    cell_t *cell = object;
    ref_t chain = cell->chain;
    COMMIT(cell->kind, SHM_FREE);
    shm_cell_free(s, arena, cell);
    for (uint32_t guard = s->guard; chain && !s->fault; guard--) {
        cell = shm_object(s, arena, chain, SHM_MORE);
        if (cell == NULL || guard == 0) {
            shm_fault(s);
            return;
        }
        chain = cell->chain;
        COMMIT(cell->kind, SHM_FREE);
        shm_cell_free(s, arena, cell);
    }
}

/* Cells for an object of ``size`` bytes, its own header included. It says nothing yet. */
static void *shm_alloc(segment_t *s, int arena, uint64_t size) {
    uint32_t room = SHM_LARGEST - (uint32_t)sizeof(cell_t);
    uint64_t rest = size - sizeof(cell_t);
    if (size > s->size[arena]) return NULL;
    cell_t *first = shm_cell_for(s, arena, rest > room ? SHM_LARGEST : (uint32_t)size);
    if (first == NULL) return NULL;
    PUT(first->size, (uint32_t)rest);
    cell_t *last = first;
    while (rest > room) {
        rest -= room;
        uint32_t wanted = rest > room ? SHM_LARGEST : (uint32_t)(rest + sizeof(cell_t));
        cell_t *cell = shm_cell_for(s, arena, wanted);
        if (cell == NULL) {
            shm_free(s, arena, first);
            return NULL;
        }
        PUT(cell->size, 0);
        COMMIT(cell->kind, SHM_MORE);
        PUT(last->chain, shm_ref(s, cell));
        last = cell;
    }
    return first;
}

/* A place in an object, from which on it is read or written. */
typedef struct {
    cell_t *cell;
    uint32_t at, room;
} cursor_t;

static inline cursor_t shm_cursor(segment_t *s, int arena, void *object, const void *place) {
    cursor_t cursor = {object, (uint32_t)((const char *)place - (char *)object), 0};
    cursor.room = shm_cell_room(s, arena, shm_ref(s, object)) + (uint32_t)sizeof(cell_t);
    return cursor;
}

/* The bytes at the cursor, as many as lie together; NULL where the object ends. */
static inline char *shm_span(segment_t *s, int arena, cursor_t *cursor, uint32_t *length) {
    if (cursor->cell == NULL) return NULL;
    if (cursor->at >= cursor->room) {
        ref_t chain = cursor->cell->chain;
        cursor->cell = shm_object(s, arena, chain, SHM_MORE);
        if (cursor->cell == NULL) return NULL;
        cursor->at = sizeof(cell_t);
        cursor->room = shm_cell_room(s, arena, chain) + (uint32_t)sizeof(cell_t);
    }
    if (*length > cursor->room - cursor->at) *length = cursor->room - cursor->at;
    char *span = (char *)cursor->cell + cursor->at;
    cursor->at += *length;
    return span;
}

static int shm_write(segment_t *s, int arena, cursor_t *cursor, const char *data, uint32_t size) {
    while (size) {
        uint32_t length = size;
        char *span = shm_span(s, arena, cursor, &length);
        if (span == NULL) return 0;
        shm_copy(span, data, length);
        data += length;
        size -= length;
    }
    return 1;
}

static int shm_read(segment_t *s, int arena, cursor_t *cursor, char *data, uint32_t size) {
    while (size) {
        uint32_t length = size;
        char *span = shm_span(s, arena, cursor, &length);
        if (span == NULL) return 0;
        if (data) {
            memcpy(data, span, length);
            data += length;
        }
        size -= length;
    }
    return 1;
}

#endif
