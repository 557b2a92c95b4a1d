/* store.h - the inside of an image_store, shared by store.c (what is on disk, leases, collection),
 * chores.c (what can wait), leave.c (for whom), pull.c (what brings layers) and keep.c (what brings
 * blobs for other cells). Everything here is the loop thread's; only a fetch's own fields go to a
 * worker. */
#ifndef CELL_IMAGE_STORE_H
#define CELL_IMAGE_STORE_H

#include <stdatomic.h>

#include "cell/image/fetch.h"
#include "cell/image/image.h"
#include "cell/image/source.h"
#include "common/base/workers.h"

#define LAYER_HEX     64                  /* of a sha256 */
#define TRASH_NAME    33                  /* 32 random hex digits and a NUL */
#define BLOB_CHECK_MS (24u * 3600 * 1000) /* a blob that is kept is verified again that often */

struct layer { /* a directory in DIR/layers, or a file in DIR/blobs */
    enum image_kind kind;
    char hex[LAYER_HEX + 1]; /* of the diff id, or of the blob's digest */
    uint64_t disk_bytes, tar_bytes, entries;
    uint64_t used_ns;  /* wall clock of the last release, kept across restarts */
    unsigned holds;    /* by leases and by pulls on their way to one; of blobs none */
    bool durable;      /* known to be on disk whole */
    bool doubted;      /* another cell says that this blob is wrong */
    uint64_t check_ms; /* of blobs: their bytes are looked at again then, by clock_mono_ms() */
    struct repository_id *whose; /* for whose apps it may be used; owned */
    size_t whose_count;
    struct layer *prev, *next;
};

/* Where a blob may be had but from here and from peers; owned. */
struct origin {
    struct reference ref; /* registry "": nowhere */
    char *username, *password;
    char digest[72];
    uint64_t size;
};
int origin_init(struct origin *o, const struct reference *ref, const char *username,
                const char *password, const char *digest, uint64_t size);
void origin_fini(struct origin *o);

struct image_store {
    struct event_base *loop;
    char *dir; /* absolute; owned */
    int lock_fd, tmp_fd;
    int kind_fds[IMAGE_KINDS]; /* DIR/layers, DIR/blobs */
    char boot_id[37];
    struct layer_source source;
    bool keeps_blobs; /* of what is pulled, for peers */
    struct image_store_ops ops;
    struct keeping *keeping; /* keep.c's */
    struct image_limits limits;
    struct workers *pullers; /* limits.threads: a fetch each */
    struct workers *chores;  /* one: removing trees, syncing */
    struct event *sync_timer;
    bool sync_running;
    volatile bool stopping;
    struct layer *layers;     /* some hundreds at most */
    struct fetching *fetches; /* all that a worker has or will get */
    struct image_pull *pulls;
    struct image_store_stats stats;
};

/* "sha256:<64 lower case hex>" -> the hex part, or NULL. */
const char *digest_hex(const char *digest);

struct layer *layer_find(struct image_store *s, enum image_kind kind, const char *hex);
/* DIR/tmp/NAME, complete and marked, becomes a layer (*ret; may be NULL); one that is there already
 * stays, and is made->whose from now on. */
int layer_commit(struct image_store *s, enum image_kind kind, const char *name, const char *hex,
                 const struct fetch_result *made, struct layer **ret, struct error *err);
/* It was shown for them, too. */
void layer_allow(struct image_store *s, struct layer *layer, const struct repository_id *of);
/* It turned out to be damaged. */
void layer_discard(struct image_store *s, struct layer *layer);
void layer_hold(struct layer *layer);
void layer_release(struct image_store *s, struct layer *layer);
/* Writes the marker that layer_commit() and the next start believe in; on a worker. */
int layer_mark(const struct image_store *s, enum image_kind kind, const char *name,
               const struct fetch_result *made, struct error *err);
/* Removes blobs that nobody must keep, then unused layers, the longest unused first, until the
 * cache is as small as `bytes`. */
void store_collect(struct image_store *s, uint64_t bytes);
void trash_name(char name[static TRASH_NAME]);

/* A lease over the layers, which must be there; the highest of equal ones stands for all. */
int lease_new(struct image_store *s, const char *const *diff_ids, size_t n,
              struct image_lease **ret, struct error *err);

/* Asks every fetch to end, whatever waits for it. */
void pulls_stop(struct image_store *s);

int layer_open(const struct image_store *s, enum image_kind kind, const char *hex);

/* --- chores.c: in the background */
#define USED_XATTR "trusted.berth.used"
void store_remove_later(struct image_store *s, const char *name); /* DIR/tmp/NAME */
void note_used(struct image_store *s, const struct layer *layer);
void note_leave(struct image_store *s, const struct layer *layer);

/* --- leave.c */
int leave_write(int fd, const struct repository_id *list, size_t n);
void leave_read(int fd, struct layer *layer);
enum peer_leave leave_of(const struct layer *layer, const struct repository_id *of);
void leave_tell(struct image_store *s, const struct layer *layer, bool there);
/* False: nothing changed. */
bool leave_add(struct image_store *s, struct layer *layer, const struct repository_id *of);

/* --- keep.c */
int keeping_new(struct image_store *s, struct error *err);
void keeping_free(struct image_store *s);
bool keeping_has(const struct image_store *s, const char *hex); /* must it be kept? */
/* Something that it may wait for has changed. */
void keeping_look(struct image_store *s);

#endif
