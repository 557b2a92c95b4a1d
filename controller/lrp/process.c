/* process.c - one process's slots: what is due, what must go, what must be placed.
 *
 *     (none) -> UNCLAIMED -> CLAIMED -> RUNNING        a slot's life; UNCLAIMED and CRASHED have no
 *                  ^            |          |           instance, the other two have their primary
 *                  `- CRASHED <-'----------'                                                     */
#include <errno.h>

#include "controller/lrp/internal.h"

void process_dirty(struct lrp *l, struct process *p) {
    if (p->dirty)
        return;
    p->dirty = true;
    p->dirty_next = NULL;
    *l->dirty_tail = p;
    l->dirty_tail = &p->dirty_next;
    lrp_ask(l);
}

void process_changed(struct process *p, uint64_t now_ms) {
    p->changed_ms = now_ms;
    p->even_at = 0;
}

/* --- a binary heap of processes by due time --- */

int heap_reserve(struct lrp *l, size_t n) {
    if (n <= l->heap_cap)
        return 0;
    size_t cap = MAX(n, l->heap_cap * 2);
    struct process **grown = mem_resize(l->heap, cap, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    l->heap = grown;
    l->heap_cap = cap;
    return 0;
}

static void heap_put(struct lrp *l, size_t at, struct process *p) {
    l->heap[at] = p;
    p->heap_at = at;
}

static void heap_settle(struct lrp *l, size_t at) {
    struct process *p = l->heap[at];
    for (; at > 0 && l->heap[(at - 1) / 2]->due_ms > p->due_ms; at = (at - 1) / 2)
        heap_put(l, at, l->heap[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < l->heap_n; at = child) {
        if (child + 1 < l->heap_n && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
            child++;
        if (l->heap[child]->due_ms >= p->due_ms)
            break;
        heap_put(l, at, l->heap[child]);
    }
    heap_put(l, at, p);
}

void heap_remove(struct lrp *l, struct process *p) {
    if (p->due_ms == NEVER)
        return;
    size_t at = p->heap_at;
    p->due_ms = NEVER;
    struct process *last = l->heap[--l->heap_n];
    if (last != p) {
        heap_put(l, at, last);
        heap_settle(l, at);
    }
}

void process_due(struct lrp *l, struct process *p, uint64_t due_ms) {
    if (due_ms == p->due_ms)
        return;
    heap_remove(l, p);
    if (due_ms == NEVER)
        return;
    p->due_ms = due_ms;
    heap_put(l, l->heap_n++, p); /* room was reserved when p was made */
    heap_settle(l, p->heap_at);
}

struct process *process_take_due(struct lrp *l, uint64_t now_ms) {
    if (l->heap_n == 0 || l->heap[0]->due_ms > now_ms)
        return NULL;
    struct process *p = l->heap[0];
    heap_remove(l, p);
    return p;
}

/* --- slots --- */

void slot_set_reason(struct slot *s, const char *text) {
    free(s->reason);
    s->reason = str_empty(text) ? NULL : str_ndup(text, strnlen(text, REASON_MAX));
}

/* As new: nothing happened here yet. */
void slot_unclaim(struct slot *s, uint64_t now_ms) {
    slot_set_reason(s, NULL);
    s->since_ms = now_ms;
    s->restart_at_ms = s->retry_at_ms = 0;
    s->avoid = NULL;
    s->crash_count = s->fault_count = 0;
    s->exit_status = 0;
    s->crashed = s->place_failed = false;
}

static void slot_empty(struct lrp *l, struct process *p, struct slot *s, uint64_t now_ms) {
    if (s->old)
        instance_withdraw(l, s->old, now_ms);
    if (s->primary)
        instance_withdraw(l, s->primary, now_ms);
    slot_unclaim(s, now_ms);
    slot_count(l, p, s);
}

void process_reset(struct lrp *l, struct process *p, uint64_t now_ms) {
    for (uint32_t i = 0; p->reset && i < p->slot_count; i++)
        slot_empty(l, p, &p->slots[i], now_ms);
    p->reset = false;
}

/* Is its primary to run elsewhere? What ends by itself is placed anew after. */
static bool slot_moves(const struct slot *s) {
    return s->primary && s->primary->cell->evacuating &&
           (s->primary->state == LRP_CLAIMED || s->primary->state == LRP_RUNNING);
}

/* Must this slot be placed now? If only later, *due is brought forward. */
static bool slot_wants_place(struct lrp *l, struct process *p, struct slot *s, bool retry_now,
                             uint64_t now_ms, uint64_t *due) {
    if (s->primary && !slot_moves(s))
        return false;
    if (s->crashed) {
        if (s->restart_at_ms == 0)
            return false;
        if (s->restart_at_ms > now_ms) {
            *due = MIN(*due, s->restart_at_ms);
            return false;
        }
        s->crashed = false;
        s->restart_at_ms = 0;
        s->since_ms = now_ms;
        slot_count(l, p, s);
    }
    if (s->retry_at_ms > now_ms && !(s->place_failed && retry_now)) {
        *due = MIN(*due, s->retry_at_ms);
        return false;
    }
    return true;
}

bool process_wants_place(struct lrp *l, struct process *p, uint32_t index, uint64_t now_ms) {
    uint64_t due = NEVER;
    process_reset(l, p, now_ms);
    if (!p->want) {
        process_dirty(l, p); /* it may go now */
        return false;
    }
    if (index >= p->instances || index >= p->slot_count)
        return false;
    if (slot_wants_place(l, p, &p->slots[index], false, now_ms, &due))
        return true;
    process_due(l, p, MIN(p->due_ms, due));
    return false;
}

void process_wait(struct lrp *l, struct process *p) {
    if (p->waiting)
        return;
    p->waiting = true;
    DL_APPEND(l->waiting, p);
}

int process_reconcile(struct lrp *l, struct process *p, uint64_t now_ms) {
    uint64_t due = NEVER;
    bool retry_now = p->retry_now;
    p->retry_now = false;
    if (p->waiting) {
        p->waiting = false;
        DL_DELETE(l->waiting, p);
    }
    while (p->slot_count > p->instances) { /* the highest index goes first */
        struct slot *s = &p->slots[p->slot_count - 1];
        slot_empty(l, p, s, now_ms);
        p->slot_count--;
    }
    process_reset(l, p, now_ms);
    if (!p->want)
        return 0;
    if (process_grow(p, p->instances, now_ms) < 0)
        return -ENOMEM;
    if (!l->complete || (!l->settled && !p->fresh))
        return 0; /* lrp_converge() comes back to every process when it has settled */
    for (uint32_t i = 0; i < p->instances; i++) {
        struct slot *s = &p->slots[i];
        if (s->in_todo)
            continue;
        if (!slot_wants_place(l, p, s, retry_now, now_ms, &due)) {
            if (s->place_failed)
                process_wait(l, p);
            continue;
        }
        s->retry_at_ms = 0;
        if (todo_add(l, p, i, s->primary != NULL) < 0)
            return -ENOMEM;
    }
    process_due(l, p, due);
    return 0;
}
