/* limiter.h - how often log-ins may fail, by key (a user from an address, an address), in memory.
 *
 * UAA's usual lockout (docs: uaa.yml authentication.policy): 5 failures within 20 minutes close a
 * key for 5 minutes. Bounded: the key that failed longest ago is forgotten first. */
#ifndef CONTROLLER_API_LIMITER_H
#define CONTROLLER_API_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/mem.h"

struct limiter;

struct limiter_policy {
    unsigned failures;
    uint64_t within_ms, closed_ms;
    unsigned max_keys;
};
extern const struct limiter_policy limiter_uaa;

struct limiter *limiter_new(const struct limiter_policy *policy); /* NULL: out of memory */
void limiter_free(struct limiter *l);
DEFINE_FREEP(limiter)

/* `factor` multiplies the failures allowed. */
bool limiter_closed(const struct limiter *l, const char *key, uint64_t now_ms);
void limiter_failed(struct limiter *l, const char *key, unsigned factor, uint64_t now_ms);
void limiter_forget(struct limiter *l, const char *key); /* after a success */

#endif
