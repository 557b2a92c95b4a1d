/* table.c - rows to structs and back, from the one description of a resource. All SQL text here is
 * made of our own constants; every value from outside is bound. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "controller/store/internal.h"

static void *at(const void *row, size_t offset) {
    return (char *)row + offset;
}

static const char *row_guid(const void *row) {
    return row; /* STORE_ROW_HEAD */
}

/* The three members of STORE_ROW_HEAD, for stamping. */
struct head {
    STORE_ROW_HEAD;
};

static void place_of(const struct table *t, const struct column *c, char *buf, size_t n) {
    snprintf(buf, n, "%s.%s", t->name, c->name);
}

/* --- one value
 * ------------------------------------------------------------------------------------
 */

static int bind_sealed(struct store *s, const struct table *t, const struct column *c,
                       sqlite3_stmt *stmt, int i, const void *row, struct error *err) {
    char place[96];
    const char *text = *(char **)at(row, c->offset);
    unsigned char *sealed = NULL;
    size_t n = 0;
    if (!text) {
        sqlite3_bind_null(stmt, i);
        return 0;
    }
    place_of(t, c, place, sizeof place);
    int r = seal(s->seal_key, place, row_guid(row), text, strlen(text), &sealed, &n, err);
    if (r < 0)
        return r;
    return sqlite3_bind_blob64(stmt, i, sealed, n, free) ? sql_fail(s, "binding a value", err) : 0;
}

static int bind_column(struct store *s, const struct table *t, const struct column *c,
                       sqlite3_stmt *stmt, int i, const void *row, struct error *err) {
    const void *p = at(row, c->offset);
    int r = 0;
    switch (c->type) {
    case COLUMN_GUID:
        r = sql_bind_text(stmt, i, *(const char *)p ? p : NULL);
        break;
    case COLUMN_TEXT:
        r = sql_bind_text(stmt, i, *(char *const *)p);
        break;
    case COLUMN_SEALED:
        return bind_sealed(s, t, c, stmt, i, row, err);
    case COLUMN_U64:
        r = sqlite3_bind_int64(stmt, i, (sqlite3_int64) * (const uint64_t *)p);
        break;
    case COLUMN_I64:
        r = sqlite3_bind_int64(stmt, i, *(const int64_t *)p);
        break;
    case COLUMN_BOOL:
        r = sqlite3_bind_int(stmt, i, *(const bool *)p);
        break;
    case COLUMN_BLOB:
        r = sqlite3_bind_blob64(stmt, i, *(void *const *)p, *(size_t *)at(row, c->size_offset),
                                SQLITE_STATIC);
        break;
    }
    return r ? sql_fail(s, "binding a value", err) : 0;
}

static int read_bytes(sqlite3_stmt *stmt, int i, void **ret, size_t *ret_n, struct error *err) {
    if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
        return 0;
    const void *p = sqlite3_column_blob(stmt, i);
    size_t n = (size_t)sqlite3_column_bytes(stmt, i);
    char *copy = malloc(n + 1);
    if (!copy || (n && !p)) {
        free(copy);
        return error_set(err, -ENOMEM, "out of memory reading a row");
    }
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    *ret = copy;
    if (ret_n)
        *ret_n = n;
    return 0;
}

static int read_column(struct store *s, const struct table *t, const struct column *c,
                       sqlite3_stmt *stmt, int i, void *row, struct error *err) {
    void *p = at(row, c->offset);
    char place[96];
    switch (c->type) {
    case COLUMN_GUID: {
        const char *text = (const char *)sqlite3_column_text(stmt, i);
        snprintf(p, GUID_SIZE, "%s", text ? text : "");
        return 0;
    }
    case COLUMN_TEXT:
        return read_bytes(stmt, i, p, NULL, err);
    case COLUMN_SEALED:
        if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
            return 0;
        place_of(t, c, place, sizeof place);
        return seal_open(s->seal_key, place, row_guid(row), sqlite3_column_blob(stmt, i),
                         (size_t)sqlite3_column_bytes(stmt, i), p, NULL, err);
    case COLUMN_U64:
        *(uint64_t *)p = (uint64_t)sqlite3_column_int64(stmt, i);
        return 0;
    case COLUMN_I64:
        *(int64_t *)p = sqlite3_column_int64(stmt, i);
        return 0;
    case COLUMN_BOOL:
        *(bool *)p = sqlite3_column_int(stmt, i) != 0;
        return 0;
    case COLUMN_BLOB:
        return read_bytes(stmt, i, p, at(row, c->size_offset), err);
    }
    return 0;
}

void table_row_fini(const struct table *t, void *row) {
    for (size_t i = 0; i < t->column_count; i++) {
        const struct column *c = &t->columns[i];
        if (c->type != COLUMN_TEXT && c->type != COLUMN_SEALED && c->type != COLUMN_BLOB)
            continue;
        char **p = at(row, c->offset);
        if (*p && c->type == COLUMN_SEALED)
            mem_wipe(*p, strlen(*p));
        free(*p);
    }
    memset(row, 0, t->row_size);
}

static int read_row(struct store *s, const struct table *t, sqlite3_stmt *stmt, void *row,
                    struct error *err) {
    memset(row, 0, t->row_size);
    for (size_t i = 0; i < t->column_count; i++) {
        int r = read_column(s, t, &t->columns[i], stmt, (int)i, row, err);
        if (r < 0) {
            table_row_fini(t, row);
            return r;
        }
    }
    return 0;
}

/* --- one row
 * --------------------------------------------------------------------------------------
 */

static void put_select(struct strbuf *sql, const struct table *t) {
    strbuf_puts(sql, "SELECT ");
    for (size_t i = 0; i < t->column_count; i++) {
        const struct column *c = &t->columns[i];
        strbuf_puts(sql, i ? ", " : "");
        if (c->read_only)
            strbuf_puts(sql, c->read_only);
        else
            strbuf_printf(sql, "t.%s", c->name);
    }
    strbuf_printf(sql, " FROM %s t %s", t->name, t->joins ? t->joins : "");
}

static int prepare(struct store *s, const struct strbuf *sql, sqlite3_stmt **ret,
                   struct error *err) {
    if (sql->failed)
        return error_set(err, -ENOMEM, "out of memory preparing a statement");
    return sql_prepare(s, sql->p, ret, err);
}

/* Binds the table's own columns from parameter 1 on; returns the next parameter's number. */
static int bind_row(struct store *s, const struct table *t, sqlite3_stmt *stmt, const void *row,
                    struct error *err) {
    int next = 1;
    for (size_t i = 0; i < t->column_count; i++) {
        if (t->columns[i].read_only)
            continue;
        int r = bind_column(s, t, &t->columns[i], stmt, next++, row, err);
        if (r < 0)
            return r;
    }
    return next;
}

int table_insert(struct store *s, const struct table *t, void *row, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf sql = {0}, values = {0};
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    struct head *head = row;
    if (!head->guid[0])
        guid_new(head->guid);
    head->created_ns = head->updated_ns = store_now_ns(s);
    strbuf_printf(&sql, "INSERT INTO %s (", t->name);
    for (size_t i = 0; i < t->column_count; i++) {
        if (t->columns[i].read_only)
            continue;
        strbuf_printf(&sql, "%s%s", i ? ", " : "", t->columns[i].name);
        strbuf_puts(&values, i ? ", ?" : "?");
    }
    strbuf_printf(&sql, ") VALUES (%s)", values.failed ? "" : values.p);
    int r = prepare(s, &sql, &stmt, err);
    if (r < 0 || (r = bind_row(s, t, stmt, row, err)) < 0)
        return r;
    return sql_step(s, stmt, t->thing, err);
}

int table_get(struct store *s, const struct table *t, const char *key, const char *value, void *row,
              struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf sql = {0};
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    put_select(&sql, t);
    strbuf_printf(&sql, " WHERE t.%s = ?", key);
    int r = prepare(s, &sql, &stmt, err);
    if (r < 0)
        return r;
    if (sql_bind_text(stmt, 1, value))
        return sql_fail(s, "binding a value", err);
    if ((r = sql_step(s, stmt, t->thing, err)) < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "no %s %s", t->thing, value);
    return read_row(s, t, stmt, row, err);
}

int table_update(struct store *s, const struct table *t, void *row, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf sql = {0};
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    struct head *head = row;
    head->updated_ns = store_now_ns(s);
    strbuf_printf(&sql, "UPDATE %s SET ", t->name);
    for (size_t i = 0; i < t->column_count; i++)
        if (!t->columns[i].read_only)
            strbuf_printf(&sql, "%s%s = ?", i ? ", " : "", t->columns[i].name);
    strbuf_puts(&sql, " WHERE guid = ?");
    int r = prepare(s, &sql, &stmt, err);
    if (r < 0 || (r = bind_row(s, t, stmt, row, err)) < 0)
        return r;
    if (sql_bind_text(stmt, r, head->guid))
        return sql_fail(s, "binding a value", err);
    if ((r = sql_step(s, stmt, t->thing, err)) < 0)
        return r;
    if (sqlite3_changes(s->db) == 0)
        return error_set(err, -ENOENT, "no %s %s", t->thing, head->guid);
    return 0;
}

int table_delete(struct store *s, const struct table *t, const char *guid, struct error *err) {
    char sql[96];
    int changes = 0;
    snprintf(sql, sizeof sql, "DELETE FROM %s WHERE guid = ?", t->name);
    int r = sql_run(s, sql, &guid, 1, &changes, err);
    if (r < 0)
        return r;
    return changes ? 0 : error_set(err, -ENOENT, "no %s %s", t->thing, guid);
}

int table_prune(struct store *s, const char *table, const char *column, uint64_t before,
                struct error *err) {
    char sql[96];
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    snprintf(sql, sizeof sql, "DELETE FROM %s WHERE %s < ?", table, column);
    int r = sql_prepare(s, sql, &stmt, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)before);
    return sql_step(s, stmt, table, err);
}

/* --- lists
 * ----------------------------------------------------------------------------------------
 */

static const struct filter *find_filter(const struct table *t, const char *key) {
    for (size_t i = 0; i < t->filter_count; i++)
        if (str_eq(t->filters[i].key, key))
            return &t->filters[i];
    return NULL;
}

static bool has_labels(const struct table *t) {
    for (size_t i = 0; i < t->column_count; i++)
        if (str_eq(t->columns[i].name, "labels"))
            return true;
    return false;
}

/* The number of the parameter for a label's key; the next one is for its values. */
static size_t label_parameter(const struct store_query *q, size_t i) {
    return q->filter_count + 4 + 2 * i;
}

static void put_label(struct strbuf *sql, const struct store_query *q, size_t i) {
    size_t at = label_parameter(q, i);
    strbuf_printf(sql, "%sEXISTS (SELECT 1 FROM json_each(t.labels) l WHERE l.key = ?%zu",
                  q->labels[i].absent ? "NOT " : "", at);
    if (q->labels[i].n)
        strbuf_printf(sql, " AND l.value IN (SELECT value FROM json_each(?%zu))", at + 1);
    strbuf_puts(sql, ")");
}

/* The number of the parameter for the first span of times[i]; each span has two. */
static size_t time_parameter(const struct store_query *q, size_t i) {
    size_t at = label_parameter(q, q->label_count);
    for (size_t j = 0; j < i; j++)
        at += 2 * q->times[j].n;
    return at;
}

static void put_times(struct strbuf *sql, const struct store_query *q, size_t i) {
    const struct store_times *times = &q->times[i];
    const char *column = times->updated ? "t.updated_ns" : "t.created_ns";
    size_t at = time_parameter(q, i);
    strbuf_puts(sql, times->n ? "(" : "(0");
    for (size_t j = 0; j < times->n; j++, at += 2)
        strbuf_printf(sql, "%s(%s >= ?%zu AND %s < ?%zu)", j ? " OR " : "", column, at, column,
                      at + 1);
    strbuf_puts(sql, ")");
}

/* Filters have the parameters 1..n, the user n+1, limit and offset n+2 and n+3, then come labels
 * and times. */
static int put_where(struct strbuf *sql, const struct table *t, const struct store_query *q,
                     struct error *err) {
    const char *and = " WHERE ";
    for (size_t i = 0; i < q->filter_count; i++, and = " AND ") {
        const struct filter *f = find_filter(t, q->filters[i].key);
        if (!f)
            return error_set(err, -EINVAL, "no filter %s", q->filters[i].key);
        strbuf_puts(sql, and);
        if (f->partial) {
            strbuf_printf(sql,
                          "EXISTS (SELECT 1 FROM json_each(?%zu) part"
                          " WHERE instr(lower(%s), lower(part.value)))",
                          i + 1, f->before);
            continue;
        }
        strbuf_puts(sql, f->before);
        if (q->filters[i].n == 1)
            strbuf_printf(sql, " = ?%zu", i + 1);
        else
            strbuf_printf(sql, " IN (SELECT value FROM json_each(?%zu))", i + 1);
        strbuf_puts(sql, f->after ? f->after : "");
    }
    if (q->label_count && !has_labels(t))
        return error_set(err, -EINVAL, "no labels of a %s", t->thing);
    for (size_t i = 0; i < q->label_count; i++, and = " AND ") {
        strbuf_puts(sql, and);
        put_label(sql, q, i);
    }
    for (size_t i = 0; i < q->time_count; i++, and = " AND ") {
        strbuf_puts(sql, and);
        put_times(sql, q, i);
    }
    if (!q->visible_to || !t->visible)
        return 0;
    strbuf_puts(sql, and);
    for (const char *p = t->visible; *p;) {
        const char *user = strstr(p, "?U");
        strbuf_add(sql, p, user ? (size_t)(user - p) : strlen(p));
        if (!user)
            break;
        strbuf_printf(sql, "?%zu", q->filter_count + 1);
        p = user + 2;
    }
    return 0;
}

/* As a JSON list, for json_each(). */
static int bind_list(struct store *s, sqlite3_stmt *stmt, int i, const char *what,
                     const char *const *values, size_t n, struct error *err) {
    json_t *list = json_array();
    for (size_t j = 0; j < n; j++)
        if (json_array_append_new(list, json_string(values[j]))) {
            json_decref(list);
            return error_set(err, -EINVAL, "a value of %s is not UTF-8", what);
        }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    if (!text)
        return error_set(err, -ENOMEM, "out of memory listing");
    return sqlite3_bind_text(stmt, i, text, -1, free) ? sql_fail(s, "binding a value", err) : 0;
}

static int bind_labels(struct store *s, const struct store_query *q, sqlite3_stmt *stmt,
                       struct error *err) {
    for (size_t i = 0; i < q->label_count; i++) {
        const struct store_label *l = &q->labels[i];
        int at = (int)label_parameter(q, i), r = 0;
        if (sql_bind_text(stmt, at, l->key))
            return sql_fail(s, "binding a value", err);
        if (l->n && (r = bind_list(s, stmt, at + 1, "a label", l->values, l->n, err)) < 0)
            return r;
    }
    return 0;
}

static void bind_times(const struct store_query *q, sqlite3_stmt *stmt) {
    for (size_t i = 0; i < q->time_count; i++)
        for (size_t j = 0; j < q->times[i].n; j++) {
            const struct store_span *span = &q->times[i].spans[j];
            int at = (int)(time_parameter(q, i) + 2 * j);
            sqlite3_bind_int64(stmt, at, (sqlite3_int64)MIN(span->from_ns, (uint64_t)INT64_MAX));
            sqlite3_bind_int64(stmt, at + 1, (sqlite3_int64)MIN(span->to_ns, (uint64_t)INT64_MAX));
        }
}

static int bind_where(struct store *s, const struct table *t, const struct store_query *q,
                      sqlite3_stmt *stmt, struct error *err) {
    for (size_t i = 0; i < q->filter_count; i++) {
        const struct store_filter *f = &q->filters[i];
        if (f->n == 1 && !find_filter(t, f->key)->partial) {
            if (sql_bind_text(stmt, (int)i + 1, f->values[0]))
                return sql_fail(s, "binding a value", err);
            continue;
        }
        int r = bind_list(s, stmt, (int)i + 1, f->key, f->values, f->n, err);
        if (r < 0)
            return r;
    }
    if (q->visible_to && t->visible && sql_bind_text(stmt, (int)q->filter_count + 1, q->visible_to))
        return sql_fail(s, "binding a value", err);
    bind_times(q, stmt);
    return bind_labels(s, q, stmt, err);
}

/* Expressions over the table itself begin with "t." or a parenthesis; others need the joins. */
static bool is_own(const char *expression) {
    return str_starts(expression, "t.") || *expression == '(';
}

/* A join of 10,000 rows only to count them costs more than the page that is shown. */
static bool counts_alone(const struct table *t, const struct store_query *q) {
    if (q->visible_to && t->visible)
        return false;
    for (size_t i = 0; i < q->filter_count; i++) {
        const struct filter *f = find_filter(t, q->filters[i].key);
        if (f && !is_own(f->before))
            return false;
    }
    return true;
}

static int count_rows(struct store *s, const struct table *t, const struct store_query *q,
                      uint64_t *ret, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf sql = {0};
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    strbuf_printf(&sql, "SELECT count(*) FROM %s t %s", t->name,
                  t->joins && !counts_alone(t, q) ? t->joins : "");
    int r = put_where(&sql, t, q, err);
    if (r < 0 || (r = prepare(s, &sql, &stmt, err)) < 0 ||
        (r = bind_where(s, t, q, stmt, err)) < 0 || (r = sql_step(s, stmt, t->thing, err)) < 0)
        return r;
    *ret = (uint64_t)sqlite3_column_int64(stmt, 0);
    return 0;
}

static bool paged(const struct store_query *q) {
    return q->limit || q->offset;
}

/* Creation order is the order of ids: no index of its own, and no two are equal. */
static int put_order(struct strbuf *sql, const struct table *t, const struct store_query *q,
                     struct error *err) {
    const char *direction = q->descending ? "DESC" : "ASC";
    if (!q->order || str_eq(q->order, "created_at"))
        strbuf_printf(sql, " ORDER BY t.id %s", direction);
    else if (str_eq(q->order, "updated_at"))
        strbuf_printf(sql, " ORDER BY t.updated_ns %s, t.id %s", direction, direction);
    else if (str_eq(q->order, "name") && t->name_order)
        strbuf_printf(sql, " ORDER BY %s %s, t.id %s", t->name_order, direction, direction);
    else if (str_eq(q->order, "state") && t->state_order)
        strbuf_printf(sql, " ORDER BY %s %s, t.id %s", t->state_order, direction, direction);
    else
        return error_set(err, -EINVAL, "no order %s", q->order);
    return 0;
}

static void put_page(struct strbuf *sql, const struct store_query *q) {
    if (paged(q))
        strbuf_printf(sql, " LIMIT ?%zu OFFSET ?%zu", q->filter_count + 2, q->filter_count + 3);
}

static void bind_page(sqlite3_stmt *stmt, const struct store_query *q) {
    int i = (int)q->filter_count + 2;
    if (!paged(q))
        return;
    sqlite3_bind_int64(stmt, i, q->limit ? (sqlite3_int64)MIN(q->limit, (uint64_t)INT64_MAX) : -1);
    sqlite3_bind_int64(stmt, i + 1, (sqlite3_int64)MIN(q->offset, (uint64_t)INT64_MAX));
}

struct page {
    void *v;
    size_t n, cap;
};

static void *page_slot(struct page *page, size_t row_size) {
    if (page->n == page->cap) {
        size_t cap = page->cap ? page->cap * 2 : 16;
        void *grown = mem_resize(page->v, cap, row_size);
        if (!grown)
            return NULL;
        page->v = grown;
        page->cap = cap;
    }
    return (char *)page->v + page->n * row_size;
}

static void page_drop(struct page *page, const struct table *t) {
    for (size_t i = 0; i < page->n; i++)
        table_row_fini(t, (char *)page->v + i * t->row_size);
    free(page->v);
}

/* Far pages: the rows before them are skipped in the table alone, without joining each. */
static int put_list(struct strbuf *sql, const struct table *t, const struct store_query *q,
                    struct error *err) {
    bool skip = q->offset && t->joins && counts_alone(t, q);
    put_select(sql, t);
    if (skip)
        strbuf_printf(sql, " WHERE t.id IN (SELECT t.id FROM %s t", t->name);
    int r = put_where(sql, t, q, err);
    if (r == 0)
        r = put_order(sql, t, q, err);
    put_page(sql, q);
    if (!skip || r < 0)
        return r;
    strbuf_puts(sql, ")");
    return put_order(sql, t, q, err);
}

int table_list(struct store *s, const struct table *t, const struct store_query *q, void **ret,
               size_t *ret_n, uint64_t *ret_total, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf sql = {0};
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    static const struct store_query everything = {0};
    struct page page = {0};
    q = q ? q : &everything;
    int r = q->count ? count_rows(s, t, q, ret_total, err) : 0;
    if (r < 0)
        return r;
    if ((r = put_list(&sql, t, q, err)) < 0 || (r = prepare(s, &sql, &stmt, err)) < 0 ||
        (r = bind_where(s, t, q, stmt, err)) < 0)
        return r;
    bind_page(stmt, q);
    while ((r = sql_step(s, stmt, t->thing, err)) > 0) {
        void *slot = page_slot(&page, t->row_size);
        r = slot ? read_row(s, t, stmt, slot, err)
                 : error_set(err, -ENOMEM, "out of memory listing");
        if (r < 0)
            break;
        page.n++;
    }
    if (r < 0) {
        page_drop(&page, t);
        return r;
    }
    *ret = page.v;
    *ret_n = page.n;
    return 0;
}
