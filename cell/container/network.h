/* network.h - one bridge a cell, one isolated port of it a container.
 *
 * A container sees eth0 with its /32 address and everything behind the gateway, so that whatever it
 * sends passes the host's firewall (firewall.h). IPv6 is there on its loopback only. */
#ifndef CELL_CONTAINER_NETWORK_H
#define CELL_CONTAINER_NETWORK_H

#include <stdint.h>

#include "cell/container/ids.h"
#include "common/base/error.h"
#include "common/base/str.h"

#define INTERFACE_NAME 16

/* Makes the bridge NAMEbr0 where it is missing and switches forwarding on. Notes what it changed in
 * the host's settings. */
int network_prepare(const char *name, const struct subnet *subnet, struct strbuf *note,
                    struct error *err);
int network_remove(const char *name, struct error *err);

void network_bridge_name(const char *name, char buf[static INTERFACE_NAME]);
void network_port_name(const char *name, unsigned slot, char buf[static INTERFACE_NAME]);

struct network_spec {
    const char *name; /* prefix of interfaces */
    const struct subnet *subnet;
    unsigned slot;
    uint32_t id_range; /* group ids of the container: all may ping */
    int net;           /* the container's network namespace */
    int own_net;       /* the cell's */
};
/* Joins a network namespace to the bridge. Undone by the end of the namespace. */
int network_join(const struct network_spec *spec, struct error *err);

/* The servers that containers are to ask: `configured` (comma-separated), or those of the host's
 * resolv.conf that are reachable from a container; "options" and "search" lines are kept.
 * *ret_conf: text of the container's resolv.conf, *ret_servers: comma-separated; both owned. */
int network_dns(const char *configured, char **ret_conf, char **ret_servers, struct error *err);

#endif
