/* ship.h - sends access-log lines to the controller, for the apps' log streams: the Logs
 * conversation. One batch in flight; lines stay in the ring until they are acknowledged; when the
 * controller is slow the oldest go and the next batch says how many. Main thread. */
#ifndef ROUTER_SHIP_H
#define ROUTER_SHIP_H

#include "common/bus/node.h"
#include "router/access_log.h"
#include "router/config.h"

struct ship;

int ship_new(struct ship **ret, struct event_base *loop, const struct router_config *config,
             const struct bus_identity *identity, struct access_sink *sink, struct error *err);
void ship_free(struct ship *s);
void ship_metrics(const struct ship *s, struct strbuf *out);

#endif
