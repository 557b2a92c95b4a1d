/* Against an evhttp server on the same loop, over plain http; TLS is tests/component/registry's. */
#include "tests/unit/lib/runner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/http/client.h"

static struct event_base *loop;
static struct http_client *client;
static struct evhttp *servers[2]; /* 127.0.0.1 and, for "another host", another port */
static int ports[2];
static char seen_method[16], seen_body[64], seen_authorization[64], seen_x[64], seen_length[16];
static unsigned requests;

/* What came back, kept beyond the callback. */
struct outcome {
    unsigned calls;
    int status, code;
    unsigned reached;
    char body[64], type[64], text[512];
};

static void keep_header(struct evhttp_request *req, const char *name, char *buf, size_t n) {
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(req), name);
    snprintf(buf, n, "%s", value ? value : "-");
}

static void on_request(struct evhttp_request *req, void *arg) {
    struct evbuffer *out = evbuffer_new(), *in = evhttp_request_get_input_buffer(req);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    const char *path = evhttp_request_get_uri(req);
    char location[128];
    int status = 200;
    requests++;
    snprintf(seen_method, sizeof seen_method, "%d", (int)evhttp_request_get_command(req));
    seen_body[evbuffer_remove(in, seen_body, sizeof seen_body - 1)] = '\0';
    keep_header(req, "Authorization", seen_authorization, sizeof seen_authorization);
    keep_header(req, "X-Test", seen_x, sizeof seen_x);
    keep_header(req, "Content-Length", seen_length, sizeof seen_length);
    evhttp_add_header(headers, "Content-Type", "text/test");
    if (strcmp(path, "/hang") == 0) {
        evbuffer_free(out);
        return; /* never answered; freed with the server */
    }
    if (strcmp(path, "/away") == 0 || strcmp(path, "/round") == 0) {
        snprintf(location, sizeof location, "http://127.0.0.1:%d/%s",
                 ports[strcmp(path, "/away") == 0], strcmp(path, "/away") == 0 ? "there" : "round");
        evhttp_add_header(headers, "Location", location);
        status = 302;
    } else if (strcmp(path, "/file") == 0) {
        evhttp_add_header(headers, "Location", "file:///etc/passwd");
        status = 302;
    } else if (strcmp(path, "/metadata") == 0) {
        evhttp_add_header(headers, "Location", "http://169.254.169.254/latest/meta-data/");
        status = 302;
    } else if (strcmp(path, "/big") == 0) {
        for (int i = 0; i < 1000; i++)
            evbuffer_add(out, "0123456789", 10);
    } else {
        evbuffer_add_printf(out, "hello");
    }
    evhttp_send_reply(req, status, "X", out);
    evbuffer_free(out);
}

static void setup(void) {
    struct error err = {0};
    struct sockaddr_in at;
    socklen_t n = sizeof at;
    loop = event_base_new();
    ck_assert_int_eq(http_client_new(&client, loop, &err), 0);
    for (int i = 0; i < 2; i++) {
        servers[i] = evhttp_new(loop);
        struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(servers[i], "127.0.0.1", 0);
        ck_assert_ptr_nonnull(s);
        getsockname(evhttp_bound_socket_get_fd(s), (struct sockaddr *)&at, &n);
        ports[i] = ntohs(at.sin_port);
        evhttp_set_gencb(servers[i], on_request, NULL);
        evhttp_set_allowed_methods(servers[i], 0xffff);
    }
    requests = 0;
}

static void teardown(void) {
    http_client_free(client);
    evhttp_free(servers[0]);
    evhttp_free(servers[1]);
    event_base_free(loop);
}

static void on_done(const struct http_response *res, void *arg) {
    struct outcome *o = arg;
    o->calls++;
    o->status = res->status;
    o->reached = res->reached;
    snprintf(o->body, sizeof o->body, "%.*s", (int)MIN(res->body.n, 60u),
             res->body.p ? res->body.p : "");
    const char *type = http_header(res, "content-type");
    snprintf(o->type, sizeof o->type, "%s", type ? type : "-");
    if (res->error) {
        o->code = res->error->code;
        snprintf(o->text, sizeof o->text, "%s", res->error->msg);
    }
}

static void run_until(const struct outcome *o, unsigned calls) {
    while (o->calls < calls)
        ck_assert_int_eq(event_base_loop(loop, EVLOOP_ONCE), 0);
}

static struct outcome get(const char *path, struct http_options options) {
    struct outcome o = {0};
    struct error err = {0};
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", ports[0], path);
    options.url = options.url ? options.url : url;
    options.allow_plain_http = true;
    ck_assert_msg(http_send(client, &options, on_done, &o, NULL, &err) == 0, "%s", err.msg);
    ck_assert_uint_eq(o.calls, 0); /* never from inside http_send() */
    run_until(&o, 1);
    return o;
}

START_TEST(an_answer_has_status_body_and_headers) {
    struct outcome o = get("/", (struct http_options){0});
    ck_assert_int_eq(o.status, 200);
    ck_assert_int_eq(o.code, 0);
    ck_assert_str_eq(o.body, "hello");
    ck_assert_str_eq(o.type, "text/test");
    ck_assert_str_eq(seen_authorization, "-");
}
END_TEST

START_TEST(methods_bodies_headers_and_credentials_are_sent) {
    const char *headers[] = {"X-Test: yes", NULL};
    char method[16];
    snprintf(method, sizeof method, "%d", (int)EVHTTP_REQ_PUT);
    get("/", (struct http_options){.method = "PUT",
                                   .headers = headers,
                                   .body = "abc",
                                   .body_n = 3,
                                   .username = "bob",
                                   .password = "secret"});
    ck_assert_str_eq(seen_method, method);
    ck_assert_str_eq(seen_body, "abc");
    ck_assert_str_eq(seen_x, "yes");
    ck_assert_str_eq(seen_authorization, "Basic Ym9iOnNlY3JldA==");
    struct outcome o = get("/big", (struct http_options){.method = "HEAD", .max_body = 10});
    ck_assert_int_eq(o.status, 200);
    ck_assert_str_eq(o.body, "");
    get("/", (struct http_options){.method = "POST"});
    ck_assert_str_eq(seen_body, "");
    ck_assert_str_eq(seen_length, "0");
    get("/", (struct http_options){.method = "DELETE"});
    ck_assert_str_eq(seen_length, "-");
}
END_TEST

START_TEST(a_redirect_is_followed_only_on_demand_and_without_credentials) {
    const char *headers[] = {"Authorization: Bearer secret", NULL};
    struct outcome o = get("/away", (struct http_options){.headers = headers});
    ck_assert_int_eq(o.status, 302);
    ck_assert_str_eq(seen_authorization, "Bearer secret");
    o = get("/away", (struct http_options){.headers = headers, .follow_redirects = true});
    ck_assert_int_eq(o.status, 200);
    ck_assert_str_eq(o.body, "hello");
    ck_assert_str_eq(seen_authorization, "-");
    get("/away",
        (struct http_options){.username = "bob", .password = "secret", .follow_redirects = true});
    ck_assert_str_eq(seen_authorization, "-");
}
END_TEST

START_TEST(redirects_end_and_stay_with_http) {
    struct outcome o = get("/round", (struct http_options){.follow_redirects = true});
    ck_assert_int_eq(o.code, -EPROTO);
    ck_assert_uint_eq(requests, 6);
    o = get("/file", (struct http_options){.follow_redirects = true});
    ck_assert_int_eq(o.code, -EPROTO);
}
END_TEST

START_TEST(a_guarded_request_is_not_led_to_this_machine_or_its_link) {
    const struct http_options first = {
        .guarded = true, .may_reach = REACH_LOOPBACK, .follow_redirects = true};
    struct outcome o = get("/x", (struct http_options){.guarded = true});
    ck_assert_int_eq(o.code, -EACCES);
    ck_assert_ptr_nonnull(strstr(o.text, "127.0.0.1, an address of this machine itself"));
    ck_assert_uint_eq(requests, 0); /* not even a connection */
    o = get("/x", first);
    ck_assert_int_eq(o.status, 200);
    ck_assert_uint_eq(o.reached, REACH_LOOPBACK);
    o = get("/x", (struct http_options){.guarded = true}); /* nor over one that is left of it */
    ck_assert_int_eq(o.code, -EACCES);
    ck_assert_uint_eq(requests, 1);
    o = get("/away", first); /* to the same machine */
    ck_assert_int_eq(o.status, 200);
    o = get("/metadata", first);
    ck_assert_int_eq(o.code, -EACCES);
    ck_assert_ptr_nonnull(strstr(o.text, "169.254.169.254, a link-local or metadata address"));
    struct http_options direct = first;
    direct.url = "http://0x7f.1:1/"; /* however it is spelled */
    direct.may_reach = 0;
    ck_assert_int_eq(get("", direct).code, -EACCES);
    direct.guarded = false;
    ck_assert_int_eq(get("", direct).code, -ECONNREFUSED);
}
END_TEST

START_TEST(what_is_too_large_or_too_slow_is_given_up) {
    struct outcome o = get("/big", (struct http_options){.max_body = 9999});
    ck_assert_int_eq(o.code, -EFBIG);
    ck_assert_int_eq(o.status, 0);
    o = get("/big", (struct http_options){.max_body = 10000});
    ck_assert_int_eq(o.code, 0);
    o = get("/hang", (struct http_options){.timeout_ms = 50});
    ck_assert_int_eq(o.code, -ETIMEDOUT);
    ck_assert_ptr_nonnull(strstr(o.text, "127.0.0.1"));
}
END_TEST

START_TEST(a_refused_connection_and_an_unknown_host_are_told_apart) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, but not listening */
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, n), 0);
    getsockname(fd, (struct sockaddr *)&at, &n);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    struct outcome o = get("", (struct http_options){.url = url});
    close(fd);
    ck_assert_int_eq(o.code, -ECONNREFUSED);
    o = get("", (struct http_options){.url = "http://no-such-host.invalid/"});
    ck_assert_int_eq(o.code, -EHOSTUNREACH);
    ck_assert_ptr_nonnull(strstr(o.text, "no-such-host.invalid"));
}
END_TEST

START_TEST(plain_http_other_schemes_and_line_breaks_are_refused_at_once) {
    static const struct {
        const char *url;
        int code;
    } rows[] = {
        {"http://127.0.0.1/", -EPROTO},
        {"ftp://127.0.0.1/", -EINVAL},
        {"127.0.0.1", -EINVAL},
        {"https://", -EINVAL},
        {"", -EINVAL},
    };
    const char *headers[] = {"A: b\r\nC: d", NULL};
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_options o = {.url = rows[i].url};
        ck_assert_msg(http_send(client, &o, on_done, NULL, NULL, &err) == rows[i].code, "%s: %s",
                      rows[i].url, err.msg);
    }
    struct http_options o = {.url = "https://127.0.0.1/", .headers = headers};
    ck_assert_int_eq(http_send(client, &o, on_done, NULL, NULL, &err), -EINVAL);
}
END_TEST

START_TEST(a_cancelled_request_is_never_heard_of) {
    struct outcome o = {0}, other = {0};
    struct http_request *req;
    struct error err = {0};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ports[0]);
    struct http_options options = {.url = url, .allow_plain_http = true};
    ck_assert_int_eq(http_send(client, &options, on_done, &o, &req, &err), 0);
    ck_assert_int_eq(http_send(client, &options, on_done, &other, NULL, &err), 0);
    http_cancel(req);
    run_until(&other, 1);
    ck_assert_uint_eq(o.calls, 0);
}
END_TEST

static void on_done_free(const struct http_response *res, void *arg) {
    on_done(res, arg);
    http_client_free(client);
    client = NULL;
}

START_TEST(the_client_may_be_freed_with_requests_in_flight_and_from_a_callback) {
    struct outcome first = {0}, second = {0};
    struct error err = {0};
    char url[2][64];
    snprintf(url[0], sizeof url[0], "http://127.0.0.1:%d/", ports[0]);
    snprintf(url[1], sizeof url[1], "http://127.0.0.1:%d/hang", ports[0]);
    struct http_options a = {.url = url[0], .allow_plain_http = true};
    struct http_options b = {.url = url[1], .allow_plain_http = true};
    ck_assert_int_eq(http_send(client, &a, on_done_free, &first, NULL, &err), 0);
    ck_assert_int_eq(http_send(client, &b, on_done, &second, NULL, &err), 0);
    run_until(&first, 1);
    ck_assert_uint_eq(second.calls, 0);
}
END_TEST

static unsigned chain;
static void on_done_again(const struct http_response *res, void *arg) {
    struct outcome *o = arg;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ports[0]);
    struct http_options options = {.url = url, .allow_plain_http = true};
    if (++chain < 5)
        ck_assert_int_eq(http_send(client, &options, on_done_again, o, NULL, NULL), 0);
    else
        o->calls++;
}

START_TEST(a_callback_may_send_the_next_request) {
    struct outcome o = {0};
    chain = 0;
    on_done_again(&(struct http_response){0}, &o);
    run_until(&o, 1);
    ck_assert_uint_eq(requests, 4);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        an_answer_has_status_body_and_headers,
        methods_bodies_headers_and_credentials_are_sent,
        a_redirect_is_followed_only_on_demand_and_without_credentials,
        redirects_end_and_stay_with_http,
        a_guarded_request_is_not_led_to_this_machine_or_its_link,
        what_is_too_large_or_too_slow_is_given_up,
        a_refused_connection_and_an_unknown_host_are_told_apart,
        plain_http_other_schemes_and_line_breaks_are_refused_at_once,
        a_cancelled_request_is_never_heard_of,
        the_client_may_be_freed_with_requests_in_flight_and_from_a_callback,
        a_callback_may_send_the_next_request,
    };
    Suite *suite = suite_create("http/client");
    TCase *tcase = tcase_create("client");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
