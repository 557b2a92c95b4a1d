/* clock.h - time. Policies never read a clock: they take now_ms. Only main.c and thin adapters do.
 */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

uint64_t clock_mono_ms(void); /* since boot; for deadlines */
uint64_t clock_mono_ns(void);
uint64_t clock_wall_ns(void); /* since 1970; for people and for what is stored */

/* "2026-01-02T03:04:05Z" (RFC 3339, the API's form) into buf of at least 21 bytes. */
void clock_format(uint64_t wall_ns, char buf[static 21]);
/* That form back. False when it is another, or before 1970. */
bool clock_parse(const char *text, uint64_t *ret_wall_ns);

#endif
