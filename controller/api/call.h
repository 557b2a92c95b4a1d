/* call.h - one request on its way through the API: what came, who asks, what is answered.
 *
 * A handler reads the call, answers it with reply_*() or fail(), and returns 0 or -1 (failed: the
 * transaction is rolled back). Handlers of one endpoint may instead return call_hold(), to be
 * called again a little later, or go on by themselves (endpoint.async) and end with call_finish().
 */
#ifndef CONTROLLER_API_CALL_H
#define CONTROLLER_API_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/mem.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "controller/api/errors.h"
#include "controller/store/accounts.h"

struct api;
struct call;
struct endpoint;
struct websocket;

#define CALL_PARAMS_MAX  4
#define CALL_QUERY_MAX   32
#define CALL_BODY_MAX    (1024 * 1024) /* bytes of a request's body */
#define CALL_HEADERS_MAX 8

/* A query parameter, decoded once. */
struct query_param {
    char *key, *value; /* owned */
};

/* Who asks, from a good token. */
struct identity {
    char guid[GUID_SIZE]; /* the user's */
    char *name;           /* owned */
    char *jti;            /* owned; the token's id */
    char *session;        /* owned; the guid of its refresh token, or NULL */
    uint64_t expires_ns;
    bool admin;
};

/* Done once the transaction is on disk, in this order. */
enum after_kind {
    AFTER_DESIRE_APP,
    AFTER_DESIRE_ALL,
    AFTER_STAGE,
    AFTER_FORGET_LOGS,
    AFTER_DEPLOYMENT,
    AFTER_TASK,
};
struct after {
    enum after_kind kind;
    char guid[GUID_SIZE];
    struct after *next;
};

enum call_state { CALL_RUNNING, CALL_HELD, CALL_ASYNC, CALL_ANSWERED };

struct call {
    struct api *api;

    /* The request. Owned, NUL-terminated. */
    char *method, *path, *query;
    char *authorization, *content_type, *host, *remote; /* NULL: none */
    char *websocket_key; /* of a handshake that is in order; NULL: none */
    char *body;
    size_t body_n;

    /* Filled on the way. */
    const struct endpoint *endpoint;
    char *params[CALL_PARAMS_MAX]; /* owned; the :parts of the path, decoded */
    struct query_param queries[CALL_QUERY_MAX];
    size_t query_count;
    json_t *json; /* owned; the body */
    struct identity identity;
    bool access_checked; /* need_space() or need_org() was asked for what the endpoint needs */
    char request_id[GUID_SIZE];
    char *base;         /* owned; "https://api.example", see call_base() */
    uint64_t begun_ns;  /* mono */
    uint64_t hold_till; /* mono ms; 0 before the first call_hold() */
    bool hold_over;     /* it must be answered now */

    /* The answer. */
    enum call_state state;
    int status;
    struct strbuf reply;
    const char *reply_type; /* of `reply`; constant */
    json_t *errors;         /* owned; a list of {code, title, detail}; NULL: none */
    char *location;         /* owned */
    char own_type[80];      /* room for a reply_type that is made for one answer */
    char allow[64];         /* of 405: the methods that the path knows */
    struct after *after, **after_end;

    /* Of 101: fills the stream that the connection becomes. Fails with -1. */
    int (*on_websocket)(struct api *api, struct websocket *ws, const char *guid, int how);
    char websocket_guid[GUID_SIZE];
    int websocket_how;

    /* Where the answer goes; called once. The call is freed after it. */
    void (*send)(struct call *c, void *arg);
    void *send_arg;
    struct call *prev, *next; /* among the api's open calls */
    bool tracked;
    /* While ASYNC: where the one who will finish it keeps the pointer. Set to NULL when the call is
     * answered without waiting. */
    struct call **async_ref;
};

/* --- coming and going (call.c) -------------------------------------------------------------------
 */

/* Texts are copied. NULL: out of memory. */
struct call *call_new(struct api *api, const char *method, const char *path, const char *query,
                      void (*send)(struct call *c, void *arg), void *arg);
void call_free(struct call *c);
DEFINE_FREEP(call)
/* Renders what there is (errors win) and sends it. Ends and frees the call. */
void call_finish(struct call *c);
/* "https://host", without a slash at the end. */
const char *call_base(struct call *c);
/* Returns true when the handler shall `return 0` without an answer, to be called again until
 * `max_ms` have passed since the first time; false when it must answer. */
bool call_hold(struct call *c, uint64_t max_ms);
/* The value of a query parameter, or NULL. */
const char *call_query(const struct call *c, const char *key);

/* --- answering -----------------------------------------------------------------------------------
 */

/* Takes `body`; NULL is out of memory. */
int reply_json(struct call *c, int status, json_t *body);
int reply_text(struct call *c, int status, const char *type, const char *text);
int reply_nothing(struct call *c, int status);
/* 101: the connection becomes a websocket, or 400 when that was not asked for. */
int reply_websocket(struct call *c,
                    int (*on_websocket)(struct api *api, struct websocket *ws, const char *guid,
                                        int how),
                    const char *guid, int how);
/* 202 with the Location of a job that is COMPLETE. */
int reply_job(struct call *c, const char *operation);

/* Adds an error and returns -1. NULL format: the error's usual detail. */
int fail(struct call *c, enum cc_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define fail_plain(c, e)         fail((c), (e), NULL)
#define fail_invalid(c, ...)     fail((c), CC_UNPROCESSABLE, __VA_ARGS__)
#define fail_not_found(c, thing) fail((c), CC_RESOURCE_NOT_FOUND, "%s not found", (thing))
/* A failure of ours: told to the log, answered 500 (503 when the disk is full). */
int fail_internal(struct call *c, const struct error *err);
int fail_no_memory(struct call *c);

/* --- after the commit ----------------------------------------------------------------------------
 */

int after_commit(struct call *c, enum after_kind kind, const char *guid);

/* --- what JSON answers are made of (json.c) ------------------------------------------------------
 */

json_t *json_time(uint64_t wall_ns); /* null for 0 */
json_t *json_guid_or_null(const char *guid);
json_t *json_text_or_null(const char *text);
/* {"data":{"guid":...}} or {"data":null}. */
json_t *json_relation(const char *guid);
/* {"href": base + path}. */
json_t *json_link(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
json_t *json_link_post(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* {"labels":{},"annotations":{}} from the stored texts. */
json_t *json_metadata(const char *labels, const char *annotations);
/* The same as text, appended: what is listed by the thousand is written without a tree of values
 * in between. A string (null for NULL), a stored text, ... */
struct strbuf;
void json_put_text(struct strbuf *out, const char *text);
void json_put_stored(struct strbuf *out, const char *text, const char *otherwise);
void json_put_time(struct strbuf *out, uint64_t wall_ns);
void json_put_relation(struct strbuf *out, const char *guid);
void json_put_metadata(struct strbuf *out, const char *labels, const char *annotations);
/* {"self":{"href":base "/v3/" kind "/" guid tail},...}; `base`: call_base(). */
struct json_link_row {
    const char *name, *kind, *guid, *tail;
    bool post;
};
void json_put_links(struct strbuf *out, const char *base, const struct json_link_row *links,
                    size_t n);
/* The tree of a text that was so written; NULL: out of memory. */
json_t *json_of_text(const struct strbuf *text);
/* A stored JSON text; `otherwise` ("{}", "[]", "null") when NULL or damaged. */
json_t *json_stored(const char *text, const char *otherwise);

#endif
