#include "tests/unit/lib/runner.h"

#include "common/base/mem.h"
#include "common/registry/challenge.h"

START_TEST(a_bearer_challenge_is_read) {
    struct challenge c[4];
    ck_assert_uint_eq(
        challenge_parse(
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
            "scope=\"repository:library/busybox:pull,push\",error=\"invalid_token\"",
            c, 4),
        1);
    ck_assert_int_eq(c[0].scheme, CHALLENGE_BEARER);
    ck_assert_str_eq(c[0].realm, "https://auth.docker.io/token");
    ck_assert_str_eq(c[0].service, "registry.docker.io");
    ck_assert_str_eq(c[0].error, "invalid_token");
}
END_TEST

START_TEST(lists_of_challenges_are_told_apart) {
    static const struct {
        const char *value;
        size_t count;
        enum challenge_scheme scheme[4];
        const char *last_realm;
    } rows[] = {
        {"", 0, {0}, NULL},
        {" , ,", 0, {0}, NULL},
        {"Basic", 1, {CHALLENGE_BASIC}, ""},
        {"basic realm=x", 1, {CHALLENGE_BASIC}, "x"},
        {"BASIC realm = \"a, b=\\\"c\\\"\"", 1, {CHALLENGE_BASIC}, "a, b=\"c\""},
        {"Basic realm=\"a\", Bearer realm=\"b\"", 2, {CHALLENGE_BASIC, CHALLENGE_BEARER}, "b"},
        {"Negotiate, Basic realm=\"a\"", 2, {CHALLENGE_OTHER, CHALLENGE_BASIC}, "a"},
        {"Negotiate YII/==, Basic realm=\"a\"", 2, {CHALLENGE_OTHER, CHALLENGE_BASIC}, "a"},
        {"Digest qop=\"auth\",nonce=\"x\", Basic realm=\"a\"",
         2,
         {CHALLENGE_OTHER, CHALLENGE_BASIC},
         "a"},
        {"Basic realm=\"a\",, ,Bearer realm=\"b\",", 2, {CHALLENGE_BASIC, CHALLENGE_BEARER}, "b"},
        {"realm=\"a\"", 0, {0}, NULL},
        {"Basic realm=\"open", 0, {0}, NULL},
        {"Basic realm=\"a\", Bearer realm=\"open", 1, {CHALLENGE_BASIC}, "a"},
        {"Basic realm=\"a\" \x01", 1, {CHALLENGE_BASIC}, "a"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct challenge c[4];
        ck_assert_msg(challenge_parse(rows[i].value, c, 4) == rows[i].count, "%s", rows[i].value);
        for (size_t k = 0; k < rows[i].count; k++)
            ck_assert_msg(c[k].scheme == rows[i].scheme[k], "%s", rows[i].value);
        if (rows[i].last_realm)
            ck_assert_str_eq(c[rows[i].count - 1].realm, rows[i].last_realm);
    }
}
END_TEST

START_TEST(too_many_and_too_long_are_bounded) {
    struct challenge c[2];
    char value[3000];
    ck_assert_uint_eq(challenge_parse("A, B, C, D", c, 2), 2);
    ck_assert_uint_eq(challenge_parse("A", c, 0), 0);
    snprintf(value, sizeof value, "Basic realm=\"%02000d\", Bearer realm=\"b\"", 0);
    ck_assert_uint_eq(challenge_parse(value, c, 2), 2);
    ck_assert_str_eq(c[0].realm, "");
    ck_assert_str_eq(c[1].realm, "b");
}
END_TEST

RUN_TESTS("registry/challenge", a_bearer_challenge_is_read, lists_of_challenges_are_told_apart,
          too_many_and_too_long_are_bounded)
