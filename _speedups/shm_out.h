/* What an operation hands out: bytes in the process's own memory, copied under the lock. */
#ifndef SHM_OUT_H
#define SHM_OUT_H

#include "shm_index.h"

typedef struct {
    char *data;
    size_t size, room;
    char first[2048];
} out_t;

static inline void shm_out_begin(out_t *out) {
    out->data = out->first;
    out->size = 0;
    out->room = sizeof out->first;
}

static inline void shm_out_end(out_t *out) {
    if (out->data != out->first) free(out->data);
    out->data = out->first;
}

/* Room for so many bytes more; NULL where the heap is exhausted. They count once ``size`` grows. */
static char *shm_out_room(out_t *out, size_t wanted) {
    if (out->size + wanted > out->room) {
        size_t room = out->room * 2 > out->size + wanted ? out->room * 2 : out->size + wanted;
        char *data = malloc(room);
        if (data == NULL) return NULL;
        memcpy(data, out->data, out->size);
        if (out->data != out->first) free(out->data);
        out->data = data;
        out->room = room;
    }
    return out->data + out->size;
}

/* A number and two texts after each other. */
static int shm_out_name(out_t *out, uint32_t number, const char *name, uint32_t length,
                        const char *more, uint32_t more_length) {
    uint32_t head[2] = {number, length + more_length};
    char *at = shm_out_room(out, sizeof head + head[1]);
    if (at == NULL) return 0;
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, name, length);
    memcpy(at + sizeof head + length, more, more_length);
    out->size += sizeof head + head[1];
    return 1;
}

#endif
