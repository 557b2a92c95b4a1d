/* store_test.c - the layer cache: pulling, failing, cancelling, keeping and collecting. */
#include "tests/unit/image/store_world.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/base/str.h"

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
    close_store();
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
    close_store();
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
    close_store();
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
    close_store();
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
    struct image_store *other = NULL;
    struct error err = {0};
    ck_assert_int_eq(
        image_store_new_from(&other, loop, dir, &registry_in_memory, false, &limits, &err), -EBUSY);
    ck_assert_ptr_null(other);
}
END_TEST

int main(void) {
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
    };
    return run_store_tests("image/store", tests, ARRAY_SIZE(tests));
}
