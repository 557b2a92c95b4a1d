#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <jansson.h>

#include "cell/instance_env.h"
#include "common/base/mem.h"
#include "common/base/str.h"

static const char *get(char **env, const char *name) {
    size_t n = strlen(name);
    const char *found = NULL;
    for (char **e = env; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') {
            ck_assert_msg(!found, "%s stands twice", name);
            found = *e + n + 1;
        }
    return found;
}

/* Builds from rows of name and value. */
static int build(char ***ret, Berth__DesiredLrp *lrp, const char *const (*vars)[2], size_t n,
                 struct error *err) {
    Berth__EnvVar list[16], *pointers[16];
    Berth__Assignment a = BERTH__ASSIGNMENT__INIT;
    for (size_t i = 0; i < n; i++) {
        berth__env_var__init(&list[i]);
        list[i].name = (char *)(uintptr_t)vars[i][0];
        list[i].value = (char *)(uintptr_t)vars[i][1];
        pointers[i] = &list[i];
    }
    lrp->env = pointers;
    lrp->n_env = n;
    a.instance_guid = (char *)(uintptr_t) "guid-1";
    a.index = 2;
    a.lrp = lrp;
    return instance_env_build(ret, &a, err);
}

START_TEST(later_entries_and_the_platform_win) {
    static const char *const vars[][2] = {
        {"PATH", "/image"},         {"PORT", "5000"},
        {"SOME_VAR", "image"},      {"SOME_VAR", "user"},
        {"VCAP_APPLICATION", "{}"}, {"BAD_QUOTE", "'"},
        {"BAD_SHELL", "$1"},        {"EMPTY", ""},
        {"EQUALS", "a=b=c"},        {"CF_INSTANCE_GUID", "mine"},
    };
    Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
    uint32_t ports[] = {8080, 9000};
    _cleanup_(instance_env_freep) char **env = NULL;
    lrp.ports = ports;
    lrp.n_ports = 2;
    lrp.memory_mb = 256;
    lrp.vcap_application = (char *)(uintptr_t) "{\"name\":\"n\",\"port\":1}";
    ck_assert_int_eq(build(&env, &lrp, vars, ARRAY_SIZE(vars), NULL), 0);
    static const char *const expect[][2] = {
        {"PATH", "/image"},
        {"PORT", "8080"},
        {"SOME_VAR", "user"},
        {"BAD_QUOTE", "'"},
        {"BAD_SHELL", "$1"},
        {"EMPTY", ""},
        {"EQUALS", "a=b=c"},
        {"INSTANCE_GUID", "guid-1"},
        {"INSTANCE_INDEX", "2"},
        {"CF_INSTANCE_GUID", "guid-1"},
        {"CF_INSTANCE_INDEX", "2"},
        {"MEMORY_LIMIT", "256m"},
        {"VCAP_SERVICES", "{}"},
        {"CF_INSTANCE_IP", "{{host_ip}}"},
        {"CF_INSTANCE_INTERNAL_IP", "{{ip}}"},
        {"CF_INSTANCE_PORT", "{{host_port}}"},
        {"CF_INSTANCE_ADDR", "{{host_ip}}:{{host_port}}"},
        {"CF_INSTANCE_PORTS", "[{\"external\":{{host_port:8080}},\"internal\":8080},"
                              "{\"external\":{{host_port:9000}},\"internal\":9000}]"},
        {"HOME", NULL},
        {"TMPDIR", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(expect); i++)
        ck_assert_msg(str_eq(get(env, expect[i][0]), expect[i][1]), "%s is %s", expect[i][0],
                      get(env, expect[i][0]));
    json_t *app = json_loads(get(env, "VCAP_APPLICATION"), 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(app, "name")), "n");
    ck_assert_str_eq(json_string_value(json_object_get(app, "host")), "0.0.0.0");
    ck_assert_str_eq(json_string_value(json_object_get(app, "instance_id")), "guid-1");
    ck_assert_int_eq(json_integer_value(json_object_get(app, "instance_index")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(app, "port")), 8080);
    json_decref(app);
}
END_TEST

START_TEST(without_ports_there_is_no_port) {
    Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
    static const char *const vars[][2] = {{"VCAP_SERVICES", "{\"a\":1}"}};
    _cleanup_(instance_env_freep) char **env = NULL;
    lrp.vcap_application = (char *)(uintptr_t) "not json";
    ck_assert_int_eq(build(&env, &lrp, vars, 1, NULL), 0);
    ck_assert_ptr_null(get(env, "PORT"));
    ck_assert_str_eq(get(env, "CF_INSTANCE_PORT"), "");
    ck_assert_str_eq(get(env, "CF_INSTANCE_ADDR"), "");
    ck_assert_str_eq(get(env, "CF_INSTANCE_PORTS"), "[]");
    ck_assert_str_eq(get(env, "VCAP_SERVICES"), "{\"a\":1}");
    ck_assert(strstr(get(env, "VCAP_APPLICATION"), "\"instance_index\":2"));
}
END_TEST

START_TEST(names_that_are_none_are_refused) {
    static const char *const names[] = {"", "A=B", "="};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
        const char *const vars[][2] = {{names[i], "x"}};
        char **env = NULL;
        struct error err = {0};
        ck_assert_int_eq(build(&env, &lrp, vars, 1, &err), -EINVAL);
        ck_assert_ptr_null(env);
    }
}
END_TEST

RUN_TESTS("cell/instance_env", later_entries_and_the_platform_win, without_ports_there_is_no_port,
          names_that_are_none_are_refused)
