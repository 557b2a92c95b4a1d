/* rollout.c - up: at most max_in_flight of the new ones on their way, none after a crash. Down: as
 * many of the old ones as the running new ones stand in for. The highest index goes first, as
 * everywhere; so "how many" is the fewest indices from 0 that hold enough running instances. */
#include "controller/lrp/rollout.h"

#include "common/base/mem.h"

uint32_t rollout_canary(uint32_t target, uint32_t weight) {
    uint64_t n = ((uint64_t)target * MIN(weight, 100u) + 50) / 100;
    return n ? (uint32_t)n : 1;
}

static uint32_t running_of(const struct rollout_old *old) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < old->wanted; i++)
        n += old->running[i];
    return n;
}

/* The fewest indices from 0 on with `n` running ones; all when there are not so many. */
static uint32_t indices_with(const struct rollout_old *old, uint32_t n) {
    uint32_t i = 0;
    for (; n > 0 && i < old->wanted; i++)
        n -= old->running[i];
    return i;
}

/* Leaves `keep` running ones of the old versions: of a whole one first, which others only lead up
 * to. A whole one that runs badly is all there is and keeps its other indices; of the rest, and
 * after a cancel, only what runs is of use. */
static void step_down(const struct rollout *r, uint32_t keep) {
    for (int whole = 1; whole >= 0; whole--)
        for (size_t i = 0; i < r->old_count; i++) {
            struct rollout_old *old = &r->olds[i];
            if (old->whole != whole)
                continue;
            uint32_t running = running_of(old), stay = MIN(running, keep);
            if (stay < keep && old->whole && r->phase != ROLLOUT_CANCELING) {
                keep -= stay;
                continue;
            }
            old->wanted = indices_with(old, stay);
            keep -= stay;
        }
}

static bool anything_old_runs(const struct rollout *r) {
    for (size_t i = 0; i < r->old_count; i++)
        if (running_of(&r->olds[i]) > 0)
            return true;
    return false;
}

enum rollout_next rollout_step(const struct rollout *r, uint32_t *ret_wanted) {
    uint32_t in_flight = MAX(r->max_in_flight, 1u);
    bool canary = r->canary > 0 && r->phase != ROLLOUT_CANCELING;
    uint32_t goal = canary ? MIN(r->canary, r->target) : r->target;

    *ret_wanted = r->wanted;
    if (r->phase == ROLLOUT_PAUSED)
        return ROLLOUT_PAUSE;
    if (!canary &&
        (r->running >= r->target || (r->phase == ROLLOUT_CANCELING && !anything_old_runs(r)))) {
        *ret_wanted = r->target;
        return ROLLOUT_FINISH;
    }
    if (!r->failing || r->phase == ROLLOUT_CANCELING) {
        uint64_t most = (uint64_t)r->running + in_flight;
        *ret_wanted = MAX(r->wanted, (uint32_t)MIN(most, goal));
    }
    uint32_t keep = r->target - MIN(r->running, r->target);
    if (canary) /* one more than is needed: Cloud Controller's, and the canary is on trial */
        keep = MAX(keep, r->target - goal + 1);
    step_down(r, keep);
    return canary && r->running >= goal ? ROLLOUT_PAUSE : ROLLOUT_GO_ON;
}
