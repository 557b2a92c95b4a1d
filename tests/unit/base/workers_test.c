#include "tests/unit/lib/runner.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/workers.h"

static atomic_int worked;
static int told;
static pthread_t loop_thread;
static struct event_base *loop;

static void work(void *arg) {
    ck_assert(!pthread_equal(pthread_self(), loop_thread));
    atomic_fetch_add(&worked, 1);
}

static void done(void *arg) {
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    if (++told == *(int *)arg)
        event_base_loopbreak(loop);
}

START_TEST(results_come_back_on_the_loop) {
    struct error err = {0};
    struct workers *w = NULL;
    int wanted = 1000;
    told = 0;
    worked = 0;
    loop_thread = pthread_self();
    loop = event_base_new();
    ck_assert_msg(workers_new(&w, loop, 3, &err) == 0, "%s", err.msg);
    for (int i = 0; i < wanted; i++)
        ck_assert_int_eq(workers_run(w, work, done, &wanted), 0);
    event_base_dispatch(loop);
    ck_assert_int_eq(told, wanted);
    ck_assert_int_eq(worked, wanted);
    workers_free(w);
    event_base_free(loop);
}
END_TEST

START_TEST(freeing_finishes_what_was_given) {
    struct error err = {0};
    struct workers *w = NULL;
    int never = -1;
    told = 0;
    worked = 0;
    loop_thread = pthread_self();
    loop = event_base_new();
    ck_assert_int_eq(workers_new(&w, loop, 2, &err), 0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(workers_run(w, work, done, &never), 0);
    workers_free(w);
    ck_assert_int_eq(told, 50);
    event_base_free(loop);
}
END_TEST

RUN_TESTS("base/workers", results_come_back_on_the_loop, freeing_finishes_what_was_given)
