#include "common/registry/auth.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/transport.h"
#include "common/registry/answer.h"
#include "common/registry/challenge.h"

#define CACHE_SIZE       256
#define BASIC_LIFE_MS    (10 * 60 * 1000ULL) /* then the challenge is read anew */
#define TOKEN_LIFE_S     60                  /* when not told (distribution token specification) */
#define TOKEN_MAX_LIFE_S 3600
#define TOKEN_MARGIN_MS  5000 /* a token must outlast the request it goes with */
#define MAX_TOKEN        16384
#define MAX_CHALLENGES   8

static void free_secret(char *s) {
    if (s)
        mem_wipe(s, strlen(s));
    free(s);
}

/* --- what was accepted before --------------------------------------------------------------- */

struct entry {
    unsigned char key[32];
    char *header; /* NULL: free */
    uint64_t expires_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry cache[CACHE_SIZE];

static void forget(struct entry *e) {
    free_secret(e->header);
    *e = (struct entry){0};
}

static struct entry *find(const unsigned char key[32]) {
    for (struct entry *e = cache; e < cache + CACHE_SIZE; e++)
        if (e->header && memcmp(e->key, key, 32) == 0)
            return e;
    return NULL;
}

static void cache_get(struct registry_auth *a) {
    pthread_mutex_lock(&lock);
    struct entry *e = find(a->key);
    if (e && clock_mono_ms() + TOKEN_MARGIN_MS >= e->expires_ms)
        forget(e);
    else if (e)
        a->header = str_dup(e->header);
    pthread_mutex_unlock(&lock);
}

static void cache_put(const struct registry_auth *a) {
    char *copy = str_dup(a->header);
    pthread_mutex_lock(&lock);
    struct entry *to = find(a->key);
    for (struct entry *e = cache; !to && e < cache + CACHE_SIZE; e++)
        if (!e->header)
            to = e;
    if (!to) {
        to = cache; /* full: what expires first goes */
        for (struct entry *e = cache; e < cache + CACHE_SIZE; e++)
            if (e->expires_ms < to->expires_ms)
                to = e;
    }
    forget(to);
    memcpy(to->key, a->key, sizeof to->key);
    to->header = copy;
    to->expires_ms = a->expires_ms;
    pthread_mutex_unlock(&lock);
}

static void cache_drop(const struct registry_auth *a) {
    pthread_mutex_lock(&lock);
    struct entry *e = find(a->key);
    if (e && str_eq(e->header, a->header)) /* another thread may have a newer one already */
        forget(e);
    pthread_mutex_unlock(&lock);
}

static int make_key(struct registry_auth *a) {
    const char *parts[] = {a->source->host, a->repository, a->source->username,
                           a->source->password};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < ARRAY_SIZE(parts); i++) {
        const char *part = parts[i] ? parts[i] : "";
        ok = EVP_DigestUpdate(md, part, strlen(part) + 1) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(md, a->key, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? 0 : -ENOMEM;
}

/* --- headers ------------------------------------------------------------------------------ */

static int set_header(struct registry_auth *a, char *header, uint64_t life_ms, struct error *err) {
    if (!header)
        return error_set(err, -ENOMEM, "out of memory");
    free_secret(a->header);
    a->header = header;
    a->fresh = true;
    a->expires_ms = clock_mono_ms() + life_ms;
    return 0;
}

static int use_basic(struct registry_auth *a, struct error *err) {
    char *plain = str_printf("%s:%s", a->source->username, a->source->password);
    char *encoded = plain ? base64_encode(plain, strlen(plain), false) : NULL;
    char *header = encoded ? str_printf("Authorization: Basic %s", encoded) : NULL;
    free_secret(plain);
    free_secret(encoded);
    return set_header(a, header, BASIC_LIFE_MS, err);
}

static void add_parameter(struct strbuf *url, const char *name, const char *value) {
    char *escaped = curl_easy_escape(NULL, value, 0);
    strbuf_printf(url, "%c%s=", memchr(url->p, '?', url->n) ? '&' : '?', name);
    strbuf_puts(url, escaped ? escaped : "");
    url->failed |= !escaped;
    curl_free(escaped);
}

static int want_token(struct registry_auth *a, const struct challenge *c, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf url = {0}, scope = {0};
    strbuf_puts(&url, c->realm);
    if (url.failed)
        return error_set(err, -ENOMEM, "out of memory");
    if (a->source->username)
        add_parameter(&url, "account", a->source->username);
    if (*c->service)
        add_parameter(&url, "service", c->service);
    strbuf_printf(&scope, "repository:%s:pull", a->repository);
    if (!scope.failed)
        add_parameter(&url, "scope", scope.p);
    free(a->token_url);
    a->token_url = strbuf_take(&url);
    return a->token_url && !scope.failed ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* --- the module's interface ----------------------------------------------------------------- */

int registry_auth_init(struct registry_auth *a, const struct registry_source *source,
                       const char *repository, struct error *err) {
    a->source = source;
    a->repository = repository;
    if (make_key(a) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    cache_get(a);
    return 0;
}

void registry_auth_fini(struct registry_auth *a) {
    free_secret(a->header);
    free(a->token_url);
    *a = (struct registry_auth){0};
}

static int refused(const struct registry_auth *a, struct slice body, struct error *err) {
    bool basic = str_starts(a->header, "Authorization: Basic");
    struct error reason = {0};
    if (basic)
        return error_set(err, -EACCES, "the user name or password is wrong");
    answer_error(401, body, &reason);
    return error_set(err, -EACCES, "%s; the repository does not exist there, or %s", reason.msg,
                     a->source->username ? "this user may not pull it"
                                         : "needs a user name and password");
}

int registry_auth_challenged(struct registry_auth *a, const char *const *headers, struct slice body,
                             enum auth_next *ret, struct error *err) {
    struct challenge found[MAX_CHALLENGES];
    const struct challenge *basic = NULL, *bearer = NULL;
    const char *line;
    size_t count = 0;
    if (a->header && a->fresh)
        return refused(a, body, err);
    if (a->header)
        cache_drop(a);
    for (unsigned i = 0; (line = transport_header(headers, "WWW-Authenticate", i)); i++)
        count += challenge_parse(line, found + count, MAX_CHALLENGES - count);
    for (size_t i = 0; i < count; i++) {
        if (found[i].scheme == CHALLENGE_BASIC && !basic)
            basic = &found[i];
        if (found[i].scheme == CHALLENGE_BEARER && !bearer)
            bearer = &found[i];
    }
    if (bearer && strncasecmp(bearer->realm, "https://", 8) == 0) {
        *ret = AUTH_FETCH_TOKEN;
        return want_token(a, bearer, err);
    }
    if (basic && a->source->username) {
        *ret = AUTH_ASK_AGAIN;
        return use_basic(a, err);
    }
    if (basic)
        return error_set(err, -EACCES, "authentication is required: give a user name and password");
    if (bearer)
        return error_set(err, -EPROTO, "its token server is not named by an https URL");
    return error_set(err, -EACCES, "it wants an authentication other than Basic and Bearer");
}

/* The token as it may stand in a header line: visible ASCII only. */
static bool is_token(const char *s) {
    size_t n = 0;
    for (; s && s[n] > ' ' && s[n] <= '~' && n < MAX_TOKEN; n++)
        ;
    return n > 0 && s[n] == '\0';
}

static int read_token(struct registry_auth *a, json_t *root, struct error *err) {
    const char *token = json_string_value(json_object_get(root, "token"));
    if (str_empty(token))
        token = json_string_value(json_object_get(root, "access_token"));
    if (!is_token(token))
        return error_set(err, -EPROTO, "its token server sent no token");
    json_int_t life = json_integer_value(json_object_get(root, "expires_in"));
    life = MIN(MAX(life, TOKEN_LIFE_S), TOKEN_MAX_LIFE_S);
    return set_header(a, str_printf("Authorization: Bearer %s", token), (uint64_t)life * 1000, err);
}

int registry_auth_token(struct registry_auth *a, int status, struct slice body, struct error *err) {
    if ((status == 401 || status == 403) && a->source->username)
        return error_set(err, -EACCES, "the user name or password is wrong");
    if (status == 401 || status == 403)
        return error_set(err, -EACCES, "authentication is required: give a user name and password");
    if (status != 200) {
        answer_error(status, body, err);
        return error_wrap(err, "its token server");
    }
    json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    int r = read_token(a, root, err);
    json_decref(root);
    return r;
}

void registry_auth_accepted(struct registry_auth *a) {
    if (a->header && a->fresh)
        cache_put(a);
    a->fresh = false;
}
