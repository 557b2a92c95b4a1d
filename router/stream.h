/* stream.h - one non-blocking connection, plain or TLS, registered once with the event loop.
 *
 * Events are edge-triggered and persistent: the registration is never touched between open and
 * close. What the edges said is kept in `readable` and `writable`; a step that stops early (because
 * the other side is full) just leaves them standing and goes on later. A short read or write tells
 * that the socket is drained or full, which saves the call that would say EAGAIN. */
#ifndef ROUTER_STREAM_H
#define ROUTER_STREAM_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

struct stream {
    struct event event;
    SSL *ssl;                        /* owned; NULL for plain */
    struct tls_pending *tls_pending; /* owned; records the socket did not take yet; NULL: none */
    int fd;                          /* owned; -1 when closed */
    bool readable, writable;
    bool hangup; /* the peer ended its side: read on until 0 */
};

/* Takes fd (and, later, s->ssl). on_event gets EV_READ|EV_WRITE|EV_CLOSED bits: its first act is
 * stream_note(). -ENOMEM: fd is still the caller's. */
int stream_open(struct stream *s, struct event_base *loop, int fd, event_callback_fn on_event,
                void *arg);
void stream_note(struct stream *s, short what);
void stream_close(struct stream *s); /* idempotent; TLS says its close_notify */

/* Bytes read, 0 at the end, -EAGAIN, or another negative errno (-ECONNRESET, -EPROTO for TLS). */
ssize_t stream_read(struct stream *s, void *p, size_t n);
/* Bytes taken (perhaps not all), -EAGAIN, or another negative errno. */
ssize_t stream_write(struct stream *s, const void *p, size_t n);
int stream_flush_slow(struct stream *s);

/* What was taken may wait in the stream itself: 0 when all is with the kernel, -EAGAIN while not,
 * or another negative errno. stream_write() goes on with it too. */
static inline int stream_flush(struct stream *s) {
    return s->tls_pending ? stream_flush_slow(s) : 0;
}

/* A read may bring something. */
static inline bool stream_may_read(const struct stream *s) {
    return s->readable || (s->ssl && SSL_has_pending(s->ssl));
}

/* Acknowledges at once what came. A peer that writes a head and then a body, and has not switched
 * off Nagle's algorithm, waits for that: else it is 40 ms. */
void stream_hurry(struct stream *s);

void stream_shutdown_write(struct stream *s);
int stream_socket_error(const struct stream *s); /* SO_ERROR as a negative errno, or 0 */

#endif
