#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/config.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct target {
    char *listen;
    bool verbose;
    uint64_t threads, memory;
    char sections[128];
};

static int on_registry(void *target, const char *name, const char *key, const char *value,
                       struct error *err) {
    struct target *t = target;
    if (!str_eq(key, "mirror"))
        return error_set(err, -EINVAL, "unknown key \"%s\"", key);
    size_t n = strlen(t->sections);
    snprintf(t->sections + n, sizeof t->sections - n, "%s>%s;", name, value);
    return 0;
}

static const struct option options[] = {
    {"listen_address", OPTION_STRING, offsetof(struct target, listen), .required = true,
     .help = "a"},
    {"verbose", OPTION_BOOL, offsetof(struct target, verbose), "false", .help = "b"},
    {"threads", OPTION_U64, offsetof(struct target, threads), "2", 1, 64, .help = "c"},
    {"memory", OPTION_BYTES, offsetof(struct target, memory), "1G", .help = "d"},
};
static const struct config_section sections[] = {{"registry", on_registry}};
static const struct config_spec spec = {"test",   "a test", options, ARRAY_SIZE(options),
                                        sections, 1};

static int load(struct target *t, const char *file, const char *arg, struct error *err) {
    char path[] = "/tmp/berth-config-XXXXXX";
    close(mkstemp(path));
    ck_assert_int_eq(fs_write_atomic(AT_FDCWD, path, 0600, file, strlen(file), err), 0);
    char *argv[] = {(char *)"test", (char *)"--config", path, (char *)arg, NULL};
    int r = config_load(&spec, t, arg ? 4 : 3, argv, err);
    unlink(path);
    return r;
}

START_TEST(file_defaults_sections_and_command_line) {
    struct target t = {0};
    struct error err = {0};
    int r =
        load(&t, "listen-address = 127.0.0.1:1\nthreads = 4\n[registry docker.io]\nmirror = m\n",
             "--threads=8", &err);
    ck_assert_msg(r == CONFIG_RUN, "%s", err.msg);
    ck_assert_str_eq(t.listen, "127.0.0.1:1");
    ck_assert_uint_eq(t.threads, 8);
    ck_assert_uint_eq(t.memory, 1u << 30);
    ck_assert_str_eq(t.sections, "docker.io>m;");
    config_free_strings(&spec, &t);
    ck_assert_ptr_null(t.listen);
}
END_TEST

START_TEST(mistakes_are_named) {
    static const struct {
        const char *file, *arg, *text;
    } rows[] = {
        {"listen_address = a\ntreads = 4\n", NULL, "unknown key \"treads\""},
        {"listen_address = a\nthreads = 99\n", NULL, "outside 1..64"},
        {"listen_address = a\nthreads = x\n", NULL, "not a number"},
        {"listen_address = a\nverbose = maybe\n", NULL, "not true or false"},
        {"listen_address = a\n[registry x]\nfoo = 1\n", NULL, "unknown key \"foo\""},
        {"listen_address = a\n[other x]\nfoo = 1\n", NULL, "unknown section"},
        {"threads = 4\n", NULL, "must be set"},
        {"listen_address = a\n", "--nothing=1", "unknown option --nothing"},
        {"listen_address = a\n", "stray", "--key=value"},
        {"listen_address = a\n", "--threads", "--key=value"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct target t = {0};
        struct error err = {0};
        ck_assert_int_lt(load(&t, rows[i].file, rows[i].arg, &err), 0);
        ck_assert_msg(strstr(err.msg, rows[i].text) != NULL, "row %zu: %s", i, err.msg);
        config_free_strings(&spec, &t);
    }
}
END_TEST

START_TEST(check_config_is_told) {
    struct target t = {0};
    struct error err = {0};
    ck_assert_int_eq(load(&t, "listen_address = a\n", "--check-config", &err), CONFIG_CHECK);
    config_free_strings(&spec, &t);
}
END_TEST

RUN_TESTS("base/config", file_defaults_sections_and_command_line, mistakes_are_named,
          check_config_is_told)
