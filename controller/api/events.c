/* events.c - writing and reading the audit log. */
#include "controller/store/events.h"

#include <errno.h>
#include <string.h>

#include "controller/api/resources.h"
#include "controller/lrp/lrp.h"

/* --- writing
 * ----------------------------------------------------------------------------------------
 */

/* Takes `data`. Secrets (an environment's values) never get here: callers leave them out. */
static int fill(struct event_row *e, const char *type, const char *target_type,
                const char *target_guid, const char *target_name, json_t *data) {
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    bool bad = data && !text;
    json_decref(data);
    e->data = text;
    return bad || str_set(&e->type, type) < 0 || str_set(&e->target_type, target_type) < 0 ||
                   str_set(&e->target_guid, target_guid) < 0 ||
                   str_set(&e->target_name, target_name ? target_name : "") < 0
               ? -ENOMEM
               : 0;
}

int record_event_on(struct call *c, const char *type, const char *target_type,
                    const char *target_guid, const char *target_name, const char *space_guid,
                    const char *org_guid, json_t *data) {
    _cleanup_(event_row_fini) struct event_row e = {0};
    struct error err = {0};
    if (fill(&e, type, target_type, target_guid, target_name, data) < 0 ||
        str_set(&e.actor_guid, c->identity.guid) < 0 || str_set(&e.actor_type, "user") < 0 ||
        str_set(&e.actor_name, c->identity.name) < 0)
        return fail_no_memory(c);
    snprintf(e.space_guid, GUID_SIZE, "%s", space_guid);
    snprintf(e.org_guid, GUID_SIZE, "%s", org_guid);
    return store_event_insert(c->api->deps.store, &e, &err) < 0 ? fail_internal(c, &err) : 0;
}

int record_event(struct call *c, const char *type, const struct app_row *app, json_t *data) {
    return record_event_on(c, type, "app", app->guid, app->name, app->space_guid, app->org_guid,
                           data);
}

static json_t *crash_data(const struct lrp_actual *a, const char *text) {
    return json_pack("{s:s,s:I,s:s,s:o,s:s,s:I,s:i}", "instance",
                     a->instance_guid ? a->instance_guid : "", "index", (json_int_t)a->index,
                     "cell_id", a->cell_name ? a->cell_name : "", "exit_description",
                     json_text_or_null(text ? text : ""), "reason", "CRASHED", "crash_count",
                     (json_int_t)a->crash_count, "exit_status", a->exit_status);
}

static json_t *rescheduling_data(const struct lrp_actual *a, const char *text) {
    return json_pack("{s:s,s:I,s:s,s:o}", "instance", a->instance_guid ? a->instance_guid : "",
                     "index", (json_int_t)a->index, "cell_id", a->cell_name ? a->cell_name : "",
                     "reason", json_text_or_null(text ? text : ""));
}

int api_record_instance(struct api *api, enum api_instance_event event, const struct lrp_actual *a,
                        const char *text, struct error *err) {
    static const struct {
        enum api_instance_event event;
        const char *type, *actor;
        json_t *(*data)(const struct lrp_actual *a, const char *text);
    } events[] = {
        {API_INSTANCE_CRASHED, "app.crash", "app", crash_data},
        {API_INSTANCE_CRASHED, "audit.app.process.crash", "process", crash_data},
        {API_INSTANCE_RESCHEDULED, "audit.app.process.rescheduling", "process", rescheduling_data},
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    int r = store_app_get(api->deps.store, a->app_guid, &app, err);
    if (r < 0)
        return r;
    bool outer = store_in_transaction(api->deps.store);
    if (!outer && (r = store_begin(api->deps.store, err)) < 0)
        return r;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(events); i++) {
        _cleanup_(event_row_fini) struct event_row e = {0};
        bool by_app = str_eq(events[i].actor, "app");
        if (events[i].event != event)
            continue;
        if (fill(&e, events[i].type, "app", app.guid, app.name, events[i].data(a, text)) < 0 ||
            str_set(&e.actor_guid, by_app ? app.guid : a->process) < 0 ||
            str_set(&e.actor_type, events[i].actor) < 0 ||
            str_set(&e.actor_name, by_app ? app.name : a->process_type) < 0)
            r = error_set(err, -ENOMEM, "out of memory recording an instance's event");
        memcpy(e.space_guid, app.space_guid, GUID_SIZE);
        memcpy(e.org_guid, app.org_guid, GUID_SIZE);
        if (r == 0)
            r = store_event_insert(api->deps.store, &e, err);
    }
    if (outer)
        return r;
    if (r == 0)
        return store_commit(api->deps.store, err);
    store_rollback(api->deps.store);
    return r;
}

/* --- reading
 * ----------------------------------------------------------------------------------------
 */

static json_t *guid_or_null(const char *guid) {
    return *guid ? json_pack("{s:s}", "guid", guid) : json_null();
}

static json_t *party(const char *guid, const char *type, const char *name) {
    return json_pack("{s:o,s:o,s:o}", "guid", json_text_or_null(guid), "type",
                     json_text_or_null(type), "name", json_text_or_null(name ? name : ""));
}

static json_t *event_json(struct call *c, const struct event_row *e) {
    return json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:{s:o}}", "guid", e->guid, "created_at",
                     json_time(e->created_ns), "updated_at", json_time(e->updated_ns), "type",
                     e->type, "actor", party(e->actor_guid, e->actor_type, e->actor_name), "target",
                     party(e->target_guid, e->target_type, e->target_name), "data",
                     json_stored(e->data, "{}"), "space", guid_or_null(e->space_guid),
                     "organization", guid_or_null(e->org_guid), "links", "self",
                     json_link(c, "/v3/audit_events/%s", e->guid));
}

int list_events(struct call *c) {
    static const char *const filters[] = {
        "guids", "types", "target_guids", "target_guids[not]", "space_guids", "organization_guids",
        NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(event_rows_fini) struct event_rows rows = {0};
    struct error err = {0};
    if (listing_parse(c, &l, filters, NULL) < 0)
        return -1;
    if (store_event_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return reply_list(c, &l, rows.total, rows_json(c, &rows, event_json), NULL);
}

int get_event(struct call *c) {
    _cleanup_(event_row_fini) struct event_row e = {0};
    struct error err = {0};
    int r = store_event_get(c->api->deps.store, c->params[0], &e, &err);
    if (need_found(c, r, &err, "Event") < 0)
        return -1;
    if ((e.space_guid[0] ? need_space(c, e.space_guid, NEED_READ, "Event")
                         : need_org(c, e.org_guid, NEED_READ, "Event")) < 0)
        return -1;
    return reply_json(c, 200, event_json(c, &e));
}
