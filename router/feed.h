/* feed.h - the controller's news of routes: the Watch conversation, applied to the set of routes,
 * published to the workers and saved on disk a moment later. Main thread. */
#ifndef ROUTER_FEED_H
#define ROUTER_FEED_H

#include "common/base/str.h"
#include "router/access_log.h"
#include "router/config.h"
#include "router/saved.h"

struct event_base;
struct feed;

/* Opens the conversations of the configuration (the apps' logs only when `sink` has a ring). All
 * arguments are borrowed. */
int feed_new(struct feed **ret, struct event_base *loop, const struct router_config *config,
             struct routes *routes, struct saved *saved, struct access_sink *sink,
             struct error *err);
void feed_free(struct feed *f);               /* saves what is not saved yet */
bool feed_knows_routes(const struct feed *f); /* a whole table was heard */
void feed_metrics(const struct feed *f, struct strbuf *out);

#endif
