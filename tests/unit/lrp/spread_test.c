/* Spread repair: what was pushed together while cells were away is taken apart again when all is
 * quiet; nobody serves less for it, and it comes to an end. */
#include "tests/unit/lrp/cluster.h"

enum { QUIET_S = 60, AGAIN_S = SPREAD_AGAIN_MS / 1000 };

static struct cluster c;
static uint32_t most_moves; /* at a time */

/* --- what must hold of each move --- */

struct potential {
    uint64_t zones, cells;
};

/* Of the process's instances where they are, or, `moved`, where they are to be. */
static struct potential potential_of(const struct process *p, bool moved) {
    struct potential sum = {0, 0};
    for (uint32_t i = 0; i < p->slot_count; i++)
        for (uint32_t k = 0; k < p->slot_count; k++) {
            const struct slot *a = &p->slots[i], *b = &p->slots[k];
            const struct cell *of_a = (moved || !a->old ? a->primary : a->old)->cell;
            const struct cell *of_b = (moved || !b->old ? b->primary : b->old)->cell;
            sum.zones += of_a->zone == of_b->zone; /* the squares of the counts, in the end */
            sum.cells += of_a == of_b;
        }
    return sum;
}

static void on_event_check(void *data, const char *kind, const struct lrp_actual *a,
                           const char *text) {
    must(kind && text);
    on_event(data, kind, a, text);
    if (strcmp(kind, "spreading") != 0)
        return;
    const struct process *p = instance_find(c.lrp, a->instance_guid)->process;
    struct potential before = potential_of(p, false), after = potential_of(p, true);
    must(after.zones < before.zones || (after.zones == before.zones && after.cells < before.cells));
    uint32_t away = 0;
    for (uint32_t i = 0; i < p->slot_count; i++)
        away += p->slots[i].old != NULL;
    must(away == 1);
    most_moves = MAX(most_moves, c.lrp->moves);
}

/* --- a cluster --- */

static void start_brain(void) {
    cluster_brain(&c);
    c.lrp->ops.on_event = on_event_check;
}

/* Cells by their zones, a letter each. */
static void start(const char *zones, uint64_t memory_mb) {
    static const char *const names[] = {"za", "zb", "zc", "zd"};
    cluster_init(&c, strlen(zones), memory_mb);
    lrp_free(c.lrp);
    c.config.drain_ms = 2000;
    c.config.spread_quiet_ms = QUIET_S * 1000;
    for (size_t i = 0; i < c.cell_count; i++)
        c.cells[i].zone = names[zones[i] - 'a'];
    most_moves = 0;
    start_brain();
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 2);
}

static void finish(void) {
    cluster_check(&c);
    cluster_fini(&c);
}

static struct lrp_counters counters(void) {
    struct lrp_counters n;
    lrp_counters(c.lrp, &n);
    return n;
}

static size_t endpoints(const char *process) {
    char host[64];
    snprintf(host, sizeof host, "%s.example", process);
    const struct sim_route *r = route_find(&c, host);
    return r ? r->endpoints : 0;
}

/* Containers of a process that are not asked to stop. */
static size_t held(const struct sim_cell *s, const char *process_guid) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += str_eq(s->containers[i].process_guid, process_guid) && s->containers[i].assigned;
    return n;
}

static size_t held_in_all(const char *process_guid) {
    size_t n = 0;
    for (size_t i = 0; i < c.cell_count; i++)
        n += held(&c.cells[i], process_guid);
    return n;
}

/* With room everywhere: is there anything to be mended? */
static bool is_spread(const char *process_guid) {
    for (size_t i = 0; i < c.cell_count; i++)
        for (size_t k = 0; k < c.cell_count; k++) {
            const char *zi = c.cells[i].zone, *zk = c.cells[k].zone;
            size_t in_i = 0, in_k = 0;
            for (size_t m = 0; m < c.cell_count; m++) {
                in_i += str_eq(c.cells[m].zone, zi) ? held(&c.cells[m], process_guid) : 0;
                in_k += str_eq(c.cells[m].zone, zk) ? held(&c.cells[m], process_guid) : 0;
            }
            if (in_i > in_k + 1 || (str_eq(zi, zk) && held(&c.cells[i], process_guid) >
                                                          held(&c.cells[k], process_guid) + 1))
                return false;
        }
    return true;
}

struct app {
    const char *process, *process_guid;
    uint32_t instances;
};
static const struct app APPS[] = {{"one", "one-v1", 1},
                                  {"two", "two-v1", 2},
                                  {"three", "three-v1", 3},
                                  {"five", "five-v1", 5},
                                  {"ten", "ten-v1", 10}};

static void desire_apps(void) {
    for (size_t i = 0; i < ARRAY_SIZE(APPS); i++)
        cluster_desire(&c, APPS[i].process, "v1", APPS[i].instances, 10);
    cluster_run(&c, 6);
}

/* Everybody is served; `more` of an app at most beyond what is desired. */
static void watch(unsigned seconds, size_t more) {
    for (unsigned s = 0; s < seconds; s++) {
        cluster_run(&c, 1);
        cluster_check(&c);
        for (size_t i = 0; i < ARRAY_SIZE(APPS); i++) {
            must(endpoints(APPS[i].process) == APPS[i].instances);
            must(held_in_all(APPS[i].process_guid) <= APPS[i].instances + more);
        }
    }
}

/* One cell as an upgrade does it: emptied, away, back. */
static void upgrade(struct sim_cell *s) {
    s->evacuating = true;
    for (int i = 0; s->n > 0; i++) {
        must(i < 30);
        watch(1, 10);
    }
    s->cut = true;
    s->version = 0;
    watch(5, 0);
    s->cut = s->evacuating = s->session = false;
    watch(4, 0);
}

static void check_all_spread(void) {
    for (size_t i = 0; i < ARRAY_SIZE(APPS); i++)
        ck_assert_msg(is_spread(APPS[i].process_guid), "%s", APPS[i].process);
}

/* Two instances on the one cell, the other one just came back. */
static struct sim_cell *push_together(void) {
    cluster_desire(&c, "p", "v1", 2, 10);
    cluster_run(&c, 5);
    struct sim_cell *away = &c.cells[0];
    away->evacuating = true;
    cluster_run(&c, 10);
    must(away->n == 0);
    away->evacuating = false;
    cluster_run(&c, 1);
    return away;
}

/* Until the first move is begun; its replacement is known to no cell yet. */
static struct slot *run_to_move(void) {
    for (unsigned s = 0; s < QUIET_S + 40; s++) {
        for (size_t k = 0; k < c.cell_count; k++) {
            cell_report(&c, &c.cells[k], false);
            cell_watch(&c, &c.cells[k], 1000, false);
            cell_progress(&c, &c.cells[k]);
        }
        cluster_converge(&c);
        router_watch(&c, 1000);
        for (const struct process *p = c.lrp->processes; p; p = p->hh.next)
            for (uint32_t i = 0; i < p->slot_count; i++)
                if (p->slots[i].spreads)
                    return &p->slots[i];
        c.now += 1000;
    }
    ck_abort_msg("nothing moves");
    return NULL;
}

static struct sim_cell *sim_of(const struct cell *cell) {
    for (size_t i = 0; i < c.cell_count; i++)
        if (str_eq(c.cells[i].id, cell->id))
            return &c.cells[i];
    return NULL;
}

/* --- it mends --- */

START_TEST(after_an_upgrade_of_all_cells_every_app_is_spread_again) {
    static const char *const layouts[] = {"ab", "aa", "abc", "aaa", "aab", "aabb", "abcd", "aabbc"};
    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        start(layouts[i], 10000);
        desire_apps();
        check_all_spread();
        for (size_t k = 0; k < c.cell_count; k++)
            upgrade(&c.cells[k]);
        watch(QUIET_S - 6, 0);
        ck_assert_uint_eq(counters().spread_moves, 0); /* not while cells still go and come */
        watch(15 * QUIET_S, 1);
        check_all_spread();
        uint64_t moves = counters().spread_moves;
        ck_assert_uint_ge(moves, 1);
        ck_assert_uint_eq(counters().spread_given_back, 0);
        watch(10 * QUIET_S, 0);
        ck_assert_uint_eq(counters().spread_moves, moves);
        ck_assert_int_eq(c.crashes, 0);
        finish();
    }
}
END_TEST

START_TEST(after_a_cell_was_lost_and_came_back_every_app_is_spread_again) {
    start("abb", 10000);
    desire_apps();
    c.cells[0].cut = true;
    cluster_run(&c, 25);
    c.cells[0].cut = false;
    watch(5, 10);
    ck_assert(!is_spread("two-v1"));
    watch(15 * QUIET_S, 1);
    check_all_spread();
    finish();
}
END_TEST

START_TEST(the_app_is_told_what_is_moved_and_why) {
    start("ab", 1000);
    push_together();
    struct slot *s = run_to_move();
    ck_assert_ptr_nonnull(
        strstr(c.events.p,
               "spreading:1:moved to spread the app's instances: zone zb had 2 more than za;"));
    struct lrp_actual a;
    view_instance(s->old, &a);
    ck_assert(a.old && a.spreading && !a.evacuating);
    view_instance(s->primary, &a);
    ck_assert(!a.old && a.spreading);
    view_slot(c.lrp->processes, 1, &a);
    ck_assert_int_eq(a.state, LRP_RUNNING);
    ck_assert_str_eq(a.reason, "");
    struct lrp_totals t;
    lrp_totals(c.lrp, &t);
    ck_assert_uint_eq(t.running, 2);
    ck_assert_uint_eq(t.claimed + t.unclaimed + t.evacuating + t.suspect, 0);
    cluster_run(&c, 5);
    ck_assert_uint_eq(counters().instances_evacuated, 1); /* of before */
    ck_assert_ptr_null(strstr(c.events.p, "not-"));
    finish();

    start("aa", 1000);
    push_together();
    run_to_move();
    ck_assert_ptr_nonnull(strstr(c.events.p, "cell cell-1 had 2 more than cell-0;"));
    finish();
}
END_TEST

/* Those of zone b return at once, empty, and every app is on the others. */
START_TEST(moves_are_few_at_a_time_and_one_to_a_cell) {
    static const struct {
        const char *zones;
        uint32_t most;
    } rows[] = {{"aaaaaaaaaabbbbbbbbbb", 2}, {"aaaaaaaaaaaaaaaaaaab", 1}, {"aaaabbbb", 1}};
    for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
        start(rows[row].zones, 100000);
        for (size_t i = 0; i < c.cell_count; i++)
            c.cells[i].cut = rows[row].zones[i] == 'b';
        cluster_run(&c, 20);
        for (int i = 0; i < 20; i++) {
            char name[8];
            snprintf(name, sizeof name, "p%d", i);
            cluster_desire(&c, name, "v1", 2, 10);
        }
        cluster_run(&c, 6);
        for (size_t i = 0; i < c.cell_count; i++)
            c.cells[i].cut = false;
        for (int i = 0; i < 300; i++) {
            cluster_run(&c, 1);
            cluster_check(&c);
        }
        ck_assert_uint_eq(counters().spread_moves, 20);
        ck_assert_uint_eq(most_moves, rows[row].most);
        finish();
    }
}
END_TEST

START_TEST(it_is_seen_when_a_change_or_a_late_report_makes_it_of_use) {
    start("ab", 125);
    c.cells[0].memory_mb = 100;
    c.cells[0].session = false;
    cluster_desire(&c, "p", "v1", 2, 60);
    cluster_run(&c, QUIET_S + 40); /* looked at, and found to be well spread */
    ck_assert(is_spread("p-v1"));
    /* its room is not free yet when it is placed anew */
    ck_assert_int_eq(lrp_restart_instance(c.lrp, "p", c.cells[0].containers[0].index, c.now), 0);
    cluster_run(&c, 5);
    ck_assert(!is_spread("p-v1"));
    cluster_run(&c, QUIET_S + 40);
    ck_assert(is_spread("p-v1"));
    finish();

    start("ab", 1000);
    push_together();
    cell_hello(&c, &c.cells[0]);
    c.cells[0].cut = true; /* it greets, and then is only heard of */
    for (int i = 0; i < 2 * QUIET_S; i++) {
        lrp_cell_heard(c.lrp, c.cells[0].id, c.now);
        cluster_run(&c, 1);
    }
    ck_assert_uint_eq(counters().spread_moves, 0);
    c.cells[0].session = true;
    c.cells[0].cut = false;
    cluster_run(&c, QUIET_S + 40);
    ck_assert(is_spread("p-v1"));
    finish();
}
END_TEST

/* --- it gives back --- */

static void crash_it(struct slot *s) {
    struct container *k = container_find(sim_of(s->primary->cell), s->primary->guid);
    k->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
}
static void fault_it(struct slot *s) {
    crash_it(s);
    container_find(sim_of(s->primary->cell), s->primary->guid)->fault = true;
}
static void forget_it(struct slot *s) { /* its cell was rebooted */
    struct sim_cell *cell = sim_of(s->primary->cell);
    cell->n = 0;
    cell->session = false;
}
static void lose_its_cell(struct slot *s) {
    sim_of(s->primary->cell)->cut = true;
}
static void empty_its_cell(struct slot *s) {
    sim_of(s->primary->cell)->evacuating = true;
}

START_TEST(a_replacement_that_does_not_come_to_run_changes_nothing) {
    static const struct {
        void (*hurt)(struct slot *s);
        const char *said;
    } rows[] = {{crash_it, "not-spread:1:Exited with status 1;"},
                {fault_it, "not-spread:1:Exited with status 1;"},
                {forget_it, NULL},
                {lose_its_cell, NULL},
                {empty_its_cell, NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start("ab", 1000);
        struct sim_cell *to = push_together();
        struct slot *s = run_to_move();
        char guid[GUID_SIZE];
        snprintf(guid, sizeof guid, "%s", s->old->guid);
        cell_watch(&c, to, 100, false);
        cell_report(&c, to, false);
        ck_assert_uint_eq(to->n, 1);
        rows[i].hurt(s);
        for (int k = 0; k < 30; k++) {
            if (!to->cut)
                cell_report(&c, to, false);
            cell_report(&c, &c.cells[1], false);
            cluster_converge(&c);
            cluster_check(&c);
            router_watch(&c, 100);
            ck_assert_uint_eq(endpoints("p"), 2);
            c.now += 1000;
        }
        s = &c.lrp->processes->slots[1];
        ck_assert(!s->spreads && !s->old);
        ck_assert_str_eq(s->primary->guid, guid);
        ck_assert_ptr_null(s->reason);
        ck_assert(!s->place_failed);
        ck_assert_uint_eq(s->crash_count + s->fault_count, 0);
        ck_assert_int_eq(c.crashes, 0);
        ck_assert_uint_eq(counters().spread_given_back, 1);
        ck_assert_ptr_null(strstr(c.events.p, "place-failed"));
        if (rows[i].said)
            ck_assert_ptr_nonnull(strstr(c.events.p, rows[i].said));
        to->cut = to->evacuating = to->session = false;
        cluster_run(&c, AGAIN_S - 40);
        ck_assert_uint_eq(counters().spread_moves, 1); /* left alone for a good while */
        cluster_run(&c, 120);
        ck_assert_uint_eq(counters().spread_moves, 2);
        ck_assert(is_spread("p-v1"));
        finish();
    }
}
END_TEST

/* The replacement becomes what takes its place, for good. */
START_TEST(one_whose_cell_goes_while_it_moves_is_replaced_as_ever) {
    for (int way = 0; way < 3; way++) {
        start("ab", 1000);
        push_together();
        struct slot *s = run_to_move();
        char guid[GUID_SIZE];
        snprintf(guid, sizeof guid, "%s", s->primary->guid);
        if (way == 0)
            sim_of(s->old->cell)->cut = true;
        if (way == 1)
            sim_of(s->old->cell)->evacuating = true;
        if (way == 2) { /* rebooted, quicker than it takes to be missed */
            sim_of(s->old->cell)->n = 0;
            sim_of(s->old->cell)->session = false;
        }
        for (int k = 0; k < 18; k++) { /* the other one makes no progress */
            cell_report(&c, &c.cells[0], false);
            if (!c.cells[1].cut)
                cell_report(&c, &c.cells[1], false);
            cluster_converge(&c);
            cluster_check(&c);
            c.now += 1000;
        }
        ck_assert(!s->spreads);
        ck_assert_str_eq(s->primary->guid, guid);
        ck_assert(way == 2 ? !s->old : s->old != NULL);
        if (way == 0)
            ck_assert_uint_eq(counters().instances_lost, 2);
        cluster_run(&c, 10);
        ck_assert_uint_eq(endpoints("p"), 2);
        ck_assert_uint_eq(counters().spread_given_back, 0);
        finish();
    }
}
END_TEST

START_TEST(a_crash_of_one_that_moves_is_a_crash_as_any_other) {
    start("ab", 1000);
    push_together();
    struct slot *s = run_to_move();
    container_of(&c, "p-v1", 1, NULL)->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    cell_report(&c, &c.cells[1], false);
    cluster_check(&c);
    ck_assert_int_eq(c.crashes, 1);
    ck_assert_uint_eq(s->crash_count, 1);
    cluster_run(&c, 5);
    ck_assert_uint_eq(endpoints("p"), 2);
    ck_assert(is_spread("p-v1")); /* by its restart */
    finish();
}
END_TEST

START_TEST(who_is_wanted_no_more_or_anew_just_goes) {
    for (int way = 0; way < 4; way++) {
        start("ab", 1000);
        push_together();
        struct slot *s = run_to_move();
        ck_assert_uint_eq(s->primary->index, 1);
        if (way == 0)
            lrp_undesire(c.lrp, "p", c.now);
        else if (way == 1)
            cluster_desire(&c, "p", "v1", 1, 10);
        else if (way == 2)
            cluster_desire(&c, "p", "v2", 2, 10);
        else
            ck_assert_int_eq(lrp_restart_instance(c.lrp, "p", 1, c.now), 0);
        cluster_converge(&c);
        ck_assert_uint_eq(c.lrp->moves, 0);
        cluster_run(&c, 10);
        cluster_check(&c);
        ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, way == 0 ? 0 : way == 1 ? 1 : 2);
        ck_assert_uint_eq(counters().spread_given_back, 0);
        finish();
    }
}
END_TEST

START_TEST(a_restarted_brain_finds_each_index_once_and_begins_again) {
    start("ab", 1000);
    struct sim_cell *to = push_together();
    run_to_move();
    cell_watch(&c, to, 100, false);
    ck_assert_uint_eq(to->n, 1);
    lrp_free(c.lrp);
    start_brain();
    for (size_t i = 0; i < c.cell_count; i++) {
        c.cells[i].session = false;
        ck_assert_int_eq(lrp_cell_expected(c.lrp, c.cells[i].id), 0);
    }
    cluster_desire(&c, "p", "v1", 2, 10);
    lrp_desired_complete(c.lrp, c.now);
    cluster_run(&c, 10);
    ck_assert_uint_eq(endpoints("p"), 2);
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, 2);
    cluster_run(&c, 2 * QUIET_S);
    ck_assert(is_spread("p-v1"));
    ck_assert_int_eq(c.crashes, 0);
    finish();
}
END_TEST

/* --- it keeps still --- */

static void never(void) {
    lrp_free(c.lrp);
    c.config.spread_quiet_ms = 0;
    start_brain();
    cluster_desire(&c, "p", "v1", 2, 10);
    lrp_desired_complete(c.lrp, c.now);
    for (size_t i = 0; i < c.cell_count; i++)
        c.cells[i].session = false;
}
static void roll(void) {
    c.lrp->processes->rolling = true;
}
static void evacuate(void) {
    c.cells[2].evacuating = true;
}
static void want_more_than_there_is_room(void) {
    cluster_desire(&c, "p", "v1", 3, 10);
    for (size_t i = 0; i < c.cell_count; i++) {
        c.cells[i].max_containers = i == 0 ? 0 : (uint32_t)c.cells[i].n;
        c.cells[i].session = false;
    }
}
static void full(void) {
    c.cells[0].max_containers = c.cells[2].max_containers = 0;
    c.cells[0].session = c.cells[2].session = false;
}

START_TEST(nothing_moves_while_something_is_not_quiet_or_there_is_no_room) {
    static void (*const ways[])(void) = {never, roll, evacuate, want_more_than_there_is_room, full};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        start("abb", 1000);
        c.cells[2].evacuating = true; /* the two are on cell 1 */
        cluster_run(&c, 2);
        push_together();
        c.cells[2].evacuating = false;
        ways[i]();
        cluster_run(&c, 5 * QUIET_S);
        ck_assert_msg(counters().spread_moves == 0, "way %zu", i);
        ck_assert_uint_eq(endpoints("p"), 2);
        finish();
    }
}
END_TEST

START_TEST(cells_that_come_and_go_and_instances_that_change_begin_the_time_anew) {
    for (int way = 0; way < 4; way++) {
        start("abb", 1000);
        c.cells[2].evacuating = true;
        cluster_run(&c, 2);
        push_together();
        c.cells[2].evacuating = false;
        if (way == 2) /* the third one goes to cell 0, whatever happens to it */
            cluster_desire(&c, "p", "v1", 3, 10);
        for (int round = 0; round < 6; round++) {
            cluster_run(&c, QUIET_S - 25);
            if (way == 0)
                c.cells[2].cut = !c.cells[2].cut; /* 15 s until that is seen */
            if (way == 1)
                c.cells[2].session = false;
            if (way == 2)
                ck_assert_int_eq(lrp_restart_instance(c.lrp, "p", 2, c.now), 0);
            if (way == 3)
                c.cells[2].evacuating = !c.cells[2].evacuating;
        }
        ck_assert_uint_eq(counters().spread_moves, 0);
        c.cells[2].cut = c.cells[2].evacuating = false;
        cluster_run(&c, QUIET_S + 35);
        ck_assert_msg(counters().spread_moves == 1, "way %d", way);
        finish();
    }
}
END_TEST

/* One is gone for good, one was emptied and went: life goes on without them. */
START_TEST(cells_that_are_gone_do_not_stop_it) {
    for (int way = 0; way < 2; way++) {
        start("abb", 1000);
        c.cells[2].evacuating = way == 1;
        cluster_run(&c, 3);
        c.cells[2].cut = true;
        cluster_run(&c, 20);
        push_together();
        cluster_run(&c, QUIET_S + 40);
        ck_assert_uint_eq(counters().spread_moves, 1);
        ck_assert(held(&c.cells[0], "p-v1") == 1);
        finish();
    }
}
END_TEST

START_TEST(mere_load_moves_nothing) {
    start("ab", 1000);
    c.cells[0].evacuating = true;
    cluster_run(&c, 1);
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        cluster_desire(&c, name, "v1", 1, 10);
    }
    cluster_run(&c, 5);
    c.cells[0].evacuating = false;
    cluster_desire(&c, "q", "v1", 3, 10); /* two and one, either way */
    cluster_run(&c, 10 * QUIET_S);
    ck_assert_uint_eq(c.cells[1].n, 21);
    ck_assert_uint_eq(counters().spread_moves, 0);
    finish();
}
END_TEST

/* --- it comes to an end --- */

static uint64_t free_mb(const struct cell *cell) {
    return cell->memory_mb > cell->memory_used ? cell->memory_mb - cell->memory_used : 0;
}

static bool runs_whole(const struct process *p) {
    for (uint32_t i = 0; i < p->slot_count; i++)
        if (!p->slots[i].primary || p->slots[i].primary->state != LRP_RUNNING)
            return false; /* somebody waits for room */
    return true;
}

/* Is there a move that would be of use, by the rule's own words? */
static bool could_be_better(const struct process *p) {
    for (uint32_t i = 0; i < p->slot_count; i++)
        for (size_t k = 0; k < c.lrp->cell_count; k++) {
            const struct cell *from = p->slots[i].primary->cell, *to = c.lrp->cells[k];
            int zone_from = 0, zone_to = 0, cell_from = 0, cell_to = 0;
            for (uint32_t m = 0; m < p->slot_count; m++) {
                const struct cell *at = p->slots[m].primary->cell;
                zone_from += at->zone == from->zone;
                zone_to += at->zone == to->zone;
                cell_from += at == from;
                cell_to += at == to;
            }
            if (!place_takes(to) || free_mb(to) < p->want->memory_mb ||
                to->containers_used >= to->containers)
                continue;
            bool zones_alike = from->zone == to->zone || zone_from - zone_to == 1;
            if ((from->zone != to->zone && zone_from - zone_to >= 2) ||
                (zones_alike && cell_from - cell_to >= 2))
                return true;
        }
    return false;
}

static void hurt(struct rng *rng) {
    struct sim_cell *s = &c.cells[rng_below(rng, c.cell_count)];
    if (rng_below(rng, 2))
        s->cut = !s->cut;
    else
        s->evacuating = !s->evacuating;
    s->session &= !s->cut;
}

START_TEST(after_any_sequence_it_reaches_what_cannot_be_bettered_and_rests) {
    uint64_t all_moves = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static const char letters[] = "abcd";
        struct rng rng = {seed};
        char zones[8] = "";
        size_t n = 2 + rng_below(&rng, 5), spread_over = 1 + rng_below(&rng, 4);
        for (size_t i = 0; i < n; i++)
            zones[i] = letters[rng_below(&rng, spread_over)];
        start(zones, 1000);
        for (size_t i = 0; i < n; i++) { /* some are small */
            c.cells[i].memory_mb = 100 + 100 * rng_below(&rng, 10);
            c.cells[i].session = false;
        }
        cluster_run(&c, 1);
        for (int i = 0; i < 6; i++) {
            char name[8];
            snprintf(name, sizeof name, "p%d", i);
            cluster_desire(&c, name, "v1", 1 + (uint32_t)rng_below(&rng, 8),
                           10 + 10 * (uint32_t)rng_below(&rng, 4));
        }
        for (int i = 0; i < 12; i++) {
            hurt(&rng);
            cluster_run(&c, 1 + (unsigned)rng_below(&rng, 100));
            cluster_check(&c);
        }
        for (size_t i = 0; i < c.cell_count; i++)
            c.cells[i].cut = c.cells[i].evacuating = false;
        cluster_run(&c, 30 * QUIET_S);
        uint64_t moves = counters().spread_moves;
        for (const struct process *p = c.lrp->processes; p; p = p->hh.next)
            ck_assert_msg(!runs_whole(p) || !could_be_better(p), "seed %llu: %s",
                          (unsigned long long)seed, p->guid);
        cluster_run(&c, 10 * QUIET_S);
        cluster_check(&c);
        ck_assert_uint_eq(counters().spread_moves, moves);
        ck_assert_int_eq(c.crashes, 0);
        all_moves += moves;
        finish();
    }
    ck_assert_uint_gt(all_moves, 100); /* or it was about nothing */
}
END_TEST

/* What placement does is never undone. */
START_TEST(what_was_placed_with_room_everywhere_stays) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        static const char letters[] = "abcd";
        struct rng rng = {seed};
        char zones[8] = "";
        size_t n = 2 + rng_below(&rng, 5), spread_over = 1 + rng_below(&rng, 4);
        for (size_t i = 0; i < n; i++)
            zones[i] = letters[rng_below(&rng, spread_over)];
        start(zones, 100000);
        c.config.rng_seed = seed;
        for (int i = 0; i < 8; i++) {
            char name[8];
            snprintf(name, sizeof name, "p%d", i);
            cluster_desire(&c, name, "v1", 1 + (uint32_t)rng_below(&rng, 12), 10);
            cluster_run(&c, (unsigned)rng_below(&rng, 4));
        }
        cluster_run(&c, 4 * QUIET_S);
        ck_assert_msg(counters().spread_moves == 0, "seed %llu", (unsigned long long)seed);
        finish();
    }
}
END_TEST

RUN_TESTS("lrp/spread", after_an_upgrade_of_all_cells_every_app_is_spread_again,
          after_a_cell_was_lost_and_came_back_every_app_is_spread_again,
          the_app_is_told_what_is_moved_and_why, moves_are_few_at_a_time_and_one_to_a_cell,
          it_is_seen_when_a_change_or_a_late_report_makes_it_of_use,
          a_replacement_that_does_not_come_to_run_changes_nothing,
          one_whose_cell_goes_while_it_moves_is_replaced_as_ever,
          a_crash_of_one_that_moves_is_a_crash_as_any_other,
          who_is_wanted_no_more_or_anew_just_goes,
          a_restarted_brain_finds_each_index_once_and_begins_again,
          nothing_moves_while_something_is_not_quiet_or_there_is_no_room,
          cells_that_come_and_go_and_instances_that_change_begin_the_time_anew,
          cells_that_are_gone_do_not_stop_it, mere_load_moves_nothing,
          after_any_sequence_it_reaches_what_cannot_be_bettered_and_rests,
          what_was_placed_with_room_everywhere_stays)
