/* absent.c - what Cloud Foundry has and this platform does not, as clients ask for it: lists are
 * empty, none is found, making one is refused in words. */
#include "controller/api/resources.h"

static const struct {
    const char *path, *thing;
    const char *none; /* "This platform has no ..." */
} kinds[] = {
    {"/v3/buildpacks", "Buildpack", "buildpacks: it runs Docker images"},
    {"/v3/stacks", "Stack", "stacks: it runs Docker images"},
    {"/v3/isolation_segments", "Isolation segment", "isolation segments"},
    {"/v3/organization_quotas", "Organization quota", "organization quotas but the default one"},
    {"/v3/space_quotas", "Space quota", "space quotas"},
    {"/v3/security_groups", "Security group", "security groups"},
    {"/v3/service_brokers", "Service broker", "service brokers: it has user-provided services"},
    {"/v3/service_offerings", "Service offering", "service offerings"},
    {"/v3/service_plans", "Service plan", "service plans"},
    {"/v3/service_route_bindings", "Service route binding", "route services"},
    {"/v3/sidecars", "Sidecar", "sidecars"},
    {"/v3/app_usage_events", "App usage event", "app usage events"},
    {"/v3/service_usage_events", "Service usage event", "service usage events"},
};

int list_nothing(struct call *c) {
    return reply_empty_list(c);
}

/* Not 422: CLI 6 takes that for a name that is taken. */
int refuse_kind(struct call *c) {
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(c->endpoint->path, kinds[i].path))
            return fail(c, CC_BAD_REQUEST, "This platform has no %s.", kinds[i].none);
    return fail(c, CC_BAD_REQUEST, "This platform does not have that.");
}

int get_absent(struct call *c) {
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(c->endpoint->path, kinds[i].path))
            return fail_not_found(c, kinds[i].thing);
    return fail_plain(c, CC_RESOURCE_NOT_FOUND);
}

int reply_no_relation(struct call *c, const char *things) {
    static const struct field guid_field[] = {{.name = "guid", .kind = FIELD_TEXT}};
    static const struct field fields[] = {{.name = "data",
                                           .kind = FIELD_OBJECT,
                                           .required = true,
                                           .nullable = true,
                                           .fields = guid_field,
                                           .field_count = ARRAY_SIZE(guid_field)}};
    if (body_check_all(c, fields) < 0)
        return -1;
    if (body_text(c->json, "data.guid"))
        return fail_invalid(c, "This platform has no %s.", things);
    return reply_json(c, 200, json_pack("{s:n}", "data"));
}

/* The routing API's only list that the CLIs read: no TCP routes, no router groups. */
int list_router_groups(struct call *c) {
    return reply_json(c, 200, json_array());
}

/* No buildpack left anything to clear. */
int clear_cache(struct call *c) {
    return reply_job(c, "admin.clear_buildpack_cache");
}

int clear_app_cache(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    return load_app(c, c->params[0], NEED_WRITE, &app) < 0
               ? -1
               : reply_job(c, "app.clear_buildpack_cache");
}

int refuse_sidecar(struct call *c) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    return load_app(c, c->params[0], NEED_WRITE, &app) < 0
               ? -1
               : fail_invalid(c, "This platform has no sidecars.");
}

/* Of the files that a client would upload, none is here already. */
int match_resources(struct call *c) {
    if (!json_is_array(json_object_get(c->json, "resources")))
        return fail_invalid(c, "Resources must be an array");
    return reply_json(c, 201, json_pack("{s:[]}", "resources"));
}

/* No events of usage are kept. */
int purge_nothing(struct call *c) {
    return reply_nothing(c, 200);
}
