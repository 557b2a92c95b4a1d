/* table.h - which route a host and path belong to, and which endpoint is next.
 *
 * A table is immutable: threads look things up in it without a lock. Routes are shared between
 * successive tables and counted; a request holds the route it uses, not the table. No I/O.
 *
 * Rules (Gorouter's): host and path match without regard to case; the path by whole segments, the
 * longest first; of the matches along one path the longest with an endpoint wins, else the longest;
 * an exact host goes before wildcards, of which "*.b.c" goes before "*.c" for a.b.c. */
#ifndef ROUTER_TABLE_H
#define ROUTER_TABLE_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define ENDPOINT_TEXT_SIZE (INET6_ADDRSTRLEN + 8) /* "[...]:65535" */

/* The requests that an endpoint has, over all workers. It outlives the route it was made with. */
struct load {
    _Atomic uint32_t refs, in_flight;
};

struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;
    socklen_t address_size;
    char text[ENDPOINT_TEXT_SIZE]; /* "10.0.0.1:61001" */
    char *instance_guid;           /* owned; never NULL, may be empty */
    char index[12];                /* decimal */
    uint64_t key;                  /* of address and instance: one pool of connections each */
    /* The mark of one that failed, or seems to; 0: none. Monotonic; passed over until then, and
     * then as well until somebody found that it is there: by a connection of no request
     * (backend.h). */
    _Atomic uint64_t failed_until_ms;
    struct load *load; /* counted; NULL unless the route is least_connection */
};

struct route {
    _Atomic uint32_t refs;
    _Atomic uint32_t next; /* round robin */
    char *host, *path;     /* owned; lower case; path "" or "/prefix" without a slash at the end */
    char *app_guid, *app_name;
    bool least_connection; /* else round robin */
    unsigned endpoint_count;
    struct endpoint endpoints[];
};

/* An endpoint as it comes from the controller or the saved file. */
struct endpoint_spec {
    const char *address; /* IPv4 or IPv6, numeric */
    uint32_t port;
    const char *instance_guid;
    uint32_t index;
};

/* A new route with one reference. Checks everything, for these texts end up in headers and logs:
 * -EINVAL with *err filled. Endpoints whose address is not numeric are left out and counted in
 * *ret_skipped (may be NULL). `seed` spreads the start of the round robin. */
int route_new(struct route **ret, const char *host, const char *path, const char *app_guid,
              const char *app_name, const struct endpoint_spec *endpoints, unsigned count,
              uint32_t seed, unsigned *ret_skipped, struct error *err);
/* From now on the endpoint with the fewest requests is next, of equal ones by turns. Before others
 * have the route. 0 or -ENOMEM. */
int route_use_least_connection(struct route *r);
struct route *route_ref(struct route *r);
void route_unref(struct route *r); /* NULL is fine */
static inline void route_unrefp(struct route **r) {
    route_unref(*r);
}

/* Failure marks, and requests in flight, of endpoints that both have: was -> now. Before others
 * have `now`. */
void route_carry_state(struct route *now, struct route *was);

#define ROUTE_NONE UINT32_MAX

/* Index of the next endpoint (in turn, or with the fewest requests) that has no mark and is not
 * among the `tried` ones; then
 * *ret_over is one that was passed over although the time of its mark is over, else ROUTE_NONE.
 * When only marked ones are left: one whose time is over, or any, and with none tried all marks are
 * lifted. ROUTE_NONE when all were tried. */
unsigned route_choose(struct route *r, const unsigned *tried, unsigned tried_count, uint64_t now_ms,
                      unsigned *ret_over);
/* One that was not tried has no mark. */
bool route_has_another(const struct route *r, const unsigned *tried, unsigned tried_count);

void route_mark_failed(struct route *r, unsigned endpoint, uint64_t until_ms);
void route_mark_doubtful(struct route *r, unsigned endpoint, uint64_t now_ms); /* to be looked at */
/* Somebody is there: lifts a mark whose time is over (UINT64_MAX: any). */
void route_mark_alive(struct route *r, unsigned endpoint, uint64_t now_ms);
bool route_is_marked(const struct route *r, unsigned endpoint);
/* True for one caller, who is to look whether the endpoint is there: the others pass over it until
 * then. False while its mark lasts, or when it has none any more. */
bool route_claim(struct route *r, unsigned endpoint, uint64_t now_ms, uint64_t until_ms);

/* A request begins at an endpoint, and ends: exactly once each. NULL while the route does not
 * count; borrowed from the route. */
static inline struct load *route_begin(struct route *r, unsigned endpoint) {
    struct load *load = r->endpoints[endpoint].load;
    if (load)
        atomic_fetch_add_explicit(&load->in_flight, 1, memory_order_relaxed);
    return load;
}
static inline void load_end(struct load *load) {
    if (load)
        atomic_fetch_sub_explicit(&load->in_flight, 1, memory_order_relaxed);
}

struct table;

/* Takes its own reference to each route. Of several with the same host and path it keeps one. */
int table_new(struct table **ret, struct route *const *routes, size_t count, struct error *err);
struct table *table_ref(struct table *t);
void table_unref(struct table *t);
bool table_is_last_ref(const struct table *t); /* nobody but the caller holds it */

size_t table_count(const struct table *t);
struct route *table_at(const struct table *t, size_t i); /* borrowed, in no order */

/* `host` without port, any case; `path` as in the request target, without the query. Borrowed. */
struct route *table_find(const struct table *t, struct slice host, struct slice path);

#endif
