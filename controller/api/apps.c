/* apps.c - /v3/apps: creating, changing, starting, stopping, deleting. */
#include <errno.h>

#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/store/flags.h"

#define LIFECYCLE_DOCKER "docker"

/* --- showing
 * --------------------------------------------------------------------------------------
 */

static void put_app(struct strbuf *out, const char *base, const struct app_row *app) {
    const struct json_link_row links[] = {
        {"self", "apps", app->guid, NULL, false},
        {"environment_variables", "apps", app->guid, "/environment_variables", false},
        {"processes", "apps", app->guid, "/processes", false},
        {"packages", "apps", app->guid, "/packages", false},
        {"current_droplet", "apps", app->guid, "/droplets/current", false},
        {"droplets", "apps", app->guid, "/droplets", false},
        {"tasks", "apps", app->guid, "/tasks", false},
        {"start", "apps", app->guid, "/actions/start", true},
        {"stop", "apps", app->guid, "/actions/stop", true},
        {"revisions", "apps", app->guid, "/revisions", false},
        {"deployed_revisions", "apps", app->guid, "/revisions/deployed", false},
        {"features", "apps", app->guid, "/features", false},
        {"space", "spaces", app->space_guid, NULL, false},
    };
    strbuf_printf(out, "{\"guid\":\"%s\",\"created_at\":", app->guid);
    json_put_time(out, app->created_ns);
    strbuf_puts(out, ",\"updated_at\":");
    json_put_time(out, app->updated_ns);
    strbuf_puts(out, ",\"name\":");
    json_put_text(out, app->name);
    strbuf_printf(
        out, ",\"state\":\"%s\",\"lifecycle\":{\"type\":", app->started ? "STARTED" : "STOPPED");
    json_put_text(out, app->lifecycle);
    strbuf_puts(out, ",\"data\":{}},\"relationships\":{\"space\":");
    json_put_relation(out, app->space_guid);
    strbuf_puts(out, ",\"current_droplet\":");
    json_put_relation(out, app->droplet_guid);
    strbuf_puts(out, "},\"metadata\":");
    json_put_metadata(out, app->labels, app->annotations);
    strbuf_puts(out, ",\"links\":");
    json_put_links(out, base, links, ARRAY_SIZE(links));
    strbuf_putc(out, '}');
}

json_t *app_json(struct call *c, const struct app_row *app) {
    _cleanup_(strbuf_fini) struct strbuf text = {0};
    const char *base = call_base(c);
    if (!base)
        return NULL;
    put_app(&text, base, app);
    return json_of_text(&text);
}

static const char *const app_also[] = {"include=space",  "include=space.organization",
                                       "include=org",    "order_by=name",
                                       "order_by=state", NULL};

int list_apps(struct call *c) {
    static const char *const filters[] = {
        "guids",          "names",          "space_guids", "organization_guids", "states", "stacks",
        "lifecycle_type", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    _cleanup_(including_fini) struct including in;
    struct error err = {0};
    including_init(&in, c);
    if (listing_parse(c, &l, filters, app_also) < 0)
        return -1;
    if (store_app_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    _cleanup_(strbuf_fini) struct strbuf list = {0};
    const char *base = call_base(c);
    if (!base)
        return fail_no_memory(c);
    for (size_t i = 0; i < rows.n; i++) {
        if (i)
            strbuf_putc(&list, ',');
        put_app(&list, base, &rows.v[i]);
        include(&in, INCLUDE_SPACES, rows.v[i].space_guid);
        include(&in, INCLUDE_ORGS, rows.v[i].org_guid);
    }
    return reply_list_text(c, &l, rows.total, &list, including_take(&in));
}

int get_app(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(including_fini) struct including in;
    including_init(&in, c);
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    include(&in, INCLUDE_SPACES, app.space_guid);
    include(&in, INCLUDE_ORGS, app.org_guid);
    return reply_json(c, 200, including_with(&in, app_json(c, &app)));
}

/* --- creating and changing
 * ------------------------------------------------------------------------
 */

int app_name_ok(struct call *c, const char *name) {
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return fail_invalid(c, "Name contains invalid characters");
    return 0;
}

int need_docker(struct call *c, const struct app_row *app) {
    _cleanup_(flag_fini) struct flag flag = {0};
    struct error err = {0};
    if (!str_eq(app->lifecycle, LIFECYCLE_DOCKER))
        return 0;
    if (store_flag_get(c->api->deps.store, "diego_docker", &flag, &err) < 0)
        return fail_internal(c, &err);
    if (flag.enabled)
        return 0;
    return fail(c, CC_FEATURE_DISABLED, "Feature Disabled: %s",
                flag.error_message ? flag.error_message : "diego_docker");
}

static int taken(struct call *c, const char *name) {
    return fail_invalid(c, "App with the name '%s' already exists.", name);
}

int app_create(struct call *c, struct app_row *app) {
    struct error err = {0};
    _cleanup_(process_row_fini) struct process_row web = {0};
    if (app_name_ok(c, app->name) < 0)
        return -1;
    app->ssh = false;
    if (str_set(&app->lifecycle, LIFECYCLE_DOCKER) < 0)
        return fail_no_memory(c);
    int r = store_app_insert(c->api->deps.store, app, &err);
    if (r == -EEXIST)
        return taken(c, app->name);
    if (r < 0)
        return fail_internal(c, &err);
    if (process_create(c, app->guid, "web", &web) < 0)
        return -1;
    return record_event(c, "audit.app.create", app,
                        json_pack("{s:{s:s}}", "request", "name", app->name));
}

int app_update(struct call *c, struct app_row *app) {
    struct error err = {0};
    int r = store_app_update(c->api->deps.store, app, &err);
    return r == -EEXIST ? taken(c, app->name) : r < 0 ? fail_internal(c, &err) : 0;
}

static const struct field lifecycle_fields[] = {
    {.name = "type", .kind = FIELD_TEXT, .required = true, .min = 1},
    {.name = "data", .kind = FIELD_OBJECT},
};
static const struct field space_field[] = {FIELD_RELATION("space", true)};

static int check_lifecycle(struct call *c) {
    const char *type = body_text(c->json, "lifecycle.type");
    if (!type || str_eq(type, LIFECYCLE_DOCKER))
        return 0;
    return fail_invalid(c, "Lifecycle type must be '%s': this platform runs Docker images",
                        LIFECYCLE_DOCKER);
}

int create_app(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
        FIELD_OF("lifecycle", false, lifecycle_fields),
        FIELD_OF("relationships", true, space_field),
        {.name = "environment_variables", .kind = FIELD_OBJECT},
        FIELD_METADATA,
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(app_row_fini) struct app_row made = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (body_check_all(c, fields) < 0 || check_lifecycle(c) < 0)
        return -1;
    const char *space_guid = body_text(c->json, "relationships.space.data.guid");
    if (load_space_of_body(c, space_guid, NEED_WRITE, &space) < 0)
        return -1;
    if (str_set(&app.name, body_text(c->json, "name")) < 0 ||
        str_set(&app.lifecycle, LIFECYCLE_DOCKER) < 0)
        return fail_no_memory(c);
    memcpy(app.space_guid, space.guid, GUID_SIZE);
    const json_t *vars = body_at(c->json, "environment_variables");
    if (need_docker(c, &app) < 0 ||
        (json_is_object(vars) && env_merge(c, &app.env, vars, "") < 0) ||
        metadata_merge(c, c->json, &app.labels, &app.annotations) < 0 || app_create(c, &app) < 0)
        return -1;
    if (load_app(c, app.guid, NEED_READ, &made) < 0)
        return -1;
    return reply_json(c, 201, app_json(c, &made));
}

int update_app(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .min = 1},
        FIELD_OF("lifecycle", false, lifecycle_fields),
        FIELD_METADATA,
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 || body_check_all(c, fields) < 0 ||
        check_lifecycle(c) < 0)
        return -1;
    const char *name = body_text(c->json, "name");
    if (name && (app_name_ok(c, name) < 0 || str_set(&app.name, name) < 0))
        return c->errors ? -1 : fail_no_memory(c);
    if (metadata_merge(c, c->json, &app.labels, &app.annotations) < 0 || app_update(c, &app) < 0 ||
        record_event(c, "audit.app.update", &app, json_pack("{s:O}", "request", c->json)) < 0 ||
        after_commit(c, AFTER_DESIRE_APP, app.guid) < 0)
        return -1;
    return reply_json(c, 200, app_json(c, &app));
}

int app_delete(struct call *c, const struct app_row *app) {
    struct error err = {0};
    if (record_event(c, "audit.app.delete-request", app,
                     json_pack("{s:{s:b}}", "request", "recursive", 1)) < 0)
        return -1;
    if (store_app_delete(c->api->deps.store, app->guid, &err) < 0)
        return fail_internal(c, &err);
    return after_commit(c, AFTER_DESIRE_APP, app->guid) < 0
               ? -1
               : after_commit(c, AFTER_FORGET_LOGS, app->guid);
}

int delete_app(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 || app_delete(c, &app) < 0)
        return -1;
    return reply_job(c, "app.delete");
}

/* --- start, stop, restart
 * ---------------------------------------------------------------------------
 */

/* A start, and a restart, is a new version of each process: new instances, no crashes counted. */
static int renew_processes(struct call *c, const struct app_row *app) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    if (app_processes(c, app->guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++) {
        process_renew(&rows.v[i]);
        if (process_save(c, &rows.v[i]) < 0)
            return -1;
    }
    return 0;
}

int app_start(struct call *c, struct app_row *app, const char *event) {
    app->started = true;
    if (deployment_overtake(c, app->guid) < 0 || renew_processes(c, app) < 0 ||
        revision_note(c, app, 0, NULL) < 0 || app_update(c, app) < 0 ||
        record_event(c, event, app, NULL) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app->guid);
}

static int begin(struct call *c, bool again, const char *event) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0)
        return -1;
    if (!app.droplet_guid[0])
        return fail_invalid(c, "Assign a droplet before starting this app.");
    if (need_docker(c, &app) < 0 || ((again || !app.started) && app_start(c, &app, event) < 0))
        return -1;
    return reply_json(c, 200, app_json(c, &app));
}

int start_app(struct call *c) {
    return begin(c, false, "audit.app.start");
}

int restart_app(struct call *c) {
    return begin(c, true, "audit.app.restart");
}

int app_stop(struct call *c, struct app_row *app) {
    app->started = false;
    if (deployment_overtake(c, app->guid) < 0 || app_update(c, app) < 0 ||
        record_event(c, "audit.app.stop", app, NULL) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app->guid);
}

int stop_app(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 ||
        builds_start_after(c, app.guid, false) < 0 || (app.started && app_stop(c, &app) < 0))
        return -1;
    return reply_json(c, 200, app_json(c, &app));
}
