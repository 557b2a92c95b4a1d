#include "tests/unit/lib/runner.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "router/log_ring.h"

/* Every line says its own number, so that what is read can be checked. */
static void push(struct log_ring *r, struct rng *rng) {
    char line[200];
    int n = snprintf(line, sizeof line, "%llu ", (unsigned long long)r->next);
    size_t len = (size_t)n + rng_below(rng, 100);
    memset(line + n, '.', len - (size_t)n);
    struct log_ring_entry e = {SLICE_LIT("guid"), {line, len}, r->next};
    log_ring_push(r, &e);
}

static void check_all(const struct log_ring *r) {
    char buf[400];
    size_t at = 0;
    uint64_t number = r->first;
    struct log_ring_entry e;
    while (log_ring_read(r, &at, buf, sizeof buf, &e)) {
        ck_assert(slice_eq(e.app_guid, SLICE_LIT("guid")));
        ck_assert_uint_eq(e.wall_ns, number);
        ck_assert_uint_eq(strtoull(e.line.p, NULL, 10), number);
        number++;
    }
    ck_assert_uint_eq(number, r->next);
}

START_TEST(the_newest_lines_are_kept_in_order) {
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rng rng = {seed};
        _cleanup_(freep) struct log_ring *r = log_ring_new(1000);
        for (int i = 0; i < 500; i++) {
            push(r, &rng);
            if (rng_below(&rng, 5) == 0)
                log_ring_ack(r, r->first + rng_below(&rng, 4));
            check_all(r);
            ck_assert_uint_le(r->used, 1000);
        }
        log_ring_ack(r, UINT64_MAX);
        ck_assert_uint_eq(r->used, 0);
        ck_assert_uint_eq(r->first, r->next);
    }
}
END_TEST

START_TEST(a_line_that_cannot_fit_is_lost_with_what_was_before) {
    struct rng rng = {1};
    _cleanup_(freep) struct log_ring *r = log_ring_new(300);
    char big[400] = {0};
    push(r, &rng);
    struct log_ring_entry e = {SLICE_LIT("guid"), {big, sizeof big}, 0};
    log_ring_push(r, &e);
    ck_assert_uint_eq(r->first, 2);
    ck_assert_uint_eq(r->next, 2);
    push(r, &rng);
    check_all(r);
}
END_TEST

RUN_TESTS("router/log_ring", the_newest_lines_are_kept_in_order,
          a_line_that_cannot_fit_is_lost_with_what_was_before)
