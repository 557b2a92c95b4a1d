/* Who is not let in, a wire that lies, strangers that flood: a good node never notices. */
#include "tests/unit/bus/fixture.h"
#include "tests/unit/lib/runner.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/base/random.h"
#include "common/bus/socket.h"
#include "common/bus/token.h"

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

/* --- who is not let in --- */

/* Opens a conversation that must not come to be; the counters tell why. */
static struct bus_counters refused(struct node_owner *n, uint8_t index, Berth__NodeKind kind,
                                   Berth__Conversation conversation, int port) {
    struct bus_counters c, before;
    hub_counters(owner.hub, &before);
    node_open(n, &owner, index, kind, conversation, port);
    do {
        loop_once(loop);
        hub_counters(owner.hub, &c);
    } while (c.dropped_unknown + c.dropped_forged + c.dropped_malformed ==
             before.dropped_unknown + before.dropped_forged + before.dropped_malformed);
    loop_for(loop, 50);
    hub_counters(owner.hub, &c);
    ck_assert_uint_eq(n->opens, 0);
    node_close(n);
    return c;
}

START_TEST(an_unknown_node_is_not_let_in) {
    struct node_owner n = {0};
    uint8_t id[BUS_ID_SIZE] = {'x'};
    hub_derive_identity(owner.master, 3, id, &n.identity);
    ck_assert_uint_eq(refused(&n, 1, CELL, WATCH, PORT_CONTROL).dropped_unknown, 1);
    ck_assert_ptr_null(hub_find(owner.hub, id));
}
END_TEST

START_TEST(a_node_of_an_unknown_key_generation_is_not_let_in) {
    struct node_owner n = {0};
    node_identity(&owner, 1, &n.identity);
    n.identity.gen = 9;
    ck_assert_uint_eq(refused(&n, 1, CELL, WATCH, PORT_CONTROL).dropped_unknown, 1);
}
END_TEST

START_TEST(a_wrong_key_is_not_let_in_and_disturbs_nobody) {
    struct node_owner good = {.ask_next = 1}, bad = {0};
    node_open(&good, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, good.replies == 1);
    node_identity(&owner, 2, &bad.identity); /* another node's key ... */
    bad.identity.id[1] = 1;                  /* ... under this one's name */
    ck_assert_uint_eq(refused(&bad, 1, CELL, WATCH, PORT_CONTROL).dropped_forged, 1);
    ck_assert_int_eq(node_ask(&good, 2, 5000), 0);
    wait_for(loop, good.number == 2);
    ck_assert_uint_eq(good.downs, 0);
    node_close(&good);
}
END_TEST

START_TEST(a_node_cannot_change_its_kind_or_its_listener) {
    struct node_owner n = {0}, again = {0}, logs = {0}, watch = {0};
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.opens == 1);
    ck_assert_uint_eq(refused(&again, 1, ROUTER, WATCH, PORT_CONTROL).dropped_malformed, 1);
    ck_assert_uint_eq(refused(&logs, 1, CELL, LOGS, PORT_CONTROL).dropped_malformed, 2);
    ck_assert_uint_eq(refused(&watch, 1, CELL, WATCH, PORT_LOGS).dropped_malformed, 3);
    node_close(&n);
}
END_TEST

static bool admits_routers(void *data, const uint8_t id[BUS_ID_SIZE], const Berth__Hello *hello) {
    return hello->kind == ROUTER;
}

START_TEST(the_owner_may_refuse_what_a_hello_says) {
    struct node_owner cell = {0}, router = {0};
    owner.admits = admits_routers;
    ck_assert_uint_eq(refused(&cell, 1, CELL, WATCH, PORT_CONTROL).dropped_malformed, 1);
    node_open(&router, &owner, 2, ROUTER, WATCH, PORT_CONTROL);
    wait_for(loop, router.opens == 1);
    node_close(&router);
}
END_TEST

START_TEST(a_revoked_node_loses_its_sessions_with_its_next_word) {
    struct node_owner watch = {0}, report = {0};
    owner.hold = true;
    node_open(&watch, &owner, 1, CELL, WATCH, PORT_CONTROL);
    node_open(&report, &owner, 1, CELL, REPORT, PORT_CONTROL);
    wait_for(loop, watch.opens == 1 && report.opens == 1);
    node_ask(&watch, 1, 60000);
    wait_for(loop, owner.held_count == 1);
    memcpy(owner.revoked, watch.identity.id, BUS_ID_SIZE);
    node_ask(&report, 1, 200);
    wait_for(loop, owner.drops == 1);
    ck_assert_uint_eq(owner.requests, 1);
    wait_for(loop, report.downs == 1);
    loop_for(loop, 400);
    ck_assert_uint_eq(report.opens, 1);
    node_close(&watch);
    node_close(&report);
}
END_TEST

START_TEST(a_revoked_node_that_is_silent_loses_its_sessions_when_tended) {
    struct node_owner n = {0};
    owner.hold = true;
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.opens == 1);
    node_ask(&n, 1, 60000);
    wait_for(loop, owner.held_count == 1);
    hub_tend(owner.hub);
    ck_assert_uint_eq(owner.drops, 0);
    memcpy(owner.revoked, n.identity.id, BUS_ID_SIZE);
    hub_tend(owner.hub);
    ck_assert_uint_eq(owner.drops, 1);
    node_close(&n);
}
END_TEST

/* The owner again, with `next` as its key and the one that it had as the one before. */
static void begin_rotation(const uint8_t next[BUS_KEY_SIZE]) {
    struct hub_config config = {.control_url = url_of(PORT_CONTROL),
                                .logs_url = url_of(PORT_LOGS),
                                .master_key = next,
                                .gen = 4,
                                .watch_wait_ms = owner.watch_wait_ms,
                                .previous_master_key = owner.master,
                                .previous_gen = 3};
    struct hub_ops ops = owner.ops;
    owner_close(&owner);
    ck_assert_int_eq(hub_new(&owner.hub, loop, &config, &ops, NULL), 0);
}

START_TEST(the_key_generation_before_is_taken_while_keys_rotate) {
    uint8_t next[BUS_KEY_SIZE] = {42};
    struct node_owner old = {.ask_next = 1}, new = {.ask_next = 1};
    uint8_t id[BUS_ID_SIZE] = {'n', 2};
    begin_rotation(next);
    node_open(&old, &owner, 1, CELL, WATCH, PORT_CONTROL);
    hub_derive_identity(next, 4, id, &new.identity);
    node_open(&new, &owner, 2, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, old.replies == 1 && new.replies == 1);
    node_close(&old);
    node_close(&new);
}
END_TEST

static void ck_token_key(const struct bus_identity *cell) {
    const struct hub_peer *peer = hub_find(owner.hub, cell->id);
    uint8_t its[BUS_KEY_SIZE], ours[BUS_KEY_SIZE];
    ck_assert_ptr_nonnull(peer);
    ck_assert_int_eq(token_key(cell->key, its), 0);
    ck_assert_int_eq(hub_token_key(owner.hub, peer, ours), 0);
    ck_assert_mem_eq(its, ours, sizeof its);
}

/* A cell checks tokens by the key that it holds, whichever the others hold by now. */
START_TEST(tokens_are_of_the_key_that_their_cell_holds_while_keys_rotate) {
    uint8_t next[BUS_KEY_SIZE] = {42}, id[BUS_ID_SIZE] = {'n', 2};
    struct node_owner old = {0}, new = {0}, again = {0};
    begin_rotation(next);
    node_open(&old, &owner, 1, CELL, REPORT, PORT_CONTROL);
    hub_derive_identity(next, 4, id, &new.identity);
    node_open(&new, &owner, 2, CELL, REPORT, PORT_CONTROL);
    wait_for(loop, old.opens == 1 && new.opens == 1);
    ck_token_key(&old.identity);
    ck_token_key(&new.identity);
    hub_derive_identity(next, 4, old.identity.id,
                        &again.identity); /* the old one is given its new key */
    node_close(&old);
    node_open(&again, &owner, 1, CELL, REPORT, PORT_CONTROL);
    wait_for(loop, again.opens == 1);
    ck_token_key(&again.identity);
    node_close(&again);
    node_close(&new);
}
END_TEST

/* --- a hostile wire --- */

START_TEST(replayed_and_reflected_packets_change_nothing) {
    struct tap tap = {0};
    struct node_owner n = {.ask_next = 5};
    struct bus_counters hub, node;
    tap_open(&tap, loop);
    node_open(&n, &owner, 1, CELL, WATCH, PORT_TAP);
    wait_for(loop, n.number == 5);
    unsigned count = tap.count;
    ck_assert_uint_eq(count, 14); /* Hello, Done, five Watches and as many answers */
    for (unsigned i = 0; i < count; i++) {
        tap_send(&tap, true, tap.packets[i].bytes, tap.packets[i].n);
        tap_send(&tap, false, tap.packets[i].bytes, tap.packets[i].n);
        loop_for(loop, 5);
    }
    hub_counters(owner.hub, &hub);
    bus_conversation_counters(n.conversation, &node);
    ck_assert_uint_ge(hub.dropped_replayed, 12); /* all but the Hello, which is a true one */
    ck_assert_uint_ge(node.dropped_replayed, 10);
    n.ask_next = 9;
    ck_assert_int_eq(node_ask(&n, 6, 5000), 0);
    wait_for(loop, n.number == 9);
    ck_assert_uint_eq(n.opens, 1);
    ck_assert_uint_eq(n.downs, 0);
    ck_assert_uint_eq(owner.sessions, 1);
    ck_assert_uint_eq(owner.requests, 9);
    node_close(&n);
    tap_close(&tap);
}
END_TEST

START_TEST(replayed_hellos_are_limited_and_displace_nothing) {
    struct tap tap = {0};
    struct node_owner n = {.ask_next = 1};
    struct bus_counters c;
    tap_open(&tap, loop);
    node_open(&n, &owner, 1, CELL, WATCH, PORT_TAP);
    wait_for(loop, n.number == 1);
    for (int i = 0; i < 3 * BUS_HELLO_BURST; i++) {
        tap_send(&tap, true, tap.packets[0].bytes, tap.packets[0].n);
        loop_for(loop, 1);
    }
    wait_for(loop, (hub_counters(owner.hub, &c), c.dropped_limited > 0));
    n.ask_next = 9;
    ck_assert_int_eq(node_ask(&n, 2, 5000), 0);
    wait_for(loop, n.number == 9);
    ck_assert_uint_eq(n.downs, 0);
    ck_assert_uint_eq(owner.sessions, 1);
    node_close(&n);
    tap_close(&tap);
}
END_TEST

static bool spoil_answers(struct tap *tap, bool to_hub, uint8_t *packet, size_t n) {
    if (!to_hub && n > 70 && packet[5] == 6) /* a WatchReply */
        packet[n - 1] ^= 1;
    return true;
}

static bool spoil_acks(struct tap *tap, bool to_hub, uint8_t *packet, size_t n) {
    if (!to_hub && packet[5] == 2)
        packet[60] ^= 1;
    return true;
}

START_TEST(a_spoilt_answer_is_dropped_and_the_request_overdue) {
    struct tap tap = {.pass = spoil_answers};
    struct node_owner n = {.ask_next = 1, .timeout_ms = 200};
    struct bus_counters c;
    tap_open(&tap, loop);
    node_open(&n, &owner, 1, CELL, WATCH, PORT_TAP);
    wait_for(loop, n.downs == 1);
    ck_assert_str_eq(n.why, "the answer is overdue");
    bus_conversation_counters(n.conversation, &c);
    ck_assert_uint_eq(c.dropped_forged, 1);
    ck_assert_uint_eq(n.replies, 0);
    tap.pass = NULL;
    wait_for(loop, n.replies == 1);
    node_close(&n);
    tap_close(&tap);
}
END_TEST

START_TEST(a_spoilt_ack_does_not_end_the_handshake) {
    struct tap tap = {.pass = spoil_acks};
    struct node_owner n = {0};
    struct bus_counters c;
    tap_open(&tap, loop);
    node_open(&n, &owner, 1, CELL, WATCH, PORT_TAP);
    wait_for(loop, (bus_conversation_counters(n.conversation, &c), c.dropped_forged == 1));
    /* The true one comes after the false one: as recorded, before it was spoilt. */
    ck_assert_uint_eq(tap.packets[1].bytes[5], 2);
    tap.pass = NULL;
    tap_send(&tap, false, tap.packets[1].bytes, tap.packets[1].n);
    wait_for(loop, n.opens == 1);
    node_close(&n);
    tap_close(&tap);
}
END_TEST

/* --- strangers --- */

/* What a raw REQ peer says first (SP, protocol 0x30). */
static const uint8_t req_header[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

/* Asks on in the background of a test; done when it got there without ever going down. */
static void begin_busy(struct node_owner *good, Berth__Conversation conversation) {
    good->ask_next = UINT64_MAX;
    node_open(good, &owner, 1, CELL, conversation, PORT_CONTROL);
    wait_for(loop, good->number > 10);
}

static void end_busy(struct node_owner *good) {
    uint64_t so_far = good->number;
    wait_for(loop, good->number > so_far + 20);
    ck_assert_uint_eq(good->downs, 0);
    ck_assert_uint_eq(good->opens, 1);
    node_close(good);
}

static void say_and_go(const void *p, size_t n, bool reset) {
    const struct linger hard = {.l_onoff = 1};
    int fd = stranger_connect(PORT_CONTROL);
    ck_assert_int_ge(fd, 0);
    if (n > 0 && send(fd, p, n, MSG_NOSIGNAL) < 0)
        ck_assert(errno == EPIPE || errno == ECONNRESET);
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    loop_once(loop);
    close(fd);
}

START_TEST(a_flood_of_bytes_over_tcp_does_not_disturb_a_good_node) {
    struct node_owner good = {0};
    struct rng rng = {.state = 4};
    uint8_t junk[4096];
    begin_busy(&good, WATCH);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = (uint8_t)rng_next(&rng);
        if (round % 2)
            memcpy(junk, req_header, sizeof req_header);
        if (round % 4 == 3) { /* a frame of a size that may be, then bytes of any kind */
            memset(junk + 8, 0, 8);
            junk[15] = 100;
        }
        say_and_go(junk, rng_below(&rng, sizeof junk), round % 3 == 0);
    }
    end_busy(&good);
}
END_TEST

START_TEST(a_flood_of_empty_frames_is_counted) {
    enum { FRAMES = 2000 };
    struct node_owner good = {0};
    struct bus_counters c;
    begin_busy(&good, WATCH);
    int fd = stranger_connect(PORT_CONTROL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(send(fd, req_header, 8, MSG_NOSIGNAL), 8);
    for (int i = 0; i < FRAMES; i++) { /* no request id in it: nanomsg drops them */
        ck_assert_int_eq(send(fd, "\0\0\0\0\0\0\0\0", 8, MSG_NOSIGNAL), 8);
        if (i % 50 == 0)
            loop_once(loop);
    }
    wait_for(loop, (hub_counters(owner.hub, &c), c.garbage > FRAMES / 4));
    close(fd);
    end_busy(&good);
}
END_TEST

START_TEST(a_flood_of_packets_from_a_nanomsg_peer_is_dropped_and_counted) {
    enum { PACKETS = 3000 };
    struct node_owner good = {0};
    struct bus_socket *stranger;
    struct bus_socket_ops ops = {0};
    struct bus_counters c;
    struct rng rng = {.state = 5};
    begin_busy(&good, WATCH);
    ck_assert_int_eq(bus_socket_connect(&stranger, loop, url_of(PORT_CONTROL), 1 << 20, &ops, NULL),
                     0);
    wait_for(loop, bus_socket_connections(stranger) == 1);
    for (int i = 0; i < PACKETS; i++) {
        struct bus_route route = bus_route_request((uint32_t)i);
        size_t n = rng_below(&rng, 200);
        uint8_t *packet = bus_packet_new(n);
        for (size_t k = 0; k < n; k++)
            packet[k] = (uint8_t)rng_next(&rng);
        if (i % 2 && n >= 72) { /* a header that could be one */
            static const uint8_t like[] = {'C', 'F', 'B', '1', 1, 5, 0, 3, 'n', 1};
            memset(packet, 0, 56);
            memcpy(packet, like, sizeof like);
            packet[39] = 1;
            packet[51] = (uint8_t)(n - 72);
        }
        bus_socket_send(stranger, &route, packet);
        if (i % 20 == 0)
            loop_once(loop);
    }
    /* The stranger's own pipe may be busy: not every one leaves. */
    wait_for(loop, (hub_counters(owner.hub, &c), c.dropped_malformed > PACKETS / 4));
    ck_assert_uint_gt(c.dropped_unknown, PACKETS / 20);
    ck_assert_uint_eq(owner.sessions, 1);
    bus_socket_free(stranger);
    end_busy(&good);
}
END_TEST

START_TEST(a_frame_above_the_limit_ends_its_connection_only) {
    static const uint8_t lengths[][8] = {
        {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0, 0, 0, 0, 0, 0x10, 0x02, 0x01}, /* a byte more than a Report and its envelope */
    };
    struct node_owner good = {0};
    begin_busy(&good, WATCH);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        uint8_t byte;
        ssize_t n = -1;
        int fd = stranger_connect(PORT_CONTROL);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(send(fd, req_header, 8, MSG_NOSIGNAL), 8);
        ck_assert_int_eq(send(fd, lengths[i], 8, MSG_NOSIGNAL), 8);
        wait_for(loop, (n = recv(fd, &byte, 1, MSG_DONTWAIT)) == 0 || /* end, after its header */
                           (n < 0 && errno == ECONNRESET));
        close(fd);
    }
    end_busy(&good);
}
END_TEST

START_TEST(a_listener_full_of_strangers_is_made_anew) {
    enum { STRANGERS = BUS_ZOMBIE_SURPLUS + 20 };
    static int fds[STRANGERS];
    struct node_owner n = {.ask_next = 1};
    struct bus_counters c;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    node_open(&n, &owner, 1, CELL, WATCH, PORT_CONTROL);
    wait_for(loop, n.replies == 1);
    for (int i = 0; i < STRANGERS; i++) {
        fds[i] = stranger_connect(PORT_CONTROL);
        ck_assert_int_ge(fds[i], 0);
        ck_assert_int_eq(send(fds[i], req_header, 8, MSG_NOSIGNAL), 8);
        if (i % 50 == 49) /* nanomsg's backlog is 100 */
            wait_for(loop, hub_connections(owner.hub) > (unsigned)i);
        if (i == BUS_ZOMBIE_SURPLUS / 2)
            hub_tend(owner.hub);
    }
    hub_counters(owner.hub, &c);
    ck_assert_uint_eq(c.rebinds, 0);
    wait_for(loop, hub_connections(owner.hub) == STRANGERS + 1);
    hub_tend(owner.hub);
    hub_counters(owner.hub, &c);
    ck_assert_uint_eq(c.rebinds, 1);
    wait_for(loop, hub_is_listening(owner.hub));
    wait_for(loop, n.replies == 2); /* it came back by itself */
    ck_assert_uint_le(hub_connections(owner.hub), 2);
    for (int i = 0; i < STRANGERS; i++)
        close(fds[i]);
    node_close(&n);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        an_unknown_node_is_not_let_in,
        a_node_of_an_unknown_key_generation_is_not_let_in,
        a_wrong_key_is_not_let_in_and_disturbs_nobody,
        a_node_cannot_change_its_kind_or_its_listener,
        the_owner_may_refuse_what_a_hello_says,
        a_revoked_node_loses_its_sessions_with_its_next_word,
        a_revoked_node_that_is_silent_loses_its_sessions_when_tended,
        the_key_generation_before_is_taken_while_keys_rotate,
        tokens_are_of_the_key_that_their_cell_holds_while_keys_rotate,
        replayed_and_reflected_packets_change_nothing,
        replayed_hellos_are_limited_and_displace_nothing,
        a_spoilt_answer_is_dropped_and_the_request_overdue,
        a_spoilt_ack_does_not_end_the_handshake,
        a_flood_of_bytes_over_tcp_does_not_disturb_a_good_node,
        a_flood_of_empty_frames_is_counted,
        a_flood_of_packets_from_a_nanomsg_peer_is_dropped_and_counted,
        a_frame_above_the_limit_ends_its_connection_only,
        a_listener_full_of_strangers_is_made_anew,
    };
    Suite *suite = suite_create("bus/hostile");
    TCase *tcase = tcase_create("bus");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
