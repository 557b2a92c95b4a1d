/* socket.h - one raw nanomsg socket on the event loop; the only file that knows nanomsg.
 *
 * A listener is a raw REP socket, a connection a raw REQ socket with one endpoint. Packets are
 * unauthenticated bytes. nanomsg starts a thread at the first socket: daemonise before, and never
 * fork without exec after. Loop thread only. */
#ifndef COMMON_BUS_SOCKET_H
#define COMMON_BUS_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct bus_socket;

/* Where a packet came from and an answer goes to: nanomsg's key of the pipe and its request id.
 * Good for as long as the connection; an answer to one that is gone is dropped. A connection sets
 * only the request id, see bus_route_request(). */
struct bus_route {
    uint8_t bytes[8];
    uint8_t size; /* 8 at a listener, 4 at a connection */
};

struct bus_route bus_route_request(uint32_t number); /* of a request: what its answer bears */

struct bus_socket_ops {
    /* n bytes, borrowed but writable: to be opened in place. May free the socket. */
    void (*on_packet)(void *data, const struct bus_route *route, uint8_t *packet, size_t n);
    /* Woken for nothing: nanomsg dropped what it could not route. Once in a while is normal; a
     * flood of it is somebody sending garbage. NULL to ignore. */
    void (*on_garbage)(void *data);
    void *data;
};

/* `url` is "tcp://host:port"; packets above max_packet bytes end their connection.
 * -EINVAL, -EADDRINUSE, -EADDRNOTAVAIL, -EMFILE, -ENOMEM ... with *err filled. */
int bus_socket_listen(struct bus_socket **ret, struct event_base *loop, const char *url,
                      size_t max_packet, const struct bus_socket_ops *ops, struct error *err);
/* The same; connects, and connects again, in the background. */
int bus_socket_connect(struct bus_socket **ret, struct event_base *loop, const char *url,
                       size_t max_packet, const struct bus_socket_ops *ops, struct error *err);
/* Closes at once: what is not sent yet is lost. NULL is fine. Allowed inside on_packet. */
void bus_socket_free(struct bus_socket *s);
DEFINE_FREEP(bus_socket)

/* A packet to be sent: made here, filled by the caller, given to bus_socket_send() or freed. */
uint8_t *bus_packet_new(size_t n); /* NULL: no memory */
void bus_packet_free(uint8_t *packet);

/* Takes the packet. A listener sends or drops it; a connection keeps it until its link stands (one
 * packet: a newer one replaces it). Never says whether it arrived: only an answer does. */
void bus_socket_send(struct bus_socket *s, const struct bus_route *route, uint8_t *packet);

/* What nanomsg's statistics say of the links. */
unsigned bus_socket_connections(const struct bus_socket *s); /* now */
/* A connection: its first link was there and is not any more (nanomsg may have made another one,
 * which is no help to a request in flight). */
bool bus_socket_is_broken(const struct bus_socket *s);

#endif
