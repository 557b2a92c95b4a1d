/* printable.h - words from outside, as they may stand in a message. */
#ifndef COMMON_REGISTRY_PRINTABLE_H
#define COMMON_REGISTRY_PRINTABLE_H

#include <stddef.h>

/* `s` (may be NULL) into buf with '?' for all that is not printable ASCII, cut to fit; gives buf.
 */
static inline const char *printable(const char *s, char *buf, size_t size) {
    size_t n = 0;
    for (; s && s[n] && n + 1 < size; n++)
        buf[n] = s[n] >= ' ' && s[n] <= '~' ? s[n] : '?';
    buf[n] = '\0';
    return buf;
}

#endif
