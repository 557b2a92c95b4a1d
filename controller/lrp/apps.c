/* apps.c - of which apps a cell may speak: those of which it has an instance that is ours (placed
 * here, or of a process or task that is known), and for a while those of which it had one: its last
 * lines come after its end. A cell that is broken into can forge no line of another's app.
 *
 * A set a cell, open addressing, 24 bytes a slot. What is over is dropped when the set grows. */
#include <errno.h>

#include "controller/lrp/internal.h"

#define LATE_MS   300000u /* lines of an app come at most that long after its last instance's end */
#define SLOTS_MIN 16u

/* FNV-1a from a basis that nobody outside knows; never 0, which is an empty slot. */
static uint64_t hash_of(const struct lrp *l, const char *app_guid) {
    uint64_t h = l->config.rng_seed ^ 0xcbf29ce484222325u;
    for (const char *p = app_guid; *p; p++)
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    return MAX(h ^ h >> 32, (uint64_t)1);
}

/* The slot of the hash, or the free one where it belongs; cap is a power of two. */
static struct app_slot *slot_in(const struct appset *s, uint64_t hash) {
    size_t at = hash & (s->cap - 1);
    while (s->v[at].hash && s->v[at].hash != hash)
        at = (at + 1) & (s->cap - 1);
    return &s->v[at];
}

static struct app_slot *slot_find(const struct lrp *l, const struct cell *c, const char *app_guid) {
    struct app_slot *slot = c->apps.cap ? slot_in(&c->apps, hash_of(l, app_guid)) : NULL;
    return slot && slot->hash ? slot : NULL;
}

/* While a cell is silent no time runs out: its lines wait with it. */
static bool is_live(const struct cell *c, const struct app_slot *slot, uint64_t now_ms) {
    return slot->count > 0 || slot->until_ms >= (c->suspect ? c->suspect_ms : now_ms);
}

/* Makes room for one more. */
static int grow(struct cell *c, uint64_t now_ms) {
    struct appset *s = &c->apps, next = {.cap = SLOTS_MIN};
    uint32_t live = 0;
    if (s->cap && s->n + 1 <= s->cap / 4 * 3)
        return 0;
    for (uint32_t i = 0; i < s->cap; i++)
        live += s->v[i].hash && is_live(c, &s->v[i], now_ms);
    while (next.cap / 2 < live + 1)
        next.cap *= 2;
    if (!(next.v = mem_calloc(next.cap, sizeof *next.v)))
        return -ENOMEM;
    for (uint32_t i = 0; i < s->cap; i++)
        if (s->v[i].hash && is_live(c, &s->v[i], now_ms))
            *slot_in(&next, s->v[i].hash) = s->v[i];
    next.n = live;
    free(s->v);
    *s = next;
    return 0;
}

static struct app_slot *slot_get(const struct lrp *l, struct cell *c, const char *app_guid,
                                 uint64_t now_ms) {
    if (grow(c, now_ms) < 0)
        return NULL;
    uint64_t hash = hash_of(l, app_guid);
    struct app_slot *slot = slot_in(&c->apps, hash);
    if (!slot->hash) {
        *slot = (struct app_slot){.hash = hash};
        c->apps.n++;
    }
    return slot;
}

int apps_add(struct lrp *l, struct instance *in) {
    if (in->speaks)
        return 0;
    struct app_slot *slot = slot_get(l, in->cell, in->desired->app_guid, l->converged_ms);
    if (!slot)
        return -ENOMEM;
    slot->count++;
    in->speaks = true;
    return 0;
}

void apps_drop(struct lrp *l, struct instance *in) {
    struct app_slot *slot = in->speaks ? slot_find(l, in->cell, in->desired->app_guid) : NULL;
    in->speaks = false;
    if (!slot)
        return;
    slot->count--;
    slot->until_ms = l->converged_ms + LATE_MS;
}

void apps_ended(struct lrp *l, struct cell *c, const char *app_guid, uint64_t now_ms) {
    struct app_slot *slot = slot_get(l, c, app_guid, now_ms);
    if (slot)
        slot->until_ms = MAX(slot->until_ms, now_ms + LATE_MS);
}

void apps_returned(struct cell *c, uint64_t now_ms) {
    for (uint32_t i = 0; i < c->apps.cap; i++) {
        struct app_slot *slot = &c->apps.v[i];
        if (slot->hash && slot->until_ms >= c->suspect_ms)
            slot->until_ms = now_ms + LATE_MS;
    }
}

bool lrp_cell_runs_app(const struct lrp *l, const char *cell_id, const char *app_guid,
                       uint64_t now_ms) {
    const struct cell *c = cell_find(l, cell_id);
    if (!c)
        return false;
    if (!l->complete || now_ms - c->first_ms < l->config.settle_ms)
        return true;
    const struct app_slot *slot = slot_find(l, c, app_guid);
    return slot && is_live(c, slot, now_ms);
}
