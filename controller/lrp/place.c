/* place.c - placement: which cell gets an instance (Diego's auction).
 *
 * Among the cells that fit, in this order: not the cell that just failed it; a zone with the fewest
 * instances of the process; the lowest score, of (memory + disk + containers used) / 3, plus 0.25 a
 * starting container, plus 1000 an instance of the process, less 0.2 for having the image's layers
 * (part of them: part of it). A linear look over all cells: 250,000 times 1,000 cells is a few
 * seconds, and nothing is to be kept in order. */
#include <errno.h>

#include "controller/lrp/internal.h"

struct need {
    uint64_t memory_mb, disk_mb;
};

/* What no cell could give, for the text. */
struct misfit {
    struct need need;
    size_t evacuating, silent; /* cells that were not asked */
    size_t cells, no_memory, no_disk, no_container;
    uint64_t memory_mb, disk_mb; /* the most that is free anywhere */
    uint64_t containers;         /* of all cells */
};

#define MISFITS 16 /* sizes that failed in this batch: room only shrinks while placing */

static bool fits(const struct cell *c, const struct need *need, struct misfit *ret) {
    uint64_t memory = c->memory_mb > c->memory_used ? c->memory_mb - c->memory_used : 0;
    uint64_t disk = c->disk_mb > c->disk_used ? c->disk_mb - c->disk_used : 0;
    bool no_memory = memory < need->memory_mb, no_disk = disk < need->disk_mb;
    bool no_container = c->containers_used >= c->containers;
    ret->cells++;
    ret->no_memory += no_memory;
    ret->no_disk += no_disk;
    ret->no_container += no_container;
    ret->memory_mb = MAX(ret->memory_mb, memory);
    ret->disk_mb = MAX(ret->disk_mb, disk);
    ret->containers += c->containers;
    return !no_memory && !no_disk && !no_container;
}

static double score(const struct cell *c, const struct need *need, uint32_t same, double has) {
    double memory = (double)(c->memory_used + need->memory_mb) / (double)MAX(c->memory_mb, 1u);
    double disk = (double)(c->disk_used + need->disk_mb) / (double)MAX(c->disk_mb, 1u);
    double containers = (double)(c->containers_used + 1) / (double)MAX(c->containers, 1u);
    return (memory + disk + containers) / 3 + SCORE_STARTING * c->starting +
           SCORE_SAME_PROCESS * same - SCORE_HAS_LAYERS * has;
}

/* How much of the image is there already: 0 to 1. */
static double share(const struct lrp *l, const struct cell *c, const struct image *im) {
    return im && c->held_mark == l->held_mark ? (double)c->held_bytes / (double)im->bytes : 0;
}

uint32_t place_marked(const struct lrp *l, const struct zone *z) {
    return z->mark == l->mark ? z->mark_count : 0;
}

bool place_takes(const struct cell *c) {
    return c->present && c->reported && !c->suspect && !c->evacuating;
}

static struct cell *pick(struct lrp *l, const struct cell *avoid, const struct need *need,
                         const struct image *im, struct misfit *ret) {
    struct cell *best = NULL;
    bool best_avoided = false;
    uint32_t best_zone = 0;
    double best_score = 0;
    size_t at = l->cell_count ? rng_below(&l->rng, l->cell_count) : 0; /* ties: any of them */
    for (size_t k = 0; k < l->cell_count; k++, at = at + 1 == l->cell_count ? 0 : at + 1) {
        struct cell *c = l->cells[at];
        if (!place_takes(c)) {
            ret->silent += c->suspect;
            ret->evacuating += c->evacuating && !c->suspect;
            continue;
        }
        if (!fits(c, need, ret))
            continue;
        bool avoided = c == avoid;
        uint32_t zone = place_marked(l, c->zone);
        if (best && (avoided != best_avoided ? avoided : zone > best_zone))
            continue;
        double its = score(c, need, c->mark == l->mark ? c->mark_count : 0, share(l, c, im));
        if (!best || avoided != best_avoided || zone < best_zone || its < best_score) {
            best = c;
            best_avoided = avoided;
            best_zone = zone;
            best_score = its;
        }
    }
    return best;
}

static void no_cell_text(const struct misfit *m, char *buf, size_t n) {
    _cleanup_(strbuf_fini) struct strbuf but = {0};
    if (m->evacuating > 0)
        strbuf_printf(&but, "%zu being evacuated", m->evacuating);
    if (m->silent > 0)
        strbuf_printf(&but, "%s%zu silent", but.n ? ", " : "", m->silent);
    snprintf(buf, n, "found no compatible cell: no cell takes instances%s%s%s", but.n ? " (" : "",
             but.n ? but.p : "", but.n ? ")" : "");
}

/* Diego's words name only what every cell is short of; the numbers are ours. */
static void misfit_text(const struct misfit *m, char *buf, size_t n) {
    _cleanup_(strbuf_fini) struct strbuf names = {0}, numbers = {0};
    if (m->cells == 0) {
        no_cell_text(m, buf, n);
        return;
    }
    if (m->no_container == m->cells) {
        strbuf_puts(&names, "containers");
        strbuf_printf(&numbers, "none of %llu container places free",
                      (unsigned long long)m->containers);
    }
    if (m->no_disk == m->cells) {
        strbuf_printf(&names, "%sdisk", names.n ? ", " : "");
        strbuf_printf(&numbers, "%s%llu MB of disk needed, at most %llu MB free",
                      numbers.n ? "; " : "", (unsigned long long)m->need.disk_mb,
                      (unsigned long long)m->disk_mb);
    }
    if (m->no_memory == m->cells) {
        strbuf_printf(&names, "%smemory", names.n ? ", " : "");
        strbuf_printf(&numbers, "%s%llu MB of memory needed, at most %llu MB free",
                      numbers.n ? "; " : "", (unsigned long long)m->need.memory_mb,
                      (unsigned long long)m->memory_mb);
    }
    if (names.n)
        snprintf(buf, n, "insufficient resources: %s (%s on any one of %zu cell%s)", names.p,
                 numbers.p, m->cells, m->cells == 1 ? "" : "s");
    else
        snprintf(buf, n,
                 "insufficient resources (%llu MB of memory, %llu MB of disk and a container "
                 "needed; each of %zu cells is short of one of them)",
                 (unsigned long long)m->need.memory_mb, (unsigned long long)m->need.disk_mb,
                 m->cells);
}

/* Returns whether it is the first one of the cell. */
static bool count_mark(struct lrp *l, struct cell *c) {
    if (c->mark != l->mark) {
        c->mark = l->mark;
        c->mark_count = 0;
    }
    if (c->zone->mark != l->mark) {
        c->zone->mark = l->mark;
        c->zone->mark_count = 0;
    }
    c->zone->mark_count++;
    return c->mark_count++ == 0;
}

uint32_t place_mark(struct lrp *l, const struct process *p) {
    uint32_t cells = 0;
    l->mark++;
    for (uint32_t i = 0; i < p->slot_count; i++)
        if (p->slots[i].primary && !p->slots[i].primary->cell->evacuating) /* those will go */
            cells += count_mark(l, p->slots[i].primary->cell);
    return cells;
}

struct cell *place_again(struct lrp *l, const struct instance *in) {
    const struct desired *d = in->process->want;
    struct need need = {d->memory_mb, d->disk_mb};
    struct misfit unsaid = {0};
    image_mark_held(l, d->image, HELD_AT_ALL);
    in->cell->mark_count--;
    in->cell->zone->mark_count--;
    struct cell *c = pick(l, NULL, &need, d->image, &unsaid);
    in->cell->mark_count++;
    in->cell->zone->mark_count++;
    return c;
}

/* The numbers in brackets do not matter. */
static bool same_problem(const char *a, const char *b) {
    size_t n = strcspn(a, "(");
    return n == strcspn(b, "(") && memcmp(a, b, n) == 0;
}

static void place_failed(struct lrp *l, struct process *p, uint32_t index, const char *text,
                         uint64_t now_ms) {
    struct slot *s = &p->slots[index];
    s->place_failed = true;
    s->retry_at_ms = now_ms + PLACE_RETRY_MS;
    process_due(l, p, MIN(p->due_ms, s->retry_at_ms));
    process_wait(l, p);
    bool known = s->reason && same_problem(s->reason, text);
    slot_set_reason(s, text);
    if (known)
        return; /* said already; only the numbers may be others */
    struct lrp_actual a;
    view_slot(p, index, &a);
    lrp_event(l, s->primary ? "not-evacuated" : "place-failed", &a, text);
}

static void count_misfit(struct lrp_counters *to, const struct misfit *m) {
    bool any = m->no_memory == m->cells || m->no_disk == m->cells || m->no_container == m->cells;
    to->no_cell += m->cells == 0;
    to->no_memory += m->cells > 0 && m->no_memory == m->cells;
    to->no_disk += m->cells > 0 && m->no_disk == m->cells;
    to->no_containers += m->cells > 0 && m->no_container == m->cells;
    to->no_both += !any;
}

/* Of a cell that is being emptied: who serves does so until its replacement does, who never did
 * goes at once. */
static void make_way(struct lrp *l, struct process *p, struct instance *in, uint64_t now_ms) {
    struct slot *s = &p->slots[in->index];
    l->counters.instances_evacuated++;
    lrp_instance_event(l, "evacuating", in, "");
    if (in->state == LRP_RUNNING && !s->old)
        instance_make_old(l, in, now_ms);
    else
        instance_withdraw(l, in, now_ms);
}

int place_on(struct lrp *l, struct process *p, uint32_t index, struct cell *c, uint64_t now_ms) {
    char guid[GUID_SIZE];
    l->ops.new_guid(l->ops.data, guid);
    struct instance *in =
        instance_new(l, guid, p->want, index, c, p->want->memory_mb, p->want->disk_mb, now_ms);
    if (!in)
        return -ENOMEM;
    if (p->slots[index].primary)
        make_way(l, p, p->slots[index].primary, now_ms);
    instance_take_slot(l, in, p, ROLE_PRIMARY);
    l->counters.placed++;
    count_mark(l, c);
    lrp_instance_event(l, "placed", in, "");
    return 0;
}

/* This size was too much for every cell already. */
static const struct misfit *known_misfit(const struct misfit *failed, size_t n,
                                         const struct need *need) {
    for (size_t i = 0; i < n; i++)
        if (failed[i].need.memory_mb == need->memory_mb && failed[i].need.disk_mb == need->disk_mb)
            return &failed[i];
    return NULL;
}

/* A task has no like from which it should be kept apart. */
uint64_t place_tasks(struct lrp *l, uint64_t now_ms) {
    struct misfit failed[MISFITS];
    size_t failed_n = 0;
    uint64_t next = NEVER;
    const struct image *marked_image = NULL;
    struct task *t, *tmp;
    size_t looks = 0;
    if (!l->complete)
        return NEVER;
    l->mark++;
    DL_FOREACH_SAFE (l->waiting_tasks, t, tmp) {
        if (!task_is_due(t, now_ms)) {
            next = MIN(next, t->retry_at_ms);
            continue;
        }
        if (looks >= PLACE_LOOKS)
            return now_ms; /* the rest in the next convergence */
        struct need need = {t->desired->memory_mb, t->desired->disk_mb};
        const struct misfit *known = known_misfit(failed, failed_n, &need);
        struct misfit misfit = {.need = need};
        struct cell *c = NULL;
        if (!known) {
            if (marked_image != t->desired->image)
                image_mark_held(l, t->desired->image, HELD_AT_ALL);
            marked_image = t->desired->image;
            looks += PLACE_COST + l->cell_count;
            c = pick(l, t->avoid, &need, marked_image, &misfit);
        }
        if (c) {
            if (task_place(l, t, c, now_ms) < 0)
                next = MIN(next, now_ms + TICK_MS); /* no memory: later */
            continue;
        }
        if (!known && failed_n < MISFITS)
            failed[failed_n++] = misfit;
        char text[400];
        misfit_text(known ? known : &misfit, text, sizeof text);
        uint64_t retry_at_ms = now_ms + PLACE_RETRY_MS;
        task_not_placed(l, t, text, now_ms);
        next = MIN(next, retry_at_ms);
    }
    return next;
}

/* What is known while instances are placed one after the other. */
struct placing {
    struct misfit failed[MISFITS];
    size_t failed_n;
    const struct process *process; /* whose instances are counted on cells and zones */
    const struct image *image;     /* whose layers are counted on cells */
    bool counted;
};

static void place_one(struct lrp *l, struct placing *with, const struct item *item,
                      uint64_t now_ms) {
    struct process *p = item->process;
    struct slot *s = &p->slots[item->index];
    struct need need = {p->want->memory_mb, p->want->disk_mb};
    const struct misfit *known = known_misfit(with->failed, with->failed_n, &need);
    struct misfit misfit = {.need = need};
    struct cell *c = NULL;
    if (!known) {
        if (with->process != p)
            place_mark(l, p);
        with->process = p;
        if (!with->counted || with->image != p->want->image)
            image_mark_held(l, p->want->image, HELD_AT_ALL);
        with->image = p->want->image;
        with->counted = true;
        c = pick(l, s->avoid, &need, with->image, &misfit);
    }
    if (c) {
        if (place_on(l, p, item->index, c, now_ms) < 0)
            process_due(l, p, MIN(p->due_ms, now_ms + TICK_MS)); /* no memory: later */
        return;
    }
    if (!known && with->failed_n < MISFITS)
        with->failed[with->failed_n++] = misfit;
    char text[400] = "not evacuated: ";
    size_t skip = s->primary ? strlen(text) : 0;
    count_misfit(&l->counters, known ? known : &misfit);
    misfit_text(known ? known : &misfit, text + skip, sizeof text - skip);
    place_failed(l, p, item->index, text, now_ms);
}

void place_some(struct lrp *l, uint64_t now_ms) {
    struct placing with = {0};
    struct item item;
    for (size_t looks = 0; looks < PLACE_LOOKS && todo_take(l, &item);) {
        bool wants = process_wants_place(l, item.process, item.index, now_ms);
        looks += wants ? PLACE_COST + l->cell_count : 1;
        if (wants)
            place_one(l, &with, &item, now_ms);
    }
}
