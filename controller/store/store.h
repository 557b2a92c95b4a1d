/* store.h - what lasts: the handle, transactions, list queries, settings. One header a group of
 * resources stands beside it (apps.h, droplets.h, routes.h, accounts.h, ...).
 *
 * Every resource `x` is a plain struct x_row and the same five typed functions:
 *
 *     store_x_insert(s, &row, err)    fills guid when empty, created_ns, updated_ns
 *                                     -EEXIST: not unique; -ENOENT: refers to a missing row
 *     store_x_get(s, guid, &row, err) *row is overwritten: zeroed before, or finished; -ENOENT
 *     store_x_update(s, &row, err)    the whole row by its guid; fills updated_ns;
 *                                     -ENOENT, -EEXIST
 *     store_x_delete(s, guid, err)    and what belongs to it; -ENOENT
 *     store_x_list(s, query, &rows, err)
 *
 * `char *` members are owned by the row (x_row_fini); a NULL text is SQL's NULL. `char guid[]`
 * members are empty for none. Members marked "read only" come from other tables and are not
 * written. Members marked "sealed" are encrypted on disk.
 *
 * When an insert, update, delete or commit has returned 0 outside a transaction, or store_commit()
 * has, the change survives a crash of the process and of the machine. Other errors everywhere:
 * -ENOMEM, -EIO, -ENOSPC, -EROFS, -EUCLEAN (damaged file), -EBADMSG (a sealed value does not open).
 *
 * One thread at a time: the loop's. */
#ifndef CONTROLLER_STORE_STORE_H
#define CONTROLLER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/random.h"

struct store;
struct strbuf;

/* Opens `dir` (made when missing, mode 0700): berth.db, and store.key, the key that seals secrets
 * (made with the database). Migrates older versions. -EBUSY: another process has it open. -ENOKEY:
 * the key is missing or another. -ENOTSUP: written by a newer Berth. */
int store_open(struct store **ret, const char *dir, struct error *err);
/* The key in another file: absolute, or relative to `dir`. `previous_path`, unless NULL, is a file
 * with keys of before, one a line: a database that one of them sealed is sealed anew with the key.
 */
int store_open_with_keys(struct store **ret, const char *dir, const char *key_path,
                         const char *previous_path, struct error *err);
void store_free(struct store *s); /* rolls back what was not committed */
DEFINE_FREEP(store)

/* One transaction at a time: -EALREADY when one is open. */
int store_begin(struct store *s, struct error *err);
/* On failure the transaction is rolled back. */
int store_commit(struct store *s, struct error *err);
void store_rollback(struct store *s); /* nothing open: does nothing */
bool store_in_transaction(const struct store *s);
void store_metrics(const struct store *s, struct strbuf *out); /* Prometheus text */

/* Wall clock, but never the same number twice and never backwards: what rows are stamped with. */
uint64_t store_now_ns(struct store *s);

int store_check(struct store *s, struct error *err); /* every page. -EUCLEAN: it is damaged */

/* A consistent copy of the database (without the key) in one new file. Blocks. */
int store_backup(struct store *s, const char *path, struct error *err);
/* The same from another process than the one, if any, that has `dir` open: it goes on meanwhile. */
int store_backup_beside(const char *dir, const char *path, struct error *err);

/* --- lists ---------------------------------------------------------------------------------------
 */

/* The rows where `key` is one of `values`. Which keys a resource knows stands in its header. */
struct store_filter {
    const char *key;
    const char *const *values;
    size_t n; /* 0: matches nothing */
};

/* The rows that have label `key` with one of `values` (none: whatever its value), or, when
 * `absent`, the others. For resources with labels. */
struct store_label {
    const char *key;
    const char *const *values;
    size_t n;
    bool absent;
};

/* The rows created (or, `updated`, last changed) within one of the spans, each from <= x < to. */
struct store_span {
    uint64_t from_ns, to_ns;
};
struct store_times {
    bool updated;
    const struct store_span *spans;
    size_t n; /* 0: matches nothing */
};

/* Zero-initialised: all rows, oldest first. */
struct store_query {
    const struct store_filter *filters; /* all must match */
    size_t filter_count;
    const struct store_label *labels; /* all must hold */
    size_t label_count;
    const struct store_times *times; /* all must hold */
    size_t time_count;
    /* "created_at" (default), "updated_at"; "name" or "state" where it has one */
    const char *order;
    bool descending;
    uint64_t limit, offset; /* limit 0: all */
    bool count;             /* fill rows.total: how many match, whatever the limit */
    /* NULL: everything. Else a user's guid: only what lies in a space or org where the user has a
     * role. Resources outside orgs are not narrowed. */
    const char *visible_to;
};

/* -EINVAL: unknown key or order, or labels of what has none. */

#define STORE_DECLARE(x)                                                                           \
    struct x##_rows {                                                                              \
        struct x##_row *v; /* owned */                                                             \
        size_t n;                                                                                  \
        uint64_t total; /* when asked for */                                                       \
    };                                                                                             \
    void x##_row_fini(struct x##_row *row);                                                        \
    void x##_rows_fini(struct x##_rows *rows);                                                     \
    int store_##x##_insert(struct store *s, struct x##_row *row, struct error *err);               \
    int store_##x##_get(struct store *s, const char *guid, struct x##_row *ret,                    \
                        struct error *err);                                                        \
    int store_##x##_update(struct store *s, struct x##_row *row, struct error *err);               \
    int store_##x##_delete(struct store *s, const char *guid, struct error *err);                  \
    int store_##x##_list(struct store *s, const struct store_query *query, struct x##_rows *ret,   \
                         struct error *err);

/* The members that every row begins with. */
#define STORE_ROW_HEAD                                                                             \
    char guid[GUID_SIZE];                                                                          \
    uint64_t created_ns, updated_ns

/* --- settings: small facts about this cluster ----------------------------------------------------
 */

int store_setting_get(struct store *s, const char *key, char **ret,
                      struct error *err); /* -ENOENT */
int store_setting_set(struct store *s, const char *key, const char *value, struct error *err);
/* The same, sealed. */
int store_secret_get(struct store *s, const char *key, char **ret, struct error *err); /* -ENOENT */
int store_secret_set(struct store *s, const char *key, const char *value, struct error *err);

#endif
