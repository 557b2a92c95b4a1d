/* cell.c - cells: presence, silence, and the versioned set of instances that each should run. */
#include <errno.h>

#include "controller/lrp/internal.h"

struct cell *cell_find(const struct lrp *l, const char *id) {
    struct cell *c;
    HASH_FIND_STR(l->cells_by_id, id, c);
    return c;
}

static struct zone *zone_get(struct lrp *l, const char *name) {
    struct zone *z;
    HASH_FIND_STR(l->zones, name, z);
    if (!z && HASH_COUNT(l->zones) >= ZONES_MAX)
        HASH_FIND_STR(l->zones, "", z);
    if (z)
        return z;
    z = mem_zalloc(sizeof *z);
    if (z && (z->name = str_dup(name))) {
        HASH_ADD_KEYPTR(hh, l->zones, z->name, strlen(z->name), z);
        if (HASH_ADDED(z))
            return z;
        free(z->name);
    }
    free(z);
    return NULL;
}

static void cell_destroy(struct cell *c) {
    if (!c)
        return;
    free(c->id);
    free(c->name);
    free(c->address);
    free(c->apps.v);
    free(c);
}

static struct cell *cell_get(struct lrp *l, const char *id) {
    struct cell *c = cell_find(l, id);
    if (c)
        return c;
    if (l->cell_count == l->cell_cap) {
        size_t cap = l->cell_cap ? l->cell_cap * 2 : 16;
        struct cell **grown = mem_resize(l->cells, cap, sizeof *grown);
        if (!grown)
            return NULL;
        l->cells = grown;
        l->cell_cap = cap;
    }
    c = mem_zalloc(sizeof *c);
    if (!c || !(c->id = str_dup(id)) || !(c->name = str_dup("")) || !(c->address = str_dup("")) ||
        !(c->zone = zone_get(l, ""))) {
        cell_destroy(c);
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, l->cells_by_id, c->id, strlen(c->id), c);
    if (!HASH_ADDED(c)) {
        cell_destroy(c);
        return NULL;
    }
    c->version = 1; /* an empty set is something to tell: 0 is "nothing known" */
    l->cells[l->cell_count++] = c;
    return c;
}

/* Its instances must be gone. */
void cell_free(struct lrp *l, struct cell *c) {
    layers_forget_cell(l, c);
    HASH_DEL(l->cells_by_id, c);
    cell_destroy(c);
}

void cell_note_changed(struct lrp *l, struct cell *c) {
    if (c->changed)
        return;
    c->changed = true;
    c->changed_next = l->changed;
    l->changed = c;
    lrp_ask(l);
}

void cell_bump(struct lrp *l, struct instance *in) {
    struct cell *c = in->cell;
    in->version = ++c->version;
    if (in->next) { /* not the newest already */
        DL_DELETE(c->changes, in);
        DL_APPEND(c->changes, in);
    }
    cell_note_changed(l, c);
}

int lrp_cell_expected(struct lrp *l, const char *cell_id) {
    struct cell *c = cell_get(l, cell_id);
    if (!c)
        return -ENOMEM;
    if (!c->expected && !c->present) {
        c->expected = true;
        l->expected++;
    }
    return 0;
}

static void heard(struct lrp *l, struct cell *c, uint64_t now_ms) {
    c->heard_ms = now_ms;
    if (c->present && c->next) {
        DL_DELETE(l->heard, c);
        DL_APPEND(l->heard, c);
    } else if (!c->present) {
        c->present = true;
        c->first_ms = now_ms;
        DL_APPEND(l->heard, c);
    }
}

int lrp_cell_present(struct lrp *l, const struct lrp_cell_info *info, uint64_t now_ms) {
    struct cell *c = cell_get(l, info->id);
    struct zone *zone = c ? zone_get(l, info->zone ? info->zone : "") : NULL;
    if (!zone || str_set(&c->name, info->name ? info->name : "") < 0 ||
        str_set(&c->address, info->address ? info->address : "") < 0)
        return -ENOMEM;
    c->zone = zone;
    c->memory_mb = info->memory_mb;
    c->disk_mb = info->disk_mb;
    c->containers = info->containers;
    c->reported = c->in_full = c->removed = false;
    heard(l, c, now_ms);
    return 0;
}

void lrp_cell_heard(struct lrp *l, const char *cell_id, uint64_t now_ms) {
    struct cell *c = cell_find(l, cell_id);
    if (!c || !c->present)
        return;
    heard(l, c, now_ms);
    if (c->suspect && c->reported) /* only its words were held up: what it reported stands */
        cell_returned(l, c, now_ms);
}

void lrp_cell_removed(struct lrp *l, const char *cell_id) {
    struct cell *c = cell_find(l, cell_id);
    if (c)
        c->removed = true;
}

bool lrp_cell_reported(const struct lrp *l, const char *cell_id) {
    const struct cell *c = cell_find(l, cell_id);
    return c && c->reported && l->complete;
}

/* --- silence --- */

static void lose_instance(struct lrp *l, struct instance *in, uint64_t now_ms) {
    struct slot *s = instance_slot(in);
    bool spreads = s && s->spreads && in->role == ROLE_OLD; /* now it must */
    if (in->role == ROLE_OLD && !spreads)
        return; /* of an evacuating cell: it is being replaced already */
    if (in->task)
        task_instance_lost(l, in, true);
    if (!s || (s->old && !spreads)) { /* of no use, or itself a replacement: the first one stays */
        instance_withdraw(l, in, now_ms);
        return;
    }
    if (spreads)
        spread_over(l, s);
    else
        instance_make_old(l, in, now_ms);
    l->counters.instances_lost++;
    lrp_instance_event(l, "cell-lost", in,
                       "its cell has gone silent; it is being replaced on another cell");
}

static void lose_cell(struct lrp *l, struct cell *c, uint64_t now_ms) {
    c->suspect = true;
    spread_stir(l, now_ms);
    c->suspect_ms = now_ms;
    lrp_cell_event(l, c);
    if (!c->evacuating || c->containers_used > 0) /* not one that was emptied, and left */
        l->counters.cells_lost++;
    struct instance *in, *tmp;
    DL_FOREACH_SAFE (c->changes, in, tmp) {
        lose_instance(l, in, now_ms);
    }
}

uint64_t cells_lose_silent(struct lrp *l, uint64_t now_ms) {
    uint64_t next = NEVER;
    for (struct cell *c = l->heard; c; c = c->next) {
        if (c->heard_ms + l->config.presence_ms > now_ms) {
            next = c->heard_ms + l->config.presence_ms;
            break;
        }
        if (!c->suspect)
            lose_cell(l, c, now_ms);
    }
    return next;
}

/* --- evacuation --- */

/* Its instances need not be replaced any more: each serves on unless something serves in its
 * place. */
static void keep_instances(struct lrp *l, struct cell *c, uint64_t now_ms) {
    struct instance *in, *tmp;
    DL_FOREACH_SAFE (c->changes, in, tmp) {
        struct slot *s = instance_slot(in);
        if (in->role == ROLE_PRIMARY && s->place_failed) { /* it could not be evacuated */
            s->place_failed = false;
            s->retry_at_ms = 0;
            slot_set_reason(s, NULL);
        }
        if (in->role != ROLE_OLD)
            continue;
        if (s->primary && s->primary->state == LRP_RUNNING) {
            instance_withdraw(l, in, now_ms);
            continue;
        }
        if (s->primary)
            instance_withdraw(l, s->primary, now_ms);
        instance_make_primary(l, in);
        if (in->state == LRP_RUNNING)
            instance_running(l, in, now_ms);
    }
}

void cell_returned(struct lrp *l, struct cell *c, uint64_t now_ms) {
    c->suspect = false;
    spread_stir(l, now_ms);
    apps_returned(c, now_ms);
    lrp_cell_event(l, c);
    l->counters.cells_returned++;
    l->grew = true;
    if (!c->evacuating)
        keep_instances(l, c, now_ms);
}

/* Its cell is to be emptied. */
static void leave_cell(struct lrp *l, struct instance *in, uint64_t now_ms) {
    struct slot *s = instance_slot(in);
    if (!s)
        return;
    if (in->role == ROLE_PRIMARY && !s->spreads) {
        process_dirty(l, in->process);
    } else if (in->role == ROLE_PRIMARY) { /* it was to come here */
        instance_withdraw(l, in, now_ms);
    } else if (s->spreads) { /* it moves already: now it must */
        spread_over(l, s);
        l->counters.instances_evacuated++;
        lrp_instance_event(l, "evacuating", in, "");
    }
}

void lrp_cell_evacuating(struct lrp *l, const char *cell_id, bool evacuating, uint64_t now_ms) {
    struct cell *c = cell_find(l, cell_id);
    if (!c || c->evacuating == evacuating)
        return;
    c->evacuating = evacuating;
    spread_stir(l, now_ms);
    if (!evacuating) {
        l->grew = true;
        if (!c->suspect)
            keep_instances(l, c, now_ms);
        return;
    }
    l->counters.evacuations++;
    struct instance *in, *tmp;
    DL_FOREACH_SAFE (c->changes, in, tmp) {
        leave_cell(l, in, now_ms);
    }
}

/* --- the set --- */

/* Tombstones that the cell has heard of and holds nothing for are done. */
static void acknowledge(struct lrp *l, struct cell *c, uint64_t since) {
    c->acked = since;
    if (c->tombstones == 0)
        return;
    struct instance *in, *tmp;
    DL_FOREACH_SAFE (c->changes, in, tmp) {
        if (in->role == ROLE_NONE && !in->reported && !in->undecided &&
            (since == 0 || in->version <= since)) {
            if (since == 0)
                in->version = 0; /* it starts from an empty set: there is nothing to take back */
            instance_free(l, in);
        }
    }
}

uint64_t lrp_cell_version(const struct lrp *l, const char *cell_id) {
    const struct cell *c = cell_find(l, cell_id);
    return c ? c->version : 0;
}

/* A full set is told in pages that end above the floor, or the next page would begin it again. */
static void renumber(struct cell *c) {
    struct instance *in;
    if (!c->changes || c->changes->version > c->floor)
        return;
    DL_FOREACH (c->changes, in) {
        in->version = ++c->version;
    }
}

uint64_t lrp_cell_changes(struct lrp *l, const char *cell_id, uint64_t *since,
                          bool (*assign)(void *arg, const struct lrp_assignment *a),
                          bool (*withdraw)(void *arg, const char *instance_guid), void *arg,
                          bool *ret_more) {
    struct cell *c = cell_find(l, cell_id);
    *ret_more = false;
    if (!c || !c->reported || !l->complete)
        return 0;
    if (*since > c->version || *since < c->floor)
        *since = 0;
    acknowledge(l, c, *since);
    if (*since == 0)
        renumber(c);

    uint64_t reached = *since;
    struct instance *in = c->changes ? c->changes->prev : NULL; /* the newest */
    if (!in || in->version <= *since)
        return c->version;
    while (in != c->changes && in->prev->version > *since)
        in = in->prev;
    for (; in; in = in->next) {
        struct lrp_assignment a = {.instance_guid = in->guid,
                                   .index = in->index,
                                   .run_info = in->desired->run_info,
                                   .run_info_n = in->desired->run_info_n};
        bool taken = in->role != ROLE_NONE || in->leaving ? assign(arg, &a)
                     : *since == 0 ? true /* not in a full set is not wanted */
                                   : withdraw(arg, in->guid);
        if (!taken) {
            *ret_more = true;
            return reached;
        }
        reached = in->version;
    }
    return c->version;
}
