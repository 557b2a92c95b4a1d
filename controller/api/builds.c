/* builds.c - a build asks the registry what a package's image is; its result is a droplet. */
#include <errno.h>

#include "controller/api/resources.h"

#define STAGING_MEMORY_MB 1024 /* cc: staging.minimum_staging_memory_mb */
#define STAGING_DISK_MB   6144 /* cc: staging.minimum_staging_disk_mb */
/* The CLI asks at once and then every 3 s: most builds take less than this. */
#define HOLD_MS 2500

static json_t *build_json(struct call *c, const struct build_row *b) {
    json_t *links = json_pack("{s:o,s:o}", "self", json_link(c, "/v3/builds/%s", b->guid), "app",
                              json_link(c, "/v3/apps/%s", b->app_guid));
    if (links && b->droplet_guid[0] &&
        json_object_set_new(links, "droplet", json_link(c, "/v3/droplets/%s", b->droplet_guid)))
        return json_decref(links), NULL;
    json_t *droplet =
        b->droplet_guid[0] ? json_pack("{s:s}", "guid", b->droplet_guid) : json_null();
    return json_pack("{s:s,s:o,s:o,s:{s:s,s:o,s:o},s:s,s:I,s:I,s:n,s:o,s:{s:s,s:{}},s:{s:o},s:o,s:{"
                     "s:o},s:o,s:o}",
                     "guid", b->guid, "created_at", json_time(b->created_ns), "updated_at",
                     json_time(b->updated_ns), "created_by", "guid", b->user_guid, "name",
                     json_text_or_null(b->user_name), "email", json_text_or_null(b->user_name),
                     "state", b->state, "staging_memory_in_mb", (json_int_t)b->memory_mb,
                     "staging_disk_in_mb", (json_int_t)b->disk_mb,
                     "staging_log_rate_limit_bytes_per_second", "error",
                     json_text_or_null(b->error), "lifecycle", "type", "docker", "data", "package",
                     "guid", json_guid_or_null(b->package_guid), "droplet", droplet,
                     "relationships", "app", json_relation(b->app_guid), "metadata",
                     json_metadata(b->labels, b->annotations), "links", links);
}

int list_builds(struct call *c) {
    static const char *const filters[] = {"guids",  "app_guids",      "package_guids",
                                          "states", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    return listing_parse(c, &l, filters, NULL) < 0 ? -1 : reply_rows(c, &l, build, build_json);
}

int list_app_builds(struct call *c) {
    static const char *const filters[] = {"guids", "states", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (listing_of_app(c, &l, filters, NULL, &app) < 0)
        return -1;
    return reply_rows(c, &l, build, build_json);
}

static int load_build(struct call *c, enum need need, struct build_row *ret) {
    struct error err = {0};
    int r = store_build_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Build") < 0 ? -1 : need_space(c, ret->space_guid, need, "Build");
}

int get_build(struct call *c) {
    _cleanup_(build_row_fini) struct build_row b = {0};
    if (load_build(c, NEED_READ, &b) < 0)
        return -1;
    if (str_eq(b.state, "STAGING") && call_hold(c, HOLD_MS))
        return 0;
    return reply_json(c, 200, build_json(c, &b));
}

/* Its state is staging's matter. */
int update_build(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(build_row_fini) struct build_row b = {0};
    struct error err = {0};
    if (load_build(c, NEED_WRITE, &b) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &b.labels, &b.annotations) < 0)
        return -1;
    if (store_build_update(c->api->deps.store, &b, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, build_json(c, &b));
}

/* --- creating
 * ---------------------------------------------------------------------------------------
 */

static int builds_staging(struct call *c, const char *app_guid, struct build_rows *ret) {
    const char *staging = "STAGING";
    struct store_filter filters[] = {{"app_guids", &app_guid, 1}, {"states", &staging, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2};
    struct error err = {0};
    return store_build_list(c->api->deps.store, &q, ret, &err) < 0 ? fail_internal(c, &err) : 0;
}

static int one_at_a_time(struct call *c, const char *app_guid) {
    _cleanup_(build_rows_fini) struct build_rows rows = {0};
    if (builds_staging(c, app_guid, &rows) < 0)
        return -1;
    return rows.n ? fail_plain(c, CC_STAGING_IN_PROGRESS) : 0;
}

static int load_package_of_build(struct call *c, struct package_row *package) {
    struct error err = {0};
    int r =
        store_package_get(c->api->deps.store, body_text(c->json, "package.guid"), package, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, package->space_guid))
        return fail_invalid(c, "Unable to use package. Ensure that the package exists and you have "
                               "access to it.");
    if (need_space(c, package->space_guid, NEED_WRITE, "Package") < 0)
        return -1;
    return str_eq(package->state, "READY")
               ? 0
               : fail(c, CC_BAD_REQUEST,
                      "Bad request: Cannot stage package whose state is not ready.");
}

int build_create(struct call *c, const struct app_row *app, const struct package_row *package,
                 struct build_row *ret) {
    struct error err = {0};
    if (one_at_a_time(c, app->guid) < 0)
        return -1;
    ret->memory_mb = ret->memory_mb ? ret->memory_mb : STAGING_MEMORY_MB;
    ret->disk_mb = ret->disk_mb ? ret->disk_mb : STAGING_DISK_MB;
    memcpy(ret->app_guid, app->guid, GUID_SIZE);
    memcpy(ret->package_guid, package->guid, GUID_SIZE);
    memcpy(ret->user_guid, c->identity.guid, GUID_SIZE);
    if (str_set(&ret->state, "STAGING") < 0 || str_set(&ret->user_name, c->identity.name) < 0)
        return fail_no_memory(c);
    if (store_build_insert(c->api->deps.store, ret, &err) < 0)
        return fail_internal(c, &err);
    if (record_event(
            c, "audit.app.build.create", app,
            json_pack("{s:s,s:s}", "build_guid", ret->guid, "package_guid", package->guid)) < 0)
        return -1;
    return after_commit(c, AFTER_STAGE, ret->guid);
}

int builds_start_after(struct call *c, const char *app_guid, bool start) {
    _cleanup_(build_rows_fini) struct build_rows rows = {0};
    struct error err = {0};
    if (builds_staging(c, app_guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++) {
        if (rows.v[i].start_after_staging == start)
            continue;
        rows.v[i].start_after_staging = start;
        if (store_build_update(c->api->deps.store, &rows.v[i], &err) < 0)
            return fail_internal(c, &err);
    }
    return 0;
}

int create_build(struct call *c) {
    static const struct field guid_fields[] = {
        {.name = "guid", .kind = FIELD_TEXT, .required = true, .min = 1}};
    static const struct field fields[] = {
        FIELD_OF("package", true, guid_fields),
        {.name = "lifecycle", .kind = FIELD_OBJECT, .nullable = true},
        {.name = "staging_memory_in_mb",
         .kind = FIELD_INT,
         .nullable = true,
         .min = 1,
         .max = INT32_MAX},
        {.name = "staging_disk_in_mb",
         .kind = FIELD_INT,
         .nullable = true,
         .min = 1,
         .max = INT32_MAX},
        {.name = "staging_log_rate_limit_bytes_per_second",
         .kind = FIELD_INT,
         .nullable = true,
         .min = -1,
         .max = INT32_MAX},
        FIELD_METADATA,
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(package_row_fini) struct package_row package = {0};
    _cleanup_(build_row_fini) struct build_row b = {0};
    int64_t memory = 0, disk = 0;
    if (body_check_all(c, fields) < 0 || load_package_of_build(c, &package) < 0 ||
        load_app(c, package.app_guid, NEED_WRITE, &app) < 0 || need_docker(c, &app) < 0)
        return -1;
    body_int(c->json, "staging_memory_in_mb", &memory);
    body_int(c->json, "staging_disk_in_mb", &disk);
    b.memory_mb = (uint64_t)memory;
    b.disk_mb = (uint64_t)disk;
    if (metadata_merge(c, c->json, &b.labels, &b.annotations) < 0 ||
        build_create(c, &app, &package, &b) < 0)
        return -1;
    return reply_json(c, 201, build_json(c, &b));
}
