/* websocket_test.c - RFC 6455 on the wire, and the log streams and recent logs of old CLIs. */
#include "loggregator.pb-c.h"
#include "tests/unit/api/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/api/websocket.h"

static void setup(void) {
    harness_up(true);
}

START_TEST(the_handshake_is_the_one_of_the_rfc) {
    char accept[WEBSOCKET_ACCEPT_SIZE];
    ck_assert_int_eq(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept), 0); /* section 1.3 */
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ck_assert(websocket_key_ok("dGhlIHNhbXBsZSBub25jZQ=="));
    ck_assert(!websocket_key_ok(NULL));
    ck_assert(!websocket_key_ok(""));
    ck_assert(!websocket_key_ok("dGhlIHNhbXBsZSBub25jZQ"));
    ck_assert(!websocket_key_ok("!!!!!!!!!!!!!!!!!!!!!!!!"));
}
END_TEST

START_TEST(frames_are_read_strictly) {
    static const struct {
        const char *bytes;
        size_t n;
        int result;
        unsigned opcode;
        const char *payload;
    } cases[] = {
        {"", 0, 0, 0, ""},
        {"\x81", 1, 0, 0, ""},
        {"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, 11, 1, "Hello"}, /* section 5.7 */
        {"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51", 10, 0, 0, ""},
        {"\x89\x80\0\0\0\0", 6, 6, 9, ""},
        {"\x81\x05Hello", 7, -EPROTO, 0, ""},    /* not masked */
        {"\xc1\x80\0\0\0\0", 6, -EPROTO, 0, ""}, /* an extension's bit */
        {"\x83\x80\0\0\0\0", 6, -EPROTO, 0, ""}, /* an unknown opcode */
        {"\x09\x80\0\0\0\0", 6, -EPROTO, 0, ""}, /* a ping in pieces */
        {"\x89\xfe\x00\x80", 4, -EPROTO, 0, ""}, /* a long ping */
        {"\x81\xff\0\0\0\0\0\0\0\0", 10, -EMSGSIZE, 0, ""},
        {"\x81\xfe\x10\x01", 4, -EMSGSIZE, 0, ""},
        {"\x81\xfe\x10", 3, 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t buf[64];
        struct websocket_frame f = {0};
        memcpy(buf, cases[i].bytes, cases[i].n);
        int r = websocket_parse(buf, cases[i].n, &f);
        ck_assert_msg(r == cases[i].result, "case %zu: %d", i, r);
        if (r <= 0)
            continue;
        ck_assert_uint_eq(f.opcode, cases[i].opcode);
        ck_assert_uint_eq(f.payload_n, strlen(cases[i].payload));
        ck_assert_mem_eq(f.payload, cases[i].payload, f.payload_n);
    }
}
END_TEST

START_TEST(headers_tell_every_length) {
    static const struct {
        size_t n;
        const char *bytes;
        size_t header;
    } cases[] = {{0, "\x82\x00", 2},
                 {125, "\x82\x7d", 2},
                 {126, "\x82\x7e\x00\x7e", 4},
                 {65535, "\x82\x7e\xff\xff", 4},
                 {65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t header[WEBSOCKET_HEADER_MAX];
        ck_assert_uint_eq(websocket_header(WEBSOCKET_BINARY, cases[i].n, header), cases[i].header);
        ck_assert_mem_eq(header, cases[i].bytes, cases[i].header);
    }
}
END_TEST

/* --- over a socket
 * --------------------------------------------------------------------------------------
 */

static void make_app(char app[GUID_SIZE]) {
    char body[200];
    snprintf(body, sizeof body, "{'name':'a1','space_guid':'%s','docker_image':'x'}", space_guid);
    struct answer a = want(201, "POST", "/v2/apps", body);
    snprintf(app, GUID_SIZE, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
}

static int dial(void) {
    if (!api_port(api))
        OK(api_listen(api, "127.0.0.1:0", &err));
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(api_port(api)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void send_all(int fd, const char *p, size_t n) {
    ck_assert_int_eq(send(fd, p, n, 0), (ssize_t)n);
}

/* Turns the loop until n bytes are there; false: the peer closed before. */
static bool receive(int fd, uint8_t *buf, size_t n) {
    for (size_t have = 0; have < n;) {
        turn_loop();
        ssize_t r = recv(fd, buf + have, n - have, 0);
        if (r == 0)
            return false;
        if (r < 0 && errno != EAGAIN)
            return false;
        have += r > 0 ? (size_t)r : 0;
    }
    return true;
}

static int open_tail(const char *path) {
    char request[1500], head[1000] = "";
    int fd = dial();
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: api.test\r\nOrigin: http://localhost\r\n"
             "Authorization: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             path, token);
    send_all(fd, request, strlen(request));
    for (size_t n = 0; !str_ends(head, "\r\n\r\n") && n < sizeof head - 1; n++)
        ck_assert_msg(receive(fd, (uint8_t *)head + n, 1), "%s", head);
    ck_assert_msg(str_starts(head, "HTTP/1.1 101 Switching Protocols\r\n"), "%s", head);
    ck_assert_ptr_nonnull(strstr(head, "Upgrade: websocket\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "Connection: Upgrade\r\n"));
    ck_assert_ptr_nonnull(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    ck_assert_ptr_null(strstr(head, "Transfer-Encoding"));
    ck_assert(is_subscribed());
    return fd;
}

START_TEST(tail_sends_a_frame_a_line_until_the_reader_goes) {
    char app[GUID_SIZE], path[100];
    uint8_t buf[200];
    make_app(app);
    snprintf(path, sizeof path, "/tail/?app=%s", app);
    int fd = open_tail(path);
    tell_subscriber("STG", 1234567890123456789u, "hello");
    ck_assert(receive(fd, buf, 2));
    ck_assert_uint_eq(buf[0], 0x82);
    size_t n = buf[1];
    ck_assert(receive(fd, buf, n));
    Loggregator__LogMessage *m = loggregator__log_message__unpack(NULL, n, buf);
    ck_assert_ptr_nonnull(m);
    ck_assert_mem_eq(m->message.data, "hello", 5);
    ck_assert_int_eq(m->timestamp, 1234567890123456789);
    ck_assert_str_eq(m->app_id, app);
    ck_assert_str_eq(m->source_name, "STG");
    ck_assert_str_eq(m->source_id, "0");
    loggregator__log_message__free_unpacked(m, NULL);
    /* what CLI 6.13 says every 25 s is let pass; a ping is answered with its payload */
    send_all(fd, "\x81\x8a\0\0\0\0I'm alive!\x89\x82\0\0\0\0hi", 24);
    ck_assert(receive(fd, buf, 4));
    ck_assert_mem_eq(buf, "\x8a\x02hi", 4);
    /* a close is answered, and the connection ends */
    send_all(fd, "\x88\x82\0\0\0\0\x03\xe8", 8);
    ck_assert(receive(fd, buf, 4));
    ck_assert_mem_eq(buf, "\x88\x02\x03\xe8", 4);
    ck_assert(!receive(fd, buf, 1));
    ck_assert(!is_subscribed());
    close(fd);
}
END_TEST

START_TEST(a_frame_out_of_order_ends_the_stream) {
    char app[GUID_SIZE], path[100];
    uint8_t buf[10];
    make_app(app);
    snprintf(path, sizeof path, "/apps/%s/stream", app);
    int fd = open_tail(path);
    send_all(fd, "\x81\x05Hello", 7);
    ck_assert(receive(fd, buf, 4));
    ck_assert_mem_eq(buf, "\x88\x02\x03\xea", 4);
    ck_assert(!receive(fd, buf, 1));
    ck_assert(!is_subscribed());
    close(fd);
}
END_TEST

START_TEST(a_reader_that_goes_or_lags_is_let_go) {
    char app[GUID_SIZE], path[100];
    static char line[60000];
    make_app(app);
    snprintf(path, sizeof path, "/tail?app=%s", app);
    int fd = open_tail(path);
    close(fd);
    for (int i = 0; i < 1000000 && is_subscribed(); i++)
        turn_loop();
    ck_assert(!is_subscribed());
    fd = open_tail(path);
    memset(line, 'x', sizeof line - 1);
    for (int i = 0; i < 2000 && is_subscribed(); i++)
        tell_subscriber("APP", 1, line);
    ck_assert(!is_subscribed());
    close(fd);
    /* and one that is still open when the API ends */
    fd = open_tail(path);
    close(fd);
}
END_TEST

START_TEST(a_stream_is_for_those_who_may_see_the_app) {
    char app[GUID_SIZE], url[100], guid[GUID_SIZE];
    make_app(app);
    snprintf(url, sizeof url, "/tail/?app=%s", app);
    struct answer a = ask_full(&(struct question){.method = "GET", .url = url});
    ck_assert_int_eq(a.status, 401);
    answer_fini(&a);
    char *bob = other_user("bob", guid);
    a = ask_full(&(struct question){.method = "GET", .url = url, .authorization = bob});
    ck_assert_int_eq(a.status, 404);
    answer_fini(&a);
    free(bob);
    a = want(400, "GET", url, NULL); /* no handshake */
    answer_fini(&a);
    a = want(404, "GET", "/tail/", NULL);
    answer_fini(&a);
}
END_TEST

/* The parts of a multipart answer, split as the CLIs do. */
static size_t split(const struct answer *a, const char *type, struct slice *parts, size_t max) {
    char boundary[100];
    const char *mark = strstr(type, "boundary=");
    ck_assert_ptr_nonnull(mark);
    int dash = snprintf(boundary, sizeof boundary, "--%s", mark + strlen("boundary="));
    size_t n = 0;
    for (char *p = memmem(a->text, a->text_n, boundary, (size_t)dash); p;) {
        p += dash;
        if (memcmp(p, "--", 2) == 0)
            return n;
        ck_assert_mem_eq(p, "\r\n\r\n", 4);
        char *start = p + 4,
             *next = memmem(start, a->text_n - (size_t)(start - a->text), boundary, (size_t)dash);
        ck_assert_ptr_nonnull(next);
        ck_assert_uint_lt(n, max);
        parts[n++] = (struct slice){start, (size_t)(next - start) - 2};
        p = next;
    }
    ck_abort_msg("no closing boundary");
    return 0;
}

START_TEST(recent_lines_come_oldest_first_in_both_dialects) {
    char app[GUID_SIZE], url[100];
    struct slice parts[4];
    make_app(app);
    say(app, "STG", 1000, "one");
    say(app, "APP/PROC/WEB", 2000, "two");
    snprintf(url, sizeof url, "/recent?app=%s", app);
    struct answer a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(split(&a, last_type, parts, 4), 2);
    Loggregator__LogMessage *m =
        loggregator__log_message__unpack(NULL, parts[1].n, (const uint8_t *)parts[1].p);
    ck_assert_ptr_nonnull(m);
    ck_assert_mem_eq(m->message.data, "two", 3);
    ck_assert_int_eq(m->timestamp, 2000);
    loggregator__log_message__free_unpacked(m, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/apps/%s/recentlogs", app);
    a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(split(&a, last_type, parts, 4), 2);
    Loggregator__DropsondeEnvelope *e =
        loggregator__dropsonde_envelope__unpack(NULL, parts[0].n, (const uint8_t *)parts[0].p);
    ck_assert_ptr_nonnull(e);
    ck_assert_mem_eq(e->log_message->message.data, "one", 3);
    ck_assert_int_eq(e->log_message->timestamp, 1000);
    loggregator__dropsonde_envelope__free_unpacked(e, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/apps/%s/containermetrics", app);
    a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(split(&a, last_type, parts, 4), 0);
    answer_fini(&a);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        the_handshake_is_the_one_of_the_rfc,
        frames_are_read_strictly,
        headers_tell_every_length,
        tail_sends_a_frame_a_line_until_the_reader_goes,
        a_frame_out_of_order_ends_the_stream,
        a_reader_that_goes_or_lags_is_let_go,
        a_stream_is_for_those_who_may_see_the_app,
        recent_lines_come_oldest_first_in_both_dialects,
    };
    Suite *suite = suite_create("api/websocket");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 30);
    tcase_add_checked_fixture(all, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
