#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "cell/container/env.h"
#include "common/base/mem.h"
#include "common/base/str.h"

static const struct published ports[] = {{8080, 61001}, {9090, 61002}};

static struct env_facts facts_of(bool root, size_t port_count) {
    return (struct env_facts){
        .ports = ports,
        .port_count = port_count,
        .host_ip = "192.0.2.7",
        .ip = "10.253.0.2",
        .user = root ? "" : "app:staff",
        .home = root ? "/root" : "/home/app",
        .root = root,
    };
}

static char **build(const char *const *env, bool root, size_t port_count) {
    struct env_facts facts = facts_of(root, port_count);
    char **out = NULL;
    ck_assert_int_eq(env_build(env, &facts, &out, NULL), 0);
    return out;
}

START_TEST(placeholders_are_filled_in_cf_instance_values_only) {
    static const struct {
        const char *in, *out, *without_ports;
    } rows[] = {
        {"CF_INSTANCE_PORT={{host_port}}", "CF_INSTANCE_PORT=61001", "CF_INSTANCE_PORT="},
        {"CF_INSTANCE_ADDR={{host_ip}}:{{host_port}}", "CF_INSTANCE_ADDR=192.0.2.7:61001",
         "CF_INSTANCE_ADDR=192.0.2.7:"},
        {"CF_INSTANCE_PORTS=[{\"external\":{{host_port:9090}},\"internal\":9090}]",
         "CF_INSTANCE_PORTS=[{\"external\":61002,\"internal\":9090}]",
         "CF_INSTANCE_PORTS=[{\"external\":,\"internal\":9090}]"},
        {"CF_INSTANCE_INTERNAL_IP={{ip}}", "CF_INSTANCE_INTERNAL_IP=10.253.0.2",
         "CF_INSTANCE_INTERNAL_IP=10.253.0.2"},
        {"CF_INSTANCE_X={{{ip}}}", "CF_INSTANCE_X={10.253.0.2}", "CF_INSTANCE_X={10.253.0.2}"},
        {"CF_INSTANCE_X={{nothing}} {{ip", "CF_INSTANCE_X={{nothing}} {{ip",
         "CF_INSTANCE_X={{nothing}} {{ip"},
        {"CF_INSTANCE_X={{host_port:0}}{{host_port:x}}{{host_port:}}",
         "CF_INSTANCE_X={{host_port:0}}{{host_port:x}}{{host_port:}}",
         "CF_INSTANCE_X={{host_port:0}}{{host_port:x}}{{host_port:}}"},
        {"CF_INSTANCE_X={{host_port:80}}", "CF_INSTANCE_X=", "CF_INSTANCE_X="},
        {"OTHER={{ip}}", "OTHER={{ip}}", "OTHER={{ip}}"},
        {"CF_INSTANCE_X=}}{{", "CF_INSTANCE_X=}}{{", "CF_INSTANCE_X=}}{{"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *env[] = {rows[i].in, NULL};
        char **with = build(env, true, 2), **without = build(env, true, 0);
        ck_assert_str_eq(with[0], rows[i].out);
        ck_assert_str_eq(without[0], rows[i].without_ports);
        env_free(with);
        env_free(without);
    }
}
END_TEST

START_TEST(defaults_are_added_when_missing) {
    char **env = build(NULL, true, 0);
    ck_assert_str_eq(env_get(env, "PATH"),
                     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    ck_assert_str_eq(env_get(env, "HOME"), "/root");
    ck_assert_str_eq(env_get(env, "USER"), "root");
    env_free(env);
    env = build(NULL, false, 0);
    ck_assert_str_eq(env_get(env, "PATH"), "/usr/local/bin:/usr/bin:/bin");
    ck_assert_str_eq(env_get(env, "HOME"), "/home/app");
    ck_assert_str_eq(env_get(env, "USER"), "app");
    env_free(env);
}
END_TEST

START_TEST(what_the_owner_set_stays) {
    const char *given[] = {"PATH=", "HOME=/x", "USER=u", "A=$B 'c", "PATHS=1", NULL};
    char **env = build(given, true, 0);
    ck_assert_str_eq(env_get(env, "PATH"), "");
    ck_assert_str_eq(env_get(env, "HOME"), "/x");
    ck_assert_str_eq(env_get(env, "USER"), "u");
    ck_assert_str_eq(env_get(env, "A"), "$B 'c");
    ck_assert_ptr_null(env_get(env, "PAT"));
    ck_assert_ptr_null(env[5]);
    env_free(env);
}
END_TEST

RUN_TESTS("container/env", placeholders_are_filled_in_cf_instance_values_only,
          defaults_are_added_when_missing, what_the_owner_set_stays)
