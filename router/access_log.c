#include "router/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "router/pen.h"

static int open_file(const char *path, struct error *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return fd < 0 ? error_set(err, -errno, "cannot open %s: %s", path, strerror(errno)) : fd;
}

int access_sink_open(struct access_sink *s, const char *path, size_t ring_bytes,
                     struct error *err) {
    *s = (struct access_sink){.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!str_empty(path)) {
        s->path = str_dup(path);
        if (!s->path)
            return error_set(err, -ENOMEM, "out of memory");
        s->fd = open_file(path, err);
        if (s->fd < 0)
            return s->fd;
    }
    if (ring_bytes && !(s->ring = log_ring_new(ring_bytes)))
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

/* The descriptor's number stays, so that workers need not be told. */
int access_sink_reopen(struct access_sink *s, struct error *err) {
    if (s->fd < 0)
        return 0;
    _cleanup_(close_fdp) int fd = open_file(s->path, err);
    if (fd < 0)
        return fd;
    if (dup3(fd, s->fd, O_CLOEXEC) < 0)
        return error_set(err, -errno, "cannot reopen %s: %s", s->path, strerror(errno));
    return 0;
}

void access_sink_close(struct access_sink *s) {
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    free(s->path);
    s->path = NULL;
    free(s->ring);
    s->ring = NULL;
}

int access_batch_init(struct access_batch *b, struct access_sink *sink) {
    *b = (struct access_batch){.sink = sink, .second = UINT64_MAX};
    if (!access_batch_wanted(b))
        return 0;
    b->text = malloc(ACCESS_BATCH_BYTES);
    if (!b->text)
        return -ENOMEM;
    if (sink->ring && !(b->entries = mem_calloc(ACCESS_BATCH_LINES, sizeof *b->entries)))
        return -ENOMEM;
    return 0;
}

void access_batch_fini(struct access_batch *b) {
    if (b->text)
        access_batch_flush(b);
    free(b->text);
    free(b->entries);
    *b = (struct access_batch){0};
}

bool access_batch_wanted(const struct access_batch *b) {
    return b->sink && (b->sink->fd >= 0 || b->sink->ring);
}

void access_batch_flush(struct access_batch *b) {
    if (!b->n)
        return;
    if (b->sink->fd >= 0 && fs_write_all(b->sink->fd, b->text, b->n) < 0)
        b->dropped++;
    if (b->count) {
        pthread_mutex_lock(&b->sink->lock);
        for (unsigned i = 0; i < b->count; i++)
            log_ring_push(b->sink->ring, &b->entries[i]);
        pthread_mutex_unlock(&b->sink->lock);
    }
    b->n = 0;
    b->count = 0;
}

/* --- the line --- */

static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct pen *pen, struct slice s) {
    static const char hex[] = "0123456789abcdef";
    if (!pen_fits(pen, s.n * 4))
        return;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_plain(c)) {
            *pen->p++ = (char)c;
            continue;
        }
        *pen->p++ = '\\';
        if (c == '"' || c == '\\') {
            *pen->p++ = (char)c;
        } else {
            *pen->p++ = 'x';
            *pen->p++ = hex[c >> 4];
            *pen->p++ = hex[c & 15];
        }
    }
}

static void put_cut(struct pen *pen, struct slice s, size_t max,
                    void (*put)(struct pen *, struct slice)) {
    put(pen, (struct slice){s.p, MIN(s.n, max)});
    if (s.n > max)
        pen_lit(pen, "...-TOO-LONG-TO-LOG--TRUNCATED");
}

static void put_quoted(struct pen *pen, struct slice s) {
    if (!s.n) {
        pen_lit(pen, "\"-\"");
        return;
    }
    pen_char(pen, '"');
    put_cut(pen, s, ACCESS_VALUE_MAX, put_escaped);
    pen_char(pen, '"');
}

/* "2026-01-02T03:04:05.123456789Z"; the date is worked out once a second. */
static void put_time(struct pen *pen, struct access_batch *b, uint64_t wall_ns) {
    uint64_t second = wall_ns / 1000000000u;
    if (second != b->second) {
        time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(b->date, sizeof b->date, "%Y-%m-%dT%H:%M:%S", &tm);
        b->second = second;
    }
    pen_put(pen, b->date, 19);
    pen_char(pen, '.');
    pen_padded(pen, wall_ns % 1000000000u, 9);
    pen_char(pen, 'Z');
}

static void put_seconds(struct pen *pen, uint64_t ns) {
    uint64_t us = (ns + 500) / 1000;
    pen_u64(pen, us / 1000000u);
    pen_char(pen, '.');
    pen_padded(pen, us % 1000000u, 6);
}

static void put_forwarded_for(struct pen *pen, const struct access_record *r) {
    if (!r->forwarded_for.n || !r->forwarded_for_tail.n) {
        put_quoted(pen, r->forwarded_for.n ? r->forwarded_for : r->forwarded_for_tail);
        return;
    }
    pen_char(pen, '"');
    put_cut(pen, r->forwarded_for, ACCESS_VALUE_MAX, put_escaped);
    pen_lit(pen, ", ");
    put_escaped(pen, r->forwarded_for_tail);
    pen_char(pen, '"');
}

static void put_request_line(struct pen *pen, const struct access_record *r) {
    pen_char(pen, '"');
    put_cut(pen, r->method, ACCESS_VALUE_MAX, put_escaped);
    pen_char(pen, ' ');
    put_cut(pen, r->target, ACCESS_TARGET_MAX, pen_slice);
    pen_lit(pen, " HTTP/1.");
    pen_char(pen, r->minor ? '1' : '0');
    pen_lit(pen, "\" ");
    if (r->status)
        pen_padded(pen, (uint64_t)r->status, 3);
    else
        pen_lit(pen, "\"-\"");
}

size_t access_format(struct access_batch *b, const struct access_record *r, char *dst) {
    struct pen pen = {dst, dst + ACCESS_LINE_MAX, false};
    if (r->host.n)
        put_cut(&pen, r->host, ACCESS_VALUE_MAX, pen_slice);
    else
        pen_char(&pen, '-');
    pen_lit(&pen, " - [");
    put_time(&pen, b, r->arrived_wall_ns);
    pen_lit(&pen, "] ");
    put_request_line(&pen, r);
    pen_char(&pen, ' ');
    pen_u64(&pen, r->bytes_in);
    pen_char(&pen, ' ');
    pen_u64(&pen, r->bytes_out);
    pen_char(&pen, ' ');
    put_quoted(&pen, r->referer);
    pen_char(&pen, ' ');
    put_quoted(&pen, r->user_agent);
    pen_char(&pen, ' ');
    put_quoted(&pen, r->client);
    pen_char(&pen, ' ');
    put_quoted(&pen, r->backend);
    pen_lit(&pen, " x_forwarded_for:");
    put_forwarded_for(&pen, r);
    pen_lit(&pen, " x_forwarded_proto:");
    put_quoted(&pen, r->forwarded_proto);
    pen_lit(&pen, " vcap_request_id:");
    put_quoted(&pen, r->request_id);
    pen_lit(&pen, " response_time:");
    put_seconds(&pen, r->response_ns);
    pen_lit(&pen, " gorouter_time:");
    put_seconds(&pen, r->response_ns > r->backend_ns ? r->response_ns - r->backend_ns : 0);
    pen_lit(&pen, " app_id:");
    b->guid = pen.p + 1; /* behind the quote; a guid has nothing to escape */
    put_quoted(&pen, r->app_guid);
    pen_lit(&pen, " app_index:");
    put_quoted(&pen, r->app_index);
    pen_lit(&pen, " instance_id:");
    put_quoted(&pen, r->instance_id);
    pen_lit(&pen, " x_cf_routererror:");
    put_quoted(&pen, r->router_error);
    return (size_t)(pen.p - dst);
}

void access_batch_add(struct access_batch *b, const struct access_record *r) {
    if (!b->text)
        return;
    if (ACCESS_BATCH_BYTES - b->n < ACCESS_LINE_MAX + 256 || b->count == ACCESS_BATCH_LINES)
        access_batch_flush(b);
    char *line = b->text + b->n;
    size_t n = access_format(b, r, line);
    line[n++] = '\n';
    b->n += n;
    if (!b->entries || !r->app_guid.n)
        return;
    /* The route may be gone by the flush: the guid is taken from the line's own text. */
    b->entries[b->count++] = (struct log_ring_entry){
        .app_guid = {b->guid, r->app_guid.n}, .line = {line, n - 1}, .wall_ns = r->arrived_wall_ns};
}
