/* nodes.h - the cells and routers that ever spoke to this controller. */
#ifndef CONTROLLER_STORE_NODES_H
#define CONTROLLER_STORE_NODES_H

#include "controller/store/store.h"

/* Filters: guids kinds names. Orders: name too. */
struct node_row {
    STORE_ROW_HEAD; /* guid: the node's id, 32 hex digits; must be given */
    char *kind;     /* "cell" | "router" */
    char *name, *zone, *address;
    uint64_t heard_ns; /* wall; coarse: written when it opens a conversation */
    bool revoked;      /* its key is refused */
};
STORE_DECLARE(node)

/* Inserts, or updates name, zone, address and heard_ns of a known one; `revoked` stays. */
int store_node_seen(struct store *s, struct node_row *row, struct error *err);

#endif
