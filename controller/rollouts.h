/* rollouts.h - deployments on the event loop: taken on when an instance of any app changed, and
 * every second while there are any. */
#ifndef CONTROLLER_ROLLOUTS_H
#define CONTROLLER_ROLLOUTS_H

#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct rollouts;
struct staging;

/* Looks for deployments to take on soon after. Both borrowed. */
int rollouts_new(struct rollouts **ret, struct event_base *loop, struct staging *staging,
                 struct error *err);
void rollouts_free(struct rollouts *r);
DEFINE_FREEP(rollouts)

void rollouts_begun(struct rollouts *r);   /* there is, or was changed, a deployment */
void rollouts_changed(struct rollouts *r); /* something began or ceased to run: cheap to call */

#endif
