#include <event2/buffer.h>
#include <event2/http.h>

#include "common/base/metrics.h"
#include "router/router.h"

uint64_t router_sum(const struct router *r, size_t counter_offset) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->worker_count; i++) {
        const char *base = (const char *)&r->workers[i]->counters;
        sum += atomic_load_explicit((const _Atomic uint64_t *)(base + counter_offset),
                                    memory_order_relaxed);
    }
    return sum;
}

void router_metrics(struct strbuf *out, void *data) {
    const struct router *r = data;
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } rows[] = {
#define X(name, type, help) {"berth_router_" #name, type, help, offsetof(struct counters, name)},
        ROUTER_COUNTERS(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        metric_put(out, rows[i].name, rows[i].type, rows[i].help,
                   (double)router_sum(r, rows[i].offset));
    metric_put(out, "berth_router_routes", "gauge", "Routes in the table.",
               (double)routes_count(r->routes));
    metric_put(out, "berth_router_workers", "gauge", "Event loop threads.", r->worker_count);
    metrics_put_disk(out, r->config.state_dir);
    metrics_put_certificate(out, r->shared.tls ? tls_set_not_after(r->shared.tls) : 0);
    if (r->feed)
        feed_metrics(r->feed, out);
}

const char *router_stuck(void *data) {
    const struct router *r = data;
    for (unsigned i = 0; i < r->worker_count; i++)
        if (worker_is_stuck(r->workers[i], worker_now_ms()))
            return "a worker's loop stands still";
    return NULL;
}

static void on_routes(struct evhttp_request *req, void *arg) {
    const struct router *r = arg;
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    routes_print(r->routes, "", &text);
    struct evbuffer *body = evbuffer_new();
    if (!body || text.failed || evbuffer_add(body, text.p, text.n) < 0) {
        evhttp_send_error(req, 500, "out of memory");
    } else {
        evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
                          "application/json");
        evhttp_send_reply(req, 200, "OK", body);
    }
    if (body)
        evbuffer_free(body);
}

int router_add_pages(struct router *r) {
    return daemon_add_page(r->daemon, "/routes", on_routes, r);
}
