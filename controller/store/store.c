/* store.c - opening and closing, transactions, settings, backup. */
#include "controller/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/fs.h"
#include "common/base/metrics.h"
#include "controller/store/internal.h"

#define BACKUP_WAIT_MS                                                                             \
    10000 /* for the owner of the database, which locks it when it starts and ends */
#define KEY_CHECK "berth: the key that sealed this database"

/* --- opening
 * --------------------------------------------------------------------------------------
 */

static int lock_dir(struct store *s, int dir, struct error *err) {
    s->lock_fd = openat(dir, "store.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return error_set(err, -errno, "cannot open store.lock: %s", strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno,
                         "another process has this store open");
    return 0;
}

static int read_key(struct store *s, int dir, const char *path, bool fresh, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    size_t n = 0;
    int r = fs_read(dir, path, 4096, &text, &n, err);
    if (r == -ENOENT && fresh) {
        char hex[2 * SEAL_KEY_SIZE + 2];
        random_bytes(s->seal_key, SEAL_KEY_SIZE);
        hex_encode(s->seal_key, SEAL_KEY_SIZE, hex);
        hex[2 * SEAL_KEY_SIZE] = '\n';
        r = fs_write_atomic(dir, path, 0600, hex, 2 * SEAL_KEY_SIZE + 1, err);
        mem_wipe(hex, sizeof hex);
        return r;
    }
    if (r == -ENOENT)
        return error_set(err, -ENOKEY, "%s is missing: the database's secrets cannot be read",
                         path);
    if (r < 0)
        return r;
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        text[--n] = '\0';
    r = n == 2 * SEAL_KEY_SIZE ? hex_decode(text, s->seal_key, SEAL_KEY_SIZE) : -EINVAL;
    mem_wipe(text, n);
    if (r < 0)
        return error_set(err, -ENOKEY, "%s is not %d hex digits", path, 2 * SEAL_KEY_SIZE);
    return 0;
}

/* A known text sealed at the beginning tells at once whether the key is the right one. */
static int check_key(struct store *s, struct error *err) {
    _cleanup_(freep) char *text = NULL;
    int r = store_secret_get(s, "key_check", &text, err);
    return r == -ENOENT ? store_secret_set(s, "key_check", KEY_CHECK, err) : r;
}

/* Makes `old`, a line of a file, the key, if it is the one of the database; then back, and all
 * anew. */
static int try_previous(struct store *s, const char *old, struct error *err) {
    unsigned char key[SEAL_KEY_SIZE], from[SEAL_KEY_SIZE];
    if (strlen(old) != 2 * SEAL_KEY_SIZE || hex_decode(old, from, SEAL_KEY_SIZE) < 0)
        return error_set(err, -ENOKEY, "a previous key is not %d hex digits", 2 * SEAL_KEY_SIZE);
    memcpy(key, s->seal_key, SEAL_KEY_SIZE);
    memcpy(s->seal_key, from, SEAL_KEY_SIZE);
    int r = check_key(s, err);
    memcpy(s->seal_key, key, SEAL_KEY_SIZE);
    if (r == 0)
        r = rekey(s, from, err);
    mem_wipe(key, sizeof key);
    mem_wipe(from, sizeof from);
    return r;
}

static int use_keys(struct store *s, int dir, const char *path, const char *previous_path,
                    struct error *err) {
    char *text = NULL, *rest = NULL;
    size_t n = 0;
    int r = check_key(s, err);
    if (r != -EBADMSG)
        return r;
    r = -EBADMSG;
    if (!str_empty(previous_path) && (r = fs_read(dir, previous_path, 4096, &text, &n, err)) == 0) {
        r = -EBADMSG;
        for (char *line = strtok_r(text, "\r\n", &rest); line && r == -EBADMSG;
             line = strtok_r(NULL, "\r\n", &rest))
            r = try_previous(s, line, err);
        mem_wipe(text, n);
        free(text);
    }
    return r == -EBADMSG ? error_set(err, -ENOKEY, "%s is not the key of this database", path) : r;
}

/* Stamps go on from the last one written, whatever the clock says now. */
static int read_last_stamp(struct store *s, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s,
                        "SELECT max(m) FROM (SELECT max(updated_ns) AS m FROM apps UNION ALL"
                        " SELECT max(created_ns) FROM events UNION ALL"
                        " SELECT max(created_ns) FROM jobs)",
                        &stmt, err);
    if (r < 0 || (r = sql_step(s, stmt, "reading", err)) < 0)
        return r;
    uint64_t last = (uint64_t)sqlite3_column_int64(stmt, 0);
    /* A clock that once stood in the far future must not bind us for ever: 5 minutes at most. */
    if (last < clock_wall_ns() + UINT64_C(300) * 1000000000)
        s->last_ns = last;
    return 0;
}

static int open_database(struct store *s, const char *dir, bool *ret_fresh, struct error *err) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/berth.db", dir) >= sizeof path)
        return error_set(err, -ENAMETOOLONG, "%s is too long a path", dir);
    *ret_fresh = access(path, F_OK) < 0;
    mode_t before = umask(0077);
    int r = sqlite3_open_v2(path, &s->db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                SQLITE_OPEN_EXRESCODE,
                            NULL);
    umask(before);
    if (r)
        return s->db ? sql_fail(s, path, err)
                     : error_set(err, -ENOMEM, "out of memory opening %s", path);
    return 0;
}

int store_open_with_keys(struct store **ret, const char *dir, const char *key_path,
                         const char *previous_path, struct error *err) {
    _cleanup_(store_freep) struct store *s = mem_zalloc(sizeof *s);
    bool fresh = false;
    int r;
    if (!s)
        return error_set(err, -ENOMEM, "out of memory opening the store");
    s->lock_fd = -1;
    if ((r = fs_mkdirs(AT_FDCWD, dir, 0700, err)) < 0)
        return r;
    _cleanup_(close_fdp) int fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", dir, strerror(errno));
    if ((r = lock_dir(s, fd, err)) < 0 || (r = open_database(s, dir, &fresh, err)) < 0 ||
        (r = read_key(s, fd, key_path, fresh, err)) < 0 ||
        (r = sql_exec(s,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
                      "PRAGMA cache_size = -16384; PRAGMA secure_delete = ON;",
                      err)) < 0 ||
        (r = migrations_apply(s, migrations_latest(), err)) < 0 ||
        (r = use_keys(s, fd, key_path, previous_path, err)) < 0 ||
        (r = read_last_stamp(s, err)) < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

int store_open(struct store **ret, const char *dir, struct error *err) {
    return store_open_with_keys(ret, dir, "store.key", NULL, err);
}

void store_free(struct store *s) {
    if (!s)
        return;
    if (s->db) {
        store_rollback(s);
        sql_forget_all(s);
        sqlite3_close_v2(s->db);
    }
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    mem_wipe(s->seal_key, sizeof s->seal_key);
    free(s);
}

/* --- transactions
 * ---------------------------------------------------------------------------------
 */

int store_begin(struct store *s, struct error *err) {
    if (s->in_transaction)
        return error_set(err, -EALREADY, "a transaction is open already");
    int r = sql_run(s, "BEGIN IMMEDIATE", NULL, 0, NULL, err);
    if (r == 0)
        s->in_transaction = true;
    return r;
}

int store_commit(struct store *s, struct error *err) {
    uint64_t begun_ns = clock_mono_ns();
    int r = sql_run(s, "COMMIT", NULL, 0, NULL, err);
    histogram_add(&s->commits, (double)(clock_mono_ns() - begun_ns) / 1e9);
    if (r < 0) {
        store_rollback(s);
        return r;
    }
    s->in_transaction = false;
    return 0;
}

void store_rollback(struct store *s) {
    s->in_transaction = false;
    /* SQLite may have rolled back by itself, after a full disk for one. */
    if (!sqlite3_get_autocommit(s->db))
        (void)sql_run(s, "ROLLBACK", NULL, 0, NULL, NULL);
}

void store_metrics(const struct store *s, struct strbuf *out) {
    metric_put(out, "berth_store_failures_total", "counter",
               "Failures of the database, but for broken constraints.", (double)s->failures);
    histogram_put(&s->commits, out, "berth_store_commit_seconds", "Commits: until it is on disk.");
}

bool store_in_transaction(const struct store *s) {
    return s->in_transaction;
}

uint64_t store_now_ns(struct store *s) {
    uint64_t now = clock_wall_ns();
    return s->last_ns = MAX(now, s->last_ns + 1);
}

/* --- settings and backup
 * --------------------------------------------------------------------------
 */

int store_setting_get(struct store *s, const char *key, char **ret, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, "SELECT value FROM settings WHERE key = ?", &stmt, err);
    if (r < 0)
        return r;
    sql_bind_text(stmt, 1, key);
    if ((r = sql_step(s, stmt, "reading a setting", err)) < 0)
        return r;
    if (r == 0)
        return error_set(err, -ENOENT, "no setting %s", key);
    char *value = str_dup((const char *)sqlite3_column_text(stmt, 0));
    if (!value)
        return error_set(err, -ENOMEM, "out of memory reading a setting");
    *ret = value;
    return 0;
}

int store_setting_set(struct store *s, const char *key, const char *value, struct error *err) {
    return sql_run(s,
                   "INSERT INTO settings (key, value) VALUES (?1, ?2)"
                   " ON CONFLICT (key) DO UPDATE SET value = ?2",
                   (const char *[]){key, value}, 2, NULL, err);
}

/* Sealed settings are hex among the others. */
int store_secret_get(struct store *s, const char *key, char **ret, struct error *err) {
    _cleanup_(freep) char *hex = NULL;
    int r = store_setting_get(s, key, &hex, err);
    if (r < 0)
        return r;
    size_t n = strlen(hex) / 2;
    _cleanup_(freep) unsigned char *sealed = malloc(n + 1);
    if (!sealed)
        return error_set(err, -ENOMEM, "out of memory reading a setting");
    if (strlen(hex) % 2 || hex_decode(hex, sealed, n) < 0)
        return error_set(err, -EBADMSG, "the setting %s is damaged", key);
    return seal_open(s->seal_key, "settings", key, sealed, n, ret, NULL, err);
}

int store_secret_set(struct store *s, const char *key, const char *value, struct error *err) {
    _cleanup_(freep) unsigned char *sealed = NULL;
    size_t n = 0;
    int r = seal(s->seal_key, "settings", key, value, strlen(value), &sealed, &n, err);
    if (r < 0)
        return r;
    _cleanup_(freep) char *hex = malloc(2 * n + 1);
    if (!hex)
        return error_set(err, -ENOMEM, "out of memory writing a setting");
    hex_encode(sealed, n, hex);
    return store_setting_set(s, key, hex, err);
}

int store_check(struct store *s, struct error *err) {
    _cleanup_(sql_donep) sqlite3_stmt *stmt = NULL;
    int r = sql_prepare(s, "PRAGMA integrity_check(1)", &stmt, err);
    if (r < 0 || (r = sql_step(s, stmt, "checking the database", err)) < 0)
        return r;
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    return str_eq(text, "ok") ? 0 : error_set(err, -EUCLEAN, "the database is damaged: %s", text);
}

int store_backup(struct store *s, const char *path, struct error *err) {
    if (access(path, F_OK) == 0)
        return error_set(err, -EEXIST, "%s exists already", path);
    mode_t before = umask(0077);
    int r = sql_run(s, "VACUUM INTO ?", &path, 1, NULL, err);
    umask(before);
    return r < 0 ? error_wrap(err, "backing up to %s", path) : 0;
}

int store_backup_beside(const char *dir, const char *path, struct error *err) {
    _cleanup_(store_freep) struct store *s = mem_zalloc(sizeof *s);
    _cleanup_(freep) char *from = str_printf("%s/berth.db", dir);
    bool fresh;
    int r;
    if (!s || !from)
        return error_set(err, -ENOMEM, "out of memory backing up");
    s->lock_fd = -1; /* the log (WAL) gives readers a view that stands still, without our lock */
    if (access(from, F_OK) < 0)
        return error_set(err, -errno, "cannot read %s: %s", from, strerror(errno));
    if ((r = open_database(s, dir, &fresh, err)) < 0)
        return r;
    sqlite3_busy_timeout(s->db, BACKUP_WAIT_MS);
    return store_backup(s, path, err);
}
