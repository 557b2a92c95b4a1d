/* report.h - what the controller was told of this cell's instances, and what is still to be told.
 *
 * Pure. Keeps the latest state of every instance; gives Report messages: everything first (full,
 * in pages), then what changed; one at a time. A final state (CRASHED, STOPPED) is repeated until
 * it is acknowledged, then forgotten here and told to the owner. */
#ifndef CELL_REPORT_H
#define CELL_REPORT_H

#include "bus.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct report;

int report_new(struct report **ret, void (*on_final_acknowledged)(void *data, const char *guid),
               void *data, struct error *err);
void report_free(struct report *r);
DEFINE_FREEP(report)

/* The instance's state is now this; copied. Same as before: nothing happens. -ENOMEM. */
int report_put(struct report *r, const Berth__ActualLrp *lrp, struct error *err);
/* Forgets it untold: it never got that far. */
void report_remove(struct report *r, const char *guid);

/* A new conversation: everything is to be told again. */
void report_restart(struct report *r);
/* The next message, borrowed until the next call; NULL while one is under way or there is nothing
 * to tell. What is said besides instances is the caller's to add. */
Berth__Report *report_next(struct report *r, const Berth__Capacity *free);
/* The answer to the message under way. False: it was not taken, all of it is to be told again. */
bool report_acknowledged(struct report *r, const Berth__ReportAck *ack);
/* The free capacity changed: worth a message of its own. */
void report_touch(struct report *r);
/* From now on every message says that this cell is to be emptied. */
void report_evacuating(struct report *r);
bool report_evacuation_is_known(const struct report *r); /* one that said so was acknowledged */

#endif
