/* resources.h - the handlers of endpoints.c, by the file that holds them, and what those files
 * share.
 */
#ifndef CONTROLLER_API_RESOURCES_H
#define CONTROLLER_API_RESOURCES_H

#include "controller/api/include.h"
#include "controller/api/internal.h"
#include "controller/store/deployments.h"
#include "controller/store/flags.h"

/* info.c */
int get_root(struct call *c);
int get_v3(struct call *c);
int get_v3_info(struct call *c);
int get_v2_info(struct call *c);
/* uaa.c */
int get_login(struct call *c);
int post_token(struct call *c);
int authorize(struct call *c);
int delete_token(struct call *c);
/* uaa_users.c */
int list_accounts(struct call *c);
int create_account(struct call *c);
int get_account(struct call *c);
int delete_account(struct call *c);
int change_password(struct call *c);
int create_client(struct call *c);
int get_client(struct call *c);
int delete_client(struct call *c);
/* orgs.c */
int list_orgs(struct call *c);
int create_org(struct call *c);
int get_org(struct call *c);
int update_org(struct call *c);
int delete_org(struct call *c);
int get_org_no_relation(struct call *c);
int update_org_no_relation(struct call *c);
int list_quotas(struct call *c);
int get_quota(struct call *c);
int apply_quota(struct call *c);
int change_quota(struct call *c);
json_t *org_json(struct call *c, const struct org_row *row);
/* spaces.c */
int list_spaces(struct call *c);
int create_space(struct call *c);
int get_space(struct call *c);
int update_space(struct call *c);
int delete_space(struct call *c);
int get_space_no_relation(struct call *c);
int update_space_no_relation(struct call *c);
int list_space_features(struct call *c);
int get_space_feature(struct call *c);
int update_space_feature(struct call *c);
int list_space_nothing(struct call *c);
json_t *space_json(struct call *c, const struct space_row *row);
/* users.c */
json_t *user_json(struct call *c, const struct user_row *u);
int list_users(struct call *c);
int list_org_users(struct call *c);
int list_space_users(struct call *c);
int update_user(struct call *c);
int get_user(struct call *c);
int create_user(struct call *c);
int delete_user(struct call *c);
int list_roles(struct call *c);
int create_role(struct call *c);
int get_role(struct call *c);
int delete_role(struct call *c);
/* apps.c, app_env.c, app_features.c */
int list_apps(struct call *c);
int create_app(struct call *c);
int get_app(struct call *c);
int update_app(struct call *c);
int delete_app(struct call *c);
int start_app(struct call *c);
int stop_app(struct call *c);
int restart_app(struct call *c);
int get_app_env(struct call *c);
int get_app_vars(struct call *c);
int update_app_vars(struct call *c);
int get_app_permissions(struct call *c);
int get_app_ssh_enabled(struct call *c);
int list_app_features(struct call *c);
int get_app_feature(struct call *c);
int update_app_feature(struct call *c);
int list_app_nothing(struct call *c);
/* processes.c, stats.c */
int list_app_processes(struct call *c);
int get_app_process(struct call *c);
int update_app_process(struct call *c);
int get_app_process_stats(struct call *c);
int list_app_process_nothing(struct call *c);
int scale_app_process(struct call *c);
int restart_app_instance(struct call *c);
int list_processes(struct call *c);
int get_process(struct call *c);
int update_process(struct call *c);
int get_process_stats(struct call *c);
int list_process_nothing(struct call *c);
int list_process_instances(struct call *c);
int scale_process(struct call *c);
int restart_instance(struct call *c);
/* packages.c, builds.c, droplets.c */
int list_packages(struct call *c);
int create_package(struct call *c);
int get_package(struct call *c);
int update_package(struct call *c);
int refuse_package_bits(struct call *c);
int delete_package(struct call *c);
int list_app_packages(struct call *c);
int list_builds(struct call *c);
int create_build(struct call *c);
int get_build(struct call *c);
int update_build(struct call *c);
int list_app_builds(struct call *c);
int list_droplets(struct call *c);
int get_droplet(struct call *c);
int create_droplet(struct call *c);
int update_droplet(struct call *c);
int refuse_droplet_bits(struct call *c);
int delete_droplet(struct call *c);
int list_app_droplets(struct call *c);
int list_package_droplets(struct call *c);
int get_current_droplet(struct call *c);
int get_current_relation(struct call *c);
int set_current_droplet(struct call *c);
/* deployments.c, revisions.c */
int list_deployments(struct call *c);
int create_deployment(struct call *c);
int get_deployment(struct call *c);
int update_deployment(struct call *c);
int cancel_deployment(struct call *c);
int continue_deployment(struct call *c);
int list_app_revisions(struct call *c);
int list_deployed_revisions(struct call *c);
int get_revision(struct call *c);
int update_revision(struct call *c);
int get_revision_vars(struct call *c);
/* tasks.c */
int list_app_tasks(struct call *c);
int create_task(struct call *c);
int list_tasks(struct call *c);
int get_task(struct call *c);
int update_task(struct call *c);
int cancel_task(struct call *c);
/* routes.c, destinations.c, domains.c */
int list_routes(struct call *c);
int create_route(struct call *c);
int get_route(struct call *c);
int update_route(struct call *c);
int delete_route(struct call *c);
int delete_unmapped_routes(struct call *c);
int list_app_routes(struct call *c);
int move_route(struct call *c);
int list_route_shares(struct call *c);
int share_route(struct call *c);
int unshare_route(struct call *c);
int list_destinations(struct call *c);
int add_destinations(struct call *c);
int replace_destinations(struct call *c);
int delete_destination(struct call *c);
int update_destination(struct call *c);
int list_domains(struct call *c);
int create_domain(struct call *c);
int get_domain(struct call *c);
int update_domain(struct call *c);
int delete_domain(struct call *c);
int list_org_domains(struct call *c);
int get_default_domain(struct call *c);
int get_route_reservation(struct call *c);
int refuse_domain_share(struct call *c);
json_t *domain_json(struct call *c, const struct domain_row *row);
/* flags.c, env_groups.c, jobs.c, events.c, cells.c, log_cache.c */
int list_flags(struct call *c);
int get_flag(struct call *c);
int update_flag(struct call *c);
int get_env_group(struct call *c);
int update_env_group(struct call *c);
int get_job(struct call *c);
int list_events(struct call *c);
int get_event(struct call *c);
int list_cells(struct call *c);
int get_cell(struct call *c);
int list_routers(struct call *c);
/* placement.c */
int get_app_placement(struct call *c);
/* Where an instance is and why, or why it is nowhere; owned, NULL: out of memory. */
struct lrp_actual;
char *placement_text(const struct lrp_actual *a, bool settled, uint64_t now_ms);
int get_log_info(struct call *c);
int read_logs(struct call *c);
/* log_stream.c */
int get_recent(struct call *c);
int get_recent_logs(struct call *c);
int get_container_metrics(struct call *c);
int tail_logs(struct call *c);
int stream_logs(struct call *c);
/* services.c, bindings.c */
int list_services(struct call *c);
int create_service(struct call *c);
int get_service(struct call *c);
int update_service(struct call *c);
int delete_service(struct call *c);
int get_service_credentials(struct call *c);
int get_service_parameters(struct call *c);
int get_service_permissions(struct call *c);
int get_service_shares(struct call *c);
int share_service(struct call *c);
int get_share_usage(struct call *c);
int list_bindings(struct call *c);
int create_binding(struct call *c);
int get_binding(struct call *c);
int get_binding_details(struct call *c);
int get_binding_parameters(struct call *c);
int update_binding(struct call *c);
int delete_binding(struct call *c);
/* absent.c */
int list_nothing(struct call *c);
int get_absent(struct call *c);
int refuse_kind(struct call *c);
int list_router_groups(struct call *c);
int refuse_sidecar(struct call *c);
int clear_cache(struct call *c);
int clear_app_cache(struct call *c);
int match_resources(struct call *c);
int purge_nothing(struct call *c);
/* usage.c */
int get_usage(struct call *c);
int get_org_usage(struct call *c);
int get_space_usage(struct call *c);
/* manifest_apply.c, manifest_diff.c, manifest_show.c */
int apply_manifest(struct call *c);
int diff_manifest(struct call *c);
int get_app_manifest(struct call *c);

/* --- what they share -----------------------------------------------------------------------------
 */

/* apps.c: a new app with its web process; `app` has name and space. */
int app_create(struct call *c, struct app_row *app);
json_t *app_json(struct call *c, const struct app_row *app);
int app_name_ok(struct call *c, const char *name);
/* Refuses with 403 330002 while diego_docker is off. */
int need_docker(struct call *c, const struct app_row *app);
int app_update(struct call *c, struct app_row *app); /* 422 when the name is taken */
/* Starts it anew with its current droplet. `event`: "audit.app.start" or "audit.app.restart". */
int app_start(struct call *c, struct app_row *app, const char *event);
int app_stop(struct call *c, struct app_row *app);
int app_delete(struct call *c, const struct app_row *app);

/* services.c, bindings.c; the rows stand in store/services.h. */
struct service_row;
struct binding_row;
json_t *service_json(struct call *c, const struct service_row *row);
json_t *last_operation(uint64_t created_ns, uint64_t updated_ns);
/* What a body may say of one, in v2 and v3. */
#define SERVICE_FIELDS                                                                             \
    {.name = "credentials", .kind = FIELD_OBJECT, .nullable = true},                               \
        {.name = "tags", .kind = FIELD_LIST, .nullable = true},                                    \
        {.name = "syslog_drain_url", .kind = FIELD_TEXT, .nullable = true, .max = 10000},          \
        {.name = "route_service_url", .kind = FIELD_TEXT, .nullable = true, .max = 10000},         \
        FIELD_METADATA
/* Takes the body's fields. 0, -1, or 1: the name is taken. */
int service_insert(struct call *c, struct service_row *row);
int service_save(struct call *c, struct service_row *row);
int service_remove(struct call *c, const struct service_row *row);
int binding_exists(struct call *c, const struct app_row *app, const struct service_row *service,
                   bool *ret);
int binding_remove(struct call *c, const struct binding_row *b);
/* `b` has the name; 422 when it is bound already, or the name is taken. */
int binding_create(struct call *c, const struct app_row *app, const struct service_row *service,
                   struct binding_row *b);
/* env_groups.c: "running" or "staging", a JSON object. */
/* absent.c: a relation to one of `things`, which there are none of: only null can be set. */
int reply_no_relation(struct call *c, const char *things);
json_t *env_group(struct call *c, const char *name);
bool env_group_known(const char *name);
/* These variables and no others. */
int env_group_replace(struct call *c, const char *name, const json_t *vars);
/* app_env.c: merges `vars` (a JSON object; null deletes) into a stored environment. `prefix`
 * begins each error. */
int env_merge(struct call *c, char **stored, const json_t *vars, const char *prefix);
/* 422 unless all are texts or null. */
int env_check_values(struct call *c, const json_t *vars);
/* All that an app's environment is made of; `own` names the group that the user set. */
json_t *app_env_json(struct call *c, const struct app_row *app, const char *own);

/* stats.c: appends [{"index","state","since"}]. */
void put_process_instances(struct call *c, struct strbuf *out, const struct process_row *p);
/* processes.c */
int process_create(struct call *c, const char *app_guid, const char *type, struct process_row *ret);
/* The version changes: what runs is replaced. */
void process_renew(struct process_row *p);
int process_save(struct call *c, struct process_row *p);
/* Saves a changed process; `renew`: what runs is replaced. */
int process_update(struct call *c, const struct app_row *app, struct process_row *p, bool renew);
/* {"type","data":{"timeout","invocation_timeout","interval","endpoint"}}, what is there of it. */
int process_take_health(struct call *c, struct process_row *p, const json_t *check);
struct process_size {
    uint64_t instances, memory_mb, disk_mb;
    int64_t log_rate;
};
int process_scale(struct call *c, const struct app_row *app, struct process_row *p,
                  const struct process_size *to);
/* Answers 204, or fails with 404. */
int process_restart_instance(struct call *c, const struct process_row *p, const char *index_text);
/* stats.c: what runs of a process, one object an index, as v3 shows it. 1: nothing runs yet and the
 * call is held. */
int process_stats(struct call *c, const struct app_row *app, const struct process_row *p,
                  json_t **ret);

/* deploy.c: an active deployment ends where it is, for the app is started anew or stopped. Read the
 * app's processes after it. */
int deployment_overtake(struct call *c, const char *app_guid);
/* The versions that go. */
int app_old_versions(struct call *c, const char *app_guid, struct old_version_rows *ret);
/* revisions.c: the app is to be started as it is now: a new revision when that is new, else the
 * last one is its again. Changes app->revision_guid; write the app after. `rolled_back_to`: a
 * version, or 0; 422 when nothing differs from the last. ret_version may be NULL. */
int revision_note(struct call *c, struct app_row *app, uint64_t rolled_back_to,
                  uint64_t *ret_version);
/* Droplet, environment and commands of a revision are the app's again. Write the app after. */
int revision_apply(struct call *c, const struct revision_row *r, struct app_row *app);

/* packages.c: drops all but the last few packages, builds and droplets of an app. */
int app_trim(struct call *c, const struct app_row *app);
int package_create(struct call *c, const struct app_row *app, const char *image,
                   const char *username, const char *password, struct package_row *ret);
/* builds.c: stages the package after the commit. *ret: what is not default. */
int build_create(struct call *c, const struct app_row *app, const struct package_row *package,
                 struct build_row *ret);
/* Whether the app shall be started once what is being staged of it is. */
int builds_start_after(struct call *c, const char *app_guid, bool start);

/* routes.c */
struct route_wish {
    const char *host, *path;
    const struct domain_row *domain;
    const json_t *options; /* checked; NULL: none */
};
/* Creates it; 422 when it is taken or no route. */
int route_create(struct call *c, const struct route_wish *wish, const char *space_guid,
                 struct route_row *ret);
/* Where a new route of the caller's shall lie: space and domain, both fit for it. */
int route_place(struct call *c, const char *space_guid, const char *domain_guid,
                struct space_row *space, struct domain_row *domain);
int route_delete(struct call *c, const struct route_row *r);
/* 0 found, 1 none, -1 failed. */
int route_find(struct call *c, const struct route_wish *wish, struct route_row *ret);
/* "host.domain/path", owned; NULL: out of memory. */
char *route_url(const char *host, const char *domain, const char *path);
/* Merges options that were checked; stores the route, with an event, when that changes it. */
int route_change_options(struct call *c, struct route_row *r, const json_t *changes);
/* route_options.c: as a request gives them (NULL: it does not; null as a value: none), each mistake
 * an error of the call; ... */
#define ROUTE_BALANCINGS "round-robin, least-connection"
int route_options_check(struct call *c, const json_t *options);
/* ... as a manifest gives them for the route `url`: 0, or what is wrong is in buf. */
int route_options_problem(const json_t *options, const char *url, char *buf, size_t n);
int route_options_merge(struct call *c, const json_t *changes, char **stored);
/* NULL when it is well formed, else why not. */
const char *route_host_problem(const char *host);
const char *route_path_problem(const char *path);
/* destinations.c: maps an app; mapping twice does nothing. `port` 0: the image's own. */
int destination_add(struct call *c, const struct route_row *route, const struct app_row *app,
                    const char *process_type, uint64_t port, const char *protocol);
int destination_remove(struct call *c, const struct destination_row *row);
void put_destination(struct strbuf *out, const struct destination_row *row);
/* All apps that a route leads to are told to the brain after the commit. */
int destinations_desire(struct call *c, const char *route_guid);
/* domains.c: the first shared domain, else the org's first. 0 or -1 (422 when there is none). */
int default_domain(struct call *c, const char *org_guid, struct domain_row *ret);
int load_domain(struct call *c, const char *guid, struct domain_row *ret);
int domain_create(struct call *c, const char *name, const char *org, struct domain_row *ret);
int domain_delete(struct call *c, const struct domain_row *d);
/* orgs.c, spaces.c: 422 when the name is taken. */
int org_create(struct call *c, struct org_row *org);
int org_update(struct call *c, struct org_row *org);
int org_delete(struct call *c, const struct org_row *org);
int space_create(struct call *c, struct space_row *space);
int space_update(struct call *c, struct space_row *space);
int space_delete(struct call *c, const struct space_row *space);
/* users.c: no roles, no log-ins, and gone until UAA says so too. */
int user_end(struct call *c, struct user_row *user);
struct role_wish {
    const char *type, *place;         /* "space_developer"; the guid of a space or an org */
    const char *user_guid, *username; /* one of them */
    const char *origin;               /* of the username; NULL: any */
};
/* `again_ok`: a role that the user has already is no error. */
int role_grant(struct call *c, const struct role_wish *wish, bool again_ok, struct role_row *ret);
int role_revoke(struct call *c, const struct role_row *role);
/* A fixed name for "unlimited": clients ask for the quota that an org names. */
#define QUOTA_GUID "d0000000-0000-4000-8000-000000000001"
/* flags.c */
int load_flag(struct call *c, const char *name, struct flag *ret);
int flag_set(struct call *c, const char *name, bool enabled, const char *message, struct flag *ret);

/* events.c: an audit event by the caller. Takes `data` (NULL: {}). */
int record_event(struct call *c, const char *type, const struct app_row *app, json_t *data);
int record_event_on(struct call *c, const char *type, const char *target_type,
                    const char *target_guid, const char *target_name, const char *space_guid,
                    const char *org_guid, json_t *data);

#endif
