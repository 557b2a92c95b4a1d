/* query.h - query strings, and the list requests that are made of them. */
#ifndef CONTROLLER_API_QUERY_H
#define CONTROLLER_API_QUERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/store/store.h"

struct app_row;
struct call;
struct query_param;

#define LIST_FILTERS_MAX 12
#define LIST_ADDED_MAX   2    /* of them by listing_add() */
#define LIST_VALUES_MAX  5000 /* values of one filter */
#define PER_PAGE_DEFAULT 50   /* cc: v3 pagination */
#define PER_PAGE_MAX     5000

/* "%41" -> "A", "+" -> " "; owned. NULL: out of memory. Bad escapes stay as they are. */
char *url_decode(const char *s, size_t n, bool plus_is_space);
/* Appends s with everything but unreserved characters escaped (RFC 3986 section 2.3). */
struct strbuf;
void url_encode(struct strbuf *out, const char *s);

/* Splits "a=1&b=2" into c->queries; 400 when it is too long or no UTF-8. */
int query_parse(struct call *c);

/* The requirements of a label_selector (labels.c), in the store's form and what that points to. */
#define LABELS_MAX       16
#define LABEL_VALUES_MAX 50
struct label_wishes {
    struct store_label labels[LABELS_MAX];
    struct label_wish {
        char *key, *values[LABEL_VALUES_MAX]; /* owned */
        size_t n;
    } v[LABELS_MAX];
};
/* Adds to query->labels; 400 when the text is no selector. */
int labels_parse(struct call *c, const char *text, struct label_wishes *wishes,
                 struct store_query *query);
void label_wishes_fini(struct label_wishes *wishes);

/* created_ats and updated_ats of one request, in the store's form and what that points to. */
#define TIMES_MAX 8
#define SPANS_MAX 50 /* values of one of them */
struct time_wishes {
    struct store_times times[TIMES_MAX];
    struct store_span spans[TIMES_MAX][SPANS_MAX];
};

/* One request for a list. */
struct listing {
    struct store_query query; /* filters point into the members below */
    struct store_filter filters[LIST_FILTERS_MAX];
    char **values[LIST_FILTERS_MAX]; /* owned */
    struct label_wishes *wishes;     /* owned; NULL: no label_selector */
    struct time_wishes *times;       /* owned; NULL: no created_ats, no updated_ats */
    uint64_t page, per_page;
};
void listing_fini(struct listing *l);

/* "created_ats=T,T", "updated_ats[gte]=T" (times.c): adds to l->query.times. 0, -1 with a 400, or
 * 1: it is none of these. */
int times_parse(struct call *c, struct listing *l, const struct query_param *q);

/* Reads page, per_page, order_by, created_ats, updated_ats and the filters of these names
 * (NULL-terminated); the name "label_selector" is for resources with labels. Another parameter, but
 * for the ones in `also` (NULL-terminated or NULL), is a 400: "current" may have any value,
 * "include=space" only those that are listed so; "order_by=name" is one more order than the usual
 * two. Shows the caller only what is for its eyes. */
int listing_parse(struct call *c, struct listing *l, const char *const *filters,
                  const char *const *also);
/* Whether `value` is among the values of a parameter: "include=space,space.organization". */
bool query_lists(const struct call *c, const char *key, const char *value);
/* Begins a filter of at most `max` values, for the caller to fill: l->values[*ret_slot], and count
 * in l->filters[*ret_slot].n. 0 or -1. */
int listing_begin_filter(struct call *c, struct listing *l, const char *key, size_t max,
                         size_t *ret_slot);
/* Adds one more filter with one value, that the path gave; borrowed. At most LIST_ADDED_MAX. */
void listing_add(struct listing *l, const char *key, const char *const *value);
/* As listing_parse(), of the app that c->params[0] names, which the caller may read; fills `app`.
 */
int listing_of_app(struct call *c, struct listing *l, const char *const *filters,
                   const char *const *also, struct app_row *app);
/* A JSON list of show(c, &row) of each row; NULL: out of memory. The bare one: of show(&row). */
#define rows_json(c, rows, show)   rows_json_((rows), (show)((c), &(rows)->v[i_]))
#define rows_json_bare(rows, show) rows_json_((rows), (show)(&(rows)->v[i_]))
#define rows_json_(rows, one)                                                                      \
    ({                                                                                             \
        json_t *list_ = json_array();                                                              \
        for (size_t i_ = 0; list_ && i_ < (rows)->n; i_++)                                         \
            if (json_array_append_new(list_, (one))) {                                             \
                json_decref(list_);                                                                \
                list_ = NULL;                                                                      \
            }                                                                                      \
        list_;                                                                                     \
    })

/* The envelope; takes `resources` (NULL: out of memory), and `included` (NULL: none). */
int reply_list(struct call *c, const struct listing *l, uint64_t total, json_t *resources,
               json_t *included);
/* The same of resources that are text already: what stands between the brackets. */
int reply_list_text(struct call *c, const struct listing *l, uint64_t total,
                    const struct strbuf *resources, json_t *included);
/* Answers with the page that `l` asks for: rows of this kind, each as show(c, &row). */
#define reply_rows(c, l, kind, show)                                                               \
    ({                                                                                             \
        _cleanup_(kind##_rows_fini) struct kind##_rows page_ = {0};                                \
        struct error err_ = {0};                                                                   \
        store_##kind##_list((c)->api->deps.store, &(l)->query, &page_, &err_) < 0                  \
            ? fail_internal((c), &err_)                                                            \
            : reply_list((c), (l), page_.total, rows_json((c), &page_, show), NULL);               \
    })
/* An empty list, whatever is asked for. */
int reply_empty_list(struct call *c);

#endif
