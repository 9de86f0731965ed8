/* Notes: what each listener announced that it listens to. */
#ifndef SHM_NOTES_H
#define SHM_NOTES_H

#include "shm_waits.h"
#include "shm_out.h"

static inline note_t *shm_note_at(segment_t *s, ref_t ref) {
    return shm_object(s, SHM_WAITS, ref, SHM_NOTE);
}

static note_t *shm_find_note(segment_t *s, text_t listener) {
    ref_t ref = shm_index_first(s, SHM_WAITS, listener.hash);
    note_t *note;
    while ((note = shm_index_next(s, SHM_WAITS, &ref, listener.hash, SHM_NOTE)) != NULL)
        if (shm_same(listener, note->data, shm_length(note->length))) return note;
    return NULL;
}

static void shm_note_link(segment_t *s, note_t *note) {
    note_t *next = s->header->notes ? shm_note_at(s, s->header->notes) : NULL;
    PUT(note->previous, 0);
    PUT(note->next, s->header->notes);
    if (next) PUT(next->previous, shm_ref(s, note));
    PUT(s->header->notes, shm_ref(s, note));
    PUT(s->header->notes_version, s->header->notes_version + 1);
    shm_index_add(s, SHM_WAITS, note);
}

static void shm_note_remove(segment_t *s, note_t *note) {
    note_t *before = note->previous ? shm_note_at(s, note->previous) : NULL;
    note_t *after = note->next ? shm_note_at(s, note->next) : NULL;
    if (s->fault) return;
    if (before) PUT(before->next, note->next);
    else PUT(s->header->notes, note->next);
    if (after) PUT(after->previous, note->previous);
    PUT(s->header->notes_version, s->header->notes_version + 1);
    shm_index_remove(s, SHM_WAITS, note);
    if (!s->fault) shm_free(s, SHM_WAITS, note);
}

static void shm_notes_expire(segment_t *s, uint64_t now) {
    ref_t ref = s->header->notes;
    for (uint32_t guard = s->guard; ref && !s->fault; guard--) {
        note_t *note = guard ? shm_note_at(s, ref) : NULL;
        if (note == NULL) {
            shm_fault(s);
            return;
        }
        ref = note->next;
        if (note->deadline <= now) shm_note_remove(s, note);
    }
}

static int shm_note_says(segment_t *s, note_t *note, const char *data, uint32_t size) {
    if (note->cell.size - (uint32_t)(offsetof(note_t, data) - sizeof(cell_t)) != size) return 0;
    cursor_t at = shm_cursor(s, SHM_WAITS, note, note->data);
    while (size) {
        uint32_t length = size;
        char *span = shm_span(s, SHM_WAITS, &at, &length);
        if (span == NULL || memcmp(span, data, length)) return 0;
        data += length;
        size -= length;
    }
    return 1;
}

/* Keep what a listener says, in the place of what it said before; nothing withdraws it. ``data``
 * is its name, then the channels, each with its length in the byte before it. */
static int shm_announce(segment_t *s, text_t listener, const char *data, uint32_t size,
                        uint64_t deadline, uint64_t now) {
    shm_notes_expire(s, now);
    note_t *old = s->fault ? NULL : shm_find_note(s, listener);
    if (s->fault) return SHM_CORRUPT;
    if (old && shm_note_says(s, old, data, size)) {
        if (deadline < old->deadline) PUT(s->header->notes_version, s->header->notes_version + 1);
        COMMIT(old->deadline, deadline);
        return SHM_OK;
    }
    if (size > listener.length) {
        note_t *note = shm_alloc(s, SHM_WAITS, offsetof(note_t, data) + (uint64_t)size);
        if (note == NULL) return s->fault ? SHM_CORRUPT : SHM_NO_MEMORY;
        PUT(s->header->order, s->header->order + 1);
        PUT(note->order, s->header->order);
        PUT(note->hash, listener.hash);
        PUT(note->length, listener.length);
        PUT(note->deadline, deadline);
        cursor_t cursor = shm_cursor(s, SHM_WAITS, note, note->data);
        if (!shm_write(s, SHM_WAITS, &cursor, data, size)) return SHM_CORRUPT;
        COMMIT(note->cell.kind, SHM_NOTE);
        shm_note_link(s, note);
    }
    if (old) shm_note_remove(s, old);
    return s->fault ? SHM_CORRUPT : SHM_OK;
}

/* The channels that anybody announced, with their lengths; ``until`` is when the first ends. */
static int shm_notes_read(segment_t *s, out_t *out, uint64_t *until, uint64_t now) {
    shm_notes_expire(s, now);
    *until = UINT64_MAX;
    ref_t ref = s->header->notes;
    for (uint32_t guard = s->guard; ref && !s->fault; guard--) {
        note_t *note = guard ? shm_note_at(s, ref) : NULL;
        if (note == NULL) return SHM_CORRUPT;
        uint32_t size = note->cell.size - (uint32_t)(offsetof(note_t, data) - sizeof(cell_t));
        uint32_t length = shm_length(note->length);
        if (length > size || size > SHM_WAITS_BYTES) return SHM_CORRUPT;
        char *to = shm_out_room(out, size);
        cursor_t at = shm_cursor(s, SHM_WAITS, note, note->data);
        if (to == NULL) return SHM_NO_HEAP;
        if (!shm_read(s, SHM_WAITS, &at, NULL, length)) return SHM_CORRUPT;
        if (!shm_read(s, SHM_WAITS, &at, to, size - length)) return SHM_CORRUPT;
        out->size += size - length;
        if (note->deadline < *until) *until = note->deadline;
        ref = note->next;
    }
    return s->fault ? SHM_CORRUPT : SHM_OK;
}

#endif
