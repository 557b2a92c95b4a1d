/* desired.c - what should run: processes and the one version of each that is wanted. */
#include <errno.h>

#include "controller/lrp/internal.h"

static void desired_destroy(struct desired *d) {
    if (!d)
        return;
    free(d->process_guid);
    free(d->process);
    free(d->app_guid);
    free(d->app_name);
    free(d->process_type);
    if (d->run_info)
        mem_wipe(d->run_info, d->run_info_n); /* environment and registry password */
    free(d->run_info);
    free(d);
}

struct desired *desired_ref(struct desired *d) {
    d->refs++;
    return d;
}

void desired_unref(struct lrp *l, struct desired *d) {
    if (!d || --d->refs > 0)
        return;
    if (d->owner)
        HASH_DEL(l->desired, d);
    image_unref(l, d->image);
    desired_destroy(d);
}

struct desired *desired_find(struct lrp *l, const char *process_guid) {
    struct desired *d;
    HASH_FIND_STR(l->desired, process_guid, d);
    return d;
}

static void desired_freep(struct desired **p) {
    desired_destroy(*p);
}

struct desired *desired_make(const struct lrp_desired *from) {
    _cleanup_(desired_freep) struct desired *d = mem_zalloc(sizeof *d);
    if (!d)
        return NULL;
    d->refs = 1;
    d->memory_mb = from->memory_mb;
    d->disk_mb = from->disk_mb;
    d->port = from->port;
    if (str_set(&d->process_guid, from->process_guid) < 0 ||
        str_set(&d->process, from->process) < 0 || str_set(&d->app_guid, from->app_guid) < 0 ||
        str_set(&d->app_name, from->app_name) < 0 ||
        str_set(&d->process_type, from->process_type) < 0)
        return NULL;
    if (from->run_info_n && !(d->run_info = mem_dup(from->run_info, from->run_info_n)))
        return NULL;
    d->run_info_n = from->run_info_n;
    return TAKE_PTR(d);
}

struct desired *desired_unknown(const char *process_guid, const char *app_guid) {
    char process[GUID_SIZE]; /* a process_guid is a process's guid, "-" and a version */
    snprintf(process, sizeof process, "%s", process_guid);
    struct desired *d = desired_make(&(struct lrp_desired){.process_guid = process_guid,
                                                           .process = process,
                                                           .app_guid = app_guid,
                                                           .app_name = "",
                                                           .process_type = "web"});
    if (d)
        d->stand_in = true;
    return d;
}

/* --- processes --- */

static struct process *process_find(struct lrp *l, const char *guid) {
    struct process *p;
    HASH_FIND_STR(l->processes, guid, p);
    return p;
}

static struct process *process_new(struct lrp *l, const char *guid) {
    struct process *p = mem_zalloc(sizeof *p);
    if (!p)
        return NULL;
    p->due_ms = NEVER;
    p->fresh = l->complete;
    p->seq = l->seq++;
    p->guid = str_dup(guid);
    if (p->guid && heap_reserve(l, HASH_COUNT(l->processes) + 1) == 0) {
        HASH_ADD_KEYPTR(hh, l->processes, p->guid, strlen(p->guid), p);
        if (HASH_ADDED(p))
            return p;
    }
    free(p->guid);
    free(p);
    return NULL;
}

int process_grow(struct process *p, uint32_t slots, uint64_t now_ms) {
    if (slots <= p->slot_count)
        return 0;
    struct slot *grown = mem_resize(p->slots, slots, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    memset(grown + p->slot_count, 0, (slots - p->slot_count) * sizeof *grown);
    for (uint32_t i = p->slot_count; i < slots; i++)
        grown[i].since_ms = now_ms;
    p->slots = grown;
    p->slot_count = slots;
    return 0;
}

/* All slots must be empty, or the whole brain is being freed. */
void process_free(struct lrp *l, struct process *p) {
    routes_unmap_all(l, p);
    if (p->waiting)
        DL_DELETE(l->waiting, p);
    heap_remove(l, p);
    if (l->spread_at == p)
        l->spread_at = p->hh.next;
    HASH_DEL(l->processes, p);
    for (uint32_t i = 0; i < p->slot_count; i++)
        free(p->slots[i].reason);
    free(p->slots);
    desired_unref(l, p->want);
    free(p->guid);
    free(p);
}

static void want(struct lrp *l, struct process *p, struct desired *d) {
    if (p->want) {
        if (p->want->owner)
            HASH_DEL(l->desired, p->want);
        p->want->owner = NULL;
        desired_unref(l, p->want);
        p->reset = true;
    }
    p->want = d;
}

/* Names and what new instances get may change under one process_guid. */
static int refresh(struct desired *d, const struct lrp_desired *from) {
    if (!str_eq(d->app_name, from->app_name) && str_set(&d->app_name, from->app_name) < 0)
        return -ENOMEM;
    d->port = from->port;
    if (d->run_info_n == from->run_info_n &&
        (!d->run_info_n || memcmp(d->run_info, from->run_info, d->run_info_n) == 0))
        return 0;
    void *copy = mem_dup(from->run_info, from->run_info_n);
    if (!copy)
        return -ENOMEM;
    if (d->run_info)
        mem_wipe(d->run_info, d->run_info_n);
    free(d->run_info);
    d->run_info = copy;
    d->run_info_n = from->run_info_n;
    return 0;
}

int lrp_desire(struct lrp *l, const struct lrp_desired *from, uint64_t now_ms, struct error *err) {
    (void)now_ms;
    if (from->instances > LRP_MAX_INSTANCES)
        return error_set(err, -ERANGE, "more than %u instances of one process", LRP_MAX_INSTANCES);
    const char *group = from->group ? from->group : from->process;
    struct process *p = process_find(l, group);
    if (!p && !(p = process_new(l, group)))
        return error_set(err, -ENOMEM, "out of memory");
    process_dirty(l, p); /* whatever fails below, the next convergence sees a whole state */

    bool renamed = p->want && !str_eq(p->want->app_name, from->app_name);
    if (p->want && str_eq(p->want->process_guid, from->process_guid)) {
        if (refresh(p->want, from) < 0)
            return error_set(err, -ENOMEM, "out of memory");
    } else {
        _cleanup_(desired_freep) struct desired *d = desired_make(from);
        if (!d)
            return error_set(err, -ENOMEM, "out of memory");
        struct image *image = NULL;
        if (image_get(l, d->run_info, d->run_info_n, &image) < 0)
            return error_set(err, -ENOMEM, "out of memory");
        HASH_ADD_KEYPTR(hh, l->desired, d->process_guid, strlen(d->process_guid), d);
        if (!HASH_ADDED(d)) {
            image_unref(l, image);
            return error_set(err, -ENOMEM, "out of memory");
        }
        d->image = image;
        d->owner = p;
        want(l, p, TAKE_PTR(d));
    }
    process_want(l, p, from->instances);
    p->rolling = from->rolling;
    if (routes_map(l, p, from->routes, from->route_count) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    if (renamed)
        routes_touch(l, p);
    return 0;
}

void lrp_undesire(struct lrp *l, const char *group, uint64_t now_ms) {
    (void)now_ms;
    struct process *p = process_find(l, group);
    if (!p || !p->want)
        return;
    routes_unmap_all(l, p);
    want(l, p, NULL);
    process_want(l, p, 0);
    process_dirty(l, p);
}

void lrp_desired_complete(struct lrp *l, uint64_t now_ms) {
    if (l->complete)
        return;
    l->complete = true;
    lrp_ask(l); /* it may settle now */
    for (size_t i = 0; i < l->cell_count; i++) {
        struct instance *in, *tmp;
        DL_FOREACH_SAFE (l->cells[i]->changes, in, tmp) {
            if (in->undecided)
                report_decide(l, in, now_ms);
        }
        tasks_missing(l, l->cells[i], now_ms);
        if (l->cells[i]->reported)
            cell_note_changed(l, l->cells[i]); /* its Watch waited for this */
    }
}

int lrp_restart_instance(struct lrp *l, const char *group, uint32_t index, uint64_t now_ms) {
    struct process *p = process_find(l, group);
    if (!p || !p->want || index >= p->instances)
        return -ENOENT;
    process_dirty(l, p);
    if (index >= p->slot_count)
        return 0; /* not even placed yet */
    struct slot *s = &p->slots[index];
    if (s->old)
        instance_withdraw(l, s->old, now_ms);
    if (s->primary)
        instance_withdraw(l, s->primary, now_ms);
    slot_unclaim(s, now_ms);
    slot_count(l, p, s);
    return 0;
}
