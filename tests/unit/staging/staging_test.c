/* Builds and desiring against a real store; the registry is a function of three lines. */
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/staging/internal.h"
#include "controller/store/accounts.h"
#include "controller/store/flags.h"

#define TEXT(s) ((char *)(s))

static char dir[64];
static struct store *store;
static struct logs *logs;
static struct lrp *lrp;
static struct event_base *loop;
static struct staging *staging;
static char space[GUID_SIZE], domain[GUID_SIZE];
static uint64_t now = 1000;

/* --- the registry --- */

static struct lookup {
    void (*done)(struct registry_image *image, const struct error *err, void *arg);
    void *arg;
    char repository[256], username[64];
} lookups[16];
static size_t lookup_n;

static int lookup(struct http_client *http, const struct registry_config *config,
                  const struct reference *ref, const struct registry_credentials *credentials,
                  void (*done)(struct registry_image *, const struct error *, void *), void *arg,
                  struct registry_lookup **ret, struct error *err) {
    (void)http, (void)config, (void)err;
    struct lookup *l = &lookups[lookup_n++];
    l->done = done;
    l->arg = arg;
    snprintf(l->repository, sizeof l->repository, "%s", ref->repository);
    snprintf(l->username, sizeof l->username, "%s",
             credentials->username ? credentials->username : "");
    *ret = (struct registry_lookup *)l;
    return 0;
}
static void lookup_cancel(struct registry_lookup *l) {
    (void)l;
}

static char **words(const char *first, const char *second) {
    char **list = calloc(3, sizeof *list);
    list[0] = str_dup(first);
    list[1] = str_dup(second);
    return list;
}

static struct registry_image *image_make(bool commands) {
    struct registry_image *image = calloc(1, sizeof *image);
    snprintf(image->ref.registry, sizeof image->ref.registry, "reg.example");
    snprintf(image->ref.repository, sizeof image->ref.repository, "app");
    snprintf(image->ref.digest, sizeof image->ref.digest, "sha256:42");
    if (commands)
        image->cmd = words("serve", "-v");
    image->env = words("A=1", NULL);
    image->ports = calloc(2, sizeof *image->ports);
    image->ports[0].number = 80;
    image->ports[1].number = 80;
    image->ports[1].udp = true;
    image->port_count = 2;
    image->user = str_dup("nobody");
    return image;
}

/* --- fixture --- */

static int changes;
static void on_cell_changed(void *data, const char *id) {
    (void)data, (void)id;
}
static void on_nothing(void *data) {
    (void)data;
    changes++;
}
static void on_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    guid_new(buf);
}

static void open_all(void) {
    struct error err = {0};
    ck_assert_msg(store_open(&store, dir, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(logs_new(&logs, 1 << 20, 1 << 20, NULL), 0);
    const struct lrp_config config = {
        .presence_ms = 15000, .converge_ms = 30000, .settle_ms = 15000, .rng_seed = 1};
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_nothing,
                                .on_work = on_nothing,
                                .new_guid = on_guid};
    ck_assert_int_eq(lrp_new(&lrp, &config, &ops, now, NULL), 0);
    loop = event_base_new();
    ck_assert_ptr_nonnull(loop);
    const struct staging_deps deps = {.loop = loop,
                                      .store = store,
                                      .logs = logs,
                                      .lrp = lrp,
                                      .api_url = "https://api.example",
                                      .max_in_flight = 2,
                                      .lookup = lookup,
                                      .lookup_cancel = lookup_cancel};
    ck_assert_int_eq(staging_new(&staging, &deps, NULL), 0);
    lookup_n = 0;
}

static void close_all(void) {
    staging_free(staging);
    lrp_free(lrp);
    logs_free(logs);
    store_free(store);
    event_base_free(loop);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-staging-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_all();
    struct org_row org = {.name = TEXT("acme")};
    struct space_row s = {.name = TEXT("dev")};
    struct domain_row d = {.name = TEXT("apps.example")};
    ck_assert_int_eq(store_org_insert(store, &org, NULL), 0);
    memcpy(s.org_guid, org.guid, sizeof s.org_guid);
    ck_assert_int_eq(store_space_insert(store, &s, NULL), 0);
    ck_assert_int_eq(store_domain_insert(store, &d, NULL), 0);
    memcpy(space, s.guid, sizeof space);
    memcpy(domain, d.guid, sizeof domain);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", true, NULL, NULL), 0);
}

static void teardown(void) {
    close_all();
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

struct made {
    char app[GUID_SIZE], package[GUID_SIZE], build[GUID_SIZE];
};

static struct made make_app(const char *name, const char *image, const char *username) {
    struct made m;
    struct error err = {0};
    struct app_row app = {.name = TEXT(name), .lifecycle = TEXT("docker"), .started = true};
    memcpy(app.space_guid, space, sizeof app.space_guid);
    ck_assert_msg(store_app_insert(store, &app, &err) == 0, "%s", err.msg);
    memcpy(m.app, app.guid, sizeof m.app);
    struct process_row p = {.type = TEXT("web"),
                            .instances = 2,
                            .memory_mb = 64,
                            .disk_mb = 128,
                            .log_rate = -1,
                            .health_type = TEXT("port"),
                            .ready_type = TEXT("process")};
    memcpy(p.guid, app.guid, sizeof p.guid);
    memcpy(p.app_guid, app.guid, sizeof p.app_guid);
    guid_new(p.version);
    ck_assert_msg(store_process_insert(store, &p, &err) == 0, "%s", err.msg);
    struct package_row package = {.type = TEXT("docker"),
                                  .state = TEXT("READY"),
                                  .image = TEXT(image),
                                  .username = TEXT(username),
                                  .password = TEXT(username ? "secret" : NULL)};
    memcpy(package.app_guid, app.guid, sizeof package.app_guid);
    ck_assert_msg(store_package_insert(store, &package, &err) == 0, "%s", err.msg);
    memcpy(m.package, package.guid, sizeof m.package);
    struct build_row build = {.state = TEXT("STAGING")};
    memcpy(build.app_guid, app.guid, sizeof build.app_guid);
    memcpy(build.package_guid, package.guid, sizeof build.package_guid);
    ck_assert_msg(store_build_insert(store, &build, &err) == 0, "%s", err.msg);
    memcpy(m.build, build.guid, sizeof m.build);
    struct route_row route = {.host = TEXT(name), .path = TEXT(""), .protocol = TEXT("http")};
    memcpy(route.space_guid, space, sizeof route.space_guid);
    memcpy(route.domain_guid, domain, sizeof route.domain_guid);
    ck_assert_msg(store_route_insert(store, &route, &err) == 0, "%s", err.msg);
    struct destination_row to = {.process_type = TEXT("web"), .protocol = TEXT("http1")};
    memcpy(to.route_guid, route.guid, sizeof to.route_guid);
    memcpy(to.app_guid, app.guid, sizeof to.app_guid);
    ck_assert_msg(store_destination_insert(store, &to, &err) == 0, "%s", err.msg);
    return m;
}

static struct build_row build_of(const struct made *m) {
    struct build_row b = {0};
    ck_assert_int_eq(store_build_get(store, m->build, &b, NULL), 0);
    return b;
}

static void ck_build(const struct made *m, const char *state, const char *error) {
    struct build_row b = build_of(m);
    ck_assert_str_eq(b.state, state);
    if (error)
        ck_assert_str_eq(b.error, error);
    build_row_fini(&b);
}

/* Stages it and makes the droplet current. */
static void stage(const struct made *m) {
    struct error err = {0};
    ck_assert_msg(staging_start(staging, m->build, &err) == 0, "%s", err.msg);
    lookups[lookup_n - 1].done(image_make(true), NULL, lookups[lookup_n - 1].arg);
    struct build_row b = build_of(m);
    ck_assert_str_eq(b.state, "STAGED");
    struct app_row app = {0};
    ck_assert_int_eq(store_app_get(store, m->app, &app, NULL), 0);
    memcpy(app.droplet_guid, b.droplet_guid, sizeof app.droplet_guid);
    ck_assert_int_eq(store_app_update(store, &app, NULL), 0);
    app_row_fini(&app);
    build_row_fini(&b);
}

static void on_text(void *arg, const struct logs_line *line) {
    strbuf_printf(arg, "%s%s %.*s\n", line->source_type, line->err ? " ERR" : "",
                  (int)line->message_n, line->message);
}

static void ck_log_has(const char *app, const char *text) {
    struct strbuf all = {0};
    logs_read(logs, app, 0, 0, 100, false, on_text, &all);
    ck_assert_msg(all.p && strstr(all.p, text), "no \"%s\" in:\n%s", text, all.p ? all.p : "");
    strbuf_fini(&all);
}

static void on_count(void *arg, const struct lrp_actual *a) {
    (void)a;
    ++*(int *)arg;
}
/* Of the process's present version. */
static void each_of(const char *process, void (*each)(void *arg, const struct lrp_actual *a),
                    void *arg) {
    _cleanup_(process_row_fini) struct process_row p = {0};
    char group[2 * GUID_SIZE];
    if (store_process_get(store, process, &p, NULL) < 0)
        return;
    process_lrp_guid(&p, group);
    lrp_instances(lrp, group, each, arg);
}
static int desired_count(const char *process) {
    int n = 0;
    each_of(process, on_count, &n);
    return n;
}
static void on_guid_of(void *arg, const struct lrp_actual *a) {
    snprintf(arg, 2 * GUID_SIZE, "%s", a->process_guid);
}

/* --- tests --- */

START_TEST(a_build_becomes_a_droplet) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", "bob");
    stage(&m);
    ck_assert_str_eq(lookups[0].repository, "app");
    ck_assert_str_eq(lookups[0].username, "bob");
    struct build_row b = build_of(&m);
    struct droplet_row d = {0};
    ck_assert_int_eq(store_droplet_get(store, b.droplet_guid, &d, NULL), 0);
    ck_assert_str_eq(d.image, "reg.example/app:v1");
    ck_assert_str_eq(d.digest, "sha256:42");
    ck_assert_str_eq(d.ports,
                     "[{\"Port\":80,\"Protocol\":\"tcp\"},{\"Port\":80,\"Protocol\":\"udp\"}]");
    ck_assert_str_eq(d.process_types, "{\"web\":\"serve -v\"}");
    ck_assert_str_eq(d.execution_metadata,
                     "{\"cmd\":[\"serve\",\"-v\"],\"ports\":[{\"Port\":80,\"Protocol\":\"tcp\"},{"
                     "\"Port\":80,\"Protocol\":\"udp\"}],\"user\":\"nobody\"}");
    ck_assert_str_eq(d.package_guid, m.package);
    ck_log_has(m.app, "STG Staging Complete");
    droplet_row_fini(&d);
    build_row_fini(&b);
    teardown();
}
END_TEST

static void start_after(const struct made *m, bool start) {
    struct build_row b = build_of(m);
    b.start_after_staging = start;
    ck_assert_int_eq(store_build_update(store, &b, NULL), 0);
    build_row_fini(&b);
}

START_TEST(a_build_starts_its_app_when_it_is_done_if_it_shall) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL),
                n = make_app("two", "reg.example/app:v1", NULL);
    struct app_row app = {0};
    for (int i = 0; i < 2; i++) {
        const struct made *one = i ? &n : &m;
        ck_assert_int_eq(store_app_get(store, one->app, &app, NULL), 0);
        app.started = false;
        ck_assert_int_eq(store_app_update(store, &app, NULL), 0);
        app_row_fini(&app);
        app = (struct app_row){0};
        start_after(one, true);
        ck_assert_int_eq(staging_start(staging, one->build, NULL), 0);
    }
    start_after(&n, false); /* stopped while it is staged */
    for (int i = 0; i < 2; i++)
        lookups[i].done(image_make(true), NULL, lookups[i].arg);
    struct build_row b = build_of(&m);
    ck_assert_int_eq(store_app_get(store, m.app, &app, NULL), 0);
    ck_assert(app.started);
    ck_assert_str_eq(app.droplet_guid, b.droplet_guid);
    ck_assert_int_gt(desired_count(m.app), 0);
    app_row_fini(&app);
    build_row_fini(&b);
    app = (struct app_row){0};
    ck_build(&n, "STAGED", NULL);
    ck_assert_int_eq(store_app_get(store, n.app, &app, NULL), 0);
    ck_assert(!app.started);
    ck_assert_int_eq(desired_count(n.app), 0);
    app_row_fini(&app);
    teardown();
}
END_TEST

START_TEST(a_failure_keeps_the_registrys_real_reason) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    ck_assert_int_eq(staging_start(staging, m.build, NULL), 0);
    struct error why = {0};
    error_set(&why, -EACCES, "reg.example: authentication required");
    lookups[0].done(NULL, &why, lookups[0].arg);
    ck_build(&m, "FAILED", "StagingError - Staging error: reg.example: authentication required");
    ck_log_has(m.app, "STG ERR Staging process failed: reg.example: authentication required");
    teardown();
}
END_TEST

START_TEST(an_image_without_any_command_fails_unless_the_app_has_one) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL), n = make_app("two", "x/y", NULL);
    ck_assert_int_eq(staging_start(staging, m.build, NULL), 0);
    lookups[0].done(image_make(false), NULL, lookups[0].arg);
    ck_build(&m, "FAILED", NULL);
    struct process_row p = {0};
    ck_assert_int_eq(store_process_get(store, n.app, &p, NULL), 0);
    ck_assert_int_eq(str_set(&p.command, "sleep 9"), 0);
    ck_assert_int_eq(store_process_update(store, &p, NULL), 0);
    process_row_fini(&p);
    ck_assert_int_eq(staging_start(staging, n.build, NULL), 0);
    lookups[1].done(image_make(false), NULL, lookups[1].arg);
    ck_build(&n, "STAGED", NULL);
    teardown();
}
END_TEST

START_TEST(an_image_is_checked_against_the_registries_that_are_allowed) {
    _cleanup_(registry_config_freep) struct registry_config *list = NULL;
    struct staging *strict = NULL;
    struct error why = {0};
    setup();
    ck_assert_int_eq(registry_config_allow(&list, "docker.io", NULL), 0);
    const struct staging_deps deps = {.store = store, .logs = logs, .lrp = lrp, .registries = list};
    ck_assert_int_eq(staging_new(&strict, &deps, NULL), 0);
    ck_assert_int_eq(staging_check_image(strict, "busybox", &why), 0);
    ck_assert_int_eq(staging_check_image(strict, "other.test/busybox", &why), -EPERM);
    ck_assert_str_eq(why.msg,
                     "images of the registry other.test are not allowed here, only of docker.io");
    ck_assert_int_eq(staging_check_image(strict, "No Reference", &why),
                     0); /* its staging says so */
    ck_assert_int_eq(staging_check_image(strict, NULL, &why), 0);
    ck_assert_int_eq(staging_check_image(staging, "other.test/busybox", &why), 0);
    staging_free(strict);
    teardown();
}
END_TEST

START_TEST(lookups_wait_their_turn_and_a_bad_reference_is_refused_at_once) {
    setup();
    struct made m[3] = {make_app("a", "a/a", NULL), make_app("b", "b/b", NULL),
                        make_app("c", "c/c", NULL)};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(staging_start(staging, m[i].build, NULL), 0);
    ck_assert_int_eq(staging_start(staging, m[2].build, NULL), 0); /* is waiting already */
    ck_assert_uint_eq(lookup_n, 2);
    lookups[0].done(image_make(true), NULL, lookups[0].arg);
    ck_assert_uint_eq(lookup_n, 3);
    struct made bad = make_app("d", "http://x", NULL);
    struct error err = {0};
    ck_assert_int_eq(staging_start(staging, bad.build, &err), -EINVAL);
    ck_build(&bad, "STAGING", NULL);
    teardown();
}
END_TEST

START_TEST(builds_that_were_under_way_are_staged_again_after_a_restart) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL),
                gone = make_app("g", "http://x", NULL);
    ck_assert_int_eq(staging_start(staging, m.build, NULL), 0);
    close_all();
    open_all();
    ck_assert_int_eq(staging_resume(staging, NULL), 0);
    ck_assert_uint_eq(lookup_n, 1);
    lookups[0].done(image_make(true), NULL, lookups[0].arg);
    ck_build(&m, "STAGED", NULL);
    ck_build(&gone, "FAILED", NULL);
    teardown();
}
END_TEST

START_TEST(a_build_whose_app_is_deleted_meanwhile_ends_quietly) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    ck_assert_int_eq(staging_start(staging, m.build, NULL), 0);
    ck_assert_int_eq(store_app_delete(store, m.app, NULL), 0);
    lookups[0].done(image_make(true), NULL, lookups[0].arg);
    teardown();
}
END_TEST

START_TEST(a_started_app_is_desired_until_it_is_stopped_or_deleted) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 0); /* no droplet yet */
    stage(&m);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 2);
    struct app_row app = {0};
    ck_assert_int_eq(store_app_get(store, m.app, &app, NULL), 0);
    app.started = false;
    ck_assert_int_eq(store_app_update(store, &app, NULL), 0);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 0);
    app.started = true;
    ck_assert_int_eq(store_app_update(store, &app, NULL), 0);
    app_row_fini(&app);
    ck_assert_int_eq(staging_desire_all(staging, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 2);
    ck_assert_int_eq(store_app_delete(store, m.app, NULL), 0);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 0);
    teardown();
}
END_TEST

START_TEST(a_switched_flag_is_followed_app_by_app_by_the_loop) {
    setup();
    struct made one = make_app("one", "reg.example/app:v1", NULL);
    struct made two = make_app("two", "reg.example/app:v1", NULL);
    stage(&one);
    stage(&two);
    ck_assert_int_eq(staging_desire_all(staging, NULL), 0);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", false, NULL, NULL), 0);
    ck_assert_int_eq(staging_refresh_all(staging, NULL), 0);
    ck_assert_int_eq(desired_count(one.app), 2); /* not yet */
    event_base_dispatch(loop);
    ck_assert_int_eq(desired_count(one.app) + desired_count(two.app), 0);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", true, NULL, NULL), 0);
    ck_assert_int_eq(staging_refresh_all(staging, NULL), 0);
    ck_assert_int_eq(store_app_delete(store, two.app, NULL), 0);
    ck_assert_int_eq(staging_refresh_all(staging, NULL), 0); /* once more before it is done */
    event_base_dispatch(loop);
    ck_assert_int_eq(desired_count(one.app), 2);
    ck_assert_int_eq(desired_count(two.app), 0);
    ck_assert_int_eq(staging_refresh_all(staging, NULL), 0); /* left under way */
    teardown();
}
END_TEST

START_TEST(nothing_is_desired_while_diego_docker_is_off) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    stage(&m);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", false, NULL, NULL), 0);
    ck_assert_int_eq(staging_desire_all(staging, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 0);
    ck_assert_int_eq(store_flag_set(store, "diego_docker", true, NULL, NULL), 0);
    ck_assert_int_eq(staging_desire_all(staging, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 2);
    teardown();
}
END_TEST

static struct strbuf run_info_of(const struct made *m) {
    struct process_row p = {0};
    struct strbuf out = {0};
    void *packed = NULL;
    size_t n = 0;
    ck_assert_int_eq(store_process_get(store, m->app, &p, NULL), 0);
    ck_assert_int_eq(store_process_run_info(store, p.guid, p.version, &packed, &n, NULL), 0);
    strbuf_add(&out, packed, n);
    free(packed);
    process_row_fini(&p);
    return out;
}

START_TEST(what_runs_changes_only_with_a_new_version_also_after_a_restart) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    char before[2 * GUID_SIZE] = "", after[2 * GUID_SIZE] = "";
    stage(&m);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    each_of(m.app, on_guid_of, before);
    struct strbuf first = run_info_of(&m);
    struct app_row app = {0};
    ck_assert_int_eq(store_app_get(store, m.app, &app, NULL), 0);
    ck_assert_int_eq(str_set(&app.env, "{\"NEW\":\"1\"}"), 0);
    ck_assert_int_eq(store_app_update(store, &app, NULL), 0);
    app_row_fini(&app);
    close_all();
    open_all();
    ck_assert_int_eq(staging_desire_all(staging, NULL), 0);
    each_of(m.app, on_guid_of, after);
    ck_assert_str_eq(before, after);
    struct strbuf second = run_info_of(&m);
    ck_assert_uint_eq(first.n, second.n);
    ck_assert_mem_eq(first.p, second.p, first.n);
    struct process_row p = {0};
    ck_assert_int_eq(store_process_get(store, m.app, &p, NULL), 0);
    guid_new(p.version);
    ck_assert_int_eq(store_process_update(store, &p, NULL), 0);
    process_row_fini(&p);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    each_of(m.app, on_guid_of, after);
    ck_assert_str_ne(before, after);
    struct strbuf third = run_info_of(&m);
    ck_assert_uint_gt(third.n, first.n); /* NEW=1 */
    strbuf_fini(&first);
    strbuf_fini(&second);
    strbuf_fini(&third);
    teardown();
}
END_TEST

START_TEST(a_process_without_a_command_says_so_in_the_log) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    stage(&m);
    struct build_row b = build_of(&m);
    struct droplet_row d = {0};
    ck_assert_int_eq(store_droplet_get(store, b.droplet_guid, &d, NULL), 0);
    ck_assert_int_eq(str_set(&d.cmd, NULL), 0);
    ck_assert_int_eq(store_droplet_update(store, &d, NULL), 0);
    droplet_row_fini(&d);
    build_row_fini(&b);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    ck_assert_int_eq(desired_count(m.app), 0);
    ck_log_has(m.app, "API ERR No start command found or specified");
    teardown();
}
END_TEST

static bool on_put(void *arg, const Berth__Route *route) {
    strbuf_printf(arg, "%s%s ", route->host, route->path);
    return true;
}
static bool on_removed(void *arg, const char *key) {
    (void)arg, (void)key;
    return true;
}

START_TEST(routes_of_internal_domains_do_not_reach_the_routers) {
    setup();
    struct made m = make_app("one", "reg.example/app:v1", NULL);
    struct domain_row d = {.name = TEXT("apps.internal"), .internal = true};
    ck_assert_int_eq(store_domain_insert(store, &d, NULL), 0);
    struct route_row route = {.host = TEXT("one"), .path = TEXT(""), .protocol = TEXT("http")};
    memcpy(route.space_guid, space, sizeof route.space_guid);
    memcpy(route.domain_guid, d.guid, sizeof route.domain_guid);
    ck_assert_int_eq(store_route_insert(store, &route, NULL), 0);
    struct destination_row to = {.process_type = TEXT("web"), .protocol = TEXT("http1")};
    memcpy(to.route_guid, route.guid, sizeof to.route_guid);
    memcpy(to.app_guid, m.app, sizeof to.app_guid);
    ck_assert_int_eq(store_destination_insert(store, &to, NULL), 0);
    stage(&m);
    ck_assert_int_eq(staging_desire_app(staging, m.app, NULL), 0);
    lrp_desired_complete(lrp, now);
    lrp_converge(lrp, now);
    struct strbuf keys = {0};
    uint64_t since = 0;
    bool more;
    lrp_route_changes(lrp, &since, on_put, on_removed, &keys, &more);
    ck_assert_str_eq(keys.p, "one.apps.example ");
    strbuf_fini(&keys);
    teardown();
}
END_TEST

RUN_TESTS("staging/staging", a_build_becomes_a_droplet,
          a_build_starts_its_app_when_it_is_done_if_it_shall,
          a_failure_keeps_the_registrys_real_reason,
          an_image_without_any_command_fails_unless_the_app_has_one,
          an_image_is_checked_against_the_registries_that_are_allowed,
          lookups_wait_their_turn_and_a_bad_reference_is_refused_at_once,
          builds_that_were_under_way_are_staged_again_after_a_restart,
          a_build_whose_app_is_deleted_meanwhile_ends_quietly,
          a_started_app_is_desired_until_it_is_stopped_or_deleted,
          a_switched_flag_is_followed_app_by_app_by_the_loop,
          nothing_is_desired_while_diego_docker_is_off,
          what_runs_changes_only_with_a_new_version_also_after_a_restart,
          a_process_without_a_command_says_so_in_the_log,
          routes_of_internal_domains_do_not_reach_the_routers)
