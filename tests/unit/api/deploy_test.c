/* deploy_test.c - deployments and revisions as clients see them. What runs is played by the test:
 * it keeps "what runs" for a version, and writes what staging would write when instances run. */
#include "tests/unit/api/harness.h"

#include "controller/store/deployments.h"

static char app[GUID_SIZE], first[GUID_SIZE], second[GUID_SIZE], deployment[GUID_SIZE];

static json_t *at(const struct answer *a, const char *list, size_t i) {
    return json_array_get(json_object_get(a->json, list), i);
}

static size_t count(const char *url) {
    struct answer a = want(200, "GET", url, NULL);
    size_t n = json_array_size(json_object_get(a.json, "resources"));
    answer_fini(&a);
    return n;
}

static void stage(char droplet[GUID_SIZE]) {
    char body[300], url[100];
    snprintf(
        body, sizeof body,
        "{'type':'docker','relationships':{'app':{'data':{'guid':'%s'}}},'data':{'image':'i'}}",
        app);
    struct answer a = want(201, "POST", "/v3/packages", body);
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(201, "POST", "/v3/builds", body);
    snprintf(url, sizeof url, "/v3/builds/%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    snprintf(droplet, GUID_SIZE, "%s", text_at(&a, "droplet.guid"));
    answer_fini(&a);
}

static struct answer on_app(int status, const char *method, const char *path, const char *body) {
    char url[200];
    snprintf(url, sizeof url, "/v3/apps/%s%s", app, path);
    return want(status, method, url, body);
}

static void act(int status, const char *method, const char *path, const char *body) {
    struct answer a = on_app(status, method, path, body);
    answer_fini(&a);
}

static struct process_row web(void) {
    struct process_row p = {0};
    OK(store_process_get(store, app, &p, &err));
    return p;
}

/* The present version was desired once: what it runs is kept. */
static void runs(void) {
    struct process_row p = web();
    OK(store_process_set_run_info(store, app, p.version, p.version, GUID_SIZE, &err));
    process_row_fini(&p);
}

static void setup(void) {
    harness_up(true);
    impatient = true;
    char body[200];
    snprintf(body, sizeof body, "{'name':'a','relationships':{'space':{'data':{'guid':'%s'}}}}",
             space_guid);
    struct answer a = want(201, "POST", "/v3/apps", body);
    snprintf(app, GUID_SIZE, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    stage(first);
    snprintf(body, sizeof body, "{'data':{'guid':'%s'}}", first);
    act(200, "PATCH", "/relationships/current_droplet", body);
    act(202, "POST", "/processes/web/actions/scale", "{'instances':3}");
    act(200, "POST", "/actions/start", NULL);
    runs();
    stage(second);
}

/* `more`: further members of the body, with a comma before. */
static struct answer deploy(int status, const char *droplet, const char *more) {
    char body[700], with[100] = "";
    if (droplet)
        snprintf(with, sizeof with, "'droplet':{'guid':'%s'},", droplet);
    snprintf(body, sizeof body, "{%s'relationships':{'app':{'data':{'guid':'%s'}}}%s}", with, app,
             more);
    struct answer a = want(status, "POST", "/v3/deployments", body);
    if (status == 201)
        snprintf(deployment, GUID_SIZE, "%s", text_at(&a, "guid"));
    return a;
}

static void begin(const char *droplet, const char *more) {
    struct answer a = deploy(201, droplet, more);
    answer_fini(&a);
}

static struct answer show(void) {
    char url[100];
    snprintf(url, sizeof url, "/v3/deployments/%s", deployment);
    return want(200, "GET", url, NULL);
}

static void ck_status(const char *value, const char *reason) {
    struct answer a = show();
    ck_assert_str_eq(text_at(&a, "status.value"), value);
    ck_assert_str_eq(text_at(&a, "status.reason"), reason);
    answer_fini(&a);
}

static struct answer action(int status, const char *name) {
    char url[100];
    snprintf(url, sizeof url, "/v3/deployments/%s/actions/%s", deployment, name);
    return want(status, "POST", url, NULL);
}

/* What staging_roll() writes when so many of each run. */
static void rolled(uint64_t fresh, uint64_t old) {
    struct process_row p = web();
    struct old_version_rows olds = {0};
    p.rolled = fresh;
    OK(store_process_update(store, &p, &err));
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    for (size_t i = 0; i < olds.n; i++) {
        olds.v[i].instances = old;
        OK(store_old_version_update(store, &olds.v[i], &err));
    }
    old_version_rows_fini(&olds);
    process_row_fini(&p);
}

START_TEST(a_rolling_push_is_a_deployment_with_two_web_processes) {
    char url[200];
    struct process_row before = web();
    struct answer a = deploy(201, second, ",'strategy':'rolling'");
    ck_assert_str_eq(text_at(&a, "status.value"), "ACTIVE");
    ck_assert_str_eq(text_at(&a, "status.reason"), "DEPLOYING");
    ck_assert_str_ne(text_at(&a, "status.details.last_status_change"), "");
    ck_assert_str_eq(text_at(&a, "strategy"), "rolling");
    ck_assert_str_eq(text_at(&a, "droplet.guid"), second);
    ck_assert_str_eq(text_at(&a, "previous_droplet.guid"), first);
    ck_assert_str_eq(text_at(&a, "relationships.app.data.guid"), app);
    ck_assert_str_eq(json_string_value(json_object_get(at(&a, "new_processes", 0), "guid")), app);
    ck_assert_str_ne(text_at(&a, "links.cancel.href"), "");
    ck_assert_ptr_null(body_at(a.json, "links.continue"));
    ck_assert_ptr_null(body_at(a.json, "status.canary"));
    answer_fini(&a);
    ck_assert_str_eq(last_desired, app);

    struct process_row now = web();
    ck_assert_str_ne(now.version, before.version);
    ck_assert(now.rolling && process_wanted(&now) == 0 && now.instances == 3);
    rolled(1, 3);

    snprintf(url, sizeof url, "/v3/apps/%s/processes", app);
    a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 2);
    json_t *fresh = at(&a, "resources", 0), *old = at(&a, "resources", 1);
    ck_assert_str_eq(json_string_value(json_object_get(fresh, "guid")), app);
    ck_assert_str_eq(json_string_value(json_object_get(old, "type")), "web");
    ck_assert_int_eq(json_integer_value(json_object_get(old, "instances")), 3);
    snprintf(url, sizeof url, "/v3/processes/%s", body_text(old, "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "version"), before.version);
    ck_assert_str_eq(text_at(&a, "relationships.app.data.guid"), app);
    answer_fini(&a);
    strcat(url, "/actions/scale");
    a = want(422, "POST", url, "{'instances':5}");
    ck_assert_int_eq(code_of(&a), 390016);
    answer_fini(&a);

    snprintf(url, sizeof url, "/v3/processes/%s/stats", app); /* of what comes only */
    a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 1);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/deployments?app_guids=%s&status_values=ACTIVE", app);
    ck_assert_uint_eq(count(url), 1);
    ck_assert_uint_eq(count("/v3/deployments?status_values=FINALIZED"), 0);
    ck_assert_uint_eq(count("/v3/deployments?status_reasons=DEPLOYING,PAUSED&states=DEPLOYING"), 1);
    snprintf(url, sizeof url, "/v3/audit_events?target_guids=%s&types=audit.app.deployment.create",
             app);
    ck_assert_uint_eq(count(url), 1);
    process_row_fini(&before);
    process_row_fini(&now);
    harness_down();
}
END_TEST

START_TEST(a_process_that_rolls_is_not_scaled_or_changed) {
    begin(second, "");
    struct answer a = on_app(422, "POST", "/processes/web/actions/scale", "{'instances':5}");
    ck_assert_int_eq(code_of(&a), 390016);
    ck_assert_str_eq(detail_of(&a), "Cannot scale this process while a deployment is in flight.");
    answer_fini(&a);
    a = on_app(422, "PATCH", "/processes/web", "{'command':'x'}");
    ck_assert_int_eq(code_of(&a), 390019);
    answer_fini(&a);
    harness_down();
}
END_TEST

START_TEST(a_cancel_makes_the_old_version_the_one_that_comes) {
    struct process_row before = web();
    begin(second, ",'options':{'max_in_flight':2,'web_instances':5,'memory_in_mb':64,"
                  "'disk_in_mb':null}");
    runs();
    struct answer a = show();
    int64_t in_flight = 0;
    ck_assert(body_int(a.json, "options.max_in_flight", &in_flight) && in_flight == 2);
    answer_fini(&a);
    struct process_row during = web();
    ck_assert_uint_eq(during.instances, 5);
    ck_assert_uint_eq(during.memory_mb, 64);
    rolled(2, 1);
    a = action(200, "cancel");
    ck_assert_str_eq(text_at(&a, "status.reason"), "CANCELING");
    answer_fini(&a);
    a = action(200, "cancel"); /* again: nothing */
    answer_fini(&a);
    struct process_row after = web();
    ck_assert_str_eq(after.version, before.version);
    ck_assert(after.rolling && after.rolled == 1);
    ck_assert_uint_eq(after.instances, 3);
    ck_assert_uint_eq(after.memory_mb, before.memory_mb);
    a = on_app(200, "GET", "/droplets/current", NULL);
    ck_assert_str_eq(text_at(&a, "guid"), first);
    answer_fini(&a);
    struct old_version_rows olds = {0};
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    ck_assert_uint_eq(olds.n, 1);
    ck_assert_str_eq(olds.v[0].version, during.version);
    ck_assert(olds.v[0].instances == 2 && !olds.v[0].whole);
    old_version_rows_fini(&olds);
    process_row_fini(&before);
    process_row_fini(&during);
    process_row_fini(&after);
    harness_down();
}
END_TEST

START_TEST(a_second_deployment_overtakes_the_first_and_a_cancel_goes_back_to_what_was_whole) {
    char overtaken[GUID_SIZE];
    struct process_row before = web();
    begin(second, "");
    runs();
    rolled(2, 2);
    memcpy(overtaken, deployment, GUID_SIZE);
    begin(NULL, "");
    memcpy(overtaken, deployment, GUID_SIZE);
    struct old_version_rows olds = {0};
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    ck_assert_uint_eq(olds.n, 2);
    ck_assert(olds.v[0].whole && !olds.v[1].whole && olds.v[1].instances == 2);
    old_version_rows_fini(&olds);
    ck_assert_uint_eq(count("/v3/deployments?status_reasons=SUPERSEDED"), 1);
    struct answer a = show();
    ck_assert_str_eq(text_at(&a, "previous_droplet.guid"), first);
    answer_fini(&a);
    a = action(200, "cancel");
    answer_fini(&a);
    struct process_row after = web();
    ck_assert_str_eq(after.version, before.version);
    process_row_fini(&before);
    process_row_fini(&after);
    harness_down();
}
END_TEST

static void ck_no_deployment(const char *reason) {
    struct process_row p = web();
    struct old_version_rows olds = {0};
    ck_assert(!p.rolling && process_wanted(&p) == 3);
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    ck_assert_uint_eq(olds.n, 0);
    ck_status("FINALIZED", reason);
    old_version_rows_fini(&olds);
    process_row_fini(&p);
}

START_TEST(stopping_and_restarting_end_a_deployment_where_it_is) {
    begin(second, "");
    act(200, "POST", "/actions/restart", NULL);
    ck_no_deployment("SUPERSEDED");
    runs();
    begin(first, "");
    act(200, "POST", "/actions/stop", NULL);
    ck_no_deployment("SUPERSEDED");
    struct answer a = on_app(200, "GET", "/droplets/current", NULL);
    ck_assert_str_eq(text_at(&a, "guid"), first); /* the last wish stands */
    answer_fini(&a);
    harness_down();
}
END_TEST

START_TEST(on_a_stopped_app_a_deployment_is_a_start) {
    act(200, "POST", "/actions/stop", NULL);
    struct answer a = deploy(201, second, "");
    ck_assert_str_eq(text_at(&a, "status.reason"), "DEPLOYED");
    answer_fini(&a);
    a = on_app(200, "GET", "", NULL);
    ck_assert_str_eq(text_at(&a, "state"), "STARTED");
    ck_assert_str_eq(text_at(&a, "relationships.current_droplet.data.guid"), second);
    answer_fini(&a);
    harness_down();
}
END_TEST

static void pause_it(void) {
    struct deployment_row d = {0};
    OK(store_deployment_get(store, deployment, &d, &err));
    OK(str_set(&d.status_reason, "PAUSED"));
    OK(store_deployment_update(store, &d, &err));
    deployment_row_fini(&d);
}

static void ck_canary(int64_t current, int64_t total) {
    struct answer a = show();
    int64_t n = 0;
    ck_assert(body_int(a.json, "status.canary.steps.current", &n));
    ck_assert_int_eq(n, current);
    ck_assert(body_int(a.json, "status.canary.steps.total", &n));
    ck_assert_int_eq(n, total);
    answer_fini(&a);
}

START_TEST(a_canary_pauses_and_is_continued_step_by_step) {
    begin(second, ",'strategy':'canary','options':{'canary':{'steps':[{'instance_weight':20},"
                  "{'instance_weight':60}]}}");
    ck_canary(1, 2);
    struct answer a = action(422, "continue");
    ck_assert_str_eq(detail_of(&a),
                     "Cannot continue a deployment with status: ACTIVE and reason: DEPLOYING");
    answer_fini(&a);
    for (int64_t step = 2; step <= 3; step++) {
        pause_it();
        a = action(200, "continue");
        ck_assert_str_eq(text_at(&a, "status.reason"), "DEPLOYING");
        answer_fini(&a);
        ck_canary(MIN(step, 2), 2);
    }
    begin(second, ",'strategy':'canary'");
    ck_canary(1, 1);
    pause_it();
    a = action(200, "cancel");
    answer_fini(&a);
    ck_status("ACTIVE", "CANCELING");
    harness_down();
}
END_TEST

START_TEST(what_is_over_is_not_canceled_or_continued) {
    act(200, "POST", "/actions/stop", NULL);
    begin(second, "");
    struct answer a = action(422, "cancel");
    ck_assert_str_eq(detail_of(&a), "Cannot cancel a DEPLOYED deployment");
    answer_fini(&a);
    a = action(422, "continue");
    ck_assert_str_eq(detail_of(&a),
                     "Cannot continue a deployment with status: FINALIZED and reason: DEPLOYED");
    answer_fini(&a);
    a = want(404, "GET", "/v3/deployments/none", NULL);
    ck_assert_str_eq(detail_of(&a), "Deployment not found");
    answer_fini(&a);
    harness_down();
}
END_TEST

START_TEST(wrong_wishes_are_refused_and_change_nothing) {
    static const char descending[] = ",'strategy':'canary','options':{'canary':{'steps':["
                                     "{'instance_weight':50},{'instance_weight':20}]}}";
    static const char *const wrong[] = {
        ",'strategy':'blue-green'",
        ",'strategy':'rolling','options':{'canary':{'steps':[]}}",
        ",'strategy':'canary','options':{'canary':{'steps':[{'instance_weight':0}]}}",
        ",'strategy':'canary','options':{'canary':{'steps':[{'instance_weight':101}]}}",
        descending,
        ",'strategy':'canary','options':{'canary':{'steps':[20]}}",
        ",'options':{'max_in_flight':0}",
        ",'options':{'max_in_flight':'some'}",
        ",'options':{'web_instances':-1}",
        ",'options':{'memory_in_mb':99999999}",
        ",'options':{'more':1}",
        ",'droplet':{'guid':'none'}",
        ",'revision':{'guid':'none'}",
        ",'unknown':1",
        ",'droplet':'none'",
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct answer a = deploy(422, NULL, wrong[i]);
        answer_fini(&a);
    }
    struct answer a = deploy(422, second, ",'revision':{'guid':'none'}");
    ck_assert_str_eq(detail_of(&a), "Cannot set both fields 'droplet' and 'revision'");
    answer_fini(&a);
    a = want(422, "POST", "/v3/deployments", "{'relationships':{'app':{'data':{'guid':'none'}}}}");
    ck_assert_str_eq(detail_of(&a),
                     "Unable to use app. Ensure that the app exists and you have access to it.");
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/deployments"), 0);
    harness_down();
}
END_TEST

START_TEST(deployments_are_not_for_strangers) {
    char other[GUID_SIZE], url[200], body[200];
    begin(second, "");
    char *stranger = other_user("eve", other);
    snprintf(url, sizeof url, "/v3/deployments/%s/actions/cancel", deployment);
    struct question q = {.method = "POST", .url = url, .authorization = stranger};
    struct answer a = ask_full(&q);
    ck_assert_int_eq(a.status, 404);
    answer_fini(&a);
    q = (struct question){.method = "GET", .url = "/v3/deployments", .authorization = stranger};
    a = ask_full(&q);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 0);
    answer_fini(&a);
    snprintf(body, sizeof body, "{\"relationships\":{\"app\":{\"data\":{\"guid\":\"%s\"}}}}", app);
    q = (struct question){.method = "POST",
                          .url = "/v3/deployments",
                          .authorization = stranger,
                          .type = "application/json",
                          .body = body};
    a = ask_full(&q);
    ck_assert_int_eq(a.status, 422);
    answer_fini(&a);
    free(stranger);
    harness_down();
}
END_TEST

/* --- revisions --- */

static struct answer latest(void) {
    return on_app(200, "GET", "/revisions?order_by=-created_at&per_page=1", NULL);
}

static void ck_latest(int version, const char *description) {
    struct answer a = latest();
    const json_t *r = at(&a, "resources", 0);
    ck_assert_int_eq(json_integer_value(json_object_get(r, "version")), version);
    ck_assert_str_eq(body_text(r, "description"), description);
    answer_fini(&a);
}

START_TEST(each_start_of_something_new_is_a_revision) {
    ck_latest(1, "Initial revision.");
    act(200, "POST", "/actions/restart", NULL);
    ck_latest(1, "Initial revision.");
    act(200, "PATCH", "/environment_variables", "{'var':{'K':'v'}}");
    act(200, "PATCH", "/processes/web", "{'command':'run'}");
    begin(second, "");
    ck_latest(2, "New droplet deployed. New environment variables deployed. Custom start command "
                 "added for 'web' process.");
    act(200, "POST", "/actions/stop", NULL);
    act(200, "PATCH", "/processes/web", "{'command':'walk'}");
    act(200, "POST", "/actions/start", NULL);
    ck_latest(3, "Custom start command updated for 'web' process.");
    act(200, "PATCH", "/processes/web", "{'command':null}");
    act(200, "POST", "/actions/restart", NULL);
    ck_latest(4, "Custom start command removed for 'web' process.");
    act(200, "PATCH", "/features/revisions", "{'enabled':false}");
    act(200, "PATCH", "/environment_variables", "{'var':{'K':'w'}}");
    act(200, "POST", "/actions/restart", NULL);
    ck_latest(4, "Custom start command removed for 'web' process.");
    ck_assert_uint_eq(count("/v3/audit_events?types=audit.app.revision.create"), 4);
    harness_down();
}
END_TEST

START_TEST(a_rollback_brings_back_droplet_environment_and_command) {
    char body[100], url[200];
    act(200, "PATCH", "/environment_variables", "{'var':{'K':'v'}}");
    act(200, "PATCH", "/processes/web", "{'command':'run'}");
    begin(second, "");
    act(200, "POST", "/actions/restart", NULL);
    runs();
    struct answer a = on_app(200, "GET", "/revisions?versions=1", NULL);
    const json_t *one = at(&a, "resources", 0);
    ck_assert(json_is_true(json_object_get(one, "deployable")));
    ck_assert_str_eq(body_text(one, "droplet.guid"), first);
    snprintf(url, sizeof url, "%s",
             body_text(one, "links.environment_variables.href") + strlen("http://api.test"));
    snprintf(body, sizeof body, ",'revision':{'guid':'%s'}", body_text(one, "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert(json_is_object(json_object_get(a.json, "var")));
    answer_fini(&a);
    a = deploy(201, NULL, body);
    ck_assert_str_eq(text_at(&a, "droplet.guid"), first);
    answer_fini(&a);
    ck_latest(3, "New droplet deployed. New environment variables deployed. Custom start command "
                 "removed for 'web' process. Rolled back to revision 1.");
    struct process_row p = web();
    ck_assert_ptr_null(p.command);
    ck_assert(p.rolling);
    process_row_fini(&p);
    a = on_app(200, "GET", "/environment_variables", NULL);
    ck_assert_str_eq(text_at(&a, "var.K"), "");
    answer_fini(&a);
    a = on_app(200, "GET", "/revisions/deployed", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 2);
    answer_fini(&a);
    a = deploy(422, NULL, body);
    ck_assert_str_eq(detail_of(&a), "Unable to rollback. The code and configuration you are "
                                    "rolling back to is the same as the deployed revision.");
    answer_fini(&a);
    harness_down();
}
END_TEST

START_TEST(a_revision_without_its_droplet_is_not_deployed) {
    char url[200], body[100];
    begin(second, "");
    act(200, "POST", "/actions/restart", NULL);
    snprintf(url, sizeof url, "/v3/droplets/%s", first);
    struct answer a = want(202, "DELETE", url, NULL);
    answer_fini(&a);
    ck_assert_uint_eq(count("/v3/deployments"), 1);
    a = on_app(200, "GET", "/revisions?deployable=false", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 1);
    snprintf(body, sizeof body, ",'revision':{'guid':'%s'}",
             body_text(at(&a, "resources", 0), "guid"));
    answer_fini(&a);
    a = deploy(422, NULL, body);
    ck_assert_str_eq(
        detail_of(&a),
        "Unable to deploy this revision, the droplet for this revision no longer exists.");
    answer_fini(&a);
    harness_down();
}
END_TEST

START_TEST(a_manifest_leaves_what_runs_to_the_deployment_that_follows) {
    char url[100];
    struct process_row before = web();
    snprintf(url, sizeof url, "/v3/spaces/%s/actions/apply_manifest", space_guid);
    struct answer a = ask_full(&(struct question){
        .method = "POST",
        .url = url,
        .authorization = token,
        .type = "application/x-yaml",
        .body = "applications:\n- name: a\n  memory: 64M\n  health-check-type: process\n"});
    ck_assert_int_eq(a.status, 202);
    answer_fini(&a);
    struct process_row after = web();
    ck_assert_uint_eq(after.memory_mb, 64);
    ck_assert_str_eq(after.version, before.version);
    process_row_fini(&before);
    process_row_fini(&after);
    harness_down();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("api/deploy");
    TCase *tcase = tcase_create("deploy");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, NULL);
    const TTest *const tests[] = {
        a_rolling_push_is_a_deployment_with_two_web_processes,
        a_process_that_rolls_is_not_scaled_or_changed,
        a_cancel_makes_the_old_version_the_one_that_comes,
        a_second_deployment_overtakes_the_first_and_a_cancel_goes_back_to_what_was_whole,
        stopping_and_restarting_end_a_deployment_where_it_is,
        on_a_stopped_app_a_deployment_is_a_start,
        a_canary_pauses_and_is_continued_step_by_step,
        what_is_over_is_not_canceled_or_continued,
        wrong_wishes_are_refused_and_change_nothing,
        deployments_are_not_for_strangers,
        each_start_of_something_new_is_a_revision,
        a_rollback_brings_back_droplet_environment_and_command,
        a_revision_without_its_droplet_is_not_deployed,
        a_manifest_leaves_what_runs_to_the_deployment_that_follows,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
