/* netlink.h - the few rtnetlink requests that a bridge and its containers need (rtnetlink(7)). Each
 * call is one request answered; errors carry what was asked. */
#ifndef CELL_CONTAINER_NETLINK_H
#define CELL_CONTAINER_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct netlink;

/* Talks to the network namespace the calling thread is in now, for its whole life. */
int netlink_open(struct netlink **ret, struct error *err);
void netlink_free(struct netlink *nl);
DEFINE_FREEP(netlink)

int netlink_add_bridge(struct netlink *nl, const char *name, const uint8_t mac[static 6],
                       struct error *err); /* -EEXIST */
/* A veth: `name` up in `bridge` (an index) here, "eth0" with `mac` in the network namespace
 * `peer_net`. */
int netlink_add_veth(struct netlink *nl, const char *name, int bridge, int peer_net,
                     const uint8_t mac[static 6], struct error *err);
/* Frames from this port of a bridge reach the host only, not other such ports. */
int netlink_isolate_port(struct netlink *nl, uint32_t index, struct error *err);
int netlink_set_up(struct netlink *nl, uint32_t index, struct error *err);
int netlink_add_address(struct netlink *nl, uint32_t index, uint32_t address, unsigned prefix,
                        struct error *err); /* -EEXIST */
/* gateway 0: directly reachable. */
int netlink_add_route(struct netlink *nl, uint32_t index, uint32_t network, unsigned prefix,
                      uint32_t gateway, struct error *err);
int netlink_delete_link(struct netlink *nl, const char *name, struct error *err);

#endif
