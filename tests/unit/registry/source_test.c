#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/reach.h"
#include "common/registry/source.h"

static char dir[] = "/tmp/berth-source-XXXXXX";

static void setup(void) {
    struct error err = {0};
    char path[64];
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    static const struct {
        const char *name, *text;
        mode_t mode;
    } files[] = {{"secret", "pw1\n", 0600}, {"open", "pw2\n", 0644}, {"nonsense", "no PEM", 0644}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, files[i].mode, files[i].text,
                                        strlen(files[i].text), &err),
                         0);
    }
}

static void teardown(void) {
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

static int key(struct registry_config **list, const char *name, const char *k, const char *value,
               struct error *err) {
    char path[64];
    snprintf(path, sizeof path, "%s%s", *value == '/' ? dir : "", value);
    return registry_config_key(list, name, k, path, err);
}

static void find(const struct registry_config *list, const char *image, const char *username,
                 struct registry_sources *ret) {
    struct reference ref;
    struct registry_credentials credentials = {username, "user's own"};
    ck_assert_int_eq(reference_parse(image, &ref, NULL), 0);
    *ret = (struct registry_sources){0};
    ck_assert_int_eq(registry_sources_find(list, &ref, &credentials, ret), 0);
}

START_TEST(without_configuration_the_registry_itself_is_asked) {
    struct registry_sources s;
    find(NULL, "busybox", NULL, &s);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_str_eq(s.list[0].host, "registry-1.docker.io");
    ck_assert_ptr_null(s.list[0].username);
    ck_assert_ptr_null(s.list[0].ca_file);
    registry_sources_fini(&s);
    find(NULL, "reg.test:5000/a", "bob", &s);
    ck_assert_str_eq(s.list[0].host, "reg.test:5000");
    ck_assert_str_eq(s.list[0].username, "bob");
    registry_sources_fini(&s);
}
END_TEST

START_TEST(a_mirror_is_first_and_sees_its_own_credentials_only) {
    _cleanup_(registry_config_freep) struct registry_config *list = NULL;
    struct registry_sources s;
    struct error err = {0};
    ck_assert_msg(key(&list, "docker.io", "mirror", "https://127.0.0.1:5000", &err) == 0, "%s",
                  err.msg);
    ck_assert_int_eq(key(&list, "docker.io", "mirror_username", "m", &err), 0);
    ck_assert_int_eq(key(&list, "docker.io", "mirror_password_file", "/secret", &err), 0);
    ck_assert_int_eq(key(&list, "other.test", "username", "o", &err), 0);
    ck_assert_int_eq(key(&list, "other.test", "password_file", "/secret", &err), 0);
    ck_assert_int_eq(registry_config_check(list, &err), 0);
    find(list, "busybox", "bob", &s);
    ck_assert_uint_eq(s.count, 2);
    ck_assert(s.list[0].mirror);
    ck_assert_str_eq(s.list[0].host, "127.0.0.1:5000");
    ck_assert_str_eq(s.list[0].username, "m");
    ck_assert_str_eq(s.list[0].password, "pw1");
    ck_assert(!s.list[1].mirror);
    ck_assert_str_eq(s.list[1].username, "bob");
    ck_assert_str_eq(s.list[1].password, "user's own");
    registry_sources_fini(&s);
    find(list, "busybox", NULL, &s);
    ck_assert_ptr_null(s.list[1].username);
    registry_sources_fini(&s);
    find(list, "other.test/a", NULL, &s);
    ck_assert_str_eq(s.list[0].username, "o");
    ck_assert_str_eq(s.list[0].password, "pw1");
    registry_sources_fini(&s);
    find(list, "other.test/a", "bob", &s);
    ck_assert_str_eq(s.list[0].username, "bob");
    registry_sources_fini(&s);
}
END_TEST

START_TEST(mistakes_of_the_operator_are_named) {
    static const struct {
        const char *name, *key, *value, *text;
    } rows[] = {
        {"docker.io", "nothing", "x", "no key \"nothing\""},
        {"docker.io", "mirror", "", "no value"},
        {"docker.io", "mirror", "http://a", "must speak https"},
        {"docker.io", "mirror", "a/b", "HOST:PORT"},
        {"docker.io", "mirror", "a:0", "HOST:PORT"},
        {"docker.io", "ca", "/missing", "No such file"},
        {"docker.io", "ca", "/nonsense", "PEM"},
        {"docker.io", "mirror_ca", "/nonsense", "mirror_ca"},
        {"docker.io", "password_file", "/missing", "No such file"},
        {"docker.io", "password_file", "/open", "password_file"},
        {"docker.io", "username", "a:b", "\":\""},
        {"no name", "mirror", "a", "HOST:PORT"},
        {"", "mirror", "a", "HOST:PORT"},
        {"https://a", "mirror", "a", "HOST:PORT"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(registry_config_freep) struct registry_config *list = NULL;
        struct error err = {0};
        ck_assert_msg(key(&list, rows[i].name, rows[i].key, rows[i].value, &err) < 0, "row %zu", i);
        ck_assert_msg(strstr(err.msg, rows[i].text) != NULL, "row %zu: %s", i, err.msg);
    }
}
END_TEST

START_TEST(half_a_pair_of_credentials_is_found) {
    static const struct {
        const char *key, *value;
    } rows[] = {{"username", "a"},
                {"password_file", "/secret"},
                {"mirror_username", "a"},
                {"mirror_password_file", "/secret"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(registry_config_freep) struct registry_config *list = NULL;
        struct error err = {0};
        ck_assert_msg(key(&list, "a.b", rows[i].key, rows[i].value, &err) == 0, "%s", err.msg);
        ck_assert_int_eq(registry_config_check(list, &err), -EINVAL);
        ck_assert_ptr_nonnull(strstr(err.msg, "[registry a.b]"));
    }
}
END_TEST

START_TEST(a_mirror_that_was_down_is_last_for_a_while) {
    _cleanup_(registry_config_freep) struct registry_config *list = NULL;
    struct source_errors e = {0};
    struct registry_sources s;
    struct error down = {-ETIMEDOUT, "x"}, unknown = {-ENOENT, "x"};
    key(&list, "docker.io", "mirror", "mirror.test", NULL);
    find(list, "busybox", NULL, &s);
    source_errors_add(&e, &s.list[0], &unknown);
    registry_sources_fini(&s);
    find(list, "busybox", NULL, &s);
    ck_assert_str_eq(s.list[0].host, "mirror.test");
    source_errors_add(&e, &s.list[0], &down);
    registry_sources_fini(&s);
    find(list, "busybox", NULL, &s);
    ck_assert_str_eq(s.list[0].host, "registry-1.docker.io");
    ck_assert_str_eq(s.list[1].host, "mirror.test");
    ck_assert(s.list[1].mirror);
    registry_sources_fini(&s);
}
END_TEST

START_TEST(an_error_names_every_source_that_was_asked) {
    struct registry_source mirror = {.host = (char *)"127.0.0.1:5000", .mirror = true};
    struct registry_source hub = {.host = (char *)"registry-1.docker.io"};
    struct source_errors e = {0};
    struct reference ref;
    struct error err = {0};
    reference_parse("nosuch", &ref, NULL);
    source_errors_add(&e, &mirror, &(struct error){-ECONNREFUSED, "cannot connect"});
    source_errors_add(&e, &hub, &(struct error){-ENOENT, "manifest unknown"});
    ck_assert_int_eq(source_errors_say(&e, "image", &ref, &err), -ENOENT);
    ck_assert_str_eq(err.msg,
                     "image library/nosuch:latest was not found in docker.io (mirror "
                     "127.0.0.1:5000: cannot connect; registry-1.docker.io: manifest unknown)");
    struct error longest = {-EPROTO, ""};
    memset(longest.msg, 'x', sizeof longest.msg - 1);
    e.count = 0;
    source_errors_add(&e, &mirror, &longest);
    source_errors_add(&e, &hub, &longest);
    ck_assert_int_eq(source_errors_say(&e, "image", &ref, &err), -EPROTO);
    ck_assert_ptr_nonnull(strstr(err.msg, "registry-1.docker.io"));
}
END_TEST

START_TEST(only_the_registries_of_the_list_may_be_named) {
    static const struct {
        const char *list, *image;
        bool allowed;
    } rows[] = {
        {"", "anything.test:5000/a", true},
        {"docker.io", "busybox", true},
        {"docker.io", "library/busybox", true},
        {"docker.io", "index.docker.io/library/busybox", true},
        {"docker.io", "registry-1.docker.io/library/busybox", true},
        {"docker.io", "DOCKER.IO/library/busybox", true},
        {"docker.io:443", "busybox", true},
        {"index.docker.io", "busybox", true},
        {"registry-1.docker.io", "busybox", true},
        {"docker.io", "docker.io.evil.test/busybox", false},
        {"docker.io", "evil.test/docker.io/busybox", false},
        {"docker.io", "localhost/busybox", false},
        {"reg.test", "busybox", false},
        {"reg.test", "reg.test/a", true},
        {"Reg.Test", "REG.test/a", true},
        {"reg.test", "reg.test:443/a", true},
        {"reg.test", "reg.test:5000/a", false}, /* another port is another server */
        {"reg.test:5000", "reg.test/a", false},
        {"reg.test:5000", "reg.test:5000/a", true},
        {"reg.test", "areg.test/a", false},
        {"*.example.com", "a.example.com/x", true},
        {"*.example.com", "a.b.example.com/x", true},
        {"*.example.com", "example.com/x", false},
        {"*.example.com", "badexample.com/x", false},
        {"*.example.com", "a.example.com:5000/x", false},
        {"*.example.com:5000", "a.example.com:5000/x", true},
        {"*.example.com", "a.example.com.evil.test/x", false},
        {"other.test, 127.0.0.1:5000,\t*.example.com", "127.0.0.1:5000/x", true},
        {"other.test, 127.0.0.1:5000,\t*.example.com", "z.example.com/x", true},
        {"other.test, 127.0.0.1:5000,\t*.example.com", "169.254.169.254/x", false},
        {"[::1]:5000", "[::1]:5000/x", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(registry_config_freep) struct registry_config *list = NULL;
        struct reference ref;
        struct error err = {0};
        ck_assert_int_eq(key(&list, "evil.test", "mirror", "reg.test", &err), 0); /* says nothing */
        ck_assert_msg(registry_config_allow(&list, rows[i].list, &err) == 0, "%s", err.msg);
        ck_assert_int_eq(reference_parse(rows[i].image, &ref, &err), 0);
        int r = registry_allowed(list, &ref, &err);
        ck_assert_msg(r == (rows[i].allowed ? 0 : -EPERM), "%s of %s", rows[i].image, rows[i].list);
    }
    _cleanup_(registry_config_freep) struct registry_config *list = NULL;
    struct reference ref;
    struct error err = {0};
    ck_assert_int_eq(registry_config_allow(&list, NULL, &err), 0);
    ck_assert_int_eq(registry_config_allow(&list, "docker.io, *.Example.com", &err), 0);
    ck_assert_int_eq(reference_parse("evil.test:1/a", &ref, &err), 0);
    ck_assert_int_eq(registry_allowed(list, &ref, &err), -EPERM);
    ck_assert_str_eq(err.msg, "images of the registry evil.test:1 are not allowed here, only of "
                              "docker.io, *.example.com");
    static const char *const bad[] = {"https://a.test", "a.test/b", "*", "a.*.test", "a b/c", "*."};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(registry_config_allow(&list, bad[i], &err) == -EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(link_local_addresses_are_for_hosts_that_an_operator_names) {
    static const struct {
        const char *list, *section, *image;
        bool named;
    } rows[] = {
        {"", NULL, "reg.test/a", false},
        {"reg.test", NULL, "reg.test/a", true},
        {"*.test", NULL, "reg.test/a", false}, /* anybody's host may be under a wildcard */
        {"*.test, 169.254.0.9:5000", NULL, "169.254.0.9:5000/a", true},
        {"", "reg.test", "reg.test/a", true},
        {"", "other.test", "reg.test/a", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        _cleanup_(registry_config_freep) struct registry_config *list = NULL;
        struct registry_sources s;
        ck_assert_int_eq(registry_config_allow(&list, rows[i].list, NULL), 0);
        if (rows[i].section)
            ck_assert_int_eq(key(&list, rows[i].section, "mirror", "10.0.0.1", NULL), 0);
        find(list, rows[i].image, NULL, &s);
        const struct registry_source *own = &s.list[s.count - 1];
        ck_assert_uint_eq(own->may_reach,
                          rows[i].named ? REACH_LOOPBACK | REACH_LINK_LOCAL : REACH_LOOPBACK);
        registry_sources_fini(&s);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        without_configuration_the_registry_itself_is_asked,
        a_mirror_is_first_and_sees_its_own_credentials_only,
        mistakes_of_the_operator_are_named,
        half_a_pair_of_credentials_is_found,
        a_mirror_that_was_down_is_last_for_a_while,
        an_error_names_every_source_that_was_asked,
        only_the_registries_of_the_list_may_be_named,
        link_local_addresses_are_for_hosts_that_an_operator_names,
    };
    Suite *suite = suite_create("registry/source");
    TCase *tcase = tcase_create("source");
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
