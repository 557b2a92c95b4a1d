/* exchange.h - one request and its answer: what is known of it, from its head to its access line.
 *
 *     up:    GATE -> BODY -> DONE      (DROPPED: the app takes no more; TUNNEL after 101)
 *     down:  HEAD -> BODY -> DONE      (the router's own answers are DONE at once; TUNNEL after
 * 101)
 *
 * forward.c decides over it, pump.c moves its bytes. It belongs to its client. */
#ifndef ROUTER_EXCHANGE_H
#define ROUTER_EXCHANGE_H

#include "common/base/random.h"
#include "router/backend.h"
#include "router/body.h"
#include "router/client.h"
#include "router/head.h"

enum up_state {
    UP_GATE,    /* Expect: 100-continue: the body waits for the app's word */
    UP_BODY,    /* the head, then the body, as it comes */
    UP_TUNNEL,  /* bytes, until the client ends its side */
    UP_DROPPED, /* the app closed its side early: its answer may still come */
    UP_DONE,
};

enum down_state {
    DOWN_HEAD, /* waits for the response's head */
    DOWN_BODY,
    DOWN_TUNNEL, /* bytes, until the app ends its side */
    DOWN_DONE,   /* all is in `out`: once that is sent the exchange is over */
};

#define MAX_ATTEMPTS 8

struct exchange {
    struct client *client;
    struct worker *worker;
    struct backend *backend; /* NULL between attempts and for the router's own answers */
    struct route *route;     /* counted; NULL before the lookup */
    struct load *load;       /* of the endpoint of `backend`; NULL: is not counted */
    enum up_state up;
    enum down_state down;
    struct body up_body, down_body;
    struct buf *out; /* owned: response bytes on their way; NULL while empty */
    size_t scanned;  /* of the response head in `out` */

    char *text; /* owned copy of the request's head; the slices below point into it */
    size_t text_n;
    struct slice host, method, target, referer, user_agent, forwarded_for, forwarded_proto;
    struct slice upgrade; /* the protocol asked for; empty: none */
    char *folded;         /* owned: several X-Forwarded-For lines as one; else NULL */
    char id[GUID_SIZE];

    unsigned endpoint, attempts, tried[MAX_ATTEMPTS];
    unsigned wanted_endpoint; /* of a session or X-CF-App-Instance; else ROUTE_NONE */
    const char *last_reason;  /* why the last attempt failed */
    unsigned head_n;  /* of the rewritten head at the front of client->in's out, until it went */
    uint64_t up_sent; /* bytes that went to the current backend */
    unsigned interim; /* 1xx answers so far */
    int status;       /* as sent to the client; 0 so far */
    const char *router_error; /* X-Cf-RouterError, static or in error_text; NULL */
    char error_text[64];

    uint64_t arrived_ns, dispatched_ns, backend_done_ns; /* monotonic */
    uint64_t arrived_wall_ns;
    uint64_t progress_ms; /* a byte moved last */
    uint64_t gate_ms;     /* UP_GATE opens by itself */

    enum body_kind framing; /* of the response towards the client */
    uint8_t minor;          /* of the client */
    bool to_head;           /* HEAD: no body in the answer */
    bool idempotent;        /* may be sent again although it was sent */
    bool head_sent;         /* the final response's head is on its way */
    bool response_begun;    /* a byte came from this backend */
    bool continue_sent;     /* the client has its 100 */
    bool close;             /* the client connection ends after this */
    bool backend_keep;      /* the backend connection may serve another request */
    bool no_retry;          /* it took too long already */
    bool no_reuse;          /* a kept connection turned out to be dead: connect anew */
    bool had_stale;         /* ... once: that attempt is not held against the instance */
    bool pinned;            /* no other endpoint than wanted_endpoint will do */
    bool in_tunnel;
    bool sticky_lost; /* the client's session names an instance that is not there */
};

/* With a copy of the head: `head_n` bytes of raw in client->in. NULL without memory. */
struct exchange *exchange_new(struct client *c, size_t head_n);
/* Keeps of the parsed head what outlives it; what was not parsed is empty. */
void exchange_note_head(struct exchange *x, const struct head *h);
/* Its connection to the app, NULL when there is none, is the caller's then, and the endpoint has
 * one request less: the only way to let go of it. */
struct backend *exchange_take_backend(struct exchange *x);
/* Writes the access line, counts, closes the backend if there is one still. */
void exchange_free(struct exchange *x);

#endif
