/* app_changes.c - creating, changing, starting, staging and deleting apps.
 *
 * v2's app is staged by being started: PUT {"state":"STARTED"} stages what is not staged yet and
 * the app runs once that is done (builds.start_after_staging). */
#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

#define IMAGE_MAX    2048
#define COMMAND_MAX  65536 /* as v3's */
#define ENDPOINT_MAX 255
#define TIMEOUT_MAX  86400
#define HIDDEN       "***" /* how a password is shown: sent back it means "as it is" */

/* --- one part after the other
 * ---------------------------------------------------------------------
 */

static int need_docker_v2(struct call *c) {
    return store_flag_enabled(c->api->deps.store, "diego_docker")
               ? 0
               : fail_plain(c, CC_DOCKER_DISABLED);
}

static int name_free(struct call *c, const char *name, const struct app_row *app) {
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    const char *space = app->space_guid;
    struct store_filter filters[] = {{"names", &name, 1}, {"space_guids", &space, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2};
    struct error err = {0};
    if (store_app_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n || str_eq(rows.v[0].guid, app->guid))
        return 0;
    return fail(c, CC_APP_NAME_TAKEN, "%s: %.255s", cc_error_info(CC_APP_NAME_TAKEN)->detail, name);
}

/* name, environment_json, enable_ssh. v2 replaces the whole environment. *ret: something changed.
 */
static int take_app(struct call *c, struct app_row *app, bool *ret) {
    const char *name = body_text(c->json, "name");
    const json_t *env = json_object_get(c->json, "environment_json");
    if (name && !str_eq(name, app->name)) {
        if (name_free(c, name, app) < 0 || app_name_ok(c, name) < 0)
            return -1;
        if (str_set(&app->name, name) < 0)
            return fail_no_memory(c);
        *ret = true;
    }
    if (json_is_object(env)) {
        free(app->env);
        app->env = NULL;
        if (env_merge(c, &app->env, env, "") < 0)
            return -1;
        *ret = true;
    }
    *ret |= body_bool(c->json, "enable_ssh", &app->ssh);
    return 0;
}

/* health_check_*: in the terms of v3. "none" is 6.13's word for no check but the process itself. */
static int take_health(struct call *c, struct process_row *web, bool *ret) {
    const char *type = body_text(c->json, "health_check_type"),
               *endpoint = body_text(c->json, "health_check_http_endpoint");
    int64_t timeout;
    json_t *check = json_object(), *data = json_object();
    type = str_eq(type, "none") ? "process" : type;
    if (type && !str_eq(type, web->health_type))
        json_object_set_new(check, "type", json_string(type));
    if (!str_empty(endpoint) && !str_eq(endpoint, web->health_endpoint))
        json_object_set_new(data, "endpoint", json_string(endpoint));
    if (body_int(c->json, "health_check_timeout", &timeout) &&
        (uint64_t)timeout != web->health_timeout_s)
        json_object_set_new(data, "timeout", timeout ? json_integer(timeout) : json_null());
    *ret = json_object_size(check) || json_object_size(data);
    json_object_set_new(check, "data", data);
    int r = *ret ? process_take_health(c, web, check) : 0;
    json_decref(check);
    return r;
}

/* An empty command is the image's own. */
static int take_command(struct call *c, struct process_row *web, bool *ret) {
    const char *command = body_text(c->json, "command");
    if (command ? str_eq(command, web->command) : !body_null(c->json, "command"))
        return 0;
    *ret = true;
    if (!str_empty(command))
        return str_set(&web->command, command) < 0 ? fail_no_memory(c) : 0;
    free(web->command);
    web->command = NULL;
    return 0;
}

static int take_sizes(struct call *c, const struct app_row *app, struct process_row *web,
                      bool is_new) {
    struct process_size to = {web->instances, web->memory_mb, web->disk_mb, web->log_rate};
    int64_t value;
    if (body_int(c->json, "instances", &value))
        to.instances = (uint64_t)value;
    if (body_int(c->json, "memory", &value))
        to.memory_mb = (uint64_t)value;
    if (body_int(c->json, "disk_quota", &value))
        to.disk_mb = (uint64_t)value;
    if (to.instances == web->instances && to.memory_mb == web->memory_mb &&
        to.disk_mb == web->disk_mb)
        return 0;
    if (!is_new)
        return process_scale(c, app, web, &to);
    web->instances = to.instances; /* no scaling: app_scaling is not asked */
    web->memory_mb = to.memory_mb;
    web->disk_mb = to.disk_mb;
    return process_save(c, web);
}

static int take_process(struct call *c, const struct app_row *app, bool is_new) {
    _cleanup_(process_row_fini) struct process_row web = {0};
    struct error err = {0};
    bool health = false, command = false;
    if (store_process_get(c->api->deps.store, app->guid, &web, &err) < 0)
        return fail_internal(c, &err);
    if (take_health(c, &web, &health) < 0 || take_command(c, &web, &command) < 0)
        return -1;
    if ((health || command) && process_update(c, app, &web, health) < 0)
        return -1;
    return take_sizes(c, app, &web, is_new);
}

/* Another image, or other credentials, is a new package: it is staged at the next start. */
static int take_image(struct call *c, const struct app_row *app, const struct package_row *now) {
    _cleanup_(package_row_fini) struct package_row p = {0};
    const json_t *credentials = json_object_get(c->json, "docker_credentials");
    const char *image = body_text(c->json, "docker_image"),
               *username = body_text(credentials, "username"),
               *password = body_text(credentials, "password");
    if (!image && (!now || !json_is_object(credentials)))
        return 0;
    image = image ? image : now->image;
    if (!json_is_object(credentials) && now) {
        username = now->username;
        password = now->password;
    }
    if (now && str_eq(password, HIDDEN) && str_eq(username, now->username))
        password = now->password;
    bool same_user = str_empty(username) ? !now || !now->username
                                         : now && str_eq(username, now->username) &&
                                               str_eq(password ? password : "", now->password);
    if (now && str_eq(image, now->image) && same_user)
        return 0;
    return package_create(c, app, image, username, password, &p);
}

/* --- starting and stopping
 * ------------------------------------------------------------------------
 */

static int stage(struct call *c, const struct app_row *app, const struct package_row *package) {
    _cleanup_(build_row_fini) struct build_row b = {.start_after_staging = true};
    if (!package)
        return fail(c, CC_APP_PACKAGE_INVALID,
                    "The app package is invalid: bits have not been uploaded");
    return build_create(c, app, package, &b);
}

static int start(struct call *c, struct app_row *app) {
    _cleanup_(app_views_fini) struct app_views views = {0};
    if (app_views_load(c, app, 1, &views) < 0)
        return -1;
    const struct app_view *v = &views.v[0];
    if (app->started && v->state == PACKAGE_STAGED)
        return 0;
    if (need_docker_v2(c) < 0)
        return -1;
    if (v->state == PACKAGE_STAGED)
        return app_start(c, app, "audit.app.start");
    if (v->build && str_eq(v->build->state, "STAGING"))
        return builds_start_after(c, app->guid, true);
    if (app->started && app_stop(c, app) < 0)
        return -1;
    return record_event(c, "audit.app.start", app, NULL) < 0 ? -1 : stage(c, app, v->package);
}

static int stop(struct call *c, struct app_row *app) {
    if (builds_start_after(c, app->guid, false) < 0)
        return -1;
    return app->started ? app_stop(c, app) : 0;
}

static int take_state(struct call *c, struct app_row *app) {
    const char *state = body_text(c->json, "state");
    if (!state)
        return 0;
    if (str_eq(state, "STARTED"))
        return start(c, app);
    if (str_eq(state, "STOPPED"))
        return stop(c, app);
    return fail(c, CC_APP_INVALID, "The app is invalid: state must be STARTED or STOPPED");
}

/* --- the requests
 * -----------------------------------------------------------------------------------
 */

static const struct field credentials_fields[] = {
    {.name = "username", .kind = FIELD_TEXT, .nullable = true, .max = 1000},
    {.name = "password", .kind = FIELD_TEXT, .nullable = true, .max = 5000},
};

#define APP_FIELDS                                                                                 \
    {.name = "docker_image", .kind = FIELD_TEXT, .nullable = true, .min = 1, .max = IMAGE_MAX},    \
        {.name = "docker_credentials",                                                             \
         .kind = FIELD_OBJECT,                                                                     \
         .fields = credentials_fields,                                                             \
         .field_count = ARRAY_SIZE(credentials_fields)},                                           \
        {.name = "memory",                                                                         \
         .kind = FIELD_INT,                                                                        \
         .nullable = true,                                                                         \
         .min = 1,                                                                                 \
         .max = (int64_t)config->max_memory_mb},                                                   \
        {.name = "disk_quota",                                                                     \
         .kind = FIELD_INT,                                                                        \
         .nullable = true,                                                                         \
         .min = 1,                                                                                 \
         .max = (int64_t)config->max_disk_mb},                                                     \
        {.name = "instances",                                                                      \
         .kind = FIELD_INT,                                                                        \
         .nullable = true,                                                                         \
         .max = (int64_t)config->max_instances},                                                   \
        {.name = "command", .kind = FIELD_TEXT, .nullable = true, .max = COMMAND_MAX},             \
        {.name = "health_check_type", .kind = FIELD_TEXT, .nullable = true},                       \
        {.name = "health_check_timeout", .kind = FIELD_INT, .nullable = true, .max = TIMEOUT_MAX}, \
        {.name = "health_check_http_endpoint",                                                     \
         .kind = FIELD_TEXT,                                                                       \
         .nullable = true,                                                                         \
         .max = ENDPOINT_MAX},                                                                     \
        {.name = "environment_json", .kind = FIELD_OBJECT},                                        \
        {.name = "enable_ssh", .kind = FIELD_BOOL, .nullable = true}, {                            \
        .name = "state", .kind = FIELD_TEXT, .nullable = true                                      \
    }

static int load_space_of_new(struct call *c, const char *guid, struct space_row *ret) {
    if (store_space_get(c->api->deps.store, guid, ret, NULL) == 0 &&
        need_space(c, guid, NEED_WRITE, "Space") == 0)
        return 0;
    if (c->errors && c->status != 404)
        return -1;
    json_decref(c->errors);
    c->errors = NULL;
    return fail(c, CC_INVALID_RELATION,
                "Could not find VCAP::CloudController::Space with guid: %.100s", guid);
}

static json_t *request_of(struct call *c) {
    json_t *request = json_deep_copy(c->json);
    static const char *const secret[] = {"environment_json", "docker_credentials"};
    for (size_t i = 0; request && i < ARRAY_SIZE(secret); i++)
        if (json_object_get(request, secret[i]))
            json_object_set_new(request, secret[i], json_string("PRIVATE DATA HIDDEN"));
    return json_pack("{s:o}", "request", request);
}

int create_v2_app(struct call *c) {
    const struct api_config *config = &c->api->config;
    const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "space_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        APP_FIELDS,
    };
    _cleanup_(app_row_fini) struct app_row app = {0}, made = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    bool changed = false;
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 ||
        load_space_of_new(c, body_text(c->json, "space_guid"), &space) < 0)
        return -1;
    if (!body_text(c->json, "docker_image"))
        return fail(c, CC_APP_INVALID,
                    "The app is invalid: this platform runs Docker images: push with -o IMAGE");
    memcpy(app.space_guid, space.guid, GUID_SIZE);
    memcpy(app.org_guid, space.org_guid, GUID_SIZE);
    if (take_app(c, &app, &changed) < 0 || app_create(c, &app) < 0 ||
        v2_load_app(c, app.guid, NEED_WRITE, &made) < 0 || take_process(c, &made, true) < 0 ||
        take_image(c, &made, NULL) < 0 || take_state(c, &made) < 0)
        return -1;
    return v2_reply_app(c, 201, made.guid);
}

int update_v2_app(struct call *c) {
    const struct api_config *config = &c->api->config;
    const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .min = 1},
        APP_FIELDS,
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    bool changed = false;
    if (v2_load_app(c, c->params[0], NEED_WRITE, &app) < 0 ||
        v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 || app_views_load(c, &app, 1, &views) < 0)
        return -1;
    if (take_app(c, &app, &changed) < 0 || (changed && app_update(c, &app) < 0) ||
        record_event(c, "audit.app.update", &app, request_of(c)) < 0 ||
        take_process(c, &app, false) < 0 || take_image(c, &app, views.v[0].package) < 0 ||
        take_state(c, &app) < 0 || (changed && after_commit(c, AFTER_DESIRE_APP, app.guid) < 0))
        return -1;
    return v2_reply_app(c, 201, app.guid);
}

int restage_v2_app(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    if (v2_load_app(c, c->params[0], NEED_WRITE, &app) < 0 || need_docker_v2(c) < 0 ||
        app_views_load(c, &app, 1, &views) < 0 ||
        record_event(c, "audit.app.restage", &app, NULL) < 0)
        return -1;
    const struct app_view *v = &views.v[0];
    if (v->build && str_eq(v->build->state, "STAGING")
            ? builds_start_after(c, app.guid, true) < 0
            : (app.started && app_stop(c, &app) < 0) || stage(c, &app, v->package) < 0)
        return -1;
    return v2_reply_app(c, 201, app.guid);
}

/* The image of another app, as its newest package has it. */
int copy_v2_bits(struct call *c) {
    static const struct field fields[] = {
        {.name = "source_app_guid", .kind = FIELD_TEXT, .required = true, .min = 1}};
    _cleanup_(app_row_fini) struct app_row app = {0}, source = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    _cleanup_(package_row_fini) struct package_row p = {0};
    if (v2_load_app(c, c->params[0], NEED_WRITE, &app) < 0 ||
        v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 ||
        v2_load_app(c, body_text(c->json, "source_app_guid"), NEED_WRITE, &source) < 0 ||
        app_views_load(c, &source, 1, &views) < 0)
        return -1;
    const struct package_row *from = views.v[0].package;
    if (!from)
        return fail(c, CC_APP_PACKAGE_INVALID,
                    "The app package is invalid: bits have not been uploaded");
    if (package_create(c, &app, from->image, NULL, NULL, &p) < 0)
        return -1;
    return v2_reply_job(c, 201, "app.copy_bits");
}

int delete_v2_app(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (v2_load_app(c, c->params[0], NEED_WRITE, &app) < 0 || app_delete(c, &app) < 0)
        return -1;
    return reply_nothing(c, 204);
}

int restart_v2_app_instance(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(process_row_fini) struct process_row web = {0};
    struct error err = {0};
    if (v2_load_app(c, c->params[0], NEED_WRITE, &app) < 0)
        return -1;
    if (store_process_get(c->api->deps.store, app.guid, &web, &err) < 0)
        return fail_internal(c, &err);
    return process_restart_instance(c, &web, c->params[1]);
}
