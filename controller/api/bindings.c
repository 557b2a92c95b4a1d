/* bindings.c - /v3/service_credential_bindings: a service instance in an app's VCAP_SERVICES. */
#include <errno.h>

#include "controller/api/resources.h"
#include "controller/store/services.h"

/* Linux takes environment variables of 128 KiB (MAX_ARG_STRLEN); its name counts too. */
#define VCAP_MAX (120 * 1024)

static json_t *binding_json(struct call *c, const struct binding_row *b) {
    json_t *links =
        json_pack("{s:o,s:o,s:o,s:o,s:o}", "self",
                  json_link(c, "/v3/service_credential_bindings/%s", b->guid), "parameters",
                  json_link(c, "/v3/service_credential_bindings/%s/parameters", b->guid), "details",
                  json_link(c, "/v3/service_credential_bindings/%s/details", b->guid),
                  "service_instance", json_link(c, "/v3/service_instances/%s", b->service_guid),
                  "app", json_link(c, "/v3/apps/%s", b->app_guid));
    return json_pack("{s:s,s:o,s:o,s:o,s:s,s:o,s:{s:o,s:o},s:o,s:o}", "guid", b->guid, "created_at",
                     json_time(b->created_ns), "updated_at", json_time(b->updated_ns), "name",
                     json_text_or_null(b->name), "type", "app", "last_operation",
                     last_operation(b->created_ns, b->updated_ns), "relationships", "app",
                     json_relation(b->app_guid), "service_instance", json_relation(b->service_guid),
                     "metadata", json_metadata(b->labels, b->annotations), "links", links);
}

/* --- lists, with the apps and the service instances beside them
 * --------------------------------------------------
 */

static void include_of(struct including *in, const struct binding_row *b) {
    include(in, INCLUDE_APPS, b->app_guid);
    include(in, INCLUDE_SERVICES, b->service_guid);
}

int list_bindings(struct call *c) {
    static const char *const filters[] = {"guids",
                                          "names",
                                          "app_guids",
                                          "app_names",
                                          "service_instance_guids",
                                          "service_instance_names",
                                          "label_selector",
                                          NULL};
    static const char *const also[] = {"type=app",
                                       "type=key",
                                       "include=app",
                                       "include=service_instance",
                                       "order_by=name",
                                       "service_plan_guids",
                                       "service_plan_names",
                                       "service_offering_guids",
                                       "service_offering_names",
                                       NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    _cleanup_(including_fini) struct including in;
    struct error err = {0};
    const char *type = call_query(c, "type");
    including_init(&in, c);
    if (listing_parse(c, &l, filters, also) < 0)
        return -1;
    if ((type && !str_eq(type, "app")) || call_query(c, "service_plan_guids") ||
        call_query(c, "service_plan_names") || call_query(c, "service_offering_guids") ||
        call_query(c, "service_offering_names"))
        return reply_empty_list(c);
    if (store_binding_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        if (json_array_append_new(list, binding_json(c, &rows.v[i])))
            return json_decref(list), fail_no_memory(c);
        include_of(&in, &rows.v[i]);
    }
    return reply_list(c, &l, rows.total, list, including_take(&in));
}

static int load_binding(struct call *c, enum need need, struct binding_row *ret) {
    struct error err = {0};
    int r = store_binding_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Service credential binding") < 0
               ? -1
               : need_space(c, ret->space_guid, need, "Service credential binding");
}

int get_binding(struct call *c) {
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    _cleanup_(including_fini) struct including in;
    including_init(&in, c);
    if (load_binding(c, NEED_READ, &b) < 0)
        return -1;
    include_of(&in, &b);
    return reply_json(c, 200, including_with(&in, binding_json(c, &b)));
}

int get_binding_details(struct call *c) {
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    _cleanup_(service_row_fini) struct service_row service = {0};
    struct error err = {0};
    if (load_binding(c, NEED_WRITE, &b) < 0)
        return -1;
    if (store_service_get(c->api->deps.store, b.service_guid, &service, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200,
                      json_pack("{s:o,s:o,s:[]}", "credentials",
                                json_stored(service.credentials, "{}"), "syslog_drain_url",
                                json_text_or_null(service.syslog_drain_url), "volume_mounts"));
}

int get_binding_parameters(struct call *c) {
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    return load_binding(c, NEED_READ, &b) < 0 ? -1 : reply_json(c, 200, json_object());
}

/* --- binding
 * ----------------------------------------------------------------------------------------
 */

/* An app has few bindings: which rule the new one would break is looked up. */
static int refuse_twin(struct call *c, const struct app_row *app, const struct service_row *service,
                       const char *name) {
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    if (app_bindings(c, app->guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++) {
        if (str_eq(rows.v[i].service_guid, service->guid))
            return fail_invalid(c, "The app is already bound to the service instance");
        if (name && str_eq(rows.v[i].name, name))
            return fail_invalid(c,
                                "The binding name is invalid. App binding names must be unique. "
                                "The app already has a binding with name '%s'.",
                                name);
    }
    return 0;
}

int binding_exists(struct call *c, const struct app_row *app, const struct service_row *service,
                   bool *ret) {
    const char *app_guid = app->guid, *guid = service->guid;
    struct store_filter filters[] = {{"app_guids", &app_guid, 1},
                                     {"service_instance_guids", &guid, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2};
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    struct error err = {0};
    if (store_binding_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    *ret = rows.n > 0;
    return 0;
}

int binding_create(struct call *c, const struct app_row *app, const struct service_row *service,
                   struct binding_row *b) {
    _cleanup_(freep) char *vcap = NULL;
    struct store *store = c->api->deps.store;
    struct error err = {0};
    if (!str_eq(app->space_guid, service->space_guid))
        return fail_invalid(c, "The service instance and the app are in different spaces");
    if (refuse_twin(c, app, service, b->name) < 0)
        return -1;
    memcpy(b->app_guid, app->guid, GUID_SIZE);
    memcpy(b->service_guid, service->guid, GUID_SIZE);
    if (store_binding_insert(store, b, &err) < 0 ||
        store_vcap_services(store, app->guid, &vcap, &err) < 0)
        return fail_internal(c, &err);
    if (strlen(vcap) > VCAP_MAX)
        return fail_invalid(c, "The app's VCAP_SERVICES would be too large (maximum is %d bytes)",
                            VCAP_MAX);
    return record_event_on(c, "audit.service_binding.create", "service_binding", b->guid,
                           b->name ? b->name : "", app->space_guid, app->org_guid,
                           json_pack("{s:{s:s,s:s}}", "request", "app_guid", app->guid,
                                     "service_instance_guid", service->guid));
}

static int load_app_of_binding(struct call *c, struct app_row *app) {
    const char *guid = body_text(c->json, "relationships.app.data.guid");
    struct error err = {0};
    int r = store_app_get(c->api->deps.store, guid, app, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, app->space_guid))
        return fail_invalid(c, "The app could not be found: '%.100s'", guid);
    return need_space(c, app->space_guid, NEED_WRITE, "App");
}

static int load_service_of_binding(struct call *c, struct service_row *service) {
    const char *guid = body_text(c->json, "relationships.service_instance.data.guid");
    struct error err = {0};
    int r = store_service_get(c->api->deps.store, guid, service, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, service->space_guid))
        return fail_invalid(c, "The service instance could not be found: '%.100s'", guid);
    return need_space(c, service->space_guid, NEED_WRITE, "Service instance");
}

int create_binding(struct call *c) {
    static const struct field relations[] = {
        FIELD_RELATION("service_instance", true),
        FIELD_RELATION("app", false),
    };
    static const struct field fields[] = {
        {.name = "type", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "name", .kind = FIELD_TEXT, .nullable = true},
        {.name = "strategy", .kind = FIELD_TEXT, .nullable = true},
        {.name = "parameters", .kind = FIELD_OBJECT, .nullable = true},
        FIELD_OF("relationships", true, relations),
        FIELD_METADATA,
    };
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(service_row_fini) struct service_row service = {0};
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    if (body_check_all(c, fields) < 0)
        return -1;
    const char *type = body_text(c->json, "type"), *name = body_text(c->json, "name");
    if (!str_eq(type, "app") && !str_eq(type, "key"))
        return fail_invalid(c, "Type must be one of 'app', 'key'");
    if (str_eq(type, "app") && !body_text(c->json, "relationships.app.data.guid"))
        return fail_invalid(c, "Relationships App is required");
    if (load_service_of_binding(c, &service) < 0)
        return -1;
    if (str_eq(type, "key"))
        return fail_invalid(c, "Service credential bindings of type 'key' are not supported for "
                               "user-provided service instances.");
    if (load_app_of_binding(c, &app) < 0)
        return -1;
    if (json_object_size(json_object_get(c->json, "parameters")))
        return fail_invalid(
            c, "Binding parameters are not supported for user-provided service instances");
    if (str_set(&b.name, str_empty(name) ? NULL : name) < 0)
        return fail_no_memory(c);
    if (metadata_merge(c, c->json, &b.labels, &b.annotations) < 0 ||
        binding_create(c, &app, &service, &b) < 0)
        return -1;
    return reply_json(c, 201, binding_json(c, &b));
}

int update_binding(struct call *c) {
    static const struct field fields[] = {FIELD_METADATA};
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    struct error err = {0};
    if (load_binding(c, NEED_WRITE, &b) < 0 || body_check_all(c, fields) < 0 ||
        metadata_merge(c, c->json, &b.labels, &b.annotations) < 0)
        return -1;
    if (store_binding_update(c->api->deps.store, &b, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200, binding_json(c, &b));
}

int binding_remove(struct call *c, const struct binding_row *b) {
    struct error err = {0};
    if (store_binding_delete(c->api->deps.store, b->guid, &err) < 0)
        return fail_internal(c, &err);
    return record_event_on(c, "audit.service_binding.delete", "service_binding", b->guid,
                           b->name ? b->name : "", b->space_guid, "",
                           json_pack("{s:{s:s}}", "request", "app_guid", b->app_guid));
}

int delete_binding(struct call *c) {
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    if (load_binding(c, NEED_WRITE, &b) < 0 || binding_remove(c, &b) < 0)
        return -1;
    return reply_nothing(c, 204);
}
