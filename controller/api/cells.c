/* cells.c - /v3/berth/cells: Cloud Controller has nothing like it; operators need it. */
#include "common/base/clock.h"
#include "controller/api/resources.h"
#include "controller/lrp/lrp.h"

struct cells {
    json_t *list;
    uint64_t now_ms;
};

static void on_cell(void *arg, const struct lrp_cell_view *v) {
    struct cells *cells = arg;
    json_array_append_new(
        cells->list,
        json_pack("{s:s,s:o,s:o,s:o,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "guid", v->id,
                  "name", json_text_or_null(v->name), "zone", json_text_or_null(v->zone), "address",
                  json_text_or_null(v->address), "present", v->present, "suspect", v->suspect,
                  "heard_ms_ago",
                  (json_int_t)(cells->now_ms > v->heard_ms ? cells->now_ms - v->heard_ms : 0),
                  "memory_in_mb", (json_int_t)v->memory_mb, "memory_free_in_mb",
                  (json_int_t)v->memory_free_mb, "disk_in_mb", (json_int_t)v->disk_mb,
                  "disk_free_in_mb", (json_int_t)v->disk_free_mb, "containers",
                  (json_int_t)v->containers, "containers_free", (json_int_t)v->containers_free,
                  "instances", (json_int_t)v->instances));
}

int list_cells(struct call *c) {
    struct cells cells = {json_array(), clock_mono_ms()};
    struct listing l = {.page = 1, .per_page = PER_PAGE_MAX};
    lrp_cells(c->api->deps.lrp, on_cell, &cells);
    return reply_list(c, &l, json_array_size(cells.list), cells.list, NULL);
}
