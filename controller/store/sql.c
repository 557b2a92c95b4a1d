/* sql.c - prepared statements, kept by their text, and SQLite's failures as errno. */
#include <errno.h>
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>

#include "controller/store/internal.h"

/* The folder writes a few hundred different texts at most; lists with rare filter sets come and go.
 */
#define STATEMENTS_MAX 400

struct statement {
    char *sql; /* owned; the hash's key */
    sqlite3_stmt *stmt;
    UT_hash_handle hh; /* in order of first use */
};

int sql_fail(struct store *s, const char *what, struct error *err) {
    int full = sqlite3_extended_errcode(s->db), code;
    s->failures += (full & 0xff) != SQLITE_CONSTRAINT;
    switch (full & 0xff) {
    case SQLITE_CONSTRAINT:
        code = full == SQLITE_CONSTRAINT_FOREIGNKEY                                       ? -ENOENT
               : full == SQLITE_CONSTRAINT_UNIQUE || full == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST
                                                                                          : -EINVAL;
        break;
    case SQLITE_NOMEM:
        code = -ENOMEM;
        break;
    case SQLITE_FULL:
        code = -ENOSPC;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = -EBUSY;
        break;
    case SQLITE_READONLY:
        code = -EROFS;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        code = -EUCLEAN;
        break;
    case SQLITE_TOOBIG:
        code = -E2BIG;
        break;
    default:
        code = -EIO;
    }
    return error_set(err, code, "%s: %s", what, sqlite3_errmsg(s->db));
}

static void forget(struct store *s, struct statement *st) {
    HASH_DEL(s->statements, st);
    s->statement_count--;
    sqlite3_finalize(st->stmt);
    free(st->sql);
    free(st);
}

void sql_forget_all(struct store *s) {
    struct statement *st, *next;
    HASH_ITER (hh, s->statements, st, next)
        forget(s, st);
}

/* Makes room by dropping the oldest that nobody is stepping through. */
static void evict(struct store *s) {
    struct statement *st, *next;
    HASH_ITER (hh, s->statements, st, next) {
        if (s->statement_count < STATEMENTS_MAX)
            return;
        if (!sqlite3_stmt_busy(st->stmt))
            forget(s, st);
    }
}

int sql_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct error *err) {
    struct statement *st = NULL;
    HASH_FIND_STR(s->statements, sql, st);
    if (!st) {
        evict(s);
        st = mem_zalloc(sizeof *st);
        char *copy = str_dup(sql);
        if (!st || !copy) {
            free(st);
            free(copy);
            return error_set(err, -ENOMEM, "out of memory preparing a statement");
        }
        if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->stmt, NULL)) {
            free(st);
            free(copy);
            return sql_fail(s, "preparing a statement", err);
        }
        st->sql = copy;
        HASH_ADD_KEYPTR(hh, s->statements, st->sql, strlen(st->sql), st);
        if (!st->hh.tbl) { /* out of memory: not added */
            sqlite3_finalize(st->stmt);
            free(st->sql);
            free(st);
            return error_set(err, -ENOMEM, "out of memory preparing a statement");
        }
        s->statement_count++;
    }
    *ret = st->stmt;
    return 0;
}

void sql_donep(sqlite3_stmt **stmt) {
    if (!*stmt)
        return;
    sqlite3_reset(*stmt);
    sqlite3_clear_bindings(*stmt);
}

int sql_step(struct store *s, sqlite3_stmt *stmt, const char *what, struct error *err) {
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return sql_fail(s, what, err);
    }
}

int sql_exec(struct store *s, const char *sql, struct error *err) {
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL))
        return sql_fail(s, "running a statement", err);
    return 0;
}

int sql_bind_text(sqlite3_stmt *stmt, int i, const char *text) {
    return text ? sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, i);
}

int sql_run(struct store *s, const char *sql, const char *const *texts, size_t n, int *ret_changes,
            struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, sql, &stmt, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        if (sql_bind_text(stmt, (int)i + 1, texts[i]))
            return sql_fail(s, "binding a value", err);
    if ((r = sql_step(s, stmt, "writing", err)) < 0)
        return r;
    if (ret_changes)
        *ret_changes = sqlite3_changes(s->db);
    return 0;
}
