#include "controller/store/events.h"

#include "controller/store/internal.h"

static const struct column event_columns[] = {
    COLUMN_HEAD(event_row),
    COLUMN(event_row, COLUMN_TEXT, type),
    COLUMN(event_row, COLUMN_TEXT, actor_guid),
    COLUMN(event_row, COLUMN_TEXT, actor_type),
    COLUMN(event_row, COLUMN_TEXT, actor_name),
    COLUMN(event_row, COLUMN_TEXT, target_guid),
    COLUMN(event_row, COLUMN_TEXT, target_type),
    COLUMN(event_row, COLUMN_TEXT, target_name),
    COLUMN(event_row, COLUMN_TEXT, data),
    COLUMN(event_row, COLUMN_GUID, space_guid),
    COLUMN(event_row, COLUMN_GUID, org_guid),
};

static const struct filter event_filters[] = {
    {"guids", "t.guid"},
    {"types", "t.type"},
    {"target_guids", "t.target_guid"},
    {"target_guids[not]", "NOT t.target_guid"},
    {"space_guids", "t.space_guid"},
    {"organization_guids", "t.org_guid"},
};

static const struct table event_table = {
    .name = "events",
    .thing = "event",
    .row_size = sizeof(struct event_row),
    .columns = event_columns,
    .column_count = ARRAY_SIZE(event_columns),
    .filters = event_filters,
    .filter_count = ARRAY_SIZE(event_filters),
    .visible = VISIBLE_IN_SPACE("t.space_guid", "t.org_guid"),
};
STORE_DEFINE(event)

int store_event_prune(struct store *s, uint64_t before_ns, struct error *err) {
    return table_prune(s, "events", "created_ns", before_ns, err);
}
