#include "common/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...) {
    assert(code < 0);
    if (!err)
        return code;
    /* The arguments may point into err->msg itself: format beside it, then copy. */
    char text[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err->code = code;
    memcpy(err->msg, text, sizeof text);
    return code;
}

int error_wrap(struct error *err, const char *fmt, ...) {
    if (!err)
        return -EIO;
    char text[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", err->msg);
    memcpy(err->msg, text, sizeof text);
    return err->code;
}
