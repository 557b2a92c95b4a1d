/* users.c - users as CLI 6 creates and deletes them: here after UAA, and here before UAA. */
#include <errno.h>

#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

json_t *v2_user_json(const struct user_row *u) {
    json_t *entity = json_pack("{s:b,s:b,s:n,s:s}", "admin", u->admin, "active", u->active,
                               "default_space_guid", "username", u->username);
    static const char *const lists[][2] = {
        {"spaces_url", "spaces"},
        {"organizations_url", "organizations"},
        {"managed_organizations_url", "managed_organizations"},
        {"billing_managed_organizations_url", "billing_managed_organizations"},
        {"audited_organizations_url", "audited_organizations"},
        {"managed_spaces_url", "managed_spaces"},
        {"audited_spaces_url", "audited_spaces"}};
    bool ok = entity != NULL;
    for (size_t i = 0; ok && i < ARRAY_SIZE(lists); i++)
        ok = v2_url(entity, lists[i][0], "users", u->guid, lists[i][1]);
    if (!ok)
        return json_decref(entity), NULL;
    return v2_resource("users", u->guid, u->created_ns, u->updated_ns, entity);
}

int list_v2_users(struct call *c) {
    static const struct v2_filter none[] = {{NULL, NULL}};
    static const char *const active = "1";
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(user_rows_fini) struct user_rows rows = {0};
    struct error err = {0};
    if (v2_list_parse(c, &l, none) < 0)
        return -1;
    listing_add(&l, "active", &active);
    if (store_user_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, &l, rows.total, rows_json_bare(&rows, v2_user_json));
}

static int load_user(struct call *c, const char *guid, struct user_row *ret) {
    struct error err = {0};
    int r = guid ? store_user_get(c->api->deps.store, guid, ret, &err) : -ENOENT;
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !ret->active)
        return fail(c, CC_USER_NOT_FOUND, "%s: %.100s", cc_error_info(CC_USER_NOT_FOUND)->detail,
                    guid ? guid : "");
    return 0;
}

int create_v2_user(struct call *c) {
    static const struct field fields[] = {
        {.name = "guid", .kind = FIELD_TEXT, .required = true, .min = 1}};
    _cleanup_(user_row_fini) struct user_row user = {0};
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 ||
        load_user(c, body_text(c->json, "guid"), &user) < 0)
        return -1;
    return reply_json(c, 201, v2_user_json(&user));
}

int get_v2_user(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    return load_user(c, c->params[0], &user) < 0 ? -1 : reply_json(c, 200, v2_user_json(&user));
}

int delete_v2_user(struct call *c) {
    _cleanup_(user_row_fini) struct user_row user = {0};
    if (load_user(c, c->params[0], &user) < 0 || user_end(c, &user) < 0)
        return -1;
    return v2_reply_deleted(c, "user.delete");
}
