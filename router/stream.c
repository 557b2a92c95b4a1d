#include "router/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "router/tls.h"

int stream_open(struct stream *s, struct event_base *loop, int fd, event_callback_fn on_event,
                void *arg) {
    short what = EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST;
    if (event_assign(&s->event, loop, fd, what, on_event, arg) < 0 ||
        event_add(&s->event, NULL) < 0)
        return -ENOMEM;
    s->fd = fd;
    s->ssl = NULL;
    s->tls_pending = NULL;
    s->readable = s->writable = s->hangup = false;
    return 0;
}

void stream_note(struct stream *s, short what) {
    if (what & (EV_READ | EV_CLOSED))
        s->readable = true;
    if (what & EV_WRITE)
        s->writable = true;
    if (what & EV_CLOSED)
        s->hangup = true;
}

void stream_close(struct stream *s) {
    if (s->fd < 0)
        return;
    event_del(&s->event);
    if (s->ssl)
        tls_close(s);
    close(s->fd);
    s->fd = -1;
    s->readable = s->writable = false;
}

ssize_t stream_read(struct stream *s, void *p, size_t n) {
    if (s->ssl)
        return tls_read(s, p, n);
    if (!s->readable)
        return -EAGAIN;
    ssize_t r;
    do
        r = recv(s->fd, p, n, 0);
    while (r < 0 && errno == EINTR);
    if (r < 0) {
        int code = -errno;
        s->readable = false;
        return code == -EWOULDBLOCK ? -EAGAIN : code;
    }
    if ((size_t)r < n && !s->hangup)
        s->readable = false;
    return r;
}

ssize_t stream_write(struct stream *s, const void *p, size_t n) {
    if (s->ssl)
        return tls_write(s, p, n);
    if (!s->writable)
        return -EAGAIN;
    ssize_t r;
    do
        r = send(s->fd, p, n, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r < 0) {
        int code = -errno;
        s->writable = false;
        return code == -EWOULDBLOCK ? -EAGAIN : code;
    }
    if ((size_t)r < n)
        s->writable = false;
    return r;
}

int stream_flush_slow(struct stream *s) {
    return tls_flush(s);
}

void stream_hurry(struct stream *s) {
    int on = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void stream_shutdown_write(struct stream *s) {
    if (s->fd < 0)
        return;
    if (s->ssl)
        tls_shutdown_write(s);
    shutdown(s->fd, SHUT_WR);
}

int stream_socket_error(const struct stream *s) {
    int code = 0;
    socklen_t n = sizeof code;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0)
        return -errno;
    return -code;
}
