/* cluster.h - a cluster in memory: one brain, some cells and a router, one clock, and a network
 * that may lose any request or answer. No socket, no container, no waiting. */
#ifndef TESTS_UNIT_LRP_CLUSTER_H
#define TESTS_UNIT_LRP_CLUSTER_H

#include "tests/unit/lib/runner.h"

#include <errno.h>

#include "common/base/str.h"
#include "controller/lrp/internal.h"
#include "controller/lrp/lrp.h"

/* An assertion that costs nothing while it holds: Check's own write a record each. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s:%d: %s", __FILE__, __LINE__, #condition);                             \
    } while (0)

#define MAX_CELLS      20
#define MAX_CONTAINERS 256
#define MAX_ROUTES     64
#define MAX_TASKS      64

struct container { /* on a cell; kept after its end until the controller took note */
    char guid[GUID_SIZE], process_guid[96];
    uint32_t index;
    Berth__InstanceState state;
    bool assigned; /* in the set that the cell was told */
    bool named;    /* by the answer that is being read */
    bool told;     /* its end is acknowledged */
    bool fault;
    bool succeeds; /* its end, as CRASHED: with status 0 and no reason, as of a task */
    uint32_t memory_mb;
    uint64_t since_ms;
};

struct sim_task { /* as its owner noted it, and what became of it in truth */
    char guid[GUID_SIZE], app_guid[GUID_SIZE], instance_guid[GUID_SIZE], cell_id[16], reason[128];
    enum lrp_task_state state;
    uint32_t memory_mb;
    bool wanted, canceled;
    unsigned tries;             /* as noted */
    int begun;                  /* how often its process was started */
    bool ended_well, ended_ill; /* by itself */
};

struct sim_cell {
    char id[16], address[24];
    uint64_t memory_mb, disk_mb, version, epoch;
    uint32_t max_containers;
    const char *zone;
    bool cut, session, was_full, evacuating;
    struct container containers[MAX_CONTAINERS];
    size_t n;
    int started;
};

struct sim_route {
    char key[64];
    bool least_connection;
    size_t endpoints;
    char guids[64][GUID_SIZE];
};

struct cluster {
    struct lrp *lrp;
    struct lrp_config config;
    uint64_t now, epoch, next;
    unsigned guids;
    struct sim_cell cells[MAX_CELLS];
    size_t cell_count;
    struct sim_route routes[MAX_ROUTES]; /* the router's table */
    size_t route_count;
    bool least_connection; /* of routes desired from now on */
    uint64_t route_version, route_epoch;
    struct sim_task tasks[MAX_TASKS]; /* durable */
    size_t task_count;
    bool disk_full; /* nothing can be noted */
    int notes;
    struct strbuf events; /* "kind:index:text;" */
    int crashes, placed, lost;
    int silent, heard_again;  /* times that a cell was told to be */
    struct sim_cell *reading; /* whose Watch is being answered */
    int page_left;
};

static inline void on_cell_changed(void *data, const char *cell_id) {
    (void)data, (void)cell_id;
}
static inline void on_routes_changed(void *data) {
    (void)data;
}
static inline void on_work(void *data) {
    (void)data;
}
static inline void on_event(void *data, const char *kind, const struct lrp_actual *a,
                            const char *text) {
    struct cluster *c = data;
    c->crashes += str_eq(kind, "crash");
    c->placed += str_eq(kind, "placed");
    c->lost += str_eq(kind, "cell-lost");
    strbuf_printf(&c->events, "%s:%u:%s;", kind, a->index, text);
}
static inline void on_cell(void *data, const struct lrp_cell_view *cell) {
    struct cluster *c = data;
    *(cell->suspect ? &c->silent : &c->heard_again) += 1;
}
static inline void new_guid(void *data, char buf[static GUID_SIZE]) {
    struct cluster *c = data;
    snprintf(buf, GUID_SIZE, "%08u-0000-4000-8000-000000000000", ++c->guids);
}

static inline struct sim_task *task_of(struct cluster *c, const char *guid) {
    for (size_t i = 0; i < c->task_count; i++)
        if (str_eq(c->tasks[i].guid, guid))
            return &c->tasks[i];
    return NULL;
}

static inline int on_tasks(void *data, const struct lrp_task_note *notes, size_t n) {
    struct cluster *c = data;
    if (c->disk_full)
        return -ENOSPC;
    for (size_t i = 0; i < n; i++) {
        struct sim_task *t = task_of(c, notes[i].guid);
        must(t != NULL);
        must(t->state < LRP_TASK_SUCCEEDED); /* an end is told once */
        must(!*notes[i].instance_guid == !*notes[i].cell_id);
        must(notes[i].tries >= t->tries);
        t->tries = notes[i].tries;
        t->state = notes[i].state;
        snprintf(t->instance_guid, sizeof t->instance_guid, "%s", notes[i].instance_guid);
        snprintf(t->cell_id, sizeof t->cell_id, "%s", notes[i].cell_id);
        snprintf(t->reason, sizeof t->reason, "%s", notes[i].reason);
        c->notes++;
    }
    return 0;
}

static inline void cluster_brain(struct cluster *c) {
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_routes_changed,
                                .on_work = on_work,
                                .on_event = on_event,
                                .on_cell = on_cell,
                                .on_tasks = on_tasks,
                                .new_guid = new_guid,
                                .data = c};
    c->epoch++;
    ck_assert_int_eq(lrp_new(&c->lrp, &c->config, &ops, c->now, NULL), 0);
}

static inline void cluster_init(struct cluster *c, size_t cells, uint64_t memory_mb) {
    memset(c, 0, sizeof *c);
    c->now = 1000000;
    c->config = (struct lrp_config){
        .presence_ms = 15000, .converge_ms = 30000, .settle_ms = 15000, .rng_seed = 1};
    cluster_brain(c);
    for (size_t i = 0; i < cells; i++) {
        struct sim_cell *s = &c->cells[c->cell_count++];
        snprintf(s->id, sizeof s->id, "cell-%zu", i);
        snprintf(s->address, sizeof s->address, "10.0.0.%zu", i + 1);
        s->memory_mb = memory_mb;
        s->disk_mb = 100000;
        s->max_containers = 100;
        s->zone = "z1";
    }
}

static inline void cluster_fini(struct cluster *c) {
    lrp_free(c->lrp);
    strbuf_fini(&c->events);
}

static inline void cluster_desire_in(struct cluster *c, const char *group, const char *process,
                                     const char *version, uint32_t instances, uint32_t memory_mb) {
    char process_guid[96], host[64];
    snprintf(process_guid, sizeof process_guid, "%s-%s", process, version);
    snprintf(host, sizeof host, "%s.example", process);
    const struct lrp_route route = {
        .host = host, .path = "", .least_connection = c->least_connection};
    const struct lrp_desired d = {.process_guid = process_guid,
                                  .process = process,
                                  .group = group,
                                  .app_guid = process,
                                  .app_name = process,
                                  .process_type = "web",
                                  .instances = instances,
                                  .memory_mb = memory_mb,
                                  .disk_mb = 10,
                                  .port = 8080,
                                  .routes = &route,
                                  .route_count = 1,
                                  .run_info = process_guid,
                                  .run_info_n = strlen(process_guid) + 1};
    ck_assert_int_eq(lrp_desire(c->lrp, &d, c->now, NULL), 0);
}

static inline void cluster_desire(struct cluster *c, const char *process, const char *version,
                                  uint32_t instances, uint32_t memory_mb) {
    cluster_desire_in(c, NULL, process, version, instances, memory_mb);
}

static inline void cluster_give_task(struct cluster *c, const struct sim_task *t) {
    const struct lrp_task task = {.guid = t->guid,
                                  .name = "migrate",
                                  .app_guid = t->app_guid,
                                  .app_name = "app",
                                  .memory_mb = t->memory_mb,
                                  .disk_mb = 10,
                                  .run_info = t->guid,
                                  .run_info_n = strlen(t->guid) + 1,
                                  .instance_guid = t->instance_guid,
                                  .cell_id = t->cell_id,
                                  .began = t->state == LRP_TASK_RUNNING,
                                  .tries = t->tries};
    must(lrp_task_run(c->lrp, &task, c->now, NULL) == 0);
    if (t->canceled)
        lrp_task_cancel(c->lrp, t->guid, "task was cancelled", c->now);
}

static inline struct sim_task *cluster_run_task(struct cluster *c, uint32_t memory_mb) {
    must(c->task_count < MAX_TASKS);
    struct sim_task *t = &c->tasks[c->task_count++];
    *t = (struct sim_task){.memory_mb = memory_mb, .wanted = true};
    snprintf(t->guid, sizeof t->guid, "task-%zu", c->task_count);
    snprintf(t->app_guid, sizeof t->app_guid, "app-%zu", c->task_count);
    cluster_give_task(c, t);
    return t;
}

/* What a controller that starts finds on disk. */
static inline void cluster_give_tasks(struct cluster *c) {
    for (size_t i = 0; i < c->task_count; i++)
        if (c->tasks[i].wanted && c->tasks[i].state < LRP_TASK_SUCCEEDED)
            cluster_give_task(c, &c->tasks[i]);
}

/* --- a cell's side --- */

static inline struct container *container_find(struct sim_cell *s, const char *guid) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->containers[i].guid, guid))
            return &s->containers[i];
    return NULL;
}

static inline bool container_ended(const struct container *k) {
    return k->state == BERTH__INSTANCE_STATE__INSTANCE_CRASHED ||
           k->state == BERTH__INSTANCE_STATE__INSTANCE_STOPPED;
}

static inline void cell_prune(struct sim_cell *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!(container_ended(&s->containers[i]) && s->containers[i].told &&
              !s->containers[i].assigned))
            s->containers[kept++] = s->containers[i];
    s->n = kept;
}

static inline void container_stop(struct container *k) {
    k->assigned = false;
    if (!container_ended(k))
        k->state = BERTH__INSTANCE_STATE__INSTANCE_STOPPING;
}

static inline bool on_assign(void *arg, const struct lrp_assignment *a) {
    struct cluster *c = arg;
    struct sim_cell *s = c->reading;
    if (c->page_left-- == 0)
        return false;
    struct container *k = container_find(s, a->instance_guid);
    if (!k) {
        must(s->n < MAX_CONTAINERS);
        k = &s->containers[s->n++];
        *k = (struct container){.index = a->index, .memory_mb = 0};
        snprintf(k->guid, sizeof k->guid, "%s", a->instance_guid);
        snprintf(k->process_guid, sizeof k->process_guid, "%s", (const char *)a->run_info);
        s->started++;
    }
    k->assigned = k->named = true;
    return true;
}

static inline bool on_withdraw(void *arg, const char *guid) {
    struct cluster *c = arg;
    if (c->page_left-- == 0)
        return false;
    struct container *k = container_find(c->reading, guid);
    if (k)
        container_stop(k);
    return true;
}

static inline void cell_info(const struct sim_cell *s, struct lrp_cell_info *ret) {
    *ret = (struct lrp_cell_info){.id = s->id,
                                  .name = s->id,
                                  .zone = s->zone,
                                  .address = s->address,
                                  .memory_mb = s->memory_mb,
                                  .disk_mb = s->disk_mb,
                                  .containers = s->max_containers};
}

static inline void cell_hello(struct cluster *c, struct sim_cell *s) {
    struct lrp_cell_info info;
    cell_info(s, &info);
    must(lrp_cell_present(c->lrp, &info, c->now) == 0);
    s->session = true;
    s->was_full = false;
}

/* Reports all (`full`) or all again as changes; `lose_ack`: the cell does not learn that it was
 * taken, nor does it while the controller's disk is full. */
static inline void cell_report(struct cluster *c, struct sim_cell *s, bool lose_ack) {
    Berth__ActualLrp msgs[MAX_CONTAINERS], *list[MAX_CONTAINERS];
    Berth__PortMapping ports[MAX_CONTAINERS], *port_list[MAX_CONTAINERS];
    for (size_t i = 0; i < s->n; i++) {
        struct container *k = &s->containers[i];
        berth__actual_lrp__init(&msgs[i]);
        berth__port_mapping__init(&ports[i]);
        ports[i].container_port = 8080;
        ports[i].host_port = 61000 + (uint32_t)i;
        port_list[i] = &ports[i];
        list[i] = &msgs[i];
        msgs[i].instance_guid = k->guid;
        msgs[i].process_guid = k->process_guid;
        msgs[i].app_guid = (char *)"app";
        msgs[i].index = k->index;
        msgs[i].state = k->state;
        msgs[i].address = s->address;
        msgs[i].ports = &port_list[i];
        msgs[i].n_ports = 1;
        msgs[i].exit_status = k->succeeds ? 0 : 1;
        msgs[i].reason = (char *)(k->succeeds ? "" : "Exited with status 1");
        msgs[i].platform_fault = k->fault;
        msgs[i].memory_mb = k->memory_mb;
        msgs[i].since_wall_ns = k->since_ms * 1000000;
    }
    size_t half = s->n / 2;
    int r;
    if (!s->session)
        cell_hello(c, s);
    lrp_cell_evacuating(c->lrp, s->id, s->evacuating, c->now);
    if (!s->was_full) {
        r = lrp_report(c->lrp, s->id, true, false, list, half, c->now, c->now * 1000000);
        if (lose_ack && c->now % 3 == 0)
            return; /* broken off in the middle */
        if (r == 0)
            r = lrp_report(c->lrp, s->id, false, true, list + half, s->n - half, c->now,
                           c->now * 1000000);
    } else {
        r = lrp_report(c->lrp, s->id, false, false, list, s->n, c->now, c->now * 1000000);
    }
    must(r == 0 || (c->disk_full && r == -ENOSPC));
    lose_ack |= r < 0;
    if (lose_ack) {
        s->session = false;
        return;
    }
    s->was_full = true;
    for (size_t i = 0; i < s->n; i++)
        s->containers[i].told = container_ended(&s->containers[i]);
    cell_prune(s);
}

static inline void cell_watch(struct cluster *c, struct sim_cell *s, int page, bool lose_reply) {
    static struct sim_cell before; /* too large for the stack */
    bool more = true;
    while (more) {
        lrp_cell_heard(c->lrp, s->id, c->now);
        if (!lrp_cell_reported(c->lrp, s->id))
            return;
        uint64_t since = s->epoch == c->epoch ? s->version : 0;
        before = *s;
        for (size_t i = 0; i < s->n; i++)
            s->containers[i].named = false;
        c->reading = s;
        c->page_left = page;
        uint64_t to = lrp_cell_changes(c->lrp, s->id, &since, on_assign, on_withdraw, c, &more);
        if (lose_reply) {
            *s = before;
            return;
        }
        for (size_t i = 0; since == 0 && i < s->n; i++) /* from an empty set */
            s->containers[i].assigned = s->containers[i].named;
        s->version = to;
        s->epoch = c->epoch;
    }
    for (size_t i = 0; i < s->n; i++) /* the set is whole: stop what it does not name */
        if (!s->containers[i].assigned)
            container_stop(&s->containers[i]);
    cell_prune(s);
}

/* What runs goes on by one state. */
static inline void cell_progress(struct cluster *c, struct sim_cell *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct container *k = &s->containers[i];
        if (k->state == BERTH__INSTANCE_STATE__INSTANCE_CLAIMED) {
            struct sim_task *t = task_of(c, k->process_guid);
            k->state = BERTH__INSTANCE_STATE__INSTANCE_RUNNING;
            k->since_ms = c->now;
            if (t)
                must(++t->begun == 1); /* what all of this is about */
        } else if (k->state == BERTH__INSTANCE_STATE__INSTANCE_STOPPING) {
            k->state = BERTH__INSTANCE_STATE__INSTANCE_STOPPED;
        }
    }
}

static inline struct container *container_of(struct cluster *c, const char *process_guid,
                                             uint32_t index, struct sim_cell **ret) {
    for (size_t i = 0; i < c->cell_count; i++)
        for (size_t k = 0; k < c->cells[i].n; k++) {
            struct container *it = &c->cells[i].containers[k];
            if (str_eq(it->process_guid, process_guid) && it->index == index &&
                it->state == BERTH__INSTANCE_STATE__INSTANCE_RUNNING) {
                if (ret)
                    *ret = &c->cells[i];
                return it;
            }
        }
    return NULL;
}

/* --- the router's side --- */

static inline struct sim_route *route_find(struct cluster *c, const char *key) {
    for (size_t i = 0; i < c->route_count; i++)
        if (str_eq(c->routes[i].key, key))
            return &c->routes[i];
    return NULL;
}

static inline bool on_put(void *arg, const Berth__Route *r) {
    struct cluster *c = arg;
    char key[64];
    if (c->page_left-- == 0)
        return false;
    snprintf(key, sizeof key, "%s%s", r->host, r->path);
    struct sim_route *mine = route_find(c, key);
    if (!mine)
        mine = &c->routes[c->route_count++];
    must(c->route_count <= MAX_ROUTES);
    snprintf(mine->key, sizeof mine->key, "%s", key);
    mine->endpoints = r->n_endpoints;
    mine->least_connection = r->balancing == BERTH__BALANCING__BALANCING_LEAST_CONNECTION;
    for (size_t i = 0; i < r->n_endpoints; i++)
        snprintf(mine->guids[i], GUID_SIZE, "%s", r->endpoints[i]->instance_guid);
    return true;
}

static inline bool on_removed(void *arg, const char *key) {
    struct cluster *c = arg;
    if (c->page_left-- == 0)
        return false;
    struct sim_route *mine = route_find(c, key);
    if (mine)
        *mine = c->routes[--c->route_count];
    return true;
}

static inline void router_watch(struct cluster *c, int page) {
    bool more = true;
    while (more) {
        uint64_t asked = c->route_epoch == c->epoch ? c->route_version : 0, since = asked;
        if (lrp_route_version(c->lrp) == 0)
            return;
        c->page_left = page;
        if (asked == 0)
            c->route_count = 0;
        uint64_t to = lrp_route_changes(c->lrp, &since, on_put, on_removed, c, &more);
        if (since == 0 && asked != 0) { /* was not known any more: from empty, again */
            c->route_count = 0;
            c->page_left = page;
            to = lrp_route_changes(c->lrp, &since, on_put, on_removed, c, &more);
        }
        c->route_version = to;
        c->route_epoch = c->epoch;
    }
}

/* --- all of it --- */

/* What is kept of totals is what there is. */
static inline void check_totals(const struct lrp *l) {
    struct lrp_totals kept, t = {0};
    lrp_totals(l, &kept);
    for (const struct process *p = l->processes; p; p = p->hh.next) {
        t.desired += p->instances;
        for (uint32_t i = 0; i < p->instances; i++) {
            const struct slot *s = i < p->slot_count ? &p->slots[i] : NULL;
            t.suspect += s && s->old && s->old->cell->suspect;
            t.evacuating += s && ((s->old && s->old->cell->evacuating) ||
                                  (s->primary && s->primary->cell->evacuating));
            if (s && s->primary)
                *(s->primary->state == LRP_RUNNING || s->spreads ? &t.running : &t.claimed) += 1;
            else
                *(s && s->crashed ? &t.crashed : &t.unclaimed) += 1;
        }
    }
    must(kept.desired == t.desired);
    must(kept.running == t.running);
    must(kept.claimed == t.claimed);
    must(kept.unclaimed == t.unclaimed);
    must(kept.crashed == t.crashed);
    must(kept.suspect == t.suspect);
    must(kept.evacuating == t.evacuating);
}

static inline void cluster_converge(struct cluster *c) {
    check_totals(c->lrp);
    c->next = lrp_converge(c->lrp, c->now);
    must(c->next > c->now);
    check_totals(c->lrp);
}

/* `seconds` of everybody talking once a second and no message lost. */
static inline void cluster_run(struct cluster *c, unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
        for (size_t k = 0; k < c->cell_count; k++) {
            struct sim_cell *s = &c->cells[k];
            if (s->cut) {
                s->session = false;
                continue;
            }
            cell_report(c, s, false);
            cell_watch(c, s, 1000, false);
            cell_progress(c, s);
        }
        cluster_converge(c);
        router_watch(c, 1000);
        c->now += 1000;
    }
}

/* The controller dies and comes back; `cells` of them are known to it. */
static inline void cluster_restart_brain(struct cluster *c) {
    lrp_free(c->lrp);
    cluster_brain(c);
    for (size_t i = 0; i < c->cell_count; i++) {
        c->cells[i].session = false;
        must(lrp_cell_expected(c->lrp, c->cells[i].id) == 0);
    }
}

/* --- what must always hold --- */

static inline void check_cell(const struct cell *c) {
    uint64_t memory = 0, version = 0;
    uint32_t containers = 0, starting = 0, tombstones = 0, arriving = 0;
    for (const struct instance *in = c->changes; in; in = in->next) {
        must(in->version > version);
        version = in->version;
        memory += in->counted ? in->memory_mb : 0;
        containers += in->counted;
        starting += in->state == LRP_CLAIMED;
        tombstones += in->role == ROLE_NONE;
        must(in->cell == c);
        const struct slot *at = instance_slot(in);
        must(in->role != ROLE_OLD || c->suspect || c->evacuating || at->spreads);
        must(in->role != ROLE_OLD || !at->spreads || !(c->suspect || c->evacuating));
        arriving += at && at->spreads && in->role == ROLE_PRIMARY;
        must(in->role != ROLE_PRIMARY || !c->suspect);
        must(!in->leaving || (in->role == ROLE_NONE && in->counted && !c->suspect));
        must((in->role == ROLE_TASK) <= (in->task != NULL && in->counted));
        must(!in->task || in->task->in == in);
        if (in->process) {
            const struct slot *s = &in->process->slots[in->index];
            must((in->role == ROLE_PRIMARY ? s->primary : s->old) == in);
            must(in->counted);
        }
    }
    must(version <= c->version);
    must(c->memory_used == memory);
    must(c->containers_used == containers);
    must(c->starting == starting);
    must(c->tombstones == tombstones);
    must(c->arriving == arriving); /* one at most */
}

static inline void cluster_check(const struct cluster *c) {
    const struct lrp *l = c->lrp;
    uint32_t moves = 0;
    for (size_t i = 0; i < l->cell_count; i++)
        check_cell(l->cells[i]);
    for (const struct process *p = l->processes; p; p = p->hh.next) {
        must(p->want != NULL);
        must(p->slot_count == p->instances);
        for (uint32_t i = 0; i < p->slot_count; i++) {
            const struct slot *s = &p->slots[i];
            must(!s->primary || s->primary->desired == p->want);
            must(!s->old || s->old->desired == p->want);
            must(!(s->primary && s->crashed));
            must(!s->spreads || (s->primary && s->old && s->primary->state != LRP_RUNNING));
            moves += s->spreads;
        }
    }
    must(l->moves == moves);
    for (const struct task *t = l->tasks; t; t = t->hh.next) {
        must(!t->in || (t->in->task == t && str_eq(t->in->guid, t->instance_guid)));
        must(!t->in || str_eq(t->in->cell->id, t->cell_id));
        must(!t->waiting || !t->in);
    }
    for (size_t i = 0; i < l->cell_count; i++) {
        const struct instance *in;
        uint64_t counted = 0;
        for (uint32_t k = 0; k < l->cells[i]->apps.cap; k++)
            counted += l->cells[i]->apps.v[k].count;
        DL_FOREACH (l->cells[i]->changes, in) {
            must(in->speaks == !in->desired->stand_in);
            must(!in->speaks ||
                 lrp_cell_runs_app(l, l->cells[i]->id, in->desired->app_guid, c->now));
            counted -= in->speaks;
        }
        must(counted == 0);
    }
    for (size_t i = 1; i < l->heap_n; i++)
        must(l->heap[(i - 1) / 2]->due_ms <= l->heap[i]->due_ms);
    uint64_t version = 0;
    for (const struct route *r = l->route_changes; r; r = r->next) {
        must(r->version >= version);
        version = r->version;
    }
}

#endif
