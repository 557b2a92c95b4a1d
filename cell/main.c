/* main.c - berth-cell: table of contents. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cell/agent.h"
#include "cell/settings.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

struct cell {
    int argc;
    char **argv;
    struct settings settings;
    struct event_base *loop;
    struct agent *agent;
    struct daemon *daemon;
};

static void cell_fini(struct cell *c) {
    daemon_free(c->daemon);
    agent_free(c->agent);
    if (c->loop)
        event_base_free(c->loop);
    settings_fini(&c->settings);
}

static int fail(const char *what, const struct error *err) {
    log_error(what, "why=%s", log_quote(err->msg));
    return 1;
}

static void on_stop(void *data) {
    struct cell *c = data;
    if (c->settings.drain)
        agent_evacuate(c->agent);
    else
        agent_stop(c->agent); /* containers run on */
}

static bool on_hurry(void *data) {
    struct cell *c = data;
    return agent_hurry(c->agent);
}

static void on_evacuate(void *data) {
    struct cell *c = data;
    agent_evacuate(c->agent);
}

/* Reads the configuration again for the log's level and format; all else needs a restart. */
static void on_reload(void *data) {
    struct cell *c = data;
    _cleanup_(settings_fini) struct settings fresh = {0};
    struct error err = {0};
    if (settings_load(&fresh, c->argc, c->argv, &err) < 0 ||
        log_setup(fresh.log_level, fresh.log_format, &err) < 0)
        log_error("configuration not reloaded", "why=%s", log_quote(err.msg));
    else
        log_info("configuration reloaded", "log_level=%s", fresh.log_level);
}

static const char *health(void *data) {
    struct cell *c = data;
    return agent_health(c->agent);
}

static void metrics(struct strbuf *out, void *data) {
    struct cell *c = data;
    agent_metrics(c->agent, out);
}

static void on_instances_page(struct evhttp_request *req, void *data) {
    struct cell *c = data;
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    struct evbuffer *body = evbuffer_new();
    agent_instances_page(c->agent, &text);
    if (body && text.n)
        evbuffer_add(body, text.p, text.n);
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
                      "text/plain; charset=utf-8");
    evhttp_send_reply(req, HTTP_OK, "OK", body);
    if (body)
        evbuffer_free(body);
}

enum job { JOB_RUN, JOB_STOP_CONTAINERS, JOB_PURGE };

/* "--stop-containers" and "--purge" are no keys: takes them out of argv. */
static enum job take_job(int *argc, char **argv) {
    enum job job = JOB_RUN;
    int n = 0;
    for (int i = 0; i < *argc; i++) {
        if (str_eq(argv[i], "--purge"))
            job = JOB_PURGE;
        else if (str_eq(argv[i], "--stop-containers"))
            job = JOB_STOP_CONTAINERS;
        else
            argv[n++] = argv[i];
    }
    argv[n] = NULL;
    *argc = n;
    return job;
}

int main(int argc, char **argv) {
    _cleanup_(cell_fini) struct cell cell = {.argv = argv};
    const struct daemon_ops ops = {
        .on_stop = on_stop,
        .on_reload = on_reload,
        .on_hurry = on_hurry,
        .on_evacuate = on_evacuate,
        .health = health,
        .metrics = metrics,
        .data = &cell,
    };
    struct error err = {0};
    umask(
        0022); /* containers' users pass through our directories, whatever whoever starts us has */
    enum job job = take_job(&argc, argv);
    cell.argc = argc;

    int outcome = settings_load(&cell.settings, argc, argv, &err);
    if (outcome < 0)
        return fail("configuration", &err);
    if (outcome == CONFIG_DONE)
        return 0;
    if (log_setup(cell.settings.log_level, cell.settings.log_format, &err) < 0)
        return fail("configuration", &err);
    if (outcome == CONFIG_CHECK)
        return puts("the configuration is fine"), 0;
    if (!(cell.loop = event_base_new()))
        return fail("start", &(struct error){.msg = "no event loop"});
    daemon_set_limits();
    if (job != JOB_RUN)
        return agent_purge(cell.loop, &cell.settings, job == JOB_PURGE, &err) < 0
                   ? fail("removing containers", &err)
                   : 0;
    if (agent_new(&cell.agent, cell.loop, &cell.settings, &err) < 0)
        return fail("start", &err);
    if (daemon_new(&cell.daemon, cell.loop, cell.settings.admin, &ops, &err) < 0)
        return fail("start", &err);
    daemon_add_page(cell.daemon, "/instances", on_instances_page, &cell);
    daemon_ready(cell.daemon, "berth-cell");
    event_base_dispatch(cell.loop);
    return 0;
}
