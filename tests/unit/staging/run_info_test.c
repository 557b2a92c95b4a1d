#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <jansson.h>

#include "controller/staging/internal.h"

#define TEXT(s) ((char *)(s))

static struct app_row app;
static struct process_row process;
static struct droplet_row droplet;
static struct destination_row destinations[3];
static struct run_rows rows;
static uint8_t image[512];

static void setup(void) {
    Berth__Image packed;
    berth__image__init(&packed);
    packed.reference = TEXT("images/lattice-app");
    packed.digest = TEXT("sha256:1");
    app = (struct app_row){.guid = "a",
                           .name = TEXT("lattice"),
                           .space_guid = "s",
                           .space_name = TEXT("dev"),
                           .org_guid = "o",
                           .org_name = TEXT("acme")};
    process = (struct process_row){.guid = "p",
                                   .type = TEXT("web"),
                                   .memory_mb = 256,
                                   .disk_mb = 512,
                                   .log_rate = -1,
                                   .health_type = TEXT("port"),
                                   .version = "v"};
    droplet = (struct droplet_row){.entrypoint = TEXT("[\"/bin/app\"]"),
                                   .cmd = TEXT("[\"-x\",\"1 2\"]"),
                                   .image_packed = image,
                                   .image_packed_n = berth__image__pack(&packed, image)};
    for (size_t i = 0; i < ARRAY_SIZE(destinations); i++)
        destinations[i] = (struct destination_row){.process_type = TEXT("web"),
                                                   .host = TEXT("www"),
                                                   .path = TEXT(""),
                                                   .domain_name = TEXT("apps.example")};
    rows = (struct run_rows){.app = &app,
                             .process = &process,
                             .droplet = &droplet,
                             .destinations = destinations,
                             .destination_count = 1,
                             .api_url = "https://api.example"};
}

static Berth__DesiredLrp *pack(void) {
    _cleanup_(freep) void *packed = NULL, *again = NULL;
    size_t n = 0, again_n = 0;
    struct error err = {0};
    int r = run_info_pack(&rows, &packed, &n, &err);
    ck_assert_msg(r == 0, "%s", err.msg);
    ck_assert_int_eq(run_info_pack(&rows, &again, &again_n, NULL), 0);
    ck_assert_uint_eq(n, again_n);
    ck_assert_mem_eq(packed, again, n);
    Berth__DesiredLrp *lrp = berth__desired_lrp__unpack(NULL, n, packed);
    ck_assert_ptr_nonnull(lrp);
    return lrp;
}

static const char *env_of(const Berth__DesiredLrp *lrp, const char *name) {
    const char *found = NULL;
    for (size_t i = 0; i < lrp->n_env; i++)
        if (str_eq(lrp->env[i]->name, name)) {
            ck_assert_msg(!found, "%s stands twice", name);
            found = lrp->env[i]->value;
        }
    return found;
}

START_TEST(entrypoint_and_cmd_are_one_argv) {
    setup();
    Berth__DesiredLrp *lrp = pack();
    ck_assert_uint_eq(lrp->n_command, 3);
    ck_assert_str_eq(lrp->command[0], "/bin/app");
    ck_assert_str_eq(lrp->command[2], "1 2");
    ck_assert_str_eq(lrp->process_guid, "p-v");
    ck_assert_uint_eq(lrp->memory_mb, 256);
    ck_assert_int_eq(lrp->log_rate_bytes_s, -1);
    ck_assert_str_eq(lrp->image->reference, "images/lattice-app");
    ck_assert_str_eq(lrp->image->username, "");
    berth__desired_lrp__free_unpacked(lrp, NULL);
}
END_TEST

START_TEST(a_custom_command_runs_in_a_shell_and_replaces_both) {
    setup();
    process.command = TEXT("exec app -name=\"$X\"");
    Berth__DesiredLrp *lrp = pack();
    ck_assert_uint_eq(lrp->n_command, 3);
    ck_assert_str_eq(lrp->command[0], "/bin/sh");
    ck_assert_str_eq(lrp->command[1], "-c");
    ck_assert_str_eq(lrp->command[2], "exec app -name=\"$X\"");
    berth__desired_lrp__free_unpacked(lrp, NULL);
}
END_TEST

START_TEST(no_command_at_all_is_said_clearly) {
    setup();
    droplet.entrypoint = NULL;
    droplet.cmd = TEXT("[]");
    void *packed = NULL;
    size_t n;
    struct error err = {0};
    ck_assert_int_eq(run_info_pack(&rows, &packed, &n, &err), -ENOEXEC);
    ck_assert(str_starts(err.msg, "No start command found or specified"));
}
END_TEST

START_TEST(the_environment_merges_image_group_app_platform) {
    setup();
    droplet.env =
        TEXT("[\"A=image\",\"B=image\",\"C=image\",\"VCAP_SERVICES=x\",\"EQ=a=b\",\"=no\","
             "\"none\",\"BAD_SHELL=$1\"]");
    rows.running_env = "{\"B\":\"group\",\"C\":\"group\",\"G\":\"group\"}";
    app.env = TEXT("{\"C\":\"app\",\"N\":7,\"MEMORY_LIMIT\":\"mine\"}");
    Berth__DesiredLrp *lrp = pack();
    static const struct {
        const char *name, *value;
    } expected[] = {{"A", "image"},
                    {"B", "group"},
                    {"C", "app"},
                    {"G", "group"},
                    {"N", "7"},
                    {"EQ", "a=b"},
                    {"BAD_SHELL", "$1"},
                    {"VCAP_SERVICES", "{}"},
                    {"MEMORY_LIMIT", "256m"}};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        ck_assert_str_eq(env_of(lrp, expected[i].name), expected[i].value);
    ck_assert_uint_eq(lrp->n_env, ARRAY_SIZE(expected));
    berth__desired_lrp__free_unpacked(lrp, NULL);
}
END_TEST

START_TEST(vcap_application_tells_names_limits_and_uris) {
    setup();
    destinations[1].host = TEXT("");
    destinations[1].path = TEXT("/shop");
    rows.destination_count = 2;
    Berth__DesiredLrp *lrp = pack();
    json_t *j = json_loads(lrp->vcap_application, 0, NULL);
    ck_assert_ptr_nonnull(j);
    static const struct {
        const char *key, *value;
    } expected[] = {{"application_id", "a"},       {"application_name", "lattice"},
                    {"application_version", "v"},  {"cf_api", "https://api.example"},
                    {"name", "lattice"},           {"organization_id", "o"},
                    {"organization_name", "acme"}, {"process_id", "p"},
                    {"process_type", "web"},       {"space_id", "s"},
                    {"space_name", "dev"},         {"version", "v"}};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        ck_assert_str_eq(json_string_value(json_object_get(j, expected[i].key)), expected[i].value);
    json_t *uris = json_object_get(j, "uris"), *limits = json_object_get(j, "limits");
    ck_assert_str_eq(json_string_value(json_array_get(uris, 0)), "www.apps.example");
    ck_assert_str_eq(json_string_value(json_array_get(uris, 1)), "apps.example/shop");
    ck_assert_int_eq(json_integer_value(json_object_get(limits, "mem")), 256);
    ck_assert_int_eq(json_integer_value(json_object_get(limits, "disk")), 512);
    ck_assert_int_eq(json_integer_value(json_object_get(limits, "fds")), 16384);
    json_decref(j);
    berth__desired_lrp__free_unpacked(lrp, NULL);
}
END_TEST

START_TEST(traffic_goes_to_the_lowest_tcp_port_unless_every_route_names_one) {
    static const struct {
        const char *exposed, *type, *health;
        size_t routes;
        unsigned named[2];
        const char *ports;
    } table[] = {
        {NULL, "web", "port", 0, {0}, "8080"},
        {"[{\"Port\":80,\"Protocol\":\"tcp\"},{\"Port\":8080,\"Protocol\":\"tcp\"}]",
         "web",
         "port",
         1,
         {0},
         "80 8080"},
        {"[{\"Port\":53,\"Protocol\":\"udp\"},{\"Port\":3000,\"Protocol\":\"tcp\"}]",
         "web",
         "port",
         1,
         {0},
         "3000"},
        {"[{\"Port\":53,\"Protocol\":\"udp\"}]", "web", "port", 1, {0}, "8080"},
        {"[{\"Port\":80,\"Protocol\":\"tcp\"},{\"Port\":9090,\"Protocol\":\"tcp\"}]",
         "web",
         "port",
         1,
         {9090},
         "9090 80"},
        {"[{\"Port\":80,\"Protocol\":\"tcp\"}]", "web", "port", 2, {0, 9090}, "80 9090"},
        {NULL, "web", "port", 1, {3000}, "3000"},
        {NULL, "web", "port", 2, {3000, 0}, "8080 3000"},
        {NULL, "worker", "process", 0, {0}, ""},
        {NULL, "worker", "port", 0, {0}, "8080"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char text[128] = "";
        setup();
        droplet.ports = TEXT(table[i].exposed);
        process.type = TEXT(table[i].type);
        process.health_type = TEXT(table[i].health);
        rows.destination_count = table[i].routes;
        for (size_t k = 0; k < table[i].routes; k++)
            destinations[k].port = table[i].named[k];
        Berth__DesiredLrp *lrp = pack();
        for (size_t k = 0; k < lrp->n_ports; k++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u", k ? " " : "",
                     lrp->ports[k]);
        ck_assert_msg(str_eq(text, table[i].ports), "row %zu: %s", i, text);
        berth__desired_lrp__free_unpacked(lrp, NULL);
    }
}
END_TEST

START_TEST(ports_are_bounded_and_the_routed_ones_kept) {
    struct strbuf exposed = {0};
    setup();
    strbuf_putc(&exposed, '[');
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&exposed, "%s{\"Port\":%d,\"Protocol\":\"tcp\"}", i ? "," : "", 10000 + i);
    strbuf_putc(&exposed, ']');
    droplet.ports = exposed.p;
    rows.destination_count = 2;
    destinations[1].port = 10999;
    Berth__DesiredLrp *lrp = pack();
    ck_assert_uint_eq(lrp->n_ports, PORTS_MAX);
    ck_assert_uint_eq(lrp->ports[0], 10000);
    ck_assert_uint_eq(lrp->ports[1], 10999);
    berth__desired_lrp__free_unpacked(lrp, NULL);
    strbuf_fini(&exposed);
}
END_TEST

START_TEST(credentials_user_workdir_signal_and_health_are_carried) {
    setup();
    const struct package_row package = {.username = TEXT("bob"), .password = TEXT("secret")};
    rows.package = &package;
    droplet.user = TEXT("1000:1000");
    droplet.workdir = TEXT("/srv");
    droplet.stop_signal = TEXT("SIGQUIT");
    process.health_type = TEXT("http");
    process.health_endpoint = TEXT("/up");
    process.health_timeout_s = 90;
    process.health_invocation_s = 3;
    process.health_interval_s = 10;
    Berth__DesiredLrp *lrp = pack();
    ck_assert_str_eq(lrp->image->username, "bob");
    ck_assert_str_eq(lrp->image->password, "secret");
    ck_assert_str_eq(lrp->user, "1000:1000");
    ck_assert_str_eq(lrp->workdir, "/srv");
    ck_assert_str_eq(lrp->stop_signal, "SIGQUIT");
    ck_assert_int_eq(lrp->health->type, BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_HTTP);
    ck_assert_str_eq(lrp->health->endpoint, "/up");
    ck_assert_uint_eq(lrp->health->timeout_s, 90);
    ck_assert_uint_eq(lrp->health->invocation_timeout_s, 3);
    ck_assert_uint_eq(lrp->health->interval_s, 10);
    berth__desired_lrp__free_unpacked(lrp, NULL);
}
END_TEST

START_TEST(what_cannot_be_sent_is_refused) {
    setup();
    struct strbuf env = {0};
    strbuf_puts(&env, "{\"BIG\":\"");
    for (int i = 0; i < RUN_INFO_MAX_BYTES; i++)
        strbuf_putc(&env, 'x');
    strbuf_puts(&env, "\"}");
    app.env = env.p;
    void *packed = NULL;
    size_t n;
    ck_assert_int_eq(run_info_pack(&rows, &packed, &n, NULL), -E2BIG);
    app.env = TEXT("not json");
    ck_assert_int_eq(run_info_pack(&rows, &packed, &n, NULL), -EUCLEAN);
    strbuf_fini(&env);
}
END_TEST

START_TEST(a_task_has_the_apps_environment_and_no_ports) {
    struct task_row task = {.guid = "t", .name = TEXT("migrate")};
    setup();
    rows.task = &task;
    process.command = TEXT("rake db:migrate");
    process.health_type = TEXT("process");
    app.env = TEXT("{\"A\":\"1\"}");
    droplet.ports = TEXT("[{\"Port\":80,\"Protocol\":\"tcp\"}]");
    Berth__DesiredLrp *lrp = pack();
    ck_assert(lrp->task);
    ck_assert_str_eq(lrp->process_guid, "t");
    ck_assert_str_eq(lrp->log_source, "APP/TASK/migrate");
    ck_assert_uint_eq(lrp->n_ports, 0);
    ck_assert_int_eq(lrp->health->type, BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PROCESS);
    ck_assert_uint_eq(lrp->n_command, 3);
    ck_assert_str_eq(lrp->command[2], "rake db:migrate");
    ck_assert_str_eq(env_of(lrp, "A"), "1");
    ck_assert_str_eq(env_of(lrp, "MEMORY_LIMIT"), "256m");
    json_t *vcap = json_loads(lrp->vcap_application, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(vcap, "application_id")), "a");
    ck_assert_ptr_null(json_object_get(vcap, "process_id"));
    ck_assert_ptr_null(json_object_get(vcap, "process_type"));
    json_decref(vcap);
    berth__desired_lrp__free_unpacked(lrp, NULL);
    task.user = TEXT("worker");
    process.command = NULL; /* the image's own, as it is */
    lrp = pack();
    ck_assert_str_eq(lrp->user, "worker");
    ck_assert_str_eq(lrp->command[0], "/bin/app");
    berth__desired_lrp__free_unpacked(lrp, NULL);
}
END_TEST

RUN_TESTS("staging/run_info", a_task_has_the_apps_environment_and_no_ports,
          entrypoint_and_cmd_are_one_argv, a_custom_command_runs_in_a_shell_and_replaces_both,
          no_command_at_all_is_said_clearly, the_environment_merges_image_group_app_platform,
          vcap_application_tells_names_limits_and_uris,
          traffic_goes_to_the_lowest_tcp_port_unless_every_route_names_one,
          ports_are_bounded_and_the_routed_ones_kept,
          credentials_user_workdir_signal_and_health_are_carried, what_cannot_be_sent_is_refused)
