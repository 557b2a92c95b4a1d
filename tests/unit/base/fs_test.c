#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

static char dir[64];
static int fd;

static void set_up(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-fs-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY);
}

static void tear_down(void) {
    struct error err = {0};
    close(fd);
    ck_assert_msg(fs_remove_tree(AT_FDCWD, dir, &err) == 0, "%s", err.msg);
    ck_assert_int_lt(access(dir, F_OK), 0);
}

START_TEST(what_is_written_is_read) {
    struct error err = {0};
    _cleanup_(freep) char *text = NULL;
    size_t n = 0;
    ck_assert_int_eq(fs_write_atomic(fd, "f", 0640, "hello", 5, &err), 0);
    ck_assert_int_eq(fs_write_quick(fd, "f", 0600, "world!", 6, &err), 0);
    ck_assert_int_eq(fs_read(fd, "f", 100, &text, &n, &err), 0);
    ck_assert_uint_eq(n, 6);
    ck_assert_str_eq(text, "world!");
    ck_assert_int_lt(faccessat(fd, "f.tmp", F_OK, 0), 0);
    char *untouched = NULL;
    ck_assert_int_eq(fs_read(fd, "f", 5, &untouched, &n, &err), -EFBIG);
    ck_assert_int_eq(fs_read(fd, "none", 5, &untouched, &n, &err), -ENOENT);
    ck_assert_ptr_null(untouched);
}
END_TEST

START_TEST(a_failed_write_keeps_the_old_file) {
    struct error err = {0};
    ck_assert_int_eq(fs_write_atomic(fd, "f", 0600, "old", 3, &err), 0);
    ck_assert_int_eq(mkdirat(fd, "f.tmp", 0700), 0);
    ck_assert_int_lt(fs_write_atomic(fd, "f", 0600, "new", 3, &err), 0);
    _cleanup_(freep) char *text = NULL;
    ck_assert_int_eq(fs_read(fd, "f", 100, &text, NULL, &err), 0);
    ck_assert_str_eq(text, "old");
}
END_TEST

START_TEST(trees_are_made_and_removed_without_following_links) {
    struct error err = {0};
    ck_assert_int_eq(fs_mkdirs(fd, "a/b/c", 0755, &err), 0);
    ck_assert_int_eq(fs_mkdirs(fd, "a/b", 0755, &err), 0);
    ck_assert_int_eq(fs_write_quick(fd, "keep", 0600, "k", 1, &err), 0);
    ck_assert_int_eq(symlinkat("../../keep", fd, "a/b/link"), 0);
    ck_assert_int_eq(fs_mkdirs(fd, "keep/x", 0755, &err), -ENOTDIR);
    ck_assert_int_eq(fs_remove_tree(fd, "a", &err), 0);
    ck_assert_int_eq(fs_remove_tree(fd, "a", &err), 0);
    ck_assert_int_eq(faccessat(fd, "keep", F_OK, 0), 0);
}
END_TEST

START_TEST(secrets_must_be_private) {
    struct error err = {0};
    char path[128];
    char *text = NULL;
    snprintf(path, sizeof path, "%s/secret", dir);
    ck_assert_int_eq(fs_write_atomic(AT_FDCWD, path, 0644, "s3cret\n", 7, &err), 0);
    ck_assert_int_eq(fs_read_secret(path, &text, &err), -EPERM);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(fs_read_secret(path, &text, &err), 0);
    ck_assert_str_eq(text, "s3cret");
    free(text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base/fs");
    TCase *tcase = tcase_create("fs");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_written_is_read);
    tcase_add_test(tcase, a_failed_write_keeps_the_old_file);
    tcase_add_test(tcase, trees_are_made_and_removed_without_following_links);
    tcase_add_test(tcase, secrets_must_be_private);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
