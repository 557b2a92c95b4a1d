#include "cell/klog.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/base/str.h"

#define NS_PER_S   1000000000u
#define KEEP_BYTES 1024 /* of a pending buffer, between lines: a cell follows hundreds */

void klog_init(struct klog *k, uint64_t offset) {
    *k = (struct klog){.offset = offset, .record = offset};
}

void klog_fini(struct klog *k) {
    for (int s = 0; s < KLOG_STREAMS; s++)
        free(k->pending[s].p);
    *k = (struct klog){0};
}

/* Exactly `n` decimal digits. */
static bool digits(const char *p, size_t n, int *ret) {
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (p[i] - '0');
    }
    *ret = v;
    return true;
}

/* "Z", "+02:00", "-0730": seconds east of Greenwich. */
static bool parse_zone(const char *p, size_t n, long *ret) {
    int h, m;
    if (n == 1 && *p == 'Z')
        return *ret = 0, true;
    if ((n != 6 || p[3] != ':') && n != 5)
        return false;
    if ((*p != '+' && *p != '-') || !digits(p + 1, 2, &h) || !digits(p + n - 2, 2, &m) || h > 23 ||
        m > 59)
        return false;
    *ret = (h * 3600L + m * 60L) * (*p == '-' ? -1 : 1);
    return true;
}

uint64_t klog_parse_time(const char *p, size_t n) {
    struct tm tm = {0};
    long zone, ns = 0, unit = NS_PER_S / 10;
    if (n < 20 || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':')
        return 0;
    if (!digits(p, 4, &tm.tm_year) || !digits(p + 5, 2, &tm.tm_mon) ||
        !digits(p + 8, 2, &tm.tm_mday) || !digits(p + 11, 2, &tm.tm_hour) ||
        !digits(p + 14, 2, &tm.tm_min) || !digits(p + 17, 2, &tm.tm_sec))
        return 0;
    if (tm.tm_year < 1971 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    p += 19, n -= 19;
    if (*p == '.')
        for (p++, n--; n && *p >= '0' && *p <= '9'; p++, n--, unit /= 10)
            ns += (*p - '0') * unit;
    if (!parse_zone(p, n, &zone))
        return 0;
    time_t s = timegm(&tm) - zone;
    return s > 0 ? (uint64_t)s * NS_PER_S + (uint64_t)ns : 0;
}

/* "TIME stdout F": fills stream, tag and time. */
static bool parse_head(struct klog *k) {
    const char *p = k->head;
    size_t n = k->head_n;
    const char *space = memchr(p, ' ', n);
    if (!space)
        return false;
    struct slice rest = {space + 1, n - (size_t)(space - p) - 1};
    if (rest.n != 8 || rest.p[6] != ' ' || (rest.p[7] != 'F' && rest.p[7] != 'P'))
        return false;
    if (memcmp(rest.p, "stdout", 6) == 0)
        k->stream = KLOG_OUT;
    else if (memcmp(rest.p, "stderr", 6) == 0)
        k->stream = KLOG_ERR;
    else
        return false;
    k->full = rest.p[7] == 'F';
    k->wall_ns = klog_parse_time(p, (size_t)(space - p));
    return k->wall_ns != 0;
}

static bool reserve(struct klog_pending *b, size_t more) {
    if (b->n + more <= b->cap)
        return true;
    size_t cap = MIN((size_t)KLOG_MESSAGE_MAX, MAX(2 * b->cap, MAX(b->n + more, (size_t)256)));
    char *p = mem_resize(b->p, cap, 1);
    if (!p)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

typedef void line_fn(void *arg, const struct klog_line *line);

/* Tells the pending text of `stream`. Read on from `next`, or from where the other stream's
 * unfinished line began, if that was earlier. */
static void emit(struct klog *k, enum klog_stream stream, uint64_t next, line_fn *on_line,
                 void *arg) {
    struct klog_pending *b = &k->pending[stream];
    const struct klog_pending *other = &k->pending[!stream];
    if (b->n) {
        struct klog_line line = {
            .stream = stream,
            .wall_ns = b->wall_ns,
            .message = b->p,
            .message_n = b->n,
            .resume = other->n ? MIN(next, other->start) : next,
        };
        on_line(arg, &line);
    }
    b->n = 0;
    if (b->cap > KEEP_BYTES) {
        free(b->p);
        *b = (struct klog_pending){0};
    }
}

/* Some content of the record being read. */
static void add_content(struct klog *k, const char *p, size_t n, line_fn *on_line, void *arg) {
    struct klog_pending *b = &k->pending[k->stream];
    while (n) {
        if (b->n == KLOG_MESSAGE_MAX)
            emit(k, k->stream, k->record, on_line, arg);
        size_t part = MIN(n, KLOG_MESSAGE_MAX - b->n);
        if (!b->n) {
            b->wall_ns = k->wall_ns;
            b->start = k->record;
        }
        if (!reserve(b, part)) {
            k->failed = true;
            return;
        }
        memcpy(b->p + b->n, p, part);
        b->n += part;
        p += part, n -= part;
    }
}

static void end_of_head(struct klog *k) {
    k->state = parse_head(k) ? KLOG_IN_CONTENT : KLOG_IN_JUNK;
    k->malformed += k->state == KLOG_IN_JUNK;
}

/* A head ends with the third space, or is none: a newline came first or it is too long. */
static size_t feed_head(struct klog *k, const char *p, size_t n) {
    size_t i = 0;
    while (i < n && k->state == KLOG_IN_HEAD) {
        if (p[i] == '\n') { /* "... F" and no content: conmon writes the third space always */
            end_of_head(k);
            return i;
        }
        bool tag = k->head_n >= 2 && k->head[k->head_n - 2] == ' ';
        if (p[i] == ' ' && tag && (k->head[k->head_n - 1] == 'F' || k->head[k->head_n - 1] == 'P'))
            end_of_head(k);
        else if (k->head_n == KLOG_HEAD_MAX)
            end_of_head(k);
        else
            k->head[k->head_n++] = p[i];
        i++;
    }
    return i;
}

static void end_of_record(struct klog *k, line_fn *on_line, void *arg) {
    if (k->state == KLOG_IN_CONTENT && k->full)
        emit(k, k->stream, k->offset, on_line, arg);
    k->state = KLOG_IN_HEAD;
    k->head_n = 0;
    k->record = k->offset;
}

void klog_feed(struct klog *k, const char *p, size_t n,
               void (*on_line)(void *arg, const struct klog_line *line), void *arg) {
    while (n) {
        size_t used;
        if (k->state == KLOG_IN_HEAD) {
            used = feed_head(k, p, n);
        } else {
            const char *newline = memchr(p, '\n', n);
            used = newline ? (size_t)(newline - p) : n;
            if (k->state == KLOG_IN_CONTENT)
                add_content(k, p, used, on_line, arg);
        }
        p += used, n -= used, k->offset += used;
        if (n && *p == '\n' && k->state != KLOG_IN_HEAD) {
            p++, n--, k->offset++;
            end_of_record(k, on_line, arg);
        }
    }
}

void klog_end(struct klog *k, void (*on_line)(void *arg, const struct klog_line *line), void *arg) {
    enum klog_stream first = k->pending[KLOG_ERR].n && k->pending[KLOG_OUT].n &&
                                     k->pending[KLOG_ERR].start < k->pending[KLOG_OUT].start
                                 ? KLOG_ERR
                                 : KLOG_OUT;
    emit(k, first, k->offset, on_line, arg);
    emit(k, !first, k->offset, on_line, arg);
}
