#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/bus/hub.h"
#include "common/bus/node.h"

static char dir[64];

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-bus-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void) {
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
}

static const char *write_file(const char *text, mode_t mode) {
    static char path[96];
    snprintf(path, sizeof path, "%s/key", dir);
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, mode, text, strlen(text), NULL), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    return path;
}

#define ID  "000102030405060708090a0b0c0d0e0f"
#define KEY "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"

START_TEST(what_is_formatted_can_be_read) {
    uint8_t master[BUS_KEY_SIZE] = {1, 2, 3}, id[BUS_ID_SIZE] = {4, 5, 6};
    struct bus_identity made, read = {0};
    char line[128];
    ck_assert_int_eq(hub_derive_identity(master, 200, id, &made), 0);
    bus_identity_format(&made, line);
    struct error err = {0};
    int r = bus_identity_read(write_file(line, 0600), &read, &err);
    ck_assert_msg(r == 0, "%s", err.msg);
    ck_assert_uint_eq(read.gen, 200);
    ck_assert_mem_eq(read.id, made.id, sizeof made.id);
    ck_assert_mem_eq(read.key, made.key, sizeof made.key);
    ck_assert_mem_ne(read.key, master, sizeof master);
}
END_TEST

START_TEST(other_files_are_refused_without_telling_what_is_in_them) {
    static const struct {
        const char *text;
        int r;
    } rows[] = {
        {"berth-node-1 01 " ID " " KEY "\n", 0},
        {"berth-node-1 01 " ID " " KEY, 0},
        {"", -EINVAL},
        {"berth-node-1", -EINVAL},
        {"berth-node-2 01 " ID " " KEY, -EINVAL},
        {"berth-node-1 1 " ID " " KEY, -EINVAL},
        {"berth-node-1 01 " ID, -EINVAL},
        {"berth-node-1 01 " KEY " " ID, -EINVAL},
        {"berth-node-1 01 " ID " " KEY " more", -EINVAL},
        {"berth-node-1 01 " ID "  " KEY, -EINVAL},
        {"berth-node-1 01 " ID " " KEY "00", -EINVAL},
        {"berth-node-1 0g " ID " " KEY, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct bus_identity identity;
        struct error err = {0};
        int r = bus_identity_read(write_file(rows[i].text, 0600), &identity, &err);
        ck_assert_msg(r == rows[i].r, "row %zu: %d %s", i, r, err.msg);
        ck_assert_ptr_null(strstr(err.msg, "0a0b0c"));
    }
}
END_TEST

START_TEST(a_file_that_others_may_read_is_refused) {
    struct bus_identity identity;
    const char *path = write_file("berth-node-1 01 " ID " " KEY, 0640);
    ck_assert_int_eq(bus_identity_read(path, &identity, NULL), -EPERM);
    ck_assert_int_eq(bus_identity_read("/nowhere/key", &identity, NULL), -ENOENT);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("bus/identity");
    TCase *tcase = tcase_create("identity");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_is_formatted_can_be_read);
    tcase_add_test(tcase, other_files_are_refused_without_telling_what_is_in_them);
    tcase_add_test(tcase, a_file_that_others_may_read_is_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
