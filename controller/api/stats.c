/* stats.c - what runs of a process, as the brain knows it. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/lrp/lrp.h"

#define FDS_QUOTA 16384 /* cc: instance_file_descriptor_limit */
/* `push` and `start` ask for the first time right after the start and then every 3 s: an answer
 * that waits a little saves most of those 3 s. Only apps started just now are worth the wait. */
#define HOLD_MS       2000
#define HOLD_FRESH_NS (UINT64_C(20) * 1000000000)
#define MB            1048576

struct stats {
    const struct process_row *process;
    bool started;
    uint64_t now_ms;
    uint64_t wanted;             /* of this version; in a deployment not all yet, or any more */
    json_t **slots;              /* one a desired index; owned until given away */
    bool desired;                /* the brain runs it: not so while a feature flag forbids it */
    bool any_running, any_other; /* other: neither running nor on its way */
};

static const char *state_of(const struct lrp_actual *a) {
    switch (a->state) {
    case LRP_UNCLAIMED:
        return str_empty(a->reason) ? "STARTING" : "DOWN"; /* a reason: it could not be placed */
    case LRP_CLAIMED:
        return "STARTING";
    case LRP_RUNNING:
        return "RUNNING";
    case LRP_CRASHED:
        return "CRASHED";
    case LRP_STOPPING:
        return "STOPPING";
    }
    return "DOWN";
}

static void format_now(char buf[40]) {
    uint64_t now = clock_wall_ns();
    char seconds[21];
    clock_format(now, seconds);
    snprintf(buf, 40, "%.19s.%09lluZ", seconds, (unsigned long long)(now % 1000000000u));
}

static json_t *ports_json(const struct lrp_actual *a) {
    json_t *ports = json_array();
    for (size_t i = 0; i < a->port_count; i++)
        json_array_append_new(
            ports, json_pack("{s:I,s:I,s:n,s:n}", "external", (json_int_t)a->ports[i].host_port,
                             "internal", (json_int_t)a->ports[i].container_port,
                             "external_tls_proxy_port", "internal_tls_proxy_port"));
    return ports;
}

static json_t *usage_json(const struct lrp_actual *a) {
    char now[40];
    format_now(now);
    /* Entitlement by memory, as Diego's cpu weight: a full core from 8 GiB on. */
    double share = a->memory_mb ? MIN(MAX(a->memory_mb, 128u), 8192u) / 8192.0 : 1;
    return json_pack("{s:s,s:f,s:f,s:I,s:I,s:I}", "time", now, "cpu", a->cpu, "cpu_entitlement",
                     a->cpu / share, "mem", (json_int_t)a->memory_bytes, "disk",
                     (json_int_t)a->disk_bytes, "log_rate", (json_int_t)a->log_rate_bytes_s);
}

/* An index that nobody runs. */
static json_t *down_json(const struct process_row *p, uint64_t index) {
    return json_pack("{s:s,s:I,s:s,s:b,s:i,s:n,s:n,s:n,s:I,s:{},s:[],s:n,s:n}", "type", p->type,
                     "index", (json_int_t)index, "state", "DOWN", "routable", 0, "uptime", 0,
                     "mem_quota", "disk_quota", "fds_quota", "log_rate_limit",
                     (json_int_t)p->log_rate, "usage", "instance_ports", "isolation_segment",
                     "details");
}

static json_t *actual_json(const struct stats *s, const struct lrp_actual *a) {
    bool running = a->state == LRP_RUNNING;
    /* cc: of whatever state it is in, so that of a crashed one tells when it crashed */
    uint64_t uptime = s->now_ms > a->since_ms ? (s->now_ms - a->since_ms) / 1000 : 0;
    /* The CLI shows details as an error: progress is none. */
    const char *details =
        a->state == LRP_CLAIMED || running || str_empty(a->reason) ? NULL : a->reason;
    return json_pack(
        "{s:s,s:I,s:s,s:b,s:o,s:s,s:s,s:o,s:I,s:I,s:I,s:i,s:I,s:n,s:o,s:s,s:s,s:I}", "type",
        s->process->type, "index", (json_int_t)a->index, "state", state_of(a), "routable", running,
        "usage", running ? usage_json(a) : json_object(), "host", a->address ? a->address : "",
        "instance_internal_ip", a->address ? a->address : "", "instance_ports", ports_json(a),
        "uptime", (json_int_t)uptime, "mem_quota", (json_int_t)a->memory_mb * MB, "disk_quota",
        (json_int_t)a->disk_mb * MB, "fds_quota", FDS_QUOTA, "log_rate_limit",
        (json_int_t)s->process->log_rate, "isolation_segment", "details",
        json_text_or_null(details), "instance_guid", a->instance_guid ? a->instance_guid : "",
        "cell", a->cell_name ? a->cell_name : "", "crash_count", (json_int_t)a->crash_count);
}

static void on_actual(void *arg, const struct lrp_actual *a) {
    struct stats *s = arg;
    s->desired = true;
    if (a->index >= s->wanted || !s->slots)
        return;
    s->any_running |= a->state == LRP_RUNNING;
    s->any_other |= a->state == LRP_CRASHED || (a->state == LRP_UNCLAIMED && !str_empty(a->reason));
    json_decref(s->slots[a->index]);
    s->slots[a->index] = actual_json(s, a);
}

static void drop_slots(struct stats *s) {
    for (uint64_t i = 0; i < s->wanted; i++)
        json_decref(s->slots[i]);
    free(s->slots);
}

int process_stats(struct call *c, const struct app_row *app, const struct process_row *p,
                  json_t **ret) {
    struct stats s = {.process = p,
                      .started = app->started,
                      .now_ms = clock_mono_ms(),
                      .wanted = process_wanted(p)};
    char group[2 * GUID_SIZE];
    process_lrp_guid(p, group);
    if (s.wanted && !(s.slots = mem_calloc(s.wanted, sizeof *s.slots)))
        return fail_no_memory(c);
    if (app->started)
        lrp_instances(c->api->deps.lrp, group, on_actual, &s);
    bool fresh = clock_wall_ns() < app->updated_ns + HOLD_FRESH_NS;
    if (s.desired && s.wanted && fresh && !s.any_running && !s.any_other && call_hold(c, HOLD_MS)) {
        drop_slots(&s);
        return 1;
    }
    *ret = json_array();
    for (uint64_t i = 0; i < s.wanted; i++)
        json_array_append_new(*ret, s.slots[i] ? s.slots[i] : down_json(p, i));
    free(s.slots);
    return 0;
}

/* The short form: an object an index, without usage. */
struct brief {
    const char *state;
    uint64_t since_ms;
};
struct briefs {
    struct brief *v; /* owned; one a desired index */
    uint64_t n;
};

static void on_brief(void *arg, const struct lrp_actual *a) {
    struct briefs *b = arg;
    if (a->index < b->n)
        b->v[a->index] = (struct brief){state_of(a), a->since_ms};
}

void put_process_instances(struct call *c, struct strbuf *out, const struct process_row *p) {
    struct briefs b = {.n = process_wanted(p)};
    uint64_t now_ms = clock_mono_ms();
    char group[2 * GUID_SIZE];
    process_lrp_guid(p, group);
    if (b.n && !(b.v = mem_calloc(b.n, sizeof *b.v))) {
        out->failed = true;
        return;
    }
    lrp_instances(c->api->deps.lrp, group, on_brief, &b);
    strbuf_putc(out, '[');
    for (uint64_t i = 0; i < b.n; i++) {
        const struct brief *one = &b.v[i];
        uint64_t since = one->state && now_ms > one->since_ms ? (now_ms - one->since_ms) / 1000 : 0;
        strbuf_printf(out, "%s{\"index\":%" PRIu64 ",\"state\":\"%s\",\"since\":%" PRIu64 "}",
                      i ? "," : "", i, one->state ? one->state : "DOWN", since);
    }
    strbuf_putc(out, ']');
    free(b.v);
}

int list_process_instances(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    _cleanup_(strbuf_fini) struct strbuf list = {0};
    if (load_process(c, c->params[0], NEED_READ, &p) < 0)
        return -1;
    put_process_instances(c, &list, &p);
    return reply_json(c, 200,
                      json_pack("{s:o,s:{s:o,s:o}}", "resources", json_of_text(&list), "links",
                                "self", json_link(c, "/v3/processes/%s/process_instances", p.guid),
                                "process", json_link(c, "/v3/processes/%s", p.guid)));
}

static int reply_stats(struct call *c, const struct process_row *p) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    json_t *list = NULL;
    if (load_app(c, p->app_guid, NEED_READ, &app) < 0)
        return -1;
    int r = process_stats(c, &app, p, &list);
    if (r)
        return MIN(r, 0); /* failed, or held */
    return reply_json(c, 200, json_pack("{s:o}", "resources", list));
}

int get_process_stats(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_process(c, c->params[0], NEED_READ, &p) < 0 ? -1 : reply_stats(c, &p);
}

int get_app_process_stats(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_app_process(c, c->params[0], c->params[1], NEED_READ, &p) < 0 ? -1
                                                                              : reply_stats(c, &p);
}
