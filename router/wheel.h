/* wheel.h - deadlines of a worker's connections: a hashed timer wheel, one tick 100 ms.
 *
 * Putting a deadline off is a store: the node stays in its slot and moves on when the slot comes
 * up. So a busy keep-alive connection never touches a list. No clock of its own. */
#ifndef ROUTER_WHEEL_H
#define ROUTER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_MS 100u
#define WHEEL_SLOTS   1024u /* later deadlines than 102 s come by again */

struct wheel_node {
    struct wheel_node *next, *prev; /* NULL while in no slot */
    uint64_t deadline;              /* in ticks; 0: none */
    uint64_t slot_tick;             /* when its slot comes up */
    /* The deadline is over. The node is in no slot then; it may be freed, set or cleared, and so
     * may any other. Set by the owner before wheel_set(). */
    void (*fire)(struct wheel_node *node);
};

struct wheel {
    uint64_t now; /* ticks that have been run */
    struct wheel_node slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* Fires not before deadline_ms and at most two ticks after. */
void wheel_set(struct wheel *w, struct wheel_node *node, uint64_t deadline_ms);
void wheel_clear(struct wheel_node *node); /* takes it out of its slot: before it is freed */

void wheel_run(struct wheel *w, uint64_t now_ms); /* fires what is due */

#endif
