/* usage.c - how much of the platform is taken: by all, by an org, by a space. */
#include "controller/api/resources.h"

static int reply_usage(struct call *c, const char *org_guid, const char *space_guid,
                       json_t *links) {
    struct store_usage u = {0};
    struct error err = {0};
    if (store_usage_get(c->api->deps.store, org_guid, space_guid, &u, &err) < 0) {
        json_decref(links);
        return fail_internal(c, &err);
    }
    return reply_json(c, 200,
                      json_pack("{s:{s:I,s:I,s:I,s:I,s:i,s:I,s:i,s:i},s:o}", "usage_summary",
                                "started_instances", (json_int_t)u.instances, "memory_in_mb",
                                (json_int_t)u.memory_mb, "routes", (json_int_t)u.routes,
                                "service_instances", (json_int_t)u.services, "reserved_ports", 0,
                                "domains", (json_int_t)u.domains, "per_app_tasks", 0,
                                "service_keys", 0, "links", links));
}

int get_usage(struct call *c) {
    return reply_usage(c, NULL, NULL,
                       json_pack("{s:o}", "self", json_link(c, "/v3/info/usage_summary")));
}

int get_org_usage(struct call *c) {
    _cleanup_(org_row_fini) struct org_row org = {0};
    if (load_org(c, c->params[0], NEED_READ, &org) < 0)
        return -1;
    return reply_usage(c, org.guid, NULL,
                       json_pack("{s:o,s:o}", "self",
                                 json_link(c, "/v3/organizations/%s/usage_summary", org.guid),
                                 "organization", json_link(c, "/v3/organizations/%s", org.guid)));
}

int get_space_usage(struct call *c) {
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (load_space(c, c->params[0], NEED_READ, &space) < 0)
        return -1;
    return reply_usage(c, NULL, space.guid,
                       json_pack("{s:o,s:o}", "self",
                                 json_link(c, "/v3/spaces/%s/usage_summary", space.guid), "space",
                                 json_link(c, "/v3/spaces/%s", space.guid)));
}
