/* labels.c - label_selector, Kubernetes' grammar as Cloud Controller takes it: requirements that
 * all must hold, "k", "!k", "k=v", "k==v", "k!=v", "k in (a,b)", "k notin (a,b)", comma between
 * them. */
#include <ctype.h>

#include "controller/api/internal.h"

static const char *skip_blanks(const char *p) {
    return p + strspn(p, " \t");
}

static size_t word_length(const char *p) {
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || (p[n] && strchr("-_./", p[n])))
        n++;
    return n;
}

/* Moves *p behind a word and gives a copy of it; NULL: there is none. */
static char *take_word(const char **p) {
    const char *at = skip_blanks(*p);
    size_t n = word_length(at);
    *p = skip_blanks(at + n);
    return n ? str_ndup(at, n) : NULL;
}

static bool take(const char **p, const char *text) {
    size_t n = strlen(text);
    if (strncmp(*p, text, n) != 0 || (isalpha((unsigned char)*text) && word_length(*p) != n))
        return false;
    *p = skip_blanks(*p + n);
    return true;
}

static bool add_value(struct label_wish *w, char *value) {
    if (w->n == LABEL_VALUES_MAX || !value) {
        free(value);
        return false;
    }
    w->values[w->n++] = value;
    return true;
}

/* "(a, b)" */
static bool take_set(const char **p, struct label_wish *w) {
    if (!take(p, "("))
        return false;
    do {
        if (!add_value(w, take_word(p)))
            return false;
    } while (take(p, ","));
    return take(p, ")");
}

/* A value may be empty: "k=". */
static bool take_value(const char **p, struct label_wish *w) {
    char *value = take_word(p);
    return add_value(w, value ? value : str_dup(""));
}

static bool take_requirement(const char **p, struct label_wish *w, struct store_label *ret) {
    *p = skip_blanks(*p);
    ret->absent = **p == '!' && take(p, "!");
    if (!(w->key = take_word(p)))
        return false;
    bool ok = true;
    if (ret->absent)
        ok = **p == ',' || !**p;
    else if (take(p, "!=")) {
        ret->absent = true;
        ok = take_value(p, w);
    } else if (take(p, "==") || take(p, "=")) {
        ok = take_value(p, w);
    } else if (take(p, "notin")) {
        ret->absent = true;
        ok = take_set(p, w);
    } else if (take(p, "in")) {
        ok = take_set(p, w);
    }
    ret->key = w->key;
    ret->values = (const char *const *)w->values;
    ret->n = w->n;
    return ok;
}

int labels_parse(struct call *c, const char *text, struct label_wishes *wishes,
                 struct store_query *query) {
    const char *p = text;
    do {
        size_t i = query->label_count;
        if (i == LABELS_MAX)
            return fail(c, CC_BAD_QUERY_PARAMETER,
                        "The query parameter is invalid: Too many label_selector requirements");
        query->label_count++;
        if (!take_requirement(&p, &wishes->v[i], &wishes->labels[i]))
            return fail(c, CC_BAD_QUERY_PARAMETER,
                        "The query parameter is invalid: Invalid label_selector value");
    } while (take(&p, ","));
    if (*p)
        return fail(c, CC_BAD_QUERY_PARAMETER,
                    "The query parameter is invalid: Invalid label_selector value");
    query->labels = wishes->labels;
    return 0;
}

void label_wishes_fini(struct label_wishes *wishes) {
    for (size_t i = 0; i < LABELS_MAX; i++) {
        free(wishes->v[i].key);
        for (size_t j = 0; j < wishes->v[i].n; j++)
            free(wishes->v[i].values[j]);
    }
}
