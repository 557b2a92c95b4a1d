/* pen.h - writes text into a fixed space; what does not fit sets `full` and is dropped. */
#ifndef ROUTER_PEN_H
#define ROUTER_PEN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/str.h"

struct pen {
    char *p, *end;
    bool full;
};

static inline bool pen_fits(struct pen *pen, size_t n) {
    if ((size_t)(pen->end - pen->p) >= n)
        return true;
    pen->full = true;
    return false;
}

static inline void pen_put(struct pen *pen, const char *s, size_t n) {
    if (!n || !pen_fits(pen, n)) /* an empty slice may be NULL */
        return;
    memcpy(pen->p, s, n);
    pen->p += n;
}

#define pen_lit(pen, literal) pen_put((pen), "" literal, sizeof(literal) - 1)

static inline void pen_slice(struct pen *pen, struct slice s) {
    pen_put(pen, s.p, s.n);
}

static inline void pen_char(struct pen *pen, char c) {
    pen_put(pen, &c, 1);
}

static inline void pen_u64(struct pen *pen, uint64_t v) {
    char digits[20];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + v % 10);
    while (v /= 10);
    pen_put(pen, digits + n, sizeof digits - n);
}

/* Exactly `width` digits, with zeros in front. */
static inline void pen_padded(struct pen *pen, uint64_t v, unsigned width) {
    if (!pen_fits(pen, width))
        return;
    for (unsigned i = width; i-- > 0; v /= 10)
        pen->p[i] = (char)('0' + v % 10);
    pen->p += width;
}

#endif
