/* manifest_diff.c - POST .../manifest_diff: what applying a manifest would change. Nothing is. */
#include <stdio.h>

#include "controller/api/manifest.h"
#include "controller/api/manifest_show.h"
#include "controller/api/resources.h"

/* Process keys that may stand at the app's level: there they are those of web. */
static const char *const process_keys[] = {"command",
                                           "instances",
                                           "memory",
                                           "disk_quota",
                                           "health-check-type",
                                           "health-check-http-endpoint",
                                           "timeout",
                                           "log-rate-limit-per-second"};
static const char *const size_keys[] = {"memory", "disk_quota", "log-rate-limit-per-second"};

static bool among(const char *key, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(keys[i], key))
            return true;
    return false;
}

/* "1G" and "1024M" are the same size. */
static bool same(const char *key, const json_t *wish, const json_t *now) {
    uint64_t a, b;
    if (among(key, size_keys, ARRAY_SIZE(size_keys)) && manifest_size(wish, &a) &&
        manifest_size(now, &b))
        return a == b;
    return json_equal(wish, now);
}

static void put(json_t *diff, const char *path, const json_t *now, const json_t *wish) {
    json_array_append_new(
        diff, now ? json_pack("{s:s,s:s,s:O,s:O}", "op", "replace", "path", path, "was", now,
                              "value", wish)
                  : json_pack("{s:s,s:s,s:O}", "op", "add", "path", path, "value", wish));
}

/* What a route or a service goes by. */
static const char *called(const json_t *one) {
    const char *name = json_is_string(one) ? json_string_value(one) : body_text(one, "route");
    return name ? name : body_text(one, "name");
}

/* Members of a mapping that the app has otherwise; those of mappings in it too. */
static void diff_map(json_t *diff, const char *path, const json_t *now, const json_t *wish) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)wish, name, value) {
        char one[512];
        const json_t *was = json_object_get(now, name);
        snprintf(one, sizeof one, "%s/%.200s", path, name);
        if (json_is_object(value) && json_is_object(was))
            diff_map(diff, one, was, value);
        else if (!json_is_null(value) && (!was || !json_equal(was, value)))
            put(diff, one, was, value);
    }
}

/* Routes and services are only ever added; a route that stands may get other options. */
static void diff_list(json_t *diff, const char *path, const json_t *now, const json_t *wish) {
    size_t i, j;
    json_t *one, *other;
    json_array_foreach(wish, i, one) {
        const json_t *known = NULL;
        char at[256];
        json_array_foreach(now, j, other) {
            if (str_eq(called(one), called(other)))
                known = other;
        }
        snprintf(at, sizeof at, "%s/%zu%s", path, i, known ? "/options" : "");
        if (known)
            diff_map(diff, at, json_object_get(known, "options"), json_object_get(one, "options"));
        else
            put(diff, at, NULL, one);
    }
}

static const json_t *web_of(const json_t *now) {
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(now, "processes"), i, one) {
        if (str_eq(body_text(one, "type"), "web"))
            return one;
    }
    return NULL;
}

/* `now` NULL: a new app, all is added. */
static void diff_app(json_t *diff, size_t index, const json_t *now, const json_t *wish) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)wish, key, value) {
        char path[256];
        const char *name = str_eq(key, "disk-quota") ? "disk_quota" : key;
        snprintf(path, sizeof path, "/applications/%zu/%.200s", index, key);
        bool of_process = among(name, process_keys, ARRAY_SIZE(process_keys));
        const json_t *was = json_object_get(of_process ? web_of(now) : now, name);
        if (str_eq(key, "env") || (now && (str_eq(key, "docker") || str_eq(key, "metadata"))))
            diff_map(diff, path, was, value);
        else if (str_eq(key, "routes") || str_eq(key, "services"))
            diff_list(diff, path, was, value);
        else if (!now || (of_process && !json_is_null(value) && !same(name, value, was)))
            put(diff, path, was, value);
    }
}

int diff_manifest(struct call *c) {
    _cleanup_(manifest_fini) struct manifest m = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (load_space(c, c->params[0], NEED_WRITE, &space) < 0 || manifest_read(c, &m) < 0)
        return -1;
    json_t *diff = json_array();
    for (size_t i = 0; i < m.count; i++) {
        const char *guid = space.guid, *name = m.apps[i].name;
        struct store_filter filters[] = {{"space_guids", &guid, 1}, {"names", &name, 1}};
        struct store_query q = {.filters = filters, .filter_count = 2, .limit = 1};
        _cleanup_(app_rows_fini) struct app_rows rows = {0};
        struct error err = {0};
        if (store_app_list(c->api->deps.store, &q, &rows, &err) < 0)
            return json_decref(diff), fail_internal(c, &err);
        json_t *now = rows.n ? manifest_of_app(c, &rows.v[0]) : NULL;
        if (c->errors)
            return json_decref(diff), -1;
        diff_app(diff, i, now, m.apps[i].whole);
        json_decref(now);
    }
    return reply_json(c, 201, json_pack("{s:o}", "diff", diff));
}
