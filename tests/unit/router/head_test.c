#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "router/head.h"

static struct head head;

/* What becomes of a whole request head: 0 when accepted, else the status it is refused with. */
static int verdict(const char *p, size_t n) {
    struct refusal why = {0};
    size_t scanned = 0;
    ssize_t end = head_end(p, n, &scanned, true);
    if (end < 0)
        return 400;
    ck_assert_int_eq(end, n);
    return head_parse_request(&head, (struct slice){p, n}, &why) < 0 ? why.status : 0;
}

#define GET  "GET / HTTP/1.1\r\n"
#define H    "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

/* The vectors are numbered as in RFC 9112's sections or by what they attack. */
START_TEST(requests_are_refused_when_two_parsers_could_differ) {
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        /* framing */
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
        {POST "Content-Length: 5, 5\r\n\r\n", 400},
        {POST "Content-Length: +5\r\n\r\n", 400},
        {POST "Content-Length: -1\r\n\r\n", 400},
        {POST "Content-Length: 0x5\r\n\r\n", 400},
        {POST "Content-Length: 5 5\r\n\r\n", 400},
        {POST "Content-Length: 5;\r\n\r\n", 400},
        {POST "Content-Length: \xef\xbc\x95\r\n\r\n", 400},
        {POST "Content-Length:\r\n\r\n", 400},
        {POST "Content-Length: 9223372036854775808\r\n\r\n", 400},
        {POST "Content-Length: 18446744073709551621\r\n\r\n", 400},
        {POST "Content-Length: 5000000000000000000\r\n\r\n", 400},
        {POST "Content-Length: 4000000000000000000\r\n\r\n", 0},
        {POST "Content-Length: 0\r\n\r\n", 0},
        {POST "Content-Length: \t5 \r\n\r\n", 0},
        {POST "Transfer-Encoding: identity\r\n\r\n", 501},
        {POST "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
        {POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 501},
        {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
        {POST "Transfer-Encoding: ,chunked\r\n\r\n", 501},
        {POST "Transfer-Encoding:\r\n\r\n", 501},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400},
        {POST "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n",
         400},
        {POST "Transfer-Encoding: \x0c"
              "chunked\r\n\r\n",
         400},
        {POST "Transfer-Encoding: CHUNKED\r\n\r\n", 0},
        {POST "tRANSFER-eNCODING:\tchunked \t\r\n\r\n", 0},
        {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding : chunked\r\n\r\n", 400},
        {POST " Transfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer_Encoding: chunked\r\n\r\n", 0},
        {POST "X: y\nTransfer-Encoding: chunked\r\n\r\n", 400},
        /* lines and fields */
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        {GET "Host: a\n\r\n", 400},
        {GET H "X: a\rb\r\n\r\n", 400},
        {GET H "X: a\r\n b\r\n\r\n", 400},
        {GET H "X: a\r\n\tb\r\n\r\n", 400},
        {GET " X: a\r\n" H "\r\n", 400},
        {GET H "X : a\r\n\r\n", 400},
        {GET H "X\t: a\r\n\r\n", 400},
        {GET H "X: a\x01\r\n\r\n", 400},
        {GET H "X: a\x7f\r\n\r\n", 400},
        {GET H "X: \xc3\xa9\t\x80\xff\r\n\r\n", 0},
        {GET H "X(: a\r\n\r\n", 400},
        {GET H ": a\r\n\r\n", 400},
        {GET H "no colon\r\n\r\n", 400},
        {GET H "N\xc3\xa9: a\r\n\r\n", 400},
        {GET H "X:\r\n\r\n", 0},
        /* request line */
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET\t/ HTTP/1.1\r\n" H "\r\n", 400},
        {" GET / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.10\r\n" H "\r\n", 400},
        {"GET / HTTP/1.2\r\n" H "\r\n", 0},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/0.9\r\n" H "\r\n", 400},
        {"GET /\r\n" H "\r\n", 400},
        {"GET / HTTPS/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
        {"GET / HTTP/1.1x\r\n" H "\r\n", 400},
        {"get / HTTP/1.1\r\n" H "\r\n", 0},
        {"G(T / HTTP/1.1\r\n" H "\r\n", 400},
        {"BREW /pot HTTP/1.1\r\n" H "\r\n", 0},
        {"CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 405},
        {"TRACE / HTTP/1.1\r\n" H "\r\n", 405},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
        {"GET * HTTP/1.1\r\n" H "\r\n", 400},
        {"GET *x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /# HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /%zz%00%2f/../?a={\"b\"}|^` HTTP/1.1\r\n" H "\r\n", 0},
        {"GET //x HTTP/1.1\r\n" H "\r\n", 0},
        {"GET http://b/x HTTP/1.1\r\n" H "\r\n", 0},
        {"GET http://u@b/x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http:///x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http:/x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http:// HTTP/1.1\r\n" H "\r\n", 400},
        {"GET ftp://b/x HTTP/1.1\r\n" H "\r\n", 400},
        {"GET b/x HTTP/1.1\r\n" H "\r\n", 400},
        /* Host */
        {GET "\r\n", 400},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {GET H H "\r\n", 400},
        {GET "Host: a b\r\n\r\n", 400},
        {GET "Host: a/b\r\n\r\n", 400},
        {GET "Host: u@a\r\n\r\n", 400},
        {GET "Host: a:\r\n\r\n", 400},
        {GET "Host: a:65536\r\n\r\n", 400},
        {GET "Host: a:123456\r\n\r\n", 400},
        {GET "Host: a:8x\r\n\r\n", 400},
        {GET "Host: a:80:80\r\n\r\n", 400},
        {GET "Host: a:65535\r\n\r\n", 0},
        {GET "Host: [::1]:80\r\n\r\n", 0},
        {GET "Host: [::1\r\n\r\n", 400},
        {GET "Host: [::1]x\r\n\r\n", 400},
        {GET "Host: a.\r\n\r\n", 0},
        {GET "Host:\r\n\r\n", 0},
        /* others */
        {POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", 0},
        {POST "Expect: foo\r\n\r\n", 417},
        {"POST / HTTP/1.0\r\nHost: a\r\nExpect: foo\r\n\r\n", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(verdict(rows[i].text, strlen(rows[i].text)) == rows[i].status,
                      "row %zu: %s -> %d, not %d", i, rows[i].text,
                      verdict(rows[i].text, strlen(rows[i].text)), rows[i].status);
    static const char nul_in_value[] = GET H "X: a\0b\r\n\r\n",
                      nul_in_name[] = GET H "X\0: b\r\n\r\n";
    ck_assert_int_eq(verdict(nul_in_value, sizeof nul_in_value - 1), 400);
    ck_assert_int_eq(verdict(nul_in_name, sizeof nul_in_name - 1), 400);
}
END_TEST

static void parse(const char *text) {
    ck_assert_msg(verdict(text, strlen(text)) == 0, "%s", text);
}

#define EQ(slice, text)                                                                            \
    ck_assert_msg(slice_eq(slice, slice_of(text)), "%.*s is not %s", (int)(slice).n, (slice).p,    \
                  text)

START_TEST(targets_come_in_origin_form_and_hosts_without_port) {
    parse("GET /a/b?c=d?e HTTP/1.1\r\nHost: App.Example.:8080\r\n\r\n");
    EQ(head.target, "/a/b?c=d?e");
    EQ(head.path, "/a/b");
    EQ(head.host, "App.Example.:8080");
    EQ(head.host_name, "App.Example");
    parse("GET http://other.example:81/x?y HTTP/1.1\r\nHost: app\r\n\r\n");
    EQ(head.target, "/x?y");
    EQ(head.host, "other.example:81");
    EQ(head.host_name, "other.example");
    parse("GET HTTP://other.example?y HTTP/1.1\r\nHost: app\r\n\r\n");
    ck_assert(head.add_slash);
    EQ(head.target, "?y");
    EQ(head.path, "");
    parse("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");
    EQ(head.host_name, "[2001:db8::1]");
    parse("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    EQ(head.host_name, "");
}
END_TEST

START_TEST(connection_decides_on_persistence_and_names_what_goes_no_further) {
    static const struct {
        const char *text;
        bool keep;
    } rows[] = {
        {GET H "\r\n", true},
        {GET H "Connection: close\r\n\r\n", false},
        {GET H "Connection: keep-alive, Close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n" H "\r\n", false},
        {"GET / HTTP/1.0\r\n" H "Connection: Keep-Alive\r\n\r\n", true},
        {GET H "Connection: x\r\nConnection: close\r\n\r\n", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        parse(rows[i].text);
        ck_assert_msg(head.keep_alive == rows[i].keep, "row %zu", i);
    }
    parse(GET H "Connection: X-Foo, host, X-Forwarded-For ,Cookie\r\nx-foo: 1\r\nCookie: c\r\n"
                "X-Forwarded-For: 1\r\n\r\n");
    for (unsigned i = 0; i < head.count; i++)
        ck_assert_msg(head.fields[i].dropped ==
                          slice_eq_nocase(head.fields[i].name, SLICE_LIT("x-foo")),
                      "field %u", i);
}
END_TEST

START_TEST(upgrades_count_only_when_connection_asks_and_no_body_comes) {
    static const struct {
        const char *text, *upgrade;
    } rows[] = {
        {GET H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "websocket"},
        {GET H "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n\r\n", "WebSocket"},
        {GET H "Upgrade: websocket\r\n\r\n", ""},
        {GET H "Connection: upgrade\r\n\r\n", ""},
        {GET H "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
         ""},
        {POST "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n", ""},
        {"GET / HTTP/1.0\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        parse(rows[i].text);
        EQ(head.upgrade, rows[i].upgrade);
    }
}
END_TEST

START_TEST(too_many_fields_are_431_and_too_many_connection_names_400) {
    _cleanup_(strbuf_fini) struct strbuf b = {0};
    strbuf_puts(&b, GET H);
    for (int i = 1; i < HEAD_MAX_FIELDS; i++)
        strbuf_printf(&b, "X-%d: y\r\n", i);
    size_t full = b.n;
    strbuf_puts(&b, "\r\n");
    ck_assert_int_eq(verdict(b.p, b.n), 0);
    b.n = full;
    strbuf_puts(&b, "One-More: y\r\n\r\n");
    ck_assert_int_eq(verdict(b.p, b.n), 431);
    strbuf_clear(&b);
    strbuf_puts(&b, GET H "Connection: a");
    for (int i = 0; i < HEAD_MAX_CONNECTION_NAMES; i++)
        strbuf_puts(&b, ",b");
    strbuf_puts(&b, "\r\n\r\n");
    ck_assert_int_eq(verdict(b.p, b.n), 400);
}
END_TEST

START_TEST(the_end_of_a_head_is_found_whatever_the_pieces) {
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2";
    for (size_t step = 1; step < sizeof text; step++) {
        size_t scanned = 0, n = 0;
        ssize_t end = 0;
        while (end == 0 && n < sizeof text - 1) {
            n = MIN(n + step, sizeof text - 1);
            end = head_end(text, n, &scanned, true);
        }
        ck_assert_int_eq(end, sizeof text - 1 - 6);
    }
    size_t scanned = 0;
    ck_assert_int_eq(head_end("A: b\nC: d\n\n", 11, &scanned, false), 11);
    scanned = 0;
    ck_assert_int_eq(head_end("A: b\r\n\n", 7, &scanned, false), 7);
}
END_TEST

static int response_verdict(const char *text, bool to_head) {
    struct refusal why = {0};
    return head_parse_response(&head, slice_of(text), to_head, &why) < 0 ? why.status : 0;
}

START_TEST(responses_are_framed_or_refused) {
    static const struct {
        const char *text;
        bool to_head;
        int status;
        enum body_kind body;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 0, BODY_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, BODY_NONE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 0, BODY_NONE},
        {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", false, 0, BODY_NONE},
        {"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", false, 0, BODY_NONE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0, BODY_CHUNKED},
        {"HTTP/1.1 200\r\n\r\n", false, 0, BODY_UNTIL_CLOSE},
        {"HTTP/1.0 200 OK\nA: b\n\n", false, 0, BODY_UNTIL_CLOSE},
        {"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false, 0, BODY_NONE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false, 502,
         0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", false, 502, 0},
        {"HTTP/2.0 200 OK\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 99 OK\r\n\r\n", false, 502, 0},
        {"HTTP/1.1 2000 OK\r\n\r\n", false, 502, 0},
        {"HTTP/1.1  200 OK\r\n\r\n", false, 502, 0},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, 502, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ck_assert_msg(response_verdict(rows[i].text, rows[i].to_head) == rows[i].status, "row %zu",
                      i);
        if (!rows[i].status)
            ck_assert_msg(head.body == rows[i].body, "row %zu: body %d", i, head.body);
    }
}
END_TEST

START_TEST(every_known_field_is_found_in_any_case_and_no_other) {
    ck_assert_int_eq(field_find(SLICE_LIT("HOST")), FIELD_HOST);
    ck_assert_int_eq(field_find(SLICE_LIT("x-Forwarded-client-CERT")),
                     FIELD_X_FORWARDED_CLIENT_CERT);
    ck_assert_int_eq(field_find(SLICE_LIT("transfer_encoding")), FIELD_OTHER);
    ck_assert_int_eq(field_find(SLICE_LIT("Hos")), FIELD_OTHER);
    ck_assert_int_eq(field_find(SLICE_LIT("")), FIELD_OTHER);
    ck_assert_int_eq(field_find(SLICE_LIT("x-forwarded-client-certx")), FIELD_OTHER);
}
END_TEST

RUN_TESTS("router/head", requests_are_refused_when_two_parsers_could_differ,
          targets_come_in_origin_form_and_hosts_without_port,
          connection_decides_on_persistence_and_names_what_goes_no_further,
          upgrades_count_only_when_connection_asks_and_no_body_comes,
          too_many_fields_are_431_and_too_many_connection_names_400,
          the_end_of_a_head_is_found_whatever_the_pieces, responses_are_framed_or_refused,
          every_known_field_is_found_in_any_case_and_no_other)
