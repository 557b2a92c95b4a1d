/* holdings.h - what the controller is told of the layers here, is asked about layers elsewhere, and
 * wants kept here. Rides on reports and their answers. Pure.
 *
 * Everything first (full, in pages), then what changed. What was asked when a conversation broke is
 * asked again; what was told is told again. */
#ifndef CELL_HOLDINGS_H
#define CELL_HOLDINGS_H

#include "bus.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/bus/token.h"
#include "common/registry/layer_id.h"

#define HOLDINGS_PAGE      2000   /* ids: 64 kB */
#define HOLDINGS_ASKS_PAGE 64     /* bus.proto */
#define HOLDINGS_ASKS_MAX  256    /* waiting; more are answered with nothing */
#define HOLDINGS_KEEP_MAX  100000 /* of a list; what is beyond is not kept */

struct holdings;

/* Where other cells fetch blobs. Copied. */
struct holdings_giver {
    const char *address;
    uint16_t port; /* 0: nowhere */
    uint8_t nonce[TOKEN_NONCE_SIZE];
};

struct holdings_kept {
    uint8_t digest[LAYER_ID_SIZE];
    struct repository_id of; /* for whose apps */
    uint64_t size;
};

struct holdings_ops {
    /* Where a blob that was asked for can be had; NULL: nobody knows. */
    void (*on_places)(void *data, const uint8_t id[LAYER_ID_SIZE], const Berth__Places *places);
    /* All that must be kept. -ENOMEM: it is told again. */
    int (*on_keep)(void *data, const struct holdings_kept *list, size_t n);
    void *data;
};

int holdings_new(struct holdings **ret, const struct holdings_giver *giver,
                 const struct holdings_ops *ops, struct error *err);
void holdings_free(struct holdings *h);
DEFINE_FREEP(holdings)

/* A blob, or a tree, is here now for whom its id tells, or no more. */
void holdings_put(struct holdings *h, bool blob, const uint8_t id[LAYER_ID_SIZE], bool there);
void holdings_ask(struct holdings *h, const uint8_t id[LAYER_ID_SIZE]);
/* The version of the list of what must be kept; 0 says nothing. */
void holdings_keep_version(struct holdings *h, uint64_t version);

void holdings_restart(struct holdings *h); /* a new conversation */
bool holdings_are_due(const struct holdings *h);
/* Adds what is due to a report that is about to be sent; borrowed from `h` until it is answered. */
void holdings_fill(struct holdings *h, Berth__Report *report, uint64_t now_ms);
void holdings_answered(struct holdings *h, const Berth__ReportAck *ack);

#endif
