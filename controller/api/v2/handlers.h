/* handlers.h - the handlers of /v2 for the routing table (controller/api/endpoints.c). */
#ifndef CONTROLLER_API_V2_HANDLERS_H
#define CONTROLLER_API_V2_HANDLERS_H

struct call;

/* orgs.c, spaces.c, roles.c */
int list_v2_orgs(struct call *c);
int create_v2_org(struct call *c);
int get_v2_org(struct call *c);
int update_v2_org(struct call *c);
int delete_v2_org(struct call *c);
int list_v2_org_nothing(struct call *c);
int list_v2_quotas(struct call *c);
int get_v2_quota(struct call *c);
int list_v2_spaces(struct call *c);
int list_v2_org_spaces(struct call *c);
int create_v2_space(struct call *c);
int get_v2_space(struct call *c);
int update_v2_space(struct call *c);
int delete_v2_space(struct call *c);
int list_v2_space_nothing(struct call *c);
int list_v2_org_role(struct call *c);
int list_v2_space_role(struct call *c);
int put_v2_org_role(struct call *c);
int delete_v2_org_role(struct call *c);
int put_v2_space_role(struct call *c);
int delete_v2_space_role(struct call *c);
/* app_lists.c, app_changes.c */
int list_v2_apps(struct call *c);
int list_v2_space_apps(struct call *c);
int get_v2_app(struct call *c);
int get_v2_app_summary(struct call *c);
int get_v2_space_summary(struct call *c);
int get_v2_app_instances(struct call *c);
int get_v2_app_stats(struct call *c);
int get_v2_app_env(struct call *c);
int create_v2_app(struct call *c);
int update_v2_app(struct call *c);
int restage_v2_app(struct call *c);
int delete_v2_app(struct call *c);
int restart_v2_app_instance(struct call *c);
/* routes.c, domains.c */
int list_v2_routes(struct call *c);
int list_v2_app_routes(struct call *c);
int list_v2_space_routes(struct call *c);
int list_v2_route_apps(struct call *c);
int create_v2_route(struct call *c);
int get_v2_route(struct call *c);
int delete_v2_route(struct call *c);
int delete_v2_unmapped_routes(struct call *c);
int get_v2_route_reserved(struct call *c);
int map_v2_app_route(struct call *c);
int map_v2_route_app(struct call *c);
int unmap_v2_app_route(struct call *c);
int unmap_v2_route_app(struct call *c);
int list_v2_domains(struct call *c);
int list_v2_shared_domains(struct call *c);
int list_v2_private_domains(struct call *c);
int list_v2_org_domains(struct call *c);
int list_v2_org_private_domains(struct call *c);
int get_v2_domain(struct call *c);
int create_v2_shared_domain(struct call *c);
int create_v2_private_domain(struct call *c);
int delete_v2_domain(struct call *c);
/* platform.c */
int list_v2_flags(struct call *c);
int get_v2_flag(struct call *c);
int update_v2_flag(struct call *c);
int list_v2_events(struct call *c);
int list_v2_app_events(struct call *c);
int get_v2_job(struct call *c);
int list_v2_stacks(struct call *c);
int get_v2_stack(struct call *c);
int list_v2_nothing(struct call *c);
/* services.c */
int list_v2_services(struct call *c);
int list_v2_space_services(struct call *c);
int create_v2_service(struct call *c);
int get_v2_service(struct call *c);
int update_v2_service(struct call *c);
int delete_v2_service(struct call *c);
int list_v2_service_bindings(struct call *c);
int list_v2_service_keys(struct call *c);
int list_v2_app_bindings(struct call *c);
int list_v2_bindings(struct call *c);
int create_v2_binding(struct call *c);
int get_v2_binding(struct call *c);
int delete_v2_binding(struct call *c);

/* users.c, platform.c, app_changes.c */
int list_v2_users(struct call *c);
int create_v2_user(struct call *c);
int get_v2_user(struct call *c);
int delete_v2_user(struct call *c);
int get_v2_env_group(struct call *c);
int update_v2_env_group(struct call *c);
int refuse_v2_kind(struct call *c);
int copy_v2_bits(struct call *c);

#endif
