/* workers.h - blocking work off the event loop, its result back on it.
 *
 * work() runs on one of a few threads; done() runs later on the loop that the pool was made with,
 * always, exactly once, also when the pool is shutting down. Jobs start in the order given. */
#ifndef COMMON_BASE_WORKERS_H
#define COMMON_BASE_WORKERS_H

#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct workers;

int workers_new(struct workers **ret, struct event_base *loop, unsigned threads, struct error *err);
/* Waits for running jobs; calls done() of every job not yet told. NULL is fine. */
void workers_free(struct workers *w);
DEFINE_FREEP(workers)

/* `arg` belongs to the job from here on: done() gives it back or frees it. Returns 0 or -ENOMEM
 * (nothing is called then). Loop thread only. */
int workers_run(struct workers *w, void (*work)(void *arg), void (*done)(void *arg), void *arg);

#endif
