#include "tests/unit/store/fixture.h"

#include "controller/store/events.h"
#include "controller/store/flags.h"
#include "controller/store/jobs.h"
#include "controller/store/nodes.h"
#include "controller/store/tokens.h"

static char org[GUID_SIZE], space[GUID_SIZE], app[GUID_SIZE];

static void setup(void) {
    open_store();
    make_org("org", org);
    make_space(org, "space", space);
    make_app(space, "app", app);
}

START_TEST(a_row_comes_back_as_it_was_written) {
    _cleanup_(app_row_fini) struct app_row row = {0}, again = {0};
    OK(store_app_get(store, app, &row, &err));
    ck_assert_str_eq(row.name, "app");
    ck_assert_str_eq(row.space_name, "space");
    ck_assert_str_eq(row.org_guid, org);
    ck_assert_ptr_null(row.env);
    ck_assert_str_eq(row.droplet_guid, "");
    ck_assert(row.created_ns == row.updated_ns && row.created_ns > 0);
    OK(str_set(&row.env, "{\"K\":\"v\xc3\xa4\"}"));
    row.started = true;
    OK(store_app_update(store, &row, &err));
    reopen_store();
    OK(store_app_get(store, app, &again, &err));
    ck_assert_str_eq(again.env, "{\"K\":\"v\xc3\xa4\"}");
    ck_assert(again.started);
    ck_assert_uint_gt(again.updated_ns, again.created_ns);
}
END_TEST

START_TEST(what_is_missing_is_enoent) {
    struct app_row row = {0};
    ck_assert_int_eq(store_app_get(store, "nope", &row, &err), -ENOENT);
    ck_assert_int_eq(store_app_delete(store, "nope", &err), -ENOENT);
    snprintf(row.guid, GUID_SIZE, "nope");
    snprintf(row.space_guid, GUID_SIZE, "%s", space);
    row.name = str_dup("x");
    row.lifecycle = str_dup("docker");
    ck_assert_int_eq(store_app_update(store, &row, &err), -ENOENT);
    snprintf(row.space_guid, GUID_SIZE, "no such space");
    ck_assert_int_eq(store_app_insert(store, &row, &err), -ENOENT);
    app_row_fini(&row);
}
END_TEST

START_TEST(names_are_unique_where_they_must_be) {
    _cleanup_(app_row_fini) struct app_row same = {.name = str_dup("app"),
                                                   .lifecycle = str_dup("docker")};
    _cleanup_(org_row_fini) struct org_row upper = {.name = str_dup("ORG")};
    char other[GUID_SIZE], guid[GUID_SIZE];
    snprintf(same.space_guid, GUID_SIZE, "%s", space);
    ck_assert_int_eq(store_app_insert(store, &same, &err), -EEXIST);
    ck_assert_int_eq(store_org_insert(store, &upper, &err), -EEXIST);
    make_space(org, "other", other);
    make_app(other, "app", guid); /* another space */
    make_app(space, "APP", guid); /* case matters for apps */
}
END_TEST

START_TEST(deleting_an_app_deletes_what_belongs_to_it_but_no_route) {
    char process[GUID_SIZE];
    make_process(app, "web", process);
    _cleanup_(package_row_fini) struct package_row package = {.type = str_dup("docker"),
                                                              .state = str_dup("READY")};
    _cleanup_(domain_row_fini) struct domain_row domain = {.name = str_dup("apps.test")};
    _cleanup_(route_row_fini) struct route_row route = {
        .host = str_dup("a"), .path = str_dup(""), .protocol = str_dup("http")};
    _cleanup_(destination_row_fini) struct destination_row destination = {
        .process_type = str_dup("web"), .protocol = str_dup("http1")};
    snprintf(package.app_guid, GUID_SIZE, "%s", app);
    OK(store_package_insert(store, &package, &err));
    OK(store_domain_insert(store, &domain, &err));
    snprintf(route.space_guid, GUID_SIZE, "%s", space);
    memcpy(route.domain_guid, domain.guid, GUID_SIZE);
    OK(store_route_insert(store, &route, &err));
    memcpy(destination.route_guid, route.guid, GUID_SIZE);
    memcpy(destination.app_guid, app, GUID_SIZE);
    OK(store_destination_insert(store, &destination, &err));

    const char *value = app;
    struct store_filter filter = {"app_guids", &value, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1, .count = true};
    _cleanup_(route_rows_fini) struct route_rows routes = {0};
    OK(store_route_list(store, &q, &routes, &err));
    ck_assert_uint_eq(routes.n, 1);
    ck_assert_str_eq(routes.v[0].domain_name, "apps.test");

    OK(store_app_delete(store, app, &err));
    struct process_row gone = {0};
    struct package_row gone2 = {0};
    struct destination_row gone3 = {0};
    ck_assert_int_eq(store_process_get(store, process, &gone, &err), -ENOENT);
    ck_assert_int_eq(store_package_get(store, package.guid, &gone2, &err), -ENOENT);
    ck_assert_int_eq(store_destination_get(store, destination.guid, &gone3, &err), -ENOENT);
    _cleanup_(route_row_fini) struct route_row still = {0};
    OK(store_route_get(store, route.guid, &still, &err));
    uint64_t n = 0;
    OK(store_route_delete_unmapped(store, space, &n, &err));
    ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(lists_filter_order_and_page) {
    for (int i = 0; i < 25; i++) {
        char name[16], guid[GUID_SIZE];
        snprintf(name, sizeof name, "n%02d", 24 - i);
        make_app(space, name, guid);
    }
    const char *names[] = {"n03", "n07", "nope", "n11"};
    struct store_filter filters[] = {{"names", names, 4},
                                     {"space_guids", (const char *[]){space}, 1}};
    struct store_query q = {.filters = filters,
                            .filter_count = 2,
                            .order = "name",
                            .descending = true,
                            .limit = 2,
                            .count = true};
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    OK(store_app_list(store, &q, &rows, &err));
    ck_assert_uint_eq(rows.total, 3);
    ck_assert_uint_eq(rows.n, 2);
    ck_assert_str_eq(rows.v[0].name, "n11");
    ck_assert_str_eq(rows.v[1].name, "n07");
    app_rows_fini(&rows);
    q.offset = 2;
    OK(store_app_list(store, &q, &rows, &err));
    ck_assert_uint_eq(rows.n, 1);
    ck_assert_str_eq(rows.v[0].name, "n03");
    app_rows_fini(&rows);
    q = (struct store_query){.descending = true, .limit = 1}; /* the newest */
    OK(store_app_list(store, &q, &rows, &err));
    ck_assert_str_eq(rows.v[0].name, "n00");
    app_rows_fini(&rows);
    filters[0].n = 0;
    q = (struct store_query){.filters = filters, .filter_count = 1};
    OK(store_app_list(store, &q, &rows, &err));
    ck_assert_uint_eq(rows.n, 0);
    filters[0].key = "guids; DROP TABLE apps";
    ck_assert_int_eq(store_app_list(store, &q, &rows, &err), -EINVAL);
    q = (struct store_query){.order = "1; DROP TABLE apps"};
    ck_assert_int_eq(store_app_list(store, &q, &rows, &err), -EINVAL);
}
END_TEST

START_TEST(a_user_sees_only_where_it_has_a_role) {
    char other[GUID_SIZE], hidden[GUID_SIZE];
    make_space(org, "other", other);
    make_app(other, "hidden", hidden);
    _cleanup_(user_row_fini) struct user_row user = {
        .username = str_dup("u"), .origin = str_dup("uaa"), .active = true};
    OK(store_user_insert(store, &user, &err));
    _cleanup_(role_row_fini) struct role_row role = {.type = str_dup("space_developer")};
    memcpy(role.user_guid, user.guid, GUID_SIZE);
    memcpy(role.space_guid, space, GUID_SIZE);
    OK(store_role_insert(store, &role, &err));
    struct store_query q = {.visible_to = user.guid, .count = true};
    _cleanup_(app_rows_fini) struct app_rows apps = {0};
    OK(store_app_list(store, &q, &apps, &err));
    ck_assert_uint_eq(apps.n, 1);
    ck_assert_uint_eq(apps.total, 1);
    ck_assert_str_eq(apps.v[0].name, "app");
    _cleanup_(org_rows_fini) struct org_rows orgs = {0};
    OK(store_org_list(store, &q, &orgs, &err));
    ck_assert_uint_eq(orgs.n, 1);
    unsigned roles = 0;
    OK(store_roles_in_space(store, user.guid, space, &roles, &err));
    ck_assert_uint_eq(roles, STORE_SPACE_DEVELOPER);
    OK(store_roles_in_space(store, user.guid, other, &roles, &err));
    ck_assert_uint_eq(roles, 0);
    OK(store_roles_in_org(store, user.guid, org, &roles, &err));
    ck_assert_uint_eq(roles, STORE_SPACE_DEVELOPER);
    struct store_query all = {0};
    _cleanup_(user_rows_fini) struct user_rows users = {0};
    OK(store_user_list(store, &all, &users, &err));
    ck_assert_uint_ge(users.n, 1);
    role.guid[0] = '\0';
    ck_assert_int_eq(store_role_insert(store, &role, &err), -EEXIST);
}
END_TEST

START_TEST(a_transaction_is_all_or_nothing) {
    char guid[GUID_SIZE];
    struct app_row row = {0};
    OK(store_begin(store, &err));
    ck_assert_int_eq(store_begin(store, &err), -EALREADY);
    make_app(space, "one", guid);
    store_rollback(store);
    ck_assert_int_eq(store_app_get(store, guid, &row, &err), -ENOENT);
    OK(store_begin(store, &err));
    make_app(space, "one", guid);
    OK(store_commit(store, &err));
    reopen_store();
    OK(store_app_get(store, guid, &row, &err));
    app_row_fini(&row);
}
END_TEST

START_TEST(stamps_never_repeat_or_go_back) {
    uint64_t last = 0;
    for (int i = 0; i < 10000; i++) {
        uint64_t now = store_now_ns(store);
        ck_assert_uint_gt(now, last);
        last = now;
    }
}
END_TEST

START_TEST(one_process_at_a_time) {
    struct store *second = NULL;
    ck_assert_int_eq(store_open(&second, dir, &err), -EBUSY);
    ck_assert_ptr_null(second);
}
END_TEST

START_TEST(run_info_belongs_to_one_version) {
    char guid[GUID_SIZE];
    void *data = NULL;
    size_t n = 0;
    make_process(app, "web", guid);
    _cleanup_(process_row_fini) struct process_row p = {0};
    OK(store_process_get(store, guid, &p, &err));
    ck_assert_str_eq(p.space_guid, space);
    ck_assert_int_eq(store_process_run_info(store, guid, p.version, &data, &n, &err), -ENOENT);
    OK(store_process_set_run_info(store, guid, p.version, "a\0b", 3, &err));
    OK(store_process_run_info(store, guid, p.version, &data, &n, &err));
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(memcmp(data, "a\0b", 3), 0);
    free(data);
    OK(store_process_update(store, &p, &err)); /* the same version: stays */
    OK(store_process_run_info(store, guid, p.version, &data, &n, &err));
    free(data);
    guid_new(p.version);
    OK(store_process_update(store, &p, &err));
    ck_assert_int_eq(store_process_run_info(store, guid, p.version, &data, &n, &err), -ENOENT);
    ck_assert_int_eq(store_process_set_run_info(store, guid, "old", "x", 1, &err), -ENOENT);
}
END_TEST

START_TEST(flags_have_cloud_controllers_defaults) {
    ck_assert(!store_flag_enabled(store, "diego_docker"));
    ck_assert(store_flag_enabled(store, "app_scaling"));
    ck_assert(!store_flag_enabled(store, "nope"));
    OK(store_flag_set(store, "diego_docker", true, "because", &err));
    reopen_store();
    struct flag flag = {0};
    OK(store_flag_get(store, "diego_docker", &flag, &err));
    ck_assert(flag.enabled && flag.updated_ns);
    ck_assert_str_eq(flag.error_message, "because");
    flag_fini(&flag);
    ck_assert_int_eq(store_flag_set(store, "nope", true, NULL, &err), -ENOENT);
    for (size_t i = 1; i < store_flag_count(); i++)
        ck_assert_int_lt(strcmp(store_flag_name(i - 1), store_flag_name(i)), 0);
}
END_TEST

START_TEST(droplets_keep_their_bytes) {
    struct droplet_row row = {.state = str_dup("STAGED"),
                              .image = str_dup("a/b:1"),
                              .image_packed = mem_dup("\0\1\2", 3),
                              .image_packed_n = 3,
                              .cmd = str_dup("[\"x\"]")};
    snprintf(row.app_guid, GUID_SIZE, "%s", app);
    OK(store_droplet_insert(store, &row, &err));
    struct droplet_row again = {0};
    OK(store_droplet_get(store, row.guid, &again, &err));
    ck_assert_uint_eq(again.image_packed_n, 3);
    ck_assert_int_eq(memcmp(again.image_packed, "\0\1\2", 3), 0);
    ck_assert_str_eq(again.cmd, "[\"x\"]");
    ck_assert_ptr_null(again.entrypoint);
    struct app_row a = {0};
    OK(store_app_get(store, app, &a, &err));
    memcpy(a.droplet_guid, row.guid, GUID_SIZE);
    OK(store_app_update(store, &a, &err));
    app_row_fini(&a);
    OK(store_droplet_delete(store, row.guid, &err));
    OK(store_app_get(store, app, &a, &err));
    ck_assert_str_eq(a.droplet_guid, "");
    app_row_fini(&a);
    droplet_row_fini(&again);
    droplet_row_fini(&row);
}
END_TEST

START_TEST(nodes_tokens_jobs_events_settings) {
    struct node_row node = {.guid = "00112233445566778899aabbccddeeff",
                            .kind = str_dup("cell"),
                            .name = str_dup("cell-1"),
                            .heard_ns = 5};
    OK(store_node_seen(store, &node, &err));
    node.revoked = true;
    OK(store_node_update(store, &node, &err));
    node.heard_ns = 6;
    node.revoked = false;
    OK(store_node_seen(store, &node, &err));
    ck_assert(node.revoked);
    node_row_fini(&node);

    struct token_row token = {.hash = str_dup("h"), .client = str_dup("cf"), .expires_ns = 10},
                     found = {0};
    OK(store_token_insert(store, &token, &err));
    OK(store_token_find(store, "h", &found, &err));
    ck_assert_str_eq(found.guid, token.guid);
    token_row_fini(&found);
    bool revoked = true;
    OK(store_token_is_revoked(store, "j", &revoked, &err));
    ck_assert(!revoked);
    OK(store_token_revoke(store, "j", 10, &err));
    OK(store_token_is_revoked(store, "j", &revoked, &err));
    ck_assert(revoked);
    OK(store_token_prune(store, 11, &err));
    ck_assert_int_eq(store_token_find(store, "h", &found, &err), -ENOENT);
    token_row_fini(&token);

    struct job_row job = {.operation = str_dup("app.delete"), .state = str_dup("COMPLETE")};
    OK(store_job_insert(store, &job, &err));
    OK(store_job_prune(store, job.created_ns, &err));
    ck_assert_int_eq(store_job_prune(store, job.created_ns + 1, &err), 0);
    ck_assert_int_eq(store_job_delete(store, job.guid, &err), -ENOENT);
    job_row_fini(&job);

    struct event_row event = {.type = str_dup("app.crash"), .target_guid = str_dup(app)};
    OK(store_event_insert(store, &event, &err));
    OK(store_app_delete(store, app, &err));
    struct event_row told = {0};
    OK(store_event_get(store, event.guid, &told, &err)); /* outlives its app */
    event_row_fini(&told);
    event_row_fini(&event);

    char *value = NULL;
    ck_assert_int_eq(store_setting_get(store, "x", &value, &err), -ENOENT);
    OK(store_setting_set(store, "x", "1", &err));
    OK(store_setting_set(store, "x", "2", &err));
    OK(store_setting_get(store, "x", &value, &err));
    ck_assert_str_eq(value, "2");
    free(value);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("store/store");
    TCase *tcase = tcase_create("store");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, close_store);
    const TTest *const tests[] = {
        a_row_comes_back_as_it_was_written,
        what_is_missing_is_enoent,
        names_are_unique_where_they_must_be,
        deleting_an_app_deletes_what_belongs_to_it_but_no_route,
        lists_filter_order_and_page,
        a_user_sees_only_where_it_has_a_role,
        a_transaction_is_all_or_nothing,
        stamps_never_repeat_or_go_back,
        one_process_at_a_time,
        run_info_belongs_to_one_version,
        flags_have_cloud_controllers_defaults,
        droplets_keep_their_bytes,
        nodes_tokens_jobs_events_settings,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
