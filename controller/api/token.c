#include "controller/api/token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "controller/api/internal.h"

#define SIGNATURE_SIZE 32
#define TOKEN_MAX      8192
/* The one header that we write is the one that we take: no choice of algorithm to attack. */
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

void claims_fini(struct claims *claims) {
    free(claims->jti);
    free(claims->user_guid);
    free(claims->name);
    free(claims->rev);
    free(claims->session);
    *claims = (struct claims){0};
}

int token_key_load(struct api *api, struct error *err) {

    _cleanup_(freep) char *hex = NULL;
    int r = store_secret_get(api->deps.store, "token_key", &hex, err);
    if (r == 0) {
        if (strlen(hex) != 2 * TOKEN_KEY_SIZE ||
            hex_decode(hex, api->token_key, TOKEN_KEY_SIZE) < 0)
            return error_set(err, -EUCLEAN, "the key of access tokens is damaged");
        return 0;
    }
    if (r != -ENOENT)
        return r;
    char fresh[2 * TOKEN_KEY_SIZE + 1];
    random_bytes(api->token_key, TOKEN_KEY_SIZE);
    hex_encode(api->token_key, TOKEN_KEY_SIZE, fresh);
    r = store_secret_set(api->deps.store, "token_key", fresh, err);
    mem_wipe(fresh, sizeof fresh);
    return r;
}

static bool sign(const struct api *api, const char *text, size_t n,
                 unsigned char mac[SIGNATURE_SIZE]) {
    unsigned int got = 0;
    return HMAC(EVP_sha256(), api->token_key, TOKEN_KEY_SIZE, (const unsigned char *)text, n, mac,
                &got) &&
           got == SIGNATURE_SIZE;
}

const char *token_scopes(const struct user_row *user) {
    return user->admin
               ? "openid cloud_controller.read cloud_controller.write cloud_controller.admin"
               : "openid cloud_controller.read cloud_controller.write";
}

static bool is_client(const struct user_row *user) {
    return str_eq(user->origin, "client");
}

static json_t *scope_list(const struct user_row *user) {
    json_t *list = json_array();
    for (const char *p = token_scopes(user); *p;) {
        size_t n = strcspn(p, " ");
        json_array_append_new(list, json_stringn(p, n));
        p += n + (p[n] == ' ');
    }
    return list;
}

void token_rev(const struct api *api, const struct user_row *user, char ret[TOKEN_REV_SIZE]) {
    unsigned char mac[SIGNATURE_SIZE] = {0};
    const char *hash = user->password_hash ? user->password_hash : "";
    sign(api, hash, strlen(hash), mac);
    hex_encode(mac, (TOKEN_REV_SIZE - 1) / 2, ret);
}

/* What the CLIs read: with user_name, user_id and origin must stand; without it, client_id.
 * revocable makes them revoke it when they log out. */
static json_t *payload(struct api *api, const struct token_wish *wish) {
    const struct user_row *user = wish->user;
    const char *client = is_client(user) ? user->username : "cf";
    char rev[TOKEN_REV_SIZE];
    token_rev(api, user, rev);
    json_t *claims = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:[s,s,s],s:I,s:I,s:s+,s:s,s:s,s:b,s:o}", "jti", wish->jti,
        "sub", user->guid, "client_id", client, "cid", client, "azp", client, "grant_type",
        wish->grant, "scope", scope_list(user), "aud", "cloud_controller", "openid", "cf", "iat",
        (json_int_t)wish->now_s, "exp", (json_int_t)(wish->now_s + api->config.token_s), "iss",
        wish->issuer, "/oauth/token", "zid", "uaa", "rev_sig", rev, "revocable", 1, "session",
        json_text_or_null(wish->session));
    if (claims && !is_client(user) &&
        (json_object_set_new(claims, "user_id", json_string(user->guid)) ||
         json_object_set_new(claims, "user_name", json_string(user->username)) ||
         json_object_set_new(claims, "email", json_string(user->username)) ||
         json_object_set_new(claims, "origin", json_string(user->origin)))) {
        json_decref(claims);
        return NULL;
    }
    return claims;
}

char *token_issue(struct api *api, const struct token_wish *wish) {
    _cleanup_(strbuf_fini) struct strbuf token = {0};
    unsigned char mac[SIGNATURE_SIZE];
    json_t *claims = payload(api, wish);
    char *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    json_decref(claims);
    char *head = base64_encode(HEADER, sizeof HEADER - 1, true);
    char *body = text ? base64_encode(text, strlen(text), true) : NULL;
    free(text);
    char *tail = NULL;
    if (head && body) {
        strbuf_printf(&token, "%s.%s", head, body);
        if (!token.failed && sign(api, token.p, token.n, mac))
            tail = base64_encode(mac, sizeof mac, true);
    }
    if (tail)
        strbuf_printf(&token, ".%s", tail);
    free(head);
    free(body);
    bool whole = tail != NULL;
    free(tail);
    return whole ? strbuf_take(&token) : NULL;
}

static bool read_claims(const char *text, size_t n, uint64_t now_s, struct claims *ret) {
    json_t *claims = json_loadb(text, n, 0, NULL);
    json_t *name = json_object_get(claims, "user_name");
    const char *jti = body_text(claims, "jti"), *sub = body_text(claims, "sub");
    int64_t expires = 0;
    struct claims found = {0};
    bool ok =
        jti && sub && body_int(claims, "exp", &expires) && expires > 0 && (uint64_t)expires > now_s;
    if (ok) {
        found.expires_s = (uint64_t)expires;
        found.jti = str_dup(jti);
        found.user_guid = str_dup(sub);
        found.name = str_dup(name ? json_string_value(name) : body_text(claims, "client_id"));
        found.rev = str_dup(body_text(claims, "rev_sig"));
        found.session = str_dup(body_text(claims, "session"));
        ok = found.jti && found.user_guid && found.name;
    }
    json_decref(claims);
    if (ok)
        *ret = found;
    else
        claims_fini(&found);
    return ok;
}

bool token_verify(const struct api *api, const char *token, uint64_t now_s, struct claims *ret) {
    unsigned char mac[SIGNATURE_SIZE];
    if (strnlen(token, TOKEN_MAX) == TOKEN_MAX)
        return false;
    const char *body = strchr(token, '.'), *tail = body ? strchr(body + 1, '.') : NULL;
    if (!tail || strchr(tail + 1, '.'))
        return false;
    _cleanup_(freep) char *head = base64_encode(HEADER, sizeof HEADER - 1, true);
    if (!head || strlen(head) != (size_t)(body - token) ||
        memcmp(head, token, (size_t)(body - token)) != 0)
        return false;
    _cleanup_(freep) uint8_t *given = NULL, *text = NULL;
    size_t given_n = 0, text_n = 0;
    if (base64_decode(tail + 1, strlen(tail + 1), &given, &given_n) < 0 ||
        given_n != SIGNATURE_SIZE || !sign(api, token, (size_t)(tail - token), mac) ||
        !mem_equal_secret(mac, given, SIGNATURE_SIZE))
        return false;
    if (base64_decode(body + 1, (size_t)(tail - body - 1), &text, &text_n) < 0)
        return false;
    return read_claims((const char *)text, text_n, now_s, ret);
}
