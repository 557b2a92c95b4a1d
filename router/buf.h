/* buf.h - the buffers that bytes pass through, and a worker's pool of them.
 *
 * One buffer holds, in this order, what is ready to be sent (out) and what was read but not looked
 * at yet (raw). Room in front lets a rewritten head or a chunk-size line be put right before body
 * bytes, room behind lets the end of a chunked body follow them: what goes out is always one
 * contiguous range, and body bytes are hardly ever moved.
 *
 *     |  headroom  |  out ... out_end  |  raw ... raw_end  |  tail room  |
 *
 * A connection holds a buffer only while bytes are stuck in it. The pool is last in, first out, so
 * that a busy worker keeps using the same few cache-warm buffers. Worker thread only. */
#ifndef ROUTER_BUF_H
#define ROUTER_BUF_H

#include <stddef.h>
#include <stdint.h>

#define BUF_HEADROOM 4096u  /* a head may grow by this when it is rewritten */
#define BUF_READ     65536u /* bytes of one read; also the limit of a head */
#define BUF_TAIL     4608u  /* end of a chunked body: trailers (TRAILER_MAX) and framing */
#define BUF_SMALL    4064u  /* bytes that a parked buffer holds */

struct buf {
    struct buf *next;      /* in the pool */
    uint32_t cap;          /* of data */
    uint32_t out, out_end; /* to send */
    uint32_t raw, raw_end; /* to look at */
    char data[];
};

struct buf_pool {
    struct buf *large, *small;
    unsigned large_count, small_count; /* free ones */
};

void buf_pool_fini(struct buf_pool *pool);

/* A buffer that can take a read of BUF_READ bytes at `raw`, or NULL without memory. */
struct buf *buf_get(struct buf_pool *pool);
void buf_put(struct buf_pool *pool, struct buf *b); /* NULL is fine */

static inline uint32_t buf_out_size(const struct buf *b) {
    return b->out_end - b->out;
}
static inline uint32_t buf_raw_size(const struct buf *b) {
    return b->raw_end - b->raw;
}

/* Room behind raw for a read, at most BUF_READ; moves raw to the front when out is empty. */
uint32_t buf_room(struct buf *b);

/* Puts n bytes right before `out`, moving all the rest back when the room in front does not do.
 * 0, or -ENOSPC when there is no room behind either. */
int buf_prepend(struct buf *b, const void *p, uint32_t n);

/* Gives back what *b does not need: everything when it is empty (then *b becomes NULL); all but a
 * small block when nothing is to be sent and raw fits in one. */
void buf_park(struct buf_pool *pool, struct buf **b);
/* Makes a parked (or absent) *b able to take a read again, and to be framed: a parked one has no
 * room in front or behind, and must hold raw bytes only. 0 or -ENOMEM. */
int buf_unpark(struct buf_pool *pool, struct buf **b);

#endif
