/* client.h - HTTP requests on the event loop (libcurl's multi interface).
 *
 * https only unless a request says otherwise; certificates are always verified. Loop thread only.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/reach.h"

struct event_base;
struct http_client;
struct http_request; /* one in flight */

int http_client_new(struct http_client **ret, struct event_base *loop, struct error *err);
/* Cancels what is in flight: no callback comes. */
void http_client_free(struct http_client *c);
DEFINE_FREEP(http_client)
struct event_base *http_client_loop(const struct http_client *c);

struct http_options {
    const char *method; /* NULL: GET */
    const char *url;
    const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
    const void *body;           /* copied */
    size_t body_n;
    const char *ca_file;   /* PEM, trusted beside the system's; NULL: the system's only */
    const char *ca_option; /* how an operator adds a CA, for the error text; may be NULL */
    const char *username, *password; /* Basic, only sent to this host; NULL: none */
    bool allow_plain_http;
    bool follow_redirects; /* at most 5; credentials stay with the first host */
    bool guarded;          /* the URL, or who answers, is a stranger's choice: see reach.h ... */
    unsigned may_reach;    /* ... enum reach_kind: where the first host may be nevertheless */
    unsigned timeout_ms;   /* in all; 0: 30 s */
    size_t max_body;       /* -EFBIG beyond; 0: 4 MiB */
};

/* What came back. Borrowed: valid during the callback. */
struct http_response {
    int status; /* 0 when there was none: see `error` */
    struct slice body;
    const char *const *headers; /* "Name: value" of the last response, NULL-terminated */
    unsigned reached;           /* enum reach_kind: where who answered is; 0: elsewhere */
    const struct error *error;  /* NULL on any HTTP answer; else -ETIMEDOUT, -ECONNREFUSED,
                                   -EHOSTUNREACH, -ENETUNREACH, -ECONNRESET, -EKEYREJECTED
                                   (certificate), -EPROTO, -EFBIG, -EACCES (its address is not to
                                   be asked); the text names host and reason:
                                   "the certificate of HOST is not trusted: ..., issued by ..." */
};
const char *http_header(const struct http_response *res, const char *name); /* value or NULL */

/* Starts a request; the callback comes once, later, from the loop. *ret may be NULL. */
int http_send(struct http_client *c, const struct http_options *options,
              void (*done)(const struct http_response *res, void *arg), void *arg,
              struct http_request **ret, struct error *err);
void http_cancel(struct http_request *req); /* no callback comes; only before it came */

#endif
