/* client.h - one connection of the outside world: TLS handshake, request heads, and what comes
 * between requests. While a request is served its exchange (forward.h) does the reading and
 * writing. An idle connection holds this struct and nothing else. */
#ifndef ROUTER_CLIENT_H
#define ROUTER_CLIENT_H

#include <netinet/in.h>

#include "common/base/str.h"
#include "router/buf.h"
#include "router/stream.h"
#include "router/wheel.h"

struct worker;
struct exchange;

enum client_state {
    CLIENT_HANDSHAKE, /* TLS */
    CLIENT_IDLE,      /* no byte of the next request yet */
    CLIENT_HEAD,      /* some of its head */
    CLIENT_EXCHANGE,  /* a request is being served */
    CLIENT_LINGER,    /* all said; takes what still comes, so that the last answer is not lost */
    CLIENT_CLOSED,    /* freed after this turn of the loop */
};

struct client {
    struct stream stream;
    struct wheel_node timer;
    struct worker *worker;      /* borrowed */
    struct client *next, *prev; /* of the worker's clients; `next` also of the dead */
    struct client *ready_next;
    struct exchange *exchange; /* owned, while CLIENT_EXCHANGE */
    struct buf *in;            /* owned; NULL while empty */
    size_t scanned;            /* of the head in `in` */
    uint32_t lingered;         /* bytes thrown away */
    enum client_state state;
    bool is_ready; /* in the worker's list */
    uint8_t ip_n;  /* bytes of `peer` that are the address alone */
    uint8_t peer_n;
    uint8_t ip_from;                 /* where they begin: 1 for "[::1]:80" */
    char peer[INET6_ADDRSTRLEN + 8]; /* "ip:port" */
};

/* Takes fd on success. `tls`: begins with a handshake. 0 or a negative errno. */
int client_open(struct worker *w, int fd, const struct sockaddr *peer, bool tls);
void client_step(struct client *c);
void client_close(struct client *c); /* at once; ends an exchange without a word */

/* The exchange is over and freed: on to the next request, or to the end. */
void client_exchange_done(struct client *c, bool close);
void client_begin_drain(struct client *c);
void client_free_dead(struct worker *w);
void client_set_deadline(struct client *c, uint64_t deadline_ms);

static inline struct slice client_ip(const struct client *c) {
    return (struct slice){c->peer + c->ip_from, c->ip_n};
}

#endif
