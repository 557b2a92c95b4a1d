/* absent.c - what Cloud Foundry has and this platform does not, as clients ask for it: lists are
 * empty, making one is refused in words. */
#include "controller/api/resources.h"

int list_nothing(struct call *c) {
    return reply_empty_list(c);
}

int refuse_kind(struct call *c) {
    static const struct {
        const char *path, *thing;
    } kinds[] = {
        {"/v3/buildpacks", "buildpacks: it runs Docker images"},
        {"/v3/stacks", "stacks: it runs Docker images"},
        {"/v3/isolation_segments", "isolation segments"},
        {"/v3/organization_quotas", "organization quotas but the default one"},
        {"/v3/space_quotas", "space quotas"},
        {"/v3/security_groups", "security groups"},
        {"/v3/service_brokers", "service brokers: it has user-provided services"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(c->endpoint->path, kinds[i].path))
            return fail(c, CC_BAD_REQUEST, "This platform has no %s.", kinds[i].thing);
    return fail(c, CC_BAD_REQUEST, "This platform does not have that.");
}

int get_absent(struct call *c) {
    static const struct {
        const char *path, *thing;
    } kinds[] = {
        {"/v3/buildpacks", "Buildpack"},
        {"/v3/stacks", "Stack"},
        {"/v3/isolation_segments", "Isolation segment"},
        {"/v3/space_quotas", "Space quota"},
        {"/v3/security_groups", "Security group"},
        {"/v3/service_brokers", "Service broker"},
        {"/v3/service_offerings", "Service offering"},
        {"/v3/service_plans", "Service plan"},
        {"/v3/service_route_bindings", "Service route binding"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(c->endpoint->path, kinds[i].path))
            return fail_not_found(c, kinds[i].thing);
    return fail_plain(c, CC_RESOURCE_NOT_FOUND);
}

/* The routing API's only list that the CLIs read: no TCP routes, no router groups. */
int list_router_groups(struct call *c) {
    return reply_json(c, 200, json_array());
}
