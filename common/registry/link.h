/* link.h - a curl handle of a thread's own for blocking transfers, kept with its connections.
 *
 * A pull fetches many blobs of one registry: the next one goes over the connection of the one
 * before, without another TLS handshake. Idle links are few and live a minute. Thread-safe. */
#ifndef COMMON_REGISTRY_LINK_H
#define COMMON_REGISTRY_LINK_H

#include <curl/curl.h>

struct link {
    CURLM *multi;
    CURL *easy; /* not in `multi` while idle */
};

/* A link that last talked to `host`, or a new one. NULL: no memory. */
struct link *link_take(const char *host);
void link_give(struct link *l, const char *host); /* `l` must be idle; NULL is fine */

#endif
