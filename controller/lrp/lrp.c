/* lrp.c - the brain as a whole: made, converged, freed. See README.md for the reading order. */
#include "controller/lrp/lrp.h"

#include <errno.h>

#include "controller/lrp/internal.h"

int lrp_new(struct lrp **ret, const struct lrp_config *config, const struct lrp_ops *ops,
            uint64_t now_ms, struct error *err) {
    struct lrp *l = mem_zalloc(sizeof *l);
    if (!l)
        return error_set(err, -ENOMEM, "out of memory");
    l->config = *config;
    l->ops = *ops;
    l->rng.state = config->rng_seed;
    l->started_ms = l->converged_ms = now_ms;
    l->sweep_ms = now_ms + config->converge_ms;
    l->dirty_tail = &l->dirty;
    *ret = l;
    return 0;
}

void lrp_free(struct lrp *l) {
    if (!l)
        return;
    while (l->tasks)
        task_free(l, l->tasks);
    for (size_t i = 0; i < l->cell_count; i++) {
        struct instance *in, *tmp;
        DL_FOREACH_SAFE (l->cells[i]->changes, in, tmp) {
            instance_free(l, in);
        }
    }
    while (l->processes)
        process_free(l, l->processes);
    for (size_t i = 0; i < l->cell_count; i++)
        cell_free(l, l->cells[i]);
    struct zone *z, *next_zone;
    HASH_ITER (hh, l->zones, z, next_zone) {
        HASH_DEL(l->zones, z);
        free(z->name);
        free(z);
    }
    struct route *r, *next_route;
    HASH_ITER (hh, l->routes, r, next_route) {
        HASH_DEL(l->routes, r);
        route_free(r);
    }
    free(l->cells);
    free(l->heap);
    todo_fini(l);
    free(l);
}

void lrp_ask(struct lrp *l) {
    if (l->asked)
        return;
    l->asked = true;
    l->ops.on_work(l->ops.data);
}

bool lrp_is_settled(const struct lrp *l) {
    return l->settled;
}

/* The loop stood still (a stopped process, a suspended machine): the cells were not silent, we were
 * deaf. They get the time back. */
static void forgive_own_silence(struct lrp *l, uint64_t now_ms) {
    uint64_t gap = now_ms - l->converged_ms;
    l->converged_ms = now_ms;
    if (gap <= TICK_MS + l->config.presence_ms / 3)
        return;
    for (struct cell *c = l->heard; c; c = c->next)
        c->heard_ms = MIN(c->heard_ms + gap, now_ms);
}

static void sweep(struct lrp *l) {
    l->counters.passes_begun += !l->sweeping;
    l->sweeping = true;
    for (struct process *p = l->processes; p; p = p->hh.next)
        process_dirty(l, p);
}

static uint64_t settle(struct lrp *l, uint64_t now_ms) {
    uint64_t end = l->started_ms + l->config.settle_ms;
    if (l->settled || !l->complete)
        return NEVER;
    if (l->expected > 0 && now_ms < end)
        return end;
    l->settled = true;
    l->settled_ms = now_ms;
    spread_stir(l, now_ms);
    l->route_version++; /* an empty table, too, is something to tell */
    l->routes_changed = true;
    sweep(l);
    tasks_settled(l);
    return NEVER;
}

/* Room appeared: whoever waits for it may try, at most once a second. */
static uint64_t retry_waiting(struct lrp *l, uint64_t now_ms) {
    if (!l->grew || (!l->waiting && !l->waiting_tasks))
        return NEVER;
    if (now_ms < l->growth_retry_ms)
        return l->growth_retry_ms;
    l->grew = false;
    l->growth_retry_ms = now_ms + GROWTH_RETRY_MS;
    for (struct process *p = l->waiting; p; p = p->next) {
        p->retry_now = true;
        process_dirty(l, p);
    }
    for (struct task *t = l->waiting_tasks; t; t = t->next)
        t->retry_now = true;
    return NEVER;
}

static struct process *take_dirty(struct lrp *l) {
    struct process *p = l->dirty;
    if (!p)
        return NULL;
    l->dirty = p->dirty_next;
    if (!l->dirty)
        l->dirty_tail = &l->dirty;
    return p; /* still marked: what its own reconciling changes is no reason for another */
}

/* As many as RECONCILE_SLOTS allows. Returns false when memory ran out: the rest stays dirty. */
static bool converge_dirty(struct lrp *l, uint64_t now_ms) {
    struct process *p;
    bool whole = true;
    for (size_t slots = 0; whole && slots < RECONCILE_SLOTS && (p = take_dirty(l));) {
        slots += 1 + MAX(p->slot_count, p->instances);
        whole = process_reconcile(l, p, now_ms) == 0;
        p->dirty = false;
        if (!whole)
            process_dirty(l, p);
        else if (!p->want && p->in_todo == 0)
            process_free(l, p);
    }
    if (l->sweeping && !l->dirty) {
        l->sweeping = false;
        l->counters.passes_done++;
    }
    return whole;
}

static void tell(struct lrp *l) {
    struct cell *next;
    for (struct cell *c = l->changed; c; c = next) {
        next = c->changed_next;
        c->changed = false;
        if (c->reported && l->complete)
            l->ops.on_cell_changed(l->ops.data, c->id);
    }
    l->changed = NULL;
    if (l->routes_changed && l->settled)
        l->ops.on_routes_changed(l->ops.data);
    l->routes_changed = false;
}

uint64_t lrp_converge(struct lrp *l, uint64_t now_ms) {
    l->asked = true; /* what comes up from here on is done here */
    forgive_own_silence(l, now_ms);
    uint64_t next = now_ms + (l->heard ? TICK_MS : l->config.converge_ms);
    next = MIN(next, cells_lose_silent(l, now_ms));
    next = MIN(next, settle(l, now_ms));
    if (now_ms >= l->sweep_ms) {
        l->sweep_ms = now_ms + l->config.converge_ms;
        sweep(l);
    }
    for (struct process *p; (p = process_take_due(l, now_ms));)
        process_dirty(l, p);
    uint64_t retry = retry_waiting(l, now_ms);
    bool whole = converge_dirty(l, now_ms);
    bool more = l->dirty != NULL; /* not what placing makes dirty: that has time */
    place_some(l, now_ms);
    spread_some(l, now_ms);
    if (!whole)
        next = MIN(next, now_ms + TICK_MS);
    else if (more || l->todo.n > 0)
        next = now_ms;
    if (l->heap_n > 0)
        next = MIN(next, l->heap[0]->due_ms);
    next = MIN(next, place_tasks(l, now_ms));
    if (tasks_save(l, now_ms) < 0)
        next = MIN(next, now_ms + TICK_MS);
    next = MIN(next, instances_leave(l, now_ms));
    keep_pass(l, now_ms);
    tell(l);
    l->asked = false;
    return MIN(MIN(next, l->sweep_ms), retry);
}
