/* routes.c - the route table: host and path to the processes that serve them, versioned.
 *
 * Endpoints are not kept: a route is built from its processes' slots when it is told, so it is
 * always as new as can be. */
#include <errno.h>

#include "controller/lrp/internal.h"

void route_free(struct route *r) {
    if (!r)
        return;
    free(r->key);
    free(r->host);
    free(r->path);
    free(r->destinations);
    free(r);
}

static void bump(struct lrp *l, struct route *r) {
    r->version = ++l->route_version;
    if (r->next) {
        DL_DELETE(l->route_changes, r);
        DL_APPEND(l->route_changes, r);
    }
    l->routes_changed = true;
    lrp_ask(l);
}

static void forget(struct lrp *l, struct route *r) {
    l->route_floor = MAX(l->route_floor, r->version);
    l->route_tombstones--;
    DL_DELETE(l->route_changes, r);
    HASH_DEL(l->routes, r);
    route_free(r);
}

static void bury(struct lrp *l, struct route *r) {
    l->route_tombstones++;
    bump(l, r);
    if (l->route_tombstones <= ROUTE_TOMBSTONES)
        return;
    struct route *old, *tmp;
    DL_FOREACH_SAFE (l->route_changes, old, tmp) { /* the older half, so that it is rare */
        if (l->route_tombstones <= ROUTE_TOMBSTONES / 2)
            break;
        if (old->destination_count == 0)
            forget(l, old);
    }
}

static struct route *route_get(struct lrp *l, const struct lrp_route *from) {
    struct route *r;
    const char *path = from->path ? from->path : "";
    _cleanup_(freep) char *key = str_printf("%s%s", from->host, path);
    if (!key)
        return NULL;
    HASH_FIND_STR(l->routes, key, r);
    if (r)
        return r;
    r = mem_zalloc(sizeof *r);
    if (!r || !(r->host = str_dup(from->host)) || !(r->path = str_dup(path))) {
        route_free(r);
        return NULL;
    }
    r->key = TAKE_PTR(key);
    HASH_ADD_KEYPTR(hh, l->routes, r->key, strlen(r->key), r);
    if (!HASH_ADDED(r)) {
        route_free(r);
        return NULL;
    }
    DL_APPEND(l->route_changes, r);
    l->route_tombstones++; /* until a process is mapped */
    r->version = l->route_version;
    return r;
}

static bool has(struct route *const *routes, size_t n, const struct route *r) {
    for (size_t i = 0; i < n; i++)
        if (routes[i] == r)
            return true;
    return false;
}

static void unmap(struct lrp *l, struct route *r, const struct process *p) {
    size_t kept = 0;
    for (size_t i = 0; i < r->destination_count; i++)
        if (r->destinations[i].process != p)
            r->destinations[kept++] = r->destinations[i];
    r->destination_count = kept;
    if (kept == 0)
        bury(l, r);
    else
        bump(l, r);
}

static int map(struct lrp *l, struct route *r, struct process *p, uint16_t port) {
    struct destination *grown =
        mem_resize(r->destinations, r->destination_count + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    r->destinations = grown;
    if (r->destination_count == 0)
        l->route_tombstones--;
    r->destinations[r->destination_count++] = (struct destination){p, port};
    bump(l, r);
    return 0;
}

/* Maps the route to p, or gives a mapping that stands its port. */
static int map_once(struct lrp *l, struct route *r, struct process *p, uint16_t port) {
    if (!has(p->routes, p->route_count, r)) {
        struct route **grown = mem_resize(p->routes, p->route_count + 1, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        p->routes = grown;
        if (map(l, r, p, port) < 0)
            return -ENOMEM;
        p->routes[p->route_count++] = r;
        return 0;
    }
    for (size_t i = 0; i < r->destination_count; i++)
        if (r->destinations[i].process == p && r->destinations[i].port != port) {
            r->destinations[i].port = port;
            bump(l, r);
        }
    return 0;
}

static void balance(struct lrp *l, struct route *r, bool least_connection) {
    if (r->least_connection == least_connection)
        return;
    r->least_connection = least_connection;
    bump(l, r);
}

int routes_map(struct lrp *l, struct process *p, const struct lrp_route *routes, size_t n) {
    _cleanup_(freep) struct route **wanted = mem_calloc(n ? n : 1, sizeof *wanted);
    size_t wanted_n = 0;
    if (!wanted)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct route *r = route_get(l, &routes[i]);
        if (!r)
            return -ENOMEM;
        if (has(wanted, wanted_n, r))
            continue; /* one port a process on one route */
        if (map_once(l, r, p, routes[i].port) < 0)
            return -ENOMEM;
        balance(l, r, routes[i].least_connection);
        wanted[wanted_n++] = r;
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->route_count; i++) {
        if (has(wanted, wanted_n, p->routes[i]))
            p->routes[kept++] = p->routes[i];
        else
            unmap(l, p->routes[i], p);
    }
    p->route_count = kept;
    return 0;
}

void routes_unmap_all(struct lrp *l, struct process *p) {
    for (size_t i = 0; i < p->route_count; i++)
        unmap(l, p->routes[i], p);
    free(p->routes);
    p->routes = NULL;
    p->route_count = 0;
}

void routes_touch(struct lrp *l, struct process *p) {
    for (size_t i = 0; i < p->route_count; i++)
        bump(l, p->routes[i]);
}

/* --- telling --- */

static const Berth__PortMapping *routed_port(const struct instance *in, uint16_t port) {
    uint32_t wanted = port ? port : in->desired->port;
    for (size_t i = 0; i < in->port_count; i++)
        if (in->ports[i].container_port == wanted)
            return &in->ports[i];
    return NULL;
}

/* A route as the routers get it. Text is borrowed; the arrays are in `memory`. -ENOMEM. */
static int build(const struct route *r, Berth__Route *ret, void **memory) {
    size_t most = 1, n = 0; /* never an allocation of nothing */
    for (size_t i = 0; i < r->destination_count; i++)
        most += r->destinations[i].process->slot_count;
    Berth__Endpoint **list = malloc(most * (sizeof *list + sizeof **list));
    if (!list)
        return -ENOMEM;
    *memory = list;
    Berth__Endpoint *all = (Berth__Endpoint *)(list + most);
    for (size_t i = 0; i < r->destination_count; i++) {
        const struct process *p = r->destinations[i].process;
        for (uint32_t k = 0; k < p->slot_count && n < ENDPOINTS_MAX; k++) {
            const struct instance *in = slot_serving(&p->slots[k]);
            const Berth__PortMapping *port = in ? routed_port(in, r->destinations[i].port) : NULL;
            if (!port || str_empty(in->address) || in->desired != p->want)
                continue;
            berth__endpoint__init(&all[n]);
            all[n].address = in->address;
            all[n].port = port->host_port;
            all[n].instance_guid = (char *)in->guid;
            all[n].index = in->index;
            list[n] = &all[n];
            n++;
        }
    }
    berth__route__init(ret);
    ret->host = r->host;
    ret->path = r->path;
    ret->app_guid = r->destinations[0].process->want->app_guid;
    ret->app_name = r->destinations[0].process->want->app_name;
    ret->balancing = r->least_connection ? BERTH__BALANCING__BALANCING_LEAST_CONNECTION
                                         : BERTH__BALANCING__BALANCING_ROUND_ROBIN;
    ret->endpoints = list;
    ret->n_endpoints = n;
    return 0;
}

uint64_t lrp_route_version(const struct lrp *l) {
    return l->settled ? l->route_version : 0;
}

/* As with a cell's set: the pages of a full table end above the floor. */
static void renumber(struct lrp *l) {
    struct route *r;
    if (!l->route_changes || l->route_changes->version > l->route_floor)
        return;
    DL_FOREACH (l->route_changes, r) {
        r->version = ++l->route_version;
    }
}

uint64_t lrp_route_changes(struct lrp *l, uint64_t *since,
                           bool (*put)(void *arg, const Berth__Route *route),
                           bool (*removed)(void *arg, const char *host_path), void *arg,
                           bool *ret_more) {
    *ret_more = false;
    if (!l->settled)
        return 0;
    if (*since > l->route_version || *since < l->route_floor)
        *since = 0;
    if (*since == 0)
        renumber(l);
    uint64_t reached = *since;
    struct route *r = l->route_changes ? l->route_changes->prev : NULL; /* the newest */
    if (!r || r->version <= *since)
        return l->route_version;
    while (r != l->route_changes && r->prev->version > *since)
        r = r->prev;
    for (; r; r = r->next) {
        bool taken = true;
        if (r->destination_count) {
            _cleanup_(freep) void *memory = NULL;
            Berth__Route route;
            taken = build(r, &route, &memory) == 0 && put(arg, &route);
        } else if (*since > 0) {
            taken = removed(arg, r->key);
        }
        if (!taken) {
            *ret_more = true;
            return reached;
        }
        reached = r->version;
    }
    return l->route_version;
}
