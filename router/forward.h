/* forward.h - one request's life: looked up, sent to an instance, answered.
 *
 * It has two sides that move on their own: `up`, the request from the client to the app, and
 * `down`, the response from the app (or from the router) to the client. Each side is a small state
 * and a pump (pump.h) that moves bytes until it must wait. forward.c decides: which instance, what
 * after a failure, what the client is told.
 */
#ifndef ROUTER_FORWARD_H
#define ROUTER_FORWARD_H

#include "router/exchange.h"

/* `head_n` bytes of raw in client->in are a request head. */
void forward_begin(struct client *c, size_t head_n);
/* The head is refused: an answer with this status, then the connection ends. */
void forward_refuse(struct client *c, int status, const char *why, size_t head_n);

/* Something happened on one of the two connections, or bytes may move again. */
void forward_on_client(struct exchange *x);
void forward_on_backend(struct exchange *x);
void forward_on_deadline(struct exchange *x);
void forward_on_connect_timeout(struct exchange *x);
/* Nothing at all comes back from the instance's host. True: x went elsewhere, or is over. */
bool forward_on_silence(struct exchange *x);

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
