/* placement.c - /berth/v1/apps/:guid/placement: where each instance of an app is, or why it is not,
 * in words that a user can act on. */
#include <inttypes.h>

#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/lrp/lrp.h"
#include "controller/store/deployments.h"
#include "controller/store/flags.h"
#include "controller/store/routes.h"

static uint64_t seconds(uint64_t from_ms, uint64_t to_ms) {
    return to_ms > from_ms ? (to_ms - from_ms) / 1000 : 0;
}

/* --- one instance --- */

static void put_cell(struct strbuf *out, const struct lrp_actual *a) {
    strbuf_printf(out, "cell %s", *a->cell_name ? a->cell_name : a->cell_id);
    if (!str_empty(a->cell_zone))
        strbuf_printf(out, " (%s)", a->cell_zone);
}

static void put_running(struct strbuf *out, const struct lrp_actual *a, uint64_t now_ms) {
    strbuf_printf(out, a->old && !a->suspect ? "still serves on " : "runs on ");
    put_cell(out, a);
    if (a->suspect)
        strbuf_printf(out,
                      ", which has been silent for %" PRIu64
                      " s; it keeps its routes until another one runs in its place",
                      seconds(a->cell_heard_ms, now_ms));
    else if (a->spreading)
        strbuf_puts(out, ", until the one in its place runs where fewer of the app do");
    else if (a->old)
        strbuf_puts(out, ", which is being evacuated, until the one in its place runs");
    else if (a->place_failed)
        strbuf_printf(out, ", which is being evacuated; %s", a->reason);
}

static void put_next_try(struct strbuf *out, const struct lrp_actual *a, uint64_t now_ms) {
    if (a->restart_at_ms > now_ms)
        strbuf_printf(out, " in %" PRIu64 " s", seconds(now_ms, a->restart_at_ms + 999));
    else
        strbuf_puts(out, " now");
}

static void put_crashed(struct strbuf *out, const struct lrp_actual *a, uint64_t now_ms) {
    strbuf_printf(out, "crashed %u time%s, the last one %" PRIu64 " s ago: %s; ", a->crash_count,
                  a->crash_count == 1 ? "" : "s", seconds(a->since_ms, now_ms),
                  str_empty(a->reason) ? "reason unknown" : a->reason);
    if (a->restart_at_ms == 0) {
        strbuf_puts(out, "it is not restarted any more: restart the app when it is mended");
        return;
    }
    strbuf_puts(out, "it is restarted");
    put_next_try(out, a, now_ms);
}

static void put_unclaimed(struct strbuf *out, const struct lrp_actual *a, bool settled,
                          uint64_t now_ms) {
    if (a->place_failed) {
        strbuf_printf(out, "waits for a cell: %s; it is tried again when room appears, else",
                      a->reason);
        put_next_try(out, a, now_ms);
    } else if (!str_empty(a->reason)) {
        strbuf_printf(out, "could not be started: %s; it is tried again", a->reason);
        put_next_try(out, a, now_ms);
    } else if (!settled) {
        strbuf_puts(out, "not known yet: the controller has just started and waits for its cells "
                         "to report");
    } else {
        strbuf_puts(out, "is about to be given to a cell");
    }
}

char *placement_text(const struct lrp_actual *a, bool settled, uint64_t now_ms) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    switch (a->state) {
    case LRP_RUNNING:
        put_running(&out, a, now_ms);
        break;
    case LRP_CLAIMED:
        strbuf_puts(&out, "starts on ");
        put_cell(&out, a);
        strbuf_printf(&out, ", for %" PRIu64 " s%s%s%s", seconds(a->since_ms, now_ms),
                      a->spreading ? ", to spread the app's instances" : "",
                      str_empty(a->detail) ? "" : ": ", a->detail ? a->detail : "");
        break;
    case LRP_STOPPING:
        strbuf_puts(&out,
                    a->leaving ? "was replaced or is wanted no more, stops on " : "stops on ");
        put_cell(&out, a);
        break;
    case LRP_CRASHED:
        put_crashed(&out, a, now_ms);
        break;
    case LRP_UNCLAIMED:
        put_unclaimed(&out, a, settled, now_ms);
        break;
    }
    return out.failed ? NULL : str_dup(out.p ? out.p : "");
}

/* --- the app --- */

struct view {
    struct call *call;
    json_t *list;
    uint64_t now_ms, now_ns;
    unsigned running;
    bool settled;
};

static json_t *later(const struct view *v, uint64_t at_ms) {
    return at_ms > v->now_ms ? json_time(v->now_ns + (at_ms - v->now_ms) * 1000000) : json_null();
}

static json_t *text_or_null(const char *text) {
    return json_text_or_null(str_empty(text) ? NULL : text);
}

static void on_instance(void *arg, const struct lrp_actual *a) {
    struct view *v = arg;
    _cleanup_(freep) char *text = placement_text(a, v->settled, v->now_ms);
    uint64_t age_ms = v->now_ms > a->since_ms ? v->now_ms - a->since_ms : 0;
    v->running += a->state == LRP_RUNNING && !a->old;
    json_array_append_new(
        v->list,
        json_pack("{s:I,s:s,s:o,s:o,s:o,s:o,s:b,s:I,s:o,s:s}", "index", (json_int_t)a->index,
                  "state", lrp_state_name(a->state), "since",
                  json_time(v->now_ns - age_ms * 1000000), "cell",
                  text_or_null(*a->cell_name ? a->cell_name : a->cell_id), "zone",
                  text_or_null(a->cell_zone), "instance_guid", text_or_null(a->instance_guid),
                  "replaced", a->old || a->leaving, "crash_count", (json_int_t)a->crash_count,
                  "retry_at", later(v, a->restart_at_ms), "text", text ? text : ""));
}

/* Why nothing of a process is wanted; "" when something is. */
static const char *why_none(struct call *c, const struct app_row *app,
                            const struct process_row *p) {
    if (!app->started)
        return "the app is stopped: start it";
    if (!store_flag_enabled(c->api->deps.store, "diego_docker"))
        return "Docker apps are switched off here: an admin can enable the feature flag "
               "diego_docker";
    if (p->instances == 0)
        return "the process is scaled to no instance";
    if (!*app->droplet_guid)
        return "the app has no droplet: it was never staged, or staging failed (see its logs)";
    return "";
}

/* That it runs is not all that its owner may want to know. */
static bool has_no_route(struct call *c, const struct process_row *p) {
    const char *const guids[] = {p->app_guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    return str_eq(p->type, "web") &&
           store_destination_list(c->api->deps.store, &query, &rows, NULL) == 0 && rows.n == 0;
}

static json_t *process_json(struct call *c, const struct app_row *app, const struct process_row *p,
                            const char *group, uint64_t wanted, bool old_version) {
    struct view v = {.call = c,
                     .list = json_array(),
                     .now_ms = clock_mono_ms(),
                     .now_ns = clock_wall_ns(),
                     .settled = lrp_is_settled(c->api->deps.lrp)};
    lrp_instances_all(c->api->deps.lrp, group, on_instance, &v);
    const char *text =
        old_version ? "an older version, which a deployment replaces" : why_none(c, app, p);
    if (!*text && wanted > 0 && json_array_size(v.list) == 0)
        text = "it is not desired yet: the log of the controller says why";
    else if (!*text && has_no_route(c, p))
        text = "no route leads to it";
    int copies = lrp_image_copies(c->api->deps.lrp, group);
    return json_pack("{s:s,s:s,s:I,s:I,s:s,s:o,s:o}", "type", p->type, "guid", p->guid, "desired",
                     (json_int_t)wanted, "running", (json_int_t)v.running, "text", text,
                     "image_copies", copies < 0 ? json_null() : json_integer(copies), "instances",
                     v.list);
}

static int add_old_versions(struct call *c, const struct app_row *app,
                            const struct process_rows *processes, json_t *list) {
    const char *const guids[] = {app->guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(old_version_rows_fini) struct old_version_rows rows = {0};
    struct error err = {0};
    if (store_old_version_list(c->api->deps.store, &query, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++)
        for (size_t k = 0; k < processes->n; k++) {
            char group[2 * GUID_SIZE];
            if (!str_eq(processes->v[k].guid, rows.v[i].process_guid) || rows.v[i].instances == 0)
                continue;
            snprintf(group, sizeof group, "%s-%s", rows.v[i].process_guid, rows.v[i].version);
            json_array_append_new(
                list, process_json(c, app, &processes->v[k], group, rows.v[i].instances, true));
        }
    return 0;
}

int get_app_placement(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(process_rows_fini) struct process_rows processes = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0 ||
        app_processes(c, app.guid, &processes) < 0)
        return -1;
    json_t *list = json_array();
    for (size_t i = 0; i < processes.n; i++) {
        const struct process_row *p = &processes.v[i];
        char group[2 * GUID_SIZE];
        process_lrp_guid(p, group);
        json_array_append_new(
            list, process_json(c, &app, p, group, app.started ? process_wanted(p) : 0, false));
    }
    if (add_old_versions(c, &app, &processes, list) < 0) {
        json_decref(list);
        return -1;
    }
    return reply_json(c, 200,
                      json_pack("{s:{s:s,s:s},s:b,s:o}", "app", "guid", app.guid, "name", app.name,
                                "settled", lrp_is_settled(c->api->deps.lrp), "processes", list));
}
