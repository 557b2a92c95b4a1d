/* orgs.c - organizations and their one quota. */
#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

/* CLI 6 shows -1 of this one as a number of bytes: a PiB says better that there is no limit. */
#define MEMORY_LIMIT_MB (INT64_C(1) << 30)

json_t *v2_org_entity(const struct org_row *org) {
    json_t *entity =
        json_pack("{s:s,s:b,s:s,s:s,s:n}", "name", org->name, "billing_enabled", 0,
                  "quota_definition_guid", QUOTA_GUID, "status",
                  org->suspended ? "suspended" : "active", "default_isolation_segment_guid");
    static const char *const lists[][2] = {
        {"spaces_url", "spaces"},
        {"domains_url", "domains"},
        {"private_domains_url", "private_domains"},
        {"users_url", "users"},
        {"managers_url", "managers"},
        {"billing_managers_url", "billing_managers"},
        {"auditors_url", "auditors"},
        {"space_quota_definitions_url", "space_quota_definitions"}};
    bool ok = v2_url(entity, "quota_definition_url", "quota_definitions", QUOTA_GUID, NULL);
    for (size_t i = 0; ok && i < ARRAY_SIZE(lists); i++)
        ok = v2_url(entity, lists[i][0], "organizations", org->guid, lists[i][1]);
    if (ok)
        return entity;
    json_decref(entity);
    return NULL;
}

static json_t *spaces_of(struct call *c, const char *org_guid) {
    _cleanup_(space_rows_fini) struct space_rows rows = {0};
    struct store_filter filter = {"organization_guids", &org_guid, 1};
    struct store_query q = {.filters = &filter,
                            .filter_count = 1,
                            .order = "name",
                            .limit = V2_INLINE_MAX,
                            .visible_to = visible_to(c)};
    if (store_space_list(c->api->deps.store, &q, &rows, NULL) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        json_array_append_new(list, v2_resource("spaces", rows.v[i].guid, rows.v[i].created_ns,
                                                rows.v[i].updated_ns, v2_space_entity(&rows.v[i])));
    return list;
}

static json_t *org_json_v2(struct call *c, const struct org_row *org) {
    json_t *entity = v2_org_entity(org);
    if (entity && v2_deep(c)) {
        json_object_set_new(entity, "quota_definition", v2_quota_json());
        json_object_set_new(entity, "spaces", spaces_of(c, org->guid));
        json_object_set_new(entity, "domains", v2_domains_of(c, org->guid));
        json_object_set_new(entity, "space_quota_definitions", json_array());
    }
    return v2_resource("organizations", org->guid, org->created_ns, org->updated_ns, entity);
}

int v2_reply_org(struct call *c, int status, const struct org_row *org) {
    return reply_json(c, status, org_json_v2(c, org));
}

int list_v2_orgs(struct call *c) {
    static const struct v2_filter filters[] = {{"name", "names"}, {NULL, NULL}};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(org_rows_fini) struct org_rows rows = {0};
    struct error err = {0};
    if (v2_list_parse(c, &l, filters) < 0)
        return -1;
    if (store_org_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, &l, rows.total, rows_json(c, &rows, org_json_v2));
}

int get_v2_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    return v2_load_org(c, c->params[0], NEED_READ, &org) < 0 ? -1 : v2_reply_org(c, 200, &org);
}

static int no_quota(struct call *c, const char *guid) {
    return fail(c, CC_QUOTA_NOT_FOUND, "%s: %.100s", cc_error_info(CC_QUOTA_NOT_FOUND)->detail,
                guid);
}

static int name_free(struct call *c, const char *name, const char *own_guid) {
    _cleanup_(org_rows_fini) struct org_rows rows = {0};
    struct store_filter filter = {"names", &name, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    if (store_org_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n || str_eq(rows.v[0].guid, own_guid))
        return 0;
    return fail(c, CC_ORG_NAME_TAKEN, "%s: %.255s", cc_error_info(CC_ORG_NAME_TAKEN)->detail, name);
}

static int take_org(struct call *c, struct org_row *org, bool is_new) {
    const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = is_new, .min = 1},
        {.name = "quota_definition_guid", .kind = FIELD_TEXT},
    };
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0)
        return -1;
    const char *name = body_text(c->json, "name"),
               *quota = body_text(c->json, "quota_definition_guid");
    if (quota && !str_eq(quota, QUOTA_GUID))
        return no_quota(c, quota);
    if (!name)
        return 0;
    if (name_free(c, name, org->guid) < 0)
        return -1;
    return str_set(&org->name, name) < 0 ? fail_no_memory(c) : 0;
}

int create_v2_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (take_org(c, &org, true) < 0 || org_create(c, &org) < 0)
        return -1;
    return v2_reply_org(c, 201, &org);
}

int update_v2_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (v2_load_org(c, c->params[0], NEED_WRITE, &org) < 0 || take_org(c, &org, false) < 0 ||
        org_update(c, &org) < 0)
        return -1;
    return v2_reply_org(c, 201, &org);
}

int delete_v2_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (v2_load_org(c, c->params[0], NEED_WRITE, &org) < 0 || org_delete(c, &org) < 0)
        return -1;
    return v2_reply_deleted(c, "organization.delete");
}

int list_v2_org_nothing(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    return v2_load_org(c, c->params[0], NEED_READ, &org) < 0 ? -1 : list_v2_nothing(c);
}

/* --- the quota: none
 * --------------------------------------------------------------------------------
 */

json_t *v2_quota_json(void) {
    static const char *const unlimited[] = {"total_services",        "total_routes",
                                            "total_private_domains", "instance_memory_limit",
                                            "app_instance_limit",    "app_task_limit",
                                            "total_service_keys",    "total_reserved_route_ports"};
    json_t *entity = json_pack("{s:s,s:b,s:b}", "name", "default", "non_basic_services_allowed", 1,
                               "trial_db_allowed", 0);
    for (size_t i = 0; i < ARRAY_SIZE(unlimited); i++)
        if (entity && json_object_set_new(entity, unlimited[i], json_integer(-1)))
            return json_decref(entity), NULL;
    if (entity && json_object_set_new(entity, "memory_limit", json_integer(MEMORY_LIMIT_MB)))
        return json_decref(entity), NULL;
    return v2_resource("quota_definitions", QUOTA_GUID, 0, 0, entity);
}

int list_v2_quotas(struct call *c) {
    return v2_list_one(c, "default", v2_quota_json);
}

int get_v2_quota(struct call *c) {
    if (!str_eq(c->params[0], QUOTA_GUID))
        return no_quota(c, c->params[0]);
    return reply_json(c, 200, v2_quota_json());
}
