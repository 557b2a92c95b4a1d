#include "tests/unit/lib/runner.h"

#include "common/base/mem.h"
#include "router/answer.h"
#include "router/rewrite.h"

static struct head head;
static char out[8192];

static const char *request(const char *text, bool override) {
    struct refusal why;
    struct request_facts facts = {
        .client_ip = SLICE_LIT("192.0.2.7"),
        .proto = SLICE_LIT("https"),
        .override_proto = override,
        .start_ms = 1234567890123,
        .request_id = SLICE_LIT("ID"),
        .app_guid = SLICE_LIT("APP"),
        .instance_id = SLICE_LIT("INST"),
        .instance_index = SLICE_LIT("3"),
    };
    ck_assert_int_eq(head_parse_request(&head, slice_of(text), &why), 0);
    size_t n = rewrite_request(&head, &facts, out, sizeof out - 1);
    ck_assert_uint_gt(n, 0);
    out[n] = 0;
    ck_assert_uint_eq(rewrite_request(&head, &facts, out, n - 1), 0); /* never cut */
    ck_assert_uint_eq(rewrite_request(&head, &facts, out, n), n);
    return out;
}

#define TAIL                                                                                       \
    "X-Vcap-Request-Id: ID\r\nX-Cf-Applicationid: APP\r\nX-Cf-Instanceid: INST\r\n"                \
    "X-Cf-Instanceindex: 3\r\n\r\n"

START_TEST(an_app_sees_what_the_router_vouches_for) {
    ck_assert_str_eq(
        request("GET /p?q HTTP/1.0\r\nHost: App:80\r\nx-foo-BAR: 1\r\nACCEPT: */*\r\n\r\n", false),
        "GET /p?q HTTP/1.1\r\nHost: App:80\r\nX-Foo-Bar: 1\r\nAccept: */*\r\n"
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
        "X-Request-Start: 1234567890123\r\n" TAIL);
    ck_assert_str_eq(
        request(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Vcap-Request-Id: evil\r\n"
            "X-CF-ApplicationID: evil\r\nX-CF-InstanceID: evil\r\nX-CF-InstanceIndex: 9\r\n"
            "X-CF-App-Instance: x:1\r\nX-Forwarded-Proto: http\r\nX-Request-Start: 5\r\n"
            "x-forwarded-for: 2.2.2.2\r\nX-Forwarded-For:\r\n\r\n",
            false),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Start: 5\r\n"
        "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\nX-Forwarded-Proto: http\r\n" TAIL);
    ck_assert_ptr_nonnull(
        strstr(request("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\n\r\n", true),
               "X-Forwarded-Proto: https\r\n"));
    ck_assert_int_eq(strncmp(request("GET http://b:1?x HTTP/1.1\r\nHost: a\r\n\r\n", false),
                             "GET /?x HTTP/1.1\r\nHost: b:1\r\n", 29),
                     0);
}
END_TEST

START_TEST(hop_by_hop_fields_end_here_and_framing_is_said_once) {
    ck_assert_str_eq(
        request("POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive, X-Forwarded-For\r\n"
                "X-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n"
                "TE: gzip, trailers\r\nTrailer: T\r\nTransfer-Encoding: Chunked\r\n"
                "Upgrade: h2c\r\nHTTP2-Settings: x\r\nExpect: 100-continue\r\n"
                "X-Forwarded-For: 1.1.1.1\r\n\r\n",
                false),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
        "Te: trailers\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
        "X-Request-Start: 1234567890123\r\n" TAIL);
    ck_assert_ptr_nonnull(
        strstr(request("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 007\r\n\r\n", false),
               "\r\nContent-Length: 7\r\n"));
    ck_assert_ptr_nonnull(
        strstr(request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false),
               "\r\nContent-Length: 0\r\n"));
    ck_assert_ptr_nonnull(strstr(
        request("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                false),
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
}
END_TEST

static const char *response(const char *text, struct response_facts facts, bool to_head) {
    struct refusal why;
    facts.request_id = SLICE_LIT("ID");
    ck_assert_int_eq(head_parse_response(&head, slice_of(text), to_head, &why), 0);
    size_t n = rewrite_response(&head, &facts, out, sizeof out - 1);
    out[n] = 0;
    return out;
}

START_TEST(a_client_gets_the_apps_head_without_the_hop) {
    struct response_facts plain = {.client_minor = 1, .body = BODY_LENGTH};
    ck_assert_str_eq(response("HTTP/1.0 404 Not Here\nServer: x\nContent-Length: 3\n"
                              "Connection: close, X-Hop\nX-Hop: 1\nKeep-Alive: 3\n"
                              "X-CF-Proxy-Signature: s\nSet-Cookie: a\nSet-Cookie: b\n\n",
                              plain, false),
                     "HTTP/1.1 404 Not Here\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                     "Content-Length: 3\r\nX-Vcap-Request-Id: ID\r\n\r\n");
    struct response_facts chunked = {.client_minor = 1, .body = BODY_CHUNKED, .close = true};
    ck_assert_str_eq(
        response("HTTP/1.1 200 OK\r\nTrailer: T\r\nX-Vcap-Request-Id: own\r\n\r\n", chunked, false),
        "HTTP/1.1 200 OK\r\nTrailer: T\r\nX-Vcap-Request-Id: own\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    struct response_facts old = {.client_minor = 0, .body = BODY_NONE};
    ck_assert_str_eq(response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", old, true),
                     "HTTP/1.0 200 OK\r\nContent-Length: 9\r\nConnection: keep-alive\r\n"
                     "X-Vcap-Request-Id: ID\r\n\r\n");
    struct response_facts none = {.client_minor = 1, .body = BODY_NONE};
    ck_assert_str_eq(response("HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", none, false),
                     "HTTP/1.1 204 No\r\nX-Vcap-Request-Id: ID\r\n\r\n");
    ck_assert_str_eq(response("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", none, false),
                     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    ck_assert_str_eq(
        response("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n", none, false),
        "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: ws\r\nX-Vcap-Request-Id: ID\r\n\r\n");
}
END_TEST

START_TEST(trailers_may_not_carry_what_belongs_in_a_head) {
    struct refusal why;
    static const char text[] =
        "Grpc-Status: 0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        "Host: x\r\nAuthorization: x\r\nCookie: x\r\nSet-Cookie: x\r\n"
        "X-Forwarded-For: x\r\nConnection: x\r\nX-T: 1\r\n";
    ck_assert_int_eq(head_parse_fields(&head, slice_of(text), true, &why), 0);
    size_t n = rewrite_trailers(&head, out, sizeof out);
    out[n] = 0;
    ck_assert_str_eq(out, "Grpc-Status: 0\r\nX-T: 1\r\n\r\n");
}
END_TEST

START_TEST(the_routers_answers_are_gorouters) {
    struct answer a = {.status = 404,
                       .router_error = "unknown_route",
                       .cache_control = "no-cache, no-store",
                       .message = "Requested route ('x') does not exist.",
                       .request_id = SLICE_LIT("ID"),
                       .minor = 1};
    char text[ANSWER_MAX + 1];
    size_t body_n, n = answer_write(&a, text, &body_n);
    text[n] = 0;
    ck_assert_str_eq(
        text, "HTTP/1.1 404 Not Found\r\nCache-Control: no-cache, no-store\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
              "X-Cf-Routererror: unknown_route\r\nX-Vcap-Request-Id: ID\r\n"
              "Content-Length: 53\r\n\r\n404 Not Found: Requested route ('x') does not "
              "exist.\n");
    ck_assert_uint_eq(body_n, 53);
    a.to_head = true;
    text[answer_write(&a, text, &body_n)] = 0;
    ck_assert_uint_eq(body_n, 0);
    ck_assert_ptr_nonnull(strstr(text, "Content-Length: 53\r\n\r\n"));
    struct answer bare = {.status = 431, .message = "", .close = true, .minor = 1};
    text[answer_write(&bare, text, &body_n)] = 0;
    ck_assert_str_eq(text, "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n"
                           "Connection: close\r\n\r\n");
}
END_TEST

RUN_TESTS("router/rewrite", an_app_sees_what_the_router_vouches_for,
          hop_by_hop_fields_end_here_and_framing_is_said_once,
          a_client_gets_the_apps_head_without_the_hop,
          trailers_may_not_carry_what_belongs_in_a_head, the_routers_answers_are_gorouters)
