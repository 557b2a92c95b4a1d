/* internal.h - what the files of this folder share: the api itself, endpoints, and the loaders that
 * find a resource and check that the caller may see or change it. */
#ifndef CONTROLLER_API_INTERNAL_H
#define CONTROLLER_API_INTERNAL_H

#include "common/base/metrics.h"
#include "controller/api/api.h"
#include "controller/api/body.h"
#include "controller/api/call.h"
#include "controller/api/query.h"
#include "controller/store/apps.h"
#include "controller/store/droplets.h"
#include "controller/store/routes.h"

struct evhttp;
struct limiter;
struct server;

#define TOKEN_KEY_SIZE 32

struct api {
    struct api_deps deps;
    struct api_config config; /* defaults filled in; strings owned */
    unsigned char token_key[TOKEN_KEY_SIZE];
    struct limiter *limiter; /* owned; of log-ins */
    struct server *server;   /* owned; NULL before api_listen() */
    struct call *open;       /* calls that are held or async */
    unsigned held, hashing;
    struct event *hold_timer, *prune_timer; /* owned */
    int64_t clock_offset_ns;                /* wall minus monotonic, when it was last looked at */
    struct {
        uint64_t answered[6]; /* by status / 100 */
        uint64_t logins_refused;
    } counters;
    struct histogram latency; /* of answers that did not wait for news */
};

/* --- endpoints (endpoints.c) ---------------------------------------------------------------------
 */

/* What an endpoint needs. Which roles give it stands in access.c. */
enum access {
    ACCESS_PUBLIC,  /* no token */
    ACCESS_USER,    /* a good token: it is about the caller itself, or about nobody's */
    ACCESS_READ,    /* whoever may see it; lists show what the caller may see */
    ACCESS_SECRETS, /* what holds secrets: space developers */
    ACCESS_OPERATE, /* what keeps apps running: space developers and supporters */
    ACCESS_WRITE,   /* apps, routes, services: space developers */
    ACCESS_MANAGE,  /* spaces, orgs and roles in them: their managers, and the org's */
    ACCESS_ADMIN,
};

enum body_kind {
    BODY_NONE,     /* ignored */
    BODY_JSON,     /* an object; empty is {} in v3 (cc), an error elsewhere */
    BODY_OPTIONAL, /* an object, or empty */
    BODY_RAW,      /* the handler reads call.body */
};

struct endpoint {
    const char *method;
    const char *path; /* "/v3/apps/:guid" */
    enum access access;
    enum body_kind body;
    int (*handle)(struct call *c);
    bool async; /* no transaction around it; it may end with call_finish() */
    /* Of ACCESS_ADMIN: the feature flag that opens it to everybody, or NULL. */
    const char *open_flag;
    bool uaa; /* its errors have UAA's form */
};

extern const struct endpoint endpoints[];
extern const size_t endpoint_count;

/* The endpoint for this method and path, its parameters in c->params. Fails with 404 or 405. */
int endpoint_find(struct call *c);

/* --- dispatch.c ----------------------------------------------------------------------------------
 */

/* Takes the call: it is answered now or later, then freed. */
void api_dispatch(struct api *api, struct call *c);
/* Once more the handler of a held call. */
void api_dispatch_again(struct call *c);
void api_track(struct call *c);   /* among the open ones */
void api_untrack(struct call *c); /* also when it was not */

/* --- loaders (load.c) ----------------------------------------------------------------------------
 */

/* NEED_WRITE: what the endpoint declares, whatever that is. */
enum need { NEED_READ, NEED_WRITE };

/* 0, or -1 with the error answered: 404 when it is not there or not to be seen, 403 when it may be
 * seen but no more. *ret must be finished by the caller. */
int load_app(struct call *c, const char *guid, enum need need, struct app_row *ret);
/* The one that the body relates to, to be written to; 422 with `unusable` when it is not there or
 * not to be seen. */
int load_related_app(struct call *c, const char *unusable, struct app_row *ret);
int load_process(struct call *c, const char *guid, enum need need, struct process_row *ret);
/* The process of this type of an app. */
int load_app_process(struct call *c, const char *app_guid, const char *type, enum need need,
                     struct process_row *ret);
int load_space(struct call *c, const char *guid, enum need need, struct space_row *ret);
int load_org(struct call *c, const char *guid, enum need need, struct org_row *ret);
int load_route(struct call *c, const char *guid, enum need need, struct route_row *ret);
/* The space or org that a body names: 422 when it is not there or not to be seen. */
int load_space_of_body(struct call *c, const char *guid, enum need need, struct space_row *ret);
int load_org_of_body(struct call *c, const char *guid, enum need need, struct org_row *ret);
/* What store_x_get() said of a `thing`, as an answer: 0, or -1 with a 404 or 500. */
int need_found(struct call *c, int r, const struct error *err, const char *thing);
/* All processes of an app, "web" first. */
int app_processes(struct call *c, const char *app_guid, struct process_rows *ret);
int app_destinations(struct call *c, const char *app_guid, struct destination_rows *ret);
struct binding_rows; /* store/services.h */
int app_bindings(struct call *c, const char *app_guid, struct binding_rows *ret);

/* --- access.c ------------------------------------------------------------------------------------
 */

/* May the caller see or change what lies in this space, or in this org? `thing` is for the 404:
 * "App". */
int need_space(struct call *c, const char *space_guid, enum need need, const char *thing);
int need_org(struct call *c, const char *org_guid, enum need need, const char *thing);
/* The same questions without an answer to the call: false also when it cannot be found out. */
bool sees_space(struct call *c, const char *space_guid);
bool sees_secrets(struct call *c, const char *space_guid);
bool sees_org(struct call *c, const char *org_guid);
/* A feature flag that admins may do without: 403 330002 while it is off. */
int need_flag(struct call *c, const char *name);
/* For what only admins may among the things that an endpoint does. */
int need_admin(struct call *c);
/* NULL for an admin: sees everything. */
const char *visible_to(const struct call *c);
/* The bits 1 << ACCESS_x that these roles (STORE_x) give in a space, or in an org. */
unsigned access_of_roles(unsigned roles, bool in_space);
/* Before the handler: token, admins. After it: a handler that needs a role must have asked. */
int access_before(struct call *c);
int access_after(struct call *c);

/* --- auth.c --------------------------------------------------------------------------------------
 */

/* Fills c->identity from the Authorization header; fails with 401. */
int authenticate(struct call *c);

/* --- maintenance ---------------------------------------------------------------------------------
 */

int token_key_load(struct api *api, struct error *err); /* token.c */
void server_free(struct server *s);
unsigned server_connections(const struct server *s);
int64_t server_certificate_not_after(const struct server *s); /* since 1970; 0: plain HTTP */

#endif
