#include "cell/lograte.h"

#include <stdio.h>

#include "common/base/mem.h"

#define NS_PER_S      1000000000u
#define PENALTY_NS    NS_PER_S /* Diego: all is dropped for so long after an overage */
#define TELL_EVERY_NS NS_PER_S

void lograte_init(struct lograte *r, int64_t limit) {
    *r = (struct lograte){.limit = limit, .tokens = limit > 0 ? (double)limit : 0};
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
    wall_ns = MAX(wall_ns, r->last_ns); /* a clock that was set back refills nothing */
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
