/* What happens when much is lost at once: all cells, or the controller's latest changes. */
#include "tests/unit/lrp/cluster.h"

static struct cluster c;

static void start(size_t cells, uint64_t memory_mb) {
    cluster_init(&c, cells, memory_mb);
    lrp_free(c.lrp);
    c.config.drain_ms = 2000;
    cluster_brain(&c);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 2);
}

static void finish(void) {
    cluster_check(&c);
    cluster_fini(&c);
}

static int started(void) {
    int n = 0;
    for (size_t i = 0; i < c.cell_count; i++)
        n += c.cells[i].started;
    return n;
}

static size_t endpoints(const char *host) {
    const struct sim_route *r = route_find(&c, host);
    return r ? r->endpoints : 0;
}

static void copy_actual(void *arg, const struct lrp_actual *a) {
    *(struct lrp_actual *)arg = *a;
}

/* The controller's own network, as a rule. */
START_TEST(when_all_cells_fall_silent_everything_serves_on_and_nothing_is_started_twice) {
    start(3, 1000);
    cluster_desire(&c, "p", "v1", 6, 100);
    cluster_run(&c, 5);
    int before = started();
    for (size_t i = 0; i < c.cell_count; i++)
        c.cells[i].cut = true;
    cluster_run(&c, 200);
    ck_assert_uint_eq(endpoints("p.example"), 6);
    struct lrp_totals t;
    lrp_totals(c.lrp, &t);
    ck_assert_uint_eq(t.cells, 0);
    ck_assert_uint_eq(t.cells_silent, 3);
    ck_assert_uint_eq(t.suspect, 6);
    ck_assert_int_eq(c.silent, 3);
    ck_assert_int_eq(c.heard_again, 0);
    lrp_cell_removed(c.lrp, c.cells[0].id);
    lrp_totals(c.lrp, &t);
    ck_assert_uint_eq(t.cells_silent, 2); /* nobody waits for it */
    for (size_t i = 0; i < c.cell_count; i++)
        c.cells[i].cut = false;
    cluster_run(&c, 10);
    ck_assert_uint_eq(endpoints("p.example"), 6);
    ck_assert_int_eq(started(), before);
    ck_assert_int_eq(c.crashes, 0);
    ck_assert_int_eq(c.heard_again, 3);
    finish();
}
END_TEST

/* The first that returns is asked to run what the others still run: they must come in time, and
 * what is too much in the end goes. */
START_TEST(cells_that_return_one_by_one_end_with_each_instance_once) {
    start(3, 1000);
    cluster_desire(&c, "p", "v1", 6, 100);
    cluster_run(&c, 5);
    for (size_t i = 0; i < c.cell_count; i++)
        c.cells[i].cut = true;
    cluster_run(&c, 20);
    for (size_t i = 0; i < c.cell_count; i++) {
        c.cells[i].cut = false;
        cluster_run(&c, 7);
        cluster_check(&c);
        ck_assert_uint_eq(endpoints("p.example"), 6);
    }
    cluster_run(&c, 10);
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n + c.cells[2].n, 6);
    ck_assert_uint_eq(endpoints("p.example"), 6);
    finish();
}
END_TEST

/* The cells report an app that the older database does not have, one in a version that it does not
 * know, and one that it knows; one of the cells joined after the backup. */
START_TEST(a_controller_from_an_older_backup_keeps_what_it_knows_and_says_what_it_stops) {
    start(2, 1000);
    cluster_desire(&c, "same", "v1", 2, 100);
    cluster_desire(&c, "newer", "v2", 1, 100);
    cluster_desire(&c, "unknown", "v1", 1, 100);
    cluster_run(&c, 5);
    char guids[2][GUID_SIZE];
    for (uint32_t i = 0; i < 2; i++)
        snprintf(guids[i], GUID_SIZE, "%s", container_of(&c, "same-v1", i, NULL)->guid);
    lrp_free(c.lrp);
    cluster_brain(&c);
    for (size_t i = 0; i < c.cell_count; i++)
        c.cells[i].session = false;
    ck_assert_int_eq(lrp_cell_expected(c.lrp, c.cells[0].id), 0);
    cluster_desire(&c, "same", "v1", 2, 100);
    cluster_desire(&c, "newer", "v1", 1, 100);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 15);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_str_eq(guids[i], container_of(&c, "same-v1", i, NULL)->guid);
    ck_assert_ptr_nonnull(container_of(&c, "newer-v1", 0, NULL));
    ck_assert_ptr_null(container_of(&c, "newer-v2", 0, NULL));
    ck_assert_ptr_null(container_of(&c, "unknown-v1", 0, NULL));
    struct lrp_counters n;
    lrp_counters(c.lrp, &n);
    ck_assert_uint_eq(n.instances_unknown, 2);
    ck_assert_ptr_nonnull(strstr(c.events.p, "unknown:0:;"));
    ck_assert_uint_eq(endpoints("same.example"), 2);
    finish();
}
END_TEST

/* A cell's wall clock, or the controller's, tells how long something has been running already; it
 * must not say that it will begin to. */
START_TEST(a_wall_clock_that_jumped_makes_nothing_younger_than_it_is_or_run_in_the_future) {
    static const int64_t jumps_s[] = {0, 3600, -300, 1000000, -900};
    for (size_t i = 0; i < ARRAY_SIZE(jumps_s); i++) {
        start(1, 1000);
        cluster_desire(&c, "p", "v1", 1, 100);
        cluster_run(&c, 5);
        cluster_restart_brain(&c);
        cluster_desire(&c, "p", "v1", 1, 100);
        lrp_desired_complete(c.lrp, c.now);
        struct container *k = container_of(&c, "p-v1", 0, NULL);
        k->since_ms = (uint64_t)((int64_t)c.now + jumps_s[i] * 1000);
        for (size_t m = 0; m < 3; m++) { /* the sim's wall clock is its monotonic one */
            c.now += 1000;
            cell_report(&c, &c.cells[0], false);
            cluster_converge(&c);
        }
        struct lrp_actual a = {0};
        lrp_instances(c.lrp, "p", copy_actual, &a);
        ck_assert_int_eq(a.state, LRP_RUNNING);
        ck_assert_uint_le(a.since_ms, c.now);
        finish();
    }
}
END_TEST

START_TEST(what_a_cell_has_lost_is_told_and_started_again) {
    start(1, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    c.cells[0].n = 0; /* a host with a new disk */
    c.cells[0].session = c.cells[0].was_full = false;
    cluster_run(&c, 5);
    ck_assert_ptr_nonnull(strstr(c.events.p, ";failed:0:its cell does not have it any more;"));
    ck_assert_ptr_nonnull(strstr(c.events.p, ";failed:1:its cell does not have it any more;"));
    ck_assert_uint_eq(endpoints("p.example"), 2);
    ck_assert_int_eq(c.crashes, 0);
    finish();
}
END_TEST

RUN_TESTS("lrp/losing",
          when_all_cells_fall_silent_everything_serves_on_and_nothing_is_started_twice,
          cells_that_return_one_by_one_end_with_each_instance_once,
          a_controller_from_an_older_backup_keeps_what_it_knows_and_says_what_it_stops,
          a_wall_clock_that_jumped_makes_nothing_younger_than_it_is_or_run_in_the_future,
          what_a_cell_has_lost_is_told_and_started_again)
