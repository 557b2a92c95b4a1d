/* droplets.c - droplets, and which one is an app's current. */
#include <errno.h>

#include "controller/api/resources.h"

static json_t *droplet_json(struct call *c, const struct droplet_row *d) {
    json_t *links =
        json_pack("{s:o,s:o,s:o}", "self", json_link(c, "/v3/droplets/%s", d->guid), "app",
                  json_link(c, "/v3/apps/%s", d->app_guid), "assign_current_droplet",
                  json_link(c, "/v3/apps/%s/relationships/current_droplet", d->app_guid));
    json_object_set_new(json_object_get(links, "assign_current_droplet"), "method",
                        json_string("PATCH"));
    if (links && d->package_guid[0] &&
        json_object_set_new(links, "package", json_link(c, "/v3/packages/%s", d->package_guid)))
        return json_decref(links), NULL;
    return json_pack(
        "{s:s,s:o,s:o,s:s,s:n,s:{s:s,s:{}},s:o,s:o,s:o,s:o,s:n,s:n,s:n,s:{s:o},s:o,s:o}", "guid",
        d->guid, "created_at", json_time(d->created_ns), "updated_at", json_time(d->updated_ns),
        "state", d->state, "error", "lifecycle", "type", "docker", "data", "execution_metadata",
        json_text_or_null(d->execution_metadata ? d->execution_metadata : ""), "process_types",
        json_stored(d->process_types, "{\"web\":\"\"}"), "image", json_text_or_null(d->image),
        "image_digest", json_text_or_null(d->digest), "checksum", "buildpacks", "stack",
        "relationships", "app", json_relation(d->app_guid), "metadata",
        json_metadata(d->labels, d->annotations), "links", links);
}

int list_droplets(struct call *c) {
    static const char *const filters[] = {"guids",          "app_guids",   "package_guids",
                                          "states",         "space_guids", "organization_guids",
                                          "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    return listing_parse(c, &l, filters, NULL) < 0 ? -1 : reply_rows(c, &l, droplet, droplet_json);
}

int list_app_droplets(struct call *c) {
    static const char *const filters[] = {"guids", "states", "label_selector", NULL};
    static const char *const also[] = {"current=true", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    const char *current = app.droplet_guid;
    if (listing_of_app(c, &l, filters, also, &app) < 0)
        return -1;
    if (str_eq(call_query(c, "current"), "true"))
        listing_add(&l, "guids", &current);
    return reply_rows(c, &l, droplet, droplet_json);
}

int list_package_droplets(struct call *c) {
    static const char *const filters[] = {"guids", "states", "label_selector", NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(package_row_fini) struct package_row package = {0};
    const char *guid = c->params[0];
    struct error err = {0};
    int r = store_package_get(c->api->deps.store, guid, &package, &err);
    if (need_found(c, r, &err, "Package") < 0)
        return -1;
    if (need_space(c, package.space_guid, NEED_READ, "Package") < 0 ||
        listing_parse(c, &l, filters, NULL) < 0)
        return -1;
    listing_add(&l, "package_guids", &guid);
    return reply_rows(c, &l, droplet, droplet_json);
}

static int load_droplet(struct call *c, const char *guid, enum need need, struct droplet_row *ret) {
    struct error err = {0};
    int r = store_droplet_get(c->api->deps.store, guid, ret, &err);
    return need_found(c, r, &err, "Droplet") < 0 ? -1
                                                 : need_space(c, ret->space_guid, need, "Droplet");
}

int get_droplet(struct call *c) {
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    if (load_droplet(c, c->params[0], NEED_READ, &d) < 0)
        return -1;
    return reply_json(c, 200, droplet_json(c, &d));
}

int update_droplet(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    struct error err = {0};
    if (load_droplet(c, c->params[0], NEED_WRITE, &d) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &d.labels, &d.annotations) < 0)
        return -1;
    if (store_droplet_update(c->api->deps.store, &d, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, droplet_json(c, &d));
}

/* Its layers lie in a registry. */
int refuse_droplet_bits(struct call *c) {
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    return load_droplet(c, c->params[0], NEED_WRITE, &d) < 0
               ? -1
               : fail_invalid(c, "Cannot download droplets with 'docker' lifecycle.");
}

int delete_droplet(struct call *c) {
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    struct error err = {0};
    if (load_droplet(c, c->params[0], NEED_WRITE, &d) < 0)
        return -1;
    if (store_droplet_delete(c->api->deps.store, d.guid, &err) < 0)
        return fail_internal(c, &err);
    if (after_commit(c, AFTER_DESIRE_APP, d.app_guid) < 0)
        return -1;
    return reply_job(c, "droplet.delete");
}

/* --- copying
 * ----------------------------------------------------------------------------------------
 */

/* `?source_guid=`: what another app's droplet is, for this one. It comes of no other way than that
 * and staging. */
int create_droplet(struct call *c) {
    static const struct field app_field[] = {FIELD_RELATION("app", true)};
    static const struct field fields[] = {FIELD_OF("relationships", true, app_field)};
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    const char *source_guid = call_query(c, "source_guid");
    struct error err = {0};
    if (!source_guid)
        return fail_invalid(c, "This platform has no droplets to upload: it runs Docker images.");
    if (load_droplet(c, source_guid, NEED_WRITE, &d) < 0 || body_check_all(c, fields) < 0 ||
        load_related_app(c, "App is invalid. Ensure it exists and you have access to it.", &app) <
            0)
        return -1;
    if (!str_eq(d.state, "STAGED"))
        return fail_invalid(c, "Unable to copy droplet: source droplet is not staged");
    d.guid[0] = '\0';
    memcpy(d.app_guid, app.guid, GUID_SIZE);
    if (store_droplet_insert(c->api->deps.store, &d, &err) < 0)
        return fail_internal(c, &err);
    if (app_trim(c, &app) < 0 ||
        record_event(c, "audit.app.droplet.create", &app,
                     json_pack("{s:s,s:{s:s}}", "droplet_guid", d.guid, "request",
                               "source_droplet_guid", source_guid)) < 0)
        return -1;
    return reply_json(c, 201, droplet_json(c, &d));
}

/* --- the current one
 * --------------------------------------------------------------------------------
 */

int get_current_droplet(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    if (!app.droplet_guid[0])
        return fail_not_found(c, "Droplet");
    if (load_droplet(c, app.droplet_guid, NEED_READ, &d) < 0)
        return -1;
    return reply_json(c, 200, droplet_json(c, &d));
}

static int reply_relation(struct call *c, const struct app_row *app) {
    json_t *links = json_pack("{s:o,s:o}", "self",
                              json_link(c, "/v3/apps/%s/relationships/current_droplet", app->guid),
                              "related", json_link(c, "/v3/apps/%s/droplets/current", app->guid));
    return reply_json(
        c, 200, json_pack("{s:{s:s},s:o}", "data", "guid", app->droplet_guid, "links", links));
}

int get_current_relation(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    if (load_app(c, c->params[0], NEED_READ, &app) < 0)
        return -1;
    return app.droplet_guid[0] ? reply_relation(c, &app) : fail_not_found(c, "Droplet");
}

/* What runs stays as it is until the app is restarted. */
int set_current_droplet(struct call *c) {
    static const struct field guid_fields[] = {
        {.name = "guid", .kind = FIELD_TEXT, .required = true, .min = 1}};
    static const struct field fields[] = {FIELD_OF("data", true, guid_fields)};
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(droplet_row_fini) struct droplet_row d = {0};
    struct error err = {0};
    if (load_app(c, c->params[0], NEED_WRITE, &app) < 0 || body_check_all(c, fields) < 0)
        return -1;
    int r = store_droplet_get(c->api->deps.store, body_text(c->json, "data.guid"), &d, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !str_eq(d.app_guid, app.guid) || !str_eq(d.state, "STAGED"))
        return fail_invalid(c, "Unable to assign current droplet. Ensure the droplet exists and "
                               "belongs to this app.");
    memcpy(app.droplet_guid, d.guid, GUID_SIZE);
    if (app_update(c, &app) < 0 ||
        record_event(c, "audit.app.droplet.mapped", &app,
                     json_pack("{s:{s:s}}", "request", "droplet_guid", d.guid)) < 0 ||
        after_commit(c, AFTER_DESIRE_APP, app.guid) < 0)
        return -1;
    return reply_relation(c, &app);
}
