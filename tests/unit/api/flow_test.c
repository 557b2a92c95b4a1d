/* flow_test.c - the requests that CLI 7 and 8 send for their commands, in their order. */
#include "tests/unit/api/harness.h"

#include "common/base/clock.h"

static void setup(void) {
    harness_up(true);
}

static const char *guid_of(const struct answer *list, size_t i) {
    json_t *one = json_array_get(json_object_get(list->json, "resources"), i);
    ck_assert_ptr_nonnull(one);
    return json_string_value(json_object_get(one, "guid"));
}

static json_t *at(const struct answer *a, const char *list, size_t i) {
    return json_array_get(json_object_get(a->json, list), i);
}

/* What `push` does until the app is started: fills the app's guid. */
static void push(const char *manifest, const char *name, const char *image, char app[GUID_SIZE]) {
    char url[200], body[500];
    snprintf(url, sizeof url, "/v3/spaces/%s/actions/apply_manifest", space_guid);
    struct answer a = ask_full(&(struct question){.method = "POST",
                                                  .url = url,
                                                  .authorization = token,
                                                  .type = "application/x-yaml",
                                                  .body = manifest});
    ck_assert_msg(a.status == 202, "%d %s", a.status, a.text);
    ck_assert_uint_eq(a.text_n, 0);
    ck_assert(str_starts(a.location, "http://api.test/v3/jobs/"));
    struct answer job = want(200, "GET", a.location + strlen("http://api.test"), NULL);
    ck_assert_str_eq(text_at(&job, "state"), "COMPLETE");
    answer_fini(&job);
    answer_fini(&a);

    snprintf(url, sizeof url, "/v3/apps?names=%s&space_guids=%s&per_page=1&page=1", name,
             space_guid);
    a = want(200, "GET", url, NULL);
    snprintf(app, GUID_SIZE, "%s", guid_of(&a, 0));
    answer_fini(&a);

    snprintf(
        body, sizeof body,
        "{'type':'docker','relationships':{'app':{'data':{'guid':'%s'}}},'data':{'image':'%s'}}",
        app, image);
    a = want(201, "POST", "/v3/packages", body);
    ck_assert_str_eq(text_at(&a, "state"), "READY");
    snprintf(body, sizeof body, "{'package':{'guid':'%s'}}", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(201, "POST", "/v3/builds", body);
    ck_assert_str_eq(text_at(&a, "state"), "STAGING");
    snprintf(url, sizeof url, "/v3/builds/%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "state"), "STAGED");
    snprintf(body, sizeof body, "{'data':{'guid':'%s'}}", text_at(&a, "droplet.guid"));
    snprintf(url, sizeof url, "/v3/droplets/%s", text_at(&a, "droplet.guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "image"), image);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/relationships/current_droplet", app);
    a = want(200, "PATCH", url, body);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/actions/restart", app);
    a = want(200, "POST", url, NULL);
    ck_assert_str_eq(text_at(&a, "state"), "STARTED");
    answer_fini(&a);
}

static const char manifest[] = "applications:\n"
                               "- name: a1\n"
                               "  docker:\n"
                               "    image: alpine:3\n"
                               "  memory: 64M\n"
                               "  disk-quota: 128M\n"
                               "  instances: 2\n"
                               "  default-route: true\n"
                               "  env:\n"
                               "    A: b\n"
                               "    N: 5\n"
                               "    F: 1.50\n"
                               "    T: true\n";

START_TEST(discovery_needs_no_token) {
    static const char *const urls[] = {"/",        "/v3",      "/v3/",        "/login",
                                       "/v3/info", "/v2/info", "/api/v1/info"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct answer a =
            ask_full(&(struct question){.method = "GET", .url = urls[i], .authorization = ""});
        ck_assert_msg(a.status == 200 && a.json, "%s: %d %s", urls[i], a.status, a.text);
        answer_fini(&a);
    }
    struct answer a = ask("GET", "/", NULL);
    ck_assert_str_eq(text_at(&a, "links.login.href"), "http://api.test");
    ck_assert_str_eq(text_at(&a, "links.cloud_controller_v3.href"), "http://api.test/v3");
    ck_assert_str_eq(text_at(&a, "links.cloud_controller_v3.meta.version"), "3.211.0");
    ck_assert_ptr_null(json_object_get(a.json, "cf_on_k8s"));
    answer_fini(&a);
    a = ask("GET", "/v3", NULL);
    ck_assert_str_eq(text_at(&a, "links.processes.href"), "http://api.test/v3/processes");
    answer_fini(&a);
}
END_TEST

START_TEST(login_targets_org_and_space) {
    struct answer a = want(200, "GET", "/v3/organizations?order_by=name", NULL);
    ck_assert_str_eq(guid_of(&a, 0), org_guid);
    ck_assert(json_is_null(body_at(a.json, "pagination.next")));
    answer_fini(&a);
    char url[200];
    snprintf(url, sizeof url, "/v3/spaces?names=S&organization_guids=%s&per_page=1&page=1",
             org_guid);
    a = want(200, "GET", url, NULL); /* any case */
    ck_assert_str_eq(guid_of(&a, 0), space_guid);
    answer_fini(&a);
}
END_TEST

START_TEST(push_makes_app_process_and_route) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    ck_assert_str_eq(last_desired, app);
    ck_assert_uint_eq(staged_count, 1);

    snprintf(url, sizeof url, "/v3/apps/%s/processes", app);
    struct answer a = want(200, "GET", url, NULL);
    json_t *p = at(&a, "resources", 0);
    ck_assert_str_eq(body_text(p, "guid"), app); /* web's guid is the app's */
    ck_assert_str_eq(body_text(p, "type"), "web");
    ck_assert_int_eq(json_integer_value(body_at(p, "memory_in_mb")), 64);
    ck_assert_int_eq(json_integer_value(body_at(p, "disk_in_mb")), 128);
    ck_assert_int_eq(json_integer_value(body_at(p, "instances")), 2);
    ck_assert_str_eq(body_text(p, "health_check.type"), "port");
    ck_assert(json_is_null(body_at(p, "command")));
    answer_fini(&a);

    snprintf(url, sizeof url, "/v3/apps/%s/env", app);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "environment_variables.N"), "5");
    ck_assert_str_eq(text_at(&a, "environment_variables.F"), "1.50");
    ck_assert_str_eq(text_at(&a, "environment_variables.T"), "true");
    ck_assert_str_eq(text_at(&a, "application_env_json.VCAP_APPLICATION.application_id"), app);
    answer_fini(&a);

    snprintf(url, sizeof url, "/v3/apps/%s/routes", app);
    a = want(200, "GET", url, NULL);
    json_t *r = at(&a, "resources", 0);
    ck_assert_str_eq(body_text(r, "url"), "a1.apps.test");
    json_t *d = json_array_get(body_at(r, "destinations"), 0);
    ck_assert_str_eq(body_text(d, "app.guid"), app);
    ck_assert_int_eq(json_integer_value(body_at(d, "port")), 3000); /* the image's */
    answer_fini(&a);

    snprintf(url, sizeof url, "/v3/apps/%s/droplets/current", app);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "image"), "alpine:3");
    answer_fini(&a);

    push(manifest, "a1", "alpine:4", app); /* again: no second route */
    a = want(200, "GET", "/v3/routes", NULL);
    ck_assert_int_eq(json_integer_value(body_at(a.json, "pagination.total_results")), 1);
    answer_fini(&a);
}
END_TEST

START_TEST(stats_show_one_entry_an_index) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    static const Berth__PortMapping *ports;
    actuals[0] = (struct lrp_actual){.index = 0,
                                     .state = LRP_RUNNING,
                                     .instance_guid = "i0",
                                     .address = "10.0.0.5",
                                     .memory_mb = 64,
                                     .disk_mb = 128,
                                     .cpu = 0.5,
                                     .memory_bytes = 1000,
                                     .ports = ports,
                                     .since_ms = clock_mono_ms() - 5000};
    actuals[1] = (struct lrp_actual){.index = 1,
                                     .state = LRP_CRASHED,
                                     .crash_count = 3,
                                     .reason = "APP/PROC/WEB: Exited with status 1"};
    actuals[2] = (struct lrp_actual){.index = 7, .state = LRP_RUNNING}; /* surplus: not shown */
    actual_count = 3;
    snprintf(url, sizeof url, "/v3/processes/%s/stats", app);
    struct answer a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 2);
    json_t *one = at(&a, "resources", 0);
    ck_assert_str_eq(body_text(one, "state"), "RUNNING");
    ck_assert(json_is_integer(body_at(one, "uptime")));
    ck_assert_int_ge(json_integer_value(body_at(one, "uptime")), 5);
    ck_assert_int_eq(json_integer_value(body_at(one, "mem_quota")), 64 * 1048576);
    ck_assert(json_is_null(body_at(one, "details")));
    one = at(&a, "resources", 1);
    ck_assert_str_eq(body_text(one, "state"), "CRASHED");
    ck_assert_str_eq(body_text(one, "details"), "APP/PROC/WEB: Exited with status 1");
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/processes/web/instances/0", app);
    a = want(204, "DELETE", url, NULL);
    answer_fini(&a);
    ck_assert_uint_eq(restarted_count, 1);
    snprintf(url, sizeof url, "/v3/apps/%s/processes/web/instances/2", app);
    a = want(404, "DELETE", url, NULL);
    ck_assert_str_eq(detail_of(&a), "Instance not found");
    answer_fini(&a);

    snprintf(url, sizeof url, "/v3/apps/%s/actions/stop", app);
    a = want(200, "POST", url, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/processes/web/stats", app);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(body_text(at(&a, "resources", 0), "state"), "DOWN");
    answer_fini(&a);
}
END_TEST

START_TEST(scale_changes_what_it_names) {
    char app[GUID_SIZE], url[200], version[GUID_SIZE];
    push(manifest, "a1", "alpine:3", app);
    snprintf(url, sizeof url, "/v3/apps/%s/processes/web/actions/scale", app);
    struct answer a = want(202, "POST", url, "{'instances':3}");
    ck_assert_int_eq(json_integer_value(body_at(a.json, "instances")), 3);
    ck_assert_int_eq(json_integer_value(body_at(a.json, "memory_in_mb")), 64);
    snprintf(version, sizeof version, "%s", text_at(&a, "version"));
    answer_fini(&a);
    a = want(202, "POST", url, "{'memory_in_mb':96,'log_rate_limit_in_bytes_per_second':-1}");
    ck_assert_str_ne(text_at(&a, "version"), version); /* started and memory: a new version */
    answer_fini(&a);
    a = want(422, "POST", url, "{'instances':-1}");
    answer_fini(&a);
    a = want(422, "POST", url, "{'memory_in_mb':0}");
    answer_fini(&a);
    a = want(422, "POST", url, "{'memory_in_mb':99999999}");
    answer_fini(&a);
}
END_TEST

START_TEST(start_stages_the_newest_package_first) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    for (int i = 0; i < 9; i++) {
        char body[300];
        snprintf(body, sizeof body,
                 "{'type':'docker','relationships':{'app':{'data':{'guid':'%s'}}},"
                 "'data':{'image':'i:%d','username':'u','password':'p'}}",
                 app, i);
        struct answer a = want(201, "POST", "/v3/packages", body);
        ck_assert_str_eq(text_at(&a, "data.password"), "***");
        ck_assert_ptr_null(strstr(a.text, "\"p\""));
        answer_fini(&a);
    }
    snprintf(url, sizeof url, "/v3/packages?app_guids=%s&order_by=-created_at&per_page=1", app);
    struct answer a = want(200, "GET", url, NULL);
    ck_assert_str_eq(body_text(at(&a, "resources", 0), "data.image"), "i:8");
    ck_assert_int_eq(json_integer_value(body_at(a.json, "pagination.total_results")), 6);
    ck_assert(str_ends(text_at(&a, "pagination.next.href"), "page=2&per_page=1"));
    snprintf(url, sizeof url, "/v3/packages/%s/droplets?per_page=1&states=STAGED", guid_of(&a, 0));
    answer_fini(&a);
    a = want(200, "GET", url, NULL); /* not staged yet */
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 0);
    answer_fini(&a);
}
END_TEST

START_TEST(env_merges_and_null_deletes) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    snprintf(url, sizeof url, "/v3/apps/%s/environment_variables", app);
    struct answer a = want(200, "PATCH", url, "{'var':{'A':null,'X':'y'}}");
    ck_assert_str_eq(text_at(&a, "var.X"), "y");
    ck_assert_ptr_null(body_at(a.json, "var.A"));
    ck_assert_str_eq(text_at(&a, "var.N"), "5");
    answer_fini(&a);
    static const char *const bad[] = {"{'var':{'VCAP_X':'1'}}",
                                      "{'var':{'PORT':'1'}}",
                                      "{'var':{'vmc_x':'1'}}",
                                      "{'var':{'A':1}}",
                                      "{'var':[]}",
                                      "{'var':{'':'1'}}",
                                      "{'var':{'A=B':'1'}}",
                                      "{}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        a = want(422, "PATCH", url, bad[i]);
        ck_assert_int_eq(code_of(&a), 10008);
        answer_fini(&a);
    }
}
END_TEST

static void patch_options(const char *url, const char *options, const char *want_text) {
    char body[300];
    snprintf(body, sizeof body, "{'options':%s}", options);
    struct answer a = want(200, "PATCH", url, body);
    char *text = json_dumps(json_object_get(a.json, "options"), JSON_COMPACT);
    ck_assert_str_eq(text, want_text);
    free(text);
    answer_fini(&a);
}

START_TEST(map_and_unmap_a_route) {
    char app[GUID_SIZE], url[300], body[400], domain[GUID_SIZE], route[GUID_SIZE];
    push(manifest, "a1", "alpine:3", app);
    struct answer a = want(200, "GET", "/v3/domains?names=apps.test", NULL);
    snprintf(domain, sizeof domain, "%s", guid_of(&a, 0));
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/routes?domain_guids=%s&hosts=a1&paths=%%2Fx", domain);
    a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 0);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/routes?domain_guids=%s&hosts=a1&paths=", domain);
    a = want(200, "GET", url, NULL); /* no path is a path */
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 1);
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'host':'Two','path':'/p','relationships':{'space':{'data':{'guid':'%s'}},"
             "'domain':{'data':{'guid':'%s'}}}}",
             space_guid, domain);
    a = want(201, "POST", "/v3/routes", body);
    ck_assert_str_eq(text_at(&a, "url"), "two.apps.test/p");
    snprintf(route, sizeof route, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(422, "POST", "/v3/routes", body);
    ck_assert(str_starts(detail_of(&a), "Route already exists"));
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/routes/%s/destinations", route);
    snprintf(body, sizeof body, "{'destinations':[{'app':{'guid':'%s'}}]}", app);
    desired_count = 0;
    a = want(200, "POST", url, body);
    answer_fini(&a);
    ck_assert_uint_eq(desired_count, 1);
    char self[100];
    snprintf(self, sizeof self, "/v3/routes/%s", route);
    patch_options(self, "{'loadbalancing':'least-connection'}",
                  "{\"loadbalancing\":\"least-connection\"}");
    ck_assert_uint_eq(desired_count, 2); /* it is the brain that tells routers */
    a = want(200, "PATCH", self, "{'metadata':{'labels':{'a':'b'}}}");
    answer_fini(&a);
    a = want(200, "POST", url, body); /* twice does nothing */
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "destinations")), 1);
    snprintf(url, sizeof url, "/v3/routes/%s/destinations/%s", route,
             body_text(at(&a, "destinations", 0), "guid"));
    answer_fini(&a);
    a = want(204, "DELETE", url, NULL);
    answer_fini(&a);
    ck_assert_uint_eq(desired_count, 3);
    snprintf(url, sizeof url, "/v3/spaces/%s/routes?unmapped=true", space_guid);
    a = want(202, "DELETE", url, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/routes/%s", route);
    a = want(404, "GET", url, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/organizations/%s/domains", org_guid);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(guid_of(&a, 0), domain);
    answer_fini(&a);
}
END_TEST

START_TEST(options_of_a_route) {
    static const struct {
        const char *options, *detail;
    } bad[] = {
        {"null", "Options 'options' is not a valid object"},
        {"[]", "Options 'options' is not a valid object"},
        {"{'loadbalancing':'random'}", "Options Loadbalancing must be one of 'round-robin, "
                                       "least-connection' if present"},
        {"{'loadbalancing':1}", "Options Loadbalancing must be one of 'round-robin, "
                                "least-connection' if present"},
        {"{'loadbalancing':'round-robin','x':1}", "Options Unknown field(s): 'x'"},
    };
    static const char one[] = "{\"loadbalancing\":\"least-connection\"}";
    char url[200], body[400], domain[GUID_SIZE];
    struct answer a = want(200, "GET", "/v3/domains?names=apps.test", NULL);
    snprintf(domain, sizeof domain, "%s", guid_of(&a, 0));
    answer_fini(&a);
    for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
        snprintf(body, sizeof body,
                 "{'host':'r','options':%s,'relationships':{'space':{'data':{'guid':'%s'}},"
                 "'domain':{'data':{'guid':'%s'}}}}",
                 i < ARRAY_SIZE(bad) ? bad[i].options : "{'loadbalancing':null}", space_guid,
                 domain);
        a = want(i < ARRAY_SIZE(bad) ? 422 : 201, "POST", "/v3/routes", body);
        if (i < ARRAY_SIZE(bad))
            ck_assert_str_eq(detail_of(&a), bad[i].detail);
        else
            snprintf(url, sizeof url, "/v3/routes/%s", text_at(&a, "guid"));
        answer_fini(&a);
    }
    patch_options(url, "{}", "{}");
    patch_options(url, "{'loadbalancing':'round-robin'}", "{\"loadbalancing\":\"round-robin\"}");
    patch_options(url, "{'loadbalancing':'least-connection'}", one);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(body, sizeof body, "{'options':%s}", bad[i].options);
        a = want(422, "PATCH", url, body);
        ck_assert_str_eq(detail_of(&a), bad[i].detail);
        answer_fini(&a);
    }
    a = want(200, "PATCH", url, "{'metadata':{'labels':{'a':'b'}}}"); /* leaves them alone */
    ck_assert_str_eq(text_at(&a, "options.loadbalancing"), "least-connection");
    answer_fini(&a);
    patch_options(url, "{}", one);
    a = want(200, "GET", "/v3/audit_events?types=audit.route.update", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 5);
    answer_fini(&a);
    patch_options(url, "{'loadbalancing':null}", "{}");
}
END_TEST

START_TEST(delete_leaves_the_route_and_the_job) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    snprintf(url, sizeof url, "/v3/apps/%s", app);
    desired_count = 0;
    struct answer a = want(202, "DELETE", url, NULL);
    ck_assert_uint_eq(desired_count, 1);
    struct answer job = want(200, "GET", a.location + strlen("http://api.test"), NULL);
    ck_assert_str_eq(text_at(&job, "operation"), "app.delete");
    answer_fini(&job);
    answer_fini(&a);
    a = want(404, "GET", url, NULL);
    ck_assert_str_eq(detail_of(&a), "App not found");
    answer_fini(&a);
    a = want(200, "GET", "/v3/routes", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 1);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/audit_events?order_by=-created_at&target_guids=%s", app);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(body_text(at(&a, "resources", 0), "type"), "audit.app.delete-request");
    ck_assert_str_eq(body_text(at(&a, "resources", 0), "actor.name"), "admin");
    answer_fini(&a);
}
END_TEST

START_TEST(create_space_as_the_cli_does) {
    char body[300], space[GUID_SIZE];
    snprintf(body, sizeof body,
             "{'name':'s2','relationships':{'organization':{'data':{'guid':'%s'}}}}", org_guid);
    struct answer a = want(201, "POST", "/v3/spaces", body);
    snprintf(space, sizeof space, "%s", text_at(&a, "guid"));
    answer_fini(&a);
    a = want(422, "POST", "/v3/spaces", body);
    ck_assert_str_eq(detail_of(&a), "Name must be unique per organization");
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'type':'organization_user','relationships':{'organization':{'data':{'guid':'%s'}},"
             "'user':{'data':{'username':'admin','origin':'uaa'}}}}",
             org_guid);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    snprintf(body, sizeof body,
             "{'type':'space_manager','relationships':{'space':{'data':{'guid':'%s'}},"
             "'user':{'data':{'username':'admin','origin':'uaa'}}}}",
             space);
    a = want(201, "POST", "/v3/roles", body);
    answer_fini(&a);
    a = want(422, "POST", "/v3/roles", body);
    ck_assert_str_eq(detail_of(&a), "User 'admin' already has 'space_manager' role in space 's2'.");
    answer_fini(&a);
}
END_TEST

START_TEST(rename_ignores_what_stays_the_same) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    snprintf(url, sizeof url, "/v3/apps/%s", app);
    struct answer a = want(200, "PATCH", url,
                           "{'name':'new','lifecycle':{'type':'docker','data':{}},'metadata':{}}");
    ck_assert_str_eq(text_at(&a, "name"), "new");
    answer_fini(&a);
    push(manifest, "a1", "alpine:3", app);
    a = want(422, "PATCH", url, "{'name':'a1'}");
    ck_assert_str_eq(detail_of(&a), "App with the name 'a1' already exists.");
    answer_fini(&a);
    a = want(200, "PATCH", url, "{'metadata':{'labels':{'k':'v'},'annotations':{'n':'w'}}}");
    ck_assert_str_eq(text_at(&a, "metadata.labels.k"), "v");
    answer_fini(&a);
    a = want(200, "PATCH", url, "{'metadata':{'labels':{'k':null}}}");
    ck_assert_ptr_null(body_at(a.json, "metadata.labels.k"));
    answer_fini(&a);
}
END_TEST

START_TEST(health_check_is_set_and_shown) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    snprintf(url, sizeof url, "/v3/processes/%s", app);
    struct answer a =
        want(200, "PATCH", url,
             "{'health_check':{'type':'http','data':{'endpoint':'/h','invocation_timeout':5}},"
             "'command':'sleep 1'}");
    ck_assert_str_eq(text_at(&a, "health_check.data.endpoint"), "/h");
    ck_assert_str_eq(text_at(&a, "command"), "sleep 1");
    answer_fini(&a);
    a = want(200, "GET", "/v3/processes", NULL);
    ck_assert_str_eq(body_text(at(&a, "resources", 0), "command"),
                     "[PRIVATE DATA HIDDEN IN LISTS]");
    answer_fini(&a);
    a = want(200, "PATCH", url, "{'health_check':{'type':'process'},'command':null}");
    ck_assert_ptr_null(body_at(a.json, "health_check.data.endpoint"));
    ck_assert(json_is_null(body_at(a.json, "command")));
    answer_fini(&a);
    a = want(422, "PATCH", url, "{'health_check':{'type':'tcp'}}");
    answer_fini(&a);
    a = want(422, "PATCH", url, "{'health_check':{'data':{'timeout':1000}}}");
    answer_fini(&a);
}
END_TEST

START_TEST(logs_come_as_log_cache_gives_them) {
    char app[GUID_SIZE], url[300];
    push(manifest, "a1", "alpine:3", app);
    say(app, "STG", 1000, "one");
    say(app, "APP/PROC/WEB", 2000, "two");
    snprintf(url, sizeof url,
             "/api/v1/read/%s?descending=true&envelope_types=LOG&limit=1000"
             "&start_time=-6795364578871345152",
             app);
    struct answer a = want(200, "GET", url, NULL);
    json_t *batch = body_at(a.json, "envelopes.batch");
    ck_assert_uint_eq(json_array_size(batch), 2);
    json_t *one = json_array_get(batch, 0);
    ck_assert_str_eq(body_text(one, "timestamp"), "2000");
    ck_assert_str_eq(body_text(one, "log.payload"), "dHdv");
    ck_assert_str_eq(body_text(one, "log.type"), "OUT");
    ck_assert_str_eq(body_text(one, "tags.source_type"), "APP/PROC/WEB");
    ck_assert_uint_eq(json_object_size(one), 6);
    answer_fini(&a);
    snprintf(url, sizeof url, "/api/v1/read/%s?envelope_types=LOG&start_time=2001", app);
    uint64_t before = clock_mono_ms();
    a = want(200, "GET", url, NULL); /* nothing new: held for a second */
    ck_assert_uint_ge(clock_mono_ms() - before, 900);
    ck_assert_uint_eq(json_array_size(body_at(a.json, "envelopes.batch")), 0);
    answer_fini(&a);
}
END_TEST

START_TEST(manifest_is_shown_and_compared) {
    char app[GUID_SIZE], url[200];
    push(manifest, "a1", "alpine:3", app);
    snprintf(url, sizeof url, "/v3/apps/%s/manifest", app);
    struct answer a = want(200, "GET", url, NULL);
    ck_assert_ptr_nonnull(strstr(a.text, "memory: \"64M\""));
    ck_assert_ptr_nonnull(strstr(a.text, "route: a1.apps.test"));
    ck_assert_ptr_nonnull(strstr(a.text, "\"N\": \"5\""));
    char *shown = str_dup(a.text);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/spaces/%s/manifest_diff", space_guid);
    a = ask_full(
        &(struct question){.method = "POST", .url = url, .authorization = token, .body = shown});
    free(shown);
    ck_assert_int_eq(a.status, 201);
    ck_assert_str_eq(a.text, "{\"diff\":[]}");
    answer_fini(&a);
    a = ask_full(&(struct question){.method = "POST",
                                    .url = url,
                                    .authorization = token,
                                    .body = "applications:\n- name: a1\n  memory: 1G\n"});
    ck_assert_str_eq(body_text(at(&a, "diff", 0), "path"), "/applications/0/memory");
    ck_assert_str_eq(body_text(at(&a, "diff", 0), "was"), "64M");
    answer_fini(&a);
    a = ask_full(&(struct question){.method = "POST",
                                    .url = url,
                                    .authorization = token,
                                    .body = "applications:\n- name: a1\n"
                                            "  docker: {image: alpine:4}\n"
                                            "  services: [db, {name: cache}]\n"});
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "diff")), 3);
    ck_assert_str_eq(body_text(at(&a, "diff", 0), "path"), "/applications/0/docker/image");
    ck_assert_str_eq(body_text(at(&a, "diff", 0), "was"), "alpine:3");
    ck_assert_str_eq(body_text(at(&a, "diff", 1), "path"), "/applications/0/services/0");
    ck_assert_str_eq(body_text(at(&a, "diff", 2), "value.name"), "cache");
    answer_fini(&a);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        discovery_needs_no_token,
        login_targets_org_and_space,
        push_makes_app_process_and_route,
        stats_show_one_entry_an_index,
        scale_changes_what_it_names,
        start_stages_the_newest_package_first,
        env_merges_and_null_deletes,
        map_and_unmap_a_route,
        options_of_a_route,
        delete_leaves_the_route_and_the_job,
        create_space_as_the_cli_does,
        rename_ignores_what_stays_the_same,
        health_check_is_set_and_shown,
        logs_come_as_log_cache_gives_them,
        manifest_is_shown_and_compared,
    };
    Suite *suite = suite_create("api/flow");
    TCase *tcase = tcase_create("flow");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
