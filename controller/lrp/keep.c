/* keep.c - every image that is wanted is kept by two cells: they hold its layers ready for others.
 *
 * A keeper stays one while it is heard; what it lacks it fetches. Only a lost one, one that is
 * being evacuated, or one that gets nowhere, is replaced, so that nothing flaps. Who has most of it
 * is chosen first, and for the second another zone before that. While no cell has all of it, the
 * first pull is still on its way: it is waited for, so that the registry is asked once. */
#include <errno.h>

#include "controller/lrp/internal.h"

#define KEEP_EVERY_MS    1000u
#define KEEP_A_PASS      500u    /* images looked at a time: some milliseconds */
#define KEEP_PATIENCE_MS 60000u  /* for a first cell that has all of it */
#define KEEP_LATE_MS     300000u /* without one more layer: another one may try */

static bool may_keep(const struct cell *c) {
    return c->present && c->reported && !c->suspect && !c->evacuating && c->gives;
}

static void set_keeper(struct image *im, struct keeper *k, struct cell *c, uint64_t now_ms) {
    if (k->cell) {
        k->cell->kept_bytes -= im->bytes;
        k->cell->keep_changed = true;
    }
    *k = (struct keeper){.cell = c, .since_ms = now_ms};
    if (c) {
        c->kept_bytes += im->bytes;
        c->keep_changed = true;
    }
}

void keep_forget_image(struct lrp *l, struct image *im) {
    for (size_t k = 0; k < KEEPERS; k++)
        set_keeper(im, &im->keepers[k], NULL, 0);
    if (l->keep_at == im)
        l->keep_at = im->hh.next;
}

void keep_forget_cell(struct lrp *l, struct cell *c) {
    for (struct image *im = l->images; im; im = im->hh.next) {
        im->late = im->late == c ? NULL : im->late;
        for (size_t k = 0; k < KEEPERS; k++)
            if (im->keepers[k].cell == c)
                set_keeper(im, &im->keepers[k], NULL, 0);
    }
}

/* The best cell beside `other`; NULL when there is none, or nobody has all of it yet. */
static struct cell *choose(struct lrp *l, const struct image *im, const struct cell *other,
                           bool patient) {
    struct cell *best = NULL;
    bool whole = other && image_bytes_at(im, other) == im->bytes;
    uint64_t best_held = 0;
    size_t at = l->cell_count ? rng_below(&l->rng, l->cell_count) : 0; /* ties: any of them */
    image_mark_held(l, im, HELD_TO_GIVE);
    for (size_t k = 0; k < l->cell_count; k++, at = at + 1 == l->cell_count ? 0 : at + 1) {
        struct cell *c = l->cells[at];
        if (!may_keep(c) || c == other)
            continue;
        uint64_t held = c->held_mark == l->held_mark ? c->held_bytes : 0;
        whole |= held == im->bytes;
        if (c == im->late)
            continue;
        bool apart = other && c->zone != other->zone;
        bool best_apart = best && other && best->zone != other->zone;
        if (!best || (apart != best_apart ? apart
                      : held != best_held ? held > best_held
                                          : c->kept_bytes < best->kept_bytes)) {
            best = c;
            best_held = held;
        }
    }
    return whole || !patient ? best : NULL;
}

/* False: it got nothing more of it for long. */
static bool gets_on(const struct image *im, struct keeper *k, uint64_t now_ms) {
    uint64_t held = image_bytes_at(im, k->cell);
    if (held != k->held || held == im->bytes)
        k->since_ms = now_ms;
    k->held = held;
    return now_ms - k->since_ms < KEEP_LATE_MS;
}

static void keep_image(struct lrp *l, struct image *im, uint64_t now_ms) {
    im->seen_ms = im->seen_ms ? im->seen_ms : now_ms;
    for (size_t i = 0; i < KEEPERS; i++) {
        struct keeper *k = &im->keepers[i];
        if (k->cell && !may_keep(k->cell))
            set_keeper(im, k, NULL, now_ms);
        if (k->cell && !gets_on(im, k, now_ms)) {
            im->late = k->cell;
            set_keeper(im, k, NULL, now_ms);
        }
    }
    bool patient = now_ms - im->seen_ms < KEEP_PATIENCE_MS;
    for (size_t i = 0; i < KEEPERS; i++) {
        struct keeper *k = &im->keepers[i];
        if (k->cell)
            continue;
        struct cell *c = choose(l, im, im->keepers[i ^ 1].cell, patient);
        if (!c && im->late && may_keep(im->late) && im->keepers[i ^ 1].cell != im->late)
            c = im->late; /* better than nobody */
        if (c)
            set_keeper(im, k, c, now_ms);
    }
}

/* --- what cells are told --- */

/* The version is a hash of the list itself, in its order: the same list has the same version, also
 * after a restart. FNV-1a; 0 is no version. */
static void renew_versions(struct lrp *l) {
    bool any = false;
    for (size_t i = 0; i < l->cell_count; i++) {
        struct cell *c = l->cells[i];
        any |= c->keep_changed |= c->keep_version == 0;
        if (c->keep_changed)
            c->keep_next = 0xcbf29ce484222325u;
    }
    if (!any)
        return;
    for (const struct image *im = l->images; im; im = im->hh.next)
        for (size_t k = 0; k < KEEPERS; k++) {
            struct cell *c = im->keepers[k].cell;
            const uint8_t *key = (const uint8_t *)&im->key;
            for (size_t i = 0; c && c->keep_changed && i < sizeof im->key; i++)
                c->keep_next = (c->keep_next ^ key[i]) * 0x100000001b3u;
        }
    for (size_t i = 0; i < l->cell_count; i++) {
        struct cell *c = l->cells[i];
        if (!c->keep_changed)
            continue;
        c->keep_changed = false;
        c->keep_next = MAX(c->keep_next, 1u);
        if (c->keep_next == c->keep_version)
            continue;
        c->keep_version = c->keep_next;
        c->version++; /* an answer to its Watch that only tells of this */
        cell_note_changed(l, c);
    }
}

void keep_pass(struct lrp *l, uint64_t now_ms) {
    if (!l->settled || now_ms < l->keep_ms)
        return;
    l->keep_ms = now_ms + KEEP_EVERY_MS;
    for (unsigned n = 0; n < KEEP_A_PASS; n++) {
        if (!l->keep_at && (n > 0 || !(l->keep_at = l->images)))
            break; /* once around is enough */
        keep_image(l, l->keep_at, now_ms);
        l->keep_at = l->keep_at->hh.next;
    }
    renew_versions(l);
}

uint64_t lrp_keep_version(const struct lrp *l, const char *cell_id) {
    const struct cell *c = cell_find(l, cell_id);
    return c ? c->keep_version : 0;
}

bool lrp_keep_list(const struct lrp *l, const char *cell_id, uint32_t from,
                   bool (*each)(void *arg, const struct lrp_kept *kept), void *arg) {
    const struct cell *c = cell_find(l, cell_id);
    uint32_t at = 0;
    for (const struct image *im = l->images; c && im; im = im->hh.next) {
        if (im->keepers[0].cell != c && im->keepers[1].cell != c)
            continue;
        for (size_t i = 0; i < im->layer_count; i++) {
            const struct lrp_kept kept = {im->layers[i].digest, im->key.repository.v,
                                          im->layers[i].size};
            if (at++ >= from && !each(arg, &kept))
                return true;
        }
    }
    return false;
}

/* --- looking --- */

int lrp_image_copies(const struct lrp *l, const char *group) {
    const struct process *p;
    int copies = 0;
    HASH_FIND_STR(l->processes, group, p);
    const struct image *im = p && p->want ? p->want->image : NULL;
    if (!im)
        return -ENOENT;
    for (size_t i = 0; i < l->cell_count; i++) {
        const struct cell *c = l->cells[i];
        copies += c->present && !c->suspect && c->gives && image_bytes_at(im, c) == im->bytes;
    }
    return copies;
}

void lrp_image_totals(const struct lrp *l, struct lrp_image_totals *ret) {
    *ret = (struct lrp_image_totals){0};
    for (const struct image *im = l->images; im; im = im->hh.next) {
        unsigned whole = 0;
        for (size_t k = 0; k < KEEPERS; k++) {
            const struct cell *c = im->keepers[k].cell;
            whole += c && may_keep(c) && image_bytes_at(im, c) == im->bytes;
        }
        ret->images++;
        ret->scarce += whole < KEEPERS;
    }
}
