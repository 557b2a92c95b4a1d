/* One open-addressed hash of hosts; each host has its routes sorted by path, so that a prefix is
 * found by binary search. */
#include "router/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/fields.h"

#define HOST_MAX       255
#define PATH_MAX_ROUTE 512
#define GUID_MAX       128

/* --- routes --- */

static uint64_t hash_more(uint64_t hash, const void *p, size_t n) {
    const uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}
#define HASH_START UINT64_C(0xcbf29ce484222325)

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static char *dup_lower(const char *s, size_t n) {
    char *copy = str_ndup(s, n);
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = lower(copy[i]);
    return copy;
}

static bool is_guid(const char *s) {
    struct slice text = slice_of(s);
    return text.n <= GUID_MAX && slice_is(text, CHAR_TOKEN);
}

static bool is_host(const char *s) {
    struct slice text = slice_of(s);
    if (text.n == 0 || text.n > HOST_MAX)
        return false;
    if (text.n > 2 && s[0] == '*' && s[1] == '.')
        text = (struct slice){s + 2, text.n - 2};
    return slice_is(text, CHAR_HOST) && !memchr(text.p, '*', text.n);
}

static bool is_path(const char *s) {
    struct slice text = slice_of(s);
    return text.n == 0 || (text.n <= PATH_MAX_ROUTE && s[0] == '/' && slice_is(text, CHAR_TARGET) &&
                           !memchr(s, '?', text.n));
}

static int set_address(struct endpoint *e, const struct endpoint_spec *spec) {
    const char *address = spec->address ? spec->address : "";
    if (spec->port == 0 || spec->port > 65535)
        return -EINVAL;
    if (inet_pton(AF_INET, address, &e->address.in.sin_addr) == 1) {
        e->address.in.sin_family = AF_INET;
        e->address.in.sin_port = htons((uint16_t)spec->port);
        e->address_size = sizeof e->address.in;
        snprintf(e->text, sizeof e->text, "%s:%u", address, spec->port);
    } else if (inet_pton(AF_INET6, address, &e->address.in6.sin6_addr) == 1) {
        e->address.in6.sin6_family = AF_INET6;
        e->address.in6.sin6_port = htons((uint16_t)spec->port);
        e->address_size = sizeof e->address.in6;
        snprintf(e->text, sizeof e->text, "[%s]:%u", address, spec->port);
    } else {
        return -EINVAL;
    }
    return 0;
}

static int add_endpoint(struct route *r, const struct endpoint_spec *spec) {
    struct endpoint *e = &r->endpoints[r->endpoint_count];
    const char *guid = spec->instance_guid ? spec->instance_guid : "";
    if (!is_guid(guid) || set_address(e, spec) < 0)
        return -EINVAL;
    e->instance_guid = str_dup(guid);
    if (!e->instance_guid)
        return -ENOMEM;
    snprintf(e->index, sizeof e->index, "%u", spec->index);
    e->key = hash_more(HASH_START, e->text, strlen(e->text) + 1);
    e->key = hash_more(e->key, guid, strlen(guid));
    r->endpoint_count++;
    return 0;
}

static void load_unref(struct load *load) {
    if (load && atomic_fetch_sub_explicit(&load->refs, 1, memory_order_acq_rel) == 1)
        free(load);
}

static void route_free(struct route *r) {
    for (unsigned i = 0; i < r->endpoint_count; i++) {
        free(r->endpoints[i].instance_guid);
        load_unref(r->endpoints[i].load);
    }
    free(r->host);
    free(r->path);
    free(r->app_guid);
    free(r->app_name);
    free(r);
}

struct route *route_ref(struct route *r) {
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void route_unref(struct route *r) {
    if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        route_free(r);
}

int route_new(struct route **ret, const char *host, const char *path, const char *app_guid,
              const char *app_name, const struct endpoint_spec *endpoints, unsigned count,
              uint32_t seed, unsigned *ret_skipped, struct error *err) {
    unsigned skipped = 0;
    path = path ? path : "";
    app_guid = app_guid ? app_guid : "";
    app_name = app_name ? app_name : "";
    if (!host || !is_host(host))
        return error_set(err, -EINVAL, "not a route's host");
    if (!is_path(path))
        return error_set(err, -EINVAL, "not a path of a route of %s", host);
    if (!is_guid(app_guid) || !str_is_utf8(app_name, strlen(app_name)))
        return error_set(err, -EINVAL, "not an app's guid or name at route %s%s", host, path);

    _cleanup_(route_unrefp) struct route *r =
        mem_zalloc(sizeof *r + (size_t)count * sizeof r->endpoints[0]);
    if (!r)
        return error_set(err, -ENOMEM, "out of memory");
    size_t path_n = strlen(path), host_n = strlen(host);
    while (path_n && path[path_n - 1] == '/')
        path_n--;
    if (host_n > 1 && host[host_n - 1] == '.')
        host_n--;
    atomic_init(&r->refs, 1);
    atomic_init(&r->next, seed);
    r->host = dup_lower(host, host_n);
    r->path = dup_lower(path, path_n);
    r->app_guid = str_dup(app_guid);
    r->app_name = str_dup(app_name);
    if (!r->host || !r->path || !r->app_guid || !r->app_name)
        return error_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        int added = add_endpoint(r, &endpoints[i]);
        if (added == -ENOMEM)
            return error_set(err, -ENOMEM, "out of memory");
        skipped += added < 0;
    }
    if (ret_skipped)
        *ret_skipped = skipped;
    *ret = TAKE_PTR(r);
    return 0;
}

int route_use_least_connection(struct route *r) {
    r->least_connection = true;
    for (unsigned i = 0; i < r->endpoint_count; i++) {
        struct load *load = mem_zalloc(sizeof *load);
        if (!load)
            return -ENOMEM;
        atomic_init(&load->refs, 1);
        r->endpoints[i].load = load;
    }
    return 0;
}

/* Requests of before end in the same count as those of now begin in. */
static void share_load(struct endpoint *now, const struct endpoint *was) {
    if (!now->load || !was->load || now->load == was->load)
        return;
    atomic_fetch_add_explicit(&was->load->refs, 1, memory_order_relaxed);
    load_unref(now->load);
    now->load = was->load;
}

void route_carry_state(struct route *now, struct route *was) {
    for (unsigned i = 0; i < now->endpoint_count; i++)
        for (unsigned j = 0; j < was->endpoint_count; j++)
            if (now->endpoints[i].key == was->endpoints[j].key) {
                atomic_store(&now->endpoints[i].failed_until_ms,
                             atomic_load(&was->endpoints[j].failed_until_ms));
                share_load(&now->endpoints[i], &was->endpoints[j]);
            }
}

static uint64_t mark_of(const struct route *r, unsigned endpoint) {
    return atomic_load_explicit(&r->endpoints[endpoint].failed_until_ms, memory_order_relaxed);
}

static void set_mark(struct route *r, unsigned endpoint, uint64_t mark) {
    atomic_store_explicit(&r->endpoints[endpoint].failed_until_ms, mark, memory_order_relaxed);
}

static bool was_tried(unsigned endpoint, const unsigned *tried, unsigned tried_count) {
    for (unsigned t = 0; t < tried_count; t++)
        if (tried[t] == endpoint)
            return true;
    return false;
}

static uint32_t in_flight(const struct route *r, unsigned endpoint) {
    return atomic_load_explicit(&r->endpoints[endpoint].load->in_flight, memory_order_relaxed);
}

unsigned route_choose(struct route *r, const unsigned *tried, unsigned tried_count, uint64_t now_ms,
                      unsigned *ret_over) {
    unsigned count = r->endpoint_count, marked = ROUTE_NONE, over = ROUTE_NONE, best = ROUTE_NONE;
    uint32_t least = UINT32_MAX;
    *ret_over = ROUTE_NONE;
    if (!count)
        return ROUTE_NONE;
    unsigned start = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed) % count;
    for (unsigned n = 0, i = start; n < count; n++, i = i + 1 < count ? i + 1 : 0) {
        if (was_tried(i, tried, tried_count))
            continue;
        uint64_t mark = mark_of(r, i);
        if (!mark) {
            uint32_t load = r->least_connection ? in_flight(r, i) : 0;
            if (best == ROUTE_NONE || load < least)
                best = i;
            least = MIN(least, load);
            if (!least)
                break; /* none can have less */
        } else if (mark > now_ms) {
            marked = marked == ROUTE_NONE ? i : marked;
        } else {
            over = over == ROUTE_NONE ? i : over;
        }
    }
    if (best != ROUTE_NONE) {
        *ret_over = over;
        return best;
    }
    if (over != ROUTE_NONE)
        return over;
    if (marked != ROUTE_NONE && !tried_count) /* all are marked: begin anew */
        for (unsigned i = 0; i < count; i++)
            set_mark(r, i, 0);
    return marked;
}

bool route_has_another(const struct route *r, const unsigned *tried, unsigned tried_count) {
    for (unsigned i = 0; i < r->endpoint_count; i++)
        if (!mark_of(r, i) && !was_tried(i, tried, tried_count))
            return true;
    return false;
}

void route_mark_failed(struct route *r, unsigned endpoint, uint64_t until_ms) {
    set_mark(r, endpoint, until_ms);
}

void route_mark_doubtful(struct route *r, unsigned endpoint, uint64_t now_ms) {
    if (!mark_of(r, endpoint))
        set_mark(r, endpoint, now_ms);
}

void route_mark_alive(struct route *r, unsigned endpoint, uint64_t now_ms) {
    uint64_t mark = mark_of(r, endpoint);
    if (mark && mark <= now_ms)
        set_mark(r, endpoint, 0);
}

bool route_is_marked(const struct route *r, unsigned endpoint) {
    return mark_of(r, endpoint) != 0;
}

bool route_claim(struct route *r, unsigned endpoint, uint64_t now_ms, uint64_t until_ms) {
    uint64_t mark = mark_of(r, endpoint);
    return mark && mark <= now_ms &&
           atomic_compare_exchange_strong_explicit(&r->endpoints[endpoint].failed_until_ms, &mark,
                                                   until_ms, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* --- the table --- */

struct host {
    uint64_t hash;
    unsigned first, count; /* of table.routes; count 0: a free slot */
    unsigned longest;      /* path */
};

struct table {
    _Atomic uint32_t refs;
    size_t count;
    struct route **routes; /* sorted by host, then path */
    struct host *hosts;
    size_t mask; /* of hosts: their number is a power of two */
    bool has_wildcards;
};

static int compare_routes(const void *a, const void *b) {
    const struct route *x = *(struct route *const *)a, *y = *(struct route *const *)b;
    int c = strcmp(x->host, y->host);
    return c ? c : strcmp(x->path, y->path);
}

struct table *table_ref(struct table *t) {
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void table_unref(struct table *t) {
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < t->count; i++)
        route_unref(t->routes[i]);
    free(t->routes);
    free(t->hosts);
    free(t);
}

bool table_is_last_ref(const struct table *t) {
    return atomic_load_explicit(&t->refs, memory_order_acquire) == 1;
}

static void table_unrefp(struct table **t) {
    table_unref(*t);
}

static void add_routes(struct table *t, struct route *const *routes, size_t count) {
    for (size_t i = 0; i < count; i++)
        t->routes[i] = routes[i];
    qsort(t->routes, count, sizeof(struct route *), compare_routes);
    for (size_t i = 0; i < count; i++)
        if (!t->count || compare_routes(&t->routes[t->count - 1], &t->routes[i]) != 0)
            t->routes[t->count++] = route_ref(t->routes[i]);
}

static void add_host(struct table *t, unsigned first, unsigned end) {
    const char *host = t->routes[first]->host;
    uint64_t hash = hash_more(HASH_START, host, strlen(host));
    size_t at = hash & t->mask;
    while (t->hosts[at].count)
        at = (at + 1) & t->mask;
    struct host *h = &t->hosts[at];
    *h = (struct host){hash, first, end - first, 0};
    for (unsigned i = first; i < end; i++)
        h->longest = MAX(h->longest, (unsigned)strlen(t->routes[i]->path));
    t->has_wildcards |= host[0] == '*';
}

int table_new(struct table **ret, struct route *const *routes, size_t count, struct error *err) {
    _cleanup_(table_unrefp) struct table *t = mem_zalloc(sizeof *t);
    if (!t)
        return error_set(err, -ENOMEM, "out of memory");
    size_t slots = 8;
    while (slots < count * 2)
        slots *= 2;
    atomic_init(&t->refs, 1);
    t->mask = slots - 1;
    t->hosts = mem_calloc(slots, sizeof *t->hosts);
    t->routes = mem_calloc(count + 1, sizeof(struct route *));
    if (!t->hosts || !t->routes)
        return error_set(err, -ENOMEM, "out of memory");
    add_routes(t, routes, count);
    for (unsigned i = 0, end; i < t->count; i = end) {
        for (end = i + 1; end < t->count && str_eq(t->routes[end]->host, t->routes[i]->host);)
            end++;
        add_host(t, i, end);
    }
    *ret = TAKE_PTR(t);
    return 0;
}

size_t table_count(const struct table *t) {
    return t->count;
}

struct route *table_at(const struct table *t, size_t i) {
    return t->routes[i];
}

static const struct host *find_host(const struct table *t, const char *name, size_t n) {
    uint64_t hash = hash_more(HASH_START, name, n);
    for (size_t at = hash & t->mask; t->hosts[at].count; at = (at + 1) & t->mask) {
        const struct host *h = &t->hosts[at];
        const char *host = t->routes[h->first]->host;
        if (h->hash == hash && strncmp(host, name, n) == 0 && !host[n])
            return h;
    }
    return NULL;
}

static struct route *find_path(const struct table *t, const struct host *h, const char *path,
                               size_t n) {
    unsigned low = h->first, high = h->first + h->count;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        int c = strncmp(t->routes[mid]->path, path, n);
        if (c == 0 && !t->routes[mid]->path[n])
            return t->routes[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid; /* greater, or longer with this prefix */
    }
    return NULL;
}

/* The longest prefix of whole segments that is a route with endpoints, else the longest at all. */
static struct route *find_prefix(const struct table *t, const struct host *h, struct slice path) {
    char key[PATH_MAX_ROUTE + 1];
    struct route *empty = NULL;
    size_t n = MIN(path.n, h->longest);
    for (size_t i = 0; i < n; i++)
        key[i] = lower(path.p[i]);
    for (;; n--) {
        if (n == 0 || n == path.n || path.p[n] == '/') {
            struct route *r = find_path(t, h, key, n);
            if (r && r->endpoint_count)
                return r;
            if (r && !empty)
                empty = r;
        }
        if (n == 0)
            return empty;
    }
}

struct route *table_find(const struct table *t, struct slice host, struct slice path) {
    char name[HOST_MAX + 2]; /* one more in front, for the '*' */
    struct route *r = NULL;
    if (host.n > HOST_MAX || !host.n)
        return NULL;
    for (size_t i = 0; i < host.n; i++)
        name[1 + i] = lower(host.p[i]);
    const struct host *h = find_host(t, name + 1, host.n);
    if (h)
        r = find_prefix(t, h, path);
    size_t end = host.n + 1;
    for (size_t i = 1; !r && t->has_wildcards && i < end; i++) {
        if (name[i] != '.')
            continue;
        name[i - 1] = '*';
        h = find_host(t, name + i - 1, end - i + 1);
        if (h)
            r = find_prefix(t, h, path);
    }
    return r;
}
