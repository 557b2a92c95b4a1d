/* Tasks: each rule alone, and then random sequences in which cells and the controller die at any
 * moment: no task is ever begun twice, none is forgotten, and what ended well is not told as
 * anything else. */
#include "tests/unit/lrp/cluster.h"

static struct cluster c;

static void start(size_t cells, uint64_t memory_mb) {
    cluster_init(&c, cells, memory_mb);
    lrp_desired_complete(c.lrp, c.now);
}

static void stop(void) {
    cluster_check(&c);
    cluster_fini(&c);
}

static void restart(void) {
    cluster_restart_brain(&c);
    cluster_give_tasks(&c);
    lrp_desired_complete(c.lrp, c.now);
}

static struct container *running(const struct sim_task *t) {
    return container_of(&c, t->guid, 0, NULL);
}

static void finish(struct sim_task *t, bool well) {
    struct container *k = running(t);
    ck_assert_ptr_nonnull(k);
    k->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    k->succeeds = well;
}

static void ck_failed(const struct sim_task *t, const char *reason) {
    ck_assert_int_eq(t->state, LRP_TASK_FAILED);
    ck_assert_str_eq(t->reason, reason);
    ck_assert_ptr_null(task_find(c.lrp, t->guid));
}

START_TEST(a_task_runs_once_and_its_success_is_noted) {
    start(2, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    ck_assert_int_eq(t->state, LRP_TASK_PENDING);
    cluster_run(&c, 4);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    struct lrp_totals totals;
    lrp_totals(c.lrp, &totals);
    ck_assert_uint_eq(totals.tasks_running, 1);
    ck_assert_uint_eq(totals.desired + totals.running + totals.claimed, 0);
    finish(t, true);
    cluster_run(&c, 2);
    ck_assert_int_eq(t->state, LRP_TASK_SUCCEEDED);
    ck_assert_str_eq(t->reason, "");
    cluster_run(&c, 100);
    ck_assert_int_eq(t->begun, 1);
    ck_assert_uint_eq(c.cells[0].n + c.cells[1].n, 0);
    stop();
}
END_TEST

START_TEST(a_task_that_fails_is_not_run_again) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    finish(t, false);
    cluster_run(&c, 200);
    ck_failed(t, "Exited with status 1");
    ck_assert_int_eq(c.crashes, 0); /* nothing of the app crashed */
    stop();
}
END_TEST

START_TEST(nothing_is_told_to_a_cell_that_is_not_noted) {
    start(1, 1000);
    c.disk_full = true;
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 5);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_int_eq(t->begun, 0);
    c.disk_full = false;
    cluster_run(&c, 5);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    stop();
}
END_TEST

START_TEST(an_end_is_not_acknowledged_before_it_is_noted) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    c.disk_full = true;
    finish(t, true);
    cluster_run(&c, 5);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    ck_assert_uint_eq(c.cells[0].n, 1); /* the cell still has it to tell */
    c.disk_full = false;
    restart();
    cluster_run(&c, 5);
    ck_assert_int_eq(t->state, LRP_TASK_SUCCEEDED);
    ck_assert_uint_eq(c.cells[0].n, 0);
    stop();
}
END_TEST

START_TEST(a_task_without_room_waits_and_fails_after_the_third_try) {
    start(1, 100);
    struct sim_task *t = cluster_run_task(&c, 200);
    cluster_run(&c, 59);
    ck_assert_int_eq(t->state, LRP_TASK_PENDING);
    cluster_run(&c, 3);
    ck_failed(t, "insufficient resources: memory (200 MB of memory needed, at most 100 MB free on "
                 "any one of 1 cell)");
    stop();
}
END_TEST

START_TEST(a_task_takes_room_that_appears_without_waiting_for_its_next_try) {
    start(1, 100);
    struct sim_task *first = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    struct sim_task *second = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    ck_assert_int_eq(second->state, LRP_TASK_PENDING);
    finish(first, true);
    cluster_run(&c, 6);
    ck_assert_int_eq(second->state, LRP_TASK_RUNNING);
    stop();
}
END_TEST

START_TEST(a_start_that_failed_for_the_platform_is_tried_elsewhere) {
    start(2, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 1); /* placed, noted */
    char first[16];
    snprintf(first, sizeof first, "%s", t->cell_id);
    ck_assert_str_ne(first, "");
    struct sim_cell *s = &c.cells[first[5] - '0'];
    cell_watch(&c, s, 1000, false);
    s->containers[0].state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    s->containers[0].fault = true;
    cell_report(&c, s, false);
    ck_assert_str_eq(t->instance_guid, ""); /* noted: a controller that starts now places it */
    cluster_run(&c, 6);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    ck_assert_str_ne(t->cell_id, first);
    stop();
}
END_TEST

START_TEST(three_starts_that_failed_for_the_platform_are_enough) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    for (int i = 0; i < 20; i++) {
        for (size_t k = 0; k < c.cells[0].n; k++) {
            c.cells[0].containers[k].state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
            c.cells[0].containers[k].fault = true;
        }
        cell_report(&c, &c.cells[0], false);
        cluster_converge(&c);
        cell_watch(&c, &c.cells[0], 1000, false);
        c.now += 1000;
    }
    ck_failed(t, "Exited with status 1");
    ck_assert_int_eq(c.cells[0].started, 3);
    stop();
}
END_TEST

START_TEST(tries_are_counted_over_restarts_of_the_controller) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    struct sim_task *large = cluster_run_task(&c, 5000);
    for (int i = 0; i < 100; i++) {
        for (size_t k = 0; k < c.cells[0].n; k++) { /* its cell dies each time, before it began */
            c.cells[0].containers[k].state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
            c.cells[0].containers[k].fault = true;
        }
        cell_report(&c, &c.cells[0], false);
        cluster_converge(&c);
        cell_watch(&c, &c.cells[0], 1000, false);
        c.now += 1000;
        if (i % 40 == 10 || (i < 40 && c.cells[0].n == 0))
            restart();
    }
    ck_failed(t, "Exited with status 1");
    ck_assert_int_eq(c.cells[0].started, 3);
    ck_assert_uint_eq(t->tries, 3);
    ck_assert_uint_gt(large->tries, 0);
    stop();
}
END_TEST

START_TEST(a_task_on_a_cell_that_falls_silent_fails_and_is_stopped_when_that_returns) {
    start(2, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    struct sim_cell *s = &c.cells[t->cell_id[5] - '0'];
    s->cut = true;
    cluster_run(&c, 20);
    ck_failed(t, "cell disappeared before completion");
    ck_assert_ptr_nonnull(running(t));
    s->cut = false;
    cluster_run(&c, 4);
    ck_assert_uint_eq(s->n, 0);
    ck_assert_int_eq(t->state, LRP_TASK_FAILED);
    stop();
}
END_TEST

START_TEST(a_cell_that_forgot_a_running_task_fails_it) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    c.cells[0].n = 0;
    c.cells[0].version = 0;
    c.cells[0].session = false;
    cluster_run(&c, 4);
    ck_failed(t, "its cell does not have it any more, how it ended is not known");
    stop();
}
END_TEST

START_TEST(a_running_task_that_its_cell_forgot_while_the_controller_was_away_is_not_told_again) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    c.cells[0].n = 0; /* wiped */
    restart();
    cluster_run(&c, 4);
    ck_failed(t, "its cell does not have it any more, how it ended is not known");
    ck_assert_int_eq(c.cells[0].started, 1);
    stop();
}
END_TEST

START_TEST(a_controller_that_starts_goes_on_with_what_runs) {
    start(2, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    restart();
    cluster_run(&c, 20);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    ck_assert_ptr_nonnull(running(t));
    finish(t, true);
    restart(); /* it ended while the controller was away */
    cluster_run(&c, 20);
    ck_assert_int_eq(t->state, LRP_TASK_SUCCEEDED);
    stop();
}
END_TEST

START_TEST(a_placed_task_that_no_cell_was_told_of_is_told_after_a_restart) {
    start(1, 1000);
    cluster_run(&c, 2);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_converge(&c);
    char guid[GUID_SIZE];
    snprintf(guid, sizeof guid, "%s", t->instance_guid);
    ck_assert_str_ne(guid, "");
    restart();
    cluster_run(&c, 5);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    ck_assert_str_eq(t->instance_guid, guid); /* the cell knows it if it had it already */
    stop();
}
END_TEST

START_TEST(a_task_whose_cell_never_comes_back_fails_when_the_controller_has_settled) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    c.cells[0].cut = true;
    restart();
    cluster_run(&c, 14);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    cluster_run(&c, 3);
    ck_failed(t, "cell disappeared before completion");
    stop();
}
END_TEST

START_TEST(a_canceled_task_is_stopped_and_failed_for_that_reason) {
    start(1, 100);
    struct sim_task *t = cluster_run_task(&c, 100);
    struct sim_task *waits = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    lrp_task_cancel(c.lrp, waits->guid, "task was cancelled", c.now);
    lrp_task_cancel(c.lrp, t->guid, "task was cancelled", c.now);
    cluster_converge(&c);
    ck_failed(waits, "task was cancelled");
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING); /* not before it was stopped */
    cluster_run(&c, 4);
    ck_failed(t, "task was cancelled");
    ck_assert_int_eq(waits->begun, 0);
    ck_assert_uint_eq(c.cells[0].n, 0);
    stop();
}
END_TEST

START_TEST(a_canceled_task_that_ended_by_itself_before_is_told_as_it_ended) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    finish(t, true);
    t->canceled = true;
    lrp_task_cancel(c.lrp, t->guid, "task was cancelled", c.now);
    cluster_run(&c, 4);
    ck_assert_int_eq(t->state, LRP_TASK_SUCCEEDED);
    stop();
}
END_TEST

START_TEST(a_cancel_survives_a_restart_of_the_controller) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    t->canceled = true; /* on disk, and the brain was not told any more */
    restart();
    cluster_run(&c, 6);
    ck_failed(t, "task was cancelled");
    ck_assert_uint_eq(c.cells[0].n, 0);
    stop();
}
END_TEST

START_TEST(a_forgotten_task_is_stopped_and_not_noted_any_more) {
    start(1, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    struct sim_task *waits = cluster_run_task(&c, 5000);
    cluster_run(&c, 4);
    int notes = c.notes;
    lrp_tasks_forget(c.lrp, t->app_guid, c.now);
    lrp_tasks_forget(c.lrp, waits->app_guid, c.now);
    cluster_run(&c, 4);
    ck_assert_int_eq(c.notes, notes);
    ck_assert_uint_eq(c.cells[0].n, 0);
    ck_assert_ptr_null(c.lrp->tasks);
    stop();
}
END_TEST

START_TEST(a_cell_that_is_emptied_gets_no_task_and_ends_none) {
    start(2, 1000);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    char first[16];
    snprintf(first, sizeof first, "%s", t->cell_id);
    c.cells[first[5] - '0'].evacuating = true;
    cluster_run(&c, 2); /* it says so */
    struct sim_task *others[4];
    for (int i = 0; i < 4; i++)
        others[i] = cluster_run_task(&c, 100);
    cluster_run(&c, 40);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    ck_assert_str_eq(t->cell_id, first);
    for (int i = 0; i < 4; i++)
        ck_assert_str_ne(others[i]->cell_id, first);
    finish(t, true);
    cluster_run(&c, 4);
    ck_assert_int_eq(t->state, LRP_TASK_SUCCEEDED);
    stop();
}
END_TEST

START_TEST(tasks_and_apps_share_the_room_and_nothing_else) {
    start(1, 300);
    cluster_desire(&c, "p", "v1", 2, 100);
    struct sim_task *t = cluster_run_task(&c, 100);
    cluster_run(&c, 4);
    ck_assert_int_eq(t->state, LRP_TASK_RUNNING);
    ck_assert_uint_eq(route_find(&c, "p.example")->endpoints, 2);
    lrp_undesire(c.lrp, "p", c.now);
    cluster_run(&c, 4);
    ck_assert_ptr_nonnull(running(t)); /* a stopped app's task runs on */
    stop();
}
END_TEST

/* --- random sequences --- */

#define STEPS 1200

static bool is_task(const struct container *k) {
    return task_of(&c, k->process_guid) != NULL;
}

static void end_container(struct rng *rng, struct container *k) {
    struct sim_task *t = task_of(&c, k->process_guid);
    bool began = k->state != BERTH__INSTANCE_STATE__INSTANCE_CLAIMED;
    if (container_ended(k))
        return;
    k->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    k->fault = (!t || !began) && rng_below(rng, 2) == 0;
    if (!t)
        return;
    k->succeeds = began && rng_below(rng, 2) == 0;
    t->ended_well |= k->succeeds;
    t->ended_ill |= !k->succeeds;
}

/* Its cell died while it was being made, and knows that it had not begun. */
static void never_began(struct container *k) {
    k->state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    k->fault = true;
    task_of(&c, k->process_guid)->ended_ill = true;
}

static bool is_unbegun_task(const struct container *k) {
    return is_task(k) && k->state == BERTH__INSTANCE_STATE__INSTANCE_CLAIMED;
}

static void hurt_a_cell(struct rng *rng) {
    struct sim_cell *s = &c.cells[rng_below(rng, c.cell_count)];
    size_t kept = 0;
    switch (rng_below(rng, 4)) {
    case 0:
        s->cut = !s->cut;
        break;
    case 1: /* its daemon restarts: adopts its containers, knows no version */
        s->session = false;
        s->version = 0;
        for (size_t i = 0; i < s->n; i++) {
            s->containers[i].assigned = false;
            if (is_unbegun_task(&s->containers[i]))
                never_began(&s->containers[i]);
        }
        break;
    case 2: /* its host restarts: what tasks it had, and which of them had begun, and nothing else
             */
        s->session = false;
        s->version = 0;
        for (size_t i = 0; i < s->n; i++) {
            struct container k = s->containers[i];
            if (!is_task(&k))
                continue;
            if (is_unbegun_task(&k)) {
                never_began(&k);
            } else if (!container_ended(&k)) {
                k.state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
                task_of(&c, k.process_guid)->ended_ill = true;
            }
            k.assigned = false;
            s->containers[kept++] = k;
        }
        s->n = kept;
        break;
    default:
        if (s->n)
            end_container(rng, &s->containers[rng_below(rng, s->n)]);
    }
}

static void talk(struct rng *rng) {
    struct sim_cell *s = &c.cells[rng_below(rng, c.cell_count)];
    if (s->cut) {
        s->session = false;
        return;
    }
    bool lose = rng_below(rng, 4) == 0;
    switch (rng_below(rng, 3)) {
    case 0:
        cell_report(&c, s, lose);
        break;
    case 1:
        cell_watch(&c, s, 1 + (int)rng_below(rng, 6), lose);
        break;
    default:
        cell_progress(&c, s);
    }
}

static void change_a_wish(struct rng *rng) {
    struct sim_task *t = c.task_count ? &c.tasks[rng_below(rng, c.task_count)] : NULL;
    switch (rng_below(rng, 6)) {
    case 0:
        cluster_desire(&c, "p", "v1", (uint32_t)rng_below(rng, 5), 100);
        break;
    case 1:
        if (t && t->wanted && t->state < LRP_TASK_SUCCEEDED) {
            t->canceled = true;
            lrp_task_cancel(c.lrp, t->guid, "task was cancelled", c.now);
        }
        break;
    case 2:
        if (t && rng_below(rng, 4) == 0) {
            t->wanted = false;
            lrp_tasks_forget(c.lrp, t->app_guid, c.now);
        }
        break;
    default:
        if (c.task_count < MAX_TASKS)
            cluster_run_task(&c, 50 * (uint32_t)(1 + rng_below(rng, 5)));
    }
}

static void step(struct rng *rng) {
    uint64_t dice = rng_below(rng, 1000);
    if (dice < 60)
        change_a_wish(rng);
    else if (dice < 160)
        hurt_a_cell(rng);
    else if (dice < 170)
        c.disk_full = !c.disk_full;
    else if (dice < 180)
        restart();
    else
        talk(rng);
    if (rng_below(rng, 3) == 0)
        c.now += rng_below(rng, 3000);
    cluster_converge(&c);
    cluster_check(&c);
}

static void check_told(uint64_t seed) {
    for (size_t i = 0; i < c.task_count; i++) {
        const struct sim_task *t = &c.tasks[i];
        if (!t->wanted)
            continue;
        ck_assert_msg(t->state >= LRP_TASK_SUCCEEDED, "seed %llu: %s has not ended",
                      (unsigned long long)seed, t->guid);
        bool well = t->state == LRP_TASK_SUCCEEDED;
        ck_assert_msg(!well || t->ended_well, "seed %llu: %s told as done",
                      (unsigned long long)seed, t->guid);
        ck_assert_msg(well || *t->reason, "seed %llu: %s failed without a reason",
                      (unsigned long long)seed, t->guid);
        ck_assert_msg(!str_eq(t->reason, "Exited with status 1") || t->ended_ill,
                      "seed %llu: %s told as failed", (unsigned long long)seed, t->guid);
        ck_assert_msg(!str_eq(t->reason, "task was cancelled") || t->canceled,
                      "seed %llu: %s told as canceled", (unsigned long long)seed, t->guid);
    }
}

START_TEST(no_task_is_begun_twice_or_forgotten_whatever_dies) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng = {seed};
        cluster_init(&c, 1 + seed % 4, 1000);
        lrp_desired_complete(c.lrp, c.now);
        for (int i = 0; i < STEPS; i++)
            step(&rng);
        c.disk_full = false;
        for (size_t i = 0; i < c.cell_count; i++)
            c.cells[i].cut = false;
        for (int round = 0; round < 80; round++) { /* all that runs comes to its end */
            cluster_run(&c, 5);
            for (size_t i = 0; i < c.cell_count; i++)
                for (size_t k = 0; k < c.cells[i].n; k++)
                    if (is_task(&c.cells[i].containers[k]) &&
                        c.cells[i].containers[k].state == BERTH__INSTANCE_STATE__INSTANCE_RUNNING)
                        end_container(&rng, &c.cells[i].containers[k]);
        }
        cluster_check(&c);
        check_told(seed);
        ck_assert_ptr_null(c.lrp->tasks);
        for (size_t i = 0; i < c.lrp->cell_count; i++)
            ck_assert_uint_eq(c.lrp->cells[i]->tombstones, 0);
        cluster_fini(&c);
    }
}
END_TEST

RUN_TESTS("lrp/task", a_task_runs_once_and_its_success_is_noted, a_task_that_fails_is_not_run_again,
          nothing_is_told_to_a_cell_that_is_not_noted,
          an_end_is_not_acknowledged_before_it_is_noted,
          a_task_without_room_waits_and_fails_after_the_third_try,
          a_task_takes_room_that_appears_without_waiting_for_its_next_try,
          a_start_that_failed_for_the_platform_is_tried_elsewhere,
          three_starts_that_failed_for_the_platform_are_enough,
          tries_are_counted_over_restarts_of_the_controller,
          a_task_on_a_cell_that_falls_silent_fails_and_is_stopped_when_that_returns,
          a_cell_that_forgot_a_running_task_fails_it,
          a_running_task_that_its_cell_forgot_while_the_controller_was_away_is_not_told_again,
          a_controller_that_starts_goes_on_with_what_runs,
          a_placed_task_that_no_cell_was_told_of_is_told_after_a_restart,
          a_task_whose_cell_never_comes_back_fails_when_the_controller_has_settled,
          a_canceled_task_is_stopped_and_failed_for_that_reason,
          a_canceled_task_that_ended_by_itself_before_is_told_as_it_ended,
          a_cancel_survives_a_restart_of_the_controller,
          a_forgotten_task_is_stopped_and_not_noted_any_more,
          a_cell_that_is_emptied_gets_no_task_and_ends_none,
          tasks_and_apps_share_the_room_and_nothing_else,
          no_task_is_begun_twice_or_forgotten_whatever_dies)
