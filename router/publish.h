/* publish.h - the current route table, handed from the main thread to the workers.
 *
 * A worker holds one reference to the table it uses and looks at `version` before each lookup: an
 * atomic load. Only when that moved does it take the lock, to swap its reference. The main thread
 * frees old tables, so that a worker never stops for it. */
#ifndef ROUTER_PUBLISH_H
#define ROUTER_PUBLISH_H

#include <pthread.h>
#include <stdatomic.h>

#include "router/table.h"

struct publisher {
    pthread_mutex_t lock;
    _Atomic uint64_t version; /* of `current`; 0 before the first */
    struct table *current;
    struct table **retired; /* main thread: until no worker holds them */
    size_t retired_count;
};

void publisher_init(struct publisher *p);
void publisher_fini(struct publisher *p); /* after the workers ended */

/* Main thread. Takes the caller's reference. */
void publisher_set(struct publisher *p, struct table *t);
void publisher_sweep(struct publisher *p);

/* A worker's view. */
struct view {
    struct table *table; /* NULL before the first */
    uint64_t version;
};
void view_refresh_slow(struct view *v, struct publisher *p);
static inline struct table *view_table(struct view *v, struct publisher *p) {
    if (v->version != atomic_load_explicit(&p->version, memory_order_acquire))
        view_refresh_slow(v, p);
    return v->table;
}
void view_fini(struct view *v);

#endif
