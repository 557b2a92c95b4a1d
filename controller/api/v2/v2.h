/* v2.h - what the files of this folder share: the shapes of API v2 around the operations of
 * controller/api. Nothing is decided here that is not said in v2's own terms.
 *
 * A resource is {"metadata":{guid,url,created_at,updated_at},"entity":{...}}; with
 * inline-relations-depth=1 related resources stand inside an entity. */
#ifndef CONTROLLER_API_V2_V2_H
#define CONTROLLER_API_V2_V2_H

#include "controller/api/resources.h"

#define V2_PAGE_DEFAULT 50 /* cc: renderer.default_results_per_page */
#define V2_PAGE_MAX     100
#define V2_INLINE_MAX   50 /* cc: larger relations are not inlined; we show the first ones */

/* cc: v2 has one stack an app; ours is the image itself. */
#define STACK_GUID "d0000000-0000-4000-8000-000000000002"

/* --- lists (list.c) ------------------------------------------------------------------------------
 */

/* `q=name:value`: which filter of the store that is. Ends with {NULL, NULL}. */
struct v2_filter {
    const char *name, *key;
};
/* Reads page, results-per-page, q, order-by, order-direction; other parameters mean nothing here.
 * Finish with listing_fini(). */
int v2_list_parse(struct call *c, struct listing *l, const struct v2_filter *filters);
/* The first two alone. */
int v2_pages_parse(struct call *c, struct listing *l);
/* The envelope; takes `resources`. */
int v2_list_reply(struct call *c, const struct listing *l, uint64_t total, json_t *resources);
/* A list of one thing that goes by `name`, or of nothing when another name is asked for. */
int v2_list_one(struct call *c, const char *name, json_t *(*show)(void));
/* inline-relations-depth: 0, or 1 for anything more. */
bool v2_deep(const struct call *c);

/* --- resources (list.c) --------------------------------------------------------------------------
 */

/* "/v2/apps/GUID"; takes `entity`. */
json_t *v2_resource(const char *kind, const char *guid, uint64_t created_ns, uint64_t updated_ns,
                    json_t *entity);
/* Adds "NAME": "/v2/KIND/GUID/TAIL"; false: out of memory. */
bool v2_url(json_t *entity, const char *name, const char *kind, const char *guid, const char *tail);

/* --- errors (errors.c) ---------------------------------------------------------------------------
 */

/* What stands in c->errors, with v2's own code and words where v3 has others. Sets c->status. */
json_t *v2_error_json(struct call *c);

/* --- bodies and loaders (load.c) -----------------------------------------------------------------
 */

/* Fields that the table does not name mean nothing in v2. */
int v2_body_check(struct call *c, const struct field *fields, size_t count);

int v2_load_app(struct call *c, const char *guid, enum need need, struct app_row *ret);
int v2_load_space(struct call *c, const char *guid, enum need need, struct space_row *ret);
int v2_load_org(struct call *c, const char *guid, enum need need, struct org_row *ret);
int v2_load_route(struct call *c, const char *guid, enum need need, struct route_row *ret);
/* An app's environment and credentials, in this space. */
bool v2_reads_secrets(struct call *c, const char *space_guid);
int v2_load_domain(struct call *c, const char *guid, struct domain_row *ret);

/* --- apps (app_view.c) ---------------------------------------------------------------------------
 */

enum package_state { PACKAGE_PENDING, PACKAGE_STAGED, PACKAGE_FAILED };

/* One app with all that v2 shows as one. Members are borrowed from the views. */
struct app_view {
    const struct app_row *app;
    const struct process_row *web;
    const struct package_row *package; /* the newest; NULL: none */
    const struct build_row *build;     /* its newest; NULL: none */
    const struct droplet_row *droplet; /* the current one; NULL: none */
    enum package_state state;
    bool wanted; /* started, or to be started once it is staged */
};
struct app_views {
    struct app_view *v; /* owned */
    size_t n;
    struct process_rows processes;
    struct package_rows packages;
    struct build_rows builds;
    struct droplet_rows droplets;
    struct route_rows routes;
    struct destination_rows destinations;
    json_t *index; /* app guid -> place in v */
};
/* A fixed number of queries, however many apps. The rows must outlive the views. */
int app_views_load(struct call *c, const struct app_row *apps, size_t n, struct app_views *ret);
void app_views_fini(struct app_views *views);

json_t *v2_app_entity(struct call *c, const struct app_view *view);
json_t *v2_app_json(struct call *c, const struct app_views *views, size_t i, bool deep);
/* [{"guid","host","path","port","domain":{"guid","name"}}] and ["host.domain/path"]. */
json_t *v2_app_routes(const struct app_views *views, size_t i);
json_t *v2_app_urls(const struct app_views *views, size_t i);
/* Answers with one app. */
int v2_reply_app(struct call *c, int status, const char *guid);

/* --- others --------------------------------------------------------------------------------------
 */

/* What a DELETE answers: 204, or with `async=true` 202 and a job that is done. */
int v2_reply_deleted(struct call *c, const char *operation);
/* A job that is done. */
int v2_reply_job(struct call *c, int status, const char *operation);
json_t *v2_user_json(const struct user_row *u);
json_t *v2_org_entity(const struct org_row *org);
json_t *v2_quota_json(void);
json_t *v2_space_entity(const struct space_row *space);
json_t *v2_domain_json(const struct domain_row *d);
json_t *v2_route_entity(const struct route_row *r);
json_t *v2_stack_json(void);
/* The domains that an org may use. */
json_t *v2_domains_of(struct call *c, const char *org_guid);
/* The first apps of a space. */
json_t *v2_apps_of_space(struct call *c, const char *space_guid);
/* Names of what is bound to an app; a space's service instances as its summary has them. */
json_t *v2_service_names(struct call *c, const char *app_guid);
json_t *v2_services_of_space(struct call *c, const char *space_guid);
int v2_reply_space(struct call *c, int status, const struct space_row *space);
int v2_reply_org(struct call *c, int status, const struct org_row *org);

#endif
