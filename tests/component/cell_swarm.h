/* cell_swarm.h - what a process of the swarm holds: simulated cells, what runs there, routers. Each
 * file of cell_swarm*.c has one of them; what goes wrong here ends the process. */
#ifndef TESTS_COMPONENT_CELL_SWARM_H
#define TESTS_COMPONENT_CELL_SWARM_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((void)0)
#define HASH_FUNCTION                HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include "common/base/random.h"
#include "common/base/str.h"
#include "common/bus/hub.h"

#define CELLS_A_PROCESS 160 /* three sockets each, and a few routers' */
#define TICK_MS         20
#define WHEEL           1024 /* ticks: what is due further on waits at its end */
#define DIGEST          32   /* sha256 */
#define FIRST_PORT      40000

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

void *need(void *p); /* p, which must not be NULL */

/* --- nodes: cell_swarm.c --- */

#define CELL_KIND   0xce /* first byte of a node's id: controller/nodes/nodes.h */
#define ROUTER_KIND 0x40

void identify(const struct settings *s, uint8_t kind, unsigned number, struct bus_identity *ret);
struct bus_conversation *talk(struct process *p, const struct bus_identity *identity,
                              Berth__Hello *hello, Berth__Conversation conversation,
                              struct bus_conversation_ops ops, void *data);
/* The Logs conversation, which stays idle. */
struct bus_conversation *talk_of_nothing(struct process *p, const struct bus_identity *identity,
                                         Berth__Hello *hello);

/* --- what runs on cells: cell_swarm_instances.c --- */

/* What the controller wants of a cell. */
void assign(struct cell *c, const Berth__Assignment *a);
void withdraw(struct cell *c, struct instance *in); /* NULL: nothing */
struct instance *instance_find(struct process *p, const char *guid);
void instance_free(struct process *p, struct instance *in);
/* Adds it to the counts, or takes it out: what runs on a silent cell is not counted. */
void count_state(struct process *p, const struct instance *in, int by);
/* Notes what is to be reported. */
void queue_add(struct instance *in);
void queue_remove(struct instance *in);
void hold(struct digests *d, const uint8_t digest[DIGEST]); /* a layer that the cell has now */
void on_tick(evutil_socket_t fd, short what, void *process);

/* --- cells: cell_swarm_cells.c --- */

void cell_init(struct process *p, struct cell *c, unsigned number); /* it speaks */
void cell_die(struct cell *c);
void cell_return(struct cell *c, bool empty);
void report_soon(struct cell *c);

/* --- routers: cell_swarm_routers.c --- */

void routers_init(struct process *p, unsigned n);

#endif
