/* uaa.c - the part of UAA that the CLIs need: /login, /oauth/token, revoking. */
#include <errno.h>
#include <openssl/evp.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/workers.h"
#include "controller/api/internal.h"
#include "controller/api/limiter.h"
#include "controller/api/password.h"
#include "controller/api/resources.h"
#include "controller/api/token.h"
#include "controller/store/tokens.h"

#define FORM_MAX       (16 * 1024) /* bytes of a token request */
#define HASHING_MAX    32          /* log-ins being checked at a time */
#define ADDRESS_FACTOR 10          /* an address may fail for ten users */
#define REFRESH_BYTES  32
#define UAA_VERSION    "76.0.0"

/* --- answers in UAA's form
 * ------------------------------------------------------------------------
 */

static int refuse(struct call *c, int status, const char *error, const char *description) {
    return reply_json(c, status,
                      json_pack("{s:s,s:s}", "error", error, "error_description", description));
}

static int bad_credentials(struct call *c) {
    c->api->counters.logins_refused++;
    return refuse(c, 401, "unauthorized", "Bad credentials");
}

static int locked_out(struct call *c) {
    c->api->counters.logins_refused++;
    return refuse(c, 401, "unauthorized",
                  "Your account has been locked because of too many failed attempts to login.");
}

/* --- GET /login
 * -----------------------------------------------------------------------------------
 */

int get_login(struct call *c) {
    const char *base = call_base(c);
    return reply_json(c, 200,
                      json_pack("{s:{s:s},s:{s:s,s:s},s:{s:[s,s],s:[s,s]}}", "app", "version",
                                UAA_VERSION, "links", "uaa", base, "login", base, "prompts",
                                "username", "text", "Email", "password", "password", "Password"));
}

/* --- the form
 * -------------------------------------------------------------------------------------
 */

struct form {
    char *grant, *username, *password, *refresh, *client_id, *client_secret; /* owned */
};

static void wipe_free(char *s) {
    if (s)
        mem_wipe(s, strlen(s));
    free(s);
}

static void form_fini(struct form *f) {
    free(f->grant);
    free(f->username);
    free(f->client_id);
    wipe_free(f->password);
    wipe_free(f->refresh);
    wipe_free(f->client_secret);
}

static char **form_slot(struct form *f, const char *key, size_t n) {
    const struct {
        const char *key;
        char **slot;
    } slots[] = {{"grant_type", &f->grant},    {"username", &f->username},
                 {"password", &f->password},   {"refresh_token", &f->refresh},
                 {"client_id", &f->client_id}, {"client_secret", &f->client_secret}};
    for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
        if (strlen(slots[i].key) == n && memcmp(slots[i].key, key, n) == 0)
            return slots[i].slot;
    return NULL;
}

/* False: not a form, or a field twice. Unknown fields ("scope=") are ignored, as by UAA. */
static bool form_parse(const char *p, size_t n, struct form *f) {
    const char *end = p + n;
    if (n > FORM_MAX || memchr(p, '\0', n))
        return false;
    while (p < end) {
        const char *amp = memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
        const char *eq = memchr(p, '=', (size_t)(stop - p)), *key_end = eq ? eq : stop;
        char **slot = form_slot(f, p, (size_t)(key_end - p));
        if (slot && *slot)
            return false;
        if (slot) {
            *slot = eq ? url_decode(eq + 1, (size_t)(stop - eq - 1), true) : str_dup("");
            if (!*slot || !str_is_utf8(*slot, strlen(*slot)))
                return false;
        }
        p = amp ? amp + 1 : end;
    }
    return f->grant != NULL;
}

/* The client of "Authorization: Basic", else of the form. */
static bool read_client(struct call *c, struct form *f) {
    if (!c->authorization || strncasecmp(c->authorization, "basic ", 6) != 0)
        return f->client_id != NULL;
    uint8_t *text = NULL;
    size_t n = 0;
    const char *encoded = c->authorization + 6;
    if (base64_decode(encoded, strlen(encoded), &text, &n) < 0)
        return false;
    char *colon = memchr(text, ':', n);
    bool ok = colon != NULL && !memchr(text, '\0', n);
    if (ok) {
        size_t id_n = (size_t)(colon - (char *)text);
        free(f->client_id);
        wipe_free(f->client_secret);
        f->client_id = url_decode((char *)text, id_n, true);
        f->client_secret = url_decode(colon + 1, n - id_n - 1, true);
        ok = f->client_id && f->client_secret && str_is_utf8(f->client_id, strlen(f->client_id));
    }
    if (n)
        mem_wipe(text, n);
    free(text);
    return ok;
}

/* "cf" with its empty secret, as the CLIs have it built in: it proves nothing, the user does. */
static bool is_cf_client(const struct form *f) {
    return str_eq(f->client_id, "cf") && str_empty(f->client_secret);
}

/* --- granting
 * -------------------------------------------------------------------------------------
 */

static void hash_refresh(const char *token, char hex[65]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    EVP_Digest(token, strlen(token), digest, &n, EVP_sha256(), NULL);
    hex_encode(digest, 32, hex);
}

/* A new refresh token, kept as its hash. Owned; NULL with the error answered. `session`: its id. */
static char *new_refresh(struct call *c, const struct user_row *user, char session[GUID_SIZE]) {
    struct api *api = c->api;
    unsigned char secret[REFRESH_BYTES];
    char hex[65];
    struct error err = {0};
    random_bytes(secret, sizeof secret);
    char *text = base64_encode(secret, sizeof secret, true);
    mem_wipe(secret, sizeof secret);
    if (!text) {
        fail_no_memory(c);
        return NULL;
    }
    hash_refresh(text, hex);
    _cleanup_(token_row_fini) struct token_row row = {
        .hash = str_dup(hex),
        .client = str_dup("cf"),
        .expires_ns = clock_wall_ns() + api->config.refresh_s * 1000000000u,
    };
    memcpy(row.user_guid, user->guid, GUID_SIZE);
    if (!row.hash || !row.client)
        fail_no_memory(c);
    else if (store_token_insert(api->deps.store, &row, &err) < 0)
        fail_internal(c, &err);
    else {
        memcpy(session, row.guid, GUID_SIZE);
        return text;
    }
    free(text);
    return NULL;
}

/* `refresh` and `session` NULL: the grant gives none. */
static int grant(struct call *c, const struct user_row *user, const char *kind, const char *refresh,
                 const char *session) {
    struct api *api = c->api;
    char jti[GUID_SIZE];
    guid_new(jti);
    char *token = token_issue(api, &(struct token_wish){.user = user,
                                                        .jti = jti,
                                                        .grant = kind,
                                                        .session = session,
                                                        .issuer = call_base(c),
                                                        .now_s = clock_wall_ns() / 1000000000u});
    if (!token)
        return fail_no_memory(c);
    json_t *body = json_pack("{s:s,s:s,s:I,s:s,s:s}", "access_token", token, "token_type", "bearer",
                             "expires_in", (json_int_t)api->config.token_s, "scope",
                             token_scopes(user), "jti", jti);
    wipe_free(token);
    if (refresh && body && json_object_set_new(body, "refresh_token", json_string(refresh)))
        return json_decref(body), fail_no_memory(c);
    return reply_json(c, 200, body);
}

/* --- checking a password on a worker
 * ---------------------------------------------------------------
 */

struct login_job {
    struct api *api;   /* borrowed; only used while `call` lives */
    struct call *call; /* NULL once the call was answered otherwise */
    struct user_row user;
    bool known, ok;
    char *password;      /* owned */
    char *key, *address; /* owned; the limiter's */
    const char *kind;
};

static void login_job_free(struct login_job *job) {
    user_row_fini(&job->user);
    wipe_free(job->password);
    free(job->key);
    free(job->address);
    free(job);
}

static void work_login(void *arg) {
    struct login_job *job = arg;
    job->ok = password_verify(job->password, job->known ? job->user.password_hash : NULL);
}

static void step_login_known(struct login_job *job) {
    struct call *c = job->call;
    uint64_t now = clock_mono_ms();
    if (!job->ok || !job->user.active) {
        limiter_failed(c->api->limiter, job->key, 1, now);
        limiter_failed(c->api->limiter, job->address, ADDRESS_FACTOR, now);
        bad_credentials(c);
        return;
    }
    limiter_forget(c->api->limiter, job->key);
    bool client = str_eq(job->kind, "client_credentials");
    char session[GUID_SIZE];
    char *refresh = client ? NULL : new_refresh(c, &job->user, session);
    if (client || refresh)
        grant(c, &job->user, job->kind, refresh, client ? NULL : session);
    wipe_free(refresh);
}

static void on_login_checked(void *arg) {
    struct login_job *job = arg;
    if (job->call) {
        job->call->async_ref = NULL;
        job->api->hashing--;
        step_login_known(job);
        call_finish(job->call);
    }
    login_job_free(job);
}

/* `client`: the name is a client's, not a person's. */
static int check_password(struct call *c, const char *name, const char *password, bool client) {
    struct api *api = c->api;
    struct error err = {0};
    const char *remote = c->remote ? c->remote : "";
    if (!name || !password)
        return refuse(c, 400, "invalid_request", "Missing username or password");
    if (strlen(name) > 255 || strlen(password) > PASSWORD_MAX)
        return bad_credentials(c);
    if (api->hashing >= HASHING_MAX)
        return refuse(c, 429, "too_many_requests", "Too many log-ins at a time, try again.");
    struct login_job *job = mem_zalloc(sizeof *job);
    if (!job)
        return fail_no_memory(c);
    job->api = api;
    job->kind = client ? "client_credentials" : "password";
    job->password = str_dup(password);
    job->key = str_printf("%s|%s", remote, name);
    job->address = str_dup(remote);
    int r = job->password && job->key && job->address ? 0 : fail_no_memory(c);
    for (char *p = job->key; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p += 'a' - 'A'; /* names are the same in any case */
    uint64_t now = clock_mono_ms();
    if (r == 0 && (limiter_closed(api->limiter, job->key, now) ||
                   limiter_closed(api->limiter, job->address, now))) {
        login_job_free(job);
        return locked_out(c);
    }
    if (r == 0) {
        int found = store_user_find(api->deps.store, name, &job->user, &err);
        job->known = found == 0 && str_eq(job->user.origin, client ? "client" : "uaa");
        if (found < 0 && found != -ENOENT)
            r = fail_internal(c, &err);
    }
    if (r == 0 && workers_run(api->deps.workers, work_login, on_login_checked, job) < 0)
        r = fail_no_memory(c);
    if (r < 0) {
        login_job_free(job);
        return r;
    }
    job->call = c;
    c->async_ref = &job->call;
    c->state = CALL_ASYNC;
    api->hashing++;
    return 0;
}

/* --- POST /oauth/token
 * ----------------------------------------------------------------------------
 */

static int refresh_grant(struct call *c, const struct form *f) {
    struct store *store = c->api->deps.store;
    _cleanup_(token_row_fini) struct token_row row = {0};
    _cleanup_(user_row_fini) struct user_row user = {0};
    struct error err = {0};
    char hex[65];
    if (str_empty(f->refresh))
        return refuse(c, 400, "invalid_request", "Missing refresh_token");
    hash_refresh(f->refresh, hex);
    int r = store_token_find(store, hex, &row, &err);
    if (r == 0 && row.expires_ns > clock_wall_ns())
        r = store_user_get(store, row.user_guid, &user, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r == -ENOENT || !user.guid[0] || !user.active)
        return refuse(c, 401, "invalid_token", "The token expired, was revoked, or is not known");
    return grant(c, &user, "refresh_token", f->refresh, row.guid);
}

int post_token(struct call *c) {
    _cleanup_(form_fini) struct form f = {0};
    if (!form_parse(c->body ? c->body : "", c->body_n, &f))
        return refuse(c, 400, "invalid_request", "The form is malformed or has no grant_type");
    if (!read_client(c, &f))
        return bad_credentials(c);
    if (str_eq(f.grant, "client_credentials"))
        return check_password(c, f.client_id, f.client_secret, true);
    if (!is_cf_client(&f))
        return bad_credentials(c);
    if (str_eq(f.grant, "password"))
        return check_password(c, f.username, f.password, false);
    if (str_eq(f.grant, "refresh_token"))
        return refresh_grant(c, &f);
    return refuse(c, 400, "unsupported_grant_type", "This grant type is not offered");
}

/* --- DELETE /oauth/token/revoke/:jti
 * --------------------------------------------------------------
 */

/* `cf ssh-code` asks for a code for the SSH proxy's client, which is not here. */
int authorize(struct call *c) {
    const char *id = call_query(c, "client_id");
    char text[160];
    snprintf(text, sizeof text, "No client with requested id: %.100s", id ? id : "");
    return refuse(c, 401, "invalid_client", text);
}

int delete_token(struct call *c) {
    struct store *store = c->api->deps.store;
    _cleanup_(token_row_fini) struct token_row row = {0};
    struct error err = {0};
    const char *jti = c->params[0];
    int r = store_token_get(store, jti, &row, &err);
    if (r == 0) { /* a refresh token */
        if (!c->identity.admin && !str_eq(row.user_guid, c->identity.guid))
            return fail_plain(c, CC_NOT_AUTHORIZED);
        if (store_token_delete(store, jti, &err) < 0)
            return fail_internal(c, &err);
        return reply_nothing(c, 200);
    }
    if (r != -ENOENT)
        return fail_internal(c, &err);
    if (strlen(jti) >= GUID_SIZE || (!c->identity.admin && !str_eq(jti, c->identity.jti)))
        return fail_plain(c, CC_NOT_AUTHORIZED);
    /* No access token lives longer than this. */
    uint64_t until = clock_wall_ns() + c->api->config.token_s * 1000000000u;
    if (store_token_revoke(store, jti, until, &err) < 0)
        return fail_internal(c, &err);
    /* Logging out: the session's refresh token goes with it, which the CLIs cannot name. */
    if (str_eq(jti, c->identity.jti) && c->identity.session) {
        r = store_token_delete(store, c->identity.session, &err);
        if (r < 0 && r != -ENOENT)
            return fail_internal(c, &err);
    }
    return reply_nothing(c, 200);
}
