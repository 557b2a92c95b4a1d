/* instance.c - one instance on a cell: made by placement or adopted from a report, withdrawn, gone.
 *
 *     CLAIMED -> RUNNING -> STOPPING -> (freed)     only instance_set_state() writes the state
 *
 * Who runs and has ports may be asked at any moment: it is STOPPING for us, and for the routers, a
 * while before its cell is told so (`leaving`). */
#include <errno.h>

#include "controller/lrp/internal.h"

struct instance *instance_find(struct lrp *l, const char *guid) {
    struct instance *in;
    HASH_FIND_STR(l->instances, guid, in);
    return in;
}

struct slot *instance_slot(const struct instance *in) {
    return in->process ? &in->process->slots[in->index] : NULL;
}

struct instance *instance_new(struct lrp *l, const char *guid, struct desired *desired,
                              uint32_t index, struct cell *cell, uint32_t memory_mb,
                              uint32_t disk_mb, uint64_t now_ms) {
    struct instance *in = mem_zalloc(sizeof *in);
    if (!in)
        return NULL;
    snprintf(in->guid, sizeof in->guid, "%s", guid);
    HASH_ADD_STR(l->instances, guid, in);
    if (!HASH_ADDED(in)) {
        free(in);
        return NULL;
    }
    in->desired = desired_ref(desired);
    in->index = index;
    in->cell = cell;
    if (!desired->stand_in && apps_add(l, in) < 0) {
        HASH_DEL(l->instances, in);
        desired_unref(l, in->desired);
        free(in);
        return NULL;
    }
    in->state = LRP_CLAIMED;
    in->since_ms = now_ms;
    in->memory_mb = memory_mb;
    in->disk_mb = disk_mb;
    in->counted = true;
    cell->memory_used += memory_mb;
    cell->disk_used += disk_mb;
    cell->containers_used++;
    cell->starting++;
    cell->tombstones++; /* until it takes a slot */
    DL_APPEND(cell->changes, in);
    cell_bump(l, in);
    return in;
}

static void release(struct lrp *l, struct instance *in) {
    if (!in->counted)
        return;
    in->counted = false;
    in->cell->memory_used -= in->memory_mb;
    in->cell->disk_used -= in->disk_mb;
    in->cell->containers_used--;
    l->grew = true;
}

static void leave_now(struct lrp *l, struct instance *in) {
    if (!in->leaving)
        return;
    in->leaving = false;
    DL_DELETE2(l->leaving, in, leave_prev, leave_next);
}

void instance_free(struct lrp *l, struct instance *in) {
    struct cell *c = in->cell;
    if (in->task)
        task_instance_lost(l, in, c->suspect);
    leave_now(l, in);
    release(l, in);
    apps_drop(l, in);
    if (in->state == LRP_CLAIMED)
        c->starting--;
    if (in->role == ROLE_NONE)
        c->tombstones--;
    /* what it has not heard of this one it will never hear: tell it all */
    if (c->acked < in->version)
        c->floor = MAX(c->floor, in->version);
    DL_DELETE(c->changes, in);
    HASH_DEL(l->instances, in);
    desired_unref(l, in->desired);
    free(in->address);
    free(in->detail);
    free(in->ports);
    free(in);
}

void instance_set_state(struct lrp *l, struct instance *in, enum lrp_state state, uint64_t now_ms) {
    if (in->state == state)
        return;
    if (in->state == LRP_CLAIMED)
        in->cell->starting--;
    if (state == LRP_CLAIMED)
        in->cell->starting++;
    if (in->process)
        process_changed(in->process, now_ms);
    if (in->process && (in->state == LRP_RUNNING || state == LRP_RUNNING))
        routes_touch(l, in->process);
    in->state = state;
    in->since_ms = now_ms;
    if (in->role == ROLE_PRIMARY)
        slot_count(l, in->process, instance_slot(in));
}

void instance_take_slot(struct lrp *l, struct instance *in, struct process *p, enum role role) {
    struct slot *s = &p->slots[in->index];
    if (in->role == ROLE_NONE)
        in->cell->tombstones--;
    in->process = p;
    in->role = role;
    *(role == ROLE_PRIMARY ? &s->primary : &s->old) = in;
    if (role == ROLE_PRIMARY) { /* whatever the slot waited for */
        s->crashed = s->place_failed = false;
        s->restart_at_ms = s->retry_at_ms = 0;
    }
    slot_count(l, p, s);
    if (in->state == LRP_RUNNING)
        routes_touch(l, p);
}

void instance_make_old(struct lrp *l, struct instance *in, uint64_t now_ms) {
    struct slot *s = instance_slot(in);
    s->primary = NULL;
    s->old = in;
    s->since_ms = now_ms;
    in->role = ROLE_OLD;
    slot_count(l, in->process, s);
    process_dirty(l, in->process);
}

void instance_make_primary(struct lrp *l, struct instance *in) {
    instance_slot(in)->old = NULL;
    instance_take_slot(l, in, in->process, ROLE_PRIMARY);
}

static void leave_slot(struct lrp *l, struct instance *in, uint64_t now_ms) {
    struct process *p = in->process;
    struct slot *s = instance_slot(in);
    if (in->role == ROLE_TASK) {
        in->role = ROLE_NONE;
        in->cell->tombstones++;
    }
    if (!s)
        return;
    if (in->state == LRP_RUNNING)
        routes_touch(l, p);
    struct instance *stays = s->spreads && in->role == ROLE_PRIMARY ? s->old : NULL;
    spread_over(l, s);
    *(in->role == ROLE_PRIMARY ? &s->primary : &s->old) = NULL;
    if (in->role == ROLE_PRIMARY) {
        s->since_ms = now_ms;
        if (s->place_failed) /* to be evacuated: now it is to be placed, which is more urgent */
            s->place_failed = false, s->retry_at_ms = 0;
    }
    slot_count(l, p, s);
    process_dirty(l, p);
    process_changed(p, now_ms);
    in->role = ROLE_NONE;
    in->process = NULL;
    in->cell->tombstones++;
    if (stays)
        spread_give_back(l, p, stays, now_ms);
}

void instance_withdraw(struct lrp *l, struct instance *in, uint64_t now_ms) {
    bool may_be_asked = in->state == LRP_RUNNING && in->port_count > 0 && !in->cell->suspect;
    leave_slot(l, in, now_ms);
    in->undecided = false;
    instance_set_state(l, in, LRP_STOPPING, now_ms);
    if (may_be_asked && l->config.drain_ms > 0) {
        in->leaving = true;
        in->leave_ms = now_ms + l->config.drain_ms;
        DL_APPEND2(l->leaving, in, leave_prev, leave_next);
        lrp_ask(l);
        return;
    }
    leave_now(l, in);
    cell_bump(l, in);
    if (in->cell->suspect)
        instance_free(l, in); /* should that cell come back, it is told all */
}

/* Routers hear nothing before it has settled: until then they may send requests to anybody. */
uint64_t instances_leave(struct lrp *l, uint64_t now_ms) {
    while (l->settled && l->leaving) {
        struct instance *in = l->leaving;
        uint64_t due_ms = MAX(in->leave_ms, l->settled_ms + l->config.drain_ms);
        if (due_ms > now_ms)
            return due_ms;
        leave_now(l, in);
        cell_bump(l, in);
    }
    return NEVER;
}

void instance_gone(struct lrp *l, struct instance *in, uint64_t now_ms) {
    if (in->task)
        task_instance_lost(l, in, false);
    if (in->role != ROLE_NONE || in->leaving) {
        leave_slot(l, in, now_ms);
        leave_now(l, in);
        cell_bump(l, in);
    }
    instance_set_state(l, in, LRP_STOPPING, now_ms);
    release(l, in);
    in->reported = in->undecided = false;
    if (in->cell->suspect || in->version <= in->cell->acked)
        instance_free(l, in);
}

/* Diego's policy: the first two crashes restart at once, then 30 s doubling to 16 min, 200 in all;
 * more than 5 min of running forgives. */
static void count_crash(struct slot *s, const struct instance *in, uint64_t now_ms) {
    bool ran_well = in->state == LRP_RUNNING && now_ms - in->since_ms > CRASH_RESET_MS;
    s->crash_count = ran_well ? 1 : s->crash_count + 1;
    s->crashed = s->crash_count >= CRASH_IMMEDIATE_RESTARTS;
    s->restart_at_ms = 0;
    if (s->crashed && s->crash_count < CRASH_MAX_RESTARTS) {
        unsigned doublings =
            MIN(s->crash_count - CRASH_IMMEDIATE_RESTARTS, (unsigned)CRASH_BACKOFF_DOUBLINGS);
        s->restart_at_ms = now_ms + MIN(CRASH_BACKOFF_MIN_MS << doublings, CRASH_BACKOFF_MAX_MS);
    }
}

void instance_crashed(struct lrp *l, struct instance *in, const Berth__ActualLrp *m,
                      uint64_t now_ms) {
    struct slot *s = instance_slot(in);
    if (s && s->spreads && in->role == ROLE_PRIMARY) { /* who was to move serves on */
        lrp_instance_event(l, "not-spread", in, m->reason);
        instance_gone(l, in, now_ms);
        return;
    }
    if (s && s->spreads) /* a crash as any other: it is the one that counts */
        instance_withdraw(l, s->primary, now_ms);
    if (in->role == ROLE_OLD || !s) { /* replaced already, or asked to stop */
        if (!s)
            lrp_instance_event(l, in->undecided ? "crash" : "stopped", in, m->reason);
        instance_gone(l, in, now_ms);
        return;
    }
    s->exit_status = m->exit_status;
    slot_set_reason(s, m->reason);
    if (m->platform_fault) {
        unsigned doublings = MIN(s->fault_count, 6u);
        s->fault_count++;
        s->retry_at_ms = now_ms + MIN(FAULT_BACKOFF_MIN_MS << doublings, FAULT_BACKOFF_MAX_MS);
        s->avoid = in->cell;
        s->place_failed = false;
    } else {
        count_crash(s, in, now_ms);
    }
    struct lrp_actual a;
    view_instance(in, &a);
    a.state = m->platform_fault ? LRP_UNCLAIMED : LRP_CRASHED;
    a.reason = s->reason ? s->reason : "";
    a.exit_status = m->exit_status;
    a.restart_at_ms = m->platform_fault ? s->retry_at_ms : s->restart_at_ms;
    lrp_event(l,
              !m->platform_fault         ? "crash"
              : in->state == LRP_CLAIMED ? "place-failed"
                                         : "failed",
              &a, a.reason);
    instance_gone(l, in, now_ms);
}

/* It serves: what stood in for it, or what it replaced, may go. */
void instance_running(struct lrp *l, struct instance *in, uint64_t now_ms) {
    struct slot *s = instance_slot(in);
    if (!s || in->role != ROLE_PRIMARY)
        return;
    if (s->old)
        instance_withdraw(l, s->old, now_ms);
    if (!s->place_failed) /* it cannot be evacuated, and the user is told why */
        slot_set_reason(s, NULL);
    s->fault_count = 0;
    s->avoid = NULL;
}
