#include "tests/unit/lib/runner.h"

#include "common/base/random.h"
#include "common/base/str.h"
#include "controller/logs/logs.h"

static void put(struct logs *l, const char *app, uint64_t ns, const char *text) {
    logs_put(l, app,
             &(struct logs_line){.source_type = "APP/PROC/WEB",
                                 .source_instance = "0",
                                 .wall_ns = ns,
                                 .message = text,
                                 .message_n = strlen(text)});
}

static void on_line(void *arg, const struct logs_line *line) {
    strbuf_printf(arg, "%llu:%.*s ", (unsigned long long)line->wall_ns, (int)line->message_n,
                  line->message);
}

#define CK_READ(l, start, end, limit, descending, text)                                            \
    do {                                                                                           \
        struct strbuf out_ = {0};                                                                  \
        strbuf_puts(&out_, "");                                                                    \
        logs_read(l, "a", start, end, limit, descending, on_line, &out_);                          \
        ck_assert_str_eq(out_.p ? out_.p : "", text);                                              \
        strbuf_fini(&out_);                                                                        \
    } while (0)

START_TEST(lines_are_read_by_time_limit_and_order) {
    struct logs *l = NULL;
    ck_assert_int_eq(logs_new(&l, 1 << 20, 1 << 20, NULL), 0);
    put(l, "a", 20, "two");
    put(l, "a", 10, "one"); /* late */
    put(l, "a", 30, "three");
    put(l, "b", 15, "other");
    CK_READ(l, 0, 0, 10, false, "10:one 20:two 30:three ");
    CK_READ(l, 0, 0, 2, false, "10:one 20:two ");
    CK_READ(l, 0, 0, 2, true, "30:three 20:two ");
    CK_READ(l, 20, 30, 10, false, "20:two ");
    CK_READ(l, 11, 0, 10, true, "30:three 20:two ");
    CK_READ(l, 31, 0, 10, false, "");
    logs_forget(l, "a");
    CK_READ(l, 0, 0, 10, false, "");
    logs_free(l);
}
END_TEST

START_TEST(equal_times_become_distinct_in_order_of_arrival) {
    struct logs *l = NULL;
    ck_assert_int_eq(logs_new(&l, 1 << 20, 1 << 20, NULL), 0);
    put(l, "a", 10, "a");
    put(l, "a", 10, "b");
    put(l, "a", 11, "c"); /* 11 was taken by "b" */
    put(l, "a", 10, "d");
    put(l, "a", 5, "e");
    CK_READ(l, 0, 0, 10, false, "5:e 10:a 11:b 12:c 13:d ");
    logs_free(l);
}
END_TEST

START_TEST(memory_is_bounded_by_app_and_in_all) {
    struct logs *l = NULL;
    struct rng rng = {1};
    ck_assert_int_eq(logs_new(&l, 4000, 10000, NULL), 0);
    for (int i = 0; i < 5000; i++) {
        char app[2] = {(char)('a' + rng_below(&rng, 9)), 0}, text[300];
        memset(text, 'x', sizeof text);
        text[rng_below(&rng, sizeof text)] = '\0';
        text[299] = '\0';
        put(l, app, rng_below(&rng, 1000), text);
        ck_assert_uint_le(logs_bytes(l), 10000);
    }
    logs_free(l);

    ck_assert_int_eq(logs_new(&l, 600, 10000, NULL), 0);
    for (int i = 0; i < 20; i++)
        put(l, "a", (uint64_t)i, "x");
    struct strbuf out = {0};
    size_t n = logs_read(l, "a", 0, 0, 100, false, on_line, &out);
    ck_assert_uint_ge(n, 2);
    ck_assert_uint_lt(n, 10);
    ck_assert(str_ends(out.p, "19:x ")); /* the newest stay */
    strbuf_fini(&out);
    logs_free(l);
}
END_TEST

static void put_of(struct logs *l, const char *type, uint64_t ns, const char *text) {
    logs_put(l, "a",
             &(struct logs_line){.source_type = type,
                                 .source_instance = "0",
                                 .wall_ns = ns,
                                 .message = text,
                                 .message_n = strlen(text)});
}

struct tally {
    unsigned requests, others;
    uint64_t last_ns, first_other_ns, first_request_ns;
};

static void on_tally(void *arg, const struct logs_line *line) {
    struct tally *t = arg;
    ck_assert_uint_gt(line->wall_ns, t->last_ns); /* both kinds by time */
    t->last_ns = line->wall_ns;
    bool request = str_starts(line->source_type, "RTR");
    uint64_t *first = request ? &t->first_request_ns : &t->first_other_ns;
    *(request ? &t->requests : &t->others) += 1;
    if (!*first)
        *first = line->wall_ns;
}

static struct tally tally(struct logs *l) {
    struct tally t = {0};
    logs_read(l, "a", 0, 0, 100000, false, on_tally, &t);
    return t;
}

START_TEST(requests_do_not_push_out_what_the_app_said) {
    struct logs *l = NULL;
    ck_assert_int_eq(logs_new(&l, 20000, 1 << 20, NULL), 0);
    for (uint64_t i = 1; i <= 1000; i++)
        put_of(l, "RTR", i, "GET /");
    unsigned all = tally(l).requests; /* they may have all of it while there is nothing else */
    ck_assert_uint_ge(all, 100);
    for (uint64_t i = 1001; i <= 1010; i++)
        put_of(l, i % 2 ? "APP/PROC/WEB" : "STG", i, "said ");
    for (uint64_t i = 1011; i <= 3000; i++)
        put_of(l, "RTR", i, "GET /");
    struct tally t = tally(l);
    ck_assert_uint_eq(t.others, 10);
    ck_assert_uint_eq(t.requests, all - 10);
    ck_assert_uint_eq(t.first_other_ns, 1001);
    ck_assert_uint_eq(t.first_request_ns, 3000 - t.requests + 1);
    /* half of it at least; what the app says beyond that pushes out the earliest of any kind */
    for (uint64_t i = 3001; i <= 3000 + 2 * all; i++)
        put_of(l, i % 2 ? "APP/PROC/WEB" : "RTR", i, "said");
    t = tally(l);
    ck_assert_uint_ge(t.requests, all / 2 - 5); /* lines differ a little in size */
    ck_assert_uint_le(t.requests, all / 2 + 5);
    for (uint64_t i = 5001; i <= 5000 + all; i++)
        put_of(l, "APP/PROC/WEB", i, "said ");
    ck_assert_uint_eq(tally(l).requests, 0);
    ck_assert_uint_le(logs_bytes(l), 20000);
    logs_forget(l, "a");
    ck_assert_uint_eq(logs_bytes(l), 0);
    logs_free(l);
}
END_TEST

START_TEST(lines_of_both_kinds_stay_in_order_and_in_bounds) {
    struct rng rng = {3};
    for (int round = 0; round < 200; round++) {
        struct logs *l = NULL;
        ck_assert_int_eq(logs_new(&l, 3000, 1 << 20, NULL), 0);
        for (uint64_t i = 1; i <= 100; i++) {
            bool request = rng_below(&rng, 100) < (uint64_t)(round % 100);
            put_of(l, request ? "RTR" : "CELL", i * 10 - rng_below(&rng, 60) % (i * 10), "text");
            ck_assert_uint_le(logs_bytes(l), 3000);
            tally(l);
        }
        struct tally t = tally(l);
        ck_assert_uint_ge(t.requests + t.others, 15);
        logs_free(l);
    }
}
END_TEST

struct listener {
    struct logs *logs;
    struct logs_subscription *self;
    int heard, until;
};

static void on_heard(void *arg, const struct logs_line *line) {
    struct listener *h = arg;
    (void)line;
    if (++h->heard == h->until)
        logs_unsubscribe(h->logs, h->self);
}

START_TEST(subscribers_hear_new_lines_and_may_leave_while_called) {
    struct logs *l = NULL;
    ck_assert_int_eq(logs_new(&l, 1 << 20, 1 << 20, NULL), 0);
    put(l, "a", 1, "before");
    struct listener one = {.logs = l, .until = 2}, two = {.logs = l};
    one.self = logs_subscribe(l, "a", on_heard, &one);
    two.self = logs_subscribe(l, "a", on_heard, &two);
    for (int i = 0; i < 5; i++)
        put(l, "a", 2, "x");
    put(l, "b", 2, "x");
    ck_assert_int_eq(one.heard, 2);
    ck_assert_int_eq(two.heard, 5);
    logs_unsubscribe(l, two.self);
    put(l, "a", 3, "x");
    ck_assert_int_eq(two.heard, 5);
    logs_free(l);
}
END_TEST

START_TEST(printf_makes_a_line_of_its_source) {
    struct logs *l = NULL;
    ck_assert_int_eq(logs_new(&l, 1 << 20, 1 << 20, NULL), 0);
    logs_printf(l, "a", "STG", false, 7, "Staging %d%%", 100);
    CK_READ(l, 0, 0, 10, false, "7:Staging 100% ");
    logs_free(l);
}
END_TEST

RUN_TESTS("logs/logs", lines_are_read_by_time_limit_and_order,
          equal_times_become_distinct_in_order_of_arrival, memory_is_bounded_by_app_and_in_all,
          requests_do_not_push_out_what_the_app_said,
          lines_of_both_kinds_stay_in_order_and_in_bounds,
          subscribers_hear_new_lines_and_may_leave_while_called, printf_makes_a_line_of_its_source)
