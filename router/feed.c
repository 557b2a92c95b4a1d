#include "router/feed.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/bus/node.h"
#include "common/bus/times.h"
#include "router/ship.h"

#define SAVE_AFTER_MS 1000  /* changes come in bursts: one write for all */
#define SAVE_AGAIN_MS 10000 /* after a failure: a full disk, say */
#define EPOCH_BYTES   8

struct feed {
    const struct router_config *config;
    struct routes *routes;
    struct bus_conversation *watch;
    struct ship *ship; /* NULL: no access lines to the controller */
    struct event *save_event;
    struct saved *saved;
    bool dirty;
    uint8_t epoch[EPOCH_BYTES];
    size_t epoch_n;
    uint64_t version; /* 0: a full set is asked for */
    bool in_full;     /* pages of a full set are coming */
    bool knows;       /* one was heard to its end */
    unsigned wait_ms;
    uint64_t heard_ms; /* the controller's last word; before one: our start */
    uint64_t updates, invalid_routes, invalid_endpoints, saves, save_failures;
};

/* --- saving --- */

static void save_in(struct feed *f, unsigned ms) {
    const struct timeval after = {.tv_sec = ms / 1000};
    if (!f->dirty)
        event_add(f->save_event, &after);
    f->dirty = true;
}

static void save(struct feed *f) {
    struct error err = {0};
    f->dirty = false;
    if (!f->saved->path)
        return;
    if (saved_write(f->saved, f->routes, &err) < 0) {
        f->save_failures++;
        log_error("routes not saved", "why=%s", log_quote(err.msg));
        save_in(f, SAVE_AGAIN_MS);
    } else {
        f->saves++;
    }
}

static void on_save(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    save(arg);
}

/* --- news --- */

static void ask(struct feed *f) {
    Berth__Watch watch = BERTH__WATCH__INIT;
    struct error err = {0};
    watch.epoch.data = f->epoch;
    watch.epoch.len = f->epoch_n;
    watch.version = f->version;
    int r = bus_conversation_request(f->watch, &watch.base, f->wait_ms + BUS_REPLY_SLACK_MS, &err);
    if (r < 0 && r != -ENOTCONN)
        log_error("cannot ask for routes", "why=%s", log_quote(err.msg));
}

static void apply_route(struct feed *f, const Berth__Route *news) {
    struct error err = {0};
    struct route *route;
    unsigned skipped = 0;
    _cleanup_(freep) struct endpoint_spec *specs = mem_calloc(news->n_endpoints + 1, sizeof *specs);
    if (!specs)
        return;
    for (size_t i = 0; i < news->n_endpoints; i++) {
        const Berth__Endpoint *e = news->endpoints[i];
        specs[i] = (struct endpoint_spec){e->address, e->port, e->instance_guid, e->index};
    }
    int r = route_new(&route, news->host, news->path, news->app_guid, news->app_name, specs,
                      (unsigned)news->n_endpoints, routes_seed(f->routes), &skipped, &err);
    if (r == 0 && news->balancing == BERTH__BALANCING__BALANCING_LEAST_CONNECTION &&
        (r = route_use_least_connection(route)) < 0)
        route_unref(route);
    if (r == 0)
        r = routes_put(f->routes, route);
    f->invalid_endpoints += skipped;
    if (skipped)
        log_warn("endpoints left out: their addresses are not numeric", "host=%s count=%u",
                 log_quote(news->host), skipped);
    if (r < 0) {
        f->invalid_routes++;
        log_warn("route left out", "host=%s why=%s", log_quote(news->host), log_quote(err.msg));
    }
}

static void publish(struct feed *f) {
    struct error err = {0};
    if (routes_publish(f->routes, &err) < 0)
        log_error("routes not published", "why=%s", log_quote(err.msg));
    else
        log_debug("routes changed", "routes=%zu version=%llu", routes_count(f->routes),
                  (unsigned long long)f->version);
    f->updates++;
    save_in(f, SAVE_AFTER_MS);
}

static void apply(struct feed *f, const Berth__WatchReply *reply) {
    bool changed = reply->n_routes || reply->n_removed_routes;
    if (reply->from != 0 && reply->from != f->version) { /* not a step from where we are */
        log_warn("routes out of step: asking for all", "version=%llu from=%llu",
                 (unsigned long long)f->version, (unsigned long long)reply->from);
        f->version = 0;
        f->in_full = false;
        return;
    }
    if (reply->from == 0 && reply->to != 0) {
        routes_begin_full(f->routes);
        f->in_full = true;
    }
    for (size_t i = 0; i < reply->n_routes; i++)
        apply_route(f, reply->routes[i]);
    for (size_t i = 0; i < reply->n_removed_routes; i++)
        routes_remove(f->routes, reply->removed_routes[i]);
    f->epoch_n = MIN(reply->epoch.len, sizeof f->epoch);
    if (f->epoch_n)
        memcpy(f->epoch, reply->epoch.data, f->epoch_n);
    f->version = reply->to;
    if (reply->more)
        return;
    if (f->in_full) {
        routes_end_full(f->routes);
        f->in_full = false;
        f->knows = changed = true;
    }
    if (changed)
        publish(f);
}

static void on_open(void *data, const Berth__HelloAck *ack) {
    struct feed *f = data;
    f->wait_ms = ack->watch_wait_ms ? ack->watch_wait_ms : BUS_WATCH_WAIT_MS;
    log_info("controller reached", "version=%llu", (unsigned long long)f->version);
    ask(f);
}

static void on_reply(void *data, const ProtobufCMessage *reply) {
    struct feed *f = data;
    f->heard_ms = clock_mono_ms();
    apply(f, (const Berth__WatchReply *)reply);
    ask(f);
}

static void on_down(void *data, const char *why) {
    struct feed *f = data;
    log_warn("controller lost, serving the routes known", "why=%s", log_quote(why));
    if (f->in_full) { /* half a set is worth nothing: all of it again */
        f->in_full = false;
        f->version = 0;
    }
}

/* --- life --- */

void feed_free(struct feed *f) {
    if (!f)
        return;
    bus_conversation_free(f->watch);
    ship_free(f->ship);
    if (f->dirty)
        save(f);
    if (f->save_event)
        event_free(f->save_event);
    free(f);
}

static void feed_freep(struct feed **f) {
    feed_free(*f);
}

static int open_watch(struct feed *f, struct event_base *loop, const struct bus_identity *identity,
                      struct error *err) {
    struct bus_conversation_ops ops = {on_open, on_reply, on_down, f};
    Berth__Hello hello = BERTH__HELLO__INIT;
    hello.kind = BERTH__NODE_KIND__NODE_ROUTER;
    hello.conversation = BERTH__CONVERSATION__CONVERSATION_WATCH;
    hello.name = f->config->name;
    hello.version = (char *)(uintptr_t)BERTH_VERSION;
    hello.zone = f->config->zone ? f->config->zone : (char *)(uintptr_t) "";
    return bus_conversation_new(&f->watch, loop, identity, f->config->controller, &hello, &ops,
                                err);
}

int feed_new(struct feed **ret, struct event_base *loop, const struct router_config *config,
             struct routes *routes, struct saved *saved, struct access_sink *sink,
             struct error *err) {
    _cleanup_(feed_freep) struct feed *f = mem_zalloc(sizeof *f);
    struct bus_identity identity;
    int r;
    if (!f)
        return error_set(err, -ENOMEM, "out of memory");
    f->heard_ms = clock_mono_ms();
    f->config = config;
    f->routes = routes;
    f->saved = saved;
    f->save_event = evtimer_new(loop, on_save, f);
    if (!f->save_event)
        return error_set(err, -ENOMEM, "out of memory");
    if ((r = bus_identity_read(config->key_file, &identity, err)) < 0)
        return r;
    if ((r = open_watch(f, loop, &identity, err)) == 0 && sink->ring &&
        !str_empty(config->controller_logs))
        r = ship_new(&f->ship, loop, config, &identity, sink, err);
    mem_wipe(&identity, sizeof identity);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(f);
    return 0;
}

bool feed_knows_routes(const struct feed *f) {
    return f->knows;
}

void feed_metrics(const struct feed *f, struct strbuf *out) {
    metric_put(out, "berth_router_controller_connected", "gauge", "1 while the controller answers.",
               bus_conversation_is_open(f->watch));
    metric_put(out, "berth_router_table_age_seconds", "gauge",
               "Since the controller last told of routes, or that nothing changed.",
               (double)(clock_mono_ms() - f->heard_ms) / 1e3);
    metric_put(out, "berth_router_route_updates", "counter", "Route tables published.",
               (double)f->updates);
    metric_put(out, "berth_router_invalid_routes", "counter", "Routes left out as not valid.",
               (double)f->invalid_routes);
    metric_put(out, "berth_router_invalid_endpoints", "counter", "Endpoints left out as not valid.",
               (double)f->invalid_endpoints);
    metric_put(out, "berth_router_route_saves", "counter", "Times the table was saved.",
               (double)f->saves);
    metric_put(out, "berth_router_route_save_failures", "counter",
               "Times the table could not be saved.", (double)f->save_failures);
    if (f->ship)
        ship_metrics(f->ship, out);
}
