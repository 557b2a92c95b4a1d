/* klog.c - conmon's log format: whatever the chunks, the same lines, none too long, none empty. */
#include "cell/klog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct sum {
    uint64_t lines, bytes, hash, resume;
};

static void on_line(void *arg, const struct klog_line *line) {
    struct sum *s = arg;
    assert(line->message_n > 0 && line->message_n <= KLOG_MESSAGE_MAX);
    assert(line->wall_ns != 0);
    s->lines++;
    s->bytes += line->message_n;
    s->resume = line->resume;
    for (size_t i = 0; i < line->message_n; i++)
        s->hash = (s->hash ^ (unsigned char)line->message[i]) * 1099511628211u;
    s->hash = (s->hash ^ line->stream ^ line->wall_ns ^ line->resume) * 1099511628211u;
}

static struct sum read_in_chunks(const char *p, size_t n, size_t chunk) {
    struct sum s = {0};
    struct klog k;
    klog_init(&k, 7);
    for (size_t at = 0; at < n; at += chunk)
        klog_feed(&k, p + at, n - at < chunk ? n - at : chunk, on_line, &s);
    assert(k.offset == 7 + n);
    assert(s.resume <= k.offset);
    klog_end(&k, on_line, &s);
    klog_fini(&k);
    assert(s.bytes <= n);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct sum whole = read_in_chunks((const char *)data, n, n + 1);
    struct sum bytes = read_in_chunks((const char *)data, n, 1);
    struct sum some = read_in_chunks((const char *)data, n, 17);
    assert(memcmp(&whole, &bytes, sizeof whole) == 0);
    assert(memcmp(&whole, &some, sizeof whole) == 0);
    return 0;
}
