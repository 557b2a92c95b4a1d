/* cell_swarm_cells.c - a simulated cell: what it reports, what it watches, how it comes and goes.
 */
#include "tests/component/cell_swarm.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

#define PAGE_MAX       1024   /* as cell/report.c */
#define PAGE_BYTES     200000 /* as cell/report.c */
#define LRP_BYTES      220    /* packed, as these are, with room to spare */
#define CONTAINER_PORT 8080
#define BLOBS_PORT     7500 /* where others would fetch layers */

/* --- a cell's report --- */

static void report_restart(struct cell *c) {
    struct instance *in;
    c->full = c->first = true;
    c->under_way = false;
    c->page_n = 0;
    DL_FOREACH (c->instances, in) {
        queue_add(in);
    }
}

static Berth__InstanceState state_of(enum state state) {
    return state == CLAIMED    ? BERTH__INSTANCE_STATE__INSTANCE_CLAIMED
           : state == RUNNING  ? BERTH__INSTANCE_STATE__INSTANCE_RUNNING
           : state == STOPPING ? BERTH__INSTANCE_STATE__INSTANCE_STOPPING
                               : BERTH__INSTANCE_STATE__INSTANCE_STOPPED;
}

struct item {
    Berth__ActualLrp lrp;
    Berth__PortMapping port, *ports[1];
    Berth__InstanceStats stats;
};

static Berth__ActualLrp *describe(struct instance *in, struct item *to) {
    berth__actual_lrp__init(&to->lrp);
    to->lrp.instance_guid = in->guid;
    to->lrp.process_guid = in->kind->process_guid;
    to->lrp.app_guid = in->kind->app_guid;
    to->lrp.index = in->index;
    to->lrp.state = state_of(in->state);
    to->lrp.since_wall_ns = in->since_ns;
    to->lrp.memory_mb = in->memory_mb;
    to->lrp.disk_mb = in->disk_mb;
    if (in->state == CLAIMED)
        to->lrp.detail = (char *)"starting";
    if (in->state != RUNNING && in->state != STOPPING)
        return &to->lrp;
    to->lrp.address = in->cell->address;
    berth__port_mapping__init(&to->port);
    to->port.container_port = CONTAINER_PORT;
    to->port.host_port = in->port;
    to->ports[0] = &to->port;
    to->lrp.ports = to->ports;
    to->lrp.n_ports = 1;
    berth__instance_stats__init(&to->stats);
    to->stats.cpu = (double)rng_below(&in->cell->home->rng, 1000) / 1e4;
    to->stats.memory_bytes = in->memory_mb * 700000ull + rng_below(&in->cell->home->rng, 100000);
    to->stats.disk_bytes = 123456;
    to->lrp.stats = &to->stats;
    return &to->lrp;
}

static ProtobufCBinaryData bytes_of(const struct strbuf *b) {
    return (ProtobufCBinaryData){b->n, (uint8_t *)b->p};
}

/* Returns whether there is something to say of layers, or to ask. */
static bool add_layers(struct cell *c, Berth__Report *report, Berth__Holdings *holdings,
                       Berth__Keep *keep) {
    static uint8_t nonce[16];
    bool all = !c->all_held_told;
    if (c->keep_wanted != c->keep_version) {
        report->keep = keep;
        keep->version = c->keep_wanted;
        keep->from = c->keep_known;
    }
    if (!all && !c->blobs.news.n && !c->trees.news.n)
        return report->keep != NULL;
    report->holdings = holdings;
    holdings->full = all;
    holdings->blobs = bytes_of(all ? &c->blobs.all : &c->blobs.news);
    holdings->trees = bytes_of(all ? &c->trees.all : &c->trees.news);
    holdings->address = c->address;
    holdings->port = BLOBS_PORT;
    holdings->nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    holdings->clock_ms = clock_mono_ms();
    return true;
}

static void layers_told(struct cell *c) {
    c->all_held_told = true;
    strbuf_clear(&c->blobs.news);
    strbuf_clear(&c->trees.news);
}

static void hear_keep(struct cell *c, const Berth__Keep *keep) {
    c->keep_known = keep->from;
    for (size_t i = 0; i + DIGEST <= keep->blobs.len; i += DIGEST, c->keep_known++)
        hold(&c->blobs, keep->blobs.data + i);
    c->keep_wanted = keep->version;
    if (keep->more)
        return;
    c->keep_version = keep->version;
    c->keep_known = 0;
}

static void send_report(struct cell *c) {
    static struct item items[PAGE_MAX];
    static Berth__ActualLrp *lrps[PAGE_MAX];
    Berth__Report report = BERTH__REPORT__INIT;
    Berth__Capacity left = BERTH__CAPACITY__INIT;
    Berth__Holdings holdings = BERTH__HOLDINGS__INIT;
    Berth__Keep keep = BERTH__KEEP__INIT;
    holdings.by_id = true;
    if (!c->report_open || c->under_way)
        return;
    if (!add_layers(c, &report, &holdings, &keep) && !c->queue && !c->full)
        return;
    size_t n = 0;
    while (c->queue && n < MIN(PAGE_MAX, PAGE_BYTES / LRP_BYTES)) {
        struct instance *in = c->queue;
        queue_remove(in);
        in->in_flight = true;
        lrps[n] = describe(in, &items[n]);
        c->page[n++] = in;
    }
    c->page_n = n;
    report.number = ++c->report_number;
    report.full = c->full && c->first;
    report.more = c->full && c->queue;
    report.instances = lrps;
    report.n_instances = n;
    report.free = &left;
    c->first = false;
    c->home->counts->full_reports += report.full;
    c->home->counts->reports++;
    if (!c->queue)
        c->full = false;
    c->under_way =
        bus_conversation_request(c->report, &report.base, BUS_REPORT_TIMEOUT_MS, NULL) == 0;
    if (c->under_way)
        layers_told(c);
}

static void on_report_open(void *data, const Berth__HelloAck *ack) {
    (void)ack;
    struct cell *c = data;
    c->report_open = true;
    c->home->counts->sessions++;
    c->home->counts->cells_open += c->watch_open;
    c->all_held_told = false;
    report_restart(c);
    send_report(c);
}

static void on_report_reply(void *data, const ProtobufCMessage *msg) {
    struct cell *c = data;
    struct process *p = c->home;
    const Berth__ReportAck *ack = (const Berth__ReportAck *)msg;
    c->under_way = false;
    for (size_t i = 0; i < c->page_n; i++) {
        struct instance *in = c->page[i];
        if (!in)
            continue;
        in->in_flight = false;
        if (in->queued)
            continue; /* it changed meanwhile */
        if (in->state == STOPPED) {
            p->counts->ended++;
            instance_free(p, in);
        } else if (in->state == RUNNING && !in->told_running) {
            in->told_running = true;
            p->counts->running_told++;
        }
    }
    c->page_n = 0;
    if (ack->keep)
        hear_keep(c, ack->keep);
    if (ack->want_full)
        report_restart(c);
    send_report(c);
}

static void went_down(struct cell *c) {
    c->home->counts->cells_open -= c->watch_open && c->report_open;
    c->home->counts->breaks++;
}

static void on_report_down(void *data, const char *why) {
    (void)why;
    struct cell *c = data;
    went_down(c);
    c->report_open = c->under_way = false;
    c->page_n = 0; /* the full report that follows names all of them */
}

void report_soon(struct cell *c) {
    static const struct timeval at_once = {0, 0};
    if (!c->silent && !event_pending(c->send_later, EV_TIMEOUT, NULL))
        event_add(c->send_later, &at_once);
}

static void on_send_later(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    send_report(arg);
}

static void on_stats(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct cell *c = arg;
    struct instance *in;
    DL_FOREACH (c->instances, in) {
        if (in->state == RUNNING)
            queue_add(in);
    }
    report_soon(c);
}

/* --- a cell's watch --- */

static void send_watch(struct cell *c) {
    Berth__Watch watch = BERTH__WATCH__INIT;
    watch.epoch = (ProtobufCBinaryData){c->epoch_n, c->epoch};
    watch.version = c->version;
    bus_conversation_request(c->watch, &watch.base, BUS_WATCH_WAIT_MS + BUS_REPLY_SLACK_MS, NULL);
}

static void on_watch_open(void *data, const Berth__HelloAck *ack) {
    (void)ack;
    struct cell *c = data;
    c->watch_open = true;
    c->home->counts->sessions++;
    c->home->counts->cells_open += c->report_open;
    send_watch(c);
}

static void end_full_set(struct cell *c) {
    struct instance *in, *tmp;
    c->in_full = false;
    DL_FOREACH_SAFE (c->instances, in, tmp) {
        if (in->mark != c->mark)
            withdraw(c, in);
    }
}

static void on_watch_reply(void *data, const ProtobufCMessage *msg) {
    struct cell *c = data;
    const Berth__WatchReply *r = (const Berth__WatchReply *)msg;
    if (r->from == 0 && r->to != 0) {
        c->in_full = true;
        c->mark++;
    }
    for (size_t i = 0; i < r->n_assignments; i++)
        assign(c, r->assignments[i]);
    for (size_t i = 0; i < r->n_withdrawn; i++)
        withdraw(c, instance_find(c->home, r->withdrawn[i]));
    if (r->to != 0) {
        c->version = r->to;
        c->epoch_n = MIN(r->epoch.len, sizeof c->epoch);
        memcpy(c->epoch, r->epoch.data, c->epoch_n);
    }
    if (c->in_full && r->to != 0 && !r->more)
        end_full_set(c);
    if (r->keep_version && r->keep_version != c->keep_wanted) {
        c->keep_wanted = r->keep_version;
        c->keep_known = 0;
        report_soon(c);
    }
    send_watch(c);
}

static void on_watch_down(void *data, const char *why) {
    (void)why;
    struct cell *c = data;
    went_down(c);
    c->watch_open = false;
    if (c->in_full) { /* half a set is worth nothing: all of it again */
        c->in_full = false;
        c->version = 0;
    }
}

/* --- cells come and go --- */

static void cell_speak(struct cell *c) {
    struct process *p = c->home;
    Berth__Hello hello = BERTH__HELLO__INIT;
    Berth__Capacity capacity = BERTH__CAPACITY__INIT;
    capacity.memory_mb = p->settings->memory_mb;
    capacity.disk_mb = p->settings->memory_mb * 4ull;
    capacity.containers = p->settings->containers;
    hello.kind = BERTH__NODE_KIND__NODE_CELL;
    hello.name = c->name;
    hello.version = (char *)"swarm";
    hello.zone = c->zone;
    hello.address = c->address;
    hello.capacity = &capacity;
    c->silent = false;
    c->watch =
        talk(p, &c->identity, &hello, BERTH__CONVERSATION__CONVERSATION_WATCH,
             (struct bus_conversation_ops){on_watch_open, on_watch_reply, on_watch_down, NULL}, c);
    c->report = talk(
        p, &c->identity, &hello, BERTH__CONVERSATION__CONVERSATION_REPORT,
        (struct bus_conversation_ops){on_report_open, on_report_reply, on_report_down, NULL}, c);
    c->logs = talk_of_nothing(p, &c->identity, &hello);
}

void cell_die(struct cell *c) {
    struct instance *in;
    if (c->silent)
        return;
    c->home->counts->cells_open -= c->watch_open && c->report_open;
    bus_conversation_free(c->watch);
    bus_conversation_free(c->report);
    bus_conversation_free(c->logs);
    c->watch = c->report = c->logs = NULL;
    c->watch_open = c->report_open = c->under_way = false;
    c->page_n = 0;
    DL_FOREACH (c->instances, in) {
        count_state(c->home, in, -1);
    }
    c->silent = true;
}

void cell_return(struct cell *c, bool empty) {
    struct instance *in, *tmp;
    if (!c->silent)
        return;
    c->silent = false;
    DL_FOREACH_SAFE (c->instances, in, tmp) {
        count_state(c->home, in, 1);
        if (empty)
            instance_free(c->home, in);
    }
    if (empty)
        c->version = c->epoch_n = 0;
    cell_speak(c);
}

void cell_init(struct process *p, struct cell *c, unsigned number) {
    c->home = p;
    c->number = number;
    c->next_port = FIRST_PORT;
    c->page = need(mem_calloc(PAGE_MAX, sizeof *c->page));
    snprintf(c->name, sizeof c->name, "cell-%u", number);
    snprintf(c->zone, sizeof c->zone, "z%u", number % p->settings->zones);
    snprintf(c->address, sizeof c->address, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255,
             number & 255);
    identify(p->settings, CELL_KIND, number, &c->identity);
    c->send_later = need(evtimer_new(p->loop, on_send_later, c));
    c->stats = need(event_new(p->loop, -1, EV_PERSIST, on_stats, c));
    unsigned every = p->settings->stats_ms;
    if (every) { /* not all in the same moment */
        unsigned ms = every * 9 / 10 + (unsigned)rng_below(&p->rng, every / 5 + 1);
        const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
        event_add(c->stats, &tv);
    }
    cell_speak(c);
}
