/* domains.c - domains, which in v2 are shared or private by their address. */
#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

#define SHARED "" /* the store's filter available_to: no org's own */

json_t *v2_domain_json(const struct domain_row *d) {
    bool own = d->org_guid[0];
    json_t *entity =
        json_pack("{s:s,s:b,s:b}", "name", d->name, "internal", d->internal, "wildcard", 1);
    bool ok =
        entity &&
        (own ? json_object_set_new(entity, "owning_organization_guid", json_string(d->org_guid)) ==
                       0 &&
                   v2_url(entity, "owning_organization_url", "organizations", d->org_guid, NULL) &&
                   v2_url(entity, "shared_organizations_url", "private_domains", d->guid,
                          "shared_organizations")
             : json_object_set_new(entity, "router_group_guid", json_null()) == 0 &&
                   json_object_set_new(entity, "router_group_type", json_null()) == 0);
    if (!ok)
        return json_decref(entity), NULL;
    return v2_resource(own ? "private_domains" : "shared_domains", d->guid, d->created_ns,
                       d->updated_ns, entity);
}

static const struct v2_filter domain_filters[] = {
    {"name", "names"}, {"owning_organization_guid", "organization_guids"}, {NULL, NULL}};

static int reply_domains(struct call *c, struct listing *l) {
    _cleanup_(domain_rows_fini) struct domain_rows rows = {0};
    struct error err = {0};
    if (store_domain_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, l, rows.total, rows_json_bare(&rows, v2_domain_json));
}

static int list_with(struct call *c, const char *filter, const char *value) {
    _cleanup_(listing_fini) struct listing l = {0};
    if (v2_list_parse(c, &l, domain_filters) < 0)
        return -1;
    if (filter)
        listing_add(&l, filter, &value);
    return reply_domains(c, &l);
}

int list_v2_domains(struct call *c) {
    return list_with(c, NULL, NULL);
}

int list_v2_shared_domains(struct call *c) {
    return list_with(c, "available_to", SHARED);
}

/* All that are not shared and that the caller may see: few enough for one page. */
int list_v2_private_domains(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(domain_rows_fini) struct domain_rows rows = {0};
    struct error err = {0};
    if (v2_list_parse(c, &l, domain_filters) < 0)
        return -1;
    uint64_t from = l.query.offset, private = 0;
    l.query.limit = l.query.offset = 0;
    if (store_domain_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        if (!rows.v[i].org_guid[0])
            continue;
        if (private >= from && private < from + l.per_page)
            json_array_append_new(list, v2_domain_json(&rows.v[i]));
        private++;
    }
    return v2_list_reply(c, &l, private, list);
}

static int list_of_org(struct call *c, const char *filter) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (v2_load_org(c, c->params[0], NEED_READ, &org) < 0)
        return -1;
    return list_with(c, filter, org.guid);
}

int list_v2_org_domains(struct call *c) {
    return list_of_org(c, "available_to");
}

int list_v2_org_private_domains(struct call *c) {
    return list_of_org(c, "organization_guids");
}

json_t *v2_domains_of(struct call *c, const char *org_guid) {
    _cleanup_(domain_rows_fini) struct domain_rows rows = {0};
    struct store_filter filter = {"available_to", &org_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .limit = V2_INLINE_MAX};
    if (store_domain_list(c->api->deps.store, &q, &rows, NULL) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        json_array_append_new(list, v2_domain_json(&rows.v[i]));
    return list;
}

/* A shared domain is no private one, and the other way round: 6.53 tries both. */
static int load_of_kind(struct call *c, struct domain_row *d) {
    bool private = str_starts(c->path, "/v2/private_domains"),
         shared = str_starts(c->path, "/v2/shared_domains");
    if (v2_load_domain(c, c->params[0], d) < 0)
        return -1;
    if (d->org_guid[0] ? shared : private)
        return fail(c, CC_DOMAIN_NOT_FOUND, "%s: %.100s",
                    cc_error_info(CC_DOMAIN_NOT_FOUND)->detail, c->params[0]);
    return 0;
}

int get_v2_domain(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    return load_of_kind(c, &d) < 0 ? -1 : reply_json(c, 200, v2_domain_json(&d));
}

static int create(struct call *c, bool private) {
    const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 3, .max = 253},
        {.name = "owning_organization_guid", .kind = FIELD_TEXT, .required = private, .min = 1},
    };
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    _cleanup_(domain_rows_fini) struct domain_rows rows = {0};
    _cleanup_(org_row_fini) struct org_row org = {0};
    const char *name = body_text(c->json, "name"),
               *owner = private ? body_text(c->json, "owning_organization_guid") : NULL;
    struct store_filter filter = {"names", &name, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    if (v2_body_check(c, fields, 1 + private) < 0 ||
        (owner && v2_load_org(c, owner, NEED_WRITE, &org) < 0))
        return -1;
    if (store_domain_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (rows.n)
        return fail(c, CC_DOMAIN_NAME_TAKEN, "%s: %.255s",
                    cc_error_info(CC_DOMAIN_NAME_TAKEN)->detail, name);
    if (domain_create(c, name, owner, &d) < 0)
        return -1;
    return reply_json(c, 201, v2_domain_json(&d));
}

int create_v2_shared_domain(struct call *c) {
    return create(c, false);
}

int create_v2_private_domain(struct call *c) {
    return create(c, true);
}

int delete_v2_domain(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    if (load_of_kind(c, &d) < 0 || domain_delete(c, &d) < 0)
        return -1;
    return reply_nothing(c, 204);
}
