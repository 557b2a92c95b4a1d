/* ids.h - what is handed out to containers and never shared: slots and host ports.
 *
 * A slot is a small number; a container's host ids, address, MAC and interface name follow from it.
 * Pure; the engine owns the pools and uses them on the loop. */
#ifndef CELL_CONTAINER_IDS_H
#define CELL_CONTAINER_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/str.h"

/* Numbers 0..count-1, given out in turn, so that one given back rests as long as possible, and no
 * less than rest_ms: late packets for an ended container do not reach its address's next owner. */
struct pool {
    unsigned count, used, next;
    uint64_t rest_ms;
    bool *taken;        /* owned */
    uint64_t *given_ms; /* owned; when each was given back, 0: not yet */
};

int pool_init(struct pool *p, unsigned count, uint64_t rest_ms); /* -ENOMEM */
void pool_fini(struct pool *p);
/* A number; -ENOSPC: all are taken; -EAGAIN: those that are not still rest. */
int pool_take(struct pool *p, uint64_t now_ms);
int pool_claim(struct pool *p, unsigned n);                    /* that one: 0, -EEXIST, -ERANGE */
void pool_give(struct pool *p, unsigned n, uint64_t now_ms);   /* n must be taken */
void pool_rest(struct pool *p, unsigned n, uint64_t since_ms); /* as if given back then */

/* The bridge's network: first address the gateway's, then one a slot. Host byte order. */
struct subnet {
    uint32_t network;
    unsigned prefix; /* 8..29 */
};

int subnet_parse(const char *text, struct subnet *ret, struct error *err); /* -EINVAL */
unsigned subnet_slots(const struct subnet *s);
uint32_t subnet_gateway(const struct subnet *s);
uint32_t subnet_address(const struct subnet *s, unsigned slot);

#define IPV4_TEXT 16
void ipv4_format(uint32_t address, char buf[static IPV4_TEXT]);

/* Locally administered, one an address: 02:42 and the address, as Docker forms them. */
void mac_of(uint32_t address, uint8_t mac[static 6]);

/* "10.0.0.0/8, 192.0.2.1" (NULL: empty) as nftables set elements joined by ", ". Every byte of the
 * result comes from parsed numbers, so it is safe to place in a ruleset. -EINVAL. */
int cidrs_parse(const char *list, struct strbuf *out, struct error *err);

/* How many slots fit: of addresses, of host ids, and no more than serve `max_containers`. */
unsigned slots_that_fit(const struct subnet *s, uint32_t id_base, uint32_t id_range,
                        unsigned max_containers);

#endif
