#include "tests/unit/lib/runner.h"

#include "common/base/mem.h"
#include "router/sticky.h"

#define GUID  "12345678-1234-1234-1234-123456789abc"
#define NAMES "JSESSIONID, sid"

static struct head head;
static struct route *route;

static void make_route(void) {
    struct endpoint_spec specs[] = {{"10.0.0.1", 1, "inst-a", 0}, {"10.0.0.1", 2, "inst-b", 7}};
    ck_assert_int_eq(route_new(&route, "app.example", "/ctx", GUID, "", specs, 2, 0, NULL, NULL),
                     0);
}

static enum sticky_target find(const char *fields, unsigned *endpoint, char *message) {
    struct refusal why;
    _cleanup_(freep) char *text = str_printf("GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    ck_assert_int_eq(head_parse_request(&head, slice_of(text), &why), 0);
    return sticky_find(&head, route, NAMES, endpoint, message);
}

START_TEST(requests_name_their_instance_by_header_or_by_session) {
    static const struct {
        const char *fields;
        enum sticky_target target;
        unsigned endpoint;
    } rows[] = {
        {"", TARGET_NONE, 0},
        {"X-CF-App-Instance: " GUID ":7\r\n", TARGET_PINNED, 1},
        {"X-CF-App-Instance: " GUID ":1\r\n", TARGET_MISSING, 0},
        {"X-CF-App-Instance: 02345678-1234-1234-1234-123456789abc:0\r\n", TARGET_MISSING, 0},
        {"X-CF-App-Instance: " GUID "\r\n", TARGET_MALFORMED, 0},
        {"X-CF-App-Instance: " GUID ":x\r\n", TARGET_MALFORMED, 0},
        {"X-CF-App-Instance: " GUID ":\r\n", TARGET_MALFORMED, 0},
        {"X-CF-App-Instance: 12345678-1234-1234-1234-123456789ABC:0\r\n", TARGET_MALFORMED, 0},
        {"X-CF-App-Instance: nonsense:0\r\n", TARGET_MALFORMED, 0},
        {"Cookie: JSESSIONID=x; __VCAP_ID__=inst-b\r\n", TARGET_SESSION, 1},
        {"Cookie: __VCAP_ID__=inst-a;sid=\r\n", TARGET_SESSION, 0},
        {"Cookie: JSESSIONID=x\r\nCookie: a=b; __VCAP_ID__=inst-b\r\n", TARGET_SESSION, 1},
        {"Cookie: __VCAP_ID__=inst-b\r\n", TARGET_NONE, 0},
        {"Cookie: JSESSIONID=x\r\n", TARGET_NONE, 0},
        {"Cookie: JSESSIONID=x; __VCAP_ID__=gone\r\n", TARGET_SESSION_LOST, 0},
        {"Cookie: ;;=; JSESSIONID\r\n", TARGET_NONE, 0},
    };
    char message[STICKY_MESSAGE_MAX];
    make_route();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned endpoint = ROUTE_NONE;
        ck_assert_msg(find(rows[i].fields, &endpoint, message) == rows[i].target, "row %zu", i);
        if (rows[i].target == TARGET_PINNED || rows[i].target == TARGET_SESSION)
            ck_assert_msg(endpoint == rows[i].endpoint, "row %zu", i);
        if (rows[i].target == TARGET_MISSING)
            ck_assert_ptr_nonnull(strstr(message, "does not exist for route ('app.example')"));
    }
    route_unref(route);
}
END_TEST

static const char *cookie(const char *fields, bool lost) {
    static char buf[STICKY_COOKIE_MAX + 1];
    struct refusal why;
    _cleanup_(freep) char *text = str_printf("HTTP/1.1 200 OK\r\n%s\r\n", fields);
    ck_assert_int_eq(head_parse_response(&head, slice_of(text), false, &why), 0);
    struct slice value = sticky_cookie(&head, NAMES, route, &route->endpoints[1], lost, buf);
    buf[value.n] = 0;
    return buf;
}

START_TEST(a_session_cookie_of_the_app_is_followed_by_ours) {
    make_route();
    ck_assert_str_eq(cookie("", false), "");
    ck_assert_str_eq(cookie("Set-Cookie: other=1\r\n", false), "");
    ck_assert_str_eq(cookie("Set-Cookie: JSESSIONID=1\r\n", false),
                     "__VCAP_ID__=inst-b; Path=/ctx; HttpOnly");
    ck_assert_str_eq(cookie("Set-Cookie: a=1\r\nSet-Cookie: sid=1; Path=/; Secure; Max-Age=60; "
                            "SameSite=Lax; Expires=Thu, 01 Jan 2026 00:00:00 GMT; Partitioned\r\n",
                            false),
                     "__VCAP_ID__=inst-b; Path=/ctx; HttpOnly; SameSite=Lax; "
                     "Expires=Thu, 01 Jan 2026 00:00:00 GMT; Partitioned; Secure");
    ck_assert_str_eq(cookie("Set-Cookie: sid=; Max-Age=-1\r\n", false),
                     "__VCAP_ID__=inst-b; Path=/ctx; HttpOnly; Max-Age=0");
    ck_assert_str_eq(cookie("Set-Cookie: sid=1\r\nSet-Cookie: __VCAP_ID__=own\r\n", false), "");
    ck_assert_str_eq(cookie("", true), "__VCAP_ID__=inst-b; Path=/ctx; HttpOnly");
    _cleanup_(freep) char *huge = str_printf("Set-Cookie: sid=1; SameSite=%02000d\r\n", 1);
    ck_assert_str_eq(cookie(huge, false), "");
    route_unref(route);
}
END_TEST

RUN_TESTS("router/sticky", requests_name_their_instance_by_header_or_by_session,
          a_session_cookie_of_the_app_is_followed_by_ours)
