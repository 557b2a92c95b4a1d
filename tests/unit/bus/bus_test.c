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

int main(void) {
    const TTest *const tests[] = {
        a_conversation_opens_asks_and_is_answered,
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
