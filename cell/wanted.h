/* wanted.h - the set of instances that the controller wants here, from WatchReply pages.
 *
 * Pure. What a page adds is told at once; what it withdraws too. What a full set (from = 0) does
 * not name is told as unwanted only with its last page, so that nothing stops for a page not yet
 * seen, and nothing at all before a first full set is complete. Versions begin with 1: to = 0 says
 * nothing. */
#ifndef CELL_WANTED_H
#define CELL_WANTED_H

#include "bus.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct wanted;

struct wanted_ops {
    void (*on_wanted)(void *data, const Berth__Assignment *a); /* idempotent: may be known */
    void (*on_unwanted)(void *data, const char *instance_guid);
    /* A full set is complete: ask wanted_has() for every instance. */
    void (*on_complete)(void *data);
    void *data;
};

int wanted_new(struct wanted **ret, const struct wanted_ops *ops, struct error *err);
void wanted_free(struct wanted *w);
DEFINE_FREEP(wanted)

/* Fills the next request; its epoch points into `w`. */
void wanted_fill(const struct wanted *w, Berth__Watch *watch);
/* Takes a page. -EPROTO: it does not go on from what is known, or is malformed (nothing of it was
 * taken; the next request asks for the full set). -ENOMEM likewise. */
int wanted_apply(struct wanted *w, const Berth__WatchReply *reply, struct error *err);
bool wanted_has(const struct wanted *w, const char *instance_guid);
bool wanted_is_complete(const struct wanted *w);

/* May this assignment be run at all: ids that are safe as file names, an image, a command, numbers
 * in range, text that is UTF-8? The bus is authenticated, but the words are still checked. */
int wanted_check(const Berth__Assignment *a, struct error *err);

#endif
