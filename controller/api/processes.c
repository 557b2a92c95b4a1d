/* processes.c - an app's processes: how many, how large, how checked. */
#include <errno.h>

#include "common/base/clock.h"
#include "controller/api/deploy.h"
#include "controller/lrp/lrp.h"

#define COMMAND_MAX        4096 /* cc: process_update_message.rb */
#define HEALTH_TIMEOUT_MAX 180  /* cc: maximum_health_check_timeout */
#define CHECK_SECONDS_MAX  3600
#define ENDPOINT_MAX       1024

/* --- showing
 * --------------------------------------------------------------------------------------
 */

static json_t *seconds(uint64_t s) {
    return s ? json_integer((json_int_t)s) : json_null();
}

static json_t *check_json(const char *type, const char *endpoint, uint64_t invocation,
                          uint64_t interval) {
    json_t *data = json_pack("{s:o,s:o}", "invocation_timeout", seconds(invocation), "interval",
                             seconds(interval));
    if (data && str_eq(type, "http") &&
        json_object_set_new(data, "endpoint", json_string(endpoint ? endpoint : "/")))
        return json_decref(data), NULL;
    return json_pack("{s:s,s:o}", "type", type, "data", data);
}

static json_t *process_links(struct call *c, const struct process_row *p) {
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "self", json_link(c, "/v3/processes/%s", p->guid),
                     "scale", json_link_post(c, "/v3/processes/%s/actions/scale", p->guid), "app",
                     json_link(c, "/v3/apps/%s", p->app_guid), "space",
                     json_link(c, "/v3/spaces/%s", p->space_guid), "stats",
                     json_link(c, "/v3/processes/%s/stats", p->guid), "process_instances",
                     json_link(c, "/v3/processes/%s/process_instances", p->guid));
}

static json_t *process_json(struct call *c, const struct process_row *p, bool in_list) {
    const char *command = p->command && in_list ? "[PRIVATE DATA HIDDEN IN LISTS]" : p->command;
    json_t *health = check_json(p->health_type, p->health_endpoint, p->health_invocation_s,
                                p->health_interval_s);
    if (health && json_object_set_new(json_object_get(health, "data"), "timeout",
                                      seconds(p->health_timeout_s)))
        return json_decref(health), NULL;
    json_t *ready =
        check_json(p->ready_type, p->ready_endpoint, p->ready_invocation_s, p->ready_interval_s);
    return json_pack("{s:s,s:o,s:o,s:s,s:s,s:o,s:n,s:I,s:I,s:I,s:I,s:o,s:o,s:{s:o,s:o},s:o,s:o}",
                     "guid", p->guid, "created_at", json_time(p->created_ns), "updated_at",
                     json_time(p->updated_ns), "type", p->type, "version", p->version, "command",
                     json_text_or_null(command), "user", "instances", (json_int_t)p->instances,
                     "memory_in_mb", (json_int_t)p->memory_mb, "disk_in_mb", (json_int_t)p->disk_mb,
                     "log_rate_limit_in_bytes_per_second", (json_int_t)p->log_rate, "health_check",
                     health, "readiness_health_check", ready, "relationships", "app",
                     json_relation(p->app_guid), "revision",
                     *p->revision_guid ? json_relation(p->revision_guid) : json_null(), "metadata",
                     json_metadata(p->labels, p->annotations), "links", process_links(c, p));
}

/* While an app is deployed, what goes is shown beside what comes: a web process more. */
static int append_old(struct call *c, const char *app_guid, json_t *list) {
    _cleanup_(old_version_rows_fini) struct old_version_rows olds = {0};
    if (app_old_versions(c, app_guid, &olds) < 0)
        return -1;
    for (size_t i = 0; i < olds.n; i++) {
        _cleanup_(process_row_fini) struct process_row p = {0};
        if (olds.v[i].instances == 0)
            continue;
        if (old_version_process(c, &olds.v[i], &p) < 0)
            return -1;
        if (json_array_append_new(list, process_json(c, &p, true)))
            return fail_no_memory(c);
    }
    return 0;
}

static const char *const process_also[] = {"embed=process_instances", NULL};

/* `deployed`: NULL, or the app whose versions that go are shown too. */
static int reply_processes(struct call *c, struct listing *l, const char *deployed) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    struct error err = {0};
    bool embed = query_lists(c, "embed", "process_instances");
    if (store_process_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        json_t *one = process_json(c, &rows.v[i], true);
        if (!one ||
            (embed &&
             json_object_set_new(one, "process_instances", process_instances(c, &rows.v[i]))) ||
            json_array_append(list, one)) {
            json_decref(one);
            return json_decref(list), fail_no_memory(c);
        }
        json_decref(one);
    }
    uint64_t more = json_array_size(list);
    if (deployed && append_old(c, deployed, list) < 0)
        return json_decref(list), -1;
    more = json_array_size(list) - more;
    return reply_list(c, l, rows.total + more, list, NULL);
}

int list_processes(struct call *c) {
    static const char *const filters[] = {
        "guids", "app_guids", "types", "space_guids", "organization_guids", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    if (listing_parse(c, &l, filters, process_also) < 0)
        return -1;
    return reply_processes(c, &l, NULL);
}

int list_app_processes(struct call *c) {
    static const char *const filters[] = {"guids", "types", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    const char *guid = c->params[0];
    if (load_app(c, guid, NEED_READ, &app) < 0 || listing_parse(c, &l, filters, process_also) < 0)
        return -1;
    bool all = l.query.filter_count == 0 && l.page == 1;
    listing_add(&l, "app_guids", &guid);
    return reply_processes(c, &l, all ? guid : NULL);
}

int get_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    if (load_process(c, c->params[0], NEED_READ, &p) < 0)
        return -1;
    return reply_json(c, 200, process_json(c, &p, false));
}

int get_app_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    if (load_app_process(c, c->params[0], c->params[1], NEED_READ, &p) < 0)
        return -1;
    return reply_json(c, 200, process_json(c, &p, false));
}

/* Sidecars: none. */
int list_process_nothing(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_process(c, c->params[0], NEED_READ, &p) < 0 ? -1 : reply_empty_list(c);
}

int list_app_process_nothing(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_app_process(c, c->params[0], c->params[1], NEED_READ, &p) < 0 ? -1
                                                                              : reply_empty_list(c);
}

/* --- making and saving
 * ------------------------------------------------------------------------------
 */

void process_renew(struct process_row *p) {
    guid_new(p->version);
}

int process_save(struct call *c, struct process_row *p) {
    struct error err = {0};
    return store_process_update(c->api->deps.store, p, &err) < 0 ? fail_internal(c, &err) : 0;
}

/* Cloud Controller's defaults: one instance of web, none of others; web is checked by its port. */
int process_create(struct call *c, const char *app_guid, const char *type,
                   struct process_row *ret) {
    const struct api_config *config = &c->api->config;
    bool web = str_eq(type, "web");
    struct error err = {0};
    ret->instances = web;
    ret->memory_mb = config->default_memory_mb;
    ret->disk_mb = config->default_disk_mb;
    ret->log_rate = -1;
    memcpy(ret->app_guid, app_guid, GUID_SIZE);
    if (web)
        memcpy(ret->guid, app_guid, GUID_SIZE); /* CLI 6 counts on it */
    process_renew(ret);
    if (str_set(&ret->type, type) < 0 || str_set(&ret->health_type, web ? "port" : "process") < 0 ||
        str_set(&ret->ready_type, "process") < 0)
        return fail_no_memory(c);
    if (store_process_insert(c->api->deps.store, ret, &err) < 0)
        return fail_internal(c, &err);
    return 0;
}

/* --- PATCH
 * ------------------------------------------------------------------------------------------
 */

static const struct field health_data_fields[] = {
    {.name = "timeout", .kind = FIELD_INT, .nullable = true, .min = 1, .max = HEALTH_TIMEOUT_MAX},
    {.name = "invocation_timeout",
     .kind = FIELD_INT,
     .nullable = true,
     .min = 1,
     .max = CHECK_SECONDS_MAX},
    {.name = "interval", .kind = FIELD_INT, .nullable = true, .min = 1, .max = CHECK_SECONDS_MAX},
    {.name = "endpoint", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = ENDPOINT_MAX},
};
static const struct field ready_data_fields[] = {
    {.name = "invocation_timeout",
     .kind = FIELD_INT,
     .nullable = true,
     .min = 1,
     .max = CHECK_SECONDS_MAX},
    {.name = "interval", .kind = FIELD_INT, .nullable = true, .min = 1, .max = CHECK_SECONDS_MAX},
    {.name = "endpoint", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = ENDPOINT_MAX},
};
static const struct field health_fields[] = {
    {.name = "type", .kind = FIELD_TEXT, .min = 1},
    FIELD_OF("data", false, health_data_fields),
};
static const struct field ready_fields[] = {
    {.name = "type", .kind = FIELD_TEXT, .min = 1},
    FIELD_OF("data", false, ready_data_fields),
};
static const struct field update_fields[] = {
    {.name = "command", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = COMMAND_MAX},
    FIELD_OF("health_check", false, health_fields),
    FIELD_OF("readiness_health_check", false, ready_fields),
    FIELD_METADATA,
};

/* A number that is there (or null: back to the default) into *to. */
static void take_seconds(const json_t *check, const char *path, uint64_t *to) {
    int64_t value = 0;
    if (body_int(check, path, &value))
        *to = (uint64_t)value;
    else if (body_null(check, path))
        *to = 0;
}

static int take_check(struct call *c, const json_t *check, char **type, char **endpoint,
                      uint64_t *invocation, uint64_t *interval) {
    const char *wish = body_text(check, "type"), *path = body_text(check, "data.endpoint");
    if (wish && !str_eq(wish, "port") && !str_eq(wish, "http") && !str_eq(wish, "process"))
        return fail_invalid(c, "Health check type must be \"port\", \"process\", or \"http\"");
    if (path && *path != '/')
        return fail_invalid(c, "Health check endpoint must be a valid URI path");
    if ((wish && str_set(type, wish) < 0) || (path && str_set(endpoint, path) < 0))
        return fail_no_memory(c);
    if (!str_eq(*type, "http")) {
        free(*endpoint);
        *endpoint = NULL;
    }
    take_seconds(check, "data.invocation_timeout", invocation);
    take_seconds(check, "data.interval", interval);
    return 0;
}

int process_take_health(struct call *c, struct process_row *p, const json_t *check) {
    if (take_check(c, check, &p->health_type, &p->health_endpoint, &p->health_invocation_s,
                   &p->health_interval_s) < 0)
        return -1;
    take_seconds(check, "data.timeout", &p->health_timeout_s);
    return 0;
}

int process_update(struct call *c, const struct app_row *app, struct process_row *p, bool renew) {
    if (p->rolling || *p->old_of)
        return fail_plain(c, CC_UPDATE_IN_DEPLOYMENT);
    if (app->started && renew)
        process_renew(p);
    if (process_save(c, p) < 0 ||
        record_event(c, "audit.app.process.update", app,
                     json_pack("{s:s,s:s}", "process_guid", p->guid, "process_type", p->type)) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app->guid);
}

static int update(struct call *c, struct process_row *p) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (body_check_all(c, update_fields) < 0 || load_app(c, p->app_guid, NEED_WRITE, &app) < 0)
        return -1;
    const json_t *health = body_at(c->json, "health_check"),
                 *ready = body_at(c->json, "readiness_health_check");
    const char *command = body_text(c->json, "command");
    if (command && str_set(&p->command, command) < 0)
        return fail_no_memory(c);
    if (body_null(c->json, "command")) {
        free(p->command);
        p->command = NULL;
    }
    if (json_is_object(health) && process_take_health(c, p, health) < 0)
        return -1;
    if (json_is_object(ready) && take_check(c, ready, &p->ready_type, &p->ready_endpoint,
                                            &p->ready_invocation_s, &p->ready_interval_s) < 0)
        return -1;
    if (metadata_merge(c, c->json, &p->labels, &p->annotations) < 0 ||
        process_update(c, &app, p, json_is_object(health) || json_is_object(ready)) < 0)
        return -1;
    return reply_json(c, 200, process_json(c, p, false));
}

int update_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_process(c, c->params[0], NEED_WRITE, &p) < 0 ? -1 : update(c, &p);
}

int update_app_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_app_process(c, c->params[0], c->params[1], NEED_WRITE, &p) < 0 ? -1 : update(c, &p);
}

/* --- scale
 * ------------------------------------------------------------------------------------------
 */

int process_scale(struct call *c, const struct app_row *app, struct process_row *p,
                  const struct process_size *to) {
    if (p->rolling || *p->old_of)
        return fail_plain(c, CC_SCALE_IN_DEPLOYMENT);
    if (need_flag(c, "app_scaling") < 0)
        return -1;
    json_t *request = json_object();
    const struct {
        const char *name;
        int64_t from, to;
    } sizes[] = {{"instances", (int64_t)p->instances, (int64_t)to->instances},
                 {"memory_in_mb", (int64_t)p->memory_mb, (int64_t)to->memory_mb},
                 {"disk_in_mb", (int64_t)p->disk_mb, (int64_t)to->disk_mb},
                 {"log_rate_limit_in_bytes_per_second", p->log_rate, to->log_rate}};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        if (sizes[i].from != sizes[i].to)
            json_object_set_new(request, sizes[i].name, json_integer(sizes[i].to));
    if (app->started && to->memory_mb != p->memory_mb)
        process_renew(p);
    p->instances = to->instances;
    p->memory_mb = to->memory_mb;
    p->disk_mb = to->disk_mb;
    p->log_rate = to->log_rate;
    json_t *data = json_pack("{s:s,s:s,s:o}", "process_guid", p->guid, "process_type", p->type,
                             "request", request);
    if (process_save(c, p) < 0) {
        json_decref(data);
        return -1;
    }
    if (record_event(c, "audit.app.process.scale", app, data) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app->guid);
}

static int scale(struct call *c, struct process_row *p) {
    const struct api_config *config = &c->api->config;
    const struct field fields[] = {
        {.name = "instances", .kind = FIELD_INT, .min = 0, .max = (int64_t)config->max_instances},
        {.name = "memory_in_mb",
         .kind = FIELD_INT,
         .min = 1,
         .max = (int64_t)config->max_memory_mb},
        {.name = "disk_in_mb", .kind = FIELD_INT, .min = 1, .max = (int64_t)config->max_disk_mb},
        {.name = "log_rate_limit_in_bytes_per_second",
         .kind = FIELD_INT,
         .min = -1,
         .max = INT32_MAX},
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    struct process_size to = {p->instances, p->memory_mb, p->disk_mb, p->log_rate};
    int64_t value;
    if (need_flag(c, "app_scaling") < 0 || body_check_all(c, fields) < 0 ||
        load_app(c, p->app_guid, NEED_WRITE, &app) < 0)
        return -1;
    if (body_int(c->json, "instances", &value))
        to.instances = (uint64_t)value;
    if (body_int(c->json, "memory_in_mb", &value))
        to.memory_mb = (uint64_t)value;
    if (body_int(c->json, "disk_in_mb", &value))
        to.disk_mb = (uint64_t)value;
    body_int(c->json, "log_rate_limit_in_bytes_per_second", &to.log_rate);
    if (process_scale(c, &app, p, &to) < 0)
        return -1;
    return reply_json(c, 202, process_json(c, p, false));
}

int scale_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_process(c, c->params[0], NEED_WRITE, &p) < 0 ? -1 : scale(c, &p);
}

int scale_app_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    return load_app_process(c, c->params[0], c->params[1], NEED_WRITE, &p) < 0 ? -1 : scale(c, &p);
}

/* --- restarting one instance
 * ------------------------------------------------------------------------
 */

int process_restart_instance(struct call *c, const struct process_row *p, const char *index_text) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    char group[2 * GUID_SIZE];
    uint64_t index = 0;
    if (load_app(c, p->app_guid, NEED_WRITE, &app) < 0)
        return -1;
    process_lrp_guid(p, group);
    if (parse_u64_slice(slice_of(index_text), 0, UINT32_MAX, &index) < 0 || index >= p->instances ||
        lrp_restart_instance(c->api->deps.lrp, group, (uint32_t)index, clock_mono_ms()) < 0)
        return fail_not_found(c, "Instance");
    if (record_event(c, "audit.app.process.terminate_instance", &app,
                     json_pack("{s:s,s:s,s:I}", "process_guid", p->guid, "process_type", p->type,
                               "process_index", (json_int_t)index)) < 0)
        return -1;
    return reply_nothing(c, 204);
}

int restart_instance(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    if (load_process(c, c->params[0], NEED_WRITE, &p) < 0)
        return -1;
    return process_restart_instance(c, &p, c->params[1]);
}

int restart_app_instance(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    if (load_app_process(c, c->params[0], c->params[1], NEED_WRITE, &p) < 0)
        return -1;
    return process_restart_instance(c, &p, c->params[2]);
}
