/* migrations.c - the schema, as the steps that made it. A step that was released is never changed:
 * add one. `PRAGMA user_version` is the number of steps a database has had. */
#include <errno.h>
#include <stdio.h>

#include "controller/store/internal.h"

/* Every table: `id` is the order of creation; guids are what the API shows. */
#define HEAD                                                                                       \
    "id INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT NOT NULL UNIQUE,"                             \
    "created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL"
#define METADATA "labels TEXT, annotations TEXT"
#define IN_APP   "app_guid TEXT NOT NULL REFERENCES apps(guid) ON DELETE CASCADE"

static const char accounts[] =
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE orgs (" HEAD ", name TEXT NOT NULL UNIQUE COLLATE NOCASE,"
    " suspended INTEGER NOT NULL, " METADATA ");"

    "CREATE TABLE spaces (" HEAD ", name TEXT NOT NULL COLLATE NOCASE,"
    " org_guid TEXT NOT NULL REFERENCES orgs(guid), ssh INTEGER NOT NULL, " METADATA ","
    " UNIQUE (org_guid, name));"

    "CREATE TABLE users (" HEAD ", username TEXT NOT NULL UNIQUE COLLATE NOCASE,"
    " origin TEXT NOT NULL, password_hash TEXT, admin INTEGER NOT NULL, active INTEGER NOT NULL);"

    "CREATE TABLE roles (" HEAD ", type TEXT NOT NULL,"
    " user_guid TEXT NOT NULL REFERENCES users(guid) ON DELETE CASCADE,"
    " space_guid TEXT REFERENCES spaces(guid) ON DELETE CASCADE,"
    " org_guid TEXT REFERENCES orgs(guid) ON DELETE CASCADE);"
    "CREATE UNIQUE INDEX roles_unique ON roles"
    " (user_guid, type, ifnull(space_guid, ''), ifnull(org_guid, ''));"
    "CREATE INDEX roles_space ON roles (space_guid);"
    "CREATE INDEX roles_org ON roles (org_guid);"

    "CREATE TABLE tokens (" HEAD ", hash TEXT NOT NULL UNIQUE,"
    " user_guid TEXT REFERENCES users(guid) ON DELETE CASCADE, client TEXT NOT NULL,"
    " expires_ns INTEGER NOT NULL);"
    "CREATE INDEX tokens_user ON tokens (user_guid);"
    "CREATE INDEX tokens_expiry ON tokens (expires_ns);"
    "CREATE TABLE revoked_tokens (jti TEXT PRIMARY KEY, expires_ns INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX revoked_expiry ON revoked_tokens (expires_ns);"

    "CREATE TABLE feature_flags (name TEXT PRIMARY KEY, enabled INTEGER NOT NULL,"
    " error_message TEXT, updated_ns INTEGER NOT NULL) WITHOUT ROWID;";

static const char apps[] =
    "CREATE TABLE apps (" HEAD ", name TEXT NOT NULL,"
    " space_guid TEXT NOT NULL REFERENCES spaces(guid), started INTEGER NOT NULL,"
    " lifecycle TEXT NOT NULL, env BLOB,"
    " droplet_guid TEXT REFERENCES droplets(guid) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,"
    " ssh INTEGER NOT NULL, " METADATA ", UNIQUE (space_guid, name));"
    "CREATE INDEX apps_name ON apps (name);"
    "CREATE INDEX apps_updated ON apps (updated_ns);"
    "CREATE INDEX apps_droplet ON apps (droplet_guid);"

    "CREATE TABLE processes (" HEAD ", " IN_APP ", type TEXT NOT NULL, command TEXT,"
    " instances INTEGER NOT NULL, memory_mb INTEGER NOT NULL, disk_mb INTEGER NOT NULL,"
    " log_rate INTEGER NOT NULL, health_type TEXT NOT NULL, health_endpoint TEXT,"
    " health_timeout_s INTEGER NOT NULL, health_invocation_s INTEGER NOT NULL,"
    " health_interval_s INTEGER NOT NULL, ready_type TEXT NOT NULL, ready_endpoint TEXT,"
    " ready_invocation_s INTEGER NOT NULL, ready_interval_s INTEGER NOT NULL,"
    " version TEXT NOT NULL, run_version TEXT, run_info BLOB, " METADATA ","
    " UNIQUE (app_guid, type));"

    "CREATE TABLE packages (" HEAD ", " IN_APP ", type TEXT NOT NULL, state TEXT NOT NULL,"
    " image TEXT, username TEXT, password BLOB, " METADATA ");"
    "CREATE INDEX packages_app ON packages (app_guid);"

    "CREATE TABLE droplets (" HEAD ", " IN_APP ","
    " package_guid TEXT REFERENCES packages(guid) ON DELETE SET NULL, state TEXT NOT NULL,"
    " image TEXT, digest TEXT, image_packed BLOB, entrypoint TEXT, cmd TEXT, env TEXT, user TEXT,"
    " workdir TEXT, stop_signal TEXT, ports TEXT, process_types TEXT, execution_metadata "
    "TEXT, " METADATA ");"
    "CREATE INDEX droplets_app ON droplets (app_guid);"
    "CREATE INDEX droplets_package ON droplets (package_guid);"

    "CREATE TABLE builds (" HEAD ", " IN_APP ","
    " package_guid TEXT REFERENCES packages(guid) ON DELETE SET NULL,"
    " droplet_guid TEXT REFERENCES droplets(guid) ON DELETE SET NULL,"
    " state TEXT NOT NULL, error TEXT, memory_mb INTEGER NOT NULL, disk_mb INTEGER NOT NULL,"
    " user_guid TEXT, user_name TEXT, " METADATA ");"
    "CREATE INDEX builds_app ON builds (app_guid);"
    "CREATE INDEX builds_package ON builds (package_guid);"
    "CREATE INDEX builds_droplet ON builds (droplet_guid);"
    "CREATE INDEX builds_staging ON builds (state) WHERE state = 'STAGING';";

static const char routes[] =
    "CREATE TABLE domains (" HEAD ", name TEXT NOT NULL UNIQUE COLLATE NOCASE,"
    " internal INTEGER NOT NULL, org_guid TEXT REFERENCES orgs(guid), " METADATA ");"

    "CREATE TABLE routes (" HEAD ", space_guid TEXT NOT NULL REFERENCES spaces(guid),"
    " domain_guid TEXT NOT NULL REFERENCES domains(guid), host TEXT NOT NULL COLLATE NOCASE,"
    " path TEXT NOT NULL, protocol TEXT NOT NULL, options TEXT, " METADATA ","
    " UNIQUE (domain_guid, host, path));"
    "CREATE INDEX routes_space ON routes (space_guid);"
    "CREATE INDEX routes_host ON routes (host);"

    "CREATE TABLE destinations (" HEAD ","
    " route_guid TEXT NOT NULL REFERENCES routes(guid) ON DELETE CASCADE, " IN_APP ","
    " process_type TEXT NOT NULL, port INTEGER NOT NULL, protocol TEXT NOT NULL,"
    " UNIQUE (route_guid, app_guid, process_type, port));"
    "CREATE INDEX destinations_app ON destinations (app_guid);";

static const char records[] =
    "CREATE TABLE events (" HEAD ", type TEXT NOT NULL, actor_guid TEXT, actor_type TEXT,"
    " actor_name TEXT, target_guid TEXT, target_type TEXT, target_name TEXT, data TEXT,"
    " space_guid TEXT, org_guid TEXT);" /* outlive what they tell of: no references */
    "CREATE INDEX events_target ON events (target_guid);"
    "CREATE INDEX events_space ON events (space_guid);"
    "CREATE INDEX events_created ON events (created_ns);"

    "CREATE TABLE jobs (" HEAD ", operation TEXT NOT NULL, state TEXT NOT NULL, errors TEXT,"
    " warnings TEXT);"
    "CREATE INDEX jobs_created ON jobs (created_ns);"

    "CREATE TABLE nodes (" HEAD ", kind TEXT NOT NULL, name TEXT, zone TEXT, address TEXT,"
    " heard_ns INTEGER NOT NULL, revoked INTEGER NOT NULL);";

static const char deployments[] =
    "ALTER TABLE apps ADD COLUMN revisions_off INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE apps ADD COLUMN revision_guid TEXT;"
    "ALTER TABLE processes ADD COLUMN rolling INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE processes ADD COLUMN rolled INTEGER NOT NULL DEFAULT 0;"

    "CREATE TABLE deployments (" HEAD ", " IN_APP ", strategy TEXT NOT NULL,"
    " status_value TEXT NOT NULL, status_reason TEXT NOT NULL, changed_ns INTEGER NOT NULL,"
    " healthy_ns INTEGER NOT NULL, max_in_flight INTEGER NOT NULL, canary_steps TEXT,"
    " canary_step INTEGER NOT NULL, droplet_guid TEXT, previous_droplet_guid TEXT,"
    " revision_guid TEXT, revision_version INTEGER NOT NULL, process_guid TEXT NOT NULL,"
    " previous_instances INTEGER NOT NULL, previous_memory_mb INTEGER NOT NULL,"
    " previous_disk_mb INTEGER NOT NULL, previous_log_rate INTEGER NOT NULL, " METADATA ");"
    "CREATE INDEX deployments_app ON deployments (app_guid);"
    "CREATE UNIQUE INDEX deployments_active ON deployments (status_value, app_guid)"
    " WHERE status_value = 'ACTIVE';"

    "CREATE TABLE old_versions (" HEAD ", " IN_APP ", process_guid TEXT NOT NULL,"
    " version TEXT NOT NULL UNIQUE, whole INTEGER NOT NULL, instances INTEGER NOT NULL,"
    " memory_mb INTEGER NOT NULL, disk_mb INTEGER NOT NULL, log_rate INTEGER NOT NULL,"
    " droplet_guid TEXT, revision_guid TEXT, run_info BLOB);"
    "CREATE INDEX old_versions_app ON old_versions (app_guid);"

    "CREATE TABLE revisions (" HEAD ", " IN_APP ", version INTEGER NOT NULL, droplet_guid TEXT,"
    " description TEXT NOT NULL, env BLOB, commands TEXT, " METADATA ","
    " UNIQUE (app_guid, version));";

static const char services[] =
    "CREATE TABLE services (" HEAD ", name TEXT NOT NULL,"
    " space_guid TEXT NOT NULL REFERENCES spaces(guid) ON DELETE CASCADE, credentials BLOB,"
    " tags TEXT, syslog_drain_url TEXT, route_service_url TEXT, " METADATA ","
    " UNIQUE (space_guid, name));"
    "CREATE TABLE bindings (" HEAD ", " IN_APP ","
    " service_guid TEXT NOT NULL REFERENCES services(guid) ON DELETE CASCADE, name TEXT, " METADATA
    ", UNIQUE (app_guid, service_guid), UNIQUE (app_guid, name));"
    "CREATE INDEX bindings_service ON bindings (service_guid);";

static const char start_after_staging[] =
    "ALTER TABLE builds ADD COLUMN start_after_staging INTEGER NOT NULL DEFAULT 0;";

static const char user_metadata[] = "ALTER TABLE users ADD COLUMN labels TEXT;"
                                    "ALTER TABLE users ADD COLUMN annotations TEXT;";

static const char tasks[] =
    "ALTER TABLE apps ADD COLUMN last_task INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE tasks (" HEAD ", " IN_APP ", sequence_id INTEGER NOT NULL, name TEXT NOT NULL,"
    " command BLOB, state TEXT NOT NULL, failure_reason TEXT, memory_mb INTEGER NOT NULL,"
    " disk_mb INTEGER NOT NULL, log_rate INTEGER NOT NULL, droplet_guid TEXT, user TEXT,"
    " instance_guid TEXT, cell_id TEXT, began INTEGER NOT NULL, run_info BLOB, " METADATA ","
    " UNIQUE (app_guid, sequence_id));"
    "CREATE INDEX tasks_state ON tasks (state, updated_ns);";

static const char task_tries[] = "ALTER TABLE tasks ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;";

static const char *const steps[] = {
    accounts,      apps,  routes,    records, deployments, services, start_after_staging,
    user_metadata, tasks, task_tries};

int migrations_latest(void) {
    return (int)ARRAY_SIZE(steps);
}

static int version_of(struct store *s, int *ret, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, "PRAGMA user_version", &stmt, err);
    if (r < 0 || (r = sql_step(s, stmt, "reading the schema's version", err)) < 0)
        return r;
    *ret = sqlite3_column_int(stmt, 0);
    return 0;
}

static int apply(struct store *s, int step, struct error *err) {
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version = %d", step + 1);
    int r = store_begin(s, err);
    if (r < 0)
        return r;
    if ((r = sql_exec(s, steps[step], err)) < 0 || (r = sql_exec(s, version, err)) < 0) {
        store_rollback(s);
        return error_wrap(err, "schema step %d", step + 1);
    }
    return store_commit(s, err);
}

int migrations_apply(struct store *s, int to, struct error *err) {
    int version = 0, r = version_of(s, &version, err);
    if (r < 0)
        return r;
    if (version > migrations_latest())
        return error_set(
            err, -ENOTSUP,
            "the database has schema %d; this program knows up to %d: it was written by "
            "a newer version",
            version, migrations_latest());
    while (version < to)
        if ((r = apply(s, version++, err)) < 0)
            return r;
    return 0;
}
