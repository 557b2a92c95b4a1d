#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/registry/document.h"

#define HEX(c) "sha256:" c c c c c c c c c c c c c c c c
#define A      HEX("aaaa")
#define B      HEX("bbbb")
#define C      HEX("cccc")
#define D      HEX("dddd")

#define GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG                                                                                     \
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" A       \
    "\",\"size\":7}"
#define LAYER(type, digest, size)                                                                  \
    "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define IMAGE(layers)           "{\"schemaVersion\":2," CONFIG ",\"layers\":[" layers "]}"
#define ENTRY(digest, platform) "{\"digest\":\"" digest "\",\"size\":5,\"platform\":{" platform "}}"
#define INDEX(entries)          "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define LINUX(arch)             "\"os\":\"linux\",\"architecture\":\"" arch "\""

static int parse(const char *json, const char *machine, struct manifest *m, struct error *err) {
    struct platform platform = platform_of(machine);
    *m = (struct manifest){0};
    return manifest_parse(slice_of(json), &platform, m, err);
}

START_TEST(a_manifest_gives_config_and_layers) {
    struct manifest m;
    struct error err = {0};
    ck_assert_msg(parse(IMAGE(LAYER(GZIP, B, "10") "," LAYER(
                            "application/vnd.docker.image.rootfs.diff.tar.gzip", C, "0")),
                        "x86_64", &m, &err) == 0,
                  "%s", err.msg);
    ck_assert(!m.is_index);
    ck_assert_str_eq(m.next.digest, A);
    ck_assert_uint_eq(m.next.size, 7);
    ck_assert_uint_eq(m.layer_count, 2);
    ck_assert_str_eq(m.layers[0].digest, B);
    ck_assert_str_eq(m.layers[0].media_type, GZIP);
    ck_assert_uint_eq(m.layers[0].size, 10);
    ck_assert_str_eq(m.layers[1].digest, C);
    free(m.layers);
}
END_TEST

START_TEST(an_index_gives_the_best_build_for_the_machine) {
    static const struct {
        const char *machine, *json, *digest;
    } rows[] = {
        {"x86_64", INDEX(ENTRY(A, LINUX("arm64")) "," ENTRY(B, LINUX("amd64"))), B},
        {"aarch64", INDEX(ENTRY(A, LINUX("arm64")) "," ENTRY(B, LINUX("amd64"))), A},
        {"aarch64",
         INDEX(ENTRY(A, LINUX("arm64")) "," ENTRY(B, LINUX("arm64") ",\"variant\":\"v8\"")), B},
        {"x86_64",
         INDEX(ENTRY(A, LINUX("amd64") ",\"variant\":\"v3\"") "," ENTRY(B, LINUX("amd64"))), B},
        {"armv7l",
         INDEX(ENTRY(A, LINUX("arm") ",\"variant\":\"v6\"") "," ENTRY(
             B, LINUX("arm") ",\"variant\":\"v7\"")),
         B},
        {"armv7l",
         INDEX(ENTRY(A, LINUX("arm") ",\"variant\":\"v5\"") "," ENTRY(
             B, LINUX("arm") ",\"variant\":\"v6\"")),
         B},
        {"x86_64",
         INDEX(ENTRY(A, "\"os\":\"windows\",\"architecture\":\"amd64\"") "," ENTRY(B,
                                                                                   LINUX("amd64"))),
         B},
        {"x86_64", INDEX(ENTRY(A, LINUX("amd64")) "," ENTRY(B, LINUX("amd64"))), A},
        {"x86_64", INDEX("{\"digest\":\"" C "\",\"size\":5}"), C},
        {"mips64", INDEX(ENTRY(A, LINUX("mips64"))), A},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct manifest m;
        struct error err = {0};
        ck_assert_msg(parse(rows[i].json, rows[i].machine, &m, &err) == 0, "row %zu: %s", i,
                      err.msg);
        ck_assert(m.is_index);
        ck_assert_msg(str_eq(m.next.digest, rows[i].digest), "row %zu: %s", i, m.next.digest);
    }
}
END_TEST

START_TEST(a_missing_platform_names_those_there_are) {
    struct manifest m;
    struct error err = {0};
    ck_assert_int_eq(
        parse(
            INDEX(ENTRY(A, LINUX("arm64") ",\"variant\":\"v8\"") "," ENTRY(
                B, "\"os\":\"unknown\",\"architecture\":\"unknown\"") "," ENTRY(C, LINUX("s390x"))),
            "x86_64", &m, &err),
        -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(err.msg, "no build for linux/amd64"));
    ck_assert_ptr_nonnull(strstr(err.msg, "linux/arm64/v8, linux/s390x"));
    ck_assert_ptr_null(strstr(err.msg, "unknown"));
    ck_assert_int_eq(parse(INDEX(""), "x86_64", &m, &err), -ENOTSUP);
}
END_TEST

START_TEST(hostile_and_foreign_manifests_are_refused) {
    static const struct {
        const char *json;
        int code;
        const char *text;
    } rows[] = {
        {"", -EBADMSG, "JSON"},
        {"[]", -EBADMSG, "JSON"},
        {"{}", -EBADMSG, "no known kind"},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}", -ENOTSUP, "schema 1"},
        {"{\"schemaVersion\":1,\"name\":\"x\"}", -ENOTSUP, "schema 1"},
        {"{\"schemaVersion\":1," CONFIG ",\"layers\":[]}", -EBADMSG, "more than one kind"},
        {"{\"manifests\":[]," CONFIG ",\"layers\":[]}", -EBADMSG, "more than one kind"},
        {"{\"manifests\":{}}", -EBADMSG, "no list"},
        {"{\"manifests\":[7]}", -EBADMSG, "digest"},
        {"{" CONFIG "," CONFIG ",\"layers\":[]}", -EBADMSG, "JSON"}, /* the same key twice */
        {IMAGE(""), -EBADMSG, "no layers"},
        {IMAGE(LAYER(GZIP, B, "-1")), -EBADMSG, "layer 1"},
        {IMAGE(LAYER(GZIP, B, "1.5")), -EBADMSG, "size"},
        {IMAGE(LAYER(GZIP, B, "\"7\"")), -EBADMSG, "size"},
        {IMAGE(LAYER(GZIP, B, "99999999999999")), -EFBIG, "too large"},
        {IMAGE(LAYER(GZIP, B, "99999999999999999999999")), -EBADMSG, "JSON"},
        {IMAGE(LAYER(GZIP, "sha256:../../etc", "1")), -EBADMSG, "digest"},
        {IMAGE(LAYER(GZIP, "md5:abc", "1")), -EBADMSG, "digest"},
        {IMAGE(LAYER("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", B, "1")),
         -ENOTSUP, "not kept by registries"},
        {IMAGE(LAYER("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", B, "1")),
         -ENOTSUP, "not kept by registries"},
        {IMAGE(LAYER("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", B, "1")), -ENOTSUP,
         "does not know"},
        {IMAGE(LAYER("text/\\u001b[0m", B, "1")), -ENOTSUP, "text/?[0m"},
        {"{\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"" A
         "\",\"size\":7},\"layers\":[]}",
         -ENOTSUP, "helm"},
        {"{\"config\":{\"digest\":\"" A
         "\",\"size\":99999999},\"layers\":[" LAYER(GZIP, B, "1") "]}",
         -EFBIG, "config"},
        {"{\"config\":7,\"layers\":[" LAYER(GZIP, B, "1") "]}", -EBADMSG, "config"},
        {"{" CONFIG ",\"layers\":[7]}", -ENOTSUP, "layer 1"},
        {"{" CONFIG "}", -EBADMSG, "no layers"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct manifest m;
        struct error err = {0};
        int r = parse(rows[i].json, "x86_64", &m, &err);
        ck_assert_msg(r == rows[i].code, "row %zu: %d %s", i, r, err.msg);
        ck_assert_msg(strstr(err.msg, rows[i].text) != NULL, "row %zu: %s", i, err.msg);
        ck_assert_ptr_null(m.layers);
    }
}
END_TEST

START_TEST(layers_are_bounded) {
    struct manifest m;
    struct error err = {0};
    for (int count = 127; count <= 129; count++) {
        _cleanup_(strbuf_fini) struct strbuf json = {0};
        strbuf_puts(&json, "{" CONFIG ",\"layers\":[");
        for (int i = 0; i < count; i++)
            strbuf_printf(&json, "%s%s", i ? "," : "", LAYER(GZIP, B, "1"));
        strbuf_puts(&json, "]}");
        ck_assert_int_eq(parse(json.p, "x86_64", &m, &err),
                         count > DOCUMENT_MAX_LAYERS ? -EFBIG : 0);
        free(m.layers);
    }
}
END_TEST

START_TEST(deep_nesting_is_refused_without_harm) {
    _cleanup_(strbuf_fini) struct strbuf json = {0};
    struct manifest m;
    for (int i = 0; i < 100000; i++)
        strbuf_puts(&json, "{\"a\":");
    ck_assert_int_eq(parse(json.p, "x86_64", &m, NULL), -EBADMSG);
}
END_TEST

RUN_TESTS("registry/manifest", a_manifest_gives_config_and_layers,
          an_index_gives_the_best_build_for_the_machine, a_missing_platform_names_those_there_are,
          hostile_and_foreign_manifests_are_refused, layers_are_bounded,
          deep_nesting_is_refused_without_harm)
