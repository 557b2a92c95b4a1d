#include "tests/unit/lib/runner.h"

#include "cell/lograte.h"
#include "common/base/str.h"

#define S 1000000000ull

START_TEST(the_limit_is_rate_and_burst) {
    struct lograte r;
    lograte_init(&r, 1000);
    ck_assert_int_eq(lograte_take(&r, 600, 10 * S), LOGRATE_PASS);
    ck_assert_int_eq(lograte_take(&r, 400, 10 * S), LOGRATE_PASS);
    ck_assert_int_eq(lograte_take(&r, 500, 10 * S + S / 2), LOGRATE_PASS); /* refilled by half */
    ck_assert_int_eq(lograte_take(&r, 500, 20 * S), LOGRATE_PASS);
    ck_assert_int_eq(lograte_take(&r, 500, 20 * S), LOGRATE_PASS);
}
END_TEST

START_TEST(an_overage_silences_a_second_and_is_told_once_a_second) {
    struct lograte r;
    char text[96];
    lograte_init(&r, 1000);
    ck_assert_int_eq(lograte_take(&r, 1001, 10 * S), LOGRATE_DROP_AND_TELL);
    ck_assert_int_eq(lograte_take(&r, 1, 10 * S + S / 2), LOGRATE_DROP);
    ck_assert_int_eq(lograte_take(&r, 1, 11 * S), LOGRATE_PASS);
    ck_assert_int_eq(lograte_take(&r, 5000, 11 * S), LOGRATE_DROP_AND_TELL);
    ck_assert_int_eq(lograte_take(&r, 1, 11 * S + 1), LOGRATE_DROP);
    lograte_text(&r, text, sizeof text);
    ck_assert_str_eq(text, "app instance exceeded log rate limit (1000 bytes/sec)");
}
END_TEST

START_TEST(minus_one_is_no_limit_and_zero_drops_all) {
    struct lograte r;
    lograte_init(&r, -1);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(lograte_take(&r, 1u << 30, S), LOGRATE_PASS);
    lograte_init(&r, 0);
    ck_assert_int_eq(lograte_take(&r, 1, S), LOGRATE_DROP_AND_TELL);
    ck_assert_int_eq(lograte_take(&r, 1, S + 1), LOGRATE_DROP);
    ck_assert_int_eq(lograte_take(&r, 1, 2 * S), LOGRATE_DROP_AND_TELL);
}
END_TEST

START_TEST(a_clock_set_back_gives_nothing_and_goes_on_from_there) {
    struct lograte r;
    lograte_init(&r, 1000);
    ck_assert_int_eq(lograte_take(&r, 1000, 50 * S), LOGRATE_PASS);
    ck_assert_int_eq(lograte_take(&r, 1, 49 * S), LOGRATE_DROP_AND_TELL);
    ck_assert_int_eq(lograte_take(&r, 1, 20 * S), LOGRATE_DROP);
    ck_assert_int_eq(lograte_take(&r, 1, 20 * S + S / 2), LOGRATE_DROP);
    ck_assert_int_eq(lograte_take(&r, 1000, 22 * S), LOGRATE_PASS);
}
END_TEST

RUN_TESTS("cell/lograte", the_limit_is_rate_and_burst,
          an_overage_silences_a_second_and_is_told_once_a_second,
          minus_one_is_no_limit_and_zero_drops_all,
          a_clock_set_back_gives_nothing_and_goes_on_from_there)
