/* todo.c - who is to be placed, the first first: a binary heap, because a cluster's worth of
 * placements takes many convergences, and what is noted meanwhile may go before the rest. */
#include <errno.h>

#include "controller/lrp/internal.h"

/* Who runs nowhere yet before who moves; every process's index 0 first, then the larger first; a
 * process's own in order. */
static bool is_before(const struct item *a, const struct item *b) {
    if (a->moves != b->moves)
        return b->moves;
    if ((a->index == 0) != (b->index == 0))
        return a->index == 0;
    if (a->memory_mb != b->memory_mb)
        return a->memory_mb > b->memory_mb;
    if (a->process != b->process)
        return a->process->seq < b->process->seq;
    return a->index < b->index;
}

int todo_add(struct lrp *l, struct process *p, uint32_t index, bool moves) {
    struct todo *t = &l->todo;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct item *grown = mem_resize(t->items, cap, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        t->items = grown;
        t->cap = cap;
    }
    const struct item item = {p, index, p->want->memory_mb, moves};
    size_t at = t->n++;
    for (; at > 0 && is_before(&item, &t->items[(at - 1) / 2]); at = (at - 1) / 2)
        t->items[at] = t->items[(at - 1) / 2];
    t->items[at] = item;
    p->slots[index].in_todo = true;
    p->in_todo++;
    return 0;
}

bool todo_take(struct lrp *l, struct item *ret) {
    struct todo *t = &l->todo;
    if (t->n == 0)
        return false;
    *ret = t->items[0];
    const struct item last = t->items[--t->n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < t->n; at = child) {
        if (child + 1 < t->n && is_before(&t->items[child + 1], &t->items[child]))
            child++;
        if (!is_before(&t->items[child], &last))
            break;
        t->items[at] = t->items[child];
    }
    t->items[at] = last;
    ret->process->in_todo--;
    if (ret->index < ret->process->slot_count)
        ret->process->slots[ret->index].in_todo = false;
    if (t->n == 0)
        todo_fini(l); /* it may have been large */
    return true;
}

void todo_fini(struct lrp *l) {
    free(l->todo.items);
    l->todo = (struct todo){0};
}
