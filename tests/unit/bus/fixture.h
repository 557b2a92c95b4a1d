/* fixture.h - a hub and nodes in one process, on a loopback address of this process alone, with a
 * wire between them that a test can tap. Owners that only record what they were told. */
#ifndef TESTS_UNIT_BUS_FIXTURE_H
#define TESTS_UNIT_BUS_FIXTURE_H

#include <check.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bus/hub.h"
#include "common/bus/node.h"

enum { PORT_CONTROL = 20984, PORT_LOGS = 20985, PORT_TAP = 20986 };

/* "tcp://127.x.y.z:port"; one of a few static buffers. */
const char *url_of(int port);

struct hub_owner { /* what the hub told */
    struct event_base *loop;
    struct hub *hub;
    struct hub_ops ops;
    uint8_t master[BUS_KEY_SIZE];
    uint8_t revoked[BUS_ID_SIZE]; /* this one is not known */
    bool (*admits)(void *data, const uint8_t id[BUS_ID_SIZE], const Berth__Hello *hello);
    uint32_t watch_wait_ms;
    bool hold; /* Watches are kept in held[] instead of being answered */
    struct hub_request *held[2048];
    unsigned held_count;
    unsigned sessions, requests, drops;
    char last_name[64];
    struct hub_peer *last_peer;
};

struct node_owner { /* what a conversation told */
    struct bus_conversation *conversation;
    struct bus_identity identity;
    unsigned opens, downs, replies;
    char why[64];
    uint8_t epoch[BUS_EPOCH_SIZE];
    uint64_t number;   /* of the last reply */
    uint64_t ask_next; /* on_reply asks again until that number; 0: never */
    bool free_on_reply, free_on_open, free_on_down;
    unsigned timeout_ms;
    Berth__Conversation kind;
};

/* Fails the test when the condition does not come true within 20 s (with sanitizers, much shared
 * machine). */
#define wait_for(loop, condition)                                                                  \
    do {                                                                                           \
        uint64_t until_ = test_now_ms() + 20000;                                                   \
        while (!(condition) && test_now_ms() < until_)                                             \
            loop_once(loop);                                                                       \
        ck_assert_msg((condition), "never came true: %s", #condition);                             \
    } while (0)

uint64_t test_now_ms(void);
void loop_once(struct event_base *loop);             /* some events, at most 10 ms */
void loop_for(struct event_base *loop, unsigned ms); /* to see that nothing happens */

void owner_setup(struct hub_owner *o, struct event_base *loop);
void owner_listen(struct hub_owner *o, uint8_t epoch); /* makes the hub */
void owner_close(struct hub_owner *o);
/* Answers a request of any kind with its own number (version, number, first). */
void owner_answer(struct hub_owner *o, struct hub_request *req, const ProtobufCMessage *msg);
void owner_release(struct hub_owner *o); /* answers all that is held, version 7 */

/* Opens a conversation of node `index` of the owner's cluster with `port`. */
void node_open(struct node_owner *n, struct hub_owner *o, uint8_t index, Berth__NodeKind kind,
               Berth__Conversation conversation, int port);
void node_identity(struct hub_owner *o, uint8_t index, struct bus_identity *ret);
void node_close(struct node_owner *n);
/* Sends the request that goes with the conversation; its number comes back. */
int node_ask(struct node_owner *n, uint64_t number, unsigned timeout_ms);

/* --- a wire that is tapped: PORT_TAP in front of PORT_CONTROL, for one conversation --- */

struct bus_socket;
struct tapped {
    uint8_t *bytes;
    size_t n;
    bool to_hub;
};
struct tap {
    struct bus_socket *down, *up;
    uint8_t route[16];         /* of the node, for what goes back */
    struct tapped packets[64]; /* the first ones, as they came */
    unsigned count;
    /* What becomes of a packet: may change it; false drops it. NULL: passes. */
    bool (*pass)(struct tap *tap, bool to_hub, uint8_t *packet, size_t n);
};
void tap_open(struct tap *t, struct event_base *loop);
void tap_close(struct tap *t);
void tap_send(struct tap *t, bool to_hub, const uint8_t *packet, size_t n);

/* A stranger's plain TCP connection to a port, blocking; -1 when it cannot. */
int stranger_connect(int port);

#endif
