#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "router/routes.h"

static struct publisher publisher;
static struct routes *routes;
static char path[64];

static void setup(void) {
    snprintf(path, sizeof path, "/tmp/router-routes-XXXXXX");
    close(mkstemp(path));
    publisher_init(&publisher);
    ck_assert_int_eq(routes_new(&routes, &publisher, NULL), 0);
}

static void teardown(void) {
    unlink(path);
    routes_free(routes);
    publisher_fini(&publisher);
}

static void put(const char *host, const char *route_path, const char *app) {
    struct endpoint_spec spec = {"10.0.0.1", 8080, "inst", 2};
    struct route *r;
    ck_assert_int_eq(route_new(&r, host, route_path, app, "na\"me\n", &spec, 1, 0, NULL, NULL), 0);
    ck_assert_int_eq(routes_put(routes, r), 0);
}

static const char *app_of(const char *host) {
    struct table *t = publisher.current;
    struct route *r = table_find(t, slice_of(host), SLICE_LIT("/"));
    return r ? r->app_guid : NULL;
}

START_TEST(changes_show_when_they_are_published) {
    setup();
    put("a", "", "one");
    put("b", "", "two");
    ck_assert_int_eq(routes_publish(routes, NULL), 0);
    ck_assert_str_eq(app_of("a"), "one");
    put("a", "", "three");
    routes_remove(routes, "b");
    routes_remove(routes, "never/was");
    ck_assert_str_eq(app_of("b"), "two");
    ck_assert_int_eq(routes_publish(routes, NULL), 0);
    ck_assert_str_eq(app_of("a"), "three");
    ck_assert_ptr_null(app_of("b"));
    teardown();
}
END_TEST

START_TEST(a_full_set_drops_what_it_does_not_name) {
    setup();
    put("a", "", "one");
    put("b", "", "two");
    routes_begin_full(routes);
    put("b", "", "two");
    put("c", "", "new");
    ck_assert_uint_eq(routes_count(routes), 3); /* nothing is gone before the end */
    routes_end_full(routes);
    ck_assert_uint_eq(routes_count(routes), 2);
    teardown();
}
END_TEST

START_TEST(what_was_saved_is_loaded) {
    unsigned skipped;
    setup();
    put("a.example", "/x", "one");
    put("*.example", "", "two");
    struct endpoint_spec spec = {"10.0.0.1", 8080, "inst", 2};
    struct route *least;
    ck_assert_int_eq(route_new(&least, "l", "", "l", "l", &spec, 1, 0, NULL, NULL), 0);
    ck_assert_int_eq(route_use_least_connection(least), 0);
    ck_assert_int_eq(routes_put(routes, least), 0);
    ck_assert_int_eq(routes_save(routes, path, "", NULL), 0);
    routes_remove(routes, "a.example/x");
    put("other", "", "x");
    ck_assert_int_eq(routes_load(routes, path, "", &skipped, NULL), 0);
    ck_assert_uint_eq(skipped, 0);
    ck_assert_uint_eq(routes_count(routes), 3);
    ck_assert_int_eq(routes_publish(routes, NULL), 0);
    least = table_find(publisher.current, SLICE_LIT("l"), SLICE_LIT("/"));
    ck_assert(least->least_connection && least->endpoints[0].load);
    struct route *r = table_find(publisher.current, SLICE_LIT("a.example"), SLICE_LIT("/x"));
    ck_assert(!r->least_connection);
    ck_assert_str_eq(r->app_name, "na\"me\n");
    ck_assert_str_eq(r->endpoints[0].text, "10.0.0.1:8080");
    ck_assert_str_eq(r->endpoints[0].index, "2");
    teardown();
}
END_TEST

START_TEST(a_damaged_file_changes_nothing) {
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"version\": 2, \"routes\": []}",
        "{\"version\": 1}",
        "{\"version\": 1, \"routes\": {}}",
    };
    unsigned skipped;
    setup();
    put("a", "", "one");
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, texts[i], strlen(texts[i]), NULL), 0);
        ck_assert_int_eq(routes_load(routes, path, "", &skipped, NULL), -EINVAL);
        ck_assert_uint_eq(routes_count(routes), 1);
    }
    unlink(path);
    ck_assert_int_eq(routes_load(routes, path, "", &skipped, NULL), -ENOENT);
    static const char odd[] =
        "{\"version\": 1, \"routes\": [7, {\"host\": \"a b\"}, {\"host\": \"ok\"},"
        "{\"host\": \"x\", \"endpoints\": [3, {\"port\": -1}]}]}";
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, odd, strlen(odd), NULL), 0);
    ck_assert_int_eq(routes_load(routes, path, "", &skipped, NULL), 0);
    ck_assert_uint_eq(skipped, 2);
    ck_assert_uint_eq(routes_count(routes), 2);
    teardown();
}
END_TEST

RUN_TESTS("router/routes", changes_show_when_they_are_published,
          a_full_set_drops_what_it_does_not_name, what_was_saved_is_loaded,
          a_damaged_file_changes_nothing)
