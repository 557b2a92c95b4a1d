/* tokens.h - refresh tokens that are good, access tokens that are not any more.
 *
 * A refresh token itself is never stored, only its SHA-256: a stolen database logs nobody in. */
#ifndef CONTROLLER_STORE_TOKENS_H
#define CONTROLLER_STORE_TOKENS_H

#include "controller/store/store.h"

/* Filters: guids user_guids hashes. guid: the token's id ("jti"). */
struct token_row {
    STORE_ROW_HEAD;
    char *hash; /* hex SHA-256 of the refresh token; unique */
    char user_guid[GUID_SIZE];
    char *client;
    uint64_t expires_ns;
};
STORE_DECLARE(token)

int store_token_find(struct store *s, const char *hash, struct token_row *ret,
                     struct error *err); /* -ENOENT */

/* All refresh tokens of a user. */
int store_token_delete_of_user(struct store *s, const char *user_guid, struct error *err);

/* Access tokens are believed until they expire unless their id is revoked here. */
int store_token_revoke(struct store *s, const char *jti, uint64_t expires_ns, struct error *err);
int store_token_is_revoked(struct store *s, const char *jti, bool *ret, struct error *err);

/* Forgets what has expired. */
int store_token_prune(struct store *s, uint64_t now_ns, struct error *err);

#endif
