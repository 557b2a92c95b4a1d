/* instance_task_test.c - where the life of a task's instance differs from that of a process. */
#include "tests/unit/cell/instance_world.h"

#include <errno.h>

START_TEST(a_task_that_ends_with_status_0_has_no_reason_and_any_other_has_one) {
    struct world world;
    setup_task(&world);
    run();
    ck_assert_int_eq(w->health_config.type, HEALTH_PROCESS);
    exits(0, false);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
    ck_assert_str_eq(told().reason, "");
    ck_assert(said("APP/TASK/migrate OUT: Exit status 0\n"));
    destroyed(true);
    teardown();

    setup_task(&world);
    run();
    exits(3, false);
    ck_assert_str_eq(told().reason, "APP/TASK/migrate: Exited with status 3");
    ck_assert_int_eq(told().exit_status, 3);
    destroyed(true);
    teardown();

    setup_task(&world);
    run();
    instance_stop(w->in);
    exits(0, false);
    destroyed(true);
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();
}
END_TEST

START_TEST(how_far_a_task_is_is_on_disk_before_it_gets_there) {
    struct world world;
    setup_task(&world);
    instance_begin(w->in);
    for (int i = 0; i < 2; i++) {
        const Berth__ActualLrp *lost = w->record->if_lost;
        ck_assert_int_eq(lost->state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
        ck_assert_str_eq(lost->reason, i ? INSTANCE_TASK_LOST : INSTANCE_TASK_UNBEGUN);
        ck_assert_int_eq(lost->platform_fault, i == 0); /* tried again only while it never began */
        if (i == 0) {
            pulled();
            ck_assert(w->record->if_lost->platform_fault);
            ck_assert_int_eq(w->before_start(w->create_arg, NULL), 0);
        }
    }
    created();
    w->health.on_healthy(w->health.data);
    ck_assert_ptr_nonnull(w->record->if_lost); /* whatever else is kept */
    ck_assert_uint_ne(w->record->running_since_wall_ns, 0);
    exits(0, false);
    destroyed(true);
    teardown();

    setup_task(&world); /* what cannot be noted is not begun */
    w->keep_fails = true;
    instance_begin(w->in);
    ck_assert(!w->has_pull);
    ck_assert(told().platform_fault);
    teardown();

    setup_task(&world);
    instance_begin(w->in);
    pulled();
    w->keep_fails = true;
    ck_assert_int_eq(w->before_start(w->create_arg, NULL), -EIO);
    create_fails(-EIO, "cannot note");
    ck_assert(told().platform_fault);
    teardown();
}
END_TEST

START_TEST(a_task_that_was_found_running_may_have_begun) {
    struct world world;
    Berth__ContainerNote note = BERTH__CONTAINER_NOTE__INIT;
    setup_task(&world);
    w->has_container = true;
    w->made++;
    instance_adopt(w->in, &w->container, &note, NULL);
    w->health.on_healthy(w->health.data);
    ck_assert_str_eq(w->record->if_lost->reason, INSTANCE_TASK_LOST);
    ck_assert(!w->record->if_lost->platform_fault);
    exits(0, false);
    destroyed(true);
    teardown();
}
END_TEST

START_TEST(what_is_not_wanted_any_more_is_not_started) {
    struct world world;
    setup(&world);
    instance_begin(w->in);
    pulled();
    instance_stop(w->in);
    ck_assert_int_eq(w->before_start(w->create_arg, NULL), -ECANCELED);
    create_fails(-ECANCELED, "it is not wanted any more");
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_STOPPED);
    teardown();
}
END_TEST

START_TEST(a_task_is_the_platforms_fault_only_if_it_never_ran) {
    struct world world;
    setup_task(&world);
    instance_begin(w->in);
    pull_fails(-ECONNREFUSED, "so it was");
    ck_assert(told().platform_fault);
    teardown();

    setup_task(&world);
    instance_begin(w->in);
    pulled();
    create_fails(-ENOSPC, "no room");
    ck_assert(told().platform_fault);
    teardown();

    setup_task(&world);
    instance_begin(w->in);
    pulled();
    create_fails(-EOWNERDEAD, "its state cannot be written");
    ck_assert_int_eq(told().state, BERTH__INSTANCE_STATE__INSTANCE_CRASHED);
    ck_assert(!told().platform_fault && *told().reason);
    teardown();

    setup_task(&world);
    run();
    instance_exited(w->in, &(struct container_exit){.unknown = true});
    ck_assert(!told().platform_fault && *told().reason);
    destroyed(true);
    teardown();
}
END_TEST

RUN_TESTS("cell/instance_task", a_task_that_ends_with_status_0_has_no_reason_and_any_other_has_one,
          how_far_a_task_is_is_on_disk_before_it_gets_there,
          a_task_that_was_found_running_may_have_begun, what_is_not_wanted_any_more_is_not_started,
          a_task_is_the_platforms_fault_only_if_it_never_ran)
