/* internal.h - the brain's structures. For the files of this folder only.
 *
 *     process --want--> desired (one version)         cell --changes--> instances, by version
 *        |--slots[index]: primary, old -----> instance <--|
 *        `--routes--> route (of one or more processes)
 *
 * An instance is in its cell's set and holds a slot, or it is leaving: no route leads to it any
 * more, the cell goes on running it for a moment; or it is a tombstone: the cell was or will be
 * told to stop it. Its resources count until the cell says it ended. */
#ifndef CONTROLLER_LRP_INTERNAL_H
#define CONTROLLER_LRP_INTERNAL_H

#define HASH_NONFATAL_OOM 1 /* a failed add leaves hh.tbl NULL: HASH_ADDED() */
#define HASH_FUNCTION     HASH_FNV
#include <stdio.h>
#include <uthash.h>
#include <utlist.h>

#include "common/base/str.h"
#include "controller/lrp/layers.h"
#include "controller/lrp/lrp.h"

#define HASH_ADDED(element) ((element)->hh.tbl != NULL)

/* Crash policy: Diego's bbs/models/restart_calculator.go and actual_lrp.go. */
#define CRASH_IMMEDIATE_RESTARTS 3
#define CRASH_BACKOFF_MIN_MS     30000u
#define CRASH_BACKOFF_MAX_MS     960000u
#define CRASH_BACKOFF_DOUBLINGS  5
#define CRASH_MAX_RESTARTS       200
#define CRASH_RESET_MS           300000u
/* Ours: the platform failed the app (registry down, host's disk full): elsewhere, soon. */
#define FAULT_BACKOFF_MIN_MS 1000u
#define FAULT_BACKOFF_MAX_MS 60000u
/* Diego's converger: a failed placement is tried again after 30 s; ours also when room appears, at
 * most once a second. */
#define PLACE_RETRY_MS  30000u
#define TASK_TRIES      3 /* to start a task: dr:jobs/bbs/spec max_task_retries */
#define GROWTH_RETRY_MS 1000u
/* lrp_converge() is wanted at least this often while cells are present, so that a gap in its calls
 * tells that it was we who slept. */
#define TICK_MS 1000u
/* Auction weights: Diego's auction/cell.go and dr:jobs/auctioneer/spec. */
#define SCORE_STARTING     0.25
#define SCORE_SAME_PROCESS 1000.0
/* Ours: a cell that has all of the image counts as that much emptier. Less than a container that is
 * starting there, so that a burst spreads; far less than another instance of the process. */
#define SCORE_HAS_LAYERS 0.2
/* How much one convergence does, some 2 ms each: slots that it reconciles; cells that it looks at
 * to place instances. The rest is done by the next one, at once: others want their turn of the
 * loop. */
#define RECONCILE_SLOTS 20000
#define PLACE_LOOKS     400000
#define PLACE_COST      100 /* what else a placement costs, in looks */
/* Spread repair, ours: how much one convergence does, some 1 ms, in cells looked at; a slot's share
 * of it, whose instance lies anywhere; moves under way at a time, one to a cell; how long a process
 * is left alone whose move failed. */
#define SPREAD_LOOKS     100000
#define SPREAD_SLOT      5
#define SPREAD_MOVES(n)  MAX(1u, (n) / 10) /* of n cells */
#define SPREAD_AGAIN_MS  900000u
#define REASON_MAX       1024 /* bbs:db/sqldb/actual_lrp_db.go */
#define ROUTE_TOMBSTONES 4096
#define ZONES_MAX        1024
#define ENDPOINTS_MAX    10000 /* of one route: about 650 kB, below the bus's largest message */

#define NEVER UINT64_MAX

struct desired { /* one version of a process; counted references */
    unsigned refs;
    char *process_guid, *process, *app_guid, *app_name, *process_type;
    uint32_t memory_mb, disk_mb;
    uint16_t port;
    void *run_info;
    size_t run_info_n;
    struct image *image;   /* a reference; NULL: run_info tells of none */
    struct process *owner; /* NULL: no longer, or never, wanted */
    bool stand_in;         /* its names are a cell's word: desired_unknown() */
    UT_hash_handle hh;     /* in lrp.desired while owner is set */
};

/* As what lrp_totals() tells of a slot. */
enum counted { COUNTED_NOT, COUNTED_CLAIMED, COUNTED_RUNNING, COUNTED_CRASHED, COUNTED_COUNT };

struct slot { /* one index of a process */
    struct instance *primary;
    struct instance *old;   /* its cell is silent or evacuating, or it moves: serves until the
                             * primary runs */
    uint64_t since_ms;      /* of UNCLAIMED or CRASHED */
    uint64_t restart_at_ms; /* CRASHED: 0 means never */
    uint64_t retry_at_ms;   /* UNCLAIMED: not before; 0 means now */
    struct cell *avoid;     /* failed it last for a reason of its own; borrowed */
    char *reason;           /* owned; why crashed or not placed */
    uint32_t crash_count, fault_count;
    int exit_status;
    bool crashed : 1;
    bool
        place_failed : 1; /* retry also when room appears; with a primary: it cannot be evacuated */
    bool in_todo : 1;     /* to be placed, when its turn comes */
    bool spreads : 1;     /* spread repair moves it: the old one is on no cell that goes */
    uint8_t counted;      /* enum counted */
};

struct process {          /* what a group wants */
    char *guid;           /* the group's */
    struct desired *want; /* NULL: nothing of it should run */
    uint32_t instances;   /* 0 while want is NULL: process_want() */
    struct slot *slots;
    uint32_t slot_count;
    struct route **routes; /* that lead here */
    size_t route_count;
    uint64_t seq; /* order of arrival: makes batches deterministic */
    bool fresh;   /* came after lrp_desired_complete(): no cell can have it already */
    bool reset;   /* `want` was replaced: all slots are of another version */
    bool dirty, waiting, retry_now;
    bool rolling;             /* leave it where it is */
    uint64_t changed_ms;      /* when an instance last came to be something else, or went */
    uint64_t spread_again_ms; /* not moved before */
    uint64_t even_at;         /* lrp.stirs when it was spread as well as can be; 0: not known */
    uint32_t in_todo;         /* items of lrp.todo that name it: until then it is not freed */
    struct process *dirty_next;
    struct process *prev, *next; /* lrp.waiting */
    uint64_t due_ms;             /* NEVER, or in the heap */
    size_t heap_at;
    UT_hash_handle hh;
};

enum role { ROLE_NONE, ROLE_PRIMARY, ROLE_OLD, ROLE_TASK };

struct instance {
    char guid[GUID_SIZE];
    uint32_t index;
    enum lrp_state state; /* CLAIMED, RUNNING or STOPPING */
    enum role role;       /* NONE: a tombstone, or undecided */
    bool counted;         /* holds the cell's resources */
    bool reported;        /* the cell has it, by its last word */
    bool seen;            /* named by the full report that is coming in */
    bool undecided;       /* reported before all desired LRPs were known, or by a lost cell */
    bool speaks;          /* counted in its cell's apps */
    bool leaving;         /* in lrp.leaving: out of its slot, still in its cell's set */
    uint64_t leave_ms;    /* when it may leave that set, too */
    struct instance *leave_prev, *leave_next;
    struct process *process; /* NULL in the roles NONE and TASK */
    struct task *task;       /* whose one start it is, also while it is stopped; else NULL */
    struct desired *desired; /* a reference */
    struct cell *cell;
    uint32_t memory_mb, disk_mb;
    uint64_t version; /* of the cell's set, when this last changed in it */
    struct instance *prev, *next;
    uint64_t since_ms;
    char *address, *detail;    /* owned; may be NULL */
    Berth__PortMapping *ports; /* owned, lowest container port first */
    size_t port_count;
    double cpu;
    uint64_t memory_bytes, disk_bytes, log_rate_bytes_s;
    UT_hash_handle hh;
};

struct task {                      /* see task.c */
    struct desired *desired;       /* owned; its guid, names and what its cell gets; owner NULL */
    struct instance *in;           /* NULL: not placed, or its cell has not spoken yet */
    char instance_guid[GUID_SIZE]; /* "" while it is not placed */
    char *cell_id;                 /* owned; where that is */
    enum lrp_task_state state;
    char *cancel;                          /* owned; why it is to end; NULL: it is not */
    char *reason;                          /* owned; why it waits or failed */
    unsigned tries;                        /* to start it, so far */
    uint64_t retry_at_ms;                  /* while waiting: not before */
    struct cell *avoid;                    /* could not start it; borrowed */
    bool waiting, place_failed, retry_now; /* as in struct slot and process */
    bool unsaved;                          /* what is noted of it is older */
    bool unsaid;                           /* placed, not noted yet: no cell has heard of it */
    struct task *prev, *next;              /* lrp.waiting_tasks */
    struct task *unsaved_prev, *unsaved_next;
    UT_hash_handle hh;
};

struct zone {
    char *name;
    uint64_t mark; /* as cell.mark */
    uint32_t mark_count;
    uint32_t takes;           /* cells of it that take instances */
    struct instance *fullest; /* one of its fullest cell, ... */
    uint64_t fullest_mark;    /* ... if this is lrp.mark */
    UT_hash_handle hh;
};

/* The apps that a cell may speak of: apps.c. */
struct appset {
    struct app_slot {
        uint64_t hash;     /* of its guid; 0: free */
        uint64_t until_ms; /* while count is 0; 0: never */
        uint32_t count;    /* instances there */
    } * v;                 /* owned */
    uint32_t n, cap;
};

struct cell {
    /* what placement reads, together */
    uint64_t memory_mb, memory_used, disk_mb, disk_used;
    uint32_t containers, containers_used, starting;
    uint32_t mark_count; /* instances here of the process that is being placed, ... */
    uint64_t mark;       /* ... if this is lrp.mark */
    uint64_t held_bytes; /* of the image in question, ... */
    uint64_t held_mark;  /* ... if this is lrp.held_mark */
    struct zone *zone;
    bool present;    /* spoke in this run */
    bool reported;   /* its full report is in */
    bool suspect;    /* silent for presence_ms */
    bool evacuating; /* gets nothing new */
    bool expected;   /* settling waits for it */
    bool removed;    /* not to be seen any more */
    bool in_full;
    bool arriving; /* an instance moves here to be spread */

    char *id, *name, *address;
    uint64_t first_ms; /* when it first was present in this run */
    uint64_t heard_ms;
    uint64_t suspect_ms; /* since when, while it is */
    struct appset apps;
    struct cell *prev, *next; /* lrp.heard, the longest silent first */
    struct instance *changes; /* all its instances, by version */
    uint32_t tombstones;
    uint64_t version, floor, acked; /* a cell that has less than `floor` is told all */
    bool changed;
    struct cell *changed_next;

    struct ptrset holds, fresh; /* layers; those named by the list that is coming in */
    bool in_holdings;           /* such a list is coming in */
    bool gives;                 /* other cells may fetch blobs there */
    bool keep_changed;
    uint64_t keep_version, keep_next, kept_bytes;
    UT_hash_handle hh;
};

struct route {
    char *key, *host, *path; /* key: host and path */
    struct destination {
        struct process *process;
        uint16_t port; /* 0: the process's */
    } * destinations;
    size_t destination_count; /* 0: a tombstone */
    bool least_connection;
    uint64_t version;
    struct route *prev, *next; /* lrp.route_changes, by version */
    UT_hash_handle hh;
};

/* Who is to be placed, in order. What it names may have changed when its turn comes. */
struct todo {
    struct item {
        struct process *process;
        uint32_t index, memory_mb;
        bool moves; /* its place is taken, on a cell that is being emptied */
    } * items;      /* owned */
    size_t n, cap;
};

struct lrp {
    struct lrp_config config;
    struct lrp_ops ops;
    struct rng rng;
    uint64_t started_ms, settled_ms, converged_ms, sweep_ms;
    bool complete, settled;
    bool asked;        /* on_work was called since the last convergence */
    uint32_t expected; /* cells that settling still waits for */
    uint64_t seq;

    struct process *processes;  /* by group */
    struct desired *desired;    /* by process_guid */
    struct instance *instances; /* by guid */
    struct instance *leaving;   /* by leave_ms */
    struct process *dirty, **dirty_tail;
    bool sweeping; /* all processes were marked dirty, and are not done yet */
    struct todo todo;
    struct process *waiting;
    struct process **heap; /* by due_ms */
    size_t heap_n, heap_cap;

    struct task *tasks;         /* by guid */
    struct task *waiting_tasks; /* for a place, in order of arrival */
    struct task *unsaved_tasks; /* to be noted */
    bool unheard;               /* some were placed before this run and may still be heard of */

    struct cell *cells_by_id;
    struct cell **cells;
    size_t cell_count, cell_cap;
    struct cell *heard;
    struct cell *changed;
    struct zone *zones;
    uint64_t mark;
    struct lrp_counters counters;
    uint64_t desired_instances, counted[COUNTED_COUNT]; /* slots: totals.c */
    uint64_t stirred_ms, stirs; /* when cells last came, went or began to; how often */
    struct process *spread_at;  /* spread_some() goes on from here */
    uint64_t spread_ms;         /* its next time around */
    uint32_t moves;             /* slots that spread */
    bool spread_waits;          /* somebody's new cell is busy with another one */
    bool grew;                  /* room appeared since the last retry */
    uint64_t growth_retry_ms;

    struct layer *layers; /* by kind and id */
    struct image *images; /* by manifest and repository */
    uint64_t held_mark;
    struct image *keep_at; /* keep_pass() goes on from here */
    uint64_t keep_ms;

    struct route *routes;        /* by key */
    struct route *route_changes; /* all of them and their tombstones */
    uint64_t route_version, route_floor;
    size_t route_tombstones;
    bool routes_changed;
};

/* --- desired.c */
struct desired *desired_ref(struct desired *d);
void desired_unref(struct lrp *l, struct desired *d);
struct desired *desired_find(struct lrp *l, const char *process_guid);
/* A stand-in for an LRP that nobody desires, so that its instance has names. */
struct desired *desired_unknown(const char *process_guid, const char *app_guid);
struct desired *desired_make(const struct lrp_desired *from);
int process_grow(struct process *p, uint32_t slots, uint64_t now_ms);
void process_free(struct lrp *l, struct process *p);

/* --- lrp.c */
void lrp_ask(struct lrp *l); /* there is work for lrp_converge() */

/* --- process.c */
void process_dirty(struct lrp *l, struct process *p);
void process_wait(struct lrp *l, struct process *p);      /* for room to appear */
void process_changed(struct process *p, uint64_t now_ms); /* its instances did */
void process_due(struct lrp *l, struct process *p, uint64_t due_ms);
struct process *process_take_due(struct lrp *l, uint64_t now_ms);
int heap_reserve(struct lrp *l, size_t n);
void heap_remove(struct lrp *l, struct process *p);
void slot_set_reason(struct slot *s, const char *text);
void slot_unclaim(struct slot *s, uint64_t now_ms);
/* Empties the slots when they are of a version before the one that is wanted. */
void process_reset(struct lrp *l, struct process *p, uint64_t now_ms);
/* Withdraws what should not be and notes in lrp.todo the indices to be placed. -ENOMEM: part of the
 * work is left. */
int process_reconcile(struct lrp *l, struct process *p, uint64_t now_ms);
/* Its turn has come: is it still to be placed? */
bool process_wants_place(struct lrp *l, struct process *p, uint32_t index, uint64_t now_ms);

/* --- totals.c */
/* What it is told as may have changed: its primary, that one's state, whether it crashed or
 * spreads.
 */
void slot_count(struct lrp *l, const struct process *p, struct slot *s);
void process_want(struct lrp *l, struct process *p, uint32_t instances);

/* --- instance.c */
struct instance *instance_find(struct lrp *l, const char *guid);
struct instance *instance_new(struct lrp *l, const char *guid, struct desired *desired,
                              uint32_t index, struct cell *cell, uint32_t memory_mb,
                              uint32_t disk_mb, uint64_t now_ms);
void instance_free(struct lrp *l, struct instance *in);
void instance_set_state(struct lrp *l, struct instance *in, enum lrp_state state, uint64_t now_ms);
void instance_take_slot(struct lrp *l, struct instance *in, struct process *p, enum role role);
/* The slot's primary becomes the old one; there must be none yet. And the way back. */
void instance_make_old(struct lrp *l, struct instance *in, uint64_t now_ms);
void instance_make_primary(struct lrp *l, struct instance *in);
/* Out of its slot and the routes, and out of its cell's set: once nobody can still be sending it
 * requests. `in` may be freed. */
void instance_withdraw(struct lrp *l, struct instance *in, uint64_t now_ms);
/* Out of their cells' sets whose time has come. Returns when to look again. */
uint64_t instances_leave(struct lrp *l, uint64_t now_ms);
/* Its cell says that it ended or is not there. `in` may be freed. */
void instance_gone(struct lrp *l, struct instance *in, uint64_t now_ms);
void instance_crashed(struct lrp *l, struct instance *in, const Berth__ActualLrp *m,
                      uint64_t now_ms);
void instance_running(struct lrp *l, struct instance *in, uint64_t now_ms);
struct slot *instance_slot(const struct instance *in); /* NULL in role NONE */

/* --- cell.c */
struct cell *cell_find(const struct lrp *l, const char *id);
void cell_bump(struct lrp *l, struct instance *in); /* it is the newest change of its cell's set */
void cell_note_changed(struct lrp *l, struct cell *c);
void cell_free(struct lrp *l, struct cell *c);
uint64_t cells_lose_silent(struct lrp *l, uint64_t now_ms);         /* when to look again */
void cell_returned(struct lrp *l, struct cell *c, uint64_t now_ms); /* it was silent */

/* --- apps.c */
/* Its cell may speak of its app, which is what `desired` says: -ENOMEM. */
int apps_add(struct lrp *l, struct instance *in);
/* Before it is freed, or its `desired` is replaced. */
void apps_drop(struct lrp *l, struct instance *in);
/* The cell tells of the end of one that it had. */
void apps_ended(struct lrp *l, struct cell *c, const char *app_guid, uint64_t now_ms);
/* It was silent. */
void apps_returned(struct cell *c, uint64_t now_ms);

/* --- report.c */
/* An instance that the brain did not start: takes its slot if that is free, else is withdrawn. */
void report_decide(struct lrp *l, struct instance *in, uint64_t now_ms);

/* --- task.c */
struct task *task_find(const struct lrp *l, const char *guid);
void task_free(struct lrp *l, struct task *t);
bool task_is_due(const struct task *t, uint64_t now_ms);
int task_place(struct lrp *l, struct task *t, struct cell *c, uint64_t now_ms);
void task_not_placed(struct lrp *l, struct task *t, const char *text, uint64_t now_ms);
/* Of in->task: its cell says that it runs, or how it ended (`in` may be freed) ... */
void task_running(struct lrp *l, struct instance *in);
void task_ended(struct lrp *l, struct instance *in, const Berth__ActualLrp *m, uint64_t now_ms);
/* ... or nothing will be heard of it any more. */
void task_instance_lost(struct lrp *l, struct instance *in, bool with_its_cell);
/* What cells say of tasks that were placed before this run. */
void task_decide(struct lrp *l, struct task *t, struct instance *in, uint64_t now_ms);
void task_heard_ended(struct lrp *l, struct task *t, struct cell *c, const Berth__ActualLrp *m,
                      uint64_t now_ms);
void tasks_missing(struct lrp *l, struct cell *c, uint64_t now_ms); /* its report is whole */
void tasks_settled(struct lrp *l);                                  /* all had their chance */
/* Has noted what is not yet. <0: it could not be. */
int tasks_save(struct lrp *l, uint64_t now_ms);

/* --- place.c */
/* Places who is to be placed, as many as PLACE_LOOKS allows. */
void place_some(struct lrp *l, uint64_t now_ms);
/* Starts a new primary there. Who was it is evacuated, if there is one. -ENOMEM. */
int place_on(struct lrp *l, struct process *p, uint32_t index, struct cell *c, uint64_t now_ms);
bool place_takes(const struct cell *c); /* does it get anything new? */
/* Counts the process's instances a cell and a zone. Returns how many cells have any. */
uint32_t place_mark(struct lrp *l, const struct process *p);
uint32_t place_marked(const struct lrp *l, const struct zone *z);
/* Where this one of the marked process would be placed now, were it not there. NULL: nowhere. */
struct cell *place_again(struct lrp *l, const struct instance *in);

/* --- spread.c */
/* Moves who would serve better elsewhere, when all is quiet; a part of it at a time. */
void spread_some(struct lrp *l, uint64_t now_ms);
void spread_stir(struct lrp *l, uint64_t now_ms); /* something became of a cell */
/* The slot moves no more, or for another reason now. Its primary must still be there. */
void spread_over(struct lrp *l, struct slot *s);
/* The one that was to take its place is gone: all is as before. */
void spread_give_back(struct lrp *l, struct process *p, struct instance *old, uint64_t now_ms);

/* --- todo.c */
int todo_add(struct lrp *l, struct process *p, uint32_t index, bool moves);
bool todo_take(struct lrp *l, struct item *ret); /* false: there is none */
void todo_fini(struct lrp *l);
uint64_t place_tasks(struct lrp *l, uint64_t now_ms); /* when to look again */

/* --- routes.c */
int routes_map(struct lrp *l, struct process *p, const struct lrp_route *routes, size_t n);
void routes_unmap_all(struct lrp *l, struct process *p);
void routes_touch(struct lrp *l, struct process *p); /* its endpoints are others now */
void route_free(struct route *r);

/* --- view.c */
void view_desired(const struct desired *d, struct lrp_actual *ret);
void view_instance(const struct instance *in, struct lrp_actual *ret);
void view_slot(const struct process *p, uint32_t index, struct lrp_actual *ret);
void lrp_event(struct lrp *l, const char *kind, const struct lrp_actual *a, const char *text);
void lrp_instance_event(struct lrp *l, const char *kind, const struct instance *in,
                        const char *text);
void lrp_cell_event(struct lrp *l, const struct cell *c);
/* The instance that serves this index, or NULL. */
const struct instance *slot_serving(const struct slot *s);

#endif
