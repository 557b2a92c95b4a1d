/* internal.h - what the files of this folder share: statements, sealing, and the one description of
 * a resource (struct table) from which its typed functions come. */
#ifndef CONTROLLER_STORE_INTERNAL_H
#define CONTROLLER_STORE_INTERNAL_H

#include <sqlite3.h>

#include "common/base/metrics.h"
#include "common/base/str.h"
#include "controller/store/store.h"

#define SEAL_KEY_SIZE 32 /* AES-256 */

struct statement;

struct store {
    sqlite3 *db;                  /* owned */
    int lock_fd;                  /* owned; held exclusively while open */
    struct statement *statements; /* owned; prepared ones by their SQL */
    unsigned statement_count;
    unsigned char seal_key[SEAL_KEY_SIZE];
    uint64_t last_ns; /* see store_now_ns() */
    uint64_t failures;
    struct histogram commits;
    bool in_transaction;
};

/* --- sql.c ---------------------------------------------------------------------------------------
 */

/* A prepared statement, reset and without bindings; borrowed from the cache until the next
 * sql_prepare(), so a nested one must finish first: finish with sql_done(). */
int sql_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct error *err);
void sql_donep(sqlite3_stmt **stmt); /* guard: resets it and drops its bindings */
/* One step: 1 a row, 0 done, or an error. `what` is for its text. */
int sql_step(struct store *s, sqlite3_stmt *stmt, const char *what, struct error *err);
/* Runs statements without parameters. */
int sql_exec(struct store *s, const char *sql, struct error *err);
/* The errno and text for the last failure on this connection. */
int sql_fail(struct store *s, const char *what, struct error *err);

int sql_bind_text(sqlite3_stmt *stmt, int i, const char *text); /* NULL: SQL's NULL; borrowed */
/* Binds all and runs it: for statements that return no row. Texts only. *ret_changes may be NULL.
 */
int sql_run(struct store *s, const char *sql, const char *const *texts, size_t n, int *ret_changes,
            struct error *err);
void sql_forget_all(struct store *s); /* before closing */

/* --- seal.c --------------------------------------------------------------------------------------
 */

/* nonce (12) || ciphertext || tag (16), AES-256-GCM; `place` and `guid` are authenticated, so a
 * sealed value opens only where it was written. *ret owned. */
int seal(const unsigned char key[SEAL_KEY_SIZE], const char *place, const char *guid,
         const void *plain, size_t n, unsigned char **ret, size_t *ret_n, struct error *err);
/* *ret is owned and NUL-terminated beyond *ret_n. -EBADMSG. */
int seal_open(const unsigned char key[SEAL_KEY_SIZE], const char *place, const char *guid,
              const void *sealed, size_t n, char **ret, size_t *ret_n, struct error *err);

/* --- rekey.c -------------------------------------------------------------------------------------
 */

/* All that `from` sealed is sealed with the store's own key then. */
int rekey(struct store *s, const unsigned char from[SEAL_KEY_SIZE], struct error *err);

/* apps.c: what this version of a process runs, from the first column of a row. A version's is the
 * same wherever it is kept. */
int run_info_open(struct store *s, const char *version, sqlite3_stmt *stmt, void **ret,
                  size_t *ret_n, struct error *err);

/* --- migrations.c --------------------------------------------------------------------------------
 */

int migrations_latest(void);
/* Brings the open database to version `to` (<= latest), each step in a transaction of its own. */
int migrations_apply(struct store *s, int to, struct error *err);

/* --- table.c -------------------------------------------------------------------------------------
 */

enum column_type {
    COLUMN_GUID,   /* char[GUID_SIZE]; empty is NULL */
    COLUMN_TEXT,   /* char * */
    COLUMN_SEALED, /* char * */
    COLUMN_U64,    /* uint64_t */
    COLUMN_I64,    /* int64_t */
    COLUMN_BOOL,   /* bool */
    COLUMN_BLOB,   /* void *, and size_t at size_offset */
};

struct column {
    const char *name;
    enum column_type type;
    size_t offset, size_offset;
    const char *read_only; /* an expression over `joins`; NULL: a column of the table itself */
};

/* SQL is `before IN (...) after`; `partial`: a value need only stand somewhere in `before`, in
 * whatever case. The table itself is called t. */
struct filter {
    const char *key, *before, *after;
    bool partial;
};

struct table {
    const char *name;  /* "apps" */
    const char *thing; /* "app", for texts */
    size_t row_size;
    const struct column *columns; /* guid, created_ns, updated_ns come first, from COLUMN_HEAD */
    size_t column_count;
    const char *joins; /* "LEFT JOIN spaces s ON s.guid = t.space_guid" or NULL */
    const struct filter *filters;
    size_t filter_count;
    const char *name_order;  /* expression for order "name", or NULL */
    const char *state_order; /* expression for order "state", or NULL */
    const char *visible;     /* condition with ?U for the user's guid, or NULL: visible to all */
};

#define COLUMN(row, type, member)                                                                  \
    { #member, type, offsetof(struct row, member), 0, NULL }
#define COLUMN_READ(row, type, member, expression)                                                 \
    { #member, type, offsetof(struct row, member), 0, expression }
#define COLUMN_BYTES(row, member)                                                                  \
    { #member, COLUMN_BLOB, offsetof(struct row, member), offsetof(struct row, member##_n), NULL }
#define COLUMN_HEAD(row)                                                                           \
    COLUMN(row, COLUMN_GUID, guid), COLUMN(row, COLUMN_U64, created_ns),                           \
        COLUMN(row, COLUMN_U64, updated_ns)
#define COLUMN_METADATA(row) COLUMN(row, COLUMN_TEXT, labels), COLUMN(row, COLUMN_TEXT, annotations)

/* The usual visibility of what lies in a space: `space` and `org` are expressions. */
#define VISIBLE_IN_SPACE(space, org)                                                               \
    "(" space " IN (SELECT space_guid FROM roles WHERE user_guid = ?U)"                            \
    " OR " org " IN (SELECT org_guid FROM roles WHERE user_guid = ?U"                              \
    " AND type = 'organization_manager'))"

int table_insert(struct store *s, const struct table *t, void *row, struct error *err);
int table_get(struct store *s, const struct table *t, const char *key, const char *value, void *row,
              struct error *err);
int table_update(struct store *s, const struct table *t, void *row, struct error *err);
int table_delete(struct store *s, const struct table *t, const char *guid, struct error *err);
int table_list(struct store *s, const struct table *t, const struct store_query *q, void **ret,
               size_t *ret_n, uint64_t *ret_total, struct error *err);
void table_row_fini(const struct table *t, void *row);
/* DELETE ... WHERE `column` < `before`. */
int table_prune(struct store *s, const char *table, const char *column, uint64_t before,
                struct error *err);

/* The typed functions of STORE_DECLARE(x) over `static const struct table x##_table`. */
#define STORE_DEFINE(x)                                                                            \
    void x##_row_fini(struct x##_row *row) {                                                       \
        table_row_fini(&x##_table, row);                                                           \
    }                                                                                              \
    void x##_rows_fini(struct x##_rows *rows) {                                                    \
        for (size_t i = 0; i < rows->n; i++)                                                       \
            x##_row_fini(&rows->v[i]);                                                             \
        free(rows->v);                                                                             \
        *rows = (struct x##_rows){0};                                                              \
    }                                                                                              \
    int store_##x##_insert(struct store *s, struct x##_row *row, struct error *err) {              \
        return table_insert(s, &x##_table, row, err);                                              \
    }                                                                                              \
    int store_##x##_get(struct store *s, const char *guid, struct x##_row *ret,                    \
                        struct error *err) {                                                       \
        return table_get(s, &x##_table, "guid", guid, ret, err);                                   \
    }                                                                                              \
    int store_##x##_update(struct store *s, struct x##_row *row, struct error *err) {              \
        return table_update(s, &x##_table, row, err);                                              \
    }                                                                                              \
    int store_##x##_delete(struct store *s, const char *guid, struct error *err) {                 \
        return table_delete(s, &x##_table, guid, err);                                             \
    }                                                                                              \
    int store_##x##_list(struct store *s, const struct store_query *query, struct x##_rows *ret,   \
                         struct error *err) {                                                      \
        void *v = NULL;                                                                            \
        size_t n = 0;                                                                              \
        uint64_t total = 0;                                                                        \
        int r = table_list(s, &x##_table, query, &v, &n, &total, err);                             \
        if (r == 0)                                                                                \
            *ret = (struct x##_rows){v, n, total};                                                 \
        return r;                                                                                  \
    }

#endif
