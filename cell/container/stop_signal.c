#include "cell/container/stop_signal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "common/base/str.h"

enum {
    /* What the C library gives out as SIGRTMIN and SIGRTMAX, here and in containers alike. */
    RT_FIRST = 34,
    RT_LAST = 64,
};

int stop_signal_parse(const char *text, struct error *err) {
    uint64_t number;
    if (str_empty(text))
        return SIGTERM;
    if (parse_u64(text, 1, RT_LAST, &number) == 0)
        return (int)number;
    const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
    if (strcasecmp(name, "RTMIN") == 0)
        return RT_FIRST;
    if (strcasecmp(name, "RTMAX") == 0)
        return RT_LAST;
    if (strncasecmp(name, "RTMIN+", 6) == 0 &&
        parse_u64(name + 6, 0, RT_LAST - RT_FIRST, &number) == 0)
        return RT_FIRST + (int)number;
    if (strncasecmp(name, "RTMAX-", 6) == 0 &&
        parse_u64(name + 6, 0, RT_LAST - RT_FIRST, &number) == 0)
        return RT_LAST - (int)number;
    for (int i = 1; i < RT_FIRST; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(name, known) == 0)
            return i;
    }
    return error_set(err, -EINVAL, "\"%.32s\" is no signal", text);
}
