/* nodes_world.h - the glue with a real bus on loopback: a brain that decides, and nodes that say
 * what the test wants. */
#ifndef TESTS_UNIT_NODES_NODES_WORLD_H
#define TESTS_UNIT_NODES_NODES_WORLD_H

#include "tests/unit/lib/runner.h"

#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/nodes.h"
#include "controller/store/store.h"

#define TEXT(s)  ((char *)(s))
#define APP_GUID "11111111-1111-4111-8111-111111111111"

/* --- the controller --- */

extern struct event_base *loop;
extern struct logs *logs;
extern struct lrp *lrp;
extern struct store *store;
extern struct nodes *nodes;
extern char dir[64], revoked[96];
extern uint32_t wait_ms;   /* how long a watch is held; 0: as in earnest */
extern uint64_t settle_ms; /* the brain's */
extern unsigned foreign_calls;
extern char foreign_said[160]; /* the last one */

void setup(void);
void teardown(void);
void start_controller(void);
void stop_controller(void);
/* Turns the loop until it is so. */
void wait_until(bool (*done)(void *arg), void *arg, const char *what);

/* APP_GUID should have so many instances, each description as large as `padding` makes it. */
void desire(uint32_t instances, size_t padding);

/* --- nodes --- */

/* One conversation of a node. */
struct peer {
    struct bus_identity identity;
    struct bus_conversation *conversation;
    bool open;
    unsigned downs, replies;
    /* what the last answer was */
    Berth__WatchReply *watch;
    Berth__ReportAck *ack;
    uint64_t number, next, credit;
    bool want_full;
};

void peer_identity(struct peer *p, Berth__NodeKind kind);
void peer_connect(struct peer *p, Berth__NodeKind kind, Berth__Conversation conversation);
void peer_fini(struct peer *p);
bool is_open(void *peer);
bool has_reply(void *peer);

/* Asks once the conversation is open; has_reply() is to come. */
void ask(struct peer *p, const ProtobufCMessage *request);
void send_watch(struct peer *p);
void report(struct peer *p, bool full, Berth__ActualLrp **instances, size_t n); /* acknowledged */

extern struct peer cell_watch, cell_report, cell_logs, router;

void make_cell(void);
void cell_joins(void);
void all_leave(void);
void say_running(const Berth__Assignment *a); /* the cell */

#endif
