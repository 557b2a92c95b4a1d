/* spread.c - spread repair: what was pushed together while cells were away is taken apart again.
 *
 * An instance moves when placement, were it asked now, would put it on a cell that is better by the
 * first two of placement's own measures: fewer instances of the process in its zone; else, with the
 * zones no worse, fewer on the cell. Load is no reason. Each move lowers the sum of the squares of
 * the zones' counts or, that being the same, of the cells' counts. So it comes to an end, and
 * nothing that placement did is undone by it.
 *
 * Only what is quiet is moved, so that cells which are emptied one after the other, and come back,
 * have done so before it begins. A move is an evacuation of one slot, but that it may fail: then it
 * never was. */
#include <errno.h>

#include "controller/lrp/internal.h"

struct move {
    struct instance *in; /* NULL: none is of use */
    struct cell *to;
    /* How many more there are where it is than where it goes, itself counted; 1: no difference. */
    int64_t zones, cells;
};

void spread_stir(struct lrp *l, uint64_t now_ms) {
    l->stirred_ms = now_ms;
    l->stirs++;
}

/* Also counts the cells that take instances. */
static bool cluster_is_quiet(struct lrp *l, uint32_t *ret_cells) {
    *ret_cells = 0;
    for (struct zone *z = l->zones; z; z = z->hh.next)
        z->takes = 0;
    for (size_t i = 0; i < l->cell_count; i++) {
        const struct cell *c = l->cells[i];
        if (c->suspect ? c->containers_used > 0 : c->evacuating)
            return false; /* what is there is still to be replaced */
        if (place_takes(c)) {
            c->zone->takes++;
            *ret_cells += 1;
        }
    }
    return true;
}

static bool process_is_quiet(const struct lrp *l, const struct process *p, uint64_t now_ms) {
    if (!p->want || p->reset || p->rolling || p->instances < 2 || p->slot_count != p->instances ||
        now_ms < p->spread_again_ms || now_ms < p->changed_ms + l->config.spread_quiet_ms)
        return false;
    for (uint32_t i = 0; i < p->slot_count; i++) {
        const struct slot *s = &p->slots[i];
        if (!s->primary || s->primary->state != LRP_RUNNING || s->old || s->place_failed)
            return false;
    }
    return true;
}

static struct move move_of(struct lrp *l, struct instance *in) {
    struct cell *from = in->cell, *to = place_again(l, in);
    if (!to)
        return (struct move){0};
    int64_t there = to->mark == l->mark ? to->mark_count : 0;
    return (struct move){
        .in = in,
        .to = to,
        .zones = from->zone == to->zone
                     ? 1
                     : (int64_t)from->zone->mark_count - place_marked(l, to->zone),
        .cells = from->mark_count - there,
    };
}

static bool is_better(const struct move *a, const struct move *b) {
    return a->in && (a->zones != b->zones ? a->zones > b->zones : a->cells > b->cells);
}

/* Of each zone one of its fullest cell, the highest index. Returns the fewest on a cell. */
static uint32_t find_fullest(struct lrp *l, struct process *p) {
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < p->slot_count; i++) {
        struct instance *in = p->slots[i].primary;
        struct zone *z = in->cell->zone;
        if (z->fullest_mark != l->mark || in->cell->mark_count >= z->fullest->cell->mark_count)
            z->fullest = in;
        z->fullest_mark = l->mark;
        least = MIN(least, in->cell->mark_count);
    }
    return least;
}

/* The move that mends most. From a zone's fullest cell: if one of its others has a better place to
 * go to, that has too. *looks grows by what was looked at. */
static struct move find_move(struct lrp *l, struct process *p, uint32_t cells, size_t *looks) {
    struct move best = {.zones = 1, .cells = 1};
    uint32_t held = place_mark(l, p), least = find_fullest(l, p), fewest = UINT32_MAX;
    bool even = true;
    if (held < cells)
        least = 0;
    for (const struct zone *z = l->zones; z; z = z->hh.next)
        if (z->takes > 0)
            fewest = MIN(fewest, place_marked(l, z));
    for (struct zone *z = l->zones; z; z = z->hh.next) {
        if (place_marked(l, z) == 0 ||
            (z->mark_count < fewest + 2ull && z->fullest->cell->mark_count < least + 2ull))
            continue;
        even = false;
        struct move m = move_of(l, z->fullest);
        *looks += PLACE_COST + l->cell_count;
        if (is_better(&m, &best))
            best = m;
    }
    if (even) /* wherever there is room */
        p->even_at = l->stirs;
    return best;
}

static const char *name_of(const struct cell *c, bool its_zone) {
    if (its_zone)
        return str_empty(c->zone->name) ? "(none)" : c->zone->name;
    return str_empty(c->name) ? c->id : c->name;
}

static void begin(struct lrp *l, const struct move *m, uint64_t now_ms) {
    struct process *p = m->in->process;
    struct slot *s = instance_slot(m->in);
    bool zones = m->zones > 1;
    char text[600];
    snprintf(text, sizeof text, "moved to spread the app's instances: %s %s had %lld more than %s",
             zones ? "zone" : "cell", name_of(m->in->cell, zones),
             (long long)(zones ? m->zones : m->cells), name_of(m->to, zones));
    instance_make_old(l, m->in, now_ms);
    if (place_on(l, p, m->in->index, m->to, now_ms) < 0) {
        instance_make_primary(l, m->in); /* no memory: later */
        return;
    }
    s->spreads = true;
    slot_count(l, p, s);
    m->to->arriving = true;
    l->moves++;
    l->counters.spread_moves++;
    lrp_instance_event(l, "spreading", m->in, text);
}

void spread_over(struct lrp *l, struct slot *s) {
    if (!s->spreads)
        return;
    s->spreads = false;
    slot_count(l, s->primary->process, s);
    s->primary->cell->arriving = false;
    l->moves--;
}

void spread_give_back(struct lrp *l, struct process *p, struct instance *old, uint64_t now_ms) {
    instance_make_primary(l, old);
    p->spread_again_ms = now_ms + SPREAD_AGAIN_MS;
    l->counters.spread_given_back++;
}

/* Returns what it cost. */
static size_t mend(struct lrp *l, struct process *p, uint32_t cells, uint64_t now_ms) {
    size_t looks = 1;
    if (p->even_at == l->stirs)
        return looks;
    looks += (size_t)p->slot_count * SPREAD_SLOT;
    if (!process_is_quiet(l, p, now_ms))
        return looks;
    struct move m = find_move(l, p, cells, &looks);
    if (m.in && m.to->arriving)
        l->spread_waits = true;
    else if (m.in)
        begin(l, &m, now_ms);
    return looks;
}

void spread_some(struct lrp *l, uint64_t now_ms) {
    uint32_t cells;
    size_t looks = 0;
    uint64_t quiet_ms = l->config.spread_quiet_ms;
    if (quiet_ms == 0 || !l->settled || now_ms < l->stirred_ms + quiet_ms ||
        now_ms < l->spread_ms || l->todo.n > 0 || !cluster_is_quiet(l, &cells))
        return;
    if (!l->spread_at) {
        l->spread_at = l->processes;
        l->spread_waits = false;
    }
    while (l->spread_at && looks < SPREAD_LOOKS && l->moves < SPREAD_MOVES(cells)) {
        struct process *p = l->spread_at;
        l->spread_at = p->hh.next;
        looks += mend(l, p, cells, now_ms);
    }
    if (!l->spread_at) /* once around */
        l->spread_ms = now_ms + (l->spread_waits ? TICK_MS : MIN(l->config.converge_ms, quiet_ms));
}
