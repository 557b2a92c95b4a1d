#include "controller/store/accounts.h"

#include "controller/store/internal.h"

/* Orgs in which the user has any role, or a role in one of their spaces. */
#define ORGS_OF_USER                                                                               \
    "(SELECT org_guid FROM roles WHERE user_guid = ?U AND org_guid IS NOT NULL"                    \
    " UNION SELECT sp.org_guid FROM roles r JOIN spaces sp ON sp.guid = r.space_guid"              \
    " WHERE r.user_guid = ?U)"

static const struct column org_columns[] = {
    COLUMN_HEAD(org_row),
    COLUMN(org_row, COLUMN_TEXT, name),
    COLUMN(org_row, COLUMN_BOOL, suspended),
    COLUMN_METADATA(org_row),
};

static const struct filter org_filters[] = {{"guids", "t.guid"}, {"names", "t.name"}};

static const struct table org_table = {
    .name = "orgs",
    .thing = "organization",
    .row_size = sizeof(struct org_row),
    .columns = org_columns,
    .column_count = ARRAY_SIZE(org_columns),
    .filters = org_filters,
    .filter_count = ARRAY_SIZE(org_filters),
    .name_order = "t.name",
    .visible = "t.guid IN " ORGS_OF_USER,
};
STORE_DEFINE(org)

static const struct column space_columns[] = {
    COLUMN_HEAD(space_row),
    COLUMN(space_row, COLUMN_TEXT, name),
    COLUMN(space_row, COLUMN_GUID, org_guid),
    COLUMN(space_row, COLUMN_BOOL, ssh),
    COLUMN_METADATA(space_row),
    COLUMN_READ(space_row, COLUMN_TEXT, org_name, "o.name"),
};

static const struct filter space_filters[] = {
    {"guids", "t.guid"}, {"names", "t.name"}, {"organization_guids", "t.org_guid"}};

static const struct table space_table = {
    .name = "spaces",
    .thing = "space",
    .row_size = sizeof(struct space_row),
    .columns = space_columns,
    .column_count = ARRAY_SIZE(space_columns),
    .joins = "LEFT JOIN orgs o ON o.guid = t.org_guid",
    .filters = space_filters,
    .filter_count = ARRAY_SIZE(space_filters),
    .name_order = "t.name",
    .visible = VISIBLE_IN_SPACE("t.guid", "t.org_guid"),
};
STORE_DEFINE(space)

static const struct column user_columns[] = {
    COLUMN_HEAD(user_row),
    COLUMN(user_row, COLUMN_TEXT, username),
    COLUMN(user_row, COLUMN_TEXT, origin),
    COLUMN(user_row, COLUMN_TEXT, password_hash),
    COLUMN(user_row, COLUMN_BOOL, admin),
    COLUMN(user_row, COLUMN_BOOL, active),
    COLUMN_METADATA(user_row),
};

/* Who has a role there. */
#define ROLE_IN(column) "t.guid IN (SELECT user_guid FROM roles WHERE " column

static const struct filter user_filters[] = {{"guids", "t.guid"},
                                             {"usernames", "t.username"},
                                             {"origins", "t.origin"},
                                             {"partial_usernames", "t.username", .partial = true},
                                             {"members_of_org", ROLE_IN("org_guid"), ")"},
                                             {"members_of_space", ROLE_IN("space_guid"), ")"},
                                             {"active", "t.active"}};

static const struct table user_table = {
    .name = "users",
    .thing = "user",
    .row_size = sizeof(struct user_row),
    .columns = user_columns,
    .column_count = ARRAY_SIZE(user_columns),
    .filters = user_filters,
    .filter_count = ARRAY_SIZE(user_filters),
    .name_order = "t.username",
    /* oneself, and whoever has a role in an org of one's own */
    .visible = "(t.guid = ?U OR t.guid IN (SELECT m.user_guid FROM roles m"
               " LEFT JOIN spaces ms ON ms.guid = m.space_guid"
               " WHERE coalesce(m.org_guid, ms.org_guid) IN " ORGS_OF_USER "))",
};
STORE_DEFINE(user)

int store_user_find(struct store *s, const char *username, struct user_row *ret,
                    struct error *err) {
    return table_get(s, &user_table, "username", username, ret, err);
}

static const struct column role_columns[] = {
    COLUMN_HEAD(role_row),
    COLUMN(role_row, COLUMN_TEXT, type),
    COLUMN(role_row, COLUMN_GUID, user_guid),
    COLUMN(role_row, COLUMN_GUID, space_guid),
    COLUMN(role_row, COLUMN_GUID, org_guid),
};

static const struct filter role_filters[] = {
    {"guids", "t.guid"},
    {"types", "t.type"},
    {"user_guids", "t.user_guid"},
    {"space_guids", "t.space_guid"},
    {"organization_guids", "t.org_guid"},
};

static const struct table role_table = {
    .name = "roles",
    .thing = "role",
    .row_size = sizeof(struct role_row),
    .columns = role_columns,
    .column_count = ARRAY_SIZE(role_columns),
    .filters = role_filters,
    .filter_count = ARRAY_SIZE(role_filters),
    .visible = "(t.user_guid = ?U OR t.org_guid IN " ORGS_OF_USER
               " OR t.space_guid IN (SELECT space_guid FROM roles WHERE user_guid = ?U)"
               " OR t.space_guid IN (SELECT guid FROM spaces WHERE org_guid IN"
               " (SELECT org_guid FROM roles WHERE user_guid = ?U"
               " AND type = 'organization_manager')))",
};
STORE_DEFINE(role)

static const char *const role_names[STORE_ROLES] = {
    "organization_user",    "organization_auditor", "organization_billing_manager",
    "organization_manager", "space_auditor",        "space_developer",
    "space_manager",        "space_supporter"};

const char *store_role_name(unsigned i) {
    return role_names[i];
}

unsigned store_role_of(const char *type) {
    for (unsigned i = 0; i < STORE_ROLES; i++)
        if (str_eq(role_names[i], type))
            return 1u << i;
    return 0;
}

static int roles_by(struct store *s, const char *sql, const char *user, const char *guid,
                    unsigned *ret, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    unsigned roles = 0;
    int r = sql_prepare(s, sql, &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, user);
    sql_bind_text(stmt, 2, guid);
    while ((r = sql_step(s, stmt, "reading roles", err)) > 0)
        roles |= store_role_of((const char *)sqlite3_column_text(stmt, 0));
    if (r == 0)
        *ret = roles;
    return r;
}

int store_role_delete_of_user(struct store *s, const char *user_guid, struct error *err) {
    return sql_run(s, "DELETE FROM roles WHERE user_guid = ?", &user_guid, 1, NULL, err);
}

int store_roles_in_space(struct store *s, const char *user_guid, const char *space_guid,
                         unsigned *ret, struct error *err) {
    return roles_by(s,
                    "SELECT type FROM roles WHERE user_guid = ?1 AND (space_guid = ?2"
                    " OR org_guid = (SELECT org_guid FROM spaces WHERE guid = ?2))",
                    user_guid, space_guid, ret, err);
}

int store_roles_in_org(struct store *s, const char *user_guid, const char *org_guid, unsigned *ret,
                       struct error *err) {
    return roles_by(s,
                    "SELECT type FROM roles WHERE user_guid = ?1 AND (org_guid = ?2"
                    " OR space_guid IN (SELECT guid FROM spaces WHERE org_guid = ?2))",
                    user_guid, org_guid, ret, err);
}
