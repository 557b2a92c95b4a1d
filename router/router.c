#include "router/router.h"

#include <errno.h>
#include <event2/http.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define RING_BYTES (4u << 20) /* access lines waiting for the controller */
#define SWEEP_MS   1000

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct router *r = arg;
    (void)fd, (void)what;
    publisher_sweep(&r->shared.publisher);
    saved_renew(&r->saved, clock_mono_ms());
}

static int load_tls(struct router *r, struct error *err) {
    struct tls_set *set, *was;
    if (str_empty(r->config.listen_tls))
        return 0;
    int code = tls_set_load(&set, r->config.tls_cert, r->config.tls_key, r->config.tls_sni, err);
    if (code < 0)
        return code;
    pthread_mutex_lock(&r->shared.tls_lock);
    was = r->shared.tls;
    r->shared.tls = set;
    pthread_mutex_unlock(&r->shared.tls_lock);
    tls_set_unref(was);
    return 0;
}

static void reload_log_level(struct router *r) {
    struct router_config again = {0};
    struct error err = {0};
    if (config_load(&router_config_spec, &again, r->argc, r->argv, &err) < 0 ||
        log_setup(again.log_level, again.log_format, &err) < 0)
        log_error("log level not reloaded", "why=%s", log_quote(err.msg));
    config_free_strings(&router_config_spec, &again);
}

static void on_reload(void *data) {
    struct router *r = data;
    struct error err = {0};
    reload_log_level(r);
    if (access_sink_reopen(&r->sink, &err) < 0)
        log_error("access log not reopened", "why=%s", log_quote(err.msg));
    if (load_tls(r, &err) < 0)
        log_error("certificates not reloaded, the old ones stay", "why=%s", log_quote(err.msg));
    else
        log_info("reloaded", "tls=%s", r->shared.tls ? "yes" : "no");
}

/* The table of the last run serves until the controller says more. Without it nothing is published
 * when there will be word from a controller: nobody knows then which routes there are. */
static int load_routes(struct router *r, struct error *err) {
    struct error why = {0};
    unsigned skipped;
    int code = saved_open(&r->saved, &r->config, err);
    if (code < 0)
        return code;
    code = saved_load(&r->saved, r->routes, &skipped, &why);
    r->routes_loaded = code == 0;
    if (code == 0)
        log_info("saved routes loaded", "routes=%zu skipped=%u", routes_count(r->routes), skipped);
    else if (code != -ENOENT)
        log_warn("saved routes not used", "why=%s", log_quote(why.msg));
    return code == 0 || str_empty(r->config.controller) ? routes_publish(r->routes, err) : 0;
}

static int build_workers(struct router *r, struct error *err) {
    r->workers = mem_calloc(r->config.workers, sizeof(struct worker *));
    if (!r->workers)
        return error_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < r->config.workers; i++, r->worker_count++) {
        int code = worker_new(&r->workers[i], &r->shared, i, err);
        if (code < 0)
            return code;
    }
    return 0;
}

static int build_daemon(struct router *r, struct error *err) {
    static const struct timeval every = {.tv_sec = SWEEP_MS / 1000};
    struct daemon_ops ops = {
        .on_stop = router_begin_drain,
        .on_reload = on_reload,
        .health = router_health,
        .stuck = router_stuck,
        .metrics = router_metrics,
        .data = r,
    };
    int code = daemon_new(&r->daemon, r->loop, r->config.admin, &ops, err);
    if (code < 0)
        return code;
    r->sweep = event_new(r->loop, -1, EV_PERSIST, on_sweep, r);
    if (!r->sweep || event_add(r->sweep, &every) < 0 || router_add_pages(r) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int router_build(struct router *r, struct error *err) {
    const struct router_config *c = &r->config;
    bool has_controller = !str_empty(c->controller);
    int code;
    r->sink.fd = -1;
    r->shared.config = c;
    r->shared.sink = &r->sink;
    r->shared.tls_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    publisher_init(&r->shared.publisher);
    r->loop = event_base_new();
    if (!r->loop)
        return error_set(err, -ENOMEM, "cannot make an event loop");
    if ((code = access_sink_open(&r->sink, c->access_log,
                                 has_controller && !str_empty(c->controller_logs) ? RING_BYTES : 0,
                                 err)) < 0 ||
        (code = load_tls(r, err)) < 0 ||
        (code = routes_new(&r->routes, &r->shared.publisher, err)) < 0 ||
        (code = load_routes(r, err)) < 0 || (code = build_workers(r, err)) < 0 ||
        (code = build_daemon(r, err)) < 0)
        return code;
    return has_controller ? feed_new(&r->feed, r->loop, c, r->routes, &r->saved, &r->sink, err) : 0;
}

int router_listen(struct router *r, struct error *err) {
    int code = router_listen_health(r, err);
    if (code < 0)
        return code;
    for (unsigned i = 0; i < r->worker_count; i++)
        if ((code = worker_listen(r->workers[i], err)) < 0)
            return code;
    for (unsigned i = 0; i < r->worker_count; i++)
        if ((code = worker_start(r->workers[i], err)) < 0)
            return code;
    return 0;
}

void router_fini(struct router *r) {
    for (unsigned i = 0; i < r->worker_count; i++)
        worker_free(r->workers[i]);
    free(r->workers);
    feed_free(r->feed);
    daemon_free(r->daemon);
    if (r->health)
        evhttp_free(r->health);
    routes_free(r->routes);
    saved_close(&r->saved);
    if (r->sweep)
        event_free(r->sweep);
    if (r->drain_event)
        event_free(r->drain_event);
    publisher_fini(&r->shared.publisher);
    tls_set_unref(r->shared.tls);
    access_sink_close(&r->sink);
    if (r->loop)
        event_base_free(r->loop);
    config_free_strings(&router_config_spec, &r->config);
}
