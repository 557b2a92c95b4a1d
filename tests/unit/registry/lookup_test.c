/* A lookup's life without a registry; against real ones: tests/component/registry. */
#include "tests/unit/lib/runner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/client.h"
#include "common/registry/registry.h"

static struct event_base *loop;
static struct http_client *http;
static int fd; /* listens, or is only bound */
static char image[64];
static unsigned calls;
static struct error told;

static void on_done(struct registry_image *found, const struct error *err, void *arg) {
    calls++;
    ck_assert_ptr_null(found);
    told = *err;
}

/* A port of ours where nobody answers. */
static void open_port(bool listening) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, n), 0);
    if (listening)
        ck_assert_int_eq(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&at, &n);
    snprintf(image, sizeof image, "127.0.0.1:%d/app", ntohs(at.sin_port));
}

static void setup(void) {
    loop = event_base_new();
    ck_assert_int_eq(http_client_new(&http, loop, NULL), 0);
    calls = 0;
}

static void teardown(void) {
    http_client_free(http);
    event_base_free(loop);
    close(fd);
}

static struct registry_lookup *start(void) {
    struct reference ref;
    struct registry_credentials credentials = {"bob", "secret"};
    struct registry_lookup *l;
    struct error err = {0};
    ck_assert_int_eq(reference_parse(image, &ref, &err), 0);
    ck_assert_int_eq(registry_lookup(http, NULL, &ref, &credentials, on_done, NULL, &l, &err), 0);
    return l;
}

START_TEST(a_failure_is_told_once_and_later) {
    open_port(false);
    start();
    ck_assert_uint_eq(calls, 0);
    while (calls == 0)
        ck_assert_int_eq(event_base_loop(loop, EVLOOP_ONCE), 0);
    ck_assert_int_eq(told.code, -ECONNREFUSED);
    ck_assert_ptr_nonnull(strstr(told.msg, "app:latest"));
    ck_assert_int_eq(event_base_loop(loop, EVLOOP_NONBLOCK), 1); /* nothing is left to do */
    ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(a_cancelled_lookup_is_never_heard_of) {
    open_port(true);
    registry_lookup_cancel(start()); /* before it began */
    struct registry_lookup *l = start();
    for (int i = 0; i < 5; i++) /* its request is on its way */
        event_base_loop(loop, EVLOOP_NONBLOCK);
    registry_lookup_cancel(l);
    registry_lookup_cancel(NULL);
    event_base_loop(loop, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_failure_is_told_once_and_later,
                                  a_cancelled_lookup_is_never_heard_of};
    Suite *suite = suite_create("registry/lookup");
    TCase *tcase = tcase_create("lookup");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
