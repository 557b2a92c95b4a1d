/* users.c - users as Cloud Controller shows them, and their roles. */
#include <errno.h>

#include "controller/api/resources.h"
#include "controller/store/tokens.h"

json_t *user_json(struct call *c, const struct user_row *u) {
    bool client = str_eq(u->origin, "client");
    return json_pack("{s:s,s:o,s:o,s:o,s:s,s:o,s:o,s:{s:o}}", "guid", u->guid, "created_at",
                     json_time(u->created_ns), "updated_at", json_time(u->updated_ns), "username",
                     client ? json_null() : json_text_or_null(u->username), "presentation_name",
                     u->username, "origin", client ? json_null() : json_text_or_null(u->origin),
                     "metadata", json_metadata(u->labels, u->annotations), "links", "self",
                     json_link(c, "/v3/users/%s", u->guid));
}

/* Inactive ones were deleted here, though not yet in UAA. `members`: only those of `place`. */
static int reply_users(struct call *c, const char *members, const char *place) {
    static const char *const filters[] = {"guids",   "usernames",      "partial_usernames",
                                          "origins", "label_selector", NULL};
    static const char *const active = "1";
    _cleanup_(listing_fini) struct listing l = {0};
    if (listing_parse(c, &l, filters, NULL) < 0)
        return -1;
    listing_add(&l, "active", &active);
    if (members)
        listing_add(&l, members, &place);
    return reply_rows(c, &l, user, user_json);
}

int list_users(struct call *c) {
    return reply_users(c, NULL, NULL);
}

int list_org_users(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    return load_org(c, c->params[0], NEED_READ, &org) < 0
               ? -1
               : reply_users(c, "members_of_org", org.guid);
}

int list_space_users(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return load_space(c, c->params[0], NEED_READ, &space) < 0
               ? -1
               : reply_users(c, "members_of_space", space.guid);
}

static int load_user(struct call *c, struct user_row *ret) {
    const char *guid = c->params[0];
    struct store_filter filter = {"guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .visible_to = visible_to(c)};
    _cleanup_(user_rows_fini) struct user_rows rows = {0};
    struct error err = {0};
    if (store_user_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n || !rows.v[0].active)
        return fail_not_found(c, "User");
    *ret = rows.v[0];
    rows.v[0] = (struct user_row){0};
    return 0;
}

int get_user(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    return load_user(c, &user) < 0 ? -1 : reply_json(c, 200, user_json(c, &user));
}

int update_user(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    if (load_user(c, &user) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &user.labels, &user.annotations) < 0)
        return -1;
    if (store_user_update(c->api->deps.store, &user, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, user_json(c, &user));
}

/* UAA has made the account already: here it is only told of. */
int create_user(struct call *c) {
    static const struct field fields[] = {
        {.name = "guid", .kind = FIELD_TEXT},
        {.name = "username", .kind = FIELD_TEXT},
        {.name = "origin", .kind = FIELD_TEXT},
        FIELD_METADATA,
    };
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    if (body_check_all(c, fields) < 0)
        return -1;
    const char *guid = body_text(c->json, "guid"), *name = body_text(c->json, "username");
    if (!guid == !name)
        return fail_invalid(c, "User must be given by guid or by username");
    int r = guid ? store_user_get(c->api->deps.store, guid, &user, &err)
                 : store_user_find(c->api->deps.store, name, &user, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !user.active)
        return fail_invalid(c, "No user exists with the %s '%.100s'.", guid ? "guid" : "username",
                            guid ? guid : name);
    return reply_json(c, 201, user_json(c, &user));
}

/* Roles and log-ins end here; the name stays taken until UAA deletes the account too, which is what
 * the CLIs ask for next. */
int user_end(struct call *c, struct user_row *user) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    if (str_eq(user->guid, c->identity.guid))
        return fail_invalid(c, "You cannot delete the user that you are logged in as.");
    user->active = false;
    if (store_user_update(store, user, &err) < 0 ||
        store_role_delete_of_user(store, user->guid, &err) < 0 ||
        store_token_delete_of_user(store, user->guid, &err) < 0)
        return fail_internal(c, &err);
    return 0;
}

int delete_user(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    if (load_user(c, &user) < 0 || user_end(c, &user) < 0)
        return -1;
    return reply_job(c, "user.delete");
}

/* --- roles
 * ------------------------------------------------------------------------------------------
 */

static json_t *role_json(struct call *c, const struct role_row *r) {
    bool in_space = r->space_guid[0];
    return json_pack("{s:s,s:o,s:o,s:s,s:{s:o,s:o,s:o},s:{s:o,s:o,s:o}}", "guid", r->guid,
                     "created_at", json_time(r->created_ns), "updated_at", json_time(r->updated_ns),
                     "type", r->type, "relationships", "user", json_relation(r->user_guid), "space",
                     json_relation(r->space_guid), "organization", json_relation(r->org_guid),
                     "links", "self", json_link(c, "/v3/roles/%s", r->guid), "user",
                     json_link(c, "/v3/users/%s", r->user_guid),
                     in_space ? "space" : "organization",
                     json_link(c, in_space ? "/v3/spaces/%s" : "/v3/organizations/%s",
                               in_space ? r->space_guid : r->org_guid));
}

static const char *const role_also[] = {"include=user", "include=space", "include=organization",
                                        NULL};

static void include_of(struct including *in, const struct role_row *r) {
    include(in, INCLUDE_USERS, r->user_guid);
    include(in, INCLUDE_SPACES, r->space_guid);
    include(in, INCLUDE_ORGS, r->org_guid);
}

int list_roles(struct call *c) {
    static const char *const filters[] = {
        "guids", "types", "user_guids", "space_guids", "organization_guids", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(role_rows_fini) struct role_rows rows = {0};
    _cleanup_(including_fini) struct including in;
    struct error err = {0};
    including_init(&in, c);
    if (listing_parse(c, &l, filters, role_also) < 0)
        return -1;
    if (store_role_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        if (json_array_append_new(list, role_json(c, &rows.v[i])))
            return json_decref(list), fail_no_memory(c);
        include_of(&in, &rows.v[i]);
    }
    return reply_list(c, &l, rows.total, list, including_take(&in));
}

/* Roles in a space are its managers' matter, those in an org its managers'. */
static int may_manage(struct call *c, const struct role_row *role) {
    return role->space_guid[0] ? need_space(c, role->space_guid, NEED_WRITE, "Space")
                               : need_org(c, role->org_guid, NEED_WRITE, "Organization");
}

/* A client may be named by its id where a person has a guid, as UAA has it. */
static int find_user_of_role(struct call *c, const struct role_wish *wish, struct user_row *user) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    const char *guid = wish->user_guid, *name = wish->username, *origin = wish->origin;
    if (!guid && !name)
        return fail_invalid(c, "User must be given by guid or by username");
    if (!guid && need_flag(c, "set_roles_by_username") < 0)
        return -1;
    int r =
        guid ? store_user_get(store, guid, user, &err) : store_user_find(store, name, user, &err);
    if (guid && r == -ENOENT && (r = store_user_find(store, guid, user, &err)) == 0 &&
        !str_eq(user->origin, "client"))
        r = -ENOENT;
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r == 0 && user->active && (guid || !origin || str_eq(origin, user->origin)))
        return 0;
    if (guid)
        return fail_invalid(c,
                            "Invalid user. Ensure that the user exists and you have access to it.");
    return origin
               ? fail_invalid(c, "No user exists with the username '%.100s' and origin '%.100s'.",
                              name, origin)
               : fail_invalid(c, "No user exists with the username '%.100s'.", name);
}

/* cc: app/actions/role_create.rb */
static int check_org_member(struct call *c, const struct user_row *user, const char *org_guid) {
    struct error err = {0};
    unsigned roles = 0;
    if (store_roles_in_org(c->api->deps.store, user->guid, org_guid, &roles, &err) < 0)
        return fail_internal(c, &err);
    return roles & STORE_ORG_ROLES
               ? 0
               : fail_invalid(c, "Users cannot be assigned roles in a space if they do not have a "
                                 "role in that space's organization.");
}

/* The space or the org that the role is in, as its type says. */
static int place_role(struct call *c, struct role_row *role, const char *guid,
                      struct space_row *space, struct org_row *org) {
    bool in_space = str_starts(role->type, "space_");
    if (!guid)
        return fail_invalid(c, "Relationships must name the %s of the role",
                            in_space ? "space" : "organization");
    struct store *store = c->api->deps.store;
    if (in_space ? store_space_get(store, guid, space, NULL) < 0 || !sees_space(c, guid)
                 : store_org_get(store, guid, org, NULL) < 0 || !sees_org(c, guid))
        return fail_invalid(c, "Invalid %s. Ensure the %s exists and you have access to it.",
                            in_space ? "space" : "organization",
                            in_space ? "space" : "organization");
    memcpy(in_space ? role->space_guid : role->org_guid, in_space ? space->guid : org->guid,
           GUID_SIZE);
    return may_manage(c, role);
}

int role_grant(struct call *c, const struct role_wish *wish, bool again_ok, struct role_row *ret) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(org_row_fini) struct org_row org = {0};
    struct error err = {0};
    if (str_set(&ret->type, wish->type) < 0)
        return fail_no_memory(c);
    if (place_role(c, ret, wish->place, &space, &org) < 0 ||
        find_user_of_role(c, wish, &user) < 0 ||
        (ret->space_guid[0] && check_org_member(c, &user, space.org_guid) < 0))
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
    if (!store_role_of(body_text(c->json, "type")))
        return fail_invalid(c, "Type must be one of the allowed types");
    const char *type = body_text(c->json, "type");
    const struct role_wish wish = {
        .type = type,
        .place =
            body_text(c->json, str_starts(type, "space_") ? "relationships.space.data.guid"
                                                          : "relationships.organization.data.guid"),
        .user_guid = body_text(c->json, "relationships.user.data.guid"),
        .username = body_text(c->json, "relationships.user.data.username"),
        .origin = body_text(c->json, "relationships.user.data.origin"),
    };
    if (role_grant(c, &wish, false, &role) < 0)
        return -1;
    return reply_json(c, 201, role_json(c, &role));
}

static int load_role(struct call *c, struct role_row *ret) {
    const char *guid = c->params[0];
    struct store_filter filter = {"guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .visible_to = visible_to(c)};
    _cleanup_(role_rows_fini) struct role_rows rows = {0};
    struct error err = {0};
    if (store_role_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n)
        return fail_not_found(c, "Role");
    *ret = rows.v[0];
    rows.v[0] = (struct role_row){0};
    return 0;
}

int get_role(struct call *c) {
    _cleanup_(role_row_fini) struct role_row role = {0};
    _cleanup_(including_fini) struct including in;
    including_init(&in, c);
    if (load_role(c, &role) < 0)
        return -1;
    include_of(&in, &role);
    return reply_json(c, 200, including_with(&in, role_json(c, &role)));
}

/* cc: a space's members stay members of its org. */
static int check_no_space_roles(struct call *c, const struct role_row *role) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    unsigned roles = 0;
    const char *user = role->user_guid, *org = role->org_guid;
    struct store_filter filters[] = {{"user_guids", &user, 1}, {"organization_guids", &org, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2, .limit = 2};
    _cleanup_(role_rows_fini) struct role_rows in_org = {0};
    if (!org[0])
        return 0;
    if (store_roles_in_org(store, user, org, &roles, &err) < 0 ||
        store_role_list(store, &q, &in_org, &err) < 0)
        return fail_internal(c, &err);
    return in_org.n > 1 || !(roles & ~STORE_ORG_ROLES)
               ? 0
               : fail_invalid(c, "Cannot delete organization_user role while user has roles in "
                                 "spaces in that organization.");
}

int role_revoke(struct call *c, const struct role_row *role) {
    struct error err = {0};
    if (may_manage(c, role) < 0 || check_no_space_roles(c, role) < 0)
        return -1;
    return store_role_delete(c->api->deps.store, role->guid, &err) < 0 ? fail_internal(c, &err) : 0;
}

int delete_role(struct call *c) {
    _cleanup_(role_row_fini) struct role_row role = {0};
    if (load_role(c, &role) < 0 || role_revoke(c, &role) < 0)
        return -1;
    return reply_job(c, "role.delete");
}
