/* random.h - secrets and identifiers from the kernel; reproducible numbers for policies and tests.
 */
#ifndef COMMON_BASE_RANDOM_H
#define COMMON_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* n bytes fit for keys. Ends the process when the kernel has none: nothing safe can go on. */
void random_bytes(void *p, size_t n);

#define GUID_SIZE 37 /* 36 characters and a NUL */
/* A random version 4 UUID (RFC 9562 section 5.4). */
void guid_new(char buf[static GUID_SIZE]);

/* A small seeded generator (splitmix64): same seed, same numbers. Not for secrets. */
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t limit); /* [0, limit); limit > 0 */

#endif
