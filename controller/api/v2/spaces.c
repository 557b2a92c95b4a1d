/* spaces.c - spaces in v2's form. */
#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

json_t *v2_space_entity(const struct space_row *space) {
    static const char *const lists[][2] = {
        {"developers_url", "developers"},
        {"managers_url", "managers"},
        {"auditors_url", "auditors"},
        {"apps_url", "apps"},
        {"routes_url", "routes"},
        {"domains_url", "domains"},
        {"service_instances_url", "service_instances"},
        {"security_groups_url", "security_groups"},
        {"staging_security_groups_url", "staging_security_groups"}};
    json_t *entity = json_pack("{s:s,s:s,s:n,s:n,s:b}", "name", space->name, "organization_guid",
                               space->org_guid, "space_quota_definition_guid",
                               "isolation_segment_guid", "allow_ssh", space->ssh);
    bool ok = v2_url(entity, "organization_url", "organizations", space->org_guid, NULL);
    for (size_t i = 0; ok && i < ARRAY_SIZE(lists); i++)
        ok = v2_url(entity, lists[i][0], "spaces", space->guid, lists[i][1]);
    if (ok)
        return entity;
    json_decref(entity);
    return NULL;
}

static json_t *space_json_v2(struct call *c, const struct space_row *space) {
    json_t *entity = v2_space_entity(space);
    if (entity && v2_deep(c)) {
        _cleanup_(org_row_fini) struct org_row org = {0};
        if (store_org_get(c->api->deps.store, space->org_guid, &org, NULL) == 0)
            json_object_set_new(entity, "organization",
                                v2_resource("organizations", org.guid, org.created_ns,
                                            org.updated_ns, v2_org_entity(&org)));
        json_object_set_new(entity, "apps", v2_apps_of_space(c, space->guid));
        json_object_set_new(entity, "domains", v2_domains_of(c, space->org_guid));
        json_object_set_new(entity, "service_instances", json_array());
        json_object_set_new(entity, "security_groups", json_array());
    }
    return v2_resource("spaces", space->guid, space->created_ns, space->updated_ns, entity);
}

int v2_reply_space(struct call *c, int status, const struct space_row *space) {
    return reply_json(c, status, space_json_v2(c, space));
}

static int reply_spaces(struct call *c, struct listing *l) {
    _cleanup_(space_rows_fini) struct space_rows rows = {0};
    struct error err = {0};
    if (store_space_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, l, rows.total, rows_json(c, &rows, space_json_v2));
}

static const struct v2_filter space_filters[] = {
    {"name", "names"}, {"organization_guid", "organization_guids"}, {NULL, NULL}};

int list_v2_spaces(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    return v2_list_parse(c, &l, space_filters) < 0 ? -1 : reply_spaces(c, &l);
}

int list_v2_org_spaces(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(org_row_fini) struct org_row org = {0};
    const char *guid = c->params[0];
    if (v2_load_org(c, guid, NEED_READ, &org) < 0 || v2_list_parse(c, &l, space_filters) < 0)
        return -1;
    listing_add(&l, "organization_guids", &guid);
    return reply_spaces(c, &l);
}

int get_v2_space(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return v2_load_space(c, c->params[0], NEED_READ, &space) < 0 ? -1
                                                                 : v2_reply_space(c, 200, &space);
}

static int take_name(struct call *c, struct space_row *space) {
    _cleanup_(space_rows_fini) struct space_rows rows = {0};
    const char *name = body_text(c->json, "name"), *org = space->org_guid;
    struct store_filter filters[] = {{"names", &name, 1}, {"organization_guids", &org, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2};
    struct error err = {0};
    if (!name)
        return 0;
    if (store_space_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (rows.n && !str_eq(rows.v[0].guid, space->guid))
        return fail(c, CC_SPACE_NAME_TAKEN, "%s: %.255s",
                    cc_error_info(CC_SPACE_NAME_TAKEN)->detail, name);
    return str_set(&space->name, name) < 0 ? fail_no_memory(c) : 0;
}

int create_v2_space(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "organization_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "allow_ssh", .kind = FIELD_BOOL, .nullable = true},
    };
    _cleanup_(space_row_fini) struct space_row space = {.ssh = true};
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 ||
        v2_load_org(c, body_text(c->json, "organization_guid"), NEED_WRITE, &org) < 0)
        return -1;
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    body_bool(c->json, "allow_ssh", &space.ssh);
    if (take_name(c, &space) < 0 || space_create(c, &space) < 0)
        return -1;
    return v2_reply_space(c, 201, &space);
}

int update_v2_space(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .min = 1},
        {.name = "allow_ssh", .kind = FIELD_BOOL, .nullable = true},
    };
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (v2_load_space(c, c->params[0], NEED_WRITE, &space) < 0 ||
        v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 || take_name(c, &space) < 0)
        return -1;
    body_bool(c->json, "allow_ssh", &space.ssh);
    return space_update(c, &space) < 0 ? -1 : v2_reply_space(c, 201, &space);
}

int delete_v2_space(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (v2_load_space(c, c->params[0], NEED_READ, &space) < 0 || space_delete(c, &space) < 0)
        return -1;
    return v2_reply_deleted(c, "space.delete");
}

int list_v2_space_nothing(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return v2_load_space(c, c->params[0], NEED_READ, &space) < 0 ? -1 : list_v2_nothing(c);
}
