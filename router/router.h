/* router.h - the daemon as a whole: its parts in the order they are made, and its end.
 *
 * The main thread owns signals, the admin page, the feed from the controller and the set of routes;
 * requests are the workers' alone. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "common/base/daemon.h"
#include "router/config.h"
#include "router/feed.h"
#include "router/routes.h"
#include "router/worker.h"

struct evhttp;

struct router {
    struct router_config config;
    int argc; /* as started: SIGHUP reads the log level again */
    char **argv;
    struct event_base *loop;
    struct shared shared;
    struct access_sink sink;
    struct routes *routes;
    struct saved saved;
    struct feed *feed; /* NULL without a controller */
    struct worker **workers;
    unsigned worker_count;
    struct daemon *daemon;
    struct evhttp *health;     /* NULL when none */
    struct event *sweep;       /* frees old route tables */
    struct event *drain_event; /* NULL until the drain */
    uint64_t drain_from_ms, drain_until_ms;
    bool routes_loaded; /* those of the last run */
    bool draining, listeners_closed;
};

int router_build(struct router *r, struct error *err);
int router_listen(struct router *r, struct error *err);
void router_fini(struct router *r);

/* admin.c */
const char *router_stuck(void *data);
void router_metrics(struct strbuf *out, void *data);
int router_add_pages(struct router *r);
uint64_t router_sum(const struct router *r, size_t counter_offset);

/* health.c: what load balancers and DNS ask, at an address of its own that they reach. Fails
 * before a table is known and from the moment that a drain begins. */
int router_listen_health(struct router *r, struct error *err);

/* drain.c */
void router_begin_drain(void *data);
const char *router_health(void *data);

#endif
