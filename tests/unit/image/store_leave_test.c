/* store_leave_test.c - for whom a layer in the cache is. */
#include "tests/unit/image/store_world.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "common/base/str.h"

static unsigned all_opened(void) {
    unsigned n = 0;
    for (size_t i = 0; i < blobs_made(); i++)
        n += opened(i);
    return n;
}

/* Pulls as an app of this repository does; returns how many layers its registry was asked for. */
static unsigned pull_as(char *of, char *with, const size_t *which, size_t n) {
    unsigned before = all_opened();
    repository = of;
    password = with;
    struct image_lease *lease = pull(which, n);
    ck_assert_uint_eq(lease->layer_count, n);
    image_lease_free(lease);
    repository = "library/test";
    password = "";
    return all_opened() - before;
}

START_TEST(a_layer_that_came_with_a_password_serves_its_own_repository_alone) {
    size_t all[] = {add_blob(1000), add_blob(2000)};
    ck_assert_uint_eq(pull_as("private/a", "secret", all, 2), 2);
    ck_assert_uint_eq(pull_as("private/a", "secret", all, 2), 0);
    ck_assert_uint_eq(pull_as("private/a", "revoked", all, 2), 0);
    ck_assert_uint_eq(pull_as("private/a", "", all, 2), 0); /* its package is gone */
    ck_assert_uint_eq(pull_as("private/b", "other", all, 2), 2);
    ck_assert_uint_eq(pull_as("public/c", "", all, 1), 1);
    ck_assert_uint_eq(pull_as("private/d", "another", all, 2), 1); /* 0 is everybody's by now */
    reopen_store();
    ck_assert_uint_eq(pull_as("private/a", "secret", all, 2), 0);
    ck_assert_uint_eq(pull_as("private/b", "other", all, 2), 0);
    ck_assert_uint_eq(pull_as("public/e", "", all, 2), 1);
    ck_assert_uint_eq(stats().layers, 2); /* once, whoever has it */
    wait_until(count_entries("tmp") == 0);
}
END_TEST

/* Its registry cannot give what it names: neither the tree nor the blob here is for it, whatever
 * blob it claims that the tree came from. */
START_TEST(who_only_names_a_layer_gets_nothing) {
    keep_blobs();
    size_t all[] = {add_blob(1000), add_blob(2000)}, mixed[] = {1};
    struct outcome o;
    ck_assert_uint_eq(pull_as("private/a", "secret", all, 2), 2);
    blobs[0].fail = -ENOENT;
    repository = "stolen";
    start(&o, all, 1);
    wait_until(o.done);
    ck_assert_ptr_null(o.lease);
    ck_assert_int_eq(o.err.code, -ENOENT);
    strcpy(blobs[1].diff_id, blobs[0].diff_id); /* its own blob, another's tree */
    start(&o, mixed, 1);
    wait_until(o.done);
    ck_assert_int_eq(o.err.code, -EBADMSG);
    repository = "library/test";
    blobs[0].fail = 0;
    ck_assert_uint_eq(pull_as("private/a", "secret", all, 1), 0);
    wait_until(count_entries("tmp") == 0);
}
END_TEST

START_TEST(who_waits_for_anothers_download_gets_it_only_if_it_is_for_him) {
    static char *const rows[][4] = {
        /* first of, with; then of, with */
        {"private/a", "secret", "private/a", "secret"},
        {"public/a", "", "public/b", ""},
        {"private/a", "secret", "public/b", ""},
        {"private/a", "secret", "private/b", "secret"},
    };
    static const unsigned fetched[] = {1, 1, 2, 2};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t one[] = {add_blob(100000 + i)};
        struct outcome a, b;
        set_gate(one[0], true);
        repository = rows[i][0];
        password = rows[i][1];
        start(&a, one, 1);
        wait_until(opened(one[0]) == 1);
        repository = rows[i][2];
        password = rows[i][3];
        start(&b, one, 1);
        set_gate(one[0], false);
        wait_until(a.done && b.done);
        ck_assert(a.lease && b.lease);
        image_lease_free(a.lease);
        image_lease_free(b.lease);
        ck_assert_uint_eq(opened(one[0]), fetched[i]);
    }
    repository = "library/test";
    password = "";
}
END_TEST

START_TEST(others_are_told_for_whom_a_layer_is_here) {
    keep_blobs();
    watch();
    size_t one[] = {add_blob(1000)};
    pull_as("private/a", "secret", one, 1);
    ck_assert_str_eq(changes, "+b0:private/a +t0:private/a ");
    changes[0] = 0;
    pull_as("private/b", "secret", one, 1);
    ck_assert_str_eq(changes, "+b0:private/b +t0:private/b ");
    reopen_store();
    watch();
    ck_assert_ptr_nonnull(strstr(changes, "+b0:private/a +b0:private/b "));
    ck_assert_ptr_nonnull(strstr(changes, "+t0:private/a +t0:private/b "));
    changes[0] = 0;
    pull_as("library/test", "", one, 1);
    ck_assert_str_eq(changes, "+b0 -b0:private/a -b0:private/b +t0 -t0:private/a -t0:private/b ");
}
END_TEST

START_TEST(a_blob_is_kept_for_each_repository_that_it_must_be_kept_for) {
    keep_blobs();
    watch();
    size_t one[] = {add_blob(1000)};
    pull_as("private/a", "secret", one, 1);
    keep(one, 1); /* for library/test */
    ck_assert_uint_eq(stats().keep_missing, 1);
    wait_until(stats().keep_missing == 0);
    ck_assert_uint_eq(opened(0), 2);
    ck_assert_uint_eq(stats().blobs, 1);
    wait_until(count_entries("tmp") == 0);
}
END_TEST

/* As an agent of before left it, or a crash. */
START_TEST(a_layer_of_unknown_origin_is_shown_again) {
    char path[192];
    size_t one[] = {add_blob(1000)};
    pull_as("library/test", "", one, 1);
    snprintf(path, sizeof path, "%s/layers/%s", dir, blobs[0].diff_id + 7);
    ck_assert_int_eq(removexattr(path, "trusted.berth.for"), 0);
    reopen_store();
    ck_assert_uint_eq(pull_as("library/test", "", one, 1), 1);
    ck_assert_uint_eq(pull_as("library/test", "", one, 1), 0);
    wait_until(count_entries("tmp") == 0);
    reopen_store();
    ck_assert_uint_eq(pull_as("library/test", "", one, 1), 0);
}
END_TEST

/* More than there is room for: the oldest must show it again, nobody else. */
START_TEST(a_layer_of_many_repositories_forgets_the_oldest) {
    size_t one[] = {add_blob(1000)};
    char names[66][16];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(names[i], sizeof names[i], "private/%zu", i);
        ck_assert_uint_eq(pull_as(names[i], "secret", one, 1), 1);
    }
    ck_assert_uint_eq(pull_as(names[2], "secret", one, 1), 0);
    ck_assert_uint_eq(pull_as(names[65], "secret", one, 1), 0);
    ck_assert_uint_eq(pull_as(names[0], "secret", one, 1), 1);
    wait_until(count_entries("tmp") == 0);
    reopen_store();
    ck_assert_uint_eq(pull_as(names[65], "secret", one, 1), 0);
    ck_assert_uint_eq(pull_as(names[1], "secret", one, 1), 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_layer_that_came_with_a_password_serves_its_own_repository_alone,
        who_only_names_a_layer_gets_nothing,
        who_waits_for_anothers_download_gets_it_only_if_it_is_for_him,
        others_are_told_for_whom_a_layer_is_here,
        a_blob_is_kept_for_each_repository_that_it_must_be_kept_for,
        a_layer_of_unknown_origin_is_shown_again,
        a_layer_of_many_repositories_forgets_the_oldest,
    };
    return run_store_tests("image/store_leave", tests, ARRAY_SIZE(tests));
}
