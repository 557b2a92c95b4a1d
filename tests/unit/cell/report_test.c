#include "tests/unit/lib/runner.h"

#include "cell/report.h"
#include "common/base/str.h"

#define CLAIMED BERTH__INSTANCE_STATE__INSTANCE_CLAIMED
#define RUNNING BERTH__INSTANCE_STATE__INSTANCE_RUNNING
#define CRASHED BERTH__INSTANCE_STATE__INSTANCE_CRASHED
#define STOPPED BERTH__INSTANCE_STATE__INSTANCE_STOPPED

static const Berth__Capacity nothing = BERTH__CAPACITY__INIT;
static char finals[128];

static void on_final(void *data, const char *guid) {
    (void)data;
    strncat(finals, guid, sizeof finals - strlen(finals) - 1);
}

static struct report *new_report(void) {
    struct report *r = NULL;
    finals[0] = 0;
    ck_assert_int_eq(report_new(&r, on_final, NULL, NULL), 0);
    return r;
}

static void put(struct report *r, const char *guid, Berth__InstanceState state,
                const char *reason) {
    Berth__ActualLrp lrp = BERTH__ACTUAL_LRP__INIT;
    lrp.instance_guid = (char *)(uintptr_t)guid;
    lrp.state = state;
    lrp.reason = (char *)(uintptr_t)reason;
    ck_assert_int_eq(report_put(r, &lrp, NULL), 0);
}

/* The next message as "F" full, "M" more, and the guids in it; "" for none. */
static const char *next(struct report *r, uint64_t *ret_number) {
    static char text[4096];
    const Berth__Report *m = report_next(r, &nothing);
    text[0] = 0;
    if (!m)
        return text;
    *ret_number = m->number;
    strcat(text, m->full ? "F" : "");
    strcat(text, m->more ? "M" : "");
    strcat(text, ":");
    for (size_t i = 0; i < m->n_instances; i++)
        strcat(text, m->instances[i]->instance_guid);
    return text;
}

static void ack(struct report *r, uint64_t number, bool want_full) {
    Berth__ReportAck a = BERTH__REPORT_ACK__INIT;
    a.number = number;
    a.want_full = want_full;
    report_acknowledged(r, &a);
}

START_TEST(everything_first_then_changes_one_at_a_time) {
    struct report *r = new_report();
    uint64_t n = 0;
    put(r, "a", RUNNING, "");
    put(r, "b", CLAIMED, "");
    report_restart(r);
    ck_assert_str_eq(next(r, &n), "F:ab");
    ck_assert_str_eq(next(r, &n), ""); /* under way */
    put(r, "b", RUNNING, "");
    put(r, "c", CLAIMED, "");
    ck_assert_str_eq(next(r, &n), "");
    ack(r, n, false);
    ck_assert_str_eq(next(r, &n), ":bc");
    ack(r, n, false);
    ck_assert_str_eq(next(r, &n), "");
    put(r, "c", CLAIMED, ""); /* the same as before */
    ck_assert_str_eq(next(r, &n), "");
    report_touch(r);
    ck_assert_str_eq(next(r, &n), ":");
    report_free(r);
}
END_TEST

START_TEST(an_empty_cell_reports_too) {
    struct report *r = new_report();
    uint64_t n = 0;
    report_restart(r);
    ck_assert_str_eq(next(r, &n), "F:");
    ack(r, n, false);
    ck_assert_str_eq(next(r, &n), "");
    report_free(r);
}
END_TEST

START_TEST(an_end_is_repeated_until_it_is_acknowledged) {
    struct report *r = new_report();
    uint64_t n = 0;
    report_restart(r);
    next(r, &n);
    ack(r, n, false);
    put(r, "a", CRASHED, "x");
    ck_assert_str_eq(next(r, &n), ":a");
    report_restart(r); /* the session was lost with it */
    ck_assert_str_eq(next(r, &n), "F:a");
    ck_assert_str_eq(finals, "");
    ack(r, n - 1, false); /* an answer to something older */
    ck_assert_str_eq(finals, "");
    ck_assert_str_eq(next(r, &n), ":a");
    ack(r, n, false);
    ck_assert_str_eq(finals, "a");
    report_restart(r);
    ck_assert_str_eq(next(r, &n), "F:"); /* forgotten */
    report_free(r);
}
END_TEST

START_TEST(an_end_that_changes_under_way_is_told_again) {
    struct report *r = new_report();
    uint64_t n = 0;
    report_restart(r);
    put(r, "a", STOPPED, "");
    ck_assert_str_eq(next(r, &n), "F:a");
    put(r, "a", STOPPED, "more is known");
    ack(r, n, false);
    ck_assert_str_eq(finals, "");
    ck_assert_str_eq(next(r, &n), ":a");
    ack(r, n, false);
    ck_assert_str_eq(finals, "a");
    report_free(r);
}
END_TEST

START_TEST(a_controller_that_asks_gets_everything) {
    struct report *r = new_report();
    uint64_t n = 0;
    put(r, "a", RUNNING, "");
    report_restart(r);
    next(r, &n);
    ack(r, n, false);
    put(r, "b", RUNNING, "");
    next(r, &n);
    ack(r, n, true);
    ck_assert_str_eq(next(r, &n), "F:ab");
    ack(r, n, false);
    report_remove(r, "a");
    report_restart(r);
    ck_assert_str_eq(next(r, &n), "F:b");
    report_free(r);
}
END_TEST

START_TEST(a_large_cell_reports_in_pages) {
    struct report *r = new_report();
    static char reason[1001];
    uint64_t n = 0, seen = 0, pages = 0;
    memset(reason, 'x', 1000);
    for (int i = 0; i < 500; i++) {
        char guid[16];
        snprintf(guid, sizeof guid, "%d", i);
        put(r, guid, CRASHED, reason);
    }
    report_restart(r);
    for (bool more = true; more; pages++) {
        const Berth__Report *m = report_next(r, &nothing);
        ck_assert_ptr_nonnull(m);
        ck_assert(m->full == (pages == 0));
        ck_assert_uint_le(berth__report__get_packed_size(m), 256000);
        more = m->more;
        seen += m->n_instances;
        n = m->number;
        if (pages == 1)
            put(r, "late", RUNNING, ""); /* falls on the last page */
        ack(r, n, false);
    }
    ck_assert_uint_eq(seen, 501);
    ck_assert_uint_ge(pages, 3);
    ck_assert_ptr_null(report_next(r, &nothing));
    report_free(r);
}
END_TEST

START_TEST(that_the_cell_is_to_be_emptied_is_told_at_once_and_from_then_on) {
    struct report *r = new_report();
    const Berth__Report *m = report_next(r, &nothing);
    ck_assert_ptr_null(m);
    report_restart(r);
    ck_assert(!report_next(r, &nothing)->evacuating);
    report_evacuating(r);
    ack(r, 1, false); /* of the one before */
    ck_assert(!report_evacuation_is_known(r));
    m = report_next(r, &nothing);
    ck_assert_ptr_nonnull(m);
    ck_assert(m->evacuating);
    ack(r, m->number - 1, false);
    ck_assert(!report_evacuation_is_known(r));
    report_touch(r);
    m = report_next(r, &nothing);
    ck_assert(m->evacuating);
    ack(r, m->number, false);
    ck_assert(report_evacuation_is_known(r));
    report_restart(r);
    ck_assert(report_next(r, &nothing)->evacuating);
    report_free(r);
}
END_TEST

RUN_TESTS("cell/report", everything_first_then_changes_one_at_a_time, an_empty_cell_reports_too,
          an_end_is_repeated_until_it_is_acknowledged, an_end_that_changes_under_way_is_told_again,
          a_controller_that_asks_gets_everything, a_large_cell_reports_in_pages,
          that_the_cell_is_to_be_emptied_is_told_at_once_and_from_then_on)
