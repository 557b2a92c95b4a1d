/* error.h - the one way a fallible function of Berth tells what went wrong.
 *
 * A fallible function returns 0 (or a count) or a negative errno, and takes `struct error *err`
 * last when a person may need to know why. Callers branch on the number; people read the text.
 * Nothing on the failure path allocates. `err` may be NULL everywhere.
 *
 *     if (fd < 0)
 *         return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
 *     if ((r = store_open(&s, path, err)) < 0)
 *         return error_wrap(err, "opening the store");      // "opening the store: cannot ..."
 */
#ifndef COMMON_BASE_ERROR_H
#define COMMON_BASE_ERROR_H

struct error {
    int code;      /* negative errno; 0 while nothing failed */
    char msg[512]; /* NUL-terminated text for a person; cut, never overrun */
};

/* Fills *err and returns `code`, so that failing is one line. `code` must be negative. */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Prefixes "what: " to err->msg and returns err->code (-EIO when err is NULL). */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
