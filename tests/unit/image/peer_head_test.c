#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "cell/image/peer_head.h"
#include "common/base/random.h"
#include "common/base/str.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define GET "GET /layers/sha256:" HEX " HTTP/1.1\r\n"

static int parse(const char *head, struct peer_ask *ret) {
    return peer_ask_parse(head, strlen(head), ret);
}

START_TEST(a_request_comes_through_as_it_was_meant) {
    struct peer_place at = {.address = "10.0.0.7", .port = 7420};
    struct peer_ask ask;
    char buf[PEER_HEAD_MAX];
    memset(at.token, 'a', sizeof at.token - 1);
    size_t n = peer_ask_format(&at, HEX, 1234567890123, 1234567890124, true, buf);
    ck_assert_uint_eq(peer_head_end(buf, n), n);
    ck_assert_int_eq(peer_ask_parse(buf, n, &ask), 0);
    ck_assert_str_eq(ask.hex, HEX);
    ck_assert_uint_eq(ask.blob[1], 0x11);
    ck_assert_str_eq(ask.token, at.token);
    ck_assert_uint_eq(ask.from, 1234567890123);
    ck_assert_uint_eq(ask.size, 1234567890124);
    ck_assert(ask.doubt);
    ck_assert_ptr_nonnull(strstr(buf, "\r\nHost: 10.0.0.7:7420\r\n"));
}
END_TEST

START_TEST(what_is_no_request_for_a_blob_is_refused) {
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {GET "\r\n", 0},
        {GET "host: x\r\nrange: BYTES=5-\r\nauthorization: bearer abc\r\n\r\n", 0},
        {GET "X: \t y z \r\n\r\n", 0},
        {"", 400},
        {"\r\n", 400},
        {"GET\r\n\r\n", 405},
        {"HEAD /layers/sha256:" HEX " HTTP/1.1\r\n\r\n", 405},
        {"GET / HTTP/1.1\r\n\r\n", 404},
        {"GET /layers/ HTTP/1.1\r\n\r\n", 404},
        {"GET /layers/sha256:../../../../../../../../../../../../../../../etc/passwd.. HTTP/1.1\r\n"
         "\r\n",
         404},
        {"GET /layers/sha256:00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff "
         "HTTP/1.1\r\n\r\n",
         404},
        {"GET /layers/sha256:" HEX " HTTP/1.0\r\n\r\n", 404},
        {"GET /layers/sha256:" HEX "0 HTTP/1.1\r\n\r\n", 404},
        {"GET  /layers/sha256:" HEX " HTTP/1.1\r\n\r\n", 404},
        {GET, 400},                 /* no empty line */
        {GET "Host: x\r\n", 400},   /* nor here */
        {GET "Host: x\n\r\n", 400}, /* a bare line feed */
        {GET "Host\r\n\r\n", 400},
        {GET ": x\r\n\r\n", 400},
        {GET "Host : x\r\n\r\n", 400},
        {GET " folded: x\r\n\r\n", 400},
        {GET "Content-Length: 5\r\n\r\n", 400},
        {GET "Transfer-Encoding: chunked\r\n\r\n", 400},
        {GET "\r\nmore", 400},
        {GET "Range: bytes=0-5\r\n\r\n", 0},
        {GET "Range: bytes=5-5\r\n\r\n", 0},
        {GET "Range: bytes=0-9223372036854775808\r\n\r\n", 416},
        {GET "Range: bytes=0-5-\r\n\r\n", 416},
        {GET "Range: bytes=5\r\n\r\n", 416},
        {GET "Range: bytes=-5\r\n\r\n", 416},
        {GET "Range: bytes=-\r\n\r\n", 416},
        {GET "Range: bytes=1-,5-\r\n\r\n", 416},
        {GET "Range: bytes=99999999999999999999-\r\n\r\n", 416},
        {GET "Range: items=0-\r\n\r\n", 416},
        {GET "Range: bytes=0-0,0-0\r\n\r\n", 416},
        {GET "Range: bytes=5-4\r\n\r\n", 416},
        {GET "Range: bytes=+5-\r\n\r\n", 416},
        {GET "Range: bytes= 5-\r\n\r\n", 416},
        {GET "Range: bytes=5-\r\nRange: bytes=9-\r\n\r\n", 416},
        {GET "Authorization: Basic abc\r\n\r\n", 403},
        {GET "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 403},
    };
    struct peer_ask ask;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(parse(rows[i].head, &ask) == rows[i].status, "row %zu: %d", i,
                      parse(rows[i].head, &ask));
    static const char nul[] = GET "X: a\0b\r\n\r\n";
    ck_assert_int_eq(peer_ask_parse(nul, sizeof nul - 1, &ask), 400);
    char longer[PEER_HEAD_MAX] = GET "Authorization: Bearer ";
    memset(longer + strlen(longer), 'a', TOKEN_TEXT_SIZE);
    strcat(longer, "\r\n\r\n");
    ck_assert_int_eq(parse(longer, &ask), 403);
}
END_TEST

START_TEST(an_answer_comes_through_as_it_was_meant) {
    struct peer_answer answer;
    char buf[PEER_HEAD_MAX];
    const uint8_t salt[PEER_SALT_SIZE] = "some salt";
    size_t n = peer_answer_format(206, 100, 1000, salt, buf);
    ck_assert_uint_eq(peer_head_end(buf, n), n);
    ck_assert_int_eq(peer_answer_parse(buf, n, &answer), 0);
    ck_assert_uint_eq(answer.status, 206);
    ck_assert_uint_eq(answer.from, 100);
    ck_assert_uint_eq(answer.length, 900 + PEER_TAG);
    ck_assert(answer.sealed);
    ck_assert_mem_eq(answer.salt, salt, sizeof salt);
    static const unsigned refusals[] = {400, 403, 404, 405, 416, 503};
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        n = peer_answer_format(refusals[i], 0, 1000, NULL, buf);
        ck_assert_int_eq(peer_answer_parse(buf, n, &answer), 0);
        ck_assert_uint_eq(answer.status, refusals[i]);
        ck_assert_uint_eq(answer.length, 0);
    }
}
END_TEST

START_TEST(an_answer_that_is_not_understood_is_refused) {
    static const char *const rows[] = {
        "HTTP/1.1 206 OK\r\n\r\n", /* no length */
        "HTTP/1.0 206 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 2x6 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 5\r\nContent-Range: bytes */5\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 5\r\nContent-Range: 0-4/5\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 5\r\nSalt: 00\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 5\r\nSalt: 0123456789abcdef0123456789abcdeg\r\n\r\n",
        ("HTTP/1.1 206 OK\r\nContent-Length: 5\r\nSalt: 0123456789abcdef0123456789abcdef\r\n"
         "Salt: 0123456789abcdef0123456789abcdef\r\n\r\n"),
        "SSH-2.0-OpenSSH\r\n\r\n",
        "",
    };
    struct peer_answer answer;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(peer_answer_parse(rows[i], strlen(rows[i]), &answer) == -EPROTO, "row %zu",
                      i);
}
END_TEST

START_TEST(no_bytes_whatever_lead_it_astray) {
    struct rng rng = {.state = 1};
    for (int i = 0; i < 50000; i++) {
        char head[256] = GET "Range: bytes=5-\r\nAuthorization: Bearer aa\r\n\r\n";
        size_t n = strlen(head);
        struct peer_ask ask;
        struct peer_answer answer;
        for (int k = 0; k < 4; k++)
            head[rng_below(&rng, n)] = (char)rng_next(&rng);
        n = rng_below(&rng, n + 1);
        peer_ask_parse(head, n, &ask);
        peer_answer_parse(head, n, &answer);
        ck_assert_uint_lt(strlen(ask.token), TOKEN_TEXT_SIZE);
        ck_assert_uint_le(peer_head_end(head, n), n);
    }
}
END_TEST

RUN_TESTS("image/peer_head", a_request_comes_through_as_it_was_meant,
          what_is_no_request_for_a_blob_is_refused, an_answer_comes_through_as_it_was_meant,
          an_answer_that_is_not_understood_is_refused, no_bytes_whatever_lead_it_astray)
