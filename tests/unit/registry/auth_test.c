#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/registry/auth.h"

#define BEARER "WWW-Authenticate: Bearer realm=\"https://auth.test/t?a=b\",service=\"reg test\""

static struct registry_source source(const char *username) {
    return (struct registry_source){
        .host = (char *)"reg.test",
        .username = (char *)username,
        .password = username ? (char *)"secret" : NULL,
    };
}

static int challenged(struct registry_auth *a, const char *line, enum auth_next *next,
                      struct error *err) {
    const char *const headers[] = {"Content-Type: x", line, NULL};
    return registry_auth_challenged(a, headers, SLICE_LIT(""), next, err);
}

START_TEST(a_token_is_asked_for_with_service_and_scope) {
    struct registry_source s = source("bob");
    struct registry_auth a = {0};
    enum auth_next next;
    struct error err = {0};
    ck_assert_int_eq(registry_auth_init(&a, &s, "org/app", &err), 0);
    ck_assert_ptr_null(a.header);
    ck_assert_int_eq(challenged(&a, BEARER, &next, &err), 0);
    ck_assert_int_eq(next, AUTH_FETCH_TOKEN);
    ck_assert_str_eq(a.token_url, "https://auth.test/t?a=b&account=bob&service=reg%20test&"
                                  "scope=repository%3Aorg%2Fapp%3Apull");
    ck_assert_int_eq(registry_auth_token(&a, 200, SLICE_LIT("{\"token\":\"abc.def\"}"), &err), 0);
    ck_assert_str_eq(a.header, "Authorization: Bearer abc.def");
    ck_assert_int_eq(challenged(&a, BEARER, &next, &err), -EACCES); /* refused with a new token */
    ck_assert_ptr_nonnull(strstr(err.msg, "this user may not pull"));
    registry_auth_fini(&a);
}
END_TEST

START_TEST(basic_is_used_when_there_are_credentials) {
    struct registry_source with = source("bob"), without = source(NULL);
    struct registry_auth a = {0};
    enum auth_next next;
    struct error err = {0};
    registry_auth_init(&a, &with, "org/app", &err);
    ck_assert_int_eq(challenged(&a, "WWW-Authenticate: Basic realm=\"x\"", &next, &err), 0);
    ck_assert_int_eq(next, AUTH_ASK_AGAIN);
    ck_assert_str_eq(a.header, "Authorization: Basic Ym9iOnNlY3JldA==");
    ck_assert_int_eq(challenged(&a, "WWW-Authenticate: Basic realm=\"x\"", &next, &err), -EACCES);
    ck_assert_str_eq(err.msg, "the user name or password is wrong");
    registry_auth_fini(&a);
    registry_auth_init(&a, &without, "org/app", &err);
    ck_assert_int_eq(challenged(&a, "WWW-Authenticate: Basic realm=\"x\"", &next, &err), -EACCES);
    ck_assert_ptr_nonnull(strstr(err.msg, "authentication is required"));
    registry_auth_fini(&a);
}
END_TEST

START_TEST(of_several_headers_bearer_wins_but_never_over_plain_http) {
    const char *const both[] = {"WWW-Authenticate: Negotiate",
                                "www-authenticate: Basic realm=\"x\"", BEARER, NULL};
    const char *const plain[] = {"WWW-Authenticate: Bearer realm=\"http://auth.test/\"",
                                 "WWW-Authenticate: Basic realm=\"x\"", NULL};
    struct registry_source with = source("bob"), without = source(NULL);
    struct registry_auth a = {0};
    enum auth_next next;
    struct error err = {0};
    registry_auth_init(&a, &with, "org/app", &err);
    ck_assert_int_eq(registry_auth_challenged(&a, both, SLICE_LIT(""), &next, &err), 0);
    ck_assert_int_eq(next, AUTH_FETCH_TOKEN);
    ck_assert_int_eq(registry_auth_challenged(&a, plain, SLICE_LIT(""), &next, &err), 0);
    ck_assert_int_eq(next, AUTH_ASK_AGAIN);
    registry_auth_fini(&a);
    registry_auth_init(&a, &without, "org/app", &err);
    ck_assert_int_eq(challenged(&a, plain[0], &next, &err), -EPROTO);
    ck_assert_ptr_nonnull(strstr(err.msg, "https"));
    ck_assert_int_eq(challenged(&a, "WWW-Authenticate: Negotiate", &next, &err), -EACCES);
    ck_assert_int_eq(challenged(&a, "X: y", &next, &err), -EACCES);
    registry_auth_fini(&a);
}
END_TEST

START_TEST(token_answers_are_checked) {
    static const struct {
        int status;
        const char *body, *user;
        int code;
        const char *text;
    } rows[] = {
        {200, "{\"access_token\":\"x\",\"expires_in\":300}", NULL, 0, ""},
        {200, "{\"token\":\"\",\"access_token\":\"x\"}", NULL, 0, ""},
        {200, "{\"token\":\"a b\"}", NULL, -EPROTO, "no token"},
        {200, "{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL, -EPROTO, "no token"},
        {200, "{\"token\":7}", NULL, -EPROTO, "no token"},
        {200, "{}", NULL, -EPROTO, "no token"},
        {200, "nonsense", NULL, -EPROTO, "no token"},
        {401, "", "bob", -EACCES, "wrong"},
        {403, "", NULL, -EACCES, "required"},
        {500, "", NULL, -EAGAIN, "token server"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct registry_source s = source(rows[i].user);
        struct registry_auth a = {0};
        struct error err = {0};
        registry_auth_init(&a, &s, "org/app", &err);
        ck_assert_msg(registry_auth_token(&a, rows[i].status, slice_of(rows[i].body), &err) ==
                          rows[i].code,
                      "%s: %s", rows[i].body, err.msg);
        ck_assert_msg(strstr(err.msg, rows[i].text) != NULL, "%s", err.msg);
        registry_auth_fini(&a);
    }
}
END_TEST

/* Accepts a token and tells whether `other` then begins with it. */
static bool remembered(const struct registry_source *s, const char *repository,
                       const struct registry_source *other, const char *other_repository,
                       const char *answer) {
    struct registry_auth a = {0}, b = {0};
    struct error err = {0};
    registry_auth_init(&a, s, repository, &err);
    ck_assert_int_eq(registry_auth_token(&a, 200, slice_of(answer), &err), 0);
    registry_auth_init(&b, other, other_repository, &err);
    ck_assert_ptr_null(b.header); /* only what was accepted is kept */
    registry_auth_accepted(&a);
    registry_auth_init(&b, other, other_repository, &err);
    bool same = str_eq(a.header, b.header);
    registry_auth_fini(&a);
    registry_auth_fini(&b);
    return same;
}

START_TEST(an_accepted_token_is_remembered_for_the_same_credentials_only) {
    struct registry_source bob = source("bob"), none = source(NULL), other = source("bob");
    struct registry_source eve = source("bob");
    other.host = (char *)"mirror.test";
    eve.password = (char *)"guess";
    const char *token = "{\"token\":\"abc\",\"expires_in\":300}";
    ck_assert(!remembered(&bob, "one", &none, "one", token));
    ck_assert(!remembered(&bob, "one", &eve, "one", token));
    ck_assert(!remembered(&bob, "one", &other, "one", token));
    ck_assert(!remembered(&bob, "one", &bob, "two", token));
    ck_assert(remembered(&bob, "three", &bob, "three", token));
}
END_TEST

START_TEST(a_remembered_header_that_is_refused_is_forgotten) {
    struct registry_source s = source("bob");
    struct registry_auth a = {0};
    enum auth_next next;
    struct error err = {0};
    ck_assert(remembered(&s, "four", &s, "four", "{\"token\":\"abc\"}"));
    registry_auth_init(&a, &s, "four", &err);
    ck_assert_ptr_nonnull(a.header);
    ck_assert_int_eq(challenged(&a, BEARER, &next, &err), 0); /* it had expired: not final */
    registry_auth_fini(&a);
    registry_auth_init(&a, &s, "four", &err);
    ck_assert_ptr_null(a.header);
    registry_auth_fini(&a);
}
END_TEST

START_TEST(the_memory_is_bounded) {
    struct registry_source s = source("bob");
    char repository[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(repository, sizeof repository, "many/%d", i);
        ck_assert(remembered(&s, repository, &s, repository, "{\"token\":\"abc\"}"));
    }
}
END_TEST

RUN_TESTS("registry/auth", a_token_is_asked_for_with_service_and_scope,
          basic_is_used_when_there_are_credentials,
          of_several_headers_bearer_wins_but_never_over_plain_http, token_answers_are_checked,
          an_accepted_token_is_remembered_for_the_same_credentials_only,
          a_remembered_header_that_is_refused_is_forgotten, the_memory_is_bounded)
