/* fetch.h - one layer in one pass: source -> decompress -> sha256 -> unpack.
 *
 * Two threads share the work: the caller's hashes and unpacks, one of its own downloads and
 * decompresses, so that waiting for the network, for the processor and for the disk overlap. */
#ifndef CELL_IMAGE_FETCH_H
#define CELL_IMAGE_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cell/image/image.h"
#include "cell/image/source.h"
#include "common/base/error.h"

struct fetch_order { /* all borrowed */
    const struct layer_source *source;
    struct layer_blob blob;
    const char *diff_id; /* "sha256:..." that the uncompressed tar must have */
    const struct image_limits *limits;
    int dirfd;                    /* where `name`, the layer's directory, is made */
    const char *name;             /* a new one */
    const char *blob_name;        /* a new one, for the blob itself; NULL: it is not kept */
    volatile bool *stop;          /* set by others to cancel; by fetch_layer() when it fails */
    _Atomic uint64_t *done_bytes; /* compressed bytes so far, for others to see */
    _Atomic uint64_t *tar_bytes;  /* uncompressed bytes so far */
};

struct fetch_result {
    uint64_t disk_bytes; /* about */
    uint64_t tar_bytes;
    uint64_t entries;
    uint64_t blob_bytes;        /* of dirfd/blob_name; 0: it is not there, though the layer is */
    struct repository_id whose; /* for whose apps: of the repository, or everybody's */
};

/* Blocking. Success: dirfd/name holds the whole layer, both digests verified. Failure: nothing is
 * left. Errors as image_pull_ops.on_done. */
int fetch_layer(const struct fetch_order *order, struct fetch_result *ret, struct error *err);

/* Only the blob: dirfd/blob_name holds it, verified; `name`, `diff_id` and `limits` do not matter.
 */
int fetch_blob(const struct fetch_order *order, struct fetch_result *ret, struct error *err);

#endif
