/* migrations_test.c - every older schema becomes the newest; what cannot be opened says why. */
#include "tests/unit/store/fixture.h"

#include <signal.h>
#include <sys/resource.h>

#include "controller/store/internal.h"

/* A database of version `version`, made the way it was then, in place of the store's own. */
static void make_old(int version, const char *also) {
    struct store old = {.lock_fd = -1};
    char path[100];
    static const char *const files[] = {"berth.db", "berth.db-wal", "berth.db-shm"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/berth.db", dir);
    ck_assert_int_eq(sqlite3_open(path, &old.db), SQLITE_OK);
    OK(migrations_apply(&old, version, &err));
    if (also)
        OK(sql_exec(&old, also, &err));
    sql_forget_all(&old);
    sqlite3_close(old.db);
}

static char *schema(void) {
    struct strbuf text = {0};
    sqlite3_stmt *stmt = NULL;
    OK(sql_prepare(store, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
                   &stmt, &err));
    while (sql_step(store, stmt, "schema", &err) > 0)
        strbuf_printf(&text, "%s\n", (const char *)sqlite3_column_text(stmt, 0));
    sql_donep(&stmt);
    return strbuf_take(&text);
}

START_TEST(every_older_schema_becomes_the_newest) {
    char *fresh = schema();
    for (int version = 0; version <= migrations_latest(); version++) {
        store_free(store);
        store = NULL;
        make_old(version, version >= 1
                              ? "INSERT INTO orgs (guid, created_ns, updated_ns, name, suspended)"
                                " VALUES ('g', 1, 1, 'kept', 0)"
                              : NULL);
        OK(store_open(&store, dir, &err));
        char *now = schema();
        ck_assert_str_eq(now, fresh);
        free(now);
        struct org_row org = {0};
        if (version >= 1) {
            OK(store_org_get(store, "g", &org, &err));
            ck_assert_str_eq(org.name, "kept");
        }
        org_row_fini(&org);
    }
    free(fresh);
}
END_TEST

START_TEST(a_newer_schema_is_refused) {
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", migrations_latest() + 1);
    store_free(store);
    store = NULL;
    make_old(migrations_latest(), pragma);
    ck_assert_int_eq(store_open(&store, dir, &err), -ENOTSUP);
    ck_assert_ptr_null(store);
}
END_TEST

static void write_file(const char *name, const char *text, size_t n) {
    char path[100];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    OK(fs_write_atomic(AT_FDCWD, path, 0600, text, n, &err));
}

START_TEST(a_missing_or_wrong_key_is_told_at_once) {
    char path[100], hex[65];
    memset(hex, 'a', 64);
    store_free(store);
    store = NULL;
    write_file("store.key", hex, 64);
    ck_assert_int_eq(store_open(&store, dir, &err), -ENOKEY);
    write_file("store.key", hex, 63);
    ck_assert_int_eq(store_open(&store, dir, &err), -ENOKEY);
    snprintf(path, sizeof path, "%s/store.key", dir);
    unlink(path);
    ck_assert_int_eq(store_open(&store, dir, &err), -ENOKEY);
    ck_assert_ptr_null(store);
}
END_TEST

/* Columns of type BLOB, which are sealed, but for one. */
static size_t sealed_columns(char table[][64], char column[][64], size_t max) {
    sqlite3_stmt *stmt = NULL;
    size_t n = 0;
    OK(sql_prepare(store,
                   "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
                   " WHERE m.type = 'table' AND c.type = 'BLOB' AND c.name <> 'image_packed'",
                   &stmt, &err));
    for (; sql_step(store, stmt, "columns", &err) > 0; n++) {
        ck_assert_uint_lt(n, max);
        snprintf(table[n], 64, "%s", (const char *)sqlite3_column_text(stmt, 0));
        snprintf(column[n], 64, "%s", (const char *)sqlite3_column_text(stmt, 1));
    }
    sql_donep(&stmt);
    return n;
}

/* A row of `table` whose every text is "g", with `sealed` in `column`. */
static void fill_row(const char *table, const char *column, const unsigned char *sealed, size_t n) {
    struct strbuf names = {0}, values = {0};
    sqlite3_stmt *stmt = NULL;
    OK(sql_prepare(store, "SELECT name, type FROM pragma_table_info(?) WHERE name <> 'id'", &stmt,
                   &err));
    sql_bind_text(stmt, 1, table);
    while (sql_step(store, stmt, "columns", &err) > 0) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        strbuf_printf(&names, "%s%s", names.n ? "," : "", name);
        strbuf_printf(&values, "%s%s", values.n ? "," : "",
                      str_eq(name, column)                                            ? "?"
                      : str_eq((const char *)sqlite3_column_text(stmt, 1), "INTEGER") ? "1"
                                                                                      : "'g'");
    }
    sql_donep(&stmt);
    char *sql = str_printf("REPLACE INTO %s (%s) VALUES (%s)", table, names.p, values.p);
    OK(sql_prepare(store, sql, &stmt, &err));
    sqlite3_bind_blob64(stmt, 1, sealed, n, SQLITE_STATIC);
    ck_assert_int_eq(sql_step(store, stmt, "filling", &err), 0);
    sql_donep(&stmt);
    free(sql);
    strbuf_fini(&names);
    strbuf_fini(&values);
}

static bool opens(const char *table, const char *column, const char *place) {
    char *sql = str_printf("SELECT %s FROM %s", column, table), *plain = NULL;
    sqlite3_stmt *stmt = NULL;
    OK(sql_prepare(store, sql, &stmt, &err));
    ck_assert_int_eq(sql_step(store, stmt, "reading", &err), 1);
    int r = seal_open(store->seal_key, place, "g", sqlite3_column_blob(stmt, 0),
                      (size_t)sqlite3_column_bytes(stmt, 0), &plain, NULL, &err);
    if (r == 0)
        ck_assert_str_eq(plain, "hunter2");
    free(plain);
    sql_donep(&stmt);
    free(sql);
    return r == 0;
}

static const char *place_of(const char *table, const char *column, char buf[130]) {
    snprintf(buf, 130, "%s.%s", str_eq(table, "old_versions") ? "processes" : table, column);
    return buf;
}

static int open_with(const char *previous) {
    store_free(store);
    store = NULL;
    return store_open_with_keys(&store, dir, "store.key", previous, &err);
}

/* A file of keys that are one digit, repeated. */
static void write_keys(const char *name, const char *digits) {
    char text[200];
    size_t n = 0;
    for (; *digits; digits++) {
        memset(text + n, *digits, 64);
        text[n + 64] = '\n';
        n += 65;
    }
    write_file(name, text, n);
}

static void secret_is(const char *want) {
    char *text = NULL;
    OK(store_secret_get(store, "token_key", &text, &err));
    ck_assert_str_eq(text, want);
    free(text);
}

START_TEST(everything_sealed_is_sealed_with_a_new_key) {
    char table[32][64], column[32][64], place[130], keys[2][2] = {"a", "b"};
    size_t n = sealed_columns(table, column, 32);
    ck_assert_uint_ge(n, 8);
    store_free(store);
    store = NULL;
    OK(fs_remove_tree(AT_FDCWD, dir, &err));
    OK(fs_mkdirs(AT_FDCWD, dir, 0700, &err));
    write_keys("store.key", keys[0]);
    OK(open_with(NULL));
    OK(store_secret_set(store, "token_key", "hunter2", &err));
    OK(store_setting_set(store, "plain", "abcd", &err));
    for (size_t i = 0; i < n; i++) {
        const char *now = keys[i % 2], *next = keys[(i + 1) % 2];
        char previous[3] = {'c', now[0], '\0'}, *plain = NULL;
        unsigned char *sealed = NULL;
        size_t sealed_n = 0;
        OK(seal(store->seal_key, place_of(table[i], column[i], place), "g", "hunter2", 7, &sealed,
                &sealed_n, &err));
        OK(sql_exec(store, "PRAGMA foreign_keys = OFF", &err));
        fill_row(table[i], column[i], sealed, sealed_n);
        free(sealed);
        write_keys("store.key", next);
        ck_assert_int_eq(open_with(NULL), -ENOKEY);
        write_keys("previous.key", previous);
        OK(open_with("previous.key"));
        OK(open_with(NULL));
        ck_assert_msg(opens(table[i], column[i], place), "%s", place);
        secret_is("hunter2");
        OK(store_setting_get(store, "plain", &plain, &err));
        ck_assert_str_eq(plain, "abcd");
        free(plain);
        write_keys("store.key", now);
        ck_assert_int_eq(open_with(NULL), -ENOKEY);
        write_keys("store.key", next);
        OK(open_with("gone")); /* nobody asks for it */
    }
}
END_TEST

START_TEST(a_damaged_file_is_no_database) {
    char path[100];
    static const char *const side[] = {"berth.db-wal", "berth.db-shm"};
    store_free(store);
    store = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(side); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, side[i]);
        unlink(path);
    }
    char garbage[8192];
    memset(garbage, 'x', sizeof garbage);
    write_file("berth.db", garbage, sizeof garbage);
    ck_assert_int_eq(store_open(&store, dir, &err), -EUCLEAN);
    ck_assert_ptr_null(store);
}
END_TEST

START_TEST(a_sealed_value_opens_only_where_it_was_written) {
    char org[GUID_SIZE], space[GUID_SIZE], one[GUID_SIZE], two[GUID_SIZE], sql[200];
    struct app_row row = {0};
    make_org("o", org);
    make_space(org, "s", space);
    make_app(space, "one", one);
    make_app(space, "two", two);
    OK(store_app_get(store, one, &row, &err));
    OK(str_set(&row.env, "{\"SECRET\":\"hunter2\"}"));
    OK(store_app_update(store, &row, &err));
    app_row_fini(&row);
    snprintf(sql, sizeof sql,
             "UPDATE apps SET env = (SELECT env FROM apps WHERE guid = '%s') WHERE guid = '%s'",
             one, two);
    OK(sql_exec(store, sql, &err));
    ck_assert_int_eq(store_app_get(store, two, &row, &err), -EBADMSG);
    ck_assert_ptr_null(row.env);
    ck_assert_ptr_null(row.name); /* nothing half read is left */
    /* And it is not to be read from the file. */
    char path[100], *file = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/berth.db-wal", dir);
    OK(fs_read(AT_FDCWD, path, 64 << 20, &file, &n, &err));
    ck_assert_ptr_null(memmem(file, n, "hunter2", 7));
    free(file);
}
END_TEST

START_TEST(seals_notice_every_flipped_bit) {
    unsigned char key[SEAL_KEY_SIZE] = {1}, *sealed = NULL;
    char *plain = NULL;
    size_t n = 0, plain_n = 0;
    OK(seal(key, "t.c", "g", "text", 4, &sealed, &n, &err));
    OK(seal_open(key, "t.c", "g", sealed, n, &plain, &plain_n, &err));
    ck_assert_uint_eq(plain_n, 4);
    ck_assert_str_eq(plain, "text");
    free(plain);
    plain = NULL;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1u << bit % 8);
        ck_assert_int_eq(seal_open(key, "t.c", "g", sealed, n, &plain, NULL, &err), -EBADMSG);
        sealed[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < n; cut++)
        ck_assert_int_eq(seal_open(key, "t.c", "g", sealed, cut, &plain, NULL, &err), -EBADMSG);
    ck_assert_int_eq(seal_open(key, "t.d", "g", sealed, n, &plain, NULL, &err), -EBADMSG);
    ck_assert_ptr_null(plain);
    free(sealed);
}
END_TEST

/* The file may grow no more: each write fails as on a full disk, and nothing of it stays. */
START_TEST(a_full_disk_fails_cleanly_and_passes) {
    char org[GUID_SIZE], space[GUID_SIZE], guid[GUID_SIZE];
    struct rlimit before, full;
    make_org("o", org);
    make_space(org, "s", space);
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    full = before;
    full.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &full);
    struct org_row row = {.name = str_dup("never")};
    int r = store_org_insert(store, &row, &err);
    ck_assert_msg(r == -EIO || r == -ENOSPC, "%d %s", r, err.msg);
    OK(store_begin(store, &err));
    r = store_org_insert(store, &row, &err);
    r = r < 0 ? (store_rollback(store), r) : store_commit(store, &err);
    ck_assert_int_lt(r, 0);
    ck_assert(!store_in_transaction(store));
    setrlimit(RLIMIT_FSIZE, &before);
    struct org_row gone = {0};
    ck_assert_int_eq(store_org_get(store, row.guid, &gone, &err), -ENOENT);
    make_app(space, "after", guid);
    reopen_store();
    struct app_row app = {0};
    OK(store_app_get(store, guid, &app, &err));
    app_row_fini(&app);
    org_row_fini(&row);
}
END_TEST

START_TEST(a_backup_is_a_whole_store) {
    char org[GUID_SIZE], path[100], key[100], copy[64] = "/tmp/berth-store-XXXXXX", *text = NULL;
    size_t n = 0;
    make_org("saved", org);
    ck_assert_ptr_nonnull(mkdtemp(copy));
    snprintf(path, sizeof path, "%s/berth.db", copy);
    OK(store_backup(store, path, &err));
    ck_assert_int_eq(store_backup(store, path, &err), -EEXIST);
    OK(unlink(path));
    OK(store_backup_beside(dir, path, &err)); /* while it is open here */
    ck_assert_int_eq(store_backup_beside(dir, path, &err), -EEXIST);
    ck_assert_int_eq(store_backup_beside("/tmp/berth-not-there", path, &err), -ENOENT);
    snprintf(key, sizeof key, "%s/store.key", dir);
    OK(fs_read(AT_FDCWD, key, 4096, &text, &n, &err));
    snprintf(key, sizeof key, "%s/store.key", copy);
    OK(fs_write_atomic(AT_FDCWD, key, 0600, text, n, &err));
    free(text);
    struct store *other = NULL;
    struct org_row row = {0};
    OK(store_open(&other, copy, &err));
    OK(store_check(other, &err));
    OK(store_org_get(other, org, &row, &err));
    org_row_fini(&row);
    store_free(other);
    OK(fs_remove_tree(AT_FDCWD, copy, &err));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store/migrations");
    TCase *tcase = tcase_create("migrations");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, open_store, close_store);
    const TTest *const tests[] = {
        every_older_schema_becomes_the_newest,          a_newer_schema_is_refused,
        a_missing_or_wrong_key_is_told_at_once,         a_damaged_file_is_no_database,
        a_sealed_value_opens_only_where_it_was_written, seals_notice_every_flipped_bit,
        a_full_disk_fails_cleanly_and_passes,           a_backup_is_a_whole_store,
        everything_sealed_is_sealed_with_a_new_key,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
