/* orgs.c - organizations, and the one quota that they all have: none. */
#include <errno.h>

#include "controller/api/resources.h"

json_t *org_json(struct call *c, const struct org_row *o) {
    json_t *links =
        json_pack("{s:o,s:o,s:o,s:o}", "self", json_link(c, "/v3/organizations/%s", o->guid),
                  "domains", json_link(c, "/v3/organizations/%s/domains", o->guid),
                  "default_domain", json_link(c, "/v3/organizations/%s/domains/default", o->guid),
                  "quota", json_link(c, "/v3/organization_quotas/%s", QUOTA_GUID));
    return json_pack("{s:s,s:o,s:o,s:s,s:b,s:{s:o},s:o,s:o}", "guid", o->guid, "created_at",
                     json_time(o->created_ns), "updated_at", json_time(o->updated_ns), "name",
                     o->name, "suspended", o->suspended, "relationships", "quota",
                     json_relation(QUOTA_GUID), "metadata",
                     json_metadata(o->labels, o->annotations), "links", links);
}

int list_orgs(struct call *c) {
    static const char *const filters[] = {"guids", "names", "label_selector", NULL};
    static const char *const also[] = {"order_by=name", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    if (listing_parse(c, &l, filters, also) < 0)
        return -1;
    return reply_rows(c, &l, org, org_json);
}

int get_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    return load_org(c, c->params[0], NEED_READ, &org) < 0 ? -1
                                                          : reply_json(c, 200, org_json(c, &org));
}

static const struct field org_fields[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
    {.name = "suspended", .kind = FIELD_BOOL, .nullable = true},
    FIELD_METADATA,
};
static const struct field org_update_fields[] = {
    {.name = "name", .kind = FIELD_TEXT, .min = 1},
    {.name = "suspended", .kind = FIELD_BOOL, .nullable = true},
    FIELD_METADATA,
};

static int saved(struct call *c, int r, const struct org_row *org, const struct error *err) {
    if (r == -EEXIST)
        return fail_invalid(c, "Organization '%s' already exists.", org->name);
    return r < 0 ? fail_internal(c, err) : 0;
}

static int take_org(struct call *c, struct org_row *org) {
    const char *name = body_text(c->json, "name");
    body_bool(c->json, "suspended", &org->suspended);
    if (name && str_set(&org->name, name) < 0)
        return fail_no_memory(c);
    return metadata_merge(c, c->json, &org->labels, &org->annotations);
}

/* Whoever may make one while user_org_creation is on has it. */
static int make_manager(struct call *c, const struct org_row *org) {
    static const char *const types[] = {"organization_user", "organization_manager"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        _cleanup_(role_row_fini) struct role_row role = {.type = str_dup(types[i])};
        struct error err = {0};
        memcpy(role.user_guid, c->identity.guid, GUID_SIZE);
        memcpy(role.org_guid, org->guid, GUID_SIZE);
        if (!role.type)
            return fail_no_memory(c);
        if (store_role_insert(c->api->deps.store, &role, &err) < 0)
            return fail_internal(c, &err);
    }
    return 0;
}

int org_create(struct call *c, struct org_row *org) {
    struct error err = {0};
    if (app_name_ok(c, org->name) < 0 ||
        saved(c, store_org_insert(c->api->deps.store, org, &err), org, &err) < 0 ||
        (!c->identity.admin && make_manager(c, org) < 0))
        return -1;
    return record_event_on(c, "audit.organization.create", "organization", org->guid, org->name, "",
                           org->guid, NULL);
}

int org_update(struct call *c, struct org_row *org) {
    struct error err = {0};
    if (app_name_ok(c, org->name) < 0)
        return -1;
    return saved(c, store_org_update(c->api->deps.store, org, &err), org, &err);
}

int create_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (body_check_all(c, org_fields) < 0 || take_org(c, &org) < 0 || org_create(c, &org) < 0)
        return -1;
    return reply_json(c, 201, org_json(c, &org));
}

int update_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (load_org(c, c->params[0], NEED_WRITE, &org) < 0 || body_check_all(c, org_update_fields) < 0)
        return -1;
    if (json_object_get(c->json, "suspended") && need_admin(c) < 0)
        return -1;
    if (take_org(c, &org) < 0 || org_update(c, &org) < 0)
        return -1;
    return reply_json(c, 200, org_json(c, &org));
}

/* All that lives in the org goes with it: spaces with their apps, and its own domains. */
int org_delete(struct call *c, const struct org_row *org) {
    struct store *store = c->api->deps.store;
    _cleanup_(space_rows_fini) struct space_rows spaces = {0};
    _cleanup_(domain_rows_fini) struct domain_rows domains = {0};
    const char *guid = org->guid;
    struct store_filter filter = {"organization_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    if (store_space_list(store, &q, &spaces, &err) < 0 ||
        store_domain_list(store, &q, &domains, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < spaces.n; i++)
        if (space_delete(c, &spaces.v[i]) < 0)
            return -1;
    for (size_t i = 0; i < domains.n; i++)
        if (domain_delete(c, &domains.v[i]) < 0)
            return -1;
    if (store_org_delete(store, org->guid, &err) < 0)
        return fail_internal(c, &err);
    return record_event_on(c, "audit.organization.delete-request", "organization", org->guid,
                           org->name, "", org->guid, NULL);
}

int delete_org(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (load_org(c, c->params[0], NEED_WRITE, &org) < 0 || org_delete(c, &org) < 0)
        return -1;
    return reply_job(c, "organization.delete");
}

int update_org_no_relation(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (load_org(c, c->params[0], NEED_WRITE, &org) < 0)
        return -1;
    return reply_no_relation(c, "isolation segments");
}

int get_org_no_relation(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    return load_org(c, c->params[0], NEED_READ, &org) < 0
               ? -1
               : reply_json(c, 200, json_pack("{s:n}", "data"));
}

/* --- the quota
 * --------------------------------------------------------------------------------------
 */

static json_t *quota_json(struct call *c) {
    return json_pack(
        "{s:s,s:s,s:n,s:n,s:{s:n,s:n,s:n,s:n,s:n},s:{s:b,s:n,s:n},s:{s:n,s:n},s:{s:n},s:{s:{s:[]}},"
        "s:{s:o}}",
        "guid", QUOTA_GUID, "name", "default", "created_at", "updated_at", "apps",
        "total_memory_in_mb", "per_process_memory_in_mb", "total_instances", "per_app_tasks",
        "log_rate_limit_in_bytes_per_second", "services", "paid_services_allowed", 1,
        "total_service_instances", "total_service_keys", "routes", "total_routes",
        "total_reserved_ports", "domains", "total_domains", "relationships", "organizations",
        "data", "links", "self", json_link(c, "/v3/organization_quotas/%s", QUOTA_GUID));
}

int list_quotas(struct call *c) {
    static const char *const filters[] = {"guids", "names", NULL};
    static const char *const also[] = {"organization_guids", NULL}; /* all have it */
    _cleanup_(listing_fini) struct listing l = {0};
    if (listing_parse(c, &l, filters, also) < 0)
        return -1;
    bool shown = true;
    for (size_t i = 0; i < l.query.filter_count; i++)
        shown &= query_lists(c, l.filters[i].key,
                             str_eq(l.filters[i].key, "guids") ? QUOTA_GUID : "default");
    json_t *list = shown && l.page == 1 ? json_pack("[o]", quota_json(c)) : json_array();
    return reply_list(c, &l, shown, list, NULL);
}

int get_quota(struct call *c) {
    if (!str_eq(c->params[0], QUOTA_GUID))
        return fail_not_found(c, "Organization quota");
    return reply_json(c, 200, quota_json(c));
}

int change_quota(struct call *c) {
    if (!str_eq(c->params[0], QUOTA_GUID))
        return fail_not_found(c, "Organization quota");
    return fail_invalid(c, "This platform has no organization quotas but the default one, which is "
                           "unlimited.");
}

/* Every org has it already. */
int apply_quota(struct call *c) {
    if (!str_eq(c->params[0], QUOTA_GUID))
        return fail_not_found(c, "Organization quota");
    json_t *data = json_object_get(c->json, "data"), *one;
    size_t i;
    if (!json_is_array(data))
        return fail_invalid(c, "Data must be an array");
    json_array_foreach(data, i, one) {
        _cleanup_(org_row_fini) struct org_row org = {0};
        const char *guid = body_text(one, "guid");
        if (!guid || store_org_get(c->api->deps.store, guid, &org, NULL) < 0)
            return fail_invalid(c,
                                "Organizations with guids [\"%.100s\"] do not exist, or you do "
                                "not have access to them.",
                                guid ? guid : "");
    }
    return reply_json(
        c, 201,
        json_pack(
            "{s:O,s:{s:o}}", "data", data, "links", "self",
            json_link(c, "/v3/organization_quotas/%s/relationships/organizations", QUOTA_GUID)));
}
