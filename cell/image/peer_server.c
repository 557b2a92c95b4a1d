/* peer_server.c
 *
 *     accepted -> ASKING -> (checked) -> ANSWERING -> GIVING -> closed
 *                                            `-- a refusal ends here
 *
 * A blob that is still on its way is given as it grows; when its file loses its last name it came
 * to nothing.
 *
 * One loop on one thread, which seals what it gives; a disk that is slow stops nobody but the
 * others who are given to. The bandwidth is a budget that a tick refills; who finds it empty waits
 * for the tick in a row. */
#include "cell/image/peer_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "cell/image/peer_head.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/str.h"

#define TICK_MS  10                /* between two refills of the budget */
#define BURST_MS 50                /* how much of it may be saved up */
#define CHUNK    (4 * PEER_SEALED) /* given in one go */
#define LOOK_MS  1000
/* A reader that takes less than this in that long makes room for others. */
#define SLOW_MS    30000
#define SLOW_BYTES (256u * 1024)

enum state { ASKING, ANSWERING, GIVING };

struct conn {
    struct peer_server *s;
    enum state state;
    int fd, file; /* owned; file -1: none */
    bool coming;  /* the file grows */
    struct event *ev;
    char head[PEER_HEAD_MAX]; /* the request, then the answer */
    size_t head_n, head_at;
    off_t at;           /* in the file */
    uint64_t left;      /* of the body */
    uint64_t file_left; /* of the blob, to be sealed */
    struct peer_seal seal;
    uint8_t *record; /* owned: sealed; NULL until it is given */
    size_t record_n, record_at;
    uint64_t since_ms, since_left; /* of the request, or of what was looked at last */
    bool in_row;
    struct conn *prev, *next;
    struct conn *row_prev, *row_next;
};

struct peer_server {
    struct peer_server_config config;
    struct event_base *loop;
    pthread_t thread;
    bool running;
    int listener, stop_fd;
    struct event *on_listener, *on_stop, *on_tick, *on_look;
    struct conn *conns, *row; /* all; those that wait for the budget */
    unsigned conn_count, giving;
    int64_t budget;
    uint64_t refilled_ns;
    struct {
        _Atomic uint64_t giving, given, bytes, refused, busy, slow;
    } stats;
};

/* --- connections ------------------------------------------------------------------------------ */

static void conn_free(struct conn *c) {
    struct peer_server *s = c->s;
    if (c->in_row)
        DL_DELETE2(s->row, c, row_prev, row_next);
    DL_DELETE(s->conns, c);
    s->conn_count--;
    if (c->file >= 0)
        s->stats.giving--;
    event_free(c->ev);
    peer_seal_fini(&c->seal);
    free(c->record);
    close_fdp(&c->file);
    close(c->fd);
    free(c);
}

static void on_conn(evutil_socket_t fd, short what, void *arg);

static void want(struct conn *c, short what) {
    event_del(c->ev);
    event_assign(c->ev, c->s->loop, c->fd, what, on_conn, c);
    event_add(c->ev, NULL);
}

/* --- the budget --- */

static void wait_in_row(struct conn *c) {
    static const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    struct peer_server *s = c->s;
    c->in_row = true;
    DL_APPEND2(s->row, c, row_prev, row_next);
    if (!event_pending(s->on_tick, EV_TIMEOUT, NULL))
        event_add(s->on_tick, &tick);
}

static void refill(struct peer_server *s) {
    uint64_t now = clock_mono_ns(), passed = now - s->refilled_ns;
    passed = MIN(passed, BURST_MS * 1000000ull);
    s->refilled_ns = now;
    s->budget += (int64_t)((double)s->config.rate * (double)passed / 1e9);
    s->budget = MIN(s->budget, (int64_t)(s->config.rate * BURST_MS / 1000 + CHUNK));
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct peer_server *s = arg;
    struct conn *c, *tmp, *row = s->row;
    (void)fd, (void)what;
    refill(s);
    s->row = NULL;
    DL_FOREACH_SAFE2(row, c, tmp, row_next) {
        c->in_row = false;
        want(c, EV_WRITE);
    }
}

/* --- giving --- */

/* The next record, from the file. -EAGAIN: it is still on its way. -EIO: it is shorter than it was,
 * comes no more, or cannot be read. */
static int fill(struct conn *c) {
    size_t n = (size_t)MIN(c->file_left, (uint64_t)PEER_RECORD);
    struct stat st;
    ssize_t got = pread(c->file, c->record, n, c->at);
    if (c->coming && got >= 0 && got < (ssize_t)n)
        return fstat(c->file, &st) == 0 && st.st_nlink > 0 ? -EAGAIN : -EIO;
    if (got != (ssize_t)n || peer_seal(&c->seal, c->record, n) < 0)
        return -EIO;
    c->at += got;
    c->file_left -= n;
    c->record_n = n + PEER_TAG;
    c->record_at = 0;
    return 0;
}

/* As much as there is, there is budget for, and the socket takes. 0: it is over; >0: it takes more;
 * -EAGAIN: there is none. */
static int give_some(struct conn *c) {
    struct peer_server *s = c->s;
    for (size_t most = CHUNK; c->left > 0 && most > 0 && s->budget > 0;) {
        int r = c->record_at == c->record_n ? fill(c) : 0;
        if (r < 0)
            return r == -EAGAIN ? r : 0;
        size_t n = MIN(c->record_n - c->record_at, MIN(most, (size_t)s->budget));
        ssize_t sent = send(c->fd, c->record + c->record_at, n, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        c->record_at += (size_t)sent;
        c->left -= (uint64_t)sent;
        most -= (size_t)sent;
        s->budget -= sent;
        s->stats.bytes += (uint64_t)sent;
    }
    s->stats.given += c->left == 0;
    return c->left > 0 ? s->budget > 0 ? 1 : -EAGAIN : 0;
}

static void step_give(struct conn *c) {
    struct peer_server *s = c->s;
    refill(s);
    int r = s->budget > 0 ? give_some(c) : -EAGAIN;
    if (r == 0)
        conn_free(c);
    else if (r > 0)
        want(c, EV_WRITE);
    else
        wait_in_row(c);
}

static void step_answer(struct conn *c) {
    ssize_t sent = send(c->fd, c->head + c->head_at, c->head_n - c->head_at,
                        MSG_NOSIGNAL | (c->file >= 0 ? MSG_MORE : 0));
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        conn_free(c);
        return;
    }
    c->head_at += (size_t)MAX(sent, 0);
    if (c->head_at < c->head_n) {
        want(c, EV_WRITE);
    } else if (c->file < 0) {
        conn_free(c);
    } else {
        c->state = GIVING;
        step_give(c);
    }
}

/* --- asking --- */

/* What giving takes, with a key of its own. */
static int prepare(struct conn *c, const struct peer_ask *ask, uint8_t salt[PEER_SALT_SIZE]) {
    uint8_t secret[TOKEN_SECRET_SIZE];
    random_bytes(salt, PEER_SALT_SIZE);
    c->record = malloc(PEER_SEALED);
    int r = c->record ? token_secret(c->s->config.key, ask->token, secret) : -ENOMEM;
    if (r == 0)
        r = peer_seal_init(&c->seal, secret, salt, false);
    mem_wipe(secret, sizeof secret);
    return r;
}

static int open_blob(int dirfd, const char *hex) {
    return openat(dirfd, hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* 206, or what it is refused with. Whether it has the blob is nobody's business without a token. */
static int check(struct conn *c, const struct peer_ask *ask, uint8_t salt[PEER_SALT_SIZE],
                 uint64_t *ret_size) {
    struct peer_server *s = c->s;
    struct stat st;
    if (token_check(s->config.key, s->config.nonce, ask->blob, ask->token, strlen(ask->token),
                    clock_mono_ms()) < 0)
        return 403;
    if (ask->doubt && s->config.peers)
        peers_doubt(s->config.peers, ask->blob);
    if (ask->doubt)
        return 404;
    if (s->stats.giving >= PEER_TRANSFERS)
        return 503;
    _cleanup_(close_fdp) int file = open_blob(s->config.blobs_fd, ask->hex);
    c->coming = file < 0 && ask->size > 0;
    if (c->coming)
        file = open_blob(s->config.coming_fd, ask->hex);
    if (file < 0 || fstat(file, &st) < 0 || !S_ISREG(st.st_mode))
        return 404;
    *ret_size = c->coming ? ask->size : (uint64_t)st.st_size;
    if (ask->from >= *ret_size || (ask->size > 0 && ask->size != *ret_size))
        return 416;
    if (prepare(c, ask, salt) < 0)
        return 503;
    c->file = TAKE_FD(file);
    c->at = (off_t)ask->from;
    c->file_left = *ret_size - ask->from;
    c->left = c->since_left = peer_sealed_size(c->file_left);
    s->stats.giving++;
    return 206;
}

static void step_asked(struct conn *c) {
    struct peer_server *s = c->s;
    struct peer_ask ask;
    uint64_t size = 0;
    uint8_t salt[PEER_SALT_SIZE] = {0};
    int status = peer_ask_parse(c->head, c->head_n, &ask);
    if (status == 0)
        status = check(c, &ask, salt, &size);
    mem_wipe(&ask, sizeof ask);
    s->stats.busy += status == 503;
    s->stats.refused += status != 206 && status != 503;
    c->head_n = peer_answer_format((unsigned)status, (uint64_t)c->at, size, salt, c->head);
    c->head_at = 0;
    c->since_ms = clock_mono_ms();
    c->state = ANSWERING;
    step_answer(c);
}

static void step_read(struct conn *c) {
    ssize_t n = recv(c->fd, c->head + c->head_n, sizeof c->head - c->head_n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        want(c, EV_READ);
        return;
    }
    if (n <= 0) {
        conn_free(c);
        return;
    }
    c->head_n += (size_t)n;
    size_t end = peer_head_end(c->head, c->head_n);
    if (end > 0) {
        c->head_n = end;
        step_asked(c);
    } else if (c->head_n == sizeof c->head) {
        c->s->stats.refused++;
        conn_free(c);
    } else {
        want(c, EV_READ);
    }
}

static void on_conn(evutil_socket_t fd, short what, void *arg) {
    struct conn *c = arg;
    (void)fd, (void)what;
    switch (c->state) {
    case ASKING:
        step_read(c);
        break;
    case ANSWERING:
        step_answer(c);
        break;
    case GIVING:
        step_give(c);
        break;
    }
}

static void on_accept(evutil_socket_t listener, short what, void *arg) {
    struct peer_server *s = arg;
    (void)what;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EAGAIN && errno != EINTR)
        event_del(s->on_listener); /* no descriptors: on_look() takes it up again */
    if (fd < 0)
        return;
    struct conn *c = s->conn_count < PEER_CONNECTIONS ? mem_zalloc(sizeof *c) : NULL;
    if (!c || !(c->ev = event_new(s->loop, fd, EV_READ, on_conn, c))) {
        free(c);
        close(fd);
        return;
    }
    c->s = s;
    c->fd = fd;
    c->file = -1;
    c->since_ms = clock_mono_ms();
    DL_APPEND(s->conns, c);
    s->conn_count++;
    event_add(c->ev, NULL);
}

/* --- patience --- */

/* What is little where the whole bandwidth is little. */
static uint64_t too_little(const struct peer_server *s) {
    return MIN((uint64_t)SLOW_BYTES, s->config.rate * (SLOW_MS / 1000) / (4 * PEER_TRANSFERS));
}

static bool is_slow(struct conn *c, uint64_t now_ms) {
    if (c->state == ASKING)
        return now_ms - c->since_ms > c->s->config.ask_ms;
    if (now_ms - c->since_ms < SLOW_MS)
        return false;
    bool slow = c->since_left - c->left < too_little(c->s);
    c->since_ms = now_ms;
    c->since_left = c->left;
    return slow;
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    struct peer_server *s = arg;
    struct conn *c, *tmp;
    uint64_t now_ms = clock_mono_ms();
    (void)fd, (void)what;
    event_add(s->on_listener, NULL);
    DL_FOREACH_SAFE (s->conns, c, tmp)
        if (is_slow(c, now_ms)) {
            s->stats.slow++;
            conn_free(c);
        }
}

/* --- the thread ------------------------------------------------------------------------------- */

static void *server_main(void *arg) {
    struct peer_server *s = arg;
    event_base_dispatch(s->loop);
    return NULL;
}

static void on_stop(evutil_socket_t fd, short what, void *arg) {
    struct peer_server *s = arg;
    (void)fd, (void)what;
    event_base_loopbreak(s->loop);
}

static int listen_at(const struct peer_server_config *config, int *ret, struct error *err) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(config->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(config->port)};
    bool is_v4 = inet_pton(AF_INET, config->address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, config->address, &v6.sin6_addr) != 1)
        return error_set(err, -EINVAL, "\"%s\" is no IP address", config->address);
    const struct sockaddr *address =
        is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
    socklen_t n = is_v4 ? sizeof v4 : sizeof v6;
    const int on = 1;
    _cleanup_(close_fdp) int fd =
        socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, address, n) < 0 || listen(fd, PEER_CONNECTIONS) < 0)
        return error_set(err, -errno, "cannot listen on %s port %u: %s", config->address,
                         config->port, strerror(errno));
    *ret = TAKE_FD(fd);
    return 0;
}

static int make_events(struct peer_server *s, struct error *err) {
    const struct timeval look = {.tv_sec = LOOK_MS / 1000};
    s->loop = event_base_new();
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!s->loop || s->stop_fd < 0)
        return error_set(err, -ENOMEM, "out of memory");
    s->on_listener = event_new(s->loop, s->listener, EV_READ | EV_PERSIST, on_accept, s);
    s->on_stop = event_new(s->loop, s->stop_fd, EV_READ, on_stop, s);
    s->on_tick = evtimer_new(s->loop, on_tick, s);
    s->on_look = event_new(s->loop, -1, EV_PERSIST, on_look, s);
    if (!s->on_listener || !s->on_stop || !s->on_tick || !s->on_look ||
        event_add(s->on_listener, NULL) < 0 || event_add(s->on_stop, NULL) < 0 ||
        event_add(s->on_look, &look) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int peer_server_new(struct peer_server **ret, const struct peer_server_config *config,
                    struct error *err) {
    _cleanup_(peer_server_freep) struct peer_server *s = mem_zalloc(sizeof *s);
    sigset_t all, was;
    int r;
    if (!s)
        return error_set(err, -ENOMEM, "out of memory");
    s->listener = s->stop_fd = -1;
    s->config = *config;
    s->config.ask_ms = config->ask_ms ? config->ask_ms : PEER_ASK_MS;
    s->refilled_ns = clock_mono_ns();
    if ((r = listen_at(config, &s->listener, err)) < 0 || (r = make_events(s, err)) < 0)
        return r;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &was);
    r = -pthread_create(&s->thread, NULL, server_main, s);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (r < 0)
        return error_set(err, r, "cannot start a thread: %s", strerror(-r));
    s->running = true;
    *ret = TAKE_PTR(s);
    return 0;
}

void peer_server_free(struct peer_server *s) {
    if (!s)
        return;
    const uint64_t one = 1;
    if (s->running && write(s->stop_fd, &one, sizeof one) == sizeof one)
        pthread_join(s->thread, NULL);
    while (s->conns)
        conn_free(s->conns);
    struct event *const events[] = {s->on_listener, s->on_stop, s->on_tick, s->on_look};
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        if (events[i])
            event_free(events[i]);
    if (s->loop)
        event_base_free(s->loop);
    close_fdp(&s->listener);
    close_fdp(&s->stop_fd);
    mem_wipe(s->config.key, sizeof s->config.key);
    free(s);
}

void peer_server_stats(const struct peer_server *s, struct peer_server_stats *ret) {
    *ret = (struct peer_server_stats){s->stats.giving,  s->stats.given, s->stats.bytes,
                                      s->stats.refused, s->stats.busy,  s->stats.slow};
}
