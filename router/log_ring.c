#include "router/log_ring.h"

#include <stdlib.h>

#include "common/base/mem.h"

struct record {
    uint32_t guid_n, line_n;
    uint64_t wall_ns;
};

struct log_ring *log_ring_new(size_t bytes) {
    struct log_ring *r = malloc(sizeof *r + bytes);
    if (r)
        *r = (struct log_ring){.cap = bytes};
    return r;
}

static void copy_in(struct log_ring *r, const void *p, size_t n) {
    size_t at = (r->from + r->used) % r->cap, first = MIN(n, r->cap - at);
    memcpy(r->data + at, p, first);
    memcpy(r->data, (const char *)p + first, n - first);
    r->used += n;
}

static void copy_out(const struct log_ring *r, size_t offset, void *p, size_t n) {
    size_t at = (r->from + offset) % r->cap, first = MIN(n, r->cap - at);
    memcpy(p, r->data + at, first);
    memcpy((char *)p + first, r->data, n - first);
}

static void drop_first(struct log_ring *r) {
    struct record head;
    copy_out(r, 0, &head, sizeof head);
    size_t n = sizeof head + head.guid_n + head.line_n;
    r->from = (r->from + n) % r->cap;
    r->used -= n;
    r->first++;
}

void log_ring_push(struct log_ring *r, const struct log_ring_entry *e) {
    struct record head = {(uint32_t)e->app_guid.n, (uint32_t)e->line.n, e->wall_ns};
    size_t n = sizeof head + head.guid_n + head.line_n;
    if (n > r->cap) { /* cannot be kept: lost, like everything before it */
        log_ring_ack(r, r->next);
        r->first = ++r->next;
        return;
    }
    while (r->cap - r->used < n)
        drop_first(r);
    copy_in(r, &head, sizeof head);
    copy_in(r, e->app_guid.p, e->app_guid.n);
    copy_in(r, e->line.p, e->line.n);
    r->next++;
}

void log_ring_ack(struct log_ring *r, uint64_t next) {
    while (r->first < next && r->first < r->next)
        drop_first(r);
}

size_t log_ring_read(const struct log_ring *r, size_t *at, char *buf, size_t cap,
                     struct log_ring_entry *ret) {
    struct record head;
    if (*at >= r->used)
        return 0;
    copy_out(r, *at, &head, sizeof head);
    size_t n = (size_t)head.guid_n + head.line_n;
    if (n > cap)
        return 0;
    copy_out(r, *at + sizeof head, buf, n);
    *at += sizeof head + n;
    ret->app_guid = (struct slice){buf, head.guid_n};
    ret->line = (struct slice){buf + head.guid_n, head.line_n};
    ret->wall_ns = head.wall_ns;
    return n;
}
