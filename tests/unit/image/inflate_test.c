#include "tests/unit/image/archive_maker.h"
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#include "cell/image/inflate.h"
#include "common/base/random.h"

static char plain[3 * 1024 * 1024 + 17];

static void fill_plain(void) {
    struct rng rng = {42};
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (char)("abcdefgh"[rng_below(&rng, 8)]);
}

struct input {
    const char *p;
    size_t n, step;
};

static ssize_t input(void *data, void *buf, size_t n, struct error *err) {
    struct input *in = data;
    n = MIN(MIN(n, in->step), in->n);
    if (n)
        memcpy(buf, in->p, n);
    in->p += n;
    in->n -= n;
    return (ssize_t)n;
}

/* All of it, read `chunk` bytes at a time. */
static int inflate_all(const struct strbuf *from, size_t step, size_t chunk, struct strbuf *to,
                       struct error *err) {
    struct input in = {from->p, from->n, step};
    _cleanup_(inflate_freep) struct inflate *z = NULL;
    _cleanup_(freep) char *buf = malloc(chunk);
    ck_assert_int_eq(inflate_new(&z, input, &in, err), 0);
    for (;;) {
        ssize_t n = inflate_read(z, buf, chunk, err);
        if (n < 0)
            return (int)n;
        strbuf_add(to, buf, (size_t)n);
        if ((size_t)n < chunk)
            break;
    }
    ck_assert_uint_eq(in.n, 0); /* read to its end: digests depend on it */
    ck_assert_uint_eq(inflate_taken(z), from->n);
    return 0;
}

static void expect_plain(const struct strbuf *from, size_t step, size_t chunk, size_t times) {
    struct error err = {0};
    _cleanup_(strbuf_fini) struct strbuf to = {0};
    ck_assert_msg(inflate_all(from, step, chunk, &to, &err) == 0, "%s", err.msg);
    ck_assert_uint_eq(to.n, times * sizeof plain);
    for (size_t i = 0; i < times; i++)
        ck_assert_int_eq(memcmp(to.p + i * sizeof plain, plain, sizeof plain), 0);
}

START_TEST(every_compression_gives_the_same_bytes) {
    fill_plain();
    const enum compression all[] = {PLAIN, GZIP, ZSTD};
    const size_t steps[] = {1u << 20, 1000, 16384, 7};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        _cleanup_(strbuf_fini) struct strbuf from = {0};
        compress_to(&from, all[i], plain, sizeof plain);
        for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
            expect_plain(&from, steps[k], 65536, 1);
        expect_plain(&from, 16384, 777, 1);
    }
}
END_TEST

START_TEST(many_gzip_members_and_zstd_frames_are_one_stream) {
    fill_plain();
    for (enum compression how = GZIP; how <= ZSTD; how++) {
        _cleanup_(strbuf_fini) struct strbuf from = {0};
        compress_to(&from, how, plain, sizeof plain);
        compress_to(&from, how, NULL, 0);
        compress_to(&from, how, plain, sizeof plain);
        expect_plain(&from, 16384, 65536, 2);
        expect_plain(&from, 1, 65536, 2);
    }
}
END_TEST

START_TEST(nothing_is_an_empty_stream) {
    struct error err = {0};
    _cleanup_(strbuf_fini) struct strbuf from = {0}, to = {0};
    ck_assert_int_eq(inflate_all(&from, 10, 10, &to, &err), 0);
    ck_assert_uint_eq(to.n, 0);
}
END_TEST

static void expect_refused(const struct strbuf *from, int code) {
    struct error err = {0};
    _cleanup_(strbuf_fini) struct strbuf to = {0};
    ck_assert_int_eq(inflate_all(from, 1000, 65536, &to, &err), code);
    ck_assert_int_eq(err.code, code);
    ck_assert_uint_gt(strlen(err.msg), 5);
}

START_TEST(cut_changed_and_continued_streams_are_refused) {
    fill_plain();
    for (enum compression how = GZIP; how <= ZSTD; how++) {
        _cleanup_(strbuf_fini) struct strbuf whole = {0};
        compress_to(&whole, how, plain, 100000);
        struct strbuf from = whole;
        for (from.n = 7; from.n < whole.n; from.n += 997)
            expect_refused(&from, -EBADMSG);
        from.n = whole.n - 1;
        expect_refused(&from, -EBADMSG);
        strbuf_puts(&whole, "garbage behind");
        expect_refused(&whole, -EBADMSG);
    }
    _cleanup_(strbuf_fini) struct strbuf gzip = {0};
    compress_to(&gzip, GZIP, plain, 100000);
    gzip.p[gzip.n - 6] ^= 1; /* the checksum */
    expect_refused(&gzip, -EBADMSG);
}
END_TEST

START_TEST(other_compressions_are_named) {
    _cleanup_(strbuf_fini) struct strbuf from = {0};
    strbuf_puts(&from, "BZh91AY&SY");
    expect_refused(&from, -ENOTSUP);
}
END_TEST

static ssize_t broken_input(void *data, void *buf, size_t n, struct error *err) {
    return error_set(err, -ECONNRESET, "the registry hung up");
}

START_TEST(an_error_of_the_input_comes_through) {
    struct error err = {0};
    char buf[10];
    _cleanup_(inflate_freep) struct inflate *z = NULL;
    ck_assert_int_eq(inflate_new(&z, broken_input, NULL, &err), 0);
    ck_assert_int_eq(inflate_read(z, buf, sizeof buf, &err), -ECONNRESET);
    ck_assert_str_eq(err.msg, "the registry hung up");
}
END_TEST

RUN_TESTS("image/inflate", every_compression_gives_the_same_bytes,
          many_gzip_members_and_zstd_frames_are_one_stream, nothing_is_an_empty_stream,
          cut_changed_and_continued_streams_are_refused, other_compressions_are_named,
          an_error_of_the_input_comes_through)
