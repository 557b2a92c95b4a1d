/* worker.h - one event loop thread: its listeners, its connections, everything a request touches.
 *
 * A worker shares nothing that it writes with another one, but for marks, turns and loads of
 * endpoints (relaxed atomics). The main thread tells it things through flags and one eventfd. */
#ifndef ROUTER_WORKER_H
#define ROUTER_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/random.h"
#include "router/access_log.h"
#include "router/backend.h"
#include "router/buf.h"
#include "router/config.h"
#include "router/counters.h"
#include "router/head.h"
#include "router/publish.h"
#include "router/tls.h"
#include "router/wheel.h"

#define WORKER_LISTENERS 2                         /* plain, TLS */
#define HEAD_SPACE       (BUF_HEADROOM + BUF_READ) /* of a rewritten head */
#define WORKER_STUCK_MS  5000                      /* fifty ticks: no request takes so long */

struct client;

/* What all workers share. Owned by main(). */
struct shared {
    const struct router_config *config;
    struct publisher publisher;
    struct access_sink *sink;
    pthread_mutex_t tls_lock;
    struct tls_set *tls; /* current certificates; NULL without TLS */
};

struct listener {
    struct event event;
    int fd; /* owned; -1: none */
    bool tls;
    struct worker *worker;
};

struct worker {
    struct shared *shared;
    const struct router_config *config;
    unsigned index;
    pthread_t thread;
    bool started;
    struct event_base *loop;
    struct event wake_event, tick_event;
    int wake_fd;
    struct listener listeners[WORKER_LISTENERS];
    bool accept_paused; /* out of descriptors: until the next second */
    uint64_t accept_again_ms;

    struct wheel wheel;
    struct buf_pool bufs;
    struct backend_pools pools;
    struct view view;
    struct access_batch log;
    struct rng rng;
    struct counters counters;
    uint64_t wall_offset_ns; /* wall clock minus monotonic, renewed each tick */

    struct client *clients;            /* all open ones */
    struct client *ready, **ready_end; /* to be stepped again after this turn of the loop */
    struct client *dead;               /* closed: freed after this turn */
    struct backend *dead_backends, *probes;

    _Atomic bool drain, stop; /* set by main */
    _Atomic uint64_t beat_ms; /* of its last tick; for main */
    bool draining;

    struct head head;         /* the one being parsed */
    char scratch[HEAD_SPACE]; /* the one being written */
};

int worker_new(struct worker **ret, struct shared *shared, unsigned index, struct error *err);
/* Binds its listeners; a worker's thread starts with worker_start(). */
int worker_listen(struct worker *w, struct error *err);
int worker_start(struct worker *w, struct error *err);
void worker_begin_drain(struct worker *w); /* from main: no new connections, idle ones end */
bool worker_is_stuck(const struct worker *w,
                     uint64_t now_ms); /* from main: its loop stands still */
void worker_stop(struct worker *w);    /* from main: ends its loop and joins its thread */
void worker_free(struct worker *w);
DEFINE_FREEP(worker)

/* For the worker's own parts. */
void worker_ready(struct worker *w, struct client *c); /* step it again, after the others */
uint64_t worker_now_ms(void);                          /* coarse and cheap: for deadlines */

#endif
