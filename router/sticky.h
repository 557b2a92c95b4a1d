/* sticky.h - which endpoint a request asks for: X-CF-App-Instance, or a session's cookie. Pure. */
#ifndef ROUTER_STICKY_H
#define ROUTER_STICKY_H

#include "router/head.h"
#include "router/table.h"

enum sticky_target {
    TARGET_NONE,         /* any */
    TARGET_SESSION,      /* this one; another when it fails */
    TARGET_SESSION_LOST, /* the session's one is not there: any, and a new cookie */
    TARGET_PINNED,       /* X-CF-App-Instance: this one only */
    TARGET_MALFORMED,    /* X-CF-App-Instance: 400 */
    TARGET_MISSING,      /* X-CF-App-Instance: no such instance: 400 */
};

#define STICKY_MESSAGE_MAX 512
#define STICKY_COOKIE_MAX  1024

/* `names` is a comma list of cookies that make a session; it is one only together with
 * __VCAP_ID__. *ret_endpoint is set for SESSION and PINNED, `message` for the last two. */
enum sticky_target sticky_find(const struct head *request, const struct route *r, const char *names,
                               unsigned *ret_endpoint, char message[static STICKY_MESSAGE_MAX]);

/* The value of the Set-Cookie to add to the app's response, in buf; empty when none is due: the app
 * sets a session's cookie (and not __VCAP_ID__ itself), or `lost`. */
struct slice sticky_cookie(const struct head *response, const char *names, const struct route *r,
                           const struct endpoint *e, bool lost, char buf[static STICKY_COOKIE_MAX]);

#endif
