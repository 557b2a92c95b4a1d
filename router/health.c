/* health.c - Gorouter's health endpoint: 200 "ok" or an empty 503, never cached. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <string.h>

#include "common/base/daemon.h"
#include "router/router.h"

#define TIMEOUT_S   10
#define MAX_HEADERS 16384
#define MAX_BODY    1024

/* Without any table every request would be answered 503: another router knows better. */
static bool is_ready(const struct router *r) {
    bool knows = !r->feed || r->routes_loaded || feed_knows_routes(r->feed);
    return knows && !r->draining;
}

static void on_health(struct evhttp_request *req, void *arg) {
    const struct router *r = arg;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    bool good = is_ready(r);
    struct evbuffer *body = good ? evbuffer_new() : NULL;
    if (body)
        evbuffer_add(body, "ok\n", 3);
    evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
    evhttp_add_header(headers, "Cache-Control", "private, max-age=0");
    evhttp_add_header(headers, "Expires", "0");
    evhttp_send_reply(req, good ? 200 : 503, good ? "OK" : "Service Unavailable", body);
    if (body)
        evbuffer_free(body);
}

int router_listen_health(struct router *r, struct error *err) {
    _cleanup_(freep) char *host = NULL;
    uint16_t port;
    if (str_empty(r->config.health))
        return 0;
    int code = address_parse(r->config.health, &host, &port, err);
    if (code < 0)
        return error_wrap(err, "health address");
    r->health = evhttp_new(r->loop);
    if (!r->health)
        return error_set(err, -ENOMEM, "out of memory");
    evhttp_set_timeout(r->health, TIMEOUT_S);
    evhttp_set_max_headers_size(r->health, MAX_HEADERS);
    evhttp_set_max_body_size(r->health, MAX_BODY);
    evhttp_set_allowed_methods(r->health, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_cb(r->health, "/health", on_health, r);
    if (evhttp_bind_socket(r->health, host, port) < 0)
        return error_set(err, -errno ? -errno : -EADDRINUSE, "cannot listen on %s: %s",
                         r->config.health, strerror(errno));
    return 0;
}
