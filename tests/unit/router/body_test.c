#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "router/body.h"

struct outcome {
    int code;     /* 0 or a negative errno */
    size_t taken; /* of the input */
    bool done;
    struct strbuf data, trailers;
};

static void outcome_fini(struct outcome *o) {
    strbuf_fini(&o->data);
    strbuf_fini(&o->trailers);
}

/* Decodes in pieces whose lengths `rng` draws (NULL: one piece of all). */
static struct outcome decode(enum body_kind kind, uint64_t length, const char *p, size_t n,
                             struct rng *rng) {
    struct outcome o = {0};
    struct body b;
    body_init(&b, kind, length);
    b.keep_trailers = true;
    strbuf_puts(&o.data, "");
    strbuf_puts(&o.trailers, "");
    while (o.code == 0 && o.taken < n && !b.done) {
        size_t piece = rng ? 1 + rng_below(rng, MIN(n - o.taken, 7)) : n - o.taken;
        _cleanup_(freep) char *copy = mem_dup(p + o.taken, piece);
        struct slice data;
        ssize_t r = body_decode(&b, copy, piece, &data);
        if (r < 0) {
            o.code = (int)r;
            break;
        }
        ck_assert(data.n == 0 || (data.p >= copy && data.p + data.n <= copy + r));
        strbuf_add(&o.data, data.p, data.n);
        o.taken += (size_t)r;
    }
    o.done = b.done;
    if (b.trailers)
        strbuf_add(&o.trailers, b.trailers->p, b.trailers->n);
    body_fini(&b);
    return o;
}

START_TEST(chunks_are_decoded_or_refused) {
    static const struct {
        const char *text, *data;
        int code;
        bool done;
        size_t taken;
    } rows[] = {
        {"0\r\n\r\n", "", 0, true, 5},
        {"5\r\nhello\r\n0\r\n\r\nGET /", "hello", 0, true, 15},
        {"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", "abcde", 0, true, 20},
        {"00000000005\r\nhello\r\n0\r\n\r\n", "hello", 0, true, 25},
        {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0, true, 20},
        {"5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", "hello", 0, true, 27},
        {"5  \r\nhello\r\n0\t;y\r\n\r\n", "hello", 0, true, 20},
        {"0\r\nA: b\r\nC: d\r\n\r\n", "", 0, true, 17},
        {"5\r\nhel", "hel", 0, false, 6},
        {"5\r\nhello\r\n", "hello", 0, false, 10},
        {"\r\n", "", -EBADMSG, false, 0},
        {";x\r\n", "", -EBADMSG, false, 0},
        {"0x5\r\nhello", "", -EBADMSG, false, 0},
        {"-1\r\n", "", -EBADMSG, false, 0},
        {"+1\r\n", "", -EBADMSG, false, 0},
        {" 5\r\nhello", "", -EBADMSG, false, 0},
        {"5 5\r\nhello", "", -EBADMSG, false, 0},
        {"5\nhello\r\n", "", -EBADMSG, false, 0},
        {"5\rhello\r\n", "", -EBADMSG, false, 0},
        {"5\r\nhelloXX", "", -EBADMSG, false, 0},
        {"5\r\nhello\n0\r\n\r\n", "", -EBADMSG, false, 0},
        {"5\r\nhello\r0\r\n\r\n", "", -EBADMSG, false, 0},
        {"10000000000000000\r\n", "", -EBADMSG, false, 0},
        {"0000000000000000000005\r\n", "", -EBADMSG, false, 0},
        {"5;a\nb\r\n", "", -EBADMSG, false, 0},
        {"5;a\rb\r\n", "", -EBADMSG, false, 0},
        {"0\r\n\n", "", -EBADMSG, false, 0},
        {"0\r\n folded\r\n\r\n", "", -EBADMSG, false, 0},
        {"0\r\nA: b\n\r\n", "", -EBADMSG, false, 0},
        {"0\r\nA: b\rc\r\n\r\n", "", -EBADMSG, false, 0},
        {"0\r\n\rX", "", -EBADMSG, false, 0},
    };
    struct rng rng = {7};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int split = 0; split < 20; split++) {
            _cleanup_(outcome_fini) struct outcome o =
                decode(BODY_CHUNKED, 0, rows[i].text, strlen(rows[i].text), split ? &rng : NULL);
            ck_assert_msg(o.code == rows[i].code, "row %zu: %d", i, o.code);
            if (o.code)
                continue;
            ck_assert_msg(str_eq(o.data.p, rows[i].data), "row %zu: %s", i, o.data.p);
            ck_assert_msg(o.done == rows[i].done && o.taken == rows[i].taken, "row %zu: taken %zu",
                          i, o.taken);
        }
    }
}
END_TEST

/* A random body in random chunks, some of its bytes then damaged. */
static void make_body(struct strbuf *text, struct rng *rng) {
    for (uint64_t chunks = rng_below(rng, 6); chunks; chunks--) {
        uint64_t n = 1 + rng_below(rng, 40);
        strbuf_printf(text, rng_below(rng, 2) ? "%llx" : "%llX", (unsigned long long)n);
        if (rng_below(rng, 3) == 0)
            strbuf_puts(text, ";ext=1");
        strbuf_puts(text, "\r\n");
        for (; n; n--)
            strbuf_putc(text, (char)rng_next(rng));
        strbuf_puts(text, "\r\n");
    }
    strbuf_puts(text, rng_below(rng, 2) ? "0\r\nT: 1\r\n\r\n" : "0\r\n\r\n");
    if (rng_below(rng, 2))
        strbuf_puts(text, "next");
    for (uint64_t hits = rng_below(rng, 3); hits; hits--)
        text->p[rng_below(rng, text->n)] = "\r\n05;x\0"[rng_below(rng, 7)];
}

START_TEST(any_split_of_a_body_gives_the_same) {
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng rng = {seed};
        _cleanup_(strbuf_fini) struct strbuf text = {0};
        make_body(&text, &rng);
        _cleanup_(outcome_fini) struct outcome whole =
            decode(BODY_CHUNKED, 0, text.p, text.n, NULL);
        for (int i = 0; i < 5; i++) {
            _cleanup_(outcome_fini) struct outcome o =
                decode(BODY_CHUNKED, 0, text.p, text.n, &rng);
            ck_assert_msg(o.code == whole.code && o.done == whole.done, "seed %llu",
                          (unsigned long long)seed);
            if (o.code)
                continue;
            ck_assert_msg(o.taken == whole.taken && o.data.n == whole.data.n &&
                              memcmp(o.data.p, whole.data.p, o.data.n) == 0 &&
                              str_eq(o.trailers.p, whole.trailers.p),
                          "seed %llu", (unsigned long long)seed);
        }
    }
}
END_TEST

START_TEST(extensions_and_trailers_are_bounded_over_the_message) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    for (unsigned i = 0; i < CHUNK_EXTRA_MAX; i++)
        strbuf_puts(&text, "1\r\nx\r\n"); /* many chunks alone are fine */
    strbuf_puts(&text, "0\r\n\r\n");
    _cleanup_(outcome_fini) struct outcome many = decode(BODY_CHUNKED, 0, text.p, text.n, NULL);
    ck_assert_int_eq(many.code, 0);
    ck_assert(many.done);
    strbuf_clear(&text);
    for (unsigned i = 0; i < CHUNK_EXTRA_MAX; i++)
        strbuf_puts(&text, "1;e\r\nx\r\n");
    _cleanup_(outcome_fini) struct outcome extended = decode(BODY_CHUNKED, 0, text.p, text.n, NULL);
    ck_assert_int_eq(extended.code, -EMSGSIZE);
    strbuf_clear(&text);
    strbuf_puts(&text, "0\r\n");
    for (unsigned i = 0; i < TRAILER_MAX; i += 8)
        strbuf_puts(&text, "A: bcd\r\n");
    strbuf_puts(&text, "A: b\r\n\r\n");
    _cleanup_(outcome_fini) struct outcome trailers = decode(BODY_CHUNKED, 0, text.p, text.n, NULL);
    ck_assert_int_eq(trailers.code, -EMSGSIZE);
}
END_TEST

START_TEST(a_length_takes_that_many_bytes_and_no_more) {
    struct rng rng = {3};
    for (int i = 0; i < 50; i++) {
        _cleanup_(outcome_fini) struct outcome o = decode(BODY_LENGTH, 5, "helloGET", 8, &rng);
        ck_assert(o.done);
        ck_assert_uint_eq(o.taken, 5);
        ck_assert_str_eq(o.data.p, "hello");
    }
}
END_TEST

START_TEST(only_a_close_delimited_body_may_end_with_the_connection) {
    struct body b;
    body_init(&b, BODY_UNTIL_CLOSE, 0);
    ck_assert(body_end_of_stream(&b) && b.done);
    body_init(&b, BODY_LENGTH, 3);
    ck_assert(!body_end_of_stream(&b));
    body_init(&b, BODY_CHUNKED, 0);
    ck_assert(!body_end_of_stream(&b));
    body_init(&b, BODY_LENGTH, 0);
    ck_assert(b.done);
}
END_TEST

RUN_TESTS("router/body", chunks_are_decoded_or_refused, any_split_of_a_body_gives_the_same,
          extensions_and_trailers_are_bounded_over_the_message,
          a_length_takes_that_many_bytes_and_no_more,
          only_a_close_delimited_body_may_end_with_the_connection)
