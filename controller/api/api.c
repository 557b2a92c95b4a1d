/* api.c - the api's life: making, ticking, draining, freeing. */
#include "controller/api/api.h"

#include <errno.h>
#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/metrics.h"
#include "controller/api/internal.h"
#include "controller/api/limiter.h"
#include "controller/store/events.h"
#include "controller/store/jobs.h"
#include "controller/store/tasks.h"
#include "controller/store/tokens.h"

#define PRUNE_EVERY_S (60 * 60)
#define EVENTS_KEEP_S (31 * 24 * 60 * 60) /* cc: audit_events.cutoff_age_in_days */
#define TASKS_KEEP_S  (31 * 24 * 60 * 60) /* cc: completed_tasks.cutoff_age_in_days */
#define JOBS_KEEP_S   (2 * 24 * 60 * 60)
#define NS_PER_S      UINT64_C(1000000000)
#define CLOCK_JUMP_NS (60 * (int64_t)NS_PER_S) /* more than a clock is slewed in PRUNE_EVERY_S */

static const struct api_config defaults = {
    .max_memory_mb = 65536,
    .max_disk_mb = 65536,
    .max_instances = 10000,
    .default_memory_mb = 1024, /* cc: default_app_memory */
    .default_disk_mb = 1024,   /* cc: default_app_disk_in_mb */
    .token_s = 599,            /* UAA's usual; CLIs refresh when less than 60 s are left */
    .refresh_s = 30 * 24 * 60 * 60,
    .max_connections = 1000,
};

static int take_config(struct api *api, const struct api_config *given, struct error *err) {
    struct api_config *c = &api->config;
    *c = *given;
    c->external_url = c->certificate = c->key = NULL;
#define DEFAULT(member) c->member = c->member ? c->member : defaults.member
    DEFAULT(max_memory_mb);
    DEFAULT(max_disk_mb);
    DEFAULT(max_instances);
    DEFAULT(default_memory_mb);
    DEFAULT(default_disk_mb);
    DEFAULT(token_s);
    DEFAULT(refresh_s);
    DEFAULT(max_connections);
#undef DEFAULT
    c->default_memory_mb = MIN(c->default_memory_mb, c->max_memory_mb);
    c->default_disk_mb = MIN(c->default_disk_mb, c->max_disk_mb);
    size_t url_n = given->external_url ? strlen(given->external_url) : 0;
    while (url_n && given->external_url[url_n - 1] == '/')
        url_n--;
    if ((given->external_url && !(c->external_url = str_ndup(given->external_url, url_n))) ||
        (given->certificate && !(c->certificate = str_dup(given->certificate))) ||
        (given->key && !(c->key = str_dup(given->key))))
        return error_set(err, -ENOMEM, "out of memory");
    if (!c->certificate != !c->key)
        return error_set(err, -EINVAL, "a certificate needs its key and a key its certificate");
    return 0;
}

/* --- held calls
 * -------------------------------------------------------------------------------------
 */

/* Handlers are cheap reads: asking each again some 40 times a second is less than any way of
 * telling them, and nothing can be forgotten. A call that is held again goes to the front, behind
 * us. */
static void on_hold_tick(evutil_socket_t fd, short what, void *arg) {
    struct api *api = arg;
    struct timeval tick = {.tv_usec = 25 * 1000};
    for (struct call *c = api->open, *next; c; c = next) {
        next = c->next;
        if (c->state == CALL_HELD)
            api_dispatch_again(c);
    }
    if (api->held)
        event_add(api->hold_timer, &tick);
}

/* --- what grows old
 * ---------------------------------------------------------------------------------
 */

static int64_t clock_offset_ns(void) {
    return (int64_t)(clock_wall_ns() - clock_mono_ns());
}

/* A clock that has jumped may be wrong, and what is deleted stays so: it must stand first. */
static bool clock_jumped(struct api *api) {
    int64_t now = clock_offset_ns(), by = now - api->clock_offset_ns;
    api->clock_offset_ns = now;
    return by > CLOCK_JUMP_NS || by < -CLOCK_JUMP_NS;
}

static void on_prune(evutil_socket_t fd, short what, void *arg) {
    struct api *api = arg;
    struct store *store = api->deps.store;
    struct timeval again = {.tv_sec = PRUNE_EVERY_S};
    struct error err = {0};
    uint64_t now = clock_wall_ns();
    if (!clock_jumped(api) &&
        (store_event_prune(store, now - EVENTS_KEEP_S * NS_PER_S, &err) < 0 ||
         store_task_prune(store, now - TASKS_KEEP_S * NS_PER_S, &err) < 0 ||
         store_job_prune(store, now - JOBS_KEEP_S * NS_PER_S, &err) < 0 ||
         store_token_prune(store, now, &err) < 0) &&
        api->deps.on_failure)
        api->deps.on_failure(api->deps.data, "prune", err.msg);
    event_add(api->prune_timer, &again);
}

/* --- making and freeing
 * -----------------------------------------------------------------------------
 */

int api_new(struct api **ret, const struct api_deps *deps, struct error *err) {
    _cleanup_(api_freep) struct api *api = mem_zalloc(sizeof *api);
    struct timeval soon = {.tv_sec = 60};
    int r;
    if (!api)
        return error_set(err, -ENOMEM, "out of memory making the API");
    api->deps = *deps;
    api->clock_offset_ns = clock_offset_ns();
    if ((r = take_config(api, deps->config, err)) < 0 || (r = token_key_load(api, err)) < 0)
        return r;
    api->limiter = limiter_new(&limiter_uaa);
    if (deps->loop) {
        api->hold_timer = evtimer_new(deps->loop, on_hold_tick, api);
        api->prune_timer = evtimer_new(deps->loop, on_prune, api);
    }
    if (!api->limiter || (deps->loop && (!api->hold_timer || !api->prune_timer ||
                                         event_add(api->prune_timer, &soon) < 0)))
        return error_set(err, -ENOMEM, "out of memory making the API");
    *ret = TAKE_PTR(api);
    return 0;
}

static void answer_open(struct api *api) {
    while (api->open) {
        struct call *c = api->open;
        if (c->state == CALL_HELD)
            api->held--;
        if (c->state == CALL_ASYNC && c->async_ref)
            *c->async_ref = NULL;
        fail_plain(c, CC_UNAVAILABLE);
        call_finish(c);
    }
}

void api_free(struct api *api) {
    if (!api)
        return;
    answer_open(api);
    server_free(api->server);
    limiter_free(api->limiter);
    if (api->hold_timer)
        event_free(api->hold_timer);
    if (api->prune_timer)
        event_free(api->prune_timer);
    free((char *)api->config.external_url);
    free((char *)api->config.certificate);
    free((char *)api->config.key);
    mem_wipe(api->token_key, sizeof api->token_key);
    free(api);
}

void api_metrics(struct api *api, struct strbuf *out) {
    static const char *const classes[] = {NULL, NULL, "2xx", "3xx", "4xx", "5xx"};
    strbuf_puts(out, "# HELP berth_api_requests_total Requests answered, by class of status.\n"
                     "# TYPE berth_api_requests_total counter\n");
    for (size_t i = 2; i < ARRAY_SIZE(classes); i++)
        strbuf_printf(out, "berth_api_requests_total{status=\"%s\"} %llu\n", classes[i],
                      (unsigned long long)api->counters.answered[i]);
    histogram_put(&api->latency, out, "berth_api_request_seconds",
                  "From a request's last byte to its answer, but for those that wait for news.");
    metrics_put_certificate(out, api->server ? server_certificate_not_after(api->server) : 0);
    metric_put(out, "berth_api_logins_refused_total", "counter", "Log-ins refused.",
               (double)api->counters.logins_refused);
    metric_put(out, "berth_api_requests_held", "gauge", "Requests that wait for news.",
               (double)api->held);
    metric_put(out, "berth_api_connections", "gauge", "Open connections.",
               (double)(api->server ? server_connections(api->server) : 0));
}
