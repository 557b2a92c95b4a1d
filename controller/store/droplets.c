#include "controller/store/droplets.h"

#include "controller/store/internal.h"

#define IN_APP "LEFT JOIN apps a ON a.guid = t.app_guid LEFT JOIN spaces s ON s.guid = a.space_guid"
#define APP_FILTERS                                                                                \
    {"guids", "t.guid"}, {"app_guids", "t.app_guid"}, {"states", "t.state"},                       \
        {"space_guids", "a.space_guid"}, {                                                         \
        "organization_guids", "s.org_guid"                                                         \
    }

static const struct column package_columns[] = {
    COLUMN_HEAD(package_row),
    COLUMN(package_row, COLUMN_GUID, app_guid),
    COLUMN(package_row, COLUMN_TEXT, type),
    COLUMN(package_row, COLUMN_TEXT, state),
    COLUMN(package_row, COLUMN_TEXT, image),
    COLUMN(package_row, COLUMN_TEXT, username),
    COLUMN(package_row, COLUMN_SEALED, password),
    COLUMN_METADATA(package_row),
    COLUMN_READ(package_row, COLUMN_GUID, space_guid, "a.space_guid"),
};

static const struct filter package_filters[] = {APP_FILTERS, {"types", "t.type"}};

static const struct table package_table = {
    .name = "packages",
    .thing = "package",
    .row_size = sizeof(struct package_row),
    .columns = package_columns,
    .column_count = ARRAY_SIZE(package_columns),
    .joins = IN_APP,
    .filters = package_filters,
    .filter_count = ARRAY_SIZE(package_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(package)

static const struct filter staged_filters[] = {APP_FILTERS, {"package_guids", "t.package_guid"}};

static const struct column build_columns[] = {
    COLUMN_HEAD(build_row),
    COLUMN(build_row, COLUMN_GUID, app_guid),
    COLUMN(build_row, COLUMN_GUID, package_guid),
    COLUMN(build_row, COLUMN_GUID, droplet_guid),
    COLUMN(build_row, COLUMN_TEXT, state),
    COLUMN(build_row, COLUMN_TEXT, error),
    COLUMN(build_row, COLUMN_U64, memory_mb),
    COLUMN(build_row, COLUMN_U64, disk_mb),
    COLUMN(build_row, COLUMN_GUID, user_guid),
    COLUMN(build_row, COLUMN_TEXT, user_name),
    COLUMN(build_row, COLUMN_BOOL, start_after_staging),
    COLUMN_METADATA(build_row),
    COLUMN_READ(build_row, COLUMN_GUID, space_guid, "a.space_guid"),
};

static const struct table build_table = {
    .name = "builds",
    .thing = "build",
    .row_size = sizeof(struct build_row),
    .columns = build_columns,
    .column_count = ARRAY_SIZE(build_columns),
    .joins = IN_APP,
    .filters = staged_filters,
    .filter_count = ARRAY_SIZE(staged_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(build)

static const struct column droplet_columns[] = {
    COLUMN_HEAD(droplet_row),
    COLUMN(droplet_row, COLUMN_GUID, app_guid),
    COLUMN(droplet_row, COLUMN_GUID, package_guid),
    COLUMN(droplet_row, COLUMN_TEXT, state),
    COLUMN(droplet_row, COLUMN_TEXT, image),
    COLUMN(droplet_row, COLUMN_TEXT, digest),
    COLUMN_BYTES(droplet_row, image_packed),
    COLUMN(droplet_row, COLUMN_TEXT, entrypoint),
    COLUMN(droplet_row, COLUMN_TEXT, cmd),
    COLUMN(droplet_row, COLUMN_TEXT, env),
    COLUMN(droplet_row, COLUMN_TEXT, user),
    COLUMN(droplet_row, COLUMN_TEXT, workdir),
    COLUMN(droplet_row, COLUMN_TEXT, stop_signal),
    COLUMN(droplet_row, COLUMN_TEXT, ports),
    COLUMN(droplet_row, COLUMN_TEXT, process_types),
    COLUMN(droplet_row, COLUMN_TEXT, execution_metadata),
    COLUMN_METADATA(droplet_row),
    COLUMN_READ(droplet_row, COLUMN_GUID, space_guid, "a.space_guid"),
};

static const struct table droplet_table = {
    .name = "droplets",
    .thing = "droplet",
    .row_size = sizeof(struct droplet_row),
    .columns = droplet_columns,
    .column_count = ARRAY_SIZE(droplet_columns),
    .joins = IN_APP,
    .filters = staged_filters,
    .filter_count = ARRAY_SIZE(staged_filters),
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(droplet)
