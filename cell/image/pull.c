/* pull.c - what brings layers into the store.
 *
 * A pull wants some layers. Each is there already (held), or being fetched, by this pull or for
 * another one. A fetch belongs to nobody: it goes on while any pull wants it. When it fails, the
 * pulls that would fetch the very same blob with the same credentials fail with it; another one
 * tries its own source, so that no app's dead registry or wrong password fails another app.
 *
 *     start -> [fetching: layers come one by one] -> settled -> on_done from the loop
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "cell/image/store.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

/* overlayfs takes at most 500 lower layers (OVL_MAX_STACK); Docker makes at most 127. */
#define MAX_LAYERS  500
#define PROGRESS_MS 250

struct fetching {
    struct image_store *s;
    char hex[LAYER_HEX + 1];
    char diff_id[72];
    char name[TRASH_NAME];      /* in DIR/tmp */
    char blob_name[TRASH_NAME]; /* the blob's, beside it */
    struct origin origin;
    struct repository_id of;   /* for whose apps it is fetched */
    enum peer_leave own_leave; /* of the blob that is here already */
    bool abandoned;            /* nobody wants it any more: it ends, nobody may join it */
    bool has_blob;             /* was here when the fetch began */
    /* Shared with the worker. */
    _Atomic bool cancelled; /* for good; `stop` ends only this try */
    volatile bool stop;
    _Atomic uint64_t done_bytes, tar_bytes;
    /* The worker's, until it is done. */
    int code;
    struct error err;
    struct fetch_result made;
    struct layer_trail trail;
    struct fetching *prev, *next; /* s->fetches */
};

struct want {
    char diff_id[72];
    char digest[72];
    uint64_t size;
    bool fetched;              /* counts for progress */
    struct layer *layer;       /* held */
    struct fetching *fetching; /* borrowed */
};

struct image_pull {
    struct image_store *s;
    struct image_pull_ops ops;
    struct reference ref;
    struct repository_id of;
    char *username, *password;
    struct want *wants;
    size_t want_count;
    struct event *settle;   /* on_done comes from here: never from inside a call of ours */
    struct event *progress; /* while fetching */
    uint64_t told_bytes;
    int code; /* negative: failed because of `err` */
    struct error err;
    struct image_pull *prev, *next;
};

/* --- fetches ---------------------------------------------------------------------------------- */

static void wipe_free(char *secret) {
    if (secret)
        mem_wipe(secret, strlen(secret));
    free(secret);
}

int origin_init(struct origin *o, const struct reference *ref, const char *username,
                const char *password, const char *digest, uint64_t size) {
    o->ref = *ref;
    o->size = size;
    snprintf(o->digest, sizeof o->digest, "%s", digest);
    o->username = str_dup(username);
    o->password = str_dup(password);
    return o->username && o->password ? 0 : -ENOMEM;
}

void origin_fini(struct origin *o) {
    free(o->username);
    wipe_free(o->password);
    *o = (struct origin){0};
}

static void fetching_free(struct fetching *f) {
    if (!f)
        return;
    origin_fini(&f->origin);
    free(f);
}
DEFINE_FREEP(fetching)

static bool same_origin(const struct fetching *f, const struct image_pull *p,
                        const struct want *w) {
    return str_eq(f->origin.ref.registry, p->ref.registry) &&
           str_eq(f->origin.ref.repository, p->ref.repository) &&
           str_eq(f->origin.digest, w->digest) && f->origin.size == w->size &&
           str_eq(f->origin.username, p->username) && str_eq(f->origin.password, p->password);
}

static bool is_wanted(const struct fetching *f) {
    const struct image_pull *p;
    DL_FOREACH (f->s->pulls, p)
        for (size_t i = 0; i < p->want_count; i++)
            if (p->wants[i].fetching == f)
                return true;
    return false;
}

/* One whose layer this pull may use, too: what comes without a password may be everybody's. Only of
 * the same registry: another one may be slow on purpose. */
static struct fetching *fetching_find(const struct image_pull *p, const char *hex) {
    struct fetching *f;
    DL_FOREACH (p->s->fetches, f)
        if (!f->abandoned && str_eq(f->hex, hex) &&
            (repository_id_equal(&f->of, &p->of) ||
             (!*f->origin.username && str_eq(f->origin.ref.registry, p->ref.registry))))
            return f;
    return NULL;
}

static void cancel(struct fetching *f) {
    f->cancelled = true; /* first: a new try looks at it after it cleared `stop` */
    f->stop = true;
}

static void abandon_if_unwanted(struct fetching *f) {
    if (!f || is_wanted(f))
        return;
    f->abandoned = true;
    cancel(f);
}

/* Something came, but not what was asked for. */
static bool is_bad_content(int code) {
    return code == -EBADMSG || code == -EFBIG || code == -ENOTSUP;
}

static void fetch_work(void *arg) {
    struct fetching *f = arg;
    struct image_store *s = f->s;
    struct registry_credentials credentials = {f->origin.username, f->origin.password};
    struct fetch_order order = {
        .source = &s->source,
        .blob = {&f->origin.ref, &credentials, f->origin.digest, f->origin.size, &f->of,
                 s->kind_fds[IMAGE_BLOB], f->own_leave, &f->trail},
        .diff_id = f->diff_id,
        .limits = &s->limits,
        .dirfd = s->tmp_fd,
        .name = f->name,
        .stop = &f->stop,
        .done_bytes = &f->done_bytes,
        .tar_bytes = &f->tar_bytes,
    };
    do {
        bool keep = s->keeps_blobs && (!f->has_blob || f->trail.own_is_bad);
        order.blob_name = keep ? f->blob_name : NULL;
        f->done_bytes = f->tar_bytes = 0;
        f->stop = false;
        if (f->cancelled)
            f->stop = true;
        f->code = fetch_layer(&order, &f->made, &f->err);
    } while (is_bad_content(f->code) && s->source.blame &&
             s->source.blame(s->source.data, &order.blob));
    if (f->code < 0)
        return;
    struct error ignored;
    const struct fetch_result blob = {.disk_bytes = f->made.blob_bytes, .whose = f->made.whose};
    if (blob.disk_bytes && layer_mark(s, IMAGE_BLOB, f->blob_name, &blob, &ignored) < 0) {
        unlinkat(s->tmp_fd, f->blob_name, 0);
        f->made.blob_bytes = 0;
    }
    if ((f->code = layer_mark(s, IMAGE_TREE, f->name, &f->made, &f->err)) < 0)
        fs_remove_tree(s->tmp_fd, f->name, &ignored);
}

static void step_fetched(struct fetching *f);

static void on_fetch_done(void *arg) {
    step_fetched(arg);
}

static int fetching_new(struct image_pull *p, const struct want *w, struct fetching **ret,
                        struct error *err) {
    struct image_store *s = p->s;
    _cleanup_(fetching_freep) struct fetching *f = mem_zalloc(sizeof *f);
    if (!f)
        return error_set(err, -ENOMEM, "out of memory");
    f->s = s;
    if (origin_init(&f->origin, &p->ref, p->username, p->password, w->digest, w->size) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(f->diff_id, w->diff_id, sizeof f->diff_id);
    memcpy(f->hex, digest_hex(w->diff_id), sizeof f->hex);
    const struct layer *blob = layer_find(s, IMAGE_BLOB, digest_hex(w->digest));
    f->has_blob = blob != NULL;
    f->of = p->of;
    f->own_leave = blob ? leave_of(blob, &f->of) : LEAVE_NONE;
    trash_name(f->name);
    trash_name(f->blob_name);
    if (workers_run(s->pullers, fetch_work, on_fetch_done, f) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    DL_APPEND(s->fetches, f);
    *ret = TAKE_PTR(f);
    return 0;
}

/* --- a pull's wants --------------------------------------------------------------------------- */

/* Does this pull wait for the fetch already, for the same layer further down? */
static bool is_repeated(const struct image_pull *p, const struct want *w) {
    for (const struct want *other = p->wants; other < p->wants + p->want_count; other++)
        if (other != w && other->fetching == w->fetching)
            return true;
    return false;
}

/* Holds the layer if it is there for this image, else joins or starts its fetch. */
static int want_start(struct image_pull *p, struct want *w, struct error *err) {
    const char *hex = digest_hex(w->diff_id);
    struct layer *layer = layer_find(p->s, IMAGE_TREE, hex);
    if (layer && leave_of(layer, &p->of) != LEAVE_NONE) {
        w->layer = layer;
        layer_hold(layer);
        return 0;
    }
    w->fetching = fetching_find(p, hex);
    int r = w->fetching ? 0 : fetching_new(p, w, &w->fetching, err);
    w->fetched = r == 0 && !is_repeated(p, w);
    return r;
}

static void wants_drop(struct image_pull *p) {
    for (size_t i = 0; i < p->want_count; i++) {
        struct want *w = &p->wants[i];
        struct fetching *f = w->fetching;
        w->fetching = NULL;
        abandon_if_unwanted(f);
        if (w->layer)
            layer_release(p->s, w->layer);
        w->layer = NULL;
    }
}

static void pull_fail(struct image_pull *p, int code, const struct error *err) {
    if (p->code < 0)
        return;
    p->code = code;
    p->err = *err;
    p->s->stats.failures++;
    if (code == -EBADMSG || code == -EFBIG)
        p->s->stats.refused++;
    wants_drop(p);
    event_active(p->settle, EV_TIMEOUT, 0);
}

static void layer_failed(struct image_pull *p, const struct want *w, int code,
                         const struct error *why) {
    struct error err;
    error_set(&err, code, "layer %zu of %zu (%s): %s", (size_t)(w - p->wants) + 1, p->want_count,
              w->digest, why->msg);
    pull_fail(p, code, &err);
}

/* Fails the pull when what it has so far is too much; settles it when nothing is missing. */
static void pull_check(struct image_pull *p) {
    uint64_t bytes = 0, max = p->s->limits.max_image_bytes;
    bool missing = false;
    struct error err;
    if (p->code < 0)
        return;
    for (size_t i = 0; i < p->want_count; i++) {
        const struct want *w = &p->wants[i];
        missing |= w->fetching != NULL;
        bytes += w->layer ? w->layer->tar_bytes : w->fetching ? w->fetching->tar_bytes : 0;
    }
    if (max && bytes > max) {
        error_set(&err, -EFBIG, "the image is larger than the %llu bytes allowed",
                  (unsigned long long)max);
        pull_fail(p, -EFBIG, &err);
    } else if (!missing) {
        event_active(p->settle, EV_TIMEOUT, 0);
    }
}

/* A fetch ended: its layer goes to all who wanted it, or each of them decides what now. */
static void want_resolved(struct image_pull *p, struct want *w, struct fetching *f,
                          struct layer *layer) {
    struct error err = {0};
    int r = 0;
    w->fetching = NULL;
    if (layer && leave_of(layer, &p->of) != LEAVE_NONE) {
        layer_hold(layer);
        w->layer = layer;
    } else if (!layer && same_origin(f, p, w)) {
        layer_failed(p, w, f->code, &f->err);
    } else if ((r = want_start(p, w, &err)) < 0) {
        layer_failed(p, w, r, &err);
    }
}

/* A blob that was here is gone if it was wrong; one that came stays. */
static void settle_blob(struct fetching *f) {
    struct image_store *s = f->s;
    const char *hex = digest_hex(f->origin.digest);
    const struct fetch_result blob = {.disk_bytes = f->made.blob_bytes, .whose = f->made.whose};
    struct error ignored;
    struct layer *old = layer_find(s, IMAGE_BLOB, hex);
    if (old && f->trail.own_is_bad)
        layer_discard(s, old);
    else if (old && f->code == 0)
        layer_allow(s, old, &f->made.whose);
    if (f->made.blob_bytes) /* also when its tree could not be marked */
        layer_commit(s, IMAGE_BLOB, f->blob_name, hex, &blob, NULL, &ignored);
}

static void step_fetched(struct fetching *f) {
    struct image_store *s = f->s;
    struct layer *layer = NULL;
    DL_DELETE(s->fetches, f);
    settle_blob(f);
    if (f->code == 0)
        f->code = layer_commit(s, IMAGE_TREE, f->name, f->hex, &f->made, &layer, &f->err);
    if (f->code == 0)
        s->stats.pulled_bytes += f->done_bytes;
    struct image_pull *p;
    DL_FOREACH (s->pulls, p)
        for (size_t i = 0; i < p->want_count; i++)
            if (p->wants[i].fetching == f)
                want_resolved(p, &p->wants[i], f, layer);
    DL_FOREACH (s->pulls, p)
        pull_check(p);
    /* The disk is full: what nobody uses goes, so that the next try finds room. */
    if (s->limits.cache_bytes && f->code == -ENOSPC)
        store_collect(s, 0);
    else if (s->limits.cache_bytes)
        store_collect(s, s->limits.cache_bytes);
    fetching_free(f);
    keeping_look(s);
}

void pulls_stop(struct image_store *s) {
    struct fetching *f;
    DL_FOREACH (s->fetches, f)
        cancel(f);
}

/* --- pulls ------------------------------------------------------------------------------------ */

static void pull_free(struct image_pull *p) {
    if (!p)
        return;
    if (p->settle)
        event_free(p->settle);
    if (p->progress)
        event_free(p->progress);
    free(p->username);
    wipe_free(p->password);
    free(p->wants);
    free(p);
}

static void pull_end(struct image_pull *p) {
    DL_DELETE(p->s->pulls, p);
    wants_drop(p);
    pull_free(p);
}

void image_pull_cancel(struct image_pull *p) {
    if (p)
        pull_end(p);
}

static int make_lease(struct image_pull *p, struct image_lease **ret, struct error *err) {
    _cleanup_(freep) const char **ids = mem_calloc(p->want_count + 1, sizeof *ids);
    if (!ids)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < p->want_count; i++)
        ids[i] = p->wants[i].diff_id;
    return lease_new(p->s, ids, p->want_count, ret, err);
}

static void step_settled(struct image_pull *p) {
    struct image_pull_ops ops = p->ops;
    struct image_lease *lease = NULL;
    struct error err = p->err;
    if (p->code == 0 && make_lease(p, &lease, &err) == 0)
        p->s->stats.pulls++;
    pull_end(p);
    ops.on_done(ops.data, lease, lease ? NULL : &err);
}

static void on_settle(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    step_settled(arg);
}

static void step_progress(struct image_pull *p) {
    uint64_t done = 0, total = 0;
    pull_check(p); /* what is being unpacked counts */
    if (p->code < 0)
        return;
    for (size_t i = 0; i < p->want_count; i++) {
        const struct want *w = &p->wants[i];
        total += w->fetched ? w->size : 0;
        done += !w->fetched ? 0 : w->fetching ? MIN(w->fetching->done_bytes, w->size) : w->size;
    }
    if (done <= p->told_bytes)
        return; /* less: a layer is fetched again, from another source */
    p->told_bytes = done;
    p->ops.on_progress(p->ops.data, done, total); /* may cancel: `p` may be gone */
}

static void on_progress_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    step_progress(arg);
}

static int want_init(struct want *w, const Berth__Layer *layer, struct error *err) {
    if (!digest_hex(layer->digest) || !digest_hex(layer->diff_id))
        return error_set(err, -EBADMSG, "malformed digest of a layer");
    snprintf(w->digest, sizeof w->digest, "%s", layer->digest);
    snprintf(w->diff_id, sizeof w->diff_id, "%s", layer->diff_id);
    w->size = layer->size;
    return 0;
}

static int copy_text(char *to, size_t n, const char *from, struct error *err) {
    if (strlen(from) >= n)
        return error_set(err, -EINVAL, "image reference too long");
    memcpy(to, from, strlen(from) + 1);
    return 0;
}

static int pull_init(struct image_pull *p, const Berth__Image *image, struct error *err) {
    int r;
    if (image->n_layers > MAX_LAYERS)
        return error_set(err, -EFBIG, "the image has %zu layers; at most %d can be used",
                         image->n_layers, MAX_LAYERS);
    if ((r = copy_text(p->ref.registry, sizeof p->ref.registry, image->registry, err)) < 0 ||
        (r = copy_text(p->ref.repository, sizeof p->ref.repository, image->repository, err)) < 0 ||
        (r = copy_text(p->ref.digest, sizeof p->ref.digest, image->digest, err)) < 0)
        return r;
    p->of = repository_id_of(p->ref.registry, p->ref.repository);
    p->username = str_dup(image->username);
    p->password = str_dup(image->password);
    p->wants = mem_calloc(image->n_layers + 1, sizeof *p->wants);
    p->settle = event_new(p->s->loop, -1, 0, on_settle, p);
    p->progress = event_new(p->s->loop, -1, EV_PERSIST, on_progress_timer, p);
    if (!p->username || !p->password || !p->wants || !p->settle || !p->progress)
        return error_set(err, -ENOMEM, "out of memory");
    for (; p->want_count < image->n_layers; p->want_count++)
        if ((r = want_init(&p->wants[p->want_count], image->layers[p->want_count], err)) < 0)
            return r;
    return 0;
}

static int pull_begin(struct image_pull *p, struct error *err) {
    struct timeval every = {.tv_usec = PROGRESS_MS * 1000};
    if (event_add(p->progress, &every) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < p->want_count; i++) {
        int r = want_start(p, &p->wants[i], err);
        if (r < 0)
            return r;
    }
    pull_check(p);
    return 0;
}

int image_pull_start(struct image_store *s, const Berth__Image *image,
                     const struct image_pull_ops *ops, struct image_pull **ret, struct error *err) {
    struct image_pull *p = mem_zalloc(sizeof *p);
    if (!p)
        return error_set(err, -ENOMEM, "out of memory");
    p->s = s;
    p->ops = *ops;
    int r = pull_init(p, image, err);
    if (r < 0) {
        pull_free(p);
        return r;
    }
    DL_APPEND(s->pulls, p);
    if ((r = pull_begin(p, err)) < 0) {
        pull_end(p);
        return r;
    }
    *ret = p;
    return 0;
}
