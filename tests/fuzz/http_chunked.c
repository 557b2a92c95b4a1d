/* A chunked body in two pieces is what it is in one: the first byte says where it is split. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/body.h"

struct outcome {
    ssize_t code, taken;
    bool done;
    struct strbuf data;
};

static struct outcome decode(const uint8_t *data, size_t size, size_t first) {
    struct outcome o = {0};
    struct body b;
    body_init(&b, BODY_CHUNKED, 0);
    b.keep_trailers = true;
    for (size_t at = 0; at < size && !b.done && o.code >= 0; at += at ? size - at : first) {
        size_t n = at ? size - at : first;
        char *copy = malloc(n + 1);
        struct slice part = {copy, 0};
        memcpy(copy, data + at, n);
        o.code = body_decode(&b, copy, n, &part);
        assert(o.code <= (ssize_t)n && (o.code < 0 || part.n <= n));
        if (o.code >= 0) {
            o.taken += o.code;
            strbuf_add(&o.data, part.p, part.n);
        }
        free(copy);
    }
    o.done = b.done;
    assert(o.code < 0 || b.total == o.data.n);
    body_fini(&b);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t split = 1 + data[0] % (size - 1);
    struct outcome whole = decode(data + 1, size - 1, size - 1);
    struct outcome parts = decode(data + 1, size - 1, split);
    assert((whole.code < 0) == (parts.code < 0) && whole.done == parts.done);
    if (whole.code >= 0) {
        assert(whole.taken == parts.taken && whole.data.n == parts.data.n);
        assert(!whole.data.n || memcmp(whole.data.p, parts.data.p, whole.data.n) == 0);
    }
    strbuf_fini(&whole.data);
    strbuf_fini(&parts.data);
    return 0;
}
