#include "router/backend.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "router/forward.h"
#include "router/worker.h"

/* A host that is gone acknowledges nothing: without a limit TCP would send again for a quarter of
 * an hour, and the request that was sent on a pooled connection would wait as long. */
#define BACKEND_UNACKED_MS 10000

/* And a request that it acknowledged would wait for the answer of a host that went since. Go's
 * dialer, so Gorouter, begins to ask after 15 s of silence too; TCP's own default is two hours.
 * What is not answered for BACKEND_UNACKED_MS ends the connection then. */
#define BACKEND_KEEPALIVE_S       15
#define BACKEND_KEEPALIVE_EVERY_S 5

/* An answer is due within a round trip: who has none after this tries elsewhere while there is
 * another instance (RFC 8305, section 5: 250 ms between attempts). No failure yet: TCP sends a lost
 * SYN again after 1 s, so the probe that follows has all of connect_timeout_ms. */
#define CONNECT_PATIENCE_MS 250

/* The same for a request on an open connection. TCP sends again after 200 ms and a further 400 ms
 * at the least, and acknowledgements come within 200 ms (RTO_MIN, DELACK_MAX): two in vain are no
 * chance. */
#define SILENCE_MS          1000
#define SILENCE_RETRANSMITS 2

struct pool {
    struct pool *next; /* in its bucket */
    uint64_t key;
    unsigned members; /* connections in any state; with none it is freed */
    unsigned idle_count;
    struct backend *idle; /* most recently used first */
};

static struct pool **find_pool(struct backend_pools *pools, uint64_t key) {
    struct pool **at = &pools->buckets[(key ^ key >> 32) % POOL_BUCKETS];
    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

static struct pool *get_pool(struct backend_pools *pools, uint64_t key) {
    struct pool **at = find_pool(pools, key);
    if (!*at && (*at = mem_zalloc(sizeof **at)))
        (*at)->key = key;
    return *at;
}

static void put_pool(struct backend_pools *pools, struct pool *pool) {
    if (pool->members)
        return;
    struct pool **at = find_pool(pools, pool->key);
    *at = pool->next;
    free(pool);
}

static void idle_remove(struct backend *b) {
    if (b->prev)
        b->prev->next = b->next;
    else
        b->pool->idle = b->next;
    if (b->next)
        b->next->prev = b->prev;
    b->next = b->prev = NULL;
    b->pool->idle_count--;
}

static void probe_remove(struct backend *b) {
    struct worker *w = b->worker;
    if (b->prev)
        b->prev->next = b->next;
    else
        w->probes = b->next;
    if (b->next)
        b->next->prev = b->prev;
    route_unref(TAKE_PTR(b->probed));
}

void backend_close(struct backend *b) {
    struct worker *w = b->worker;
    if (b->state == BACKEND_CLOSED)
        return;
    if (b->state == BACKEND_IDLE)
        idle_remove(b);
    if (b->probed)
        probe_remove(b);
    b->state = BACKEND_CLOSED;
    b->exchange = NULL;
    wheel_clear(&b->timer);
    stream_close(&b->stream);
    b->pool->members--;
    put_pool(&w->pools, b->pool);
    b->pool = NULL;
    b->next = w->dead_backends;
    w->dead_backends = b;
    COUNT_DOWN(w, backend_connections);
}

void backend_free_dead(struct worker *w) {
    struct backend *b;
    while ((b = w->dead_backends)) {
        w->dead_backends = b->next;
        free(b);
    }
}

void backend_close_idle(struct worker *w, const struct endpoint *e) {
    struct pool *pool = *find_pool(&w->pools, e->key);
    for (unsigned n = pool ? pool->idle_count : 0; n; n--)
        backend_close(pool->idle); /* the last one may free the pool */
}

void backend_close_all(struct worker *w) {
    while (w->probes)
        backend_close(w->probes);
    for (unsigned i = 0; i < POOL_BUCKETS; i++)
        for (struct pool *pool = w->pools.buckets[i], *next; pool; pool = next) {
            next = pool->next;
            for (unsigned n = pool->idle_count; n; n--)
                backend_close(pool->idle); /* the last one frees the pool */
        }
}

/* --- probes --- */

static void end_probe(struct backend *b, bool there) {
    if (there)
        route_mark_alive(b->probed, b->probed_endpoint, UINT64_MAX);
    else
        route_mark_failed(b->probed, b->probed_endpoint,
                          worker_now_ms() + b->worker->config->endpoint_fail_ms);
    backend_close(b); /* a server of one connection at a time would wait for its request */
}

static void step_probe(struct backend *b) {
    int code = stream_socket_error(&b->stream);
    if (code < 0 || b->stream.writable)
        end_probe(b, code == 0);
}

void backend_probe(struct worker *w, struct route *r, unsigned endpoint) {
    struct backend *b;
    int code = backend_connect(&b, w, &r->endpoints[endpoint], NULL);
    COUNT(w, probes);
    if (code == -ECONNREFUSED || code == -EHOSTUNREACH || code == -ENETUNREACH)
        route_mark_failed(r, endpoint, worker_now_ms() + w->config->endpoint_fail_ms);
    if (code < 0)
        return;
    b->probed = route_ref(r);
    b->probed_endpoint = endpoint;
    b->next = w->probes;
    if (b->next)
        b->next->prev = b;
    w->probes = b;
}

/* --- events --- */

static void on_backend(evutil_socket_t fd, short what, void *arg) {
    struct backend *b = arg;
    (void)fd;
    stream_note(&b->stream, what);
    if (b->state == BACKEND_IDLE) {
        if (what & (EV_READ | EV_CLOSED))
            backend_close(b);
    } else if (b->probed) {
        step_probe(b);
    } else if (b->exchange) {
        forward_on_backend(b->exchange);
    }
}

static bool is_alive(const struct backend *b) {
    char byte;
    return recv(b->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

struct backend *backend_reuse(struct worker *w, const struct endpoint *e, struct exchange *x,
                              bool check) {
    struct pool *pool = *find_pool(&w->pools, e->key);
    for (unsigned n = pool ? pool->idle_count : 0; n; n--) {
        struct backend *b = pool->idle;
        if (check && !is_alive(b)) {
            backend_close(b); /* frees the pool with its last connection, when n is 1 */
            continue;
        }
        idle_remove(b);
        b->state = BACKEND_BUSY;
        b->reused = true;
        b->exchange = x;
        wheel_set(&w->wheel, &b->timer, worker_now_ms() + SILENCE_MS);
        COUNT(w, backend_reuses);
        return b;
    }
    return NULL;
}

static struct tcp_info info_of(const struct backend *b) {
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    getsockopt(b->stream.fd, IPPROTO_TCP, TCP_INFO, &info, &n);
    return info;
}

static void on_slow_connect(struct backend *b) {
    if (worker_now_ms() >= b->connect_until_ms)
        forward_on_connect_timeout(b->exchange);
    else if (info_of(b).tcpi_state != TCP_SYN_SENT || !forward_on_silence(b->exchange))
        wheel_set(&b->worker->wheel, &b->timer, b->connect_until_ms);
}

/* Once a request; again only while something is sent again. */
static void on_silence(struct backend *b) {
    unsigned retransmits = info_of(b).tcpi_retransmits;
    if (retransmits && (retransmits < SILENCE_RETRANSMITS || !forward_on_silence(b->exchange)))
        wheel_set(&b->worker->wheel, &b->timer, worker_now_ms() + SILENCE_MS);
}

static void on_timer(struct wheel_node *node) {
    struct backend *b = (struct backend *)((char *)node - offsetof(struct backend, timer));
    switch (b->state) {
    case BACKEND_CONNECTING:
        if (b->probed)
            end_probe(b, false);
        else
            on_slow_connect(b);
        return;
    case BACKEND_BUSY:
        on_silence(b);
        return;
    case BACKEND_IDLE:
        backend_close(b);
        return;
    case BACKEND_CLOSED:
        return;
    }
}

static int open_socket(const struct endpoint *e) {
    int fd = socket(e->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, idle = BACKEND_KEEPALIVE_S, every = BACKEND_KEEPALIVE_EVERY_S;
    unsigned unacked = BACKEND_UNACKED_MS;
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof unacked);
    if (connect(fd, &e->address.any, e->address_size) < 0 && errno != EINPROGRESS) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

int backend_connect(struct backend **ret, struct worker *w, const struct endpoint *e,
                    struct exchange *x) {
    int fd = open_socket(e);
    if (fd < 0)
        return fd;
    struct backend *b = mem_zalloc(sizeof *b);
    struct pool *pool = b ? get_pool(&w->pools, e->key) : NULL;
    if (!pool || stream_open(&b->stream, w->loop, fd, on_backend, b) < 0) {
        if (pool)
            put_pool(&w->pools, pool);
        free(b);
        close(fd);
        return -ENOMEM;
    }
    pool->members++;
    b->pool = pool;
    b->worker = w;
    b->exchange = x;
    b->state = BACKEND_CONNECTING;
    b->timer.fire = on_timer;
    uint64_t now = worker_now_ms(), whole = w->config->connect_timeout_ms;
    b->connect_until_ms = now + whole;
    wheel_set(&w->wheel, &b->timer, now + (x ? MIN(whole, (uint64_t)CONNECT_PATIENCE_MS) : whole));
    COUNT(w, backend_connects);
    COUNT(w, backend_connections);
    *ret = b;
    return 0;
}

void backend_release(struct backend *b) {
    struct worker *w = b->worker;
    if (b->stream.readable && is_alive(b))
        b->stream.readable = false; /* the last read was full, and was all */
    if (b->pool->idle_count >= w->config->max_idle_per_endpoint || w->draining ||
        b->stream.hangup || b->stream.readable) {
        backend_close(b);
        return;
    }
    b->state = BACKEND_IDLE;
    b->exchange = NULL;
    b->prev = NULL;
    b->next = b->pool->idle;
    if (b->next)
        b->next->prev = b;
    b->pool->idle = b;
    b->pool->idle_count++;
    wheel_set(&w->wheel, &b->timer, worker_now_ms() + w->config->backend_idle_ms);
}
