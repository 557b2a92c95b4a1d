#include "controller/store/nodes.h"

#include <errno.h>

#include "controller/store/internal.h"

static const struct column node_columns[] = {
    COLUMN_HEAD(node_row),
    COLUMN(node_row, COLUMN_TEXT, kind),
    COLUMN(node_row, COLUMN_TEXT, name),
    COLUMN(node_row, COLUMN_TEXT, zone),
    COLUMN(node_row, COLUMN_TEXT, address),
    COLUMN(node_row, COLUMN_U64, heard_ns),
    COLUMN(node_row, COLUMN_BOOL, revoked),
};

static const struct filter node_filters[] = {
    {"guids", "t.guid"}, {"kinds", "t.kind"}, {"names", "t.name"}};

static const struct table node_table = {
    .name = "nodes",
    .thing = "node",
    .row_size = sizeof(struct node_row),
    .columns = node_columns,
    .column_count = ARRAY_SIZE(node_columns),
    .filters = node_filters,
    .filter_count = ARRAY_SIZE(node_filters),
    .name_order = "t.name",
};
STORE_DEFINE(node)

int store_node_seen(struct store *s, struct node_row *row, struct error *err) {
    _cleanup_(node_row_fini) struct node_row known = {0};
    int r = store_node_get(s, row->guid, &known, err);
    if (r == -ENOENT)
        return store_node_insert(s, row, err);
    if (r < 0)
        return r;
    row->created_ns = known.created_ns;
    row->revoked = known.revoked;
    return store_node_update(s, row, err);
}
