#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/mem.h"
#include "controller/client/args.h"

static const char *image, *memory;
static bool no_start;
static const struct flag flags[] = {{"-o", "--docker-image", &image, NULL},
                                    {"-m", NULL, &memory, NULL},
                                    {"--no-start", NULL, NULL, &no_start}};

static int parse(struct args *a, struct error *err, int argc, ...) {
    char *argv[16];
    va_list ap;
    image = memory = NULL;
    no_start = false;
    va_start(ap, argc);
    for (int i = 0; i < argc; i++)
        argv[i] = va_arg(ap, char *);
    va_end(ap);
    return args_parse(argc, argv, flags, ARRAY_SIZE(flags), 1, 2, a, err);
}

START_TEST(flags_stand_anywhere) {
    struct args a;
    struct error err = {0};
    ck_assert_int_eq(parse(&a, &err, 6, "-o", "img", "app", "--no-start", "-m", "64M"), 0);
    ck_assert_uint_eq(a.count, 1);
    ck_assert_str_eq(a.positional[0], "app");
    ck_assert_str_eq(image, "img");
    ck_assert_str_eq(memory, "64M");
    ck_assert(no_start);
    ck_assert_int_eq(parse(&a, &err, 2, "app", "--docker-image=x=y"), 0);
    ck_assert_str_eq(image, "x=y");
    ck_assert_int_eq(parse(&a, &err, 3, "app", "--", "-m"), 0);
    ck_assert_str_eq(a.positional[1], "-m");
    ck_assert_int_eq(parse(&a, &err, 2, "app", "-"), 0);
}
END_TEST

START_TEST(wrong_use_is_told) {
    struct args a;
    struct error err = {0};
    ck_assert_int_eq(parse(&a, &err, 0), -EINVAL);
    ck_assert_int_eq(parse(&a, &err, 3, "a", "b", "c"), -EINVAL);
    ck_assert_int_eq(parse(&a, &err, 2, "a", "-x"), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "unknown flag `-x'"));
    ck_assert_int_eq(parse(&a, &err, 2, "a", "-o"), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "expected argument for flag `-o'"));
    ck_assert_int_eq(parse(&a, &err, 2, "a", "--no-start=1"), -EINVAL);
}
END_TEST

RUN_TESTS("client/args", flags_stand_anywhere, wrong_use_is_told)
