#include "controller/store/flags.h"

#include <errno.h>

#include "controller/store/internal.h"

/* Cloud Controller's defaults (cc: app/models/runtime/feature_flag.rb). */
static const struct {
    const char *name;
    bool enabled;
} defaults[] = {
    {"app_bits_upload", true},
    {"app_scaling", true},
    {"diego_cnb", false},
    {"diego_docker", false},
    {"env_var_visibility", true},
    {"hash_based_routing", false},
    {"hide_marketplace_from_unauthenticated_users", false},
    {"private_domain_creation", true},
    {"resource_matching", true},
    {"route_creation", true},
    {"route_sharing", false},
    {"service_instance_creation", true},
    {"service_instance_sharing", false},
    {"set_roles_by_username", true},
    {"space_developer_env_var_visibility", true},
    {"space_scoped_private_broker_creation", true},
    {"task_creation", true},
    {"unset_roles_by_username", true},
    {"user_org_creation", false},
};

void flag_fini(struct flag *f) {
    free(f->error_message);
    *f = (struct flag){0};
}

size_t store_flag_count(void) {
    return ARRAY_SIZE(defaults);
}

const char *store_flag_name(size_t i) {
    return defaults[i].name;
}

static int find(const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        if (str_eq(defaults[i].name, name))
            return (int)i;
    return -1;
}

int store_flag_get(struct store *s, const char *name, struct flag *ret, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int i = find(name);
    if (i < 0)
        return error_set(err, -ENOENT, "no feature flag %s", name);
    struct flag flag = {.name = defaults[i].name, .enabled = defaults[i].enabled};
    int r = sql_prepare(
        s, "SELECT enabled, error_message, updated_ns FROM feature_flags WHERE name = ?", &stmt,
        err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, name);
    if ((r = sql_step(s, stmt, "reading a feature flag", err)) < 0)
        return r;
    if (r) {
        const char *message = (const char *)sqlite3_column_text(stmt, 1);
        flag.enabled = sqlite3_column_int(stmt, 0) != 0;
        flag.updated_ns = (uint64_t)sqlite3_column_int64(stmt, 2);
        if (message && !(flag.error_message = str_dup(message)))
            return error_set(err, -ENOMEM, "out of memory reading a feature flag");
    }
    *ret = flag;
    return 0;
}

int store_flag_set(struct store *s, const char *name, bool enabled, const char *error_message,
                   struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    if (find(name) < 0)
        return error_set(err, -ENOENT, "no feature flag %s", name);
    int r = sql_prepare(s,
                        "INSERT INTO feature_flags (name, enabled, error_message, updated_ns)"
                        " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE"
                        " SET enabled = ?2, error_message = ?3, updated_ns = ?4",
                        &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, name);
    sqlite3_bind_int(stmt, 2, enabled);
    sql_bind_text(stmt, 3, error_message);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)store_now_ns(s));
    return sql_step(s, stmt, "writing a feature flag", err);
}

bool store_flag_enabled(struct store *s, const char *name) {
    _cleanup_(flag_fini) struct flag flag = {0};
    return store_flag_get(s, name, &flag, NULL) == 0 && flag.enabled;
}
