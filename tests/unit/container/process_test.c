#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/container/process.h"
#include "common/base/mem.h"

static int shell(const char *script, const char *const *env, int timeout_ms, struct error *err) {
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    return program_run(
        &(struct spawn){.argv = argv, .env = env, .out = -1, .kept = -1, .timeout_ms = timeout_ms},
        err);
}

START_TEST(a_program_ends_with_its_status) {
    struct error err = {0};
    int status = shell("exit 7", NULL, 5000, &err);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

START_TEST(a_program_that_takes_too_long_is_killed) {
    struct error err = {0};
    ck_assert_int_eq(shell("sleep 60", NULL, 50, &err), -ETIMEDOUT);
}
END_TEST

START_TEST(a_program_gets_our_variables_and_those_added) {
    const char *env[] = {"BERTH_TEST_ADDED=added", NULL};
    struct error err = {0};
    setenv("BERTH_TEST_OURS", "ours", 1);
    ck_assert_int_eq(
        shell("test \"$BERTH_TEST_ADDED$BERTH_TEST_OURS\" = addedours", env, 5000, &err), 0);
}
END_TEST

START_TEST(the_service_managers_variables_are_not_handed_on) {
    struct error err = {0};
    setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
    setenv("WATCHDOG_USEC", "30000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    int status = shell("! env | grep -qE '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)'", NULL, 5000, &err);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(getenv("NOTIFY_SOCKET"), "/run/systemd/notify"); /* still ours */
}
END_TEST

START_TEST(whose_child_a_process_is) {
    struct process child = PROCESS_NONE;
    struct error err = {0};
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    ck_assert_int_eq(process_open(pid, &child, &err), 0);
    ck_assert(process_is_child(&child, getpid()));
    ck_assert(!process_is_child(&child, getppid()));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert(!process_is_child(&child, getpid()));
    process_close(&child);
}
END_TEST

START_TEST(a_process_is_known_again_by_pid_and_start) {
    struct process own = PROCESS_NONE, again = PROCESS_NONE;
    struct error err = {0};
    ck_assert_int_eq(process_open(getpid(), &own, &err), 0);
    ck_assert_int_eq(process_reopen(own.pid, own.start, &again, &err), 0);
    ck_assert_int_eq(process_wait(&again, 0), -ETIMEDOUT);
    process_close(&again);
    ck_assert_int_eq(process_reopen(own.pid, own.start + 1, &again, &err), -ESRCH);
    ck_assert_int_eq(again.pidfd, -1);
    process_close(&own);
}
END_TEST

START_TEST(no_process_has_ended_and_takes_no_signal) {
    ck_assert_int_eq(process_wait(&PROCESS_NONE, 1000), 0);
    ck_assert_int_eq(process_signal(&PROCESS_NONE, SIGTERM), -ESRCH);
}
END_TEST

RUN_TESTS("container/process", a_program_ends_with_its_status,
          a_program_that_takes_too_long_is_killed, a_program_gets_our_variables_and_those_added,
          the_service_managers_variables_are_not_handed_on,
          a_process_is_known_again_by_pid_and_start, whose_child_a_process_is,
          no_process_has_ended_and_takes_no_signal)
