/* services_test.c - user-provided services and labels, as cups, bind-service and set-label ask. */
#include "tests/unit/api/harness.h"

#include <fcntl.h>

#include "common/base/fs.h"

static void setup(void) {
    harness_up(true);
}

static void post(int status, const char *url, char guid[GUID_SIZE], const char *detail,
                 const char *body) {
    struct answer a = want(status, "POST", url, body);
    if (guid)
        snprintf(guid, GUID_SIZE, "%s", text_at(&a, "guid"));
    if (detail)
        ck_assert_str_eq(detail_of(&a), detail);
    answer_fini(&a);
}

static void make_app(const char *name, char guid[GUID_SIZE]) {
    char body[300];
    snprintf(body, sizeof body, "{'name':'%s','relationships':{'space':{'data':{'guid':'%s'}}}}",
             name, space_guid);
    post(201, "/v3/apps", guid, NULL, body);
}

static const char *service_body(const char *name, const char *more) {
    static char body[600];
    snprintf(body, sizeof body,
             "{'type':'user-provided','name':'%s'%s,"
             "'relationships':{'space':{'data':{'guid':'%s'}}}}",
             name, more, space_guid);
    return body;
}

static const char *binding_body(const char *service, const char *app, const char *more) {
    static char body[600];
    snprintf(body, sizeof body,
             "{'type':'app'%s,'relationships':{'service_instance':{'data':{'guid':'%s'}},"
             "'app':{'data':{'guid':'%s'}}}}",
             more, service, app);
    return body;
}

#define INSTANCES "/v3/service_instances"
#define BINDINGS  "/v3/service_credential_bindings"

START_TEST(a_bound_service_is_in_the_apps_environment) {
    char app[GUID_SIZE], service[GUID_SIZE], binding[GUID_SIZE], url[200];
    make_app("a1", app);
    post(201, INSTANCES, service, NULL,
         service_body("db", ",'tags':['x','y'],'credentials':{'password':'hunter2hunter2'}"));
    post(422, INSTANCES, NULL, "The service instance name is taken: db.", service_body("db", ""));
    post(201, BINDINGS, binding, NULL, binding_body(service, app, ",'name':'main'"));
    post(422, BINDINGS, NULL, "The app is already bound to the service instance",
         binding_body(service, app, ""));

    snprintf(url, sizeof url, "/v3/apps/%s/env", app);
    struct answer a = want(200, "GET", url, NULL);
    json_t *one = json_array_get(body_at(a.json, "system_env_json.VCAP_SERVICES.user-provided"), 0);
    ck_assert_str_eq(body_text(one, "name"), "main");
    ck_assert_str_eq(body_text(one, "instance_name"), "db");
    ck_assert_str_eq(body_text(one, "instance_guid"), service);
    ck_assert_str_eq(body_text(one, "binding_guid"), binding);
    ck_assert_str_eq(body_text(one, "credentials.password"), "hunter2hunter2");
    ck_assert_uint_eq(json_array_size(json_object_get(one, "tags")), 2);
    answer_fini(&a);

    /* what is shown to those who only look has no secret in it */
    snprintf(url, sizeof url, INSTANCES "/%s", service);
    a = want(200, "GET", url, NULL);
    ck_assert_ptr_null(strstr(a.text, "hunter2"));
    ck_assert_str_eq(text_at(&a, "last_operation.state"), "succeeded");
    answer_fini(&a);
    snprintf(url, sizeof url, INSTANCES "/%s/credentials", service);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "password"), "hunter2hunter2");
    answer_fini(&a);

    /* changed credentials are the binding's too; a deleted service is nobody's */
    snprintf(url, sizeof url, INSTANCES "/%s", service);
    a = want(200, "PATCH", url, "{'credentials':{'user':'u'}}");
    answer_fini(&a);
    snprintf(url, sizeof url, BINDINGS "/%s/details", binding);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(text_at(&a, "credentials.user"), "u");
    ck_assert_ptr_null(body_at(a.json, "credentials.password"));
    answer_fini(&a);
    snprintf(url, sizeof url, INSTANCES "/%s", service);
    a = want(204, "DELETE", url, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, BINDINGS "/%s", binding);
    a = want(404, "GET", url, NULL);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v3/apps/%s/env", app);
    a = want(200, "GET", url, NULL);
    ck_assert_uint_eq(json_object_size(body_at(a.json, "system_env_json.VCAP_SERVICES")), 0);
    answer_fini(&a);
}
END_TEST

START_TEST(what_user_provided_services_cannot_is_refused_as_by_cloud_controller) {
    char app[GUID_SIZE], service[GUID_SIZE], body[600], url[200];
    make_app("a1", app);
    post(201, INSTANCES, service, NULL, service_body("db", ""));
    post(422, BINDINGS, NULL,
         "Binding parameters are not supported for user-provided service instances",
         binding_body(service, app, ",'parameters':{'a':1}"));
    post(422, BINDINGS, NULL, "The app could not be found: 'nope'",
         binding_body(service, "nope", ""));
    post(422, BINDINGS, NULL, "The service instance could not be found: 'nope'",
         binding_body("nope", app, ""));
    snprintf(
        body, sizeof body,
        "{'type':'key','name':'k','relationships':{'service_instance':{'data':{'guid':'%s'}}}}",
        service);
    post(422, BINDINGS, NULL,
         "Service credential bindings of type 'key' are not supported for user-provided service "
         "instances.",
         body);
    snprintf(body, sizeof body,
             "{'type':'managed','name':'m','relationships':{'space':{'data':{'guid':'%s'}},"
             "'service_plan':{'data':{'guid':'p'}}}}",
             space_guid);
    post(422, INSTANCES, NULL,
         "Invalid service plan. Ensure that the service plan exists, is available, and you have "
         "access to it.",
         body);
    post(422, INSTANCES, NULL, "Route service url must be https",
         service_body("r", ",'route_service_url':'http://x'"));
    snprintf(url, sizeof url, INSTANCES "/%s/relationships/shared_spaces", service);
    post(422, url, NULL, "User-provided services cannot be shared.", "{'data':[]}");
}
END_TEST

static json_t *first_of(const struct answer *a) {
    return json_array_get(json_object_get(a->json, "resources"), 0);
}

/* cups, services, service, bind-service, unbind-service, delete-service of CLI 7.2: all v2. */
START_TEST(the_same_services_as_cli_7_asks_for_them) {
    char app[GUID_SIZE], service[GUID_SIZE], binding[GUID_SIZE], url[300], body[500];
    make_app("a1", app);
    snprintf(body, sizeof body,
             "{'name':'db','credentials':{'user':'me'},'space_guid':'%s','syslog_drain_url':'',"
             "'route_service_url':'','tags':['x']}",
             space_guid);
    struct answer a = want(201, "POST", "/v2/user_provided_service_instances", body);
    snprintf(service, sizeof service, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
    a = want(400, "POST", "/v2/user_provided_service_instances", body);
    ck_assert_int_eq((int)json_integer_value(json_object_get(a.json, "code")), 60002);
    answer_fini(&a);
    snprintf(body, sizeof body, "{'app_guid':'%s','service_instance_guid':'%s','parameters':{}}",
             app, service);
    a = want(201, "POST", "/v2/service_bindings", body);
    snprintf(binding, sizeof binding, "%s", text_at(&a, "metadata.guid"));
    answer_fini(&a);
    a = want(400, "POST", "/v2/service_bindings", body);
    ck_assert_int_eq((int)json_integer_value(json_object_get(a.json, "code")), 90003);
    answer_fini(&a);

    snprintf(url, sizeof url,
             "/v2/spaces/%s/service_instances?q=name%%3Adb"
             "&return_user_provided_service_instances=true&inline-relations-depth=1",
             space_guid);
    a = want(200, "GET", url, NULL);
    ck_assert_str_eq(body_text(first_of(&a), "entity.type"), "user_provided_service_instance");
    json_t *bound = json_array_get(body_at(first_of(&a), "entity.service_bindings"), 0);
    ck_assert_str_eq(body_text(bound, "entity.app_guid"), app);
    answer_fini(&a);
    snprintf(url, sizeof url, "/v2/spaces/%s/summary", space_guid);
    a = want(200, "GET", url, NULL);
    json_t *one = json_array_get(json_object_get(a.json, "services"), 0);
    ck_assert_str_eq(body_text(one, "name"), "db");
    ck_assert_int_eq((int)json_integer_value(json_object_get(one, "bound_app_count")), 1);
    one = json_array_get(json_object_get(a.json, "apps"), 0);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one, "service_names"), 0)),
                     "db");
    answer_fini(&a);
    snprintf(url, sizeof url, "/v2/service_instances/%s?accepts_incomplete=true", service);
    a = want(400, "DELETE", url, NULL);
    ck_assert_int_eq((int)json_integer_value(json_object_get(a.json, "code")), 10006);
    answer_fini(&a);
    char at[100];
    snprintf(at, sizeof at, "/v2/service_bindings/%s", binding);
    a = want(204, "DELETE", at, NULL);
    answer_fini(&a);
    a = want(404, "GET", at, NULL);
    ck_assert_int_eq((int)json_integer_value(json_object_get(a.json, "code")), 90004);
    answer_fini(&a);
    a = want(204, "DELETE", url, NULL);
    answer_fini(&a);
    a = want(404, "GET", url, NULL);
    ck_assert_int_eq((int)json_integer_value(json_object_get(a.json, "code")), 60004);
    answer_fini(&a);
}
END_TEST

START_TEST(credentials_are_sealed_on_disk) {
    char app[GUID_SIZE], service[GUID_SIZE];
    make_app("a1", app);
    post(201, INSTANCES, service, NULL,
         service_body("db", ",'credentials':{'password':'hunter2hunter2'}"));
    static const char *const files[] = {"berth.db", "berth.db-wal"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[200], *text = NULL;
        size_t n = 0;
        snprintf(path, sizeof path, "%s/%s", state_dir, files[i]);
        if (fs_read(AT_FDCWD, path, 64 << 20, &text, &n, &err) < 0)
            continue;
        ck_assert_ptr_null(memmem(text, n, "hunter2", 7));
        free(text);
    }
}
END_TEST

static void manifest(int status, const char *text, const char *detail) {
    char url[200];
    snprintf(url, sizeof url, "/v3/spaces/%s/actions/apply_manifest", space_guid);
    struct answer a = ask_full(&(struct question){.method = "POST",
                                                  .url = url,
                                                  .authorization = token,
                                                  .type = "application/x-yaml",
                                                  .body = text});
    ck_assert_msg(a.status == status, "%d %s", a.status, a.text);
    if (detail)
        ck_assert_str_eq(detail_of(&a), detail);
    answer_fini(&a);
}

START_TEST(a_manifest_binds_services) {
    char service[GUID_SIZE], url[200];
    post(201, INSTANCES, service, NULL, service_body("db", ""));
    static const char text[] = "applications:\n- name: m\n  docker: {image: x}\n  services:\n"
                               "  - db\n";
    manifest(202, text, NULL);
    manifest(202, text, NULL);
    struct answer a = want(200, "GET", BINDINGS "?include=app,service_instance", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(a.json, "resources")), 1);
    ck_assert_str_eq(
        body_text(json_array_get(body_at(a.json, "included.service_instances"), 0), "name"), "db");
    json_t *app = json_array_get(body_at(a.json, "included.apps"), 0);
    ck_assert_str_eq(body_text(app, "name"), "m");
    snprintf(url, sizeof url, "/v3/apps/%s/manifest", body_text(app, "guid"));
    answer_fini(&a);
    a = want(200, "GET", url, NULL);
    ck_assert_ptr_nonnull(strstr(a.text, "services:\n  - db\n"));
    answer_fini(&a);
    manifest(422, "applications:\n- name: m\n  services: [nope]\n",
             "For application 'm': Service instance 'nope' not found");
    manifest(422, "applications:\n- name: m\n  services: 5\n", NULL);
}
END_TEST

static size_t found(const char *selector) {
    char url[300];
    snprintf(url, sizeof url, "/v3/apps?label_selector=%s", selector);
    struct answer a = want(200, "GET", url, NULL);
    size_t n = json_array_size(json_object_get(a.json, "resources"));
    answer_fini(&a);
    return n;
}

START_TEST(label_selectors_find_what_they_say) {
    static const char *const labels[] = {"{'env':'prod','tier':'web'}", "{'env':'test'}",
                                         "{'x.io/env':'','tier':'db'}"};
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
        char app[GUID_SIZE], url[100], body[200], name[8];
        snprintf(name, sizeof name, "a%zu", i);
        make_app(name, app);
        snprintf(url, sizeof url, "/v3/apps/%s", app);
        snprintf(body, sizeof body, "{'metadata':{'labels':%s}}", labels[i]);
        struct answer a = want(200, "PATCH", url, body);
        answer_fini(&a);
    }
    static const struct {
        const char *selector;
        size_t n;
    } cases[] = {
        {"env", 2},
        {"!env", 1},
        {"env=prod", 1},
        {"env%3D%3Dprod", 1},
        {"env!=prod", 2}, /* also what has no such label */
        {"env%20in%20(prod,test)", 2},
        {"env%20notin%20(prod)", 2},
        {"env,tier", 1},
        {"tier%20in%20(web,db),!env", 1},
        {"x.io/env", 1},
        {"x.io/env=", 1},
        {"env=prod,tier=db", 0},
        {"in", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        ck_assert_msg(found(cases[i].selector) == cases[i].n, "%s: %zu", cases[i].selector,
                      found(cases[i].selector));
    static const char *const bad[] = {"",   ",",      "env,",       "!",         "env=prod%20x",
                                      "=x", "env in", "env in ()x", "env in (a", "a=b=c"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char url[300];
        snprintf(url, sizeof url, "/v3/apps?label_selector=%s", bad[i]);
        struct answer a = want(400, "GET", url, NULL);
        ck_assert_int_eq(code_of(&a), 10005);
        answer_fini(&a);
    }
    /* only where there are labels */
    struct answer a = want(400, "GET", "/v3/roles?label_selector=a", NULL);
    answer_fini(&a);
}
END_TEST

START_TEST(labels_are_checked) {
    static const struct {
        const char *key, *value;
        int status;
    } cases[] = {
        {"a", "b", 200},      {"a.b-c_d", "", 200},
        {"x.io/k", "v", 200}, {"", "v", 422},
        {"a/b/c", "v", 422},  {"nodot/k", "v", 422},
        {"-a", "v", 422},     {"cloudfoundry.org/k", "v", 422},
        {"a b", "v", 422},    {"k", "-v", 422},
        {"k", "v v", 422},    {"x.io/", "v", 422},
    };
    char app[GUID_SIZE], url[100], body[200];
    make_app("a", app);
    snprintf(url, sizeof url, "/v3/apps/%s", app);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        snprintf(body, sizeof body, "{'metadata':{'labels':{'%s':'%s'}}}", cases[i].key,
                 cases[i].value);
        struct answer a = ask("PATCH", url, body);
        ck_assert_msg(a.status == cases[i].status, "'%s': %d %s", cases[i].key, a.status, a.text);
        answer_fini(&a);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_bound_service_is_in_the_apps_environment,
        what_user_provided_services_cannot_is_refused_as_by_cloud_controller,
        the_same_services_as_cli_7_asks_for_them,
        credentials_are_sealed_on_disk,
        a_manifest_binds_services,
        label_selectors_find_what_they_say,
        labels_are_checked,
    };
    Suite *suite = suite_create("api/services");
    TCase *tcase = tcase_create("services");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, harness_down);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
