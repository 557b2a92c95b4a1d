/* list.c - v2's envelopes: filters in `q`, pages, resources with metadata and entity. */
#include <stdio.h>

#include "controller/api/v2/v2.h"

/* --- filters -------------------------------------------------------------------------------------
 */

static const struct v2_filter *find_filter(const struct v2_filter *filters, const char *text,
                                           size_t *ret_n) {
    for (; filters && filters->name; filters++) {
        size_t n = strlen(filters->name);
        if (str_starts(text, filters->name) &&
            (text[n] == ':' || strncmp(text + n, " IN ", 4) == 0)) {
            *ret_n = n;
            return filters;
        }
    }
    return NULL;
}

/* CLI 6.13 joins conditions with ';', which may stand in a value too. */
static size_t condition_end(const struct v2_filter *filters, const char *text) {
    size_t n;
    for (const char *p = text; *p; p++)
        if (*p == ';' && find_filter(filters, p + 1, &n))
            return (size_t)(p - text);
    return strlen(text);
}

static int add_values(struct call *c, struct listing *l, const char *key, const char *text,
                      size_t n, bool many) {
    size_t slot, max = 1;
    for (size_t i = 0; many && i < n; i++)
        max += text[i] == ',';
    if (listing_begin_filter(c, l, key, max, &slot) < 0)
        return -1;
    for (size_t i = 0; i < max; i++) {
        const char *comma = many ? memchr(text, ',', n) : NULL;
        size_t len = comma ? (size_t)(comma - text) : n;
        if (!(l->values[slot][i] = str_ndup(text, len)))
            return fail_no_memory(c);
        l->filters[slot].n = i + 1;
        text += len + (comma != NULL);
        n -= len + (comma != NULL);
    }
    return 0;
}

static int parse_conditions(struct call *c, struct listing *l, const struct v2_filter *filters,
                            const char *text) {
    while (*text) {
        size_t end = condition_end(filters, text), name_n = 0;
        const struct v2_filter *f = find_filter(filters, text, &name_n);
        if (!f)
            return fail_plain(c, CC_BAD_QUERY_PARAMETER);
        bool many = text[name_n] == ' ';
        size_t skip = name_n + (many ? strlen(" IN ") : 1);
        if (skip > end)
            return fail_plain(c, CC_BAD_QUERY_PARAMETER);
        if (add_values(c, l, f->key, text + skip, end - skip, many) < 0)
            return -1;
        text += end + (text[end] == ';');
    }
    return 0;
}

static bool has_names(const struct v2_filter *filters) {
    for (; filters && filters->name; filters++)
        if (str_eq(filters->key, "names"))
            return true;
    return false;
}

static int parse_count(struct call *c, const char *key, uint64_t max, uint64_t *ret) {
    const char *value = call_query(c, key);
    if (value && parse_u64_slice(slice_of(value), 1, max, ret) < 0)
        return fail(c, CC_BAD_QUERY_PARAMETER,
                    "The query parameter is invalid: %s must be between 1 and %llu", key,
                    (unsigned long long)max);
    return 0;
}

int v2_pages_parse(struct call *c, struct listing *l) {
    l->page = 1;
    l->per_page = V2_PAGE_DEFAULT;
    if (parse_count(c, "page", 1000000000, &l->page) < 0 ||
        parse_count(c, "results-per-page", V2_PAGE_MAX, &l->per_page) < 0)
        return -1;
    l->query.limit = l->per_page;
    l->query.offset = (l->page - 1) * l->per_page;
    return 0;
}

int v2_list_parse(struct call *c, struct listing *l, const struct v2_filter *filters) {
    l->query.filters = l->filters;
    for (size_t i = 0; i < c->query_count; i++)
        if (str_eq(c->queries[i].key, "q") &&
            parse_conditions(c, l, filters, c->queries[i].value) < 0)
            return -1;
    if (v2_pages_parse(c, l) < 0)
        return -1;
    if (str_eq(call_query(c, "order-by"), "name") && has_names(filters))
        l->query.order = "name";
    l->query.descending = str_eq(call_query(c, "order-direction"), "desc");
    l->query.count = true;
    l->query.visible_to = visible_to(c);
    return 0;
}

bool v2_deep(const struct call *c) {
    const char *depth = call_query(c, "inline-relations-depth");
    return depth && !str_eq(depth, "0");
}

/* --- answers -------------------------------------------------------------------------------------
 */

/* A path, not a URL: 6.x puts its API's address before it. */
static json_t *page_url(struct call *c, const struct listing *l, uint64_t page) {
    _cleanup_(strbuf_fini) struct strbuf url = {0};
    strbuf_printf(&url, "%s?", c->path);
    for (size_t i = 0; i < c->query_count; i++) {
        const struct query_param *q = &c->queries[i];
        if (str_eq(q->key, "page") || str_eq(q->key, "results-per-page"))
            continue;
        url_encode(&url, q->key);
        strbuf_putc(&url, '=');
        url_encode(&url, q->value);
        strbuf_putc(&url, '&');
    }
    strbuf_printf(&url, "page=%llu&results-per-page=%llu", (unsigned long long)page,
                  (unsigned long long)l->per_page);
    return url.failed ? NULL : json_text_or_null(url.p);
}

int v2_list_reply(struct call *c, const struct listing *l, uint64_t total, json_t *resources) {
    uint64_t pages = MAX((total + l->per_page - 1) / l->per_page, 1);
    return reply_json(c, 200,
                      json_pack("{s:I,s:I,s:o,s:o,s:o}", "total_results", (json_int_t)total,
                                "total_pages", (json_int_t)pages, "prev_url",
                                l->page > 1 ? page_url(c, l, l->page - 1) : json_null(), "next_url",
                                l->page < pages ? page_url(c, l, l->page + 1) : json_null(),
                                "resources", resources));
}

int v2_list_one(struct call *c, const char *name, json_t *(*show)(void)) {
    static const struct v2_filter filters[] = {{"name", "names"}, {NULL, NULL}};
    _cleanup_(listing_fini) struct listing l = {0};
    if (v2_list_parse(c, &l, filters) < 0)
        return -1;
    bool shown = l.page == 1;
    for (size_t i = 0; i < l.query.filter_count; i++)
        shown &= str_eq(l.filters[i].values[0], name);
    return v2_list_reply(c, &l, shown, shown ? json_pack("[o]", show()) : json_array());
}

json_t *v2_resource(const char *kind, const char *guid, uint64_t created_ns, uint64_t updated_ns,
                    json_t *entity) {
    char url[200];
    snprintf(url, sizeof url, "/v2/%s/%s", kind, guid);
    return json_pack("{s:{s:s,s:s,s:o,s:o},s:o}", "metadata", "guid", guid, "url", url,
                     "created_at", json_time(created_ns), "updated_at", json_time(updated_ns),
                     "entity", entity);
}

bool v2_url(json_t *entity, const char *name, const char *kind, const char *guid,
            const char *tail) {
    char url[200];
    snprintf(url, sizeof url, "/v2/%s/%s%s%s", kind, guid, tail ? "/" : "", tail ? tail : "");
    return entity && json_object_set_new(entity, name, json_string(url)) == 0;
}
