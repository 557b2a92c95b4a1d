/* app_env.c - an app's environment: what the user set, and what the platform adds. */
#include <strings.h>

#include "controller/api/resources.h"
#include "controller/store/services.h"

#define ENV_MAX      1000        /* variables of an app */
#define ENV_SIZE_MAX (64 * 1024) /* bytes in all: it must fit in an exec with room to spare */
#define FDS_LIMIT    16384       /* cc: instance_file_descriptor_limit */

/* cc: app/messages/validators.rb EnvironmentVariablesValidator */
static int check_name(struct call *c, const char *name, const char *prefix) {
    if (!*name)
        return fail_invalid(c, "%sEnvironment variable names can't be blank", prefix);
    if (strncasecmp(name, "VCAP_", 5) == 0)
        return fail_invalid(c, "%sEnvironment variables cannot start with VCAP_", prefix);
    if (strncasecmp(name, "VMC", 3) == 0)
        return fail_invalid(c, "%sEnvironment variables cannot start with VMC_", prefix);
    if (strcasecmp(name, "PORT") == 0)
        return fail_invalid(c, "%sEnvironment variables cannot set PORT", prefix);
    if (strchr(name, '=') || strchr(name, '\n'))
        return fail_invalid(c, "%sEnvironment variable names cannot contain '=' or a line break",
                            prefix);
    return 0;
}

/* Numbers and booleans of a manifest are kept as text. */
static json_t *as_text(const json_t *value) {
    if (json_is_string(value))
        return json_incref((json_t *)value);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    json_t *string = text ? json_string(text) : NULL;
    free(text);
    return string;
}

int env_merge(struct call *c, char **stored, const json_t *vars, const char *prefix) {
    const char *name;
    json_t *value, *env = json_stored(*stored, "{}");
    int r = env ? 0 : fail_no_memory(c);
    json_object_foreach((json_t *)vars, name, value) {
        if (r < 0 || (r = check_name(c, name, prefix)) < 0)
            break;
        if (json_is_null(value))
            json_object_del(env, name);
        else if (json_object_set_new(env, name, as_text(value)))
            r = fail_no_memory(c);
    }
    if (r == 0 && json_object_size(env) > ENV_MAX)
        r = fail_invalid(c, "%sToo many environment variables (maximum is %d)", prefix, ENV_MAX);
    char *text = r == 0 ? json_dumps(env, JSON_COMPACT) : NULL;
    json_decref(env);
    if (r < 0)
        return r;
    if (!text)
        return fail_no_memory(c);
    if (strlen(text) > ENV_SIZE_MAX) {
        free(text);
        return fail_invalid(c, "%sEnvironment variables are too large (maximum is %d bytes)",
                            prefix, ENV_SIZE_MAX);
    }
    free(*stored);
    *stored = text;
    return 0;
}

static json_t *vars_json(struct call *c, const struct app_row *app) {
    return json_pack("{s:o,s:{s:o,s:o}}", "var", json_stored(app->env, "{}"), "links", "self",
                     json_link(c, "/v3/apps/%s/environment_variables", app->guid), "app",
                     json_link(c, "/v3/apps/%s", app->guid));
}

/* Secrets stand in the environment: only who may change the app reads it. */
int get_app_vars(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0)
        return -1;
    return reply_json(c, 200, vars_json(c, &app));
}

int env_check_values(struct call *c, const json_t *vars) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)vars, name,
                        value) if (!json_is_string(value) && !json_is_null(value)) {
        return fail_invalid(c,
                            "Non-string value in environment variable for key '%.100s', value '%s'",
                            name, json_is_object(value) ? "{...}" : "...");
    }
    return 0;
}

int update_app_vars(struct call *c) {
    static const struct field fields[] = {
        {.name = "var", .kind = FIELD_OBJECT, .required = true},
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 || body_check_all(c, fields) < 0)
        return -1;
    const json_t *vars = body_at(c->json, "var");
    if (!json_is_object(vars))
        return fail_invalid(c, "Var must be an object");
    if (env_check_values(c, vars) < 0 || env_merge(c, &app.env, vars, "") < 0 ||
        app_update(c, &app) < 0 ||
        record_event(c, "audit.app.update", &app,
                     json_pack("{s:{s:s}}", "request", "environment_variables",
                               "[PRIVATE DATA HIDDEN]")) < 0 ||
        after_commit(c, AFTER_DESIRE_APP, app.guid) < 0)
        return -1;
    return reply_json(c, 200, vars_json(c, &app));
}

/* --- GET /v3/apps/:guid/env
 * -------------------------------------------------------------------------
 */

static json_t *uris_of(struct call *c, const struct app_row *app) {
    const char *guid = app->guid;
    struct store_filter filter = {"app_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    if (store_destination_list(c->api->deps.store, &q, &rows, NULL) < 0)
        return NULL;
    json_t *uris = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        const struct destination_row *d = &rows.v[i];
        _cleanup_(freep) char *uri = route_url(d->host, d->domain_name, d->path);
        json_array_append_new(uris, uri ? json_string(uri) : NULL);
    }
    return uris;
}

static json_t *vcap_application(struct call *c, const struct app_row *app) {
    json_t *uris = uris_of(c, app);
    json_t *vcap =
        json_pack("{s:s,s:s,s:s,s:O,s:O,s:s,s:{s:i},s:s,s:s,s:s,s:s,s:n}", "application_id",
                  app->guid, "application_name", app->name, "name", app->name, "application_uris",
                  uris, "uris", uris, "cf_api", call_base(c), "limits", "fds", FDS_LIMIT,
                  "organization_id", app->org_guid, "organization_name", app->org_name, "space_id",
                  app->space_guid, "space_name", app->space_name, "users");
    json_decref(uris);
    return vcap;
}

json_t *app_env_json(struct call *c, const struct app_row *app, const char *own) {
    _cleanup_(freep) char *services = NULL;
    (void)store_vcap_services(c->api->deps.store, app->guid, &services, NULL);
    return json_pack("{s:o,s:o,s:o,s:{s:o},s:{s:o}}", "staging_env_json", env_group(c, "staging"),
                     "running_env_json", env_group(c, "running"), own, json_stored(app->env, "{}"),
                     "system_env_json", "VCAP_SERVICES", json_stored(services, "{}"),
                     "application_env_json", "VCAP_APPLICATION", vcap_application(c, app));
}

int get_app_env(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0)
        return -1;
    return reply_json(c, 200, app_env_json(c, &app, "environment_variables"));
}
