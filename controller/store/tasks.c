#include "controller/store/tasks.h"

#include <errno.h>

#include "controller/store/internal.h"

#define RUN_INFO "tasks.run_info" /* what it is sealed as */

static const struct column task_columns[] = {
    COLUMN_HEAD(task_row),
    COLUMN(task_row, COLUMN_GUID, app_guid),
    COLUMN(task_row, COLUMN_U64, sequence_id),
    COLUMN(task_row, COLUMN_TEXT, name),
    COLUMN(task_row, COLUMN_SEALED, command),
    COLUMN(task_row, COLUMN_TEXT, state),
    COLUMN(task_row, COLUMN_TEXT, failure_reason),
    COLUMN(task_row, COLUMN_U64, memory_mb),
    COLUMN(task_row, COLUMN_U64, disk_mb),
    COLUMN(task_row, COLUMN_I64, log_rate),
    COLUMN(task_row, COLUMN_GUID, droplet_guid),
    COLUMN(task_row, COLUMN_TEXT, user),
    COLUMN(task_row, COLUMN_GUID, instance_guid),
    COLUMN(task_row, COLUMN_TEXT, cell_id),
    COLUMN(task_row, COLUMN_BOOL, began),
    COLUMN(task_row, COLUMN_U64, tries),
    COLUMN_METADATA(task_row),
    COLUMN_READ(task_row, COLUMN_GUID, space_guid, "a.space_guid"),
    COLUMN_READ(task_row, COLUMN_TEXT, app_name, "a.name"),
    COLUMN_READ(task_row, COLUMN_TEXT, lifecycle, "a.lifecycle"),
};

static const struct filter task_filters[] = {
    {"guids", "t.guid"},
    {"names", "t.name"},
    {"states", "t.state"},
    {"sequence_ids", "CAST(t.sequence_id AS TEXT)"},
    {"app_guids", "t.app_guid"},
    {"space_guids", "a.space_guid"},
    {"organization_guids", "s.org_guid"},
};

static const struct table task_table = {
    .name = "tasks",
    .thing = "task",
    .row_size = sizeof(struct task_row),
    .columns = task_columns,
    .column_count = ARRAY_SIZE(task_columns),
    .joins = "LEFT JOIN apps a ON a.guid = t.app_guid LEFT JOIN spaces s ON s.guid = a.space_guid",
    .filters = task_filters,
    .filter_count = ARRAY_SIZE(task_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(task)

int store_task_number(struct store *s, const char *app_guid, uint64_t *ret, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(
        s, "UPDATE apps SET last_task = last_task + 1 WHERE guid = ?1 RETURNING last_task", &stmt,
        err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, app_guid);
    if ((r = sql_step(s, stmt, "numbering a task", err)) < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "no app %s", app_guid);
    *ret = (uint64_t)sqlite3_column_int64(stmt, 0);
    return 0;
}

int store_task_set_run_info(struct store *s, const char *guid, const void *data, size_t n,
                            struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    _cleanup_(freep) unsigned char *sealed = NULL;
    size_t sealed_n = 0;
    int r = seal(s->seal_key, RUN_INFO, guid, data, n, &sealed, &sealed_n, err);
    if (r < 0 ||
        (r = sql_prepare(s, "UPDATE tasks SET run_info = ?2 WHERE guid = ?1", &stmt, err)) < 0)
        return r;
    sql_bind_text(stmt, 1, guid);
    sqlite3_bind_blob64(stmt, 2, sealed, sealed_n, SQLITE_STATIC);
    if ((r = sql_step(s, stmt, "keeping what a task runs", err)) < 0)
        return r;
    return sqlite3_changes(s->db) ? 0 : error_set(err, -ENOENT, "no task %s", guid);
}

int store_task_run_info(struct store *s, const char *guid, void **ret, size_t *ret_n,
                        struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    char *plain = NULL;
    int r = sql_prepare(s, "SELECT run_info FROM tasks WHERE guid = ?1 AND run_info IS NOT NULL",
                        &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, guid);
    if ((r = sql_step(s, stmt, "reading what a task runs", err)) < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "nothing is kept for task %s", guid);
    r = seal_open(s->seal_key, RUN_INFO, guid, sqlite3_column_blob(stmt, 0),
                  (size_t)sqlite3_column_bytes(stmt, 0), &plain, ret_n, err);
    if (r == 0)
        *ret = plain;
    return r;
}

int store_task_progress(struct store *s, const struct task_progress *p, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    bool ended = str_eq(p->state, "SUCCEEDED") || str_eq(p->state, "FAILED");
    int r = sql_prepare(s,
                        "UPDATE tasks SET updated_ns = ?2, failure_reason = nullif(?4, ''),"
                        " instance_guid = nullif(?5, ''), cell_id = nullif(?6, ''),"
                        " began = began OR ?3 = 'RUNNING', tries = ?8,"
                        " state = iif(state = 'CANCELING' AND NOT ?7, state, ?3),"
                        " run_info = iif(?7, NULL, run_info)"
                        " WHERE guid = ?1 AND state NOT IN ('SUCCEEDED', 'FAILED')",
                        &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, p->guid);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64)store_now_ns(s));
    sql_bind_text(stmt, 3, p->state);
    sql_bind_text(stmt, 4, p->reason);
    sql_bind_text(stmt, 5, p->instance_guid);
    sql_bind_text(stmt, 6, p->cell_id);
    sqlite3_bind_int(stmt, 7, ended);
    sqlite3_bind_int64(stmt, 8, p->tries);
    return sql_step(s, stmt, "noting what became of a task", err);
}

int store_task_prune(struct store *s, uint64_t before_ns, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s,
                        "DELETE FROM tasks WHERE state IN ('SUCCEEDED', 'FAILED')"
                        " AND updated_ns < ?1",
                        &stmt, err);
    if (r < 0)
        return r;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)before_ns);
    return sql_step(s, stmt, "forgetting old tasks", err);
}
