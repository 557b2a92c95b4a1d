/* platform.c - feature flags, events, jobs, the stack, and what v2 has that is not here. */
#include <errno.h>

#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"
#include "controller/store/events.h"
#include "controller/store/jobs.h"

/* --- feature flags: bare, without envelope
 * ---------------------------------------------------------
 */

static json_t *flag_json_v2(const struct flag *f) {
    _cleanup_(freep) char *url = str_printf("/v2/config/feature_flags/%s", f->name);
    return json_pack("{s:s,s:b,s:o,s:o}", "name", f->name, "enabled", f->enabled, "error_message",
                     json_text_or_null(f->error_message), "url", json_text_or_null(url));
}

int list_v2_flags(struct call *c) {
    struct error err = {0};
    json_t *list = json_array();
    for (size_t i = 0; i < store_flag_count(); i++) {
        _cleanup_(flag_fini) struct flag f = {0};
        if (store_flag_get(c->api->deps.store, store_flag_name(i), &f, &err) < 0)
            return json_decref(list), fail_internal(c, &err);
        if (json_array_append_new(list, flag_json_v2(&f)))
            return json_decref(list), fail_no_memory(c);
    }
    return reply_json(c, 200, list);
}

static int load_flag_v2(struct call *c, struct flag *f) {
    struct error err = {0};
    int r = store_flag_get(c->api->deps.store, c->params[0], f, &err);
    if (r == -ENOENT)
        return fail(c, CC_FLAG_NOT_FOUND, "%s: %.100s", cc_error_info(CC_FLAG_NOT_FOUND)->detail,
                    c->params[0]);
    return r < 0 ? fail_internal(c, &err) : 0;
}

int get_v2_flag(struct call *c) {
    _cleanup_(flag_fini) struct flag f = {0};
    return load_flag_v2(c, &f) < 0 ? -1 : reply_json(c, 200, flag_json_v2(&f));
}

int update_v2_flag(struct call *c) {
    static const struct field fields[] = {
        {.name = "enabled", .kind = FIELD_BOOL, .required = true},
        {.name = "error_message", .kind = FIELD_TEXT, .nullable = true, .max = 250},
    };
    _cleanup_(flag_fini) struct flag f = {0}, now = {0};
    bool enabled = false;
    if (load_flag_v2(c, &f) < 0 || v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0)
        return -1;
    body_bool(c->json, "enabled", &enabled);
    const char *message = json_object_get(c->json, "error_message")
                              ? body_text(c->json, "error_message")
                              : f.error_message;
    return flag_set(c, f.name, enabled, message, &now) < 0 ? -1
                                                           : reply_json(c, 200, flag_json_v2(&now));
}

/* --- environments for all apps: bare too; PUT replaces
 * ---------------------------------------------
 */

int get_v2_env_group(struct call *c) {
    return env_group_known(c->params[0]) ? reply_json(c, 200, env_group(c, c->params[0]))
                                         : fail_plain(c, CC_UNKNOWN_REQUEST);
}

int update_v2_env_group(struct call *c) {
    if (!env_group_known(c->params[0]))
        return fail_plain(c, CC_UNKNOWN_REQUEST);
    return env_group_replace(c, c->params[0], c->json) < 0
               ? -1
               : reply_json(c, 200, env_group(c, c->params[0]));
}

/* --- events
 * --------------------------------------------------------------------------------------
 */

static json_t *event_json_v2(const struct event_row *e) {
    json_t *entity = json_pack(
        "{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "type", e->type, "actor",
        json_text_or_null(e->actor_guid), "actor_type", json_text_or_null(e->actor_type),
        "actor_name", json_text_or_null(e->actor_name), "actor_username",
        str_eq(e->actor_type, "user") ? json_text_or_null(e->actor_name) : json_null(), "actee",
        json_text_or_null(e->target_guid), "actee_type", json_text_or_null(e->target_type),
        "actee_name", json_text_or_null(e->target_name ? e->target_name : ""), "timestamp",
        json_time(e->created_ns), "metadata", json_stored(e->data, "{}"), "space_guid",
        json_guid_or_null(e->space_guid), "organization_guid", json_guid_or_null(e->org_guid));
    return v2_resource("events", e->guid, e->created_ns, e->updated_ns, entity);
}

static const struct v2_filter event_filters[] = {{"actee", "target_guids"},
                                                 {"type", "types"},
                                                 {"space_guid", "space_guids"},
                                                 {"organization_guid", "organization_guids"},
                                                 {NULL, NULL}};

static int list_events_of(struct call *c, const char *app_guid) {
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(event_rows_fini) struct event_rows rows = {0};
    struct error err = {0};
    if (v2_list_parse(c, &l, event_filters) < 0)
        return -1;
    if (app_guid)
        listing_add(&l, "target_guids", &app_guid);
    if (store_event_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, &l, rows.total, rows_json_bare(&rows, event_json_v2));
}

int list_v2_events(struct call *c) {
    return list_events_of(c, NULL);
}

int list_v2_app_events(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    return v2_load_app(c, c->params[0], NEED_READ, &app) < 0 ? -1 : list_events_of(c, app.guid);
}

/* --- the rest
 * --------------------------------------------------------------------------------------
 */

static json_t *job_json(const struct job_row *job) {
    const char *status = str_eq(job->state, "COMPLETE") ? "finished"
                         : str_eq(job->state, "FAILED") ? "failed"
                                                        : "running";
    return v2_resource("jobs", job->guid, job->created_ns, job->updated_ns,
                       json_pack("{s:s,s:s}", "guid", job->guid, "status", status));
}

int v2_reply_job(struct call *c, int status, const char *operation) {
    _cleanup_(job_row_fini) struct job_row job = {.operation = str_dup(operation),
                                                  .state = str_dup("COMPLETE")};
    struct error err = {0};
    if (!job.operation || !job.state)
        return fail_no_memory(c);
    if (store_job_insert(c->api->deps.store, &job, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, status, job_json(&job));
}

int v2_reply_deleted(struct call *c, const char *operation) {
    return str_eq(call_query(c, "async"), "true") ? v2_reply_job(c, 202, operation)
                                                  : reply_nothing(c, 204);
}

int get_v2_job(struct call *c) {
    _cleanup_(job_row_fini) struct job_row job = {0};
    struct error err = {0};
    int r = store_job_get(c->api->deps.store, c->params[0], &job, &err);
    if (r < 0)
        return r == -ENOENT ? fail_not_found(c, "Job") : fail_internal(c, &err);
    return reply_json(c, 200, job_json(&job));
}

json_t *v2_stack_json(void) {
    return v2_resource("stacks", STACK_GUID, 0, 0,
                       json_pack("{s:s,s:s}", "name", "docker", "description",
                                 "The root file system that each image brings"));
}

int list_v2_stacks(struct call *c) {
    return v2_list_one(c, "docker", v2_stack_json);
}

int get_v2_stack(struct call *c) {
    if (!str_eq(c->params[0], STACK_GUID))
        return fail(c, CC_STACK_NOT_FOUND, "%s: %.100s", cc_error_info(CC_STACK_NOT_FOUND)->detail,
                    c->params[0]);
    return reply_json(c, 200, v2_stack_json());
}

int list_v2_nothing(struct call *c) {
    struct listing l = {0}; /* whatever its filters are */
    return v2_pages_parse(c, &l) < 0 ? -1 : v2_list_reply(c, &l, 0, json_array());
}

/* What else v2 can make and this platform does not have, in words for the CLI's user. */
int refuse_v2_kind(struct call *c) {
    static const struct {
        const char *path, *thing;
    } kinds[] = {
        {"/v2/buildpacks", "buildpacks: it runs Docker images"},
        {"/v2/service_brokers", "service brokers: it has user-provided services"},
        {"/v2/service_plan_visibilities", "service plans"},
        {"/v2/security_groups", "security groups"},
        {"/v2/quota_definitions", "organization quotas but the default one, which is unlimited"},
        {"/v2/space_quota_definitions", "space quotas"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(c->endpoint->path, kinds[i].path))
            return fail(c, CC_BAD_REQUEST, "This platform has no %s.", kinds[i].thing);
    return fail(c, CC_BAD_REQUEST, "This platform does not have that.");
}
