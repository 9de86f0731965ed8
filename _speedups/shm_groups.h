/* Groups: a group has parties, one for each queue behind which it has members; a party has
 * memberships, the longest unrenewed first. "Holder" is the queue's side of its parties. */
#ifndef SHM_GROUPS_H
#define SHM_GROUPS_H

#include "shm_queues.h"

enum { SHM_IN_GROUP, SHM_IN_HOLDER };

static inline name_t *shm_name_at(segment_t *s, ref_t ref, uint32_t kind) {
    return shm_object(s, SHM_GROUPS, ref, kind);
}

static inline party_t *shm_party_at(segment_t *s, ref_t ref) {
    return shm_object(s, SHM_GROUPS, ref, SHM_PARTY);
}

static inline membership_t *shm_membership_at(segment_t *s, ref_t ref) {
    return shm_object(s, SHM_GROUPS, ref, SHM_MEMBERSHIP);
}

static inline uint32_t shm_party_hash(segment_t *s, ref_t group, ref_t holder) {
    ref_t both[2] = {group, holder};
    return shm_hash(s->header->seed, (const char *)both, sizeof both);
}

static inline uint32_t shm_membership_hash(ref_t party, text_t local) {
    return local.hash ^ party * UINT32_C(0x9E3779B1);
}

static inline ref_t *shm_links(party_t *party, int side) {
    return side == SHM_IN_GROUP ? party->in_group : party->in_holder;
}

static party_t *shm_find_party(segment_t *s, name_t *group, name_t *holder) {
    ref_t first = shm_ref(s, group), second = shm_ref(s, holder);
    uint32_t hash = shm_party_hash(s, first, second);
    ref_t ref = shm_index_first(s, SHM_GROUPS, hash);
    party_t *party;
    while ((party = shm_index_next(s, SHM_GROUPS, &ref, hash, SHM_PARTY)) != NULL)
        if (party->group == first && party->holder == second) return party;
    return NULL;
}

static membership_t *shm_find_membership(segment_t *s, party_t *party, text_t local) {
    ref_t of = shm_ref(s, party);
    uint32_t hash = shm_membership_hash(of, local);
    ref_t ref = shm_index_first(s, SHM_GROUPS, hash);
    membership_t *found;
    while ((found = shm_index_next(s, SHM_GROUPS, &ref, hash, SHM_MEMBERSHIP)) != NULL)
        if (found->party == of && shm_same(local, found->local, shm_length(found->length)))
            return found;
    return NULL;
}

/* Lists */

static void shm_party_link(segment_t *s, name_t *name, party_t *party, int side) {
    party_t *next = name->parties ? shm_party_at(s, name->parties) : NULL;
    PUT(shm_links(party, side)[0], 0);
    PUT(shm_links(party, side)[1], name->parties);
    if (next) PUT(shm_links(next, side)[0], shm_ref(s, party));
    PUT(name->parties, shm_ref(s, party));
    PUT(name->count, name->count + 1);
}

static void shm_name_tidy(segment_t *s, name_t *name) {
    if (name->parties) return;
    shm_index_remove(s, SHM_GROUPS, name);
    if (!s->fault) shm_free(s, SHM_GROUPS, name);
}

static void shm_party_unlink(segment_t *s, name_t *name, party_t *party, int side) {
    ref_t *links = shm_links(party, side);
    party_t *before = links[0] ? shm_party_at(s, links[0]) : NULL;
    party_t *after = links[1] ? shm_party_at(s, links[1]) : NULL;
    if (s->fault) return;
    if (before) PUT(shm_links(before, side)[1], links[1]);
    else PUT(name->parties, links[1]);
    if (after) PUT(shm_links(after, side)[0], links[0]);
    PUT(name->count, name->count - 1);
}

static void shm_membership_link(segment_t *s, party_t *party, membership_t *membership) {
    membership_t *last = party->last ? shm_membership_at(s, party->last) : NULL;
    ref_t ref = shm_ref(s, membership);
    PUT(membership->older, party->last);
    PUT(membership->newer, 0);
    if (last) PUT(last->newer, ref);
    else PUT(party->first, ref);
    PUT(party->last, ref);
    PUT(party->count, party->count + 1);
}

static void shm_membership_unlink(segment_t *s, party_t *party, membership_t *membership) {
    membership_t *older = membership->older ? shm_membership_at(s, membership->older) : NULL;
    membership_t *newer = membership->newer ? shm_membership_at(s, membership->newer) : NULL;
    if (s->fault) return;
    if (older) PUT(older->newer, membership->newer);
    else PUT(party->first, membership->newer);
    if (newer) PUT(newer->older, membership->older);
    else PUT(party->last, membership->older);
    PUT(party->count, party->count - 1);
}

/* Making */

static name_t *shm_name(segment_t *s, uint32_t kind, text_t text) {
    name_t *name = shm_find_name(s, kind, text);
    if (name || s->fault) return name;
    name = shm_alloc(s, SHM_GROUPS, offsetof(name_t, name) + text.length);
    if (name == NULL) return NULL;
    PUT(name->hash, text.hash);
    PUT(name->length, text.length);
    PUT(name->parties, 0);
    PUT(name->count, 0);
    PUT(name->capacity, 1);
    shm_copy(name->name, text.at, text.length);
    COMMIT(name->cell.kind, kind);
    shm_index_add(s, SHM_GROUPS, name);
    return name;
}

static party_t *shm_party(segment_t *s, name_t *group, name_t *holder, uint64_t deadline) {
    party_t *party = shm_find_party(s, group, holder);
    if (party || s->fault) return party;
    party = shm_alloc(s, SHM_GROUPS, sizeof(party_t));
    if (party == NULL) return NULL;
    PUT(party->group, shm_ref(s, group));
    PUT(party->holder, shm_ref(s, holder));
    PUT(party->hash, shm_party_hash(s, party->group, party->holder));
    PUT(party->first, 0);
    PUT(party->last, 0);
    PUT(party->count, 0);
    PUT(party->agenda, 0);
    COMMIT(party->cell.kind, SHM_PARTY);
    if (!shm_heap_add(s, SHM_GROUPS, shm_ref(s, party), deadline)) {
        if (!s->fault) shm_free(s, SHM_GROUPS, party);
        return NULL;
    }
    shm_index_add(s, SHM_GROUPS, party);
    shm_party_link(s, group, party, SHM_IN_GROUP);
    shm_party_link(s, holder, party, SHM_IN_HOLDER);
    return party;
}

/* Removing */

static void shm_party_remove(segment_t *s, party_t *party) {
    name_t *group = shm_name_at(s, party->group, SHM_GROUP);
    name_t *holder = shm_name_at(s, party->holder, SHM_HOLDER);
    if (s->fault) return;
    shm_party_unlink(s, group, party, SHM_IN_GROUP);
    shm_party_unlink(s, holder, party, SHM_IN_HOLDER);
    if (party->agenda && !s->fault) shm_heap_remove(s, SHM_GROUPS, &party->agenda);
    shm_index_remove(s, SHM_GROUPS, party);
    if (s->fault) return;
    shm_free(s, SHM_GROUPS, party);
    shm_name_tidy(s, group);
    shm_name_tidy(s, holder);
}

static void shm_membership_remove(segment_t *s, party_t *party, membership_t *membership) {
    shm_membership_unlink(s, party, membership);
    shm_index_remove(s, SHM_GROUPS, membership);
    if (!s->fault) shm_free(s, SHM_GROUPS, membership);
}

static void shm_groups_evict(segment_t *s, text_t name) {
    name_t *holder = shm_find_name(s, SHM_HOLDER, name);
    ref_t ref = holder ? holder->parties : 0;
    while (ref && !s->fault) {
        party_t *party = shm_party_at(s, ref);
        if (party == NULL) return;
        ref = party->in_holder[1];
        while (party->first && !s->fault) {
            membership_t *membership = shm_membership_at(s, party->first);
            if (membership) shm_membership_remove(s, party, membership);
        }
        if (!s->fault) shm_party_remove(s, party);
    }
}

/* Remove the memberships whose deadline has passed. */
static void shm_groups_expire(segment_t *s, uint64_t now) {
    while (shm_heap_length(s, SHM_GROUPS) && s->heap[SHM_GROUPS][0].due <= now) {
        party_t *party = shm_party_at(s, s->heap[SHM_GROUPS][0].ref);
        uint64_t due = now;
        while (party && party->first && !s->fault) {
            membership_t *membership = shm_membership_at(s, party->first);
            if (membership == NULL) return;
            due = membership->deadline;
            if (due > now) break;
            shm_membership_remove(s, party, membership);
        }
        if (party == NULL || s->fault) return;
        if (party->first) shm_heap_postpone(s, SHM_GROUPS, due);
        else shm_party_remove(s, party);
        if (s->fault) return;
    }
}

/* Operations */

static int shm_group_add(segment_t *s, text_t group_name, text_t queue, uint32_t capacity,
                         text_t local, uint64_t deadline) {
    name_t *group = shm_name(s, SHM_GROUP, group_name);
    name_t *holder = group ? shm_name(s, SHM_HOLDER, queue) : NULL;
    party_t *party = holder ? shm_party(s, group, holder, deadline) : NULL;
    membership_t *membership = party ? shm_find_membership(s, party, local) : NULL;
    if (s->fault) return SHM_CORRUPT;
    if (holder) PUT(holder->capacity, capacity);
    if (membership) {
        COMMIT(membership->deadline, deadline);
        shm_membership_unlink(s, party, membership);
        if (!s->fault) shm_membership_link(s, party, membership);
        return SHM_OK;
    }
    if (party) membership = shm_alloc(s, SHM_GROUPS, offsetof(membership_t, local) + local.length);
    if (membership) {
        PUT(membership->party, shm_ref(s, party));
        PUT(membership->hash, shm_membership_hash(membership->party, local));
        PUT(membership->length, local.length);
        PUT(membership->deadline, deadline);
        shm_copy(membership->local, local.at, local.length);
        COMMIT(membership->cell.kind, SHM_MEMBERSHIP);
        shm_index_add(s, SHM_GROUPS, membership);
        shm_membership_link(s, party, membership);
        return SHM_OK;
    }
    if (s->fault) return SHM_CORRUPT;
    if (party && party->first == 0) shm_party_remove(s, party);
    else if (party == NULL) {
        if (holder) shm_name_tidy(s, holder);
        if (group) shm_name_tidy(s, group);
    }
    return SHM_NO_MEMORY;
}

static membership_t *shm_member(segment_t *s, text_t group_name, text_t queue, text_t local,
                                party_t **party) {
    name_t *group = shm_find_name(s, SHM_GROUP, group_name);
    name_t *holder = group ? shm_find_name(s, SHM_HOLDER, queue) : NULL;
    *party = holder ? shm_find_party(s, group, holder) : NULL;
    return *party ? shm_find_membership(s, *party, local) : NULL;
}

static void shm_group_discard(segment_t *s, text_t group, text_t queue, text_t local) {
    party_t *party;
    membership_t *membership = shm_member(s, group, queue, local, &party);
    if (membership == NULL) return;
    shm_membership_remove(s, party, membership);
    if (party->first == 0 && !s->fault) shm_party_remove(s, party);
}

/* The full names of the members. Whose expiry is shorter than that of one before it in its party is
 * there for longer than it counts. */
static int shm_group_list(segment_t *s, text_t group_name, out_t *out, uint64_t now) {
    name_t *group = shm_find_name(s, SHM_GROUP, group_name);
    uint32_t guard = s->guard;
    for (ref_t ref = group ? group->parties : 0; ref && guard; guard--) {
        party_t *party = shm_party_at(s, ref);
        name_t *holder = party ? shm_name_at(s, party->holder, SHM_HOLDER) : NULL;
        if (holder == NULL) return SHM_CORRUPT;
        for (ref_t each = party->first; each && guard; guard--) {
            membership_t *member = shm_membership_at(s, each);
            if (member == NULL) return SHM_CORRUPT;
            if (member->deadline > now &&
                !shm_out_name(out, 0, holder->name, shm_length(holder->length), member->local,
                              shm_length(member->length)))
                return SHM_NO_HEAP;
            each = member->newer;
        }
        ref = party->in_group[1];
    }
    return guard && !s->fault ? SHM_OK : SHM_CORRUPT;
}

/* Sending */

typedef struct {
    ref_t from, to; /* memberships: the first one, and the one behind the last */
    uint32_t targets, bytes;
} portion_t;

/* The next members, as many as one entry carries. */
static portion_t shm_portion(segment_t *s, ref_t from, uint64_t now) {
    portion_t portion = {from, from, 0, 0};
    for (uint32_t guard = s->guard; portion.to && guard && portion.targets < SHM_MAX_TARGETS;
         guard--) {
        membership_t *member = shm_membership_at(s, portion.to);
        if (member == NULL) break;
        if (member->deadline > now) {
            portion.targets++;
            portion.bytes += 1 + shm_length(member->length);
        }
        portion.to = member->newer;
    }
    return portion;
}

static void shm_write_targets(segment_t *s, entry_t *entry, portion_t portion, uint64_t now) {
    cursor_t cursor = shm_cursor(s, SHM_MESSAGES, entry, entry->data);
    for (ref_t each = portion.from; each != portion.to && !s->fault;) {
        membership_t *member = shm_membership_at(s, each);
        if (member == NULL) return;
        uint8_t length = (uint8_t)shm_length(member->length);
        if (member->deadline > now) {
            shm_write(s, SHM_MESSAGES, &cursor, (char *)&length, 1);
            shm_write(s, SHM_MESSAGES, &cursor, member->local, length);
        }
        each = member->newer;
    }
}

static int shm_push_portion(segment_t *s, channel_t *channel, body_t *body, portion_t portion,
                            const message_t *message, int *done, wakes_t *wakes, uint64_t now) {
    uint32_t targets = channel->process ? portion.targets : 0;
    if (shm_is_full(s, channel)) return SHM_FULL;
    entry_t *entry = shm_entry(s, channel, body, targets, targets ? portion.bytes : 0, now,
                               now + message->life);
    if (entry == NULL) return SHM_NO_MEMORY;
    if (targets) shm_write_targets(s, entry, portion, now);
    if (s->fault) return SHM_CORRUPT;
    *done = 1;
    shm_commit_entry(s, channel, entry, body, wakes, now);
    return SHM_OK;
}

static int shm_push_party(segment_t *s, party_t *party, body_t *body, const message_t *message,
                          out_t *out, int *done, wakes_t *wakes, uint64_t now) {
    name_t *holder = shm_name_at(s, party->holder, SHM_HOLDER);
    if (holder == NULL) return SHM_CORRUPT;
    text_t name = {holder->name, shm_length(holder->length), holder->hash};
    channel_t *channel = body ? shm_channel(s, name) : NULL;
    if (channel) {
        PUT(channel->capacity, holder->capacity);
        if (channel->idle) shm_idle_remove(s, channel);
    }
    uint32_t guard = s->guard / SHM_MAX_TARGETS + 2;
    for (ref_t next = party->first; next && !s->fault; guard--) {
        portion_t portion = shm_portion(s, next, now);
        next = portion.to;
        if (guard == 0) shm_fault(s);
        if (portion.targets == 0) continue;
        int result = channel ? shm_push_portion(s, channel, body, portion, message, done, wakes,
                                                now) : SHM_NO_MEMORY;
        if (s->fault) break;
        if (result == SHM_OK) continue;
        shm_count(&s->header->full, now);
        if (channel) shm_count(&channel->full, now);
        if (!shm_out_name(out, portion.targets, name.at, name.length, "", 0)) break;
    }
    if (channel && channel->count == 0 && !channel->idle && !s->fault) shm_idle_add(s, channel);
    return s->fault ? SHM_CORRUPT : SHM_OK;
}

/* One body, and an entry for each queue and 2,000 targets of it. ``out`` gets what was dropped. */
static int shm_push_group(segment_t *s, const message_t *message, out_t *out, int *done,
                          wakes_t *wakes, uint64_t now) {
    name_t *group = shm_find_name(s, SHM_GROUP, message->name);
    ref_t ref = group ? group->parties : 0;
    if (ref == 0) return s->fault ? SHM_CORRUPT : SHM_OK;
    body_t *body = shm_body(s, message->data, message->size);
    for (uint32_t guard = s->guard; ref && !s->fault; guard--) {
        party_t *party = guard ? shm_party_at(s, ref) : NULL;
        if (party == NULL) return SHM_CORRUPT;
        if (shm_push_party(s, party, body, message, out, done, wakes, now) != SHM_OK)
            return SHM_CORRUPT;
        ref = party->in_group[1];
    }
    if (body && !s->fault) shm_body_tidy(s, body);
    return s->fault ? SHM_CORRUPT : SHM_OK;
}

/* Whether a message waits for a channel, or it is a member of a group. */
static int shm_exists(segment_t *s, text_t queue, text_t local, uint64_t now) {
    channel_t *channel = shm_find_channel(s, queue);
    uint32_t guard = s->guard;
    for (ref_t ref = channel ? channel->first : 0; ref && guard; guard--) {
        entry_t *entry = shm_object(s, SHM_MESSAGES, ref, SHM_ENTRY);
        if (entry == NULL) return 0;
        uint32_t left = entry->targets - (uint32_t)(entry->position >> 32);
        cursor_t at = shm_cursor(s, SHM_MESSAGES, entry, entry->data);
        if (entry->targets == 0) return 1;
        if (!shm_read(s, SHM_MESSAGES, &at, NULL, (uint32_t)entry->position)) return 0;
        for (; left && left <= SHM_MAX_TARGETS; left--) {
            char name[256];
            uint8_t length;
            if (!shm_read(s, SHM_MESSAGES, &at, (char *)&length, 1)) return 0;
            if (!shm_read(s, SHM_MESSAGES, &at, name, length)) return 0;
            if (shm_same(local, name, length)) return 1;
        }
        ref = entry->next;
    }
    name_t *holder = shm_find_name(s, SHM_HOLDER, queue);
    for (ref_t ref = holder ? holder->parties : 0; ref && guard; guard--) {
        party_t *party = shm_party_at(s, ref);
        if (party == NULL) return 0;
        membership_t *member = shm_find_membership(s, party, local);
        if (member && member->deadline > now) return 1;
        ref = party->in_holder[1];
    }
    return 0;
}

#endif
