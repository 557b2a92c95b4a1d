#include "router/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Without memory an element is left out of the table (its hh.tbl stays NULL), nothing exits. */
#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV /* the default one is no clean C to every compiler */
#include <uthash.h>

#include "common/base/fs.h"
#include "common/base/str.h"

#define FILE_MAX         ((size_t)1 << 30)
#define FILE_VERSION     1
#define MAX_ENDPOINTS    100000u
#define LEAST_CONNECTION "least-connection" /* of "balancing" */

struct entry {
    char *key; /* owned: host and path */
    struct route *route;
    unsigned generation; /* of the full set that named it last */
    UT_hash_handle hh;
};

struct routes {
    struct publisher *publisher;
    struct entry *entries; /* uthash */
    unsigned generation;
    struct rng rng;
};

int routes_new(struct routes **ret, struct publisher *publisher, struct error *err) {
    struct routes *r = mem_zalloc(sizeof *r);
    if (!r)
        return error_set(err, -ENOMEM, "out of memory");
    r->publisher = publisher;
    random_bytes(&r->rng, sizeof r->rng);
    *ret = r;
    return 0;
}

static void remove_entry(struct routes *r, struct entry *e) {
    HASH_DEL(r->entries, e);
    route_unref(e->route);
    free(e->key);
    free(e);
}

void routes_free(struct routes *r) {
    if (!r)
        return;
    struct entry *e, *next;
    HASH_ITER (hh, r->entries, e, next) {
        remove_entry(r, e);
    }
    free(r);
}

int routes_put(struct routes *r, struct route *route) {
    _cleanup_(route_unrefp) struct route *owned = route;
    _cleanup_(freep) char *key = str_printf("%s%s", route->host, route->path);
    if (!key)
        return -ENOMEM;
    struct entry *e;
    HASH_FIND_STR(r->entries, key, e);
    if (e) {
        route_carry_state(route, e->route);
        route_unref(e->route);
    } else {
        e = mem_zalloc(sizeof *e);
        if (!e)
            return -ENOMEM;
        e->key = TAKE_PTR(key);
        HASH_ADD_KEYPTR(hh, r->entries, e->key, strlen(e->key), e);
        if (!e->hh.tbl) {
            free(e->key);
            free(e);
            return -ENOMEM;
        }
    }
    e->route = TAKE_PTR(owned);
    e->generation = r->generation;
    return 0;
}

void routes_remove(struct routes *r, const char *host_path) {
    struct entry *e;
    HASH_FIND_STR(r->entries, host_path, e);
    if (e)
        remove_entry(r, e);
}

void routes_begin_full(struct routes *r) {
    r->generation++;
}

void routes_end_full(struct routes *r) {
    struct entry *e, *next;
    HASH_ITER (hh, r->entries, e, next) {
        if (e->generation != r->generation)
            remove_entry(r, e);
    }
}

size_t routes_count(const struct routes *r) {
    return HASH_COUNT(r->entries);
}

uint32_t routes_seed(struct routes *r) {
    return (uint32_t)rng_next(&r->rng);
}

int routes_publish(struct routes *r, struct error *err) {
    struct table *table;
    size_t n = 0;
    _cleanup_(freep) struct route **all = mem_calloc(routes_count(r) + 1, sizeof(struct route *));
    if (!all)
        return error_set(err, -ENOMEM, "out of memory");
    for (struct entry *e = r->entries; e; e = e->hh.next)
        all[n++] = e->route;
    int code = table_new(&table, all, n, err);
    if (code < 0)
        return code;
    publisher_set(r->publisher, table);
    return 0;
}

/* --- the file --- */

static uint32_t number_of(const json_t *object, const char *name) {
    json_int_t v = json_integer_value(json_object_get(object, name));
    return v < 0 || v > UINT32_MAX ? 0 : (uint32_t)v;
}

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

static int route_from_json(struct routes *r, const json_t *j, struct route **ret,
                           struct error *err) {
    const json_t *list = json_object_get(j, "endpoints");
    size_t n = json_array_size(list);
    if (n > MAX_ENDPOINTS)
        return error_set(err, -EINVAL, "too many endpoints");
    _cleanup_(freep) struct endpoint_spec *specs = mem_calloc(n + 1, sizeof *specs);
    if (!specs)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, i);
        specs[i] = (struct endpoint_spec){
            .address = text_of(e, "address"),
            .port = number_of(e, "port"),
            .instance_guid = text_of(e, "instance_guid"),
            .index = number_of(e, "index"),
        };
    }
    int code = route_new(ret, text_of(j, "host"), text_of(j, "path"), text_of(j, "app_guid"),
                         text_of(j, "app_name"), specs, (unsigned)n, routes_seed(r), NULL, err);
    if (code == 0 && str_eq(text_of(j, "balancing"), LEAST_CONNECTION) &&
        (code = route_use_least_connection(*ret)) < 0)
        route_unref(*ret);
    return code;
}

int routes_load(struct routes *r, const char *path, const char *node, unsigned *ret_skipped,
                struct error *err) {
    _cleanup_(freep) char *text = NULL;
    _cleanup_(json_decrefp) json_t *root = NULL;
    size_t n, i;
    json_error_t why;
    json_t *j;
    int code = fs_read(AT_FDCWD, path, FILE_MAX, &text, &n, err);
    if (code < 0)
        return code;
    root = json_loadb(text, n, 0, &why);
    if (!root)
        return error_set(err, -EINVAL, "%s:%d: %s", path, why.line, why.text);
    const json_t *list = json_object_get(root, "routes");
    if (number_of(root, "version") != FILE_VERSION || !json_is_array(list))
        return error_set(err, -EINVAL, "%s is not a saved route table of version %d", path,
                         FILE_VERSION);
    const char *whose = text_of(root, "node");
    if (*node && whose && !str_eq(whose, node))
        return error_set(err, -ESTALE, "%s is of another router, %.64s", path, whose);
    *ret_skipped = 0;
    routes_begin_full(r);
    json_array_foreach(list, i, j) {
        struct route *route;
        code = route_from_json(r, j, &route, err);
        if (code == 0)
            code = routes_put(r, route);
        if (code == -ENOMEM)
            return error_set(err, -ENOMEM, "out of memory");
        *ret_skipped += code < 0;
    }
    routes_end_full(r);
    return 0;
}

/* All texts were checked when the route was made; an app's name is the only one to escape. */
static void put_string(struct strbuf *out, const char *s) {
    strbuf_putc(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", c);
        else if (c < 0x20)
            strbuf_printf(out, "\\u%04x", c);
        else
            strbuf_putc(out, (char)c);
    }
    strbuf_putc(out, '"');
}

static void put_endpoint(struct strbuf *out, const struct endpoint *e) {
    const char *colon = strrchr(e->text, ':');
    bool v6 = e->text[0] == '[';
    strbuf_puts(out, "{\"address\": \"");
    strbuf_add(out, e->text + v6, (size_t)(colon - e->text) - 2 * v6);
    strbuf_printf(out, "\", \"port\": %s, \"instance_guid\": ", colon + 1);
    put_string(out, e->instance_guid);
    strbuf_printf(out, ", \"index\": %s}", e->index);
}

static void put_route(struct strbuf *out, const struct route *r) {
    strbuf_puts(out, "{\"host\": ");
    put_string(out, r->host);
    strbuf_puts(out, ", \"path\": ");
    put_string(out, r->path);
    strbuf_puts(out, ", \"app_guid\": ");
    put_string(out, r->app_guid);
    strbuf_puts(out, ", \"app_name\": ");
    put_string(out, r->app_name);
    if (r->least_connection)
        strbuf_puts(out, ", \"balancing\": \"" LEAST_CONNECTION "\"");
    strbuf_puts(out, ", \"endpoints\": [");
    for (unsigned i = 0; i < r->endpoint_count; i++) {
        if (i)
            strbuf_puts(out, ", ");
        put_endpoint(out, &r->endpoints[i]);
    }
    strbuf_puts(out, "]}");
}

void routes_print(const struct routes *r, const char *node, struct strbuf *out) {
    strbuf_printf(out, "{\"version\": %d, ", FILE_VERSION);
    if (*node)
        strbuf_printf(out, "\"node\": \"%s\", ", node);
    strbuf_puts(out, "\"routes\": [");
    for (const struct entry *e = r->entries; e; e = e->hh.next) {
        strbuf_puts(out, e == r->entries ? "\n" : ",\n");
        put_route(out, e->route);
    }
    strbuf_puts(out, "\n]}\n");
}

int routes_save(const struct routes *r, const char *path, const char *node, struct error *err) {
    _cleanup_(strbuf_fini) struct strbuf out = {0};
    routes_print(r, node, &out);
    if (out.failed)
        return error_set(err, -ENOMEM, "out of memory");
    return fs_write_atomic(AT_FDCWD, path, 0600, out.p, out.n, err);
}
