/* source.h - where the compressed bytes of layers come from: a registry, or memory in tests.
 *
 * All three are called on a thread of the store, for one blob on one thread. */
#ifndef CELL_IMAGE_SOURCE_H
#define CELL_IMAGE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cell/image/image.h"
#include "cell/image/peers.h"
#include "common/base/error.h"
#include "common/registry/reference.h"
#include "common/registry/registry.h"

/* Who gave bytes of a blob: a blob is unpacked while it comes, so only afterwards may it show that
 * they were wrong. */
#define TRAIL_PEERS 8
struct layer_trail {
    bool own;        /* this cell's own blob did */
    bool own_is_bad; /* it was wrong: not to be used again */
    unsigned peer_count;
    struct peer_place peers[TRAIL_PEERS]; /* those that did */
    bool followed;                        /* a cell that was fetching it itself did ... */
    bool follow_none; /* ... and it was wrong: its registry may be to blame, or that cell */
    /* Who may have it, by what others told; NONE: all of it came from the registry, which looked at
     * the password if it wants one. */
    enum peer_leave leave;
};

struct layer_blob {              /* what to fetch; all borrowed */
    const struct reference *ref; /* NULL: of no registry */
    const struct registry_credentials *credentials;
    const char *digest;             /* "sha256:...", compressed */
    uint64_t size;                  /* compressed bytes */
    const struct repository_id *of; /* for whose apps */
    int own_fd; /* a directory where it may lie already, under its hex digits; -1: none */
    enum peer_leave own_leave; /* to use that one; NONE: only if others say so */
    struct layer_trail *trail;
};

struct layer_source {
    /* `stop` is looked at often: when it becomes true reads return -ECANCELED. */
    int (*open)(void *data, const struct layer_blob *what, const volatile bool *stop, void **ret,
                struct error *err);
    /* The next bytes; 0 at the end, when digest and size have been verified. */
    ssize_t (*read)(void *blob, void *buf, size_t n, struct error *err);
    void (*close)(void *blob);
    /* The bytes were wrong: notes who is to blame, and returns whether another try makes sense
     * because the next bytes come from someone else. NULL: never. */
    bool (*blame)(void *data, const struct layer_blob *what);
    void *data;
};

/* image_store_new() over another source than the registries; it is copied. */
int image_store_new_from(struct image_store **ret, struct event_base *loop, const char *dir,
                         const struct layer_source *source, bool keeps_blobs,
                         const struct image_limits *limits, struct error *err);

#endif
