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
          subscribers_hear_new_lines_and_may_leave_while_called, printf_makes_a_line_of_its_source)
