/* words.h - the words of the bus: which message is which type byte, who may say it where, how big
 * it may be; packing, and unpacking what came from outside with bounded memory and checked text. */
#ifndef COMMON_BUS_WORDS_H
#define COMMON_BUS_WORDS_H

#include "bus.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bus/seal.h"

enum word_type { /* the envelope's type byte; never renumber */
                 WORD_HELLO = 1,
                 WORD_HELLO_ACK = 2,
                 WORD_DONE = 3, /* the node's first sealed message: proves the session */
                 WORD_DONE_ACK = 4,
                 WORD_WATCH = 5,
                 WORD_WATCH_REPLY = 6,
                 WORD_REPORT = 7,
                 WORD_REPORT_ACK = 8,
                 WORD_LOGS = 9,
                 WORD_LOGS_ACK = 10,
};

struct word {
    enum word_type type;
    enum word_type answer;                        /* of a request; else 0 */
    enum seal_direction direction;                /* who says it */
    bool handshake;                               /* sealed by the handshake's keys */
    const ProtobufCMessageDescriptor *descriptor; /* NULL: the message is empty */
    size_t max_bytes;                             /* packed */
};

const struct word *word_of_type(uint8_t type);                   /* NULL: no such word */
const struct word *word_of_message(const ProtobufCMessage *msg); /* NULL: not of the bus */
const struct word *word_of_conversation(Berth__Conversation conversation); /* its request */

/* May a node of this kind hold this conversation? False also for values that have no name. */
bool word_kind_may(Berth__NodeKind kind, Berth__Conversation conversation);

/* A message from outside, in one block of memory. */
struct unpacked {
    const ProtobufCMessage *msg; /* NULL for an empty word */
    void *memory;                /* owned: everything that msg points to */
};

/* Unpacks n authenticated bytes. Every text in it is UTF-8 without NUL, every enum has a name.
 * -EBADMSG: not this message, or too much of it; -ENOMEM. *ret is to be finished only after 0. */
int word_unpack(const struct word *word, const uint8_t *p, size_t n, struct unpacked *ret);
void unpacked_fini(struct unpacked *u); /* guard for _cleanup_ */

#endif
