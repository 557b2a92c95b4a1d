#include "tests/unit/lib/runner.h"

#include <stddef.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "router/wheel.h"

struct timer {
    struct wheel_node node;
    uint64_t due_ms; /* 0: none */
    unsigned fired;
};

static uint64_t now_ms;
static struct timer *victim; /* cleared by whoever fires first */

static void on_fire(struct wheel_node *node) {
    struct timer *t = (struct timer *)((char *)node - offsetof(struct timer, node));
    t->fired++;
    ck_assert_msg(t->due_ms && t->due_ms <= now_ms, "due at %llu, fired at %llu",
                  (unsigned long long)t->due_ms, (unsigned long long)now_ms);
    t->due_ms = 0;
    if (victim && victim != t) {
        wheel_clear(&victim->node);
        victim->due_ms = 0;
        victim = NULL;
    }
}

START_TEST(deadlines_fire_once_and_within_two_ticks) {
    static struct wheel w;
    static struct timer timers[200];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng = {seed};
        now_ms = 1000000 + seed;
        wheel_init(&w, now_ms);
        memset(timers, 0, sizeof timers);
        for (int step = 0; step < 3000; step++) {
            struct timer *t = &timers[rng_below(&rng, ARRAY_SIZE(timers))];
            t->node.fire = on_fire;
            switch (rng_below(&rng, 4)) {
            case 0:
                wheel_clear(&t->node);
                t->due_ms = 0;
                break;
            case 1: /* far off, past the wheel's turn */
                t->due_ms = now_ms + 100000 + rng_below(&rng, 200000);
                wheel_set(&w, &t->node, t->due_ms);
                break;
            default: /* nearer or later than before */
                t->due_ms = now_ms + 1 + rng_below(&rng, 5000);
                wheel_set(&w, &t->node, t->due_ms);
            }
            now_ms += rng_below(&rng, 300);
            wheel_run(&w, now_ms);
            for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
                if (timers[i].due_ms && timers[i].due_ms + 2 * WHEEL_TICK_MS <= now_ms)
                    ck_abort_msg("seed %llu: missed", (unsigned long long)seed); /* asked too often
                                                                  for an assertion's bookkeeping */
        }
        now_ms += 1000000; /* the machine slept */
        wheel_run(&w, now_ms);
        now_ms += WHEEL_SLOTS * WHEEL_TICK_MS;
        wheel_run(&w, now_ms);
        for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
            ck_assert_uint_eq(timers[i].due_ms, 0);
    }
}
END_TEST

START_TEST(a_timer_may_clear_another_that_is_due_with_it) {
    static struct wheel w;
    struct timer a = {.node.fire = on_fire}, b = {.node.fire = on_fire};
    now_ms = 5000;
    wheel_init(&w, now_ms);
    a.due_ms = b.due_ms = 5100;
    wheel_set(&w, &a.node, 5100);
    wheel_set(&w, &b.node, 5100);
    victim = &b;
    now_ms = 6000;
    wheel_run(&w, now_ms);
    ck_assert_uint_eq(a.fired, 1);
    ck_assert_uint_eq(b.fired, 0);
}
END_TEST

RUN_TESTS("router/wheel", deadlines_fire_once_and_within_two_ticks,
          a_timer_may_clear_another_that_is_due_with_it)
