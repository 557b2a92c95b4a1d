#include "common/registry/source.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdio.h>
#include <utlist.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "common/http/reach.h"
#include "common/http/trust.h"

#define HUB      "docker.io"
#define HUB_HOST "registry-1.docker.io" /* where the Hub's registry really answers */
#define HUB_OLD  "index.docker.io"
#define MAX_DOWN 8
#define DOWN_MS  30000

struct registry_config { /* a [registry NAME], or a pattern of "registries" */
    bool pattern;
    char *name;
    char *ca, *mirror, *mirror_ca;
    char *username, *password, *mirror_username, *mirror_password;
    struct registry_config *next;
};

/* --- configuration ------------------------------------------------------------------------ */

static void free_secret(char *s) {
    if (s)
        mem_wipe(s, strlen(s));
    free(s);
}

void registry_config_free(struct registry_config *list) {
    struct registry_config *c, *tmp;
    LL_FOREACH_SAFE (list, c, tmp) {
        free(c->name);
        free(c->ca);
        free(c->mirror);
        free(c->mirror_ca);
        free(c->username);
        free(c->mirror_username);
        free_secret(c->password);
        free_secret(c->mirror_password);
        free(c);
    }
}

static struct registry_config *find(const struct registry_config *list, const char *name) {
    const struct registry_config *c;
    LL_FOREACH (list, c) {
        if (!c->pattern && str_eq(c->name, name))
            return (struct registry_config *)c;
    }
    return NULL;
}

static int add(struct registry_config **list, const char *name, struct registry_config **ret,
               struct error *err) {
    if (!reference_registry_is_valid(name))
        return error_set(err, -EINVAL, "[registry %s]: \"%s\" is not HOST or HOST:PORT", name,
                         name);
    struct registry_config *c = mem_zalloc(sizeof *c);
    if (!c || !(c->name = str_dup(name))) {
        free(c);
        return error_set(err, -ENOMEM, "out of memory");
    }
    LL_APPEND(*list, c);
    *ret = c;
    return 0;
}

static int set_text(char **dst, const char *value, struct error *err) {
    return str_set(dst, value) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

static int set_ca(char **dst, const char *value, struct error *err) {
    X509_STORE *store;
    int r = trust_store(value, &store, err); /* a mistake shows at the start, not at a pull */
    if (r < 0)
        return r;
    X509_STORE_free(store);
    return set_text(dst, value, err);
}

static int set_mirror(char **dst, const char *value, struct error *err) {
    if (str_starts(value, "http://"))
        return error_set(err, -EINVAL, "\"%s\": a mirror must speak https", value);
    if (str_starts(value, "https://"))
        value += strlen("https://");
    _cleanup_(freep) char *host = str_ndup(value, strlen(value) - (str_ends(value, "/") ? 1 : 0));
    if (!host)
        return error_set(err, -ENOMEM, "out of memory");
    if (!reference_registry_is_valid(host))
        return error_set(err, -EINVAL, "\"%s\" is not HOST or HOST:PORT", value);
    return set_text(dst, host, err);
}

static int set_username(char **dst, const char *value, struct error *err) {
    if (strchr(value, ':'))
        return error_set(err, -EINVAL, "a user name cannot hold \":\"");
    return set_text(dst, value, err);
}

static int set_password(char **dst, const char *value, struct error *err) {
    char *password;
    int r = fs_read_secret(value, &password, err);
    if (r < 0)
        return r;
    free_secret(*dst);
    *dst = password;
    return 0;
}

static const struct {
    const char *key;
    size_t offset;
    int (*set)(char **dst, const char *value, struct error *err);
} keys[] = {
    {"ca", offsetof(struct registry_config, ca), set_ca},
    {"mirror", offsetof(struct registry_config, mirror), set_mirror},
    {"mirror_ca", offsetof(struct registry_config, mirror_ca), set_ca},
    {"username", offsetof(struct registry_config, username), set_username},
    {"password_file", offsetof(struct registry_config, password), set_password},
    {"mirror_username", offsetof(struct registry_config, mirror_username), set_username},
    {"mirror_password_file", offsetof(struct registry_config, mirror_password), set_password},
};

int registry_config_key(struct registry_config **list, const char *name, const char *key,
                        const char *value, struct error *err) {
    struct registry_config *c = find(*list, name);
    int r = c ? 0 : add(list, name, &c, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (!str_eq(keys[i].key, key))
            continue;
        if (str_empty(value))
            return error_set(err, -EINVAL, "[registry %s] %s has no value", name, key);
        if ((r = keys[i].set((char **)((char *)c + keys[i].offset), value, err)) < 0)
            return error_wrap(err, "[registry %s] %s", name, key);
        return 0;
    }
    return error_set(err, -EINVAL, "[registry %s] has no key \"%s\"", name, key);
}

/* Whether a "NAME and its partner" pair is given in full or not at all. */
static bool is_pair(const char *a, const char *b) {
    return str_empty(a) == str_empty(b);
}

int registry_config_check(const struct registry_config *list, struct error *err) {
    const struct registry_config *c;
    LL_FOREACH (list, c) {
        if (!is_pair(c->username, c->password))
            return error_set(err, -EINVAL,
                             "[registry %s] needs both username and password_file, or neither",
                             c->name);
        if (!is_pair(c->mirror_username, c->mirror_password))
            return error_set(
                err, -EINVAL,
                "[registry %s] needs both mirror_username and mirror_password_file, or neither",
                c->name);
        if (!c->mirror && (c->mirror_ca || c->mirror_username))
            return error_set(err, -EINVAL, "[registry %s] says how to ask a mirror, but names none",
                             c->name);
    }
    return 0;
}

/* --- which registries may be named --- */

/* One registry, one spelling: no port that https has anyway, the Hub as references name it. */
static void canonical(const char *name, char *buf, size_t n) {
    size_t len = strlen(name);
    if (str_ends(name, ":443"))
        len -= strlen(":443");
    snprintf(buf, n, "%.*s", (int)len, name);
    for (char *c = buf; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (str_eq(buf, HUB_HOST) || str_eq(buf, HUB_OLD))
        snprintf(buf, n, "%s", HUB);
}

static int add_pattern(struct registry_config **list, const char *text, struct error *err) {
    char name[sizeof((struct reference *)0)->registry];
    bool wild = str_starts(text, "*.");
    if (!reference_registry_is_valid(wild ? text + 2 : text) || strlen(text) >= sizeof name)
        return error_set(err, -EINVAL, "registries: \"%.100s\" is not HOST, HOST:PORT or *.DOMAIN",
                         text);
    struct registry_config *c = mem_zalloc(sizeof *c);
    canonical(text, name, sizeof name);
    if (!c || !(c->name = str_dup(name))) {
        free(c);
        return error_set(err, -ENOMEM, "out of memory");
    }
    c->pattern = true;
    LL_APPEND(*list, c);
    return 0;
}

int registry_config_allow(struct registry_config **list, const char *value, struct error *err) {
    _cleanup_(freep) char *copy = str_dup(value);
    char *save = NULL, *word = copy ? strtok_r(copy, ", \t", &save) : NULL;
    int r = 0;
    if (value && !copy)
        return error_set(err, -ENOMEM, "out of memory");
    for (; r == 0 && word; word = strtok_r(NULL, ", \t", &save))
        r = add_pattern(list, word, err);
    return r;
}

static bool matches(const struct registry_config *c, const char *registry) {
    if (c->name[0] != '*')
        return str_eq(c->name, registry);
    return strlen(registry) > strlen(c->name + 1) && str_ends(registry, c->name + 1);
}

int registry_allowed(const struct registry_config *list, const struct reference *ref,
                     struct error *err) {
    char registry[sizeof ref->registry];
    _cleanup_(strbuf_fini) struct strbuf allowed = {0};
    const struct registry_config *c;
    bool yes = true;
    canonical(ref->registry, registry, sizeof registry);
    LL_FOREACH (list, c) {
        if (!c->pattern)
            continue;
        if (matches(c, registry))
            return 0;
        strbuf_printf(&allowed, "%s%s", yes ? "" : ", ", c->name);
        yes = false;
    }
    return yes ? 0
               : error_set(err, -EPERM,
                           "images of the registry %s are not allowed here, only of %s",
                           ref->registry, allowed.failed ? "others" : allowed.p);
}

/* Whether the operator names this very host. */
static bool is_named(const struct registry_config *list, const struct reference *ref) {
    char registry[sizeof ref->registry];
    const struct registry_config *c;
    canonical(ref->registry, registry, sizeof registry);
    LL_FOREACH (list, c) {
        if (c->pattern ? str_eq(c->name, registry) : str_eq(c->name, ref->registry))
            return true;
    }
    return false;
}

/* --- mirrors that were down --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char host[256];
    uint64_t until_ms; /* monotonic */
} down[MAX_DOWN];

static bool is_unreachable(int code) {
    return code == -ECONNREFUSED || code == -ETIMEDOUT || code == -EHOSTUNREACH ||
           code == -ENETUNREACH;
}

static void note_down(const char *host) {
    pthread_mutex_lock(&lock);
    size_t to = 0; /* its own place, else the one that ends first */
    for (size_t i = 0; i < MAX_DOWN; i++) {
        if (str_eq(down[i].host, host)) {
            to = i;
            break;
        }
        if (down[i].until_ms < down[to].until_ms)
            to = i;
    }
    snprintf(down[to].host, sizeof down[to].host, "%s", host);
    down[to].until_ms = clock_mono_ms() + DOWN_MS;
    pthread_mutex_unlock(&lock);
}

static bool is_down(const char *host) {
    bool yes = false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_DOWN; i++)
        yes |= str_eq(down[i].host, host) && clock_mono_ms() < down[i].until_ms;
    pthread_mutex_unlock(&lock);
    return yes;
}

/* --- sources ------------------------------------------------------------------------------ */

void registry_sources_fini(struct registry_sources *s) {
    for (size_t i = 0; i < s->count; i++) {
        struct registry_source *source = &s->list[i];
        free(source->host);
        free(source->ca_file);
        free(source->ca_option);
        free(source->username);
        free_secret(source->password);
    }
    *s = (struct registry_sources){0};
}

static int add_source(struct registry_sources *s, const char *host, const char *ca_file,
                      char *ca_option, const char *username, const char *password) {
    struct registry_source *source = &s->list[s->count++];
    source->ca_option = ca_option;
    source->may_reach = REACH_LOOPBACK;
    bool named = !str_empty(username);
    if (!ca_option || str_set(&source->host, host) < 0 || str_set(&source->ca_file, ca_file) < 0 ||
        str_set(&source->username, named ? username : NULL) < 0 ||
        str_set(&source->password, !named     ? NULL
                                   : password ? password
                                              : "") < 0)
        return -ENOMEM;
    return 0;
}

int registry_sources_find(const struct registry_config *config, const struct reference *ref,
                          const struct registry_credentials *credentials,
                          struct registry_sources *ret) {
    static const struct registry_config nothing;
    const struct registry_config *c = find(config, ref->registry);
    const char *host = str_eq(ref->registry, HUB) ? HUB_HOST : ref->registry;
    int r = 0;
    if (!c)
        c = &nothing;
    if (c->mirror) {
        ret->list[0].mirror = true;
        r = add_source(ret, c->mirror, c->mirror_ca,
                       str_printf("mirror_ca = FILE in [registry %s]", ref->registry),
                       c->mirror_username, c->mirror_password);
    }
    bool users = credentials && !str_empty(credentials->username);
    if (r == 0)
        r = add_source(ret, host, c->ca, str_printf("ca = FILE in [registry %s]", ref->registry),
                       users ? credentials->username : c->username,
                       users ? credentials->password : c->password);
    for (size_t i = 0; i < ret->count; i++)
        if (ret->list[i].mirror || is_named(config, ref))
            ret->list[i].may_reach |= REACH_LINK_LOCAL;
    if (r == 0 && c->mirror && is_down(c->mirror)) {
        struct registry_source mirror = ret->list[0];
        ret->list[0] = ret->list[1];
        ret->list[1] = mirror;
    }
    return r;
}

/* --- errors ------------------------------------------------------------------------------- */

void source_errors_add(struct source_errors *e, const struct registry_source *source,
                       const struct error *err) {
    if (e->count == MAX_SOURCES)
        return;
    snprintf(e->label[e->count], sizeof e->label[0], "%s%s", source->mirror ? "mirror " : "",
             source->host);
    e->err[e->count++] = *err;
    if (source->mirror && is_unreachable(err->code))
        note_down(source->host);
}

int source_errors_say(const struct source_errors *e, const char *what, const struct reference *ref,
                      struct error *err) {
    char name[512], reasons[sizeof e->err[0].msg] = "";
    size_t n = 0;
    int code = e->count ? e->err[e->count - 1].code : -EIO;
    /* "from reg.test: reg.test: ..." would say nothing twice */
    bool obvious = e->count == 1 && str_eq(e->label[0], ref->registry);
    reference_format(ref, name, sizeof name);
    const char *image = name + strlen(ref->registry) + 1;
    for (size_t i = 0; i < e->count && n < sizeof reasons; i++)
        n += (size_t)snprintf(reasons + n, sizeof reasons - n, "%s%.80s%s%.*s", i ? "; " : "",
                              obvious ? "" : e->label[i], obvious ? "" : ": ",
                              e->count > 1 ? 200 : 440, e->err[i].msg); /* room for each */
    if (code == -ENOENT)
        return error_set(err, code, "%s %s was not found in %s (%s)", what, image, ref->registry,
                         reasons);
    return error_set(err, code, "cannot fetch %s %s from %s: %s", what, image, ref->registry,
                     reasons);
}
