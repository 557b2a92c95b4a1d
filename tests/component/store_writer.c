/* store_writer.c - writes apps with two rows each in one transaction until it is killed, and tells
 * of each that was acknowledged; or checks that all told ones are there.
 *
 *     store_writer write DIR >>acknowledged
 *     store_writer check DIR <acknowledged
 *     store_writer fill DIR N             N apps with a route each in one transaction, for
 * benchmarks */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "common/base/str.h"
#include "controller/store/accounts.h"
#include "controller/store/apps.h"
#include "controller/store/routes.h"

static int die(const struct error *err) {
    fprintf(stderr, "store_writer: %s\n", err->msg);
    return 1;
}

static int make_space(struct store *s, char space_guid[GUID_SIZE], struct error *err) {
    _cleanup_(space_rows_fini) struct space_rows spaces = {0};
    _cleanup_(org_row_fini) struct org_row org = {.name = str_dup("o")};
    _cleanup_(space_row_fini) struct space_row space = {.name = str_dup("s")};
    int r = store_space_list(s, NULL, &spaces, err);
    if (r < 0)
        return r;
    if (spaces.n) {
        memcpy(space_guid, spaces.v[0].guid, GUID_SIZE);
        return 0;
    }
    if ((r = store_begin(s, err)) < 0 || (r = store_org_insert(s, &org, err)) < 0)
        return r;
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    if ((r = store_space_insert(s, &space, err)) < 0 || (r = store_commit(s, err)) < 0)
        return r;
    memcpy(space_guid, space.guid, GUID_SIZE);
    return 0;
}

static int insert_one(struct store *s, const char *space_guid, char guid[GUID_SIZE],
                      struct error *err) {
    char name[GUID_SIZE];
    guid_new(name);
    _cleanup_(app_row_fini) struct app_row app = {
        .name = str_dup(name), .lifecycle = str_dup("docker"), .env = str_dup("{\"A\":\"b\"}")};
    _cleanup_(process_row_fini) struct process_row web = {
        .type = str_dup("web"), .health_type = str_dup("port"), .ready_type = str_dup("process")};
    memcpy(app.space_guid, space_guid, GUID_SIZE);
    guid_new(web.version);
    int r = store_app_insert(s, &app, err);
    if (r < 0)
        return r;
    memcpy(guid, app.guid, GUID_SIZE);
    memcpy(web.app_guid, app.guid, GUID_SIZE);
    memcpy(web.guid, app.guid, GUID_SIZE);
    return store_process_insert(s, &web, err);
}

static int write_one(struct store *s, const char *space_guid, struct error *err) {
    char guid[GUID_SIZE], line[GUID_SIZE + 1];
    int r = store_begin(s, err);
    if (r < 0 || (r = insert_one(s, space_guid, guid, err)) < 0 || (r = store_commit(s, err)) < 0)
        return r;
    snprintf(line, sizeof line, "%s\n", guid);
    return write(STDOUT_FILENO, line, GUID_SIZE) == GUID_SIZE ? 0
                                                              : error_set(err, -EIO, "no reader");
}

static int write_all(struct store *s) {
    struct error err = {0};
    char space[GUID_SIZE];
    int r = make_space(s, space, &err);
    while (r == 0)
        r = write_one(s, space, &err);
    return die(&err);
}

static int make_domain(struct store *s, char guid[GUID_SIZE], struct error *err) {
    _cleanup_(domain_rows_fini) struct domain_rows domains = {0};
    _cleanup_(domain_row_fini) struct domain_row domain = {.name = str_dup("filled.test")};
    int r = store_domain_list(s, NULL, &domains, err);
    if (r == 0 && !domains.n)
        r = store_domain_insert(s, &domain, err);
    memcpy(guid, domains.n ? domains.v[0].guid : domain.guid, GUID_SIZE);
    return r;
}

static int insert_route(struct store *s, const char *space, const char *domain, const char *app,
                        unsigned long i, struct error *err) {
    _cleanup_(route_row_fini) struct route_row route = {
        .host = str_printf("app-%lu", i), .path = str_dup(""), .protocol = str_dup("http")};
    _cleanup_(destination_row_fini) struct destination_row to = {.process_type = str_dup("web"),
                                                                 .protocol = str_dup("http1")};
    memcpy(route.space_guid, space, GUID_SIZE);
    memcpy(route.domain_guid, domain, GUID_SIZE);
    int r = store_route_insert(s, &route, err);
    if (r < 0)
        return r;
    memcpy(to.route_guid, route.guid, GUID_SIZE);
    memcpy(to.app_guid, app, GUID_SIZE);
    return store_destination_insert(s, &to, err);
}

static int fill(struct store *s, unsigned long n) {
    struct error err = {0};
    char space[GUID_SIZE], domain[GUID_SIZE], guid[GUID_SIZE];
    int r = make_space(s, space, &err);
    if (r == 0 && (r = store_begin(s, &err)) == 0)
        r = make_domain(s, domain, &err);
    for (unsigned long i = 0; r == 0 && i < n; i++)
        if ((r = insert_one(s, space, guid, &err)) == 0)
            r = insert_route(s, space, domain, guid, i, &err);
    if (r == 0)
        r = store_commit(s, &err);
    return r < 0 ? die(&err) : 0;
}

/* Every told app with its process, and no app without one. */
static int check_all(struct store *s) {
    struct error err = {0};
    char line[GUID_SIZE + 1];
    unsigned told = 0;
    while (fgets(line, sizeof line, stdin)) {
        _cleanup_(app_row_fini) struct app_row app = {0};
        line[GUID_SIZE - 1] = '\0';
        if (store_app_get(s, line, &app, &err) < 0)
            return die(&err);
        told++;
    }
    _cleanup_(app_rows_fini) struct app_rows apps = {0};
    _cleanup_(process_rows_fini) struct process_rows processes = {0};
    if (store_app_list(s, NULL, &apps, &err) < 0 ||
        store_process_list(s, NULL, &processes, &err) < 0)
        return die(&err);
    if (apps.n != processes.n || apps.n < told) {
        error_set(&err, -EUCLEAN, "%zu apps, %zu processes, %u told", apps.n, processes.n, told);
        return die(&err);
    }
    printf("%u\n", told);
    return 0;
}

static int check_integrity(const char *dir) {
    char path[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    snprintf(path, sizeof path, "%s/berth.db", dir);
    bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
              sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK &&
              sqlite3_step(stmt) == SQLITE_ROW &&
              str_eq((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    if (!ok)
        fprintf(stderr, "store_writer: integrity_check fails\n");
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    struct error err = {0};
    struct store *s = NULL;
    bool filling = argc == 4 && str_eq(argv[1], "fill");
    if (!filling && (argc != 3 || (!str_eq(argv[1], "write") && !str_eq(argv[1], "check"))))
        return 2;
    if (store_open(&s, argv[2], &err) < 0)
        return die(&err);
    int r = filling                    ? fill(s, strtoul(argv[3], NULL, 10))
            : str_eq(argv[1], "write") ? write_all(s)
                                       : check_all(s);
    store_free(s);
    return r ? r : check_integrity(argv[2]);
}
