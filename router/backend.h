/* backend.h - connections to instances: opened, used by one request at a time, kept for the next.
 *
 * One pool an endpoint (address and instance), last in first out. An idle connection stays
 * registered with the loop: when the app closes it, or says something unasked, it is closed here.
 * Worker thread only. */
#ifndef ROUTER_BACKEND_H
#define ROUTER_BACKEND_H

#include "router/stream.h"
#include "router/table.h"
#include "router/wheel.h"

struct worker;
struct exchange;

enum backend_state {
    BACKEND_CONNECTING, /* for `exchange`, or to look whether an endpoint is there */
    BACKEND_BUSY,       /* serves `exchange` */
    BACKEND_IDLE,       /* in its pool */
    BACKEND_CLOSED,
};

struct backend {
    struct stream stream;
    struct wheel_node timer; /* connecting, silent, idle */
    enum backend_state state;
    bool reused;               /* it served a request before this one */
    uint64_t connect_until_ms; /* while CONNECTING */
    struct worker *worker;     /* borrowed */
    struct exchange *exchange; /* while CONNECTING and BUSY; NULL for a probe */
    struct route *probed;      /* counted; NULL unless it is a probe, of this endpoint: */
    unsigned probed_endpoint;
    struct pool *pool;
    struct backend *next, *prev; /* idle ones of the pool, or probes; `next` also of the dead */
};

#define POOL_BUCKETS 1024u

struct backend_pools {
    struct pool *buckets[POOL_BUCKETS];
};

/* An idle connection to the endpoint, now BUSY for x; NULL when there is none. With `check` it is
 * asked of the kernel whether the app closed it meanwhile. */
struct backend *backend_reuse(struct worker *w, const struct endpoint *e, struct exchange *x,
                              bool check);
/* Begins to connect. Its events go to forward_on_backend(). 0 or a negative errno. */
int backend_connect(struct backend **ret, struct worker *w, const struct endpoint *e,
                    struct exchange *x);
/* Connects to an endpoint that is marked, for no request, and closes: lifts the mark when it is
 * there, renews it when not. */
void backend_probe(struct worker *w, struct route *r, unsigned endpoint);
/* The request is served: keeps it for the next one, or closes it when there are enough. */
void backend_release(struct backend *b);
void backend_close(struct backend *b); /* freed after this turn of the loop */
void backend_free_dead(struct worker *w);
void backend_close_idle(struct worker *w, const struct endpoint *e);
void backend_close_all(struct worker *w); /* idle ones and probes */

#endif
