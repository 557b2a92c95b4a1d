#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/registry/answer.h"

START_TEST(refusals_have_a_number_and_the_registrys_words) {
    static const struct {
        int status;
        const char *body;
        int code;
        const char *text;
    } rows[] = {
        {404, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}",
         -ENOENT, "manifest unknown"},
        {404, "<html>", -ENOENT, "not found"},
        {401, "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}", -EACCES, "UNAUTHORIZED"},
        {403, "{\"errors\":[{\"message\":\"denied\"}]}", -EACCES, "denied"},
        {403, "{\"details\":\"incorrect username or password\"}", -EACCES, "incorrect username"},
        {429, "{\"errors\":[{\"message\":\"pull rate limit\\u001b[0m\"}]}", -EAGAIN,
         "pull rate limit?"},
        {503, "", -EAGAIN, "503"},
        {418, "[]", -EPROTO, "418"},
        {500, "{\"errors\":7}", -EAGAIN, "500"},
        {301, "", -EPROTO, "301"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        ck_assert_int_eq(answer_error(rows[i].status, slice_of(rows[i].body), &err), rows[i].code);
        ck_assert_msg(strstr(err.msg, rows[i].text) != NULL, "%s", err.msg);
    }
}
END_TEST

START_TEST(only_what_may_pass_is_asked_again_and_not_for_ever) {
    static const char *const none[] = {NULL};
    ck_assert_int_eq(answer_retry_ms(404, none, 1), -1);
    ck_assert_int_eq(answer_retry_ms(200, none, 1), -1);
    ck_assert_int_eq(answer_retry_ms(503, none, 1), 500);
    ck_assert_int_eq(answer_retry_ms(429, none, 2), 1000);
    ck_assert_int_eq(answer_retry_ms(429, none, 4), 4000);
    ck_assert_int_eq(answer_retry_ms(429, none, ANSWER_MAX_TRIES), -1);
}
END_TEST

START_TEST(retry_after_is_honoured_within_a_minute) {
    char date[64] = "Retry-After: ";
    time_t soon = time(NULL) + 20;
    struct tm tm;
    strftime(date + strlen(date), 40, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &tm));
    const char *const at[] = {date, NULL};
    int64_t ms = answer_retry_ms(429, at, 1);
    ck_assert_msg(ms >= 15000 && ms <= 20000, "%lld", (long long)ms);
    static const struct {
        const char *line;
        int64_t ms;
    } rows[] = {
        {"Retry-After: 0", 0},       {"retry-after: 7", 7000},
        {"Retry-After: 600", 60000}, {"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", 0},
        {"Retry-After: soon", 500},  {"Retry-After: -5", 500},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *const headers[] = {"A: b", rows[i].line, NULL};
        ck_assert_msg(answer_retry_ms(429, headers, 1) == rows[i].ms, "%s", rows[i].line);
    }
}
END_TEST

RUN_TESTS("registry/answer", refusals_have_a_number_and_the_registrys_words,
          only_what_may_pass_is_asked_again_and_not_for_ever,
          retry_after_is_honoured_within_a_minute)
