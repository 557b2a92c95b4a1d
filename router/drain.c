/* The end of a router, so that nobody notices:
 *
 *     unhealthy, still serving (drain_wait_ms) -> no new connections, idle ones closed, responses
 *     say "Connection: close" -> the last request is over, or drain_timeout_ms -> out of the loop
 */
#include "common/base/log.h"
#include "router/router.h"

#define CHECK_MS      50
#define STOP_EXTEND_S 30

static void close_listeners(struct router *r) {
    r->listeners_closed = true;
    for (unsigned i = 0; i < r->worker_count; i++)
        worker_begin_drain(r->workers[i]);
}

static void on_check(evutil_socket_t fd, short what, void *arg) {
    struct router *r = arg;
    (void)fd, (void)what;
    daemon_extend_stop(STOP_EXTEND_S);
    uint64_t now = worker_now_ms();
    if (!r->listeners_closed) {
        if (now >= r->drain_from_ms)
            close_listeners(r);
        return;
    }
    uint64_t open = router_sum(r, offsetof(struct counters, client_connections));
    if (open && now < r->drain_until_ms)
        return;
    if (open)
        log_warn("drain time is over", "connections=%llu", (unsigned long long)open);
    event_base_loopexit(r->loop, NULL);
}

void router_begin_drain(void *data) {
    struct router *r = data;
    static const struct timeval every = {.tv_usec = CHECK_MS * 1000};
    r->draining = true;
    r->drain_from_ms = worker_now_ms() + r->config.drain_wait_ms;
    r->drain_until_ms = r->drain_from_ms + r->config.drain_timeout_ms;
    r->drain_event = event_new(r->loop, -1, EV_PERSIST, on_check, r);
    if (!r->drain_event || event_add(r->drain_event, &every) < 0)
        event_base_loopexit(r->loop, NULL); /* no memory to wait with */
}

const char *router_health(void *data) {
    const struct router *r = data;
    return r->draining ? "draining\n" : NULL;
}
