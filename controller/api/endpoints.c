/* endpoints.c - the routing table of the API. controller/api/README.md lists the same; a test holds
 * them equal. */
#include <stdio.h>

#include "controller/api/internal.h"
#include "controller/api/resources.h"
#include "controller/api/v2/handlers.h"

#define SPACE_    "/v3/spaces/:guid"
#define ORG_      "/v3/organizations/:guid"
#define APP_      "/v3/apps/:guid"
#define V2_ORG_   "/v2/organizations/:guid"
#define V2_SPACE_ "/v2/spaces/:guid"
#define V2_APP_   "/v2/apps/:guid"

/* clang-format off */
const struct endpoint endpoints[] = {
    /* --- discovery and log-in ------------------------------------------------------------- */
    {"GET",    "/",                                 ACCESS_PUBLIC,  BODY_NONE,     get_root},
    {"GET",    "/v3",                               ACCESS_PUBLIC,  BODY_NONE,     get_v3},
    {"GET",    "/v3/info",                          ACCESS_PUBLIC,  BODY_NONE,     get_v3_info},
    {"GET",    "/v3/info/usage_summary",           ACCESS_ADMIN,   BODY_NONE,     get_usage},
    {"GET",    "/v2/info",                          ACCESS_PUBLIC,  BODY_NONE,     get_v2_info},
    {"GET",    "/login",                            ACCESS_PUBLIC,  BODY_NONE,     get_login},
    {"POST",   "/oauth/token",                      ACCESS_PUBLIC,  BODY_RAW,      post_token, .async = true},
    {"GET",    "/oauth/authorize",                  ACCESS_PUBLIC,  BODY_NONE,     authorize, .uaa = true},
    {"DELETE", "/oauth/token/revoke/:jti",          ACCESS_USER,    BODY_NONE,     delete_token, .uaa = true},
    {"GET",    "/Users",                            ACCESS_ADMIN,   BODY_NONE,     list_accounts, .uaa = true},
    {"POST",   "/Users",                            ACCESS_ADMIN,   BODY_JSON,     create_account, .uaa = true, .async = true},
    {"GET",    "/Users/:guid",                      ACCESS_ADMIN,   BODY_NONE,     get_account, .uaa = true},
    {"DELETE", "/Users/:guid",                      ACCESS_ADMIN,   BODY_NONE,     delete_account, .uaa = true},
    {"PUT",    "/Users/:guid/password",             ACCESS_USER,    BODY_JSON,     change_password, .uaa = true, .async = true},
    {"POST",   "/oauth/clients",                    ACCESS_ADMIN,   BODY_JSON,     create_client, .uaa = true, .async = true},
    {"GET",    "/oauth/clients/:id",                ACCESS_ADMIN,   BODY_NONE,     get_client, .uaa = true},
    {"DELETE", "/oauth/clients/:id",                ACCESS_ADMIN,   BODY_NONE,     delete_client, .uaa = true},

    /* --- organizations, spaces, users ------------------------------------------------------ */
    {"GET",    "/v3/organizations",                 ACCESS_READ,    BODY_NONE,     list_orgs},
    {"POST",   "/v3/organizations",                 ACCESS_ADMIN,   BODY_JSON,     create_org, .open_flag = "user_org_creation"},
    {"GET",    ORG_,                                ACCESS_READ,    BODY_NONE,     get_org},
    {"PATCH",  ORG_,                                ACCESS_MANAGE,  BODY_JSON,     update_org},
    {"DELETE", ORG_,                                ACCESS_ADMIN,   BODY_NONE,     delete_org},
    {"GET",    ORG_ "/domains",                     ACCESS_READ,    BODY_NONE,     list_org_domains},
    {"GET",    ORG_ "/domains/default",             ACCESS_READ,    BODY_NONE,     get_default_domain},
    {"GET",    ORG_ "/users",                      ACCESS_READ,    BODY_NONE,     list_org_users},
    {"GET",    ORG_ "/usage_summary",              ACCESS_READ,    BODY_NONE,     get_org_usage},
    {"GET",    ORG_ "/relationships/default_isolation_segment", ACCESS_READ,    BODY_NONE,     get_org_no_relation},
    {"PATCH",  ORG_ "/relationships/default_isolation_segment", ACCESS_MANAGE,  BODY_JSON,     update_org_no_relation},
    {"GET",    "/v3/organization_quotas",           ACCESS_READ,    BODY_NONE,     list_quotas},
    {"GET",    "/v3/organization_quotas/:guid",     ACCESS_READ,    BODY_NONE,     get_quota},
    {"POST",   "/v3/organization_quotas",           ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/organization_quotas/:guid",    ACCESS_ADMIN,   BODY_NONE,     change_quota},
    {"DELETE", "/v3/organization_quotas/:guid",    ACCESS_ADMIN,   BODY_NONE,     change_quota},
    {"POST",   "/v3/organization_quotas/:guid/relationships/organizations", ACCESS_ADMIN,   BODY_JSON,     apply_quota},
    {"GET",    "/v3/spaces",                        ACCESS_READ,    BODY_NONE,     list_spaces},
    {"POST",   "/v3/spaces",                        ACCESS_MANAGE,  BODY_JSON,     create_space},
    {"GET",    SPACE_,                              ACCESS_READ,    BODY_NONE,     get_space},
    {"PATCH",  SPACE_,                              ACCESS_MANAGE,  BODY_JSON,     update_space},
    {"DELETE", SPACE_,                              ACCESS_MANAGE,  BODY_NONE,     delete_space},
    {"GET",    SPACE_ "/features",                  ACCESS_READ,    BODY_NONE,     list_space_features},
    {"GET",    SPACE_ "/features/:name",            ACCESS_READ,    BODY_NONE,     get_space_feature},
    {"PATCH",  SPACE_ "/features/:name",            ACCESS_MANAGE,  BODY_JSON,     update_space_feature},
    {"GET",    SPACE_ "/relationships/isolation_segment", ACCESS_READ,    BODY_NONE,     get_space_no_relation},
    {"PATCH",  SPACE_ "/relationships/isolation_segment", ACCESS_MANAGE,  BODY_JSON,     update_space_no_relation},
    {"GET",    SPACE_ "/users",                    ACCESS_READ,    BODY_NONE,     list_space_users},
    {"GET",    SPACE_ "/usage_summary",            ACCESS_READ,    BODY_NONE,     get_space_usage},
    {"GET",    SPACE_ "/running_security_groups",   ACCESS_READ,    BODY_NONE,     list_space_nothing},
    {"GET",    SPACE_ "/staging_security_groups",   ACCESS_READ,    BODY_NONE,     list_space_nothing},
    {"DELETE", SPACE_ "/routes",                    ACCESS_OPERATE, BODY_NONE,     delete_unmapped_routes},
    {"POST",   SPACE_ "/actions/apply_manifest",    ACCESS_WRITE,   BODY_RAW,      apply_manifest},
    {"POST",   SPACE_ "/manifest_diff",             ACCESS_WRITE,   BODY_RAW,      diff_manifest},
    {"GET",    "/v3/users",                         ACCESS_READ,    BODY_NONE,     list_users},
    {"GET",    "/v3/users/:guid",                   ACCESS_READ,    BODY_NONE,     get_user},
    {"POST",   "/v3/users",                         ACCESS_ADMIN,   BODY_JSON,     create_user},
    {"PATCH",  "/v3/users/:guid",                  ACCESS_ADMIN,   BODY_JSON,     update_user},
    {"DELETE", "/v3/users/:guid",                   ACCESS_ADMIN,   BODY_NONE,     delete_user},
    {"GET",    "/v3/roles",                         ACCESS_READ,    BODY_NONE,     list_roles},
    {"POST",   "/v3/roles",                         ACCESS_MANAGE,  BODY_JSON,     create_role},
    {"GET",    "/v3/roles/:guid",                   ACCESS_READ,    BODY_NONE,     get_role},
    {"DELETE", "/v3/roles/:guid",                   ACCESS_MANAGE,  BODY_NONE,     delete_role},

    /* --- apps -------------------------------------------------------------------------------- */
    {"GET",    "/v3/apps",                          ACCESS_READ,    BODY_NONE,     list_apps},
    {"POST",   "/v3/apps",                          ACCESS_WRITE,   BODY_JSON,     create_app},
    {"GET",    APP_,                                ACCESS_READ,    BODY_NONE,     get_app},
    {"PATCH",  APP_,                                ACCESS_WRITE,   BODY_JSON,     update_app},
    {"DELETE", APP_,                                ACCESS_WRITE,   BODY_NONE,     delete_app},
    {"POST",   APP_ "/actions/start",               ACCESS_OPERATE, BODY_NONE,     start_app},
    {"POST",   APP_ "/actions/stop",                ACCESS_OPERATE, BODY_NONE,     stop_app},
    {"POST",   APP_ "/actions/restart",             ACCESS_OPERATE, BODY_NONE,     restart_app},
    {"POST",   APP_ "/actions/clear_buildpack_cache", ACCESS_OPERATE,  BODY_NONE,     clear_app_cache},
    {"GET",    APP_ "/env",                         ACCESS_SECRETS, BODY_NONE,     get_app_env},
    {"GET",    APP_ "/environment_variables",       ACCESS_SECRETS, BODY_NONE,     get_app_vars},
    {"PATCH",  APP_ "/environment_variables",       ACCESS_WRITE,   BODY_JSON,     update_app_vars},
    {"GET",    APP_ "/manifest",                    ACCESS_SECRETS, BODY_NONE,     get_app_manifest},
    {"GET",    APP_ "/permissions",                 ACCESS_READ,    BODY_NONE,     get_app_permissions},
    {"GET",    APP_ "/ssh_enabled",                 ACCESS_READ,    BODY_NONE,     get_app_ssh_enabled},
    {"GET",    APP_ "/features",                    ACCESS_READ,    BODY_NONE,     list_app_features},
    {"GET",    APP_ "/features/:name",              ACCESS_READ,    BODY_NONE,     get_app_feature},
    {"PATCH",  APP_ "/features/:name",              ACCESS_OPERATE, BODY_JSON,     update_app_feature},
    {"GET",    APP_ "/packages",                    ACCESS_READ,    BODY_NONE,     list_app_packages},
    {"GET",    APP_ "/builds",                      ACCESS_READ,    BODY_NONE,     list_app_builds},
    {"GET",    APP_ "/droplets",                    ACCESS_READ,    BODY_NONE,     list_app_droplets},
    {"GET",    APP_ "/droplets/current",            ACCESS_READ,    BODY_NONE,     get_current_droplet},
    {"GET",    APP_ "/relationships/current_droplet", ACCESS_READ,    BODY_NONE,     get_current_relation},
    {"PATCH",  APP_ "/relationships/current_droplet", ACCESS_OPERATE, BODY_JSON,     set_current_droplet},
    {"GET",    APP_ "/routes",                      ACCESS_READ,    BODY_NONE,     list_app_routes},
    {"GET",    APP_ "/revisions",                   ACCESS_READ,    BODY_NONE,     list_app_revisions},
    {"GET",    APP_ "/revisions/deployed",          ACCESS_READ,    BODY_NONE,     list_deployed_revisions},
    {"GET",    APP_ "/sidecars",                    ACCESS_READ,    BODY_NONE,     list_app_nothing},
    {"POST",   APP_ "/sidecars",                   ACCESS_OPERATE,  BODY_NONE,     refuse_sidecar},
    {"GET",    "/v3/sidecars/:guid",               ACCESS_READ,    BODY_NONE,     get_absent},
    {"PATCH",  "/v3/sidecars/:guid",               ACCESS_OPERATE,  BODY_NONE,     get_absent},
    {"DELETE", "/v3/sidecars/:guid",               ACCESS_OPERATE,  BODY_NONE,     get_absent},

    /* --- processes --------------------------------------------------------------------------- */
    {"GET",    APP_ "/processes",                   ACCESS_READ,    BODY_NONE,     list_app_processes},
    {"GET",    APP_ "/processes/:type",             ACCESS_READ,    BODY_NONE,     get_app_process},
    {"PATCH",  APP_ "/processes/:type",             ACCESS_OPERATE, BODY_JSON,     update_app_process},
    {"GET",    APP_ "/processes/:type/stats",       ACCESS_READ,    BODY_NONE,     get_app_process_stats},
    {"GET",    APP_ "/processes/:type/sidecars",    ACCESS_READ,    BODY_NONE,     list_app_process_nothing},
    {"POST",   APP_ "/processes/:type/actions/scale", ACCESS_OPERATE, BODY_OPTIONAL, scale_app_process},
    {"DELETE", APP_ "/processes/:type/instances/:index", ACCESS_OPERATE, BODY_NONE,     restart_app_instance},
    {"GET",    "/v3/processes",                     ACCESS_READ,    BODY_NONE,     list_processes},
    {"GET",    "/v3/processes/:guid",               ACCESS_READ,    BODY_NONE,     get_process},
    {"PATCH",  "/v3/processes/:guid",               ACCESS_OPERATE, BODY_JSON,     update_process},
    {"GET",    "/v3/processes/:guid/stats",         ACCESS_READ,    BODY_NONE,     get_process_stats},
    {"GET",    "/v3/processes/:guid/process_instances", ACCESS_READ,    BODY_NONE,     list_process_instances},
    {"GET",    "/v3/processes/:guid/sidecars",      ACCESS_READ,    BODY_NONE,     list_process_nothing},
    {"POST",   "/v3/processes/:guid/actions/scale", ACCESS_OPERATE, BODY_OPTIONAL, scale_process},
    {"DELETE", "/v3/processes/:guid/instances/:index", ACCESS_OPERATE, BODY_NONE,     restart_instance},

    /* --- packages, builds, droplets ----------------------------------------------------------- */
    {"GET",    "/v3/packages",                      ACCESS_READ,    BODY_NONE,     list_packages},
    {"POST",   "/v3/packages",                      ACCESS_WRITE,   BODY_JSON,     create_package},
    {"GET",    "/v3/packages/:guid",                ACCESS_READ,    BODY_NONE,     get_package},
    {"PATCH",  "/v3/packages/:guid",               ACCESS_WRITE,   BODY_JSON,     update_package},
    {"DELETE", "/v3/packages/:guid",                ACCESS_WRITE,   BODY_NONE,     delete_package},
    {"GET",    "/v3/packages/:guid/droplets",       ACCESS_READ,    BODY_NONE,     list_package_droplets},
    {"POST",   "/v3/packages/:guid/upload",        ACCESS_WRITE,   BODY_NONE,     refuse_package_bits},
    {"GET",    "/v3/packages/:guid/download",      ACCESS_SECRETS,  BODY_NONE,     refuse_package_bits},
    {"GET",    "/v3/builds",                        ACCESS_READ,    BODY_NONE,     list_builds},
    {"POST",   "/v3/builds",                        ACCESS_OPERATE, BODY_JSON,     create_build},
    {"GET",    "/v3/builds/:guid",                  ACCESS_READ,    BODY_NONE,     get_build},
    {"PATCH",  "/v3/builds/:guid",                 ACCESS_OPERATE,  BODY_JSON,     update_build},
    {"GET",    "/v3/droplets",                      ACCESS_READ,    BODY_NONE,     list_droplets},
    {"POST",   "/v3/droplets",                     ACCESS_WRITE,   BODY_JSON,     create_droplet},
    {"GET",    "/v3/droplets/:guid",                ACCESS_READ,    BODY_NONE,     get_droplet},
    {"PATCH",  "/v3/droplets/:guid",               ACCESS_WRITE,   BODY_JSON,     update_droplet},
    {"POST",   "/v3/droplets/:guid/upload",        ACCESS_WRITE,   BODY_NONE,     refuse_droplet_bits},
    {"GET",    "/v3/droplets/:guid/download",      ACCESS_SECRETS,  BODY_NONE,     refuse_droplet_bits},
    {"DELETE", "/v3/droplets/:guid",                ACCESS_WRITE,   BODY_NONE,     delete_droplet},

    /* --- deployments and revisions ------------------------------------------------------------ */
    {"GET",    "/v3/deployments",                   ACCESS_READ,    BODY_NONE,     list_deployments},
    {"POST",   "/v3/deployments",                   ACCESS_OPERATE, BODY_JSON,     create_deployment},
    {"GET",    "/v3/deployments/:guid",             ACCESS_READ,    BODY_NONE,     get_deployment},
    {"PATCH",  "/v3/deployments/:guid",             ACCESS_OPERATE, BODY_JSON,     update_deployment},
    {"POST",   "/v3/deployments/:guid/actions/cancel", ACCESS_OPERATE, BODY_NONE,     cancel_deployment},
    {"POST",   "/v3/deployments/:guid/actions/continue", ACCESS_OPERATE, BODY_NONE,     continue_deployment},
    {"GET",    "/v3/revisions/:guid",               ACCESS_READ,    BODY_NONE,     get_revision},
    {"PATCH",  "/v3/revisions/:guid",               ACCESS_OPERATE, BODY_JSON,     update_revision},
    {"GET",    "/v3/revisions/:guid/environment_variables", ACCESS_SECRETS, BODY_NONE,     get_revision_vars},

    /* --- tasks ------------------------------------------------------------------------------ */
    {"GET",    APP_ "/tasks",                       ACCESS_READ,    BODY_NONE,     list_app_tasks},
    {"POST",   APP_ "/tasks",                       ACCESS_WRITE,   BODY_JSON,     create_task},
    {"GET",    "/v3/tasks",                         ACCESS_READ,    BODY_NONE,     list_tasks},
    {"GET",    "/v3/tasks/:guid",                   ACCESS_READ,    BODY_NONE,     get_task},
    {"PATCH",  "/v3/tasks/:guid",                   ACCESS_WRITE,   BODY_JSON,     update_task},
    {"POST",   "/v3/tasks/:guid/actions/cancel",    ACCESS_OPERATE, BODY_NONE,     cancel_task},
    {"PUT",    "/v3/tasks/:guid/cancel",            ACCESS_OPERATE, BODY_NONE,     cancel_task},

    /* --- routes and domains ------------------------------------------------------------------- */
    {"GET",    "/v3/routes",                        ACCESS_READ,    BODY_NONE,     list_routes},
    {"POST",   "/v3/routes",                        ACCESS_OPERATE, BODY_JSON,     create_route},
    {"GET",    "/v3/routes/:guid",                  ACCESS_READ,    BODY_NONE,     get_route},
    {"PATCH",  "/v3/routes/:guid",                  ACCESS_OPERATE, BODY_JSON,     update_route},
    {"DELETE", "/v3/routes/:guid",                  ACCESS_OPERATE, BODY_NONE,     delete_route},
    {"GET",    "/v3/routes/:guid/destinations",     ACCESS_READ,    BODY_NONE,     list_destinations},
    {"POST",   "/v3/routes/:guid/destinations",     ACCESS_OPERATE, BODY_JSON,     add_destinations},
    {"PATCH",  "/v3/routes/:guid/destinations",     ACCESS_OPERATE, BODY_JSON,     replace_destinations},
    {"DELETE", "/v3/routes/:guid/destinations/:destination", ACCESS_OPERATE, BODY_NONE,     delete_destination},
    {"PATCH",  "/v3/routes/:guid/destinations/:destination", ACCESS_OPERATE,  BODY_JSON,     update_destination},
    {"PATCH",  "/v3/routes/:guid/relationships/space", ACCESS_OPERATE,  BODY_JSON,     move_route},
    {"GET",    "/v3/routes/:guid/relationships/shared_spaces", ACCESS_READ,    BODY_NONE,     list_route_shares},
    {"POST",   "/v3/routes/:guid/relationships/shared_spaces", ACCESS_OPERATE,  BODY_JSON,     share_route},
    {"DELETE", "/v3/routes/:guid/relationships/shared_spaces/:space", ACCESS_OPERATE,  BODY_NONE,     unshare_route},
    {"GET",    "/v3/domains",                       ACCESS_READ,    BODY_NONE,     list_domains},
    {"POST",   "/v3/domains",                       ACCESS_MANAGE,  BODY_JSON,     create_domain},
    {"GET",    "/v3/domains/:guid",                 ACCESS_READ,    BODY_NONE,     get_domain},
    {"PATCH",  "/v3/domains/:guid",                 ACCESS_MANAGE,  BODY_JSON,     update_domain},
    {"DELETE", "/v3/domains/:guid",                 ACCESS_MANAGE,  BODY_NONE,     delete_domain},
    {"GET",    "/v3/domains/:guid/route_reservations", ACCESS_READ,    BODY_NONE,     get_route_reservation},
    {"POST",   "/v3/domains/:guid/relationships/shared_organizations", ACCESS_MANAGE,  BODY_NONE,     refuse_domain_share},
    {"DELETE", "/v3/domains/:guid/relationships/shared_organizations/:org", ACCESS_MANAGE,  BODY_NONE,     refuse_domain_share},

    /* --- user-provided services --------------------------------------------------------------- */
    {"GET",    "/v3/service_instances",             ACCESS_READ,    BODY_NONE,     list_services},
    {"POST",   "/v3/service_instances",             ACCESS_WRITE,   BODY_JSON,     create_service},
    {"GET",    "/v3/service_instances/:guid",       ACCESS_READ,    BODY_NONE,     get_service},
    {"PATCH",  "/v3/service_instances/:guid",       ACCESS_WRITE,   BODY_JSON,     update_service},
    {"DELETE", "/v3/service_instances/:guid",       ACCESS_WRITE,   BODY_NONE,     delete_service},
    {"GET",    "/v3/service_instances/:guid/credentials", ACCESS_SECRETS, BODY_NONE,     get_service_credentials},
    {"GET",    "/v3/service_instances/:guid/parameters", ACCESS_READ,    BODY_NONE,     get_service_parameters},
    {"GET",    "/v3/service_instances/:guid/permissions", ACCESS_READ,    BODY_NONE,     get_service_permissions},
    {"GET",    "/v3/service_instances/:guid/relationships/shared_spaces", ACCESS_READ,    BODY_NONE,     get_service_shares},
    {"POST",   "/v3/service_instances/:guid/relationships/shared_spaces", ACCESS_WRITE,   BODY_NONE,     share_service},
    {"DELETE", "/v3/service_instances/:guid/relationships/shared_spaces/:space", ACCESS_WRITE,   BODY_NONE,     share_service},
    {"GET",    "/v3/service_instances/:guid/relationships/shared_spaces/usage_summary", ACCESS_READ,    BODY_NONE,     get_share_usage},
    {"GET",    "/v3/service_credential_bindings",   ACCESS_READ,    BODY_NONE,     list_bindings},
    {"POST",   "/v3/service_credential_bindings",   ACCESS_OPERATE, BODY_JSON,     create_binding},
    {"GET",    "/v3/service_credential_bindings/:guid", ACCESS_READ,    BODY_NONE,     get_binding},
    {"PATCH",  "/v3/service_credential_bindings/:guid", ACCESS_OPERATE, BODY_JSON,     update_binding},
    {"DELETE", "/v3/service_credential_bindings/:guid", ACCESS_OPERATE, BODY_NONE,     delete_binding},
    {"GET",    "/v3/service_credential_bindings/:guid/details", ACCESS_SECRETS, BODY_NONE,     get_binding_details},
    {"GET",    "/v3/service_credential_bindings/:guid/parameters", ACCESS_READ,    BODY_NONE,     get_binding_parameters},

    /* --- the platform -------------------------------------------------------------------------- */
    {"GET",    "/v3/feature_flags",                 ACCESS_READ,    BODY_NONE,     list_flags},
    {"GET",    "/v3/feature_flags/:name",           ACCESS_READ,    BODY_NONE,     get_flag},
    {"PATCH",  "/v3/feature_flags/:name",           ACCESS_ADMIN,   BODY_JSON,     update_flag},
    {"GET",    "/v3/environment_variable_groups/:name", ACCESS_USER,    BODY_NONE,     get_env_group},
    {"PATCH",  "/v3/environment_variable_groups/:name", ACCESS_ADMIN,   BODY_JSON,     update_env_group},
    {"GET",    "/v3/jobs/:guid",                    ACCESS_READ,    BODY_NONE,     get_job},
    {"GET",    "/v3/audit_events",                  ACCESS_READ,    BODY_NONE,     list_events},
    {"GET",    "/v3/audit_events/:guid",            ACCESS_READ,    BODY_NONE,     get_event},
    {"GET",    "/v3/stacks",                        ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/stacks/:guid",                  ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/stacks",                        ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/stacks/:guid",                 ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/stacks/:guid",                 ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/stacks/:guid/apps",            ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/buildpacks",                    ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/buildpacks/:guid",              ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/buildpacks",                    ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/buildpacks/:guid",             ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/buildpacks/:guid",             ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/buildpacks/:guid/upload",      ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/isolation_segments",            ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/isolation_segments/:guid",      ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/isolation_segments",            ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/isolation_segments/:guid",     ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/isolation_segments/:guid",     ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/isolation_segments/:guid/organizations", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/isolation_segments/:guid/relationships/:kind", ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/isolation_segments/:guid/relationships/organizations", ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/isolation_segments/:guid/relationships/organizations/:org", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/security_groups",               ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/security_groups/:guid",         ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/security_groups",               ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/security_groups/:guid",        ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/security_groups/:guid",        ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/security_groups/:guid/relationships/:kind", ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/security_groups/:guid/relationships/:kind/:space", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/space_quotas",                  ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/space_quotas/:guid",            ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/space_quotas",                  ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/space_quotas/:guid",           ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/space_quotas/:guid",           ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/space_quotas/:guid/relationships/spaces", ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/space_quotas/:guid/relationships/spaces/:space", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/service_brokers",               ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/service_brokers/:guid",         ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/service_brokers",               ACCESS_ADMIN,   BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/service_brokers/:guid",        ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/service_brokers/:guid",        ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/service_offerings",             ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/service_offerings/:guid",       ACCESS_READ,    BODY_NONE,     get_absent},
    {"PATCH",  "/v3/service_offerings/:guid",      ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/service_offerings/:guid",      ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/service_plans",                 ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/service_plans/:guid",           ACCESS_READ,    BODY_NONE,     get_absent},
    {"PATCH",  "/v3/service_plans/:guid",          ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/service_plans/:guid",          ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/service_plans/:guid/visibility", ACCESS_READ,    BODY_NONE,     get_absent},
    {"PATCH",  "/v3/service_plans/:guid/visibility", ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/service_plans/:guid/visibility", ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/service_plans/:guid/visibility/:org", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/service_route_bindings",        ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/service_route_bindings/:guid",  ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/service_route_bindings",       ACCESS_READ,    BODY_NONE,     refuse_kind},
    {"PATCH",  "/v3/service_route_bindings/:guid", ACCESS_READ,    BODY_NONE,     get_absent},
    {"DELETE", "/v3/service_route_bindings/:guid", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/service_route_bindings/:guid/parameters", ACCESS_READ,    BODY_NONE,     get_absent},
    {"GET",    "/v3/app_usage_events",             ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/app_usage_events/:guid",       ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/app_usage_events/actions/destructively_purge_all_and_reseed", ACCESS_ADMIN,   BODY_NONE,     purge_nothing},
    {"GET",    "/v3/service_usage_events",         ACCESS_READ,    BODY_NONE,     list_nothing},
    {"GET",    "/v3/service_usage_events/:guid",   ACCESS_READ,    BODY_NONE,     get_absent},
    {"POST",   "/v3/service_usage_events/actions/destructively_purge_all_and_reseed", ACCESS_ADMIN,   BODY_NONE,     purge_nothing},
    {"POST",   "/v3/resource_matches",             ACCESS_USER,    BODY_JSON,     match_resources},
    {"POST",   "/v3/admin/actions/clear_buildpack_cache", ACCESS_ADMIN,   BODY_NONE,     clear_cache},

    {"GET",    "/routing/v1/router_groups",         ACCESS_USER,    BODY_NONE,     list_router_groups},

    /* --- Berth's own: the cluster, and where apps are --------------------------------------------- */
    {"GET",    "/berth/v1/cells",                   ACCESS_ADMIN,   BODY_NONE,     list_cells},
    {"GET",    "/berth/v1/cells/:name",             ACCESS_ADMIN,   BODY_NONE,     get_cell},
    {"GET",    "/berth/v1/routers",                 ACCESS_ADMIN,   BODY_NONE,     list_routers},
    {"GET",    "/berth/v1/apps/:guid/placement",    ACCESS_READ,    BODY_NONE,     get_app_placement},

    /* --- v2: organizations and spaces ---------------------------------------------------------- */
    {"GET",    "/v2/organizations",           ACCESS_READ,  BODY_NONE, list_v2_orgs},
    {"POST",   "/v2/organizations",           ACCESS_ADMIN, BODY_JSON, create_v2_org},
    {"GET",    V2_ORG_,                       ACCESS_READ,  BODY_NONE, get_v2_org},
    {"PUT",    V2_ORG_,                       ACCESS_MANAGE, BODY_JSON, update_v2_org},
    {"DELETE", V2_ORG_,                       ACCESS_ADMIN, BODY_NONE, delete_v2_org},
    {"GET",    V2_ORG_ "/spaces",             ACCESS_READ,  BODY_NONE, list_v2_org_spaces},
    {"GET",    V2_ORG_ "/domains",            ACCESS_READ,  BODY_NONE, list_v2_org_domains},
    {"GET",    V2_ORG_ "/private_domains",    ACCESS_READ,  BODY_NONE, list_v2_org_private_domains},
    {"GET",    V2_ORG_ "/space_quota_definitions", ACCESS_READ,  BODY_NONE, list_v2_org_nothing},
    {"GET",    V2_ORG_ "/:role",              ACCESS_READ, BODY_NONE, list_v2_org_role},
    {"PUT",    V2_ORG_ "/:role",              ACCESS_MANAGE, BODY_JSON, put_v2_org_role},
    {"DELETE", V2_ORG_ "/:role",              ACCESS_MANAGE, BODY_JSON, delete_v2_org_role},
    {"PUT",    V2_ORG_ "/:role/:user",        ACCESS_MANAGE, BODY_NONE, put_v2_org_role},
    {"DELETE", V2_ORG_ "/:role/:user",        ACCESS_MANAGE, BODY_NONE, delete_v2_org_role},
    {"POST",   V2_ORG_ "/:role/remove",       ACCESS_MANAGE, BODY_JSON, delete_v2_org_role},
    {"GET",    "/v2/quota_definitions",       ACCESS_READ,  BODY_NONE, list_v2_quotas},
    {"GET",    "/v2/quota_definitions/:guid", ACCESS_READ,  BODY_NONE, get_v2_quota},
    {"POST",   "/v2/quota_definitions",    ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"PUT",    "/v2/quota_definitions/:guid", ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"DELETE", "/v2/quota_definitions/:guid", ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"GET",    "/v2/spaces",                  ACCESS_READ,  BODY_NONE, list_v2_spaces},
    {"POST",   "/v2/spaces",                  ACCESS_MANAGE, BODY_JSON, create_v2_space},
    {"GET",    V2_SPACE_,                     ACCESS_READ,  BODY_NONE, get_v2_space},
    {"PUT",    V2_SPACE_,                     ACCESS_MANAGE, BODY_JSON, update_v2_space},
    {"DELETE", V2_SPACE_,                     ACCESS_MANAGE, BODY_NONE, delete_v2_space},
    {"GET",    V2_SPACE_ "/apps",             ACCESS_READ,  BODY_NONE, list_v2_space_apps},
    {"GET",    V2_SPACE_ "/routes",           ACCESS_READ,  BODY_NONE, list_v2_space_routes},
    {"GET",    V2_SPACE_ "/summary",          ACCESS_READ,  BODY_NONE, get_v2_space_summary},
    {"GET",    V2_SPACE_ "/services",         ACCESS_READ,  BODY_NONE, list_v2_space_nothing},
    {"GET",    V2_SPACE_ "/service_instances", ACCESS_READ,  BODY_NONE, list_v2_space_services},
    {"GET",    V2_SPACE_ "/security_groups",  ACCESS_READ,  BODY_NONE, list_v2_space_nothing},
    {"GET",    V2_SPACE_ "/staging_security_groups", ACCESS_READ,  BODY_NONE, list_v2_space_nothing},
    {"DELETE", V2_SPACE_ "/unmapped_routes",  ACCESS_OPERATE, BODY_NONE, delete_v2_unmapped_routes},
    {"GET",    V2_SPACE_ "/:role",            ACCESS_READ, BODY_NONE, list_v2_space_role},
    {"PUT",    V2_SPACE_ "/:role",            ACCESS_MANAGE, BODY_JSON, put_v2_space_role},
    {"DELETE", V2_SPACE_ "/:role",            ACCESS_MANAGE, BODY_JSON, delete_v2_space_role},
    {"PUT",    V2_SPACE_ "/:role/:user",      ACCESS_MANAGE, BODY_NONE, put_v2_space_role},
    {"DELETE", V2_SPACE_ "/:role/:user",      ACCESS_MANAGE, BODY_NONE, delete_v2_space_role},
    {"POST",   V2_SPACE_ "/:role/remove",     ACCESS_MANAGE, BODY_JSON, delete_v2_space_role},
    {"GET",    "/v2/users",                ACCESS_ADMIN, BODY_NONE, list_v2_users},
    {"POST",   "/v2/users",                ACCESS_ADMIN, BODY_JSON, create_v2_user},
    {"GET",    "/v2/users/:guid",          ACCESS_ADMIN, BODY_NONE, get_v2_user},
    {"DELETE", "/v2/users/:guid",          ACCESS_ADMIN, BODY_NONE, delete_v2_user},

    /* --- v2: apps ------------------------------------------------------------------------------ */
    {"GET",    "/v2/apps",                    ACCESS_READ,  BODY_NONE, list_v2_apps},
    {"POST",   "/v2/apps",                    ACCESS_WRITE, BODY_JSON, create_v2_app},
    {"GET",    V2_APP_,                       ACCESS_READ,  BODY_NONE, get_v2_app},
    {"PUT",    V2_APP_,                       ACCESS_WRITE, BODY_JSON, update_v2_app},
    {"DELETE", V2_APP_,                       ACCESS_WRITE, BODY_NONE, delete_v2_app},
    {"POST",   V2_APP_ "/restage",            ACCESS_OPERATE, BODY_NONE, restage_v2_app},
    {"POST",   V2_APP_ "/copy_bits",          ACCESS_WRITE, BODY_JSON, copy_v2_bits},
    {"GET",    V2_APP_ "/instances",          ACCESS_READ,  BODY_NONE, get_v2_app_instances},
    {"DELETE", V2_APP_ "/instances/:index",   ACCESS_OPERATE, BODY_NONE, restart_v2_app_instance},
    {"GET",    V2_APP_ "/stats",              ACCESS_READ,  BODY_NONE, get_v2_app_stats},
    {"GET",    V2_APP_ "/summary",            ACCESS_READ,  BODY_NONE, get_v2_app_summary},
    {"GET",    V2_APP_ "/env",                ACCESS_SECRETS, BODY_NONE, get_v2_app_env},
    {"GET",    V2_APP_ "/events",             ACCESS_READ,  BODY_NONE, list_v2_app_events},
    {"GET",    V2_APP_ "/service_bindings",   ACCESS_READ,  BODY_NONE, list_v2_app_bindings},
    {"GET",    V2_APP_ "/routes",             ACCESS_READ,  BODY_NONE, list_v2_app_routes},
    {"PUT",    V2_APP_ "/routes/:route",      ACCESS_OPERATE, BODY_NONE, map_v2_app_route},
    {"DELETE", V2_APP_ "/routes/:route",      ACCESS_OPERATE, BODY_NONE, unmap_v2_app_route},

    /* --- v2: routes and domains ---------------------------------------------------------------- */
    {"GET",    "/v2/routes",                  ACCESS_READ,  BODY_NONE, list_v2_routes},
    {"POST",   "/v2/routes",                  ACCESS_OPERATE, BODY_JSON, create_v2_route},
    {"GET",    "/v2/routes/:guid",            ACCESS_READ,  BODY_NONE, get_v2_route},
    {"DELETE", "/v2/routes/:guid",            ACCESS_OPERATE, BODY_NONE, delete_v2_route},
    {"GET",    "/v2/routes/:guid/apps",       ACCESS_READ,  BODY_NONE, list_v2_route_apps},
    {"PUT",    "/v2/routes/:guid/apps/:app",  ACCESS_OPERATE, BODY_NONE, map_v2_route_app},
    {"DELETE", "/v2/routes/:guid/apps/:app",  ACCESS_OPERATE, BODY_NONE, unmap_v2_route_app},
    {"GET",    "/v2/routes/reserved/domain/:domain", ACCESS_READ,  BODY_NONE, get_v2_route_reserved},
    {"GET",    "/v2/routes/reserved/domain/:domain/host/:host", ACCESS_READ,  BODY_NONE, get_v2_route_reserved},
    {"GET",    "/v2/domains",                 ACCESS_READ,  BODY_NONE, list_v2_domains},
    {"GET",    "/v2/domains/:guid",           ACCESS_READ,  BODY_NONE, get_v2_domain},
    {"GET",    "/v2/shared_domains",          ACCESS_READ,  BODY_NONE, list_v2_shared_domains},
    {"POST",   "/v2/shared_domains",          ACCESS_ADMIN, BODY_JSON, create_v2_shared_domain},
    {"GET",    "/v2/shared_domains/:guid",    ACCESS_READ,  BODY_NONE, get_v2_domain},
    {"DELETE", "/v2/shared_domains/:guid",    ACCESS_ADMIN, BODY_NONE, delete_v2_domain},
    {"GET",    "/v2/private_domains",         ACCESS_READ,  BODY_NONE, list_v2_private_domains},
    {"POST",   "/v2/private_domains",         ACCESS_MANAGE, BODY_JSON, create_v2_private_domain},
    {"GET",    "/v2/private_domains/:guid",   ACCESS_READ,  BODY_NONE, get_v2_domain},
    {"DELETE", "/v2/private_domains/:guid",   ACCESS_MANAGE, BODY_NONE, delete_v2_domain},

    /* --- v2: user-provided services -------------------------------------------------------------- */
    {"GET",    "/v2/user_provided_service_instances", ACCESS_READ, BODY_NONE, list_v2_services},
    {"POST",   "/v2/user_provided_service_instances", ACCESS_WRITE, BODY_JSON, create_v2_service},
    {"GET",    "/v2/user_provided_service_instances/:guid", ACCESS_READ, BODY_NONE, get_v2_service},
    {"PUT",    "/v2/user_provided_service_instances/:guid", ACCESS_WRITE, BODY_JSON, update_v2_service},
    {"DELETE", "/v2/user_provided_service_instances/:guid", ACCESS_WRITE, BODY_NONE, delete_v2_service},
    {"GET",    "/v2/user_provided_service_instances/:guid/service_bindings", ACCESS_READ, BODY_NONE, list_v2_service_bindings},
    {"GET",    "/v2/service_instances",     ACCESS_READ, BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/service_instances/:guid", ACCESS_READ, BODY_NONE, get_v2_service},
    {"DELETE", "/v2/service_instances/:guid", ACCESS_WRITE, BODY_NONE, delete_v2_service},
    {"GET",    "/v2/service_instances/:guid/service_keys", ACCESS_READ, BODY_NONE, list_v2_service_keys},
    {"GET",    "/v2/service_keys",          ACCESS_READ, BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/service_bindings",      ACCESS_READ, BODY_NONE, list_v2_bindings},
    {"POST",   "/v2/service_bindings",      ACCESS_OPERATE, BODY_JSON, create_v2_binding},
    {"GET",    "/v2/service_bindings/:guid", ACCESS_READ, BODY_NONE, get_v2_binding},
    {"DELETE", "/v2/service_bindings/:guid", ACCESS_OPERATE, BODY_NONE, delete_v2_binding},

    /* --- v2: the platform ---------------------------------------------------------------------- */
    {"GET",    "/v2/config/feature_flags",    ACCESS_READ,  BODY_NONE, list_v2_flags},
    {"GET",    "/v2/config/feature_flags/:name", ACCESS_READ,  BODY_NONE, get_v2_flag},
    {"PUT",    "/v2/config/feature_flags/:name", ACCESS_ADMIN, BODY_JSON, update_v2_flag},
    {"GET",    "/v2/config/environment_variable_groups/:name", ACCESS_USER, BODY_NONE, get_v2_env_group},
    {"PUT",    "/v2/config/environment_variable_groups/:name", ACCESS_ADMIN, BODY_JSON, update_v2_env_group},
    {"GET",    "/v2/config/running_security_groups", ACCESS_READ, BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/config/staging_security_groups", ACCESS_READ, BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/events",                  ACCESS_READ,  BODY_NONE, list_v2_events},
    {"GET",    "/v2/jobs/:guid",              ACCESS_READ,  BODY_NONE, get_v2_job},
    {"GET",    "/v2/stacks",                  ACCESS_READ,  BODY_NONE, list_v2_stacks},
    {"GET",    "/v2/stacks/:guid",            ACCESS_READ,  BODY_NONE, get_v2_stack},
    {"GET",    "/v2/buildpacks",              ACCESS_READ,  BODY_NONE, list_v2_nothing},
    {"POST",   "/v2/buildpacks",           ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"GET",    "/v2/services",                ACCESS_READ,  BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/service_plans",           ACCESS_READ,  BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/service_brokers",         ACCESS_READ,  BODY_NONE, list_v2_nothing},
    {"POST",   "/v2/service_brokers",      ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"GET",    "/v2/service_plan_visibilities", ACCESS_READ, BODY_NONE, list_v2_nothing},
    {"GET",    "/v2/security_groups",         ACCESS_READ,  BODY_NONE, list_v2_nothing},
    {"POST",   "/v2/security_groups",      ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"GET",    "/v2/space_quota_definitions", ACCESS_READ,  BODY_NONE, list_v2_nothing},
    {"POST",   "/v2/space_quota_definitions", ACCESS_ADMIN, BODY_NONE, refuse_v2_kind},
    {"GET",    "/v2/route_mappings",          ACCESS_READ,  BODY_NONE, list_v2_nothing},

    /* --- log-cache ------------------------------------------------------------------------------ */
    {"GET",    "/api/v1/info",                      ACCESS_PUBLIC,  BODY_NONE,     get_log_info},
    {"GET",    "/api/v1/read/:guid",                ACCESS_READ,    BODY_NONE,     read_logs},

    /* --- logs for CLIs before 6.53 -------------------------------------------------------------- */
    {"GET",    "/recent",                           ACCESS_READ,    BODY_NONE,     get_recent},
    {"GET",    "/tail",                             ACCESS_READ,    BODY_NONE,     tail_logs},
    {"GET",    "/apps/:guid/recentlogs",            ACCESS_READ,    BODY_NONE,     get_recent_logs},
    {"GET",    "/apps/:guid/stream",                ACCESS_READ,    BODY_NONE,     stream_logs},
    {"GET",    "/apps/:guid/containermetrics",      ACCESS_READ,    BODY_NONE,     get_container_metrics},
};
/* clang-format on */
const size_t endpoint_count = ARRAY_SIZE(endpoints);

static bool next_segment(const char **p, struct slice *ret) {
    while (**p == '/')
        (*p)++;
    if (!**p)
        return false;
    size_t n = strcspn(*p, "/");
    *ret = (struct slice){*p, n};
    *p += n;
    return true;
}

/* Segment by segment; a trailing slash (and a doubled one) makes no difference. */
static bool matches(const char *pattern, const char *path, struct slice params[CALL_PARAMS_MAX],
                    size_t *ret_n) {
    struct slice want, got;
    size_t n = 0;
    for (;;) {
        bool more = next_segment(&pattern, &want), have = next_segment(&path, &got);
        if (more != have)
            return false;
        if (!more)
            break;
        if (want.p[0] == ':')
            params[n++] = got;
        else if (!slice_eq(want, got))
            return false;
    }
    *ret_n = n;
    return true;
}

static int take_params(struct call *c, const struct slice *params, size_t n) {
    for (size_t i = 0; i < n; i++) {
        c->params[i] = url_decode(params[i].p, params[i].n, false);
        if (!c->params[i])
            return fail_no_memory(c);
        if (!str_is_utf8(c->params[i], strlen(c->params[i])))
            return fail_plain(c, CC_UNKNOWN_REQUEST);
    }
    return 0;
}

/* "processes/web" before "processes/:type": the table has no two patterns where that matters but
 * ".../droplets/current" and the like, whose literal form has no rival. */
int endpoint_find(struct call *c) {
    struct slice params[CALL_PARAMS_MAX];
    size_t n = 0;
    bool known = false;
    for (size_t i = 0; i < endpoint_count; i++) {
        if (!matches(endpoints[i].path, c->path, params, &n))
            continue;
        known = true;
        if (!str_eq(endpoints[i].method, c->method)) {
            size_t have = strlen(c->allow);
            snprintf(c->allow + have, sizeof c->allow - have, "%s%s", have ? ", " : "",
                     endpoints[i].method);
            continue;
        }
        c->endpoint = &endpoints[i];
        return take_params(c, params, n);
    }
    return fail_plain(c, known ? CC_METHOD_NOT_ALLOWED : CC_UNKNOWN_REQUEST);
}
