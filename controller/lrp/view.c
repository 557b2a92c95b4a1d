/* view.c - looking at the brain: instances, cells; and telling its owner of events. */
#include <errno.h>

#include "controller/lrp/internal.h"

const char *lrp_state_name(enum lrp_state state) {
    static const char *const names[] = {[LRP_UNCLAIMED] = "UNCLAIMED",
                                        [LRP_CLAIMED] = "CLAIMED",
                                        [LRP_RUNNING] = "RUNNING",
                                        [LRP_CRASHED] = "CRASHED",
                                        [LRP_STOPPING] = "STOPPING"};
    return names[state];
}

const struct instance *slot_serving(const struct slot *s) {
    if (s->primary && s->primary->state == LRP_RUNNING)
        return s->primary;
    return s->old && s->old->state == LRP_RUNNING ? s->old : NULL;
}

void view_desired(const struct desired *d, struct lrp_actual *ret) {
    *ret = (struct lrp_actual){
        .app_guid = d->app_guid,
        .app_name = d->app_name,
        .process = d->process,
        .process_guid = d->process_guid,
        .process_type = d->process_type,
        .instance_guid = "",
        .cell_id = "",
        .cell_name = "",
        .cell_zone = "",
        .reason = "",
        .detail = "",
        .address = "",
        .memory_mb = d->memory_mb,
        .disk_mb = d->disk_mb,
    };
}

static void view_past(const struct slot *s, struct lrp_actual *ret) {
    ret->crash_count = s->crash_count;
    ret->exit_status = s->exit_status;
}

void view_instance(const struct instance *in, struct lrp_actual *ret) {
    view_desired(in->desired, ret);
    ret->instance_guid = in->guid;
    ret->cell_id = in->cell->id;
    ret->cell_name = in->cell->name;
    ret->cell_zone = in->cell->zone->name;
    ret->cell_heard_ms = in->cell->heard_ms;
    ret->index = in->index;
    ret->state = in->state;
    ret->suspect = in->role == ROLE_OLD && in->cell->suspect;
    ret->evacuating = in->cell->evacuating;
    ret->old = in->role == ROLE_OLD;
    ret->leaving = in->role == ROLE_NONE && !in->undecided && !in->task;
    ret->since_ms = in->since_ms;
    ret->detail = in->detail && in->state == LRP_CLAIMED ? in->detail : "";
    if (in->state == LRP_RUNNING && in->address) {
        ret->address = in->address;
        ret->ports = in->ports;
        ret->port_count = in->port_count;
    }
    ret->cpu = in->cpu;
    ret->memory_bytes = in->memory_bytes;
    ret->disk_bytes = in->disk_bytes;
    ret->log_rate_bytes_s = in->log_rate_bytes_s;
    ret->memory_mb = in->memory_mb;
    ret->disk_mb = in->disk_mb;
    const struct slot *s = instance_slot(in);
    if (!s)
        return;
    view_past(s, ret);
    ret->spreading = s->spreads;
    if (s->place_failed && s->reason) {
        ret->place_failed = true;
        ret->reason = s->reason;
        ret->restart_at_ms = s->retry_at_ms;
    }
}

static void view_empty(const struct process *p, const struct slot *s, uint32_t index,
                       struct lrp_actual *ret) {
    view_desired(p->want, ret);
    view_past(s, ret);
    ret->index = index;
    ret->state = s->crashed ? LRP_CRASHED : LRP_UNCLAIMED;
    ret->since_ms = s->since_ms;
    ret->place_failed = s->place_failed && !s->crashed;
    ret->restart_at_ms = s->crashed ? s->restart_at_ms : s->retry_at_ms;
    ret->reason = s->reason ? s->reason : "";
}

void view_slot(const struct process *p, uint32_t index, struct lrp_actual *ret) {
    static const struct slot none;
    const struct slot *s = index < p->slot_count ? &p->slots[index] : &none;
    const struct instance *in = slot_serving(s);
    if (!in)
        in = s->primary;
    if (in) {
        view_instance(in, ret);
        return;
    }
    view_empty(p, s, index, ret);
}

void lrp_instances(struct lrp *l, const char *group,
                   void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    struct process *p;
    HASH_FIND_STR(l->processes, group, p);
    if (!p || !p->want)
        return;
    for (uint32_t i = 0; i < p->instances; i++) {
        struct lrp_actual a;
        view_slot(p, i, &a);
        each(arg, &a);
    }
}

static void tell_instance(const struct instance *in,
                          void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    struct lrp_actual a;
    view_instance(in, &a);
    each(arg, &a);
}

static void tell_leaving(struct lrp *l, const struct process *p,
                         void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    for (size_t i = 0; i < l->cell_count; i++) {
        if (l->cells[i]->tombstones == 0)
            continue;
        for (const struct instance *in = l->cells[i]->changes; in; in = in->next)
            if (in->role == ROLE_NONE && in->counted && !in->task &&
                str_eq(in->desired->process, p->want->process))
                tell_instance(in, each, arg);
    }
}

void lrp_instances_all(struct lrp *l, const char *group,
                       void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    static const struct slot none;
    struct process *p;
    HASH_FIND_STR(l->processes, group, p);
    if (!p || !p->want)
        return;
    for (uint32_t i = 0; i < p->instances; i++) {
        const struct slot *s = i < p->slot_count ? &p->slots[i] : &none;
        struct lrp_actual a;
        if (s->primary) {
            tell_instance(s->primary, each, arg);
        } else {
            view_empty(p, s, i, &a);
            each(arg, &a);
        }
        if (s->old)
            tell_instance(s->old, each, arg);
    }
    tell_leaving(l, p, each, arg);
}

int lrp_cell_instances(struct lrp *l, const char *cell_id,
                       void (*each)(void *arg, const struct lrp_actual *a), void *arg) {
    const struct cell *c = cell_find(l, cell_id);
    if (!c)
        return -ENOENT;
    for (const struct instance *in = c->changes; in; in = in->next)
        if (in->counted)
            tell_instance(in, each, arg);
    return 0;
}

static struct lrp_cell_view view_cell(const struct cell *c) {
    return (struct lrp_cell_view){
        .id = c->id,
        .name = c->name,
        .zone = c->zone->name,
        .address = c->address,
        .present = c->present && !c->suspect,
        .suspect = c->suspect,
        .evacuating = c->evacuating,
        .heard_ms = c->heard_ms,
        .memory_mb = c->memory_mb,
        .memory_free_mb = c->memory_mb > c->memory_used ? c->memory_mb - c->memory_used : 0,
        .disk_mb = c->disk_mb,
        .disk_free_mb = c->disk_mb > c->disk_used ? c->disk_mb - c->disk_used : 0,
        .containers = c->containers,
        .containers_free =
            c->containers > c->containers_used ? c->containers - c->containers_used : 0,
        .instances = c->containers_used,
    };
}

void lrp_cells(struct lrp *l, void (*each)(void *arg, const struct lrp_cell_view *c), void *arg) {
    for (size_t i = 0; i < l->cell_count; i++) {
        if (l->cells[i]->removed)
            continue;
        const struct lrp_cell_view view = view_cell(l->cells[i]);
        each(arg, &view);
    }
}

void lrp_cell_event(struct lrp *l, const struct cell *c) {
    const struct lrp_cell_view view = view_cell(c);
    if (l->ops.on_cell)
        l->ops.on_cell(l->ops.data, &view);
}

const char *lrp_cell_state(const struct lrp_cell_view *c) {
    if (c->suspect)
        return c->evacuating && c->instances == 0 ? "drained" : "suspect";
    return c->evacuating ? "evacuating" : c->present ? "present" : "expected";
}

void lrp_counters(const struct lrp *l, struct lrp_counters *ret) {
    *ret = l->counters;
}

void lrp_event(struct lrp *l, const char *kind, const struct lrp_actual *a, const char *text) {
    if (l->ops.on_event)
        l->ops.on_event(l->ops.data, kind, a, text ? text : "");
}

void lrp_instance_event(struct lrp *l, const char *kind, const struct instance *in,
                        const char *text) {
    struct lrp_actual a;
    view_instance(in, &a);
    lrp_event(l, kind, &a, text);
}
