#include "tests/unit/lib/runner.h"

#include "cell/outbox.h"
#include "common/base/random.h"
#include "common/base/str.h"

static uint64_t done_file, done_resume;

static void on_done(void *data, uint64_t file, uint64_t resume) {
    (void)data;
    done_file = file;
    done_resume = resume;
}

static struct outbox_origin *origin(void) {
    struct outbox_origin *o = outbox_origin_new("app-1", "APP/PROC/WEB", 3);
    o->on_done = on_done;
    o->data = &done_file;
    return o;
}

static void push(struct outbox *o, struct outbox_origin *from, const char *text, uint64_t resume) {
    struct outbox_line line = {
        .message = text, .message_n = strlen(text), .wall_ns = 7, .file = 1, .resume = resume};
    ck_assert_int_eq(outbox_push(o, from, &line), 0);
}

static struct outbox *new_outbox(size_t bytes) {
    struct outbox *o = NULL;
    ck_assert_int_eq(outbox_new(&o, bytes, NULL), 0);
    return o;
}

START_TEST(a_batch_repeats_until_it_is_acknowledged) {
    struct outbox *o = new_outbox(100000);
    struct outbox_origin *from = origin();
    ck_assert_ptr_null(outbox_batch(o, 1000));
    push(o, from, "one", 10);
    push(o, from, "two", 20);
    for (int i = 0; i < 2; i++) {
        const Berth__Logs *b = outbox_batch(o, 100000);
        ck_assert_uint_eq(b->first, 1);
        ck_assert_uint_eq(b->n_lines, 2);
        ck_assert_mem_eq(b->lines[1]->message.data, "two", 3);
        ck_assert_str_eq(b->lines[0]->source_type, "APP/PROC/WEB");
        ck_assert_str_eq(b->lines[0]->source_instance, "3");
        ck_assert_str_eq(b->lines[0]->app_guid, "app-1");
    }
    done_resume = 0;
    outbox_ack(o, 2);
    ck_assert_uint_eq(done_resume, 10);
    const Berth__Logs *b = outbox_batch(o, 100000);
    ck_assert_uint_eq(b->first, 2);
    ck_assert_uint_eq(b->n_lines, 1);
    outbox_ack(o, 99); /* never sent */
    ck_assert(!outbox_is_empty(o));
    outbox_ack(o, 3);
    ck_assert(outbox_is_empty(o));
    ck_assert_uint_eq(done_resume, 20);
    outbox_origin_unref(from);
    outbox_free(o);
}
END_TEST

START_TEST(the_oldest_are_dropped_and_counted) {
    struct outbox *o = new_outbox(2000);
    struct outbox_origin *from = origin();
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "line %d", i);
        push(o, from, text, (uint64_t)i + 1);
    }
    const Berth__Logs *b = outbox_batch(o, 100000);
    ck_assert_uint_eq(b->lost_before + b->n_lines, 100);
    ck_assert_uint_gt(b->n_lines, 5);
    ck_assert_mem_eq(b->lines[b->n_lines - 1]->message.data, "line 99", 7);
    ck_assert_uint_eq(b->first, b->lost_before + 1);
    outbox_ack(o, b->first + b->n_lines);
    ck_assert(outbox_is_empty(o)); /* the loss was told */
    outbox_count_lost(o, 5);
    b = outbox_batch(o, 1000);
    ck_assert_uint_eq(b->n_lines, 0);
    ck_assert_uint_eq(b->lost_before, 5);
    outbox_count_lost(o, 2); /* while that was under way */
    outbox_ack(o, b->first);
    b = outbox_batch(o, 1000);
    ck_assert_uint_eq(b->lost_before, 2);
    outbox_origin_unref(from);
    outbox_free(o);
}
END_TEST

START_TEST(a_new_conversation_repeats_all_and_counts_from_one) {
    struct outbox *o = new_outbox(100000);
    struct outbox_origin *from = origin();
    push(o, from, "one", 1);
    push(o, from, "two", 2);
    outbox_count_lost(o, 3);
    outbox_batch(o, 100000);
    outbox_ack(o, 2);
    outbox_batch(o, 100000);
    outbox_rewind(o);
    const Berth__Logs *b = outbox_batch(o, 100000);
    ck_assert_uint_eq(b->first, 1);
    ck_assert_uint_eq(b->n_lines, 1);
    ck_assert_mem_eq(b->lines[0]->message.data, "two", 3);
    outbox_origin_unref(from);
    outbox_free(o);
}
END_TEST

START_TEST(batches_keep_to_their_size_but_have_one_line_at_least) {
    struct outbox *o = new_outbox(10000000);
    struct outbox_origin *from = origin();
    static char big[50001];
    memset(big, 'x', 50000);
    for (int i = 0; i < 10; i++)
        push(o, from, big, 0);
    ck_assert_uint_eq(outbox_batch(o, 10)->n_lines, 1);
    ck_assert_uint_eq(outbox_batch(o, 200000)->n_lines, 3);
    outbox_origin_unref(from);
    outbox_free(o);
}
END_TEST

START_TEST(every_line_arrives_once_or_is_counted) {
    struct rng rng = {.state = 7};
    struct outbox *o = new_outbox(5000);
    struct outbox_origin *from = origin();
    uint64_t pushed = 0, got = 0, lost = 0, next_number = 1;
    for (int i = 0; i < 20000 || !outbox_is_empty(o); i++) {
        if (i < 20000 && rng_below(&rng, 3)) {
            push(o, from, "some text", 0);
            pushed++;
            continue;
        }
        const Berth__Logs *b = outbox_batch(o, rng_below(&rng, 1500));
        if (!b)
            continue;
        uint64_t first = b->first, n = b->n_lines, told = b->lost_before;
        uint64_t take = rng_below(&rng, n + 1);
        if (rng_below(&rng, 5) == 0) { /* pushed meanwhile, perhaps over what is under way */
            for (int k = 0; k < 40; k++, pushed++)
                push(o, from, "more", 0);
        }
        ck_assert_uint_ge(first, next_number);
        next_number = first;
        outbox_ack(o, first + take);
        lost += told;
        got += take;
    }
    /* What was dropped while it was under way may have arrived too. */
    ck_assert_uint_ge(got + lost, pushed);
    struct outbox_counters c;
    outbox_counters(o, &c);
    ck_assert_uint_eq(c.pushed, pushed);
    ck_assert_uint_eq(c.acknowledged + c.lost, pushed);
    outbox_origin_unref(from);
    outbox_free(o);
}
END_TEST

RUN_TESTS("cell/outbox", a_batch_repeats_until_it_is_acknowledged,
          the_oldest_are_dropped_and_counted, a_new_conversation_repeats_all_and_counts_from_one,
          batches_keep_to_their_size_but_have_one_line_at_least,
          every_line_arrives_once_or_is_counted)
