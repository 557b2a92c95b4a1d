#include "common/bus/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <time.h>
#include <utlist.h>

#include "common/base/str.h"
#include "common/bus/times.h"

/* An answer that waits for its loop turn. */
struct outgoing {
    struct bus_route route;
    uint8_t *packet; /* owned */
    struct outgoing *prev, *next;
};

struct listener {
    struct event_base *loop; /* borrowed */
    char *url;               /* owned */
    size_t max_packet;
    struct bus_socket_ops ops;
    struct bus_socket *socket; /* owned; NULL while it is being made anew */
    struct event *rebind;      /* owned; pending while `socket` is NULL */
    struct event *flush;       /* owned; pending once something was sent this turn */
    unsigned sent_this_turn;
    uint64_t sent;
    struct outgoing *outgoing; /* owned list */
};

static void arm(struct event *timer, unsigned ms) {
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)event_add(timer, &tv);
}

/* --- binding --- */

static int bind_now(struct listener *l, struct error *err) {
    return bus_socket_listen(&l->socket, l->loop, l->url, l->max_packet, &l->ops, err);
}

static void on_rebind(evutil_socket_t fd, short what, void *arg) {
    struct listener *l = arg;
    if (bind_now(l, NULL) < 0)
        arm(l->rebind, BUS_BIND_RETRY_MS);
}

void listener_rebind(struct listener *l) {
    bus_socket_free(TAKE_PTR(l->socket));
    arm(l->rebind, 0);
}

/* At start, when the loop does not run yet. */
static int bind_patiently(struct listener *l, struct error *err) {
    const struct timespec pause = {.tv_nsec = BUS_BIND_RETRY_MS * 1000000L};
    int r = bind_now(l, err);
    for (int i = 1; r == -EADDRINUSE && i < BUS_BIND_TRIES; i++) {
        nanosleep(&pause, NULL);
        r = bind_now(l, err);
    }
    return r;
}

bool listener_is_bound(const struct listener *l) {
    return l->socket != NULL;
}

unsigned listener_connections(const struct listener *l) {
    return l->socket ? bus_socket_connections(l->socket) : 0;
}

uint64_t listener_sent(const struct listener *l) {
    return l->sent;
}

/* --- sending --- */

static void send_now(struct listener *l, const struct bus_route *route, uint8_t *packet) {
    l->sent_this_turn++;
    l->sent++;
    if (l->socket)
        bus_socket_send(l->socket, route, packet);
    else
        bus_packet_free(packet); /* its connection went with the old socket */
}

void listener_send(struct listener *l, const struct bus_route *route, uint8_t *packet) {
    struct outgoing *out = NULL;
    if (l->sent_this_turn >= BUS_REPLIES_A_TURN)
        out = mem_zalloc(sizeof *out);
    if (!event_pending(l->flush, EV_TIMEOUT, NULL))
        arm(l->flush, 0); /* a timer: the loop polls before it runs, which ends the turn */
    if (!out) {           /* without memory the slice is larger, that is all */
        send_now(l, route, packet);
        return;
    }
    out->route = *route;
    out->packet = packet;
    DL_APPEND(l->outgoing, out);
}

static void on_flush(evutil_socket_t fd, short what, void *arg) {
    struct listener *l = arg;
    l->sent_this_turn = 0;
    while (l->outgoing && l->sent_this_turn < BUS_REPLIES_A_TURN) {
        struct outgoing *out = l->outgoing;
        DL_DELETE(l->outgoing, out);
        send_now(l, &out->route, out->packet);
        free(out);
    }
    if (l->sent_this_turn > 0)
        arm(l->flush, 0);
}

/* --- making --- */

int listener_new(struct listener **ret, struct event_base *loop, const char *url, size_t max_packet,
                 const struct bus_socket_ops *ops, struct error *err) {
    _cleanup_(listener_freep) struct listener *l = mem_zalloc(sizeof *l);
    if (!l)
        return error_set(err, -ENOMEM, "no memory to listen on %s", url);
    l->loop = loop;
    l->max_packet = max_packet;
    l->ops = *ops;
    l->url = str_dup(url);
    l->rebind = evtimer_new(loop, on_rebind, l);
    l->flush = evtimer_new(loop, on_flush, l);
    if (!l->url || !l->rebind || !l->flush)
        return error_set(err, -ENOMEM, "no memory to listen on %s", url);
    int r = bind_patiently(l, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(l);
    return 0;
}

void listener_free(struct listener *l) {
    if (!l)
        return;
    struct outgoing *out, *next;
    DL_FOREACH_SAFE (l->outgoing, out, next) {
        bus_packet_free(out->packet);
        free(out);
    }
    bus_socket_free(l->socket);
    if (l->rebind)
        event_free(l->rebind);
    if (l->flush)
        event_free(l->flush);
    free(l->url);
    free(l);
}
