#include "tests/unit/lib/runner.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/records.h"
#include "common/base/fs.h"
#include "common/base/str.h"

static char dir[64];
static struct strbuf names;

static void on_name(void *arg, const char *guid) {
    strbuf_printf(&names, "%s ", guid);
    records_forget(arg, guid);
}

START_TEST(records_outlive_their_keeper) {
    struct records *r = NULL;
    Berth__InstanceRecord record = BERTH__INSTANCE_RECORD__INIT;
    Berth__ActualLrp outcome = BERTH__ACTUAL_LRP__INIT;
    struct stat st;
    char path[128];
    snprintf(dir, sizeof dir, "/tmp/berth-records-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(records_open(&r, dir, NULL), 0);
    outcome.reason = (char *)(uintptr_t) "why not";
    record.running_since_wall_ns = 5;
    ck_assert_int_eq(records_keep(r, "a", &record, false, NULL), 0);
    record.outcome = &outcome;
    ck_assert_int_eq(records_keep(r, "a", &record, false, NULL), 0);
    records_free(r);

    ck_assert_int_eq(records_open(&r, dir, NULL), 0);
    Berth__InstanceRecord *back = records_read(r, "a");
    ck_assert_uint_eq(back->running_since_wall_ns, 5);
    ck_assert_str_eq(back->outcome->reason, "why not");
    berth__instance_record__free_unpacked(back, NULL);
    ck_assert_ptr_null(records_read(r, "b"));
    snprintf(path, sizeof path, "%s/a", dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);

    /* damage counts as absence; what a killed agent was writing is removed */
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, "\xff\xff\xff", 3, NULL), 0);
    ck_assert_ptr_null(records_read(r, "a"));
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, "", 0, NULL), 0);
    ck_assert_ptr_null(records_read(r, "a"));
    snprintf(path, sizeof path, "%s/b.tmp", dir);
    ck_assert_int_eq(fs_write_quick(AT_FDCWD, path, 0600, "x", 1, NULL), 0);
    ck_assert_int_eq(records_each(r, on_name, r, NULL), 0);
    ck_assert_str_eq(names.p, "a ");
    ck_assert_int_eq(rmdir(dir), 0); /* nothing is left */
    strbuf_fini(&names);
    records_free(r);
}
END_TEST

RUN_TESTS("cell/records", records_outlive_their_keeper)
