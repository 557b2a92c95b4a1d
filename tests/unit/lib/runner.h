/* runner.h - the main() of a unit test: one Check suite, its closing line printed. */
#ifndef TESTS_UNIT_LIB_RUNNER_H
#define TESTS_UNIT_LIB_RUNNER_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static inline int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A main() for tests that all fit one case: RUN_TESTS("base/str", test_a, test_b) */
#define RUN_TESTS(name, ...)                                                                       \
    int main(void) {                                                                               \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        Suite *suite = suite_create(name);                                                         \
        TCase *tcase = tcase_create(name);                                                         \
        tcase_set_timeout(tcase, 60);                                                              \
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)                                  \
            tcase_add_test(tcase, tests[i]);                                                       \
        suite_add_tcase(suite, tcase);                                                             \
        return run_suite(suite);                                                                   \
    }

#endif
