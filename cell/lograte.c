#include "cell/lograte.h"

#include <stdio.h>

#include "common/base/mem.h"

#define NS_PER_S      1000000000u
#define PENALTY_NS    NS_PER_S /* Diego: all is dropped for so long after an overage */
#define TELL_EVERY_NS NS_PER_S
#define JITTER_NS                                                                                  \
    (5u * (uint64_t)NS_PER_S) /* lines older than the last by more: a clock set back */

void lograte_init(struct lograte *r, int64_t limit) {
    *r = (struct lograte){.limit = limit, .tokens = limit > 0 ? (double)limit : 0};
}

/* Time goes on from there: nothing is refilled, and nothing waits until the clock is where it was.
 */
static void set_back(struct lograte *r, uint64_t wall_ns) {
    uint64_t by = r->last_ns - wall_ns;
    r->blocked_until_ns -= MIN(by, r->blocked_until_ns);
    r->told_ns -= MIN(by, r->told_ns);
    r->last_ns = wall_ns;
}

static enum lograte_verdict drop(struct lograte *r, uint64_t wall_ns) {
    if (r->told_ns && wall_ns < r->told_ns + TELL_EVERY_NS)
        return LOGRATE_DROP;
    r->told_ns = wall_ns;
    return LOGRATE_DROP_AND_TELL;
}

enum lograte_verdict lograte_take(struct lograte *r, size_t bytes, uint64_t wall_ns) {
    if (r->limit < 0)
        return LOGRATE_PASS;
    if (r->last_ns > wall_ns && r->last_ns - wall_ns > JITTER_NS)
        set_back(r, wall_ns);
    wall_ns = MAX(wall_ns, r->last_ns);
    if (r->last_ns) {
        double gained = (double)(wall_ns - r->last_ns) / NS_PER_S * (double)r->limit;
        r->tokens = MIN((double)r->limit, r->tokens + gained);
    }
    r->last_ns = wall_ns;
    if (wall_ns < r->blocked_until_ns)
        return drop(r, wall_ns);
    if ((double)bytes > r->tokens) {
        r->blocked_until_ns = wall_ns + PENALTY_NS;
        return drop(r, wall_ns);
    }
    r->tokens -= (double)bytes;
    return LOGRATE_PASS;
}

void lograte_text(const struct lograte *r, char *buf, size_t n) {
    snprintf(buf, n, "app instance exceeded log rate limit (%lld bytes/sec)", (long long)r->limit);
}
