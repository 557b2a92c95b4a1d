/* klog.h - reads conmon's log format (k8s-file), in whatever chunks it comes:
 *
 *     2026-01-02T03:04:05.678901234+00:00 stdout F a whole line
 *     2026-01-02T03:04:05.678901234+00:00 stderr P the first piece of a long one
 *
 * Pieces (P) of one stream are joined until its full one (F) comes. A message longer than
 * KLOG_MESSAGE_MAX is cut into several; empty lines are dropped. The content is the app's and so
 * hostile; a record whose head cannot be read is skipped and counted. */
#ifndef CELL_KLOG_H
#define CELL_KLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KLOG_MESSAGE_MAX 61440 /* Diego's MAX_MESSAGE_SIZE */
#define KLOG_HEAD_MAX    80    /* timestamp, stream, tag: 35 + 1 + 6 + 1 + 1 + 1 */

enum klog_stream { KLOG_OUT, KLOG_ERR, KLOG_STREAMS };

struct klog_line {
    enum klog_stream stream;
    uint64_t wall_ns; /* of its first piece */
    const char *message;
    size_t message_n; /* 1..KLOG_MESSAGE_MAX */
    uint64_t resume;  /* read again from here to miss nothing after this line */
};

struct klog {
    struct klog_pending {
        char *p; /* owned; NULL while nothing is pending */
        size_t n, cap;
        uint64_t wall_ns, start; /* of the first piece; its record's offset */
    } pending[KLOG_STREAMS];
    char head[KLOG_HEAD_MAX];
    size_t head_n;
    enum { KLOG_IN_HEAD, KLOG_IN_CONTENT, KLOG_IN_JUNK } state;
    enum klog_stream stream; /* of the record being read */
    bool full;
    uint64_t wall_ns, record; /* of the record being read; its offset */
    uint64_t offset;          /* of the next byte */
    uint64_t malformed;       /* records skipped */
    bool failed;              /* out of memory: something was lost */
};

/* Begins at `offset`, the start of a record. */
void klog_init(struct klog *k, uint64_t offset);
void klog_fini(struct klog *k);
void klog_feed(struct klog *k, const char *p, size_t n,
               void (*on_line)(void *arg, const struct klog_line *line), void *arg);
/* No more will come: gives what is pending as lines. */
void klog_end(struct klog *k, void (*on_line)(void *arg, const struct klog_line *line), void *arg);

/* RFC 3339 with up to nine digits of a second: ns since 1970, or 0. */
uint64_t klog_parse_time(const char *p, size_t n);

#endif
