/* rewrite.h - the heads that go on: of a request to the app, of a response to the client.
 *
 * Always built anew from what was parsed, never copied: hop-by-hop fields are gone, framing is
 * stated once, what the router vouches for is its own. Pure. */
#ifndef ROUTER_REWRITE_H
#define ROUTER_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/head.h"

struct request_facts {
    struct slice client_ip;
    struct slice proto;      /* "http" or "https": how the client came */
    bool override_proto;     /* also when the client sent X-Forwarded-Proto */
    uint64_t start_ms;       /* wall clock */
    struct slice request_id; /* 36 characters */
    struct slice app_guid, instance_id, instance_index;
};

/* Writes at most `cap` bytes to dst and returns their number, or 0 when they do not fit. `upgrade`
 * of the head is asked for when not empty. */
size_t rewrite_request(const struct head *h, const struct request_facts *facts, char *dst,
                       size_t cap);

struct response_facts {
    struct slice request_id;
    unsigned client_minor; /* HTTP/1.x of the client */
    enum body_kind body;   /* framing towards the client: NONE, LENGTH, CHUNKED or UNTIL_CLOSE */
    bool close;            /* this is the connection's last response */
    struct slice sticky;   /* a whole Set-Cookie value to add, or empty */
};

size_t rewrite_response(const struct head *h, const struct response_facts *facts, char *dst,
                        size_t cap);

/* What of the trailer section may go on (RFC 9110 section 6.5.1), with the final empty line. */
size_t rewrite_trailers(const struct head *fields, char *dst, size_t cap);

#endif
