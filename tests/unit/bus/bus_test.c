/* A hub and nodes over real sockets, as the daemons use them. */
#include "tests/unit/bus/fixture.h"
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>

#define CELL   BERTH__NODE_KIND__NODE_CELL
#define ROUTER BERTH__NODE_KIND__NODE_ROUTER
#define WATCH  BERTH__CONVERSATION__CONVERSATION_WATCH
#define REPORT BERTH__CONVERSATION__CONVERSATION_REPORT
#define LOGS   BERTH__CONVERSATION__CONVERSATION_LOGS

static struct event_base *loop;
static struct hub_owner owner;

static void setup(void) {
    loop = event_base_new();
    owner_setup(&owner, loop);
    owner_listen(&owner, 1);
}

static void teardown(void) {
    owner_close(&owner);
    event_base_free(loop);
    libevent_global_shutdown();
}

START_TEST(a_conversation_opens_asks_and_is_answered) {
    struct node_owner n = {0};
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    ck_assert_int_eq(node_ask(&n, 1, 1000), -ENOTCONN);
    wait_for(loop, n.opens == 1);
    ck_assert_uint_eq(owner.sessions, 1);
    ck_assert_str_eq(owner.last_name, "node under test");
    ck_assert_ptr_eq(hub_find(owner.hub, n.identity.id), owner.last_peer);
    ck_assert_int_eq(owner.last_peer->kind, CELL);
    ck_assert_uint_eq(n.epoch[0], 1);
    n.ask_next = 50;
    ck_assert_int_eq(node_ask(&n, 1, 5000), 0);
    ck_assert_int_eq(node_ask(&n, 2, 5000), -EBUSY);
    wait_for(loop, n.number == 50);
    ck_assert_uint_eq(n.replies, 50);
    ck_assert_uint_eq(owner.requests, 50);
    ck_assert_uint_eq(n.downs, 0);
    struct bus_counters c;
    bus_conversation_counters(n.conversation, &c);
    ck_assert_uint_eq(c.sessions, 1);
    ck_assert_uint_eq(c.received, 51); /* and the proof's ack */
    node_close(&n);
}
END_TEST

START_TEST(each_conversation_of_each_kind_works_on_its_listener) {
    static const struct {
        Berth__NodeKind kind;
        Berth__Conversation conversation;
        int port;
    } rows[] = {
        {CELL, WATCH, PORT_CONTROL},   {CELL, REPORT, PORT_CONTROL}, {CELL, LOGS, PORT_LOGS},
        {ROUTER, WATCH, PORT_CONTROL}, {ROUTER, LOGS, PORT_LOGS},
    };
    struct node_owner n[ARRAY_SIZE(rows)] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        n[i].ask_next = 5;
        node_open(&n[i], &owner, rows[i].kind == CELL ? 1 : 2, rows[i].kind, rows[i].conversation,
                  rows[i].port);
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        wait_for(loop, n[i].number == 5);
    ck_assert_uint_eq(owner.sessions, ARRAY_SIZE(rows));
    ck_assert_uint_eq(hub_connections(owner.hub), ARRAY_SIZE(rows));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        node_close(&n[i]);
}
END_TEST

START_TEST(a_held_watch_is_answered_later) {
    struct node_owner n = {0};
    owner.hold = true;
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.opens == 1);
    node_ask(&n, 1, 10000);
    wait_for(loop, owner.held_count == 1);
    loop_for(loop, 700); /* a link check or two */
    ck_assert_uint_eq(n.replies + n.downs, 0);
    owner_release(&owner);
    wait_for(loop, n.replies == 1);
    ck_assert_uint_eq(n.number, 7);
    node_close(&n);
}
END_TEST

START_TEST(many_held_watches_are_answered_in_slices) {
    enum { NODES = 2 * BUS_REPLIES_A_TURN + 30 };
    static struct node_owner n[NODES];
    memset(n, 0, sizeof n);
    owner.hold = true;
    for (int i = 0; i < NODES; i++)
        node_open(&n[i], &owner, (uint8_t)i, CELL, WATCH, PORT_CONTROL);
    for (int i = 0; i < NODES; i++) {
        wait_for(loop, n[i].opens == 1);
        ck_assert_int_eq(node_ask(&n[i], 1, 20000), 0);
    }
    wait_for(loop, owner.held_count == NODES);
    struct bus_counters before, after;
    hub_counters(owner.hub, &before);
    owner_release(&owner);
    hub_counters(owner.hub, &after);
    ck_assert_uint_le(after.sent - before.sent, BUS_REPLIES_A_TURN);
    for (int i = 0; i < NODES; i++)
        wait_for(loop, n[i].replies == 1);
    for (int i = 0; i < NODES; i++)
        node_close(&n[i]);
}
END_TEST

START_TEST(an_overdue_answer_opens_the_conversation_again) {
    struct node_owner n = {.timeout_ms = 50, .ask_next = 1};
    owner.hold = true;
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.downs == 1);
    ck_assert_str_eq(n.why, "the answer is overdue");
    ck_assert_str_eq(bus_conversation_trouble(n.conversation), n.why);
    n.timeout_ms = 10000;
    wait_for(loop, n.opens == 2);
    ck_assert_uint_eq(owner.drops, 1); /* the request of the session before */
    wait_for(loop, owner.held_count == 1);
    owner_release(&owner);
    wait_for(loop, n.replies == 1);
    node_close(&n);
}
END_TEST

START_TEST(a_new_session_takes_the_request_of_the_old_one_away) {
    struct node_owner old = {0}, new = {0};
    owner.hold = true;
    node_open(&old, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, old.opens == 1);
    node_ask(&old, 1, 60000);
    wait_for(loop, owner.held_count == 1);
    node_open(&new, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, new.opens == 1);
    ck_assert_uint_eq(owner.drops, 1);
    ck_assert_uint_eq(owner.held_count, 0);
    ck_assert_uint_eq(owner.sessions, 2);
    node_close(&old);
    node_close(&new);
}
END_TEST

START_TEST(another_conversation_of_the_node_takes_nothing_away) {
    struct node_owner watch = {0}, report = {.ask_next = 3};
    owner.hold = true;
    node_open(&watch, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, watch.opens == 1);
    node_ask(&watch, 1, 60000);
    wait_for(loop, owner.held_count == 1);
    owner.hold = false;
    node_open(&report, &owner, 1, CELL, REPORT, PORT_CONTROL);
    wait_for(loop, report.number == 3);
    ck_assert_uint_eq(owner.drops, 0);
    owner_release(&owner);
    wait_for(loop, watch.replies == 1);
    node_close(&watch);
    node_close(&report);
}
END_TEST

START_TEST(a_restarted_controller_is_found_at_once) {
    struct node_owner n = {0};
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.opens == 1);
    owner.hold = true;
    node_ask(&n, 1, 60000); /* held by a controller that goes away */
    wait_for(loop, owner.held_count == 1);
    owner_close(&owner);
    uint64_t gone = test_now_ms();
    wait_for(loop, n.downs == 1);
    ck_assert_str_eq(n.why, "the connection broke");
    ck_assert_int_eq(node_ask(&n, 1, 1000), -ENOTCONN);
    owner.hold = false;
    n.ask_next = 9;
    owner_listen(&owner, 2);
    wait_for(loop, n.number == 9);
    ck_assert_uint_eq(n.epoch[0], 2);
    ck_assert_uint_eq(n.opens, 2);
    ck_assert_uint_lt(test_now_ms() - gone, 8000);
    node_close(&n);
}
END_TEST

START_TEST(a_conversation_waits_for_a_controller_that_comes_later) {
    struct node_owner n = {.ask_next = 2};
    owner_close(&owner);
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, strcmp(bus_conversation_trouble(n.conversation), "cannot connect") == 0);
    ck_assert_uint_eq(n.opens + n.downs, 0);
    owner_listen(&owner, 1);
    wait_for(loop, n.number == 2);
    node_close(&n);
}
END_TEST

/* --- owners --- */

START_TEST(fresh_keys_come_between_an_answer_and_the_next_request) {
    struct node_owner n = {0};
    owner.hold = true;
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    bus_conversation_rekey(n.conversation); /* nothing to do yet */
    wait_for(loop, n.opens == 1);
    node_ask(&n, 1, 10000);
    bus_conversation_rekey(n.conversation);
    wait_for(loop, owner.held_count == 1);
    ck_assert_uint_eq(n.downs, 0);
    owner_release(&owner);
    wait_for(loop, n.downs == 1);
    ck_assert_uint_eq(n.replies, 1);
    ck_assert_str_eq(n.why, "time for fresh keys");
    wait_for(loop, n.opens == 2);
    bus_conversation_rekey(n.conversation); /* idle: at once, but from the loop */
    ck_assert_uint_eq(n.downs, 1);
    ck_assert_int_eq(node_ask(&n, 1, 10000), -ENOTCONN);
    wait_for(loop, n.opens == 3);
    ck_assert_uint_eq(n.downs, 2);
    ck_assert_uint_eq(owner.drops, 0);
    node_close(&n);
}
END_TEST

START_TEST(a_port_that_stays_taken_is_an_error) {
    struct hub_config config = {.control_url = url_of(PORT_CONTROL),
                                .logs_url = url_of(PORT_LOGS),
                                .master_key = owner.master};
    struct hub *second = NULL;
    struct error err = {0};
    ck_assert_int_eq(hub_new(&second, loop, &config, &owner.ops, &err), -EADDRINUSE);
    ck_assert_ptr_null(second);
    ck_assert_ptr_nonnull(strstr(err.msg, config.control_url));
    config.control_url = "tcp://127.0.0.1"; /* no port */
    ck_assert_int_eq(hub_new(&second, loop, &config, &owner.ops, &err), -EINVAL);
}
END_TEST

START_TEST(a_request_must_fit_its_conversation) {
    Berth__Report report = BERTH__REPORT__INIT;
    Berth__Watch watch = BERTH__WATCH__INIT;
    struct node_owner n = {0};
    struct error err = {0};
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.opens == 1);
    ck_assert_int_eq(bus_conversation_request(n.conversation, &report.base, 1000, &err), -EINVAL);
    _cleanup_(freep) uint8_t *big = mem_zalloc(BUS_SMALL_BYTES);
    watch.epoch = (ProtobufCBinaryData){BUS_SMALL_BYTES, big};
    ck_assert_int_eq(bus_conversation_request(n.conversation, &watch.base, 1000, &err), -EMSGSIZE);
    ck_assert_int_eq(node_ask(&n, 1, 5000), 0);
    wait_for(loop, n.replies == 1);
    node_close(&n);
}
END_TEST

START_TEST(a_conversation_that_cannot_be_is_refused) {
    static const struct {
        Berth__NodeKind kind;
        Berth__Conversation conversation;
        const char *url;
    } rows[] = {
        {ROUTER, REPORT, "tcp://127.0.0.1:1"},
        {(Berth__NodeKind)5, WATCH, "tcp://127.0.0.1:1"},
        {CELL, WATCH, "ipc:///tmp/berth"},
        {CELL, WATCH, "127.0.0.1:1"},
    };
    struct bus_identity identity = {0};
    struct bus_conversation_ops ops = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Berth__Hello hello = BERTH__HELLO__INIT;
        struct bus_conversation *c = NULL;
        hello.kind = rows[i].kind;
        hello.conversation = rows[i].conversation;
        ck_assert_int_eq(bus_conversation_new(&c, loop, &identity, rows[i].url, &hello, &ops, NULL),
                         -EINVAL);
        ck_assert_ptr_null(c);
    }
}
END_TEST

START_TEST(a_conversation_may_be_freed_inside_its_callbacks) {
    struct node_owner open = {.free_on_open = true}, down = {.free_on_down = true};
    struct node_owner reply = {.free_on_reply = true, .ask_next = 5};
    node_open(&open, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, open.opens == 1);
    ck_assert_ptr_null(open.conversation);
    node_open(&reply, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, reply.replies == 1);
    ck_assert_ptr_null(reply.conversation);
    owner.hold = true;
    node_open(&down, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, down.opens == 1);
    node_ask(&down, 1, 20);
    wait_for(loop, down.downs == 1);
    ck_assert_ptr_null(down.conversation);
    loop_for(loop, 100);
}
END_TEST

START_TEST(the_largest_messages_pass) {
    struct node_owner n = {0};
    Berth__Logs logs = BERTH__LOGS__INIT;
    Berth__LogLine line = BERTH__LOG_LINE__INIT, *lines[4] = {&line, &line, &line, &line};
    _cleanup_(freep) uint8_t *text = mem_zalloc(61440);
    line.message = (ProtobufCBinaryData){61440, text};
    logs.first = 77;
    logs.lines = lines;
    logs.n_lines = 4;
    node_open(&n, &owner, 1, CELL, LOGS, PORT_LOGS);
    wait_for(loop, n.opens == 1);
    ck_assert_int_eq(bus_conversation_request(n.conversation, &logs.base, 5000, NULL), 0);
    wait_for(loop, n.number == 77);
    node_close(&n);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_conversation_opens_asks_and_is_answered,
        each_conversation_of_each_kind_works_on_its_listener,
        a_held_watch_is_answered_later,
        many_held_watches_are_answered_in_slices,
        an_overdue_answer_opens_the_conversation_again,
        a_new_session_takes_the_request_of_the_old_one_away,
        another_conversation_of_the_node_takes_nothing_away,
        a_restarted_controller_is_found_at_once,
        a_conversation_waits_for_a_controller_that_comes_later,
        fresh_keys_come_between_an_answer_and_the_next_request,
        a_port_that_stays_taken_is_an_error,
        a_request_must_fit_its_conversation,
        a_conversation_that_cannot_be_is_refused,
        a_conversation_may_be_freed_inside_its_callbacks,
        the_largest_messages_pass,
    };
    Suite *suite = suite_create("bus/bus");
    TCase *tcase = tcase_create("bus");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
