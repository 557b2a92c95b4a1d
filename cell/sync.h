/* sync.h - the cell's three conversations with the controller: watch, report, logs.
 *
 * Watch asks what should run here (wanted.h), Report tells what does (report.h), Logs carries the
 * outbox. Each opens itself again by itself; nothing that runs depends on any of them. */
#ifndef CELL_SYNC_H
#define CELL_SYNC_H

#include "bus.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#include "cell/holdings.h"
#include "cell/outbox.h"
#include "cell/wanted.h"
#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/bus/node.h"

struct event_base;
struct sync;

#define SYNC_LOGS_TIMEOUT_MS 10000 /* an ack withheld that long: the conversation opens again */
#define SYNC_FIRST_CREDIT    (64u << 10)  /* bytes of a first batch, before an ack gives credit */
#define SYNC_MAX_BATCH       (192u << 10) /* of the 256 kB that a Logs message may have */
#define SYNC_RETRY_MS        1000 /* after a reply that cannot be taken, without credit, not taken */

struct sync_ops {
    struct wanted_ops wanted;                       /* its `data` too */
    struct holdings_ops layers;                     /* its `data` too */
    void (*on_final)(void *data, const char *guid); /* its end is acknowledged: forget it */
    void (*on_room)(void *data);                    /* the outbox has room again */
    void (*free_capacity)(void *data, Berth__Capacity *ret);
    void *data;
};

/* Copied or borrowed until sync_free(): outbox and loop. `hello` is a template: kind and
 * conversation are filled. */
struct sync_config {
    const struct bus_identity *identity;
    const char *control_url, *logs_url;
    const Berth__Hello *hello;
    struct outbox *outbox;
    const struct holdings_giver *giver;
};
int sync_new(struct sync **ret, struct event_base *loop, const struct sync_config *config,
             const struct sync_ops *ops, struct error *err);
void sync_free(struct sync *s);
DEFINE_FREEP(sync)

void sync_put(struct sync *s, const Berth__ActualLrp *lrp); /* an instance's state is now this */
void sync_remove(struct sync *s, const char *guid);
/* A blob, or a tree, is here now for whom its id tells, or no more. */
void sync_hold(struct sync *s, bool blob, const uint8_t id[LAYER_ID_SIZE], bool there);
void sync_locate(struct sync *s, const uint8_t id[LAYER_ID_SIZE]); /* on_places answers */
void sync_touch(struct sync *s);                                   /* the free capacity changed */
void sync_evacuating(struct sync *s); /* told with every report from now on */
bool sync_evacuation_is_known(const struct sync *s);
void sync_kick_logs(struct sync *s);   /* the outbox has something to send */
bool sync_is_up(const struct sync *s); /* watch and report stand */
bool sync_is_wanted(const struct sync *s, const char *guid);
void sync_counters(const struct sync *s, struct bus_counters *ret); /* of all three */

#endif
