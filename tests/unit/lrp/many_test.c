/* More than one convergence does: what is left waits in order, and may change while it waits. */
#include "tests/unit/lib/runner.h"

#include <stdio.h>

#include "common/base/str.h"
#include "controller/lrp/lrp.h"

enum { CELLS = 100, PROCESSES = 10, EACH = 1000, CALLS_MAX = 1000 };

static struct {
    struct lrp *lrp;
    uint64_t guids, now;
} w;

static void on_cell(void *data, const char *cell_id) {
    (void)data, (void)cell_id;
}

static void on_nothing(void *data) {
    (void)data;
}

static void new_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    snprintf(buf, GUID_SIZE, "%036llx", (unsigned long long)++w.guids);
}

static void start(void) {
    const struct lrp_config config = {
        .presence_ms = 15000, .converge_ms = 30000, .settle_ms = 15000, .rng_seed = 7};
    const struct lrp_ops ops = {.on_cell_changed = on_cell,
                                .on_routes_changed = on_nothing,
                                .on_work = on_nothing,
                                .new_guid = new_guid};
    w.guids = 0;
    w.now = 1000;
    ck_assert_int_eq(lrp_new(&w.lrp, &config, &ops, w.now, NULL), 0);
    lrp_desired_complete(w.lrp, w.now);
    for (int i = 0; i < CELLS; i++) {
        char id[16];
        snprintf(id, sizeof id, "cell-%d", i);
        const struct lrp_cell_info info = {.id = id,
                                           .name = id,
                                           .zone = i % 2 ? "a" : "b",
                                           .memory_mb = 1000000,
                                           .disk_mb = 1000000,
                                           .containers = 10000};
        ck_assert_int_eq(lrp_cell_present(w.lrp, &info, w.now), 0);
        ck_assert_int_eq(lrp_report(w.lrp, id, true, true, NULL, 0, w.now, 0), 0);
    }
    lrp_converge(w.lrp, w.now);
}

static void desire(int process, int version, uint32_t instances) {
    char guid[32], group[16];
    snprintf(group, sizeof group, "p%d", process);
    snprintf(guid, sizeof guid, "p%d-v%d", process, version);
    const struct lrp_desired d = {.process_guid = guid,
                                  .process = group,
                                  .app_guid = group,
                                  .app_name = group,
                                  .process_type = "web",
                                  .instances = instances,
                                  .memory_mb = 10,
                                  .disk_mb = 10};
    ck_assert_int_eq(lrp_desire(w.lrp, &d, w.now, NULL), 0);
}

static void undesire(int process) {
    char group[16];
    snprintf(group, sizeof group, "p%d", process);
    lrp_undesire(w.lrp, group, w.now);
}

static struct lrp_totals totals(void) {
    struct lrp_totals t;
    lrp_totals(w.lrp, &t);
    return t;
}

/* How many calls it took until there is nothing left to do at once. */
static unsigned finish(void) {
    unsigned calls = 1;
    for (; lrp_converge(w.lrp, w.now) <= w.now; calls++)
        ck_assert_uint_lt(calls, CALLS_MAX);
    return calls;
}

static void on_first(void *arg, const struct lrp_actual *a) {
    unsigned *placed = arg;
    *placed += a->index == 0 && a->state == LRP_CLAIMED;
}

static unsigned count_firsts(void) {
    unsigned placed = 0;
    for (int i = 0; i < PROCESSES; i++) {
        char group[16];
        snprintf(group, sizeof group, "p%d", i);
        lrp_instances(w.lrp, group, on_first, &placed);
    }
    return placed;
}

START_TEST(many_are_placed_in_parts_first_instances_first) {
    start();
    for (int i = 0; i < PROCESSES; i++)
        desire(i, 1, EACH);
    ck_assert_uint_eq(lrp_converge(w.lrp, w.now), w.now); /* it asks for the next at once */
    ck_assert_uint_eq(count_firsts(), PROCESSES);
    uint64_t placed = totals().claimed;
    ck_assert_uint_gt(placed, PROCESSES);
    ck_assert_uint_lt(placed, PROCESSES * EACH / 2);
    ck_assert_uint_gt(finish(), 1);
    ck_assert_uint_eq(totals().claimed, PROCESSES * EACH);
    ck_assert_uint_eq(w.guids, PROCESSES * EACH); /* none twice */
    lrp_free(w.lrp);
}
END_TEST

START_TEST(what_comes_meanwhile_need_not_wait_for_the_rest) {
    start();
    for (int i = 1; i < PROCESSES; i++)
        desire(i, 1, EACH);
    lrp_converge(w.lrp, w.now);
    desire(0, 1, 1);
    ck_assert_uint_eq(lrp_converge(w.lrp, w.now), w.now);
    ck_assert_uint_eq(count_firsts(), PROCESSES);
    lrp_free(w.lrp);
}
END_TEST

START_TEST(who_is_not_wanted_any_more_is_not_placed) {
    start();
    for (int i = 0; i < PROCESSES; i++)
        desire(i, 1, EACH);
    lrp_converge(w.lrp, w.now);
    uint64_t placed = totals().claimed;
    for (int i = 0; i < PROCESSES; i++)
        undesire(i);
    finish();
    ck_assert_uint_eq(w.guids, placed);
    ck_assert_uint_eq(totals().desired, 0);
    lrp_free(w.lrp);
}
END_TEST

START_TEST(whatever_changes_in_between_the_end_is_what_was_wanted) {
    struct rng rng = {.state = 11};
    uint32_t wanted[PROCESSES] = {0};
    int version = 1;
    start();
    for (int round = 0; round < 300; round++) {
        int p = (int)rng_below(&rng, PROCESSES);
        wanted[p] = rng_below(&rng, 4) ? (uint32_t)rng_below(&rng, 2 * EACH) : 0;
        version += rng_below(&rng, 3) == 0;
        if (wanted[p])
            desire(p, version, wanted[p]);
        else
            undesire(p);
        if (rng_below(&rng, 3))
            lrp_converge(w.lrp, w.now);
        w.now += rng_below(&rng, 50);
    }
    finish();
    uint64_t sum = 0;
    for (int i = 0; i < PROCESSES; i++)
        sum += wanted[i];
    ck_assert_uint_eq(totals().desired, sum);
    ck_assert_uint_eq(totals().claimed, sum);
    lrp_free(w.lrp);
}
END_TEST

RUN_TESTS("lrp/many", many_are_placed_in_parts_first_instances_first,
          what_comes_meanwhile_need_not_wait_for_the_rest, who_is_not_wanted_any_more_is_not_placed,
          whatever_changes_in_between_the_end_is_what_was_wanted)
