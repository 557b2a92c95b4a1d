/* The brain's rules, one at a time, in a cluster where nothing is lost. */
#include "tests/unit/lrp/cluster.h"

static struct cluster c;

static void start(size_t cells, uint64_t memory_mb) {
    cluster_init(&c, cells, memory_mb);
    lrp_desired_complete(c.lrp, c.now);
}

struct found {
    struct lrp_actual a[64];
    char reasons[64][512], guids[64][GUID_SIZE];
    size_t n;
};

static void on_found(void *arg, const struct lrp_actual *a) {
    struct found *f = arg;
    f->a[f->n] = *a;
    snprintf(f->reasons[f->n], sizeof f->reasons[0], "%s", a->reason);
    snprintf(f->guids[f->n], GUID_SIZE, "%s", a->instance_guid);
    f->n++;
}

static struct found look(const char *process) {
    struct found f = {0};
    lrp_instances(c.lrp, process, on_found, &f);
    return f;
}

static void ck_states(const char *process, const char *states) {
    static const char letters[] = {[LRP_UNCLAIMED] = 'u',
                                   [LRP_CLAIMED] = 'c',
                                   [LRP_RUNNING] = 'R',
                                   [LRP_CRASHED] = 'x',
                                   [LRP_STOPPING] = 's'};
    struct found f = look(process);
    char text[65] = "";
    for (size_t i = 0; i < f.n; i++)
        text[i] = letters[f.a[i].state];
    ck_assert_str_eq(text, states);
}

static void crash(const char *process_guid, uint32_t index, bool fault) {
    struct container *k = container_of(&c, process_guid, index, NULL);
    ck_assert_ptr_nonnull(k);
    k->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    k->fault = fault;
}

START_TEST(routers_hear_how_a_route_is_balanced_and_when_that_changes) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 3);
    ck_assert(!route_find(&c, "p.example")->least_connection);
    c.least_connection = true;
    cluster_desire(&c, "p", "v1", 1, 100);
    router_watch(&c, 100);
    ck_assert(route_find(&c, "p.example")->least_connection);
    uint64_t version = lrp_route_version(c.lrp);
    cluster_desire(&c, "p", "v1", 1, 100);
    ck_assert_uint_eq(lrp_route_version(c.lrp), version); /* the same again is no news */
    c.least_connection = false;
    cluster_desire(&c, "p", "v1", 1, 100);
    router_watch(&c, 100);
    ck_assert(!route_find(&c, "p.example")->least_connection);
    cluster_fini(&c);
}
END_TEST

START_TEST(desired_instances_start_run_and_get_a_route) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 3, 100);
    cluster_run(&c, 1);
    ck_states("p", "ccc");
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 0); /* known, nothing runs: 503 */
    cluster_run(&c, 3);
    ck_states("p", "RRR");
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 3);
    ck_assert_int_eq(c.placed, 3);
    struct found f = look("p");
    ck_assert_str_eq(f.a[0].address, f.a[0].cell_name[5] == '0' ? "10.0.0.1" : "10.0.0.2");
    ck_assert_uint_eq(f.a[0].port_count, 1);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(scaling_down_takes_the_highest_index_and_stopping_all_removes_the_route) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 4, 100);
    cluster_run(&c, 4);
    struct found before = look("p");
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 4);
    ck_states("p", "RR");
    struct found after = look("p");
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(before.guids[i], after.guids[i]);
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, 2);
    lrp_undesire(c.lrp, "p", c.now);
    cluster_run(&c, 4);
    ck_states("p", "");
    ck_assert_ptr_null(route_find(&c, "p.example")); /* 404 */
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, 0);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_stopping_instance_counts_on_its_cell_until_it_ended) {
    start(1, 100);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    lrp_undesire(c.lrp, "p", c.now);
    cluster_desire(&c, "q", "v1", 1, 100);
    cluster_converge(&c);
    ck_states("q", "u");
    struct found f = look("q");
    ck_assert_str_eq(f.reasons[0], "insufficient resources: memory (100 MB of memory needed, at "
                                   "most 0 MB free on any one of 1 cell)");
    cluster_run(&c, 8); /* room appears: not 30 s later */
    const char *said = strstr(c.events.p, "place-failed:");
    ck_assert_ptr_nonnull(said);
    ck_assert_ptr_null(strstr(said + 1, "place-failed:")); /* once is enough */
    ck_states("q", "R");
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_new_version_replaces_the_old_and_forgets_its_crashes) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 4);
    for (int i = 0; i < 3; i++) {
        crash("p-v1", 0, false);
        cluster_run(&c, 4);
    }
    ck_states("p", "xR");
    cluster_desire(&c, "p", "v2", 2, 100);
    cluster_run(&c, 5);
    ck_states("p", "RR");
    struct found f = look("p");
    ck_assert_str_eq(f.a[0].process_guid, "p-v2");
    ck_assert_uint_eq(f.a[0].crash_count, 0);
    ck_assert_ptr_null(container_of(&c, "p-v1", 0, NULL));
    ck_assert_ptr_null(container_of(&c, "p-v1", 1, NULL));
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(crashes_restart_at_once_twice_then_back_off_to_sixteen_minutes) {
    static const unsigned delays_s[] = {0, 0, 30, 60, 120, 240, 480, 960, 960};
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    for (size_t i = 0; i < ARRAY_SIZE(delays_s); i++) {
        crash("p-v1", 0, false);
        uint64_t at = c.now;
        cluster_run(&c, 1);
        ck_assert_int_eq(c.crashes, (int)i + 1);
        struct found f = look("p");
        ck_assert_uint_eq(f.a[0].crash_count, i + 1);
        if (delays_s[i] > 0) {
            ck_states("p", "x");
            ck_assert_str_eq(f.reasons[0], "Exited with status 1");
            ck_assert_int_eq(f.a[0].exit_status, 1);
            ck_assert_uint_eq(f.a[0].restart_at_ms, at + delays_s[i] * 1000);
            cluster_run(&c, delays_s[i] - 1);
            ck_states("p", "x");
        }
        cluster_run(&c, 4);
        ck_states("p", "R");
    }
    cluster_run(&c, 301); /* forgiven */
    crash("p-v1", 0, false);
    cluster_run(&c, 1);
    ck_assert_uint_eq(look("p").a[0].crash_count, 1);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

static uint64_t crashed(void) {
    struct lrp_totals t;
    lrp_totals(c.lrp, &t);
    return t.crashed;
}

START_TEST(whose_back_off_is_over_waits_for_room_as_others_do) {
    for (int again = 0; again < 2; again++) {
        start(1, 1000);
        cluster_desire(&c, "p", "v1", 1, 600);
        for (int i = 0; i < 3; i++) {
            cluster_run(&c, 4);
            crash("p-v1", 0, false);
        }
        cluster_run(&c, 1);
        ck_assert_uint_eq(crashed(), 1);
        cluster_desire(&c, "q", "v1", 1, 600); /* takes its room */
        cluster_run(&c, 4);
        ck_assert_uint_eq(crashed(), 1);
        if (again) /* forgotten with its version */
            cluster_desire(&c, "p", "v2", 1, 600);
        cluster_run(&c, again ? 1 : 30);
        ck_assert_uint_eq(crashed(), 0);
        ck_states("p", "u");
        cluster_check(&c);
        cluster_fini(&c);
    }
}
END_TEST

START_TEST(after_two_hundred_crashes_it_is_left_alone_until_restarted) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    c.lrp->processes->slots[0].crash_count = 199;
    crash("p-v1", 0, false);
    cluster_run(&c, 2000);
    ck_states("p", "x");
    ck_assert_uint_eq(look("p").a[0].restart_at_ms, 0);
    ck_assert_int_eq(lrp_restart_instance(c.lrp, "p", 0, c.now), 0);
    cluster_run(&c, 4);
    ck_states("p", "R");
    ck_assert_int_eq(lrp_restart_instance(c.lrp, "p", 1, c.now), -ENOENT);
    ck_assert_int_eq(lrp_restart_instance(c.lrp, "q", 0, c.now), -ENOENT);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_fault_of_the_platform_is_not_counted_and_is_tried_elsewhere) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    struct sim_cell *was, *is;
    ck_assert_ptr_nonnull(container_of(&c, "p-v1", 0, &was));
    crash("p-v1", 0, true);
    cluster_run(&c, 1);
    ck_states("p", "u");
    ck_assert_int_eq(c.crashes, 0);
    ck_assert_ptr_nonnull(strstr(c.events.p, ";failed:0:Exited with status 1;"));
    ck_assert_uint_eq(look("p").a[0].crash_count, 0);
    cluster_run(&c, 5);
    ck_states("p", "R");
    ck_assert_ptr_nonnull(container_of(&c, "p-v1", 0, &is));
    ck_assert_ptr_ne(was, is);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_crash_told_again_is_counted_once) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    crash("p-v1", 0, false);
    for (int i = 0; i < 5; i++) {
        cell_report(&c, &c.cells[0], true); /* the acknowledgement is lost each time */
        cluster_converge(&c);
        c.now += 1000;
    }
    cluster_run(&c, 4);
    ck_assert_int_eq(c.crashes, 1);
    ck_states("p", "R");
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(restarting_an_instance_replaces_it_without_a_crash) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 4);
    struct found before = look("p");
    ck_assert_int_eq(lrp_restart_instance(c.lrp, "p", 1, c.now), 0);
    cluster_run(&c, 5);
    struct found after = look("p");
    ck_states("p", "RR");
    ck_assert_str_eq(before.guids[0], after.guids[0]);
    ck_assert_str_ne(before.guids[1], after.guids[1]);
    ck_assert_int_eq(c.crashes, 0);
    ck_assert_uint_eq(c.cells[0].n, 2);
    cluster_fini(&c);
}
END_TEST

/* --- cells that come and go --- */

START_TEST(a_silent_cell_is_replaced_and_its_routes_stay_until_then) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    ck_assert_uint_eq(c.cells[0].n, 1);
    c.cells[0].cut = true;
    cluster_run(&c, 14);
    ck_assert_int_eq(c.lost, 0);
    cluster_run(&c, 1);
    ck_assert_int_eq(c.lost, 1);
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 2); /* it may be alive */
    cluster_run(&c, 4);
    ck_states("p", "RR");
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 2);
    ck_assert_uint_eq(c.cells[1].n, 2);
    c.cells[0].cut = false; /* late: its instance is surplus */
    cluster_run(&c, 5);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_uint_eq(c.cells[1].n, 2);
    ck_assert_int_eq(c.crashes, 0);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_cell_that_returns_first_keeps_its_instances) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    struct found before = look("p");
    c.cells[0].cut = true;
    for (int i = 0; i < 16; i++) { /* the other cell makes no progress */
        cell_report(&c, &c.cells[1], false);
        cell_watch(&c, &c.cells[1], 100, false);
        cluster_converge(&c);
        c.now += 1000;
    }
    ck_assert_int_eq(c.lost, 1);
    c.cells[0].cut = false;
    c.cells[0].session = false;
    cluster_run(&c, 5);
    struct found after = look("p");
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(before.guids[i], after.guids[i]);
    ck_assert_uint_eq(c.cells[0].n, 1);
    ck_assert_uint_eq(c.cells[1].n, 1);
    ck_states("p", "RR");
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(when_it_was_we_who_slept_no_cell_is_lost) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    c.now += 3600000;
    cluster_converge(&c);
    ck_assert_int_eq(c.lost, 0);
    cluster_run(&c, 5);
    ck_assert_int_eq(c.lost, 0);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_cell_that_lost_everything_gets_new_instances_without_a_crash) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    struct found before = look("p");
    c.cells[0].n = 0;
    c.cells[0].version = 0;
    c.cells[0].session = false;
    cluster_run(&c, 5);
    ck_states("p", "RR");
    ck_assert_str_ne(before.guids[0], look("p").guids[0]);
    ck_assert_int_eq(c.crashes, 0);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

/* --- the controller comes and goes --- */

START_TEST(a_restarted_brain_adopts_what_runs_and_starts_nothing_twice) {
    start(3, 1000);
    cluster_desire(&c, "p", "v1", 6, 100);
    cluster_run(&c, 5);
    struct found before = look("p");
    int started = c.cells[0].started + c.cells[1].started + c.cells[2].started;
    cluster_restart_brain(&c);
    cluster_desire(&c, "p", "v1", 6, 100);
    lrp_desired_complete(c.lrp, c.now);
    cluster_converge(&c);
    ck_assert(!lrp_is_settled(c.lrp));
    ck_assert_uint_eq(lrp_route_version(c.lrp), 0); /* routers keep what they have */
    cluster_run(&c, 2);
    ck_assert(lrp_is_settled(c.lrp)); /* all known cells reported: no need to wait */
    cluster_run(&c, 20);
    struct found after = look("p");
    ck_states("p", "RRRRRR");
    for (int i = 0; i < 6; i++) {
        ck_assert_str_eq(before.guids[i], after.guids[i]);
        ck_assert_uint_le(after.a[i].since_ms, before.a[i].since_ms); /* its uptime went on */
    }
    ck_assert_int_eq(c.cells[0].started + c.cells[1].started + c.cells[2].started, started);
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 6);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_restarted_brain_waits_for_known_cells_but_not_for_ever) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    c.cells[0].cut = true;
    cluster_restart_brain(&c);
    cluster_desire(&c, "p", "v1", 2, 100);
    lrp_desired_complete(c.lrp, c.now);
    cluster_desire(&c, "new", "v1", 1, 100); /* cannot run anywhere yet: no reason to wait */
    cluster_run(&c, 14);
    ck_states("new", "R");
    ck_assert(!lrp_is_settled(c.lrp));
    ck_assert_uint_eq(c.cells[1].n, 2);
    cluster_run(&c, 6);
    ck_assert(lrp_is_settled(c.lrp));
    ck_states("p", "RR");
    ck_assert_uint_eq(c.cells[1].n, 3);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(what_is_no_longer_desired_stops_only_when_all_desired_are_known) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_desire(&c, "q", "v1", 1, 100);
    cluster_run(&c, 5);
    cluster_restart_brain(&c);
    cluster_run(&c, 5);
    ck_assert_uint_eq(c.cells[0].n, 2); /* nothing was decided */
    cluster_desire(&c, "p", "v1", 1, 100);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 5);
    ck_states("p", "R");
    ck_assert_uint_eq(c.cells[0].n, 1);
    ck_assert_int_eq(c.cells[0].started, 2);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(a_crash_while_the_controller_was_away_is_told) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 5);
    cluster_restart_brain(&c);
    crash("p-v1", 0, false);
    cluster_desire(&c, "p", "v1", 1, 100);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 5);
    ck_assert_int_eq(c.crashes, 1);
    ck_assert(strstr(c.events.p, "crash:0:Exited with status 1;") != NULL);
    ck_states("p", "R");
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

/* --- sets and pages --- */

START_TEST(a_set_is_told_in_pages_that_end) {
    start(1, 100000);
    cluster_desire(&c, "p", "v1", 50, 10);
    cell_hello(&c, &c.cells[0]);
    cell_report(&c, &c.cells[0], false);
    cluster_converge(&c);
    cell_watch(&c, &c.cells[0], 7, false);
    ck_assert_uint_eq(c.cells[0].n, 50);
    ck_assert_uint_eq(c.cells[0].version, lrp_cell_version(c.lrp, "cell-0"));
    /* unknown version: in full again, also after the floor rose above old versions */
    c.cells[0].cut = true;
    for (int i = 0; i < 20; i++) {
        cluster_converge(&c);
        c.now += 1000;
    }
    cluster_desire(&c, "p", "v1", 40, 10);
    cluster_converge(&c);
    c.cells[0].cut = false;
    c.cells[0].session = false;
    cell_report(&c, &c.cells[0], false);
    cell_watch(&c, &c.cells[0], 7, false);
    size_t assigned = 0;
    for (size_t i = 0; i < c.cells[0].n; i++)
        assigned += c.cells[0].containers[i].assigned;
    ck_assert_uint_eq(assigned, 40);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

/* --- going without a failed request, and two versions at a time --- */

static void start_draining(size_t cells) {
    cluster_init(&c, cells, 1000);
    lrp_free(c.lrp);
    c.config.drain_ms = 3000;
    cluster_brain(&c);
    lrp_desired_complete(c.lrp, c.now);
}

/* Seconds from the route's change to the cell's stopping of an instance, of `n` containers. */
static unsigned seconds_to_stop(size_t endpoints) {
    unsigned seconds = 0;
    for (bool told = false; c.cells[0].n > endpoints && seconds < 60;) {
        cluster_run(&c, 1);
        const struct sim_route *r = route_find(&c, "p.example");
        told = told || (r ? r->endpoints : 0) == endpoints;
        seconds += told;
        for (size_t i = 0; !told && i < c.cells[0].n; i++)
            ck_assert(c.cells[0].containers[i].assigned);
    }
    return seconds;
}

START_TEST(who_goes_leaves_the_routes_first_and_its_cell_a_while_later) {
    start_draining(1);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 4);
    cluster_desire(&c, "p", "v1", 1, 100);
    unsigned seconds = seconds_to_stop(1);
    ck_assert_msg(seconds >= 4 && seconds < 10, "%u s", seconds);
    lrp_restart_instance(c.lrp, "p", 0, c.now);
    cluster_run(&c, 3);
    ck_states("p", "R"); /* the new one serves while the old one goes */
    ck_assert_uint_eq(c.cells[0].n, 2);
    cluster_run(&c, 5);
    lrp_undesire(c.lrp, "p", c.now);
    seconds = seconds_to_stop(0);
    ck_assert_msg(seconds >= 4 && seconds < 10, "%u s", seconds);
    ck_assert_ptr_null(c.lrp->leaving);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(who_never_ran_or_is_lost_does_not_linger) {
    start_draining(2);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_converge(&c);
    lrp_undesire(c.lrp, "p", c.now); /* still CLAIMED */
    cluster_converge(&c);
    ck_assert_ptr_null(c.lrp->leaving);
    cluster_run(&c, 5);
    cluster_desire(&c, "q", "v1", 4, 100);
    cluster_run(&c, 4);
    lrp_undesire(c.lrp, "q", c.now);
    c.cells[0].cut = true;
    c.lrp->config.drain_ms = 60000;
    cluster_run(&c, 18);
    for (const struct instance *in = c.lrp->leaving; in; in = in->leave_next)
        ck_assert_str_ne(in->cell->id, "cell-0");
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(who_ends_by_itself_while_it_goes_is_taken_back_from_its_cell) {
    start_draining(1);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    lrp_undesire(c.lrp, "p", c.now);
    cluster_converge(&c);
    ck_assert_ptr_nonnull(c.lrp->leaving);
    crash("p-v1", 0, false);
    cluster_run(&c, 2);
    ck_assert_ptr_null(c.lrp->leaving);
    cluster_run(&c, 3);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_uint_eq(c.lrp->cells[0]->tombstones, 0);
    ck_assert_int_eq(c.crashes, 0);
    cluster_fini(&c);
}
END_TEST

/* Scaled down, and dead before it could tell: the routers still know the instance. */
START_TEST(a_restarted_brain_stops_no_one_before_the_routers_hear_of_it) {
    start_draining(2);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 4);
    c.cells[1].cut = true; /* settling waits for it */
    cluster_restart_brain(&c);
    cluster_desire(&c, "p", "v1", 0, 100);
    lrp_desired_complete(c.lrp, c.now);
    for (int i = 0; i < 14; i++) {
        cluster_run(&c, 1);
        ck_assert(c.cells[0].containers[0].assigned);
    }
    cluster_run(&c, 10);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 0);
    cluster_fini(&c);
}
END_TEST

START_TEST(versions_in_groups_of_their_own_run_side_by_side_under_one_route) {
    start_draining(2);
    cluster_desire_in(&c, "p-v1", "p", "v1", 3, 100);
    cluster_run(&c, 4);
    cluster_desire_in(&c, "p-v2", "p", "v2", 1, 100);
    cluster_run(&c, 4);
    ck_states("p-v1", "RRR");
    ck_states("p-v2", "R");
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 4);
    struct found before = look("p-v1");
    cluster_restart_brain(&c);
    cluster_desire_in(&c, "p-v2", "p", "v2", 1, 100);
    cluster_desire_in(&c, "p-v1", "p", "v1", 2, 100);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 8);
    ck_states("p-v1", "RR");
    ck_states("p-v2", "R");
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(look("p-v1").guids[i], before.guids[i]);
    ck_assert_str_eq(look("p-v1").a[0].process, "p");
    lrp_undesire(c.lrp, "p-v1", c.now);
    cluster_run(&c, 1);
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 1);
    cluster_run(&c, 8);
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, 1);
    cluster_check(&c);
    cluster_fini(&c);
}
END_TEST

START_TEST(many_removed_routes_are_forgotten_without_harm) {
    start(1, 1000);
    cluster_run(&c, 1);
    router_watch(&c, 100);
    uint64_t old = c.route_version;
    for (int i = 0; i < 6000; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        cluster_desire(&c, name, "v1", 0, 10);
        lrp_undesire(c.lrp, name, c.now);
    }
    cluster_desire(&c, "stays", "v1", 0, 10);
    cluster_converge(&c);
    c.route_version = old;
    router_watch(&c, 5);
    ck_assert_uint_eq(c.route_count, 1);
    ck_assert_ptr_nonnull(route_find(&c, "stays.example"));
    cluster_fini(&c);
}
END_TEST

RUN_TESTS("lrp/lrp", routers_hear_how_a_route_is_balanced_and_when_that_changes,
          desired_instances_start_run_and_get_a_route,
          scaling_down_takes_the_highest_index_and_stopping_all_removes_the_route,
          a_stopping_instance_counts_on_its_cell_until_it_ended,
          a_new_version_replaces_the_old_and_forgets_its_crashes,
          crashes_restart_at_once_twice_then_back_off_to_sixteen_minutes,
          whose_back_off_is_over_waits_for_room_as_others_do,
          after_two_hundred_crashes_it_is_left_alone_until_restarted,
          a_fault_of_the_platform_is_not_counted_and_is_tried_elsewhere,
          a_crash_told_again_is_counted_once, restarting_an_instance_replaces_it_without_a_crash,
          a_silent_cell_is_replaced_and_its_routes_stay_until_then,
          a_cell_that_returns_first_keeps_its_instances, when_it_was_we_who_slept_no_cell_is_lost,
          a_cell_that_lost_everything_gets_new_instances_without_a_crash,
          a_restarted_brain_adopts_what_runs_and_starts_nothing_twice,
          a_restarted_brain_waits_for_known_cells_but_not_for_ever,
          what_is_no_longer_desired_stops_only_when_all_desired_are_known,
          a_crash_while_the_controller_was_away_is_told, a_set_is_told_in_pages_that_end,
          who_goes_leaves_the_routes_first_and_its_cell_a_while_later,
          who_never_ran_or_is_lost_does_not_linger,
          who_ends_by_itself_while_it_goes_is_taken_back_from_its_cell,
          a_restarted_brain_stops_no_one_before_the_routers_hear_of_it,
          versions_in_groups_of_their_own_run_side_by_side_under_one_route,
          many_removed_routes_are_forgotten_without_harm)
