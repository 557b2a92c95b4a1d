/* hub.h - the controller's end of the bus: listeners, sessions, requests to be answered.
 *
 * Unauthenticated bytes are dropped and counted; they kill nothing and make no state but a bounded
 * number of pending handshakes. A request that reaches on_request is of a live session, of the type
 * that fits its conversation, and of a node whose kind may send it. Loop thread only. */
#ifndef COMMON_BUS_HUB_H
#define COMMON_BUS_HUB_H

#include "common/bus/node.h"

struct hub;
struct hub_request; /* a request not yet answered: one a conversation at most */

/* An authenticated node. Lives as long as the hub; `id` is its identity. */
struct hub_peer {
    uint8_t id[BUS_ID_SIZE];
    char id_text[2 * BUS_ID_SIZE + 1]; /* hex */
    Berth__NodeKind kind;
    uint64_t last_heard_mono_ms; /* of any authenticated message */
    void *owner;                 /* the owner's, NULL at first */
};

struct hub_ops {
    /* May this node speak at all? False for an id that was never made or was revoked: it is then
     * dropped as unknown. Called before any key is derived for it (so also for strangers' Hellos:
     * make it cheap), and for every request: a node
     * revoked later loses its sessions with the next message. */
    bool (*knows)(void *data, const uint8_t id[BUS_ID_SIZE]);
    /* May this node be what its Hello (borrowed, authentic, of a kind that may hold the
     * conversation) says? The place to bind an id to its kind. NULL: any. A node's kind never
     * changes during the hub's life in any case. */
    bool (*admits)(void *data, const uint8_t id[BUS_ID_SIZE], const Berth__Hello *hello);
    /* A session of this conversation stands (the node's first message verified); `hello` borrowed.
     */
    void (*on_session)(void *data, struct hub_peer *peer, const Berth__Hello *hello);
    /* `msg` (Berth__Watch, Berth__Report or Berth__Logs) is borrowed. `req` is the owner's until
     * hub_reply(), or until on_dropped() says that its session is gone (replaced by a newer one, or
     * its node revoked) and the request with it. hub_free() frees what is not answered, silently.
     */
    void (*on_request)(void *data, struct hub_peer *peer, struct hub_request *req,
                       const ProtobufCMessage *msg);
    void (*on_dropped)(void *data, struct hub_peer *peer, struct hub_request *req);
    void *data;
};

struct hub_config {
    const char *control_url;   /* "tcp://127.0.0.1:7400": Watch and Report */
    const char *logs_url;      /* "tcp://127.0.0.1:7401": Logs */
    const uint8_t *master_key; /* BUS_KEY_SIZE bytes; copied */
    uint8_t gen;
    uint8_t epoch[BUS_EPOCH_SIZE]; /* random, of this run */
    uint32_t watch_wait_ms;        /* BUS_WATCH_WAIT_MS */
    /* While keys are being rotated: the generation before, also accepted. NULL: none. Copied. */
    const uint8_t *previous_master_key;
    uint8_t previous_gen;
};

/* Listens at once. The ports must lie below the kernel's ip_local_port_range (32768): others may be
 * taken by outgoing connections; -EADDRINUSE after two seconds of trying. hub_free() inside a
 * callback is not allowed. */
int hub_new(struct hub **ret, struct event_base *loop, const struct hub_config *config,
            const struct hub_ops *ops, struct error *err);
void hub_free(struct hub *h);
DEFINE_FREEP(hub)

/* Answers and frees `req`. Never fails visibly: an answer to a node that is gone is dropped.
 * `reply` must be the type that answers the request. May be called for any number of requests at
 * once: the hub sends BUS_REPLIES_A_TURN of them a loop turn. One above BUS_CONTROL_BYTES is
 * dropped and counted as unsendable: page it. */
void hub_reply(struct hub *h, struct hub_request *req, const ProtobufCMessage *reply);

/* The key of tokens that this node will accept (token.h); of the generation that it reports with.
 * -ENOTCONN while it does not; -EIO. */
int hub_token_key(const struct hub *h, const struct hub_peer *peer, uint8_t ret[BUS_KEY_SIZE]);

struct hub_peer *hub_find(struct hub *h, const uint8_t id[BUS_ID_SIZE]); /* NULL: never heard */
void hub_counters(const struct hub *h, struct bus_counters *ret);
unsigned hub_connections(const struct hub *h); /* TCP connections now, of nodes and of strangers */
bool hub_is_listening(const struct hub *h);    /* false while a listener is being made anew */
/* What happens each BUS_TEND_MS by itself: forgets unproved handshakes and the
 * sessions of revoked nodes, makes a listener anew that
 * holds more than BUS_ZOMBIE_SURPLUS connections without a session. */
void hub_tend(struct hub *h);

/* A new node's key under the master key; what bus_identity_read() reads as its file's line.
 * 0, or -EIO when the crypto library fails. */
int hub_derive_identity(const uint8_t master[BUS_KEY_SIZE], uint8_t gen,
                        const uint8_t id[BUS_ID_SIZE], struct bus_identity *ret);
void bus_identity_format(const struct bus_identity *identity, char buf[static 128]);

#endif
