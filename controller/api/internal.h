/* internal.h - what the files of this folder share: the api itself, endpoints, and the loaders that
 * find a resource and check that the caller may see or change it. */
#ifndef CONTROLLER_API_INTERNAL_H
#define CONTROLLER_API_INTERNAL_H

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
    struct {
        uint64_t answered[6]; /* by status / 100 */
        uint64_t logins_refused;
    } counters;
};

/* --- endpoints (endpoints.c) ---------------------------------------------------------------------
 */

enum access {
    ACCESS_PUBLIC, /* no token */
    ACCESS_READ,   /* a good token; what it may see is the handler's matter */
    ACCESS_WRITE,
    ACCESS_ADMIN,
};

enum body_kind {
    BODY_NONE,     /* ignored */
    BODY_JSON,     /* an object; empty is an error */
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

enum need { NEED_READ, NEED_WRITE };

/* 0, or -1 with the error answered: 404 when it is not there or not to be seen, 403 when it may
 * only be read. *ret must be finished by the caller. */
int load_app(struct call *c, const char *guid, enum need need, struct app_row *ret);
int load_process(struct call *c, const char *guid, enum need need, struct process_row *ret);
/* The process of this type of an app. */
int load_app_process(struct call *c, const char *app_guid, const char *type, enum need need,
                     struct process_row *ret);
int load_space(struct call *c, const char *guid, enum need need, struct space_row *ret);
int load_org(struct call *c, const char *guid, enum need need, struct org_row *ret);
int load_route(struct call *c, const char *guid, enum need need, struct route_row *ret);
/* May the caller see or change what lies in this space? `thing` is for the 404: "App". */
int need_space(struct call *c, const char *space_guid, enum need need, const char *thing);
/* NULL for an admin: sees everything. */
const char *visible_to(const struct call *c);
/* All processes of an app, "web" first. */
int app_processes(struct call *c, const char *app_guid, struct process_rows *ret);

/* --- auth.c --------------------------------------------------------------------------------------
 */

/* Fills c->identity from the Authorization header; fails with 401. */
int authenticate(struct call *c);

/* --- maintenance ---------------------------------------------------------------------------------
 */

int token_key_load(struct api *api, struct error *err); /* token.c */
void server_free(struct server *s);
unsigned server_connections(const struct server *s);

#endif
