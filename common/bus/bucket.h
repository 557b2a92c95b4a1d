/* bucket.h - a rate limit: a token bucket that starts full when zero-initialised. Pure. */
#ifndef COMMON_BUS_BUCKET_H
#define COMMON_BUS_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t spent_milli; /* thousandths of a token */
    uint64_t at_ms;       /* when that was true */
};

static inline bool bucket_take(struct bucket *b, unsigned burst, unsigned per_s, uint64_t now_ms) {
    uint64_t refill = (now_ms - b->at_ms) * per_s; /* a token a second is one milli a millisecond */
    b->spent_milli = refill < b->spent_milli ? b->spent_milli - refill : 0;
    b->at_ms = now_ms;
    if (b->spent_milli + 1000 > burst * 1000ull)
        return false;
    b->spent_milli += 1000;
    return true;
}

#endif
