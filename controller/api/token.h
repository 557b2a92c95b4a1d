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
    uint64_t expires_s;
};
void claims_fini(struct claims *claims);

/* An access token for a user (or a client: origin "client"), owned; NULL: out of memory. `jti`
 * names it; `issuer` is the API's base. */
char *token_issue(struct api *api, const struct user_row *user, const char *jti, const char *grant,
                  const char *issuer, uint64_t now_s);
/* False unless the signature is ours and it has not expired. */
bool token_verify(const struct api *api, const char *token, uint64_t now_s, struct claims *ret);
/* "cloud_controller.read ..." */
const char *token_scopes(const struct user_row *user);

#endif
