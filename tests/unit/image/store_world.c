/* store_world.c - see store_world.h. */
#include "tests/unit/image/store_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/str.h"

/* --- a registry in memory --------------------------------------------------------------------- */

struct blob blobs[BLOBS];
static size_t blob_count;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

struct reading {
    struct blob *blob;
    size_t at;
    const volatile bool *stop;
};

static int open_blob(void *data, const struct layer_blob *what, const volatile bool *stop,
                     void **ret, struct error *err) {
    struct blob *b = blobs;
    int r = 0;
    while (b < blobs + blob_count && !str_eq(b->digest, what->digest))
        b++;
    if (b == blobs + blob_count)
        return error_set(err, -ENOENT, "blob unknown");
    pthread_mutex_lock(&gate);
    b->opened++;
    if (b->fail)
        r = error_set(err, b->fail, "the registry says no");
    if (str_eq(what->ref->registry, "dead"))
        r = error_set(err, -ECONNREFUSED, "connection refused by dead");
    pthread_mutex_unlock(&gate);
    if (r < 0)
        return r;
    struct reading *reading = mem_zalloc(sizeof *reading);
    *reading = (struct reading){b, 0, stop};
    *ret = reading;
    return 0;
}

static ssize_t read_blob(void *arg, void *buf, size_t n, struct error *err) {
    struct reading *r = arg;
    struct strbuf *from = &r->blob->bytes;
    for (bool closed = true; closed && r->at >= from->n / 2;) {
        pthread_mutex_lock(&gate);
        closed = r->blob->closed_gate;
        pthread_mutex_unlock(&gate);
        if (closed && *r->stop)
            return error_set(err, -ECANCELED, "cancelled");
        if (closed)
            usleep(1000);
    }
    n = MIN(MIN(n, from->n - r->at), MAX(from->n / 2, 1u));
    memcpy(buf, from->p + r->at, n);
    r->at += n;
    return (ssize_t)n;
}

static void close_blob(void *arg) {
    free(arg);
}

void set_gate(size_t i, bool closed) {
    pthread_mutex_lock(&gate);
    blobs[i].closed_gate = closed;
    pthread_mutex_unlock(&gate);
}

unsigned opened(size_t i) {
    pthread_mutex_lock(&gate);
    unsigned n = blobs[i].opened;
    pthread_mutex_unlock(&gate);
    return n;
}

size_t add_blob(size_t n) {
    struct blob *b = &blobs[blob_count];
    _cleanup_(strbuf_fini) struct strbuf tar = {0};
    _cleanup_(freep) char *data = mem_zalloc(n + 1);
    char name[8];
    snprintf(name, sizeof name, "f%zu", blob_count);
    memset(data, 'x', n);
    tar_add(&tar, (struct tar_entry){.name = name, .mode = 0644, .data = data, .n = n});
    tar_end(&tar);
    compress_to(&b->bytes, GZIP, tar.p, tar.n);
    digest_of(tar.p, tar.n, b->diff_id);
    digest_of(b->bytes.p, b->bytes.n, b->digest);
    return blob_count++;
}

size_t blobs_made(void) {
    return blob_count;
}

/* --- the store under test --------------------------------------------------------------------- */

char dir[64];
struct event_base *loop;
struct image_store *store;
struct image_limits limits;
bool keeps_blobs;
bool content_is_blamed;

static bool blame(void *data, const struct layer_blob *what) {
    (void)data, (void)what;
    bool again = content_is_blamed;
    content_is_blamed = false;
    return again;
}

const struct layer_source registry_in_memory = {open_blob, read_blob, close_blob, blame, NULL};

void open_store(void) {
    struct error err = {0};
    ck_assert_msg(image_store_new_from(&store, loop, dir, &registry_in_memory, keeps_blobs, &limits,
                                       &err) == 0,
                  "%s", err.msg);
}

void close_store(void) {
    image_store_free(store);
    store = NULL;
}

void reopen_store(void) {
    close_store();
    open_store();
}

static void set_up(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    loop = event_base_new();
    limits = (struct image_limits){
        .max_layer_bytes = 200 << 20,
        .max_image_bytes = 200 << 20,
        .max_entries = 1000,
        .max_ratio = 200,
        .threads = 2,
    };
    open_store();
}

static void tear_down(void) {
    struct error err = {0};
    close_store();
    keeps_blobs = content_is_blamed = false;
    event_base_free(loop);
    for (size_t i = 0; i < blob_count; i++)
        strbuf_fini(&blobs[i].bytes);
    memset(blobs, 0, sizeof blobs);
    blob_count = 0;
    ck_assert_msg(fs_remove_tree(AT_FDCWD, dir, &err) == 0, "%s", err.msg);
}

void on_progress(void *data, uint64_t done_bytes, uint64_t total_bytes) {
    struct outcome *o = data;
    ck_assert_uint_ge(done_bytes, o->told_done);
    ck_assert_uint_le(done_bytes, total_bytes);
    o->told_done = done_bytes;
    o->told_total = total_bytes;
}

void on_done(void *data, struct image_lease *lease, const struct error *err) {
    struct outcome *o = data;
    ck_assert(!o->done);
    o->done = true;
    o->lease = lease;
    if (!lease)
        o->err = *err;
}

char *repository = "library/test", *password = "";

struct image_pull *start_from(char *registry, struct outcome *o, const size_t *which, size_t n) {
    Berth__Image image = BERTH__IMAGE__INIT;
    Berth__Layer layers[BLOBS], *list[BLOBS];
    struct image_pull_ops ops = {on_progress, on_done, o};
    struct image_pull *pull = NULL;
    struct error err = {0};
    *o = (struct outcome){0};
    for (size_t i = 0; i < n; i++) {
        berth__layer__init(&layers[i]);
        layers[i].digest = blobs[which[i]].digest;
        layers[i].diff_id = blobs[which[i]].diff_id;
        layers[i].size = blobs[which[i]].bytes.n;
        list[i] = &layers[i];
    }
    image.registry = registry;
    image.repository = repository;
    image.username = image.password = password;
    image.layers = list;
    image.n_layers = n;
    ck_assert_msg(image_pull_start(store, &image, &ops, &pull, &err) == 0, "%s", err.msg);
    ck_assert(!o->done);
    return pull;
}

struct image_pull *start(struct outcome *o, const size_t *which, size_t n) {
    return start_from("reg.example", o, which, n);
}

struct image_lease *pull(const size_t *which, size_t n) {
    struct outcome o;
    start(&o, which, n);
    wait_until(o.done);
    ck_assert_msg(o.lease != NULL, "%s", o.err.msg);
    return o.lease;
}

size_t count_entries(const char *sub) {
    char path[128];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", dir, sub);
    DIR *d = opendir(path);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* --- blobs for other cells --- */

void keep_blobs(void) {
    keeps_blobs = true;
    reopen_store();
}

void keep(const size_t *which, size_t n) {
    struct image_keep list[BLOBS];
    for (size_t i = 0; i < n; i++) {
        strcpy(list[i].digest, blobs[which[i]].digest);
        list[i].size = blobs[which[i]].bytes.n;
        list[i].of = repository_id_of("reg.example", "library/test");
    }
    ck_assert_int_eq(image_store_keep(store, list, n), 0);
}

char changes[4096];
/* "+b0": everybody's blob 0 is there; "+b0:repository". */
static void on_change(void *data, enum image_kind kind, const uint8_t id[LAYER_ID_SIZE],
                      bool there) {
    static const char *const repositories[] = {NULL, "library/test", "private/a", "private/b"};
    (void)data;
    for (size_t i = 0; i < blobs_made(); i++)
        for (size_t k = 0; k < ARRAY_SIZE(repositories); k++) {
            const char *text = kind == IMAGE_BLOB ? blobs[i].digest : blobs[i].diff_id;
            uint8_t digest[LAYER_ID_SIZE], its[LAYER_ID_SIZE];
            struct repository_id of = repositories[k]
                                          ? repository_id_of("reg.example", repositories[k])
                                          : repository_id_open;
            ck_assert_int_eq(hex_decode(text + 7, digest, sizeof digest), 0);
            layer_id(digest, &of, its);
            if (memcmp(its, id, sizeof its) == 0)
                sprintf(changes + strlen(changes), "%c%c%zu%s%s ", there ? '+' : '-',
                        kind == IMAGE_BLOB ? 'b' : 't', i, k > 0 ? ":" : "",
                        k > 0 ? repositories[k] : "");
        }
}

static const Berth__Image *image_with(void *data, const char *digest,
                                      const struct repository_id *of) {
    static Berth__Image image;
    (void)data, (void)of;
    berth__image__init(&image);
    image.registry = (char *)"reg.example";
    image.repository = (char *)"library/test";
    return str_eq(digest, blobs[0].digest) ? &image : NULL;
}

void watch(void) {
    const struct image_store_ops ops = {on_change, image_with, NULL};
    changes[0] = 0;
    image_store_set_ops(store, &ops);
}

struct image_store_stats stats(void) {
    struct image_store_stats st;
    image_store_stats(store, &st);
    return st;
}

bool layer_there(size_t i) {
    char path[192];
    snprintf(path, sizeof path, "%s/layers/%s", dir, blobs[i].diff_id + 7);
    return access(path, F_OK) == 0;
}

int run_store_tests(const char *name, const TTest *const *tests, size_t n) {
    if (geteuid() != 0) {
        printf("%s: skipped, owners and trusted attributes need root\n", name);
        return 77;
    }
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create("store");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
