#include "tests/unit/bus/fixture.h"

#include "tests/unit/lib/loopback.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/bus/socket.h"

const char *url_of(int port) {
    static char urls[8][48];
    static unsigned next;
    char *url = urls[next++ % 8];
    snprintf(url, sizeof urls[0], "tcp://%s:%d", loopback_of_tests(), port);
    return url;
}

uint64_t test_now_ms(void) {
    return clock_mono_ms();
}

void loop_once(struct event_base *loop) {
    const struct timeval tick = {.tv_usec = 10000};
    event_base_loopexit(loop, &tick);
    event_base_loop(loop, EVLOOP_ONCE);
}

void loop_for(struct event_base *loop, unsigned ms) {
    for (uint64_t until = test_now_ms() + ms; test_now_ms() < until;)
        loop_once(loop);
}

/* --- the controller --- */

static bool knows(void *data, const uint8_t id[BUS_ID_SIZE]) {
    const struct hub_owner *o = data;
    return id[0] == 'n' && memcmp(id, o->revoked, BUS_ID_SIZE) != 0;
}

static bool admits(void *data, const uint8_t id[BUS_ID_SIZE], const Berth__Hello *hello) {
    const struct hub_owner *o = data;
    return !o->admits || o->admits(data, id, hello);
}

static void on_session(void *data, struct hub_peer *peer, const Berth__Hello *hello) {
    struct hub_owner *o = data;
    o->sessions++;
    o->last_peer = peer;
    snprintf(o->last_name, sizeof o->last_name, "%s", hello->name);
}

void owner_answer(struct hub_owner *o, struct hub_request *req, const ProtobufCMessage *msg) {
    Berth__WatchReply watch = BERTH__WATCH_REPLY__INIT;
    Berth__ReportAck report = BERTH__REPORT_ACK__INIT;
    Berth__LogsAck logs = BERTH__LOGS_ACK__INIT;
    if (msg->descriptor == &berth__watch__descriptor) {
        watch.to = ((const Berth__Watch *)msg)->version;
        hub_reply(o->hub, req, &watch.base);
    } else if (msg->descriptor == &berth__report__descriptor) {
        report.number = ((const Berth__Report *)msg)->number;
        hub_reply(o->hub, req, &report.base);
    } else {
        ck_assert_ptr_eq(msg->descriptor, &berth__logs__descriptor);
        logs.next = ((const Berth__Logs *)msg)->first;
        hub_reply(o->hub, req, &logs.base);
    }
}

static void on_request(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg) {
    struct hub_owner *o = data;
    o->requests++;
    o->last_peer = peer;
    if (!o->hold) {
        owner_answer(o, req, msg);
        return;
    }
    ck_assert_uint_lt(o->held_count, sizeof o->held / sizeof o->held[0]);
    o->held[o->held_count++] = req;
}

static void on_dropped(void *data, struct hub_peer *peer, struct hub_request *req) {
    struct hub_owner *o = data;
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    o->drops++;
    for (unsigned i = 0; i < o->held_count; i++) {
        if (o->held[i] != req)
            continue;
        o->held[i] = o->held[--o->held_count];
        hub_reply(o->hub, req, &reply.base); /* harmless */
        return;
    }
    ck_abort_msg("dropped what was not held");
}

void owner_release(struct hub_owner *o) {
    Berth__WatchReply reply = BERTH__WATCH_REPLY__INIT;
    reply.to = 7;
    for (unsigned i = 0; i < o->held_count; i++)
        hub_reply(o->hub, o->held[i], &reply.base);
    o->held_count = 0;
}

void owner_setup(struct hub_owner *o, struct event_base *loop) {
    memset(o, 0, sizeof *o);
    o->loop = loop;
    o->watch_wait_ms = 4711;
    memset(o->master, 0x5a, sizeof o->master);
    o->ops = (struct hub_ops){.knows = knows,
                              .admits = admits,
                              .on_session = on_session,
                              .on_request = on_request,
                              .on_dropped = on_dropped,
                              .data = o};
}

void owner_listen(struct hub_owner *o, uint8_t epoch) {
    struct error err = {0};
    struct hub_config config = {.control_url = url_of(PORT_CONTROL),
                                .logs_url = url_of(PORT_LOGS),
                                .master_key = o->master,
                                .gen = 3,
                                .watch_wait_ms = o->watch_wait_ms};
    memset(config.epoch, epoch, sizeof config.epoch);
    ck_assert_msg(hub_new(&o->hub, o->loop, &config, &o->ops, &err) == 0, "%s", err.msg);
}

void owner_close(struct hub_owner *o) {
    hub_free(o->hub);
    o->hub = NULL;
    o->held_count = 0;
}

/* --- a node --- */

static void close_inside(struct node_owner *n) {
    bus_conversation_free(n->conversation);
    n->conversation = NULL;
}

static void on_open(void *data, const Berth__HelloAck *ack) {
    struct node_owner *n = data;
    n->opens++;
    ck_assert_uint_eq(ack->epoch.len, sizeof n->epoch);
    ck_assert_uint_eq(ack->watch_wait_ms, 4711);
    memcpy(n->epoch, ack->epoch.data, sizeof n->epoch);
    ck_assert(bus_conversation_is_open(n->conversation));
    ck_assert_str_eq(bus_conversation_trouble(n->conversation), "");
    if (n->free_on_open)
        close_inside(n);
    else if (n->ask_next)
        node_ask(n, 1, n->timeout_ms);
}

static void on_reply(void *data, const ProtobufCMessage *reply) {
    struct node_owner *n = data;
    n->replies++;
    if (reply->descriptor == &berth__watch_reply__descriptor)
        n->number = ((const Berth__WatchReply *)reply)->to;
    else if (reply->descriptor == &berth__report_ack__descriptor)
        n->number = ((const Berth__ReportAck *)reply)->number;
    else if (reply->descriptor == &berth__logs_ack__descriptor)
        n->number = ((const Berth__LogsAck *)reply)->next;
    if (n->free_on_reply)
        close_inside(n);
    else if (n->number < n->ask_next)
        ck_assert_int_eq(node_ask(n, n->number + 1, n->timeout_ms), 0);
}

static void on_down(void *data, const char *why) {
    struct node_owner *n = data;
    n->downs++;
    snprintf(n->why, sizeof n->why, "%s", why);
    ck_assert(!bus_conversation_is_open(n->conversation));
    if (n->free_on_down)
        close_inside(n);
}

void node_identity(struct hub_owner *o, uint8_t index, struct bus_identity *ret) {
    uint8_t id[BUS_ID_SIZE] = {'n', index};
    ck_assert_int_eq(hub_derive_identity(o->master, 3, id, ret), 0);
}

void node_open(struct node_owner *n, struct hub_owner *o, uint8_t index, Berth__NodeKind kind,
               Berth__Conversation conversation, int port) {
    static const uint8_t unset[BUS_ID_SIZE];
    struct bus_conversation_ops ops = {
        .on_open = on_open, .on_reply = on_reply, .on_down = on_down, .data = n};
    Berth__Hello hello = BERTH__HELLO__INIT;
    struct error err = {0};
    hello.kind = kind;
    hello.conversation = conversation;
    hello.name = (char *)"node under test";
    n->kind = conversation;
    if (memcmp(n->identity.id, unset, sizeof unset) == 0)
        node_identity(o, index, &n->identity);
    if (!n->timeout_ms)
        n->timeout_ms = 10000;
    int r = bus_conversation_new(&n->conversation, o->loop, &n->identity, url_of(port), &hello,
                                 &ops, &err);
    ck_assert_msg(r == 0, "%s", err.msg);
}

void node_close(struct node_owner *n) {
    bus_conversation_free(n->conversation);
    n->conversation = NULL;
}

int node_ask(struct node_owner *n, uint64_t number, unsigned timeout_ms) {
    Berth__Watch watch = BERTH__WATCH__INIT;
    Berth__Report report = BERTH__REPORT__INIT;
    Berth__Logs logs = BERTH__LOGS__INIT;
    watch.version = report.number = logs.first = number;
    const ProtobufCMessage *const request[] = {
        [BERTH__CONVERSATION__CONVERSATION_WATCH] = &watch.base,
        [BERTH__CONVERSATION__CONVERSATION_REPORT] = &report.base,
        [BERTH__CONVERSATION__CONVERSATION_LOGS] = &logs.base,
    };
    return bus_conversation_request(n->conversation, request[n->kind], timeout_ms, NULL);
}

/* --- the tap --- */

static_assert(sizeof(struct bus_route) <= sizeof(((struct tap *)0)->route), "a route fits");

void tap_send(struct tap *t, bool to_hub, const uint8_t *packet, size_t n) {
    struct bus_route route = bus_route_request(1);
    uint8_t *copy = bus_packet_new(n);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, packet, n);
    if (!to_hub)
        memcpy(&route, t->route, sizeof route);
    bus_socket_send(to_hub ? t->up : t->down, &route, copy);
}

static void tap_packet(struct tap *t, bool to_hub, uint8_t *packet, size_t n) {
    if (t->count < sizeof t->packets / sizeof t->packets[0])
        t->packets[t->count++] = (struct tapped){mem_dup(packet, n), n, to_hub};
    if (!t->pass || t->pass(t, to_hub, packet, n))
        tap_send(t, to_hub, packet, n);
}

static void on_tap_down(void *data, const struct bus_route *route, uint8_t *packet, size_t n) {
    struct tap *t = data;
    memcpy(t->route, route, sizeof *route);
    tap_packet(t, true, packet, n);
}

static void on_tap_up(void *data, const struct bus_route *route, uint8_t *packet, size_t n) {
    tap_packet(data, false, packet, n);
}

void tap_open(struct tap *t, struct event_base *loop) {
    struct bus_socket_ops down = {.on_packet = on_tap_down, .data = t};
    struct bus_socket_ops up = {.on_packet = on_tap_up, .data = t};
    struct error err = {0};
    ck_assert_msg(bus_socket_listen(&t->down, loop, url_of(PORT_TAP), 2 << 20, &down, &err) == 0,
                  "%s", err.msg);
    ck_assert_msg(bus_socket_connect(&t->up, loop, url_of(PORT_CONTROL), 2 << 20, &up, &err) == 0,
                  "%s", err.msg);
}

void tap_close(struct tap *t) {
    bus_socket_free(t->down);
    bus_socket_free(t->up);
    for (unsigned i = 0; i < t->count; i++)
        free(t->packets[i].bytes);
}

int stranger_connect(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, loopback_of_tests(), &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close_fdp(&fd);
    return -1;
}
