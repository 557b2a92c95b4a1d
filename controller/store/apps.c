#include "controller/store/apps.h"

#include <errno.h>
#include <stdio.h>

#include "controller/store/internal.h"

static const struct column app_columns[] = {
    COLUMN_HEAD(app_row),
    COLUMN(app_row, COLUMN_TEXT, name),
    COLUMN(app_row, COLUMN_GUID, space_guid),
    COLUMN(app_row, COLUMN_BOOL, started),
    COLUMN(app_row, COLUMN_TEXT, lifecycle),
    COLUMN(app_row, COLUMN_SEALED, env),
    COLUMN(app_row, COLUMN_GUID, droplet_guid),
    COLUMN(app_row, COLUMN_BOOL, ssh),
    COLUMN(app_row, COLUMN_BOOL, revisions_off),
    COLUMN(app_row, COLUMN_GUID, revision_guid),
    COLUMN_METADATA(app_row),
    COLUMN_READ(app_row, COLUMN_TEXT, space_name, "s.name"),
    COLUMN_READ(app_row, COLUMN_GUID, org_guid, "s.org_guid"),
    COLUMN_READ(app_row, COLUMN_TEXT, org_name, "o.name"),
};

static const struct filter app_filters[] = {
    {"guids", "t.guid"},
    {"names", "t.name"},
    {"space_guids", "t.space_guid"},
    {"organization_guids", "s.org_guid"},
    {"lifecycle_type", "t.lifecycle"},
    {"stacks", "NULL"}, /* no image has one */
    {"states", "(CASE t.started WHEN 1 THEN 'STARTED' ELSE 'STOPPED' END)"},
};

static const struct table app_table = {
    .name = "apps",
    .thing = "app",
    .row_size = sizeof(struct app_row),
    .columns = app_columns,
    .column_count = ARRAY_SIZE(app_columns),
    .joins = "LEFT JOIN spaces s ON s.guid = t.space_guid LEFT JOIN orgs o ON o.guid = s.org_guid",
    .filters = app_filters,
    .filter_count = ARRAY_SIZE(app_filters),
    .name_order = "t.name",
    .state_order = "t.started",
    .visible = VISIBLE_IN_SPACE("t.space_guid", "s.org_guid"),
};
STORE_DEFINE(app)

static const struct column process_columns[] = {
    COLUMN_HEAD(process_row),
    COLUMN(process_row, COLUMN_GUID, app_guid),
    COLUMN(process_row, COLUMN_TEXT, type),
    COLUMN(process_row, COLUMN_TEXT, command),
    COLUMN(process_row, COLUMN_U64, instances),
    COLUMN(process_row, COLUMN_U64, memory_mb),
    COLUMN(process_row, COLUMN_U64, disk_mb),
    COLUMN(process_row, COLUMN_I64, log_rate),
    COLUMN(process_row, COLUMN_TEXT, health_type),
    COLUMN(process_row, COLUMN_TEXT, health_endpoint),
    COLUMN(process_row, COLUMN_U64, health_timeout_s),
    COLUMN(process_row, COLUMN_U64, health_invocation_s),
    COLUMN(process_row, COLUMN_U64, health_interval_s),
    COLUMN(process_row, COLUMN_TEXT, ready_type),
    COLUMN(process_row, COLUMN_TEXT, ready_endpoint),
    COLUMN(process_row, COLUMN_U64, ready_invocation_s),
    COLUMN(process_row, COLUMN_U64, ready_interval_s),
    COLUMN(process_row, COLUMN_GUID, version),
    COLUMN(process_row, COLUMN_BOOL, rolling),
    COLUMN(process_row, COLUMN_U64, rolled),
    COLUMN_METADATA(process_row),
    COLUMN_READ(process_row, COLUMN_GUID, space_guid, "a.space_guid"),
    COLUMN_READ(process_row, COLUMN_GUID, revision_guid, "a.revision_guid"),
};

static const struct filter process_filters[] = {
    {"guids", "t.guid"},
    {"app_guids", "t.app_guid"},
    {"types", "t.type"},
    {"space_guids", "a.space_guid"},
    {"organization_guids", "s.org_guid"},
};

static const struct table process_table = {
    .name = "processes",
    .thing = "process",
    .row_size = sizeof(struct process_row),
    .columns = process_columns,
    .column_count = ARRAY_SIZE(process_columns),
    .joins = "LEFT JOIN apps a ON a.guid = t.app_guid LEFT JOIN spaces s ON s.guid = a.space_guid",
    .filters = process_filters,
    .filter_count = ARRAY_SIZE(process_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(process)

void process_lrp_guid(const struct process_row *p, char buf[static 2 * GUID_SIZE]) {
    snprintf(buf, 2 * GUID_SIZE, "%s-%s", *p->old_of ? p->old_of : p->guid, p->version);
}

uint64_t process_wanted(const struct process_row *p) {
    return p->rolling ? MIN(p->rolled, p->instances) : p->instances;
}

int run_info_open(struct store *s, const char *version, sqlite3_stmt *stmt, void **ret,
                  size_t *ret_n, struct error *err) {
    char *plain = NULL;
    int r = seal_open(s->seal_key, "processes.run_info", version, sqlite3_column_blob(stmt, 0),
                      (size_t)sqlite3_column_bytes(stmt, 0), &plain, ret_n, err);
    if (r == 0)
        *ret = plain;
    return r;
}

int store_process_run_info(struct store *s, const char *process_guid, const char *version,
                           void **ret, size_t *ret_n, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s,
                        "SELECT run_info FROM processes WHERE guid = ?1 AND version = ?2"
                        " AND run_version = ?2",
                        &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, process_guid);
    sql_bind_text(stmt, 2, version);
    if ((r = sql_step(s, stmt, "reading what a process runs", err)) < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "nothing is kept for version %s", version);
    return run_info_open(s, version, stmt, ret, ret_n, err);
}

int store_process_set_run_info(struct store *s, const char *process_guid, const char *version,
                               const void *data, size_t n, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    _cleanup_(freep) unsigned char *sealed = NULL;
    size_t sealed_n = 0;
    int r = seal(s->seal_key, "processes.run_info", version, data, n, &sealed, &sealed_n, err);
    if (r < 0 || (r = sql_prepare(s,
                                  "UPDATE processes SET run_version = ?2, run_info = ?3"
                                  " WHERE guid = ?1 AND version = ?2",
                                  &stmt, err)) < 0)
        return r;
    sql_bind_text(stmt, 1, process_guid);
    sql_bind_text(stmt, 2, version);
    sqlite3_bind_blob64(stmt, 3, sealed, sealed_n, SQLITE_STATIC);
    if ((r = sql_step(s, stmt, "keeping what a process runs", err)) < 0)
        return r;
    return sqlite3_changes(s->db)
               ? 0
               : error_set(err, -ENOENT, "process %s has no version %s", process_guid, version);
}

static int read_usage(struct store *s, const char *sql, const char *org, const char *space,
                      uint64_t *first, uint64_t *second, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, sql, &stmt, err);
    if (r < 0)
        return r;
    if (sql_bind_text(stmt, 1, org) || sql_bind_text(stmt, 2, space))
        return sql_fail(s, "binding a value", err);
    if ((r = sql_step(s, stmt, "summing up what is taken", err)) < 0)
        return r;
    *first = (uint64_t)sqlite3_column_int64(stmt, 0);
    if (second)
        *second = (uint64_t)sqlite3_column_int64(stmt, 1);
    return 0;
}

int store_usage_get(struct store *s, const char *org_guid, const char *space_guid,
                    struct store_usage *ret, struct error *err) {
    static const char where[] = " JOIN spaces s ON s.guid = a.space_guid"
                                " WHERE (?1 IS NULL OR s.org_guid = ?1)"
                                " AND (?2 IS NULL OR s.guid = ?2)";
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT coalesce(sum(p.instances), 0), coalesce(sum(p.instances * p.memory_mb), 0)"
             " FROM processes p JOIN apps a ON a.guid = p.app_guid%s AND a.started",
             where);
    int r = read_usage(s, sql, org_guid, space_guid, &ret->instances, &ret->memory_mb, err);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM routes a%s", where);
    if (r == 0)
        r = read_usage(s, sql, org_guid, space_guid, &ret->routes, NULL, err);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM services a%s", where);
    if (r == 0)
        r = read_usage(s, sql, org_guid, space_guid, &ret->services, NULL, err);
    if (r == 0)
        r = read_usage(s,
                       "SELECT count(*) FROM domains WHERE org_guid IS NOT NULL"
                       " AND (?1 IS NULL OR org_guid = ?1) AND ?2 IS NULL",
                       org_guid, space_guid, &ret->domains, NULL, err);
    return r;
}
