/* app_view.c - an app as v2 sees it: one thing, where v3 has an app, a process, packages, builds
 * and droplets. */
#include "controller/api/v2/v2.h"

#define STAGING_ERROR "StagingError" /* how a failed build's error begins */

/* --- loading
 * -------------------------------------------------------------------------------------
 */

static struct app_view *view_of(const struct app_views *views, const char *app_guid) {
    json_t *place = json_object_get(views->index, app_guid);
    return place ? &views->v[json_integer_value(place)] : NULL;
}

static int make_index(struct app_views *views, const struct app_row *apps, size_t n) {
    views->index = json_object();
    views->v = mem_calloc(n + 1, sizeof *views->v);
    if (!views->index || !views->v)
        return -1;
    for (views->n = 0; views->n < n; views->n++) {
        views->v[views->n].app = &apps[views->n];
        if (json_object_set_new(views->index, apps[views->n].guid,
                                json_integer((json_int_t)views->n)))
            return -1;
    }
    return 0;
}

/* Rows come oldest first: the last one stays. */
static void link_rows(struct app_views *views) {
    struct app_view *v;
    for (size_t i = 0; i < views->processes.n; i++)
        if ((v = view_of(views, views->processes.v[i].app_guid)))
            v->web = &views->processes.v[i];
    for (size_t i = 0; i < views->packages.n; i++)
        if ((v = view_of(views, views->packages.v[i].app_guid)))
            v->package = &views->packages.v[i];
    for (size_t i = 0; i < views->builds.n; i++)
        if ((v = view_of(views, views->builds.v[i].app_guid)) && v->package &&
            str_eq(v->package->guid, views->builds.v[i].package_guid))
            v->build = &views->builds.v[i];
    for (size_t i = 0; i < views->droplets.n; i++)
        if ((v = view_of(views, views->droplets.v[i].app_guid)))
            v->droplet = &views->droplets.v[i];
}

/* cc: app/models/runtime/process_model.rb package_state */
static enum package_state state_of(const struct app_view *v) {
    if (v->build && str_eq(v->build->state, "STAGING"))
        return PACKAGE_PENDING;
    if (v->build && str_eq(v->build->state, "FAILED"))
        return PACKAGE_FAILED;
    if (v->droplet && (!v->package || str_eq(v->droplet->package_guid, v->package->guid)))
        return PACKAGE_STAGED;
    return PACKAGE_PENDING;
}

int app_views_load(struct call *c, const struct app_row *apps, size_t n, struct app_views *ret) {
    struct store *store = c->api->deps.store;
    _cleanup_(freep) const char **guids = mem_calloc(n + 1, sizeof *guids);
    _cleanup_(freep) const char **droplets = mem_calloc(n + 1, sizeof *droplets);
    struct error err = {0};
    if (!guids || !droplets || make_index(ret, apps, n) < 0)
        return fail_no_memory(c);
    for (size_t i = 0; i < n; i++) {
        guids[i] = apps[i].guid;
        droplets[i] = apps[i].droplet_guid;
    }
    struct store_filter own = {"guids", guids, n}, of_app = {"app_guids", guids, n},
                        current = {"guids", droplets, n};
    struct store_query q_own = {.filters = &own, .filter_count = 1},
                       q_app = {.filters = &of_app, .filter_count = 1},
                       q_current = {.filters = &current, .filter_count = 1};
    /* The web process has its app's guid. */
    if (store_process_list(store, &q_own, &ret->processes, &err) < 0 ||
        store_package_list(store, &q_app, &ret->packages, &err) < 0 ||
        store_build_list(store, &q_app, &ret->builds, &err) < 0 ||
        store_droplet_list(store, &q_current, &ret->droplets, &err) < 0 ||
        store_route_list(store, &q_app, &ret->routes, &err) < 0 ||
        store_destination_list(store, &q_app, &ret->destinations, &err) < 0)
        return fail_internal(c, &err);
    link_rows(ret);
    for (size_t i = 0; i < n; i++) {
        struct app_view *v = &ret->v[i];
        v->state = state_of(v);
        v->wanted = apps[i].started || (v->build && str_eq(v->build->state, "STAGING") &&
                                        v->build->start_after_staging);
    }
    return 0;
}

void app_views_fini(struct app_views *views) {
    free(views->v);
    json_decref(views->index);
    process_rows_fini(&views->processes);
    package_rows_fini(&views->packages);
    build_rows_fini(&views->builds);
    droplet_rows_fini(&views->droplets);
    route_rows_fini(&views->routes);
    destination_rows_fini(&views->destinations);
}

/* --- showing
 * -------------------------------------------------------------------------------------
 */

static json_t *credentials_json(const struct package_row *p) {
    bool has = p && p->username;
    return json_pack("{s:o,s:o}", "username", has ? json_text_or_null(p->username) : json_null(),
                     "password", has ? json_string("***") : json_null());
}

static json_t *start_command(const struct droplet_row *d) {
    json_t *types = d ? json_stored(d->process_types, "{}") : NULL;
    json_t *command = types ? json_object_get(types, "web") : NULL;
    json_t *text = json_is_string(command) ? json_incref(command) : json_null();
    json_decref(types);
    return text;
}

static json_t *ports_json(const struct droplet_row *d) {
    json_t *list = d ? json_stored(d->ports, "[]") : NULL, *one, *ports = json_array();
    size_t i;
    int64_t port;
    json_array_foreach(list, i, one) {
        if (str_eq(body_text(one, "Protocol"), "tcp") && body_int(one, "Port", &port))
            json_array_append_new(ports, json_integer(port));
    }
    json_decref(list);
    if (json_array_size(ports))
        return ports;
    json_decref(ports);
    return json_null();
}

static bool put_staging(json_t *entity, const struct app_view *v) {
    static const char *const names[] = {"PENDING", "STAGED", "FAILED"};
    const char *error = v->state == PACKAGE_FAILED ? v->build->error : NULL;
    if (error && str_starts(error, STAGING_ERROR " - "))
        error += strlen(STAGING_ERROR " - ");
    return json_object_set_new(entity, "package_state", json_string(names[v->state])) == 0 &&
           json_object_set_new(entity, "staging_failed_reason",
                               error ? json_string(STAGING_ERROR) : json_null()) == 0 &&
           json_object_set_new(entity, "staging_failed_description", json_text_or_null(error)) ==
               0 &&
           json_object_set_new(entity, "staging_task_id",
                               json_guid_or_null(v->build ? v->build->guid : NULL)) == 0 &&
           json_object_set_new(entity, "package_updated_at",
                               json_time(v->package ? v->package->created_ns : 0)) == 0 &&
           json_object_set_new(entity, "docker_image",
                               json_text_or_null(v->package ? v->package->image : NULL)) == 0 &&
           json_object_set_new(entity, "docker_credentials", credentials_json(v->package)) == 0 &&
           json_object_set_new(entity, "detected_start_command", start_command(v->droplet)) == 0 &&
           json_object_set_new(entity, "ports", ports_json(v->droplet)) == 0;
}

/* 6.13 knows "process" as "none", and wants back what it sent. */
static const char *health_type(struct call *c, const struct process_row *web) {
    bool none = str_eq(body_text(c->json, "health_check_type"), "none");
    return none && str_eq(web->health_type, "process") ? "none" : web->health_type;
}

static bool put_process(struct call *c, json_t *entity, const struct process_row *web) {
    if (!web)
        return true;
    return json_object_set_new(entity, "memory", json_integer((json_int_t)web->memory_mb)) == 0 &&
           json_object_set_new(entity, "disk_quota", json_integer((json_int_t)web->disk_mb)) == 0 &&
           json_object_set_new(entity, "instances", json_integer((json_int_t)web->instances)) ==
               0 &&
           json_object_set_new(entity, "command", json_text_or_null(web->command)) == 0 &&
           json_object_set_new(entity, "health_check_type", json_string(health_type(c, web))) ==
               0 &&
           json_object_set_new(entity, "health_check_timeout",
                               web->health_timeout_s
                                   ? json_integer((json_int_t)web->health_timeout_s)
                                   : json_null()) == 0 &&
           json_object_set_new(entity, "health_check_http_endpoint",
                               json_text_or_null(web->health_endpoint)) == 0 &&
           json_object_set_new(entity, "version", json_string(web->version)) == 0;
}

/* Secrets stand in the environment: only who may change the app sees it. cc: app_presenter.rb */
static json_t *env_json(struct call *c, const struct app_row *app) {
    return v2_reads_secrets(c, app->space_guid)
               ? json_stored(app->env, "{}")
               : json_pack("{s:s}", "redacted_message", "[PRIVATE DATA HIDDEN]");
}

json_t *v2_app_entity(struct call *c, const struct app_view *v) {
    const struct app_row *app = v->app;
    json_t *entity =
        json_pack("{s:s,s:s,s:s,s:n,s:n,s:n,s:o,s:s,s:b,s:b,s:b,s:n,s:b}", "name", app->name,
                  "space_guid", app->space_guid, "stack_guid", STACK_GUID, "buildpack",
                  "detected_buildpack", "detected_buildpack_guid", "environment_json",
                  env_json(c, app), "state", v->wanted ? "STARTED" : "STOPPED", "diego", 1,
                  "production", 0, "console", 0, "debug", "enable_ssh", app->ssh);
    if (entity && put_process(c, entity, v->web) && put_staging(entity, v) &&
        v2_url(entity, "space_url", "spaces", app->space_guid, NULL) &&
        v2_url(entity, "stack_url", "stacks", STACK_GUID, NULL) &&
        v2_url(entity, "routes_url", "apps", app->guid, "routes") &&
        v2_url(entity, "events_url", "apps", app->guid, "events") &&
        v2_url(entity, "service_bindings_url", "apps", app->guid, "service_bindings") &&
        v2_url(entity, "route_mappings_url", "apps", app->guid, "route_mappings"))
        return entity;
    json_decref(entity);
    return NULL;
}

static const struct route_row *route_of(const struct app_views *views, const char *guid) {
    for (size_t i = 0; i < views->routes.n; i++)
        if (str_eq(views->routes.v[i].guid, guid))
            return &views->routes.v[i];
    return NULL;
}

/* Calls for each route of an app; two destinations of one route are one route. */
static void each_route(const struct app_views *views, size_t at,
                       void (*each)(json_t *list, const struct route_row *r), json_t *list) {
    const char *last = "";
    for (size_t i = 0; i < views->destinations.n; i++) {
        const struct destination_row *d = &views->destinations.v[i];
        const struct route_row *r =
            str_eq(d->app_guid, views->v[at].app->guid) ? route_of(views, d->route_guid) : NULL;
        if (!r || str_eq(last, r->guid))
            continue;
        last = r->guid;
        each(list, r);
    }
}

static void add_summary(json_t *list, const struct route_row *r) {
    json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:n,s:{s:s,s:s}}", "guid", r->guid, "host",
                                          r->host, "path", r->path, "port", "domain", "guid",
                                          r->domain_guid, "name", r->domain_name));
}

static void add_url(json_t *list, const struct route_row *r) {
    _cleanup_(freep) char *url = route_url(r->host, r->domain_name, r->path);
    json_array_append_new(list, url ? json_string(url) : NULL);
}

/* What 6.x reads of a route inside an app: its host, and its domain's name. */
static void add_deep(json_t *list, const struct route_row *r) {
    json_t *entity = v2_route_entity(r), *domain = json_pack("{s:s}", "name", r->domain_name);
    if (entity)
        json_object_set_new(entity, "domain",
                            v2_resource("domains", r->domain_guid, r->created_ns, 0, domain));
    else
        json_decref(domain);
    json_array_append_new(list,
                          v2_resource("routes", r->guid, r->created_ns, r->updated_ns, entity));
}

json_t *v2_app_routes(const struct app_views *views, size_t i) {
    json_t *list = json_array();
    each_route(views, i, add_summary, list);
    return list;
}

json_t *v2_app_urls(const struct app_views *views, size_t i) {
    json_t *list = json_array();
    each_route(views, i, add_url, list);
    return list;
}

json_t *v2_app_json(struct call *c, const struct app_views *views, size_t i, bool deep) {
    const struct app_row *app = views->v[i].app;
    json_t *entity = v2_app_entity(c, &views->v[i]);
    if (entity && deep) {
        json_t *routes = json_array(), *space = json_pack("{s:s,s:s}", "name", app->space_name,
                                                          "organization_guid", app->org_guid);
        each_route(views, i, add_deep, routes);
        json_object_set_new(entity, "routes", routes);
        json_object_set_new(entity, "space",
                            v2_resource("spaces", app->space_guid, app->created_ns, 0, space));
        json_object_set_new(entity, "stack", v2_stack_json());
        json_object_set_new(entity, "service_bindings", json_array());
    }
    return v2_resource("apps", app->guid, app->created_ns, app->updated_ns, entity);
}

int v2_reply_app(struct call *c, int status, const char *guid) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(app_views_fini) struct app_views views = {0};
    if (v2_load_app(c, guid, NEED_READ, &app) < 0 || app_views_load(c, &app, 1, &views) < 0)
        return -1;
    return reply_json(c, status, v2_app_json(c, &views, 0, v2_deep(c)));
}
