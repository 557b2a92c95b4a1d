/* tasks.c - tasks' rows to the brain.
 *
 * What a task runs is packed when it is made and kept with its row, so that neither a change of the
 * app nor a restart of the controller changes it. */
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "controller/lrp/lrp.h"
#include "controller/staging/internal.h"
#include "controller/store/flags.h"
#include "controller/store/services.h"

#define PAGE 500

/* Diego's words, and ours. */
#define CANCELED   "task was cancelled"
#define DOCKER_OFF "task was cancelled: the feature flag diego_docker is disabled"

static void text_freep(char **text) {
    if (*text)
        mem_wipe(*text, strlen(*text));
    free(*text);
}

static void process_of(const struct task_row *task, const char *command, struct process_row *ret) {
    *ret = (struct process_row){.type = (char *)"task",
                                .command = (char *)(uintptr_t)command,
                                .memory_mb = task->memory_mb,
                                .disk_mb = task->disk_mb,
                                .log_rate = task->log_rate,
                                .health_type = (char *)"process"};
    guid_new(ret->version);
}

int staging_pack_task(struct staging *s, const struct app_row *app,
                      const struct droplet_row *droplet, const struct task_row *task,
                      const char *command, void **ret, size_t *ret_n, struct error *err) {
    const char *const guids[] = {app->guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(context_fini) struct context context = {0};
    _cleanup_(destination_rows_fini) struct destination_rows destinations = {0};
    _cleanup_(package_row_fini) struct package_row package = {0};
    _cleanup_(text_freep) char *services = NULL;
    struct process_row process;
    process_of(task, command, &process);
    int r;
    if ((r = context_read(s, &context, err)) < 0 ||
        (r = store_destination_list(s->deps.store, &query, &destinations, err)) < 0 ||
        (r = store_vcap_services(s->deps.store, app->guid, &services, err)) < 0)
        return r;
    bool has_package = *droplet->package_guid;
    if (has_package) {
        r = store_package_get(s->deps.store, droplet->package_guid, &package, err);
        if (r < 0 && r != -ENOENT)
            return r;
        has_package = r == 0;
    }
    const struct run_rows rows = {.app = app,
                                  .process = &process,
                                  .task = task,
                                  .droplet = droplet,
                                  .package = has_package ? &package : NULL,
                                  .destinations = destinations.v,
                                  .destination_count = destinations.n,
                                  .running_env = context.running_env,
                                  .services = services,
                                  .api_url = s->deps.api_url};
    return run_info_pack(&rows, ret, ret_n, err);
}

static bool has_ended(const struct task_row *t) {
    return str_eq(t->state, "SUCCEEDED") || str_eq(t->state, "FAILED");
}

/* NULL: it may run. */
static const char *reason_to_end(struct staging *s, const struct task_row *t) {
    if (str_eq(t->state, "CANCELING"))
        return CANCELED;
    return str_eq(t->lifecycle, "docker") && !store_flag_enabled(s->deps.store, "diego_docker")
               ? DOCKER_OFF
               : NULL;
}

static int desire(struct staging *s, const struct task_row *row, struct error *err) {
    void *run_info = NULL;
    size_t n = 0;
    if (has_ended(row))
        return 0;
    int r = store_task_run_info(s->deps.store, row->guid, &run_info, &n, err);
    if (r < 0)
        return r;
    const struct lrp_task task = {.guid = row->guid,
                                  .name = row->name,
                                  .app_guid = row->app_guid,
                                  .app_name = row->app_name,
                                  .memory_mb = (uint32_t)row->memory_mb,
                                  .disk_mb = (uint32_t)row->disk_mb,
                                  .run_info = run_info,
                                  .run_info_n = n,
                                  .instance_guid = row->instance_guid,
                                  .cell_id = row->cell_id,
                                  .began = row->began,
                                  .tries = (unsigned)row->tries};
    r = lrp_task_run(s->deps.lrp, &task, clock_mono_ms(), err);
    mem_wipe(run_info, n);
    free(run_info);
    const char *end = reason_to_end(s, row);
    if (r == 0 && end)
        lrp_task_cancel(s->deps.lrp, row->guid, end, clock_mono_ms());
    return r;
}

int staging_desire_task(struct staging *s, const char *task_guid, struct error *err) {
    _cleanup_(task_row_fini) struct task_row row = {0};
    int r = store_task_get(s->deps.store, task_guid, &row, err);
    return r == -ENOENT ? 0 : r < 0 ? r : desire(s, &row, err);
}

/* One that cannot be read fails, for nobody would end it. */
static int give_up(struct staging *s, const struct task_row *row, const char *why,
                   struct error *err) {
    const struct task_progress failed = {row->guid, "FAILED", "", "", why, (unsigned)row->tries};
    return store_task_progress(s->deps.store, &failed, err);
}

int tasks_desire_all(struct staging *s, struct error *err) {
    static const char *const states[] = {"PENDING", "RUNNING", "CANCELING"};
    const struct store_filter filter = {"states", states, ARRAY_SIZE(states)};
    struct store_query query = {.filters = &filter, .filter_count = 1, .limit = PAGE};
    for (bool more = true; more;) {
        _cleanup_(task_rows_fini) struct task_rows rows = {0};
        int r = store_task_list(s->deps.store, &query, &rows, err);
        if (r < 0)
            return r;
        more = rows.n == PAGE;
        for (size_t i = 0; i < rows.n; i++) {
            struct error why = {0};
            r = desire(s, &rows.v[i], &why);
            if (r == -ENOENT || r == -EBADMSG)
                r = give_up(s, &rows.v[i], why.msg, &why);
            else
                query.offset++;
            if (r < 0)
                return error_set(err, r, "%s", why.msg);
        }
    }
    return 0;
}
