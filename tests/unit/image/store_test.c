#include "tests/unit/image/archive_maker.h"
#include "tests/unit/lib/runner.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cell/image/image.h"
#include "cell/image/source.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define BLOBS   8
#define WAIT_MS 20000

/* --- a registry in memory --------------------------------------------------------------------- */

static struct blob {
    struct strbuf bytes;
    char digest[72], diff_id[72];
    bool closed_gate; /* reads wait after the first half */
    int fail;         /* negative: open fails so */
    unsigned opened;
} blobs[BLOBS];
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

static void set_gate(size_t i, bool closed) {
    pthread_mutex_lock(&gate);
    blobs[i].closed_gate = closed;
    pthread_mutex_unlock(&gate);
}

static unsigned opened(size_t i) {
    pthread_mutex_lock(&gate);
    unsigned n = blobs[i].opened;
    pthread_mutex_unlock(&gate);
    return n;
}

/* A layer with one file, "fN", of n bytes. */
static size_t add_blob(size_t n) {
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

/* --- the store under test --------------------------------------------------------------------- */

static char dir[64];
static struct event_base *loop;
static struct image_store *store;
static struct image_limits limits;
static bool keeps_blobs;
static bool content_is_blamed; /* once: another try makes sense */

static bool blame(void *data, const struct layer_blob *what) {
    (void)data, (void)what;
    bool again = content_is_blamed;
    content_is_blamed = false;
    return again;
}

static void open_store(void) {
    const struct layer_source source = {open_blob, read_blob, close_blob, blame, NULL};
    struct error err = {0};
    ck_assert_msg(image_store_new_from(&store, loop, dir, &source, keeps_blobs, &limits, &err) == 0,
                  "%s", err.msg);
}

static void reopen_store(void) {
    image_store_free(store);
    store = NULL;
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
    image_store_free(store);
    store = NULL;
    keeps_blobs = content_is_blamed = false;
    event_base_free(loop);
    for (size_t i = 0; i < blob_count; i++)
        strbuf_fini(&blobs[i].bytes);
    memset(blobs, 0, sizeof blobs);
    blob_count = 0;
    ck_assert_msg(fs_remove_tree(AT_FDCWD, dir, &err) == 0, "%s", err.msg);
}

/* Runs the loop until *what, or fails the test. */
#define wait_until(what)                                                                           \
    do {                                                                                           \
        uint64_t give_up_ms = clock_mono_ms() + WAIT_MS;                                           \
        while (!(what)) {                                                                          \
            ck_assert_msg(clock_mono_ms() < give_up_ms, "never: %s", #what);                       \
            event_base_loop(loop, EVLOOP_NONBLOCK);                                                \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

struct outcome {
    bool done;
    struct image_lease *lease;
    struct error err;
    uint64_t told_done, told_total;
};

static void on_progress(void *data, uint64_t done_bytes, uint64_t total_bytes) {
    struct outcome *o = data;
    ck_assert_uint_ge(done_bytes, o->told_done);
    ck_assert_uint_le(done_bytes, total_bytes);
    o->told_done = done_bytes;
    o->told_total = total_bytes;
}

static void on_done(void *data, struct image_lease *lease, const struct error *err) {
    struct outcome *o = data;
    ck_assert(!o->done);
    o->done = true;
    o->lease = lease;
    if (!lease)
        o->err = *err;
}

static struct image_pull *start_from(char *registry, struct outcome *o, const size_t *which,
                                     size_t n) {
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
    image.repository = "library/test";
    image.layers = list;
    image.n_layers = n;
    ck_assert_msg(image_pull_start(store, &image, &ops, &pull, &err) == 0, "%s", err.msg);
    ck_assert(!o->done);
    return pull;
}

static struct image_pull *start(struct outcome *o, const size_t *which, size_t n) {
    return start_from("reg.example", o, which, n);
}

static struct image_lease *pull(const size_t *which, size_t n) {
    struct outcome o;
    start(&o, which, n);
    wait_until(o.done);
    ck_assert_msg(o.lease != NULL, "%s", o.err.msg);
    return o.lease;
}

static size_t count_entries(const char *sub) {
    char path[128];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", dir, sub);
    DIR *d = opendir(path);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static struct image_store_stats stats(void) {
    struct image_store_stats st;
    image_store_stats(store, &st);
    return st;
}

static bool layer_there(size_t i) {
    char path[192];
    snprintf(path, sizeof path, "%s/layers/%s", dir, blobs[i].diff_id + 7);
    return access(path, F_OK) == 0;
}

/* --- pulling ---------------------------------------------------------------------------------- */

START_TEST(layers_come_in_order_and_once) {
    size_t all[] = {add_blob(1000), add_blob(200000), add_blob(10)};
    _cleanup_(image_lease_freep) struct image_lease *lease = pull(all, 3);
    ck_assert_uint_eq(lease->layer_count, 3);
    ck_assert_ptr_null(lease->layers[3]);
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        struct stat st;
        ck_assert_str_eq(lease->diff_ids[i], blobs[i].diff_id);
        snprintf(path, sizeof path, "%s/layers/%s", dir, blobs[i].diff_id + 7);
        ck_assert_str_eq(lease->layers[i], path);
        snprintf(path, sizeof path, "%s/f%zu", lease->layers[i], i);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_eq(stat(lease->layers[i], &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0755);
    }
    _cleanup_(image_lease_freep) struct image_lease *again = pull(all, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(opened(i), 1); /* the registry was not asked */
    ck_assert_uint_eq(again->bytes, lease->bytes);
    ck_assert_uint_eq(stats().pulls, 2);
    ck_assert_uint_eq(stats().layers, 3);
    ck_assert_uint_eq(stats().bytes, lease->bytes);
    ck_assert_uint_eq(count_entries("tmp"), 0);
}
END_TEST

START_TEST(the_cache_is_closed_to_others) {
    const char *subs[] = {"", "/layers", "/tmp"};
    for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", dir, subs[i]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0700);
    }
}
END_TEST

START_TEST(a_repeated_layer_stands_where_it_is_highest) {
    size_t all[] = {add_blob(10), add_blob(20), 0};
    _cleanup_(image_lease_freep) struct image_lease *lease = pull(all, 3);
    ck_assert_uint_eq(lease->layer_count, 2);
    ck_assert_str_eq(lease->diff_ids[0], blobs[1].diff_id);
    ck_assert_str_eq(lease->diff_ids[1], blobs[0].diff_id);
    ck_assert_uint_eq(opened(0), 1);
}
END_TEST

START_TEST(an_image_without_layers_is_ready_at_once) {
    _cleanup_(image_lease_freep) struct image_lease *lease = pull(NULL, 0);
    ck_assert_uint_eq(lease->layer_count, 0);
}
END_TEST

START_TEST(two_pulls_share_a_download) {
    size_t first[] = {add_blob(5000), add_blob(10)}, second[] = {0, add_blob(20)};
    struct outcome a, b;
    set_gate(0, true);
    start(&a, first, 2);
    start(&b, second, 2);
    wait_until(layer_there(1) && layer_there(2));
    ck_assert(!a.done && !b.done);
    set_gate(0, false);
    wait_until(a.done && b.done);
    ck_assert(a.lease && b.lease);
    ck_assert_uint_eq(opened(0), 1);
    image_lease_free(a.lease);
    image_lease_free(b.lease);
}
END_TEST

START_TEST(progress_counts_what_is_fetched) {
    size_t cached[] = {add_blob(50000)}, all[] = {0, add_blob(50000)};
    struct outcome o;
    image_lease_free(pull(cached, 1));
    set_gate(1, true);
    start(&o, all, 2);
    wait_until(o.told_total);
    ck_assert_uint_eq(o.told_total, blobs[1].bytes.n);
    ck_assert_uint_lt(o.told_done, o.told_total);
    set_gate(1, false);
    wait_until(o.done);
    image_lease_free(o.lease);
}
END_TEST

/* --- failing ---------------------------------------------------------------------------------- */

static void expect_failure(struct outcome *o, int code, const char *text) {
    wait_until(o->done);
    ck_assert_ptr_null(o->lease);
    ck_assert_msg(o->err.code == code, "%d: %s", o->err.code, o->err.msg);
    ck_assert_msg(strstr(o->err.msg, text), "\"%s\" does not say \"%s\"", o->err.msg, text);
    wait_until(count_entries("tmp") == 0);
}

START_TEST(a_wrong_diff_id_is_refused) {
    size_t all[] = {add_blob(100), add_blob(200)};
    struct outcome o;
    memset(blobs[1].diff_id + 7, 'a', 64);
    start(&o, all, 2);
    expect_failure(&o, -EBADMSG, "layer 2 of 2 (sha256:");
    ck_assert(strstr(o.err.msg, "config says"));
    ck_assert(!layer_there(1));
    ck_assert_uint_eq(stats().refused, 1);
}
END_TEST

START_TEST(a_hostile_layer_leaves_nothing) {
    struct blob *b = &blobs[add_blob(10)];
    _cleanup_(strbuf_fini) struct strbuf tar = {0};
    tar_add(&tar, (struct tar_entry){.name = "good", .data = "x", .n = 1});
    tar_add(&tar, (struct tar_entry){.name = "../evil", .data = "x", .n = 1});
    tar_end(&tar);
    strbuf_clear(&b->bytes);
    compress_to(&b->bytes, ZSTD, tar.p, tar.n);
    digest_of(tar.p, tar.n, b->diff_id);
    struct outcome o;
    size_t all[] = {0};
    start(&o, all, 1);
    expect_failure(&o, -EBADMSG, "entry ../evil");
    ck_assert_uint_eq(count_entries("layers"), 0);
}
END_TEST

START_TEST(bombs_are_refused) {
    size_t all[] = {add_blob(100 << 20)}; /* of one byte: gzip makes it 1000 times smaller */
    struct outcome o;
    start(&o, all, 1);
    expect_failure(&o, -EFBIG, "decompresses to more than 200 times its size");
    limits.max_ratio = 0;
    limits.max_layer_bytes = 50 << 20;
    reopen_store();
    start(&o, all, 1);
    expect_failure(&o, -EFBIG, "larger than the 52428800 bytes allowed");
    ck_assert_uint_eq(stats().layers, 0);
}
END_TEST

START_TEST(layers_small_enough_can_be_an_image_too_large) {
    limits.max_image_bytes = 1 << 20;
    reopen_store();
    size_t all[] = {add_blob(600000), add_blob(600001)};
    struct outcome o;
    start(&o, all, 2);
    expect_failure(&o, -EFBIG, "the image is larger than the 1048576 bytes");
    start(&o, all, 2); /* also when they are there */
    expect_failure(&o, -EFBIG, "the image is larger");
}
END_TEST

START_TEST(a_failing_layer_stops_its_siblings) {
    size_t all[] = {add_blob(5000), add_blob(10)};
    struct outcome o;
    set_gate(0, true); /* would never end */
    blobs[1].fail = -EACCES;
    start(&o, all, 2);
    expect_failure(&o, -EACCES, "layer 2 of 2");
    ck_assert_uint_eq(stats().layers, 0);
}
END_TEST

START_TEST(a_sibling_that_another_pull_needs_goes_on) {
    size_t failing[] = {add_blob(5000), add_blob(10)}, other[] = {0};
    struct outcome a, b;
    set_gate(0, true);
    blobs[1].fail = -ENOENT;
    start(&b, other, 1);
    start(&a, failing, 2);
    wait_until(a.done);
    ck_assert_ptr_null(a.lease);
    ck_assert(!b.done);
    set_gate(0, false);
    wait_until(b.done);
    ck_assert_ptr_nonnull(b.lease);
    ck_assert_uint_eq(opened(0), 1);
    image_lease_free(b.lease);
}
END_TEST

START_TEST(another_apps_dead_registry_fails_only_that_app) {
    limits.threads = 1;
    reopen_store();
    size_t one[] = {add_blob(5000)}, blocker[] = {add_blob(6000)};
    struct outcome x, a, b;
    set_gate(1, true); /* keeps the only thread busy, so that both wait for the same fetch */
    start(&x, blocker, 1);
    start_from("dead", &a, one, 1);
    start(&b, one, 1);
    set_gate(1, false);
    wait_until(a.done && b.done && x.done);
    ck_assert_ptr_null(a.lease);
    ck_assert_int_eq(a.err.code, -ECONNREFUSED);
    ck_assert_ptr_nonnull(b.lease);
    image_lease_free(b.lease);
    image_lease_free(x.lease);
}
END_TEST

START_TEST(a_malformed_image_is_refused_at_once) {
    struct image_pull_ops ops = {on_progress, on_done, NULL};
    struct image_pull *p = NULL;
    const char *bad[] = {"", "sha256:", "sha256:../../../etc", "sha512:00", "0123"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        Berth__Image image = BERTH__IMAGE__INIT;
        Berth__Layer layer = BERTH__LAYER__INIT, *list[] = {&layer};
        struct error err = {0};
        size_t blob = add_blob(10);
        layer.digest = blobs[blob].digest;
        layer.diff_id = (char *)bad[i];
        image.layers = list;
        image.n_layers = 1;
        ck_assert_int_eq(image_pull_start(store, &image, &ops, &p, &err), -EBADMSG);
    }
    ck_assert_ptr_null(p);
}
END_TEST

START_TEST(a_full_disk_is_said_and_nothing_stays) {
    image_store_free(store);
    store = NULL;
    ck_assert_int_eq(mount("tmpfs", dir, "tmpfs", 0, "size=1m"), 0);
    open_store();
    size_t big[] = {add_blob(3 << 20)}, small[] = {add_blob(1000)};
    struct outcome o;
    start(&o, big, 1);
    wait_until(o.done);
    wait_until(count_entries("tmp") == 0);
    struct outcome fine;
    start(&fine, small, 1); /* there is room again */
    wait_until(fine.done);
    image_lease_free(fine.lease);
    size_t layers = count_entries("layers");
    image_store_free(store);
    store = NULL;
    umount2(dir, MNT_DETACH);
    open_store();
    ck_assert_int_eq(o.err.code, -ENOSPC);
    ck_assert_msg(strstr(o.err.msg, "No space left"), "%s", o.err.msg);
    ck_assert_ptr_nonnull(fine.lease);
    ck_assert_uint_eq(layers, 1);
}
END_TEST

/* --- cancelling ------------------------------------------------------------------------------- */

START_TEST(cancelling_is_prompt_and_silent) {
    size_t all[] = {add_blob(5000), add_blob(6000), add_blob(7000)};
    struct outcome o;
    for (size_t i = 0; i < 3; i++)
        set_gate(i, true);
    struct image_pull *p = start(&o, all, 3);
    wait_until(opened(0) && opened(1));
    image_pull_cancel(p);
    wait_until(count_entries("tmp") == 0);
    ck_assert(!o.done);
    for (size_t i = 0; i < 3; i++)
        set_gate(i, false);
    image_lease_free(pull(all, 3)); /* as if nothing had been */
    ck_assert(!o.done);
}
END_TEST

START_TEST(cancelling_one_of_two_leaves_the_other) {
    size_t all[] = {add_blob(5000)};
    struct outcome a, b;
    set_gate(0, true);
    struct image_pull *p = start(&a, all, 1);
    start(&b, all, 1);
    wait_until(opened(0));
    image_pull_cancel(p);
    set_gate(0, false);
    wait_until(b.done);
    ck_assert(b.lease && !a.done);
    ck_assert_uint_eq(opened(0), 1);
    image_lease_free(b.lease);
}
END_TEST

START_TEST(a_cancelled_pull_that_was_ready_gives_its_layers_back) {
    size_t all[] = {add_blob(5000)};
    struct outcome o;
    image_lease_free(pull(all, 1));
    image_pull_cancel(start(&o, all, 1));
    event_base_loop(loop, EVLOOP_NONBLOCK);
    ck_assert(!o.done);
    limits.cache_bytes = 1;
    reopen_store();
    image_lease_free(pull(all, 1));
    wait_until(!layer_there(0));
}
END_TEST

/* --- keeping and collecting ------------------------------------------------------------------- */

START_TEST(layers_outlive_the_store_and_can_be_adopted) {
    size_t all[] = {add_blob(100), add_blob(200)};
    struct error err = {0};
    image_lease_free(pull(all, 2));
    struct image_store_stats was = stats();
    reopen_store();
    ck_assert_uint_eq(stats().layers, 2);
    ck_assert_uint_eq(stats().bytes, was.bytes);
    const char *ids[] = {blobs[0].diff_id, blobs[1].diff_id};
    struct image_lease *lease = NULL;
    ck_assert_int_eq(image_lease_adopt(store, ids, 2, &lease, &err), 0);
    ck_assert_uint_eq(lease->layer_count, 2);
    ck_assert_uint_eq(lease->bytes, was.bytes);
    image_lease_free(lease);
    const char *missing[] = {
        blobs[0].diff_id,
        "sha256:0000000000000000000000000000000000000000000000000000000000000000"};
    lease = NULL;
    ck_assert_int_eq(image_lease_adopt(store, missing, 2, &lease, &err), -ENOENT);
    const char *malformed[] = {"../../../etc"};
    ck_assert_int_eq(image_lease_adopt(store, malformed, 1, &lease, &err), -ENOENT);
    ck_assert_ptr_null(lease);
}
END_TEST

START_TEST(the_longest_unused_go_first_and_never_what_is_leased) {
    size_t a[] = {add_blob(100000)}, b[] = {add_blob(100001)}, c[] = {add_blob(100002)},
           d[] = {add_blob(100003)};
    image_lease_free(pull(a, 1));
    uint64_t one = stats().bytes;
    image_lease_free(pull(b, 1));
    struct image_lease *in_use = pull(a, 1); /* now b is the one longest unused */
    limits.cache_bytes = 2 * one;
    image_lease_free(in_use);
    reopen_store(); /* with the limit; the order is remembered */
    in_use = pull(a, 1);
    struct image_lease *second = pull(c, 1);
    wait_until(!layer_there(1));
    ck_assert(layer_there(0) && layer_there(2));
    struct image_lease *third = pull(d, 1); /* too much, but all in use */
    ck_assert(layer_there(0) && layer_there(2) && layer_there(3));
    image_lease_free(second);
    wait_until(!layer_there(2));
    ck_assert(layer_there(0) && layer_there(3));
    ck_assert_uint_eq(stats().collected, 2);
    ck_assert_uint_eq(stats().bytes, 2 * one);
    image_lease_free(in_use);
    image_lease_free(third);
    wait_until(count_entries("tmp") == 0);
}
END_TEST

static void make_dir(const char *path) {
    char full[256];
    snprintf(full, sizeof full, "%s/%s", dir, path);
    ck_assert_int_eq(mkdir(full, 0755), 0);
}

START_TEST(leftovers_are_removed_at_start) {
    size_t all[] = {add_blob(100)};
    image_lease_free(pull(all, 1));
    image_store_free(store);
    store = NULL;
    make_dir("tmp/unfinished");
    make_dir("tmp/unfinished/deep");
    make_dir("layers/0000000000000000000000000000000000000000000000000000000000000000");
    make_dir("layers/odd");
    open_store();
    wait_until(count_entries("tmp") == 0);
    ck_assert_uint_eq(count_entries("layers"), 1);
    ck_assert_uint_eq(stats().layers, 1);
}
END_TEST

static void set_mark(size_t i, const char *text) {
    char path[192];
    snprintf(path, sizeof path, "%s/layers/%s", dir, blobs[i].diff_id + 7);
    ck_assert_int_eq(setxattr(path, "trusted.berth.layer", text, strlen(text), 0), 0);
}

static bool is_durable(size_t i) {
    char path[192], text[200] = "";
    snprintf(path, sizeof path, "%s/layers/%s", dir, blobs[i].diff_id + 7);
    ck_assert_int_gt(getxattr(path, "trusted.berth.layer", text, sizeof text - 1), 0);
    return str_ends(text, " -");
}

START_TEST(layers_not_known_to_be_on_disk_do_not_survive_a_reboot) {
    size_t all[] = {add_blob(100), add_blob(200), add_blob(300)};
    image_lease_free(pull(all, 3));
    ck_assert(!is_durable(0));
    image_store_free(store);
    store = NULL;
    set_mark(0, "1 100 200 1 00000000-0000-0000-0000-000000000000");
    set_mark(1, "1 100 200 1 -");
    set_mark(2, "damaged");
    open_store();
    ck_assert(!layer_there(0) && layer_there(1) && !layer_there(2));
    ck_assert_uint_eq(stats().bytes, 100);
}
END_TEST

START_TEST(layers_become_durable_in_the_background) {
    size_t all[] = {add_blob(100)};
    image_lease_free(pull(all, 1));
    wait_until(is_durable(0)); /* seconds later: the slowest test here */
    reopen_store();
    ck_assert_uint_eq(stats().layers, 1);
}
END_TEST

START_TEST(a_directory_has_one_store) {
    const struct layer_source source = {open_blob, read_blob, close_blob, blame, NULL};
    struct image_store *other = NULL;
    struct error err = {0};
    ck_assert_int_eq(image_store_new_from(&other, loop, dir, &source, false, &limits, &err),
                     -EBUSY);
    ck_assert_ptr_null(other);
}
END_TEST

/* --- blobs for other cells -------------------------------------------------------------------- */

static bool blob_there(size_t i) {
    char path[192];
    snprintf(path, sizeof path, "%s/blobs/%s", dir, blobs[i].digest + 7);
    return access(path, F_OK) == 0;
}

static bool blob_is_right(size_t i) {
    char name[192], found[72];
    _cleanup_(freep) char *bytes = NULL;
    size_t n = 0;
    snprintf(name, sizeof name, "%s/blobs/%s", dir, blobs[i].digest + 7);
    if (fs_read(AT_FDCWD, name, 1 << 24, &bytes, &n, NULL) < 0)
        return false;
    digest_of(bytes, n, found);
    return str_eq(found, blobs[i].digest);
}

static void keep_blobs(void) {
    keeps_blobs = true;
    reopen_store();
}

static void keep(const size_t *which, size_t n) {
    struct image_keep list[BLOBS];
    for (size_t i = 0; i < n; i++) {
        strcpy(list[i].digest, blobs[which[i]].digest);
        list[i].size = blobs[which[i]].bytes.n;
    }
    ck_assert_int_eq(image_store_keep(store, list, n), 0);
}

static char changes[4096];
static void on_change(void *data, enum image_kind kind, const char *hex, bool there) {
    (void)data;
    for (size_t i = 0; i < blob_count; i++)
        if (str_eq(hex, (kind == IMAGE_BLOB ? blobs[i].digest : blobs[i].diff_id) + 7))
            sprintf(changes + strlen(changes), "%c%c%zu ", there ? '+' : '-',
                    kind == IMAGE_BLOB ? 'b' : 't', i);
}

static const Berth__Image *image_with(void *data, const char *digest) {
    static Berth__Image image;
    (void)data;
    berth__image__init(&image);
    image.registry = (char *)"reg.example";
    image.repository = (char *)"library/test";
    return str_eq(digest, blobs[0].digest) ? &image : NULL;
}

static void watch(void) {
    const struct image_store_ops ops = {on_change, image_with, NULL};
    changes[0] = 0;
    image_store_set_ops(store, &ops);
}

START_TEST(what_is_pulled_is_kept_for_others_where_others_ask) {
    size_t all[] = {add_blob(1000), add_blob(300000)};
    image_lease_free(pull(all, 2));
    ck_assert_uint_eq(count_entries("blobs"), 0); /* nobody asks a cell alone */
    keep_blobs();
    watch();
    size_t more[] = {add_blob(2000), add_blob(300000)};
    image_lease_free(pull(more, 2));
    ck_assert(blob_is_right(2) && blob_is_right(3));
    ck_assert_uint_eq(stats().blobs, 2);
    ck_assert_uint_eq(stats().layers, 4);
    ck_assert_uint_ge(stats().bytes, blobs[2].bytes.n + blobs[3].bytes.n);
    ck_assert(strstr(changes, "+t0 ") && strstr(changes, "+t1 ") && strstr(changes, "+b2 ") &&
              strstr(changes, "+t2 ") && !strstr(changes, "+b0"));
    uint64_t bytes = stats().bytes;
    reopen_store();
    watch();
    ck_assert_uint_eq(stats().blobs, 2);
    ck_assert_uint_eq(stats().bytes, bytes);
    ck_assert_ptr_nonnull(strstr(changes, "+b3 "));
    ck_assert_uint_eq(count_entries("tmp"), 0);
}
END_TEST

START_TEST(a_refused_layer_leaves_no_blob) {
    keep_blobs();
    size_t all[] = {add_blob(1000)};
    struct outcome o;
    memset(blobs[0].diff_id + 7, '0', 64);
    start(&o, all, 1);
    wait_until(o.done);
    ck_assert_ptr_null(o.lease);
    ck_assert_uint_eq(count_entries("blobs"), 0);
    wait_until(count_entries("tmp") == 0);
}
END_TEST

START_TEST(wrong_content_is_fetched_again_when_somebody_else_may_have_it_right) {
    keep_blobs();
    size_t all[] = {add_blob(1000)};
    struct outcome o;
    memset(blobs[0].diff_id + 7, '0', 64);
    content_is_blamed = true;
    start(&o, all, 1);
    wait_until(o.done);
    ck_assert_int_eq(o.err.code, -EBADMSG);
    ck_assert_uint_eq(opened(0), 2);
    wait_until(count_entries("tmp") == 0);
}
END_TEST

START_TEST(a_pull_that_is_cancelled_makes_no_other_try) {
    keep_blobs();
    size_t all[] = {add_blob(100000)};
    struct outcome o;
    set_gate(0, true);
    content_is_blamed = true;
    struct image_pull *p = start(&o, all, 1);
    wait_until(opened(0) == 1);
    image_pull_cancel(p);
    wait_until(count_entries("tmp") == 0);
    ck_assert_uint_eq(opened(0), 1);
    ck_assert_uint_eq(count_entries("blobs"), 0);
}
END_TEST

START_TEST(blobs_go_before_layers_unless_they_must_be_kept) {
    keep_blobs();
    size_t all[] = {add_blob(300000), add_blob(300001), add_blob(300002)};
    struct image_lease *lease = pull(all, 2);
    uint64_t trees = lease->bytes;
    image_lease_free(lease);
    limits.cache_bytes = trees + blobs[0].bytes.n / 2;
    reopen_store();
    const char *ids[] = {blobs[0].diff_id, blobs[1].diff_id};
    ck_assert_int_eq(image_lease_adopt(store, ids, 2, &lease, NULL), 0);
    image_lease_free(pull(all + 2, 1)); /* collects: unused layers, but no blob before it is told */
    ck_assert(blob_there(0) && blob_there(1) && blob_there(2));
    ck_assert(layer_there(0) && layer_there(1));
    keep(all, 1);
    image_lease_free(pull(all + 2, 1));
    wait_until(!blob_there(1) && !blob_there(2) && !layer_there(2));
    ck_assert(blob_there(0) && layer_there(0) && layer_there(1));
    image_lease_free(lease);
    wait_until(!layer_there(0) || !layer_there(1));
    ck_assert(blob_there(0));
    wait_until(count_entries("tmp") == 0);
}
END_TEST

START_TEST(what_must_be_kept_is_fetched_and_not_unpacked) {
    keep_blobs();
    watch();
    size_t all[] = {add_blob(1000), add_blob(2000)};
    keep(all, 2);
    wait_until(stats().keep_missing == 0);
    ck_assert(blob_is_right(0) && blob_is_right(1));
    ck_assert_uint_eq(stats().layers, 0);
    ck_assert_uint_eq(stats().keep, 2);
    ck_assert_str_eq(changes, "+b0 +b1 ");
    keep(all, 1);
    ck_assert(blob_there(1)); /* it may go, but need not */
    image_lease_free(pull(all, 2));
    ck_assert_uint_eq(stats().layers, 2);
}
END_TEST

START_TEST(keeping_waits_while_an_app_waits_and_tries_again_after_a_failure) {
    keep_blobs();
    size_t all[] = {add_blob(100000), add_blob(1000)};
    struct outcome o;
    set_gate(0, true);
    start(&o, all, 1);
    wait_until(opened(0) == 1);
    keep(all + 1, 1);
    for (int i = 0; i < 50; i++) {
        event_base_loop(loop, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    ck_assert_uint_eq(opened(1), 0);
    blobs[1].fail = -ECONNREFUSED;
    set_gate(0, false);
    wait_until(o.done && opened(1) == 1);
    image_lease_free(o.lease);
    ck_assert_uint_eq(stats().keep_missing, 1);
    wait_until(count_entries("tmp") == 0);
    blobs[1].fail = 0;
    wait_until(stats().keep_missing == 0); /* seconds later */
    ck_assert(blob_is_right(1));
}
END_TEST

START_TEST(a_blob_that_lost_bytes_is_dropped_at_start) {
    keep_blobs();
    size_t all[] = {add_blob(1000), add_blob(2000)};
    image_lease_free(pull(all, 2));
    char path[192];
    snprintf(path, sizeof path, "%s/blobs/%s", dir, blobs[0].digest + 7);
    ck_assert_int_eq(truncate(path, 5), 0);
    reopen_store();
    ck_assert(!blob_there(0) && blob_there(1));
    ck_assert_uint_eq(stats().blobs, 1);
    wait_until(count_entries("tmp") == 0);
}
END_TEST

START_TEST(a_blob_that_rotted_is_fetched_anew) {
    keep_blobs();
    size_t all[] = {add_blob(1000), add_blob(2000)};
    image_lease_free(pull(all, 2));
    char path[192];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/blobs/%s", dir, blobs[i].digest + 7);
        int fd = open(path, O_WRONLY);
        ck_assert_int_eq(pwrite(fd, "X", 1, 5), 1);
        close(fd);
    }
    reopen_store(); /* what was there before is looked at soon */
    watch();
    keep(all + 1, 1);
    wait_until(stats().damaged == 1);
    wait_until(blob_is_right(1) && stats().keep_missing == 0);
    ck_assert_uint_eq(opened(1), 2);
    ck_assert_ptr_nonnull(strstr(changes, "-b1 +b1 "));
    ck_assert(blob_there(0) && !blob_is_right(0)); /* need not be here: nobody looks ... */
    image_store_doubt(store, blobs[0].digest + 7); /* ... until somebody complains */
    wait_until(stats().damaged == 2);
    ck_assert(!blob_there(0));
    wait_until(count_entries("tmp") == 0);
}
END_TEST

int main(void) {
    if (geteuid() != 0) {
        puts("image/store: skipped, owners and trusted attributes need root");
        return 77;
    }
    Suite *suite = suite_create("image/store");
    TCase *tcase = tcase_create("store");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    const TTest *const tests[] = {
        layers_come_in_order_and_once,
        the_cache_is_closed_to_others,
        a_repeated_layer_stands_where_it_is_highest,
        an_image_without_layers_is_ready_at_once,
        two_pulls_share_a_download,
        progress_counts_what_is_fetched,
        a_wrong_diff_id_is_refused,
        a_hostile_layer_leaves_nothing,
        bombs_are_refused,
        layers_small_enough_can_be_an_image_too_large,
        a_failing_layer_stops_its_siblings,
        a_sibling_that_another_pull_needs_goes_on,
        another_apps_dead_registry_fails_only_that_app,
        a_malformed_image_is_refused_at_once,
        a_full_disk_is_said_and_nothing_stays,
        cancelling_is_prompt_and_silent,
        cancelling_one_of_two_leaves_the_other,
        a_cancelled_pull_that_was_ready_gives_its_layers_back,
        layers_outlive_the_store_and_can_be_adopted,
        the_longest_unused_go_first_and_never_what_is_leased,
        leftovers_are_removed_at_start,
        layers_not_known_to_be_on_disk_do_not_survive_a_reboot,
        layers_become_durable_in_the_background,
        a_directory_has_one_store,
        what_is_pulled_is_kept_for_others_where_others_ask,
        a_refused_layer_leaves_no_blob,
        wrong_content_is_fetched_again_when_somebody_else_may_have_it_right,
        a_pull_that_is_cancelled_makes_no_other_try,
        blobs_go_before_layers_unless_they_must_be_kept,
        what_must_be_kept_is_fetched_and_not_unpacked,
        keeping_waits_while_an_app_waits_and_tries_again_after_a_failure,
        a_blob_that_lost_bytes_is_dropped_at_start,
        a_blob_that_rotted_is_fetched_anew,
    };
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
