/* rest.h - the public API over HTTPS, one blocking request at a time.
 *
 * The client is a command: it waits for each answer, so it uses libcurl directly and needs no loop.
 * Tokens are refreshed before they run out, and when the API, whose clock may be another, refuses
 * one. */
#ifndef CONTROLLER_CLIENT_REST_H
#define CONTROLLER_CLIENT_REST_H

#include <jansson.h>

#include "common/base/error.h"
#include "common/base/str.h"
#include "controller/client/session.h"

struct rest {
    struct session *session; /* borrowed; tokens in it may change */
    void *curl;              /* one handle: connections are kept */
    long status;             /* of the last answer; 0 when there was none */
    char *location;          /* its Location header, owned, or NULL */
    bool trace;              /* BERTH_TRACE: requests and answers to stderr, without tokens */
};

int rest_init(struct rest *r, struct session *session, struct error *err);
void rest_fini(struct rest *r);

/* `path` is relative to the API ("/v3/apps?...") or a whole URL. `body` (may be NULL) is not
 * consumed. 0: an answer below 400, its JSON (owned; NULL when empty) in *ret. -EREMOTEIO: the API
 * said no, err has its words. Else no answer. ret may be NULL. */
int rest_call(struct rest *r, const char *method, const char *path, const json_t *body,
              json_t **ret, struct error *err);
/* The same with the path made by printf. */
int rest_get(struct rest *r, json_t **ret, struct error *err, const char *path_fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Anything else (`curl`, manifests, forms): raw body in, raw body out. Any status is success. */
struct rest_raw {
    const char *method, *path;
    const char *const *headers; /* NULL-terminated; may be NULL */
    const char *body;           /* NULL: none */
    size_t body_n;
    const char *basic; /* "user:password" instead of the token; NULL: the token */
    bool anonymous;    /* no Authorization at all */
};
int rest_raw(struct rest *r, const struct rest_raw *request, struct strbuf *ret_body,
             struct strbuf *ret_headers, struct error *err);
/* Turns an answer of 400 and above into words. */
int rest_refusal(struct rest *r, const char *body, size_t n, struct error *err);

/* All pages of a list, joined into one array (owned). */
int rest_list(struct rest *r, json_t **ret, struct error *err, const char *path_fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Follows the job of the last 202's Location until it is COMPLETE. */
int rest_wait_job(struct rest *r, struct error *err);

/* Percent-encodes a query value; owned. */
char *rest_escape(const char *value);

/* New tokens from a form sent to UAA; -EACCES when it refused. */
int rest_token(struct rest *r, const char *form, struct error *err);

#endif
