/* routes.c - routes and what they lead to: in v2 an app, not one of its processes. */
#include <errno.h>

#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

/* --- showing
 * -------------------------------------------------------------------------------------
 */

json_t *v2_route_entity(const struct route_row *r) {
    json_t *entity = json_pack("{s:s,s:s,s:n,s:s,s:s,s:n}", "host", r->host, "path", r->path,
                               "port", "domain_guid", r->domain_guid, "space_guid", r->space_guid,
                               "service_instance_guid");
    if (v2_url(entity, "domain_url", "domains", r->domain_guid, NULL) &&
        v2_url(entity, "space_url", "spaces", r->space_guid, NULL) &&
        v2_url(entity, "apps_url", "routes", r->guid, "apps") &&
        v2_url(entity, "route_mappings_url", "routes", r->guid, "route_mappings"))
        return entity;
    json_decref(entity);
    return NULL;
}

/* What a page of routes refers to, each thing looked up once: guid -> resource. */
struct related {
    json_t *domains, *spaces, *apps; /* of apps: route guid -> list */
};

static void related_fini(struct related *r) {
    json_decref(r->domains);
    json_decref(r->spaces);
    json_decref(r->apps);
}

static int add_apps(struct call *c, const struct destination_rows *d, json_t *by_route) {
    _cleanup_(freep) const char **guids = mem_calloc(d->n + 1, sizeof *guids);
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    struct error err = {0};
    if (!guids)
        return fail_no_memory(c);
    for (size_t i = 0; i < d->n; i++)
        guids[i] = d->v[i].app_guid;
    struct store_filter filter = {"guids", guids, d->n};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    if (store_app_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (app_views_load(c, rows.v, rows.n, &views) < 0)
        return -1;
    for (size_t i = 0; i < d->n; i++) {
        json_t *list = json_object_get(by_route, d->v[i].route_guid),
               *place = json_object_get(views.index, d->v[i].app_guid);
        if (!list && json_object_set_new(by_route, d->v[i].route_guid, list = json_array()))
            return fail_no_memory(c);
        if (place)
            json_array_append_new(list,
                                  v2_app_json(c, &views, (size_t)json_integer_value(place), false));
    }
    return 0;
}

static int load_related(struct call *c, const struct route_row *routes, size_t n,
                        struct related *ret) {
    struct store *store = c->api->deps.store;
    _cleanup_(freep) const char **guids = mem_calloc(n + 1, sizeof *guids);
    _cleanup_(destination_rows_fini) struct destination_rows destinations = {0};
    struct error err = {0};
    ret->domains = json_object();
    ret->spaces = json_object();
    ret->apps = json_object();
    if (!guids || !ret->domains || !ret->spaces || !ret->apps)
        return fail_no_memory(c);
    for (size_t i = 0; i < n; i++) {
        _cleanup_(domain_row_fini) struct domain_row domain = {0};
        _cleanup_(space_row_fini) struct space_row space = {0};
        guids[i] = routes[i].guid;
        if (!json_object_get(ret->domains, routes[i].domain_guid) &&
            store_domain_get(store, routes[i].domain_guid, &domain, NULL) == 0)
            json_object_set_new(ret->domains, domain.guid, v2_domain_json(&domain));
        if (!json_object_get(ret->spaces, routes[i].space_guid) &&
            store_space_get(store, routes[i].space_guid, &space, NULL) == 0)
            json_object_set_new(ret->spaces, space.guid,
                                v2_resource("spaces", space.guid, space.created_ns,
                                            space.updated_ns, v2_space_entity(&space)));
    }
    struct store_filter filter = {"route_guids", guids, n};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    if (store_destination_list(store, &q, &destinations, &err) < 0)
        return fail_internal(c, &err);
    return add_apps(c, &destinations, ret->apps);
}

/* `related` NULL: not asked for. */
static json_t *route_json_v2(const struct route_row *r, const struct related *related) {
    json_t *entity = v2_route_entity(r);
    if (entity && related) {
        json_t *apps = json_object_get(related->apps, r->guid);
        json_object_set(entity, "domain", json_object_get(related->domains, r->domain_guid));
        json_object_set(entity, "space", json_object_get(related->spaces, r->space_guid));
        json_object_set_new(entity, "apps", apps ? json_incref(apps) : json_array());
    }
    return v2_resource("routes", r->guid, r->created_ns, r->updated_ns, entity);
}

static int reply_route(struct call *c, int status, const char *guid) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    _cleanup_(related_fini) struct related related = {0};
    if (v2_load_route(c, guid, NEED_READ, &r) < 0 ||
        (v2_deep(c) && load_related(c, &r, 1, &related) < 0))
        return -1;
    return reply_json(c, status, route_json_v2(&r, v2_deep(c) ? &related : NULL));
}

static int reply_routes(struct call *c, struct listing *l) {
    _cleanup_(route_rows_fini) struct route_rows rows = {0};
    _cleanup_(related_fini) struct related related = {0};
    struct error err = {0};
    if (store_route_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (v2_deep(c) && load_related(c, rows.v, rows.n, &related) < 0)
        return -1;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        if (json_array_append_new(list, route_json_v2(&rows.v[i], v2_deep(c) ? &related : NULL)))
            return json_decref(list), fail_no_memory(c);
    return v2_list_reply(c, l, rows.total, list);
}

static const struct v2_filter route_filters[] = {{"host", "hosts"},
                                                 {"path", "paths"},
                                                 {"domain_guid", "domain_guids"},
                                                 {"space_guid", "space_guids"},
                                                 {"organization_guid", "organization_guids"},
                                                 {NULL, NULL}};

static int list_with(struct call *c, const char *filter, const char *value) {
    _cleanup_(listing_fini) struct listing l = {0};
    if (v2_list_parse(c, &l, route_filters) < 0)
        return -1;
    if (filter)
        listing_add(&l, filter, &value);
    return reply_routes(c, &l);
}

int list_v2_routes(struct call *c) {
    return list_with(c, NULL, NULL);
}

int list_v2_app_routes(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    return v2_load_app(c, c->params[0], NEED_READ, &app) < 0 ? -1
                                                             : list_with(c, "app_guids", app.guid);
}

int list_v2_space_routes(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    return v2_load_space(c, c->params[0], NEED_READ, &space) < 0
               ? -1
               : list_with(c, "space_guids", space.guid);
}

int get_v2_route(struct call *c) {
    return reply_route(c, 200, c->params[0]);
}

int list_v2_route_apps(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    _cleanup_(related_fini) struct related related = {0};
    struct listing l = {0};
    if (v2_load_route(c, c->params[0], NEED_READ, &r) < 0 || v2_pages_parse(c, &l) < 0 ||
        load_related(c, &r, 1, &related) < 0)
        return -1;
    json_t *apps = json_object_get(related.apps, r.guid), *shown = json_array();
    for (uint64_t i = l.query.offset; i < json_array_size(apps) && i - l.query.offset < l.per_page;
         i++)
        json_array_append(shown, json_array_get(apps, i));
    return v2_list_reply(c, &l, json_array_size(apps), shown);
}

/* --- creating and deleting
 * ------------------------------------------------------------------------
 */

static int place(struct call *c, struct space_row *space, struct domain_row *domain) {
    int r = route_place(c, body_text(c->json, "space_guid"), body_text(c->json, "domain_guid"),
                        space, domain);
    if (r == 0 || c->status != 422)
        return r;
    json_decref(c->errors);
    c->errors = NULL;
    if (!space->guid[0])
        return fail(c, CC_INVALID_RELATION,
                    "Could not find VCAP::CloudController::Space with guid: %.100s",
                    body_text(c->json, "space_guid"));
    return fail(c, CC_INVALID_RELATION,
                "Could not find VCAP::CloudController::Domain with guid: %.100s",
                body_text(c->json, "domain_guid"));
}

static int need_free(struct call *c, const struct route_wish *wish) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    int found = route_find(c, wish, &r);
    if (found)
        return MIN(found, 0); /* failed, or free */
    if (*wish->path)
        return fail(c, CC_ROUTE_PATH_TAKEN, "%s: %s", cc_error_info(CC_ROUTE_PATH_TAKEN)->detail,
                    wish->path);
    return fail(c, CC_ROUTE_HOST_TAKEN, "%s: %s", cc_error_info(CC_ROUTE_HOST_TAKEN)->detail,
                wish->host);
}

int create_v2_route(struct call *c) {
    static const struct field fields[] = {
        {.name = "space_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "domain_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "host", .kind = FIELD_TEXT, .nullable = true, .max = 253},
        {.name = "path", .kind = FIELD_TEXT, .nullable = true, .max = 128},
        {.name = "port", .kind = FIELD_INT, .nullable = true},
    };
    _cleanup_(space_row_fini) struct space_row space = {0};
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    _cleanup_(route_row_fini) struct route_row r = {0};
    int64_t port;
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 || place(c, &space, &domain) < 0)
        return -1;
    if (body_int(c->json, "port", &port))
        return fail_invalid(c, "Ports are not supported for domains of type 'http'.");
    const char *host = body_text(c->json, "host"), *path = body_text(c->json, "path");
    struct route_wish wish = {host ? host : "", path ? path : "", &domain, NULL};
    if (need_free(c, &wish) < 0 || route_create(c, &wish, space.guid, &r) < 0)
        return -1;
    return reply_route(c, 201, r.guid);
}

int delete_v2_route(struct call *c) {
    _cleanup_(route_row_fini) struct route_row r = {0};
    if (v2_load_route(c, c->params[0], NEED_WRITE, &r) < 0 || route_delete(c, &r) < 0)
        return -1;
    return reply_nothing(c, 204);
}

int delete_v2_unmapped_routes(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    struct error err = {0};
    uint64_t n = 0;
    if (v2_load_space(c, c->params[0], NEED_WRITE, &space) < 0)
        return -1;
    if (store_route_delete_unmapped(c->api->deps.store, space.guid, &n, &err) < 0)
        return fail_internal(c, &err);
    return reply_nothing(c, 204);
}

/* 204: taken, 404: free. */
int get_v2_route_reserved(struct call *c) {
    _cleanup_(domain_row_fini) struct domain_row domain = {0};
    _cleanup_(route_row_fini) struct route_row r = {0};
    if (v2_load_domain(c, c->params[0], &domain) < 0)
        return -1;
    const char *host = c->params[1] ? c->params[1] : call_query(c, "host"),
               *path = call_query(c, "path");
    struct route_wish wish = {host ? host : "", path ? path : "", &domain, NULL};
    int found = route_find(c, &wish, &r);
    if (found < 0)
        return -1;
    return found == 0 ? reply_nothing(c, 204)
                      : fail(c, CC_ROUTE_NOT_FOUND, "The route could not be found");
}

/* --- mapping
 * -------------------------------------------------------------------------------------
 */

static int load_both(struct call *c, const char *app_guid, const char *route_guid,
                     struct app_row *app, struct route_row *route) {
    if (v2_load_app(c, app_guid, NEED_WRITE, app) < 0 ||
        v2_load_route(c, route_guid, NEED_WRITE, route) < 0)
        return -1;
    if (!str_eq(app->space_guid, route->space_guid))
        return fail(c, CC_INVALID_RELATION,
                    "The requested route relation is invalid: the app and route must belong to the "
                    "same space");
    return 0;
}

static int map(struct call *c, const char *app_guid, const char *route_guid) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(route_row_fini) struct route_row route = {0};
    if (load_both(c, app_guid, route_guid, &app, &route) < 0)
        return -1;
    return destination_add(c, &route, &app, "web", 0, "http1");
}

/* All destinations of the route that lead to the app. What is not mapped is unmapped already. */
static int unmap(struct call *c, const char *app_guid, const char *route_guid) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(route_row_fini) struct route_row route = {0};
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    const char *app_filter = app.guid, *route_filter = route.guid;
    struct store_filter filters[] = {{"app_guids", &app_filter, 1},
                                     {"route_guids", &route_filter, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2};
    struct error err = {0};
    if (load_both(c, app_guid, route_guid, &app, &route) < 0)
        return -1;
    if (store_destination_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++)
        if (destination_remove(c, &rows.v[i]) < 0)
            return -1;
    return 0;
}

int map_v2_app_route(struct call *c) {
    return map(c, c->params[0], c->params[1]) < 0 ? -1 : v2_reply_app(c, 201, c->params[0]);
}

int map_v2_route_app(struct call *c) {
    return map(c, c->params[1], c->params[0]) < 0 ? -1 : reply_route(c, 201, c->params[0]);
}

int unmap_v2_app_route(struct call *c) {
    return unmap(c, c->params[0], c->params[1]) < 0 ? -1 : reply_nothing(c, 204);
}

int unmap_v2_route_app(struct call *c) {
    return unmap(c, c->params[1], c->params[0]) < 0 ? -1 : reply_nothing(c, 204);
}
