#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "router/saved.h"

#define HOUR_S 3600

static struct publisher publisher;
static struct routes *routes;
static struct saved saved;
static struct router_config config;
static char dir[64], key[96], path[96];

static void use_key(char digit) {
    char line[160];
    snprintf(line, sizeof line, "berth-node-1 01 %032d %064d\n", 0, 0);
    line[20] = digit;
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, key, 0600, line, strlen(line), NULL), 0);
}

static void begin(void) {
    struct error err = {0};
    publisher_init(&publisher);
    ck_assert_int_eq(routes_new(&routes, &publisher, NULL), 0);
    saved = (struct saved){0};
    ck_assert_msg(saved_open(&saved, &config, &err) == 0, "%s", err.msg);
}

static void end(void) {
    saved_close(&saved);
    routes_free(routes);
    publisher_fini(&publisher);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/router-saved-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(key, sizeof key, "%s/key", dir);
    snprintf(path, sizeof path, "%s/routes.json", dir);
    use_key('4');
    config = (struct router_config){
        .state_dir = dir, .key_file = key, .controller = (char *)(uintptr_t) "tcp://127.0.0.1:1"};
    begin();
}

static void teardown(void) {
    end();
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
}

static void restart(void) {
    end();
    begin();
}

static void save_one(void) {
    struct route *r;
    ck_assert_int_eq(route_new(&r, "a", "", "app", "", NULL, 0, 0, NULL, NULL), 0);
    ck_assert_int_eq(routes_put(routes, r), 0);
    ck_assert_int_eq(saved_write(&saved, routes, NULL), 0);
}

static int load(void) {
    unsigned skipped;
    return saved_load(&saved, routes, &skipped, NULL);
}

static void age_file(time_t seconds) {
    struct timespec times[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static time_t age_of_file(void) {
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return time(NULL) - st.st_mtime;
}

START_TEST(the_next_run_finds_what_this_one_served) {
    struct stat st;
    setup();
    ck_assert_int_eq(load(), -ENOENT);
    save_one();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    restart();
    ck_assert_int_eq(load(), 0);
    ck_assert_uint_eq(routes_count(routes), 1);
    teardown();
}
END_TEST

START_TEST(but_not_after_a_long_time) {
    setup();
    save_one();
    restart();
    age_file(HOUR_S + 10);
    ck_assert_int_eq(load(), -ESTALE);
    ck_assert_uint_eq(routes_count(routes), 0);
    age_file(HOUR_S - 10);
    ck_assert_int_eq(load(), 0);
    age_file(-HOUR_S); /* the clock was put back */
    ck_assert_int_eq(load(), 0);
    teardown();
}
END_TEST

START_TEST(nor_another_routers) {
    setup();
    save_one();
    use_key('5');
    restart();
    ck_assert_int_eq(load(), -ESTALE);
    ck_assert_uint_eq(routes_count(routes), 0);
    static const char nobodys[] =
        "{\"version\": 1, \"routes\": [{\"host\": \"a\"}, {\"host\": \"b\"}]}";
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, nobodys, strlen(nobodys), NULL), 0);
    ck_assert_int_eq(load(), 0); /* written by hand, or by an older version */
    ck_assert_uint_eq(routes_count(routes), 2);
    teardown();
}
END_TEST

START_TEST(one_without_a_controller_takes_what_there_is) {
    setup();
    save_one();
    config.controller = NULL;
    restart();
    age_file(1000 * HOUR_S);
    ck_assert_int_eq(load(), 0);
    ck_assert_uint_eq(routes_count(routes), 1);
    teardown();
}
END_TEST

START_TEST(the_time_goes_on_only_for_what_is_served) {
    setup();
    save_one();
    age_file(500);
    saved_renew(&saved, 60000);
    ck_assert_int_le(age_of_file(), 2);
    age_file(500);
    saved_renew(&saved, 119999); /* once a minute */
    ck_assert_int_ge(age_of_file(), 500);
    restart();
    saved_renew(&saved, 60000); /* not loaded */
    ck_assert_int_ge(age_of_file(), 500);
    ck_assert_int_eq(load(), 0);
    saved_renew(&saved, 60000);
    ck_assert_int_le(age_of_file(), 2);
    ck_assert_int_eq(mkdir("/proc/none", 0700), -1);
    free(saved.path);
    saved.path = str_dup("/proc/none/routes.json");
    ck_assert_int_lt(saved_write(&saved, routes, NULL), 0);
    ck_assert(!saved.is_ours); /* what lies there is of before */
    teardown();
}
END_TEST

START_TEST(without_a_state_dir_nothing_is_kept) {
    setup();
    config.state_dir = NULL;
    restart();
    ck_assert_int_eq(load(), -ENOENT);
    save_one();
    saved_renew(&saved, 60000);
    ck_assert_int_lt(access(path, F_OK), 0);
    teardown();
}
END_TEST

RUN_TESTS("router/saved", the_next_run_finds_what_this_one_served, but_not_after_a_long_time,
          nor_another_routers, one_without_a_controller_takes_what_there_is,
          the_time_goes_on_only_for_what_is_served, without_a_state_dir_nothing_is_kept)
