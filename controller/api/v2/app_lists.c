/* app_lists.c - reading apps: lists, one app, summaries, what runs of one, its environment. */
#include <stdio.h>

#include "common/base/clock.h"
#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"
#include "controller/lrp/lrp.h"

#define SUMMARY_CHUNK 100 /* apps of a space's summary that are looked up at a time */

/* --- lists
 * -----------------------------------------------------------------------------------------
 */

static int reply_apps(struct call *c, struct listing *l) {
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    struct error err = {0};
    if (store_app_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (app_views_load(c, rows.v, rows.n, &views) < 0)
        return -1;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        if (json_array_append_new(list, v2_app_json(c, &views, i, v2_deep(c))))
            return json_decref(list), fail_no_memory(c);
    return v2_list_reply(c, l, rows.total, list);
}

static const struct v2_filter app_filters[] = {{"name", "names"},
                                               {"space_guid", "space_guids"},
                                               {"organization_guid", "organization_guids"},
                                               {NULL, NULL}};

int list_v2_apps(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    return v2_list_parse(c, &l, app_filters) < 0 ? -1 : reply_apps(c, &l);
}

int list_v2_space_apps(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    const char *guid = c->params[0];
    if (v2_load_space(c, guid, NEED_READ, &space) < 0 || v2_list_parse(c, &l, app_filters) < 0)
        return -1;
    listing_add(&l, "space_guids", &guid);
    return reply_apps(c, &l);
}

int get_v2_app(struct call *c) {
    return v2_reply_app(c, 200, c->params[0]);
}

json_t *v2_apps_of_space(struct call *c, const char *space_guid) {
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    struct store_filter filter = {"space_guids", &space_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .limit = V2_INLINE_MAX};
    if (store_app_list(c->api->deps.store, &q, &rows, NULL) < 0 ||
        app_views_load(c, rows.v, rows.n, &views) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        json_array_append_new(list, v2_app_json(c, &views, i, false));
    return list;
}

/* --- summaries
 * -------------------------------------------------------------------------------------
 */

static void count_running(void *arg, const struct lrp_actual *a) {
    *(uint64_t *)arg += a->state == LRP_RUNNING;
}

static json_t *summary_json(struct call *c, const struct app_views *views, size_t i) {
    const struct app_view *v = &views->v[i];
    json_t *summary = v2_app_entity(c, v);
    uint64_t running = 0;
    if (v->app->started && v->web) {
        char group[2 * GUID_SIZE];
        process_lrp_guid(v->web, group);
        lrp_instances(c->api->deps.lrp, group, count_running, &running);
    }
    json_t *names = v2_service_names(c, v->app->guid);
    json_t *more = json_pack(
        "{s:s,s:o,s:o,s:I,s:I,s:o,s:[]}", "guid", v->app->guid, "urls", v2_app_urls(views, i),
        "routes", v2_app_routes(views, i), "running_instances", (json_int_t)running,
        "service_count", (json_int_t)json_array_size(names), "service_names", names, "services");
    if (!summary || !more || json_object_update(summary, more) < 0) {
        json_decref(summary);
        summary = NULL;
    }
    json_decref(more);
    return summary;
}

int get_v2_app_summary(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    if (v2_load_app(c, c->params[0], NEED_READ, &app) < 0 || app_views_load(c, &app, 1, &views) < 0)
        return -1;
    json_t *summary = summary_json(c, &views, 0), *list = v2_domains_of(c, app.org_guid), *one;
    json_t *domains = json_array();
    size_t i;
    json_array_foreach(list, i, one)
        json_array_append_new(domains, json_pack("{s:O,s:O}", "guid", body_at(one, "metadata.guid"),
                                                 "name", body_at(one, "entity.name")));
    json_decref(list);
    if (!summary || json_object_set_new(summary, "available_domains", domains))
        return json_decref(summary), fail_no_memory(c);
    return reply_json(c, 200, summary);
}

static int add_chunk(struct call *c, const struct app_row *apps, size_t n, json_t *list) {
    _cleanup_(app_views_fini) struct app_views views = {0};
    if (app_views_load(c, apps, n, &views) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, summary_json(c, &views, i)))
            return fail_no_memory(c);
    return 0;
}

int get_v2_space_summary(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    const char *guid = c->params[0];
    struct store_filter filter = {"space_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    if (v2_load_space(c, guid, NEED_READ, &space) < 0)
        return -1;
    if (store_app_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i += SUMMARY_CHUNK)
        if (add_chunk(c, rows.v + i, MIN(rows.n - i, (size_t)SUMMARY_CHUNK), list) < 0)
            return json_decref(list), -1;
    return reply_json(c, 200,
                      json_pack("{s:s,s:s,s:o,s:o}", "guid", space.guid, "name", space.name, "apps",
                                list, "services", v2_services_of_space(c, space.guid)));
}

/* --- what runs
 * -------------------------------------------------------------------------------------
 */

/* Staged and started, or why not, in the words that 6.x waits by. */
static int need_running(struct call *c, const struct app_view *v, bool stats) {
    const char *error = v->build && v->build->error ? v->build->error : "staging failed";
    if (v->wanted && v->state == PACKAGE_FAILED)
        return fail(c, CC_STAGING_ERROR, "%s", error);
    if (v->wanted && v->state == PACKAGE_PENDING && !stats)
        return fail_plain(c, CC_NOT_STAGED);
    if (v->app->started && v->web)
        return 0;
    if (stats)
        return fail(c, CC_APP_STOPPED_STATS, "%s: %s", cc_error_info(CC_APP_STOPPED_STATS)->detail,
                    v->app->name);
    return fail(c, CC_INSTANCES_ERROR,
                "Instances error: Request failed for app: %s as the app is in stopped state.",
                v->app->name);
}

static const char *state_text(const json_t *instance) {
    const char *state = body_text(instance, "state");
    return str_eq(state, "STOPPING") ? "DOWN" : state;
}

static json_t *instance_json(const json_t *i, uint64_t now_s) {
    int64_t uptime = 0;
    body_int(i, "uptime", &uptime);
    return json_pack("{s:s,s:I,s:I,s:O}", "state", state_text(i), "since",
                     (json_int_t)now_s - uptime, "uptime", (json_int_t)uptime, "details",
                     json_object_get(i, "details"));
}

static json_t *usage_json(const json_t *i) {
    json_t *usage = json_object_get(i, "usage"), *cpu = json_object_get(usage, "cpu");
    char now[21];
    int64_t mem = 0, disk = 0;
    body_int(usage, "mem", &mem);
    body_int(usage, "disk", &disk);
    clock_format(clock_wall_ns(), now);
    const char *time = body_text(usage, "time");
    return json_pack("{s:s,s:f,s:I,s:I}", "time", time ? time : now, "cpu",
                     json_is_number(cpu) ? json_number_value(cpu) : 0.0, "mem", (json_int_t)mem,
                     "disk", (json_int_t)disk);
}

static json_t *stat_json(const struct app_view *v, const json_t *i, json_t *urls) {
    int64_t uptime = 0, port = 0;
    const char *host = body_text(i, "host");
    body_int(i, "uptime", &uptime);
    body_int(json_array_get(json_object_get(i, "instance_ports"), 0), "external", &port);
    return json_pack("{s:s,s:n,s:{s:s,s:O,s:s,s:I,s:I,s:I,s:I,s:i,s:o}}", "state", state_text(i),
                     "isolation_segment", "stats", "name", v->app->name, "uris", urls, "host",
                     host ? host : "", "port", (json_int_t)port, "uptime", (json_int_t)uptime,
                     "mem_quota", (json_int_t)v->web->memory_mb * 1048576, "disk_quota",
                     (json_int_t)v->web->disk_mb * 1048576, "fds_quota", 16384, "usage",
                     usage_json(i));
}

/* Both answers have every index from 0: 6.13 looks one's up in the other. */
static int reply_running(struct call *c, bool stats) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    json_t *list = NULL, *one;
    if (v2_load_app(c, c->params[0], NEED_READ, &app) < 0 ||
        app_views_load(c, &app, 1, &views) < 0 || need_running(c, &views.v[0], stats) < 0)
        return -1;
    int r = process_stats(c, &app, views.v[0].web, &list);
    if (r)
        return MIN(r, 0); /* failed, or held */
    json_t *answer = json_object(), *urls = v2_app_urls(&views, 0);
    uint64_t now_s = clock_wall_ns() / 1000000000u;
    size_t i;
    json_array_foreach(list, i, one) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        json_object_set_new(answer, index,
                            stats ? stat_json(&views.v[0], one, urls) : instance_json(one, now_s));
    }
    json_decref(urls);
    json_decref(list);
    return reply_json(c, 200, answer);
}

int get_v2_app_instances(struct call *c) {
    return reply_running(c, false);
}

int get_v2_app_stats(struct call *c) {
    return reply_running(c, true);
}

int get_v2_app_env(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (v2_load_app(c, c->params[0], NEED_WRITE, &app) < 0)
        return -1;
    return reply_json(c, 200, app_env_json(c, &app, "environment_json"));
}
