/* Deployments, the versions that go, revisions. */
#include "tests/unit/store/fixture.h"

#include "controller/store/deployments.h"
#include "controller/store/droplets.h"

static char org[GUID_SIZE], space[GUID_SIZE], app[GUID_SIZE], process[GUID_SIZE];

static void setup(void) {
    open_store();
    make_org("org", org);
    make_space(org, "space", space);
    make_app(space, "app", app);
    make_process(app, "web", process);
}

static int insert_deployment(const char *value, const char *reason) {
    _cleanup_(deployment_row_fini) struct deployment_row row = {.strategy = str_dup("rolling"),
                                                                .status_value = str_dup(value),
                                                                .status_reason = str_dup(reason),
                                                                .max_in_flight = 1,
                                                                .previous_log_rate = -1};
    snprintf(row.app_guid, GUID_SIZE, "%s", app);
    snprintf(row.process_guid, GUID_SIZE, "%s", process);
    return store_deployment_insert(store, &row, &err);
}

START_TEST(one_deployment_of_an_app_is_active) {
    _cleanup_(deployment_row_fini) struct deployment_row row = {0};
    ck_assert_int_eq(store_deployment_active(store, app, &row, &err), -ENOENT);
    OK(insert_deployment("FINALIZED", "DEPLOYED"));
    ck_assert_int_eq(store_deployment_active(store, app, &row, &err), -ENOENT);
    OK(insert_deployment("ACTIVE", "DEPLOYING"));
    ck_assert_int_eq(insert_deployment("ACTIVE", "DEPLOYING"), -EEXIST);
    reopen_store();
    OK(store_deployment_active(store, app, &row, &err));
    ck_assert_str_eq(row.status_reason, "DEPLOYING");
    ck_assert_str_eq(row.app_name, "app");
    ck_assert_str_eq(row.space_guid, space);
    ck_assert_int_eq(row.previous_log_rate, -1);
    OK(str_set(&row.status_value, "FINALIZED"));
    OK(store_deployment_update(store, &row, &err));
    OK(insert_deployment("ACTIVE", "DEPLOYING"));
}
END_TEST

START_TEST(old_deployments_are_trimmed_but_not_the_active_one) {
    _cleanup_(deployment_rows_fini) struct deployment_rows rows = {0};
    OK(insert_deployment("ACTIVE", "DEPLOYING"));
    for (int i = 0; i < 5; i++)
        OK(insert_deployment("FINALIZED", i == 4 ? "CANCELED" : "DEPLOYED"));
    OK(store_deployment_trim(store, app, 2, &err));
    OK(store_deployment_list(store, &(struct store_query){0}, &rows, &err));
    ck_assert_uint_eq(rows.n, 3);
    ck_assert_str_eq(rows.v[0].status_value, "ACTIVE");
    ck_assert_str_eq(rows.v[2].status_reason, "CANCELED");
}
END_TEST

static void ck_runs(const char *version, const char *text) {
    void *data = NULL;
    size_t n = 0;
    OK(store_process_run_info(store, process, version, &data, &n, &err));
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_int_eq(memcmp(data, text, n), 0);
    free(data);
}

START_TEST(a_version_is_retired_and_comes_back_with_what_it_ran) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    _cleanup_(process_row_fini) struct process_row again = {0};
    struct old_version_row old = {.whole = true, .instances = 2, .memory_mb = 64, .log_rate = -1};
    char first[GUID_SIZE];
    void *data = NULL;
    size_t n = 0;
    OK(store_process_get(store, process, &p, &err));
    memcpy(first, p.version, GUID_SIZE);
    ck_assert_int_eq(store_old_version_retire(store, &p, &old, &err), -ENOENT); /* never ran */
    old = (struct old_version_row){.whole = true, .instances = 2, .memory_mb = 64, .log_rate = -1};
    OK(store_process_set_run_info(store, process, first, "first", 5, &err));
    OK(store_old_version_retire(store, &p, &old, &err));
    guid_new(p.version);
    p.rolling = true;
    p.rolled = 1;
    OK(store_process_update(store, &p, &err));
    OK(store_process_set_run_info(store, process, p.version, "second", 6, &err));
    reopen_store();

    _cleanup_(old_version_rows_fini) struct old_version_rows rows = {0};
    const char *guid = app;
    const struct store_filter filter = {"app_guids", &guid, 1};
    OK(store_old_version_list(store, &(struct store_query){.filters = &filter, .filter_count = 1},
                              &rows, &err));
    ck_assert_uint_eq(rows.n, 1);
    ck_assert_str_eq(rows.v[0].version, first);
    ck_assert_str_eq(rows.v[0].process_guid, process);
    ck_assert_uint_eq(rows.v[0].instances, 2);
    OK(store_old_version_run_info(store, &rows.v[0], &data, &n, &err));
    ck_assert(n == 5 && memcmp(data, "first", 5) == 0);
    free(data);
    ck_runs(p.version, "second");

    OK(store_old_version_restore(store, &rows.v[0], &p, &err));
    ck_assert_str_eq(p.version, first);
    OK(store_process_get(store, process, &again, &err));
    ck_assert_str_eq(again.version, first);
    ck_assert(again.rolling && again.rolled == 1 && process_wanted(&again) == 1);
    ck_runs(first, "first");
    ck_assert_int_eq(store_old_version_get(store, rows.v[0].guid, &old, &err), -ENOENT);
}
END_TEST

START_TEST(the_lrp_of_an_old_version_is_the_process_s) {
    struct process_row p = {.guid = "p", .version = "v", .instances = 3, .rolled = 1};
    char name[2 * GUID_SIZE];
    process_lrp_guid(&p, name);
    ck_assert_str_eq(name, "p-v");
    snprintf(p.old_of, GUID_SIZE, "q");
    process_lrp_guid(&p, name);
    ck_assert_str_eq(name, "q-v");
    ck_assert_uint_eq(process_wanted(&p), 3);
    p.rolling = true;
    ck_assert_uint_eq(process_wanted(&p), 1);
    p.rolled = 9;
    ck_assert_uint_eq(process_wanted(&p), 3);
}
END_TEST

static void insert_revision(uint64_t version, const char *droplet) {
    _cleanup_(revision_row_fini) struct revision_row row = {
        .version = version, .description = str_dup("Initial revision."), .env = str_dup("{}")};
    snprintf(row.app_guid, GUID_SIZE, "%s", app);
    snprintf(row.droplet_guid, GUID_SIZE, "%s", droplet);
    OK(store_revision_insert(store, &row, &err));
}

START_TEST(revisions_know_whether_they_can_be_deployed_and_are_trimmed) {
    _cleanup_(revision_rows_fini) struct revision_rows rows = {0};
    _cleanup_(droplet_row_fini) struct droplet_row droplet = {.state = str_dup("STAGED")};
    snprintf(droplet.app_guid, GUID_SIZE, "%s", app);
    OK(store_droplet_insert(store, &droplet, &err));
    insert_revision(1, "no droplet any more");
    insert_revision(2, droplet.guid);
    insert_revision(3, droplet.guid);
    static const char *const two[] = {"2"};
    const struct store_filter filter = {"versions", two, 1};
    OK(store_revision_list(store, &(struct store_query){.filters = &filter, .filter_count = 1},
                           &rows, &err));
    ck_assert_uint_eq(rows.n, 1);
    ck_assert(rows.v[0].deployable && rows.v[0].version == 2);
    ck_assert_str_eq(rows.v[0].env, "{}");
    revision_rows_fini(&rows);
    static const char *const no[] = {"false"};
    const struct store_filter gone = {"deployable", no, 1};
    OK(store_revision_list(
        store, &(struct store_query){.filters = &gone, .filter_count = 1, .count = true}, &rows,
        &err));
    ck_assert(rows.n == 1 && rows.total == 1 && rows.v[0].version == 1);
    revision_rows_fini(&rows);
    OK(store_revision_list(store, &(struct store_query){0}, &rows, &err));
    ck_assert(rows.n == 3 && !rows.v[0].deployable);
    revision_rows_fini(&rows);
    OK(store_revision_trim(store, app, 2, &err));
    OK(store_revision_list(store, &(struct store_query){0}, &rows, &err));
    ck_assert(rows.n == 2 && rows.v[0].version == 2);
}
END_TEST

START_TEST(an_app_takes_its_deployments_with_it) {
    struct old_version_row old = {.log_rate = -1};
    _cleanup_(process_row_fini) struct process_row p = {0};
    _cleanup_(deployment_rows_fini) struct deployment_rows deployments = {0};
    _cleanup_(old_version_rows_fini) struct old_version_rows olds = {0};
    _cleanup_(revision_rows_fini) struct revision_rows revisions = {0};
    OK(store_process_get(store, process, &p, &err));
    OK(store_process_set_run_info(store, process, p.version, "x", 1, &err));
    OK(store_old_version_retire(store, &p, &old, &err));
    OK(insert_deployment("ACTIVE", "DEPLOYING"));
    insert_revision(1, "");
    OK(store_app_delete(store, app, &err));
    OK(store_deployment_list(store, &(struct store_query){0}, &deployments, &err));
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    OK(store_revision_list(store, &(struct store_query){0}, &revisions, &err));
    ck_assert_uint_eq(deployments.n + olds.n + revisions.n, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store/deployments");
    TCase *tcase = tcase_create("deployments");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, close_store);
    const TTest *const tests[] = {
        one_deployment_of_an_app_is_active,
        old_deployments_are_trimmed_but_not_the_active_one,
        a_version_is_retired_and_comes_back_with_what_it_ran,
        the_lrp_of_an_old_version_is_the_process_s,
        revisions_know_whether_they_can_be_deployed_and_are_trimmed,
        an_app_takes_its_deployments_with_it,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
