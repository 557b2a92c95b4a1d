#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <unistd.h>

#include "cell/logs.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#define SMALL (640u << 10) /* holds a chunk of the shortest lines twice */
#define T     "2026-01-02T03:04:05.678901234+00:00 stdout F "

struct fixture {
    struct event_base *loop;
    struct outbox *outbox;
    struct logs *logs;
    struct outbox_origin *origin;
    struct log_follow *follow;
    char dir[64], path[96], position[96], next[96];
};

static void on_lines(void *data) {
    (void)data;
}

static void open_agent(struct fixture *f, size_t outbox_bytes) {
    f->loop = event_base_new();
    ck_assert_int_eq(outbox_new(&f->outbox, outbox_bytes, NULL), 0);
    ck_assert_int_eq(logs_new(&f->logs, f->loop, f->outbox, on_lines, f, NULL), 0);
}

static void follow(struct fixture *f) {
    struct error err = {0};
    f->origin = outbox_origin_new("app", "APP/PROC/WEB", 0);
    struct log_source source = {f->path, f->position, f->origin, -1};
    ck_assert_msg(logs_follow(f->logs, &source, &f->follow, &err) == 0, "%s", err.msg);
}

static void unfollow(struct fixture *f) {
    log_follow_free(f->follow);
    outbox_origin_unref(f->origin);
    f->follow = NULL;
}

static void close_agent(struct fixture *f) {
    if (f->follow)
        unfollow(f);
    logs_free(f->logs);
    outbox_free(f->outbox);
    event_base_free(f->loop);
}

static void setup(struct fixture *f) {
    *f = (struct fixture){.dir = "/tmp/berth-logs-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/log", f->dir);
    snprintf(f->next, sizeof f->next, "%s/log.tmp", f->dir);
    snprintf(f->position, sizeof f->position, "%s/log.position", f->dir);
}

static void teardown(struct fixture *f) {
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, f->dir, NULL), 0);
}

static void append(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fs_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static void append_numbers(const char *path, int from, int to) {
    struct strbuf text = {0};
    for (int i = from; i < to; i++)
        strbuf_printf(&text, T "%d\n", i);
    append(path, text.p);
    strbuf_fini(&text);
}

/* Runs the loop until the outbox has something, then takes one batch's text into `got`. */
static void take(struct fixture *f, struct strbuf *got) {
    while (outbox_is_empty(f->outbox))
        event_base_loop(f->loop, EVLOOP_ONCE);
    const Berth__Logs *b = outbox_batch(f->outbox, 1000000);
    if (b->lost_before)
        strbuf_printf(got, "(lost %llu)", (unsigned long long)b->lost_before);
    for (size_t i = 0; i < b->n_lines; i++) {
        strbuf_add(got, b->lines[i]->message.data, b->lines[i]->message.len);
        strbuf_putc(got, ' ');
    }
    outbox_ack(f->outbox, b->first + b->n_lines);
    logs_resume(f->logs);
}

static void take_until(struct fixture *f, struct strbuf *got, const char *last) {
    while (!got->p || !str_ends(got->p, last))
        take(f, got);
}

START_TEST(lines_come_as_they_are_written) {
    struct fixture f;
    struct strbuf got = {0};
    setup(&f);
    append(f.path, T "a\n" T "b\n");
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "b ");
    append(f.path, T "c\n");
    append(f.path, T "d\n");
    take_until(&f, &got, "d ");
    ck_assert_str_eq(got.p, "a b c d ");
    ck_assert_uint_eq(log_follow_take_bytes(f.follow), 4);
    ck_assert_uint_eq(log_follow_take_bytes(f.follow), 0);
    strbuf_fini(&got);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(a_restarted_agent_reads_on_after_what_was_acknowledged) {
    struct fixture f;
    struct strbuf got = {0};
    setup(&f);
    append_numbers(f.path, 0, 100);
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "99 ");
    append_numbers(f.path, 100, 103);
    while (outbox_is_empty(f.outbox))
        event_base_loop(f.loop, EVLOOP_ONCE); /* read, and not acknowledged */
    close_agent(&f);
    append_numbers(f.path, 103, 105);
    strbuf_clear(&got);
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "104 ");
    ck_assert_str_eq(got.p, "100 101 102 103 104 ");
    strbuf_fini(&got);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(a_replaced_file_is_read_to_its_end_and_then_the_new_one) {
    struct fixture f;
    struct strbuf got = {0};
    setup(&f);
    append_numbers(f.path, 0, 3);
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "2 ");
    for (int i = 3; i < 9; i += 2) {
        append_numbers(f.path, i, i + 1);
        append(f.next, "");
        ck_assert_int_eq(rename(f.next, f.path), 0);
        append_numbers(f.path, i + 1, i + 2);
        char last[8];
        snprintf(last, sizeof last, "%d ", i + 1);
        take_until(&f, &got, last);
    }
    ck_assert_str_eq(got.p, "0 1 2 3 4 5 6 7 8 ");
    close_agent(&f);
    /* and the position is of the new file */
    append_numbers(f.path, 9, 10);
    strbuf_clear(&got);
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "9 ");
    ck_assert_str_eq(got.p, "9 ");
    strbuf_fini(&got);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(a_file_replaced_while_nobody_looked_counts_as_a_loss) {
    struct fixture f;
    struct strbuf got = {0};
    setup(&f);
    append_numbers(f.path, 0, 3);
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "2 ");
    close_agent(&f);
    append_numbers(f.next, 10, 12);
    ck_assert_int_eq(rename(f.next, f.path), 0);
    strbuf_clear(&got);
    open_agent(&f, 1 << 20);
    follow(&f);
    take_until(&f, &got, "11 ");
    ck_assert_str_eq(got.p, "(lost 1)10 11 ");
    strbuf_fini(&got);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(a_full_outbox_leaves_lines_in_the_file) {
    struct fixture f;
    struct strbuf got = {0}, expect = {0};
    setup(&f);
    open_agent(&f, SMALL);
    append(f.path, "");
    follow(&f);
    append_numbers(f.path, 0, 20000);
    for (int i = 0; i < 20000; i++)
        strbuf_printf(&expect, "%d ", i);
    take_until(&f, &got, "19999 ");
    ck_assert(str_eq(got.p, expect.p)); /* too long to be printed */
    strbuf_fini(&got);
    strbuf_fini(&expect);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(what_a_full_outbox_could_not_take_before_the_file_went_is_counted) {
    struct fixture f;
    struct strbuf got = {0};
    uint64_t lost = 0, lines = 0;
    setup(&f);
    open_agent(&f, SMALL);
    append_numbers(f.path, 0, 20000);
    follow(&f);
    while (outbox_has_room(f.outbox))
        event_base_loop(f.loop, EVLOOP_ONCE);
    append_numbers(f.next, 20000, 20002);
    ck_assert_int_eq(rename(f.next, f.path), 0);
    event_base_loop(f.loop, EVLOOP_ONCE); /* woken by inotify */
    while (lines + lost < 20002) {
        while (outbox_is_empty(f.outbox))
            event_base_loop(f.loop, EVLOOP_ONCE);
        const Berth__Logs *b = outbox_batch(f.outbox, 1000000);
        lost += b->lost_before;
        lines += b->n_lines;
        outbox_ack(f.outbox, b->first + b->n_lines);
        logs_resume(f.logs);
        event_base_loop(f.loop, EVLOOP_ONCE);
    }
    ck_assert_uint_eq(lines + lost, 20002);
    ck_assert_uint_gt(lost, 0);
    strbuf_fini(&got);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(the_end_takes_everything_at_once) {
    struct fixture f;
    struct strbuf got = {0};
    setup(&f);
    append(f.path, T "a\n2026-01-02T03:04:05.678901234+00:00 stderr P half a line\n");
    open_agent(&f, 1 << 20);
    follow(&f);
    log_follow_finish(f.follow);
    logs_say(f.logs, f.origin, NULL, BERTH__LOG_STREAM__LOG_OUT, 1, "Exit status 0");
    take(&f, &got);
    ck_assert_str_eq(got.p, "a half a line Exit status 0 ");
    strbuf_fini(&got);
    close_agent(&f);
    teardown(&f);
}
END_TEST

START_TEST(a_missing_file_is_an_error) {
    struct fixture f;
    struct error err = {0};
    setup(&f);
    open_agent(&f, 1 << 20);
    struct outbox_origin *origin = outbox_origin_new("app", "X", 0);
    struct log_source source = {f.path, f.position, origin, -1};
    struct log_follow *none = NULL;
    ck_assert_int_eq(logs_follow(f.logs, &source, &none, &err), -ENOENT);
    ck_assert_ptr_null(none);
    outbox_origin_unref(origin);
    close_agent(&f);
    teardown(&f);
}
END_TEST

RUN_TESTS("cell/logs", lines_come_as_they_are_written,
          a_restarted_agent_reads_on_after_what_was_acknowledged,
          a_replaced_file_is_read_to_its_end_and_then_the_new_one,
          a_file_replaced_while_nobody_looked_counts_as_a_loss,
          a_full_outbox_leaves_lines_in_the_file,
          what_a_full_outbox_could_not_take_before_the_file_went_is_counted,
          the_end_takes_everything_at_once, a_missing_file_is_an_error)
