#include "tests/unit/lib/runner.h"

#include "common/base/clock.h"

START_TEST(times_are_written_and_read_back) {
    static const struct {
        const char *text;
        uint64_t s;
    } cases[] = {{"1970-01-01T00:00:00Z", 0},
                 {"2024-02-29T23:59:59Z", 1709251199},
                 {"2262-04-11T23:47:16Z", 9223372036}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t ns = 7;
        char text[21];
        ck_assert(clock_parse(cases[i].text, &ns));
        ck_assert_uint_eq(ns, cases[i].s * 1000000000u);
        clock_format(ns + 999999999, text);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

START_TEST(what_is_no_time_is_refused) {
    static const char *const bad[] = {"",
                                      "2024",
                                      "2024-01-01",
                                      "2024-01-01T00:00:00",
                                      "2024-01-01 00:00:00Z",
                                      "2024-01-01T00:00:00ZZ",
                                      "2024-13-01T00:00:00Z",
                                      "2023-02-29T00:00:00Z",
                                      "2024-01-01T24:00:00Z",
                                      "2024-01-01T00:60:00Z",
                                      "1969-12-31T23:59:59Z",
                                      "0000-00-00T00:00:00Z",
                                      "2024-01-01T00:00:00z",
                                      "+024-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t ns = 7;
        ck_assert_msg(!clock_parse(bad[i], &ns), "%s", bad[i]);
        ck_assert_uint_eq(ns, 7);
    }
    uint64_t ns = 0;
    ck_assert(clock_parse("9999-12-31T23:59:59Z", &ns)); /* later than ns can tell */
    ck_assert_uint_eq(ns, UINT64_MAX);
}
END_TEST

RUN_TESTS("base/clock", times_are_written_and_read_back, what_is_no_time_is_refused)
