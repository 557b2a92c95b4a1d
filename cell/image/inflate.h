/* inflate.h - what a layer's blob holds, decompressed: gzip (also of many members), zstd (also of
 * many frames) or nothing at all, told apart by the first bytes as Docker does, since media types
 * lie. */
#ifndef CELL_IMAGE_INFLATE_H
#define CELL_IMAGE_INFLATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct inflate;

/* Compressed bytes: up to n into buf, 0 at the end, negative errno. */
typedef ssize_t inflate_input(void *data, void *buf, size_t n, struct error *err);

int inflate_new(struct inflate **ret, inflate_input *input, void *data, struct error *err);
void inflate_free(struct inflate *z);
DEFINE_FREEP(inflate)

/* Fills buf; less than n only at the end, where the input has been read to its end too. -EBADMSG
 * when malformed or cut short, -ENOTSUP for another compression, or what `input` returned. */
ssize_t inflate_read(struct inflate *z, void *buf, size_t n, struct error *err);

/* Compressed bytes taken from the input so far. */
uint64_t inflate_taken(const struct inflate *z);

#endif
