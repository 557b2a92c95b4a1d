/* Rolling out: pictures and what follows from them, and whole deployments with random luck. */
#include "tests/unit/lib/runner.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "controller/lrp/rollout.h"

#define SLOTS 16
#define OLDS  3

/* A picture: 'R' runs, '.' does not. */
struct picture {
    const char *name;
    enum rollout_phase phase;
    uint32_t target, in_flight, canary;
    const char *fresh; /* a slot each */
    bool failing;
    const char *whole, *interim; /* old versions; NULL: none */
    enum rollout_next next;
    uint32_t want_fresh, want_whole, want_interim;
};

static const struct picture pictures[] = {
    {"the first goes beside the old", 0, 3, 1, 0, "", 0, "RRR", NULL, ROLLOUT_GO_ON, 1, 3, 0},
    {"one on its way is enough", 0, 3, 1, 0, ".", 0, "RRR", NULL, ROLLOUT_GO_ON, 1, 3, 0},
    {"one that serves takes a place", 0, 3, 1, 0, "R", 0, "RRR", NULL, ROLLOUT_GO_ON, 2, 2, 0},
    {"several at a time", 0, 5, 3, 0, "RR.", 0, "RRR", NULL, ROLLOUT_GO_ON, 5, 3, 0},
    {"the last of one", 0, 1, 1, 0, ".", 0, "R", NULL, ROLLOUT_GO_ON, 1, 1, 0},
    {"all serve", 0, 2, 1, 0, "RR", 0, "R", NULL, ROLLOUT_FINISH, 2, 0, 0},
    {"nothing is wanted", 0, 0, 1, 0, "", 0, "", NULL, ROLLOUT_FINISH, 0, 0, 0},
    {"a crash stops it", 0, 3, 1, 0, "R.", 1, "RR", NULL, ROLLOUT_GO_ON, 2, 2, 0},
    {"a crash of all", 0, 3, 3, 0, "...", 1, "RRR", NULL, ROLLOUT_GO_ON, 3, 3, 0},
    {"a gap among the old keeps what runs", 0, 3, 1, 0, "R", 0, "R.R", NULL, ROLLOUT_GO_ON, 2, 3,
     0},
    {"a whole old one that is down keeps its place", 0, 2, 1, 0, ".", 0, "..", NULL, ROLLOUT_GO_ON,
     1, 2, 0},
    {"what was only on its way goes first", 0, 3, 1, 0, "R", 0, "RR", "R", ROLLOUT_GO_ON, 2, 2, 0},
    {"but not what is needed", 0, 3, 1, 0, ".", 0, "R", "RR", ROLLOUT_GO_ON, 1, 1, 2},
    {"a superseded version that never ran", 0, 3, 1, 0, "", 0, "RRR", ".", ROLLOUT_GO_ON, 1, 3, 0},
    {"a canary", 0, 4, 1, 1, "R", 0, "RRRR", NULL, ROLLOUT_PAUSE, 1, 4, 0},
    {"a canary on its way", 0, 4, 1, 1, ".", 0, "RRRR", NULL, ROLLOUT_GO_ON, 1, 4, 0},
    {"half of it", 0, 4, 1, 2, "R", 0, "RRRR", NULL, ROLLOUT_GO_ON, 2, 3, 0},
    {"a canary of one keeps the old one", 0, 1, 1, 1, "R", 0, "R", NULL, ROLLOUT_PAUSE, 1, 1, 0},
    {"all as canaries keep one", 0, 3, 1, 3, "RRR", 0, "R", NULL, ROLLOUT_PAUSE, 3, 1, 0},
    {"paused, nothing moves", 1, 4, 1, 1, "R", 0, "RRR", NULL, ROLLOUT_PAUSE, 1, 3, 0},
    {"cancel: the old come back beside", 2, 4, 1, 0, "R", 0, NULL, "RRR", ROLLOUT_GO_ON, 2, 0, 3},
    {"cancel: what never ran goes at once", 2, 4, 1, 0, "RRR", 0, NULL, ".", ROLLOUT_FINISH, 4, 0,
     0},
    {"cancel: whatever crashed", 2, 4, 1, 0, "R.", 1, NULL, "RR.", ROLLOUT_GO_ON, 2, 0, 2},
    {"cancel: all serve again", 2, 2, 1, 0, "RR", 0, NULL, "R", ROLLOUT_FINISH, 2, 0, 0},
    {"cancel forgets the canary", 2, 4, 1, 1, "RRR", 0, NULL, "R", ROLLOUT_GO_ON, 4, 0, 1},
};

static void read_slots(const char *text, bool running[SLOTS], uint32_t *ret_wanted,
                       uint32_t *ret_running) {
    *ret_wanted = *ret_running = 0;
    for (const char *p = text ? text : ""; *p; p++) {
        running[*ret_wanted] = *p == 'R';
        *ret_running += *p == 'R';
        ++*ret_wanted;
    }
}

START_TEST(each_picture_has_its_next_one) {
    for (size_t i = 0; i < ARRAY_SIZE(pictures); i++) {
        const struct picture *p = &pictures[i];
        bool fresh[SLOTS], whole[SLOTS], interim[SLOTS];
        struct rollout_old olds[2] = {{.running = interim}, {.whole = true, .running = whole}};
        struct rollout r = {.phase = p->phase,
                            .target = p->target,
                            .max_in_flight = p->in_flight,
                            .canary = p->canary,
                            .failing = p->failing,
                            .olds = olds,
                            .old_count = 2};
        uint32_t ignored, wanted = 99;
        read_slots(p->fresh, fresh, &r.wanted, &r.running);
        read_slots(p->interim, interim, &olds[0].wanted, &ignored);
        read_slots(p->whole, whole, &olds[1].wanted, &ignored);
        enum rollout_next next = rollout_step(&r, &wanted);
        ck_assert_msg(next == p->next, "%s: %d", p->name, next);
        ck_assert_msg(wanted == p->want_fresh, "%s: %u new", p->name, wanted);
        if (next == ROLLOUT_FINISH)
            continue;
        ck_assert_msg(olds[1].wanted == p->want_whole, "%s: %u whole", p->name, olds[1].wanted);
        ck_assert_msg(olds[0].wanted == p->want_interim, "%s: %u interim", p->name, olds[0].wanted);
    }
}
END_TEST

START_TEST(a_canary_is_a_share_and_one_at_least) {
    static const uint32_t rows[][3] = {{10, 10, 1}, {10, 25, 3},   {10, 1, 1},
                                       {3, 50, 2},  {10, 100, 10}, {0, 50, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_uint_eq(rollout_canary(rows[i][0], rows[i][1]), rows[i][2]);
}
END_TEST

/* --- whole deployments --- */

struct side {
    uint32_t wanted;
    bool running[SLOTS];
};

struct world {
    struct side fresh, olds[OLDS];
    bool whole[OLDS];
    size_t old_count;
    struct rollout r;
    bool finished, paused;
};

static uint32_t serving(const struct side *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->wanted; i++)
        n += s->running[i];
    return n;
}

static uint32_t all_serving(const struct world *w) {
    uint32_t n = serving(&w->fresh);
    for (size_t i = 0; i < w->old_count; i++)
        n += serving(&w->olds[i]);
    return n;
}

static void shrink(struct side *s, uint32_t wanted) {
    for (uint32_t i = wanted; i < SLOTS; i++)
        s->running[i] = false;
    s->wanted = wanted;
}

static void world_init(struct world *w, struct rng *rng) {
    *w = (struct world){0};
    w->r.target = 1 + (uint32_t)rng_below(rng, 8);
    w->r.max_in_flight = (uint32_t)rng_below(rng, 4);
    w->old_count = 1 + rng_below(rng, OLDS);
    uint32_t left = w->r.target;
    for (size_t i = 0; i < w->old_count; i++) {
        w->whole[i] = i == 0;
        w->olds[i].wanted = i + 1 == w->old_count ? left : (uint32_t)rng_below(rng, left + 1);
        left -= w->olds[i].wanted;
        for (uint32_t k = 0; k < w->olds[i].wanted; k++)
            w->olds[i].running[k] = true;
    }
}

static void world_step(struct world *w, bool failing) {
    struct rollout_old olds[OLDS];
    struct rollout *r = &w->r;
    uint32_t before = all_serving(w), wanted, again;
    for (size_t i = 0; i < w->old_count; i++)
        olds[i] = (struct rollout_old){w->whole[i], w->olds[i].wanted, w->olds[i].running};
    r->olds = olds;
    r->old_count = w->old_count;
    r->wanted = w->fresh.wanted;
    r->running = serving(&w->fresh);
    r->failing = failing;
    enum rollout_next next = rollout_step(r, &wanted);
    ck_assert_uint_ge(wanted, r->wanted);
    if (next == ROLLOUT_FINISH) {
        w->finished = true;
        w->old_count = 0;
    } else {
        for (size_t i = 0; i < w->old_count; i++) {
            ck_assert_uint_le(olds[i].wanted, w->olds[i].wanted);
            shrink(&w->olds[i], olds[i].wanted);
        }
        r->wanted = wanted; /* the same picture again: nothing more to do */
        ck_assert_int_eq(rollout_step(r, &again), next);
        ck_assert_uint_eq(again, wanted);
        for (size_t i = 0; i < w->old_count; i++)
            ck_assert_uint_eq(olds[i].wanted, w->olds[i].wanted);
    }
    w->paused = next == ROLLOUT_PAUSE;
    w->fresh.wanted = wanted;
    uint32_t total = wanted;
    for (size_t i = 0; i < w->old_count; i++)
        total += w->olds[i].wanted;
    ck_assert_uint_ge(all_serving(w), MIN(before, r->target)); /* nobody's place was given up */
    if (r->phase != ROLLOUT_CANCELING)
        ck_assert_uint_le(total, r->target + MAX(r->max_in_flight, 1u) + (r->canary > 0));
}

static void start_some(struct side *s, struct rng *rng) {
    for (uint32_t i = 0; i < s->wanted; i++)
        s->running[i] |= rng_below(rng, 3) == 0;
}

static void run_to_the_end(struct world *w, struct rng *rng) {
    for (int i = 0; i < 300 && !w->finished; i++) {
        start_some(&w->fresh, rng);
        world_step(w, false);
        if (w->paused) {
            w->r.phase = ROLLOUT_DEPLOYING;
            w->r.canary = 0;
        }
    }
    ck_assert(w->finished);
    start_some(&w->fresh, rng);
    ck_assert_uint_eq(w->fresh.wanted, w->r.target);
}

START_TEST(as_many_serve_all_the_way_as_at_the_start) {
    struct world w;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng rng = {seed};
        world_init(&w, &rng);
        if (seed % 3 == 0)
            w.r.canary = rollout_canary(w.r.target, (uint32_t)rng_below(&rng, 101));
        for (int i = 0; i < 300 && !w.finished; i++) {
            start_some(&w.fresh, &rng);
            world_step(&w, rng_below(&rng, 3) == 0);
            ck_assert_msg(w.finished || all_serving(&w) >= w.r.target, "seed %llu",
                          (unsigned long long)seed);
            if (w.paused && rng_below(&rng, 2)) {
                w.r.phase = ROLLOUT_DEPLOYING;
                w.r.canary = 0;
            } else if (w.paused) {
                w.r.phase = ROLLOUT_PAUSED;
            }
        }
        ck_assert_msg(w.finished, "seed %llu", (unsigned long long)seed);
    }
}
END_TEST

START_TEST(a_version_that_never_runs_changes_nothing_for_the_old_one) {
    struct world w;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng rng = {seed};
        world_init(&w, &rng);
        for (int i = 0; i < 50; i++)
            world_step(&w, i > 2);
        ck_assert(!w.finished);
        ck_assert_uint_eq(all_serving(&w), w.r.target);
        ck_assert_uint_le(w.fresh.wanted, MAX(w.r.max_in_flight, 1u));
    }
}
END_TEST

/* A cancel at any point turns the picture round; what is old by then comes back. */
START_TEST(a_cancel_at_any_point_comes_back_and_nothing_is_given_up) {
    struct world w;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng rng = {seed};
        world_init(&w, &rng);
        uint64_t steps = rng_below(&rng, 12);
        for (uint64_t i = 0; i < steps && !w.finished; i++) {
            start_some(&w.fresh, &rng);
            world_step(&w, rng_below(&rng, 4) == 0);
        }
        if (w.finished)
            continue;
        struct side fresh = w.fresh;
        w.fresh = w.olds[0];
        w.olds[0] = fresh;
        w.whole[0] = false;
        w.r.phase = ROLLOUT_CANCELING;
        run_to_the_end(&w, &rng);
    }
}
END_TEST

RUN_TESTS("lrp/rollout", each_picture_has_its_next_one, a_canary_is_a_share_and_one_at_least,
          as_many_serve_all_the_way_as_at_the_start,
          a_version_that_never_runs_changes_nothing_for_the_old_one,
          a_cancel_at_any_point_comes_back_and_nothing_is_given_up)
