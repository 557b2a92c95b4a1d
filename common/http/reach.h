/* reach.h - addresses that a request must not be led to by strangers: those of this machine itself,
 * and those of its link, where clouds serve metadata and credentials.
 *
 * Whoever names a registry, or answers as one, chooses the hosts that we connect to. What counts is
 * the address that is connected to, whatever a name server says a moment before. Pure. */
#ifndef COMMON_HTTP_REACH_H
#define COMMON_HTTP_REACH_H

#include <stdbool.h>

struct sockaddr;

enum reach_kind {
    REACH_LOOPBACK = 1,   /* and the unspecified address, which is the same */
    REACH_LINK_LOCAL = 2, /* and where clouds serve metadata besides */
};

unsigned reach_kind(const struct sockaddr *address); /* 0: any other */
unsigned reach_kind_of_text(const char *ip);         /* of "127.0.0.1", "fe80::1%eth0" */

/* One transfer. With `guarded` its first host may be at addresses of the kinds in `first`, and one
 * that redirects leads to such addresses only as it is at such ones itself. */
struct reach {
    bool guarded;
    unsigned first;
    /* kept by the transfer */
    bool answered;   /* a host was asked already: the next one is named by it ... */
    unsigned at;     /* ... and it was at an address of this kind */
    unsigned denied; /* the kind of an address that was not connected to */
    char address[64];
};

bool reach_allows(const struct reach *r, unsigned kind);
/* The words for `denied`, to follow "HOST is at ADDRESS, ". */
const char *reach_reason(unsigned kind);

#endif
