/* store.c - the layers on disk: which are there, who uses them, which go.
 *
 *     DIR/lock          flock()ed: one store a directory
 *     DIR/layers/<hex>  complete layers
 *     DIR/blobs/<hex>   blobs that they were made of, for other cells
 *     DIR/tmp/<random>  layers being unpacked or removed; what is found here at start is removed
 *     DIR/tmp/<id>      blobs on their way from a registry, for cells that follow (layer_id.h)
 *
 * A layer's directory carries the extended attribute trusted.berth.layer, "1 DISK TAR ENTRIES
 * BOOT": its sizes, and the boot id of the kernel that wrote it, or "-" once everything of it was
 * synced to disk. Pulls do not wait for the disk: a layer is used at once, synced (syncfs) in the
 * background a few seconds later, and only then marked "-". After a power loss or a kernel crash
 * the boot id has changed, so a layer without "-" may miss bytes and is dropped, to be pulled
 * again. An attribute, since it moves, vanishes and reappears with its directory; no order of two
 * writes matters. trusted.berth.used holds when the layer was last used, trusted.berth.for whose it
 * is (leave.c). trusted.* is invisible in containers. A blob's file carries the same.
 *
 * Only the loop thread renames into and out of DIR/layers and DIR/blobs. */
#include "cell/image/store.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utlist.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/random.h"
#include "common/base/str.h"

#define MARK_XATTR "trusted.berth.layer"
#define DURABLE    "-"
/* Long enough that an app starts before its layers are pressed to disk, short enough that few are
 * pulled again after a power loss; the kernel's own writeback (30 s) has done little of it yet. */
#define SYNC_DELAY_S 3

const char *digest_hex(const char *digest) {
    const char *hex = digest && str_starts(digest, "sha256:") ? digest + strlen("sha256:") : NULL;
    if (!hex || strlen(hex) != LAYER_HEX || strspn(hex, "0123456789abcdef") != LAYER_HEX)
        return NULL;
    return hex;
}

void trash_name(char name[static TRASH_NAME]) {
    unsigned char bytes[TRASH_NAME / 2];
    random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, name);
}

/* --- markers ---------------------------------------------------------------------------------- */

static int write_mark(int fd, const char *boot, const struct fetch_result *made) {
    char text[160];
    int n = snprintf(text, sizeof text, "1 %" PRIu64 " %" PRIu64 " %" PRIu64 " %s",
                     made->disk_bytes, made->tar_bytes, made->entries, boot);
    return fsetxattr(fd, MARK_XATTR, text, (size_t)n, 0) < 0 ? -errno : 0;
}

static int open_kind_at(int dirfd, enum image_kind kind, const char *name) {
    int is_dir = kind == IMAGE_TREE ? O_DIRECTORY : 0;
    return openat(dirfd, name, O_RDONLY | is_dir | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

int layer_open(const struct image_store *s, enum image_kind kind, const char *hex) {
    return open_kind_at(s->kind_fds[kind], kind, hex);
}

int layer_mark(const struct image_store *s, enum image_kind kind, const char *name,
               const struct fetch_result *made, struct error *err) {
    _cleanup_(close_fdp) int fd = open_kind_at(s->tmp_fd, kind, name);
    int r = fd < 0 ? -errno : write_mark(fd, s->boot_id, made);
    if (r == 0)
        r = leave_write(fd, &made->whose, 1);
    return r < 0 ? error_set(err, r, "cannot mark the layer as complete: %s", strerror(-r)) : 0;
}

/* What the directory says of itself. -EINVAL: not complete, or not for certain. */
static int read_mark(const struct image_store *s, const char *hex, struct layer *layer) {
    char text[160], boot[40];
    struct stat st;
    _cleanup_(close_fdp) int fd = layer_open(s, layer->kind, hex);
    ssize_t n = fd < 0 ? -1 : fgetxattr(fd, MARK_XATTR, text, sizeof text - 1);
    if (n < 0)
        return -EINVAL;
    text[n] = 0;
    if (sscanf(text, "1 %" SCNu64 " %" SCNu64 " %" SCNu64 " %39s", &layer->disk_bytes,
               &layer->tar_bytes, &layer->entries, boot) != 4)
        return -EINVAL;
    layer->durable = str_eq(boot, DURABLE);
    if (!layer->durable && !str_eq(boot, s->boot_id))
        return -EINVAL;
    if (layer->kind == IMAGE_BLOB &&
        (fstat(fd, &st) < 0 || (uint64_t)st.st_size != layer->disk_bytes))
        return -EINVAL;
    n = fgetxattr(fd, USED_XATTR, text, sizeof text - 1);
    text[MAX(n, 0)] = 0;
    parse_u64(text, 0, UINT64_MAX, &layer->used_ns);
    leave_read(fd, layer);
    return 0;
}

/* --- durability ------------------------------------------------------------------------------- */

struct sync_job {
    struct image_store *s;
    bool synced;
    size_t n;
    struct sync_layer {
        int fd; /* of the layer itself: right even if that was collected meanwhile */
        enum image_kind kind;
        char hex[LAYER_HEX + 1];
        struct fetch_result made;
    } layers[];
};

static void sync_work(void *arg) {
    struct sync_job *job = arg;
    if (job->s->stopping || syncfs(job->s->tmp_fd) < 0)
        return;
    job->synced = true;
    for (size_t i = 0; i < job->n; i++)
        if (write_mark(job->layers[i].fd, DURABLE, &job->layers[i].made) < 0)
            job->synced = false;
}

static void sync_later(struct image_store *s) {
    struct timeval delay = {.tv_sec = SYNC_DELAY_S};
    if (!s->stopping)
        event_add(s->sync_timer, &delay);
}

static void sync_done(void *arg) {
    struct sync_job *job = arg;
    struct image_store *s = job->s;
    for (size_t i = 0; i < job->n; i++) {
        struct layer *layer = layer_find(s, job->layers[i].kind, job->layers[i].hex);
        /* A layer pulled anew under the same name is at worst pulled once more than needed. */
        if (job->synced && layer)
            layer->durable = true;
        close(job->layers[i].fd);
    }
    s->sync_running = false;
    for (struct layer *l = s->layers; l; l = l->next)
        if (!l->durable) {
            sync_later(s);
            break;
        }
    free(job);
}

static void step_sync(struct image_store *s) {
    if (s->sync_running)
        return; /* sync_done() looks again */
    size_t most = s->stats.layers + s->stats.blobs;
    struct sync_job *job = mem_zalloc(sizeof *job + most * sizeof job->layers[0]);
    if (!job) {
        sync_later(s);
        return;
    }
    job->s = s;
    for (struct layer *l = s->layers; l; l = l->next) {
        struct sync_layer *to = &job->layers[job->n];
        if (l->durable || (to->fd = layer_open(s, l->kind, l->hex)) < 0)
            continue;
        to->kind = l->kind;
        memcpy(to->hex, l->hex, sizeof to->hex);
        to->made = (struct fetch_result){
            .disk_bytes = l->disk_bytes, .tar_bytes = l->tar_bytes, .entries = l->entries};
        job->n++;
    }
    s->sync_running = true;
    if (workers_run(s->chores, sync_work, sync_done, job) < 0)
        sync_done(job);
}

static void on_sync_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    step_sync(arg);
}

/* --- layers ----------------------------------------------------------------------------------- */

struct layer *layer_find(struct image_store *s, enum image_kind kind, const char *hex) {
    struct layer *layer;
    DL_FOREACH (s->layers, layer)
        if (layer->kind == kind && str_eq(layer->hex, hex))
            return layer;
    return NULL;
}

static uint64_t *count_of(struct image_store *s, enum image_kind kind) {
    return kind == IMAGE_BLOB ? &s->stats.blobs : &s->stats.layers;
}

static void layer_add(struct image_store *s, struct layer *layer) {
    DL_APPEND(s->layers, layer);
    ++*count_of(s, layer->kind);
    s->stats.bytes += layer->disk_bytes;
    leave_tell(s, layer, true);
    if (!layer->durable && !event_pending(s->sync_timer, EV_TIMEOUT, NULL))
        sync_later(s);
}

static void layer_forget(struct image_store *s, struct layer *layer) {
    DL_DELETE(s->layers, layer);
    --*count_of(s, layer->kind);
    s->stats.bytes -= layer->disk_bytes;
    leave_tell(s, layer, false);
    free(layer->whose);
    free(layer);
}

/* Moves it out of the way and removes it in the background. */
static int discard(struct image_store *s, enum image_kind kind, const char *name) {
    char trash[TRASH_NAME];
    trash_name(trash);
    if (renameat(s->kind_fds[kind], name, s->tmp_fd, trash) < 0)
        return -errno;
    store_remove_later(s, trash);
    return 0;
}

void layer_discard(struct image_store *s, struct layer *layer) {
    discard(s, layer->kind, layer->hex);
    s->stats.damaged++;
    layer_forget(s, layer);
}

int layer_commit(struct image_store *s, enum image_kind kind, const char *name, const char *hex,
                 const struct fetch_result *made, struct layer **ret, struct error *err) {
    struct layer *layer = layer_find(s, kind, hex);
    if (layer) { /* for somebody else, or by an abandoned pull after all */
        store_remove_later(s, name);
        layer_allow(s, layer, &made->whose);
        if (ret)
            *ret = layer;
        return 0;
    }
    layer = mem_zalloc(sizeof *layer);
    if (!layer || renameat(s->tmp_fd, name, s->kind_fds[kind], hex) < 0) {
        int r = layer ? -errno : -ENOMEM;
        free(layer);
        store_remove_later(s, name);
        return error_set(err, r, "cannot put the layer into the cache: %s", strerror(-r));
    }
    layer->kind = kind;
    memcpy(layer->hex, hex, sizeof layer->hex);
    layer->disk_bytes = made->disk_bytes;
    layer->tar_bytes = made->tar_bytes;
    layer->entries = made->entries;
    layer->used_ns = clock_wall_ns();
    layer->check_ms = clock_mono_ms() + BLOB_CHECK_MS; /* it was verified as it came */
    layer_add(s, layer);
    leave_add(s, layer, &made->whose);
    if (ret)
        *ret = layer;
    return 0;
}

void layer_allow(struct image_store *s, struct layer *layer, const struct repository_id *of) {
    if (leave_add(s, layer, of))
        note_leave(s, layer);
}

void layer_hold(struct layer *layer) {
    layer->holds++;
}

void layer_release(struct image_store *s, struct layer *layer) {
    if (--layer->holds)
        return;
    layer->used_ns = clock_wall_ns();
    note_used(s, layer);
}

/* In which turn it goes; 0: it does not. A blob is a spare copy, unless the controller counts on it
 * being here: then it stays on a full disk, too, for it may be one of the last two, and another
 * cell has room for the app that does not fit. */
static int turn(const struct image_store *s, const struct layer *l) {
    if (l->kind == IMAGE_TREE)
        return l->holds ? 0 : 2;
    return keeping_has(s, l->hex) ? 0 : 1;
}

static struct layer *next_to_go(struct image_store *s) {
    struct layer *first = NULL;
    int first_turn = 0;
    for (struct layer *l = s->layers; l; l = l->next) {
        int its = turn(s, l);
        if (its &&
            (!first || its < first_turn || (its == first_turn && l->used_ns < first->used_ns))) {
            first = l;
            first_turn = its;
        }
    }
    return first;
}

void store_collect(struct image_store *s, uint64_t bytes) {
    struct layer *layer;
    while (s->stats.bytes > bytes && (layer = next_to_go(s))) {
        if (discard(s, layer->kind, layer->hex) < 0)
            return; /* a broken disk; nothing to gain by going on */
        s->stats.collected++;
        layer_forget(s, layer);
    }
}

/* --- leases ----------------------------------------------------------------------------------- */

static bool named_again(const char *const *diff_ids, size_t n, size_t i) {
    for (size_t k = i + 1; k < n; k++)
        if (str_eq(diff_ids[i], diff_ids[k]))
            return true;
    return false;
}

static int lease_add(struct image_lease *lease, const char *diff_id, struct error *err) {
    struct image_store *s = lease->store;
    const char *hex = digest_hex(diff_id);
    struct layer *layer = hex ? layer_find(s, IMAGE_TREE, hex) : NULL;
    if (!layer)
        return error_set(err, -ENOENT, "layer %s is not in the cache", diff_id);
    char *path = str_printf("%s/layers/%s", s->dir, hex);
    char *id = str_dup(diff_id);
    if (!path || !id) {
        free(path);
        free(id);
        return error_set(err, -ENOMEM, "out of memory");
    }
    layer_hold(layer);
    lease->layers[lease->layer_count] = path;
    lease->diff_ids[lease->layer_count++] = id;
    lease->bytes += layer->disk_bytes;
    return 0;
}

/* Frees without collecting: when adopting fails, others may still wait to be adopted. */
static void lease_drop(struct image_lease **p) {
    struct image_lease *lease = *p;
    if (!lease)
        return;
    for (size_t i = 0; i < lease->layer_count; i++) {
        layer_release(lease->store,
                      layer_find(lease->store, IMAGE_TREE, digest_hex(lease->diff_ids[i])));
        free(lease->layers[i]);
        free(lease->diff_ids[i]);
    }
    free(lease->layers);
    free(lease->diff_ids);
    free(lease);
}

int lease_new(struct image_store *s, const char *const *diff_ids, size_t n,
              struct image_lease **ret, struct error *err) {
    _cleanup_(lease_drop) struct image_lease *lease = mem_zalloc(sizeof *lease);
    if (!lease)
        return error_set(err, -ENOMEM, "out of memory");
    lease->store = s;
    lease->layers = mem_calloc(n + 1, sizeof *lease->layers);
    lease->diff_ids = mem_calloc(n + 1, sizeof *lease->diff_ids);
    if (!lease->layers || !lease->diff_ids)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        int r = named_again(diff_ids, n, i) ? 0 : lease_add(lease, diff_ids[i], err);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(lease);
    return 0;
}

int image_lease_adopt(struct image_store *s, const char *const *diff_ids, size_t n,
                      struct image_lease **ret, struct error *err) {
    return lease_new(s, diff_ids, n, ret, err);
}

void image_lease_free(struct image_lease *lease) {
    if (!lease)
        return;
    struct image_store *s = lease->store;
    lease_drop(&lease);
    if (s->limits.cache_bytes)
        store_collect(s, s->limits.cache_bytes);
}

/* --- the store -------------------------------------------------------------------------------- */

void image_store_stats(const struct image_store *s, struct image_store_stats *ret) {
    *ret = s->stats;
}

void image_store_set_ops(struct image_store *s, const struct image_store_ops *ops) {
    s->ops = *ops;
    for (const struct layer *l = s->layers; l; l = l->next)
        leave_tell(s, l, true);
}

int image_store_blobs_fd(const struct image_store *s) {
    return s->kind_fds[IMAGE_BLOB];
}

int image_store_coming_fd(const struct image_store *s) {
    return s->tmp_fd;
}

/* A directory that only we may enter: what lies in it has set-id bits. */
static int open_private_dir(const char *dir, const char *name, int *ret, struct error *err) {
    _cleanup_(freep) char *path = *name ? str_printf("%s/%s", dir, name) : str_dup(dir);
    if (!path)
        return error_set(err, -ENOMEM, "out of memory");
    int r = fs_mkdirs(AT_FDCWD, path, 0700, err);
    if (r < 0)
        return r;
    _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0700) < 0)
        return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
    *ret = TAKE_FD(fd);
    return 0;
}

static int lock_dir(struct image_store *s, int dirfd, struct error *err) {
    s->lock_fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return error_set(err, -errno, "cannot create %s/lock: %s", s->dir, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno,
                         "the layer cache %s is in use by another process", s->dir);
    return 0;
}

static int open_dirs(struct image_store *s, const char *dir, struct error *err) {
    _cleanup_(close_fdp) int top = -1;
    int r = open_private_dir(dir, "", &top, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *real = realpath(dir, NULL);
    if (!real || !(s->dir = str_dup(real)))
        return error_set(err, -ENOMEM, "cannot resolve %s", dir);
    if ((r = lock_dir(s, top, err)) < 0 ||
        (r = open_private_dir(s->dir, "layers", &s->kind_fds[IMAGE_TREE], err)) < 0 ||
        (r = open_private_dir(s->dir, "blobs", &s->kind_fds[IMAGE_BLOB], err)) < 0)
        return r;
    return open_private_dir(s->dir, "tmp", &s->tmp_fd, err);
}

static int read_boot_id(struct image_store *s, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    size_t n;
    int r = fs_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &text, &n, err);
    if (r < 0)
        return r;
    snprintf(s->boot_id, sizeof s->boot_id, "%.*s", (int)strcspn(text, "\n"), text);
    return 0;
}

static int find_kind(struct image_store *s, enum image_kind kind, const char *name,
                     struct error *err) {
    struct layer *layer = mem_zalloc(sizeof *layer);
    if (!layer)
        return error_set(err, -ENOMEM, "out of memory");
    layer->kind = kind;
    if (strlen(name) != LAYER_HEX || strspn(name, "0123456789abcdef") != LAYER_HEX ||
        read_mark(s, name, layer) < 0) {
        free(layer->whose);
        free(layer);
        int r = discard(s, kind, name);
        return r < 0 ? error_set(err, r, "cannot remove %s of the layer cache %s: %s", name, s->dir,
                                 strerror(-r))
                     : 0;
    }
    memcpy(layer->hex, name, sizeof layer->hex);
    layer_add(s, layer);
    return 0;
}

static int find_layer(struct image_store *s, const char *name, struct error *err) {
    return find_kind(s, IMAGE_TREE, name, err);
}

static int find_blob(struct image_store *s, const char *name, struct error *err) {
    return find_kind(s, IMAGE_BLOB, name, err);
}

static int find_leftover(struct image_store *s, const char *name, struct error *err) {
    (void)err;
    store_remove_later(s, name);
    return 0;
}

static int each_entry(struct image_store *s, int dirfd,
                      int (*found)(struct image_store *s, const char *name, struct error *err),
                      struct error *err) {
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int r = -errno;
        if (fd >= 0)
            close(fd);
        return error_set(err, r, "cannot list the layer cache: %s", strerror(-r));
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));)
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            r = found(s, e->d_name, err);
    closedir(d);
    return r;
}

int image_store_new_from(struct image_store **ret, struct event_base *loop, const char *dir,
                         const struct layer_source *source, bool keeps_blobs,
                         const struct image_limits *limits, struct error *err) {
    _cleanup_(image_store_freep) struct image_store *s = mem_zalloc(sizeof *s);
    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->lock_fd = s->tmp_fd = s->kind_fds[IMAGE_TREE] = s->kind_fds[IMAGE_BLOB] = -1;
    s->keeps_blobs = keeps_blobs;
    s->loop = loop;
    s->source = *source;
    s->limits = *limits;
    s->sync_timer = evtimer_new(loop, on_sync_timer, s);
    if (!s->sync_timer)
        return error_set(err, -ENOMEM, "out of memory");
    int r = open_dirs(s, dir, err);
    if (r < 0 || (r = read_boot_id(s, err)) < 0 ||
        (r = workers_new(&s->chores, loop, 1, err)) < 0 ||
        (r = workers_new(&s->pullers, loop, MAX(limits->threads, 1u), err)) < 0 ||
        (r = each_entry(s, s->tmp_fd, find_leftover, err)) < 0 ||
        (r = each_entry(s, s->kind_fds[IMAGE_TREE], find_layer, err)) < 0 ||
        (r = each_entry(s, s->kind_fds[IMAGE_BLOB], find_blob, err)) < 0 ||
        (keeps_blobs && (r = keeping_new(s, err)) < 0))
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

void image_store_free(struct image_store *s) {
    if (!s)
        return;
    s->stopping = true;
    s->ops = (struct image_store_ops){0};
    pulls_stop(s);
    workers_free(s->pullers);
    keeping_free(s);
    workers_free(s->chores);
    while (s->layers)
        layer_forget(s, s->layers);
    if (s->sync_timer)
        event_free(s->sync_timer);
    close_fdp(&s->lock_fd);
    for (int kind = 0; kind < IMAGE_KINDS; kind++)
        close_fdp(&s->kind_fds[kind]);
    close_fdp(&s->tmp_fd);
    free(s->dir);
    free(s);
}
