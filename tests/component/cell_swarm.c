/* cell_swarm.c - many simulated cells and a few routers, for a real controller on the real bus:
 *
 *     cell_swarm CONTROL_URL LOGS_URL MASTER_KEY_FILE CELLS ZONES ROUTERS MEMORY_MB CONTAINERS
 *                START_MS STATS_MS
 *
 * A simulated cell has its own key and the three conversations of a real one. It takes assignments,
 * reports each CLAIMED at once and RUNNING START_MS +- half later (all start side by side), tells
 * new statistics of all every STATS_MS, stops what is withdrawn, sends full reports when asked and
 * pages as a real one does; it says that it holds the layers of what ran there and of what it is to
 * keep. Left out: containers, layers' bytes and who asks for them, and log lines (the Logs
 * conversation is open and idle). Cells are spread over processes, because nanomsg has at most 512
 * sockets in one; routers live in the first.
 *
 * Commands on stdin, a line each; each is answered by a line on stdout when it is done:
 *     stats                   JSON: sums over all processes
 *     die FIRST COUNT         these cells fall silent; what runs there runs on
 *     return FIRST COUNT      and speak again, with all that ran there
 *     reboot FIRST COUNT      and speak again, with nothing
 *     dump FILE               writes FILE.0 ...: a line "CELL ZONE PROCESS INDEX GUID STATE MEMORY"
 *                             for each instance of a cell that speaks
 * Ends with its standard input. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/fs.h"
#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/hub.h"

#define CELLS_A_PROCESS 160 /* three sockets each, and a few routers' */
#define PROCESSES_MAX   32
#define PAGE_MAX        1024   /* as cell/report.c */
#define PAGE_BYTES      200000 /* as cell/report.c */
#define LRP_BYTES       220    /* packed, as these are, with room to spare */
#define TICK_MS         20
#define WHEEL           1024 /* ticks: what is due further on waits at its end */
#define STOP_MS         100
#define CELL_KIND       0xce /* first byte of a node's id: controller/nodes/nodes.h */
#define ROUTER_KIND     0x40
#define FIRST_PORT      40000
#define CONTAINER_PORT  8080
#define BLOBS_PORT      7500 /* where others would fetch layers */
#define DIGEST          32   /* sha256 */

struct settings {
    const char *control_url, *logs_url;
    uint8_t master[BUS_KEY_SIZE];
    uint8_t gen;
    unsigned cells, zones, routers, memory_mb, containers, start_ms, stats_ms, processes;
};

/* What a process counts, in memory that the parent reads. */
struct counts {
    uint64_t cells_open; /* watch and report stand */
    uint64_t instances, claimed, running;
    uint64_t running_told;               /* RUNNING, and the controller acknowledged it */
    uint64_t assigned, withdrawn, ended; /* so far */
    uint64_t full_reports, reports, sessions, breaks;
    uint64_t routers_open, routes, endpoints, route_pages;
};

enum state { CLAIMED, RUNNING, STOPPING, STOPPED };

/* One version of a process: its texts and its layers' digests are kept once. */
struct kind {
    char process_guid[80], app_guid[40];
    size_t layers;
    uint8_t (*blobs)[DIGEST], (*trees)[DIGEST];
    UT_hash_handle hh;
};

/* Digests, DIGEST bytes each. */
struct digests {
    struct strbuf all, news; /* news: not told yet */
};

struct instance {
    char guid[40];
    struct kind *kind;
    struct cell *cell;
    uint32_t index, memory_mb, disk_mb;
    uint16_t port;
    enum state state;
    bool queued, in_flight, told_running;
    uint64_t since_ns, mark;
    struct instance *prev, *next;   /* cell.instances */
    struct instance *qprev, *qnext; /* cell.queue: to be reported */
    struct instance *wprev, *wnext; /* a slot of the wheel: what happens to it next */
    int wheel_at;                   /* -1: nothing */
    UT_hash_handle hh;
};

struct cell {
    struct process *home;
    unsigned number;
    struct bus_identity identity;
    char name[16], zone[16], address[16];
    bool silent;
    struct bus_conversation *watch, *report, *logs;
    bool watch_open, report_open;
    struct event *send_later, *stats;
    uint8_t epoch[BUS_EPOCH_SIZE];
    size_t epoch_n;
    uint64_t version, mark;
    bool in_full;
    struct instance *instances, *queue;
    uint64_t report_number;
    bool full, first, under_way;
    struct instance **page;
    size_t page_n;
    uint16_t next_port;
    struct digests blobs, trees;
    bool all_held_told; /* since the conversation opened */
    uint64_t keep_wanted, keep_version;
    uint32_t keep_known;
};

struct route_entry {
    char key[320];
    size_t endpoints;
    uint64_t mark;
    UT_hash_handle hh;
};

struct router {
    struct process *home;
    struct bus_identity identity;
    char name[16];
    struct bus_conversation *watch, *logs;
    uint8_t epoch[BUS_EPOCH_SIZE];
    size_t epoch_n;
    uint64_t version, mark;
    bool in_full, counted; /* the first one's table is what is counted */
    struct route_entry *table;
};

/* One process of the swarm. */
struct process {
    const struct settings *settings;
    struct counts *counts;
    struct event_base *loop;
    struct rng rng;
    struct cell *cells;
    unsigned first, cell_count;
    struct router *routers;
    struct instance *by_guid;
    struct kind *kinds;
    struct instance *wheel[WHEEL];
    unsigned now;
    int commands, answers;
    struct strbuf input;
};

static void *need(void *p) {
    if (!p) {
        fprintf(stderr, "cell_swarm: out of memory\n");
        _exit(1);
    }
    return p;
}

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

/* What runs on a cell that does not speak is seen by nobody, and not counted. */
static void count_state(struct process *p, const struct instance *in, int by) {
    if (in->cell->silent)
        return;
    p->counts->instances += (uint64_t)by;
    p->counts->claimed += in->state == CLAIMED ? (uint64_t)by : 0;
    p->counts->running += in->state == RUNNING ? (uint64_t)by : 0;
    p->counts->running_told += in->told_running ? (uint64_t)by : 0;
}

static void queue_add(struct instance *in) {
    if (in->queued)
        return;
    in->queued = true;
    DL_APPEND2(in->cell->queue, in, qprev, qnext);
}

static void queue_remove(struct instance *in) {
    if (in->queued)
        DL_DELETE2(in->cell->queue, in, qprev, qnext);
    in->queued = false;
}

static void report_soon(struct cell *c) {
    static const struct timeval at_once = {0, 0};
    if (!c->silent && !event_pending(c->send_later, EV_TIMEOUT, NULL))
        event_add(c->send_later, &at_once);
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

static void instance_free(struct process *p, struct instance *in) {
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

static struct instance *find(struct process *p, const char *guid) {
    struct instance *in;
    HASH_FIND_STR(p->by_guid, guid, in);
    return in;
}

static void assign(struct cell *c, const Berth__Assignment *a) {
    struct process *p = c->home;
    struct instance *in = find(p, a->instance_guid);
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

static void withdraw(struct cell *c, struct instance *in) {
    struct process *p = c->home;
    if (!in || in->cell != c || in->state >= STOPPING)
        return;
    p->counts->withdrawn++;
    set_state(p, in, STOPPING);
    wheel_add(p, in, STOP_MS);
}

static void hold(struct digests *d, const uint8_t digest[DIGEST]) {
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

static void on_tick(evutil_socket_t fd, short what, void *arg) {
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
        withdraw(c, find(c->home, r->withdrawn[i]));
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

static void on_logs_open(void *data, const Berth__HelloAck *ack) {
    (void)data, (void)ack;
}

static void on_logs_reply(void *data, const ProtobufCMessage *msg) {
    (void)data, (void)msg;
}

static struct bus_conversation *talk(struct process *p, const struct bus_identity *identity,
                                     Berth__Hello *hello, Berth__Conversation conversation,
                                     struct bus_conversation_ops ops, void *data) {
    struct bus_conversation *ret = NULL;
    struct error err = {0};
    bool logs = conversation == BERTH__CONVERSATION__CONVERSATION_LOGS;
    hello->conversation = conversation;
    ops.data = data;
    if (bus_conversation_new(&ret, p->loop, identity,
                             logs ? p->settings->logs_url : p->settings->control_url, hello, &ops,
                             &err) < 0) {
        fprintf(stderr, "cell_swarm: %s\n", err.msg);
        _exit(1);
    }
    return ret;
}

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
    c->logs = talk(p, &c->identity, &hello, BERTH__CONVERSATION__CONVERSATION_LOGS,
                   (struct bus_conversation_ops){on_logs_open, on_logs_reply, NULL, NULL}, c);
}

static void cell_die(struct cell *c) {
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

static void cell_return(struct cell *c, bool empty) {
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

static void identify(const struct settings *s, uint8_t kind, unsigned number,
                     struct bus_identity *ret) {
    uint8_t id[BUS_ID_SIZE] = {kind};
    memcpy(id + BUS_ID_SIZE - sizeof number, &number, sizeof number);
    if (hub_derive_identity(s->master, s->gen, id, ret) < 0) {
        fprintf(stderr, "cell_swarm: cannot derive a key\n");
        _exit(1);
    }
}

static void cell_init(struct process *p, struct cell *c, unsigned number) {
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

/* --- routers --- */

static void send_router_watch(struct router *r) {
    Berth__Watch watch = BERTH__WATCH__INIT;
    watch.epoch = (ProtobufCBinaryData){r->epoch_n, r->epoch};
    watch.version = r->version;
    bus_conversation_request(r->watch, &watch.base, BUS_WATCH_WAIT_MS + BUS_REPLY_SLACK_MS, NULL);
}

static void route_drop(struct router *r, struct route_entry *e) {
    if (r->counted) {
        r->home->counts->routes--;
        r->home->counts->endpoints -= e->endpoints;
    }
    HASH_DEL(r->table, e);
    free(e);
}

static void route_put(struct router *r, const Berth__Route *from) {
    struct route_entry *e;
    char key[sizeof e->key];
    snprintf(key, sizeof key, "%s%s", from->host, from->path);
    HASH_FIND_STR(r->table, key, e);
    if (!e) {
        e = need(mem_zalloc(sizeof *e));
        memcpy(e->key, key, sizeof key);
        HASH_ADD_STR(r->table, key, e);
        r->home->counts->routes += r->counted;
    }
    if (r->counted)
        r->home->counts->endpoints += from->n_endpoints - e->endpoints;
    e->endpoints = from->n_endpoints;
    e->mark = r->mark;
}

static void on_router_open(void *data, const Berth__HelloAck *ack) {
    (void)ack;
    struct router *r = data;
    r->home->counts->routers_open++;
    send_router_watch(r);
}

static void on_router_reply(void *data, const ProtobufCMessage *msg) {
    struct router *r = data;
    const Berth__WatchReply *reply = (const Berth__WatchReply *)msg;
    struct route_entry *e, *tmp;
    if (reply->from == 0 && reply->to != 0) {
        r->in_full = true;
        r->mark++;
    }
    for (size_t i = 0; i < reply->n_routes; i++)
        route_put(r, reply->routes[i]);
    for (size_t i = 0; i < reply->n_removed_routes; i++) {
        HASH_FIND_STR(r->table, reply->removed_routes[i], e);
        if (e)
            route_drop(r, e);
    }
    r->home->counts->route_pages += reply->to != reply->from;
    if (reply->to != 0) {
        r->version = reply->to;
        r->epoch_n = MIN(reply->epoch.len, sizeof r->epoch);
        memcpy(r->epoch, reply->epoch.data, r->epoch_n);
    }
    if (r->in_full && reply->to != 0 && !reply->more) {
        r->in_full = false;
        HASH_ITER (hh, r->table, e, tmp) {
            if (e->mark != r->mark)
                route_drop(r, e);
        }
    }
    send_router_watch(r);
}

static void on_router_down(void *data, const char *why) {
    (void)why;
    struct router *r = data;
    r->home->counts->routers_open--;
    r->home->counts->breaks++;
    if (r->in_full) {
        r->in_full = false;
        r->version = 0;
    }
}

static void router_init(struct process *p, struct router *r, unsigned number) {
    Berth__Hello hello = BERTH__HELLO__INIT;
    r->home = p;
    r->counted = number == 0;
    snprintf(r->name, sizeof r->name, "router-%u", number);
    identify(p->settings, ROUTER_KIND, number, &r->identity);
    hello.kind = BERTH__NODE_KIND__NODE_ROUTER;
    hello.name = r->name;
    hello.version = (char *)"swarm";
    r->watch = talk(
        p, &r->identity, &hello, BERTH__CONVERSATION__CONVERSATION_WATCH,
        (struct bus_conversation_ops){on_router_open, on_router_reply, on_router_down, NULL}, r);
    r->logs = talk(p, &r->identity, &hello, BERTH__CONVERSATION__CONVERSATION_LOGS,
                   (struct bus_conversation_ops){on_logs_open, on_logs_reply, NULL, NULL}, r);
}

/* --- commands, in a process of the swarm --- */

static void dump(struct process *p, const char *path) {
    static const char *const names[] = {"CLAIMED", "RUNNING", "STOPPING", "STOPPED"};
    _cleanup_(freep) char *name = need(str_printf("%s.%u", path, p->first / CELLS_A_PROCESS));
    FILE *out = need(fopen(name, "we"));
    for (unsigned i = 0; i < p->cell_count; i++) {
        struct cell *c = &p->cells[i];
        struct instance *in;
        if (c->silent)
            continue;
        DL_FOREACH (c->instances, in) {
            fprintf(out, "%s %s %s %u %s %s %u\n", c->name, c->zone, in->kind->process_guid,
                    in->index, in->guid, names[in->state], in->memory_mb);
        }
    }
    fclose(out);
}

static void obey(struct process *p, char *line) {
    char *rest = line, *word = strsep(&rest, " "), *first = strsep(&rest, " ");
    if (str_eq(word, "dump")) {
        dump(p, first);
        return;
    }
    unsigned from = (unsigned)strtoul(first ? first : "", NULL, 10);
    unsigned n = (unsigned)strtoul(rest ? rest : "", NULL, 10);
    for (unsigned i = 0; i < p->cell_count; i++) {
        struct cell *c = &p->cells[i];
        if (c->number < from || c->number >= from + n)
            continue;
        if (str_eq(word, "die"))
            cell_die(c);
        else if (str_eq(word, "return") || str_eq(word, "reboot"))
            cell_return(c, str_eq(word, "reboot"));
    }
}

static void on_command(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    struct process *p = arg;
    char buf[512];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0) {
        event_base_loopbreak(p->loop);
        return;
    }
    strbuf_add(&p->input, buf, (size_t)n);
    for (char *end; p->input.n && (end = memchr(p->input.p, '\n', p->input.n));) {
        size_t used = (size_t)(end - p->input.p) + 1;
        *end = '\0';
        obey(p, p->input.p);
        memmove(p->input.p, p->input.p + used, p->input.n - used);
        p->input.n -= used;
        if (write(p->answers, "\n", 1) != 1)
            event_base_loopbreak(p->loop);
    }
}

static int run_process(struct process *p) {
    static const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_bytes(&p->rng, sizeof p->rng);
    p->loop = need(event_base_new());
    struct event *ticker = need(event_new(p->loop, -1, EV_PERSIST, on_tick, p));
    struct event *commands =
        need(event_new(p->loop, p->commands, EV_READ | EV_PERSIST, on_command, p));
    event_add(ticker, &tick);
    event_add(commands, NULL);
    p->cells = need(mem_calloc(p->cell_count + 1, sizeof *p->cells));
    for (unsigned i = 0; i < p->cell_count; i++)
        cell_init(p, &p->cells[i], p->first + i);
    unsigned routers = p->first == 0 ? p->settings->routers : 0;
    p->routers = need(mem_calloc(routers + 1, sizeof *p->routers));
    for (unsigned i = 0; i < routers; i++)
        router_init(p, &p->routers[i], i);
    event_base_dispatch(p->loop);
    return 0;
}

/* --- the parent --- */

struct child {
    pid_t pid;
    int commands, answers;
};

static int start_child(const struct settings *s, unsigned k, struct counts *counts,
                       struct child *ret) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
        return -errno;
    ret->pid = fork(); /* before nanomsg has its thread */
    if (ret->pid < 0)
        return -errno;
    if (ret->pid == 0) {
        close(down[1]);
        close(up[0]);
        struct process p = {.settings = s,
                            .counts = counts,
                            .first = k * CELLS_A_PROCESS,
                            .commands = down[0],
                            .answers = up[1]};
        p.cell_count = MIN(s->cells - p.first, (unsigned)CELLS_A_PROCESS);
        _exit(run_process(&p));
    }
    close(down[0]);
    close(up[1]);
    ret->commands = down[1];
    ret->answers = up[0];
    return 0;
}

static void print_stats(const struct counts *all, unsigned n) {
    struct counts sum = {0};
    for (unsigned i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof sum / sizeof(uint64_t); k++)
            ((uint64_t *)&sum)[k] += ((const volatile uint64_t *)&all[i])[k];
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"cells_open", sum.cells_open},     {"instances", sum.instances},
                {"claimed", sum.claimed},           {"running", sum.running},
                {"running_told", sum.running_told}, {"assigned", sum.assigned},
                {"withdrawn", sum.withdrawn},       {"ended", sum.ended},
                {"full_reports", sum.full_reports}, {"reports", sum.reports},
                {"sessions", sum.sessions},         {"breaks", sum.breaks},
                {"routers_open", sum.routers_open}, {"routes", sum.routes},
                {"endpoints", sum.endpoints},       {"route_pages", sum.route_pages}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        printf("%s\"%s\": %llu", i ? ", " : "{", rows[i].name, (unsigned long long)rows[i].value);
    printf("}\n");
}

static bool tell_all(struct child *children, unsigned n, const char *line, size_t line_n) {
    char answer;
    for (unsigned i = 0; i < n; i++)
        if (write(children[i].commands, line, line_n) != (ssize_t)line_n)
            return false;
    for (unsigned i = 0; i < n; i++)
        if (read(children[i].answers, &answer, 1) != 1)
            return false;
    return true;
}

static int read_master(const char *path, struct settings *s, struct error *err) {
    _cleanup_(freep) char *line = NULL;
    int r = fs_read_secret(path, &line, err);
    if (r < 0)
        return r;
    char *space = strchr(line, ' ');
    s->gen = space ? (uint8_t)strtoul(line, NULL, 10) : 1;
    if (hex_decode(space ? space + 1 : line, s->master, sizeof s->master) < 0)
        return error_set(err, -EINVAL, "%s is no master key", path);
    return 0;
}

int main(int argc, char **argv) {
    struct settings s = {0};
    struct child children[PROCESSES_MAX] = {0};
    struct error err = {0};
    unsigned *const numbers[] = {&s.cells,      &s.zones,    &s.routers, &s.memory_mb,
                                 &s.containers, &s.start_ms, &s.stats_ms};
    if (argc != 4 + (int)ARRAY_SIZE(numbers))
        return 2;
    s.control_url = argv[1];
    s.logs_url = argv[2];
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        *numbers[i] = (unsigned)strtoul(argv[4 + i], NULL, 10);
    s.processes = (s.cells + CELLS_A_PROCESS - 1) / CELLS_A_PROCESS;
    if (s.zones == 0 || s.processes == 0 || s.processes > PROCESSES_MAX)
        return 2;
    if (read_master(argv[3], &s, &err) < 0) {
        fprintf(stderr, "cell_swarm: %s\n", err.msg);
        return 1;
    }
    daemon_set_limits();
    struct counts *counts = mmap(NULL, sizeof *counts * PROCESSES_MAX, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return 1;
    for (unsigned k = 0; k < s.processes; k++)
        if (start_child(&s, k, &counts[k], &children[k]) < 0)
            return 1;
    char line[512];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        if (str_eq(line, "stats\n"))
            print_stats(counts, s.processes);
        else if (tell_all(children, s.processes, line, strlen(line)))
            puts("ok");
        else
            break;
    }
    for (unsigned k = 0; k < s.processes; k++) {
        kill(children[k].pid, SIGKILL);
        waitpid(children[k].pid, NULL, 0);
    }
    return 0;
}
