#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/times.h"
#include "common/bus/words.h"

static int unpack(enum word_type type, const void *p, size_t n) {
    struct unpacked u;
    int r = word_unpack(word_of_type(type), p, n, &u);
    if (r == 0)
        unpacked_fini(&u);
    return r;
}

static int unpack_packed(enum word_type type, const ProtobufCMessage *msg) {
    size_t n = protobuf_c_message_get_packed_size(msg);
    _cleanup_(freep) uint8_t *p = malloc(n + 1);
    ck_assert_ptr_nonnull(p);
    protobuf_c_message_pack(msg, p);
    return unpack(type, p, n);
}

START_TEST(every_word_has_its_row) {
    ck_assert_ptr_null(word_of_type(0));
    ck_assert_ptr_null(word_of_type(WORD_LOGS_ACK + 1));
    ck_assert_ptr_null(word_of_type(255));
    for (uint8_t t = WORD_HELLO; t <= WORD_LOGS_ACK; t++) {
        const struct word *w = word_of_type(t);
        ck_assert_int_eq(w->type, t);
        ck_assert_int_eq(w->direction, w->answer ? SEAL_TO_HUB : SEAL_TO_NODE);
        if (w->answer)
            ck_assert_int_eq(word_of_type(w->answer)->direction, SEAL_TO_NODE);
    }
    ck_assert_int_eq(word_of_conversation(BERTH__CONVERSATION__CONVERSATION_LOGS)->type, WORD_LOGS);
    ck_assert_ptr_null(word_of_conversation((Berth__Conversation)3));
    ck_assert_ptr_null(word_of_conversation((Berth__Conversation)-1));
}
END_TEST

START_TEST(a_router_may_not_report) {
    static const struct {
        int kind, conversation;
        bool may;
    } rows[] = {
        {0, 0, true}, {0, 1, true},  {0, 2, true},   {1, 0, true},  {1, 1, false},
        {1, 2, true}, {2, 0, false}, {-1, 0, false}, {0, 3, false}, {0, -1, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(word_kind_may((Berth__NodeKind)rows[i].kind,
                                    (Berth__Conversation)rows[i].conversation) == rows[i].may,
                      "row %zu", i);
}
END_TEST

START_TEST(a_message_comes_out_as_it_went_in) {
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    Berth__Assignment assignment = BERTH__ASSIGNMENT__INIT, *assignments[] = {&assignment};
    Berth__DesiredLrp lrp = BERTH__DESIRED_LRP__INIT;
    char *command[] = {(char *)"/bin/sh", (char *)"", (char *)"Grüße"};
    assignment.instance_guid = (char *)"guid";
    assignment.index = 4;
    assignment.lrp = &lrp;
    lrp.command = command;
    lrp.n_command = 3;
    reply.assignments = assignments;
    reply.n_assignments = 1;
    size_t n = berth__watch_reply__get_packed_size(&reply);
    uint8_t p[256];
    ck_assert_uint_le(n, sizeof p);
    berth__watch_reply__pack(&reply, p);
    struct unpacked u;
    ck_assert_int_eq(word_unpack(word_of_type(WORD_WATCH_REPLY), p, n, &u), 0);
    const Berth__WatchReply *got = (const Berth__WatchReply *)u.msg;
    ck_assert_uint_eq(got->n_assignments, 1);
    ck_assert_str_eq(got->assignments[0]->instance_guid, "guid");
    ck_assert_uint_eq(got->assignments[0]->lrp->n_command, 3);
    ck_assert_str_eq(got->assignments[0]->lrp->command[2], "Grüße");
    unpacked_fini(&u);
    for (size_t cut = 1; cut < n; cut++) /* a shorter one is another message or none */
        unpack(WORD_WATCH_REPLY, p, cut);
}
END_TEST

START_TEST(an_empty_word_is_empty) {
    ck_assert_int_eq(unpack(WORD_DONE, "", 0), 0);
    ck_assert_int_eq(unpack(WORD_DONE, "x", 1), -EBADMSG);
}
END_TEST

START_TEST(text_must_be_utf8_without_nul_wherever_it_stands) {
    /* Packed by hand: field number and length, then the bytes. */
    static const struct {
        enum word_type type;
        const char *bytes;
        size_t n;
        int r;
    } rows[] = {
        {WORD_HELLO,
         "\x22\x03"
         "abc",
         5, 0},                         /* name = "abc" */
        {WORD_HELLO, "\x22\x00", 2, 0}, /* empty */
        {WORD_HELLO,
         "\x22\x03"
         "a\0c",
         5, -EBADMSG}, /* a NUL within */
        {WORD_HELLO,
         "\x22\x01"
         "\0",
         3, -EBADMSG}, /* only a NUL */
        {WORD_HELLO,
         "\x22\x03"
         "ab\0",
         5, -EBADMSG}, /* a NUL at the end */
        {WORD_HELLO,
         "\x22\x02"
         "\xc3\xbc",
         4, 0}, /* u with dots */
        {WORD_HELLO,
         "\x22\x02"
         "\xc0\x80",
         4, -EBADMSG}, /* overlong NUL */
        {WORD_HELLO,
         "\x22\x01"
         "\xff",
         3, -EBADMSG},
        {WORD_HELLO,
         "\x22\x03"
         "\xed\xa0\x80",
         5, -EBADMSG}, /* a surrogate */
        {WORD_WATCH_REPLY,
         "\x32\x01"
         "a"
         "\x32\x01"
         "\xff",
         6, -EBADMSG}, /* withdrawn[1] */
        {WORD_WATCH_REPLY,
         "\x2a\x05\x1a\x03\x0a\x01"
         "x",
         7, 0}, /* two deep */
        {WORD_WATCH_REPLY,
         "\x2a\x05\x1a\x03\x0a\x01"
         "\xff",
         7, -EBADMSG}, /* two deep */
        {WORD_WATCH_REPLY,
         "\x2a\x05\x1a\x03\x0a\x01"
         "\0",
         7, -EBADMSG},
        {WORD_HELLO,
         "\x1a\x02"
         "\xff\0",
         4, 0},                                /* bytes may hold anything */
        {WORD_HELLO, "\x08\x01", 2, 0},        /* a router */
        {WORD_HELLO, "\x08\x07", 2, -EBADMSG}, /* a kind without a name */
        {WORD_REPORT, "\x22\x02\x28\x04", 4, 0},
        {WORD_REPORT, "\x22\x02\x28\x05", 4, -EBADMSG}, /* a state without a name */
        {WORD_HELLO,
         "\x22\x05"
         "abc",
         5, -EBADMSG}, /* longer than there is */
        {WORD_HELLO,
         "\xf2\x3f\x01"
         "x",
         4, 0}, /* an unknown field */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(unpack(rows[i].type, rows[i].bytes, rows[i].n) == rows[i].r, "row %zu", i);
}
END_TEST

START_TEST(too_much_is_refused) {
    _cleanup_(freep) uint8_t *p = mem_zalloc(BUS_CONTROL_BYTES + 1);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(unpack(WORD_REPORT, p, BUS_CONTROL_BYTES + 1), -EBADMSG);
    /* A bomb: half a million empty instances want far more memory than a message may take. */
    for (size_t i = 0; i + 1 < BUS_CONTROL_BYTES; i += 2)
        p[i] = 0x22, p[i + 1] = 0x00;
    ck_assert_int_eq(unpack(WORD_REPORT, p, BUS_CONTROL_BYTES), -EBADMSG);
    /* Deep nesting of groups and lengths is not followed: the schema is flat. */
    memset(p, 0x0b, BUS_SMALL_BYTES);
    ck_assert_int_eq(unpack(WORD_HELLO, p, BUS_SMALL_BYTES), -EBADMSG);
}
END_TEST

START_TEST(a_full_page_fits_the_memory_it_may_take) {
    enum { ROUTES = 2000, ENDPOINTS = 3, INSTANCES = 5000 };
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    Berth__Endpoint endpoint = BERTH__ENDPOINT__INIT, *endpoints[ENDPOINTS];
    Berth__Route route = BERTH__ROUTE__INIT, *routes[ROUTES];
    endpoint.address = (char *)"10.0.0.1";
    endpoint.port = 61001;
    endpoint.instance_guid = (char *)"7f1cd84e-4f27-4b43-8a0f-3c2d8a3b";
    route.host = (char *)"a.example.com";
    route.app_guid = (char *)"7f1cd84e-4f27-4b43-8a0f-3c2d8a3b1e11";
    for (int i = 0; i < ENDPOINTS; i++)
        endpoints[i] = &endpoint;
    for (int i = 0; i < ROUTES; i++)
        routes[i] = &route;
    route.endpoints = endpoints;
    route.n_endpoints = ENDPOINTS;
    reply.routes = routes;
    reply.n_routes = ROUTES;
    ck_assert_int_eq(unpack_packed(WORD_WATCH_REPLY, &reply.base), 0);

    Berth__Report report = BERTH__REPORT__INIT;
    Berth__ActualLrp lrp = BERTH__ACTUAL_LRP__INIT, *lrps[INSTANCES];
    Berth__PortMapping port = BERTH__PORT_MAPPING__INIT, *ports[] = {&port, &port};
    lrp.instance_guid = (char *)"7f1cd84e-4f27-4b43-8a0f-3c2d8a3b1e11";
    lrp.process_guid = (char *)"7f1cd84e-4f27-4b43-8a0f-3c2d8a3b1e11-1";
    lrp.ports = ports;
    lrp.n_ports = 2;
    for (int i = 0; i < INSTANCES; i++)
        lrps[i] = &lrp;
    report.instances = lrps;
    report.n_instances = INSTANCES;
    ck_assert_int_eq(unpack_packed(WORD_REPORT, &report.base), 0);
}
END_TEST

START_TEST(mutated_messages_do_no_harm) {
    Berth__Report report = BERTH__REPORT__INIT;
    Berth__ActualLrp lrp = BERTH__ACTUAL_LRP__INIT, *lrps[] = {&lrp, &lrp, &lrp};
    Berth__PortMapping port = BERTH__PORT_MAPPING__INIT, *ports[] = {&port, &port};
    uint8_t p[512];
    lrp.instance_guid = (char *)"7f1cd84e-4f27-4b43-8a0f-3c2d8a3b1e11";
    lrp.reason = (char *)"Exited with status 1";
    port.container_port = 8080;
    lrp.ports = ports;
    lrp.n_ports = 2;
    report.instances = lrps;
    report.n_instances = 3;
    size_t n = berth__report__get_packed_size(&report);
    ck_assert_uint_le(n, sizeof p);
    struct rng rng = {.state = 20260101};
    for (int i = 0; i < 20000; i++) {
        berth__report__pack(&report, p);
        for (uint64_t k = rng_below(&rng, 6); k > 0; k--)
            p[rng_below(&rng, n)] = (uint8_t)rng_next(&rng);
        unpack((enum word_type)(1 + rng_below(&rng, WORD_LOGS_ACK)), p, rng_below(&rng, n + 1));
    }
}
END_TEST

RUN_TESTS("bus/words", every_word_has_its_row, a_router_may_not_report,
          a_message_comes_out_as_it_went_in, an_empty_word_is_empty,
          text_must_be_utf8_without_nul_wherever_it_stands, too_much_is_refused,
          a_full_page_fits_the_memory_it_may_take, mutated_messages_do_no_harm)
