/* Whatever the blob, decompressing ends: with the same bytes however it is read, or with -EBADMSG
 * or -ENOTSUP. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cell/image/inflate.h"
#include "common/base/mem.h"

#define MAX_OUT ((size_t)4 << 20)

struct input {
    const uint8_t *p;
    size_t n, step;
};

static ssize_t read_input(void *arg, void *buf, size_t n, struct error *err) {
    struct input *in = arg;
    n = MIN(MIN(n, in->step), in->n);
    if (n)
        memcpy(buf, in->p, n);
    in->p += n;
    in->n -= n;
    return (ssize_t)n;
}

/* The number of bytes made, at most MAX_OUT, and a sum of them; or the error. */
static ssize_t inflate_all(const uint8_t *data, size_t size, size_t step, size_t chunk,
                           uint64_t *ret_sum) {
    static uint8_t out[65536];
    struct input in = {data, size, step};
    struct error err = {0};
    _cleanup_(inflate_freep) struct inflate *z = NULL;
    size_t total = 0;
    ssize_t n = -ENOMEM;
    *ret_sum = 0;
    assert(inflate_new(&z, read_input, &in, &err) == 0);
    do {
        n = inflate_read(z, out, chunk, &err);
        for (ssize_t i = 0; i < n; i++)
            *ret_sum = *ret_sum * 31 + out[i];
        total += n > 0 ? (size_t)n : 0;
    } while (n > 0 && total < MAX_OUT);
    assert(n >= 0 || n == -EBADMSG || n == -ENOTSUP);
    return n < 0 ? n : (ssize_t)total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t a, b;
    ssize_t whole = inflate_all(data, size, SIZE_MAX, 65536, &a);
    ssize_t parts = inflate_all(data, size, 3, 65536, &b);
    /* libzstd refuses some damage only when it sees a frame whole; what it takes must agree. */
    if (whole >= 0 && parts >= 0 && (size_t)whole < MAX_OUT)
        assert(parts == whole && a == b);
    return 0;
}
