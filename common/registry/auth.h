/* auth.h - answers a registry's challenges: Basic, and Bearer with tokens from its token server.
 *
 * Knows no transfer: its owner sends `header` along, tells what came back, and fetches the token
 * when asked to. What a registry accepted is remembered for the process, keyed by a hash of host,
 * repository and credentials, so that nobody profits from another's. Thread-safe as to that. */
#ifndef COMMON_REGISTRY_AUTH_H
#define COMMON_REGISTRY_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/str.h"
#include "common/registry/source.h"

struct registry_auth {
    const struct registry_source *source; /* borrowed */
    const char *repository;               /* borrowed */
    char *header;                         /* "Authorization: ..."; NULL: send none. A secret */
    char *token_url;                      /* where to fetch a token, after AUTH_FETCH_TOKEN */
    bool fresh;                           /* `header` was made for this request: a 401 is final */
    uint64_t expires_ms;                  /* of `header`, on the monotonic clock */
    unsigned char key[32];
};

enum auth_next {
    AUTH_ASK_AGAIN,   /* with the new `header` */
    AUTH_FETCH_TOKEN, /* GET `token_url`, Basic with the source's credentials if it has any */
};

/* Fills *a (zeroed by the caller), with the header that was accepted before, if any. */
int registry_auth_init(struct registry_auth *a, const struct registry_source *source,
                       const char *repository, struct error *err);
void registry_auth_fini(struct registry_auth *a);

/* A request was answered 401. -EACCES when nothing better can be offered. */
int registry_auth_challenged(struct registry_auth *a, const char *const *headers, struct slice body,
                             enum auth_next *ret, struct error *err);
/* The token server's answer: 0 with the new `header`, -EACCES, -EPROTO. */
int registry_auth_token(struct registry_auth *a, int status, struct slice body, struct error *err);
/* A request with `header` was answered with success. */
void registry_auth_accepted(struct registry_auth *a);

#endif
