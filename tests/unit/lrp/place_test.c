/* Which cell gets an instance: what fits, zones, spread, balance; and what is said when none does.
 */
#include "tests/unit/lrp/cluster.h"

static struct cluster c;

struct sized {
    const char *zone; /* NULL: the end */
    uint64_t memory_mb, disk_mb;
    uint32_t containers;
};

static void start(const struct sized *cells) {
    size_t n = 0;
    while (cells[n].zone)
        n++;
    cluster_init(&c, n, 0);
    lrp_desired_complete(c.lrp, c.now);
    for (size_t i = 0; i < n; i++) {
        c.cells[i].zone = cells[i].zone;
        c.cells[i].memory_mb = cells[i].memory_mb;
        c.cells[i].disk_mb = cells[i].disk_mb;
        c.cells[i].max_containers = cells[i].containers;
    }
    cluster_run(&c, 1);
}

static size_t in_zone(const char *zone) {
    size_t n = 0;
    for (size_t i = 0; i < c.cell_count; i++)
        n += str_eq(c.cells[i].zone, zone) ? c.cells[i].n : 0;
    return n;
}

static void copy_reason(void *arg, const struct lrp_actual *a) {
    if (*a->reason)
        snprintf(arg, 512, "%s", a->reason);
}

static const char *reason_of(const char *process) {
    static char text[512];
    *text = '\0';
    lrp_instances(c.lrp, process, copy_reason, text);
    return text;
}

START_TEST(an_app_spreads_over_zones_then_cells_as_far_as_they_have_room) {
    static const struct {
        const char *what;
        struct sized cells[7];
        uint32_t instances;
        size_t in_z1, in_z2, in_z3;
        size_t most; /* on any cell */
    } rows[] = {
        {"one a cell",
         {{"z1", 1000, 1000, 9},
          {"z1", 1000, 1000, 9},
          {"z2", 1000, 1000, 9},
          {"z2", 1000, 1000, 9}},
         4,
         2,
         2,
         0,
         1},
        {"zones before cells",
         {{"z1", 1000, 1000, 9},
          {"z2", 1000, 1000, 9},
          {"z2", 1000, 1000, 9},
          {"z2", 1000, 1000, 9}},
         4,
         2,
         2,
         0,
         2},
        {"zones before balance", {{"z1", 400, 1000, 9}, {"z2", 90000, 90000, 90}}, 4, 2, 2, 0, 2},
        {"uneven zones",
         {{"z1", 1000, 1000, 9},
          {"z1", 1000, 1000, 9},
          {"z1", 1000, 1000, 9},
          {"z1", 1000, 1000, 9},
          {"z2", 1000, 1000, 9},
          {"z2", 1000, 1000, 9}},
         6,
         3,
         3,
         0,
         2},
        {"three zones",
         {{"z1", 1000, 1000, 9}, {"z2", 1000, 1000, 9}, {"z3", 1000, 1000, 9}},
         7,
         3,
         2,
         2,
         3},
        {"a zone without memory",
         {{"z1", 50, 1000, 9}, {"z2", 1000, 1000, 9}, {"z3", 1000, 1000, 9}},
         4,
         0,
         2,
         2,
         2},
        {"a zone that fills up",
         {{"z1", 100, 1000, 9}, {"z2", 1000, 1000, 9}, {"z2", 1000, 1000, 9}},
         5,
         1,
         4,
         0,
         2},
        {"a zone without disk", {{"z1", 1000, 5, 9}, {"z2", 1000, 1000, 9}}, 3, 0, 3, 0, 3},
        {"a zone whose disk fills up", {{"z1", 1000, 25, 9}, {"z2", 1000, 1000, 9}}, 6, 2, 4, 0, 4},
        {"a zone without containers",
         {{"z1", 1000, 1000, 0}, {"z2", 1000, 1000, 9}},
         3,
         0,
         3,
         0,
         3},
        {"a zone whose containers run out",
         {{"z1", 1000, 1000, 1}, {"z2", 1000, 1000, 9}},
         4,
         1,
         3,
         0,
         3},
        {"all that there is", {{"z1", 100, 1000, 9}, {"z2", 200, 1000, 9}}, 9, 1, 2, 0, 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start(rows[i].cells);
        cluster_desire(&c, "p", "v1", rows[i].instances, 100);
        cluster_run(&c, 4);
        /* of three that are as good any one may have one more */
        size_t z1 = in_zone("z1"), z2 = in_zone("z2"), z3 = in_zone("z3");
        if (rows[i].in_z3 > 0 && rows[i].in_z1 > 0) {
            ck_assert_uint_eq(z1 + z2 + z3, rows[i].instances);
            ck_assert_msg(MIN(MIN(z1, z2), z3) == rows[i].in_z3, "%s", rows[i].what);
        } else {
            ck_assert_msg(z1 == rows[i].in_z1 && z2 == rows[i].in_z2 && z3 == rows[i].in_z3,
                          "%s: %zu %zu %zu", rows[i].what, z1, z2, z3);
        }
        for (size_t k = 0; k < c.cell_count; k++)
            ck_assert_msg(c.cells[k].n <= rows[i].most, "%s: %zu on %zu", rows[i].what,
                          c.cells[k].n, k);
        cluster_check(&c);
        cluster_fini(&c);
    }
}
END_TEST

START_TEST(of_cells_alike_the_emptier_and_the_calmer_one_is_taken) {
    static const struct sized larger[] = {{"z1", 1000, 1000, 9}, {"z1", 4000, 1000, 9}, {0}};
    static const struct sized alike[] = {{"z1", 1000, 1000, 9}, {"z1", 1000, 1000, 9}, {0}};
    start(larger);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    ck_assert_uint_eq(c.cells[1].n, 1);
    cluster_fini(&c);

    start(alike);
    cluster_desire(&c, "steady", "v1", 1, 300);
    cluster_run(&c, 4); /* runs: its memory counts, its start does not any more */
    struct sim_cell *steady = NULL;
    ck_assert_ptr_nonnull(container_of(&c, "steady-v1", 0, &steady));
    cluster_desire(&c, "starts", "v1", 1, 50);
    cluster_converge(&c); /* on the other one, and goes on starting */
    cluster_desire(&c, "p", "v1", 1, 50);
    cluster_run(&c, 4);
    struct sim_cell *where = NULL;
    ck_assert_ptr_nonnull(container_of(&c, "starts-v1", 0, &where));
    ck_assert_ptr_ne(where, steady);
    ck_assert_ptr_nonnull(container_of(&c, "p-v1", 0, &where));
    ck_assert_ptr_eq(where, steady);
    cluster_fini(&c);
}
END_TEST

START_TEST(index_0_of_every_app_comes_first_when_room_is_short) {
    static const struct sized one[] = {{"z1", 300, 1000, 9}, {0}};
    start(one);
    cluster_run(&c, 1);
    cluster_desire(&c, "big", "v1", 3, 100);
    cluster_desire(&c, "p", "v1", 1, 50);
    cluster_desire(&c, "q", "v1", 1, 50);
    cluster_run(&c, 4);
    ck_assert_ptr_nonnull(container_of(&c, "p-v1", 0, NULL));
    ck_assert_ptr_nonnull(container_of(&c, "q-v1", 0, NULL));
    ck_assert_ptr_nonnull(container_of(&c, "big-v1", 1, NULL));
    ck_assert_ptr_null(container_of(&c, "big-v1", 2, NULL));
    cluster_fini(&c);
}
END_TEST

START_TEST(a_failed_placement_names_what_is_short_with_numbers) {
    static const struct {
        struct sized cells[3];
        uint32_t memory_mb; /* disk: 10 MB */
        const char *text;
    } rows[] = {
        {{{"z1", 1000, 1000, 9}, {"z1", 800, 1000, 9}},
         2000,
         "insufficient resources: memory (2000 MB of memory needed, at most 1000 MB free on any "
         "one of 2 cells)"},
        {{{"z1", 1000, 5, 9}},
         100,
         "insufficient resources: disk (10 MB of disk needed, at most 5 MB free on any one of 1 "
         "cell)"},
        {{{"z1", 1000, 1000, 0}, {"z2", 1000, 1000, 0}},
         100,
         "insufficient resources: containers (none of 0 container places free on any one of "
         "2 cells)"},
        {{{"z1", 50, 7, 0}, {"z2", 60, 5, 0}},
         100,
         "insufficient resources: containers, disk, memory (none of 0 container places free; "
         "10 MB of disk needed, at most 7 MB free; 100 MB of memory needed, at most 60 MB free on "
         "any one of 2 cells)"},
        {{{"z1", 50, 1000, 9}, {"z2", 1000, 5, 9}},
         100,
         "insufficient resources (100 MB of memory, 10 MB of disk and a container needed; each of "
         "2 cells is short of one of them)"},
        {{{0}}, 10, "found no compatible cell: no cell takes instances"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start(rows[i].cells);
        cluster_desire(&c, "p", "v1", 1, rows[i].memory_mb);
        cluster_run(&c, 1);
        ck_assert_str_eq(reason_of("p"), rows[i].text);
        cluster_fini(&c);
    }
}
END_TEST

START_TEST(cells_that_are_there_but_take_nothing_are_counted_in_the_text) {
    static const struct sized two[] = {{"z1", 1000, 1000, 9}, {"z2", 1000, 1000, 9}, {0}};
    start(two);
    c.cells[0].cut = true;
    c.cells[1].evacuating = true;
    cluster_run(&c, 20);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 1);
    ck_assert_str_eq(
        reason_of("p"),
        "found no compatible cell: no cell takes instances (1 being evacuated, 1 silent)");
    struct lrp_counters n;
    lrp_counters(c.lrp, &n);
    ck_assert_uint_eq(n.no_cell, 1);
    cluster_fini(&c);
}
END_TEST

/* Each way in which room appears, with the next try by the clock 30 s away. */
START_TEST(who_waits_is_placed_as_soon_as_there_is_room) {
    static const struct sized two[] = {{"z1", 100, 1000, 9}, {"z2", 100, 1000, 9}, {0}};
    for (int row = 0; row < 10; row++) {
        int way = row % 5;
        start(two);
        c.cells[1].evacuating = way == 0;
        c.cells[1].cut = way == 1;
        cluster_run(&c, 20);
        cluster_desire(&c, "full", "v1", way < 2 ? 1 : 2, 100);
        cluster_run(&c, 4);
        cluster_desire(&c, "p", "v1", 1, 100);
        cluster_run(&c, row < 5 ? 2 : 12); /* a convergence of all processes in between */
        ck_assert(str_starts(reason_of("p"), "insufficient resources: memory"));
        switch (way) {
        case 0: /* an evacuation is called off */
            c.cells[1].evacuating = false;
            break;
        case 1: /* a cell returns */
            c.cells[1].cut = false;
            break;
        case 2: /* an app is scaled down */
            cluster_desire(&c, "full", "v1", 1, 100);
            break;
        case 3: /* an app is stopped */
            lrp_undesire(c.lrp, "full", c.now);
            break;
        default: /* a cell has grown */
            c.cells[1].memory_mb = 200;
            c.cells[1].session = false;
        }
        cluster_run(&c, 8);
        ck_assert_msg(container_of(&c, "p-v1", 0, NULL) != NULL, "way %d", way);
        ck_assert_str_eq(reason_of("p"), "");
        cluster_check(&c);
        cluster_fini(&c);
    }
}
END_TEST

RUN_TESTS("lrp/place", an_app_spreads_over_zones_then_cells_as_far_as_they_have_room,
          of_cells_alike_the_emptier_and_the_calmer_one_is_taken,
          index_0_of_every_app_comes_first_when_room_is_short,
          a_failed_placement_names_what_is_short_with_numbers,
          cells_that_are_there_but_take_nothing_are_counted_in_the_text,
          who_waits_is_placed_as_soon_as_there_is_room)
