#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "common/registry/reference.h"

#define HEX64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA    "sha256:" HEX64
#define TEN(s) s s s s s s s s s s

START_TEST(references_are_split_into_their_parts) {
    static const struct {
        const char *text, *registry, *repository, *tag, *digest;
    } rows[] = {
        {"ubuntu", "docker.io", "library/ubuntu", "latest", ""},
        {"ubuntu:22.04", "docker.io", "library/ubuntu", "22.04", ""},
        {"org/app", "docker.io", "org/app", "latest", ""},
        {"images/lattice-app", "docker.io", "images/lattice-app", "latest", ""},
        {"docker.io/app", "docker.io", "library/app", "latest", ""},
        {"docker.io/org/app", "docker.io", "org/app", "latest", ""},
        {"index.docker.io/org/app", "docker.io", "org/app", "latest", ""},
        {"localhost/app", "localhost", "app", "latest", ""},
        {"localhost:5000/app", "localhost:5000", "app", "latest", ""},
        {"localhost:5000", "docker.io", "library/localhost", "5000", ""},
        {"reg.example:5000/a/b/c:t", "reg.example:5000", "a/b/c", "t", ""},
        {"REG.Example/app", "reg.example", "app", "latest", ""},
        {"a.b/c@" SHA, "a.b", "c", "", SHA},
        {"c:t@" SHA, "docker.io", "library/c", "t", SHA},
        {"c@" SHA, "docker.io", "library/c", "", SHA},
        {"[::1]:5000/app", "[::1]:5000", "app", "latest", ""},
        {"[fe80::1]/app:1", "[fe80::1]", "app", "1", ""},
        {"127.0.0.1:5000/a", "127.0.0.1:5000", "a", "latest", ""},
        {"a__b/c-d.e--f_g", "docker.io", "a__b/c-d.e--f_g", "latest", ""},
        {"app:_T.a-G", "docker.io", "library/app", "_T.a-G", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct reference ref;
        struct error err = {0};
        ck_assert_msg(reference_parse(rows[i].text, &ref, &err) == 0, "%s: %s", rows[i].text,
                      err.msg);
        ck_assert_str_eq(ref.registry, rows[i].registry);
        ck_assert_str_eq(ref.repository, rows[i].repository);
        ck_assert_str_eq(ref.tag, rows[i].tag);
        ck_assert_str_eq(ref.digest, rows[i].digest);
        ck_assert_str_eq(reference_version(&ref), *rows[i].digest ? rows[i].digest : rows[i].tag);
    }
}
END_TEST

START_TEST(what_is_no_reference_is_refused_with_a_reason) {
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "empty"},
        {"http://x", "scheme"},
        {"docker://ubuntu", "scheme"},
        {"UPPER/case", "lower case"},
        {"Ubuntu", "lower case"},
        {"a/B", "lower case"},
        {"/app", "repository"},
        {"app/", "repository"},
        {"a//b", "repository"},
        {"a.b//c", "repository"},
        {"-app", "repository"},
        {"app-", "repository"},
        {"a..b", "repository"},
        {"a___b", "repository"},
        {"a._b", "repository"},
        {"../etc", "registry"},
        {"a/../b", "repository"},
        {"a b", "repository"},
        {"caf\xc3\xa9", "repository"},
        {"reg:0/app", "registry"},
        {"reg:70000/app", "registry"},
        {"reg:/app", "registry"},
        {"reg:x/app", "registry"},
        {"-reg.a/app", "registry"},
        {"reg..a/app", "registry"},
        {"user@reg.a/app", "sha256"},
        {"[::1/app", "registry"},
        {"[::1]x/app", "registry"},
        {"[]:1/app", "registry"},
        {"app:", "tag"},
        {"app:.a", "tag"},
        {"app:-a", "tag"},
        {"app:a b", "tag"},
        {"app:a:b", "repository"},
        {"app@sha256:abc", "sha256"},
        {"app@" SHA "0", "sha256"},
        {"app@sha512:" HEX64, "sha256"},
        {"app@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "sha256"},
        {"app@" SHA "@" SHA, "sha256"},
        {"@" SHA, "repository"},
        {":tag", "repository"},
        {"app:" TEN("0123456789abc"), "tag"},
        {TEN("0123456789") TEN("0123456789") TEN("0123456789"), "too long"},
        {TEN("0123456789") TEN("0123456789") TEN("0123456789") ".a/x", "registry"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct reference ref = {.tag = "untouched"};
        struct error err = {0};
        ck_assert_msg(reference_parse(rows[i].text, &ref, &err) == -EINVAL, "%s was taken",
                      rows[i].text);
        ck_assert_msg(strstr(err.msg, rows[i].why) != NULL, "%s: %s", rows[i].text, err.msg);
        ck_assert_str_eq(ref.tag, "untouched");
        ck_assert_msg(str_is_utf8(err.msg, strlen(err.msg)), "%s", rows[i].text);
    }
}
END_TEST

START_TEST(the_longest_parts_fit) {
    struct reference ref;
    struct error err = {0};
    char tag[129], text[600];
    memset(tag, 't', 128);
    tag[128] = '\0';
    snprintf(text, sizeof text, "a.b/%0251d:%s@" SHA, 0, tag);
    ck_assert_msg(reference_parse(text, &ref, &err) == 0, "%s", err.msg);
    ck_assert_uint_eq(strlen(ref.repository), 251);
    ck_assert_str_eq(ref.tag, tag);
    char back[600], small[10];
    reference_format(&ref, back, sizeof back);
    ck_assert_str_eq(back, text);
    reference_format(&ref, small, sizeof small);
    ck_assert_str_eq(small, "a.b/00000");
}
END_TEST

START_TEST(what_was_parsed_reads_the_same_when_formatted) {
    static const char letters[] = "ab1.-_/:@A[]";
    struct rng rng = {42};
    unsigned taken = 0;
    for (int i = 0; i < 200000; i++) {
        char text[16] = "", back[600], again[600];
        size_t n = 1 + rng_below(&rng, sizeof text - 1);
        struct reference ref, copy;
        for (size_t k = 0; k < n; k++)
            text[k] = letters[rng_below(&rng, sizeof letters - 1)];
        text[n < sizeof text ? n : sizeof text - 1] = '\0';
        if (reference_parse(text, &ref, NULL) < 0)
            continue;
        taken++;
        reference_format(&ref, back, sizeof back);
        ck_assert_msg(reference_parse(back, &copy, NULL) == 0, "%s -> %s", text, back);
        reference_format(&copy, again, sizeof again);
        ck_assert_str_eq(back, again);
    }
    ck_assert_uint_gt(taken, 1000);
}
END_TEST

RUN_TESTS("registry/reference", references_are_split_into_their_parts,
          what_is_no_reference_is_refused_with_a_reason, the_longest_parts_fit,
          what_was_parsed_reads_the_same_when_formatted)
