/* answer.h - responses that the router makes itself: Gorouter's statuses, headers and texts. Pure.
 */
#ifndef ROUTER_ANSWER_H
#define ROUTER_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/str.h"

struct answer {
    int status;
    const char *router_error;  /* X-Cf-RouterError; NULL: none */
    const char *cache_control; /* NULL: none */
    const char *message;       /* after "<code> <reason>: "; NULL: only these; "": no body at all */
    struct slice request_id;   /* empty: none */
    unsigned minor;            /* HTTP/1.x of the client */
    bool to_head;
    bool close;
};

#define ANSWER_MAX 2048

/* Returns the bytes written to dst of ANSWER_MAX bytes, and their body's in *ret_body_n. */
size_t answer_write(const struct answer *a, char *dst, size_t *ret_body_n);

#endif
