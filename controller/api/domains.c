/* domains.c - what routes hang on: shared by all orgs, or one org's own. */
#include <ctype.h>
#include <errno.h>

#include "controller/api/resources.h"

#define DOMAIN_MAX 253

json_t *domain_json(struct call *c, const struct domain_row *d) {
    json_t *links =
        json_pack("{s:o,s:o}", "self", json_link(c, "/v3/domains/%s", d->guid),
                  "route_reservations", json_link(c, "/v3/domains/%s/route_reservations", d->guid));
    if (links && d->org_guid[0] &&
        (json_object_set_new(links, "organization",
                             json_link(c, "/v3/organizations/%s", d->org_guid)) ||
         json_object_set_new(
             links, "shared_organizations",
             json_link(c, "/v3/domains/%s/relationships/shared_organizations", d->guid))))
        return json_decref(links), NULL;
    return json_pack("{s:s,s:o,s:o,s:s,s:b,s:n,s:[s],s:o,s:{s:o,s:{s:[]}},s:o}", "guid", d->guid,
                     "created_at", json_time(d->created_ns), "updated_at", json_time(d->updated_ns),
                     "name", d->name, "internal", d->internal, "router_group",
                     "supported_protocols", "http", "metadata",
                     json_metadata(d->labels, d->annotations), "relationships", "organization",
                     json_relation(d->org_guid), "shared_organizations", "data", "links", links);
}

int list_domains(struct call *c) {
    static const char *const filters[] = {"guids", "names", "organization_guids", "label_selector",
                                          NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    return listing_parse(c, &l, filters, NULL) < 0 ? -1 : reply_rows(c, &l, domain, domain_json);
}

/* The shared ones and the org's own. */
int list_org_domains(struct call *c) {
    static const char *const filters[] = {"guids", "names", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(org_row_fini) struct org_row org = {0};
    const char *guid = org.guid;
    if (load_org(c, c->params[0], NEED_READ, &org) < 0 || listing_parse(c, &l, filters, NULL) < 0)
        return -1;
    listing_add(&l, "available_to", &guid);
    return reply_rows(c, &l, domain, domain_json);
}

int load_domain(struct call *c, const char *guid, struct domain_row *ret) {
    struct error err = {0};
    struct store_filter filter = {"guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .visible_to = visible_to(c)};
    _cleanup_(domain_rows_fini) struct domain_rows rows = {0};
    if (store_domain_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n)
        return fail_not_found(c, "Domain");
    *ret = rows.v[0];
    rows.v[0] = (struct domain_row){0};
    return 0;
}

int get_domain(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    return load_domain(c, c->params[0], &d) < 0 ? -1 : reply_json(c, 200, domain_json(c, &d));
}

int default_domain(struct call *c, const char *org_guid, struct domain_row *ret) {
    struct store_filter filter = {"available_to", &org_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    _cleanup_(domain_rows_fini) struct domain_rows rows = {0};
    struct error err = {0};
    if (store_domain_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    size_t best = rows.n;
    for (size_t i = 0; i < rows.n; i++) {
        if (rows.v[i].internal)
            continue;
        if (best == rows.n || (rows.v[best].org_guid[0] && !rows.v[i].org_guid[0]))
            best = i;
    }
    if (best == rows.n)
        return fail_invalid(c, "Default domain could not be found: there is no domain for this "
                               "organization.");
    *ret = rows.v[best];
    rows.v[best] = (struct domain_row){0};
    return 0;
}

int get_default_domain(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    if (load_org(c, c->params[0], NEED_READ, &org) < 0 || default_domain(c, org.guid, &d) < 0)
        return -1;
    return reply_json(c, 200, domain_json(c, &d));
}

/* --- creating and deleting
 * --------------------------------------------------------------------------
 */

static bool name_ok(const char *name) {
    return !strchr(name, '*') && !strchr(name, '_') && *name && strlen(name) <= DOMAIN_MAX &&
           strchr(name, '.') && !route_host_problem(name);
}

static int may_create(struct call *c, const char *org_guid) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (!org_guid)
        return need_admin(c);
    if (load_org_of_body(c, org_guid, NEED_WRITE, &org) < 0)
        return -1;
    return need_flag(c, "private_domain_creation");
}

int domain_create(struct call *c, const char *name, const char *org, struct domain_row *ret) {
    struct error err = {0};
    if (!name_ok(name))
        return fail_invalid(c, "Name does not comply with RFC 1035 standards");
    if (may_create(c, org) < 0)
        return -1;
    snprintf(ret->org_guid, GUID_SIZE, "%s", org ? org : "");
    if (str_set(&ret->name, name) < 0)
        return fail_no_memory(c);
    for (char *p = ret->name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    int r = store_domain_insert(c->api->deps.store, ret, &err);
    if (r == -EEXIST)
        return fail_invalid(c, "The domain name \"%s\" is already in use", ret->name);
    return r < 0 ? fail_internal(c, &err) : 0;
}

int create_domain(struct call *c) {
    static const struct field relations[] = {
        FIELD_RELATION("organization", false),
        {.name = "shared_organizations", .kind = FIELD_OBJECT, .nullable = true},
    };
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 3, .max = DOMAIN_MAX},
        {.name = "internal", .kind = FIELD_BOOL, .nullable = true},
        FIELD_OF("relationships", false, relations),
        FIELD_METADATA,
    };
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    bool internal = false;
    if (body_check_all(c, fields) < 0)
        return -1;
    const char *org = body_text(c->json, "relationships.organization.data.guid"),
               *name = body_text(c->json, "name");
    body_bool(c->json, "internal", &internal);
    if (internal)
        return fail_invalid(c, "Internal domains are not supported by this platform");
    if (metadata_merge(c, c->json, &d.labels, &d.annotations) < 0 ||
        domain_create(c, name, org, &d) < 0)
        return -1;
    return reply_json(c, 201, domain_json(c, &d));
}

/* A shared one is an admin's matter, an org's own its managers'. */
static int may_change(struct call *c, const struct domain_row *d) {
    return d->org_guid[0] ? need_org(c, d->org_guid, NEED_WRITE, "Domain") : need_admin(c);
}

int update_domain(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    struct error err = {0};
    if (load_domain(c, c->params[0], &d) < 0 || may_change(c, &d) < 0 ||
        body_check_all(c, fields) < 0 || metadata_merge(c, c->json, &d.labels, &d.annotations) < 0)
        return -1;
    if (store_domain_update(c->api->deps.store, &d, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, domain_json(c, &d));
}

/* Its routes go with it. */
int domain_delete(struct call *c, const struct domain_row *d) {
    _cleanup_(route_rows_fini) struct route_rows routes = {0};
    struct store *store = c->api->deps.store;
    struct error err = {0};
    const char *guid = d->guid;
    if (may_change(c, d) < 0)
        return -1;
    struct store_filter filter = {"domain_guids", &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    if (store_route_list(store, &q, &routes, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < routes.n; i++) {
        if (destinations_desire(c, routes.v[i].guid) < 0)
            return -1;
        if (store_route_delete(store, routes.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    }
    return store_domain_delete(store, guid, &err) < 0 ? fail_internal(c, &err) : 0;
}

int refuse_domain_share(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    if (load_domain(c, c->params[0], &d) < 0 || may_change(c, &d) < 0)
        return -1;
    return fail_invalid(c, "This platform has no private domains of several organizations.");
}

int delete_domain(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row d = {0};
    if (load_domain(c, c->params[0], &d) < 0 || domain_delete(c, &d) < 0)
        return -1;
    return reply_job(c, "domain.delete");
}
