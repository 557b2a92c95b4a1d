/* firewall.h - what may pass between host, world and containers: two nftables tables named after
 * the cell, one "inet", one "bridge".
 *
 * The rules are loaded once; a container only adds elements to sets and maps, in one transaction:
 *   - host port -> container address and port, from outside and from the host itself;
 *   - its bridge port with its addresses: frames with others are dropped (no spoofing, no IPv6).
 * Containers reach what `refused` does not name, and `allowed`, and their DNS servers; never each
 * other, the host, or `denied`. Refusals are answered at once
 * (TCP reset, else ICMP host prohibited). */
#ifndef CELL_CONTAINER_FIREWALL_H
#define CELL_CONTAINER_FIREWALL_H

#include <stddef.h>
#include <stdint.h>

#include "cell/container/env.h"
#include "cell/container/ids.h"
#include "common/base/error.h"
#include "common/base/mem.h"

struct firewall;

struct firewall_config {
    const char *name;
    const struct subnet *subnet;
    const char *dns;                            /* comma-separated addresses */
    const char *allow_networks, *deny_networks; /* comma-separated CIDRs, or NULL */
};

/* Loads the rules in one step, keeping the elements of running containers. */
int firewall_new(struct firewall **ret, const struct firewall_config *config, struct error *err);
void firewall_free(struct firewall *f);
DEFINE_FREEP(firewall)

struct firewall_entry {
    const char *port; /* interface on the bridge */
    uint32_t address;
    const struct published *ports;
    size_t port_count;
};
/* All are safe from several threads, and repeatable: opening what is open, closing what is closed.
 */
int firewall_open(struct firewall *f, const struct firewall_entry *entry, struct error *err);
int firewall_close(struct firewall *f, const struct firewall_entry *entry, struct error *err);
/* Leaves exactly these. */
int firewall_reset(struct firewall *f, const struct firewall_entry *entries, size_t n,
                   struct error *err);
int firewall_remove(struct firewall *f, struct error *err);

#endif
