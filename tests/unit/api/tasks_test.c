/* Tasks by the API's contract: what is made, shown, refused, ended. The brain is a fake. */
#include "tests/unit/api/harness.h"

#include <errno.h>

#include "controller/store/tasks.h"

static char app_guid[GUID_SIZE];
static char url[300];

static const char *at(const char *fmt, const char *guid) {
    snprintf(url, sizeof url, "%s", "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(url, sizeof url, fmt, guid);
#pragma GCC diagnostic pop
    return url;
}

static void make_app(const char *name, char guid[GUID_SIZE]) {
    char body[300];
    snprintf(body, sizeof body, "{'name':'%s','relationships':{'space':{'data':{'guid':'%s'}}}}",
             name, space_guid);
    struct answer a = want(201, "POST", "/v3/apps", body);
    snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

static void give_droplet(const char *app) {
    char body[300], build[GUID_SIZE], droplet[GUID_SIZE];
    snprintf(body, sizeof body,
             "{'type':'docker','data':{'image':'x'},"
             "'relationships':{'app':{'data':{'guid':'%s'}}}}",
             app);
    struct answer a = want(201, "POST", "/v3/packages", body);
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(201, "POST", "/v3/builds", body);
    snprintf(build, sizeof build, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(200, "GET", at("/v3/builds/%s", build), NULL);
    snprintf(droplet, sizeof droplet, "%s", text_at(&a, "droplet.guid"));
    answer_fini(&a);
    snprintf(body, sizeof body, "{'data':{'guid':'%s'}}", droplet);
    a = want(200, "PATCH", at("/v3/apps/%s/relationships/current_droplet", app), body);
    answer_fini(&a);
}

static void setup(void) {
    harness_up(true);
    make_app("a", app_guid);
    give_droplet(app_guid);
}

static struct answer run(int status, const char *body) {
    return want(status, "POST", at("/v3/apps/%s/tasks", app_guid), body);
}

static void run_guid(const char *body, char guid[GUID_SIZE]) {
    struct answer a = run(202, body);
    snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
}

static int64_t int_at(const struct answer *a, const char *path) {
    int64_t n = -99;
    body_int(a->json, path, &n);
    return n;
}

static void progress(const char *guid, const char *state, const char *reason) {
    const struct task_progress p = {guid, state, "i", "c", reason};
    OK(store_task_progress(store, &p, &err));
}

static size_t count(const char *where) {
    struct answer a = want(200, "GET", where, NULL);
    size_t n = json_array_size(json_object_get(a.json, "resources"));
    answer_fini(&a);
    return n;
}

START_TEST(a_task_is_made_with_all_that_was_asked_for) {
    struct answer a = run(202, "{'command':'echo hi','name':'migrate','memory_in_mb':64,"
                               "'disk_in_mb':128,'log_rate_limit_in_bytes_per_second':1000,"
                               "'metadata':{'labels':{'k':'v'}}}");
    ck_assert_str_eq(text_at(&a, "name"), "migrate");
    ck_assert_str_eq(text_at(&a, "command"), "echo hi");
    ck_assert_str_eq(text_at(&a, "state"), "PENDING");
    ck_assert_int_eq(int_at(&a, "sequence_id"), 1);
    ck_assert_int_eq(int_at(&a, "memory_in_mb"), 64);
    ck_assert_int_eq(int_at(&a, "disk_in_mb"), 128);
    ck_assert_int_eq(int_at(&a, "log_rate_limit_in_bytes_per_second"), 1000);
    ck_assert(body_null(a.json, "result.failure_reason"));
    ck_assert_str_eq(text_at(&a, "relationships.app.data.guid"), app_guid);
    ck_assert_str_eq(text_at(&a, "metadata.labels.k"), "v");
    ck_assert_str_eq(last_task, text_at(&a, "guid"));
    ck_assert_str_eq(last_command, "echo hi");
    _cleanup_(freep) void *kept = NULL;
    size_t n = 0;
    OK(store_task_run_info(store, last_task, &kept, &n, &err));
    ck_assert_uint_eq(n, 6);
    answer_fini(&a);
}
END_TEST

START_TEST(what_was_not_asked_for_is_as_apps_get_it) {
    struct answer a = run(202, "{'command':'true'}");
    ck_assert_int_eq(int_at(&a, "memory_in_mb"), 1024);
    ck_assert_int_eq(int_at(&a, "disk_in_mb"), 1024);
    ck_assert_int_eq(int_at(&a, "log_rate_limit_in_bytes_per_second"), -1);
    ck_assert_uint_eq(strlen(text_at(&a, "name")), 8);
    ck_assert_uint_eq(strspn(text_at(&a, "name"), "0123456789abcdef"), 8);
    answer_fini(&a);
}
END_TEST

START_TEST(a_template_gives_what_was_not_asked_for) {
    char body[200];
    struct answer a = want(200, "PATCH", at("/v3/processes/%s", app_guid), "{'command':'serve'}");
    answer_fini(&a);
    a = want(202, "POST", at("/v3/processes/%s/actions/scale", app_guid), "{'memory_in_mb':99}");
    answer_fini(&a);
    snprintf(body, sizeof body, "{'template':{'process':{'guid':'%s'}},'disk_in_mb':7}", app_guid);
    a = run(202, body);
    ck_assert_str_eq(text_at(&a, "command"), "serve");
    ck_assert_int_eq(int_at(&a, "memory_in_mb"), 99);
    ck_assert_int_eq(int_at(&a, "disk_in_mb"), 7);
    answer_fini(&a);
    a = want(200, "PATCH", at("/v3/processes/%s", app_guid), "{'command':null}");
    answer_fini(&a);
    a = run(202, body); /* the image's own */
    ck_assert_str_eq(text_at(&a, "command"), "/run");
    ck_assert_str_eq(last_command, "(the image's)");
    answer_fini(&a);
    a = run(404, "{'template':{'process':{'guid':'nobody'}}}");
    ck_assert_str_eq(detail_of(&a), "Process not found");
    answer_fini(&a);
}
END_TEST

START_TEST(what_cannot_be_a_task_is_refused_in_words) {
    static const struct {
        const char *body, *detail;
    } rows[] = {
        {"{}", "Command No command or template provided"},
        {"{'command':'x','memory_in_mb':0}", "Memory in mb must be greater than or equal to 1"},
        {"{'command':'x','memory_in_mb':'1G'}", "Memory in mb is not a number"},
        {"{'command':'x','disk_in_mb':99999999}", "Disk in mb must be less than or equal to 65536"},
        {"{'command':'x','log_rate_limit_in_bytes_per_second':-2}",
         "Log rate limit in bytes per second must be greater than or equal to -1"},
        {"{'command':7}", "Command must be a string"},
        {"{'command':'x','name':'a\\u001bb'}", "Name contains invalid characters"},
        {"{'command':'x','what':1}", "Unknown field(s): 'what'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct answer a = run(422, rows[i].body);
        ck_assert_str_eq(detail_of(&a), rows[i].detail);
        ck_assert_int_eq(code_of(&a), 10008);
        answer_fini(&a);
    }
    ck_assert_uint_eq(count("/v3/tasks"), 0);
    char long_command[4400];
    int n = snprintf(long_command, sizeof long_command, "{'command':'");
    memset(long_command + n, 'x', 4097);
    snprintf(long_command + n + 4097, 8, "'}");
    struct answer a = run(422, long_command);
    answer_fini(&a);
}
END_TEST

START_TEST(an_app_without_a_droplet_runs_no_tasks) {
    char other[GUID_SIZE];
    make_app("b", other);
    struct answer a = want(422, "POST", at("/v3/apps/%s/tasks", other), "{'command':'x'}");
    ck_assert_str_eq(detail_of(&a), "Task must have a droplet. Specify droplet or assign current "
                                    "droplet to app.");
    answer_fini(&a);
    a = run(404, "{'command':'x','droplet_guid':'nobody'}");
    ck_assert_str_eq(detail_of(&a), "Droplet not found");
    answer_fini(&a);
    task_refusal = -E2BIG;
    a = run(422, "{'command':'x'}");
    ck_assert_str_eq(detail_of(&a), "not today");
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/tasks"), 0);
}
END_TEST

START_TEST(flags_close_the_door) {
    struct answer a = want(200, "PATCH", "/v3/feature_flags/diego_docker", "{'enabled':false}");
    answer_fini(&a);
    ck_assert_uint_eq(desired_all_count, 1); /* tasks end with the apps */
    a = run(403, "{'command':'x'}");
    ck_assert_int_eq(code_of(&a), 330002);
    ck_assert_str_eq(detail_of(&a), "Feature Disabled: diego_docker");
    answer_fini(&a);
    a = want(200, "PATCH", "/v3/feature_flags/diego_docker", "{'enabled':true}");
    answer_fini(&a);
    a = want(200, "PATCH", "/v3/feature_flags/task_creation", "{'enabled':false}");
    answer_fini(&a);
    a = run(202, "{'command':'x'}"); /* admins may all the same */
    answer_fini(&a);
    char guid[GUID_SIZE], body[300];
    _cleanup_(freep) char *developer = other_user("dev", guid);
    snprintf(body, sizeof body,
             "{'type':'organization_user','relationships':{'user':{'data':{'guid':'%s'}},"
             "'organization':{'data':{'guid':'%s'}}}}",
             guid, org_guid);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'type':'space_developer','relationships':{'user':{'data':{'guid':'%s'}},"
             "'space':{'data':{'guid':'%s'}}}}",
             guid, space_guid);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    a = ask_full(&(struct question){.method = "POST",
                                    .url = at("/v3/apps/%s/tasks", app_guid),
                                    .authorization = developer,
                                    .body = "{\"command\":\"x\"}"});
    ck_assert_int_eq(a.status, 403);
    ck_assert_int_eq(code_of(&a), 330002);
    ck_assert_str_eq(detail_of(&a), "Feature Disabled: task_creation");
    answer_fini(&a);
}
END_TEST

START_TEST(numbers_go_on_and_are_never_used_again) {
    char first[GUID_SIZE], second[GUID_SIZE], other[GUID_SIZE];
    run_guid("{'command':'x'}", first);
    run_guid("{'command':'x'}", second);
    progress(second, "SUCCEEDED", "");
    OK(store_task_prune(store, UINT64_MAX >> 1, &err));
    struct answer a = run(202, "{'command':'x'}");
    ck_assert_int_eq(int_at(&a, "sequence_id"), 3);
    answer_fini(&a);
    make_app("b", other);
    give_droplet(other);
    a = want(202, "POST", at("/v3/apps/%s/tasks", other), "{'command':'x'}");
    ck_assert_int_eq(int_at(&a, "sequence_id"), 1);
    answer_fini(&a);
    ck_assert_uint_eq(count(at("/v3/apps/%s/tasks", app_guid)), 2);
    ck_assert_uint_eq(count("/v3/tasks"), 3);
}
END_TEST

START_TEST(lists_are_narrowed_as_asked) {
    char guid[GUID_SIZE], rest[200];
    run_guid("{'command':'x','name':'one','metadata':{'labels':{'k':'v'}}}", guid);
    struct answer a = run(202, "{'command':'x','name':'two'}");
    answer_fini(&a);
    progress(guid, "FAILED", "APP/TASK/one: Exited with status 3");
    static const struct {
        const char *query;
        size_t n;
    } rows[] = {{"names=one", 1},
                {"names=one,two", 2},
                {"states=FAILED", 1},
                {"states=PENDING", 1},
                {"sequence_ids=2", 1},
                {"sequence_ids=1,2,7", 2},
                {"label_selector=k%3Dv", 1},
                {"guids=x", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        snprintf(rest, sizeof rest, "/v3/apps/%s/tasks?%s", app_guid, rows[i].query);
        ck_assert_msg(count(rest) == rows[i].n, "%s: %zu", rows[i].query, count(rest));
    }
    snprintf(rest, sizeof rest, "/v3/tasks?app_guids=%s&space_guids=%s&organization_guids=%s",
             app_guid, space_guid, org_guid);
    ck_assert_uint_eq(count(rest), 2);
    a = want(200, "GET", at("/v3/apps/%s/tasks?order_by=-created_at&per_page=1", app_guid), NULL);
    const json_t *newest = json_array_get(json_object_get(a.json, "resources"), 0);
    ck_assert_str_eq(body_text(newest, "name"), "two");
    ck_assert_int_eq(int_at(&a, "pagination.total_results"), 2);
    answer_fini(&a);
    a = want(400, "GET", "/v3/tasks?what=1", NULL);
    answer_fini(&a);
    a = want(200, "GET", at("/v3/tasks/%s", guid), NULL);
    ck_assert_str_eq(text_at(&a, "result.failure_reason"), "APP/TASK/one: Exited with status 3");
    answer_fini(&a);
}
END_TEST

START_TEST(a_command_is_shown_to_whoever_may_see_secrets) {
    char guid[GUID_SIZE], user[GUID_SIZE], body[300];
    run_guid("{'command':'login --password x'}", guid);
    struct answer a = want(200, "GET", at("/v3/tasks/%s", guid), NULL);
    ck_assert_str_eq(text_at(&a, "command"), "login --password x");
    answer_fini(&a);
    a = want(200, "GET", "/v3/tasks", NULL);
    ck_assert_ptr_null(strstr(a.text, "password"));
    answer_fini(&a);
    _cleanup_(freep) char *auditor = other_user("aud", user);
    struct role_row role = {.type = str_dup("space_auditor")};
    memcpy(role.user_guid, user, GUID_SIZE);
    memcpy(role.space_guid, space_guid, GUID_SIZE);
    OK(store_role_insert(store, &role, &err));
    role_row_fini(&role);
    const char *const urls[] = {"/v3/tasks/%s", "/v3/apps/%s/tasks"};
    for (int i = 0; i < 2; i++) {
        a = ask_full(&(struct question){
            .method = "GET", .url = at(urls[i], i ? app_guid : guid), .authorization = auditor});
        ck_assert_int_eq(a.status, 200);
        ck_assert_ptr_nonnull(strstr(a.text, guid));
        ck_assert_ptr_null(strstr(a.text, "password"));
        answer_fini(&a);
    }
    snprintf(body, sizeof body, "/v3/audit_events?types=audit.app.task.create&target_guids=%s",
             app_guid);
    a = want(200, "GET", body, NULL);
    ck_assert_ptr_nonnull(strstr(a.text, guid));
    ck_assert_ptr_nonnull(strstr(a.text, "[PRIVATE DATA HIDDEN]"));
    ck_assert_ptr_null(strstr(a.text, "password"));
    answer_fini(&a);
}
END_TEST

START_TEST(a_task_is_canceled_while_it_has_not_ended) {
    char guid[GUID_SIZE];
    run_guid("{'command':'x'}", guid);
    progress(guid, "RUNNING", "");
    *last_task = '\0';
    struct answer a = want(202, "POST", at("/v3/tasks/%s/actions/cancel", guid), NULL);
    ck_assert_str_eq(text_at(&a, "state"), "CANCELING");
    ck_assert_str_eq(last_task, guid);
    answer_fini(&a);
    a = want(202, "PUT", at("/v3/tasks/%s/cancel", guid), NULL); /* the older way; again */
    answer_fini(&a);
    progress(guid, "RUNNING", ""); /* what the brain says of it meanwhile */
    a = want(200, "GET", at("/v3/tasks/%s", guid), NULL);
    ck_assert_str_eq(text_at(&a, "state"), "CANCELING");
    answer_fini(&a);
    progress(guid, "FAILED", "task was cancelled");
    a = want(422, "POST", at("/v3/tasks/%s/actions/cancel", guid), NULL);
    ck_assert_str_eq(detail_of(&a), "Task state is FAILED and therefore cannot be canceled");
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/audit_events?types=audit.app.task.cancel"), 2);
}
END_TEST

START_TEST(an_ended_task_stays_as_it_ended_and_keeps_no_secrets) {
    char guid[GUID_SIZE];
    run_guid("{'command':'x'}", guid);
    progress(guid, "SUCCEEDED", "");
    progress(guid, "FAILED", "too late");
    struct answer a = want(200, "GET", at("/v3/tasks/%s", guid), NULL);
    ck_assert_str_eq(text_at(&a, "state"), "SUCCEEDED");
    answer_fini(&a);
    void *kept = NULL;
    size_t n;
    ck_assert_int_eq(store_task_run_info(store, guid, &kept, &n, &err), -ENOENT);
    a = want(422, "PUT", at("/v3/tasks/%s/cancel", guid), NULL);
    ck_assert_str_eq(detail_of(&a), "Task state is SUCCEEDED and therefore cannot be canceled");
    answer_fini(&a);
    a = want(200, "PATCH", at("/v3/tasks/%s", guid), "{'metadata':{'annotations':{'a':'b'}}}");
    ck_assert_str_eq(text_at(&a, "metadata.annotations.a"), "b");
    ck_assert_str_eq(text_at(&a, "state"), "SUCCEEDED");
    answer_fini(&a);
}
END_TEST

START_TEST(tasks_go_with_their_app) {
    char guid[GUID_SIZE];
    run_guid("{'command':'x'}", guid);
    struct answer a = want(202, "DELETE", at("/v3/apps/%s", app_guid), NULL);
    answer_fini(&a);
    ck_assert_str_eq(last_desired, app_guid); /* staging has the brain forget them */
    a = want(404, "GET", at("/v3/tasks/%s", guid), NULL);
    ck_assert_str_eq(detail_of(&a), "Task not found");
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/tasks"), 0);
    progress(guid, "SUCCEEDED", ""); /* what is gone is fine */
}
END_TEST

START_TEST(an_image_of_another_registry_is_refused_in_the_operators_words) {
    char body[300];
    images_refused = true;
    struct answer a = run(422, "{'command':'x'}");
    ck_assert_str_eq(detail_of(&a), "only images of reg.test are allowed");
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'type':'docker','data':{'image':'x'},"
             "'relationships':{'app':{'data':{'guid':'%s'}}}}",
             app_guid);
    a = want(422, "POST", "/v3/packages", body);
    ck_assert_str_eq(detail_of(&a), "only images of reg.test are allowed");
    answer_fini(&a);
    snprintf(body, sizeof body, "{'name':'n','space_guid':'%s','docker_image':'x'}", space_guid);
    a = want(400, "POST", "/v2/apps", body); /* v2's status for what is invalid */
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/apps?names=n"), 0);
    a = want(400, "PUT", at("/v2/apps/%s", app_guid), "{'docker_image':'other'}");
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/tasks"), 0);
    ck_assert_uint_eq(count("/v3/packages"), 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_task_is_made_with_all_that_was_asked_for,
        what_was_not_asked_for_is_as_apps_get_it,
        a_template_gives_what_was_not_asked_for,
        what_cannot_be_a_task_is_refused_in_words,
        an_app_without_a_droplet_runs_no_tasks,
        flags_close_the_door,
        numbers_go_on_and_are_never_used_again,
        lists_are_narrowed_as_asked,
        a_command_is_shown_to_whoever_may_see_secrets,
        a_task_is_canceled_while_it_has_not_ended,
        an_ended_task_stays_as_it_ended_and_keeps_no_secrets,
        tasks_go_with_their_app,
        an_image_of_another_registry_is_refused_in_the_operators_words,
    };
    Suite *suite = suite_create("api/tasks");
    TCase *tcase = tcase_create("tasks");
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
