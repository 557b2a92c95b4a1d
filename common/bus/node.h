/* node.h - a cell's or router's end of the bus: one conversation with the controller.
 *
 * One conversation is one connection (a raw REQ socket) with one request in flight. It opens itself
 * with a sealed Hello, opens itself again after silence or an error (with back-off and jitter), and
 * tells its owner. Everything on the loop's thread, and after daemonising: nanomsg has a thread.
 * See README.md for the envelope, times.h for the times and limits. */
#ifndef COMMON_BUS_NODE_H
#define COMMON_BUS_NODE_H

#include "bus.pb-c.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/bus/times.h"

struct event_base;
struct bus_conversation;

#define BUS_ID_SIZE    16
#define BUS_KEY_SIZE   32
#define BUS_EPOCH_SIZE 8

/* Who a node is. Read from its key file, made by deploy (`berth-controller --make-node-key`). */
struct bus_identity {
    uint8_t id[BUS_ID_SIZE];
    uint8_t key[BUS_KEY_SIZE]; /* HKDF(master[gen], id): this node's only */
    uint8_t gen;               /* of the master key */
};

/* Key file: one line "berth-node-1 GEN ID KEY" in hex, mode 0600. -EPERM: others may read it;
 * -EINVAL: something else is in it. */
int bus_identity_read(const char *path, struct bus_identity *ret, struct error *err);

struct bus_conversation_ops {
    /* A session stands: the first request may be sent. `ack` is borrowed. */
    void (*on_open)(void *data, const Berth__HelloAck *ack);
    /* The answer to the request in flight, of the type that goes with it (WatchReply to Watch ...).
     * Borrowed, authenticated and unpacked; the next request may be sent from inside. */
    void (*on_reply)(void *data, const ProtobufCMessage *reply);
    /* The session is gone, the request in flight with it; it is being re-opened. `why` is a
     * constant. Only after on_open: while it cannot open, see bus_conversation_trouble(). */
    void (*on_down)(void *data, const char *why);
    void *data;
};
/* Any of them may free the conversation. */

/* `url` is "tcp://host:port". `hello` is copied; kind and conversation must be set, share need not.
 * All callbacks come later, from the loop. -EINVAL, -EMSGSIZE, -ENOMEM. */
int bus_conversation_new(struct bus_conversation **ret, struct event_base *loop,
                         const struct bus_identity *identity, const char *url,
                         const Berth__Hello *hello, const struct bus_conversation_ops *ops,
                         struct error *err);
void bus_conversation_free(struct bus_conversation *c);
static inline void bus_conversation_freep(struct bus_conversation **c) {
    bus_conversation_free(*c);
}

/* Sends a Watch, Report or Logs (the one of this conversation). The answer is overdue after
 * timeout_ms: then the conversation goes down and opens again.
 * -ENOTCONN before on_open (and, once a day, when fresh keys are due: on_down and on_open follow),
 * -EBUSY while a request is in flight, -EINVAL for another conversation's, -EMSGSIZE, -ENOMEM. */
int bus_conversation_request(struct bus_conversation *c, const ProtobufCMessage *request,
                             unsigned timeout_ms, struct error *err);
/* Opens it anew with fresh keys, after the answer in flight: on_down, then on_open. It does so by
 * itself once a day; a machine that was suspended or copied wants it at once. */
void bus_conversation_rekey(struct bus_conversation *c);
bool bus_conversation_is_open(const struct bus_conversation *c);
/* Why it is not open, in a few constant words: for logs and health. "" when it is. */
const char *bus_conversation_trouble(const struct bus_conversation *c);

struct bus_counters {
    uint64_t sent, received, sessions; /* packets sent; authentic messages; sessions opened */
    uint64_t dropped_malformed;        /* no envelope, or an authentic message out of its place */
    uint64_t dropped_unknown;          /* of a node, key generation or session that is not known */
    uint64_t dropped_forged;           /* not sealed with the key of whom it names */
    uint64_t dropped_replayed;         /* seen before, reflected, or out of sequence */
    uint64_t timeouts;                 /* node: answers that did not come in time */
    uint64_t dropped_limited;          /* hub: Hellos above the rate limits */
    uint64_t garbage;                  /* hub: what nanomsg itself could not route */
    uint64_t unsendable;               /* hub: answers too big, or without memory, to be sent */
    uint64_t rebinds;                  /* hub: listeners made anew to be rid of zombies */
};
void bus_conversation_counters(const struct bus_conversation *c, struct bus_counters *ret);

#endif
