/* v2_apps_test.c - the requests that CLI 6.13 and 6.53 send for their commands, in their order, and
 * each field that they read of the answers: the life of an app. */
#include "tests/unit/api/v2_words.h"

START_TEST(push_of_6_53_stages_by_starting) {
    char app[GUID_SIZE], route[GUID_SIZE], domain[GUID_SIZE];
    shared_domain(domain);
    drop(wantf(404, "GET", NULL, "/v2/routes/reserved/domain/%s?host=a1", domain));
    create("a1", app, route);
    drop(wantf(204, "GET", NULL, "/v2/routes/reserved/domain/%s?host=a1", domain));
    drop(wantf(204, "GET", NULL, "/v2/routes/reserved/domain/%s/host/A1", domain));
    struct answer a =
        wantf(200, "GET", NULL, "/v2/apps?q=name%%3Aa1&q=space_guid%%3A%s", space_guid);
    const json_t *e = body_at(resource(&a, 0), "entity");
    ck_assert_str_eq(text(e, "name"), "a1");
    ck_assert_str_eq(text(e, "state"), "STOPPED");
    ck_assert_str_eq(text(e, "package_state"), "PENDING");
    ck_assert_str_eq(text(e, "docker_image"), "alpine:3");
    ck_assert_str_eq(text(e, "docker_credentials.username"), "u");
    ck_assert_str_eq(text(e, "docker_credentials.password"), "***");
    ck_assert_str_eq(text(e, "command"), "run me");
    ck_assert_str_eq(text(e, "health_check_type"), "http");
    ck_assert_str_eq(text(e, "health_check_http_endpoint"), "/up");
    ck_assert_int_eq(number(e, "health_check_timeout"), 90);
    ck_assert_str_eq(text(e, "environment_json.A"), "b");
    ck_assert_int_eq(number(e, "memory"), 64);
    ck_assert_int_eq(number(e, "disk_quota"), 128);
    ck_assert_int_eq(number(e, "instances"), 2);
    ck_assert_uint_eq(strlen(text(e, "package_updated_at")), 20);
    drop(wantf(200, "GET", NULL, "/v2/stacks/%s", text(e, "stack_guid")));
    answer_fini(&a);

    stage_at_once = false;
    a = set_state(app, "STARTED");
    ck_assert_str_eq(text_at(&a, "entity.state"), "STARTED");
    ck_assert_str_eq(text_at(&a, "entity.package_state"), "PENDING");
    answer_fini(&a);
    ck_assert_uint_eq(staged_count, 1);
    refused(wantf(400, "GET", NULL, "/v2/apps/%s/instances", app), 170002, "CF-NotStaged",
            "App has not finished staging");
    /* started twice: still one staging */
    drop(set_state(app, "STARTED"));
    ck_assert_uint_eq(staged_count, 1);

    /* stopped and started again while that goes on: it decides at the end */
    a = set_state(app, "STOPPED");
    ck_assert_str_eq(text_at(&a, "entity.state"), "STOPPED");
    answer_fini(&a);
    struct build_row build = {0};
    OK(store_build_get(store, last_staged, &build, &err));
    ck_assert(!build.start_after_staging);
    OK(str_set(&build.state, "FAILED"));
    OK(str_set(&build.error, "StagingError - Staging error: no such image"));
    OK(store_build_update(store, &build, &err));
    build_row_fini(&build);
    a = wantf(200, "GET", NULL, "/v2/apps/%s", app);
    ck_assert_str_eq(text_at(&a, "entity.package_state"), "FAILED");
    ck_assert_str_eq(text_at(&a, "entity.staging_failed_reason"), "StagingError");
    ck_assert_str_eq(text_at(&a, "entity.staging_failed_description"),
                     "Staging error: no such image");
    answer_fini(&a);

    stage_at_once = true;
    drop(set_state(app, "STARTED"));
    ck_assert_uint_eq(staged_count, 2);
    a = wantf(200, "GET", NULL, "/v2/apps/%s", app);
    ck_assert_str_eq(text_at(&a, "entity.package_state"), "STAGED");
    ck_assert_str_eq(text_at(&a, "entity.state"), "STARTED");
    ck_assert_str_eq(text_at(&a, "entity.detected_start_command"), "/run");
    ck_assert_int_eq(json_integer_value(json_array_get(body_at(a.json, "entity.ports"), 0)), 3000);
    answer_fini(&a);
    /* v3 sees the same app */
    a = wantf(200, "GET", NULL, "/v3/apps?names=a1&space_guids=%s", space_guid);
    ck_assert_str_eq(text(resource(&a, 0), "guid"), app);
    ck_assert_str_eq(text(resource(&a, 0), "state"), "STARTED");
    answer_fini(&a);
    drop(wantf(200, "GET", NULL, "/v3/apps/%s/droplets/current", app));
}
END_TEST

START_TEST(a_second_push_stages_only_another_image) {
    char app[GUID_SIZE], route[GUID_SIZE];
    create("a1", app, route);
    drop(set_state(app, "STARTED"));
    ck_assert_uint_eq(staged_count, 1);
    struct answer a = wantf(201, "PUT",
                            "{'name':'a1','docker_image':'alpine:3','docker_credentials':{"
                            "'username':'u','password':'***'},'command':'','memory':32}",
                            "/v2/apps/%s", app);
    ck_assert_str_eq(text_at(&a, "entity.package_state"), "STAGED");
    ck_assert(body_null(a.json, "entity.command"));
    ck_assert_int_eq(number(a.json, "entity.memory"), 32);
    answer_fini(&a);
    drop(set_state(app, "STOPPED"));
    drop(set_state(app, "STARTED"));
    ck_assert_uint_eq(staged_count, 1);
    a = wantf(201, "PUT", "{'diego':true,'docker_image':'alpine:4'}", "/v2/apps/%s", app);
    ck_assert_str_eq(text_at(&a, "entity.package_state"), "PENDING");
    ck_assert_str_eq(text_at(&a, "entity.docker_image"), "alpine:4");
    ck_assert_str_eq(text_at(&a, "entity.docker_credentials.username"), "u");
    answer_fini(&a);
    drop(set_state(app, "STOPPED"));
    drop(set_state(app, "STARTED"));
    ck_assert_uint_eq(staged_count, 2);
    /* restage: the same image once more */
    a = wantf(201, "POST", NULL, "/v2/apps/%s/restage", app);
    ck_assert_str_eq(text_at(&a, "entity.state"), "STARTED");
    answer_fini(&a);
    ck_assert_uint_eq(staged_count, 3);
}
END_TEST

START_TEST(what_6_13_reads_before_and_after_a_push) {
    char app[GUID_SIZE], route[GUID_SIZE], domain[GUID_SIZE];
    create("a1", app, route);
    shared_domain(domain);
    struct answer a = wantf(200, "GET", NULL,
                            "/v2/spaces/%s/apps?q=name%%3Aa1&inline-relations-depth=1", space_guid);
    const json_t *e = body_at(resource(&a, 0), "entity"),
                 *r = json_array_get(json_object_get(e, "routes"), 0);
    ck_assert_str_eq(text(r, "entity.host"), "a1");
    ck_assert_str_eq(text(r, "metadata.guid"), route);
    ck_assert_str_eq(text(r, "entity.domain.entity.name"), "apps.test");
    ck_assert_str_eq(text(r, "entity.domain.metadata.guid"), domain);
    ck_assert_str_eq(text(e, "stack.entity.name"), "docker");
    ck_assert(json_is_true(json_object_get(e, "diego")));
    answer_fini(&a);
    a = wantf(200, "GET", NULL,
              "/v2/routes?inline-relations-depth=1&q=host%%3Aa1%%3Bdomain_guid%%3A%s", domain);
    ck_assert_int_eq(number(a.json, "total_results"), 1);
    ck_assert_str_eq(text(resource(&a, 0), "entity.space.metadata.guid"), space_guid);
    ck_assert_str_eq(
        text(json_array_get(body_at(resource(&a, 0), "entity.apps"), 0), "entity.name"), "a1");
    answer_fini(&a);
    a = wantf(200, "GET", NULL, "/v2/apps/%s/summary", app);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(a.json, "urls"), 0)),
                     "a1.apps.test");
    r = json_array_get(json_object_get(a.json, "routes"), 0);
    ck_assert_str_eq(text(r, "domain.name"), "apps.test");
    ck_assert_str_eq(text_at(&a, "guid"), app);
    ck_assert_int_eq(number(a.json, "running_instances"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "available_domains")), 1);
    answer_fini(&a);
    a = wantf(200, "GET", NULL, "/v2/spaces/%s/summary", space_guid);
    r = json_array_get(json_object_get(a.json, "apps"), 0);
    ck_assert_str_eq(text(r, "name"), "a1");
    ck_assert_str_eq(text(r, "state"), "STOPPED");
    ck_assert_int_eq(number(r, "memory"), 64);
    ck_assert_uint_eq(json_array_size(json_object_get(r, "urls")), 1);
    ck_assert(json_is_array(json_object_get(r, "service_names")));
    answer_fini(&a);
}
END_TEST

START_TEST(instances_and_stats_have_the_same_indexes) {
    char app[GUID_SIZE], route[GUID_SIZE];
    create("a1", app, route);
    refused(wantf(400, "GET", NULL, "/v2/apps/%s/instances", app), 220001, "CF-InstancesError",
            NULL);
    refused(wantf(400, "GET", NULL, "/v2/apps/%s/stats", app), 200003, "CF-AppStoppedStatsError",
            "Could not fetch stats for stopped app: a1");
    drop(set_state(app, "STARTED"));
    running(1);
    struct answer a = wantf(200, "GET", NULL, "/v2/apps/%s/instances", app);
    ck_assert_str_eq(text_at(&a, "0.state"), "RUNNING");
    ck_assert(json_is_integer(body_at(a.json, "0.since")));
    ck_assert(json_is_integer(body_at(a.json, "0.uptime")));
    ck_assert_str_eq(text_at(&a, "1.state"), "DOWN");
    answer_fini(&a);
    a = wantf(200, "GET", NULL, "/v2/apps/%s/stats", app);
    ck_assert_uint_eq(json_object_size(a.json), 2);
    ck_assert_int_eq(number(a.json, "0.stats.mem_quota"), 64 * 1048576);
    ck_assert_int_eq(number(a.json, "0.stats.disk_quota"), 128 * 1048576);
    ck_assert_int_eq(number(a.json, "0.stats.usage.mem"), 1000);
    ck_assert_int_eq(number(a.json, "0.stats.usage.disk"), 2000);
    ck_assert(json_real_value(body_at(a.json, "0.stats.usage.cpu")) == 0.25);
    ck_assert_int_eq(number(a.json, "1.stats.usage.mem"), 0);
    answer_fini(&a);
    drop(wantf(204, "DELETE", NULL, "/v2/apps/%s/instances/0?async=true", app));
    ck_assert_uint_eq(restarted_count, 1);
    drop(wantf(404, "DELETE", NULL, "/v2/apps/%s/instances/7", app));
}
END_TEST

START_TEST(scale_rename_and_env_change_what_they_name) {
    char app[GUID_SIZE], route[GUID_SIZE];
    create("a1", app, route);
    struct answer a = wantf(201, "PUT", "{'instances':3}", "/v2/apps/%s?async=true", app);
    ck_assert_int_eq(number(a.json, "entity.instances"), 3);
    ck_assert_int_eq(number(a.json, "entity.memory"), 64);
    answer_fini(&a);
    a = wantf(201, "PUT", "{'name':'b1'}", "/v2/apps/%s", app);
    ck_assert_str_eq(text_at(&a, "entity.name"), "b1");
    answer_fini(&a);
    /* the whole environment is replaced */
    drop(wantf(201, "PUT", "{'environment_json':{'X':'1','N':5}}", "/v2/apps/%s", app));
    a = wantf(200, "GET", NULL, "/v2/apps/%s/env", app);
    ck_assert_str_eq(text_at(&a, "environment_json.X"), "1");
    ck_assert_str_eq(text_at(&a, "environment_json.N"), "5");
    ck_assert_str_eq(text_at(&a, "environment_json.A"), "");
    ck_assert_str_eq(text_at(&a, "application_env_json.VCAP_APPLICATION.application_name"), "b1");
    ck_assert(json_is_object(body_at(a.json, "system_env_json.VCAP_SERVICES")));
    answer_fini(&a);
    a = wantf(201, "PUT", "{'health_check_type':'none'}", "/v2/apps/%s", app);
    ck_assert_str_eq(text_at(&a, "entity.health_check_type"), "none"); /* 6.13 wants it back */
    answer_fini(&a);
    /* what an event tells: no secret */
    a = wantf(200, "GET", NULL, "/v2/events?results-per-page=50&order-direction=desc&q=actee%%3A%s",
              app);
    ck_assert_ptr_null(strstr(a.text, "\"X\""));
    const json_t *e = body_at(resource(&a, 0), "entity");
    ck_assert_str_eq(text(e, "actee"), app);
    ck_assert_str_eq(text(e, "actor_name"), "admin");
    ck_assert_uint_eq(strlen(text(e, "timestamp")), 20);
    ck_assert(json_is_object(json_object_get(e, "metadata")));
    answer_fini(&a);
}
END_TEST

START_TEST(copy_source_takes_the_image) {
    char a1[GUID_SIZE], a2[GUID_SIZE], route[GUID_SIZE], body[200];
    create("a1", a1, route);
    create("a2", a2, route);
    drop(wantf(201, "PUT", "{'docker_image':'busybox:1'}", "/v2/apps/%s", a1));
    snprintf(body, sizeof body, "{'source_app_guid':'%s'}", a1);
    struct answer a = wantf(201, "POST", body, "/v2/apps/%s/copy_bits", a2);
    ck_assert_str_eq(text_at(&a, "entity.status"), "finished");
    answer_fini(&a);
    a = wantf(200, "GET", NULL, "/v2/apps/%s", a2);
    ck_assert_str_eq(text_at(&a, "entity.docker_image"), "busybox:1");
    ck_assert_str_eq(text_at(&a, "entity.package_state"), "PENDING");
    answer_fini(&a);
}
END_TEST

START_TEST(while_docker_is_off_an_app_may_be_made_but_not_started) {
    char app[GUID_SIZE], route[GUID_SIZE];
    create("a1", app, route);
    refused(wantf(400, "PUT", "{'state':'STARTED'}", "/v2/apps/%s", app), 320003,
            "CF-DockerDisabled", "Docker support has not been enabled.");
    refused(wantf(400, "POST", NULL, "/v2/apps/%s/restage", app), 320003, "CF-DockerDisabled",
            NULL);
    ck_assert_uint_eq(staged_count, 0);
}
END_TEST

int main(void) {
    const TTest *const on[] = {
        push_of_6_53_stages_by_starting,
        a_second_push_stages_only_another_image,
        what_6_13_reads_before_and_after_a_push,
        instances_and_stats_have_the_same_indexes,
        scale_rename_and_env_change_what_they_name,
        copy_source_takes_the_image,
        NULL,
    };
    const TTest *const off[] = {while_docker_is_off_an_app_may_be_made_but_not_started, NULL};
    return run_v2_tests("api/v2_apps", on, off);
}
