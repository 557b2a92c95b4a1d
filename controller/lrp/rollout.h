/* rollout.h - how one version of a process takes the place of others, instance by instance.
 *
 * Pure and without memory: from what is wanted and what runs now, what is to be wanted next. Called
 * again after each change; the same picture gives the same answer, so it may stop and go on at any
 * point. The numbers are Cloud Controller's deployment_updater, but for two: what comes back after
 * a cancel comes back instance by instance too, and no version's place is given up before another
 * serves in it. */
#ifndef CONTROLLER_LRP_ROLLOUT_H
#define CONTROLLER_LRP_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*   DEPLOYING --(the canary's goal serves)--> PAUSED --(the user goes on)--> DEPLOYING
 *       |                                        |
 *       |--(all serve)--> finished               `--(the user cancels)--> CANCELING
 *       `--(the user cancels)--> CANCELING --(the old ones serve again, or nothing else does)-->
 * finished
 */
enum rollout_phase { ROLLOUT_DEPLOYING, ROLLOUT_PAUSED, ROLLOUT_CANCELING };

/* A version that goes. */
struct rollout_old {
    bool whole;          /* was all of the process once: the one to come back to */
    uint32_t wanted;     /* in: instances wanted now; out: wanted next, never more */
    const bool *running; /* `wanted` of them, by index; borrowed */
};

struct rollout {
    enum rollout_phase phase;
    uint32_t target;        /* instances of the process, in the end of the version that comes */
    uint32_t max_in_flight; /* instances of it on their way at a time; 0 is taken as 1 */
    uint32_t canary;        /* not 0: pause when so many of it serve */

    uint32_t wanted, running; /* of the version that comes */
    bool failing;             /* one of it crashed, and does not run again yet */
    struct rollout_old *olds;
    size_t old_count;
};

enum rollout_next {
    ROLLOUT_GO_ON,  /* *ret_wanted and the olds' `wanted` say what is wanted next */
    ROLLOUT_PAUSE,  /* the same, and the canary serves */
    ROLLOUT_FINISH, /* only the version that comes is wanted, all of it */
};

enum rollout_next rollout_step(const struct rollout *r, uint32_t *ret_wanted);

/* Instances of a canary of `weight` per cent of `target`: rounded, one at least. */
uint32_t rollout_canary(uint32_t target, uint32_t weight);

#endif
