#include "controller/store/tokens.h"

#include "controller/store/internal.h"

static const struct column token_columns[] = {
    COLUMN_HEAD(token_row),
    COLUMN(token_row, COLUMN_TEXT, hash),
    COLUMN(token_row, COLUMN_GUID, user_guid),
    COLUMN(token_row, COLUMN_TEXT, client),
    COLUMN(token_row, COLUMN_U64, expires_ns),
};

static const struct filter token_filters[] = {
    {"guids", "t.guid"}, {"user_guids", "t.user_guid"}, {"hashes", "t.hash"}};

static const struct table token_table = {
    .name = "tokens",
    .thing = "token",
    .row_size = sizeof(struct token_row),
    .columns = token_columns,
    .column_count = ARRAY_SIZE(token_columns),
    .filters = token_filters,
    .filter_count = ARRAY_SIZE(token_filters),
};
STORE_DEFINE(token)

int store_token_find(struct store *s, const char *hash, struct token_row *ret, struct error *err) {
    return table_get(s, &token_table, "hash", hash, ret, err);
}

int store_token_delete_of_user(struct store *s, const char *user_guid, struct error *err) {
    return sql_run(s, "DELETE FROM tokens WHERE user_guid = ?", &user_guid, 1, NULL, err);
}

int store_token_revoke(struct store *s, const char *jti, uint64_t expires_ns, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s,
                        "INSERT INTO revoked_tokens (jti, expires_ns) VALUES (?1, ?2)"
                        " ON CONFLICT (jti) DO UPDATE SET expires_ns = max(expires_ns, ?2)",
                        &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, jti);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64)expires_ns);
    return sql_step(s, stmt, "revoking a token", err);
}

int store_token_is_revoked(struct store *s, const char *jti, bool *ret, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, "SELECT 1 FROM revoked_tokens WHERE jti = ?", &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, jti);
    if ((r = sql_step(s, stmt, "reading revoked tokens", err)) < 0)
        return r;
    *ret = r > 0;
    return 0;
}

int store_token_prune(struct store *s, uint64_t now_ns, struct error *err) {
    int r = table_prune(s, "tokens", "expires_ns", now_ns, err);
    return r < 0 ? r : table_prune(s, "revoked_tokens", "expires_ns", now_ns, err);
}
