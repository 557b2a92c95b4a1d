/* services.c - /v3/service_instances: user-provided ones, the only kind there is. Syslog drains and
 * route services are kept and shown; nothing is sent to them. */
#include "controller/store/services.h"

#include <errno.h>

#include "controller/api/resources.h"

#define CREDENTIALS_MAX (32 * 1024) /* bytes: several must fit one environment variable */
#define TAGS_MAX        2048        /* cc: characters of all tags */

/* --- showing
 * ----------------------------------------------------------------------------------------
 */

json_t *last_operation(uint64_t created_ns, uint64_t updated_ns) {
    return json_pack("{s:s,s:s,s:s,s:o,s:o}", "type", updated_ns > created_ns ? "update" : "create",
                     "state", "succeeded", "description", "Operation succeeded", "created_at",
                     json_time(created_ns), "updated_at", json_time(updated_ns));
}

json_t *service_json(struct call *c, const struct service_row *v) {
    json_t *links = json_pack(
        "{s:o,s:o,s:o,s:o,s:o}", "self", json_link(c, "/v3/service_instances/%s", v->guid), "space",
        json_link(c, "/v3/spaces/%s", v->space_guid), "credentials",
        json_link(c, "/v3/service_instances/%s/credentials", v->guid),
        "service_credential_bindings",
        json_link(c, "/v3/service_credential_bindings?service_instance_guids=%s", v->guid),
        "service_route_bindings",
        json_link(c, "/v3/service_route_bindings?service_instance_guids=%s", v->guid));
    return json_pack("{s:s,s:o,s:o,s:s,s:o,s:o,s:s,s:o,s:o,s:{s:o},s:o,s:o}", "guid", v->guid,
                     "created_at", json_time(v->created_ns), "updated_at", json_time(v->updated_ns),
                     "name", v->name, "tags", json_stored(v->tags, "[]"), "last_operation",
                     last_operation(v->created_ns, v->updated_ns), "type", "user-provided",
                     "syslog_drain_url", json_text_or_null(v->syslog_drain_url),
                     "route_service_url", json_text_or_null(v->route_service_url), "relationships",
                     "space", json_relation(v->space_guid), "metadata",
                     json_metadata(v->labels, v->annotations), "links", links);
}

/* `fields[space]=name,guid`: here the whole of what some fields are asked of. */
static void including_fields(struct including *in, struct call *c) {
    including_init(in, c);
    if (call_query(c, "fields[space]"))
        in->wanted |= BIT(INCLUDE_SPACES);
    if (call_query(c, "fields[space.organization]"))
        in->wanted |= BIT(INCLUDE_ORGS);
}

static void include_of(struct including *in, const struct service_row *v) {
    include(in, INCLUDE_SPACES, v->space_guid);
    include(in, INCLUDE_ORGS, v->org_guid);
}

int list_services(struct call *c) {
    static const char *const filters[] = {
        "guids", "names", "space_guids", "organization_guids", "label_selector", NULL};
    static const char *const also[] = {"type=managed",
                                       "type=user-provided",
                                       "order_by=name",
                                       "service_plan_guids",
                                       "service_plan_names",
                                       "fields[space]",
                                       "fields[space.organization]",
                                       "fields[service_plan]",
                                       "fields[service_plan.service_offering]",
                                       "fields[service_plan.service_offering.service_broker]",
                                       NULL};
    _cleanup_(listing_fini) struct listing l = {0};
    _cleanup_(service_rows_fini) struct service_rows rows = {0};
    _cleanup_(including_fini) struct including in;
    struct error err = {0};
    const char *type = call_query(c, "type");
    including_fields(&in, c);
    if (listing_parse(c, &l, filters, also) < 0)
        return -1;
    if ((type && !str_eq(type, "user-provided")) || call_query(c, "service_plan_guids") ||
        call_query(c, "service_plan_names"))
        return reply_empty_list(c);
    if (store_service_list(c->api->deps.store, &l.query, &rows, &err) < 0)
        return fail_internal(c, &err);
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++) {
        if (json_array_append_new(list, service_json(c, &rows.v[i])))
            return json_decref(list), fail_no_memory(c);
        include_of(&in, &rows.v[i]);
    }
    return reply_list(c, &l, rows.total, list, including_take(&in));
}

static int load_service(struct call *c, enum need need, struct service_row *ret) {
    struct error err = {0};
    int r = store_service_get(c->api->deps.store, c->params[0], ret, &err);
    return need_found(c, r, &err, "Service instance") < 0
               ? -1
               : need_space(c, ret->space_guid, need, "Service instance");
}

int get_service(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    _cleanup_(including_fini) struct including in;
    including_fields(&in, c);
    if (load_service(c, NEED_READ, &v) < 0)
        return -1;
    include_of(&in, &v);
    return reply_json(c, 200, including_with(&in, service_json(c, &v)));
}

int get_service_credentials(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service(c, NEED_WRITE, &v) < 0
               ? -1
               : reply_json(c, 200, json_stored(v.credentials, "{}"));
}

/* A broker would know them. */
int get_service_parameters(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service(c, NEED_READ, &v) < 0 ? -1 : fail_not_found(c, "Service instance");
}

int get_service_permissions(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    unsigned roles = STORE_SPACE_DEVELOPER;
    struct error err = {0};
    if (load_service(c, NEED_READ, &v) < 0)
        return -1;
    if (!c->identity.admin &&
        store_roles_in_space(c->api->deps.store, c->identity.guid, v.space_guid, &roles, &err) < 0)
        return fail_internal(c, &err);
    return reply_json(c, 200,
                      json_pack("{s:b,s:b}", "read", 1, "manage",
                                (access_of_roles(roles, true) & BIT(ACCESS_WRITE)) != 0));
}

int get_service_shares(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service(c, NEED_READ, &v) < 0 ? -1
                                              : reply_json(c, 200, json_pack("{s:[]}", "data"));
}

int get_share_usage(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service(c, NEED_READ, &v) < 0
               ? -1
               : reply_json(c, 200, json_pack("{s:[]}", "usage_summary"));
}

int share_service(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    return load_service(c, NEED_WRITE, &v) < 0
               ? -1
               : fail_invalid(c, "User-provided services cannot be shared.");
}

/* --- making and changing
 * ----------------------------------------------------------------------------
 */

static int set_json(struct call *c, char **to, const json_t *value) {
    char *text = json_is_null(value) ? NULL : json_dumps(value, JSON_COMPACT);
    if (!text && !json_is_null(value))
        return fail_no_memory(c);
    if (*to)
        mem_wipe(*to, strlen(*to));
    free(*to);
    *to = text;
    return 0;
}

static int take_credentials(struct call *c, struct service_row *v) {
    const json_t *value = json_object_get(c->json, "credentials");
    if (!value)
        return 0;
    if (set_json(c, &v->credentials, value) < 0)
        return -1;
    return v->credentials && strlen(v->credentials) > CREDENTIALS_MAX
               ? fail_invalid(c, "Credentials are too large (maximum is %d bytes)", CREDENTIALS_MAX)
               : 0;
}

static int take_tags(struct call *c, struct service_row *v) {
    json_t *tags = json_object_get(c->json, "tags"), *one;
    size_t i, all = 0;
    if (!tags)
        return 0;
    if (json_is_array(tags))
        json_array_foreach(tags, i, one) {
            if (!json_is_string(one))
                return fail_invalid(c, "Tags must be a list of strings");
            all += json_string_length(one);
        }
    return all > TAGS_MAX
               ? fail_invalid(c, "Tags combined length must be at most %d characters", TAGS_MAX)
               : set_json(c, &v->tags, tags);
}

static int take_url(struct call *c, const char *key, char **to) {
    const json_t *value = json_object_get(c->json, key);
    const char *text = json_string_value(value);
    if (!value)
        return 0;
    return str_set(to, str_empty(text) ? NULL : text) < 0 ? fail_no_memory(c) : 0;
}

static int take_service(struct call *c, struct service_row *v) {
    const char *name = body_text(c->json, "name"), *route = body_text(c->json, "route_service_url");
    if (name && (app_name_ok(c, name) < 0 || str_set(&v->name, name) < 0))
        return c->errors ? -1 : fail_no_memory(c);
    if (!str_empty(route) && !str_starts(route, "https://"))
        return fail_invalid(c, "Route service url must be https");
    if (take_credentials(c, v) < 0 || take_tags(c, v) < 0 ||
        take_url(c, "syslog_drain_url", &v->syslog_drain_url) < 0 ||
        take_url(c, "route_service_url", &v->route_service_url) < 0)
        return -1;
    return metadata_merge(c, c->json, &v->labels, &v->annotations);
}

/* Never the credentials. */
static int record(struct call *c, const char *what, const struct service_row *v) {
    char type[64];
    snprintf(type, sizeof type, "audit.user_provided_service_instance.%s", what);
    return record_event_on(c, type, "user_provided_service_instance", v->guid, v->name,
                           v->space_guid, v->org_guid,
                           json_pack("{s:{s:s}}", "request", "name", v->name));
}

int service_insert(struct call *c, struct service_row *v) {
    struct error err = {0};
    if (take_service(c, v) < 0)
        return -1;
    int r = store_service_insert(c->api->deps.store, v, &err);
    if (r < 0)
        return r == -EEXIST ? 1 : fail_internal(c, &err);
    return record(c, "create", v);
}

int service_save(struct call *c, struct service_row *v) {
    struct error err = {0};
    if (take_service(c, v) < 0)
        return -1;
    int r = store_service_update(c->api->deps.store, v, &err);
    if (r < 0)
        return r == -EEXIST ? 1 : fail_internal(c, &err);
    return record(c, "update", v);
}

int service_remove(struct call *c, const struct service_row *v) {
    struct error err = {0};
    if (store_service_delete(c->api->deps.store, v->guid, &err) < 0)
        return fail_internal(c, &err);
    return record(c, "delete", v);
}

static int unless_taken(struct call *c, int r, const struct service_row *v) {
    return r == 1 ? fail_invalid(c, "The service instance name is taken: %s.", v->name) : r;
}

int create_service(struct call *c) {
    static const struct field relations[] = {
        FIELD_RELATION("space", true),
        {.name = "service_plan", .kind = FIELD_OBJECT},
    };
    static const struct field fields[] = {
        {.name = "type", .kind = FIELD_TEXT, .required = true, .min = 1},
        {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1},
        FIELD_OF("relationships", true, relations),
        {.name = "parameters", .kind = FIELD_OBJECT, .nullable = true},
        SERVICE_FIELDS,
    };
    _cleanup_(service_row_fini) struct service_row v = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (body_check_all(c, fields) < 0)
        return -1;
    const char *type = body_text(c->json, "type");
    if (!str_eq(type, "user-provided") && !str_eq(type, "managed"))
        return fail_invalid(c, "Type must be one of 'managed', 'user-provided'");
    if (load_space_of_body(c, body_text(c->json, "relationships.space.data.guid"), NEED_WRITE,
                           &space) < 0)
        return -1;
    if (str_eq(type, "managed"))
        return fail_invalid(c, "Invalid service plan. Ensure that the service plan exists, is "
                               "available, and you have access to it.");
    memcpy(v.space_guid, space.guid, GUID_SIZE);
    memcpy(v.org_guid, space.org_guid, GUID_SIZE);
    if (need_flag(c, "service_instance_creation") < 0 ||
        unless_taken(c, service_insert(c, &v), &v) < 0)
        return -1;
    return reply_json(c, 201, service_json(c, &v));
}

int update_service(struct call *c) {
    static const struct field fields[] = {
        {.name = "name", .kind = FIELD_TEXT, .min = 1},
        SERVICE_FIELDS,
    };
    _cleanup_(service_row_fini) struct service_row v = {0};
    if (load_service(c, NEED_WRITE, &v) < 0 || body_check_all(c, fields) < 0 ||
        unless_taken(c, service_save(c, &v), &v) < 0)
        return -1;
    return reply_json(c, 200, service_json(c, &v));
}

/* Its bindings go with it; what runs keeps its environment until it is restarted. */
int delete_service(struct call *c) {
    _cleanup_(service_row_fini) struct service_row v = {0};
    if (load_service(c, NEED_WRITE, &v) < 0 || service_remove(c, &v) < 0)
        return -1;
    return reply_nothing(c, 204);
}
