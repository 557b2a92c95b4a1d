#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/container/beneath.h"
#include "cell/container/user.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { LIMIT = 65536 };

static char dir[64];
static int outside, root; /* the temporary directory, and the container's root in it */

static void put(int at, const char *path, const char *text) {
    unlinkat(at, path, 0);
    ck_assert_int_eq(fs_write_quick(at, path, 0644, text, strlen(text), NULL), 0);
}

static void set_up(void) {
    snprintf(dir, sizeof dir, "/tmp/container-user-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    outside = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(mkdirat(outside, "root", 0755), 0);
    root = openat(outside, "root", O_PATH | O_DIRECTORY);
    ck_assert_int_eq(mkdirat(root, "etc", 0755), 0);
    ck_assert_int_eq(mkdirat(root, "bin", 0755), 0);
    put(root, "etc/passwd",
        "# comment\n"
        "root:x:0:0:root:/root:/bin/sh\n"
        "broken\n"
        "bad:x:zero:0::/:/bin/sh\n"
        ":x:5:5::/:/bin/sh\n"
        "app:x:1000:1001:An App:/home/app:/bin/sh\n"
        "short:x:1002:1002\n"
        "relative:x:1003:1003::home:/bin/sh\n"
        "123:x:2000:2001::/home/digits:/bin/sh\n"
        "huge:x:70000:70000::/:/bin/sh\n"
        "last:x:1009:1009::/home/last:/bin/sh"); /* no newline */
    put(root, "etc/group",
        "root:x:0:\n"
        "app:x:1001:\n"
        "logs:x:3001:app,other\n"
        "wheel:x:10:other, app\n"
        "apps:x:3002:applet\n"
        "twice:x:3001:app\n"
        "staff:x:50:");
}

static void tear_down(void) {
    close(root);
    close(outside);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
}

START_TEST(every_form_is_understood) {
    static const struct {
        const char *text;
        unsigned uid, gid;
        const char *home;
        size_t groups;
    } rows[] = {
        {NULL, 0, 0, "/root", 1},
        {"", 0, 0, "/root", 1},
        {"root", 0, 0, "/root", 1},
        {"app", 1000, 1001, "/home/app", 3},
        {"app:", 1000, 1001, "/home/app", 3},
        {"1000", 1000, 1001, "/home/app", 3},
        {"app:staff", 1000, 50, "/home/app", 1},
        {"app:77", 1000, 77, "/home/app", 1},
        {"1000:staff", 1000, 50, "/home/app", 1},
        {"1000:0", 1000, 0, "/home/app", 1},
        {"4242", 4242, 0, "/", 1},
        {"4242:4343", 4242, 4343, "/", 1},
        {":staff", 0, 50, "/root", 1},
        {"short", 1002, 1002, "/", 1},
        {"relative", 1003, 1003, "/", 1},
        {"123", 2000, 2001, "/home/digits", 1}, /* a name first, as useradd(8) allows it */
        {"last", 1009, 1009, "/home/last", 1},
        {"65535", 65535, 0, "/", 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(user_fini) struct user u = {0};
        struct error err = {0};
        ck_assert_msg(user_lookup(root, rows[i].text, LIMIT, &u, &err) == 0, "%s: %s", rows[i].text,
                      err.msg);
        ck_assert_uint_eq(u.uid, rows[i].uid);
        ck_assert_uint_eq(u.gid, rows[i].gid);
        ck_assert_str_eq(u.home, rows[i].home);
        ck_assert_uint_eq(u.group_count, rows[i].groups);
    }
}
END_TEST

START_TEST(groups_are_all_that_list_the_user_and_its_own) {
    _cleanup_(user_fini) struct user u = {0};
    ck_assert_int_eq(user_lookup(root, "app", LIMIT, &u, NULL), 0);
    ck_assert_uint_eq(u.groups[0], 10);
    ck_assert_uint_eq(u.groups[1], 1001);
    ck_assert_uint_eq(u.groups[2], 3001);
}
END_TEST

START_TEST(what_is_not_there_is_said) {
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"nobody-there", "unable to find user nobody-there"},
        {"app:nogroup-there", "unable to find group nogroup-there"},
        {"70000", "outside of 0 to 65535"},
        {"huge", "unable to find user huge"},
        {"app:70000", "outside of 0 to 65535"},
        {"99999999999999999999", "outside of 0 to 65535"},
        {"-1", "unable to find user -1"},
        {"app:staff:x", "unable to find group staff:x"},
        {"app\nroot", "unable to find user"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct user u = {.uid = 7};
        struct error err = {0};
        ck_assert_int_eq(user_lookup(root, rows[i].text, LIMIT, &u, &err), -EINVAL);
        ck_assert_msg(strstr(err.msg, rows[i].says) != NULL, "%s: %s", rows[i].text, err.msg);
        ck_assert_uint_eq(u.uid, 7);
    }
}
END_TEST

START_TEST(an_image_without_tables_has_root_and_numbers) {
    _cleanup_(user_fini) struct user u = {0}, v = {0};
    struct user w;
    unlinkat(root, "etc/passwd", 0);
    unlinkat(root, "etc/group", 0);
    ck_assert_int_eq(user_lookup(root, "root", LIMIT, &u, NULL), 0);
    ck_assert_str_eq(u.home, "/");
    ck_assert_int_eq(user_lookup(root, "65534:65534", LIMIT, &v, NULL), 0);
    ck_assert_uint_eq(v.gid, 65534);
    ck_assert_int_eq(user_lookup(root, "app", LIMIT, &w, NULL), -EINVAL);
}
END_TEST

START_TEST(links_lead_nowhere_outside) {
    struct user u;
    /* outside the root there is a table that would make "app" root */
    ck_assert_int_eq(mkdirat(outside, "etc", 0755), 0);
    put(outside, "etc/passwd", "evil:x:0:0::/:/bin/sh\n");
    put(outside, "passwd", "evil:x:0:0::/:/bin/sh\n");
    static const char *const links[] = {"../../etc/passwd", "/../etc/passwd",
                                        "../../../../../../../../etc/passwd", "../../passwd"};
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        unlinkat(root, "etc/passwd", 0);
        ck_assert_int_eq(symlinkat(links[i], root, "etc/passwd"), 0);
        ck_assert_int_eq(user_lookup(root, "evil", LIMIT, &u, NULL), -EINVAL);
    }
    /* and a link within leads to what it names */
    unlinkat(root, "etc/passwd", 0);
    put(root, "bin/table", "inner:x:44:45::/in:/bin/sh\n");
    ck_assert_int_eq(symlinkat("/bin/table", root, "etc/passwd"), 0);
    ck_assert_int_eq(user_lookup(root, "inner", LIMIT, &u, NULL), 0);
    ck_assert_uint_eq(u.uid, 44);
    user_fini(&u);
}
END_TEST

START_TEST(odd_files_neither_block_nor_are_read) {
    struct user u;
    char *text = NULL;
    unlinkat(root, "etc/passwd", 0);
    ck_assert_int_eq(mkfifoat(root, "etc/passwd", 0644), 0);
    ck_assert_int_eq(user_lookup(root, "app", LIMIT, &u, NULL), -EINVAL);
    ck_assert_int_eq(beneath_read(root, "/etc/passwd", 100, &text, NULL), -EINVAL);
    ck_assert_int_eq(beneath_read(root, "/etc/group", 10, &text, NULL), -EFBIG);
    ck_assert_int_eq(beneath_read(root, "/etc/none", 10, &text, NULL), -ENOENT);
    unlinkat(root, "etc/passwd", 0);
    ck_assert_int_eq(symlinkat("/proc/self/environ", root, "etc/passwd"), 0);
    ck_assert_int_eq(beneath_read(root, "/etc/passwd", 100000, &text, NULL), -ENOENT);
    ck_assert_ptr_null(text);
}
END_TEST

START_TEST(directories_are_made_beneath_the_root) {
    struct stat st;
    struct error err = {0};
    ck_assert_int_eq(symlinkat("../..", root, "up"), 0);
    ck_assert_int_eq(beneath_mkdirs(root, "/a//b/./c/", getuid(), &err), 0);
    ck_assert_int_eq(fstatat(root, "a/b/c", &st, 0), 0);
    ck_assert_int_eq(beneath_mkdirs(root, "up/x/y", getuid(), &err), 0);
    ck_assert_int_eq(fstatat(root, "x/y", &st, 0), 0);
    ck_assert_int_lt(fstatat(outside, "x", &st, 0), 0);
    ck_assert_int_eq(beneath_mkdirs(root, "/etc/passwd/x", getuid(), &err), -EINVAL);
    ck_assert_int_eq(symlinkat("/nowhere", root, "dangling"), 0);
    ck_assert_int_eq(beneath_mkdirs(root, "/dangling/x", getuid(), &err), -EINVAL);
    ck_assert_int_eq(beneath_mkdirs(root, "/", getuid(), &err), 0);
}
END_TEST

START_TEST(put_replaces_and_follows_nothing) {
    struct stat st;
    char *text = NULL;
    put(outside, "victim", "mine");
    ck_assert_int_eq(symlinkat("../../victim", root, "etc/hosts"), 0);
    ck_assert_int_eq(beneath_put(root, "/etc", "hosts", "theirs", getuid(), NULL), 0);
    ck_assert_int_eq(fstatat(root, "etc/hosts", &st, AT_SYMLINK_NOFOLLOW), 0);
    ck_assert(S_ISREG(st.st_mode));
    ck_assert_int_eq(fs_read(outside, "victim", 10, &text, NULL, NULL), 0);
    ck_assert_str_eq(text, "mine");
    free(text);
    ck_assert_int_eq(mkdirat(root, "etc/hostname", 0755), 0);
    ck_assert_int_eq(beneath_put(root, "/etc", "hostname", "h", getuid(), NULL), -EINVAL);
    ck_assert_int_eq(beneath_put(root, "/new/etc", "hosts", "h", getuid(), NULL), 0);
}
END_TEST

START_TEST(commands_are_found_as_execvp_would) {
    put(root, "bin/tool", "#!");
    ck_assert_int_eq(fchmodat(root, "bin/tool", 0755, 0), 0);
    put(root, "etc/plain", "x");
    ck_assert_int_eq(symlinkat("../../../bin/tool", root, "etc/linked"), 0);
    static const struct {
        const char *name, *path, *cwd, *found, *says;
    } rows[] = {
        {"tool", "/etc:/bin", "/", "/bin/tool", NULL},
        {"tool", "bin", "/", "//bin/tool", NULL},
        {"tool", ":/nowhere", "/bin", "/bin//tool", NULL},
        {"linked", "/etc", "/", "/etc/linked", NULL},
        {"/bin/tool", "", "/", "/bin/tool", NULL},
        {"./tool", "/etc", "/bin", "/bin/./tool", NULL},
        {"../../../bin/tool", "", "/etc", "/etc/../../../bin/tool", NULL},
        {"none", "/etc:/bin", "/", NULL, "exec: \"none\": executable file not found in $PATH"},
        {"plain", "/etc:/bin", "/", NULL, "permission denied"},
        {"/etc/plain", "", "/", NULL, "permission denied"},
        {"/etc", "", "/", NULL, "is a directory"},
        {"/none", "", "/", NULL, "no such file or directory"},
        {"", "/bin", "/", NULL, "not found"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(freep) char *found = NULL;
        struct error err = {0};
        int r = beneath_find_command(root, rows[i].name, rows[i].path, rows[i].cwd, &found, &err);
        if (rows[i].found) {
            ck_assert_msg(r == 0, "%s: %s", rows[i].name, err.msg);
            ck_assert_str_eq(found, rows[i].found);
        } else {
            ck_assert_int_eq(r, -EINVAL);
            ck_assert(str_starts(err.msg, "Failed to resolve path: "));
            ck_assert_msg(strstr(err.msg, rows[i].says) != NULL, "%s", err.msg);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("container/user");
    TCase *tcase = tcase_create("user");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, every_form_is_understood);
    tcase_add_test(tcase, groups_are_all_that_list_the_user_and_its_own);
    tcase_add_test(tcase, what_is_not_there_is_said);
    tcase_add_test(tcase, an_image_without_tables_has_root_and_numbers);
    tcase_add_test(tcase, links_lead_nowhere_outside);
    tcase_add_test(tcase, odd_files_neither_block_nor_are_read);
    tcase_add_test(tcase, directories_are_made_beneath_the_root);
    tcase_add_test(tcase, put_replaces_and_follows_nothing);
    tcase_add_test(tcase, commands_are_found_as_execvp_would);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
