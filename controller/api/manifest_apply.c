/* manifest_apply.c - POST .../actions/apply_manifest: makes apps, processes, environment and routes
 * as a manifest says, all of them or none. */
#include <errno.h>
#include <stdio.h>

#include "controller/api/manifest.h"
#include "controller/api/manifest_routes.h"
#include "controller/api/resources.h"
#include "controller/store/flags.h"

/* --- the flag
 * ---------------------------------------------------------------------------------------
 */

/* In a manifest the real one says it as one of the app's mistakes. */
static int check_docker(struct call *c, const struct manifest *m) {
    _cleanup_(flag_fini) struct flag flag = {0};
    struct error err = {0};
    if (store_flag_get(c->api->deps.store, "diego_docker", &flag, &err) < 0)
        return fail_internal(c, &err);
    if (flag.enabled)
        return 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->apps[i].docker)
            fail_invalid(c, "For application '%s': Feature Disabled: %s", m->apps[i].name,
                         flag.error_message ? flag.error_message : "diego_docker");
    return c->errors ? -1 : 0;
}

/* --- one app
 * ----------------------------------------------------------------------------------------
 */

/* 0 found, 1 none, -1 failed. */
static int find_app(struct call *c, const char *space_guid, const char *name, struct app_row *ret) {
    struct store_filter filters[] = {{"space_guids", &space_guid, 1}, {"names", &name, 1}};
    struct store_query q = {.filters = filters, .filter_count = 2, .limit = 1};
    _cleanup_(app_rows_fini) struct app_rows rows = {0};
    struct error err = {0};
    if (store_app_list(c->api->deps.store, &q, &rows, &err) < 0)
        return fail_internal(c, &err);
    if (!rows.n)
        return 1;
    *ret = rows.v[0];
    rows.v[0] = (struct app_row){0};
    return 0;
}

static int find_or_create(struct call *c, const struct space_row *space,
                          const struct manifest_app *wish, struct app_row *app) {
    struct error err = {0};
    int found = find_app(c, space->guid, wish->name, app);
    if (found <= 0)
        return found;
    if (!wish->docker)
        return fail_invalid(c,
                            "For application '%s': This platform runs Docker images: a new "
                            "application needs one",
                            wish->name);
    _cleanup_(app_row_fini) struct app_row made = {0};
    memcpy(made.space_guid, space->guid, GUID_SIZE);
    memcpy(made.org_guid, space->org_guid, GUID_SIZE);
    if (str_set(&made.name, wish->name) < 0)
        return fail_no_memory(c);
    if (app_create(c, &made) < 0)
        return -1;
    return store_app_get(c->api->deps.store, made.guid, app, &err) < 0 ? fail_internal(c, &err) : 0;
}

static void set_number(bool has, uint64_t wish, uint64_t *now) {
    if (has)
        *now = wish;
}

/* Instances are started or stopped at once. All else waits for the next start or deployment, which
 * is what `push` does next: a rolling one must not find everything replaced already. */
static int merge_process(struct call *c, const struct manifest_process *wish,
                         struct process_row *p) {
    set_number(wish->has_instances, wish->instances, &p->instances);
    set_number(wish->has_disk, wish->disk_mb, &p->disk_mb);
    set_number(wish->has_memory, wish->memory_mb, &p->memory_mb);
    set_number(wish->has_timeout, wish->timeout_s, &p->health_timeout_s);
    set_number(wish->has_invocation, wish->invocation_s, &p->health_invocation_s);
    set_number(wish->has_interval, wish->interval_s, &p->health_interval_s);
    set_number(wish->has_ready_invocation, wish->ready_invocation_s, &p->ready_invocation_s);
    set_number(wish->has_ready_interval, wish->ready_interval_s, &p->ready_interval_s);
    if (wish->has_log_rate)
        p->log_rate = wish->log_rate;
    if ((wish->has_command && str_set(&p->command, wish->command) < 0) ||
        (wish->health_type && str_set(&p->health_type, wish->health_type) < 0) ||
        (wish->health_endpoint && str_set(&p->health_endpoint, wish->health_endpoint) < 0) ||
        (wish->ready_type && str_set(&p->ready_type, wish->ready_type) < 0) ||
        (wish->ready_endpoint && str_set(&p->ready_endpoint, wish->ready_endpoint) < 0))
        return fail_no_memory(c);
    return 0;
}

static int apply_process(struct call *c, const struct app_row *app,
                         const struct manifest_process *wish, const struct process_rows *rows) {
    _cleanup_(process_row_fini) struct process_row fresh = {0};
    struct process_row *p = NULL;
    for (size_t i = 0; i < rows->n; i++)
        if (str_eq(rows->v[i].type, wish->type))
            p = &rows->v[i];
    if (!p) {
        p = &fresh;
        if (process_create(c, app->guid, wish->type, &fresh) < 0)
            return -1;
    }
    if (merge_process(c, wish, p) < 0)
        return -1;
    return process_save(c, p);
}

static int apply_processes(struct call *c, const struct app_row *app,
                           const struct manifest_app *wish) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    if (app_processes(c, app->guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < wish->process_count; i++)
        if (apply_process(c, app, &wish->processes[i], &rows) < 0)
            return -1;
    return 0;
}

static int apply_app(struct call *c, const struct space_row *space,
                     const struct manifest_app *wish) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    char prefix[300];
    snprintf(prefix, sizeof prefix, "For application '%.255s': ", wish->name);
    if (find_or_create(c, space, wish, &app) < 0 ||
        (wish->env && env_merge(c, &app.env, wish->env, prefix) < 0) ||
        metadata_merge(c, wish->whole, &app.labels, &app.annotations) < 0 ||
        app_update(c, &app) < 0 || apply_processes(c, &app, wish) < 0 ||
        manifest_routes_apply(c, &app, space, wish) < 0 ||
        manifest_services_apply(c, &app, space, wish) < 0 ||
        record_event(c, "audit.app.apply_manifest", &app, NULL) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app.guid);
}

int apply_manifest(struct call *c) {
    _cleanup_(manifest_fini) struct manifest m = {0};
    _cleanup_(space_row_fini) struct space_row space = {0};
    if (load_space(c, c->params[0], NEED_WRITE, &space) < 0 || manifest_read(c, &m) < 0 ||
        check_docker(c, &m) < 0)
        return -1;
    for (size_t i = 0; i < m.count; i++)
        if (apply_app(c, &space, &m.apps[i]) < 0)
            return -1;
    return reply_job(c, "space.apply_manifest");
}
