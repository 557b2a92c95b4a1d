/* services.c - user-provided services and bindings in v2's form: what CLI 6 and 7 ask for. */
#include "controller/store/services.h"

#include <errno.h>

#include "controller/api/v2/handlers.h"
#include "controller/api/v2/v2.h"

#define KIND "user_provided_service_instances"

/* --- showing
 * -------------------------------------------------------------------------------------
 */

static json_t *credentials_json(struct call *c, const struct service_row *v) {
    return v2_reads_secrets(c, v->space_guid)
               ? json_stored(v->credentials, "{}")
               : json_pack("{s:s}", "redacted_message", "[PRIVATE DATA HIDDEN]");
}

static json_t *binding_entity(struct call *c, const struct binding_row *b) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    if (store_service_get(c->api->deps.store, b->service_guid, &v, NULL) < 0)
        return NULL;
    json_t *entity =
        json_pack("{s:s,s:s,s:o,s:{},s:n,s:s,s:s,s:[],s:o,s:{s:s,s:s,s:s}}", "app_guid",
                  b->app_guid, "service_instance_guid", b->service_guid, "credentials",
                  credentials_json(c, &v), "binding_options", "gateway_data", "gateway_name", "",
                  "syslog_drain_url", v.syslog_drain_url ? v.syslog_drain_url : "", "volume_mounts",
                  "name", json_text_or_null(b->name), "last_operation", "type", "create", "state",
                  "succeeded", "description", "");
    if (v2_url(entity, "app_url", "apps", b->app_guid, NULL) &&
        v2_url(entity, "service_instance_url", KIND, b->service_guid, NULL))
        return entity;
    json_decref(entity);
    return NULL;
}

static json_t *binding_v2(struct call *c, const struct binding_row *b) {
    return v2_resource("service_bindings", b->guid, b->created_ns, b->updated_ns,
                       binding_entity(c, b));
}

static int bindings_of(struct call *c, const char *key, const char *guid,
                       struct binding_rows *ret) {
    struct store_filter filter = {key, &guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    return store_binding_list(c->api->deps.store, &q, ret, &err) < 0 ? fail_internal(c, &err) : 0;
}

static json_t *service_v2(struct call *c, const struct service_row *v) {
    json_t *entity =
        json_pack("{s:s,s:o,s:s,s:s,s:o,s:s,s:s}", "name", v->name, "credentials",
                  credentials_json(c, v), "space_guid", v->space_guid, "type",
                  "user_provided_service_instance", "tags", json_stored(v->tags, "[]"),
                  "syslog_drain_url", v->syslog_drain_url ? v->syslog_drain_url : "",
                  "route_service_url", v->route_service_url ? v->route_service_url : "");
    bool ok = v2_url(entity, "space_url", "spaces", v->space_guid, NULL) &&
              v2_url(entity, "service_bindings_url", KIND, v->guid, "service_bindings") &&
              v2_url(entity, "routes_url", KIND, v->guid, "routes");
    if (ok && v2_deep(c)) {
        _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
        json_t *list = json_array();
        if (bindings_of(c, "service_instance_guids", v->guid, &rows) == 0)
            for (size_t i = 0; i < rows.n; i++)
                json_array_append_new(list, binding_v2(c, &rows.v[i]));
        json_object_set_new(entity, "service_bindings", list);
    }
    return v2_resource(KIND, v->guid, v->created_ns, v->updated_ns, entity);
}

/* --- for the summaries of apps and spaces
 * -------------------------------------------------------
 */

json_t *v2_service_names(struct call *c, const char *app_guid) {
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    json_t *names = json_array();
    if (bindings_of(c, "app_guids", app_guid, &rows) == 0)
        for (size_t i = 0; i < rows.n; i++)
            json_array_append_new(names, json_string(rows.v[i].service_name));
    return names;
}

json_t *v2_services_of_space(struct call *c, const char *space_guid) {
    struct store_filter filter = {"space_guids", &space_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .order = "name"};
    _cleanup_(service_rows_fini) struct service_rows rows = {0};
    json_t *list = json_array();
    if (store_service_list(c->api->deps.store, &q, &rows, NULL) < 0)
        return list;
    for (size_t i = 0; i < rows.n; i++) {
        _cleanup_(binding_rows_fini) struct binding_rows bound = {0};
        (void)bindings_of(c, "service_instance_guids", rows.v[i].guid, &bound);
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:I,s:s}", "guid", rows.v[i].guid, "name",
                                        rows.v[i].name, "bound_app_count", (json_int_t)bound.n,
                                        "type", "user_provided_service_instance"));
    }
    return list;
}

/* --- service instances
 * ---------------------------------------------------------------------------
 */

static const struct v2_filter service_filters[] = {{"name", "names"},
                                                   {"space_guid", "space_guids"},
                                                   {"organization_guid", "organization_guids"},
                                                   {NULL, NULL}};

static int reply_services(struct call *c, struct listing *l) {
    _cleanup_(service_rows_fini) struct service_rows rows = {0};
    struct error err = {0};
    if (store_service_list(c->api->deps.store, &l->query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, l, rows.total, rows_json(c, &rows, service_v2));
}

int list_v2_services(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    return v2_list_parse(c, &l, service_filters) < 0 ? -1 : reply_services(c, &l);
}

/* Managed ones alone, of which there are none, unless the others are asked for. */
int list_v2_space_services(struct call *c) {
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    const char *guid = space.guid;
    if (v2_load_space(c, c->params[0], NEED_READ, &space) < 0)
        return -1;
    if (!str_eq(call_query(c, "return_user_provided_service_instances"), "true"))
        return list_v2_nothing(c);
    if (v2_list_parse(c, &l, service_filters) < 0)
        return -1;
    listing_add(&l, "space_guids", &guid);
    return reply_services(c, &l);
}

static int load_service_v2(struct call *c, const char *guid, enum need need,
                           struct service_row *ret) {
    struct error err = {0};
    int r = store_service_get(c->api->deps.store, guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, ret->space_guid))
        return fail(c, CC_SERVICE_NOT_FOUND, "The service instance could not be found: %.100s",
                    guid);
    return need_space(c, ret->space_guid, need, "Service instance");
}

int get_v2_service(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service_v2(c, c->params[0], NEED_READ, &v) < 0
               ? -1
               : reply_json(c, 200, service_v2(c, &v));
}

static int save(struct call *c, int r, const struct service_row *v) {
    return r == 1
               ? fail(c, CC_SERVICE_NAME_TAKEN, "The service instance name is taken: %s", v->name)
               : r;
}

int create_v2_service(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "space_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        SERVICE_FIELDS,
    };
    _cleanup_(service_row_fini) struct service_row v = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 ||
        v2_load_space(c, body_text(c->json, "space_guid"), NEED_WRITE, &space) < 0)
        return -1;
    memcpy(v.space_guid, space.guid, GUID_SIZE);
    memcpy(v.org_guid, space.org_guid, GUID_SIZE);
    if (need_flag(c, "service_instance_creation") < 0 || save(c, service_insert(c, &v), &v) < 0)
        return -1;
    return reply_json(c, 201, service_v2(c, &v));
}

int update_v2_service(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .min = 1},
        SERVICE_FIELDS,
    };
    _cleanup_(service_row_fini) struct service_row v = {0};
    if (load_service_v2(c, c->params[0], NEED_WRITE, &v) < 0 ||
        v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 || save(c, service_save(c, &v), &v) < 0)
        return -1;
    return reply_json(c, 201, service_v2(c, &v));
}

int delete_v2_service(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    if (load_service_v2(c, c->params[0], NEED_WRITE, &v) < 0 ||
        bindings_of(c, "service_instance_guids", v.guid, &rows) < 0)
        return -1;
    if (rows.n && !str_eq(call_query(c, "recursive"), "true"))
        return fail(c, CC_ASSOCIATION_NOT_EMPTY,
                    "Please delete the service_bindings associations for your service_instances.");
    return service_remove(c, &v) < 0 ? -1 : reply_nothing(c, 204);
}

/* --- bindings
 * ------------------------------------------------------------------------------------
 */

static const struct v2_filter binding_filters[] = {
    {"app_guid", "app_guids"},
    {"service_instance_guid", "service_instance_guids"},
    {"name", "names"},
    {NULL, NULL}};

static int reply_bindings(struct call *c, const char *key, const char *guid) {
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    struct error err = {0};
    if (v2_list_parse(c, &l, binding_filters) < 0)
        return -1;
    l.query.order = NULL;
    if (key)
        listing_add(&l, key, &guid);
    if (store_binding_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    return v2_list_reply(c, &l, rows.total, rows_json(c, &rows, binding_v2));
}

int list_v2_bindings(struct call *c) {
    return reply_bindings(c, NULL, NULL);
}

int list_v2_service_bindings(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service_v2(c, c->params[0], NEED_READ, &v) < 0
               ? -1
               : reply_bindings(c, "service_instance_guids", v.guid);
}

/* Only brokers make keys. */
int list_v2_service_keys(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service_v2(c, c->params[0], NEED_READ, &v) < 0 ? -1 : list_v2_nothing(c);
}

int list_v2_app_bindings(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    return v2_load_app(c, c->params[0], NEED_READ, &app) < 0
               ? -1
               : reply_bindings(c, "app_guids", app.guid);
}

static int load_binding_v2(struct call *c, enum need need, struct binding_row *ret) {
    struct error err = {0};
    int r = store_binding_get(c->api->deps.store, c->params[0], ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, ret->space_guid))
        return fail(c, CC_BINDING_NOT_FOUND, "The service binding could not be found: %.100s",
                    c->params[0]);
    return need_space(c, ret->space_guid, need, "Service binding");
}

int get_v2_binding(struct call *c) {
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    return load_binding_v2(c, NEED_READ, &b) < 0 ? -1 : reply_json(c, 200, binding_v2(c, &b));
}

int create_v2_binding(struct call *c) {
    static const struct field fields[] = {
        {.name = "app_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "service_instance_guid", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "name", .kind = FIELD_TEXT, .nullable = true},
        {.name = "parameters", .kind = FIELD_OBJECT, .nullable = true},
    };
    _cleanup_(service_row_fini) struct service_row v = {0};
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    bool bound = false;
    if (v2_body_check(c, fields, ARRAY_SIZE(fields)) < 0 ||
        v2_load_app(c, body_text(c->json, "app_guid"), NEED_WRITE, &app) < 0 ||
        load_service_v2(c, body_text(c->json, "service_instance_guid"), NEED_WRITE, &v) < 0 ||
        binding_exists(c, &app, &v, &bound) < 0)
        return -1;
    if (bound)
        return fail(c, CC_BINDING_TAKEN, "The app is already bound to the service.");
    const char *name = body_text(c->json, "name");
    if (json_object_size(json_object_get(c->json, "parameters")))
        return fail(c, CC_BINDING_INVALID,
                    "Binding parameters are not supported for user-provided service instances");
    if (str_set(&b.name, str_empty(name) ? NULL : name) < 0)
        return fail_no_memory(c);
    if (binding_create(c, &app, &v, &b) < 0)
        return -1;
    return reply_json(c, 201, binding_v2(c, &b));
}

int delete_v2_binding(struct call *c) {
    _cleanup_(binding_row_fini) struct binding_row b = {0};
    if (load_binding_v2(c, NEED_WRITE, &b) < 0 || binding_remove(c, &b) < 0)
        return -1;
    return reply_nothing(c, 204);
}
