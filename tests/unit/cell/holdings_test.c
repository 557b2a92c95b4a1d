#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "cell/holdings.h"
#include "common/base/str.h"

static struct holdings *h;
static struct strbuf told; /* what came back: "a:2 keep:ab;" */
static int keep_fails;

/* A digest is its last byte, a letter. */
static void digest(uint8_t ret[32], char letter) {
    memset(ret, 0, 32);
    ret[31] = (uint8_t)letter;
}

static void on_places(void *data, const uint8_t id[32], const Berth__Places *places) {
    (void)data;
    strbuf_printf(&told, "%c:%zu;", id[31], places ? places->n_places : 0);
}

static int on_keep(void *data, const struct holdings_kept *list, size_t n) {
    (void)data;
    if (keep_fails)
        return keep_fails;
    strbuf_puts(&told, "keep:");
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(list[i].size, list[i].digest[31]);
        ck_assert_uint_eq(list[i].of.v[15], list[i].digest[31]);
        strbuf_putc(&told, (char)list[i].digest[31]);
    }
    strbuf_puts(&told, ";");
    return 0;
}

static void start(void) {
    const struct holdings_giver giver = {.address = "10.0.0.1", .port = 7420, .nonce = "n"};
    const struct holdings_ops ops = {on_places, on_keep, NULL};
    holdings_free(h);
    strbuf_fini(&told);
    strbuf_puts(&told, "");
    keep_fails = 0;
    ck_assert_int_eq(holdings_new(&h, &giver, &ops, NULL), 0);
}

static void end(void) {
    holdings_free(h);
    h = NULL;
    strbuf_fini(&told);
}

static void put(const char *blobs, bool blob, bool there) {
    uint8_t bytes[32];
    for (; *blobs; blobs++) {
        digest(bytes, *blobs);
        holdings_put(h, blob, bytes, there);
    }
}

static void ask(char letter) {
    uint8_t bytes[32];
    digest(bytes, letter);
    holdings_ask(h, bytes);
}

static Berth__Report report;

static void list(struct strbuf *out, const char *name, ProtobufCBinaryData digests) {
    if (digests.len == 0)
        return;
    strbuf_printf(out, "%s", name);
    ck_assert_uint_eq(digests.len % 32, 0);
    for (size_t i = 31; i < digests.len; i += 32)
        strbuf_putc(out, (char)digests.data[i]);
    strbuf_puts(out, " ");
}

/* What the next report says: "F" full, "M" more, then lists; "" for nothing. */
static const char *next(void) {
    static struct strbuf out;
    strbuf_fini(&out);
    strbuf_puts(&out, "");
    berth__report__init(&report);
    if (!holdings_are_due(h))
        return out.p;
    holdings_fill(h, &report, 42);
    const Berth__Holdings *said = report.holdings;
    if (said) {
        ck_assert_str_eq(said->address, "10.0.0.1");
        ck_assert_uint_eq(said->port, 7420);
        ck_assert_uint_eq(said->nonce.len, 16);
        ck_assert_uint_eq(said->clock_ms, 42);
        strbuf_printf(&out, "%s%s ", said->full ? "F" : "", said->more ? "M" : "");
        list(&out, "blobs:", said->blobs);
        list(&out, "trees:", said->trees);
        list(&out, "-blobs:", said->gone_blobs);
        list(&out, "-trees:", said->gone_trees);
    }
    for (size_t i = 0; i < report.n_locate; i++)
        list(&out, "?", report.locate[i]);
    if (report.keep)
        strbuf_printf(&out, "keep %llu from %u", (unsigned long long)report.keep->version,
                      report.keep->from);
    return out.p;
}

/* The answer to it: for each letter of `found` one place. */
static void answer(const char *found, const Berth__Keep *keep, bool want_full) {
    Berth__ReportAck ack = BERTH__REPORT_ACK__INIT;
    Berth__Place place = BERTH__PLACE__INIT, *places[] = {&place};
    Berth__Places all[8], *pointers[8];
    uint8_t bytes[8][32];
    for (size_t i = 0; found[i]; i++) {
        berth__places__init(&all[i]);
        digest(bytes[i], found[i]);
        all[i].blob = (ProtobufCBinaryData){32, bytes[i]};
        all[i].places = places;
        all[i].n_places = 1;
        pointers[ack.n_places++] = &all[i];
    }
    ack.places = pointers;
    ack.keep = (Berth__Keep *)(uintptr_t)keep;
    ack.want_full = want_full;
    holdings_answered(h, &ack);
}

static void answer_keep(uint64_t version, uint32_t from, bool more, const char *letters) {
    Berth__Keep keep = BERTH__KEEP__INIT;
    uint8_t blobs[8 * 32], repositories[8 * 16] = {0};
    uint64_t sizes[8];
    for (; letters[keep.n_sizes]; keep.n_sizes++) {
        repositories[16 * keep.n_sizes + 15] = (uint8_t)letters[keep.n_sizes];
        digest(blobs + 32 * keep.n_sizes, letters[keep.n_sizes]);
        sizes[keep.n_sizes] = (uint8_t)letters[keep.n_sizes];
    }
    keep.version = version;
    keep.from = from;
    keep.more = more;
    keep.blobs = (ProtobufCBinaryData){32 * keep.n_sizes, blobs};
    keep.repositories = (ProtobufCBinaryData){16 * keep.n_sizes, repositories};
    keep.sizes = sizes;
    answer("", &keep, false);
}

START_TEST(everything_is_told_first_then_what_changed) {
    start();
    put("ab", true, true);
    put("xy", false, true);
    put("b", true, false); /* gone before anybody knew */
    ck_assert_str_eq(next(), "F blobs:a trees:xy ");
    answer("", NULL, false);
    ck_assert_str_eq(next(), "");
    put("a", true, true); /* nothing new */
    ck_assert_str_eq(next(), "");
    put("c", true, true);
    put("x", false, false);
    put("a", false, true); /* a tree of the same digest is another thing */
    ck_assert_str_eq(next(), " blobs:c trees:a -trees:x ");
    put("c", true, false); /* while that is on its way */
    answer("", NULL, false);
    ck_assert_str_eq(next(), " -blobs:c ");
    answer("", NULL, false);
    put("y", false, false);
    put("y", false, true); /* and back, before it was told */
    ck_assert_str_eq(next(), "");
    end();
}
END_TEST

START_TEST(nothing_is_told_in_full_too_since_it_says_where_to_fetch) {
    start();
    ck_assert_str_eq(next(), "F ");
    answer("", NULL, false);
    ck_assert_str_eq(next(), "");
    end();
}
END_TEST

START_TEST(a_new_conversation_or_the_controllers_wish_begins_anew) {
    start();
    put("ab", true, true);
    ck_assert_str_eq(next(), "F blobs:ab ");
    holdings_restart(h); /* it was lost */
    put("b", true, false);
    ck_assert_str_eq(next(), "F blobs:a ");
    put("a", true, false);
    answer("", NULL, true);
    ck_assert_str_eq(next(), "F ");
    end();
}
END_TEST

START_TEST(a_long_list_comes_in_pages) {
    uint8_t bytes[32] = {1};
    unsigned pages = 0, all = 0;
    start();
    for (unsigned i = 0; i < 2 * HOLDINGS_PAGE + 1; i++) {
        memcpy(bytes + 4, &i, sizeof i);
        holdings_put(h, i % 2, bytes, true);
    }
    for (; holdings_are_due(h); pages++) {
        berth__report__init(&report);
        holdings_fill(h, &report, 0);
        ck_assert_int_eq(report.holdings->full, pages == 0);
        ck_assert_int_eq(report.holdings->more, pages < 2);
        all += (unsigned)(report.holdings->blobs.len + report.holdings->trees.len) / 32;
        answer("", NULL, false);
    }
    ck_assert_uint_eq(pages, 3);
    ck_assert_uint_eq(all, 2 * HOLDINGS_PAGE + 1);
    end();
}
END_TEST

START_TEST(each_question_is_answered_once_also_when_nobody_knows) {
    start();
    ck_assert_str_eq(next(), "F ");
    answer("", NULL, false);
    ask('a');
    ask('b');
    ask('a');
    ck_assert_str_eq(next(), "?a ?b ");
    ask('c'); /* while that is on its way */
    answer("a", NULL, false);
    ck_assert_str_eq(told.p, "a:1;b:0;");
    ck_assert_str_eq(next(), "?c ");
    holdings_restart(h); /* lost: asked again */
    ck_assert_str_eq(next(), "F ?c ");
    answer("c", NULL, false);
    ck_assert_str_eq(told.p, "a:1;b:0;c:1;");
    ck_assert_str_eq(next(), "");
    end();
}
END_TEST

START_TEST(more_questions_than_can_wait_are_answered_with_nothing) {
    uint8_t bytes[32] = {1};
    unsigned reports = 0;
    start();
    for (unsigned i = 0; i < HOLDINGS_ASKS_MAX + 2; i++) {
        memcpy(bytes + 4, &i, sizeof i);
        holdings_ask(h, bytes);
    }
    ck_assert_uint_eq(told.n, 2 * strlen("x:0;"));
    for (; holdings_are_due(h); reports++) {
        berth__report__init(&report);
        holdings_fill(h, &report, 0);
        ck_assert_uint_le(report.n_locate, HOLDINGS_ASKS_PAGE);
        answer("", NULL, false);
    }
    ck_assert_uint_eq(reports, HOLDINGS_ASKS_MAX / HOLDINGS_ASKS_PAGE);
    end();
}
END_TEST

START_TEST(what_must_be_kept_is_asked_for_when_its_version_is_another_one) {
    start();
    ck_assert_str_eq(next(), "F ");
    answer("", NULL, false);
    holdings_keep_version(h, 0);
    ck_assert_str_eq(next(), ""); /* that says nothing */
    holdings_keep_version(h, 7);
    ck_assert_str_eq(next(), "keep 0 from 0");
    answer_keep(7, 0, true, "ab");
    ck_assert_str_eq(next(), "keep 7 from 2");
    answer_keep(7, 2, false, "c");
    ck_assert_str_eq(told.p, "keep:abc;");
    holdings_keep_version(h, 7);
    ck_assert_str_eq(next(), "");
    holdings_keep_version(h, 8);
    ck_assert_str_eq(next(), "keep 0 from 0");
    answer_keep(8, 0, false, "");
    ck_assert_str_eq(told.p, "keep:abc;keep:;");
    ck_assert_str_eq(next(), "");
    end();
}
END_TEST

START_TEST(a_list_that_changes_while_it_is_told_begins_anew) {
    start();
    ck_assert_str_eq(next(), "F ");
    answer("", NULL, false);
    holdings_keep_version(h, 7);
    ck_assert_str_eq(next(), "keep 0 from 0");
    answer_keep(7, 0, true, "ab");
    ck_assert_str_eq(next(), "keep 7 from 2");
    answer_keep(9, 0, true, "x"); /* it is another one by now */
    ck_assert_str_eq(next(), "keep 9 from 1");
    answer_keep(9, 1, false, "y");
    ck_assert_str_eq(told.p, "keep:xy;");
    ck_assert_str_eq(next(), "");
    end();
}
END_TEST

START_TEST(an_answer_that_does_not_fit_waits_for_the_controllers_next_word) {
    static const struct {
        uint64_t version;
        uint32_t from;
        bool more;
        const char *letters;
    } rows[] = {
        {7, 3, false, "c"}, /* not where it goes on */
        {7, 1, false, "c"},
        {8, 2, false, "c"}, /* of another one */
        {7, 2, true, ""},   /* never ends */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start();
        ck_assert_str_eq(next(), "F ");
        answer("", NULL, false);
        holdings_keep_version(h, 7);
        ck_assert_str_eq(next(), "keep 0 from 0");
        answer_keep(7, 0, true, "ab");
        ck_assert_str_eq(next(), "keep 7 from 2");
        answer_keep(rows[i].version, rows[i].from, rows[i].more, rows[i].letters);
        ck_assert_str_eq(told.p, "");
        ck_assert_str_eq(next(), "");
        holdings_keep_version(h, 7);
        ck_assert_str_eq(next(), "keep 0 from 0");
    }
    answer("", NULL, false); /* nor does none */
    ck_assert_str_eq(next(), "");
    holdings_keep_version(h, 7);
    ck_assert_str_eq(next(), "keep 0 from 0");
    keep_fails = -ENOMEM;
    answer_keep(7, 0, false, "a");
    ck_assert_str_eq(next(), "");
    keep_fails = 0;
    holdings_keep_version(h, 7);
    ck_assert_str_eq(next(), "keep 0 from 0");
    answer_keep(7, 0, false, "a");
    ck_assert_str_eq(told.p, "keep:a;");
    end();
}
END_TEST

RUN_TESTS("cell/holdings", everything_is_told_first_then_what_changed,
          nothing_is_told_in_full_too_since_it_says_where_to_fetch,
          a_new_conversation_or_the_controllers_wish_begins_anew, a_long_list_comes_in_pages,
          each_question_is_answered_once_also_when_nobody_knows,
          more_questions_than_can_wait_are_answered_with_nothing,
          what_must_be_kept_is_asked_for_when_its_version_is_another_one,
          a_list_that_changes_while_it_is_told_begins_anew,
          an_answer_that_does_not_fit_waits_for_the_controllers_next_word)
