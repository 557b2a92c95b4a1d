#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/base/fs.h"
#include "controller/client/manifest.h"

static int load(struct manifest **m, const char *text, struct error *err) {
    char path[] = "/tmp/berth-manifest-XXXXXX";
    close(mkstemp(path));
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, text, strlen(text), err), 0);
    int r = manifest_load(m, path, err);
    unlink(path);
    return r;
}

START_TEST(flags_make_a_manifest) {
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    struct error err = {0};
    ck_assert_int_eq(manifest_load(&m, NULL, &err), 0);
    ck_assert_uint_eq(manifest_count(m), 0);
    ck_assert_int_eq(manifest_select(m, "app", &err), 0);
    ck_assert_int_eq(manifest_set(m, 0, "docker.image", "images/lattice-app", 1, &err), 0);
    ck_assert_int_eq(manifest_set(m, 0, "docker.username", "u", 1, &err), 0);
    ck_assert_int_eq(manifest_set(m, 0, "instances", "2", 0, &err), 0);
    ck_assert_int_eq(manifest_set_route(m, 0, "a.example", &err), 0);
    ck_assert_str_eq(manifest_get(m, 0, "docker.username"), "u");
    ck_assert_int_eq(manifest_print(m, &out, &err), 0);
    ck_assert_ptr_nonnull(strstr(out.p, "image: \"images/lattice-app\""));
    ck_assert_ptr_nonnull(strstr(out.p, "instances: 2\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "route: \"a.example\""));
}
END_TEST

START_TEST(flags_win_and_the_rest_stays) {
    _cleanup_(manifest_freep) struct manifest *m = NULL;
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    struct error err = {0};
    int r = load(&m,
                 "applications:\n- name: one\n  memory: 64M\n  env: {A: 1.10, B: \"2\"}\n- name: "
                 "two\n  docker: {image: x}\n",
                 &err);
    ck_assert_msg(r == 0, "%s", err.msg);
    ck_assert_int_eq(manifest_select(m, "three", &err), -ENOENT);
    ck_assert_int_eq(manifest_select(m, "one", &err), 0);
    ck_assert_uint_eq(manifest_count(m), 1);
    ck_assert_int_eq(manifest_set(m, 0, "memory", "128M", 0, &err), 0);
    ck_assert_ptr_null(manifest_get(m, 0, "docker.image"));
    ck_assert_int_eq(manifest_print(m, &out, &err), 0);
    ck_assert_ptr_nonnull(strstr(out.p, "memory: 128M"));
    ck_assert_ptr_null(strstr(out.p, "64M"));
    ck_assert_ptr_nonnull(strstr(out.p, "A: 1.10"));
    ck_assert_ptr_nonnull(strstr(out.p, "B: \"2\""));
    ck_assert_ptr_null(strstr(out.p, "two"));
}
END_TEST

START_TEST(what_is_no_manifest_is_refused) {
    static const char *const rows[] = {
        "", "- a\n", "applications: x\n", "applications:\n- x\n", "applications: [\n", "a: b\n"};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct manifest *m = NULL;
        struct error err = {0};
        ck_assert_msg(load(&m, rows[i], &err) == -EINVAL, "row %zu", i);
        ck_assert_ptr_null(m);
        ck_assert_uint_gt(strlen(err.msg), 0);
    }
}
END_TEST

RUN_TESTS("client/manifest", flags_make_a_manifest, flags_win_and_the_rest_stays,
          what_is_no_manifest_is_refused)
