/* auth.c - who asks: the bearer token of a request. */
#include <errno.h>
#include <strings.h>

#include "common/base/clock.h"
#include "controller/api/internal.h"
#include "controller/api/token.h"
#include "controller/store/tokens.h"

static const char *bearer(const struct call *c) {
    const char *h = c->authorization;
    if (!h || strncasecmp(h, "bearer ", 7) != 0)
        return NULL;
    for (h += 7; *h == ' ';)
        h++;
    return *h ? h : NULL;
}

/* The token may be good and the user gone, inactive or no admin any more: the row decides. */
static int check_user(struct call *c, const struct claims *claims) {
    struct store *store = c->api->deps.store;
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    bool revoked = false;
    int r = store_token_is_revoked(store, claims->jti, &revoked, &err);
    /* whoever logged out ended all that this log-in was given */
    if (r == 0 && !revoked && claims->session) {
        _cleanup_(token_row_fini) struct token_row session = {0};
        r = store_token_get(store, claims->session, &session, &err);
    }
    if (r == 0 && !revoked)
        r = store_user_get(store, claims->user_guid, &user, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r == -ENOENT || revoked || !user.active)
        return fail_plain(c, CC_INVALID_AUTH_TOKEN);
    char rev[TOKEN_REV_SIZE];
    token_rev(c->api, &user, rev);
    if (!str_eq(claims->rev, rev))
        return fail_plain(c, CC_INVALID_AUTH_TOKEN);
    memcpy(c->identity.guid, user.guid, GUID_SIZE);
    c->identity.admin = user.admin;
    c->identity.expires_ns = claims->expires_s * 1000000000u;
    c->identity.name = TAKE_PTR(user.username);
    c->identity.jti = str_dup(claims->jti);
    if (!c->identity.jti || str_set(&c->identity.session, claims->session) < 0)
        return fail_no_memory(c);
    return 0;
}

int authenticate(struct call *c) {
    _cleanup_(claims_fini) struct claims claims = {0};
    const char *token = bearer(c);
    if (!token)
        return str_empty(c->authorization) ? fail_plain(c, CC_NOT_AUTHENTICATED)
                                           : fail_plain(c, CC_INVALID_AUTH_TOKEN);
    if (!token_verify(c->api, token, clock_wall_ns() / 1000000000u, &claims))
        return fail_plain(c, CC_INVALID_AUTH_TOKEN);
    return check_user(c, &claims);
}
