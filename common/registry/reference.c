/* reference.c - the grammar of the distribution project's reference package:
 *
 *     registry   = domain *("." domain) [":" port] | "[" ipv6 "]" [":" port]
 *     domain     = letters, digits and inner "-"
 *     repository = component *("/" component)
 *     component  = alnum *(separator alnum), all lower case
 *     separator  = "." | "_" | "__" | *"-"
 *     tag        = [A-Za-z0-9_] followed by at most 127 of [A-Za-z0-9_.-]
 */
#include "common/registry/reference.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/str.h"
#include "common/registry/digest.h"
#include "common/registry/printable.h"

#define DEFAULT_REGISTRY "docker.io"
#define OLD_HUB_NAME     "index.docker.io" /* what Docker called it once, and still takes */
#define MAX_NAME         255               /* registry and repository together */

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

static bool only(struct slice s, const char *allowed) {
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(allowed, s.p[i]))
            return false;
    return true;
}

static struct slice cut(struct slice *s, size_t n) { /* the first n bytes; *s goes on after them */
    struct slice head = {s->p, n};
    s->p += n;
    s->n -= n;
    return head;
}

static bool is_port(struct slice s) {
    uint64_t port;
    return s.n >= 1 && s.n <= 5 && only(s, DIGIT) && parse_u64_slice(s, 1, 65535, &port) == 0;
}

static bool is_domain(struct slice s) {
    while (true) {
        const char *dot = memchr(s.p, '.', s.n);
        struct slice part = cut(&s, dot ? (size_t)(dot - s.p) : s.n);
        if (part.n == 0 || part.n > 63 || !only(part, LOWER UPPER DIGIT "-") || part.p[0] == '-' ||
            part.p[part.n - 1] == '-')
            return false;
        if (!dot)
            return true;
        cut(&s, 1);
    }
}

static bool is_registry(struct slice s) {
    if (s.n > 0 && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.n);
        if (!end)
            return false;
        struct slice address = cut(&s, (size_t)(end - s.p) + 1);
        if (address.n < 4 ||
            !only((struct slice){address.p + 1, address.n - 2}, DIGIT "abcdefABCDEF:."))
            return false;
    } else {
        const char *colon = memchr(s.p, ':', s.n);
        if (!is_domain(cut(&s, colon ? (size_t)(colon - s.p) : s.n)))
            return false;
    }
    return s.n == 0 || (s.p[0] == ':' && is_port((struct slice){s.p + 1, s.n - 1}));
}

bool reference_registry_is_valid(const char *name) {
    struct slice s = slice_of(name);
    return s.n > 0 && s.n < sizeof((struct reference *)0)->registry && is_registry(s);
}

static bool is_component(struct slice s) {
    while (true) {
        size_t n = 0;
        while (n < s.n && strchr(LOWER DIGIT, s.p[n]) && s.p[n])
            n++;
        if (n == 0)
            return false;
        cut(&s, n);
        if (s.n == 0)
            return true;
        char c = s.p[0];
        for (n = 0; n < s.n && s.p[n] == c; n++)
            ;
        if (!(c == '-' || (c == '.' && n == 1) || (c == '_' && n <= 2)))
            return false;
        cut(&s, n);
    }
}

static bool is_repository(struct slice s) {
    while (true) {
        const char *slash = memchr(s.p, '/', s.n);
        if (!is_component(cut(&s, slash ? (size_t)(slash - s.p) : s.n)))
            return false;
        if (!slash)
            return true;
        cut(&s, 1);
    }
}

static bool is_tag(struct slice s) {
    return s.n >= 1 && s.n <= 128 && only(s, LOWER UPPER DIGIT "_.-") && s.p[0] != '.' &&
           s.p[0] != '-';
}

/* The first component names a registry; what follows the slash is the repository. */
static bool split_registry(struct slice *name, struct slice *registry) {
    const char *slash = memchr(name->p, '/', name->n);
    if (!slash)
        return false;
    struct slice first = {name->p, (size_t)(slash - name->p)};
    if (!memchr(first.p, '.', first.n) && !memchr(first.p, ':', first.n) &&
        !slice_eq(first, SLICE_LIT("localhost")))
        return false;
    *registry = cut(name, first.n);
    cut(name, 1);
    return true;
}

static void copy(struct slice s, char *buf, size_t size) {
    snprintf(buf, size, "%.*s", (int)s.n, s.p);
}

static int refuse(struct error *err, const char *text, const char *why) {
    char buf[128];
    return error_set(err, -EINVAL, "\"%s\" is not an image reference: %s",
                     printable(text, buf, sizeof buf), why);
}

/* Digest and tag, cut from the end of *name. */
static const char *take_version(struct slice *name, struct reference *ref) {
    const char *at = memchr(name->p, '@', name->n);
    if (at) {
        struct slice digest = {at + 1, name->n - (size_t)(at + 1 - name->p)};
        copy(digest, ref->digest, sizeof ref->digest);
        if (digest.n != strlen(ref->digest) || !digest_is_valid(ref->digest))
            return "what follows \"@\" must be sha256: and 64 lower-case hex digits";
        name->n = (size_t)(at - name->p);
    }
    const char *colon = memrchr(name->p, ':', name->n);
    struct slice tag = {0};
    if (colon)
        tag = (struct slice){colon + 1, name->n - (size_t)(colon + 1 - name->p)};
    if (colon && !memchr(tag.p, '/', tag.n)) {
        if (!is_tag(tag))
            return "the tag may hold letters, digits, \"_\", \".\" and \"-\", at most 128";
        copy(tag, ref->tag, sizeof ref->tag);
        name->n = (size_t)(colon - name->p);
    } else if (!at) {
        copy(SLICE_LIT("latest"), ref->tag, sizeof ref->tag);
    }
    return NULL;
}

static const char *take_registry(struct slice *name, struct reference *ref) {
    struct slice registry = SLICE_LIT(DEFAULT_REGISTRY);
    if (split_registry(name, &registry) &&
        (registry.n >= sizeof ref->registry || !is_registry(registry)))
        return "the registry before the first \"/\" is not HOST or HOST:PORT";
    if (slice_eq_nocase(registry, SLICE_LIT(OLD_HUB_NAME)))
        registry = SLICE_LIT(DEFAULT_REGISTRY);
    copy(registry, ref->registry, sizeof ref->registry);
    for (char *c = ref->registry; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return NULL;
}

static const char *take_repository(struct slice name, struct reference *ref) {
    bool library = str_eq(ref->registry, DEFAULT_REGISTRY) && !memchr(name.p, '/', name.n);
    for (size_t i = 0; i < name.n; i++)
        if (isupper((unsigned char)name.p[i]))
            return "the repository must be lower case";
    if (name.n == 0 || !is_repository(name))
        return "the repository is made of parts of a-z and 0-9, joined by \".\", \"_\", \"-\" or "
               "\"/\"";
    if (strlen(ref->registry) + 1 + name.n + (library ? strlen("library/") : 0) > MAX_NAME)
        return "the name is too long";
    snprintf(ref->repository, sizeof ref->repository, "%s%.*s", library ? "library/" : "",
             (int)name.n, name.p);
    return NULL;
}

int reference_parse(const char *text, struct reference *ret, struct error *err) {
    struct reference ref = {0};
    struct slice name = slice_of(text);
    const char *why = NULL;
    if (name.n == 0)
        return error_set(err, -EINVAL, "the image reference is empty");
    if (strstr(text, "://"))
        return refuse(err, text, "it must not contain a scheme such as https://");
    if ((why = take_version(&name, &ref)) || (why = take_registry(&name, &ref)) ||
        (why = take_repository(name, &ref)))
        return refuse(err, text, why);
    *ret = ref;
    return 0;
}

const char *reference_version(const struct reference *ref) {
    return *ref->digest ? ref->digest : ref->tag;
}

void reference_format(const struct reference *ref, char *buf, size_t n) {
    snprintf(buf, n, "%s/%s%s%s%s%s", ref->registry, ref->repository, *ref->tag ? ":" : "",
             ref->tag, *ref->digest ? "@" : "", ref->digest);
}
