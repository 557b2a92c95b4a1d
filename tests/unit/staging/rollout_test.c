/* Deployments from their rows to their end, with a real store, a real brain, and a cell and a
 * router that the test plays; the controller dies where it likes. */
#include "tests/unit/lib/runner.h"

#include <fcntl.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "controller/logs/logs.h"
#include "controller/lrp/internal.h"
#include "controller/staging/internal.h"
#include "controller/store/accounts.h"
#include "controller/store/flags.h"

#define TEXT(s)  str_dup(s)
#define CELL     "cell"
#define TARGET   3
#define LIVES    512
#define DRAIN_MS 2000

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_ = (call);                                                                          \
        ck_assert_msg(ok_ == 0, #call ": %d %s", ok_, err.msg);                                    \
    } while (0)

/* A container of the cell. */
struct life {
    char guid[GUID_SIZE], process_guid[2 * GUID_SIZE];
    uint32_t index;
    bool assigned, running, ended, bad;
};

static struct error err;
static char dir[64], app[GUID_SIZE], bad_version[GUID_SIZE];
static struct store *store;
static struct logs *logs;
static struct lrp *lrp;
static struct staging *staging;
static uint64_t now, cell_version, route_version;
static bool cell_full; /* its full report is in, in this run of the controller */
static struct life lives[LIVES];
static size_t life_count, active;
static char table[64][GUID_SIZE]; /* the router's: who is sent requests */
static size_t endpoints;

/* --- the controller --- */

static void on_nothing(void *data) {
    (void)data;
}
static void on_cell_changed(void *data, const char *cell_id) {
    (void)data, (void)cell_id;
}
static void on_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    guid_new(buf);
}

static void controller_up(void) {
    OK(store_open(&store, dir, &err));
    OK(logs_new(&logs, 1 << 20, 1 << 20, &err));
    const struct lrp_config config = {.presence_ms = 15000,
                                      .converge_ms = 30000,
                                      .settle_ms = 15000,
                                      .drain_ms = DRAIN_MS,
                                      .rng_seed = 1};
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_nothing,
                                .on_work = on_nothing,
                                .new_guid = on_guid};
    OK(lrp_new(&lrp, &config, &ops, now, &err));
    const struct staging_deps deps = {
        .store = store, .logs = logs, .lrp = lrp, .api_url = "https://api.example"};
    OK(staging_new(&staging, &deps, &err));
    OK(lrp_cell_expected(lrp, CELL));
    OK(staging_desire_all(staging, &err));
    lrp_desired_complete(lrp, now);
    cell_version = route_version = 0;
    cell_full = false;
    lrp_converge(lrp, now);
    OK(staging_roll(staging, &active, &err)); /* what runs is not known yet */
}

static void controller_down(void) {
    staging_free(staging);
    lrp_free(lrp);
    logs_free(logs);
    store_free(store);
}

/* --- the cell and the router --- */

static bool on_assign(void *arg, const struct lrp_assignment *a) {
    (void)arg;
    for (size_t i = 0; i < life_count; i++)
        if (str_eq(lives[i].guid, a->instance_guid)) {
            lives[i].assigned = true;
            return true;
        }
    ck_assert_uint_lt(life_count, LIVES);
    struct life *l = &lives[life_count++];
    *l = (struct life){.index = a->index, .assigned = true};
    Berth__DesiredLrp *d = berth__desired_lrp__unpack(NULL, a->run_info_n, a->run_info);
    snprintf(l->guid, sizeof l->guid, "%s", a->instance_guid);
    snprintf(l->process_guid, sizeof l->process_guid, "%s", d->process_guid);
    l->bad = *bad_version && strstr(d->process_guid, bad_version);
    berth__desired_lrp__free_unpacked(d, NULL);
    return true;
}

static bool on_withdraw(void *arg, const char *guid) {
    (void)arg;
    for (size_t i = 0; i < life_count; i++)
        if (str_eq(lives[i].guid, guid))
            lives[i].assigned = false;
    return true;
}

static void cell_watches(void) {
    bool more = true;
    uint64_t since = cell_version;
    if (!lrp_cell_reported(lrp, CELL))
        return;
    if (since == 0)
        for (size_t i = 0; i < life_count; i++)
            lives[i].assigned = false;
    while (more)
        since = cell_version =
            lrp_cell_changes(lrp, CELL, &since, on_assign, on_withdraw, NULL, &more);
    for (size_t i = 0; i < life_count; i++)
        if (!lives[i].assigned)
            lives[i].ended = true;
}

static Berth__InstanceState state_of(const struct life *l) {
    return l->ended     ? l->bad ? BERTH__INSTANCE_STATE__INSTANCE_CRASHED
                                 : BERTH__INSTANCE_STATE__INSTANCE_STOPPED
           : l->running ? BERTH__INSTANCE_STATE__INSTANCE_RUNNING
                        : BERTH__INSTANCE_STATE__INSTANCE_CLAIMED;
}

static void cell_reports(void) {
    static Berth__ActualLrp msgs[LIVES], *list[LIVES];
    static Berth__PortMapping ports[LIVES], *port_list[LIVES];
    const struct lrp_cell_info info = {.id = CELL,
                                       .name = CELL,
                                       .zone = "z",
                                       .address = "10.0.0.1",
                                       .memory_mb = 100000,
                                       .disk_mb = 100000,
                                       .containers = 1000};
    if (!cell_full)
        OK(lrp_cell_present(lrp, &info, now));
    for (size_t i = 0; i < life_count; i++) {
        berth__actual_lrp__init(&msgs[i]);
        berth__port_mapping__init(&ports[i]);
        ports[i].container_port = 8080;
        ports[i].host_port = 61000 + (uint32_t)i;
        port_list[i] = &ports[i];
        list[i] = &msgs[i];
        msgs[i].instance_guid = lives[i].guid;
        msgs[i].process_guid = lives[i].process_guid;
        msgs[i].app_guid = app;
        msgs[i].index = lives[i].index;
        msgs[i].state = state_of(&lives[i]);
        msgs[i].address = (char *)"10.0.0.1";
        msgs[i].ports = &port_list[i];
        msgs[i].n_ports = 1;
    }
    OK(lrp_report(lrp, CELL, !cell_full, !cell_full, list, life_count, now, clock_wall_ns()));
    cell_full = true;
    size_t kept = 0;
    for (size_t i = 0; i < life_count; i++)
        if (!lives[i].ended)
            lives[kept++] = lives[i];
    life_count = kept;
}

/* What was asked to start comes up, or crashes, each with this chance in `of`. */
static void cell_progresses(struct rng *rng, unsigned of) {
    for (size_t i = 0; i < life_count; i++) {
        if (lives[i].ended || lives[i].running || rng_below(rng, of))
            continue;
        lives[i].running = !lives[i].bad;
        lives[i].ended = lives[i].bad;
    }
}

static bool on_put(void *arg, const Berth__Route *route) {
    (void)arg;
    endpoints = route->n_endpoints;
    ck_assert_int_eq(route->balancing, BERTH__BALANCING__BALANCING_LEAST_CONNECTION);
    ck_assert_uint_le(endpoints, ARRAY_SIZE(table));
    for (size_t i = 0; i < endpoints; i++)
        snprintf(table[i], GUID_SIZE, "%s", route->endpoints[i]->instance_guid);
    return true;
}
static bool on_removed(void *arg, const char *host) {
    (void)arg, (void)host;
    endpoints = 0;
    return true;
}

static void router_watches(void) {
    bool more = true;
    while (more && lrp_route_version(lrp) > 0)
        route_version = lrp_route_changes(lrp, &route_version, on_put, on_removed, NULL, &more);
}

/* Who is sent requests must be there: a container that crashed is the only exception. */
static void check_table(void) {
    for (size_t i = 0; i < endpoints; i++) {
        bool there = false;
        for (size_t k = 0; k < life_count; k++)
            there |= str_eq(lives[k].guid, table[i]) && !lives[k].ended;
        ck_assert(there);
    }
}

/* A second of everything; the router may hear later than the cell. */
static void tick(struct rng *rng, unsigned of) {
    bool cell_first = rng_below(rng, 2);
    cell_reports();
    lrp_converge(lrp, now);
    OK(staging_roll(staging, &active, &err));
    lrp_converge(lrp, now);
    if (cell_first)
        cell_watches();
    check_table();
    router_watches();
    if (!cell_first)
        cell_watches();
    check_table();
    cell_progresses(rng, of);
    now += 1000;
}

/* --- an app, and what the API would write --- */

static void make_droplet(struct app_row *a) {
    Berth__Image image = BERTH__IMAGE__INIT;
    uint8_t packed[64];
    struct droplet_row d = {.state = TEXT("STAGED"),
                            .image = TEXT("i"),
                            .ports = TEXT("[]"),
                            .cmd = TEXT("[\"/run\"]")};
    d.image_packed_n = berth__image__pack(&image, packed);
    d.image_packed = mem_dup(packed, d.image_packed_n + 1);
    memcpy(d.app_guid, a->guid, GUID_SIZE);
    OK(store_droplet_insert(store, &d, &err));
    memcpy(a->droplet_guid, d.guid, GUID_SIZE);
    droplet_row_fini(&d);
}

static void make_route(const struct app_row *a) {
    struct domain_row domain = {.name = TEXT("apps.example")};
    struct route_row route = {.host = TEXT("a"),
                              .path = TEXT(""),
                              .protocol = TEXT("http"),
                              .options = TEXT("{\"loadbalancing\":\"least-connection\"}")};
    struct destination_row to = {.process_type = TEXT("web"), .protocol = TEXT("http1")};
    OK(store_domain_insert(store, &domain, &err));
    memcpy(route.space_guid, a->space_guid, GUID_SIZE);
    memcpy(route.domain_guid, domain.guid, GUID_SIZE);
    OK(store_route_insert(store, &route, &err));
    memcpy(to.route_guid, route.guid, GUID_SIZE);
    memcpy(to.app_guid, a->guid, GUID_SIZE);
    OK(store_destination_insert(store, &to, &err));
    domain_row_fini(&domain);
    route_row_fini(&route);
    destination_row_fini(&to);
}

static void make_process(const struct app_row *a, const char *type, uint64_t instances) {
    struct process_row p = {.type = TEXT(type),
                            .instances = instances,
                            .memory_mb = 64,
                            .disk_mb = 64,
                            .log_rate = -1,
                            .health_type = TEXT("port"),
                            .ready_type = TEXT("process")};
    memcpy(p.app_guid, a->guid, GUID_SIZE);
    if (str_eq(type, "web"))
        memcpy(p.guid, a->guid, GUID_SIZE);
    guid_new(p.version);
    OK(store_process_insert(store, &p, &err));
    process_row_fini(&p);
}

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/berth-rollout-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    now = clock_mono_ms();
    life_count = endpoints = 0;
    bad_version[0] = '\0';
    controller_up();
    struct org_row org = {.name = TEXT("o")};
    struct space_row space = {.name = TEXT("s")};
    struct app_row a = {.name = TEXT("a"), .lifecycle = TEXT("docker"), .started = true};
    OK(store_org_insert(store, &org, &err));
    memcpy(space.org_guid, org.guid, GUID_SIZE);
    OK(store_space_insert(store, &space, &err));
    memcpy(a.space_guid, space.guid, GUID_SIZE);
    OK(store_app_insert(store, &a, &err));
    memcpy(app, a.guid, GUID_SIZE);
    OK(store_flag_set(store, "diego_docker", true, NULL, &err));
    make_droplet(&a);
    OK(store_app_update(store, &a, &err));
    make_route(&a);
    make_process(&a, "web", TARGET);
    OK(staging_desire_app(staging, app, &err));
    struct rng rng = {1};
    for (int i = 0; i < 6; i++)
        tick(&rng, 1);
    ck_assert_uint_eq(endpoints, TARGET);
    org_row_fini(&org);
    space_row_fini(&space);
    app_row_fini(&a);
}

static void teardown(void) {
    controller_down();
    fs_remove_tree(AT_FDCWD, dir, NULL);
}

static struct process_row web(void) {
    struct process_row p = {0};
    OK(store_process_get(store, app, &p, &err));
    return p;
}

static bool find_active(struct deployment_row *ret) {
    return store_deployment_active(store, app, ret, NULL) == 0;
}

static void retire(const struct process_row *p, bool whole) {
    struct old_version_row old = {.whole = whole, .instances = process_wanted(p), .log_rate = -1};
    OK(store_old_version_retire(store, p, &old, &err));
}

/* Begins a deployment; one that is active is overtaken. */
static void deploy(bool bad, uint64_t in_flight, const char *canary) {
    struct deployment_row before = {0}, d = {.strategy = TEXT(canary ? "canary" : "rolling"),
                                             .status_value = TEXT("ACTIVE"),
                                             .status_reason = TEXT("DEPLOYING"),
                                             .canary_steps = canary ? TEXT(canary) : NULL,
                                             .max_in_flight = in_flight};
    struct process_row p = web();
    OK(store_begin(store, &err));
    bool overtakes = find_active(&before);
    retire(&p, !overtakes || str_eq(before.status_reason, "CANCELING"));
    if (overtakes) {
        OK(str_set(&before.status_value, "FINALIZED"));
        OK(str_set(&before.status_reason, "SUPERSEDED"));
        OK(store_deployment_update(store, &before, &err));
    }
    guid_new(p.version);
    p.rolling = true;
    p.rolled = 0;
    OK(store_process_update(store, &p, &err));
    memcpy(d.app_guid, app, GUID_SIZE);
    memcpy(d.process_guid, app, GUID_SIZE);
    OK(store_deployment_insert(store, &d, &err));
    OK(store_commit(store, &err));
    if (bad)
        memcpy(bad_version, p.version, GUID_SIZE);
    OK(staging_desire_app(staging, app, &err));
    deployment_row_fini(&before);
    deployment_row_fini(&d);
    process_row_fini(&p);
}

static void cancel(void) {
    struct deployment_row d = {0};
    struct old_version_rows olds = {0};
    if (!find_active(&d) || str_eq(d.status_reason, "CANCELING")) {
        deployment_row_fini(&d);
        return;
    }
    struct process_row p = web();
    OK(store_begin(store, &err));
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    retire(&p, false);
    for (size_t i = 0; i < olds.n; i++)
        if (olds.v[i].whole) {
            p.rolled = olds.v[i].instances;
            OK(store_old_version_restore(store, &olds.v[i], &p, &err));
            break;
        }
    OK(store_process_update(store, &p, &err));
    OK(str_set(&d.status_reason, "CANCELING"));
    OK(store_deployment_update(store, &d, &err));
    OK(store_commit(store, &err));
    OK(staging_desire_app(staging, app, &err));
    old_version_rows_fini(&olds);
    deployment_row_fini(&d);
    process_row_fini(&p);
}

static void set_reason(const char *reason, uint64_t step) {
    struct deployment_row d = {0};
    ck_assert(find_active(&d));
    OK(str_set(&d.status_reason, reason));
    d.canary_step = step;
    OK(store_deployment_update(store, &d, &err));
    deployment_row_fini(&d);
}

static size_t running_of(const char *version) {
    size_t n = 0;
    for (size_t i = 0; i < life_count; i++)
        n += lives[i].running && !lives[i].ended && strstr(lives[i].process_guid, version);
    return n;
}

static void ck_last(const char *reason) {
    struct deployment_rows rows = {0};
    OK(store_deployment_list(store, &(struct store_query){.descending = true}, &rows, &err));
    ck_assert_str_eq(rows.v[0].status_reason, reason);
    deployment_rows_fini(&rows);
}

/* Are instances left where they are? */
static void ck_rolling(bool rolling) {
    ck_assert_ptr_nonnull(lrp->processes);
    for (const struct process *p = lrp->processes; p; p = p->hh.next)
        if (p->want)
            ck_assert_int_eq(p->rolling, rolling);
}

/* Only this version runs, all of it. */
static void ck_settled_on(const char *version, struct rng *rng) {
    struct old_version_rows olds = {0};
    struct process_row p = web();
    ck_assert_str_eq(p.version, version);
    ck_assert(!p.rolling);
    ck_rolling(false);
    for (int i = 0; i < 5; i++)
        tick(rng, 1);
    ck_assert_uint_eq(running_of(version), TARGET);
    ck_assert_uint_eq(life_count, TARGET);
    ck_assert_uint_eq(endpoints, TARGET);
    OK(store_old_version_list(store, &(struct store_query){0}, &olds, &err));
    ck_assert_uint_eq(olds.n, 0);
    process_row_fini(&p);
}

static void roll_to_the_end(struct rng *rng) {
    int ticks = 0;
    do {
        tick(rng, 3);
        ck_assert_uint_ge(endpoints, TARGET);
    } while (active && ++ticks < 200);
    ck_assert_uint_eq(active, 0);
}

/* --- tests --- */

START_TEST(a_deployment_ends_with_the_new_version_and_never_serves_less) {
    struct rng rng = {7};
    for (uint64_t in_flight = 0; in_flight < 5; in_flight++) {
        deploy(false, in_flight, NULL);
        ck_rolling(true);
        struct process_row p = web();
        roll_to_the_end(&rng);
        ck_last("DEPLOYED");
        ck_settled_on(p.version, &rng);
        process_row_fini(&p);
    }
}
END_TEST

START_TEST(a_broken_version_stalls_while_the_old_one_serves_and_a_cancel_clears_it) {
    struct rng rng = {7};
    struct process_row before = web();
    deploy(true, 1, NULL);
    for (int i = 0; i < 60; i++) {
        tick(&rng, 1);
        ck_assert_uint_eq(endpoints, TARGET);
        ck_assert_uint_eq(running_of(before.version), TARGET);
    }
    ck_last("DEPLOYING");
    cancel();
    tick(&rng, 1);
    ck_assert_uint_eq(active, 0);
    ck_last("CANCELED");
    ck_settled_on(before.version, &rng);
    process_row_fini(&before);
}
END_TEST

START_TEST(a_canary_pauses_and_goes_on_when_told) {
    struct rng rng = {7};
    struct process_row before = web();
    deploy(false, 1, "[0]");
    struct process_row p = web();
    for (int i = 0; i < 30; i++)
        tick(&rng, 2);
    ck_last("PAUSED");
    ck_assert_uint_eq(running_of(p.version), 1);
    ck_assert_uint_eq(running_of(before.version), TARGET);
    set_reason("DEPLOYING", 1);
    roll_to_the_end(&rng);
    ck_settled_on(p.version, &rng);
    process_row_fini(&before);
    process_row_fini(&p);
}
END_TEST

START_TEST(other_processes_begin_anew_at_the_end) {
    struct rng rng = {7};
    struct app_row a = {0};
    struct process_rows rows = {0};
    OK(store_app_get(store, app, &a, &err));
    make_process(&a, "worker", 0);
    deploy(false, 3, NULL);
    char version[GUID_SIZE];
    static const char *const types[] = {"worker"};
    const struct store_filter filter = {"types", types, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    OK(store_process_list(store, &query, &rows, &err));
    memcpy(version, rows.v[0].version, GUID_SIZE);
    process_rows_fini(&rows);
    roll_to_the_end(&rng);
    OK(store_process_list(store, &query, &rows, &err));
    ck_assert_str_ne(version, rows.v[0].version);
    process_rows_fini(&rows);
    app_row_fini(&a);
}
END_TEST

START_TEST(while_the_flag_is_off_nothing_is_decided) {
    struct rng rng = {7};
    deploy(false, 1, NULL);
    tick(&rng, 1);
    OK(store_flag_set(store, "diego_docker", false, NULL, &err));
    OK(staging_desire_all(staging, &err));
    for (int i = 0; i < 10; i++)
        tick(&rng, 1);
    ck_assert_uint_eq(endpoints, 0);
    ck_last("DEPLOYING");
    OK(store_flag_set(store, "diego_docker", true, NULL, &err));
    OK(staging_desire_all(staging, &err));
    for (int i = 0; i < 60 && active; i++)
        tick(&rng, 1);
    ck_last("DEPLOYED");
}
END_TEST

/* Deployments, good and bad, overtaken and canceled at any moment; the controller dies at any
 * moment. What serves is never less than what is wanted, and the end is one whole version. */
START_TEST(whatever_happens_on_the_way_all_serve_and_it_ends_whole) {
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct rng rng = {seed};
        for (int i = 0; i < 120; i++) {
            uint64_t dice = rng_below(&rng, 100);
            if (dice < 8) {
                deploy(rng_below(&rng, 3) == 0, rng_below(&rng, 4), NULL);
            } else if (dice < 13) {
                cancel();
            } else if (dice < 20) {
                controller_down();
                controller_up();
            }
            tick(&rng, 3);
            ck_assert_msg(endpoints >= TARGET, "seed %llu step %d: %zu", (unsigned long long)seed,
                          i, endpoints);
        }
        deploy(false, 1, NULL);
        struct process_row p = web();
        roll_to_the_end(&rng);
        ck_settled_on(p.version, &rng);
        process_row_fini(&p);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("staging/rollout");
    TCase *tcase = tcase_create("rollout");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    const TTest *const tests[] = {
        a_deployment_ends_with_the_new_version_and_never_serves_less,
        a_broken_version_stalls_while_the_old_one_serves_and_a_cancel_clears_it,
        a_canary_pauses_and_goes_on_when_told,
        other_processes_begin_anew_at_the_end,
        while_the_flag_is_off_nothing_is_decided,
        whatever_happens_on_the_way_all_serve_and_it_ends_whole,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
