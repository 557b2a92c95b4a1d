/* loopback.h - an address of this process alone, so that tests that run side by side may use the
 * same ports. */
#ifndef TESTS_UNIT_LIB_LOOPBACK_H
#define TESTS_UNIT_LIB_LOOPBACK_H

#include <stdio.h>
#include <unistd.h>

/* "127.64.x.y" and up: a pid is below 2^22. */
static inline const char *loopback_of_tests(void) {
    static char host[32];
    unsigned pid = (unsigned)getpid();
    snprintf(host, sizeof host, "127.%u.%u.%u", 64 + (pid >> 16), pid >> 8 & 255, pid & 255);
    return host;
}

#endif
