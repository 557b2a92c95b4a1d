#include "router/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "router/forward.h"
#include "router/worker.h"

#define DRAIN_IDLE_MS 1000u   /* for a request on a connection that is open while draining */
#define LINGER_MS     2000u   /* after the last answer, for the client to end */
#define LINGER_BYTES  262144u /* that it may still send */

void client_set_deadline(struct client *c, uint64_t deadline_ms) {
    wheel_set(&c->worker->wheel, &c->timer, deadline_ms);
}

static void set_timeout(struct client *c, uint64_t ms) {
    client_set_deadline(c, worker_now_ms() + ms);
}

static void link_client(struct client *c) {
    struct worker *w = c->worker;
    c->next = w->clients;
    c->prev = NULL;
    if (c->next)
        c->next->prev = c;
    w->clients = c;
}

static void unlink_client(struct client *c) {
    if (c->prev)
        c->prev->next = c->next;
    else
        c->worker->clients = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

void client_close(struct client *c) {
    struct worker *w = c->worker;
    if (c->state == CLIENT_CLOSED)
        return;
    c->state = CLIENT_CLOSED;
    if (c->exchange)
        forward_abandon(TAKE_PTR(c->exchange));
    wheel_clear(&c->timer);
    stream_close(&c->stream);
    buf_put(&w->bufs, TAKE_PTR(c->in));
    unlink_client(c);
    c->next = w->dead;
    w->dead = c;
    COUNT_DOWN(w, client_connections);
}

void client_free_dead(struct worker *w) {
    struct client **at = &w->dead, *c;
    while ((c = *at)) {
        if (c->is_ready) { /* still in the other list: next time */
            at = &c->next;
            continue;
        }
        *at = c->next;
        free(c);
    }
}

static void enter_idle(struct client *c) {
    c->state = CLIENT_IDLE;
    c->scanned = 0;
    buf_park(&c->worker->bufs, &c->in);
    set_timeout(c, c->worker->draining ? DRAIN_IDLE_MS : c->worker->config->idle_timeout_ms);
}

static void enter_linger(struct client *c) {
    c->state = CLIENT_LINGER;
    buf_put(&c->worker->bufs, TAKE_PTR(c->in));
    stream_shutdown_write(&c->stream);
    set_timeout(c, LINGER_MS);
}

static void step_linger(struct client *c) {
    struct worker *w = c->worker;
    ssize_t n;
    while ((n = stream_read(&c->stream, w->scratch, sizeof w->scratch)) > 0) {
        c->lingered += (uint32_t)n;
        if (c->lingered > LINGER_BYTES)
            break;
    }
    if (n != -EAGAIN)
        client_close(c);
}

static void step_handshake(struct client *c) {
    int r = tls_handshake(&c->stream);
    if (r == -EAGAIN)
        return;
    if (r < 0) {
        COUNT(c->worker, tls_failures);
        client_close(c);
        return;
    }
    COUNT(c->worker, tls_handshakes);
    enter_idle(c);
    client_step(c);
}

/* RFC 9112 section 2.2: empty lines before a request are skipped. They count towards the limit of
 * a head only by not being kept. */
static void skip_empty_lines(struct buf *in) {
    while (buf_raw_size(in) >= 2 && in->data[in->raw] == '\r' && in->data[in->raw + 1] == '\n')
        in->raw += 2;
}

/* 1 when a head is complete or refused (an exchange has begun), 0 when more bytes are needed. */
static int take_head(struct client *c) {
    struct buf *in = c->in;
    if (c->scanned == 0)
        skip_empty_lines(in);
    uint32_t n = buf_raw_size(in), limit = (uint32_t)c->worker->config->max_request_header_bytes;
    if (!n)
        return 0;
    ssize_t head_n = head_end(in->data + in->raw, n, &c->scanned, true);
    if (head_n == 0 && n < limit)
        return 0;
    c->scanned = 0;
    c->state = CLIENT_EXCHANGE;
    if (head_n < 0)
        forward_refuse(c, 400, "bare LF", 0);
    else if (head_n == 0 || head_n > limit)
        forward_refuse(c, 431, NULL, 0);
    else
        forward_begin(c, (size_t)head_n);
    return 1;
}

static void step_head(struct client *c) {
    struct worker *w = c->worker;
    for (;;) {
        if (c->in && buf_raw_size(c->in) > c->scanned && take_head(c))
            return;
        if (!stream_may_read(&c->stream))
            break;
        if (buf_unpark(&w->bufs, &c->in) < 0) {
            client_close(c);
            return;
        }
        uint32_t room = buf_room(c->in);
        ssize_t n = stream_read(&c->stream, c->in->data + c->in->raw_end, room);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            client_close(c);
            return;
        }
        c->in->raw_end += (uint32_t)n;
    }
    buf_park(&w->bufs, &c->in);
    if (c->in && c->state == CLIENT_IDLE) {
        c->state = CLIENT_HEAD;
        stream_hurry(&c->stream);
        set_timeout(c, w->config->header_timeout_ms);
    }
}

void client_step(struct client *c) {
    switch (c->state) {
    case CLIENT_HANDSHAKE:
        step_handshake(c);
        return;
    case CLIENT_IDLE:
    case CLIENT_HEAD:
        step_head(c);
        return;
    case CLIENT_EXCHANGE:
        forward_on_client(c->exchange);
        return;
    case CLIENT_LINGER:
        step_linger(c);
        return;
    case CLIENT_CLOSED:
        return;
    }
}

void client_exchange_done(struct client *c, bool close) {
    c->exchange = NULL;
    bool more = c->in || stream_may_read(&c->stream);
    if (close || (c->worker->draining && !more)) {
        enter_linger(c);
        step_linger(c);
        return;
    }
    enter_idle(c);
    if (more)
        worker_ready(c->worker, c); /* a pipelined request: after the other connections' turn */
}

void client_begin_drain(struct client *c) {
    bool fresh =
        c->stream.fd >= 0 && !c->stream.writable; /* accepted this moment: its request comes */
    if (c->state == CLIENT_IDLE && !c->in && !fresh)
        client_close(c);
    else if (c->state == CLIENT_IDLE)
        set_timeout(c, DRAIN_IDLE_MS);
}

static void on_client(evutil_socket_t fd, short what, void *arg) {
    struct client *c = arg;
    (void)fd;
    stream_note(&c->stream, what);
    client_step(c);
}

static void on_timer(struct wheel_node *node) {
    struct client *c = (struct client *)((char *)node - offsetof(struct client, timer));
    if (c->state == CLIENT_EXCHANGE) {
        forward_on_deadline(c->exchange);
        return;
    }
    COUNT(c->worker, timeouts);
    if (c->state == CLIENT_HEAD) {
        c->state = CLIENT_EXCHANGE;
        forward_refuse(c, 408, "request head took too long", 0);
        return;
    }
    client_close(c);
}

static void write_peer(struct client *c, const struct sockaddr *peer) {
    bool v6 = peer->sa_family == AF_INET6;
    const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;
    char ip[INET6_ADDRSTRLEN] = "";
    const void *address = v6 ? (const void *)&in6->sin6_addr : &in->sin_addr;
    bool mapped = v6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    if (mapped)
        address = &in6->sin6_addr.s6_addr[12];
    inet_ntop(v6 && !mapped ? AF_INET6 : AF_INET, address, ip, sizeof ip);
    unsigned port = ntohs(v6 ? in6->sin6_port : in->sin_port);
    c->ip_n = (uint8_t)strlen(ip);
    c->ip_from = v6 && !mapped;
    c->peer_n =
        (uint8_t)snprintf(c->peer, sizeof c->peer, c->ip_from ? "[%s]:%u" : "%s:%u", ip, port);
}

int client_open(struct worker *w, int fd, const struct sockaddr *peer, bool tls) {
    int on = 1;
    struct client *c = mem_zalloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    c->worker = w;
    c->timer.fire = on_timer;
    write_peer(c, peer);
    if (stream_open(&c->stream, w->loop, fd, on_client, c) < 0) {
        free(c);
        return -ENOMEM;
    }
    link_client(c);
    COUNT(w, accepted);
    COUNT(w, client_connections);
    enter_idle(c);
    if (tls) {
        pthread_mutex_lock(&w->shared->tls_lock);
        int r = tls_accept(&c->stream, w->shared->tls);
        pthread_mutex_unlock(&w->shared->tls_lock);
        c->state = CLIENT_HANDSHAKE;
        set_timeout(c, w->config->handshake_timeout_ms);
        if (r < 0)
            client_close(c); /* with the descriptor: it is taken */
    }
    return 0;
}
