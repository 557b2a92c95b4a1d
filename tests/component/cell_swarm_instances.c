/* cell_swarm_instances.c - what is assigned comes up after a while, what is withdrawn goes. */
#include "tests/component/cell_swarm.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

#define STOP_MS 100

/* --- the wheel --- */

static void wheel_cancel(struct process *p, struct instance *in) {
    if (in->wheel_at >= 0)
        DL_DELETE2(p->wheel[in->wheel_at], in, wprev, wnext);
    in->wheel_at = -1;
}

static void wheel_add(struct process *p, struct instance *in, unsigned in_ms) {
    wheel_cancel(p, in);
    in->wheel_at = (int)((p->now + MIN(1 + in_ms / TICK_MS, WHEEL - 1u)) % WHEEL);
    DL_APPEND2(p->wheel[in->wheel_at], in, wprev, wnext);
}

/* --- instances --- */

static struct kind *kind_of(struct process *p, const Berth__DesiredLrp *lrp) {
    struct kind *k;
    HASH_FIND_STR(p->kinds, lrp->process_guid, k);
    if (k)
        return k;
    k = need(mem_zalloc(sizeof *k));
    snprintf(k->process_guid, sizeof k->process_guid, "%s", lrp->process_guid);
    snprintf(k->app_guid, sizeof k->app_guid, "%s", lrp->app_guid);
    k->layers = lrp->image ? lrp->image->n_layers : 0;
    k->blobs = need(mem_calloc(k->layers + 1, DIGEST));
    k->trees = need(mem_calloc(k->layers + 1, DIGEST));
    for (size_t i = 0; i < k->layers; i++) {
        hex_decode(strchrnul(lrp->image->layers[i]->digest, ':') + 1, k->blobs[i], DIGEST);
        hex_decode(strchrnul(lrp->image->layers[i]->diff_id, ':') + 1, k->trees[i], DIGEST);
    }
    HASH_ADD_STR(p->kinds, process_guid, k);
    return k;
}

void count_state(struct process *p, const struct instance *in, int by) {
    if (in->cell->silent)
        return;
    p->counts->instances += (uint64_t)by;
    p->counts->claimed += in->state == CLAIMED ? (uint64_t)by : 0;
    p->counts->running += in->state == RUNNING ? (uint64_t)by : 0;
    p->counts->running_told += in->told_running ? (uint64_t)by : 0;
}

void queue_add(struct instance *in) {
    if (in->queued)
        return;
    in->queued = true;
    DL_APPEND2(in->cell->queue, in, qprev, qnext);
}

void queue_remove(struct instance *in) {
    if (in->queued)
        DL_DELETE2(in->cell->queue, in, qprev, qnext);
    in->queued = false;
}

static void set_state(struct process *p, struct instance *in, enum state state) {
    count_state(p, in, -1);
    in->state = state;
    in->told_running = false;
    in->since_ns = clock_wall_ns();
    count_state(p, in, 1);
    queue_add(in);
    report_soon(in->cell);
}

void instance_free(struct process *p, struct instance *in) {
    count_state(p, in, -1);
    wheel_cancel(p, in);
    queue_remove(in);
    DL_DELETE(in->cell->instances, in);
    HASH_DEL(p->by_guid, in);
    for (size_t i = 0; i < in->cell->page_n; i++)
        if (in->cell->page[i] == in)
            in->cell->page[i] = NULL;
    free(in);
}

struct instance *instance_find(struct process *p, const char *guid) {
    struct instance *in;
    HASH_FIND_STR(p->by_guid, guid, in);
    return in;
}

void assign(struct cell *c, const Berth__Assignment *a) {
    struct process *p = c->home;
    struct instance *in = instance_find(p, a->instance_guid);
    if (in) {
        in->mark = c->mark;
        return;
    }
    p->counts->assigned++;
    in = need(mem_zalloc(sizeof *in));
    snprintf(in->guid, sizeof in->guid, "%s", a->instance_guid);
    in->kind = kind_of(p, a->lrp);
    in->cell = c;
    in->index = a->index;
    in->memory_mb = a->lrp->memory_mb;
    in->disk_mb = a->lrp->disk_mb;
    in->port = c->next_port++;
    if (c->next_port < FIRST_PORT)
        c->next_port = FIRST_PORT;
    in->mark = c->mark;
    in->wheel_at = -1;
    HASH_ADD_STR(p->by_guid, guid, in);
    DL_APPEND(c->instances, in);
    count_state(p, in, 1);
    set_state(p, in, CLAIMED);
    unsigned start = p->settings->start_ms;
    wheel_add(p, in, start / 2 + (unsigned)rng_below(&p->rng, start + 1));
}

void withdraw(struct cell *c, struct instance *in) {
    struct process *p = c->home;
    if (!in || in->cell != c || in->state >= STOPPING)
        return;
    p->counts->withdrawn++;
    set_state(p, in, STOPPING);
    wheel_add(p, in, STOP_MS);
}

void hold(struct digests *d, const uint8_t digest[DIGEST]) {
    for (size_t i = 0; i < d->all.n; i += DIGEST)
        if (memcmp(d->all.p + i, digest, DIGEST) == 0)
            return;
    strbuf_add(&d->all, digest, DIGEST);
    strbuf_add(&d->news, digest, DIGEST);
}

static void hold_layers(struct cell *c, const struct kind *k) {
    for (size_t i = 0; i < k->layers; i++) {
        hold(&c->blobs, k->blobs[i]);
        hold(&c->trees, k->trees[i]);
    }
}

void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct process *p = arg;
    struct instance *in, *tmp;
    p->now = (p->now + 1) % WHEEL;
    DL_FOREACH_SAFE2(p->wheel[p->now], in, tmp, wnext) {
        wheel_cancel(p, in);
        set_state(p, in, in->state == CLAIMED ? RUNNING : STOPPED);
        if (in->state == RUNNING)
            hold_layers(in->cell, in->kind);
    }
}
