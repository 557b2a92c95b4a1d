#include "tests/unit/lib/runner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cell/health.h"
#include "common/base/clock.h"
#include "common/base/str.h"

struct fixture {
    struct event_base *loop;
    struct health *health;
    struct event *on_accept; /* of a listener that answers */
    int listener, accepts;
    uint16_t port;
    const char *answer; /* NULL: closes at once; "": stays silent */
    int open[16], open_n;
    int healthy, unhealthy;
    char detail[256];
};

static void on_healthy(void *data) {
    struct fixture *f = data;
    f->healthy++;
    event_base_loopbreak(f->loop);
}

static void on_unhealthy(void *data, uint64_t after_ms, const char *detail) {
    struct fixture *f = data;
    (void)after_ms;
    f->unhealthy++;
    snprintf(f->detail, sizeof f->detail, "%s", detail);
    event_base_loopbreak(f->loop);
}

static void on_accept(evutil_socket_t fd, short what, void *arg) {
    struct fixture *f = arg;
    (void)what;
    int c = accept(fd, NULL, NULL);
    f->accepts++;
    if (f->answer)
        ck_assert_int_eq(send(c, f->answer, strlen(f->answer), 0), (ssize_t)strlen(f->answer));
    if (f->answer && f->open_n < 16)
        f->open[f->open_n++] = c;
    else
        close(c);
}

static void setup(struct fixture *f) {
    *f = (struct fixture){.listener = -1};
    f->loop = event_base_new();
}

/* A port of 127.0.0.1, bound; with `listening` it is listened to and answered. */
static void bind_port(struct fixture *f, bool listening) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(f->listener, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(f->listener, (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    if (!listening)
        return;
    ck_assert_int_eq(listen(f->listener, 16), 0);
    f->on_accept = event_new(f->loop, f->listener, EV_READ | EV_PERSIST, on_accept, f);
    event_add(f->on_accept, NULL);
}

static void begin_listening(struct fixture *f) {
    ck_assert_int_eq(listen(f->listener, 16), 0);
    f->on_accept = event_new(f->loop, f->listener, EV_READ | EV_PERSIST, on_accept, f);
    event_add(f->on_accept, NULL);
}

static void check(struct fixture *f, struct health_config config) {
    const struct health_callbacks callbacks = {on_healthy, on_unhealthy, f};
    struct error err = {0};
    config.ip = "127.0.0.1";
    config.port = f->port;
    ck_assert_msg(health_new(&f->health, f->loop, &config, &callbacks, &err) == 0, "%s", err.msg);
}

static void teardown(struct fixture *f) {
    health_free(f->health);
    if (f->on_accept)
        event_free(f->on_accept);
    for (int i = 0; i < f->open_n; i++)
        close(f->open[i]);
    if (f->listener >= 0)
        close(f->listener);
    event_base_free(f->loop);
}

START_TEST(a_port_that_is_listened_to_is_healthy_at_once) {
    struct fixture f;
    setup(&f);
    bind_port(&f, true);
    uint64_t begun = clock_mono_ms();
    check(&f, (struct health_config){.type = HEALTH_PORT});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy, 1);
    ck_assert_uint_lt(clock_mono_ms() - begun, 1000);
    teardown(&f);
}
END_TEST

START_TEST(a_port_that_opens_later_is_found_soon) {
    struct fixture f;
    setup(&f);
    bind_port(&f, false);
    check(&f, (struct health_config){.type = HEALTH_PORT});
    event_base_loopexit(f.loop, &(struct timeval){.tv_usec = 60000});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy + f.unhealthy, 0);
    begin_listening(&f);
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy, 1);
    teardown(&f);
}
END_TEST

START_TEST(a_port_never_listened_to_is_unhealthy_when_the_time_is_over) {
    struct fixture f;
    char expect[128];
    setup(&f);
    bind_port(&f, false);
    check(&f, (struct health_config){.type = HEALTH_PORT, .timeout_ms = 50});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.unhealthy, 1);
    snprintf(expect, sizeof expect, "Failed to make TCP connection to port %u: connection refused",
             f.port);
    ck_assert_str_eq(f.detail, expect);
    /* and nothing follows */
    event_base_loopexit(f.loop, &(struct timeval){.tv_usec = 30000});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.unhealthy, 1);
    teardown(&f);
}
END_TEST

START_TEST(once_healthy_one_failure_is_the_end) {
    struct fixture f;
    setup(&f);
    bind_port(&f, true);
    check(&f, (struct health_config){.type = HEALTH_PORT, .interval_ms = 10});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy, 1);
    while (f.accepts < 4) /* it goes on */
        event_base_loop(f.loop, EVLOOP_ONCE);
    event_free(f.on_accept);
    f.on_accept = NULL;
    close(f.listener);
    f.listener = -1;
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy, 1);
    ck_assert_int_eq(f.unhealthy, 1);
    teardown(&f);
}
END_TEST

START_TEST(an_adopted_one_begins_healthy) {
    struct fixture f;
    setup(&f);
    bind_port(&f, false);
    check(&f, (struct health_config){.type = HEALTH_PORT, .was_healthy = true});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy, 0);
    ck_assert_int_eq(f.unhealthy, 1);
    teardown(&f);
}
END_TEST

START_TEST(http_wants_status_200) {
    static const struct {
        const char *answer;
        bool healthy;
        const char *detail; /* after "... on port N: " */
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true, NULL},
        {"HTTP/1.0 200 fine\r\n\r\n", true, NULL},
        {"HTTP/1.1 500 Oops\r\n\r\n", false, "received status code 500 in "},
        {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", false, "received status code 302 in "},
        {"SSH-2.0-server\r\n", false, "malformed HTTP response"},
        {NULL, false, ""}, /* closed: reset or an empty answer */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture f;
        char expect[160];
        setup(&f);
        f.answer = rows[i].answer;
        bind_port(&f, true);
        check(&f, (struct health_config){.type = HEALTH_HTTP, .path = "/health", .timeout_ms = 30});
        event_base_dispatch(f.loop);
        ck_assert_msg(f.healthy == rows[i].healthy, "row %zu: %s", i, f.detail);
        snprintf(expect, sizeof expect, "Failed to make HTTP request to '/health' on port %u: %s",
                 f.port, rows[i].detail ? rows[i].detail : "");
        if (!rows[i].healthy)
            ck_assert_msg(str_starts(f.detail, expect), "row %zu: %s", i, f.detail);
        teardown(&f);
    }
}
END_TEST

START_TEST(silence_is_a_timeout) {
    struct fixture f;
    setup(&f);
    f.answer = "";
    bind_port(&f, true);
    check(&f, (struct health_config){.type = HEALTH_HTTP, .timeout_ms = 40, .invocation_ms = 20});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.unhealthy, 1);
    ck_assert_msg(str_ends(f.detail, ": timed out after 0.02 seconds"), "%s", f.detail);
    teardown(&f);
}
END_TEST

START_TEST(a_process_check_is_healthy_and_stays_so) {
    struct fixture f;
    setup(&f);
    check(&f, (struct health_config){.type = HEALTH_PROCESS});
    event_base_dispatch(f.loop);
    ck_assert_int_eq(f.healthy, 1);
    ck_assert_int_eq(event_base_dispatch(f.loop), 1); /* nothing is left to wait for */
    teardown(&f);
}
END_TEST

START_TEST(paths_that_would_break_the_request_are_refused) {
    struct health *h = NULL;
    struct event_base *loop = event_base_new();
    const struct health_callbacks callbacks = {0};
    const char *const paths[] = {"/a b", "/a\r\nX: y", "/\x7f"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct health_config config = {.type = HEALTH_HTTP, .ip = "127.0.0.1", .path = paths[i]};
        ck_assert_int_eq(health_new(&h, loop, &config, &callbacks, NULL), -EINVAL);
    }
    struct health_config config = {.type = HEALTH_PORT, .ip = "nowhere"};
    ck_assert_int_eq(health_new(&h, loop, &config, &callbacks, NULL), -EINVAL);
    event_base_free(loop);
}
END_TEST

START_TEST(durations_look_like_go) {
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {{0, "0ms"},      {7, "7ms"},          {1000, "1s"},       {1500, "1.5s"},
                {60000, "1m0s"}, {60005, "1m0.005s"}, {61120, "1m1.12s"}, {3600000, "60m0s"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char buf[32];
        health_format_duration(rows[i].ms, buf, sizeof buf);
        ck_assert_str_eq(buf, rows[i].text);
    }
}
END_TEST

RUN_TESTS("cell/health", a_port_that_is_listened_to_is_healthy_at_once,
          a_port_that_opens_later_is_found_soon,
          a_port_never_listened_to_is_unhealthy_when_the_time_is_over,
          once_healthy_one_failure_is_the_end, an_adopted_one_begins_healthy, http_wants_status_200,
          silence_is_a_timeout, a_process_check_is_healthy_and_stays_so,
          paths_that_would_break_the_request_are_refused, durations_look_like_go)
