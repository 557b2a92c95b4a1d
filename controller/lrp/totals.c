/* totals.c - how many instances are in which state, kept as they change: who asks every few seconds
 * does not have all of a large cluster looked at. */
#include "controller/lrp/internal.h"

static enum counted kind_of(const struct process *p, const struct slot *s) {
    if (s >= p->slots + p->instances) /* it is to go */
        return COUNTED_NOT;
    if (!s->primary)
        return s->crashed ? COUNTED_CRASHED : COUNTED_NOT;
    return s->primary->state == LRP_RUNNING || s->spreads ? COUNTED_RUNNING : COUNTED_CLAIMED;
}

void slot_count(struct lrp *l, const struct process *p, struct slot *s) {
    enum counted now = kind_of(p, s);
    if (now == s->counted)
        return;
    l->counted[s->counted]--; /* of what is not counted, the number means nothing */
    l->counted[now]++;
    s->counted = now;
}

void process_want(struct lrp *l, struct process *p, uint32_t instances) {
    uint32_t from = MIN(p->instances, instances), to = MAX(p->instances, instances);
    l->desired_instances += instances;
    l->desired_instances -= p->instances;
    p->instances = instances;
    for (uint32_t i = from; i < MIN(to, p->slot_count); i++)
        slot_count(l, p, &p->slots[i]);
}

/* The slots of whose instances it may not be the home for long. */
static void count_leaving(const struct cell *c, struct lrp_totals *ret) {
    for (const struct instance *in = c->changes; in; in = in->next) {
        if (!in->process || in->index >= in->process->instances)
            continue;
        const struct slot *s = &in->process->slots[in->index];
        bool is_old = in->role == ROLE_OLD;
        ret->suspect += is_old && c->suspect;
        /* a slot once, even if both of its cells are being emptied */
        ret->evacuating += c->evacuating && !(is_old && s->primary && s->primary->cell->evacuating);
    }
}

static void count_cell(const struct cell *c, struct lrp_totals *ret) {
    bool gone =
        c->removed || (c->suspect && c->evacuating && c->containers_used == 0); /* emptied */
    ret->cells += c->present && !c->suspect && !gone;
    ret->cells_silent += c->suspect && !gone;
    ret->cells_evacuating += c->evacuating && !gone;
    if (c->suspect || c->evacuating)
        count_leaving(c, ret);
}

void lrp_totals(const struct lrp *l, struct lrp_totals *ret) {
    *ret = (struct lrp_totals){
        .desired = l->desired_instances,
        .running = l->counted[COUNTED_RUNNING],
        .claimed = l->counted[COUNTED_CLAIMED],
        .crashed = l->counted[COUNTED_CRASHED],
    };
    ret->unclaimed = ret->desired - ret->running - ret->claimed - ret->crashed;
    for (const struct task *t = l->tasks; t; t = t->hh.next)
        *(t->state == LRP_TASK_RUNNING ? &ret->tasks_running : &ret->tasks_pending) += 1;
    for (size_t i = 0; i < l->cell_count; i++)
        count_cell(l->cells[i], ret);
}
