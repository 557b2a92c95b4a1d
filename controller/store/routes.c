#include "controller/store/routes.h"

#include "controller/store/internal.h"

static const struct column domain_columns[] = {
    COLUMN_HEAD(domain_row),
    COLUMN(domain_row, COLUMN_TEXT, name),
    COLUMN(domain_row, COLUMN_BOOL, internal),
    COLUMN(domain_row, COLUMN_GUID, org_guid),
    COLUMN_METADATA(domain_row),
};

static const struct filter domain_filters[] = {
    {"guids", "t.guid"},
    {"names", "t.name"},
    {"organization_guids", "t.org_guid"},
    {"available_to", "(t.org_guid IS NULL OR t.org_guid", ")"}};

static const struct table domain_table = {
    .name = "domains",
    .thing = "domain",
    .row_size = sizeof(struct domain_row),
    .columns = domain_columns,
    .column_count = ARRAY_SIZE(domain_columns),
    .filters = domain_filters,
    .filter_count = ARRAY_SIZE(domain_filters),
    .name_order = "t.name",
    .visible = "(t.org_guid IS NULL OR t.org_guid IN"
               " (SELECT org_guid FROM roles WHERE user_guid = ?U AND org_guid IS NOT NULL"
               " UNION SELECT sp.org_guid FROM roles r JOIN spaces sp ON sp.guid = r.space_guid"
               " WHERE r.user_guid = ?U))",
};
STORE_DEFINE(domain)

static const struct column route_columns[] = {
    COLUMN_HEAD(route_row),
    COLUMN(route_row, COLUMN_GUID, space_guid),
    COLUMN(route_row, COLUMN_GUID, domain_guid),
    COLUMN(route_row, COLUMN_TEXT, host),
    COLUMN(route_row, COLUMN_TEXT, path),
    COLUMN(route_row, COLUMN_TEXT, protocol),
    COLUMN(route_row, COLUMN_TEXT, options),
    COLUMN_METADATA(route_row),
    COLUMN_READ(route_row, COLUMN_TEXT, domain_name, "d.name"),
    COLUMN_READ(route_row, COLUMN_GUID, org_guid, "s.org_guid"),
};

static const struct filter route_filters[] = {
    {"guids", "t.guid"},
    {"hosts", "t.host"},
    {"paths", "t.path"},
    {"domain_guids", "t.domain_guid"},
    {"space_guids", "t.space_guid"},
    {"organization_guids", "s.org_guid"},
    {"ports", "NULL"}, /* none has one */
    {"service_instance_guids", "NULL"},
    {"app_guids", "t.guid IN (SELECT d2.route_guid FROM destinations d2 WHERE d2.app_guid", ")"},
};

static const struct table route_table = {
    .name = "routes",
    .thing = "route",
    .row_size = sizeof(struct route_row),
    .columns = route_columns,
    .column_count = ARRAY_SIZE(route_columns),
    .joins = "LEFT JOIN domains d ON d.guid = t.domain_guid"
             " LEFT JOIN spaces s ON s.guid = t.space_guid",
    .filters = route_filters,
    .filter_count = ARRAY_SIZE(route_filters),
    .visible = VISIBLE_IN_SPACE("t.space_guid", "s.org_guid"),
};
STORE_DEFINE(route)

static const struct column destination_columns[] = {
    COLUMN_HEAD(destination_row),
    COLUMN(destination_row, COLUMN_GUID, route_guid),
    COLUMN(destination_row, COLUMN_GUID, app_guid),
    COLUMN(destination_row, COLUMN_TEXT, process_type),
    COLUMN(destination_row, COLUMN_U64, port),
    COLUMN(destination_row, COLUMN_TEXT, protocol),
    COLUMN_READ(destination_row, COLUMN_TEXT, host, "r.host"),
    COLUMN_READ(destination_row, COLUMN_TEXT, path, "r.path"),
    COLUMN_READ(destination_row, COLUMN_TEXT, domain_name, "d.name"),
    COLUMN_READ(destination_row, COLUMN_TEXT, options, "r.options"),
    COLUMN_READ(destination_row, COLUMN_TEXT, image_ports,
                "(SELECT dr.ports FROM apps a JOIN droplets dr ON dr.guid = a.droplet_guid"
                " WHERE a.guid = t.app_guid)"),
};

static const struct filter destination_filters[] = {
    {"guids", "t.guid"}, {"route_guids", "t.route_guid"}, {"app_guids", "t.app_guid"}};

static const struct table destination_table = {
    .name = "destinations",
    .thing = "destination",
    .row_size = sizeof(struct destination_row),
    .columns = destination_columns,
    .column_count = ARRAY_SIZE(destination_columns),
    .joins = "LEFT JOIN routes r ON r.guid = t.route_guid"
             " LEFT JOIN domains d ON d.guid = r.domain_guid",
    .filters = destination_filters,
    .filter_count = ARRAY_SIZE(destination_filters),
};
STORE_DEFINE(destination)

int store_route_delete_unmapped(struct store *s, const char *space_guid, uint64_t *ret_n,
                                struct error *err) {
    int changes = 0;
    int r = sql_run(s,
                    "DELETE FROM routes WHERE space_guid = ? AND NOT EXISTS"
                    " (SELECT 1 FROM destinations WHERE route_guid = routes.guid)",
                    &space_guid, 1, &changes, err);
    *ret_n = (uint64_t)changes;
    return r;
}
