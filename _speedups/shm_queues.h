/* Channels and their entries: pushing, taking, expiring, counting. */
#ifndef SHM_QUEUES_H
#define SHM_QUEUES_H

#include "shm_clients.h"
#include "shm_out.h"

#define SHM_AGAIN 100 /* the entry had expired: look again */

/* The channels of a receive, and whose turn it is. */
typedef struct {
    uint32_t count, turn;
    uint64_t seed; /* of the hashes */
    text_t *names;
} names_t;

static void shm_groups_evict(segment_t *s, text_t name);
static void shm_groups_expire(segment_t *s, uint64_t now);

/* Counting */

static void shm_count(tally_t *tally, uint64_t now) {
    uint32_t slot = (uint32_t)(now / (SHM_TICK / 10));
    if (tally->slot != slot) {
        uint32_t passed = slot - tally->slot;
        for (uint32_t n = 0; n < 10 && n < passed; n++) PUT(tally->recent[(slot - n) % 10], 0);
        PUT(tally->slot, slot);
    }
    PUT(tally->recent[slot % 10], tally->recent[slot % 10] + 1);
    PUT(tally->total, tally->total + 1);
}

static uint64_t shm_per_second(const tally_t *tally, uint64_t now) {
    uint32_t slot = (uint32_t)(now / (SHM_TICK / 10)), sum = 0, passed = slot - tally->slot;
    for (uint32_t n = passed; n < 10; n++) sum += tally->recent[(slot - n) % 10];
    return sum;
}

/* Channels */

static inline channel_t *shm_channel_at(segment_t *s, ref_t ref) {
    return shm_object(s, SHM_MESSAGES, ref, SHM_CHANNEL);
}

static void shm_idle_remove(segment_t *s, channel_t *channel) {
    idle_t *idle = &s->header->idle[channel->passing & 1];
    channel_t *older = channel->older ? shm_channel_at(s, channel->older) : NULL;
    channel_t *newer = channel->newer ? shm_channel_at(s, channel->newer) : NULL;
    if (s->fault) return;
    if (older) PUT(older->newer, channel->newer);
    else PUT(idle->oldest, channel->newer);
    if (newer) PUT(newer->older, channel->older);
    else PUT(idle->newest, channel->older);
    PUT(idle->count, idle->count - 1);
    PUT(channel->idle, 0);
}

/* Where the count of evictions of channels with this hash goes on when they are forgotten. */
static inline uint32_t *shm_forgotten(segment_t *s, uint32_t hash) {
    return &s->header->forgotten[hash % SHM_FORGOTTEN];
}

/* Forget the longest idle channel, counts and all. */
static int shm_forget_oldest(segment_t *s, int passing) {
    ref_t oldest = s->header->idle[passing].oldest;
    channel_t *channel = oldest ? shm_channel_at(s, oldest) : NULL;
    if (channel == NULL) return 0;
    if (channel->count || !channel->idle) {
        shm_fault(s);
        return 0;
    }
    uint32_t *evictions = shm_forgotten(s, channel->hash);
    if (channel->evictions > *evictions) COMMIT(*evictions, channel->evictions);
    shm_idle_remove(s, channel);
    if (channel->agenda) shm_heap_remove(s, SHM_MESSAGES, &channel->agenda);
    shm_index_remove(s, SHM_MESSAGES, channel);
    if (!s->fault) shm_free(s, SHM_MESSAGES, channel);
    return !s->fault;
}

static void shm_idle_add(segment_t *s, channel_t *channel) {
    int passing = channel->passing & 1;
    idle_t *idle = &s->header->idle[passing];
    channel_t *newest = idle->newest ? shm_channel_at(s, idle->newest) : NULL;
    ref_t ref = shm_ref(s, channel);
    PUT(channel->older, idle->newest);
    PUT(channel->newer, 0);
    PUT(channel->idle, 1);
    if (newest) PUT(newest->newer, ref);
    else PUT(idle->oldest, ref);
    PUT(idle->newest, ref);
    PUT(idle->count, idle->count + 1);
    while (!s->fault && idle->count > (passing ? SHM_PASSING : SHM_REMEMBERED))
        if (!shm_forget_oldest(s, passing)) shm_fault(s);
}

/* ``shm_alloc`` for messages, at the cost of what is remembered of idle channels. */
static void *shm_alloc_message(segment_t *s, uint64_t size) {
    void *object = shm_alloc(s, SHM_MESSAGES, size);
    for (uint32_t guard = s->guard; object == NULL && !s->fault && guard; guard--) {
        if (!shm_forget_oldest(s, 1) && !shm_forget_oldest(s, 0)) break;
        object = shm_alloc(s, SHM_MESSAGES, size);
    }
    return object;
}

static channel_t *shm_channel(segment_t *s, text_t name) {
    channel_t *channel = shm_find_channel(s, name);
    if (channel || s->fault) return channel;
    channel = shm_alloc_message(s, offsetof(channel_t, name) + name.length);
    if (channel == NULL) return NULL;
    shm_step();
    memset((char *)channel + sizeof(cell_t), 0, offsetof(channel_t, name) - sizeof(cell_t));
    PUT(channel->hash, name.hash);
    PUT(channel->evictions, *shm_forgotten(s, name.hash));
    PUT(channel->length, (uint16_t)name.length);
    PUT(channel->process, name.at[name.length - 1] == '!');
    PUT(channel->passing, memchr(name.at, '?', name.length) != NULL);
    shm_copy(channel->name, name.at, name.length);
    COMMIT(channel->cell.kind, SHM_CHANNEL);
    shm_index_add(s, SHM_MESSAGES, channel);
    shm_idle_add(s, channel);
    return channel;
}

static inline text_t shm_channel_name(channel_t *channel) {
    text_t name = {channel->name, shm_length(channel->length), channel->hash};
    return name;
}

static inline int shm_is_full(segment_t *s, channel_t *channel) {
    return channel->count >= channel->capacity ||
           (channel->process && channel->bytes >= s->byte_limit);
}

static int shm_has_entries(segment_t *s, text_t name) {
    channel_t *channel = shm_find_channel(s, name);
    return channel && channel->count;
}

static int shm_has_room(segment_t *s, text_t name) {
    channel_t *channel;
    if (s->header->starving) return 0;
    channel = shm_find_channel(s, name);
    return channel == NULL || !shm_is_full(s, channel);
}

/* Note that there was no memory for a sender. */
static int shm_starve(segment_t *s, channel_t *channel, uint64_t now) {
    if (s->fault) return SHM_CORRUPT;
    shm_count(&s->header->full, now);
    if (channel) shm_count(&channel->full, now);
    PUT(s->header->starved_at, now);
    PUT(s->header->starving, 1);
    return SHM_NO_MEMORY;
}

/* Pushing */

static body_t *shm_body(segment_t *s, const char *data, uint32_t size) {
    body_t *body = shm_alloc_message(s, offsetof(body_t, data) + (uint64_t)size);
    if (body == NULL) return NULL;
    PUT(body->entries, 0);
    PUT(body->length, size);
    cursor_t cursor = shm_cursor(s, SHM_MESSAGES, body, body->data);
    if (!shm_write(s, SHM_MESSAGES, &cursor, data, size)) return NULL;
    COMMIT(body->cell.kind, SHM_BODY);
    return body;
}

static void shm_body_tidy(segment_t *s, body_t *body) {
    if (body->entries == 0) shm_free(s, SHM_MESSAGES, body);
}

static inline uint32_t shm_target_bytes(entry_t *entry) {
    return entry->cell.size - (uint32_t)(offsetof(entry_t, data) - sizeof(cell_t));
}

static inline uint64_t shm_entry_bytes(entry_t *entry, body_t *body) {
    return (uint64_t)body->length + shm_target_bytes(entry) - (uint32_t)entry->position;
}

/* See that the channel is looked at when its first entry expires, at ``deadline`` or sooner: the
 * processes that send to it may have different expiries. */
static int shm_schedule(segment_t *s, channel_t *channel, uint64_t deadline) {
    if (channel->agenda == 0) return shm_heap_add(s, SHM_MESSAGES, shm_ref(s, channel), deadline);
    shm_heap_hasten(s, SHM_MESSAGES, &channel->agenda, deadline);
    return !s->fault;
}

/* An entry that is yet to be committed; its targets are written by the caller. */
static entry_t *shm_entry(segment_t *s, channel_t *channel, body_t *body, uint32_t targets,
                          uint32_t target_bytes, uint64_t now, uint64_t deadline) {
    if (channel->count == 0 && !shm_schedule(s, channel, deadline)) return NULL;
    entry_t *entry = shm_alloc_message(s, offsetof(entry_t, data) + (uint64_t)target_bytes);
    if (entry == NULL) return NULL;
    PUT(s->header->order, s->header->order + 1);
    PUT(entry->order, s->header->order);
    PUT(entry->created, now);
    PUT(entry->deadline, deadline);
    PUT(entry->position, 0);
    PUT(entry->channel, shm_ref(s, channel));
    PUT(entry->body, shm_ref(s, body));
    PUT(entry->next, 0);
    PUT(entry->targets, targets);
    return entry;
}

/* Put a committed entry at the end of its channel. Without counting: also used to build anew. */
static void shm_append(segment_t *s, channel_t *channel, entry_t *entry, body_t *body) {
    ref_t ref = shm_ref(s, entry);
    entry_t *last = channel->last ? shm_object(s, SHM_MESSAGES, channel->last, SHM_ENTRY) : NULL;
    if (s->fault) return;
    if (channel->idle) shm_idle_remove(s, channel);
    PUT(body->entries, body->entries + 1);
    if (last) PUT(last->next, ref);
    else PUT(channel->first, ref);
    PUT(channel->last, ref);
    PUT(channel->count, channel->count + 1);
    PUT(channel->bytes, channel->bytes + shm_entry_bytes(entry, body));
    PUT(s->header->pending, s->header->pending + 1);
}

static void shm_commit_entry(segment_t *s, channel_t *channel, entry_t *entry, body_t *body,
                             wakes_t *wakes, uint64_t now) {
    COMMIT(entry->cell.kind, SHM_ENTRY);
    shm_append(s, channel, entry, body);
    shm_count(&s->header->sent, now);
    shm_count(&channel->sent, now);
    shm_wake(s, shm_channel_name(channel), SHM_READERS, 0, wakes, now);
}

typedef struct {
    text_t name;
    uint32_t capacity;
    uint32_t targets, target_bytes;
    const char *target_data;
    const char *data;
    uint32_t size;
    uint64_t life;
} message_t;

static int shm_push(segment_t *s, const message_t *message, int *done, wakes_t *wakes,
                    uint64_t now) {
    channel_t *channel = shm_channel(s, message->name);
    if (channel == NULL) return shm_starve(s, NULL, now);
    PUT(channel->capacity, message->capacity);
    if (shm_is_full(s, channel)) {
        shm_count(&s->header->full, now);
        shm_count(&channel->full, now);
        return SHM_FULL;
    }
    if (channel->idle) shm_idle_remove(s, channel); /* so that it is not forgotten meanwhile */
    body_t *body = shm_body(s, message->data, message->size);
    entry_t *entry = body ? shm_entry(s, channel, body, message->targets, message->target_bytes,
                                      now, now + message->life) : NULL;
    if (entry == NULL) {
        if (body) shm_body_tidy(s, body);
        if (channel->count == 0) shm_idle_add(s, channel);
        return shm_starve(s, channel, now);
    }
    cursor_t cursor = shm_cursor(s, SHM_MESSAGES, entry, entry->data);
    if (!shm_write(s, SHM_MESSAGES, &cursor, message->target_data, message->target_bytes))
        return SHM_CORRUPT;
    *done = 1;
    shm_commit_entry(s, channel, entry, body, wakes, now);
    return SHM_OK;
}

/* Removing */

/* Memory became free: whoever found none may try again. */
static void shm_feed(segment_t *s, wakes_t *wakes, uint64_t now) {
    if (!s->header->starving) return;
    PUT(s->header->starving, 0);
    shm_wake(s, shm_text(s, "", 0), SHM_SENDERS, 1, wakes, now);
}

/* Remove the oldest entry. From the first store on it is gone. */
static void shm_remove_first(segment_t *s, channel_t *channel, wakes_t *wakes, uint64_t now) {
    entry_t *entry = shm_object(s, SHM_MESSAGES, channel->first, SHM_ENTRY);
    body_t *body = entry ? shm_object(s, SHM_MESSAGES, entry->body, SHM_BODY) : NULL;
    if (body == NULL) return;
    uint64_t bytes = shm_entry_bytes(entry, body);
    ref_t next = entry->next;
    shm_free(s, SHM_MESSAGES, entry);
    PUT(channel->first, next);
    if (next == 0) PUT(channel->last, 0);
    PUT(channel->count, channel->count - 1);
    PUT(channel->bytes, channel->bytes - bytes);
    PUT(s->header->pending, s->header->pending - 1);
    PUT(body->entries, body->entries - 1);
    shm_body_tidy(s, body);
    shm_feed(s, wakes, now);
    if (s->fault) return;
    if (channel->count == 0) {
        shm_idle_add(s, channel);
    } else if ((entry = shm_object(s, SHM_MESSAGES, channel->first, SHM_ENTRY)) != NULL) {
        shm_schedule(s, channel, entry->deadline);
    }
}

/* Taking */

/* Copy an entry, or its next target only, to ``out``; then it, or that target, is removed. */
static int shm_take_entry(segment_t *s, channel_t *channel, uint32_t number, int whole, out_t *out,
                          wakes_t *wakes, uint64_t now) {
    entry_t *entry = shm_object(s, SHM_MESSAGES, channel->first, SHM_ENTRY);
    body_t *body = entry ? shm_object(s, SHM_MESSAGES, entry->body, SHM_BODY) : NULL;
    if (body == NULL) return SHM_CORRUPT;
    uint32_t taken = (uint32_t)(entry->position >> 32), skipped = (uint32_t)entry->position;
    uint32_t bytes = shm_target_bytes(entry), left = entry->targets - taken;
    if (skipped > bytes || taken > entry->targets || entry->targets > SHM_MAX_TARGETS ||
        bytes > s->size[SHM_MESSAGES] || body->length > s->size[SHM_MESSAGES])
        return SHM_CORRUPT;
    if (entry->deadline <= now) {
        shm_remove_first(s, channel, wakes, now);
        return SHM_AGAIN;
    }
    bytes -= skipped;
    cursor_t at = shm_cursor(s, SHM_MESSAGES, entry, entry->data);
    if (!shm_read(s, SHM_MESSAGES, &at, NULL, skipped)) return SHM_CORRUPT;
    if (!whole && left > 1) {
        cursor_t peek = at;
        uint8_t length;
        if (!shm_read(s, SHM_MESSAGES, &peek, (char *)&length, 1)) return SHM_CORRUPT;
        if (1u + length > bytes) return SHM_CORRUPT;
        bytes = 1u + length;
    }
    uint32_t head[4] = {number, !whole && left > 1 ? 1 : left, bytes, body->length};
    char *to = shm_out_room(out, sizeof head + bytes + body->length);
    if (to == NULL) return SHM_NO_HEAP;
    memcpy(to, head, sizeof head);
    cursor_t text = shm_cursor(s, SHM_MESSAGES, body, body->data);
    if (!shm_read(s, SHM_MESSAGES, &at, to + sizeof head, bytes) ||
        !shm_read(s, SHM_MESSAGES, &text, to + sizeof head + bytes, body->length))
        return SHM_CORRUPT;
    out->size += sizeof head + bytes + body->length;
    if (!whole && left > 1) {
        COMMIT(entry->position, ((uint64_t)taken + 1) << 32 | (skipped + bytes));
        PUT(channel->bytes, channel->bytes - bytes);
        return SHM_OK;
    }
    text_t name = shm_channel_name(channel);
    shm_remove_first(s, channel, wakes, now);
    if (s->fault) return SHM_OK;
    /* Room wakes one sender, an empty queue all: some that were woken may never have sent. */
    shm_wake(s, name, SHM_SENDERS, channel->count == 0, wakes, now);
    return SHM_OK;
}

/* Take up to ``limit`` entries of the channels listened to, in turn; no more once it is a MiB. */
static int shm_take(segment_t *s, names_t *names, uint32_t limit, int whole, out_t *out, int *done,
                    wakes_t *wakes, uint64_t now) {
    uint32_t empty = 0;
    while (limit && empty < names->count && out->size < SHM_GROWTH) {
        uint32_t number = names->turn < names->count ? names->turn : 0;
        channel_t *channel = shm_find_channel(s, names->names[number]);
        if (s->fault) return SHM_CORRUPT;
        if (channel && channel->count) {
            int result = shm_take_entry(s, channel, number, whole, out, wakes, now);
            if (result == SHM_AGAIN && !s->fault) continue;
            if (result != SHM_OK) return *done ? SHM_OK : result;
            *done = 1;
            empty = 0;
            limit--;
        } else empty++;
        names->turn = number + 1 < names->count ? number + 1 : 0;
        if (s->fault) break;
    }
    return *done ? SHM_OK : SHM_NOTHING;
}

/* Expiry */

static void shm_evict(segment_t *s, channel_t *channel, wakes_t *wakes, uint64_t now) {
    COMMIT(channel->evicting, 1);
    COMMIT(channel->evictions, channel->evictions + 1);
    while (channel->count && !s->fault) shm_remove_first(s, channel, wakes, now);
    if (!s->fault) COMMIT(channel->evicting, 0);
}

/* What becomes of a channel whose oldest entry expired unread. */
static void shm_expire_channel(segment_t *s, channel_t *channel, wakes_t *wakes, uint64_t now) {
    text_t name = shm_channel_name(channel);
    shm_groups_evict(s, name);
    if (s->fault) return;
    if (channel->process) shm_evict(s, channel, wakes, now);
    else shm_remove_first(s, channel, wakes, now);
    if (!s->fault) shm_wake(s, name, SHM_SENDERS, 1, wakes, now);
}

/* The channel whose entry expires first, after every item of the heap before it was set right. */
static channel_t *shm_first_to_expire(segment_t *s, entry_t **entry) {
    for (uint32_t guard = s->guard; guard && shm_heap_length(s, SHM_MESSAGES); guard--) {
        heap_item_t *item = &s->heap[SHM_MESSAGES][0];
        channel_t *channel = shm_channel_at(s, item->ref);
        if (channel == NULL) return NULL;
        if (channel->count == 0) {
            shm_heap_remove(s, SHM_MESSAGES, &channel->agenda);
            if (s->fault) return NULL;
            continue;
        }
        *entry = shm_object(s, SHM_MESSAGES, channel->first, SHM_ENTRY);
        if (*entry == NULL) return NULL;
        if ((*entry)->deadline <= item->due) return channel;
        shm_heap_postpone(s, SHM_MESSAGES, (*entry)->deadline);
        if (s->fault) return NULL;
    }
    return NULL;
}

static void shm_expire(segment_t *s, wakes_t *wakes, uint64_t now) {
    channel_t *channel;
    entry_t *entry;
    while (shm_heap_length(s, SHM_MESSAGES) && s->heap[SHM_MESSAGES][0].due <= now) {
        channel = shm_first_to_expire(s, &entry);
        if (channel == NULL || entry->deadline > now) break;
        shm_expire_channel(s, channel, wakes, now);
        if (s->fault) return;
    }
    if (!s->fault) shm_groups_expire(s, now);
}

#endif
