#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#include "common/base/error.h"

START_TEST(set_returns_its_code_and_wrap_prefixes) {
    struct error err = {0};
    ck_assert_int_eq(error_set(&err, -ENOENT, "no %s", "file"), -ENOENT);
    ck_assert_int_eq(error_wrap(&err, "opening %d", 3), -ENOENT);
    ck_assert_str_eq(err.msg, "opening 3: no file");
    ck_assert_int_eq(error_set(&err, -EIO, "again: %s", err.msg), -EIO);
    ck_assert_str_eq(err.msg, "again: opening 3: no file");
    ck_assert_int_eq(error_set(NULL, -EPERM, "unheard"), -EPERM);
}
END_TEST

START_TEST(long_texts_are_cut) {
    struct error err = {0};
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    ck_assert_int_eq(error_set(&err, -EIO, "%s", text), -EIO);
    ck_assert_int_eq(error_wrap(&err, "%s", text), -EIO);
    ck_assert_uint_eq(strlen(err.msg), sizeof err.msg - 1);
}
END_TEST

RUN_TESTS("base/error", set_returns_its_code_and_wrap_prefixes, long_texts_are_cut)
