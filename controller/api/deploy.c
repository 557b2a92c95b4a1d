/* deploy.c - a deployment begins, is canceled, is overtaken: the rows. What happens in between is
 * staging's (rollout.c) by what runs.
 *
 * The web process's row has the version that comes; old_version rows have those that go. A cancel
 * turns it round: what came goes, and the version that was whole before comes again. */
#include "controller/api/deploy.h"

#include <errno.h>

#define KEEP_DEPLOYMENTS 100 /* cc: max_retained_deployments_per_app */

int app_old_versions(struct call *c, const char *app_guid, struct old_version_rows *ret) {
    const struct store_filter filter = {"app_guids", &app_guid, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    struct error err = {0};
    return store_old_version_list(c->api->deps.store, &query, ret, &err) < 0
               ? fail_internal(c, &err)
               : 0;
}

/* 0 found, 1 none, -1 failed. */
static int active_of(struct call *c, const char *app_guid, struct deployment_row *ret) {
    struct error err = {0};
    int r = store_deployment_active(c->api->deps.store, app_guid, ret, &err);
    return r == -ENOENT ? 1 : r < 0 ? fail_internal(c, &err) : 0;
}

static bool is_canceling(const struct deployment_row *d) {
    return str_eq(d->status_reason, "CANCELING");
}

int deployment_set(struct call *c, struct deployment_row *d, const char *value,
                   const char *reason) {
    struct error err = {0};
    d->changed_ns = store_now_ns(c->api->deps.store);
    if (str_set(&d->status_value, value) < 0 || str_set(&d->status_reason, reason) < 0)
        return fail_no_memory(c);
    if (store_deployment_update(c->api->deps.store, d, &err) < 0)
        return fail_internal(c, &err);
    return after_commit(c, AFTER_DEPLOYMENT, d->app_guid);
}

int deployment_overtake(struct call *c, const char *app_guid) {
    _cleanup_(deployment_row_fini) struct deployment_row d = {0};
    _cleanup_(process_row_fini) struct process_row web = {0};
    struct store *store = c->api->deps.store;
    struct error err = {0};
    int r = active_of(c, app_guid, &d);
    if (r != 0)
        return MIN(r, 0);
    if (store_process_get(store, d.process_guid, &web, &err) < 0 ||
        store_old_versions_delete(store, app_guid, &err) < 0)
        return fail_internal(c, &err);
    web.rolling = false;
    web.rolled = 0;
    return process_save(c, &web) < 0 ? -1 : deployment_set(c, &d, "FINALIZED", "SUPERSEDED");
}

/* The present version goes. 0, 1 when it never ran, -1. */
static int retire(struct call *c, const struct app_row *app, const struct process_row *web,
                  bool whole) {
    struct old_version_row old = {.whole = whole,
                                  .instances = process_wanted(web),
                                  .memory_mb = web->memory_mb,
                                  .disk_mb = web->disk_mb,
                                  .log_rate = web->log_rate};
    struct error err = {0};
    memcpy(old.droplet_guid, app->droplet_guid, GUID_SIZE);
    memcpy(old.revision_guid, app->revision_guid, GUID_SIZE);
    int r = store_old_version_retire(c->api->deps.store, web, &old, &err);
    return r == -ENOENT ? 1 : r < 0 ? fail_internal(c, &err) : 0;
}

/* --- beginning
 * ------------------------------------------------------------------------------------
 */

/* What a cancel goes back to is what an overtaken deployment would have gone back to. */
static int remember_previous(struct call *c, const struct app_row *app,
                             const struct process_row *web, struct deployment_row *d) {
    _cleanup_(deployment_row_fini) struct deployment_row before = {0};
    int r = active_of(c, app->guid, &before);
    if (r < 0)
        return -1;
    memcpy(d->previous_droplet_guid, app->droplet_guid, GUID_SIZE);
    d->previous_instances = web->instances;
    d->previous_memory_mb = web->memory_mb;
    d->previous_disk_mb = web->disk_mb;
    d->previous_log_rate = web->log_rate;
    if (r == 0 && !is_canceling(&before)) {
        memcpy(d->previous_droplet_guid, before.previous_droplet_guid, GUID_SIZE);
        d->previous_instances = before.previous_instances;
        d->previous_memory_mb = before.previous_memory_mb;
        d->previous_disk_mb = before.previous_disk_mb;
        d->previous_log_rate = before.previous_log_rate;
    }
    if (r == 0 && deployment_set(c, &before, "FINALIZED", "SUPERSEDED") < 0)
        return -1;
    return retire(c, app, web, r != 0 || is_canceling(&before)) < 0 ? -1 : 0;
}

static int renew_others(struct call *c, const struct app_row *app, const char *but) {
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    if (app_processes(c, app->guid, &rows) < 0)
        return -1;
    for (size_t i = 0; i < rows.n; i++) {
        if (str_eq(rows.v[i].guid, but))
            continue;
        process_renew(&rows.v[i]);
        if (process_save(c, &rows.v[i]) < 0)
            return -1;
    }
    return 0;
}

static void take_size(const struct process_size *size, struct process_row *web) {
    web->instances = size->instances;
    web->memory_mb = size->memory_mb;
    web->disk_mb = size->disk_mb;
    web->log_rate = size->log_rate;
}

static int begin(struct call *c, const struct deploy_wish *wish, struct app_row *app,
                 struct process_row *web, struct deployment_row *d) {
    struct store *store = c->api->deps.store;
    _cleanup_(old_version_rows_fini) struct old_version_rows olds = {0};
    struct error err = {0};
    if (app->started && remember_previous(c, app, web, d) < 0)
        return -1;
    if (app_old_versions(c, app->guid, &olds) < 0)
        return -1;
    take_size(&wish->size, web);
    process_renew(web);
    web->rolling = app->started && olds.n > 0; /* else there is nothing to replace */
    web->rolled = 0;
    app->started = true;
    memcpy(app->droplet_guid, wish->droplet_guid, GUID_SIZE);
    if (process_save(c, web) < 0 || (!web->rolling && renew_others(c, app, web->guid) < 0) ||
        (wish->revision && revision_apply(c, wish->revision, app) < 0) ||
        revision_note(c, app, wish->revision ? wish->revision->version : 0, &d->revision_version) <
            0 ||
        app_update(c, app) < 0)
        return -1;
    d->changed_ns = store_now_ns(store);
    memcpy(d->app_guid, app->guid, GUID_SIZE);
    memcpy(d->process_guid, web->guid, GUID_SIZE);
    memcpy(d->droplet_guid, app->droplet_guid, GUID_SIZE);
    memcpy(d->revision_guid, app->revision_guid, GUID_SIZE);
    if (str_set(&d->status_value, web->rolling ? "ACTIVE" : "FINALIZED") < 0 ||
        str_set(&d->status_reason, web->rolling ? "DEPLOYING" : "DEPLOYED") < 0)
        return fail_no_memory(c);
    if (store_deployment_insert(store, d, &err) < 0 ||
        store_deployment_trim(store, app->guid, KEEP_DEPLOYMENTS, &err) < 0)
        return fail_internal(c, &err);
    return 0;
}

int deployment_begin(struct call *c, const struct deploy_wish *wish, struct app_row *app,
                     struct process_row *web, struct deployment_row *d) {
    bool other = !str_eq(app->droplet_guid, wish->droplet_guid);
    if (begin(c, wish, app, web, d) < 0 ||
        (other &&
         record_event(c, "audit.app.droplet.mapped", app,
                      json_pack("{s:{s:s}}", "request", "droplet_guid", app->droplet_guid)) < 0) ||
        record_event(c, "audit.app.deployment.create", app,
                     json_pack("{s:s,s:s,s:s,s:s,s:O}", "deployment_guid", d->guid, "droplet_guid",
                               app->droplet_guid, "type",
                               wish->revision ? "rollback" : "deployment", "strategy", d->strategy,
                               "request", c->json)) < 0 ||
        after_commit(c, AFTER_DESIRE_APP, app->guid) < 0)
        return -1;
    return after_commit(c, AFTER_DEPLOYMENT, app->guid);
}

/* --- canceling
 * ------------------------------------------------------------------------------------
 */

static const struct old_version_row *whole_of(const struct old_version_rows *olds) {
    const struct old_version_row *whole = NULL;
    for (size_t i = 0; i < olds->n; i++)
        if (olds->v[i].whole)
            whole = &olds->v[i]; /* the newest such */
    return whole;
}

/* The droplet may have been deleted since. */
static void take_droplet_back(struct call *c, const struct deployment_row *d, struct app_row *app) {
    _cleanup_(droplet_row_fini) struct droplet_row droplet = {0};
    if (store_droplet_get(c->api->deps.store, d->previous_droplet_guid, &droplet, NULL) == 0)
        memcpy(app->droplet_guid, droplet.guid, GUID_SIZE);
}

static int turn_round(struct call *c, const struct deployment_row *d, struct app_row *app,
                      struct process_row *web) {
    _cleanup_(old_version_rows_fini) struct old_version_rows olds = {0};
    const struct process_size size = {d->previous_instances, d->previous_memory_mb,
                                      d->previous_disk_mb, d->previous_log_rate};
    struct error err = {0};
    if (app_old_versions(c, app->guid, &olds) < 0)
        return -1;
    const struct old_version_row *whole = whole_of(&olds);
    if (!whole)
        return fail_invalid(c, "Unable to cancel deployment: there is nothing to go back to");
    if (retire(c, app, web, false) < 0)
        return -1;
    web->rolled = whole->instances;
    memcpy(app->revision_guid, whole->revision_guid, GUID_SIZE);
    if (store_old_version_restore(c->api->deps.store, whole, web, &err) < 0)
        return fail_internal(c, &err);
    take_size(&size, web);
    take_droplet_back(c, d, app);
    return process_save(c, web);
}

int deployment_cancel(struct call *c, struct deployment_row *d, struct app_row *app) {
    _cleanup_(process_row_fini) struct process_row web = {0};
    struct error err = {0};
    if (is_canceling(d))
        return 0;
    if (!str_eq(d->status_value, "ACTIVE"))
        return fail_invalid(c, "Cannot cancel a %s deployment", d->status_reason);
    if (store_process_get(c->api->deps.store, d->process_guid, &web, &err) < 0)
        return fail_internal(c, &err);
    if (turn_round(c, d, app, &web) < 0 || app_update(c, app) < 0 ||
        deployment_set(c, d, "ACTIVE", "CANCELING") < 0 ||
        record_event(c, "audit.app.deployment.cancel", app,
                     json_pack("{s:s,s:s}", "deployment_guid", d->guid, "droplet_guid",
                               d->previous_droplet_guid)) < 0)
        return -1;
    return after_commit(c, AFTER_DESIRE_APP, app->guid);
}

int deployment_continue(struct call *c, struct deployment_row *d, struct app_row *app) {
    if (!str_eq(d->status_reason, "PAUSED"))
        return fail_invalid(c, "Cannot continue a deployment with status: %s and reason: %s",
                            d->status_value, d->status_reason);
    d->canary_step++;
    if (deployment_set(c, d, "ACTIVE", "DEPLOYING") < 0)
        return -1;
    return record_event(
        c, "audit.app.deployment.continue", app,
        json_pack("{s:s,s:s}", "deployment_guid", d->guid, "droplet_guid", d->droplet_guid));
}

/* --- versions that go, as processes
 * ---------------------------------------------------------------
 */

int old_version_process(struct call *c, const struct old_version_row *old,
                        struct process_row *ret) {
    struct error err = {0};
    int r = store_process_get(c->api->deps.store, old->process_guid, ret, &err);
    if (need_found(c, r, &err, "Process") < 0)
        return -1;
    const struct process_size size = {old->instances, old->memory_mb, old->disk_mb, old->log_rate};
    take_size(&size, ret);
    memcpy(ret->old_of, old->process_guid, GUID_SIZE);
    memcpy(ret->guid, old->guid, GUID_SIZE);
    memcpy(ret->version, old->version, GUID_SIZE);
    memcpy(ret->revision_guid, old->revision_guid, GUID_SIZE);
    ret->created_ns = old->created_ns;
    ret->rolling = false;
    return 0;
}
