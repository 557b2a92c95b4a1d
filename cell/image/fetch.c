#include "cell/image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/image/inflate.h"
#include "cell/image/ring.h"
#include "cell/image/unpack.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

/* Below this a high ratio is no bomb: an empty layer, a file of zeros (image.h, max_ratio). */
#define RATIO_FREE_BYTES ((uint64_t)64 * 1024 * 1024)

struct fetch {
    const struct fetch_order *order;
    struct ring *ring;
    /* The downloading thread's. */
    void *blob;
    int kept; /* the blob's own file; -1: none, or it could not be written */
    char coming[2 * LAYER_ID_SIZE + 1]; /* its other name while it comes; "": none */
    /* The caller's. */
    EVP_MD_CTX *hash;
    uint64_t tar_bytes;
};

/* --- the downloading thread ------------------------------------------------------------------- */

/* A blob is kept for others: when it cannot be, the layer does well without. */
static void keep(struct fetch *f, const void *p, size_t n) {
    if (f->kept < 0 || fs_write_all(f->kept, p, n) == 0)
        return;
    close_fdp(&f->kept);
    f->kept = -1;
}

static ssize_t read_source(void *arg, void *buf, size_t n, struct error *err) {
    struct fetch *f = arg;
    ssize_t got = f->order->source->read(f->blob, buf, n, err);
    if (got > 0) {
        atomic_fetch_add_explicit(f->order->done_bytes, (uint64_t)got, memory_order_relaxed);
        keep(f, buf, (size_t)got);
    }
    return got;
}

static int check_size(const struct fetch *f, uint64_t tar_bytes, uint64_t taken,
                      struct error *err) {
    const struct image_limits *l = f->order->limits;
    if (l->max_layer_bytes && tar_bytes > l->max_layer_bytes)
        return error_set(err, -EFBIG, "larger than the %llu bytes allowed",
                         (unsigned long long)l->max_layer_bytes);
    if (l->max_ratio && tar_bytes > RATIO_FREE_BYTES && tar_bytes / l->max_ratio > taken)
        return error_set(err, -EFBIG, "decompresses to more than %u times its size", l->max_ratio);
    return 0;
}

static int produce(struct fetch *f, struct error *err) {
    _cleanup_(inflate_freep) struct inflate *z = NULL;
    int r = inflate_new(&z, read_source, f, err);
    uint64_t tar_bytes = 0;
    while (r == 0) {
        uint8_t *block = ring_reserve(f->ring);
        if (!block)
            return error_set(err, -ECANCELED, "cancelled");
        ssize_t n = inflate_read(z, block, RING_BLOCK_BYTES, err);
        if (n <= 0)
            return (int)n;
        tar_bytes += (uint64_t)n;
        r = check_size(f, tar_bytes, inflate_taken(z), err);
        if (r == 0)
            ring_push(f->ring, (size_t)n);
    }
    return r;
}

static void *download_main(void *arg) {
    struct fetch *f = arg;
    const struct fetch_order *o = f->order;
    struct error err = {0};
    int r = o->source->open(o->source->data, &o->blob, o->stop, &f->blob, &err);
    if (r == 0) {
        r = produce(f, &err);
        o->source->close(f->blob);
    }
    ring_end(f->ring, r, &err);
    return NULL;
}

/* --- the caller's thread ---------------------------------------------------------------------- */

static ssize_t next_block(void *arg, const void **block, struct error *err) {
    struct fetch *f = arg;
    ssize_t n = ring_next(f->ring, block, err);
    if (n <= 0)
        return n;
    if (EVP_DigestUpdate(f->hash, *block, (size_t)n) != 1)
        return error_set(err, -EIO, "cannot compute a digest");
    f->tar_bytes += (uint64_t)n;
    atomic_store_explicit(f->order->tar_bytes, f->tar_bytes, memory_order_relaxed);
    return n;
}

static int check_diff_id(struct fetch *f, struct error *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[7 + 2 * EVP_MAX_MD_SIZE + 1] = "sha256:";
    unsigned n = 0;
    if (EVP_DigestFinal_ex(f->hash, digest, &n) != 1)
        return error_set(err, -EIO, "cannot compute a digest");
    hex_encode(digest, n, text + 7);
    if (!str_eq(text, f->order->diff_id))
        return error_set(err, -EBADMSG,
                         "its uncompressed content has digest %s, but the image's config says %s",
                         text, f->order->diff_id);
    return 0;
}

static int unpack(struct fetch *f, struct fetch_result *ret, struct error *err) {
    const struct fetch_order *o = f->order;
    _cleanup_(close_fdp) int root =
        openat(o->dirfd, o->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0 || fchmod(root, 0755) < 0)
        return error_set(err, -errno, "cannot open the layer's directory: %s", strerror(errno));
    struct unpack_order order = {
        .root = root,
        .next = next_block,
        .data = f,
        .max_bytes = o->limits->max_layer_bytes,
        .max_entries = o->limits->max_entries,
        .stop = o->stop,
    };
    struct unpack_result made = {0};
    int r = unpack_layer(&order, &made, err);
    if (r == 0)
        r = check_diff_id(f, err);
    if (r == 0)
        *ret = (struct fetch_result){
            .disk_bytes = made.disk_bytes, .tar_bytes = f->tar_bytes, .entries = made.entries};
    return r;
}

static int run(struct fetch *f, struct fetch_result *ret, struct error *err) {
    pthread_t thread;
    int r = -pthread_create(&thread, NULL, download_main, f);
    if (r < 0)
        return error_set(err, r, "cannot start a thread: %s", strerror(-r));
    r = unpack(f, ret, err);
    if (r < 0)
        *f->order->stop = true; /* do not wait for a slow source */
    ring_abandon(f->ring);
    pthread_join(thread, NULL);
    return r;
}

/* What the registry gave without a password it gives to everybody. */
static struct repository_id whose(const struct fetch_order *o) {
    const struct registry_credentials *c = o->blob.credentials;
    bool open = o->blob.trail->leave == LEAVE_ALL ||
                (o->blob.trail->leave == LEAVE_NONE && (!c || str_empty(c->username)));
    return open ? repository_id_open : *o->blob.of;
}

/* --- the blob's own file --- */

static void open_kept(struct fetch *f) {
    const struct fetch_order *o = f->order;
    uint8_t digest[LAYER_ID_SIZE], id[LAYER_ID_SIZE];
    f->kept = o->blob_name ? openat(o->dirfd, o->blob_name,
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)
                           : -1;
    if (f->kept < 0 || hex_decode(o->blob.digest + strlen("sha256:"), digest, sizeof digest) < 0)
        return;
    layer_id(digest, o->blob.of, id);
    hex_encode(id, sizeof id, f->coming);
    if (linkat(o->dirfd, o->blob_name, o->dirfd, f->coming, 0) < 0)
        *f->coming = 0; /* another one that is abandoned has the name */
}

/* How much of it there is; nothing when it is not whole. */
static uint64_t close_kept(struct fetch *f, bool good) {
    struct stat st = {0};
    bool whole = good && f->kept >= 0 && fstat(f->kept, &st) == 0;
    close_fdp(&f->kept);
    if (*f->coming)
        unlinkat(f->order->dirfd, f->coming, 0);
    if (f->order->blob_name && !whole)
        unlinkat(f->order->dirfd, f->order->blob_name, 0);
    return whole ? (uint64_t)st.st_size : 0;
}

int fetch_blob(const struct fetch_order *order, struct fetch_result *ret, struct error *err) {
    struct fetch f = {.order = order};
    _cleanup_(freep) uint8_t *block = malloc(RING_BLOCK_BYTES);
    if (!block)
        return error_set(err, -ENOMEM, "out of memory");
    open_kept(&f);
    int r = f.kept < 0 ? error_set(err, -errno, "cannot make a file: %s", strerror(errno)) : 0;
    if (r == 0)
        r = order->source->open(order->source->data, &order->blob, order->stop, &f.blob, err);
    if (r == 0) {
        ssize_t n;
        while ((n = read_source(&f, block, RING_BLOCK_BYTES, err)) > 0 && f.kept >= 0)
            ;
        r = n < 0 ? (int)n : f.kept < 0 ? error_set(err, -ENOSPC, "cannot write the blob") : 0;
        order->source->close(f.blob);
    }
    *ret = (struct fetch_result){.blob_bytes = close_kept(&f, r == 0), .whose = whose(order)};
    return r;
}

int fetch_layer(const struct fetch_order *order, struct fetch_result *ret, struct error *err) {
    struct fetch f = {.order = order};
    struct error ignored;
    if (*order->stop)
        return error_set(err, -ECANCELED, "cancelled");
    if (mkdirat(order->dirfd, order->name, 0700) < 0)
        return error_set(err, errno == EDQUOT ? -ENOSPC : -errno,
                         "cannot make a directory in the layer cache: %s", strerror(errno));
    f.hash = EVP_MD_CTX_new();
    int r = f.hash && EVP_DigestInit_ex(f.hash, EVP_sha256(), NULL) == 1
                ? ring_new(&f.ring, err)
                : error_set(err, -ENOMEM, "out of memory");
    open_kept(&f);
    if (r == 0)
        r = run(&f, ret, err);
    uint64_t blob_bytes = close_kept(&f, r == 0);
    if (r == 0) {
        ret->blob_bytes = blob_bytes;
        ret->whose = whose(order);
    }
    ring_free(f.ring);
    EVP_MD_CTX_free(f.hash);
    if (r < 0)
        fs_remove_tree(order->dirfd, order->name, &ignored);
    return r;
}
