#include "common/base/clock.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FORMAT   "%Y-%m-%dT%H:%M:%SZ"
#define NS_PER_S 1000000000u

static uint64_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
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
    time_t s = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(buf, 21, FORMAT, &tm);
}

bool clock_parse(const char *text, uint64_t *ret_wall_ns) {
    static const char form[] = "0000-00-00T00:00:00Z";
    char again[21];
    for (size_t i = 0; i < sizeof form; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    struct tm tm = {.tm_year = atoi(text) - 1900,
                    .tm_mon = atoi(text + 5) - 1,
                    .tm_mday = atoi(text + 8),
                    .tm_hour = atoi(text + 11),
                    .tm_min = atoi(text + 14),
                    .tm_sec = atoi(text + 17)};
    time_t s = timegm(&tm); /* sets right what is no date: then it is not the same text */
    if (s < 0 || strftime(again, sizeof again, FORMAT, &tm) == 0 || strcmp(again, text) != 0)
        return false;
    *ret_wall_ns = (uint64_t)s > UINT64_MAX / NS_PER_S ? UINT64_MAX : (uint64_t)s * NS_PER_S;
    return true;
}
