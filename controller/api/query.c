#include "controller/api/query.h"

#include <assert.h>
#include <ctype.h>

#include "controller/api/internal.h"

#define PAGE_MAX 1000000000 /* further than any row is */

static int hex_value(char ch) {
    return isdigit((unsigned char)ch)    ? ch - '0'
           : isxdigit((unsigned char)ch) ? tolower((unsigned char)ch) - 'a' + 10
                                         : -1;
}

char *url_decode(const char *s, size_t n, bool plus_is_space) {
    char *out = malloc(n + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '%' && i + 2 < n && hex_value(s[i + 1]) >= 0 && hex_value(s[i + 2]) >= 0) {
            *to++ = (char)(hex_value(s[i + 1]) << 4 | hex_value(s[i + 2]));
            i += 2;
        } else {
            *to++ = plus_is_space && s[i] == '+' ? ' ' : s[i];
        }
    }
    *to = '\0';
    /* A decoded NUL would cut the text for whoever reads on: it is made visible instead. */
    for (char *p = out; p < to; p++)
        if (!*p)
            *p = '\x01';
    return out;
}

void url_encode(struct strbuf *out, const char *s) {
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            strbuf_putc(out, *s);
        else
            strbuf_printf(out, "%%%02X", (unsigned char)*s);
    }
}

int query_parse(struct call *c) {
    if (strstr(c->query, "%00"))
        return fail(c, CC_BAD_QUERY_PARAMETER, "The query must not hold a NUL");
    for (const char *p = c->query; *p;) {
        size_t n = strcspn(p, "&");
        size_t key_n = strcspn(p, "=&");
        if (n && c->query_count == CALL_QUERY_MAX)
            return fail(c, CC_BAD_QUERY_PARAMETER, "The query has too many parameters");
        if (n) {
            struct query_param *q = &c->queries[c->query_count++];
            q->key = url_decode(p, key_n, true);
            q->value = key_n < n ? url_decode(p + key_n + 1, n - key_n - 1, true) : str_dup("");
            if (!q->key || !q->value)
                return fail_no_memory(c);
            if (!str_is_utf8(q->key, strlen(q->key)) || !str_is_utf8(q->value, strlen(q->value)))
                return fail(c, CC_BAD_QUERY_PARAMETER, "The query is not UTF-8");
        }
        p += n + (p[n] == '&');
    }
    return 0;
}

/* --- lists
 * ----------------------------------------------------------------------------------------
 */

void listing_fini(struct listing *l) {
    for (size_t i = 0; i < LIST_FILTERS_MAX; i++) {
        for (size_t j = 0; l->values[i] && j < l->filters[i].n; j++)
            free(l->values[i][j]);
        free(l->values[i]);
    }
    if (l->wishes)
        label_wishes_fini(l->wishes);
    free(l->wishes);
    free(l->times);
    *l = (struct listing){0};
}

static bool named(const char *const *names, const char *key) {
    for (; names && *names; names++)
        if (str_eq(*names, key))
            return true;
    return false;
}

int listing_begin_filter(struct call *c, struct listing *l, const char *key, size_t max,
                         size_t *ret_slot) {
    size_t slot = l->query.filter_count;
    if (slot == LIST_FILTERS_MAX - LIST_ADDED_MAX || max > LIST_VALUES_MAX)
        return fail(c, CC_BAD_QUERY_PARAMETER, "The query parameter is invalid: too many values");
    if (!(l->values[slot] = mem_calloc(max, sizeof(char *))))
        return fail_no_memory(c);
    l->query.filter_count++;
    l->filters[slot] = (struct store_filter){key, (const char *const *)l->values[slot], 0};
    *ret_slot = slot;
    return 0;
}

/* The comma of a list was escaped as a whole; commas inside a value were escaped once more. */
static int split_values(struct call *c, struct listing *l, const char *key, const char *text) {
    size_t slot, n = 0, max = 1;
    for (const char *p = text; *p; p++)
        max += *p == ',';
    if (listing_begin_filter(c, l, key, max, &slot) < 0)
        return -1;
    for (const char *p = text;;) {
        size_t len = strcspn(p, ",");
        if (!(l->values[slot][n] = url_decode(p, len, true)))
            return fail_no_memory(c);
        l->filters[slot].n = ++n;
        if (!str_is_utf8(l->values[slot][n - 1], strlen(l->values[slot][n - 1])))
            return fail(c, CC_BAD_QUERY_PARAMETER, "The query is not UTF-8");
        if (!p[len])
            return 0;
        p += len + 1;
    }
}

static int parse_count(struct call *c, const char *name, const char *value, uint64_t max,
                       uint64_t *ret) {
    uint64_t n = 0;
    if (parse_u64_slice(slice_of(value), 1, UINT64_MAX, &n) < 0)
        return fail(c, CC_BAD_QUERY_PARAMETER,
                    "The query parameter is invalid: %s must be a positive integer", name);
    if (n > max)
        return fail(c, CC_BAD_QUERY_PARAMETER,
                    "The query parameter is invalid: %s must be between 1 and %llu", name,
                    (unsigned long long)max);
    *ret = n;
    return 0;
}

/* "key=value" of `also`: the value, or NULL. */
static const char *value_of(const char *entry, const char *key) {
    size_t n = strlen(key);
    return strncmp(entry, key, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

/* "'a', 'b'": the values that `also` has for key. */
static void put_values(struct strbuf *out, const char *const *also, const char *key) {
    for (; also && *also; also++)
        if (value_of(*also, key))
            strbuf_printf(out, "%s'%s'", out->n ? ", " : "", value_of(*also, key));
}

static bool has_value(const char *const *also, const char *key, struct slice value) {
    for (; also && *also; also++)
        if (value_of(*also, key) && slice_eq(slice_of(value_of(*also, key)), value))
            return true;
    return false;
}

static int parse_order(struct call *c, struct listing *l, const char *const *also,
                       const char *value) {
    static const char *const always[] = {"order_by=created_at", "order_by=updated_at", NULL};
    l->query.descending = *value == '-';
    value += *value == '-' || *value == '+' || *value == ' ';
    const char *const *lists[] = {always, also};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (const char *const *p = lists[i]; p && *p; p++)
            if (str_eq(value_of(*p, "order_by"), value)) {
                l->query.order = value_of(*p, "order_by");
                return 0;
            }
    _cleanup_(strbuf_fini) struct strbuf orders = {0};
    put_values(&orders, always, "order_by");
    put_values(&orders, also, "order_by");
    return fail(c, CC_BAD_QUERY_PARAMETER,
                "The query parameter is invalid: Order by can only be: %s",
                orders.failed ? "" : orders.p);
}

/* A parameter whose values `also` lists. 1: it lists none. */
static int check_values(struct call *c, const char *const *also, const struct query_param *q) {
    _cleanup_(strbuf_fini) struct strbuf valid = {0};
    put_values(&valid, also, q->key);
    if (!valid.n)
        return 1;
    for (const char *p = q->value;; p++) {
        size_t n = strcspn(p, ",");
        if (!has_value(also, q->key, (struct slice){p, n})) {
            const char *what = str_eq(q->key, "include") ? "included resource" : q->key;
            return fail(c, CC_BAD_QUERY_PARAMETER,
                        "The query parameter is invalid: Invalid %s: '%.*s'. Valid %s%s are: %s",
                        what, (int)MIN(n, 100u), p, what, what == q->key ? " values" : "s",
                        valid.failed ? "" : valid.p);
        }
        p += n;
        if (!*p)
            return 0;
    }
}

static int unknown_parameter(struct call *c, const char *const *filters, const char *const *also,
                             const char *key) {
    _cleanup_(strbuf_fini) struct strbuf valid = {0};
    strbuf_puts(&valid, "'page', 'per_page', 'order_by', 'created_ats', 'updated_ats'");
    for (const char *const *p = filters; *p; p++)
        strbuf_printf(&valid, ", '%s'", *p);
    for (const char *const *p = also; p && *p; p++) {
        size_t n = strcspn(*p, "=");
        if (strncmp(*p, "order_by=", n) != 0 &&
            (p == also || strncmp(p[-1], *p, n + ((*p)[n] == '=')) != 0))
            strbuf_printf(&valid, ", '%.*s'", (int)n, *p);
    }
    return fail(c, CC_BAD_QUERY_PARAMETER,
                "The query parameter is invalid: Unknown query parameter(s): '%.100s'. Valid "
                "parameters are: %s",
                key, valid.failed ? "" : valid.p);
}

static int parse_parameter(struct call *c, struct listing *l, const char *const *filters,
                           const char *const *also, const struct query_param *q) {
    if (str_eq(q->key, "page"))
        return parse_count(c, "Page", q->value, PAGE_MAX, &l->page);
    if (str_eq(q->key, "per_page"))
        return parse_count(c, "Per page", q->value, PER_PAGE_MAX, &l->per_page);
    if (str_eq(q->key, "order_by"))
        return parse_order(c, l, also, q->value);
    if (str_eq(q->key, "label_selector") && named(filters, q->key)) {
        if (!l->wishes && !(l->wishes = mem_zalloc(sizeof *l->wishes)))
            return fail_no_memory(c);
        return labels_parse(c, q->value, l->wishes, &l->query);
    }
    if (named(filters, q->key))
        return split_values(c, l, q->key, q->value);
    if (named(also, q->key))
        return 0;
    int r = times_parse(c, l, q);
    if (r > 0)
        r = check_values(c, also, q);
    return r > 0 ? unknown_parameter(c, filters, also, q->key) : r;
}

int listing_parse(struct call *c, struct listing *l, const char *const *filters,
                  const char *const *also) {
    l->page = 1;
    l->per_page = PER_PAGE_DEFAULT;
    l->query.filters = l->filters;
    for (size_t i = 0; i < c->query_count; i++)
        if (parse_parameter(c, l, filters, also, &c->queries[i]) < 0)
            return -1;
    l->query.limit = l->per_page;
    l->query.offset = (l->page - 1) * l->per_page;
    l->query.count = true;
    l->query.visible_to = visible_to(c);
    return 0;
}

bool query_lists(const struct call *c, const char *key, const char *value) {
    const char *p = call_query(c, key);
    for (; p && *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (slice_eq(slice_of(value), (struct slice){p, n}))
            return true;
        p += n;
    }
    return false;
}

void listing_add(struct listing *l, const char *key, const char *const *value) {
    assert(l->query.filter_count < LIST_FILTERS_MAX); /* split_values() left room */
    l->filters[l->query.filter_count++] = (struct store_filter){key, value, 1};
}

/* The same list at another page. */
static json_t *page_link(struct call *c, const struct listing *l, uint64_t page) {
    _cleanup_(strbuf_fini) struct strbuf url = {0};
    const char *base = call_base(c);
    strbuf_printf(&url, "%s%s?", base ? base : "", c->path);
    for (size_t i = 0; i < c->query_count; i++) {
        const struct query_param *q = &c->queries[i];
        if (str_eq(q->key, "page") || str_eq(q->key, "per_page"))
            continue;
        url_encode(&url, q->key);
        strbuf_putc(&url, '=');
        url_encode(&url, q->value);
        strbuf_putc(&url, '&');
    }
    strbuf_printf(&url, "page=%llu&per_page=%llu", (unsigned long long)page,
                  (unsigned long long)l->per_page);
    return url.failed ? NULL : json_pack("{s:o}", "href", json_text_or_null(url.p));
}

static json_t *pagination(struct call *c, const struct listing *l, uint64_t total) {
    uint64_t pages = MAX((total + l->per_page - 1) / l->per_page, 1);
    return json_pack("{s:I,s:I,s:o,s:o,s:o,s:o}", "total_results", (json_int_t)total, "total_pages",
                     (json_int_t)pages, "first", page_link(c, l, 1), "last", page_link(c, l, pages),
                     "next", l->page < pages ? page_link(c, l, l->page + 1) : json_null(),
                     "previous", l->page > 1 ? page_link(c, l, l->page - 1) : json_null());
}

int reply_list(struct call *c, const struct listing *l, uint64_t total, json_t *resources,
               json_t *included) {
    json_t *body =
        json_pack("{s:o,s:o}", "pagination", pagination(c, l, total), "resources", resources);
    if (included && (!body || json_object_set_new(body, "included", included))) {
        if (!body)
            json_decref(included);
        return json_decref(body), fail_no_memory(c);
    }
    return reply_json(c, 200, body);
}

int reply_list_text(struct call *c, const struct listing *l, uint64_t total,
                    const struct strbuf *resources, json_t *included) {
    json_t *head = pagination(c, l, total);
    char *text = head ? json_dumps(head, JSON_COMPACT) : NULL,
         *more = included ? json_dumps(included, JSON_COMPACT) : NULL;
    bool ok = text && (more || !included) && !resources->failed;
    json_decref(head);
    json_decref(included);
    strbuf_clear(&c->reply);
    if (ok) {
        strbuf_printf(&c->reply, "{\"pagination\":%s,\"resources\":[", text);
        strbuf_add(&c->reply, resources->p, resources->n);
        strbuf_puts(&c->reply, "]");
        if (more)
            strbuf_printf(&c->reply, ",\"included\":%s", more);
        strbuf_puts(&c->reply, "}");
    }
    free(text);
    free(more);
    if (!ok || c->reply.failed)
        return fail_no_memory(c);
    c->reply_type = "application/json; charset=utf-8";
    c->status = 200;
    return 0;
}

int listing_of_app(struct call *c, struct listing *l, const char *const *filters,
                   const char *const *also, struct app_row *app) {
    const char *const *guid = (const char *const *)&c->params[0];
    if (load_app(c, *guid, NEED_READ, app) < 0 || listing_parse(c, l, filters, also) < 0)
        return -1;
    listing_add(l, "app_guids", guid);
    return 0;
}

/* Its filters are not known: what else is asked for finds nothing either way. */
int reply_empty_list(struct call *c) {
    struct listing l = {.page = 1, .per_page = PER_PAGE_DEFAULT};
    const char *page = call_query(c, "page"), *per_page = call_query(c, "per_page");
    if ((page && parse_count(c, "Page", page, PAGE_MAX, &l.page) < 0) ||
        (per_page && parse_count(c, "Per page", per_page, PER_PAGE_MAX, &l.per_page) < 0))
        return -1;
    /* who asks for related resources looks into what holds them */
    json_t *included = call_query(c, "include") ? json_object() : NULL;
    return reply_list(c, &l, 0, json_array(), included);
}
