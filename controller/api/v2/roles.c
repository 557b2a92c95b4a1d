/* roles.c - roles, which in v2 are lists of users of an org or a space: PUT .../managers/USER. */
#include <errno.h>

#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

static const struct {
    const char *list, *in_org, *in_space; /* types of role; NULL: no such list there */
} kinds[] = {
    {"users", "organization_user", NULL},
    {"managers", "organization_manager", "space_manager"},
    {"billing_managers", "organization_billing_manager", NULL},
    {"auditors", "organization_auditor", "space_auditor"},
    {"developers", NULL, "space_developer"},
};

static const char *type_of(const char *list, bool in_space) {
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_eq(kinds[i].list, list))
            return in_space ? kinds[i].in_space : kinds[i].in_org;
    return NULL;
}

/* Who: by guid in the path, or by name in the body. */
static int read_wish(struct call *c, bool in_space, struct role_wish *wish) {
    static const struct field fields[] = {
        {.name = "username", .kind = FIELD_TEXT, .required = true, .min = 1}};
    wish->type = type_of(c->params[1], in_space);
    wish->place = c->params[0];
    wish->user_guid = c->params[2];
    if (!wish->type)
        return fail_plain(c, CC_UNKNOWN_REQUEST);
    if (wish->user_guid)
        return 0;
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0)
        return -1;
    wish->username = body_text(c->json, "username");
    return 0;
}

static int find_user(struct call *c, const struct role_wish *wish, struct user_row *user) {
    struct store *store = c->api->deps.store;
    struct error err = {0};
    int r = wish->user_guid ? store_user_get(store, wish->user_guid, user, &err)
                            : store_user_find(store, wish->username, user, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    return r == 0
               ? 0
               : fail(c, CC_USER_NOT_FOUND, "%s: %.255s", cc_error_info(CC_USER_NOT_FOUND)->detail,
                      wish->user_guid ? wish->user_guid : wish->username);
}

static int change(struct call *c, bool in_space, bool grant) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    _cleanup_(role_row_fini) struct role_row role = {0};
    _cleanup_(role_rows_fini) struct role_rows rows = {0};
    struct role_wish wish = {0};
    struct error err = {0};
    if (read_wish(c, in_space, &wish) < 0 || find_user(c, &wish, &user) < 0)
        return -1;
    wish.user_guid = user.guid;
    wish.username = NULL;
    if (grant)
        return role_grant(c, &wish, true, &role);
    struct store_filter filters[] = {
        {"types", &wish.type, 1},
        {"user_guids", &wish.user_guid, 1},
        {in_space ? "space_guids" : "organization_guids", &wish.place, 1}};
    struct store_query q = {.filters = filters, .filter_count = 3};
    if (store_role_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++)
        if (role_revoke(c, &rows.v[i]) < 0)
            return -1;
    return 0;
}

int put_v2_org_role(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (v2_load_org(c, c->params[0], NEED_WRITE, &org) < 0 || change(c, false, true) < 0)
        return -1;
    return v2_reply_org(c, 201, &org);
}

int delete_v2_org_role(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (v2_load_org(c, c->params[0], NEED_WRITE, &org) < 0 || change(c, false, false) < 0)
        return -1;
    return reply_nothing(c, 204);
}

int put_v2_space_role(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (v2_load_space(c, c->params[0], NEED_WRITE, &space) < 0 || change(c, true, true) < 0)
        return -1;
    return v2_reply_space(c, 201, &space);
}

int delete_v2_space_role(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (v2_load_space(c, c->params[0], NEED_WRITE, &space) < 0 || change(c, true, false) < 0)
        return -1;
    return v2_reply_space(c, 200, &space);
}

/* --- who has a role
 * ---------------------------------------------------------------------------------
 */

static int list_users_of(struct call *c, bool in_space) {
    static const struct v2_filter none[] = {{NULL, NULL}};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(role_rows_fini) struct role_rows rows = {0};
    const char *type = type_of(c->params[1], in_space), *place = c->params[0];
    struct error err = {0};
    if (!type)
        return fail_plain(c, CC_UNKNOWN_REQUEST);
    if (v2_list_parse(c, &l, none) < 0)
        return -1;
    listing_add(&l, "types", &type);
    listing_add(&l, in_space ? "space_guids" : "organization_guids", &place);
    if (store_role_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        _cleanup_(user_row_fini) struct user_row user = {0};
        if (store_user_get(c->api->deps.store, rows.v[i].user_guid, &user, NULL) == 0 &&
            json_array_append_new(list, v2_user_json(&user)))
            return json_decref(list), fail_no_memory(c);
    }
    return v2_list_reply(c, &l, rows.total, list);
}

int list_v2_org_role(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    return v2_load_org(c, c->params[0], NEED_READ, &org) < 0 ? -1 : list_users_of(c, false);
}

int list_v2_space_role(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return v2_load_space(c, c->params[0], NEED_READ, &space) < 0 ? -1 : list_users_of(c, true);
}
