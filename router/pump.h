/* pump.h - moves a request's and a response's bytes until one side must wait. Bounded memory: one
 * buffer each way, read again only when it is sent. */
#ifndef ROUTER_PUMP_H
#define ROUTER_PUMP_H

#include <stdbool.h>

struct exchange;

/* Both return false when the exchange is over and freed. */
bool pump_request(struct exchange *x);
bool pump_response(struct exchange *x);

/* Decodes what of the body lies in client->in, into its out range. 0 or a negative errno. */
int pump_decode_request(struct exchange *x);

#endif
