#include "common/base/clock.h"

#include <time.h>

static uint64_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void) {
    return read_ns(CLOCK_BOOTTIME);
}

uint64_t clock_mono_ms(void) {
    return clock_mono_ns() / 1000000u;
}

uint64_t clock_wall_ns(void) {
    return read_ns(CLOCK_REALTIME);
}

void clock_format(uint64_t wall_ns, char buf[static 21]) {
    time_t s = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(buf, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
