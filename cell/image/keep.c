/* keep.c - blobs that must be here for other cells, fetched in the background.
 *
 * One at a time, while no app waits for a pull, each from wherever it can be had. What could not be
 * fetched is tried again later, and later each time.
 *
 * A spare copy that rotted is none: each is read again once a day, slowly, and fetched anew when
 * its bytes are others. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION     HASH_FNV
#include <uthash.h>

#include "cell/image/store.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define FIRST_WAIT_MS 1000 /* after a failure; doubled */
#define DOUBLINGS     6
#define LOOK_MS       1000  /* while something is missing */
#define CHECK_WAIT_MS 60000 /* between two blobs */
#define CHECK_BLOCK   ((size_t)1 << 20)
#define CHECK_NAP_US  50000 /* after a block: 20 MB a second */

struct keep { /* one blob */
    char hex[LAYER_HEX + 1];
    struct repository_id *whose; /* for whose apps; owned */
    size_t whose_count;
    uint64_t size;
    uint64_t not_before_ms;
    unsigned failures;
    bool listed; /* in the list that is being taken over */
    UT_hash_handle hh;
};

struct keep_job { /* the one that is being fetched */
    struct image_store *s;
    struct origin origin;
    struct repository_id of;
    char hex[LAYER_HEX + 1], name[TRASH_NAME];
    volatile bool stop;
    _Atomic uint64_t done_bytes, tar_bytes;
    int code;
    struct error err;
    struct fetch_result made;
    struct layer_trail trail;
};

struct check_job { /* the one that is being verified */
    struct image_store *s;
    char hex[LAYER_HEX + 1];
    int fd;
    bool whole, wrong;
};

struct keeping {
    struct check_job *check;
    uint64_t check_ms; /* not before */
    struct keep *list; /* by hex */
    bool known;        /* told at least once */
    struct workers *worker;
    struct event *timer;
    struct keep_job *job;
    uint64_t missing;
};

static struct keep *find(const struct keeping *k, const char *hex) {
    struct keep *found;
    HASH_FIND_STR(k->list, hex, found);
    return found;
}

bool keeping_has(const struct image_store *s, const char *hex) {
    return s->keeping && (!s->keeping->known || find(s->keeping, hex));
}

/* --- one fetch -------------------------------------------------------------------------------- */

static void job_free(struct keep_job *job) {
    if (!job)
        return;
    origin_fini(&job->origin);
    free(job);
}

static void keep_work(void *arg) {
    struct keep_job *job = arg;
    struct image_store *s = job->s;
    struct registry_credentials credentials = {job->origin.username, job->origin.password};
    struct fetch_order order = {
        .source = &s->source,
        .blob = {&job->origin.ref, &credentials, job->origin.digest, job->origin.size, &job->of,
                 s->kind_fds[IMAGE_BLOB], LEAVE_NONE, &job->trail},
        .dirfd = s->tmp_fd,
        .blob_name = job->name,
        .stop = &job->stop,
        .done_bytes = &job->done_bytes,
        .tar_bytes = &job->tar_bytes,
    };
    do
        job->code = fetch_blob(&order, &job->made, &job->err);
    while (job->code == -EBADMSG && !s->stopping && s->source.blame &&
           s->source.blame(s->source.data, &order.blob));
    if (job->code < 0)
        return;
    const struct fetch_result blob = {.disk_bytes = job->made.blob_bytes, .whose = job->made.whose};
    job->code = layer_mark(s, IMAGE_BLOB, job->name, &blob, &job->err);
    if (job->code < 0)
        unlinkat(s->tmp_fd, job->name, 0);
}

static void step_kept(struct keep_job *job) {
    struct image_store *s = job->s;
    struct keep *k = find(s->keeping, job->hex);
    const struct fetch_result blob = {.disk_bytes = job->made.blob_bytes, .whose = job->made.whose};
    struct layer *old = job->trail.own_is_bad ? layer_find(s, IMAGE_BLOB, job->hex) : NULL;
    s->keeping->job = NULL;
    if (old)
        layer_discard(s, old);
    if (job->code == 0)
        job->code = layer_commit(s, IMAGE_BLOB, job->name, job->hex, &blob, NULL, &job->err);
    if (job->code == 0)
        s->stats.pulled_bytes += job->made.blob_bytes;
    if (job->code == 0 && k)
        k->failures = 0;
    else if (k)
        k->not_before_ms =
            clock_mono_ms() + ((uint64_t)FIRST_WAIT_MS << MIN(k->failures++, (unsigned)DOUBLINGS));
    job_free(job);
    if (s->limits.cache_bytes)
        store_collect(s, s->limits.cache_bytes);
    keeping_look(s);
}

static void on_kept(void *arg) {
    step_kept(arg);
}

/* The next of whose apps it is not kept for yet; NULL: it is for all. */
static const struct repository_id *missing_for(struct image_store *s, const struct keep *k) {
    const struct layer *layer = layer_find(s, IMAGE_BLOB, k->hex);
    for (size_t i = 0; i < k->whose_count; i++)
        if (!layer || leave_of(layer, &k->whose[i]) == LEAVE_NONE)
            return &k->whose[i];
    return NULL;
}

/* From its registry only when an app here may pull it: else nobody here has leave to. */
static int job_init(struct keep_job *job, struct image_store *s, const struct keep *k) {
    const Berth__Image *image = NULL;
    struct reference ref = {0};
    char digest[72];
    const struct repository_id *of = missing_for(s, k);
    if (!of)
        return -ENOENT;
    job->of = *of;
    snprintf(digest, sizeof digest, "sha256:%s", k->hex);
    if (s->ops.image_with)
        image = s->ops.image_with(s->ops.data, digest, &job->of);
    if (image && strlen(image->registry) < sizeof ref.registry &&
        strlen(image->repository) < sizeof ref.repository) {
        strcpy(ref.registry, image->registry);
        strcpy(ref.repository, image->repository);
    }
    job->s = s;
    memcpy(job->hex, k->hex, sizeof job->hex);
    trash_name(job->name);
    return origin_init(&job->origin, &ref, image ? image->username : "",
                       image ? image->password : "", digest, k->size);
}

static void begin(struct image_store *s, const struct keep *k) {
    struct keep_job *job = mem_zalloc(sizeof *job);
    if (!job || job_init(job, s, k) < 0 ||
        workers_run(s->keeping->worker, keep_work, on_kept, job) < 0)
        job_free(job); /* the timer tries again */
    else
        s->keeping->job = job;
}

/* --- one check -------------------------------------------------------------------------------- */

static void check_work(void *arg) {
    struct check_job *job = arg;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned digest_n = 0;
    ssize_t n = 1;
    _cleanup_(freep) uint8_t *block = malloc(CHECK_BLOCK);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = block && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    while (good && !job->s->stopping && (n = read(job->fd, block, CHECK_BLOCK)) > 0) {
        good = EVP_DigestUpdate(md, block, (size_t)n) == 1;
        usleep(CHECK_NAP_US);
    }
    job->whole = good && n == 0 && EVP_DigestFinal_ex(md, digest, &digest_n) == 1;
    EVP_MD_CTX_free(md);
    posix_fadvise(job->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (!job->whole)
        job->wrong = good && n < 0; /* it cannot be read */
    hex_encode(digest, digest_n, hex);
    job->wrong |= job->whole && !str_eq(hex, job->hex);
}

static void on_checked(void *arg) {
    struct check_job *job = arg;
    struct image_store *s = job->s;
    struct layer *layer = layer_find(s, IMAGE_BLOB, job->hex);
    s->keeping->check = NULL;
    s->keeping->check_ms = clock_mono_ms() + CHECK_WAIT_MS;
    if (layer) {
        layer->check_ms = clock_mono_ms() + BLOB_CHECK_MS;
        layer->doubted = false;
    }
    if (layer && job->wrong)
        layer_discard(s, layer);
    close(job->fd);
    free(job);
    keeping_look(s);
}

static void check(struct image_store *s, const struct layer *layer) {
    struct check_job *job = mem_zalloc(sizeof *job);
    if (!job)
        return;
    job->s = s;
    memcpy(job->hex, layer->hex, sizeof job->hex);
    job->fd = openat(s->kind_fds[IMAGE_BLOB], layer->hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (job->fd >= 0 && workers_run(s->keeping->worker, check_work, on_checked, job) == 0) {
        s->keeping->check = job;
        return;
    }
    close_fdp(&job->fd);
    free(job);
}

/* A blob that is doubted, or that is due unless another one was just now. */
static void check_one(struct image_store *s, uint64_t now_ms) {
    struct keeping *k = s->keeping;
    for (const struct layer *l = s->layers; l && !k->check; l = l->next) {
        bool due = now_ms >= k->check_ms && now_ms >= l->check_ms && find(k, l->hex);
        if (l->kind == IMAGE_BLOB && (l->doubted || due))
            check(s, l);
    }
}

void image_store_doubt(struct image_store *s, const char *hex) {
    struct layer *layer = layer_find(s, IMAGE_BLOB, hex);
    if (!layer || !s->keeping || layer->doubted)
        return;
    layer->doubted = true;
    keeping_look(s);
}

/* --- which, and when -------------------------------------------------------------------------- */

void keeping_look(struct image_store *s) {
    static const struct timeval soon = {.tv_sec = LOOK_MS / 1000},
                                later = {.tv_sec = CHECK_WAIT_MS / 1000};
    struct keeping *k = s->keeping;
    const struct keep *next = NULL;
    uint64_t now_ms = clock_mono_ms();
    if (!k || s->stopping)
        return;
    k->missing = 0;
    for (const struct keep *it = k->list; it; it = it->hh.next) {
        if (!missing_for(s, it))
            continue;
        k->missing++;
        if (!next && it->not_before_ms <= now_ms)
            next = it;
    }
    if (next && !k->job && !s->fetches)
        begin(s, next);
    check_one(s, now_ms);
    event_add(k->timer, k->missing && !k->job ? &soon : &later);
    s->stats.keep = HASH_COUNT(k->list);
    s->stats.keep_missing = k->missing;
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    keeping_look(arg);
}

static void keep_free(struct keeping *k, struct keep *it) {
    HASH_DEL(k->list, it);
    free(it->whose);
    free(it);
}

static int list_one(struct keeping *k, const struct image_keep *from) {
    const char *hex = digest_hex(from->digest);
    struct keep *it = hex ? find(k, hex) : NULL;
    if (!hex)
        return 0; /* malformed: nothing to be had */
    if (!it) {
        if (!(it = mem_zalloc(sizeof *it)))
            return -ENOMEM;
        memcpy(it->hex, hex, sizeof it->hex);
        HASH_ADD_STR(k->list, hex, it);
        if (!it->hh.tbl) {
            free(it);
            return -ENOMEM;
        }
    }
    if (!it->listed)
        it->whose_count = 0;
    it->size = from->size;
    it->listed = true;
    struct repository_id *grown = mem_resize(it->whose, it->whose_count + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    it->whose = grown;
    it->whose[it->whose_count++] = from->of;
    return 0;
}

int image_store_keep(struct image_store *s, const struct image_keep *list, size_t n) {
    struct keeping *k = s->keeping;
    struct keep *it, *tmp;
    int r = 0;
    if (!k)
        return 0;
    HASH_ITER (hh, k->list, it, tmp)
        it->listed = false;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = list_one(k, &list[i]);
    if (r < 0)
        return r; /* some more are kept than before */
    HASH_ITER (hh, k->list, it, tmp)
        if (!it->listed)
            keep_free(k, it);
    k->known = true;
    if (k->job && !find(k, k->job->hex))
        k->job->stop = true;
    keeping_look(s);
    return 0;
}

/* --- made and freed --------------------------------------------------------------------------- */

int keeping_new(struct image_store *s, struct error *err) {
    struct keeping *k = s->keeping = mem_zalloc(sizeof *k);
    if (!k || !(k->timer = evtimer_new(s->loop, on_look, s)))
        return error_set(err, -ENOMEM, "out of memory");
    return workers_new(&k->worker, s->loop, 2, err); /* a fetch and a check */
}

void keeping_free(struct image_store *s) {
    struct keeping *k = s->keeping;
    struct keep *it, *tmp;
    if (!k)
        return;
    if (k->job)
        k->job->stop = true;
    workers_free(k->worker);
    HASH_ITER (hh, k->list, it, tmp)
        keep_free(k, it);
    if (k->timer)
        event_free(k->timer);
    free(k);
    s->keeping = NULL;
}
