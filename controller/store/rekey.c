/* rekey.c - seals all that is sealed in the database with another key, in one transaction: after a
 * crash all of it is as before, or all of it is done. */
#include <errno.h>
#include <stdio.h>

#include "controller/store/internal.h"

/* Every column with sealed values, the place they are sealed for, the column that is their guid. */
static const struct {
    const char *table, *column, *place, *guid;
} places[] = {
    {"apps", "env", "apps.env", "guid"},
    {"packages", "password", "packages.password", "guid"},
    {"revisions", "env", "revisions.env", "guid"},
    {"services", "credentials", "services.credentials", "guid"},
    {"tasks", "command", "tasks.command", "guid"},
    {"tasks", "run_info", "tasks.run_info", "guid"},
    {"processes", "run_info", "processes.run_info", "run_version"},
    {"old_versions", "run_info", "processes.run_info", "version"},
    {"settings", "value", "settings", "key"}, /* in hex, among others that are not sealed */
};

struct rekey {
    const unsigned char *from, *to;
};

/* *ret owned. -EBADMSG: it is not sealed with `from`. */
static int reseal_bytes(const struct rekey *k, const char *place, const char *guid,
                        const void *value, size_t n, unsigned char **ret, size_t *ret_n) {
    char *plain = NULL;
    size_t plain_n = 0;
    int r = seal_open(k->from, place, guid, value, n, &plain, &plain_n, NULL);
    if (r < 0)
        return r;
    r = seal(k->to, place, guid, plain, plain_n, ret, ret_n, NULL);
    mem_wipe(plain, plain_n);
    free(plain);
    return r;
}

static int reseal_hex(const struct rekey *k, const char *place, const char *guid, const char *hex,
                      char **ret) {
    _cleanup_(freep) unsigned char *out = NULL;
    size_t n = strlen(hex) / 2, out_n = 0;
    _cleanup_(freep) unsigned char *value = malloc(n + 1);
    if (!value)
        return -ENOMEM;
    if (strlen(hex) % 2 || hex_decode(hex, value, n) < 0)
        return -EBADMSG;
    int r = reseal_bytes(k, place, guid, value, n, &out, &out_n);
    if (r < 0)
        return r;
    if (!(*ret = malloc(2 * out_n + 1)))
        return -ENOMEM;
    hex_encode(out, out_n, *ret);
    return 0;
}

/* reseal(place, guid, value) in SQL. A value that does not open stays what it is: the one that
 * reads it is told. */
static void on_reseal(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
    const struct rekey *k = sqlite3_user_data(ctx);
    const char *place = (const char *)sqlite3_value_text(argv[0]);
    const char *guid = (const char *)sqlite3_value_text(argv[1]);
    unsigned char *bytes = NULL;
    char *hex = NULL;
    size_t n = 0;
    int r = -EBADMSG;
    (void)argc;
    if (place && guid && sqlite3_value_type(argv[2]) == SQLITE_TEXT)
        r = reseal_hex(k, place, guid, (const char *)sqlite3_value_text(argv[2]), &hex);
    else if (place && guid)
        r = reseal_bytes(k, place, guid, sqlite3_value_blob(argv[2]),
                         (size_t)sqlite3_value_bytes(argv[2]), &bytes, &n);
    if (r == -EBADMSG)
        sqlite3_result_value(ctx, argv[2]);
    else if (r < 0)
        sqlite3_result_error_nomem(ctx);
    else if (hex)
        sqlite3_result_text(ctx, hex, -1, free);
    else
        sqlite3_result_blob64(ctx, bytes, n, free);
}

static int define(struct store *s, struct rekey *k, struct error *err) {
    return sqlite3_create_function_v2(s->db, "reseal", 3, SQLITE_UTF8 | SQLITE_DIRECTONLY, k,
                                      k ? on_reseal : NULL, NULL, NULL, NULL)
               ? sql_fail(s, "sealing anew", err)
               : 0;
}

static int rekey_all(struct store *s, struct error *err) {
    char sql[300];
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        snprintf(sql, sizeof sql, "UPDATE %s SET %s = reseal('%s', %s, %s) WHERE %s IS NOT NULL",
                 places[i].table, places[i].column, places[i].place, places[i].guid,
                 places[i].column, places[i].column);
        int r = sql_exec(s, sql, err);
        if (r < 0)
            return error_wrap(err, "sealing %s anew", places[i].place);
    }
    return 0;
}

int rekey(struct store *s, const unsigned char from[SEAL_KEY_SIZE], struct error *err) {
    struct rekey k = {.from = from, .to = s->seal_key};
    int r;
    if ((r = define(s, &k, err)) < 0 || (r = store_begin(s, err)) < 0)
        return r;
    if ((r = rekey_all(s, err)) < 0)
        store_rollback(s);
    else
        r = store_commit(s, err);
    define(s, NULL, NULL);
    /* What the old key opens is in no file any more. */
    return r < 0 ? r : sql_exec(s, "PRAGMA wal_checkpoint(TRUNCATE)", err);
}
