#include "router/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_CAP (BUF_HEADROOM + BUF_READ + BUF_TAIL)

/* Free ones beyond this go back to the system: 4.6 MiB and 1 MiB a worker. */
#define LARGE_KEEP 64
#define SMALL_KEEP 256

static void drop_list(struct buf *b) {
    while (b) {
        struct buf *next = b->next;
        free(b);
        b = next;
    }
}

void buf_pool_fini(struct buf_pool *pool) {
    drop_list(pool->large);
    drop_list(pool->small);
    *pool = (struct buf_pool){0};
}

static void reset(struct buf *b, uint32_t at) {
    b->out = b->out_end = b->raw = b->raw_end = at;
}

static struct buf *take(struct buf **list, unsigned *count, uint32_t cap) {
    struct buf *b = *list;
    if (b) {
        *list = b->next;
        (*count)--;
    } else if ((b = malloc(sizeof *b + cap))) {
        b->cap = cap;
    }
    return b;
}

struct buf *buf_get(struct buf_pool *pool) {
    struct buf *b = take(&pool->large, &pool->large_count, LARGE_CAP);
    if (b)
        reset(b, BUF_HEADROOM);
    return b;
}

void buf_put(struct buf_pool *pool, struct buf *b) {
    if (!b)
        return;
    bool is_large = b->cap == LARGE_CAP;
    struct buf **list = is_large ? &pool->large : &pool->small;
    unsigned *count = is_large ? &pool->large_count : &pool->small_count;
    if (*count >= (is_large ? LARGE_KEEP : SMALL_KEEP)) {
        free(b);
        return;
    }
    b->next = *list;
    *list = b;
    (*count)++;
}

uint32_t buf_room(struct buf *b) {
    if (b->cap != LARGE_CAP)
        return 0;
    if (!buf_out_size(b) && b->raw != BUF_HEADROOM) {
        uint32_t n = buf_raw_size(b);
        memmove(b->data + BUF_HEADROOM, b->data + b->raw, n);
        reset(b, BUF_HEADROOM);
        b->raw_end += n;
    }
    uint32_t limit = BUF_HEADROOM + BUF_READ;
    return b->raw_end < limit ? limit - b->raw_end : 0;
}

int buf_prepend(struct buf *b, const void *p, uint32_t n) {
    if (b->out < n) {
        uint32_t shift = n - b->out;
        if (b->cap - b->raw_end < shift)
            return -ENOSPC;
        memmove(b->data + b->out + shift, b->data + b->out, b->raw_end - b->out);
        b->out += shift;
        b->out_end += shift;
        b->raw += shift;
        b->raw_end += shift;
    }
    b->out -= n;
    memcpy(b->data + b->out, p, n);
    return 0;
}

void buf_park(struct buf_pool *pool, struct buf **b) {
    struct buf *was = *b;
    if (!was || buf_out_size(was))
        return;
    uint32_t n = buf_raw_size(was);
    if (n && (was->cap != LARGE_CAP || n > BUF_SMALL))
        return;
    struct buf *parked = NULL;
    if (n) {
        parked = take(&pool->small, &pool->small_count, BUF_SMALL);
        if (!parked)
            return; /* it only costs memory to keep the large one */
        reset(parked, 0);
        memcpy(parked->data, was->data + was->raw, n);
        parked->raw_end = n;
    }
    buf_put(pool, was);
    *b = parked;
}

int buf_unpark(struct buf_pool *pool, struct buf **b) {
    struct buf *was = *b;
    if (was && was->cap == LARGE_CAP)
        return 0;
    struct buf *large = buf_get(pool);
    if (!large)
        return -ENOMEM;
    if (was) {
        assert(!buf_out_size(was));
        uint32_t n = buf_raw_size(was);
        memcpy(large->data + large->raw, was->data + was->raw, n);
        large->raw_end += n;
        buf_put(pool, was);
    }
    *b = large;
    return 0;
}
