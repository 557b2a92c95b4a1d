/* log_ring.h - lines waiting to be sent to the controller: a bounded ring of bytes. When it is full
 * the oldest lines go, and are counted. Not locked: its owner does that. */
#ifndef ROUTER_LOG_RING_H
#define ROUTER_LOG_RING_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/str.h"

struct log_ring_entry {
    struct slice app_guid, line;
    uint64_t wall_ns;
};

struct log_ring {
    size_t cap, from, used; /* bytes of data */
    uint64_t first;         /* number of the oldest line kept */
    uint64_t next;          /* number the next line gets */
    char data[];
};

struct log_ring *log_ring_new(size_t bytes); /* free() */
void log_ring_push(struct log_ring *r, const struct log_ring_entry *e);
/* Drops the lines before number `next`: they arrived. */
void log_ring_ack(struct log_ring *r, uint64_t next);

/* Walks the lines from the oldest: *at must be 0 at first. Copies into the caller's buffer, for a
 * line may lie across the end. Returns the bytes used (guid, then line) or 0 at the end or when
 * `cap` is too small. */
size_t log_ring_read(const struct log_ring *r, size_t *at, char *buf, size_t cap,
                     struct log_ring_entry *ret);

#endif
