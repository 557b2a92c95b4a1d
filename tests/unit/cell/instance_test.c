/* instance_test.c - the life of an instance of a process. */
#include "tests/unit/cell/instance_world.h"

#include <errno.h>

#include "common/base/random.h"

/* --- one path each --- */

START_TEST(an_instance_is_pulled_created_healthy_and_stopped) {
    struct world world;
    setup(&world);
    run();
    Berth__ActualLrp lrp = told();
    ck_assert_int_eq(lrp.state, BERTH__INSTANCE_STATE__INSTANCE_RUNNING);
    ck_assert_str_eq(lrp.address, "192.0.2.1");
    ck_assert_uint_eq(lrp.ports[0]->container_port, 8080);
    ck_assert_uint_eq(lrp.ports[0]->host_port, 58080);
    ck_assert_uint_eq(w->health_config.timeout_ms, 7000);
    ck_assert_str_eq(w->health_config.ip, "10.0.0.9");
    instance_stop(w->in);
    ck_assert_int_eq(w->stops, 1);
    ck_assert(w->record->stop_wanted);
    exits(143, false);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPING); /* not gone yet */
    destroyed(true);
    lrp = told();
    ck_assert_int_eq(lrp.state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    ck_assert_int_eq(lrp.exit_status, 143);
    ck_assert_str_eq(lrp.reason, "");
    ck_assert_str_eq(w->states.p, "pulling creating starting running stopping destroying done ");
    ck_assert_str_eq(
        w->lines.p, "CELL OUT: Cell cell-1 creating container for instance guid-1\n"
                    "CELL OUT: Cell cell-1 successfully created container for instance guid-1\n"
                    "CELL OUT: Starting health monitoring of container\n"
                    "CELL OUT: Container became healthy\n"
                    "CELL OUT: Cell cell-1 stopping instance guid-1\n"
                    "APP/PROC/WEB OUT: Exit status 143\n"
                    "CELL OUT: Cell cell-1 destroying container for instance guid-1\n"
                    "CELL OUT: Cell cell-1 successfully destroyed container for instance guid-1\n");
    ck_assert_int_eq(w->follows, 1);
    ck_assert_int_eq(w->unfollows, 1);
    teardown();
}
END_TEST

START_TEST(an_exit_that_nobody_asked_for_is_a_crash_even_with_status_0) {
    static const struct {
        int status;
        bool oom;
        const char *reason, *line;
    } rows[] = {
        {0, false, "APP/PROC/WEB: Exited with status 0", "APP/PROC/WEB OUT: Exit status 0\n"},
        {3, false, "APP/PROC/WEB: Exited with status 3", "APP/PROC/WEB OUT: Exit status 3\n"},
        {137, true, "APP/PROC/WEB: Exited with status 137 (out of memory)",
         "APP/PROC/WEB OUT: Exit status 137 (out of memory)\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world world;
        setup(&world);
        run();
        exits(rows[i].status, rows[i].oom);
        Berth__ActualLrp lrp = told();
        ck_assert_int_eq(lrp.state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED); /* told at once */
        ck_assert_str_eq(lrp.reason, rows[i].reason);
        ck_assert_int_eq(lrp.exit_status, rows[i].status);
        ck_assert_int_eq(lrp.out_of_memory, rows[i].oom);
        ck_assert(!lrp.platform_fault);
        ck_assert(said(rows[i].line));
        ck_assert_str_eq(w->record->outcome->reason, rows[i].reason);
        destroyed(true);
        ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
        teardown();
    }
}
END_TEST

START_TEST(an_instance_that_is_never_healthy_says_why) {
    struct world world;
    setup(&world);
    instance_begin(w->in);
    pulled();
    created();
    w->health.on_unhealthy(w->health.data, 60005,
                           "Failed to make TCP connection to port 8080: connection refused");
    ck_assert_int_eq(instance_state(w->in), INSTANCE_STOPPING);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPING);
    exits(143, false);
    ck_assert_str_eq(told().reason, "Instance never healthy after 1m0.005s: Failed to make TCP "
                                    "connection to port 8080: connection refused");
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
    ck_assert(said("CELL ERR: Failed after 1m0.005s: startup health check never passed.\n"));
    ck_assert(said("HEALTH ERR: Failed to make TCP connection to port 8080: connection refused\n"));
    destroyed(true);
    teardown();
}
END_TEST

START_TEST(one_failed_check_later_is_a_crash) {
    struct world world;
    setup(&world);
    run();
    w->health.on_unhealthy(w->health.data, 30000, "timed out");
    ck_assert(said("CELL ERR: Container became unhealthy\n"));
    exits(143, false);
    ck_assert_str_eq(told().reason, "Instance became unhealthy: timed out");
    destroyed(true);
    teardown();
}
END_TEST

START_TEST(what_ignores_its_stop_signal_is_killed_after_the_grace) {
    struct world world;
    setup(&world);
    run();
    instance_stop(w->in);
    pass(INSTANCE_STOP_GRACE_MS - 1);
    ck_assert_int_eq(w->kills, 0);
    pass(1);
    ck_assert_int_eq(w->kills, 1);
    exits(137, false);
    ck_assert(
        said("APP/PROC/WEB OUT: Exit status 137 (exceeded 10s graceful shutdown interval)\n"));
    destroyed(true);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();
}
END_TEST

START_TEST(what_does_not_even_die_is_destroyed_all_the_same) {
    struct world world;
    setup(&world);
    run();
    instance_stop(w->in);
    pass(INSTANCE_STOP_GRACE_MS);
    pass(INSTANCE_KILL_WAIT_MS);
    ck_assert_int_eq(instance_state(w->in), INSTANCE_DESTROYING);
    exits(137, false); /* comes late: too late to matter */
    destroyed(true);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    ck_assert_int_eq(w->finals, 1);
    teardown();
}
END_TEST

START_TEST(a_failed_removal_is_tried_again_ever_more_slowly) {
    struct world world;
    uint64_t wait = INSTANCE_DESTROY_RETRY_MS;
    setup(&world);
    run();
    exits(1, false);
    for (int i = 0; i < 10; i++) {
        destroyed(false);
        ck_assert_uint_eq(instance_deadline(w->in), w->now_ms + wait);
        pass(wait - 1);
        ck_assert_ptr_null(w->destroy_done);
        pass(1);
        ck_assert_ptr_nonnull(w->destroy_done);
        wait = MIN(2 * wait, (uint64_t)INSTANCE_DESTROY_MAX_MS);
    }
    ck_assert(said("failed to destroy container for instance guid-1: busy\n"));
    destroyed(true);
    ck_assert_int_eq(instance_state(w->in), INSTANCE_DONE);
    teardown();
}
END_TEST

START_TEST(whose_fault_a_failed_start_is) {
    static const struct {
        int code;
        bool platform;
    } rows[] = {{-EBADMSG, false},  {-EFBIG, false},       {-EACCES, false},
                {-ENOENT, false},   {-ECONNREFUSED, true}, {-ENOSPC, true},
                {-ETIMEDOUT, true}, {-EKEYREJECTED, true}, {-ENOMEM, true}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world world;
        setup(&world);
        instance_begin(w->in);
        pull_fails(rows[i].code, "so it was");
        Berth__ActualLrp lrp = told();
        ck_assert_int_eq(lrp.state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
        ck_assert_int_eq(lrp.platform_fault, rows[i].platform);
        ck_assert_str_eq(lrp.reason, "failed to create container: image reg/app:1: so it was");
        ck_assert(said("CELL ERR: Cell cell-1 failed to create container for instance guid-1: "
                       "image reg/app:1: so it was\n"));
        teardown();
    }
}
END_TEST

START_TEST(an_unknown_user_is_the_apps_fault) {
    struct world world;
    setup(&world);
    instance_begin(w->in);
    pulled();
    create_fails(-EINVAL, "unable to find user nobody2");
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
    ck_assert(!told().platform_fault);
    ck_assert_str_eq(told().reason, "failed to create container: unable to find user nobody2");
    ck_assert_int_eq(instance_state(w->in), INSTANCE_DONE);
    teardown();
}
END_TEST

START_TEST(what_fails_at_once_fails_as_well) {
    struct world world;
    setup(&world);
    w->pull_refused = true;
    instance_begin(w->in);
    ck_assert_int_eq(instance_state(w->in), INSTANCE_DONE);
    ck_assert(told().platform_fault);
    teardown();
    setup(&world);
    w->create_refused = true;
    instance_begin(w->in);
    pulled();
    ck_assert_int_eq(instance_state(w->in), INSTANCE_DONE);
    ck_assert_str_eq(told().reason, "failed to create container: no such thing");
    teardown();
}
END_TEST

START_TEST(a_stop_is_heard_in_every_state_before_running) {
    struct world world;
    setup(&world);
    instance_stop(w->in); /* reserved */
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();

    setup(&world);
    instance_begin(w->in);
    instance_stop(w->in); /* pulling */
    ck_assert(!w->has_pull);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();

    setup(&world);
    instance_begin(w->in);
    pulled();
    instance_stop(w->in); /* creating: it cannot be called off */
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPING);
    created();
    ck_assert_int_eq(w->destroys, 1);
    ck_assert_int_eq(w->follows, 0);
    destroyed(true);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();

    setup(&world);
    instance_begin(w->in);
    pulled();
    instance_stop(w->in);
    create_fails(-EIO, "too late");
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();

    setup(&world);
    instance_begin(w->in);
    pulled();
    created();
    instance_stop(w->in); /* starting */
    ck_assert(!w->has_health);
    exits(0, false);
    destroyed(true);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();
}
END_TEST

START_TEST(a_lost_exit_status_is_not_the_apps_fault) {
    struct world world;
    setup(&world);
    run();
    instance_exited(w->in, &(struct container_exit){.unknown = true});
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
    ck_assert(told().platform_fault);
    destroyed(true);
    teardown();
}
END_TEST

START_TEST(progress_is_told_in_the_log_and_in_the_report) {
    struct world world;
    setup(&world);
    instance_begin(w->in);
    for (uint64_t done = 0; done <= 100000000; done += 1000000) {
        w->now_ms += 100;
        w->pulling.on_progress(w->pulling.data, done, 100000000);
    }
    ck_assert_str_eq(told().detail, "downloading 100.0/100.0 MB");
    pulled();
    ck_assert(said("CELL OUT: Downloading image reg/app:1: 100.0 MB\n"));
    ck_assert(said("CELL OUT: Downloading image reg/app:1: 10.0 of 100.0 MB (10%)\n"));
    ck_assert(said("CELL OUT: Downloaded image reg/app:1: 100.0 MB in 10.1s\n"));
    size_t lines = 0;
    for (const char *p = w->lines.p; (p = strchr(p, '\n')); p++)
        lines++;
    ck_assert_uint_le(lines, 14);
    ck_assert_str_eq(told().detail, "creating the container");
    create_fails(-EIO, "x");
    teardown();
}
END_TEST

/* --- adoption --- */

static void adopt(const Berth__InstanceRecord *record) {
    Berth__ContainerNote note = BERTH__CONTAINER_NOTE__INIT;
    w->has_container = true;
    w->made++;
    instance_adopt(w->in, &w->container, &note, record);
}

START_TEST(a_restarted_agent_goes_on_where_the_last_one_was) {
    struct world world;
    Berth__InstanceRecord record = BERTH__INSTANCE_RECORD__INIT;
    Berth__ActualLrp outcome = BERTH__ACTUAL_LRP__INIT;

    setup(&world); /* never healthy yet */
    adopt(NULL);
    ck_assert_int_eq(instance_state(w->in), INSTANCE_STARTING);
    ck_assert(w->has_health && !w->health_config.was_healthy);
    teardown();

    setup(&world); /* running */
    record.running_since_wall_ns = 55;
    adopt(&record);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_RUNNING);
    ck_assert_uint_eq(told().since_wall_ns, 55);
    ck_assert(w->health_config.was_healthy);
    ck_assert_int_eq(w->follows, 1);
    exits(9, false); /* it ended while nobody looked */
    ck_assert_str_eq(told().reason, "APP/PROC/WEB: Exited with status 9");
    destroyed(true);
    teardown();

    setup(&world); /* being stopped: the exit to come was asked for */
    record.stop_wanted = true;
    adopt(&record);
    ck_assert_int_eq(w->stops, 1);
    exits(143, false);
    destroyed(true);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();

    setup(&world); /* ended, and told to nobody yet */
    record.outcome = &outcome;
    outcome.state = BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    outcome.exit_status = 2;
    outcome.reason = (char *)(uintptr_t) "APP/PROC/WEB: Exited with status 2";
    outcome.since_wall_ns = 77;
    adopt(&record);
    ck_assert_int_eq(w->destroys, 1);
    exits(2, false);
    destroyed(true);
    ck_assert_str_eq(told().reason, outcome.reason);
    ck_assert_int_eq(told().exit_status, 2);
    ck_assert_int_eq(w->finals, 0); /* it was kept before */
    teardown();

    setup(&world); /* only its outcome is left */
    instance_adopt_outcome(w->in, &outcome);
    ck_assert_int_eq(instance_state(w->in), INSTANCE_DONE);
    ck_assert_str_eq(told().reason, outcome.reason);
    ck_assert_uint_eq(told().since_wall_ns, 77);
    teardown();
}
END_TEST

/* --- any order --- */

/* Everything that may happen next in this world, one of it chosen. */
static void something_happens(struct rng *rng) {
    bool ended = w->unfollows || !w->has_container;
    switch (rng_below(rng, 14)) {
    case 0:
        if (w->has_pull)
            pulled();
        return;
    case 1:
        if (w->has_pull)
            pull_fails(rng_below(rng, 2) ? -EBADMSG : -ECONNREFUSED, "x");
        return;
    case 2:
        if (w->has_pull)
            w->pulling.on_progress(w->pulling.data, rng_below(rng, 100), rng_below(rng, 100));
        return;
    case 3:
    case 4:
        if (w->create_done)
            created();
        return;
    case 5:
        if (w->create_done)
            create_fails(-EIO, "x");
        return;
    case 6:
        if (w->has_health)
            w->health.on_healthy(w->health.data);
        return;
    case 7:
        if (w->has_health && rng_below(rng, 3) == 0)
            w->health.on_unhealthy(w->health.data, 1, "x");
        return;
    case 8:
        if (w->has_container && !ended && rng_below(rng, 3) == 0)
            exits((int)rng_below(rng, 256), rng_below(rng, 2));
        return;
    case 9:
        if (w->destroy_done)
            destroyed(rng_below(rng, 2));
        return;
    case 10:
        if (rng_below(rng, 6) == 0)
            instance_stop(w->in);
        return;
    default:
        pass(rng_below(rng, 12000));
        return;
    }
}

START_TEST(any_order_of_events_ends_well) {
    struct rng rng = {.state = 1};
    int outcomes[2] = {0};
    for (int round = 0; round < 5000; round++) {
        struct world world;
        setup(&world);
        instance_begin(w->in);
        for (int i = 0; i < 400 && instance_state(w->in) != INSTANCE_DONE; i++)
            something_happens(&rng);
        for (int i = 0; i < 1000 && instance_state(w->in) != INSTANCE_DONE; i++) {
            instance_stop(w->in); /* from any state a stop leads to the end */
            if (w->create_done)
                created();
            if (w->destroy_done)
                destroyed(true);
            pass(INSTANCE_DESTROY_MAX_MS);
        }
        ck_assert_msg(instance_state(w->in) == INSTANCE_DONE, "round %d: %s", round, w->states.p);
        ck_assert_int_eq(w->finals, 1);     /* one outcome, kept once */
        ck_assert_int_le(w->creates, 1);    /* never started twice */
        ck_assert_int_eq(w->made, w->gone); /* what was made is gone */
        ck_assert_int_eq(w->follows, w->unfollows);
        ck_assert(!w->has_container && !w->has_pull && !w->has_health);
        ck_assert(!w->create_done && !w->destroy_done);
        ck_assert(w->last_told == w->record->outcome->state);
        outcomes[w->last_told == BERTH__INSTANCE_STATE__INSTANCE_CRASHED]++;
        ck_assert_uint_gt(w->record->outcome->since_wall_ns, 0);
        instance_stop(w->in); /* and nothing wakes the dead */
        pass(1000000);
        ck_assert_int_eq(instance_state(w->in), INSTANCE_DONE);
        teardown();
    }
    ck_assert_int_gt(outcomes[0], 100);
    ck_assert_int_gt(outcomes[1], 100);
}
END_TEST

RUN_TESTS("cell/instance", an_instance_is_pulled_created_healthy_and_stopped,
          an_exit_that_nobody_asked_for_is_a_crash_even_with_status_0,
          an_instance_that_is_never_healthy_says_why, one_failed_check_later_is_a_crash,
          what_ignores_its_stop_signal_is_killed_after_the_grace,
          what_does_not_even_die_is_destroyed_all_the_same,
          a_failed_removal_is_tried_again_ever_more_slowly, whose_fault_a_failed_start_is,
          an_unknown_user_is_the_apps_fault, what_fails_at_once_fails_as_well,
          a_stop_is_heard_in_every_state_before_running, a_lost_exit_status_is_not_the_apps_fault,
          progress_is_told_in_the_log_and_in_the_report,
          a_restarted_agent_goes_on_where_the_last_one_was, any_order_of_events_ends_well)
