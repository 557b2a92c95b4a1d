#include "controller/store/services.h"

#include <errno.h>
#include <jansson.h>

#include "controller/store/internal.h"

static const struct column service_columns[] = {
    COLUMN_HEAD(service_row),
    COLUMN(service_row, COLUMN_TEXT, name),
    COLUMN(service_row, COLUMN_GUID, space_guid),
    COLUMN(service_row, COLUMN_SEALED, credentials),
    COLUMN(service_row, COLUMN_TEXT, tags),
    COLUMN(service_row, COLUMN_TEXT, syslog_drain_url),
    COLUMN(service_row, COLUMN_TEXT, route_service_url),
    COLUMN_METADATA(service_row),
    COLUMN_READ(service_row, COLUMN_GUID, org_guid, "s.org_guid"),
};

static const struct filter service_filters[] = {
    {"guids", "t.guid"},
    {"names", "t.name"},
    {"space_guids", "t.space_guid"},
    {"organization_guids", "s.org_guid"},
};

static const struct table service_table = {
    .name = "services",
    .thing = "service instance",
    .row_size = sizeof(struct service_row),
    .columns = service_columns,
    .column_count = ARRAY_SIZE(service_columns),
    .joins = "LEFT JOIN spaces s ON s.guid = t.space_guid",
    .filters = service_filters,
    .filter_count = ARRAY_SIZE(service_filters),
    .name_order = "t.name",
    .visible = VISIBLE_IN_SPACE("t.space_guid", "s.org_guid"),
};
STORE_DEFINE(service)

static const struct column binding_columns[] = {
    COLUMN_HEAD(binding_row),
    COLUMN(binding_row, COLUMN_GUID, app_guid),
    COLUMN(binding_row, COLUMN_GUID, service_guid),
    COLUMN(binding_row, COLUMN_TEXT, name),
    COLUMN_METADATA(binding_row),
    COLUMN_READ(binding_row, COLUMN_GUID, space_guid, "a.space_guid"),
    COLUMN_READ(binding_row, COLUMN_TEXT, service_name, "v.name"),
};

static const struct filter binding_filters[] = {
    {"guids", "t.guid"},
    {"names", "t.name"},
    {"app_guids", "t.app_guid"},
    {"app_names", "a.name"},
    {"service_instance_guids", "t.service_guid"},
    {"service_instance_names", "v.name"},
};

static const struct table binding_table = {
    .name = "bindings",
    .thing = "service binding",
    .row_size = sizeof(struct binding_row),
    .columns = binding_columns,
    .column_count = ARRAY_SIZE(binding_columns),
    .joins = "LEFT JOIN apps a ON a.guid = t.app_guid LEFT JOIN spaces s ON s.guid = a.space_guid"
             " LEFT JOIN services v ON v.guid = t.service_guid",
    .filters = binding_filters,
    .filter_count = ARRAY_SIZE(binding_filters),
    .name_order = "t.name",
    .visible = VISIBLE_IN_SPACE("a.space_guid", "s.org_guid"),
};
STORE_DEFINE(binding)

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

static json_t *stored(const char *text, const char *otherwise) {
    json_t *value = json_loads(text ? text : otherwise, 0, NULL);
    return value ? value : json_loads(otherwise, 0, NULL);
}

/* cc: app/presenters/system_environment/service_binding_presenter.rb */
static json_t *vcap_service(const struct binding_row *b, const struct service_row *v) {
    return json_pack("{s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:o,s:o,s:[]}", "label", "user-provided", "name",
                     b->name ? b->name : v->name, "tags", stored(v->tags, "[]"), "instance_guid",
                     v->guid, "instance_name", v->name, "binding_guid", b->guid, "binding_name",
                     text_or_null(b->name), "credentials", stored(v->credentials, "{}"),
                     "syslog_drain_url", text_or_null(v->syslog_drain_url), "volume_mounts");
}

int store_vcap_services(struct store *s, const char *app_guid, char **ret, struct error *err) {
    struct store_filter filter = {"app_guids", &app_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    int r = store_binding_list(s, &q, &rows, err);
    if (r < 0)
        return r;
    json_t *list = json_array();
    for (size_t i = 0; r == 0 && i < rows.n; i++) {
        _cleanup_(service_row_fini) struct service_row service = {0};
        r = store_service_get(s, rows.v[i].service_guid, &service, err);
        if (r == 0 && json_array_append_new(list, vcap_service(&rows.v[i], &service)))
            r = error_set(err, -ENOMEM, "out of memory listing services");
    }
    json_t *all = rows.n ? json_pack("{s:O}", "user-provided", list) : json_object();
    json_decref(list);
    char *text = r == 0 ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    if (r == 0 && !text)
        r = error_set(err, -ENOMEM, "out of memory listing services");
    if (r == 0)
        *ret = text;
    return r;
}
