/* app_features.c - the small facts about an app that clients ask for: permissions, features. */
#include "controller/api/resources.h"

int get_app_permissions(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    unsigned roles = STORE_SPACE_DEVELOPER;
    struct error err = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    if (!c->identity.admin && store_roles_in_space(c->api->deps.store, c->identity.guid,
                                                   app.space_guid, &roles, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200,
                      json_pack("{s:b,s:b}", "read_basic_data", 1, "read_sensitive_data",
                                (access_of_roles(roles, true) & (1u << ACCESS_SECRETS)) != 0));
}

/* There is no SSH proxy: said as the real one says that an operator switched it off. */
int get_app_ssh_enabled(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    return reply_json(c, 200, json_pack("{s:b,s:s}", "enabled", 0, "reason", "Disabled globally"));
}

static json_t *ssh_feature(const struct app_row *app) {
    return json_pack("{s:s,s:s,s:b}", "name", "ssh", "description", "Enable SSHing into the app.",
                     "enabled", app->ssh);
}

static json_t *revisions_feature(const struct app_row *app) {
    return json_pack("{s:s,s:s,s:b}", "name", "revisions", "description",
                     "Enable versioning of an application", "enabled", !app->revisions_off);
}

int list_app_features(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    struct listing l = {.page = 1, .per_page = PER_PAGE_DEFAULT};
    return reply_list(c, &l, 2, json_pack("[o,o]", ssh_feature(&app), revisions_feature(&app)),
                      NULL);
}

int get_app_feature(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    if (str_eq(c->params[1], "ssh"))
        return reply_json(c, 200, ssh_feature(&app));
    if (str_eq(c->params[1], "revisions"))
        return reply_json(c, 200, revisions_feature(&app));
    return fail_not_found(c, "Feature");
}

int update_app_feature(struct call *c) {
    static const struct field fields[] = {
        {.name = "enabled", .kind = FIELD_BOOL, .required = true},
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    bool enabled = false;
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 || body_check_all(c, fields) < 0)
        return -1;
    body_bool(c->json, "enabled", &enabled);
    bool ssh = str_eq(c->params[1], "ssh");
    if (!ssh && !str_eq(c->params[1], "revisions"))
        return fail_invalid(c, "This platform has no feature '%.100s' to switch", c->params[1]);
    if (ssh)
        app.ssh = enabled;
    else
        app.revisions_off = !enabled;
    if (app_update(c, &app) < 0)
        return -1;
    return reply_json(c, 200, ssh ? ssh_feature(&app) : revisions_feature(&app));
}

/* Sidecars of an app: none. */
int list_app_nothing(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    return reply_empty_list(c);
}
