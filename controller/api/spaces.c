/* spaces.c - where apps and routes live. */
#include <errno.h>

#include "controller/api/resources.h"

json_t *space_json(struct call *c, const struct space_row *s) {
    json_t *links =
        json_pack("{s:o,s:o,s:o,s:o}", "self", json_link(c, "/v3/spaces/%s", s->guid),
                  "organization", json_link(c, "/v3/organizations/%s", s->org_guid), "features",
                  json_link(c, "/v3/spaces/%s/features", s->guid), "apply_manifest",
                  json_link_post(c, "/v3/spaces/%s/actions/apply_manifest", s->guid));
    return json_pack("{s:s,s:o,s:o,s:s,s:{s:o,s:o},s:o,s:o}", "guid", s->guid, "created_at",
                     json_time(s->created_ns), "updated_at", json_time(s->updated_ns), "name",
                     s->name, "relationships", "organization", json_relation(s->org_guid), "quota",
                     json_relation(NULL), "metadata", json_metadata(s->labels, s->annotations),
                     "links", links);
}

int list_spaces(struct call *c) {
    static const char *const filters[] = {"guids", "names", "organization_guids", "label_selector",
                                          NULL};
    static const char *const also[] = {"include=org", "include=organization", "order_by=name",
                                       NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(space_rows_fini) struct space_rows rows = {0};
    _cleanup_(including_fini) struct including in;
    struct error err = {0};
    including_init(&in, c);
    if (listing_parse(c, &l, filters, also) < 0)
        return -1;
    if (store_space_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        if (json_array_append_new(list, space_json(c, &rows.v[i])))
            return json_decref(list), fail_no_memory(c);
        include(&in, INCLUDE_ORGS, rows.v[i].org_guid);
    }
    return reply_list(c, &l, rows.total, list, including_take(&in));
}

int get_space(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(including_fini) struct including in;
    including_init(&in, c);
    if (load_space(c, c->params[0], NEED_READ, &space) < 0)
        return -1;
    include(&in, INCLUDE_ORGS, space.org_guid);
    return reply_json(c, 200, including_with(&in, space_json(c, &space)));
}

static int saved(struct call *c, int r, const struct error *err) {
    if (r == -EEXIST)
        return fail_invalid(c, "Name must be unique per organization");
    return r < 0 ? fail_internal(c, err) : 0;
}

int space_create(struct call *c, struct space_row *space) {
    struct error err = {0};
    if (app_name_ok(c, space->name) < 0 ||
        saved(c, store_space_insert(c->api->deps.store, space, &err), &err) < 0)
        return -1;
    return record_event_on(c, "audit.space.create", "space", space->guid, space->name, space->guid,
                           space->org_guid, NULL);
}

int create_space(struct call *c) {
    static const struct field org_field[] = {FIELD_RELATION("organization", true)};
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
        FIELD_OF("relationships", true, org_field),
        FIELD_METADATA,
    };
    _cleanup_(space_row_fini) struct space_row space = {.ssh = true};
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (body_check_all(c, fields) < 0 ||
        load_org_of_body(c, body_text(c->json, "relationships.organization.data.guid"), NEED_WRITE,
                         &org) < 0)
        return -1;
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    if (str_set(&space.name, body_text(c->json, "name")) < 0)
        return fail_no_memory(c);
    if (metadata_merge(c, c->json, &space.labels, &space.annotations) < 0 ||
        space_create(c, &space) < 0)
        return -1;
    return reply_json(c, 201, space_json(c, &space));
}

int space_update(struct call *c, struct space_row *space) {
    struct error err = {0};
    if (app_name_ok(c, space->name) < 0)
        return -1;
    int r = store_space_update(c->api->deps.store, space, &err);
    if (r == -EEXIST)
        return fail_invalid(c, "Organization '%s' already contains a space with name '%s'.",
                            space->org_name ? space->org_name : "", space->name);
    return saved(c, r, &err);
}

int update_space(struct call *c) {
    static const struct field fields[] = {{.name = "name", .kind = FIELD_TEXT, .min = 1},
                                          FIELD_METADATA};
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (load_space(c, c->params[0], NEED_WRITE, &space) < 0 || body_check_all(c, fields) < 0)
        return -1;
    const char *name = body_text(c->json, "name");
    if (name && str_set(&space.name, name) < 0)
        return fail_no_memory(c);
    if (metadata_merge(c, c->json, &space.labels, &space.annotations) < 0 ||
        space_update(c, &space) < 0)
        return -1;
    return reply_json(c, 200, space_json(c, &space));
}

/* All that lives in the space goes with it. */
int space_delete(struct call *c, const struct space_row *space) {
    struct store *store = c->api->deps.store;
    _cleanup_(app_rows_fini) struct app_rows apps = {0};
    _cleanup_(route_rows_fini) struct route_rows routes = {0};
    struct error err = {0};
    if (need_org(c, space->org_guid, NEED_WRITE, "Space") < 0)
        return -1;
    const char *guid = space->guid;
    struct store_filter filter = {"space_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    if (store_app_list(store, &q, &apps, &err) < 0 ||
        store_route_list(store, &q, &routes, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < apps.n; i++) {
        if (store_app_delete(store, apps.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
        if (after_commit(c, AFTER_DESIRE_APP, apps.v[i].guid) < 0 ||
            after_commit(c, AFTER_FORGET_LOGS, apps.v[i].guid) < 0)
            return -1;
    }
    for (size_t i = 0; i < routes.n; i++)
        if (store_route_delete(store, routes.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    if (store_space_delete(store, space->guid, &err) < 0)
        return fail_internal(c, &err);
    return record_event_on(c, "audit.space.delete-request", "space", space->guid, space->name, "",
                           space->org_guid, NULL);
}

int delete_space(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (load_space(c, c->params[0], NEED_READ, &space) < 0 || space_delete(c, &space) < 0)
        return -1;
    return reply_job(c, "space.delete");
}

/* --- features: one
 * -----------------------------------------------------------------------------------
 */

static json_t *ssh_json(const struct space_row *space) {
    return json_pack("{s:s,s:s,s:b}", "name", "ssh", "description",
                     "Enable SSHing into apps in the space.", "enabled", space->ssh);
}

/* The space of the path, whose feature of the path is the one there is. */
static int load_feature(struct call *c, enum need need, struct space_row *ret) {
    if (load_space(c, c->params[0], need, ret) < 0)
        return -1;
    return str_eq(c->params[1], "ssh") ? 0 : fail_not_found(c, "Feature");
}

int list_space_features(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return load_space(c, c->params[0], NEED_READ, &space) < 0
               ? -1
               : reply_json(c, 200, json_pack("{s:[o]}", "resources", ssh_json(&space)));
}

int get_space_feature(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return load_feature(c, NEED_READ, &space) < 0 ? -1 : reply_json(c, 200, ssh_json(&space));
}

int update_space_feature(struct call *c) {
    static const struct field fields[] = {
        {.name = "enabled", .kind = FIELD_BOOL, .required = true},
    };
    _cleanup_(space_row_fini) struct space_row space = {0};
    struct error err = {0};
    if (load_feature(c, NEED_WRITE, &space) < 0 || body_check_all(c, fields) < 0)
        return -1;
    body_bool(c->json, "enabled", &space.ssh);
    if (store_space_update(c->api->deps.store, &space, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, ssh_json(&space));
}

/* --- what there is none of
 * ---------------------------------------------------------------------------
 */

int update_space_no_relation(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (load_space(c, c->params[0], NEED_WRITE, &space) < 0)
        return -1;
    return reply_no_relation(c, "isolation segments");
}

int get_space_no_relation(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return load_space(c, c->params[0], NEED_READ, &space) < 0
               ? -1
               : reply_json(c, 200, json_pack("{s:n}", "data"));
}

/* Security groups: none. */
int list_space_nothing(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return load_space(c, c->params[0], NEED_READ, &space) < 0 ? -1 : reply_empty_list(c);
}
