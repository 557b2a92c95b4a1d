#include "cell/logs.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
/* Without memory an element is left out of the table (its hh.tbl stays NULL), nothing exits. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>
#include <utlist.h>

#include "cell/klog.h"
#include "cell/lograte.h"
#include "common/base/str.h"

#define CHUNK_BYTES     (64u << 10)  /* of one read */
#define TURN_BYTES      (256u << 10) /* of one follower before the others have their turn */
#define POSITION_FORMAT "%020llu %020llu %020llu\n"
#define POSITION_BYTES  63 /* of that */

/* Which file: an inode number alone may be used again. */
struct file_id {
    uint64_t ino, born_ns;
};

struct log_follow {
    struct logs *logs;
    char *path;
    struct outbox_origin *origin; /* one reference; its `data` is this follower */
    int fd, position_fd;
    int wd; /* key in logs->by_wd; -1: none */
    struct file_id id;
    uint64_t generation; /* of the file, counted from 1 */
    struct klog klog;
    struct lograte rate;
    uint64_t bytes;
    uint64_t acknowledged; /* offset; to be saved while `unsaved` */
    bool unsaved;
    bool ready; /* there may be more to read */
    UT_hash_handle hh;
    struct log_follow *prev, *next;
};

struct logs {
    struct event_base *loop;
    struct outbox *outbox;
    void (*on_lines)(void *data);
    void *data;
    int inotify_fd;
    struct event *on_inotify, *pump;
    struct log_follow *all, *by_wd;
    char chunk[CHUNK_BYTES];
};

static struct file_id identify(int fd) {
    struct statx x;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x) < 0)
        return (struct file_id){0};
    uint64_t born = x.stx_mask & STATX_BTIME
                        ? (uint64_t)x.stx_btime.tv_sec * 1000000000u + x.stx_btime.tv_nsec
                        : 0;
    return (struct file_id){x.stx_ino, born};
}

/* --- position --- */

static void save_position(struct log_follow *f, uint64_t offset) {
    char text[POSITION_BYTES + 1];
    snprintf(text, sizeof text, POSITION_FORMAT, (unsigned long long)f->id.ino,
             (unsigned long long)f->id.born_ns, (unsigned long long)offset);
    if (f->position_fd >= 0 && pwrite(f->position_fd, text, POSITION_BYTES, 0) < 0)
        (void)0; /* a full disk: lines come twice after a restart, none is lost */
}

/* False when there is none. */
static bool read_position(int fd, struct file_id *id, uint64_t *offset) {
    char text[POSITION_BYTES + 1] = {0};
    uint64_t v[3];
    if (pread(fd, text, POSITION_BYTES, 0) != POSITION_BYTES)
        return false;
    for (int i = 0; i < 3; i++)
        if (parse_u64_slice((struct slice){text + i * 21, 20}, 0, UINT64_MAX, &v[i]) < 0)
            return false;
    *id = (struct file_id){v[0], v[1]};
    *offset = v[2];
    return true;
}

/* Once a line: so only noted here. */
static void on_acknowledged(void *data, uint64_t file, uint64_t resume) {
    struct log_follow *f = data;
    if (file != f->generation)
        return; /* of a file that is gone */
    f->acknowledged = resume;
    f->unsaved = true;
}

static void save_if_acknowledged(struct log_follow *f) {
    if (f->unsaved)
        save_position(f, f->acknowledged);
    f->unsaved = false;
}

/* --- lines --- */

static void push(struct log_follow *f, const struct klog_line *line, Berth__LogStream stream,
                 const char *message, size_t n) {
    struct outbox_line out = {
        .stream = stream,
        .wall_ns = line->wall_ns,
        .message = message,
        .message_n = n,
        .file = f->generation,
        .resume = line->resume,
    };
    outbox_push(f->logs->outbox, f->origin, &out); /* a failure is counted there */
}

static void on_line(void *arg, const struct klog_line *line) {
    struct log_follow *f = arg;
    char text[96];
    switch (lograte_take(&f->rate, line->message_n, line->wall_ns)) {
    case LOGRATE_PASS:
        f->bytes += line->message_n;
        push(f, line,
             line->stream == KLOG_ERR ? BERTH__LOG_STREAM__LOG_ERR : BERTH__LOG_STREAM__LOG_OUT,
             line->message, line->message_n);
        return;
    case LOGRATE_DROP_AND_TELL:
        lograte_text(&f->rate, text, sizeof text);
        push(f, line, BERTH__LOG_STREAM__LOG_OUT, text, strlen(text));
        return;
    case LOGRATE_DROP:
        return;
    }
}

static void take_losses(struct log_follow *f) {
    outbox_count_lost(f->logs->outbox, f->klog.malformed + f->klog.failed);
    f->klog.malformed = 0;
    f->klog.failed = false;
}

/* --- reading --- */

static void unwatch(struct log_follow *f) {
    if (f->wd < 0)
        return;
    HASH_DEL(f->logs->by_wd, f);
    inotify_rm_watch(f->logs->inotify_fd, f->wd);
    f->wd = -1;
}

static void watch(struct log_follow *f) {
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd); /* this very inode, not the path's */
    struct log_follow *other;
    int wd = inotify_add_watch(f->logs->inotify_fd, self, IN_MODIFY | IN_ATTRIB);
    if (wd < 0)
        return; /* out of watches: lines come with the next logs_resume() */
    HASH_FIND_INT(f->logs->by_wd, &wd, other);
    if (other)
        return; /* two followers of one file: never with containers */
    f->wd = wd;
    HASH_ADD_INT(f->logs->by_wd, wd, f);
    if (!f->hh.tbl)
        f->wd = -1; /* out of memory: likewise */
}

/* Opens what is at the path now. */
static int open_file(struct log_follow *f, struct error *err) {
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", f->path, strerror(errno));
    unwatch(f);
    close_fdp(&f->fd);
    f->fd = fd;
    f->id = identify(fd);
    f->ready = true;
    watch(f);
    return 0;
}

/* What is left of a file that is gone counts as lost: there is no room for it. */
static void count_rest_as_lost(struct log_follow *f) {
    uint64_t lines = 0, at = f->klog.offset;
    ssize_t n;
    while ((n = pread(f->fd, f->logs->chunk, CHUNK_BYTES, (off_t)at)) > 0) {
        for (const char *p = f->logs->chunk, *end = p + n; (p = memchr(p, '\n', (size_t)(end - p)));
             p++)
            lines++;
        at += (uint64_t)n;
    }
    outbox_count_lost(f->logs->outbox, lines);
}

enum progress { READ_SOME, READ_ALL };

static enum progress read_chunk(struct log_follow *f) {
    ssize_t n = pread(f->fd, f->logs->chunk, CHUNK_BYTES, (off_t)f->klog.offset);
    if (n <= 0)
        return READ_ALL;
    klog_feed(&f->klog, f->logs->chunk, (size_t)n, on_line, f);
    take_losses(f);
    return READ_SOME;
}

/* Goes on with the new file, or with the beginning of a truncated one. The start of an unfinished
 * line stays pending: its rest is in the new file. */
static void start_over(struct log_follow *f) {
    struct klog was = f->klog;
    klog_init(&f->klog, 0);
    for (int s = 0; s < KLOG_STREAMS; s++) {
        f->klog.pending[s] = was.pending[s];
        f->klog.pending[s].start = 0;
    }
    f->generation++;
    f->unsaved = false; /* that was of the old file */
    save_position(f, 0);
}

/* At the end of the file: true when there is another to go on with. */
static bool next_file(struct log_follow *f) {
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return false;
    if (st.st_nlink == 0) { /* replaced: nobody writes to this one any more */
        while (read_chunk(f) == READ_SOME)
            ;
        if (open_file(f, NULL) < 0)
            return false; /* the container is being removed */
    } else if ((uint64_t)st.st_size >= f->klog.offset) {
        return false;
    }
    start_over(f);
    return true;
}

/* Was the file replaced while its rest cannot be taken? Then that rest is what is dropped. */
static void drop_if_replaced(struct log_follow *f) {
    struct stat st;
    if (fstat(f->fd, &st) < 0 || st.st_nlink > 0)
        return;
    count_rest_as_lost(f);
    if (open_file(f, NULL) == 0)
        start_over(f);
}

/* One follower's turn. */
static void read_turn(struct log_follow *f) {
    uint64_t budget = TURN_BYTES;
    while (outbox_has_room(f->logs->outbox)) {
        if (budget < CHUNK_BYTES)
            return; /* still ready */
        budget -= CHUNK_BYTES;
        if (read_chunk(f) == READ_ALL && !next_file(f)) {
            f->ready = false;
            return;
        }
    }
    drop_if_replaced(f);
}

/* Runs while somebody is ready and there is room; logs_resume() goes on after that. */
static void on_pump(evutil_socket_t fd, short what, void *arg) {
    struct logs *l = arg;
    struct log_follow *f;
    bool more = false;
    (void)fd, (void)what;
    DL_FOREACH (l->all, f) {
        if (f->ready)
            read_turn(f);
        more |= f->ready;
    }
    if (l->all) { /* whoever was first is last the next time */
        f = l->all;
        DL_DELETE(l->all, f);
        DL_APPEND(l->all, f);
    }
    if (!outbox_is_empty(l->outbox))
        l->on_lines(l->data);
    if (more && outbox_has_room(l->outbox))
        event_active(l->pump, EV_TIMEOUT, 0);
}

static void on_inotify(evutil_socket_t fd, short what, void *arg) {
    struct logs *l = arg;
    struct log_follow *f;
    char buf[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    (void)what;
    ssize_t n = read((int)fd, buf, sizeof buf);
    for (const char *p = buf; n > 0 && p < buf + n;) {
        const struct inotify_event *e = (const void *)p;
        p += sizeof *e + e->len;
        if (e->mask & IN_Q_OVERFLOW) {
            DL_FOREACH (l->all, f)
                f->ready = true;
            continue;
        }
        HASH_FIND_INT(l->by_wd, &e->wd, f);
        if (f)
            f->ready = true;
    }
    event_active(l->pump, EV_TIMEOUT, 0);
}

void logs_resume(struct logs *l) {
    struct log_follow *f;
    DL_FOREACH (l->all, f)
        save_if_acknowledged(f);
    event_active(l->pump, EV_TIMEOUT, 0);
}

/* --- the module's interface --- */

int logs_new(struct logs **ret, struct event_base *loop, struct outbox *outbox,
             void (*on_lines)(void *data), void *data, struct error *err) {
    _cleanup_(logs_freep) struct logs *l = mem_zalloc(sizeof *l);
    if (!l)
        return error_set(err, -ENOMEM, "out of memory");
    l->loop = loop;
    l->outbox = outbox;
    l->on_lines = on_lines;
    l->data = data;
    l->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (l->inotify_fd < 0)
        return error_set(err, -errno, "cannot watch files: %s", strerror(errno));
    l->on_inotify = event_new(loop, l->inotify_fd, EV_READ | EV_PERSIST, on_inotify, l);
    l->pump = event_new(loop, -1, 0, on_pump, l);
    if (!l->on_inotify || !l->pump || event_add(l->on_inotify, NULL) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    *ret = TAKE_PTR(l);
    return 0;
}

void logs_free(struct logs *l) {
    if (!l)
        return;
    if (l->on_inotify)
        event_free(l->on_inotify);
    if (l->pump)
        event_free(l->pump);
    close_fdp(&l->inotify_fd);
    free(l);
}

void log_follow_free(struct log_follow *f) {
    if (!f)
        return;
    save_if_acknowledged(f);
    unwatch(f);
    DL_DELETE(f->logs->all, f);
    f->origin->data = NULL;
    outbox_origin_unref(f->origin);
    klog_fini(&f->klog);
    close_fdp(&f->fd);
    close_fdp(&f->position_fd);
    free(f->path);
    free(f);
}

/* Sets where to begin in the file just opened. */
static void begin(struct log_follow *f) {
    struct file_id id = {0};
    uint64_t offset = 0;
    struct stat st;
    bool known = read_position(f->position_fd, &id, &offset);
    bool same = known && id.ino == f->id.ino && id.born_ns == f->id.born_ns &&
                fstat(f->fd, &st) == 0 && offset <= (uint64_t)st.st_size;
    if (known && !same)
        outbox_count_lost(f->logs->outbox, 1); /* replaced while nobody looked: at least one */
    klog_init(&f->klog, same ? offset : 0);
    f->generation = 1;
    if (!same)
        save_position(f, 0);
}

int logs_follow(struct logs *l, const struct log_source *source, struct log_follow **ret,
                struct error *err) {
    struct log_follow *f = mem_zalloc(sizeof *f);
    int r;
    if (!f)
        return error_set(err, -ENOMEM, "out of memory");
    f->logs = l;
    f->fd = f->position_fd = f->wd = -1;
    f->origin = source->origin;
    f->origin->refs++;
    f->origin->data = f;
    f->origin->on_done = on_acknowledged;
    DL_APPEND(l->all, f);
    lograte_init(&f->rate, source->rate_limit);
    f->path = str_dup(source->path);
    if (!f->path) {
        r = error_set(err, -ENOMEM, "out of memory");
        goto fail;
    }
    f->position_fd = open(source->position_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->position_fd < 0) {
        r = error_set(err, -errno, "cannot open %s: %s", source->position_path, strerror(errno));
        goto fail;
    }
    if ((r = open_file(f, err)) < 0)
        goto fail;
    begin(f);
    logs_resume(l);
    *ret = f;
    return 0;
fail:
    log_follow_free(f);
    return r;
}

void log_follow_finish(struct log_follow *f) {
    for (;;) {
        while (read_chunk(f) == READ_SOME)
            ;
        if (!next_file(f))
            break;
    }
    klog_end(&f->klog, on_line, f);
    f->ready = false;
    unwatch(f);
    if (!outbox_is_empty(f->logs->outbox))
        f->logs->on_lines(f->logs->data);
}

uint64_t log_follow_take_bytes(struct log_follow *f) {
    uint64_t bytes = f->bytes;
    f->bytes = 0;
    return bytes;
}

void logs_say(struct logs *l, struct outbox_origin *origin, const char *source_type,
              Berth__LogStream stream, uint64_t wall_ns, const char *text) {
    struct outbox_line line = {
        .source_type = source_type,
        .stream = stream,
        .wall_ns = wall_ns,
        .message = text,
        .message_n = strlen(text),
    };
    outbox_push(l->outbox, origin, &line);
    l->on_lines(l->data);
}
