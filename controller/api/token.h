/* token.h - access tokens: JWTs (RFC 7519) signed with HS256 by a key that only this cluster has.
 *
 * They are good until they expire, also over restarts; see store/tokens.h for revoking one. */
#ifndef CONTROLLER_API_TOKEN_H
#define CONTROLLER_API_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/store/accounts.h"

struct api;

struct claims {
    char *jti, *user_guid, *name; /* owned */
    char *rev;                    /* owned; token_rev() of when it was issued */
    char *session;                /* owned; guid of the refresh token beside it; NULL: none */
    uint64_t expires_s;
};
void claims_fini(struct claims *claims);

struct token_wish {
    const struct user_row *user; /* or a client: origin "client" */
    const char *jti;             /* its name */
    const char *grant;           /* how it came to be: "password" */
    const char *session;         /* see claims; NULL: none */
    const char *issuer;          /* the API's base */
    uint64_t now_s;
};
/* An access token, owned; NULL: out of memory. */
char *token_issue(struct api *api, const struct token_wish *wish);
#define TOKEN_REV_SIZE 17
/* Another one after each change of the password: with it all access tokens end (UAA's rev_sig). */
void token_rev(const struct api *api, const struct user_row *user, char ret[TOKEN_REV_SIZE]);
/* False unless the signature is ours and it has not expired. */
bool token_verify(const struct api *api, const char *token, uint64_t now_s, struct claims *ret);
/* "cloud_controller.read ..." */
const char *token_scopes(const struct user_row *user);

#endif
