/* image.h - the layer cache of a cell: pull, verify, unpack, keep, collect.
 *
 * A layer is kept once, unpacked with its own ids, under its diff id (the digest of its
 * uncompressed tar): DIR/layers/<64 hex>/ . It appears there by one rename after every byte was
 * verified, so what is there is whole. Pulls of one image fetch all missing layers in parallel,
 * each in one pass (download -> sha256 -> decompress -> sha256 -> unpack) on threads of the store's
 * own; two pulls that need the same layer share its download. Callbacks come on the loop.
 *
 * A layer that is there serves an image only if it came for that image's repository, or without a
 * password (leave.c): who merely names its digest has its bytes to show first. */
#ifndef CELL_IMAGE_IMAGE_H
#define CELL_IMAGE_IMAGE_H

#include "model.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/registry/layer_id.h"

struct event_base;
struct peers;
struct registry_config;
struct image_store;
struct image_pull; /* one in flight */

enum image_kind {
    IMAGE_TREE, /* an unpacked layer, by its diff id */
    IMAGE_BLOB, /* the bytes it was unpacked from, by their digest: other cells fetch them */
    IMAGE_KINDS
};

struct image_limits {
    uint64_t max_layer_bytes; /* uncompressed, of one layer */
    uint64_t max_image_bytes; /* uncompressed, of all layers of an image */
    uint64_t max_entries;     /* of one layer */
    unsigned max_ratio;       /* uncompressed : compressed, beyond the first 64 MiB */
    uint64_t cache_bytes;     /* collect blobs and unused layers above this; 0: never */
    unsigned threads;         /* layers at a time */
};

/* Makes DIR and removes what an unfinished unpack left behind. `registries` and `peers` are
 * borrowed. With `peers` (NULL: none) layers are fetched from other cells before registries, and
 * blobs are kept for them. DIR becomes private to its owner (layers have set-id files) and must be
 * on a file system that keeps trusted.* attributes. -EBUSY when another process has it. */
int image_store_new(struct image_store **ret, struct event_base *loop, const char *dir,
                    const struct registry_config *registries, struct peers *peers,
                    const struct image_limits *limits, struct error *err);
/* No pull may be in flight. */
void image_store_free(struct image_store *s);
DEFINE_FREEP(image_store)

/* Layers in use: while a lease lives they are not collected. They are distinct: a layer that an
 * image lists twice stands where it is highest, which hides the lower one entirely. */
struct image_lease {
    size_t layer_count;
    char **layers;   /* absolute paths of layer directories, lowest first, NULL-terminated; owned */
    char **diff_ids; /* the same layers' "sha256:..."; what image_lease_adopt() takes */
    uint64_t bytes;  /* on disk, of all */
    struct image_store *store;
};
void image_lease_free(struct image_lease *lease);
DEFINE_FREEP(image_lease)

struct image_pull_ops {
    /* What goes on, for the app's log and the client's progress bar: bytes are compressed ones of
     * the layers that had to be fetched. At most some 4 times a second. */
    void (*on_progress)(void *data, uint64_t done_bytes, uint64_t total_bytes);
    /* Once. lease (owned by the callee) or NULL with `err` for the user: -EBADMSG digest wrong or
     * archive malformed or hostile, -EFBIG bomb or too large, -ENOSPC, -EACCES, -EKEYREJECTED,
     * -ECONNREFUSED ... A refused layer leaves nothing behind. */
    void (*on_done)(void *data, struct image_lease *lease, const struct error *err);
    void *data;
};

/* `image` is copied. When every layer is there for it the registry is not asked. */
int image_pull_start(struct image_store *s, const Berth__Image *image,
                     const struct image_pull_ops *ops, struct image_pull **ret, struct error *err);
void image_pull_cancel(struct image_pull *p); /* no callback comes */

/* A lease on layers that must be there already: for containers that outlived the agent. Adopt all
 * before the first lease is freed or pull started: these may collect what is not leased.
 * -ENOENT when one is missing. */
int image_lease_adopt(struct image_store *s, const char *const *diff_ids, size_t n,
                      struct image_lease **ret, struct error *err);

/* Who is told what is here, and asked where the rest may be. */
struct image_store_ops {
    /* It is there for whom the id tells (common/registry/layer_id.h), or no more; for all that is
     * there already when the ops are set. */
    void (*on_change)(void *data, enum image_kind kind, const uint8_t id[LAYER_ID_SIZE],
                      bool there);
    /* An image (borrowed) of this repository that may be pulled here and has this blob; NULL: none.
     */
    const Berth__Image *(*image_with)(void *data, const char *digest,
                                      const struct repository_id *of);
    void *data;
};
void image_store_set_ops(struct image_store *s, const struct image_store_ops *ops);

/* Blobs that must be here whether or not anything here uses them: fetched one at a time while no
 * pull is under way, and not collected. Replaces what was asked before; until it is first called,
 * nothing that is there is collected. -ENOMEM: as before. */
struct image_keep {
    char digest[72];
    uint64_t size;
    struct repository_id of; /* for whose apps */
};
int image_store_keep(struct image_store *s, const struct image_keep *list, size_t n);
/* Another cell says that it got something else than this blob: it is verified. */
void image_store_doubt(struct image_store *s, const char *hex);
int image_store_blobs_fd(const struct image_store *s); /* of their directory; borrowed */
/* Of the directory where blobs that are on their way have their id for a name. */
int image_store_coming_fd(const struct image_store *s);

struct image_store_stats {
    uint64_t layers, blobs, bytes, pulls, failures, pulled_bytes, refused, collected;
    uint64_t keep, keep_missing; /* of image_store_keep(): all, those that are not there yet */
    uint64_t damaged;            /* blobs that were not any more what they had been */
};
void image_store_stats(const struct image_store *s, struct image_store_stats *ret);

#endif
