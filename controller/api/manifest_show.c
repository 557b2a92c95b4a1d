#include "controller/api/manifest_show.h"

#include "controller/api/manifest.h"
#include "controller/api/resources.h"
#include "controller/api/yaml_write.h"

static int set(json_t *map, const char *key, json_t *value) {
    return json_object_set_new(map, key, value);
}

static json_t *size_json(uint64_t mb) {
    char text[32];
    snprintf(text, sizeof text, "%lluM", (unsigned long long)mb);
    return json_string(text);
}

static int set_seconds(json_t *map, const char *key, uint64_t s) {
    return s ? set(map, key, json_integer((json_int_t)s)) : 0;
}

static json_t *rate_json(int64_t rate) {
    char text[32];
    if (rate < 0)
        return json_integer(-1);
    snprintf(text, sizeof text, "%lldB", (long long)rate);
    return json_string(text);
}

static json_t *process_manifest(const struct process_row *p) {
    json_t *map = json_pack("{s:s,s:I,s:o,s:o,s:o,s:s}", "type", p->type, "instances",
                            (json_int_t)p->instances, "memory", size_json(p->memory_mb),
                            "disk_quota", size_json(p->disk_mb), "log-rate-limit-per-second",
                            rate_json(p->log_rate), "health-check-type", p->health_type);
    if (!map || (p->command && set(map, "command", json_string(p->command))) ||
        (p->health_endpoint &&
         set(map, "health-check-http-endpoint", json_string(p->health_endpoint))) ||
        set_seconds(map, "timeout", p->health_timeout_s) ||
        set_seconds(map, "health-check-invocation-timeout", p->health_invocation_s) ||
        set_seconds(map, "health-check-interval", p->health_interval_s) ||
        (!str_eq(p->ready_type, "process") &&
         set(map, "readiness-health-check-type", json_string(p->ready_type))) ||
        (p->ready_endpoint &&
         set(map, "readiness-health-check-http-endpoint", json_string(p->ready_endpoint))))
        return json_decref(map), NULL;
    return map;
}

static int add_processes(struct call *c, const struct app_row *app, json_t *map) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    if (app_processes(c, app->guid, &rows) < 0)
        return -1;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        json_array_append_new(list, process_manifest(&rows.v[i]));
    return set(map, "processes", list);
}

static int add_routes(struct call *c, const struct app_row *app, json_t *map) {
    _cleanup_(destination_rows_fini) struct destination_rows rows = {0};
    if (app_destinations(c, app->guid, &rows) < 0)
        return -1;
    if (!rows.n)
        return 0;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        const struct destination_row *d = &rows.v[i];
        _cleanup_(freep) char *url = route_url(d->host, d->domain_name, d->path);
        json_t *one =
            json_pack("{s:o,s:s}", "route", json_text_or_null(url), "protocol", d->protocol);
        if (one && d->options)
            set(one, "options", json_stored(d->options, "{}"));
        json_array_append_new(list, one);
    }
    return set(map, "routes", list);
}

static int add_image(struct call *c, const struct app_row *app, json_t *map) {
    _cleanup_(droplet_row_fini) struct droplet_row droplet = {0};
    _cleanup_(package_row_fini) struct package_row package = {0};
    struct store *store = c->api->deps.store;
    if (!app->droplet_guid[0] || store_droplet_get(store, app->droplet_guid, &droplet, NULL) < 0)
        return 0;
    json_t *docker = json_pack("{s:o}", "image", json_text_or_null(droplet.image));
    if (docker && store_package_get(store, droplet.package_guid, &package, NULL) == 0 &&
        package.username)
        set(docker, "username", json_string(package.username));
    return set(map, "docker", docker);
}

static int add_env(const struct app_row *app, json_t *map) {
    json_t *env = json_stored(app->env, "{}");
    if (json_object_size(env))
        return set(map, "env", env);
    json_decref(env);
    return 0;
}

static int add_metadata(const struct app_row *app, json_t *map) {
    return app->labels || app->annotations
               ? set(map, "metadata", json_metadata(app->labels, app->annotations))
               : 0;
}

json_t *manifest_of_app(struct call *c, const struct app_row *app) {
    json_t *map = json_pack("{s:s}", "name", app->name);
    if (!map || add_image(c, app, map) || add_env(app, map) || add_routes(c, app, map) ||
        add_metadata(app, map) || manifest_services_show(c, app, map) ||
        add_processes(c, app, map)) {
        json_decref(map);
        if (!c->errors)
            fail_no_memory(c);
        return NULL;
    }
    return map;
}

int get_app_manifest(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0)
        return -1;
    json_t *one = manifest_of_app(c, &app);
    if (!one)
        return -1;
    json_t *document = json_pack("{s:[o]}", "applications", one);
    char *text = yaml_write(document);
    json_decref(document);
    int r = text ? reply_text(c, 200, "application/x-yaml", text) : fail_no_memory(c);
    free(text);
    return r;
}
