/* controller.h - the daemon's parts, in the order in which they are built. */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include <stdbool.h>

#include "controller/config.h"

struct controller {
    struct controller_config config;
    int argc; /* for SIGHUP: the configuration is read again */
    char **argv;

    struct event_base *loop;
    struct daemon *daemon;
    struct store *store;
    struct workers *workers;
    struct http_client *http;
    struct logs *logs;
    struct brain *brain;
    struct staging *staging;
    struct rollouts *rollouts;
    struct nodes *nodes;
    struct api *api;
    struct event *drain_timer;
    bool draining;
    uint64_t drain_end_ms;
};

/* Everything but listening: what is on disk is desired, cells and routers may speak. */
int controller_build(struct controller *c, struct error *err);
int controller_listen(struct controller *c, struct error *err);
void controller_fini(struct controller *c); /* guard for _cleanup_; the mirror of build */

#endif
