#include "cell/image/peer_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"

#define LOOK_MS    100  /* how often `stop` is looked at */
#define CONNECT_MS 2000 /* cells are near */
#define ANSWER_MS  3000

static int failed(int code, const char *what, struct error *err) {
    return error_set(err, code, "%s: %s", what, strerror(-code));
}

/* Until `events` or `ms` passed: 0 or a negative errno. How long it was is added to *waited. */
static int wait_for(struct peer_stream *s, short events, uint64_t ms, uint64_t *waited,
                    struct error *err) {
    struct pollfd p = {.fd = s->fd, .events = events};
    uint64_t start = clock_mono_ms(), passed = 0;
    int n = 0;
    while (n == 0 && passed < ms) {
        if (*s->stop)
            return failed(-ECANCELED, "fetching from a cell", err);
        n = poll(&p, 1, (int)MIN(ms - passed, (uint64_t)LOOK_MS));
        if (n < 0 && errno != EINTR)
            return failed(-errno, "waiting for a cell", err);
        n = MAX(n, 0);
        passed = clock_mono_ms() - start;
    }
    *waited += passed;
    return n > 0 ? 0 : failed(-ETIMEDOUT, "waiting for a cell", err);
}

static socklen_t fill_address(const struct peer_place *at, struct sockaddr_storage *ret) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, at->address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(at->port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, at->address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(at->port);
        return sizeof *v6;
    }
    return 0;
}

static int connect_to(struct peer_stream *s, const struct peer_place *at, struct error *err) {
    struct sockaddr_storage address;
    socklen_t n = fill_address(at, &address), size = sizeof(int);
    uint64_t waited = 0;
    int code = 0;
    if (n == 0)
        return failed(-EINVAL, "the address of a cell", err);
    s->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return failed(-errno, "making a socket", err);
    if (connect(s->fd, (const struct sockaddr *)&address, n) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return failed(-errno, "connecting to a cell", err);
    int r = wait_for(s, POLLOUT, CONNECT_MS, &waited, err);
    if (r == 0 && (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 || code != 0))
        r = failed(code ? -code : -errno, "connecting to a cell", err);
    return r;
}

/* A request fits the buffer of a new socket. */
static int ask(struct peer_stream *s, const struct peer_place *at, const char *hex, uint64_t from,
               uint64_t size, bool doubt, struct error *err) {
    size_t n = peer_ask_format(at, hex, from, size, doubt, s->head);
    ssize_t sent = send(s->fd, s->head, n, MSG_NOSIGNAL);
    mem_wipe(s->head, n);
    return sent == (ssize_t)n ? 0 : failed(sent < 0 ? -errno : -EIO, "asking a cell", err);
}

static int read_answer(struct peer_stream *s, struct peer_answer *ret, struct error *err) {
    uint64_t end = clock_mono_ms() + ANSWER_MS, now, waited = 0;
    while ((now = clock_mono_ms()) < end) {
        int r = wait_for(s, POLLIN, end - now, &waited, err);
        if (r < 0)
            return r;
        ssize_t n = recv(s->fd, s->head + s->head_n, sizeof s->head - s->head_n, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return failed(n < 0 ? -errno : -ECONNRESET, "waiting for a cell", err);
        s->head_n += (size_t)n;
        if ((s->head_at = peer_head_end(s->head, s->head_n)) > 0)
            return peer_answer_parse(s->head, s->head_at, ret) < 0
                       ? failed(-EPROTO, "the answer of a cell", err)
                       : 0;
        if (s->head_n == sizeof s->head)
            return failed(-EPROTO, "the answer of a cell", err);
    }
    return failed(-ETIMEDOUT, "waiting for a cell", err);
}

static int judge(const struct peer_answer *a, uint64_t from, uint64_t size, struct error *err) {
    switch (a->status) {
    case 206:
        if (!a->sealed)
            return error_set(err, -EPROTO, "a cell of another version");
        return a->from == from && a->length == peer_sealed_size(size - from)
                   ? 0
                   : error_set(err, -EPROTO, "a cell sent another part than the one asked for");
    case 403:
        return error_set(err, -EACCES, "a cell does not accept the token");
    case 404:
        return error_set(err, -ENOENT, "a cell has the layer no more");
    case 503:
        return error_set(err, -EBUSY, "a cell gives to others already");
    default:
        return error_set(err, -EPROTO, "a cell answered with status %u", a->status);
    }
}

/* What is needed to open what comes. */
static int begin(struct peer_stream *s, const struct peer_place *at,
                 const struct peer_answer *answer, struct error *err) {
    s->record = malloc(PEER_SEALED);
    return s->record && peer_seal_init(&s->seal, at->secret, answer->salt, true) == 0
               ? 0
               : failed(-ENOMEM, "fetching from a cell", err);
}

int peer_stream_open(struct peer_stream *s, const struct peer_place *at, const char *hex,
                     uint64_t from, uint64_t size, const volatile bool *stop, struct error *err) {
    struct peer_answer answer;
    int r;
    *s = (struct peer_stream){.fd = -1,
                              .stop = stop,
                              .slow_ms = PEERS_SLOW_MS,
                              .left = size - from,
                              .coming = size - from};
    if ((r = connect_to(s, at, err)) < 0 || (r = ask(s, at, hex, from, size, false, err)) < 0 ||
        (r = read_answer(s, &answer, err)) < 0 || (r = judge(&answer, from, size, err)) < 0 ||
        (r = begin(s, at, &answer, err)) < 0)
        peer_stream_close(s);
    return r;
}

static int check_speed(struct peer_stream *s, struct error *err) {
    if (s->waited_ms < s->slow_ms)
        return 0;
    bool slow = s->received - s->waited_received < PEERS_SLOW_BYTES;
    s->waited_ms = 0;
    s->waited_received = s->received;
    return slow ? error_set(err, -ETIMEDOUT, "a cell sends too slowly") : 0;
}

static ssize_t take(struct peer_stream *s, void *buf, size_t n) {
    if (s->head_at == s->head_n)
        return recv(s->fd, buf, n, 0);
    n = MIN(n, s->head_n - s->head_at);
    memcpy(buf, s->head + s->head_at, n);
    s->head_at += n;
    return (ssize_t)n;
}

/* The next record, whole and open. */
static int next_record(struct peer_stream *s, struct error *err) {
    const size_t n = (size_t)MIN((uint64_t)PEER_RECORD, s->coming);
    int r;
    while (s->record_n < n + PEER_TAG) {
        if (*s->stop)
            return failed(-ECANCELED, "fetching from a cell", err);
        ssize_t got = take(s, s->record + s->record_n, n + PEER_TAG - s->record_n);
        if (got == 0)
            return failed(-ECONNRESET, "fetching from a cell", err);
        s->received += (uint64_t)MAX(got, 0);
        s->record_n += (size_t)MAX(got, 0);
        if (got > 0)
            continue;
        if (errno != EAGAIN && errno != EINTR)
            return failed(-errno, "fetching from a cell", err);
        if (errno == EAGAIN && ((r = wait_for(s, POLLIN, s->slow_ms, &s->waited_ms, err)) < 0 ||
                                (s->coming > n && (r = check_speed(s, err)) < 0)))
            return r; /* the last one comes soon */
    }
    if (peer_open(&s->seal, s->record, n) < 0)
        return error_set(err, -EBADMSG, "what came is not from the cell that was asked");
    s->coming -= n;
    s->record_n = s->open_at = 0;
    s->open_n = n;
    return 0;
}

ssize_t peer_stream_read(struct peer_stream *s, void *buf, size_t n, struct error *err) {
    n = (size_t)MIN((uint64_t)n, s->left);
    int r = n > 0 && s->open_at == s->open_n ? next_record(s, err) : 0;
    if (r < 0)
        return r;
    n = MIN(n, s->open_n - s->open_at);
    memcpy(buf, s->record + s->open_at, n);
    s->open_at += n;
    s->left -= n;
    return (ssize_t)n;
}

void peer_stream_close(struct peer_stream *s) {
    close_fdp(&s->fd);
    s->fd = -1;
    peer_seal_fini(&s->seal);
    free(s->record);
    s->record = NULL;
}

void peer_stream_doubt(const struct peer_place *at, const char *hex) {
    static const volatile bool never;
    struct peer_stream s = {.fd = -1, .stop = &never};
    struct peer_answer answer;
    struct error ignored;
    if (connect_to(&s, at, &ignored) == 0 && ask(&s, at, hex, 0, 1, true, &ignored) == 0)
        read_answer(&s, &answer, &ignored);
    peer_stream_close(&s);
}
