/* rollout.c - deployments go on: what runs decides what is wanted next (controller/lrp/rollout.h).
 *
 * What is decided is written first and the brain told after, so a controller that dies in between
 * goes on from the rows. While the brain has not settled it does not know what runs: nothing is
 * decided. */
#include "controller/lrp/rollout.h"

#include <errno.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/staging/internal.h"

/* A deployment with all it is about. */
struct rolling {
    struct deployment_row *deployment; /* borrowed */
    struct app_row app;
    struct process_row process;
    struct old_version_rows olds;
    struct rollout_old *parts; /* of olds; `running` owned */
};

static void rolling_fini(struct rolling *r) {
    for (size_t i = 0; r->parts && i < r->olds.n; i++)
        free((void *)r->parts[i].running);
    free(r->parts);
    app_row_fini(&r->app);
    process_row_fini(&r->process);
    old_version_rows_fini(&r->olds);
}

/* --- what runs --- */

struct seen {
    uint64_t wanted;
    bool *running; /* a place each; NULL: only counted */
    uint32_t n, found;
    bool failing;
};

/* On a cell that is silent it may or may not run: not to be relied on. */
static void on_instance(void *arg, const struct lrp_actual *a) {
    struct seen *s = arg;
    bool runs = a->state == LRP_RUNNING && !a->suspect;
    if (a->index >= s->wanted)
        return;
    s->found++;
    s->n += runs;
    s->failing |= !runs && (a->state == LRP_CRASHED || a->crash_count > 0);
    if (s->running)
        s->running[a->index] = runs;
}

static struct seen look(struct staging *s, const char *process_guid, const char *version,
                        uint64_t wanted, bool *running) {
    char group[2 * GUID_SIZE];
    struct seen seen = {.wanted = wanted, .running = running};
    snprintf(group, sizeof group, "%s-%s", process_guid, version);
    lrp_instances(s->deps.lrp, group, on_instance, &seen);
    return seen;
}

static int look_at_olds(struct staging *s, struct rolling *r, struct error *err) {
    r->parts = mem_calloc(r->olds.n + 1, sizeof *r->parts);
    if (!r->parts)
        return error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < r->olds.n; i++) {
        const struct old_version_row *old = &r->olds.v[i];
        bool *running = mem_calloc(old->instances + 1, sizeof *running);
        if (!running)
            return error_set(err, -ENOMEM, "out of memory");
        look(s, old->process_guid, old->version, old->instances, running);
        r->parts[i] = (struct rollout_old){
            .whole = old->whole, .wanted = (uint32_t)old->instances, .running = running};
    }
    return 0;
}

/* --- the deployment's present step --- */

static enum rollout_phase phase_of(const struct deployment_row *d) {
    return str_eq(d->status_reason, "CANCELING") ? ROLLOUT_CANCELING
           : str_eq(d->status_reason, "PAUSED")  ? ROLLOUT_PAUSED
                                                 : ROLLOUT_DEPLOYING;
}

/* 0: past all steps, or no canary. */
static uint32_t canary_of(const struct deployment_row *d, uint64_t target) {
    json_t *steps = d->canary_steps ? json_loads(d->canary_steps, 0, NULL) : NULL;
    const json_t *weight = json_array_get(steps, d->canary_step);
    uint32_t n =
        weight ? rollout_canary((uint32_t)target, (uint32_t)json_integer_value(weight)) : 0;
    json_decref(steps);
    return n;
}

static int set_status(struct staging *s, struct deployment_row *d, const char *value,
                      const char *reason, struct error *err) {
    if (str_eq(d->status_value, value) && str_eq(d->status_reason, reason))
        return 0;
    d->changed_ns = store_now_ns(s->deps.store);
    return str_set(&d->status_value, value) < 0 || str_set(&d->status_reason, reason) < 0
               ? error_set(err, -ENOMEM, "out of memory")
               : 0;
}

/* --- writing what was decided --- */

/* Other processes of the app are not rolled: they begin anew when the web process is through. */
static int renew_others(struct staging *s, const struct rolling *r, struct error *err) {
    const char *const guids[] = {r->app.guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(process_rows_fini) struct process_rows rows = {0};
    int result = store_process_list(s->deps.store, &query, &rows, err);
    for (size_t i = 0; result == 0 && i < rows.n; i++) {
        if (str_eq(rows.v[i].guid, r->process.guid))
            continue;
        guid_new(rows.v[i].version);
        result = store_process_update(s->deps.store, &rows.v[i], err);
    }
    return result;
}

static int write_end(struct staging *s, struct rolling *r, struct error *err) {
    struct deployment_row *d = r->deployment;
    bool canceled = phase_of(d) == ROLLOUT_CANCELING;
    int result = set_status(s, d, "FINALIZED", canceled ? "CANCELED" : "DEPLOYED", err);
    if (result < 0 || (!canceled && (result = renew_others(s, r, err)) < 0))
        return result;
    r->process.rolling = false;
    r->process.rolled = 0;
    return store_old_versions_delete(s->deps.store, r->app.guid, err);
}

static int write_olds(struct staging *s, struct rolling *r, struct error *err) {
    int result = 0;
    for (size_t i = 0; result == 0 && i < r->olds.n; i++) {
        struct old_version_row *old = &r->olds.v[i];
        if (old->instances == r->parts[i].wanted)
            continue;
        old->instances = r->parts[i].wanted;
        /* the whole one stays as a row: a cancel may yet come back to it */
        result = old->instances || old->whole
                     ? store_old_version_update(s->deps.store, old, err)
                     : store_old_version_delete(s->deps.store, old->guid, err);
    }
    return result;
}

static int write_step(struct staging *s, struct rolling *r, enum rollout_next next, uint32_t wanted,
                      struct error *err) {
    int result;
    r->process.rolled = wanted;
    if (next == ROLLOUT_FINISH)
        result = write_end(s, r, err);
    else if (next == ROLLOUT_PAUSE &&
             (result = set_status(s, r->deployment, "ACTIVE", "PAUSED", err)) < 0)
        return result;
    else
        result = write_olds(s, r, err);
    if (result < 0 || (result = store_process_update(s->deps.store, &r->process, err)) < 0)
        return result;
    return store_deployment_update(s->deps.store, r->deployment, err);
}

static int commit_step(struct staging *s, struct rolling *r, enum rollout_next next,
                       uint32_t wanted, struct error *err) {
    int result = store_begin(s->deps.store, err);
    if (result < 0)
        return result;
    if ((result = write_step(s, r, next, wanted, err)) == 0)
        return store_commit(s->deps.store, err);
    store_rollback(s->deps.store);
    return result;
}

static void say(struct staging *s, const struct rolling *r, enum rollout_next next,
                uint32_t running) {
    const struct deployment_row *d = r->deployment;
    const char *what = next == ROLLOUT_PAUSE                  ? "is paused"
                       : str_eq(d->status_reason, "CANCELED") ? "was canceled"
                       : next == ROLLOUT_FINISH               ? "is done"
                                                              : "goes on";
    logs_printf(s->deps.logs, r->app.guid, "API", false, clock_wall_ns(),
                "Deployment %s %s: %u of %llu instances run version %s", d->guid, what, running,
                (unsigned long long)r->process.instances, r->process.version);
}

/* --- one step of one deployment --- */

static int read_rolling(struct staging *s, struct rolling *r, struct error *err) {
    const char *const guids[] = {r->deployment->app_guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    int result;
    if ((result = store_app_get(s->deps.store, r->deployment->app_guid, &r->app, err)) < 0 ||
        (result = store_process_get(s->deps.store, r->deployment->process_guid, &r->process, err)) <
            0 ||
        (result = store_old_version_list(s->deps.store, &query, &r->olds, err)) < 0)
        return result;
    return look_at_olds(s, r, err);
}

static bool changes(const struct rolling *r, enum rollout_next next, uint32_t wanted) {
    if (next == ROLLOUT_FINISH || wanted != r->process.rolled ||
        (next == ROLLOUT_PAUSE && phase_of(r->deployment) != ROLLOUT_PAUSED))
        return true;
    for (size_t i = 0; i < r->olds.n; i++)
        if (r->parts[i].wanted != r->olds.v[i].instances)
            return true;
    return false;
}

static int roll(struct staging *s, struct deployment_row *d, struct error *err) {
    _cleanup_(rolling_fini) struct rolling r = {.deployment = d};
    uint32_t wanted = 0;
    int result = read_rolling(s, &r, err);
    if (result < 0)
        return result;
    struct seen fresh =
        look(s, r.process.guid, r.process.version, process_wanted(&r.process), NULL);
    if (fresh.wanted > 0 && fresh.found == 0)
        return 0; /* not desired: switched off by a feature flag, or it cannot run at all */
    struct rollout rollout = {.phase = phase_of(d),
                              .target = (uint32_t)r.process.instances,
                              .max_in_flight = (uint32_t)d->max_in_flight,
                              .canary = canary_of(d, r.process.instances),
                              .wanted = (uint32_t)fresh.wanted,
                              .running = fresh.n,
                              .failing = fresh.failing,
                              .olds = r.parts,
                              .old_count = r.olds.n};
    enum rollout_next next = rollout_step(&rollout, &wanted);
    if (!changes(&r, next, wanted))
        return 0;
    if (fresh.n > 0)
        d->healthy_ns = store_now_ns(s->deps.store);
    if ((result = commit_step(s, &r, next, wanted, err)) < 0)
        return result;
    say(s, &r, next, fresh.n);
    return staging_desire_app(s, d->app_guid, err);
}

int staging_roll(struct staging *s, size_t *ret_active, struct error *err) {
    static const char *const active[] = {"ACTIVE"};
    const struct store_filter filter = {"status_values", active, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    _cleanup_(deployment_rows_fini) struct deployment_rows rows = {0};
    int r = store_deployment_list(s->deps.store, &query, &rows, err), worst = 0;
    if (r < 0)
        return r;
    *ret_active = 0;
    for (size_t i = 0; i < rows.n; i++) {
        r = lrp_is_settled(s->deps.lrp) ? roll(s, &rows.v[i], err) : 0;
        worst = MIN(worst, r);
        *ret_active += r < 0 || str_eq(rows.v[i].status_value, "ACTIVE");
    }
    return worst;
}
