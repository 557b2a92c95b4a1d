#include "cell/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "common/base/str.h"

#define PAGE_BYTES 200000 /* of the 256 kB of the contract */
#define PAGE_MAX   1024

struct entry {
    Berth__ActualLrp *lrp; /* owned */
    size_t packed_n;
    bool dirty;     /* changed since it was last put into a message */
    bool in_flight; /* told by the message under way */
    bool told;      /* in this full report, or in a change after it */
    struct entry *prev, *next;
};

struct report {
    struct entry *entries; /* oldest first, so that new ones fall on the last page */
    void (*on_final)(void *data, const char *guid);
    void *data;
    uint64_t number;
    bool full;      /* a full report is being told, page by page */
    bool first;     /* its first page is still to come */
    bool under_way; /* a message awaits its answer */
    bool touched;
    bool evacuating, evacuation_known;
    Berth__Report message;
    Berth__Capacity free;
    Berth__ActualLrp *page[PAGE_MAX];
};

int report_new(struct report **ret, void (*on_final_acknowledged)(void *data, const char *guid),
               void *data, struct error *err) {
    struct report *r = mem_zalloc(sizeof *r);
    if (!r)
        return error_set(err, -ENOMEM, "out of memory");
    r->on_final = on_final_acknowledged;
    r->data = data;
    *ret = r;
    return 0;
}

static void entry_free(struct entry *e) {
    if (e->lrp)
        berth__actual_lrp__free_unpacked(e->lrp, NULL);
    free(e);
}

void report_free(struct report *r) {
    if (!r)
        return;
    struct entry *e, *tmp;
    DL_FOREACH_SAFE (r->entries, e, tmp)
        entry_free(e);
    free(r);
}

static struct entry *find(struct report *r, const char *guid) {
    struct entry *e;
    DL_FOREACH (r->entries, e)
        if (str_eq(e->lrp->instance_guid, guid))
            return e;
    return NULL;
}

static bool is_final(const Berth__ActualLrp *lrp) {
    return lrp->state == BERTH__INSTANCE_STATE__INSTANCE_CRASHED ||
           lrp->state == BERTH__INSTANCE_STATE__INSTANCE_STOPPED;
}

/* The only copy that protobuf-c offers. *ret_same: `old` says the same already. */
static Berth__ActualLrp *copy(const Berth__ActualLrp *lrp, const Berth__ActualLrp *old,
                              size_t *ret_n, bool *ret_same) {
    size_t n = berth__actual_lrp__get_packed_size(lrp);
    _cleanup_(freep) uint8_t *bytes = malloc(n ? n : 1);
    *ret_same = false;
    if (!bytes)
        return NULL;
    berth__actual_lrp__pack(lrp, bytes);
    if (old && berth__actual_lrp__get_packed_size(old) == n) {
        _cleanup_(freep) uint8_t *was = malloc(n ? n : 1);
        if (!was)
            return NULL;
        berth__actual_lrp__pack(old, was);
        *ret_same = memcmp(was, bytes, n) == 0;
    }
    *ret_n = n;
    return *ret_same ? NULL : berth__actual_lrp__unpack(NULL, n, bytes);
}

int report_put(struct report *r, const Berth__ActualLrp *lrp, struct error *err) {
    struct entry *e = find(r, lrp->instance_guid);
    size_t n = 0;
    bool same;
    Berth__ActualLrp *fresh = copy(lrp, e ? e->lrp : NULL, &n, &same);
    if (same)
        return 0;
    if (fresh && !e) {
        e = mem_zalloc(sizeof *e);
        if (e)
            DL_APPEND(r->entries, e);
    }
    if (!fresh || !e) {
        if (fresh)
            berth__actual_lrp__free_unpacked(fresh, NULL);
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (e->lrp)
        berth__actual_lrp__free_unpacked(e->lrp, NULL);
    e->lrp = fresh;
    e->packed_n = n;
    e->dirty = true;
    return 0;
}

static void forget(struct report *r, struct entry *e) {
    DL_DELETE(r->entries, e);
    entry_free(e);
}

void report_remove(struct report *r, const char *guid) {
    struct entry *e = find(r, guid);
    if (e)
        forget(r, e);
}

void report_restart(struct report *r) {
    struct entry *e;
    DL_FOREACH (r->entries, e)
        e->in_flight = e->told = false;
    r->full = r->first = true;
    r->under_way = false;
}

void report_touch(struct report *r) {
    r->touched = true;
}

void report_evacuating(struct report *r) {
    r->evacuating = r->touched = true;
}

bool report_evacuation_is_known(const struct report *r) {
    return r->evacuation_known;
}

Berth__Report *report_next(struct report *r, const Berth__Capacity *free) {
    struct entry *e;
    size_t n = 0, bytes = 0;
    bool more = false;
    if (r->under_way)
        return NULL;
    DL_FOREACH (r->entries, e) {
        if (r->full ? e->told && !e->dirty : !e->dirty)
            continue;
        if (n == PAGE_MAX || (n && bytes + e->packed_n > PAGE_BYTES)) {
            more = true;
            break;
        }
        bytes += e->packed_n + 8;
        r->page[n++] = e->lrp;
        e->dirty = false;
        e->in_flight = e->told = true;
    }
    if (!n && !r->full && !r->touched)
        return NULL;
    berth__report__init(&r->message);
    r->free = *free;
    r->message.number = ++r->number;
    r->message.full = r->full && r->first;
    r->message.more = r->full && more;
    r->message.instances = r->page;
    r->message.n_instances = n;
    r->message.free = &r->free;
    r->message.evacuating = r->evacuating;
    r->first = false;
    r->under_way = true;
    r->touched = false;
    if (!more)
        r->full = false;
    return &r->message;
}

bool report_acknowledged(struct report *r, const Berth__ReportAck *ack) {
    struct entry *e, *tmp;
    bool taken = r->under_way && ack->number >= r->number;
    r->under_way = false;
    r->evacuation_known |= taken && r->message.evacuating;
    DL_FOREACH_SAFE (r->entries, e, tmp) {
        bool done = taken && e->in_flight && !e->dirty && is_final(e->lrp);
        e->dirty |= e->in_flight && !taken;
        e->in_flight = false;
        if (!done)
            continue;
        r->on_final(r->data, e->lrp->instance_guid);
        forget(r, e);
    }
    if (ack->want_full)
        report_restart(r);
    return taken;
}
