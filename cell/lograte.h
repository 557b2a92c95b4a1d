/* lograte.h - how fast one instance may log: a token bucket of bytes, as Diego's.
 *
 * Rate and burst are the limit. After an overage everything is dropped for a second; that is told
 * at most once a second. Time is the lines' own, so that a backlog is not taken for a flood. */
#ifndef CELL_LOGRATE_H
#define CELL_LOGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lograte {
    int64_t limit; /* bytes a second; -1 unlimited, 0 drops all */
    double tokens;
    uint64_t last_ns, blocked_until_ns, told_ns;
};

enum lograte_verdict {
    LOGRATE_PASS,
    LOGRATE_DROP,
    LOGRATE_DROP_AND_TELL, /* lograte_text() is due */
};

void lograte_init(struct lograte *r, int64_t limit);
enum lograte_verdict lograte_take(struct lograte *r, size_t bytes, uint64_t wall_ns);
/* "app instance exceeded log rate limit (N bytes/sec)" */
void lograte_text(const struct lograte *r, char *buf, size_t n);

#endif
