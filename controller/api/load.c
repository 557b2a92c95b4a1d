/* load.c - finding a resource for a caller: what may not be seen is not there. */
#include <errno.h>
#include <stdio.h>

#include "controller/api/deploy.h"
#include "controller/store/services.h"

int need_found(struct call *c, int r, const struct error *err, const char *thing) {
    if (r == -ENOENT)
        return fail_not_found(c, thing);
    return r < 0 ? fail_internal(c, err) : 0;
}

int load_app(struct call *c, const char *guid, enum need need, struct app_row *ret) {
    struct error err = {0};
    int r = store_app_get(c->api->deps.store, guid, ret, &err);
    return need_found(c, r, &err, "App") < 0 ? -1 : need_space(c, ret->space_guid, need, "App");
}

int load_related_app(struct call *c, const char *unusable, struct app_row *ret) {
    struct error err = {0};
    int r = store_app_get(c->api->deps.store, body_text(c->json, "relationships.app.data.guid"),
                          ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, ret->space_guid))
        return fail_invalid(c, "%s", unusable);
    return need_space(c, ret->space_guid, NEED_WRITE, "App");
}

int load_process(struct call *c, const char *guid, enum need need, struct process_row *ret) {
    _cleanup_(old_version_row_fini) struct old_version_row old = {0};
    struct error err = {0};
    int r = store_process_get(c->api->deps.store, guid, ret, &err);
    if (r == -ENOENT && (r = store_old_version_get(c->api->deps.store, guid, &old, &err)) == 0 &&
        old_version_process(c, &old, ret) < 0)
        return -1;
    return need_found(c, r, &err, "Process") < 0 ? -1
                                                 : need_space(c, ret->space_guid, need, "Process");
}

int load_space(struct call *c, const char *guid, enum need need, struct space_row *ret) {
    struct error err = {0};
    int r = store_space_get(c->api->deps.store, guid, ret, &err);
    return need_found(c, r, &err, "Space") < 0 ? -1 : need_space(c, ret->guid, need, "Space");
}

int load_route(struct call *c, const char *guid, enum need need, struct route_row *ret) {
    struct error err = {0};
    int r = store_route_get(c->api->deps.store, guid, ret, &err);
    return need_found(c, r, &err, "Route") < 0 ? -1 : need_space(c, ret->space_guid, need, "Route");
}

int load_org(struct call *c, const char *guid, enum need need, struct org_row *ret) {
    struct error err = {0};
    int r = store_org_get(c->api->deps.store, guid, ret, &err);
    return need_found(c, r, &err, "Organization") < 0 ? -1
                                                      : need_org(c, guid, need, "Organization");
}

int load_space_of_body(struct call *c, const char *guid, enum need need, struct space_row *ret) {
    struct error err = {0};
    int r = store_space_get(c->api->deps.store, guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_space(c, ret->guid))
        return fail_invalid(
            c, "Invalid space. Ensure that the space exists and you have access to it.");
    return need_space(c, ret->guid, need, "Space");
}

int load_org_of_body(struct call *c, const char *guid, enum need need, struct org_row *ret) {
    struct error err = {0};
    int r = store_org_get(c->api->deps.store, guid, ret, &err);
    if (r < 0 && r != -ENOENT)
        return fail_internal(c, &err);
    if (r < 0 || !sees_org(c, ret->guid))
        return fail_invalid(c, "Invalid organization. Ensure the organization exists and you have "
                               "access to it.");
    return need_org(c, ret->guid, need, "Organization");
}

static int web_first(const void *a, const void *b) {
    const struct process_row *x = a, *y = b;
    return str_eq(y->type, "web") - str_eq(x->type, "web");
}

int app_processes(struct call *c, const char *app_guid, struct process_rows *ret) {
    struct error err = {0};
    struct store_filter filter = {"app_guids", &app_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    if (store_process_list(c->api->deps.store, &q, ret, &err) < 0)
        return fail_internal(c, &err);
    if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof *ret->v, web_first);
    return 0;
}

int app_destinations(struct call *c, const char *app_guid, struct destination_rows *ret) {
    struct error err = {0};
    struct store_filter filter = {"app_guids", &app_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    return store_destination_list(c->api->deps.store, &q, ret, &err) < 0 ? fail_internal(c, &err)
                                                                         : 0;
}

int app_bindings(struct call *c, const char *app_guid, struct binding_rows *ret) {
    struct error err = {0};
    struct store_filter filter = {"app_guids", &app_guid, 1};
    struct store_query q = {.filters = &filter, .filter_count = 1};
    return store_binding_list(c->api->deps.store, &q, ret, &err) < 0 ? fail_internal(c, &err) : 0;
}

int load_app_process(struct call *c, const char *app_guid, const char *type, enum need need,
                     struct process_row *ret) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    if (load_app(c, app_guid, need, &app) < 0 || app_processes(c, app_guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++)
        if (str_eq(rows.v[i].type, type)) {
            *ret = rows.v[i];
            rows.v[i] = (struct process_row){0};
            return 0;
        }
    return fail_not_found(c, "Process");
}
