/* Of which apps a cell may send log lines. */
#include "tests/unit/lrp/cluster.h"

#define MINUTE 60000

static struct cluster c;

/* Some time after the brain's start, when nobody is believed for being new any more. */
static void start(size_t cells) {
    cluster_init(&c, cells, 1000);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 20);
}

static void stop(void) {
    cluster_check(&c);
    cluster_fini(&c);
}

static bool may(size_t cell, const char *app) {
    return lrp_cell_runs_app(c.lrp, c.cells[cell].id, app, c.now);
}

/* `ms` later, with cells and brain at work. */
static void pass(uint64_t ms) {
    for (uint64_t end = c.now + ms; c.now < end;)
        cluster_run(&c, 1);
}

START_TEST(a_cell_speaks_of_the_apps_that_it_has_and_of_no_other) {
    start(2);
    ck_assert(!may(0, "p") && !may(1, "p"));
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_converge(&c); /* placed: what is said of its creation counts, too */
    ck_assert_int_eq(may(0, "p") + may(1, "p"), 1);
    cluster_run(&c, 4);
    ck_assert_int_eq(may(0, "p") + may(1, "p"), 1);
    ck_assert(!may(0, "another") && !may(1, "another"));
    ck_assert(!lrp_cell_runs_app(c.lrp, "nobody", "app", c.now));
    stop();
}
END_TEST

START_TEST(last_lines_may_come_some_minutes_after_the_end) {
    start(1);
    cluster_desire(&c, "p", "v1", 2, 100);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    ck_assert(may(0, "p") && may(0, t->app_guid));
    container_of(&c, t->guid, 0, NULL)->succeeds = true;
    container_of(&c, t->guid, 0, NULL)->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    lrp_undesire(c.lrp, "p", c.now);
    pass(4 * MINUTE);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert(may(0, "p") && may(0, t->app_guid));
    pass(2 * MINUTE);
    ck_assert(!may(0, "p") && !may(0, t->app_guid));
    stop();
}
END_TEST

START_TEST(a_cell_cannot_claim_an_app) {
    start(1);
    Berth__ActualLrp m, *list[] = {&m};
    for (int ended = 0; ended < 2; ended++) {
        berth__actual_lrp__init(&m);
        m.instance_guid = (char *)"forged";
        m.process_guid = (char *)"nobodys-process";
        m.app_guid = (char *)"victim";
        m.address = (char *)"";
        m.state = ended ? BERTH__INSTANCE_STATE__INSTANCE_CRASHED
                        : BERTH__INSTANCE_STATE__INSTANCE_RUNNING;
        ck_assert_int_eq(lrp_report(c.lrp, c.cells[0].id, false, false, list, 1, c.now, 1), 0);
        ck_assert(!may(0, "victim"));
        cluster_converge(&c);
        ck_assert(!may(0, "victim"));
    }
    cluster_fini(&c);
}
END_TEST

START_TEST(a_cell_that_is_new_to_this_run_is_believed_for_a_moment) {
    start(1);
    cluster_desire(&c, "p", "v1", 1, 100);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    container_of(&c, t->guid, 0, NULL)->succeeds = true;
    container_of(&c, t->guid, 0, NULL)->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    cluster_restart_brain(&c);
    cluster_give_tasks(&c);
    cluster_desire(&c, "p", "v1", 1, 100);
    cell_hello(&c, &c.cells[0]);
    ck_assert(may(0, "p") && may(0, "whatever")); /* nobody knows yet what it had */
    lrp_desired_complete(c.lrp, c.now);
    ck_assert(may(0, "whatever"));
    pass(MINUTE);
    ck_assert(!may(0, "whatever"));
    ck_assert(may(0, "p"));
    ck_assert(may(0, t->app_guid)); /* it ended while the controller was away */
    cell_hello(&c, &c.cells[0]);    /* not with each session */
    ck_assert(!may(0, "whatever"));
    pass(5 * MINUTE);
    ck_assert(may(0, "p") && !may(0, t->app_guid));
    stop();
}
END_TEST

START_TEST(no_time_runs_out_while_a_cell_is_silent) {
    start(2);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    size_t at = may(0, "p") ? 0 : 1;
    c.cells[at].cut = true;
    pass(30 * MINUTE);
    ck_assert(may(0, "p") && may(1, "p")); /* it runs on the other one by now */
    c.cells[at].n = 0;                     /* it ended, and nothing is told of it */
    c.cells[at].cut = false;
    pass(4 * MINUTE);
    ck_assert(may(at, "p"));
    pass(2 * MINUTE);
    ck_assert(!may(at, "p"));
    stop();
}
END_TEST

START_TEST(many_apps_come_and_go_and_are_told_apart) {
    start(1);
    struct cell *cell = c.lrp->cells[0];
    struct rng rng = {7};
    static uint64_t until[3000];
    for (int i = 0; i < 20000; i++) {
        char app[16];
        size_t n = rng_below(&rng, ARRAY_SIZE(until));
        snprintf(app, sizeof app, "app-%zu", n);
        c.now += rng_below(&rng, 300);
        ck_assert_int_eq(may(0, app), until[n] >= c.now);
        if (rng_below(&rng, 2)) {
            apps_ended(c.lrp, cell, app, c.now);
            until[n] = c.now + 300000;
        }
    }
    ck_assert_uint_le(cell->apps.cap, 8192); /* those that are over were dropped */
    cluster_fini(&c);
}
END_TEST

RUN_TESTS("lrp/apps", a_cell_speaks_of_the_apps_that_it_has_and_of_no_other,
          last_lines_may_come_some_minutes_after_the_end, a_cell_cannot_claim_an_app,
          a_cell_that_is_new_to_this_run_is_believed_for_a_moment,
          no_time_runs_out_while_a_cell_is_silent, many_apps_come_and_go_and_are_told_apart)
