/* task.c - tasks: run once.
 *
 *     waiting -> placed -> running -> ended          `state` PENDING until it runs; "placed" is
 *        ^         |          |         ^            to have the guid of its one instance
 *        `-never --'----------'---------'
 *         started
 *
 * Placed means: it may have been started, and nothing but its cell's word that it was not makes it
 * wait again. That it is placed is written down before its cell is told, and how it ended before
 * its cell may forget it, so what was written is never less than what may have happened. */
#include <errno.h>

#include "controller/lrp/internal.h"

#define TASKS_A_TIME 500 /* written down at once */

static const char cell_gone[] = "cell disappeared before completion"; /* Diego's words */
static const char cell_lost_it[] = "its cell does not have it any more, how it ended is not known";

struct task *task_find(const struct lrp *l, const char *guid) {
    struct task *t;
    HASH_FIND_STR(l->tasks, guid, t);
    return t;
}

static bool is_placed(const struct task *t) {
    return t->instance_guid[0] != '\0';
}

static bool has_ended(const struct task *t) {
    return t->state == LRP_TASK_SUCCEEDED || t->state == LRP_TASK_FAILED;
}

/* Placed before this run of the brain, and no cell has spoken of it yet. */
static bool is_unheard(const struct task *t) {
    return is_placed(t) && !t->in && !has_ended(t);
}

static void wait_for_place(struct lrp *l, struct task *t) {
    if (t->waiting)
        return;
    t->waiting = true;
    DL_APPEND(l->waiting_tasks, t);
    lrp_ask(l);
}

static void wait_no_more(struct lrp *l, struct task *t) {
    if (!t->waiting)
        return;
    t->waiting = false;
    DL_DELETE(l->waiting_tasks, t);
}

static void write_down(struct lrp *l, struct task *t) {
    if (!t->unsaved) {
        t->unsaved = true;
        DL_APPEND2(l->unsaved_tasks, t, unsaved_prev, unsaved_next);
    }
    lrp_ask(l);
}

static void written(struct lrp *l, struct task *t) {
    if (!t->unsaved)
        return;
    t->unsaved = false;
    DL_DELETE2(l->unsaved_tasks, t, unsaved_prev, unsaved_next);
}

void task_free(struct lrp *l, struct task *t) {
    wait_no_more(l, t);
    written(l, t);
    if (t->in)
        t->in->task = NULL;
    HASH_DEL(l->tasks, t);
    desired_unref(l, t->desired);
    free(t->cell_id);
    free(t->cancel);
    free(t->reason);
    free(t);
}

/* Its instance is no more a matter of the task. */
static void part(struct task *t) {
    if (t->in)
        t->in->task = NULL;
    t->in = NULL;
}

/* Reasons are cut where Diego cuts them; one that memory lacks for is left out. */
static void set_reason(struct task *t, const char *text) {
    free(t->reason);
    t->reason = str_empty(text) ? NULL : str_ndup(text, strnlen(text, REASON_MAX));
}

static void end(struct lrp *l, struct task *t, enum lrp_task_state state, const char *reason) {
    part(t);
    wait_no_more(l, t);
    t->state = state;
    if (reason != t->reason)
        set_reason(t, reason);
    write_down(l, t);
}

/* It will not be heard of any more. */
static void give_up(struct lrp *l, struct task *t, const char *why) {
    end(l, t, LRP_TASK_FAILED, t->cancel ? t->cancel : why);
}

void task_instance_lost(struct lrp *l, struct instance *in, bool with_its_cell) {
    give_up(l, in->task, with_its_cell ? cell_gone : cell_lost_it);
}

/* --- placement --- */

bool task_is_due(const struct task *t, uint64_t now_ms) {
    return t->retry_at_ms <= now_ms || (t->place_failed && t->retry_now);
}

static void unplace(struct lrp *l, struct task *t, uint64_t retry_at_ms) {
    part(t);
    t->instance_guid[0] = '\0';
    t->state = LRP_TASK_PENDING;
    t->unsaid = false;
    t->retry_at_ms = retry_at_ms;
    t->place_failed = false;
    wait_for_place(l, t);
}

static void adopt(struct instance *in, struct task *t) {
    if (in->role == ROLE_NONE)
        in->cell->tombstones--;
    in->role = ROLE_TASK;
    in->task = t;
    in->undecided = false;
    t->in = in;
}

int task_place(struct lrp *l, struct task *t, struct cell *c, uint64_t now_ms) {
    char guid[GUID_SIZE];
    const struct desired *d = t->desired;
    if (str_set(&t->cell_id, c->id) < 0)
        return -ENOMEM;
    l->ops.new_guid(l->ops.data, guid);
    struct instance *in = instance_new(l, guid, t->desired, 0, c, d->memory_mb, d->disk_mb, now_ms);
    if (!in)
        return -ENOMEM;
    adopt(in, t);
    wait_no_more(l, t);
    memcpy(t->instance_guid, guid, sizeof t->instance_guid);
    t->unsaid = true;
    write_down(l, t);
    return 0;
}

void task_not_placed(struct lrp *l, struct task *t, const char *text, uint64_t now_ms) {
    bool due = t->retry_at_ms <= now_ms;
    t->retry_now = false;
    t->place_failed = true;
    set_reason(t, text);
    if (!due)
        return; /* a try beside, because room appeared: not counted */
    t->retry_at_ms = now_ms + PLACE_RETRY_MS;
    write_down(l, t);
    if (++t->tries >= TASK_TRIES) {
        end(l, t, LRP_TASK_FAILED, t->reason);
        return;
    }
    struct lrp_actual a;
    view_desired(t->desired, &a);
    lrp_event(l, "task-waits", &a, text);
}

/* --- what becomes of its instance --- */

void task_running(struct lrp *l, struct instance *in) {
    if (in->task->state != LRP_TASK_PENDING)
        return;
    in->task->state = LRP_TASK_RUNNING;
    write_down(l, in->task);
}

/* Its cell says that its process was never started. */
static void try_again(struct lrp *l, struct task *t, struct cell *c, const char *why,
                      uint64_t now_ms) {
    if (t->cancel || ++t->tries >= TASK_TRIES) {
        give_up(l, t, why);
        return;
    }
    set_reason(t, why);
    unplace(l, t, now_ms + (FAULT_BACKOFF_MIN_MS << MIN(t->tries - 1, 6u)));
    t->avoid = c;
    write_down(l, t); /* or a brain that starts again would wait for the cell to speak of it */
    struct lrp_actual a;
    view_desired(t->desired, &a);
    lrp_event(l, "task-waits", &a, why);
}

static void conclude(struct lrp *l, struct task *t, struct cell *c, const Berth__ActualLrp *m,
                     uint64_t now_ms) {
    bool by_itself = m->state == BERTH__INSTANCE_STATE__INSTANCE_CRASHED;
    if (by_itself && m->platform_fault && t->state == LRP_TASK_PENDING)
        try_again(l, t, c, m->reason, now_ms);
    else if (by_itself && m->exit_status == 0 && !*m->reason)
        end(l, t, LRP_TASK_SUCCEEDED, NULL);
    else if (by_itself)
        end(l, t, LRP_TASK_FAILED, *m->reason ? m->reason : "failed");
    else
        give_up(l, t, "it was stopped by its cell");
}

void task_ended(struct lrp *l, struct instance *in, const Berth__ActualLrp *m, uint64_t now_ms) {
    struct task *t = in->task;
    struct cell *c = in->cell;
    part(t);
    instance_gone(l, in, now_ms);
    conclude(l, t, c, m, now_ms);
}

/* --- after a start --- */

static bool is_its(const struct task *t, const char *instance_guid, const struct cell *c) {
    return is_unheard(t) && str_eq(t->instance_guid, instance_guid) && str_eq(t->cell_id, c->id);
}

void task_heard_ended(struct lrp *l, struct task *t, struct cell *c, const Berth__ActualLrp *m,
                      uint64_t now_ms) {
    if (!is_its(t, m->instance_guid, c))
        return;
    apps_ended(l, c, t->desired->app_guid, now_ms);
    conclude(l, t, c, m, now_ms);
}

void task_decide(struct lrp *l, struct task *t, struct instance *in, uint64_t now_ms) {
    if (!is_its(t, in->guid, in->cell)) {
        instance_withdraw(l, in, now_ms);
        return;
    }
    struct desired *unknown = in->desired;
    in->desired = desired_ref(t->desired);
    desired_unref(l, unknown);
    (void)apps_add(l, in); /* without memory its lines are lost */
    adopt(in, t);
    if (in->state == LRP_RUNNING)
        task_running(l, in);
    if (t->cancel)
        instance_withdraw(l, in, now_ms);
    else
        cell_bump(l, in);
}

/* Its cell notes on disk what it is about to start: what it does not know it never started, and is
 * told to once more, under the same guid. */
static void tell_again(struct lrp *l, struct task *t, struct cell *c, uint64_t now_ms) {
    const struct desired *d = t->desired;
    if (t->cancel || t->state == LRP_TASK_RUNNING) {
        give_up(l, t, cell_lost_it);
        return;
    }
    struct instance *in =
        instance_new(l, t->instance_guid, t->desired, 0, c, d->memory_mb, d->disk_mb, now_ms);
    if (in)
        adopt(in, t);
    else
        give_up(l, t, "out of memory");
}

void tasks_missing(struct lrp *l, struct cell *c, uint64_t now_ms) {
    struct task *t, *tmp;
    if (!l->unheard || !l->complete || !c->reported)
        return;
    HASH_ITER (hh, l->tasks, t, tmp) {
        if (is_unheard(t) && str_eq(t->cell_id, c->id))
            tell_again(l, t, c, now_ms);
    }
}

void tasks_settled(struct lrp *l) {
    struct task *t, *tmp;
    HASH_ITER (hh, l->tasks, t, tmp) {
        if (is_unheard(t))
            give_up(l, t, cell_gone);
    }
    l->unheard = false;
}

/* --- writing down --- */

/* What could not be written down is as if it had not been placed: no cell was told. */
static void take_back(struct lrp *l, uint64_t now_ms) {
    struct task *t;
    DL_FOREACH2 (l->unsaved_tasks, t, unsaved_next) {
        if (!t->unsaid)
            continue;
        struct instance *in = t->in;
        unplace(l, t, now_ms + TICK_MS);
        instance_free(l, in);
    }
}

static void settle_saved(struct lrp *l, struct task *t) {
    written(l, t);
    t->unsaid = false;
    if (has_ended(t))
        task_free(l, t);
}

/* A page of it; *ret_n how many. */
static int save_some(struct lrp *l, size_t *ret_n) {
    struct lrp_task_note notes[TASKS_A_TIME];
    struct task *t, *tmp;
    size_t n = 0;
    DL_FOREACH2 (l->unsaved_tasks, t, unsaved_next) {
        if (n == TASKS_A_TIME)
            break;
        notes[n++] = (struct lrp_task_note){.guid = t->desired->process_guid,
                                            .app_guid = t->desired->app_guid,
                                            .name = t->desired->process_type,
                                            .state = t->state,
                                            .instance_guid = t->instance_guid,
                                            .cell_id = is_placed(t) ? t->cell_id : "",
                                            .reason = has_ended(t) && t->reason ? t->reason : "",
                                            .tries = t->tries};
    }
    *ret_n = n;
    int r = n && l->ops.on_tasks ? l->ops.on_tasks(l->ops.data, notes, n) : 0;
    if (r < 0)
        return r;
    DL_FOREACH_SAFE2(l->unsaved_tasks, t, tmp, unsaved_next) {
        if (n-- == 0)
            break;
        settle_saved(l, t);
    }
    return 0;
}

int tasks_save(struct lrp *l, uint64_t now_ms) {
    while (l->unsaved_tasks) {
        size_t n = 0;
        int r = save_some(l, &n);
        if (r < 0) {
            take_back(l, now_ms);
            return r;
        }
    }
    return 0;
}

/* --- what its owner asks --- */

int lrp_task_run(struct lrp *l, const struct lrp_task *from, uint64_t now_ms, struct error *err) {
    if (task_find(l, from->guid))
        return 0;
    struct task *t = mem_zalloc(sizeof *t);
    if (!t)
        return error_set(err, -ENOMEM, "out of memory");
    t->retry_at_ms = now_ms;
    t->tries = from->tries;
    t->state = from->began ? LRP_TASK_RUNNING : LRP_TASK_PENDING;
    t->desired = desired_make(&(struct lrp_desired){.process_guid = from->guid,
                                                    .process = from->guid,
                                                    .app_guid = from->app_guid,
                                                    .app_name = from->app_name,
                                                    .process_type = from->name,
                                                    .memory_mb = from->memory_mb,
                                                    .disk_mb = from->disk_mb,
                                                    .run_info = from->run_info,
                                                    .run_info_n = from->run_info_n});
    bool placed = !str_empty(from->instance_guid);
    if (placed)
        snprintf(t->instance_guid, sizeof t->instance_guid, "%s", from->instance_guid);
    bool whole = t->desired &&
                 image_get(l, from->run_info, from->run_info_n, &t->desired->image) == 0 &&
                 (!placed || str_set(&t->cell_id, from->cell_id) == 0);
    if (whole) {
        HASH_ADD_KEYPTR(hh, l->tasks, t->desired->process_guid, strlen(t->desired->process_guid),
                        t);
        whole = HASH_ADDED(t);
    }
    if (!whole) {
        desired_unref(l, t->desired);
        free(t->cell_id);
        free(t);
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!placed)
        wait_for_place(l, t);
    l->unheard |= placed;
    return 0;
}

void lrp_task_cancel(struct lrp *l, const char *guid, const char *reason, uint64_t now_ms) {
    struct task *t = task_find(l, guid);
    if (!t || t->cancel || has_ended(t))
        return;
    t->cancel = str_dup(reason);
    if (!is_placed(t))
        end(l, t, LRP_TASK_FAILED, reason);
    else if (t->in && t->in->role == ROLE_TASK)
        instance_withdraw(l, t->in, now_ms);
}

void lrp_tasks_forget(struct lrp *l, const char *app_guid, uint64_t now_ms) {
    struct task *t, *tmp;
    HASH_ITER (hh, l->tasks, t, tmp) {
        if (!str_eq(t->desired->app_guid, app_guid))
            continue;
        struct instance *in = t->in;
        task_free(l, t);
        if (in && in->role == ROLE_TASK)
            instance_withdraw(l, in, now_ms);
    }
}
