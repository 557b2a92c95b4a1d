#include "controller/store/deployments.h"

#include <errno.h>

#include "controller/store/internal.h"

#define IN_APP "LEFT JOIN apps a ON a.guid = t.app_guid LEFT JOIN spaces s ON s.guid = a.space_guid"

static const struct column deployment_columns[] = {
    COLUMN_HEAD(deployment_row),
    COLUMN(deployment_row, COLUMN_GUID, app_guid),
    COLUMN(deployment_row, COLUMN_TEXT, strategy),
    COLUMN(deployment_row, COLUMN_TEXT, status_value),
    COLUMN(deployment_row, COLUMN_TEXT, status_reason),
    COLUMN(deployment_row, COLUMN_U64, changed_ns),
    COLUMN(deployment_row, COLUMN_U64, healthy_ns),
    COLUMN(deployment_row, COLUMN_U64, max_in_flight),
    COLUMN(deployment_row, COLUMN_TEXT, canary_steps),
    COLUMN(deployment_row, COLUMN_U64, canary_step),
    COLUMN(deployment_row, COLUMN_GUID, droplet_guid),
    COLUMN(deployment_row, COLUMN_GUID, previous_droplet_guid),
    COLUMN(deployment_row, COLUMN_GUID, revision_guid),
    COLUMN(deployment_row, COLUMN_U64, revision_version),
    COLUMN(deployment_row, COLUMN_GUID, process_guid),
    COLUMN(deployment_row, COLUMN_U64, previous_instances),
    COLUMN(deployment_row, COLUMN_U64, previous_memory_mb),
    COLUMN(deployment_row, COLUMN_U64, previous_disk_mb),
    COLUMN(deployment_row, COLUMN_I64, previous_log_rate),
    COLUMN_METADATA(deployment_row),
    COLUMN_READ(deployment_row, COLUMN_GUID, space_guid, "a.space_guid"),
    COLUMN_READ(deployment_row, COLUMN_TEXT, app_name, "a.name"),
    COLUMN_READ(deployment_row, COLUMN_GUID, org_guid, "s.org_guid"),
};

static const struct filter deployment_filters[] = {
    {"guids", "t.guid"},
    {"app_guids", "t.app_guid"},
    {"status_values", "t.status_value"},
    {"status_reasons", "t.status_reason"},
    {"states", "t.status_reason"}, /* the older name of nearly the same */
    {"space_guids", "a.space_guid"},
    {"organization_guids", "s.org_guid"},
};

static const struct table deployment_table = {
    .name = "deployments",
    .thing = "deployment",
    .row_size = sizeof(struct deployment_row),
    .columns = deployment_columns,
    .column_count = ARRAY_SIZE(deployment_columns),
    .joins = IN_APP,
    .filters = deployment_filters,
    .filter_count = ARRAY_SIZE(deployment_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(deployment)

int store_deployment_active(struct store *s, const char *app_guid, struct deployment_row *ret,
                            struct error *err) {
    static const char *const active[] = {"ACTIVE"};
    const struct store_filter filters[] = {{"app_guids", &app_guid, 1},
                                           {"status_values", active, 1}};
    const struct store_query query = {
        .filters = filters, .filter_count = ARRAY_SIZE(filters), .limit = 1};
    _cleanup_(deployment_rows_fini) struct deployment_rows rows = {0};
    int r = store_deployment_list(s, &query, &rows, err);
    if (r < 0)
        return r;
    if (rows.n == 0)
        return error_set(err, -ENOENT, "no deployment of app %s is active", app_guid);
    deployment_row_fini(ret);
    *ret = rows.v[0];
    rows.v[0] = (struct deployment_row){0};
    return 0;
}

/* Runs a statement with an app's guid and a number. */
static int trim(struct store *s, const char *sql, const char *app_guid, uint64_t keep,
                struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, sql, &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, app_guid);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64)keep);
    return sql_step(s, stmt, "forgetting old rows", err);
}

int store_deployment_trim(struct store *s, const char *app_guid, uint64_t keep, struct error *err) {
    return trim(s,
                "DELETE FROM deployments WHERE id IN (SELECT id FROM deployments WHERE app_guid = "
                "?1 AND status_value = 'FINALIZED' ORDER BY id DESC LIMIT -1 OFFSET ?2)",
                app_guid, keep, err);
}

/* --- old versions
 * ------------------------------------------------------------------------------------ */

static const struct column old_version_columns[] = {
    COLUMN_HEAD(old_version_row),
    COLUMN(old_version_row, COLUMN_GUID, app_guid),
    COLUMN(old_version_row, COLUMN_GUID, process_guid),
    COLUMN(old_version_row, COLUMN_GUID, version),
    COLUMN(old_version_row, COLUMN_BOOL, whole),
    COLUMN(old_version_row, COLUMN_U64, instances),
    COLUMN(old_version_row, COLUMN_U64, memory_mb),
    COLUMN(old_version_row, COLUMN_U64, disk_mb),
    COLUMN(old_version_row, COLUMN_I64, log_rate),
    COLUMN(old_version_row, COLUMN_GUID, droplet_guid),
    COLUMN(old_version_row, COLUMN_GUID, revision_guid),
    COLUMN_READ(old_version_row, COLUMN_GUID, space_guid, "a.space_guid"),
};

static const struct filter old_version_filters[] = {
    {"guids", "t.guid"},
    {"app_guids", "t.app_guid"},
};

static const struct table old_version_table = {
    .name = "old_versions",
    .thing = "old version of a process",
    .row_size = sizeof(struct old_version_row),
    .columns = old_version_columns,
    .column_count = ARRAY_SIZE(old_version_columns),
    .joins = IN_APP,
    .filters = old_version_filters,
    .filter_count = ARRAY_SIZE(old_version_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(old_version)

int store_old_version_retire(struct store *s, const struct process_row *process,
                             struct old_version_row *row, struct error *err) {
    const char *const from[] = {process->guid, process->version, row->guid};
    int r, changed = 0;
    memcpy(row->app_guid, process->app_guid, GUID_SIZE);
    memcpy(row->process_guid, process->guid, GUID_SIZE);
    memcpy(row->version, process->version, GUID_SIZE);
    if ((r = store_old_version_insert(s, row, err)) < 0)
        return r;
    r = sql_run(s,
                "UPDATE old_versions SET run_info = p.run_info FROM processes p WHERE p.guid = ?1"
                " AND p.version = ?2 AND p.run_version = ?2 AND old_versions.guid = ?3",
                from, ARRAY_SIZE(from), &changed, err);
    if (r < 0 || changed > 0)
        return r;
    if ((r = store_old_version_delete(s, row->guid, err)) < 0)
        return r;
    return error_set(err, -ENOENT, "nothing is kept for version %s", process->version);
}

int store_old_version_run_info(struct store *s, const struct old_version_row *row, void **ret,
                               size_t *ret_n, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, "SELECT run_info FROM old_versions WHERE guid = ?1", &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, row->guid);
    if ((r = sql_step(s, stmt, "reading what an old version runs", err)) < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "there is no old version %s", row->guid);
    return run_info_open(s, row->version, stmt, ret, ret_n, err);
}

int store_old_version_restore(struct store *s, const struct old_version_row *row,
                              struct process_row *process, struct error *err) {
    const char *const from[] = {process->guid, row->guid};
    int r = sql_run(s,
                    "UPDATE processes SET version = o.version, run_version = o.version,"
                    " run_info = o.run_info FROM old_versions o"
                    " WHERE processes.guid = ?1 AND o.guid = ?2",
                    from, ARRAY_SIZE(from), NULL, err);
    if (r < 0)
        return r;
    memcpy(process->version, row->version, GUID_SIZE);
    return store_old_version_delete(s, row->guid, err);
}

int store_old_versions_delete(struct store *s, const char *app_guid, struct error *err) {
    return sql_run(s, "DELETE FROM old_versions WHERE app_guid = ?1", &app_guid, 1, NULL, err);
}

/* --- revisions
 * --------------------------------------------------------------------------------------- */

static const struct column revision_columns[] = {
    COLUMN_HEAD(revision_row),
    COLUMN(revision_row, COLUMN_GUID, app_guid),
    COLUMN(revision_row, COLUMN_U64, version),
    COLUMN(revision_row, COLUMN_GUID, droplet_guid),
    COLUMN(revision_row, COLUMN_TEXT, description),
    COLUMN(revision_row, COLUMN_SEALED, env),
    COLUMN(revision_row, COLUMN_TEXT, commands),
    COLUMN_METADATA(revision_row),
    COLUMN_READ(revision_row, COLUMN_BOOL, deployable, "(d.guid IS NOT NULL)"),
    COLUMN_READ(revision_row, COLUMN_GUID, space_guid, "a.space_guid"),
};

static const struct filter revision_filters[] = {
    {"guids", "t.guid"},
    {"app_guids", "t.app_guid"},
    {"versions", "CAST(t.version AS TEXT)"},
    {"deployable", "iif(d.guid IS NULL, 'false', 'true')"},
};

static const struct table revision_table = {
    .name = "revisions",
    .thing = "revision",
    .row_size = sizeof(struct revision_row),
    .columns = revision_columns,
    .column_count = ARRAY_SIZE(revision_columns),
    .joins = IN_APP " LEFT JOIN droplets d ON d.guid = t.droplet_guid",
    .filters = revision_filters,
    .filter_count = ARRAY_SIZE(revision_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(revision)

int store_revision_trim(struct store *s, const char *app_guid, uint64_t keep, struct error *err) {
    return trim(s,
                "DELETE FROM revisions WHERE id IN (SELECT id FROM revisions WHERE app_guid = ?1"
                " ORDER BY id DESC LIMIT -1 OFFSET ?2)",
                app_guid, keep, err);
}
