/* Cells that are to be emptied: whoever serves does so until another one serves in its place. */
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

static size_t endpoints(const char *process) {
    char host[64];
    snprintf(host, sizeof host, "%s.example", process);
    const struct sim_route *r = route_find(&c, host);
    return r ? r->endpoints : 0;
}

static struct sim_cell *cell_of(const char *process_guid, uint32_t index) {
    struct sim_cell *s = NULL;
    ck_assert_ptr_nonnull(container_of(&c, process_guid, index, &s));
    return s;
}

static size_t said(const char *text) {
    size_t n = 0;
    for (const char *at = c.events.p; at && (at = strstr(at, text)); at++)
        n++;
    return n;
}

static void copy_actual(void *arg, const struct lrp_actual *a) {
    *(struct lrp_actual *)arg = *a;
}

/* The last instance of p. */
static struct lrp_actual look(const char *process) {
    struct lrp_actual a = {0};
    lrp_instances(c.lrp, process, copy_actual, &a);
    return a;
}

struct state {
    const char *id, *state;
};

static void find_state(void *arg, const struct lrp_cell_view *v) {
    struct state *s = arg;
    if (str_eq(v->id, s->id))
        s->state = lrp_cell_state(v);
}

static const char *state_of(const char *id) {
    struct state s = {id, ""};
    lrp_cells(c.lrp, find_state, &s);
    return s.state;
}

START_TEST(each_instance_serves_until_its_replacement_does) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 4, 100);
    cluster_run(&c, 5);
    c.cells[0].evacuating = true;
    for (int i = 0; i < 12; i++) {
        cluster_run(&c, 1);
        cluster_check(&c);
        ck_assert_uint_eq(endpoints("p"), 4);
    }
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_uint_eq(c.cells[1].n, 4);
    ck_assert_int_eq(c.crashes, 0);
    ck_assert_uint_eq(said("evacuating:"), 2);
    ck_assert_str_eq(state_of("cell-0"), "evacuating");
    struct lrp_counters n;
    lrp_counters(c.lrp, &n);
    ck_assert_uint_eq(n.evacuations, 1);
    ck_assert_uint_eq(n.instances_evacuated, 2);
    c.cells[0].cut = true; /* it went away, as it should */
    cluster_run(&c, 20);
    ck_assert_str_eq(state_of("cell-0"), "drained");
    lrp_counters(c.lrp, &n);
    ck_assert_uint_eq(n.cells_lost, 0);
    c.cells[0].cut = c.cells[0].evacuating = false; /* and is as new when it comes back */
    cluster_run(&c, 5);
    ck_assert_str_eq(state_of("cell-0"), "present");
    cluster_desire(&c, "q", "v1", 1, 100);
    cluster_run(&c, 5);
    ck_assert_ptr_eq(cell_of("q-v1", 0), &c.cells[0]);
    finish();
}
END_TEST

START_TEST(an_evacuating_cell_gets_nothing_new) {
    start(2, 1000);
    c.cells[1].evacuating = true;
    cluster_run(&c, 1);
    cluster_desire(&c, "p", "v1", 6, 100);
    cluster_run(&c, 5);
    ck_assert_uint_eq(c.cells[0].n, 6);
    ck_assert_int_eq(c.cells[1].started, 0);
    c.cells[0].evacuating = true;
    cluster_run(&c, 1);
    cluster_desire(&c, "q", "v1", 1, 100);
    cluster_run(&c, 1);
    ck_assert_str_eq(look("q").reason,
                     "found no compatible cell: no cell takes instances (2 being evacuated)");
    c.cells[1].evacuating = false; /* at once, not when the next try is due */
    cluster_run(&c, 4);
    ck_assert_int_eq(look("q").state, LRP_RUNNING);
    ck_assert_uint_eq(endpoints("p"), 6);
    finish();
}
END_TEST

START_TEST(one_that_starts_is_started_elsewhere_at_once) {
    start(2, 1000);
    c.cells[1].evacuating = true;
    cluster_run(&c, 1);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_converge(&c);
    cell_watch(&c, &c.cells[0], 100, false); /* it has them; they make no progress */
    ck_assert_uint_eq(c.cells[0].n, 2);
    c.cells[0].evacuating = true;
    c.cells[1].evacuating = false;
    cell_report(&c, &c.cells[0], false);
    cell_report(&c, &c.cells[1], false);
    cluster_converge(&c);
    cell_watch(&c, &c.cells[0], 100, false);
    cell_watch(&c, &c.cells[1], 100, false);
    for (size_t i = 0; i < 2; i++)
        ck_assert(!c.cells[0].containers[i].assigned);
    ck_assert_uint_eq(c.cells[1].n, 2);
    cluster_run(&c, 5);
    ck_assert_uint_eq(endpoints("p"), 2);
    ck_assert_uint_eq(c.cells[0].n, 0);
    finish();
}
END_TEST

START_TEST(one_that_crashes_restarts_elsewhere) {
    start(2, 100);
    cluster_desire(&c, "full", "v1", 1, 100); /* no room for a replacement */
    cluster_run(&c, 4);
    struct sim_cell *full = cell_of("full-v1", 0), *other = &c.cells[full == c.cells];
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 4);
    other->evacuating = true;
    cluster_run(&c, 4);
    ck_assert_ptr_eq(cell_of("p-v1", 0), other);
    container_of(&c, "p-v1", 0, NULL)->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    cluster_run(&c, 2);
    ck_assert_int_eq(c.crashes, 1);
    ck_assert_int_eq(look("p").state, LRP_UNCLAIMED);
    lrp_undesire(c.lrp, "full", c.now);
    cluster_run(&c, 10);
    ck_assert_ptr_eq(cell_of("p-v1", 0), full);
    finish();
}
END_TEST

START_TEST(without_room_elsewhere_it_stays_and_says_why_until_there_is_room) {
    start(3, 200);
    cluster_desire(&c, "p", "v1", 3, 150);
    cluster_run(&c, 5);
    c.cells[0].evacuating = true;
    cluster_run(&c, 40); /* reports in between, and tries again */
    ck_assert_uint_eq(endpoints("p"), 3);
    ck_assert_uint_eq(c.cells[0].n, 1);
    ck_assert_uint_eq(said("not-evacuated:"), 1); /* once is enough */
    struct lrp_totals t;
    lrp_totals(c.lrp, &t);
    ck_assert_uint_eq(t.evacuating, 1);
    for (uint32_t i = 0; i < 3; i++) {
        const struct slot *s = &c.lrp->processes->slots[i];
        struct lrp_actual a;
        view_slot(c.lrp->processes, i, &a);
        ck_assert_int_eq(a.state, LRP_RUNNING);
        ck_assert(a.evacuating == s->primary->cell->evacuating);
        ck_assert_str_eq(a.reason, a.evacuating
                                       ? "not evacuated: insufficient resources: memory (150 MB of "
                                         "memory needed, at most 50 MB free on any one of 2 cells)"
                                       : "");
    }
    c.cells[1].memory_mb = 400;
    c.cells[1].session = false;
    cluster_run(&c, 10);
    ck_assert_uint_eq(endpoints("p"), 3);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_uint_eq(c.cells[1].n, 2);
    finish();
}
END_TEST

START_TEST(what_could_not_leave_is_as_before_when_the_evacuation_is_called_off) {
    start(2, 200);
    cluster_desire(&c, "p", "v1", 2, 150);
    cluster_run(&c, 5);
    c.cells[0].evacuating = true;
    cluster_run(&c, 5);
    c.cells[0].evacuating = false;
    cluster_run(&c, 5);
    for (uint32_t i = 0; i < 2; i++) {
        struct lrp_actual a;
        view_slot(c.lrp->processes, i, &a);
        ck_assert_str_eq(a.reason, "");
    }
    ck_assert_uint_eq(endpoints("p"), 2);
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, 2);
    finish();
}
END_TEST

START_TEST(a_replacement_that_crashes_takes_nothing_from_who_serves) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 5);
    struct sim_cell *from = cell_of("p-v1", 0), *to = &c.cells[from == c.cells];
    from->evacuating = true;
    for (int i = 0; i < 60; i++) {
        cluster_run(&c, 1);
        for (size_t k = 0; k < to->n; k++)
            if (!container_ended(&to->containers[k]))
                to->containers[k].state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
        ck_assert_uint_eq(endpoints("p"), 1);
    }
    ck_assert_int_ge(c.crashes, 3);
    ck_assert_ptr_eq(cell_of("p-v1", 0), from);
    cluster_run(&c, 70); /* it recovers, within the back-off */
    ck_assert_ptr_eq(cell_of("p-v1", 0), to);
    ck_assert_uint_eq(from->n, 0);
    finish();
}
END_TEST

START_TEST(a_replacements_lost_cell_begins_it_again) {
    start(3, 1000);
    cluster_desire(&c, "p", "v1", 1, 100);
    cluster_run(&c, 5);
    struct sim_cell *from = cell_of("p-v1", 0), *to = NULL;
    from->evacuating = true;
    cell_report(&c, from, false);
    cluster_converge(&c);
    const struct slot *s = &c.lrp->processes->slots[0];
    ck_assert_ptr_nonnull(s->old);
    for (size_t i = 0; i < c.cell_count; i++)
        if (str_eq(c.cells[i].id, s->primary->cell->id))
            to = &c.cells[i];
    to->cut = true;
    for (int i = 0; i < 30; i++) {
        cluster_run(&c, 1);
        ck_assert_uint_eq(endpoints("p"), 1);
        cluster_check(&c);
    }
    ck_assert_ptr_ne(cell_of("p-v1", 0), from);
    ck_assert_ptr_ne(cell_of("p-v1", 0), to);
    ck_assert_uint_eq(from->n, 0);
    finish();
}
END_TEST

START_TEST(an_evacuating_cell_that_falls_silent_and_returns_goes_on) {
    start(2, 1000);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    c.cells[0].evacuating = true;
    cell_report(&c, &c.cells[0], false);
    cluster_converge(&c);
    c.cells[0].cut = true;
    for (int i = 0; i < 17; i++) { /* the other one makes no progress */
        cell_report(&c, &c.cells[1], false);
        cluster_converge(&c);
        cluster_check(&c);
        c.now += 1000;
    }
    c.cells[0].cut = c.cells[0].session = false;
    for (int i = 0; i < 12; i++) {
        cluster_run(&c, 1);
        cluster_check(&c);
        ck_assert_uint_eq(endpoints("p"), 2);
    }
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_uint_eq(c.cells[1].n, 2);
    finish();
}
END_TEST

START_TEST(replacements_go_where_the_zones_stay_even) {
    start(4, 1000);
    c.cells[0].zone = c.cells[1].zone = "z1";
    c.cells[2].zone = c.cells[3].zone = "z2";
    for (size_t i = 0; i < 4; i++)
        c.cells[i].session = false;
    cluster_run(&c, 2);
    cluster_desire(&c, "ballast", "v1", 2, 300);
    cluster_run(&c, 4);
    cluster_desire(&c, "p", "v1", 2, 100);
    cluster_run(&c, 5);
    for (uint32_t i = 0; i < 2; i++) {
        struct sim_cell *from = cell_of("p-v1", i);
        from->evacuating = true;
        cluster_run(&c, 12);
        ck_assert_str_eq(cell_of("p-v1", i)->zone, from->zone);
        from->evacuating = false;
        cluster_run(&c, 2);
    }
    finish();
}
END_TEST

START_TEST(a_restarted_brain_goes_on_with_an_evacuation) {
    for (int order = 0; order < 2; order++) {
        start(2, 1000);
        cluster_desire(&c, "p", "v1", 2, 100);
        cluster_run(&c, 5);
        c.cells[0].evacuating = true;
        for (int i = 0; i < 2; i++) { /* replacements are known to their cell, none runs */
            cell_report(&c, &c.cells[i], false);
            cluster_converge(&c);
            cell_watch(&c, &c.cells[i], 100, false);
        }
        int started = c.cells[1].started;
        ck_assert_uint_eq(c.cells[1].n, 2);
        cluster_restart_brain(&c);
        cluster_desire(&c, "p", "v1", 2, 100);
        lrp_desired_complete(c.lrp, c.now);
        for (int i = 0; i < 2; i++)
            cell_report(&c, &c.cells[(i + order) % 2], false);
        cluster_converge(&c);
        for (int i = 0; i < 12; i++) {
            cluster_run(&c, 1);
            cluster_check(&c);
            ck_assert_uint_eq(endpoints("p"), 2);
        }
        ck_assert_int_eq(c.cells[1].started, started); /* not begun twice */
        ck_assert_uint_eq(c.cells[0].n, 0);
        ck_assert_uint_eq(c.cells[1].n, 2);
        finish();
    }
}
END_TEST

/* --- random sequences --- */

#define PROCESSES 4

static void talk(struct rng *rng, struct sim_cell *s) {
    switch (rng_below(rng, 3)) {
    case 0:
        cell_report(&c, s, rng_below(rng, 5) == 0);
        break;
    case 1:
        cell_watch(&c, s, 1 + (int)rng_below(rng, 6), rng_below(rng, 5) == 0);
        break;
    default:
        cell_progress(&c, s);
    }
}

/* Each index served once, by a container that runs and was not asked to stop. */
static void check_served(const uint32_t *instances) {
    for (size_t i = 0; i < PROCESSES; i++) {
        char host[32];
        snprintf(host, sizeof host, "p%zu.example", i);
        const struct sim_route *r = route_find(&c, host);
        must(r && r->endpoints == instances[i]);
        for (size_t k = 0; k < r->endpoints; k++) {
            const struct container *at = NULL;
            for (size_t cell = 0; cell < c.cell_count && !at; cell++)
                at = container_find(&c.cells[cell], r->guids[k]);
            must(at && at->state == BERTH__INSTANCE_STATE__INSTANCE_RUNNING);
        }
    }
}

/* No more than desired, than replacements on their way, and than who makes way just now. */
static void check_surplus(void) {
    size_t allowed = 0, held = 0;
    for (const struct process *p = c.lrp->processes; p; p = p->hh.next)
        for (uint32_t i = 0; i < p->slot_count; i++)
            allowed += 1 + (p->slots[i].old != NULL);
    for (size_t i = 0; i < c.lrp->cell_count; i++)
        for (const struct instance *in = c.lrp->cells[i]->changes; in; in = in->next) {
            held += in->counted;
            allowed += in->role == ROLE_NONE && in->counted;
            must(in->role != ROLE_PRIMARY || in->state != LRP_CLAIMED || !in->cell->evacuating ||
                 instance_slot(in)->place_failed); /* the others are just connecting again */
        }
    must(held <= allowed);
}

START_TEST(nothing_is_served_less_while_cells_are_emptied_in_any_order) {
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng rng = {seed};
        uint32_t instances[PROCESSES];
        start(2 + seed % 5, 100000);
        for (size_t i = 0; i < PROCESSES; i++) {
            char name[8];
            snprintf(name, sizeof name, "p%zu", i);
            instances[i] = 1 + (uint32_t)rng_below(&rng, 6);
            cluster_desire(&c, name, "v1", instances[i], 10);
        }
        cluster_run(&c, 5);
        check_served(instances);
        for (int step = 0; step < 600; step++) {
            if (rng_below(&rng, 25) == 0) { /* one at least is left to take them */
                struct sim_cell *s = &c.cells[1 + rng_below(&rng, c.cell_count - 1)];
                s->evacuating = !s->evacuating;
            }
            talk(&rng, &c.cells[rng_below(&rng, c.cell_count)]);
            for (size_t i = 0; i < c.cell_count; i++)
                lrp_cell_heard(c.lrp, c.cells[i].id, c.now);
            c.now += rng_below(&rng, 300);
            cluster_converge(&c);
            router_watch(&c, 100);
            cluster_check(&c);
            check_served(instances);
            check_surplus();
        }
        cluster_run(&c, 12);
        size_t wanted = 0, running = 0;
        for (size_t i = 0; i < PROCESSES; i++)
            wanted += instances[i];
        for (size_t i = 0; i < c.cell_count; i++) {
            running += c.cells[i].n;
            must(!c.cells[i].evacuating || c.cells[i].n == 0);
        }
        ck_assert_uint_eq(running, wanted);
        ck_assert_int_eq(c.crashes, 0);
        finish();
    }
}
END_TEST

RUN_TESTS("lrp/evacuation", each_instance_serves_until_its_replacement_does,
          an_evacuating_cell_gets_nothing_new, one_that_starts_is_started_elsewhere_at_once,
          one_that_crashes_restarts_elsewhere,
          without_room_elsewhere_it_stays_and_says_why_until_there_is_room,
          what_could_not_leave_is_as_before_when_the_evacuation_is_called_off,
          a_replacement_that_crashes_takes_nothing_from_who_serves,
          a_replacements_lost_cell_begins_it_again,
          an_evacuating_cell_that_falls_silent_and_returns_goes_on,
          replacements_go_where_the_zones_stay_even, a_restarted_brain_goes_on_with_an_evacuation,
          nothing_is_served_less_while_cells_are_emptied_in_any_order)
