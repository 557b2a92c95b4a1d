/* store_blobs_test.c - the layer cache's blobs for other cells: what is kept, dropped and mended.
 */
#include "tests/unit/image/store_world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/str.h"

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

/* They may be the last two. */
START_TEST(a_full_disk_takes_nothing_that_must_be_kept) {
    limits.cache_bytes = 1 << 30;
    keep_blobs();
    size_t all[] = {add_blob(1000), add_blob(2000), add_blob(3000)};
    struct outcome o;
    image_lease_free(pull(all, 2));
    keep(all, 1);
    blobs[2].fail = -ENOSPC;
    start(&o, all + 2, 1);
    wait_until(o.done);
    ck_assert_int_eq(o.err.code, -ENOSPC);
    ck_assert(blob_there(0) && !blob_there(1) && !layer_there(0) && !layer_there(1));
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
    const TTest *const tests[] = {
        what_is_pulled_is_kept_for_others_where_others_ask,
        a_refused_layer_leaves_no_blob,
        wrong_content_is_fetched_again_when_somebody_else_may_have_it_right,
        a_pull_that_is_cancelled_makes_no_other_try,
        blobs_go_before_layers_unless_they_must_be_kept,
        a_full_disk_takes_nothing_that_must_be_kept,
        what_must_be_kept_is_fetched_and_not_unpacked,
        keeping_waits_while_an_app_waits_and_tries_again_after_a_failure,
        a_blob_that_lost_bytes_is_dropped_at_start,
        a_blob_that_rotted_is_fetched_anew,
    };
    return run_store_tests("image/store_blobs", tests, ARRAY_SIZE(tests));
}
