#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"

/* What a line says on stderr, "" for none. */
static const char *line(enum log_level level) {
    static char text[512];
    int fds[2], was = dup(2);
    ck_assert_int_eq(pipe(fds), 0);
    dup2(fds[1], 2);
    close(fds[1]);
    log_line(level, "it happened", "n=%d", 7);
    dup2(was, 2);
    close(was);
    ssize_t n = read(fds[0], text, sizeof text - 1);
    close(fds[0]);
    text[n > 0 ? n : 0] = 0;
    return text;
}

START_TEST(another_word_is_refused_by_name_and_changes_nothing) {
    struct error err = {0};
    ck_assert_int_eq(log_setup("warn", "json", NULL), 0);
    ck_assert_int_eq(log_setup("loud", "text", &err), -EINVAL);
    ck_assert_str_eq(err.msg, "log_level: \"loud\" is none of debug, info, warn, error");
    ck_assert_int_eq(log_setup("debug", "xml", &err), -EINVAL);
    ck_assert_str_eq(err.msg, "log_format: \"xml\" is neither text nor json");
    ck_assert_int_eq(log_setup(NULL, NULL, &err), -EINVAL);
    ck_assert_str_eq(line(LEVEL_INFO), "");
    ck_assert_ptr_nonnull(strstr(line(LEVEL_WARN), "\"level\":\"warn\""));
}
END_TEST

START_TEST(a_line_is_one_event_of_its_level_or_above) {
    ck_assert_int_eq(log_setup("info", "text", NULL), 0);
    ck_assert_str_eq(line(LEVEL_DEBUG), "");
    ck_assert_ptr_nonnull(strstr(line(LEVEL_INFO), " level=info msg=\"it happened\" n=7\n"));
}
END_TEST

RUN_TESTS("base/log", another_word_is_refused_by_name_and_changes_nothing,
          a_line_is_one_event_of_its_level_or_above)
