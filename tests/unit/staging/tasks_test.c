/* Tasks' rows to the brain: run, ended, forgotten; whatever happens to the app meanwhile. */
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/staging/internal.h"
#include "controller/store/accounts.h"
#include "controller/store/flags.h"

#define TEXT(s) ((char *)(s))

static char dir[64];
static struct store *store;
static struct logs *logs;
static struct lrp *lrp;
static struct staging *staging;
static struct app_row app;
static struct droplet_row droplet;
static struct error err;
static int notes;

/* As the brain's owner does. */
static int on_tasks(void *data, const struct lrp_task_note *list, size_t n) {
    (void)data;
    for (size_t i = 0; i < n; i++, notes++) {
        static const char *const states[] = {"PENDING", "RUNNING", "SUCCEEDED", "FAILED"};
        const struct task_progress p = {list[i].guid, states[list[i].state], list[i].instance_guid,
                                        list[i].cell_id, list[i].reason};
        ck_assert_int_eq(store_task_progress(store, &p, &err), 0);
    }
    return 0;
}
static void on_cell_changed(void *data, const char *id) {
    (void)data, (void)id;
}
static void on_nothing(void *data) {
    (void)data;
}
static void on_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    guid_new(buf);
}

static void open_brain(void) {
    const struct lrp_config config = {
        .presence_ms = 15000, .converge_ms = 30000, .settle_ms = 15000, .rng_seed = 1};
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_nothing,
                                .on_work = on_nothing,
                                .on_tasks = on_tasks,
                                .new_guid = on_guid};
    ck_assert_int_eq(lrp_new(&lrp, &config, &ops, clock_mono_ms(), NULL), 0);
    const struct staging_deps deps = {
        .store = store, .logs = logs, .lrp = lrp, .api_url = "https://api.example"};
    ck_assert_int_eq(staging_new(&staging, &deps, NULL), 0);
}

static void close_brain(void) {
    staging_free(staging);
    lrp_free(lrp);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-tasks-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(store_open(&store, dir, &err), 0);
    ck_assert_int_eq(logs_new(&logs, 1 << 20, 1 << 20, NULL), 0);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", true, NULL, NULL), 0);
    struct org_row org = {.name = TEXT("acme")};
    struct space_row space = {.name = TEXT("dev")};
    ck_assert_int_eq(store_org_insert(store, &org, NULL), 0);
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    ck_assert_int_eq(store_space_insert(store, &space, NULL), 0);
    app = (struct app_row){.name = TEXT("a"), .lifecycle = TEXT("docker")};
    memcpy(app.space_guid, space.guid, GUID_SIZE);
    ck_assert_int_eq(store_app_insert(store, &app, &err), 0);
    static uint8_t image[256];
    Berth__Image packed;
    berth__image__init(&packed);
    packed.reference = TEXT("x");
    droplet = (struct droplet_row){.state = TEXT("STAGED"),
                                   .cmd = TEXT("[\"serve\"]"),
                                   .image_packed = image,
                                   .image_packed_n = berth__image__pack(&packed, image)};
    memcpy(droplet.app_guid, app.guid, GUID_SIZE);
    ck_assert_int_eq(store_droplet_insert(store, &droplet, &err), 0);
    open_brain();
    lrp_desired_complete(lrp, clock_mono_ms());
    notes = 0;
}

static void teardown(void) {
    close_brain();
    logs_free(logs);
    store_free(store);
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void make_task(char guid[GUID_SIZE], const char *state) {
    struct task_row row = {.name = TEXT("migrate"),
                           .state = TEXT(state),
                           .memory_mb = 64,
                           .disk_mb = 64,
                           .log_rate = -1};
    void *packed = NULL;
    size_t n;
    memcpy(row.app_guid, app.guid, GUID_SIZE);
    ck_assert_int_eq(store_task_number(store, app.guid, &row.sequence_id, &err), 0);
    ck_assert_int_eq(store_task_insert(store, &row, &err), 0);
    ck_assert_int_eq(staging_pack_task(staging, &app, &droplet, &row, "x", &packed, &n, &err), 0);
    ck_assert_int_eq(store_task_set_run_info(store, row.guid, packed, n, &err), 0);
    free(packed);
    memcpy(guid, row.guid, GUID_SIZE);
}

static void ck_task(const char *guid, const char *state, const char *reason) {
    _cleanup_(task_row_fini) struct task_row row = {0};
    lrp_converge(lrp, clock_mono_ms());
    ck_assert_int_eq(store_task_get(store, guid, &row, &err), 0);
    ck_assert_str_eq(row.state, state);
    ck_assert_str_eq(row.failure_reason ? row.failure_reason : "", reason);
}

static uint64_t pending(void) {
    struct lrp_totals totals;
    lrp_totals(lrp, &totals);
    return totals.tasks_pending;
}

static void add_cell(void) {
    const struct lrp_cell_info cell = {
        .id = "c1", .name = "c1", .memory_mb = 1000, .disk_mb = 1000, .containers = 10};
    ck_assert_int_eq(lrp_cell_present(lrp, &cell, clock_mono_ms()), 0);
    ck_assert_int_eq(lrp_report(lrp, "c1", true, true, NULL, 0, clock_mono_ms(), 1), 0);
}

START_TEST(a_task_is_told_once_and_placed) {
    char guid[GUID_SIZE];
    make_task(guid, "PENDING");
    ck_assert_int_eq(staging_desire_task(staging, guid, &err), 0);
    ck_assert_int_eq(staging_desire_task(staging, guid, &err), 0);
    ck_assert_int_eq(staging_desire_all(staging, &err), 0);
    ck_assert_uint_eq(pending(), 1);
    add_cell();
    ck_task(guid, "PENDING", "");
    _cleanup_(task_row_fini) struct task_row row = {0};
    ck_assert_int_eq(store_task_get(store, guid, &row, &err), 0);
    ck_assert_str_eq(row.cell_id, "c1");
    ck_assert_str_ne(row.instance_guid, "");
    ck_assert_int_eq(staging_desire_task(staging, "nobody", &err), 0);
}
END_TEST

START_TEST(a_canceling_task_is_ended_also_by_the_next_controller) {
    char guid[GUID_SIZE];
    make_task(guid, "CANCELING");
    close_brain();
    open_brain();
    ck_assert_int_eq(staging_desire_all(staging, &err), 0);
    lrp_desired_complete(lrp, clock_mono_ms());
    ck_task(guid, "FAILED", "task was cancelled");
    ck_assert_uint_eq(pending(), 0);
}
END_TEST

START_TEST(the_flag_ends_tasks_of_docker_apps) {
    char guid[GUID_SIZE];
    make_task(guid, "PENDING");
    ck_assert_int_eq(staging_desire_task(staging, guid, &err), 0);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", false, NULL, NULL), 0);
    ck_assert_int_eq(staging_desire_all(staging, &err), 0);
    ck_task(guid, "FAILED", "task was cancelled: the feature flag diego_docker is disabled");
}
END_TEST

START_TEST(a_task_of_an_app_that_is_gone_is_forgotten) {
    char guid[GUID_SIZE];
    make_task(guid, "PENDING");
    ck_assert_int_eq(staging_desire_task(staging, guid, &err), 0);
    ck_assert_int_eq(store_app_delete(store, app.guid, &err), 0);
    ck_assert_int_eq(staging_desire_app(staging, app.guid, &err), 0);
    ck_assert_uint_eq(pending(), 0);
    lrp_converge(lrp, clock_mono_ms());
    ck_assert_int_eq(notes, 0);
}
END_TEST

START_TEST(a_task_that_cannot_be_read_fails_and_the_others_run) {
    char guids[3][GUID_SIZE];
    for (int i = 0; i < 3; i++)
        make_task(guids[i], "PENDING");
    const struct task_progress damaged = {guids[0], "SUCCEEDED", "", "", ""};
    ck_assert_int_eq(store_task_progress(store, &damaged, &err), 0); /* its run info goes */
    _cleanup_(task_row_fini) struct task_row row = {0};
    ck_assert_int_eq(store_task_get(store, guids[0], &row, &err), 0);
    ck_assert_int_eq(str_set(&row.state, "RUNNING"), 0);
    ck_assert_int_eq(store_task_update(store, &row, &err), 0);
    ck_assert_int_eq(staging_desire_all(staging, &err), 0);
    ck_assert_uint_eq(pending(), 2);
    _cleanup_(freep) char *reason = str_printf("nothing is kept for task %s", guids[0]);
    ck_task(guids[0], "FAILED", reason);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_task_is_told_once_and_placed,
        a_canceling_task_is_ended_also_by_the_next_controller,
        the_flag_ends_tasks_of_docker_apps,
        a_task_of_an_app_that_is_gone_is_forgotten,
        a_task_that_cannot_be_read_fails_and_the_others_run,
    };
    Suite *suite = suite_create("staging/tasks");
    TCase *tcase = tcase_create("tasks");
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
