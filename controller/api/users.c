/* users.c - users as Cloud Controller shows them, and their roles. */
#include <errno.h>

#include "controller/api/resources.h"

static json_t *user_json(struct call *c, const struct user_row *u) {
    bool client = str_eq(u->origin, "client");
    return json_pack("{s:s,s:o,s:o,s:o,s:s,s:o,s:{s:{},s:{}},s:{s:o}}", "guid", u->guid,
                     "created_at", json_time(u->created_ns), "updated_at", json_time(u->updated_ns),
                     "username", client ? json_null() : json_text_or_null(u->username),
                     "presentation_name", u->username, "origin",
                     client ? json_null() : json_text_or_null(u->origin), "metadata", "labels",
                     "annotations", "links", "self", json_link(c, "/v3/users/%s", u->guid));
}

int list_users(struct call *c) {
    static const char *const filters[] = {"guids", "usernames", "origins", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(user_rows_fini) struct user_rows rows = {0};
    struct error err = {0};
    if (listing_parse(c, &l, filters, NULL) < 0)
        return -1;
    if (store_user_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        if (json_array_append_new(list, user_json(c, &rows.v[i])))
            return json_decref(list), fail_no_memory(c);
    return reply_list(c, &l, rows.total, list, NULL);
}

int get_user(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    if (!c->identity.admin && !str_eq(c->params[0], c->identity.guid))
        return fail_not_found(c, "User");
    int r = store_user_get(c->api->deps.store, c->params[0], &user, &err);
    if (r < 0)
        return r == -ENOENT ? fail_not_found(c, "User") : fail_internal(c, &err);
    return reply_json(c, 200, user_json(c, &user));
}

/* --- roles
 * ------------------------------------------------------------------------------------------
 */

static const char *const role_types[] = {"organization_user",    "organization_auditor",
                                         "organization_manager", "organization_billing_manager",
                                         "space_auditor",        "space_developer",
                                         "space_manager",        "space_supporter"};

static bool role_known(const char *type) {
    for (size_t i = 0; i < ARRAY_SIZE(role_types); i++)
        if (str_eq(role_types[i], type))
            return true;
    return false;
}

static json_t *role_json(struct call *c, const struct role_row *r) {
    return json_pack("{s:s,s:o,s:o,s:s,s:{s:o,s:o,s:o},s:{s:o,s:o}}", "guid", r->guid, "created_at",
                     json_time(r->created_ns), "updated_at", json_time(r->updated_ns), "type",
                     r->type, "relationships", "user", json_relation(r->user_guid), "space",
                     json_relation(r->space_guid), "organization", json_relation(r->org_guid),
                     "links", "self", json_link(c, "/v3/roles/%s", r->guid), "user",
                     json_link(c, "/v3/users/%s", r->user_guid));
}

static json_t *users_of(struct call *c, const struct role_rows *rows) {
    json_t *seen = json_object(), *users = json_array();
    for (size_t i = 0; i < rows->n; i++) {
        _cleanup_(user_row_fini) struct user_row user = {0};
        if (!json_object_get(seen, rows->v[i].user_guid) &&
            store_user_get(c->api->deps.store, rows->v[i].user_guid, &user, NULL) == 0)
            json_array_append_new(users, user_json(c, &user));
        json_object_set_new(seen, rows->v[i].user_guid, json_true());
    }
    json_decref(seen);
    return json_pack("{s:o}", "users", users);
}

int list_roles(struct call *c) {
    static const char *const filters[] = {
        "guids", "types", "user_guids", "space_guids", "organization_guids", NULL};
    static const char *const also[] = {"include", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(role_rows_fini) struct role_rows rows = {0};
    struct error err = {0};
    if (listing_parse(c, &l, filters, also) < 0)
        return -1;
    if (store_role_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        if (json_array_append_new(list, role_json(c, &rows.v[i])))
            return json_decref(list), fail_no_memory(c);
    return reply_list(c, &l, rows.total, list,
                      call_query(c, "include") ? users_of(c, &rows) : NULL);
}

/* Managers give roles; an org's manager also in its spaces. */
static int may_manage(struct call *c, const struct role_row *role, const char *space_org) {
    enum store_access access = STORE_ACCESS_NONE;
    struct error err = {0};
    if (c->identity.admin)
        return 0;
    const char *org = role->org_guid[0] ? role->org_guid : space_org;
    if (store_org_access(c->api->deps.store, c->identity.guid, org, &access, &err) < 0)
        return fail_internal(c, &err);
    return access == STORE_ACCESS_WRITE ? 0 : fail_plain(c, CC_NOT_AUTHORIZED);
}

static int find_user_of_role(struct call *c, const char *guid, const char *name,
                             struct user_row *user) {
    struct error err = {0};
    if (!guid && !name)
        return fail_invalid(c, "User must be given by guid or by username");
    int r = guid ? store_user_get(c->api->deps.store, guid, user, &err)
                 : store_user_find(c->api->deps.store, name, user, &err);
    if (r == -ENOENT)
        return name ? fail_invalid(c, "No user exists with the username '%.100s'.", name)
                    : fail_invalid(c,
                                   "Invalid user. Ensure that the user exists and you have access "
                                   "to it.");
    return r < 0 ? fail_internal(c, &err) : 0;
}

/* The space or the org that the role is in, as its type says. */
static int place_role(struct call *c, struct role_row *role, const char *guid,
                      struct space_row *space, struct org_row *org) {
    bool in_space = str_starts(role->type, "space_");
    if (!guid)
        return fail_invalid(c, "Relationships must name the %s of the role",
                            in_space ? "space" : "organization");
    if (in_space ? store_space_get(c->api->deps.store, guid, space, NULL) < 0
                 : store_org_get(c->api->deps.store, guid, org, NULL) < 0)
        return fail_invalid(c, "Invalid %s. Ensure that it exists and you have access to it.",
                            in_space ? "space" : "organization");
    memcpy(in_space ? role->space_guid : role->org_guid, in_space ? space->guid : org->guid,
           GUID_SIZE);
    return may_manage(c, role, space->org_guid);
}

int role_grant(struct call *c, const struct role_wish *wish, bool again_ok, struct role_row *ret) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(org_row_fini) struct org_row org = {0};
    struct error err = {0};
    if (str_set(&ret->type, wish->type) < 0)
        return fail_no_memory(c);
    if (place_role(c, ret, wish->place, &space, &org) < 0 ||
        find_user_of_role(c, wish->user_guid, wish->username, &user) < 0)
        return -1;
    memcpy(ret->user_guid, user.guid, GUID_SIZE);
    int r = store_role_insert(c->api->deps.store, ret, &err);
    if (r == -EEXIST && !again_ok)
        return fail_invalid(c, "User '%s' already has '%s' role in %s '%s'.", user.username,
                            ret->type, space.name ? "space" : "organization",
                            space.name ? space.name : org.name);
    return r < 0 && r != -EEXIST ? fail_internal(c, &err) : 0;
}

int create_role(struct call *c) {
    static const struct field user_data[] = {
        {.name = "guid", .kind = FIELD_TEXT, .nullable = true},
        {.name = "username", .kind = FIELD_TEXT, .nullable = true},
        {.name = "origin", .kind = FIELD_TEXT, .nullable = true},
    };
    static const struct field user_field[] = {FIELD_OF("data", true, user_data)};
    static const struct field relations[] = {
        FIELD_OF("user", true, user_field),
        FIELD_RELATION("space", false),
        FIELD_RELATION("organization", false),
    };
    static const struct field fields[] = {
        {.name = "type", .kind = FIELD_TEXT, .required = true, .min = 1},
        FIELD_OF("relationships", true, relations),
    };
    _cleanup_(role_row_fini) struct role_row role = {0};
    if (body_check_all(c, fields) < 0)
        return -1;
    if (!role_known(body_text(c->json, "type")))
        return fail_invalid(c, "Type must be one of the allowed types");
    const char *type = body_text(c->json, "type");
    const struct role_wish wish = {
        .type = type,
        .place =
            body_text(c->json, str_starts(type, "space_") ? "relationships.space.data.guid"
                                                          : "relationships.organization.data.guid"),
        .user_guid = body_text(c->json, "relationships.user.data.guid"),
        .username = body_text(c->json, "relationships.user.data.username"),
    };
    if (role_grant(c, &wish, false, &role) < 0)
        return -1;
    return reply_json(c, 201, role_json(c, &role));
}

static int load_role(struct call *c, struct role_row *role) {
    struct error err = {0};
    int r = store_role_get(c->api->deps.store, c->params[0], role, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || (!c->identity.admin && !str_eq(role->user_guid, c->identity.guid)))
        return fail_not_found(c, "Role");
    return 0;
}

int get_role(struct call *c) {
    _cleanup_(role_row_fini) struct role_row role = {0};
    return load_role(c, &role) < 0 ? -1 : reply_json(c, 200, role_json(c, &role));
}

int role_revoke(struct call *c, const struct role_row *role) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    struct error err = {0};
    if (role->space_guid[0])
        (void)store_space_get(c->api->deps.store, role->space_guid, &space, NULL);
    if (may_manage(c, role, space.org_guid) < 0)
        return -1;
    return store_role_delete(c->api->deps.store, role->guid, &err) < 0 ? fail_internal(c, &err) : 0;
}

int delete_role(struct call *c) {
    _cleanup_(role_row_fini) struct role_row role = {0};
    struct error err = {0};
    int r = store_role_get(c->api->deps.store, c->params[0], &role, &err);
    if (r < 0)
        return r == -ENOENT ? fail_not_found(c, "Role") : fail_internal(c, &err);
    if (role_revoke(c, &role) < 0)
        return -1;
    return reply_job(c, "role.delete");
}
