/* ring.h - a bounded hand-over of large blocks from one thread to one other.
 *
 * The producer writes into the ring's own memory, the consumer reads there: no copy. Both may give
 * up: the other one learns of it at its next call. */
#ifndef CELL_IMAGE_RING_H
#define CELL_IMAGE_RING_H

#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/mem.h"

/* Together they fit a core's second level cache, so that what one thread inflated is still warm
 * where the other hashes and writes it. */
#define RING_BLOCK_BYTES ((size_t)256 * 1024)
#define RING_BLOCKS      8u

struct ring;
int ring_new(struct ring **ret, struct error *err);
void ring_free(struct ring *r);
DEFINE_FREEP(ring)

/* Producer: memory of RING_BLOCK_BYTES, waited for; NULL when the consumer gave up. */
uint8_t *ring_reserve(struct ring *r);
void ring_push(struct ring *r, size_t n);
/* Nothing more comes; with `code` < 0 because of `err`. */
void ring_end(struct ring *r, int code, const struct error *err);

/* Consumer: gives the last block back and waits for the next one. Its bytes; 0 at the end; what
 * ring_end() was told. */
ssize_t ring_next(struct ring *r, const void **block, struct error *err);
void ring_abandon(struct ring *r);

#endif
