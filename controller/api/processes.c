/* processes.c - an app's processes: how many, how large, how checked. */
#include <inttypes.h>

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

static void put_seconds(struct strbuf *out, const char *name, uint64_t s) {
    if (s)
        strbuf_printf(out, "%s\":%" PRIu64, name, s);
    else
        strbuf_printf(out, "%s\":null", name);
}

/* `timeout`: NULL for what has none. */
static void put_check(struct strbuf *out, const char *type, const char *endpoint,
                      uint64_t invocation, uint64_t interval, const uint64_t *timeout) {
    strbuf_puts(out, "{\"type\":");
    json_put_text(out, type);
    put_seconds(out, ",\"data\":{\"invocation_timeout", invocation);
    put_seconds(out, ",\"interval", interval);
    if (str_eq(type, "http")) {
        strbuf_puts(out, ",\"endpoint\":");
        json_put_text(out, endpoint ? endpoint : "/");
    }
    if (timeout)
        put_seconds(out, ",\"timeout", *timeout);
    strbuf_puts(out, "}}");
}

static void put_process(struct strbuf *out, const char *base, const struct process_row *p,
                        bool in_list) {
    const struct json_link_row links[] = {
        {"self", "processes", p->guid, NULL, false},
        {"scale", "processes", p->guid, "/actions/scale", true},
        {"app", "apps", p->app_guid, NULL, false},
        {"space", "spaces", p->space_guid, NULL, false},
        {"stats", "processes", p->guid, "/stats", false},
        {"process_instances", "processes", p->guid, "/process_instances", false},
    };
    strbuf_printf(out, "{\"guid\":\"%s\",\"created_at\":", p->guid);
    json_put_time(out, p->created_ns);
    strbuf_puts(out, ",\"updated_at\":");
    json_put_time(out, p->updated_ns);
    strbuf_puts(out, ",\"type\":");
    json_put_text(out, p->type);
    strbuf_printf(out, ",\"version\":\"%s\",\"command\":", p->version);
    json_put_text(out, p->command && in_list ? "[PRIVATE DATA HIDDEN IN LISTS]" : p->command);
    strbuf_printf(out,
                  ",\"user\":null,\"instances\":%" PRIu64 ",\"memory_in_mb\":%" PRIu64
                  ",\"disk_in_mb\":%" PRIu64 ",\"log_rate_limit_in_bytes_per_second\":%" PRId64,
                  p->instances, p->memory_mb, p->disk_mb, p->log_rate);
    strbuf_puts(out, ",\"health_check\":");
    put_check(out, p->health_type, p->health_endpoint, p->health_invocation_s, p->health_interval_s,
              &p->health_timeout_s);
    strbuf_puts(out, ",\"readiness_health_check\":");
    put_check(out, p->ready_type, p->ready_endpoint, p->ready_invocation_s, p->ready_interval_s,
              NULL);
    strbuf_puts(out, ",\"relationships\":{\"app\":");
    json_put_relation(out, p->app_guid);
    strbuf_puts(out, ",\"revision\":");
    if (*p->revision_guid)
        json_put_relation(out, p->revision_guid);
    else
        strbuf_puts(out, "null");
    strbuf_puts(out, "},\"metadata\":");
    json_put_metadata(out, p->labels, p->annotations);
    strbuf_puts(out, ",\"links\":");
    json_put_links(out, base, links, ARRAY_SIZE(links));
    strbuf_putc(out, '}');
}

static json_t *process_json(struct call *c, const struct process_row *p) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    const char *base = call_base(c);
    if (!base)
        return NULL;
    put_process(&text, base, p, false);
    return json_of_text(&text);
}

/* While an app is deployed, what goes is shown beside what comes: a web process more. */
static int put_old(struct call *c, const char *base, const char *app_guid, struct strbuf *list,
                   uint64_t *total) {
    _cleanup_(old_version_rows_fini) struct old_version_rows olds = {0};
    if (app_old_versions(c, app_guid, &olds) < 0)
        return -1;
    for (size_t i = 0; i < olds.n; i++) {
        _cleanup_(process_row_fini) struct process_row p = {0};
        if (olds.v[i].instances == 0)
            continue;
        if (old_version_process(c, &olds.v[i], &p) < 0)
            return -1;
        if (list->n)
            strbuf_putc(list, ',');
        put_process(list, base, &p, true);
        (*total)++;
    }
    return 0;
}

static const char *const process_also[] = {"embed=process_instances", NULL};

/* `deployed`: NULL, or the app whose versions that go are shown too. */
static int reply_processes(struct call *c, struct listing *l, const char *deployed) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    _cleanup_(strbuf_fini) struct strbuf list = {0};
    struct error err = {0};
    bool embed = query_lists(c, "embed", "process_instances");
    const char *base = call_base(c);
    if (!base)
        return fail_no_memory(c);
    if (store_process_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++) {
        if (i)
            strbuf_putc(&list, ',');
        put_process(&list, base, &rows.v[i], true);
        if (embed && !list.failed) {
            list.n--; /* one more member */
            strbuf_puts(&list, ",\"process_instances\":");
            put_process_instances(c, &list, &rows.v[i]);
            strbuf_putc(&list, '}');
        }
    }
    if (deployed && put_old(c, base, deployed, &list, &rows.total) < 0)
        return -1;
    return reply_list_text(c, l, rows.total, &list, NULL);
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
    if (listing_of_app(c, &l, filters, process_also, &app) < 0)
        return -1;
    bool all = l.query.filter_count == 1 && l.page == 1; /* but for the app's */
    return reply_processes(c, &l, all ? app.guid : NULL);
}

int get_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    if (load_process(c, c->params[0], NEED_READ, &p) < 0)
        return -1;
    return reply_json(c, 200, process_json(c, &p));
}

int get_app_process(struct call *c) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    if (load_app_process(c, c->params[0], c->params[1], NEED_READ, &p) < 0)
        return -1;
    return reply_json(c, 200, process_json(c, &p));
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

/* A number of seconds; null: back to the default. */
#define FIELD_SECONDS(key, most)                                                                   \
    { .name = (key), .kind = FIELD_INT, .nullable = true, .min = 1, .max = (most) }
#define CHECK_FIELDS                                                                               \
    FIELD_SECONDS("invocation_timeout", CHECK_SECONDS_MAX),                                        \
        FIELD_SECONDS("interval", CHECK_SECONDS_MAX), {                                            \
        .name = "endpoint", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = ENDPOINT_MAX    \
    }

static const struct field health_data_fields[] = {
    FIELD_SECONDS("timeout", HEALTH_TIMEOUT_MAX),
    CHECK_FIELDS,
};
static const struct field ready_data_fields[] = {CHECK_FIELDS};
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
    return reply_json(c, 200, process_json(c, p));
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
    return reply_json(c, 202, process_json(c, p));
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
