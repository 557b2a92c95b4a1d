#include "tests/unit/lib/runner.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "router/access_log.h"

static char line[ACCESS_LINE_MAX + 1];

static const char *format(const struct access_record *r) {
    struct access_batch b = {.second = UINT64_MAX};
    line[access_format(&b, r, line)] = 0;
    return line;
}

START_TEST(a_line_is_gorouters_line) {
    struct access_record r = {
        .host = SLICE_LIT("app.example:80"),
        .method = SLICE_LIT("GET"),
        .target = SLICE_LIT("/a?b"),
        .referer = SLICE_LIT("http://x/"),
        .user_agent = SLICE_LIT("cu\"rl\\ \x01\xff"),
        .forwarded_for = SLICE_LIT("1.1.1.1"),
        .forwarded_for_tail = SLICE_LIT("2.2.2.2"),
        .forwarded_proto = SLICE_LIT("https"),
        .client = SLICE_LIT("2.2.2.2:5000"),
        .backend = SLICE_LIT("10.0.0.1:61001"),
        .request_id = SLICE_LIT("ID"),
        .app_guid = SLICE_LIT("APP"),
        .app_index = SLICE_LIT("3"),
        .instance_id = SLICE_LIT("INST"),
        .minor = 1,
        .status = 200,
        .bytes_in = 5,
        .bytes_out = 1234,
        .arrived_wall_ns = 1767323045000000078ull,
        .response_ns = 1500000400,
        .backend_ns = 1400000000,
    };
    ck_assert_str_eq(
        format(&r),
        "app.example:80 - [2026-01-02T03:04:05.000000078Z] \"GET /a?b HTTP/1.1\" 200 5 1234 "
        "\"http://x/\" \"cu\\\"rl\\\\ \\x01\\xff\" \"2.2.2.2:5000\" \"10.0.0.1:61001\" "
        "x_forwarded_for:\"1.1.1.1, 2.2.2.2\" x_forwarded_proto:\"https\" vcap_request_id:\"ID\" "
        "response_time:1.500000 gorouter_time:0.100000 app_id:\"APP\" app_index:\"3\" "
        "instance_id:\"INST\" x_cf_routererror:\"-\"");
    struct access_record empty = {.request_id = SLICE_LIT("ID")};
    ck_assert_str_eq(format(&empty),
                     "- - [1970-01-01T00:00:00.000000000Z] \"  HTTP/1.0\" \"-\" 0 0 \"-\" \"-\" "
                     "\"-\" \"-\" x_forwarded_for:\"-\" x_forwarded_proto:\"-\" "
                     "vcap_request_id:\"ID\" response_time:0.000000 gorouter_time:0.000000 "
                     "app_id:\"-\" app_index:\"-\" instance_id:\"-\" x_cf_routererror:\"-\"");
}
END_TEST

START_TEST(the_longest_values_are_cut_and_never_overrun) {
    static char big[65536];
    memset(big, '\x01', sizeof big);
    struct slice all = {big, sizeof big};
    struct access_record r = {all, all, all, all, all, all, all, all,
                              all, all, all, all, all, all, all};
    const char *text = format(&r);
    ck_assert_uint_lt(strlen(text), ACCESS_LINE_MAX);
    ck_assert_ptr_nonnull(strstr(text, "TOO-LONG-TO-LOG--TRUNCATED"));
}
END_TEST

START_TEST(batches_reach_the_file_and_the_ring) {
    char path[] = "/tmp/router-access-XXXXXX";
    struct access_sink sink;
    struct access_batch b;
    struct access_record r = {
        .host = SLICE_LIT("h"), .app_guid = SLICE_LIT("app-guid"), .status = 200};
    struct access_record without_app = {.host = SLICE_LIT("h")};
    close(mkstemp(path));
    ck_assert_int_eq(access_sink_open(&sink, path, 1 << 20, NULL), 0);
    ck_assert_int_eq(access_batch_init(&b, &sink), 0);
    for (int i = 0; i < 2000; i++)
        access_batch_add(&b, &r);
    access_batch_add(&b, &without_app);
    ck_assert_int_eq(access_sink_reopen(&sink, NULL), 0);
    access_batch_fini(&b);
    ck_assert_uint_eq(sink.ring->next, 2000);
    _cleanup_(freep) char *text = NULL;
    size_t n, lines = 0, at = 0;
    ck_assert_int_eq(fs_read(AT_FDCWD, path, 1 << 24, &text, &n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    ck_assert_uint_eq(lines, 2001);
    struct log_ring_entry e;
    ck_assert_uint_gt(log_ring_read(sink.ring, &at, line, sizeof line, &e), 0);
    ck_assert(slice_eq(e.app_guid, SLICE_LIT("app-guid")));
    ck_assert_mem_eq(e.line.p, text, e.line.n);
    access_sink_close(&sink);
    unlink(path);
}
END_TEST

RUN_TESTS("router/access_log", a_line_is_gorouters_line,
          the_longest_values_are_cut_and_never_overrun, batches_reach_the_file_and_the_ring)
