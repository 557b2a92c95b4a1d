/* packages.c - a package is an image reference and who may fetch it. */
#include <errno.h>

#include "controller/api/resources.h"
#include "controller/staging/staging.h"

#define IMAGE_MAX 2048
/* CLI 7 follows every page of an app's packages one by one: old ones are no history worth that. */
#define KEEP_PACKAGES 5
#define KEEP_DROPLETS 25 /* revisions to go back to: some kB each */
#define KEEP_BUILDS   20

static json_t *package_json(struct call *c, const struct package_row *p) {
    json_t *links = json_pack("{s:o,s:o,s:o}", "self", json_link(c, "/v3/packages/%s", p->guid),
                              "app", json_link(c, "/v3/apps/%s", p->app_guid), "droplets",
                              json_link(c, "/v3/packages/%s/droplets", p->guid));
    return json_pack("{s:s,s:o,s:o,s:s,s:s,s:{s:o,s:o,s:o},s:{s:o},s:o,s:o}", "guid", p->guid,
                     "created_at", json_time(p->created_ns), "updated_at", json_time(p->updated_ns),
                     "type", p->type, "state", p->state, "data", "image",
                     json_text_or_null(p->image), "username", json_text_or_null(p->username),
                     "password", p->username ? json_string("***") : json_null(), "relationships",
                     "app", json_relation(p->app_guid), "metadata",
                     json_metadata(p->labels, p->annotations), "links", links);
}

int list_packages(struct call *c) {
    static const char *const filters[] = {"guids",          "app_guids",   "states",
                                          "types",          "space_guids", "organization_guids",
                                          "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    return listing_parse(c, &l, filters, NULL) < 0 ? -1 : reply_rows(c, &l, package, package_json);
}

int list_app_packages(struct call *c) {
    static const char *const filters[] = {"guids", "states", "types", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (listing_of_app(c, &l, filters, NULL, &app) < 0)
        return -1;
    return reply_rows(c, &l, package, package_json);
}

static int load_package(struct call *c, enum need need, struct package_row *ret) {
    struct error err = {0};
    int r = store_package_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Package") < 0 ? -1
                                                 : need_space(c, ret->space_guid, need, "Package");
}

int get_package(struct call *c) {
    _cleanup_(package_row_fini) struct package_row p = {0};
    return load_package(c, NEED_READ, &p) < 0 ? -1 : reply_json(c, 200, package_json(c, &p));
}

int update_package(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(package_row_fini) struct package_row p = {0};
    struct error err = {0};
    if (load_package(c, NEED_WRITE, &p) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &p.labels, &p.annotations) < 0)
        return -1;
    if (store_package_update(c->api->deps.store, &p, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, package_json(c, &p));
}

/* An image lies in its registry. */
int refuse_package_bits(struct call *c) {
    _cleanup_(package_row_fini) struct package_row p = {0};
    return load_package(c, NEED_WRITE, &p) < 0 ? -1 : fail_invalid(c, "Package type must be bits.");
}

int delete_package(struct call *c) {
    _cleanup_(package_row_fini) struct package_row p = {0};
    struct error err = {0};
    if (load_package(c, NEED_WRITE, &p) < 0)
        return -1;
    if (store_package_delete(c->api->deps.store, p.guid, &err) < 0)
        return fail_internal(c, &err);
    return reply_job(c, "package.delete");
}

/* --- creating
 * ---------------------------------------------------------------------------------------
 */

/* What a shell or a paste leaves around a reference must not reach the registry's URL; and not
 * every registry may be asked. */
static int check_image(struct call *c, const char *image) {
    struct error err = {0};
    for (const char *p = image; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return fail_invalid(c, "Image must not contain spaces or control characters");
    if (staging_check_image(c->api->deps.staging, image, &err) < 0)
        return fail_invalid(c, "%s", err.msg);
    return 0;
}

int package_create(struct call *c, const struct app_row *app, const char *image,
                   const char *username, const char *password, struct package_row *ret) {
    struct error err = {0};
    if (check_image(c, image) < 0)
        return -1;
    memcpy(ret->app_guid, app->guid, GUID_SIZE);
    if (str_set(&ret->type, "docker") < 0 || str_set(&ret->state, "READY") < 0 ||
        str_set(&ret->image, image) < 0 ||
        (!str_empty(username) && (str_set(&ret->username, username) < 0 ||
                                  str_set(&ret->password, password ? password : "") < 0)))
        return fail_no_memory(c);
    if (store_package_insert(c->api->deps.store, ret, &err) < 0)
        return fail_internal(c, &err);
    if (app_trim(c, app) < 0)
        return -1;
    return record_event(c, "audit.app.package.create", app,
                        json_pack("{s:s,s:{s:s,s:s}}", "package_guid", ret->guid, "request", "type",
                                  "docker", "image", image));
}

static const struct field app_field[] = {FIELD_RELATION("app", true)};

/* `?source_guid=`: the image of another app's package, without who may fetch it (as cc has it). */
static int copy_package(struct call *c, const char *source_guid) {
    static const struct field fields[] = {FIELD_OF("relationships", true, app_field)};
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(package_row_fini) struct package_row from = {0}, p = {0};
    struct error err = {0};
    if (body_check_all(c, fields) < 0 ||
        load_related_app(c, "App is invalid. Ensure it exists and you have access to it.", &app) <
            0)
        return -1;
    int r = store_package_get(c->api->deps.store, source_guid, &from, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, from.space_guid))
        return fail_invalid(c, "Source package is invalid. Ensure it exists and you have access to "
                               "it.");
    if (need_space(c, from.space_guid, NEED_WRITE, "Package") < 0)
        return -1;
    if (str_eq(from.app_guid, app.guid))
        return fail_invalid(c, "Source and destination app cannot be the same");
    if (package_create(c, &app, from.image, NULL, NULL, &p) < 0)
        return -1;
    return reply_json(c, 201, package_json(c, &p));
}

int create_package(struct call *c) {
    static const struct field data_fields[] = {
        {.name = "image", .kind = FIELD_TEXT, .required = true, .min = 1, .max = IMAGE_MAX},
        {.name = "username", .kind = FIELD_TEXT, .nullable = true, .max = 1000},
        {.name = "password", .kind = FIELD_TEXT, .nullable = true, .max = 5000},
    };
    static const struct field fields[] = {
        {.name = "type", .kind = FIELD_TEXT, .required = true, .min = 1},
        FIELD_OF("relationships", true, app_field),
        FIELD_OF("data", true, data_fields),
        FIELD_METADATA,
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(package_row_fini) struct package_row p = {0};
    const char *type = body_text(c->json, "type"), *source_guid = call_query(c, "source_guid");
    if (source_guid)
        return copy_package(c, source_guid);
    if (type && !str_eq(type, "docker"))
        return fail_invalid(c, "Type must be 'docker': this platform runs Docker images");
    if (body_check_all(c, fields) < 0 ||
        load_related_app(c, "App is invalid. Ensure it exists and you have access to it.", &app) <
            0)
        return -1;
    if (metadata_merge(c, c->json, &p.labels, &p.annotations) < 0 ||
        package_create(c, &app, body_text(c->json, "data.image"),
                       body_text(c->json, "data.username"), body_text(c->json, "data.password"),
                       &p) < 0)
        return -1;
    return reply_json(c, 201, package_json(c, &p));
}

/* --- keeping few
 * ------------------------------------------------------------------------------------
 */

static struct store_query newest_of(const struct store_filter *filter, uint64_t keep) {
    return (struct store_query){
        .filters = filter, .filter_count = 1, .descending = true, .offset = keep};
}

static int trim_packages(struct call *c, const struct store_filter *filter, const char *current) {
    struct store *store = c->api->deps.store;
    _cleanup_(package_rows_fini) struct package_rows rows = {0};
    struct store_query q = newest_of(filter, KEEP_PACKAGES);
    struct error err = {0};
    if (store_package_list(store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++)
        if (!str_eq(rows.v[i].guid, current) &&
            store_package_delete(store, rows.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    return 0;
}

static int trim_droplets(struct call *c, const struct store_filter *filter, const char *current) {
    struct store *store = c->api->deps.store;
    _cleanup_(droplet_rows_fini) struct droplet_rows rows = {0};
    struct store_query q = newest_of(filter, KEEP_DROPLETS);
    struct error err = {0};
    if (store_droplet_list(store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++)
        if (!str_eq(rows.v[i].guid, current) &&
            store_droplet_delete(store, rows.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    return 0;
}

static int trim_builds(struct call *c, const struct store_filter *filter) {
    struct store *store = c->api->deps.store;
    _cleanup_(build_rows_fini) struct build_rows rows = {0};
    struct store_query q = newest_of(filter, KEEP_BUILDS);
    struct error err = {0};
    if (store_build_list(store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    for (size_t i = 0; i < rows.n; i++)
        if (!str_eq(rows.v[i].state, "STAGING") &&
            store_build_delete(store, rows.v[i].guid, &err) < 0)
            return fail_internal(c, &err);
    return 0;
}

/* The current droplet and its package stay, however old. */
int app_trim(struct call *c, const struct app_row *app) {
    const char *guid = app->guid;
    struct store_filter filter = {"app_guids", &guid, 1};
    _cleanup_(droplet_row_fini) struct droplet_row current = {0};
    if (app->droplet_guid[0])
        (void)store_droplet_get(c->api->deps.store, app->droplet_guid, &current, NULL);
    if (trim_packages(c, &filter, current.package_guid) < 0 ||
        trim_droplets(c, &filter, app->droplet_guid) < 0)
        return -1;
    return trim_builds(c, &filter);
}
