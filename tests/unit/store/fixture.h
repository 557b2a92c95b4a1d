/* fixture.h - a store in a directory of its own, and the few rows that most tests stand on. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>

#include "common/base/fs.h"
#include "common/base/str.h"
#include "controller/store/accounts.h"
#include "controller/store/apps.h"
#include "controller/store/droplets.h"
#include "controller/store/routes.h"

static char dir[64];
static struct store *store;
static struct error err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        ck_assert_msg(ok_ == 0, #call ": %d %s", ok_, err.msg);                                    \
    } while (0)

static inline void open_store(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    OK(store_open(&store, dir, &err));
}

static inline void close_store(void) {
    store_free(store);
    store = NULL;
    OK(fs_remove_tree(AT_FDCWD, dir, &err));
}

static inline void reopen_store(void) {
    store_free(store);
    store = NULL;
    OK(store_open(&store, dir, &err));
}

/* Each fills `guid`. Texts are copied. */
static inline void make_org(const char *name, char guid[GUID_SIZE]) {
    _cleanup_(org_row_fini) struct org_row row = {.name = str_dup(name)};
    OK(store_org_insert(store, &row, &err));
    memcpy(guid, row.guid, GUID_SIZE);
}

static inline void make_space(const char *org, const char *name, char guid[GUID_SIZE]) {
    _cleanup_(space_row_fini) struct space_row row = {.name = str_dup(name), .ssh = true};
    snprintf(row.org_guid, GUID_SIZE, "%s", org);
    OK(store_space_insert(store, &row, &err));
    memcpy(guid, row.guid, GUID_SIZE);
}

static inline void make_app(const char *space, const char *name, char guid[GUID_SIZE]) {
    _cleanup_(app_row_fini) struct app_row row = {.name = str_dup(name),
                                                  .lifecycle = str_dup("docker")};
    snprintf(row.space_guid, GUID_SIZE, "%s", space);
    OK(store_app_insert(store, &row, &err));
    memcpy(guid, row.guid, GUID_SIZE);
}

static inline void make_process(const char *app, const char *type, char guid[GUID_SIZE]) {
    _cleanup_(process_row_fini) struct process_row row = {.type = str_dup(type),
                                                          .instances = 1,
                                                          .memory_mb = 1024,
                                                          .disk_mb = 1024,
                                                          .log_rate = -1,
                                                          .health_type = str_dup("port"),
                                                          .ready_type = str_dup("process")};
    snprintf(row.app_guid, GUID_SIZE, "%s", app);
    guid_new(row.version);
    if (str_eq(type, "web"))
        memcpy(row.guid, row.app_guid, GUID_SIZE);
    OK(store_process_insert(store, &row, &err));
    memcpy(guid, row.guid, GUID_SIZE);
}

#endif
