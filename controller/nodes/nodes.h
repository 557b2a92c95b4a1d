/* nodes.h - cells and routers on the bus: who may speak, what the brain hears of them, what they
 * are told. The glue between common/bus/hub and controller/lrp; decides nothing itself. Loop
 * thread. */
#ifndef CONTROLLER_NODES_NODES_H
#define CONTROLLER_NODES_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/bus/hub.h"

struct event_base;
struct logs;
struct lrp;
struct nodes;
struct store;

/* The first byte of a node's id says what it may be, so that a router's key cannot speak as a cell;
 * the other bytes are random. */
#define NODES_CELL_ID   0xce
#define NODES_ROUTER_ID 0x40
void nodes_make_id(Berth__NodeKind kind, uint8_t id[BUS_ID_SIZE]);

/* All borrowed and living longer. */
struct nodes_deps {
    struct event_base *loop;
    struct store *store; /* keeps which nodes there are; NULL in tests: nothing is kept */
    struct lrp *lrp;
    struct logs *logs;
    const char *control_url, *logs_url;
    const uint8_t *master_key; /* BUS_KEY_SIZE bytes; not needed after nodes_new() */
    uint8_t gen;
    const uint8_t *previous_master_key; /* while keys are rotated; NULL: none */
    uint8_t previous_gen;
    uint32_t watch_wait_ms;   /* 0: BUS_WATCH_WAIT_MS */
    const char *revoked_path; /* ids in hex, one a line, that may not speak; need not exist */
    /* A node sent log lines that are not its to send: so many since the last call, one of them of
     * this app. At most once a minute for each node. May be NULL. */
    void (*on_foreign_lines)(void *data, const char *node_id, const char *name,
                             const char *app_guid, uint64_t count);
    void *data;
};

/* Tells the brain which cells it must wait for, then listens. */
int nodes_new(struct nodes **ret, const struct nodes_deps *deps, struct error *err);
void nodes_free(struct nodes *n);
DEFINE_FREEP(nodes)

/* For lrp_ops: answers the Watches that wait for this, a few a loop turn. */
void nodes_cell_changed(struct nodes *n, const char *cell_id);
void nodes_routes_changed(struct nodes *n);

/* Reads revoked_path again. On error the list stays as it was. */
int nodes_reload(struct nodes *n, struct error *err);
/* Adds an id (hex) to the file. -EINVAL: it is none. */
int nodes_revoke(const char *revoked_path, const char *id, struct error *err);

bool nodes_is_listening(const struct nodes *n);

struct node_view {
    const char *id, *name, *zone, *address, *version; /* hex; of its program */
    bool is_cell;
    uint64_t heard_ms; /* mono */
    bool current;      /* of a router: it has the newest table, or is about to ask for it */
};
/* Those that spoke in this run. Borrowed. */
void nodes_each(struct nodes *n, void (*each)(void *arg, const struct node_view *v), void *arg);

/* When a node of this kind was last heard, and its name; for the admin page. */
void nodes_page(struct nodes *n, struct strbuf *out);
void nodes_metrics(struct nodes *n, struct strbuf *out);

#endif
