/* desire.c - an app's rows to desired LRPs.
 *
 * What a version of a process runs is packed once and kept in its row, so that neither a change of
 * the app that waits for a restart nor a restart of the controller changes what runs. */
#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/staging/internal.h"
#include "controller/store/flags.h"

#define PAGE 500 /* apps a query when all are desired: bounds memory */

/* The processes that the brain was told to run of an app: what is not among its rows any more must
 * be undesired. */
struct tracked {
    char app_guid[GUID_SIZE];
    char (*processes)[GUID_SIZE];
    size_t n;
    uint64_t pass; /* of staging_desire_all(), when last seen */
    UT_hash_handle hh;
};

static struct tracked *tracked_find(struct staging *s, const char *app_guid) {
    struct tracked *t;
    HASH_FIND_STR(s->tracked, app_guid, t);
    return t;
}

static struct tracked *tracked_get(struct staging *s, const char *app_guid) {
    struct tracked *t = tracked_find(s, app_guid);
    if (t)
        return t;
    t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    snprintf(t->app_guid, sizeof t->app_guid, "%s", app_guid);
    HASH_ADD_STR(s->tracked, app_guid, t);
    if (t->hh.tbl)
        return t;
    free(t);
    return NULL;
}

static void tracked_drop(struct staging *s, struct tracked *t) {
    HASH_DEL(s->tracked, t);
    free(t->processes);
    free(t);
}

void tracked_free(struct staging *s) {
    struct tracked *t, *tmp;
    HASH_ITER (hh, s->tracked, t, tmp) {
        tracked_drop(s, t);
    }
}

static bool tracked_has(const struct tracked *t, const char *process) {
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->processes[i], process))
            return true;
    return false;
}

static int tracked_add(struct tracked *t, const char *process) {
    if (tracked_has(t, process))
        return 0;
    char(*grown)[GUID_SIZE] = mem_resize(t->processes, t->n + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    t->processes = grown;
    snprintf(t->processes[t->n++], GUID_SIZE, "%s", process);
    return 0;
}

static void undesire_app(struct staging *s, const char *app_guid) {
    struct tracked *t = tracked_find(s, app_guid);
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        lrp_undesire(s->deps.lrp, t->processes[i], clock_mono_ms());
    tracked_drop(s, t);
}

/* --- one process --- */

/* What is read once for all processes of an app, or for all apps. */
struct context {
    char *running_env;          /* owned */
    struct domain_rows domains; /* for the internal ones */
};

static void context_fini(struct context *c) {
    free(c->running_env);
    domain_rows_fini(&c->domains);
}

static int context_read(struct staging *s, struct context *c, struct error *err) {
    int r = store_setting_get(s->deps.store, STAGING_RUNNING_ENV, &c->running_env, err);
    if (r < 0 && r != -ENOENT)
        return r;
    return store_domain_list(s->deps.store, &(struct store_query){0}, &c->domains, err);
}

static bool is_internal(const struct context *c, const char *domain_name) {
    for (size_t i = 0; i < c->domains.n; i++)
        if (str_eq(c->domains.v[i].name, domain_name))
            return c->domains.v[i].internal;
    return false;
}

/* What this version runs: as kept, or packed from the rows and kept. */
static int get_run_info(struct staging *s, const struct run_rows *rows, void **ret, size_t *ret_n,
                        struct error *err) {
    const struct process_row *p = rows->process;
    int r = store_process_run_info(s->deps.store, p->guid, p->version, ret, ret_n, err);
    if (r != -ENOENT)
        return r;
    _cleanup_(freep) void *packed = NULL;
    size_t n;
    if ((r = run_info_pack(rows, &packed, &n, err)) < 0 ||
        (r = store_process_set_run_info(s->deps.store, p->guid, p->version, packed, n, err)) < 0)
        return r;
    *ret = TAKE_PTR(packed);
    *ret_n = n;
    return 0;
}

/* The routes that lead to this process. `hosts` keeps their texts. */
static int collect_routes(const struct run_rows *rows, const struct context *context,
                          struct lrp_route *routes, char **hosts, size_t *ret_n) {
    size_t n = 0;
    for (size_t i = 0; i < rows->destination_count; i++) {
        const struct destination_row *d = &rows->destinations[i];
        if (!str_eq(d->process_type, rows->process->type) || is_internal(context, d->domain_name))
            continue;
        hosts[n] = run_info_route_host(d);
        if (!hosts[n])
            return -ENOMEM;
        routes[n] = (struct lrp_route){hosts[n], d->path ? d->path : "", (uint16_t)d->port};
        n++;
    }
    *ret_n = n;
    return 0;
}

static void texts_freep(char ***list) {
    for (char **text = *list; text && *text; text++)
        free(*text);
    free(*list);
}

static int desire_process(struct staging *s, const struct run_rows *rows,
                          const struct context *context, struct error *err) {
    const struct process_row *p = rows->process;
    char process_guid[2 * GUID_SIZE];
    _cleanup_(freep) void *packed = NULL;
    size_t packed_n = 0, route_count = 0;
    int r = get_run_info(s, rows, &packed, &packed_n, err);
    if (r < 0)
        return r;
    Berth__DesiredLrp *lrp = berth__desired_lrp__unpack(NULL, packed_n, packed);
    _cleanup_(freep) struct lrp_route *routes =
        mem_calloc(rows->destination_count + 1, sizeof *routes);
    _cleanup_(texts_freep) char **hosts = mem_calloc(rows->destination_count + 1, sizeof *hosts);
    if (!lrp || !routes || !hosts ||
        collect_routes(rows, context, routes, hosts, &route_count) < 0) {
        if (lrp)
            berth__desired_lrp__free_unpacked(lrp, NULL);
        return error_set(err, -ENOMEM, "out of memory");
    }
    run_info_process_guid(p, process_guid);
    const struct lrp_desired desired = {
        .process_guid = process_guid,
        .process = p->guid,
        .app_guid = rows->app->guid,
        .app_name = rows->app->name,
        .process_type = p->type,
        .instances = (uint32_t)p->instances,
        .memory_mb = lrp->memory_mb,
        .disk_mb = lrp->disk_mb,
        .port = (uint16_t)(lrp->n_ports ? lrp->ports[0] : 0),
        .routes = routes,
        .route_count = route_count,
        .run_info = packed,
        .run_info_n = packed_n,
    };
    berth__desired_lrp__free_unpacked(lrp, NULL);
    return lrp_desire(s->deps.lrp, &desired, clock_mono_ms(), err);
}

/* --- one app --- */

struct app_rows_of {
    struct process_rows processes;
    struct destination_rows destinations;
    struct droplet_row droplet;
    struct package_row package;
    bool has_package;
};

static void app_rows_of_fini(struct app_rows_of *a) {
    process_rows_fini(&a->processes);
    destination_rows_fini(&a->destinations);
    droplet_row_fini(&a->droplet);
    package_row_fini(&a->package);
}

static int read_app(struct staging *s, const struct app_row *app, struct app_rows_of *ret,
                    struct error *err) {
    const char *const guids[] = {app->guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    int r;
    if ((r = store_droplet_get(s->deps.store, app->droplet_guid, &ret->droplet, err)) < 0 ||
        (r = store_process_list(s->deps.store, &query, &ret->processes, err)) < 0 ||
        (r = store_destination_list(s->deps.store, &query, &ret->destinations, err)) < 0)
        return r;
    if (!*ret->droplet.package_guid)
        return 0;
    r = store_package_get(s->deps.store, ret->droplet.package_guid, &ret->package, err);
    ret->has_package = r == 0;
    return r == -ENOENT ? 0 : r;
}

static void say_cannot_run(struct staging *s, const struct app_row *app, const struct error *why) {
    logs_printf(s->deps.logs, app->guid, "API", true, clock_wall_ns(), "%s", why->msg);
}

static bool may_run(struct staging *s, const struct app_row *app) {
    return app->started && *app->droplet_guid &&
           (!str_eq(app->lifecycle, "docker") || store_flag_enabled(s->deps.store, "diego_docker"));
}

static int desire_app(struct staging *s, const struct app_row *app, const struct context *context,
                      struct error *err) {
    if (!may_run(s, app)) {
        undesire_app(s, app->guid);
        return 0;
    }
    _cleanup_(app_rows_of_fini) struct app_rows_of rows = {0};
    struct tracked *t = tracked_get(s, app->guid);
    int r = t ? read_app(s, app, &rows, err) : error_set(err, -ENOMEM, "out of memory");
    if (r < 0)
        return r;
    struct tracked before = *t; /* its list is replaced by what is desired now */
    t->processes = NULL;
    t->n = 0;
    int worst = 0;
    for (size_t i = 0; i < rows.processes.n; i++) {
        const struct run_rows of = {.app = app,
                                    .process = &rows.processes.v[i],
                                    .droplet = &rows.droplet,
                                    .package = rows.has_package ? &rows.package : NULL,
                                    .destinations = rows.destinations.v,
                                    .destination_count = rows.destinations.n,
                                    .running_env = context->running_env,
                                    .api_url = s->deps.api_url};
        struct error why = {0};
        r = desire_process(s, &of, context, &why);
        if (r == -ENOEXEC || r == -E2BIG) {
            if (of.process->instances)
                say_cannot_run(s, app, &why);
            continue; /* it is the user's to repair */
        }
        if (r < 0)
            worst = error_set(err, r, "%s", why.msg);
        /* what could not be read just now goes on as it is */
        if ((r == 0 || tracked_has(&before, of.process->guid)) &&
            tracked_add(t, of.process->guid) < 0)
            worst = error_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < before.n; i++)
        if (!tracked_has(t, before.processes[i]))
            lrp_undesire(s->deps.lrp, before.processes[i], clock_mono_ms());
    free(before.processes);
    return worst;
}

int staging_desire_app(struct staging *s, const char *app_guid, struct error *err) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(context_fini) struct context context = {0};
    int r = store_app_get(s->deps.store, app_guid, &app, err);
    if (r == -ENOENT) {
        undesire_app(s, app_guid);
        return 0;
    }
    if (r < 0 || (r = context_read(s, &context, err)) < 0)
        return r;
    return desire_app(s, &app, &context, err);
}

int staging_desire_all(struct staging *s, struct error *err) {
    static const char *const states[] = {"STARTED"};
    const struct store_filter filter = {"states", states, 1};
    struct store_query query = {.filters = &filter, .filter_count = 1, .limit = PAGE};
    _cleanup_(context_fini) struct context context = {0};
    uint64_t pass = ++s->passes;
    int r = context_read(s, &context, err), worst = 0;
    if (r < 0)
        return r;
    for (bool more = true; more; query.offset += PAGE) {
        _cleanup_(app_rows_fini) struct app_rows rows = {0};
        if ((r = store_app_list(s->deps.store, &query, &rows, err)) < 0)
            return r;
        more = rows.n == PAGE;
        for (size_t i = 0; i < rows.n; i++) {
            if ((r = desire_app(s, &rows.v[i], &context, err)) < 0)
                worst = r;
            struct tracked *t = tracked_find(s, rows.v[i].guid);
            if (t)
                t->pass = pass;
        }
    }
    struct tracked *t, *tmp;
    HASH_ITER (hh, s->tracked, t, tmp) {
        if (t->pass != pass)
            undesire_app(s, t->app_guid);
    }
    return worst;
}
