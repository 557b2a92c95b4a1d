/* routes.h - the set of routes as the controller told it, on the main thread: changed as its news
 * come in, published as a table, kept on disk.
 *
 * The saved file is JSON, for people and tests to write too:
 *
 *     {"version": 1, "node": "...", "routes": [
 *        {"host": "app.example", "path": "/v1", "app_guid": "...", "app_name": "app",
 *         "endpoints": [{"address": "10.0.0.4", "port": 61001, "instance_guid": "...",
 *                        "index": 0}]}]}
 *
 * "balancing": "least-connection" makes it so; without it endpoints take turns.
 *
 * `path`, `app_name` and `endpoints` may be missing, and so may "node": whose table it is, the id
 * in hex that its key file has. */
#ifndef ROUTER_ROUTES_H
#define ROUTER_ROUTES_H

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/random.h"
#include "router/publish.h"

struct routes;

/* `publisher` is borrowed. An empty set, nothing published yet. */
int routes_new(struct routes **ret, struct publisher *publisher, struct error *err);
void routes_free(struct routes *r);
DEFINE_FREEP(routes)

/* Adds or replaces (by host and path); takes the reference. The marks of endpoints that stay, and
 * how many requests they have, are kept. 0 or -ENOMEM (the reference is dropped). */
int routes_put(struct routes *r, struct route *route);
/* "host/path" as in Route: host and path put together. An unknown one is fine. */
void routes_remove(struct routes *r, const char *host_path);

/* A full set begins: what is not put again until routes_end_full() is gone then. */
void routes_begin_full(struct routes *r);
void routes_end_full(struct routes *r);

/* Makes a table of the set and publishes it. */
int routes_publish(struct routes *r, struct error *err);
size_t routes_count(const struct routes *r);
uint32_t routes_seed(struct routes *r); /* for route_new() */

/* Replaces the set by the file's. Routes that are not valid are left out and counted. -ENOENT,
 * -EINVAL for another format, -ESTALE for another node's; the set is untouched then. `node` may be
 * empty: then any file will do, and one that is written names none. */
int routes_load(struct routes *r, const char *path, const char *node, unsigned *ret_skipped,
                struct error *err);
void routes_print(const struct routes *r, const char *node,
                  struct strbuf *out); /* the file's text */
/* Atomically. */
int routes_save(const struct routes *r, const char *path, const char *node, struct error *err);

#endif
