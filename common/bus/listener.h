/* listener.h - a port of the hub: its socket, made anew when it must be, and answers sent a slice a
 * loop turn, so that a thousand at once do not stop the loop. Loop thread only. */
#ifndef COMMON_BUS_LISTENER_H
#define COMMON_BUS_LISTENER_H

#include "common/bus/socket.h"

struct listener;

/* Binds at once; another program's outgoing connection may have the port for a moment, so it tries
 * for two seconds. `ops` is copied. Errors as of bus_socket_listen(). */
int listener_new(struct listener **ret, struct event_base *loop, const char *url, size_t max_packet,
                 const struct bus_socket_ops *ops, struct error *err);
void listener_free(struct listener *l); /* NULL is fine */
DEFINE_FREEP(listener)

/* Takes the packet; sends it this turn of the loop or one of the next. Dropped when its connection
 * is gone. */
void listener_send(struct listener *l, const struct bus_route *route, uint8_t *packet);

/* Closes every connection and binds again, from the loop, for as long as it takes. */
void listener_rebind(struct listener *l);
bool listener_is_bound(const struct listener *l);
unsigned listener_connections(const struct listener *l);
uint64_t listener_sent(const struct listener *l); /* packets given to nanomsg so far */

#endif
