#include "common/registry/challenge.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/str.h"

static bool is_token_char(char c) { /* RFC 9110 section 5.6.2 */
    return c && (isalnum((unsigned char)c) || strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip(const char *p, const char *set) {
    return p + strspn(p, set);
}

static struct slice take_token(const char **p) {
    const char *start = *p;
    while (is_token_char(**p))
        ++*p;
    return (struct slice){start, (size_t)(*p - start)};
}

/* A token or a quoted string into buf; a value longer than buf is given as "". */
static bool take_value(const char **p, char *buf, size_t size) {
    size_t n = 0;
    if (**p != '"') {
        struct slice token = take_token(p);
        for (; n < token.n && n < size; n++)
            buf[n] = token.p[n];
        buf[n < size ? n : 0] = '\0';
        return token.n > 0;
    }
    for (++*p; **p && **p != '"'; ++*p) {
        if (**p == '\\' && (*p)[1])
            ++*p;
        if (n < size)
            buf[n++] = **p;
    }
    buf[n < size ? n : 0] = '\0';
    if (**p != '"')
        return false;
    ++*p;
    return true;
}

static enum challenge_scheme scheme_of(struct slice name) {
    if (slice_eq_nocase(name, SLICE_LIT("Bearer")))
        return CHALLENGE_BEARER;
    return slice_eq_nocase(name, SLICE_LIT("Basic")) ? CHALLENGE_BASIC : CHALLENGE_OTHER;
}

/* One name=value of `c`; false when the value is not well formed. */
static bool take_parameter(struct challenge *c, struct slice name, const char **p) {
    char ignored[1];
    if (slice_eq_nocase(name, SLICE_LIT("realm")))
        return take_value(p, c->realm, sizeof c->realm);
    if (slice_eq_nocase(name, SLICE_LIT("service")))
        return take_value(p, c->service, sizeof c->service);
    if (slice_eq_nocase(name, SLICE_LIT("error")))
        return take_value(p, c->error, sizeof c->error);
    return take_value(p, ignored, sizeof ignored);
}

/* Past a token68 ("Negotiate YII=="), which stands alone; where it was when there is none. */
static const char *skip_token68(const char *p) {
    const char *end = p;
    while (is_token_char(*end) || *end == '/')
        end++;
    end = skip(end, "=");
    const char *next = skip(end, " \t");
    return *next == ',' || !*next ? end : p;
}

/* A list of "scheme", "scheme token68" and "name=value", all parted by commas: a name=value belongs
 * to the scheme before it. */
size_t challenge_parse(const char *value, struct challenge *ret, size_t max) {
    size_t count = 0;
    for (const char *p = skip(value, " \t,"); *p; p = skip(p, " \t,")) {
        struct slice name = take_token(&p);
        const char *after = skip(p, " \t");
        if (name.n == 0)
            return count;
        if (*after == '=') {
            p = skip(after + 1, " \t");
            if (count == 0)
                return 0;
            if (!take_parameter(&ret[count - 1], name, &p))
                return count - 1; /* half a challenge is none */
        } else {
            if (count == max)
                return count;
            ret[count++] = (struct challenge){.scheme = scheme_of(name)};
            p = skip_token68(after);
        }
    }
    return count;
}
