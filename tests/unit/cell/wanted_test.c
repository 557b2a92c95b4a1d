#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "cell/wanted.h"
#include "common/base/str.h"

/* What was told, as text: "+guid " wanted, "-guid " unwanted, "! " a full set is complete. */
struct fixture {
    struct wanted *wanted;
    struct strbuf told;
};

static void on_wanted(void *data, const Berth__Assignment *a) {
    strbuf_printf(data, "+%s ", a->instance_guid);
}

static void on_unwanted(void *data, const char *guid) {
    strbuf_printf(data, "-%s ", guid);
}

static void on_complete(void *data) {
    strbuf_puts(data, "! ");
}

static void setup(struct fixture *f) {
    const struct wanted_ops ops = {on_wanted, on_unwanted, on_complete, &f->told};
    *f = (struct fixture){0};
    ck_assert_int_eq(wanted_new(&f->wanted, &ops, NULL), 0);
    strbuf_puts(&f->told, "");
}

static void teardown(struct fixture *f) {
    wanted_free(f->wanted);
    strbuf_fini(&f->told);
}

/* A page: the guids of `added` and `withdrawn` are single letters. */
static int apply(struct fixture *f, const char *epoch, uint64_t from, uint64_t to, bool more,
                 const char *added, const char *withdrawn) {
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    Berth__Assignment list[16], *pointers[16];
    char names[32][2], *gone[16];
    size_t n = 0;
    for (; *added; added++, n++) {
        berth__assignment__init(&list[n]);
        snprintf(names[n], sizeof names[n], "%c", *added);
        list[n].instance_guid = names[n];
        pointers[n] = &list[n];
    }
    reply.n_assignments = n;
    for (; *withdrawn; withdrawn++) {
        snprintf(names[n], sizeof names[n], "%c", *withdrawn);
        gone[reply.n_withdrawn++] = names[n++];
    }
    reply.epoch = (ProtobufCBinaryData){strlen(epoch), (uint8_t *)(uintptr_t)epoch};
    reply.from = from;
    reply.to = to;
    reply.more = more;
    reply.assignments = pointers;
    reply.withdrawn = gone;
    strbuf_clear(&f->told);
    strbuf_puts(&f->told, "");
    return wanted_apply(f->wanted, &reply, NULL);
}

static uint64_t asks_from(struct fixture *f) {
    Berth__Watch watch;
    wanted_fill(f->wanted, &watch);
    return watch.version;
}

START_TEST(a_full_set_is_complete_with_its_last_page) {
    struct fixture f;
    setup(&f);
    ck_assert_uint_eq(asks_from(&f), 0);
    ck_assert_int_eq(apply(&f, "e1", 0, 5, true, "ab", ""), 0);
    ck_assert_str_eq(f.told.p, "+a +b ");
    ck_assert(!wanted_is_complete(f.wanted));
    ck_assert_uint_eq(asks_from(&f), 5);
    ck_assert_int_eq(apply(&f, "e1", 5, 7, true, "c", "a"), 0);
    ck_assert_str_eq(f.told.p, "+c -a ");
    ck_assert_int_eq(apply(&f, "e1", 7, 9, false, "", ""), 0);
    ck_assert_str_eq(f.told.p, "! ");
    ck_assert(wanted_has(f.wanted, "b") && wanted_has(f.wanted, "c"));
    ck_assert(!wanted_has(f.wanted, "a") && !wanted_has(f.wanted, "z"));
    teardown(&f);
}
END_TEST

START_TEST(changes_follow_and_an_empty_wait_changes_nothing) {
    struct fixture f;
    setup(&f);
    ck_assert_int_eq(apply(&f, "e1", 0, 5, false, "a", ""), 0);
    ck_assert_str_eq(f.told.p, "+a ! ");
    ck_assert_int_eq(apply(&f, "e1", 5, 5, false, "", ""), 0);
    ck_assert_str_eq(f.told.p, "");
    ck_assert_int_eq(apply(&f, "e1", 5, 6, false, "b", "a"), 0);
    ck_assert_str_eq(f.told.p, "+b -a ");
    ck_assert_int_eq(apply(&f, "e1", 6, 8, false, "a", ""), 0);
    ck_assert(wanted_has(f.wanted, "a"));
    teardown(&f);
}
END_TEST

START_TEST(a_controller_with_nothing_to_say_yet_stops_nothing) {
    struct fixture f;
    setup(&f);
    ck_assert_int_eq(apply(&f, "e1", 0, 0, false, "", ""), 0);
    ck_assert_str_eq(f.told.p, "");
    ck_assert(!wanted_is_complete(f.wanted));
    ck_assert_uint_eq(asks_from(&f), 0);
    teardown(&f);
}
END_TEST

START_TEST(another_epoch_begins_with_a_full_set) {
    struct fixture f;
    setup(&f);
    ck_assert_int_eq(apply(&f, "e1", 0, 5, false, "ab", ""), 0);
    ck_assert_int_eq(apply(&f, "e2", 0, 2, true, "b", ""), 0);
    ck_assert_str_eq(f.told.p, "+b ");
    ck_assert_int_eq(apply(&f, "e2", 2, 3, false, "c", ""), 0);
    ck_assert_str_eq(f.told.p, "+c ! ");
    ck_assert(!wanted_has(f.wanted, "a"));
    /* a full set that begins again in the middle of one */
    ck_assert_int_eq(apply(&f, "e3", 0, 2, true, "x", ""), 0);
    ck_assert_int_eq(apply(&f, "e4", 0, 2, false, "b", ""), 0);
    ck_assert_str_eq(f.told.p, "+b ! ");
    ck_assert(!wanted_has(f.wanted, "x") && !wanted_has(f.wanted, "c"));
    teardown(&f);
}
END_TEST

START_TEST(a_page_that_does_not_go_on_from_here_is_refused) {
    static const struct {
        const char *epoch;
        uint64_t from, to;
    } rows[] = {{"e1", 4, 6}, {"e1", 6, 7}, {"e2", 5, 6},
                {"e1", 5, 4}, {"", 5, 6},   {"an epoch too long to be one", 5, 6}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture f;
        setup(&f);
        ck_assert_int_eq(apply(&f, "e1", 0, 5, false, "ab", ""), 0);
        ck_assert_int_eq(apply(&f, rows[i].epoch, rows[i].from, rows[i].to, false, "c", "a"),
                         -EPROTO);
        ck_assert_str_eq(f.told.p, "");
        ck_assert_uint_eq(asks_from(&f), 0); /* the full set, please */
        ck_assert(wanted_has(f.wanted, "a"));
        teardown(&f);
    }
}
END_TEST

START_TEST(assignments_are_checked) {
    Berth__Image image = BERTH__IMAGE__INIT;
    Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
    Berth__Assignment a = BERTH__ASSIGNMENT__INIT;
    uint32_t port = 8080;
    static const char *const bad[] = {
        "",
        "../x",
        "A",
        "a/b",
        "a b",
        "a\n",
        "0123456789012345678901234567890123456789012345678901234567890123x"};
    lrp.image = &image;
    lrp.ports = &port;
    lrp.n_ports = 1;
    a.lrp = &lrp;
    a.instance_guid = (char *)(uintptr_t) "0a-9z";
    ck_assert_int_eq(wanted_check(&a, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        a.instance_guid = (char *)(uintptr_t)bad[i];
        ck_assert_msg(wanted_check(&a, NULL) == -EPROTO, "row %zu", i);
    }
    a.instance_guid = (char *)(uintptr_t) "a";
    port = 65536;
    ck_assert_int_eq(wanted_check(&a, NULL), -EPROTO);
    port = 0;
    ck_assert_int_eq(wanted_check(&a, NULL), -EPROTO);
    port = 80;
    lrp.app_guid = (char *)(uintptr_t) "\xff";
    ck_assert_int_eq(wanted_check(&a, NULL), -EPROTO);
    lrp.app_guid = (char *)(uintptr_t) "app";
    lrp.image = NULL;
    ck_assert_int_eq(wanted_check(&a, NULL), -EPROTO);
    a.lrp = NULL;
    ck_assert_int_eq(wanted_check(&a, NULL), -EPROTO);
}
END_TEST

RUN_TESTS("cell/wanted", a_full_set_is_complete_with_its_last_page,
          changes_follow_and_an_empty_wait_changes_nothing,
          a_controller_with_nothing_to_say_yet_stops_nothing, another_epoch_begins_with_a_full_set,
          a_page_that_does_not_go_on_from_here_is_refused, assignments_are_checked)
