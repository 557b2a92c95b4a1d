/* socket.c
 *
 * Facts of nanomsg 1.1.5 that this file rests on:
 * - NN_RCVFD stays readable while messages wait, but a malformed one is dropped with EAGAIN
 * although others wait behind it: level-triggered, bounded drain, an empty wake is no error.
 * - NN_RCVFD and NN_SNDFD are eventfds: "sendable" is a *readable* NN_SNDFD. A raw REP is always
 *   sendable (and drops), so only a connection watches it, and only while it has something to send.
 * - Descriptors are reused at once after nn_close(): events are freed first.
 * - An unlimited NN_RCVMAXSIZE lets anyone abort the process.
 * - Statistics are all that tells of a link (dis)connected. */
#include "common/bus/socket.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <event2/event.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/bus/times.h"

enum { ROUTE_LISTENER = 8, ROUTE_CONNECTION = 4 };

struct bus_socket {
    int nn;                    /* -1 until made */
    uint8_t route_size;        /* what a header has here; another size is not of our topology */
    struct bus_socket_ops ops; /* borrowed data */
    struct event *readable;    /* owned */
    struct event *writable;    /* owned; NULL of a listener; pending while `queued` */
    uint8_t *queued;           /* owned packet that waits for the link */
    struct bus_route queued_route;
    bool receiving, dead; /* freed inside on_packet: gone when the drain ends */
};

struct bus_route bus_route_request(uint32_t number) {
    struct bus_route route = {.size = ROUTE_CONNECTION};
    uint32_t id = htobe32(number | 0x80000000u); /* the top bit ends the header */
    memcpy(route.bytes, &id, sizeof id);
    return route;
}

/* --- receiving --- */

/* nanomsg's header: a size_t with its size, then the bytes. */
#define CONTROL_SIZE NN_CMSG_SPACE(sizeof(size_t) + ROUTE_LISTENER)

union control {
    struct nn_cmsghdr header;
    uint8_t bytes[CONTROL_SIZE];
};

/* False when the header is not one of a direct peer. */
static bool get_route(const union control *control, uint8_t want, struct bus_route *ret) {
    const uint8_t *data = control->bytes + sizeof control->header;
    size_t size;
    if (control->header.cmsg_level != PROTO_SP || control->header.cmsg_type != SP_HDR)
        return false;
    memcpy(&size, data, sizeof size);
    if (size != want)
        return false;
    memcpy(ret->bytes, data + sizeof size, size);
    ret->size = want;
    return true;
}

/* One message. -EAGAIN: none now, or one was dropped. */
static int receive_one(struct bus_socket *s) {
    void *body = NULL;
    union control control = {0};
    struct nn_iovec iov = {&body, NN_MSG};
    struct nn_msghdr message = {&iov, 1, &control, sizeof control};
    struct bus_route route = {0};
    int n = nn_recvmsg(s->nn, &message, NN_DONTWAIT);
    if (n < 0)
        return -errno;
    if (get_route(&control, s->route_size, &route))
        s->ops.on_packet(s->ops.data, &route, body, (size_t)n);
    else if (s->ops.on_garbage)
        s->ops.on_garbage(s->ops.data);
    nn_freemsg(body);
    return 0;
}

static void destroy(struct bus_socket *s) {
    if (s->readable)
        event_free(s->readable);
    if (s->writable)
        event_free(s->writable);
    if (s->nn >= 0)
        nn_close(s->nn);
    bus_packet_free(s->queued);
    free(s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct bus_socket *s = arg;
    uint64_t end_ms = clock_mono_ms() + BUS_WAKE_MS;
    int r = 0, n;
    s->receiving = true;
    for (n = 0; n < BUS_PACKETS_A_WAKE && r == 0 && !s->dead; n++) {
        if (n > 0 && clock_mono_ms() >= end_ms)
            break;
        r = receive_one(s);
    }
    s->receiving = false;
    if (s->dead)
        destroy(s);
    else if (n == 1 && r < 0 && s->ops.on_garbage)
        s->ops.on_garbage(s->ops.data);
}

/* --- sending --- */

uint8_t *bus_packet_new(size_t n) {
    return nn_allocmsg(n, 0);
}

void bus_packet_free(uint8_t *packet) {
    if (packet)
        nn_freemsg(packet);
}

/* 0, or -errno with the packet still the caller's. */
static int send_now(struct bus_socket *s, const struct bus_route *route, uint8_t *packet) {
    void *body = packet;
    union control control = {0};
    struct nn_iovec iov = {&body, NN_MSG};
    size_t size = route->size, space = NN_CMSG_SPACE(sizeof size + size);
    uint8_t *data = control.bytes + sizeof control.header;
    control.header =
        (struct nn_cmsghdr){.cmsg_len = space, .cmsg_level = PROTO_SP, .cmsg_type = SP_HDR};
    memcpy(data, &size, sizeof size);
    memcpy(data + sizeof size, route->bytes, size);
    struct nn_msghdr message = {&iov, 1, &control, space};
    return nn_sendmsg(s->nn, &message, NN_DONTWAIT) < 0 ? -errno : 0;
}

void bus_socket_send(struct bus_socket *s, const struct bus_route *route, uint8_t *packet) {
    assert(route->size == s->route_size);
    int r = send_now(s, route, packet);
    if (r == 0)
        return;
    if (r == -EAGAIN && s->writable && event_add(s->writable, NULL) == 0) {
        bus_packet_free(s->queued);
        s->queued = packet;
        s->queued_route = *route;
    } else {
        bus_packet_free(packet);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    struct bus_socket *s = arg;
    int r = s->queued ? send_now(s, &s->queued_route, s->queued) : 0;
    if (r == -EAGAIN)
        return;
    if (r < 0)
        bus_packet_free(s->queued);
    s->queued = NULL;
    event_del(s->writable);
}

/* --- making --- */

static int set_int(struct bus_socket *s, int level, int option, size_t value) {
    int v = (int)value;
    return nn_setsockopt(s->nn, level, option, &v, sizeof v) < 0 ? -errno : 0;
}

static struct event *watch(struct bus_socket *s, struct event_base *loop, int option,
                           event_callback_fn callback) {
    int fd;
    size_t n = sizeof fd;
    if (nn_getsockopt(s->nn, NN_SOL_SOCKET, option, &fd, &n) < 0)
        return NULL;
    return event_new(loop, fd, EV_READ | EV_PERSIST, callback, s);
}

/* Only after every option is set may the socket be bound or connected. */
static int set_up(struct bus_socket *s, struct event_base *loop, int protocol, size_t max_packet) {
    int r;
    s->nn = nn_socket(AF_SP_RAW, protocol);
    if (s->nn < 0)
        return -errno;
    if ((r = set_int(s, NN_SOL_SOCKET, NN_RCVMAXSIZE, max_packet)) < 0 ||
        (r = set_int(s, NN_SOL_SOCKET, NN_SNDBUF, BUS_SOCKET_BUFFER)) < 0 ||
        (r = set_int(s, NN_SOL_SOCKET, NN_RCVBUF, BUS_SOCKET_BUFFER)) < 0 ||
        (r = set_int(s, NN_SOL_SOCKET, NN_MAXTTL, 1)) < 0 ||
        (r = set_int(s, NN_SOL_SOCKET, NN_RECONNECT_IVL, BUS_CONNECT_RETRY_MS)) < 0 ||
        (r = set_int(s, NN_TCP, NN_TCP_NODELAY, 1)) < 0)
        return r;
    s->readable = watch(s, loop, NN_RCVFD, on_readable);
    if (!s->readable || event_add(s->readable, NULL) < 0)
        return -ENOMEM;
    if (protocol == NN_REQ && !(s->writable = watch(s, loop, NN_SNDFD, on_writable)))
        return -ENOMEM;
    return 0;
}

static int make(struct bus_socket **ret, struct event_base *loop, const char *url, int protocol,
                size_t max_packet, const struct bus_socket_ops *ops, struct error *err) {
    _cleanup_(bus_socket_freep) struct bus_socket *s = mem_zalloc(sizeof *s);
    if (!s)
        return error_set(err, -ENOMEM, "no memory for a socket to %s", url);
    s->nn = -1;
    s->ops = *ops;
    s->route_size = protocol == NN_REP ? ROUTE_LISTENER : ROUTE_CONNECTION;
    if (strncmp(url, "tcp://", 6) != 0)
        return error_set(err, -EINVAL, "%s is not of the form tcp://host:port", url);
    int r = set_up(s, loop, protocol, max_packet);
    if (r < 0)
        return error_set(err, r, "cannot make a socket for %s: %s", url, nn_strerror(-r));
    r = protocol == NN_REP ? nn_bind(s->nn, url) : nn_connect(s->nn, url);
    if (r < 0) {
        r = -errno;
        return error_set(err, r, "cannot %s %s: %s",
                         protocol == NN_REP ? "listen on" : "connect to", url, nn_strerror(-r));
    }
    *ret = TAKE_PTR(s);
    return 0;
}

int bus_socket_listen(struct bus_socket **ret, struct event_base *loop, const char *url,
                      size_t max_packet, const struct bus_socket_ops *ops, struct error *err) {
    return make(ret, loop, url, NN_REP, max_packet, ops, err);
}

int bus_socket_connect(struct bus_socket **ret, struct event_base *loop, const char *url,
                       size_t max_packet, const struct bus_socket_ops *ops, struct error *err) {
    return make(ret, loop, url, NN_REQ, max_packet, ops, err);
}

void bus_socket_free(struct bus_socket *s) {
    if (!s)
        return;
    s->dead = true;
    if (!s->receiving)
        destroy(s);
}

/* --- links --- */

static uint64_t statistic(const struct bus_socket *s, int which) {
    return nn_get_statistic(s->nn, which);
}

unsigned bus_socket_connections(const struct bus_socket *s) {
    return (unsigned)statistic(s, NN_STAT_CURRENT_CONNECTIONS);
}

bool bus_socket_is_broken(const struct bus_socket *s) {
    uint64_t made = statistic(s, NN_STAT_ESTABLISHED_CONNECTIONS);
    return made > 1 || (made == 1 && bus_socket_connections(s) == 0);
}
