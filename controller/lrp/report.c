/* report.c - what cells say of their instances, and what follows from it.
 *
 * A report states, it does not command: the same words may come again, and words that are older
 * than what is known of an instance change nothing. */
#include <errno.h>

#include "controller/lrp/internal.h"

static int set_ports(struct instance *in, const Berth__ActualLrp *m, bool *changed) {
    bool same = in->port_count == m->n_ports;
    for (size_t i = 0; same && i < m->n_ports; i++)
        same = in->ports[i].container_port == m->ports[i]->container_port &&
               in->ports[i].host_port == m->ports[i]->host_port;
    if (same)
        return 0;
    Berth__PortMapping *ports = mem_calloc(MAX(m->n_ports, (size_t)1), sizeof *ports);
    if (!ports)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_ports; i++) { /* insertion sort: there are a handful */
        size_t at = i;
        for (; at > 0 && ports[at - 1].container_port > m->ports[i]->container_port; at--)
            ports[at] = ports[at - 1];
        berth__port_mapping__init(&ports[at]);
        ports[at].container_port = m->ports[i]->container_port;
        ports[at].host_port = m->ports[i]->host_port;
    }
    free(in->ports);
    in->ports = ports;
    in->port_count = m->n_ports;
    *changed = true;
    return 0;
}

static int set_facts(struct lrp *l, struct instance *in, const Berth__ActualLrp *m) {
    bool moved = false;
    if (set_ports(in, m, &moved) < 0)
        return -ENOMEM;
    if (!str_eq(in->address ? in->address : "", m->address)) {
        if (str_set(&in->address, m->address) < 0)
            return -ENOMEM;
        moved = true;
    }
    if (!str_eq(in->detail ? in->detail : "", m->detail) && str_set(&in->detail, m->detail) < 0)
        return -ENOMEM;
    if (m->stats) {
        in->cpu = m->stats->cpu;
        in->memory_bytes = m->stats->memory_bytes;
        in->disk_bytes = m->stats->disk_bytes;
        in->log_rate_bytes_s = m->stats->log_rate_bytes_s;
    }
    if (moved && in->state == LRP_RUNNING && in->process)
        routes_touch(l, in->process);
    return 0;
}

static enum lrp_state alive_state(Berth__InstanceState state) {
    return state == BERTH__INSTANCE_STATE__INSTANCE_RUNNING    ? LRP_RUNNING
           : state == BERTH__INSTANCE_STATE__INSTANCE_STOPPING ? LRP_STOPPING
                                                               : LRP_CLAIMED;
}

/* Takes what the cell says of an instance that lives there. */
static int hear_alive(struct lrp *l, struct instance *in, const Berth__ActualLrp *m,
                      uint64_t now_ms) {
    in->reported = true;
    if (set_facts(l, in, m) < 0)
        return -ENOMEM;
    if (in->role == ROLE_NONE && !in->undecided)
        return 0; /* asked to stop: what it does until then does not matter */
    enum lrp_state was = in->state;
    enum lrp_state state = alive_state(m->state);
    if (was == LRP_CLAIMED || state == LRP_STOPPING) /* a life goes one way: else an old word */
        instance_set_state(l, in, state, now_ms);
    if (in->role == ROLE_TASK && in->state == LRP_RUNNING)
        task_running(l, in);
    if (in->role == ROLE_PRIMARY && in->state == LRP_RUNNING) {
        instance_running(l, in, now_ms);
        if (was != LRP_RUNNING)
            lrp_instance_event(l, "running", in, "");
    }
    return 0;
}

/* Of two of one index: is `a` on its way to take the place of `b`, as an evacuation began it? */
static bool replaces(const struct instance *a, const struct instance *b) {
    return b->state == LRP_RUNNING && b->cell->evacuating && a->state == LRP_CLAIMED &&
           !a->cell->evacuating;
}

/* Is `a` to stay rather than `b`, which was there first? */
static bool is_better(const struct instance *a, const struct instance *b) {
    bool a_runs = a->state == LRP_RUNNING, b_runs = b->state == LRP_RUNNING;
    if (a_runs != b_runs)
        return a_runs;
    return b->cell->evacuating && !a->cell->evacuating;
}

void report_decide(struct lrp *l, struct instance *in, uint64_t now_ms) {
    struct task *t = task_find(l, in->desired->process_guid);
    in->undecided = false;
    if (t) {
        task_decide(l, t, in, now_ms);
        return;
    }
    if (!in->desired->owner && desired_find(l, in->desired->process_guid)) { /* known by now */
        struct desired *unknown = in->desired;
        in->desired = desired_ref(desired_find(l, unknown->process_guid));
        desired_unref(l, unknown);
        (void)apps_add(l, in); /* without memory its lines are lost */
    }
    struct process *p = in->desired->owner;
    if (p)
        process_reset(l, p, now_ms);
    if (!p || in->index >= p->instances || in->state == LRP_STOPPING ||
        process_grow(p, in->index + 1, now_ms) < 0) {
        if (!p) {
            l->counters.instances_unknown++;
            lrp_instance_event(l, "unknown", in, "");
        }
        instance_withdraw(l, in, now_ms);
        return;
    }
    struct slot *s = &p->slots[in->index];
    enum role role = ROLE_PRIMARY;
    if (s->primary && replaces(s->primary, in) && !s->old)
        role = ROLE_OLD;
    else if (s->primary && replaces(in, s->primary) && !s->old)
        instance_make_old(l, s->primary, now_ms);
    else if (s->primary && is_better(in, s->primary))
        instance_withdraw(l, s->primary, now_ms);
    if (s->primary && role == ROLE_PRIMARY) {
        instance_withdraw(l, in, now_ms); /* surplus */
        return;
    }
    instance_take_slot(l, in, p, role);
    cell_bump(l, in);
    process_dirty(l, p);
    if (in->state == LRP_RUNNING)
        instance_running(l, in, now_ms);
}

/* When it came to be what it is, by our clock; a cell's clock that runs ahead tells nothing. */
static uint64_t since(const Berth__ActualLrp *m, uint64_t now_ms, uint64_t now_wall_ns) {
    if (m->since_wall_ns == 0 || m->since_wall_ns > now_wall_ns)
        return now_ms;
    uint64_t age_ms = (now_wall_ns - m->since_wall_ns) / 1000000;
    return age_ms < now_ms ? now_ms - age_ms : 0;
}

/* An instance that this run of the brain did not start. */
static int hear_unknown(struct lrp *l, struct cell *c, const Berth__ActualLrp *m, bool crash_news,
                        uint64_t now_ms, uint64_t now_wall_ns) {
    bool alive = m->state != BERTH__INSTANCE_STATE__INSTANCE_CRASHED &&
                 m->state != BERTH__INSTANCE_STATE__INSTANCE_STOPPED;
    bool crashed = m->state == BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    struct desired *d = desired_find(l, m->process_guid);
    struct task *t = task_find(l, m->process_guid);
    if (d && !alive)
        apps_ended(l, c, d->app_guid, now_ms);
    if (t && !alive)
        task_heard_ended(l, t, c, m, now_ms);
    if (!alive && !(crashed && crash_news && d && m->index < d->owner->instances))
        return 0; /* ended, and of no interest */
    if (crashed) {
        struct process *p = d->owner;
        if (m->index < p->slot_count && (p->slots[m->index].primary || p->slots[m->index].crashed))
            return 0; /* its place is taken: an older story */
    }
    struct desired *names = d ? desired_ref(d) : desired_unknown(m->process_guid, m->app_guid);
    if (!names)
        return -ENOMEM;
    struct instance *in =
        instance_new(l, m->instance_guid, names, m->index, c, m->memory_mb, m->disk_mb, now_ms);
    desired_unref(l, names);
    if (!in)
        return -ENOMEM;
    in->seen = true;
    in->undecided = true;
    int r = crashed ? 0 : hear_alive(l, in, m, now_ms);
    in->since_ms = since(m, now_ms, now_wall_ns);
    if (l->complete && !c->suspect) /* else when its report is whole */
        report_decide(l, in, now_ms);
    if (crashed && (in = instance_find(l, m->instance_guid)))
        instance_crashed(l, in, m, now_ms);
    return r;
}

static int hear(struct lrp *l, struct cell *c, const Berth__ActualLrp *m, bool crash_news,
                uint64_t now_ms, uint64_t now_wall_ns) {
    struct instance *in = instance_find(l, m->instance_guid);
    if (!in)
        return hear_unknown(l, c, m, crash_news, now_ms, now_wall_ns);
    if (in->cell != c)
        return 0; /* no cell speaks for another's */
    in->seen = true;
    if (!in->counted)
        return 0; /* its end was told already */
    switch (m->state) {
    case BERTH__INSTANCE_STATE__INSTANCE_CLAIMED:
    case BERTH__INSTANCE_STATE__INSTANCE_RUNNING:
    case BERTH__INSTANCE_STATE__INSTANCE_STOPPING:
        return hear_alive(l, in, m, now_ms);
    case BERTH__INSTANCE_STATE__INSTANCE_CRASHED:
        if (in->task)
            task_ended(l, in, m, now_ms);
        else
            instance_crashed(l, in, m, now_ms);
        return 0;
    case BERTH__INSTANCE_STATE__INSTANCE_STOPPED:
        if (in->task) {
            task_ended(l, in, m, now_ms);
            return 0;
        }
        lrp_instance_event(l, "stopped", in, m->reason);
        instance_gone(l, in, now_ms);
        return 0;
    default:
        return 0; /* a state of a later version */
    }
}

static void end_full(struct lrp *l, struct cell *c, uint64_t now_ms) {
    struct instance *in, *tmp;
    DL_FOREACH_SAFE (c->changes, in, tmp) {
        if (in->seen || !in->reported)
            continue;
        if (in->role == ROLE_PRIMARY)
            lrp_instance_event(l, "failed", in, "its cell does not have it any more");
        instance_gone(l, in, now_ms);
    }
    if (!c->reported)
        spread_stir(l, now_ms);
    c->in_full = false;
    c->reported = true;
    l->grew = true; /* it can take more, and settling may be over: lrp_converge() looks */
    if (c->expected) {
        c->expected = false;
        l->expected--;
    }
    if (c->suspect)
        cell_returned(l, c, now_ms);
    DL_FOREACH_SAFE (c->changes, in, tmp) {
        if (in->undecided && l->complete)
            report_decide(l, in, now_ms);
    }
    tasks_missing(l, c, now_ms);
    cell_note_changed(l, c);
}

int lrp_report(struct lrp *l, const char *cell_id, bool full_begin, bool full_end,
               Berth__ActualLrp *const *instances, size_t n, uint64_t now_ms,
               uint64_t now_wall_ns) {
    struct cell *c = cell_find(l, cell_id);
    int r = 0;
    if (!c || !c->present)
        return -ENOENT;
    lrp_cell_heard(l, cell_id, now_ms);
    if (full_begin) {
        struct instance *in;
        c->in_full = true;
        DL_FOREACH (c->changes, in) {
            in->seen = false;
        }
    } else if (!c->reported && !c->in_full) {
        return -ESTALE;
    }
    /* before its first full report is in, a crash not known here is news of before this run */
    bool crash_news = c->in_full && !c->reported;
    for (size_t i = 0; i < n; i++)
        r = MIN(r, hear(l, c, instances[i], crash_news, now_ms, now_wall_ns));
    if (full_end && c->in_full)
        end_full(l, c, now_ms);
    return MIN(r, tasks_save(l, now_ms));
}
