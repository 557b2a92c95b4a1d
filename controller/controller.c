#include "controller/controller.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/workers.h"
#include "common/http/client.h"
#include "controller/api/api.h"
#include "controller/brain.h"
#include "controller/keys.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/nodes.h"
#include "controller/rollouts.h"
#include "controller/staging/staging.h"
#include "controller/store/store.h"

#define MB             (1024 * 1024)
#define WORKER_THREADS 2    /* password hashes: more at once only take memory */
#define DRAIN_MS       3000 /* connections get this long after SIGTERM, ... */
#define DRAIN_LOOK_MS  50   /* ... and are looked at this often */

/* --- what the daemon library asks --- */

static void on_drain_look(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    static const struct timeval again = {0, DRAIN_LOOK_MS * 1000};
    struct controller *c = arg;
    if (api_connections(c->api) == 0 || clock_mono_ms() >= c->drain_end_ms)
        event_base_loopexit(c->loop, NULL);
    else
        event_add(c->drain_timer, &again);
}

/* Nothing that runs on cells stops, and routers keep their tables: only the API is to be closed. */
static void on_stop(void *data) {
    struct controller *c = data;
    c->draining = true;
    c->drain_end_ms = clock_mono_ms() + DRAIN_MS;
    api_drain(c->api);
    on_drain_look(-1, 0, c);
}

static void on_reload(void *data) {
    struct controller *c = data;
    struct error err = {0};
    struct controller_config fresh = {0};
    if (controller_config_load(&fresh, c->argc, c->argv, &err) < 0 ||
        log_setup(fresh.log_level, fresh.log_format, &err) < 0)
        log_error("cannot reload the configuration", "why=%s", log_quote(err.msg));
    controller_config_fini(&fresh);
    if (nodes_reload(c->nodes, &err) < 0)
        log_error("cannot reload the revoked nodes", "why=%s", log_quote(err.msg));
    if (!str_empty(c->config.api_cert) && api_reload_certificates(c->api, &err) < 0)
        log_error("cannot reload the API's certificate", "why=%s", log_quote(err.msg));
    log_info("reloaded", "pid=%d", (int)getpid());
}

static const char *on_health(void *data) {
    struct controller *c = data;
    if (c->draining)
        return "stopping\n";
    return nodes_is_listening(c->nodes) ? NULL : "the bus does not listen\n";
}

static void put_file_size(struct controller *c, const char *name, struct strbuf *out) {
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", c->config.state_dir, name);
    if (stat(path, &st) == 0)
        strbuf_printf(out, "berth_store_bytes{file=\"%s\"} %lld\n", name, (long long)st.st_size);
}

static void on_metrics(struct strbuf *out, void *data) {
    struct controller *c = data;
    brain_metrics(c->brain, out);
    nodes_metrics(c->nodes, out);
    api_metrics(c->api, out);
    strbuf_puts(out, "# HELP berth_store_bytes Size of the database's files.\n"
                     "# TYPE berth_store_bytes gauge\n");
    put_file_size(c, "berth.db", out);
    put_file_size(c, "berth.db-wal", out);
    store_metrics(c->store, out);
    metrics_put_disk(out, c->config.state_dir);
}

static void answer_page(struct evhttp_request *req, struct strbuf *text) {
    struct evbuffer *body = evbuffer_new();
    if (body && text->n)
        evbuffer_add(body, text->p, text->n);
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
                      "text/plain; charset=utf-8");
    evhttp_send_reply(req, body && !text->failed ? 200 : 500, NULL, body);
    if (body)
        evbuffer_free(body);
}

static void on_cells_page(struct evhttp_request *req, void *data) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    brain_page(((struct controller *)data)->brain, &text);
    answer_page(req, &text);
}

static void on_nodes_page(struct evhttp_request *req, void *data) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    nodes_page(((struct controller *)data)->nodes, &text);
    answer_page(req, &text);
}

/* --- building --- */

static int build_loop(struct controller *c, struct error *err) {
    c->loop = event_base_new();
    c->drain_timer = c->loop ? evtimer_new(c->loop, on_drain_look, c) : NULL;
    return c->drain_timer ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int build_store(struct controller *c, struct error *err) {
    return store_open_with_keys(&c->store, c->config.state_dir, c->config.secrets_key_file,
                                c->config.previous_secrets_key_file, err);
}

static int build_brain(struct controller *c, struct error *err) {
    const struct brain_deps deps = {.loop = c->loop,
                                    .store = c->store,
                                    .logs = c->logs,
                                    .spread_quiet_ms =
                                        c->config.spread ? c->config.spread_quiet * 1000 : 0};
    return brain_new(&c->brain, &deps, err);
}

/* What is on disk becomes what is desired, before any cell may report. */
static int build_staging(struct controller *c, struct error *err) {
    const struct staging_deps deps = {.loop = c->loop,
                                      .store = c->store,
                                      .http = c->http,
                                      .registries = c->config.registries,
                                      .logs = c->logs,
                                      .lrp = brain_lrp(c->brain),
                                      .api_url = c->config.api_url,
                                      .max_in_flight = (unsigned)c->config.staging_in_flight};
    int r = staging_new(&c->staging, &deps, err);
    if (r < 0 || (r = staging_desire_all(c->staging, err)) == -ENOMEM || r == -EIO)
        return r; /* half of what is desired must not pass for all of it */
    if (r < 0)
        log_error("an app cannot be read and is not run", "why=%s", log_quote(err->msg));
    lrp_desired_complete(brain_lrp(c->brain), clock_mono_ms());
    return staging_resume(c->staging, err);
}

static int build_rollouts(struct controller *c, struct error *err) {
    int r = rollouts_new(&c->rollouts, c->loop, c->staging, err);
    if (r == 0)
        brain_set_rollouts(c->brain, c->rollouts);
    return r;
}

static void on_foreign_lines(void *data, const char *node_id, const char *name,
                             const char *app_guid, uint64_t count) {
    (void)data;
    log_warn("log lines of apps that their sender does not run are refused",
             "node=%s name=%s app=%s lines=%" PRIu64, node_id, log_quote(name), app_guid, count);
}

static int build_nodes(struct controller *c, struct error *err) {
    _cleanup_(master_key_wipe) struct master_key key = {0};
    _cleanup_(master_key_wipe) struct master_key previous = {0};
    int r = master_key_read(c->config.master_key_file, &key, err);
    if (r == 0 && !str_empty(c->config.previous_master_key_file))
        r = master_key_read(c->config.previous_master_key_file, &previous, err);
    if (r < 0)
        return r;
    const struct nodes_deps deps = {.loop = c->loop,
                                    .store = c->store,
                                    .lrp = brain_lrp(c->brain),
                                    .logs = c->logs,
                                    .control_url = c->config.bus_control,
                                    .logs_url = c->config.bus_logs,
                                    .master_key = key.key,
                                    .gen = key.gen,
                                    .previous_master_key = previous.gen ? previous.key : NULL,
                                    .previous_gen = previous.gen,
                                    .revoked_path = c->config.revoked_file,
                                    .on_foreign_lines = on_foreign_lines};
    if ((r = nodes_new(&c->nodes, &deps, err)) < 0)
        return r;
    brain_set_nodes(c->brain, c->nodes);
    return 0;
}

static void on_api_failure(void *data, const char *request_id, const char *text) {
    (void)data;
    log_error("request failed", "request=%s why=%s", request_id, log_quote(text));
}

static void on_deployment(void *data) {
    rollouts_begun(((struct controller *)data)->rollouts);
}

static int build_api(struct controller *c, struct error *err) {
    const struct controller_config *from = &c->config;
    const struct api_config config = {.external_url = from->api_url,
                                      .certificate = from->api_cert,
                                      .key = from->api_key,
                                      .max_memory_mb = from->max_memory / MB,
                                      .max_disk_mb = from->max_disk / MB,
                                      .max_instances = from->max_instances,
                                      .default_memory_mb = from->default_memory / MB,
                                      .default_disk_mb = from->default_disk / MB};
    const struct api_deps deps = {.loop = c->loop,
                                  .store = c->store,
                                  .lrp = brain_lrp(c->brain),
                                  .logs = c->logs,
                                  .nodes = c->nodes,
                                  .staging = c->staging,
                                  .workers = c->workers,
                                  .config = &config,
                                  .on_failure = on_api_failure,
                                  .on_deployment = on_deployment,
                                  .data = c};
    int r = api_new(&c->api, &deps, err);
    if (r == 0)
        brain_set_api(c->brain, c->api);
    return r;
}

static int build_daemon(struct controller *c, struct error *err) {
    const struct daemon_ops ops = {.on_stop = on_stop,
                                   .on_reload = on_reload,
                                   .health = on_health,
                                   .metrics = on_metrics,
                                   .data = c};
    int r = daemon_new(&c->daemon, c->loop, c->config.admin, &ops, err);
    if (r < 0)
        return r;
    daemon_add_page(c->daemon, "/cells", on_cells_page, c);
    daemon_add_page(c->daemon, "/nodes", on_nodes_page, c);
    return 0;
}

int controller_build(struct controller *c, struct error *err) {
    int r;
    if ((r = build_loop(c, err)) < 0)
        return r;
    if ((r = build_store(c, err)) < 0)
        return error_wrap(err, "store");
    if ((r = workers_new(&c->workers, c->loop, WORKER_THREADS, err)) < 0 ||
        (r = http_client_new(&c->http, c->loop, err)) < 0 ||
        (r = logs_new(&c->logs, c->config.log_bytes_per_app, c->config.log_bytes, err)) < 0 ||
        (r = build_brain(c, err)) < 0)
        return r;
    if ((r = build_staging(c, err)) < 0)
        return error_wrap(err, "apps");
    if ((r = build_rollouts(c, err)) < 0 || (r = build_nodes(c, err)) < 0 ||
        (r = build_api(c, err)) < 0)
        return r;
    return build_daemon(c, err);
}

int controller_listen(struct controller *c, struct error *err) {
    return api_listen(c->api, c->config.api_listen, err);
}

void controller_fini(struct controller *c) {
    daemon_free(c->daemon);
    if (c->brain) {
        brain_flush(c->brain); /* while there is an API to write events */
        brain_set_nodes(c->brain, NULL);
        brain_set_api(c->brain, NULL);
        brain_set_rollouts(c->brain, NULL);
    }
    api_free(c->api);
    nodes_free(c->nodes);
    rollouts_free(c->rollouts);
    staging_free(c->staging);
    brain_free(c->brain);
    logs_free(c->logs);
    http_client_free(c->http);
    workers_free(c->workers);
    store_free(c->store);
    if (c->drain_timer)
        event_free(c->drain_timer);
    if (c->loop)
        event_base_free(c->loop);
    controller_config_fini(&c->config);
}
