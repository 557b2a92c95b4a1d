/* info.c - what clients read first: where things are, and which versions we speak. */
#include "common/base/config.h"
#include "controller/api/internal.h"
#include "controller/api/resources.h"

/* Above every gate that a user of Docker images can trip over: from 3.211.0 on CLI 8 asks for the
 * instances of all apps at once. Plain semantic versions: the CLIs parse them. */
#define V3_VERSION "3.211.0"
#define V2_VERSION "2.254.0"

/* The same host and port, for websockets. */
static char *stream_base(struct call *c) {
    const char *base = call_base(c);
    return base && str_starts(base, "http") ? str_printf("ws%s", base + strlen("http")) : NULL;
}

int get_root(struct call *c) {
    const char *base = call_base(c);
    _cleanup_(freep) char *streams = stream_base(c);
    return reply_json(
        c, 200,
        json_pack("{s:{s:o,s:{s:s+,s:{s:s}},s:{s:s+,s:{s:s}},s:o,s:o,s:o,s:{s:o},s:o,s:n,s:n}}",
                  "links", "self", json_link(c, "%s", ""), "cloud_controller_v2", "href", base,
                  "/v2", "meta", "version", V2_VERSION, "cloud_controller_v3", "href", base, "/v3",
                  "meta", "version", V3_VERSION, "uaa", json_link(c, "%s", ""), "login",
                  json_link(c, "%s", ""), "log_cache", json_link(c, "%s", ""), "logging", "href",
                  json_text_or_null(streams), "routing", json_link(c, "/routing"),
                  "network_policy_v1", "credhub"));
}

int get_v3(struct call *c) {
    static const char *const names[] = {
        "app_usage_events",
        "apps",
        "audit_events",
        "buildpacks",
        "builds",
        "deployments",
        "domains",
        "droplets",
        "environment_variable_groups",
        "feature_flags",
        "info",
        "isolation_segments",
        "organizations",
        "organization_quotas",
        "packages",
        "processes",
        "resource_matches",
        "roles",
        "routes",
        "security_groups",
        "service_brokers",
        "service_credential_bindings",
        "service_instances",
        "service_offerings",
        "service_plans",
        "service_route_bindings",
        "service_usage_events",
        "spaces",
        "space_quotas",
        "stacks",
        "tasks",
        "users",
    };
    json_t *links = json_pack("{s:o}", "self", json_link(c, "/v3"));
    for (size_t i = 0; links && i < ARRAY_SIZE(names); i++)
        if (json_object_set_new(links, names[i], json_link(c, "/v3/%s", names[i])))
            return json_decref(links), fail_no_memory(c);
    return reply_json(c, 200, json_pack("{s:o}", "links", links));
}

int get_v3_info(struct call *c) {
    return reply_json(
        c, 200,
        json_pack("{s:s,s:{s:s,s:s},s:{},s:s,s:s,s:i,s:s,s:{s:b,s:i,s:i},s:{s:o,s:{s:s}}}", "build",
                  BERTH_VERSION, "cli_version", "minimum", "", "recommended", "", "custom",
                  "description", "Berth runs Docker images the Cloud Foundry way", "name", "berth",
                  "version", 0, "osbapi_version", "2.15", "rate_limits", "enabled", 0,
                  "general_limit", 0, "reset_interval_in_minutes", 0, "links", "self",
                  json_link(c, "/v3/info"), "support", "href", ""));
}

int get_v2_info(struct call *c) {
    const char *base = call_base(c);
    _cleanup_(freep) char *streams = stream_base(c);
    return reply_json(
        c, 200,
        json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:o,s:o,s:s+,s:n,s:n,s:s}", "name", "berth",
                  "build", BERTH_VERSION, "support", "", "version", 0, "description", "Berth",
                  "authorization_endpoint", base, "token_endpoint", base, "logging_endpoint",
                  json_text_or_null(streams), "doppler_logging_endpoint",
                  json_text_or_null(streams), "routing_endpoint", base, "/routing",
                  "min_cli_version", "min_recommended_cli_version", "api_version", V2_VERSION));
}
