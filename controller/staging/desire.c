/* desire.c - an app's rows to desired LRPs.
 *
 * What a version of a process runs is packed once and kept in its row, so that neither a change of
 * the app that waits for a restart nor a restart of the controller changes what runs. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/staging/internal.h"
#include "controller/store/flags.h"
#include "controller/store/services.h"

#define PAGE 500 /* apps a query when all are desired: bounds memory */

/* The LRPs that the brain was told to run of an app, by their process_guid, each a group of its
 * own: while a deployment replaces a version of a process by another, both run. What does not
 * follow from the rows any more must be undesired. */
struct tracked {
    char app_guid[GUID_SIZE];
    char (*lrps)[2 * GUID_SIZE];
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
    free(t->lrps);
    free(t);
}

void tracked_free(struct staging *s) {
    struct tracked *t, *tmp;
    HASH_ITER (hh, s->tracked, t, tmp) {
        tracked_drop(s, t);
    }
}

static bool tracked_has(const struct tracked *t, const char *process_guid) {
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->lrps[i], process_guid))
            return true;
    return false;
}

static int tracked_add(struct tracked *t, const char *process_guid) {
    if (tracked_has(t, process_guid))
        return 0;
    char(*grown)[2 * GUID_SIZE] = mem_resize(t->lrps, t->n + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    t->lrps = grown;
    snprintf(t->lrps[t->n++], sizeof *grown, "%s", process_guid);
    return 0;
}

static void undesire_app(struct staging *s, const char *app_guid) {
    struct tracked *t = tracked_find(s, app_guid);
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        lrp_undesire(s->deps.lrp, t->lrps[i], clock_mono_ms());
    tracked_drop(s, t);
}

/* --- one process --- */

void context_fini(struct context *c) {
    free(c->running_env);
    domain_rows_fini(&c->domains);
}

int context_read(struct staging *s, struct context *c, struct error *err) {
    int r = store_secret_get(s->deps.store, STAGING_RUNNING_ENV, &c->running_env, err);
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

static bool is_least_connection(const char *options) {
    json_t *stored = options ? json_loads(options, 0, NULL) : NULL;
    bool is =
        str_eq(json_string_value(json_object_get(stored, "loadbalancing")), "least-connection");
    json_decref(stored);
    return is;
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
        routes[n] = (struct lrp_route){hosts[n], d->path ? d->path : "", (uint16_t)d->port,
                                       is_least_connection(d->options)};
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

/* A version of a process: the present one, or one that goes. */
struct version {
    char process_guid[2 * GUID_SIZE];
    uint64_t instances;
    const struct old_version_row *old; /* NULL: the present one */
};

static int desire_version(struct staging *s, const struct run_rows *rows, const struct version *v,
                          const struct context *context, struct error *err) {
    const struct process_row *p = rows->process;
    _cleanup_(freep) void *packed = NULL;
    size_t packed_n = 0, route_count = 0;
    int r = v->old ? store_old_version_run_info(s->deps.store, v->old, &packed, &packed_n, err)
                   : get_run_info(s, rows, &packed, &packed_n, err);
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
    const struct lrp_desired desired = {
        .process_guid = v->process_guid,
        .process = p->guid,
        .group = v->process_guid,
        .app_guid = rows->app->guid,
        .app_name = rows->app->name,
        .process_type = p->type,
        .instances = (uint32_t)v->instances,
        .memory_mb = lrp->memory_mb,
        .disk_mb = lrp->disk_mb,
        .port = (uint16_t)(lrp->n_ports ? lrp->ports[0] : 0),
        .rolling = p->rolling,
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
    struct old_version_rows olds; /* of a process that is rolling */
    struct droplet_row droplet;
    struct package_row package;
    bool has_package;
    char *services; /* owned; VCAP_SERVICES */
};

static void app_rows_of_fini(struct app_rows_of *a) {
    process_rows_fini(&a->processes);
    destination_rows_fini(&a->destinations);
    old_version_rows_fini(&a->olds);
    droplet_row_fini(&a->droplet);
    package_row_fini(&a->package);
    if (a->services)
        mem_wipe(a->services, strlen(a->services));
    free(a->services);
}

static int read_app(struct staging *s, const struct app_row *app, struct app_rows_of *ret,
                    struct error *err) {
    const char *const guids[] = {app->guid};
    const struct store_filter filter = {"app_guids", guids, 1};
    const struct store_query query = {.filters = &filter, .filter_count = 1};
    int r;
    if ((r = store_droplet_get(s->deps.store, app->droplet_guid, &ret->droplet, err)) < 0 ||
        (r = store_process_list(s->deps.store, &query, &ret->processes, err)) < 0 ||
        (r = store_destination_list(s->deps.store, &query, &ret->destinations, err)) < 0 ||
        (r = store_vcap_services(s->deps.store, app->guid, &ret->services, err)) < 0)
        return r;
    bool rolling = false;
    for (size_t i = 0; i < ret->processes.n; i++)
        rolling |= ret->processes.v[i].rolling;
    if (rolling && (r = store_old_version_list(s->deps.store, &query, &ret->olds, err)) < 0)
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

/* What `before` says was desired until now. 0 also for what is the user's to repair. */
static int desire_and_track(struct staging *s, const struct run_rows *rows, const struct version *v,
                            const struct context *context, const struct tracked *before,
                            struct tracked *t, struct error *err) {
    struct error why = {0};
    int r = desire_version(s, rows, v, context, &why);
    if (r == -ENOEXEC || r == -E2BIG) {
        if (v->instances)
            say_cannot_run(s, rows->app, &why);
        return 0;
    }
    /* what could not be read just now goes on as it is */
    if ((r == 0 || tracked_has(before, v->process_guid)) && tracked_add(t, v->process_guid) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return r < 0 ? error_set(err, r, "%s", why.msg) : 0;
}

static int desire_process(struct staging *s, const struct run_rows *rows,
                          const struct old_version_rows *olds, const struct context *context,
                          const struct tracked *before, struct tracked *t, struct error *err) {
    const struct process_row *p = rows->process;
    struct version v = {.instances = process_wanted(p)};
    process_lrp_guid(p, v.process_guid);
    int worst = desire_and_track(s, rows, &v, context, before, t, err);
    for (size_t i = 0; i < olds->n; i++) {
        const struct old_version_row *old = &olds->v[i];
        if (!p->rolling || !str_eq(old->process_guid, p->guid))
            continue;
        v = (struct version){.instances = old->instances, .old = old};
        snprintf(v.process_guid, sizeof v.process_guid, "%s-%s", old->process_guid, old->version);
        worst = MIN(worst, desire_and_track(s, rows, &v, context, before, t, err));
    }
    return worst;
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
    t->lrps = NULL;
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
                                    .services = rows.services,
                                    .api_url = s->deps.api_url};
        worst = MIN(worst, desire_process(s, &of, &rows.olds, context, &before, t, err));
    }
    for (size_t i = 0; i < before.n; i++)
        if (!tracked_has(t, before.lrps[i]))
            lrp_undesire(s->deps.lrp, before.lrps[i], clock_mono_ms());
    free(before.lrps);
    return worst;
}

int staging_desire_app(struct staging *s, const char *app_guid, struct error *err) {
    _cleanup_(app_row_fini) struct app_row app = {0};
    _cleanup_(context_fini) struct context context = {0};
    int r = store_app_get(s->deps.store, app_guid, &app, err);
    if (r == -ENOENT) {
        undesire_app(s, app_guid);
        lrp_tasks_forget(s->deps.lrp, app_guid, clock_mono_ms());
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
    r = tasks_desire_all(s, err);
    return worst ? worst : r;
}
