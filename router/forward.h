/* forward.h - one request's life: looked up, sent to an instance, answered.
 *
 * It has two sides that move on their own: `up`, the request from the client to the app, and
 * `down`, the response from the app (or from the router) to the client. Each side is a small state
 * and a pump (pump.h) that moves bytes until it must wait. forward.c decides: which instance, what
 * after a failure, what the client is told.
 *
 *     up:    GATE -> BODY -> DONE      (DROPPED: the app takes no more; TUNNEL after 101)
 *     down:  HEAD -> BODY -> DONE      (ANSWER: the router's own; TUNNEL after 101) */
#ifndef ROUTER_FORWARD_H
#define ROUTER_FORWARD_H

#include "common/base/random.h"
#include "router/backend.h"
#include "router/body.h"
#include "router/client.h"
#include "router/rewrite.h"

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

/* `head_n` bytes of raw in client->in are a request head. */
void forward_begin(struct client *c, size_t head_n);
/* The head is refused: an answer with this status, then the connection ends. */
void forward_refuse(struct client *c, int status, const char *why, size_t head_n);

/* Something happened on one of the two connections, or bytes may move again. */
void forward_on_client(struct exchange *x);
void forward_on_backend(struct exchange *x);
void forward_on_deadline(struct exchange *x);
void forward_on_connect_timeout(struct exchange *x);

/* The client connection is being closed: logs, closes the backend, frees x. */
void forward_abandon(struct exchange *x);

/* For the pumps: each may free x and close the client. */
void forward_attempt_failed(struct exchange *x, int code, const char *reason);
void forward_client_gone(struct exchange *x);
void forward_bad_request(struct exchange *x, const char *why); /* the body is malformed */
void forward_finish(struct exchange *x);
void forward_backend_done(struct exchange *x); /* the response is read: frees the connection */

/* "0", the trailers that may go on, and the empty line, in buf. */
struct slice forward_last_chunk(struct exchange *x, char *buf, size_t cap);

void forward_arm(struct exchange *x); /* sets the client's timer for what x waits for */

#endif
