/* cells.c - /berth/v1/cells and /berth/v1/routers: the cluster as the controller sees it. Cloud
 * Controller has nothing like it; operators need it.
 *
 * What is known of a node comes from three places: its row (it ever spoke), the brain (what a cell
 * has and holds), the bus (its version, and when it was heard). */
#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/nodes.h"
#include "controller/store/nodes.h"

struct view {
    struct call *call;
    bool cells; /* else routers */
    json_t *by_id;
    json_t *list; /* of one cell's instances */
    uint64_t now_ms, now_ns;
};

static uint64_t ago(uint64_t now, uint64_t then) {
    return now > then ? now - then : 0;
}

static void set(json_t *o, const char *key, json_t *value) {
    json_object_set_new(o, key, value);
}

static void set_text(json_t *o, const char *key, const char *text) {
    if (!str_empty(text))
        set(o, key, json_string(text));
}

static json_t *node_of(struct view *v, const char *id) {
    json_t *o = json_object_get(v->by_id, id);
    if (o)
        return o;
    o = json_pack("{s:s,s:n,s:n,s:n,s:n,s:s,s:n}", "id", id, "name", "zone", "address", "version",
                  "state", "missing", "heard_ms_ago");
    json_object_set_new(v->by_id, id, o);
    return o;
}

static int add_rows(struct view *v) {
    _cleanup_(node_rows_fini) struct node_rows rows = {0};
    struct error err = {0};
    if (store_node_list(v->call->api->deps.store, &(struct store_query){0}, &rows, &err) < 0)
        return fail_internal(v->call, &err);
    for (size_t i = 0; i < rows.n; i++) {
        const struct node_row *row = &rows.v[i];
        if (str_eq(row->kind, "cell") != v->cells)
            continue;
        json_t *o = node_of(v, row->guid);
        set_text(o, "name", row->name);
        set_text(o, "zone", row->zone);
        set_text(o, "address", row->address);
        set_text(o, "state", row->revoked ? "revoked" : "missing");
        if (row->heard_ns)
            set(o, "heard_ms_ago",
                json_integer((json_int_t)(ago(v->now_ns, row->heard_ns) / 1000000)));
    }
    return 0;
}

static json_t *amount(uint64_t total, uint64_t left) {
    return json_pack("{s:I,s:I}", "total", (json_int_t)total, "free", (json_int_t)left);
}

static void on_cell(void *arg, const struct lrp_cell_view *c) {
    struct view *v = arg;
    json_t *o = node_of(v, c->id);
    const char *state = lrp_cell_state(c);
    bool never_heard = str_eq(state, "expected");
    set_text(o, "state", never_heard && lrp_is_settled(v->call->api->deps.lrp) ? "missing" : state);
    if (never_heard)
        return; /* what its row says is all */
    set_text(o, "name", c->name);
    set_text(o, "zone", c->zone);
    set_text(o, "address", c->address);
    set(o, "heard_ms_ago", json_integer((json_int_t)ago(v->now_ms, c->heard_ms)));
    set(o, "memory_mb", amount(c->memory_mb, c->memory_free_mb));
    set(o, "disk_mb", amount(c->disk_mb, c->disk_free_mb));
    set(o, "containers", amount(c->containers, c->containers_free));
    set(o, "instances", json_integer(c->instances));
}

static void on_node(void *arg, const struct node_view *n) {
    struct view *v = arg;
    if (n->is_cell != v->cells)
        return;
    json_t *o = node_of(v, n->id);
    set_text(o, "version", n->version);
    if (n->is_cell)
        return;
    uint64_t silent = ago(v->now_ms, n->heard_ms);
    set_text(o, "name", n->name);
    set_text(o, "zone", n->zone);
    set_text(o, "state", silent > BUS_PRESENCE_MS ? "silent" : "present");
    set(o, "heard_ms_ago", json_integer((json_int_t)silent));
    set(o, "routes_current", json_boolean(n->current));
}

static int by_name(const void *pa, const void *pb) {
    const json_t *a = *(json_t *const *)pa, *b = *(json_t *const *)pb;
    const char *an = json_string_value(json_object_get(a, "name"));
    const char *bn = json_string_value(json_object_get(b, "name"));
    int order = strcmp(an ? an : "", bn ? bn : "");
    return order ? order
                 : strcmp(json_string_value(json_object_get(a, "id")),
                          json_string_value(json_object_get(b, "id")));
}

/* NULL: the call failed. */
static json_t *sorted(struct view *v) {
    size_t n = 0;
    _cleanup_(freep) json_t **all = mem_calloc(json_object_size(v->by_id) + 1, sizeof *all);
    json_t *list = json_array(), *o;
    const char *id;
    if (!all || !list) {
        json_decref(list);
        fail_no_memory(v->call);
        return NULL;
    }
    json_object_foreach(v->by_id, id, o) all[n++] = o;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++)
        json_array_append(list, all[i]);
    return list;
}

static json_t *look(struct call *c, bool cells) {
    struct view v = {.call = c,
                     .cells = cells,
                     .by_id = json_object(),
                     .now_ms = clock_mono_ms(),
                     .now_ns = clock_wall_ns()};
    json_t *list = NULL;
    if (!v.by_id) {
        fail_no_memory(c);
        return NULL;
    }
    if (add_rows(&v) == 0) {
        if (cells)
            lrp_cells(c->api->deps.lrp, on_cell, &v);
        if (c->api->deps.nodes)
            nodes_each(c->api->deps.nodes, on_node, &v);
        list = sorted(&v);
    }
    json_decref(v.by_id);
    return list;
}

int list_cells(struct call *c) {
    json_t *list = look(c, true);
    return list ? reply_json(c, 200, json_pack("{s:o}", "cells", list)) : -1;
}

int list_routers(struct call *c) {
    json_t *list = look(c, false);
    return list ? reply_json(c, 200, json_pack("{s:o}", "routers", list)) : -1;
}

static void on_instance(void *arg, const struct lrp_actual *a) {
    struct view *v = arg;
    bool settled = lrp_is_settled(v->call->api->deps.lrp);
    _cleanup_(freep) char *text = placement_text(a, settled, v->now_ms);
    json_array_append_new(
        v->list, json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:o,s:I,s:I,s:s}", "instance_guid",
                           a->instance_guid, "app_guid", a->app_guid, "app_name",
                           a->app_name ? a->app_name : "", "process_type", a->process_type, "index",
                           (json_int_t)a->index, "state", lrp_state_name(a->state), "since",
                           json_time(v->now_ns - ago(v->now_ms, a->since_ms) * 1000000),
                           "memory_mb", (json_int_t)a->memory_mb, "disk_mb", (json_int_t)a->disk_mb,
                           "text", text ? text : ""));
}

/* By its name or its id; of several with the name, one that is there. */
static json_t *find(json_t *cells, const char *name) {
    json_t *o, *found = NULL;
    size_t i;
    json_array_foreach(cells, i, o) {
        const char *its = json_string_value(json_object_get(o, "name"));
        if (str_eq(name, json_string_value(json_object_get(o, "id"))))
            return o;
        if (str_eq(name, its) && (!found || json_object_get(o, "instances")))
            found = o;
    }
    return found;
}

int get_cell(struct call *c) {
    struct view v = {.call = c, .now_ms = clock_mono_ms(), .now_ns = clock_wall_ns()};
    json_t *cells = look(c, true);
    if (!cells)
        return -1;
    json_t *cell = json_incref(find(cells, c->params[0]));
    json_decref(cells);
    if (!cell)
        return fail_not_found(c, "Cell");
    v.list = json_array();
    lrp_cell_instances(c->api->deps.lrp, json_string_value(json_object_get(cell, "id")),
                       on_instance, &v); /* none of one that is not here */
    set(cell, "held", v.list);
    return reply_json(c, 200, cell);
}
