#include "tests/unit/lib/runner.h"

#include "cell/klog.h"
#include "common/base/mem.h"
#include "common/base/random.h"
#include "common/base/str.h"

/* What was told, as text: "o:message;" or "e:message;". */
struct heard {
    struct strbuf text;
    uint64_t last_resume, last_wall_ns;
    size_t longest;
};

static void on_line(void *arg, const struct klog_line *line) {
    struct heard *h = arg;
    strbuf_putc(&h->text, line->stream == KLOG_ERR ? 'e' : 'o');
    strbuf_putc(&h->text, ':');
    strbuf_add(&h->text, line->message, line->message_n);
    strbuf_putc(&h->text, ';');
    h->last_resume = line->resume;
    h->last_wall_ns = line->wall_ns;
    h->longest = MAX(h->longest, line->message_n);
}

static void feed(struct klog *k, struct heard *h, const char *text) {
    klog_feed(k, text, strlen(text), on_line, h);
}

#define T "2026-01-02T03:04:05.678901234+00:00 "

START_TEST(lines_are_joined_and_empty_ones_dropped) {
    static const struct {
        const char *in, *out;
        uint64_t malformed;
    } rows[] = {
        {T "stdout F hello\n" T "stderr F oh\n", "o:hello;e:oh;", 0},
        {T "stdout P hel\n" T "stdout F lo\n", "o:hello;", 0},
        {T "stdout P a\n" T "stderr P x\n" T "stdout F b\n" T "stderr F y\n", "o:ab;e:xy;", 0},
        {T "stdout F \n" T "stdout F  x \n", "o: x ;", 0},
        {T "stdout F with\ttab and F stdout P in it\n", "o:with\ttab and F stdout P in it;", 0},
        {"rubbish\n" T "stdout F ok\n", "o:ok;", 1},
        {"\n\n" T "stdout F ok\n", "o:ok;", 2},
        {T "stdlog F x\n" T "stdout Q x\n" T "stdout F ok\n", "o:ok;", 2},
        {"2026-99-02T03:04:05Z stdout F x\n" T "stdout F ok\n", "o:ok;", 1},
        {T "stdout F unfinished", "", 0},
        {T "stdout P unfinished\n", "", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct klog k;
        struct heard h = {0};
        klog_init(&k, 0);
        strbuf_puts(&h.text, "");
        feed(&k, &h, rows[i].in);
        ck_assert_msg(str_eq(h.text.p, rows[i].out), "row %zu: %s", i, h.text.p);
        ck_assert_uint_eq(k.malformed, rows[i].malformed);
        ck_assert_uint_eq(k.offset, strlen(rows[i].in));
        klog_fini(&k);
        strbuf_fini(&h.text);
    }
}
END_TEST

START_TEST(the_end_gives_what_is_pending) {
    struct klog k;
    struct heard h = {0};
    klog_init(&k, 0);
    feed(&k, &h, T "stderr P first\n" T "stdout P second\n");
    klog_end(&k, on_line, &h);
    ck_assert_str_eq(h.text.p, "e:first;o:second;");
    klog_end(&k, on_line, &h);
    ck_assert_str_eq(h.text.p, "e:first;o:second;");
    klog_fini(&k);
    strbuf_fini(&h.text);
}
END_TEST

START_TEST(reading_on_misses_nothing) {
    const char *first = T "stderr P half\n", *second = T "stdout F whole\n";
    struct klog k;
    struct heard h = {0};
    klog_init(&k, 1000);
    feed(&k, &h, first);
    feed(&k, &h, second);
    ck_assert_str_eq(h.text.p, "o:whole;");
    ck_assert_uint_eq(h.last_resume, 1000); /* the unfinished one began there */
    feed(&k, &h, T "stderr F done\n");
    ck_assert_uint_eq(h.last_resume, k.offset);
    klog_fini(&k);
    strbuf_fini(&h.text);
}
END_TEST

START_TEST(long_lines_are_cut) {
    struct klog k;
    struct heard h = {0};
    static char piece[8193];
    memset(piece, 'x', 8192);
    klog_init(&k, 0);
    for (int i = 0; i < 20; i++) {
        feed(&k, &h, i < 19 ? T "stdout P " : T "stdout F ");
        feed(&k, &h, piece);
        feed(&k, &h, "\n");
    }
    ck_assert_uint_eq(h.longest, KLOG_MESSAGE_MAX);
    ck_assert_uint_eq(h.text.n, 20 * 8192 + 3 * 3); /* in three pieces */
    klog_fini(&k);
    strbuf_fini(&h.text);
}
END_TEST

START_TEST(any_chunks_give_the_same_lines) {
    struct rng rng = {.state = 42};
    struct strbuf text = {0};
    static const char *const heads[] = {T "stdout F ", T "stdout P ", T "stderr F ",
                                        T "stderr P ", "junk ",       T "stdout X "};
    for (int i = 0; i < 500; i++) {
        strbuf_puts(&text, heads[rng_below(&rng, ARRAY_SIZE(heads))]);
        for (uint64_t n = rng_below(&rng, 40); n; n--)
            strbuf_putc(&text, (char)(' ' + rng_below(&rng, 90)));
        strbuf_putc(&text, '\n');
    }
    struct heard whole = {0};
    struct klog k;
    klog_init(&k, 0);
    klog_feed(&k, text.p, text.n, on_line, &whole);
    klog_fini(&k);
    for (int round = 0; round < 50; round++) {
        struct heard h = {0};
        klog_init(&k, 0);
        for (size_t at = 0; at < text.n;) {
            size_t n = MIN(1 + rng_below(&rng, 60), text.n - at);
            klog_feed(&k, text.p + at, n, on_line, &h);
            at += n;
        }
        ck_assert(str_eq(h.text.p, whole.text.p)); /* too long to be printed */
        klog_fini(&k);
        strbuf_fini(&h.text);
    }
    strbuf_fini(&whole.text);
    strbuf_fini(&text);
}
END_TEST

START_TEST(times_are_read) {
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {
        {"2026-01-02T03:04:05.678901234+00:00", 1767323045678901234u},
        {"2026-01-02T03:04:05Z", 1767323045000000000u},
        {"2026-01-02T05:04:05.5+02:00", 1767323045500000000u},
        {"2026-01-01T19:34:05.5-0730", 1767323045500000000u},
        {"2026-01-02T03:04:05", 0},
        {"2026-01-02 03:04:05Z", 0},
        {"2026-13-02T03:04:05Z", 0},
        {"2026-01-02T03:04:05+99:00", 0},
        {"", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(klog_parse_time(rows[i].text, strlen(rows[i].text)) == rows[i].ns, "row %zu",
                      i);
}
END_TEST

RUN_TESTS("cell/klog", lines_are_joined_and_empty_ones_dropped, the_end_gives_what_is_pending,
          reading_on_misses_nothing, long_lines_are_cut, any_chunks_give_the_same_lines,
          times_are_read)
