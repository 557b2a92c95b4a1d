#include "router/wheel.h"

#include <stddef.h>

static void unlink_node(struct wheel_node *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

static void link_node(struct wheel *w, struct wheel_node *node) {
    uint64_t tick = node->deadline;
    if (tick <= w->now)
        tick = w->now + 1;
    if (tick >= w->now + WHEEL_SLOTS)
        tick = w->now + WHEEL_SLOTS - 1;
    struct wheel_node *head = &w->slots[tick % WHEEL_SLOTS];
    node->slot_tick = tick;
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

void wheel_init(struct wheel *w, uint64_t now_ms) {
    w->now = now_ms / WHEEL_TICK_MS;
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        w->slots[i].next = w->slots[i].prev = &w->slots[i];
}

void wheel_set(struct wheel *w, struct wheel_node *node, uint64_t deadline_ms) {
    node->deadline = deadline_ms / WHEEL_TICK_MS + 1;
    if (node->next) {
        if (node->slot_tick <= node->deadline)
            return;
        unlink_node(node);
    }
    link_node(w, node);
}

void wheel_clear(struct wheel_node *node) {
    node->deadline = 0;
    if (node->next)
        unlink_node(node);
}

/* The slot is emptied into a list of its own first: fire() may set nodes into this very slot. */
static void run_slot(struct wheel *w, struct wheel_node *slot) {
    struct wheel_node due = {.next = &due, .prev = &due};
    if (slot->next == slot)
        return;
    due.next = slot->next;
    due.prev = slot->prev;
    due.next->prev = due.prev->next = &due;
    slot->next = slot->prev = slot;
    while (due.next != &due) {
        struct wheel_node *node = due.next;
        unlink_node(node);
        if (node->deadline > w->now)
            link_node(w, node);
        else
            node->fire(node);
    }
}

void wheel_run(struct wheel *w, uint64_t now_ms) {
    uint64_t until = now_ms / WHEEL_TICK_MS;
    /* After a long stop of the machine one turn of the wheel reaches every node. */
    if (until > w->now + WHEEL_SLOTS)
        w->now = until - WHEEL_SLOTS;
    while (w->now < until) {
        w->now++;
        run_slot(w, &w->slots[w->now % WHEEL_SLOTS]);
    }
}
