/* env_groups.c - the environments that an admin gives to all apps: one when they run, one when they
 * are staged (which for an image is only looked up: that one is kept and shown). */
#include <errno.h>

#include "controller/api/resources.h"
#include "controller/staging/staging.h"

static const char *setting_of(const char *name) {
    return str_eq(name, "running")   ? STAGING_RUNNING_ENV
           : str_eq(name, "staging") ? "staging_env"
                                     : NULL;
}

bool env_group_known(const char *name) {
    return setting_of(name) != NULL;
}

json_t *env_group(struct call *c, const char *name) {
    _cleanup_(freep) char *text = NULL;
    (void)store_secret_get(c->api->deps.store, setting_of(name), &text, NULL);
    return json_stored(text, "{}");
}

static int reply_group(struct call *c, const char *name, const char *text) {
    return reply_json(c, 200,
                      json_pack("{s:s,s:o,s:n,s:{s:o}}", "name", name, "var",
                                json_stored(text, "{}"), "updated_at", "links", "self",
                                json_link(c, "/v3/environment_variable_groups/%s", name)));
}

static int load_group(struct call *c, char **ret) {
    struct error err = {0};
    const char *setting = setting_of(c->params[0]);
    if (!setting)
        return fail_not_found(c, "Environment variable group");
    int r = store_secret_get(c->api->deps.store, setting, ret, &err);
    return r < 0 && r != -ENOENT ? fail_internal(c, &err) : 0;
}

int get_env_group(struct call *c) {
    _cleanup_(freep) char *text = NULL;
    return load_group(c, &text) < 0 ? -1 : reply_group(c, c->params[0], text);
}

int env_group_replace(struct call *c, const char *name, const json_t *vars) {
    _cleanup_(freep) char *text = NULL;
    struct error err = {0};
    if (env_check_values(c, vars) < 0 || env_merge(c, &text, vars, "") < 0)
        return -1;
    return store_secret_set(c->api->deps.store, setting_of(name), text ? text : "{}", &err) < 0
               ? fail_internal(c, &err)
               : 0;
}

int update_env_group(struct call *c) {
    static const struct field fields[] = {
        {.name = "var", .kind = FIELD_OBJECT, .required = true},
    };
    _cleanup_(freep) char *text = NULL;
    struct error err = {0};
    if (load_group(c, &text) < 0 || body_check_all(c, fields) < 0)
        return -1;
    const json_t *vars = body_at(c->json, "var");
    if (!json_is_object(vars))
        return fail_invalid(c, "Var must be an object");
    if (env_check_values(c, vars) < 0 || env_merge(c, &text, vars, "") < 0)
        return -1;
    if (store_secret_set(c->api->deps.store, setting_of(c->params[0]), text, &err) < 0)
        return fail_internal(c, &err);
    return reply_group(c, c->params[0], text);
}
