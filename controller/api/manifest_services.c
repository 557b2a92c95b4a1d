/* manifest_services.c - the services of a manifest: what is named there gets bound, what is bound
 * already stays. */
#include "controller/api/manifest.h"
#include "controller/api/resources.h"
#include "controller/store/services.h"

static int find_service(struct call *c, const struct space_row *space, const char *name,
                        const char *prefix, struct service_row *ret) {
    const char *guid = space->guid;
    struct store_filter filters[] = {{"space_guids", &guid, 1}, {"names", &name, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2};
    _cleanup_(service_rows_fini) struct service_rows rows = {0};
    struct error err = {0};
    if (store_service_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n)
        return fail_invalid(c, "%sService instance '%s' not found", prefix, name);
    *ret = rows.v[0];
    rows.v[0] = (struct service_row){0};
    return 0;
}

static int bind_one(struct call *c, const struct app_row *app, const struct space_row *space,
                    const json_t *wish, const char *prefix) {
    _cleanup_(service_row_fini) struct service_row service = {0};
    _cleanup_(binding_row_fini) struct binding_row binding = {0};
    bool bound = false;
    const char *name = json_is_string(wish) ? json_string_value(wish) : body_text(wish, "name");
    if (find_service(c, space, name, prefix, &service) < 0 ||
        binding_exists(c, app, &service, &bound) < 0)
        return -1;
    if (bound)
        return 0;
    if (str_set(&binding.name, body_text(wish, "binding_name")) < 0)
        return fail_no_memory(c);
    return binding_create(c, app, &service, &binding);
}

int manifest_services_apply(struct call *c, const struct app_row *app,
                            const struct space_row *space, const struct manifest_app *wish) {
    char prefix[300];
    size_t i;
    json_t *one;
    snprintf(prefix, sizeof prefix, "For application '%.255s': ", wish->name);
    json_array_foreach((json_t *)wish->services, i, one) {
        if (bind_one(c, app, space, one, prefix) < 0)
            return -1;
    }
    return 0;
}

int manifest_services_show(struct call *c, const struct app_row *app, json_t *map) {
    _cleanup_(binding_rows_fini) struct binding_rows rows = {0};
    if (app_bindings(c, app->guid, &rows) < 0)
        return -1;
    if (!rows.n)
        return 0;
    json_t *list = json_array();
    for (size_t i = 0; i < rows.n; i++)
        json_array_append_new(list, rows.v[i].name
                                        ? json_pack("{s:s,s:s}", "name", rows.v[i].service_name,
                                                    "binding_name", rows.v[i].name)
                                        : json_string(rows.v[i].service_name));
    return json_object_set_new(map, "services", list);
}
