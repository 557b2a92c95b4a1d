/* lrp.h - the brain: desired LRPs, actual LRPs, cells; convergence, placement, routes, crash
 * policy.
 *
 * Pure: no I/O, no clock, no random source of its own. Level-triggered: every call changes what is
 * known and marks what is affected; lrp_converge() decides. What the cells and routers should know
 * is a versioned set each (lrp_cell_changes, lrp_route_changes), so a lost message costs nothing.
 * Rules and numbers are Diego's unless a comment says otherwise. */
#ifndef CONTROLLER_LRP_LRP_H
#define CONTROLLER_LRP_LRP_H

#include "model.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/mem.h"
#include "common/base/random.h"

struct lrp;
struct lrp_actual;
struct lrp_cell_view;
struct lrp_task_note;

/* What the brain tells its owner. Called from inside lrp_* functions: only note it down.
 * on_cell_changed and on_routes_changed come from lrp_converge() only. */
struct lrp_ops {
    void (*on_cell_changed)(void *data, const char *cell_id); /* its set has a newer version */
    void (*on_routes_changed)(void *data);
    /* There is something to decide or to tell: call lrp_converge() soon. Once until then. */
    void (*on_work)(void *data);
    /* Something for the app's events and log. `kind`: "crash" | "placed" | "place-failed" |
     * "running" | "stopped" | "cell-lost" | "failed" (it ran, and its end was not the app's fault)
     * | "evacuating" (a replacement of `a` is on its way) | "not-evacuated" (no room for one) |
     * "spreading" (likewise a replacement, on a cell or in a zone that has fewer of its process) |
     * "not-spread" (that one, `a`, did not come to run: all stays as it was) |
     * "unknown" (nobody desires it: it is stopped) |
     * "task-waits" (of a task: a->process_type is its name); `a` and `text` borrowed. */
    void (*on_event)(void *data, const char *kind, const struct lrp_actual *a, const char *text);
    /* A cell has fallen silent (c->suspect), or is heard again: for the log. NULL is fine. */
    void (*on_cell)(void *data, const struct lrp_cell_view *c);
    /* What is to be known of these tasks whatever happens next: write it down at once. 0: all of it
     * is durable. <0: nothing of it need be; it is asked again, and until then no cell is told what
     * depends on it, nor that its report was taken. Comes from lrp_converge() and lrp_report(). */
    int (*on_tasks)(void *data, const struct lrp_task_note *notes, size_t n);
    void (*new_guid)(void *data, char buf[static GUID_SIZE]);
    void *data;
};

struct lrp_config {
    uint64_t presence_ms; /* 15000: a cell silent for this long is suspect */
    uint64_t converge_ms; /* 30000 */
    uint64_t settle_ms;   /* after a start: nothing is started as missing before known cells had
                             their chance to report; ends early when all did */
    uint64_t drain_ms; /* a running instance with ports is withdrawn from its cell this long after
                          its routes; 0: at once */
    uint64_t spread_quiet_ms; /* after so long without a change of cells, and of a process's
                                 instances, these are spread anew if that is of use; 0: never */
    uint64_t rng_seed;
};

/* --- desired ------------------------------------------------------------------------------------
 */

struct lrp_route {
    const char *host, *path;
    uint16_t port;         /* container port; 0: the process's */
    bool least_connection; /* of the route, whoever maps it; else round robin */
};

/* Everything the brain needs to schedule, and the packed rest for the cell. */
struct lrp_desired {
    const char *process_guid; /* process guid "-" version: a new version is a new LRP */
    const char *process;      /* the process guid alone */
    /* LRPs that take each other's place: another one of the same group is withdrawn. NULL: the
     * process, so that one version of it runs at a time. For versions side by side (a deployment)
     * give each its process_guid. */
    const char *group;
    const char *app_guid, *app_name, *process_type;
    uint32_t instances, memory_mb, disk_mb;
    uint16_t port; /* routed container port */
    bool rolling;  /* a deployment is under way: its instances are not moved to spread them */
    const struct lrp_route *routes;
    size_t route_count;
    const void *run_info; /* packed Berth__DesiredLrp: what the cell gets; copied */
    size_t run_info_n;
};

int lrp_new(struct lrp **ret, const struct lrp_config *config, const struct lrp_ops *ops,
            uint64_t now_ms, struct error *err);
void lrp_free(struct lrp *l);
DEFINE_FREEP(lrp)

#define LRP_MAX_INSTANCES 250000 /* of one process: -ERANGE beyond */

/* Adds, or updates instances, routes and names of, the desired LRP of this process_guid. Another
 * one of the same group is withdrawn. Copied. */
int lrp_desire(struct lrp *l, const struct lrp_desired *d, uint64_t now_ms, struct error *err);
/* Nothing of this group should run any more. */
void lrp_undesire(struct lrp *l, const char *group, uint64_t now_ms);
/* All desired LRPs of the store were given (after a start): only now is what no one desires
 * stopped. */
void lrp_desired_complete(struct lrp *l, uint64_t now_ms);
/* Stops this one instance; convergence makes a new one, with no crash counted. -ENOENT. */
int lrp_restart_instance(struct lrp *l, const char *group, uint32_t index, uint64_t now_ms);

/* --- tasks ---------------------------------------------------------------------------------------
 *
 * A task is started at most once. It is placed like an instance, of which it has one. Where it is
 * placed is written down (on_tasks) before its cell is told, and how it ended before its cell may
 * forget it: neither a controller nor a cell that dies runs it twice, or loses how it ended. One
 * that is on a cell that falls silent has failed. One that finds no room, or whose cell says that
 * its process was never started, is placed again, three times in all. */

enum lrp_task_state {
    LRP_TASK_PENDING, /* also while its image is being fetched */
    LRP_TASK_RUNNING,
    LRP_TASK_SUCCEEDED, /* ended by itself, with status 0 */
    LRP_TASK_FAILED,
};

/* What is to be remembered of a task: the last word counts. All borrowed. */
struct lrp_task_note {
    const char *guid, *app_guid, *name;
    enum lrp_task_state state;
    const char *instance_guid, *cell_id; /* of its one instance; "" while it is not placed */
    const char *reason;                  /* of FAILED, else "" */
    unsigned tries;                      /* to start it that failed so far */
};

struct lrp_task {
    const char *guid, *name, *app_guid, *app_name;
    uint32_t memory_mb, disk_mb;
    const void *run_info; /* packed Berth__DesiredLrp, its process_guid the task's; copied */
    size_t run_info_n;
    const char *instance_guid, *cell_id; /* as last noted; NULL or "" for none */
    bool began;                          /* was noted as RUNNING */
    unsigned tries;                      /* as last noted */
};
/* Runs the task, or goes on with one that an earlier brain placed: those must be given before the
 * first report and lrp_desired_complete(). One that is known is left alone. */
int lrp_task_run(struct lrp *l, const struct lrp_task *task, uint64_t now_ms, struct error *err);
/* Ends it FAILED with this reason, unless it ends by itself before its cell has stopped it. */
void lrp_task_cancel(struct lrp *l, const char *guid, const char *reason, uint64_t now_ms);
/* The app is gone: its tasks are stopped, and nothing more is noted of them. */
void lrp_tasks_forget(struct lrp *l, const char *app_guid, uint64_t now_ms);

/* --- cells ---------------------------------------------------------------------------------------
 */

struct lrp_cell_info {
    const char *id; /* hex of the node's id */
    const char *name, *zone, *address;
    uint64_t memory_mb, disk_mb;
    uint32_t containers;
};
/* A cell that was known before this controller started: settling waits for it. */
int lrp_cell_expected(struct lrp *l, const char *cell_id);
/* A cell opened a conversation; its full report is still to come. */
int lrp_cell_present(struct lrp *l, const struct lrp_cell_info *info, uint64_t now_ms);
void lrp_cell_heard(struct lrp *l, const char *cell_id, uint64_t now_ms);
/* It is of the cluster no longer, and will not be heard again: nobody needs to see that it is
 * silent. */
void lrp_cell_removed(struct lrp *l, const char *cell_id);
/* The cell is to be emptied, or no longer: it gets nothing new, and each of its instances stays
 * until another one runs in its place. Where no other cell has room it just stays. */
void lrp_cell_evacuating(struct lrp *l, const char *cell_id, bool evacuating, uint64_t now_ms);
/* What the cell reports. full_begin: forget what was reported before; full_end: what was not named
 * is not there. Each CRASHED is counted once per instance_guid. now_wall_ns, the same moment by the
 * wall clock, tells how long an instance has been running that was started before this run. -ESTALE
 * when the cell's full report is needed first, -ENOENT for a cell that was never present, -ENOMEM.
 */
int lrp_report(struct lrp *l, const char *cell_id, bool full_begin, bool full_end,
               Berth__ActualLrp *const *instances, size_t n, uint64_t now_ms, uint64_t now_wall_ns);
/* Whether log lines of this app may come from this cell: it has an instance or task of it, or had
 * one until some minutes ago. A cell that is new to this run is believed for settle_ms: it may
 * bring lines of what ended before. For every line: cheap. */
bool lrp_cell_runs_app(const struct lrp *l, const char *cell_id, const char *app_guid,
                       uint64_t now_ms);
/* False until the cell's full report is in and all desired LRPs were given: its Watch must wait. */
bool lrp_cell_reported(const struct lrp *l, const char *cell_id);

/* The cell's set after *since, which is what the cell has (all up to it is acknowledged): calls
 * `assign` and `withdraw` in version order until one of them returns false, which takes nothing and
 * ends the page (*ret_more: the next page is asked for with the version returned). *since becomes 0
 * when the set is told in full from an empty one: *since was 0 or is not known any more. Returns
 * the version reached; 0 when the cell is not known or must wait. */
struct lrp_assignment {
    const char *instance_guid;
    uint32_t index;
    const void *run_info;
    size_t run_info_n;
};
uint64_t lrp_cell_changes(struct lrp *l, const char *cell_id, uint64_t *since,
                          bool (*assign)(void *arg, const struct lrp_assignment *a),
                          bool (*withdraw)(void *arg, const char *instance_guid), void *arg,
                          bool *ret_more);
uint64_t lrp_cell_version(const struct lrp *l, const char *cell_id);

/* --- layers
 * ----------------------------------------------------------------------------------------- */

struct lrp_digests { /* 32 bytes each, one after another */
    const uint8_t *p;
    size_t n; /* how many */
};
struct lrp_holdings {
    bool full_begin, full_end; /* a full list: what it does not name is not there */
    bool gives;                /* other cells can fetch blobs there */
    struct lrp_digests blobs, trees, gone_blobs, gone_trees;
};
/* What a cell holds of images: layers as registries have them (blobs) and unpacked (trees), by ids
 * that tell for whom (common/registry/layer_id.h). -ENOENT for a cell that is not known, -ENOMEM.
 */
int lrp_cell_holds(struct lrp *l, const char *cell_id, const struct lrp_holdings *h);

#define LRP_GIVERS 3 /* of a blob: one that serves and two to turn to */
struct lrp_located {
    uint8_t digest[32]; /* of the blob */
    enum lrp_leave {
        LRP_LEAVE_NONE,       /* no cell has it for the asker: the registry may give it */
        LRP_LEAVE_REPOSITORY, /* it came from the repository that was asked for */
        LRP_LEAVE_ALL,        /* it came without a password */
    } leave;
    const char *ids[LRP_GIVERS]; /* of cells that can give it, borrowed; those of its zone first */
    size_t n;
    bool
        coming; /* no cell has it: the one that is told is fetching it from the registry just now */
};
/* `id` is of a blob and the repository of an image that the asker is to run or to keep: else there
 * is no leave and nobody to give it. Who asks first for what nobody has is who fetches it. */
void lrp_locate(struct lrp *l, const char *cell_id, const uint8_t id[32], struct lrp_located *ret);
/* The blobs that this cell must keep so that each wanted image is whole on two cells. The version
 * says what is in the list, which is in its set (lrp_cell_changes) as far as a newer version of the
 * set tells of it; 0: nothing decided yet. */
uint64_t lrp_keep_version(const struct lrp *l, const char *cell_id);
struct lrp_kept {
    const uint8_t *digest;     /* 32 bytes */
    const uint8_t *repository; /* 16 bytes: for whose apps (struct repository_id) */
    uint64_t size;
};
/* From the from-th of it on, until `each` returns false. Returns whether it did. */
bool lrp_keep_list(const struct lrp *l, const char *cell_id, uint32_t from,
                   bool (*each)(void *arg, const struct lrp_kept *kept), void *arg);

/* How many cells that are heard can give all of the image that this group wants. -ENOENT: it wants
 * none. */
int lrp_image_copies(const struct lrp *l, const char *group);
/* Images that are wanted, and those of them that are not whole on two cells that keep them. */
struct lrp_image_totals {
    uint64_t images, scarce;
};
void lrp_image_totals(const struct lrp *l, struct lrp_image_totals *ret);

/* --- routes
 * ---------------------------------------------------------------------------------------- */

/* The same for the one route table all routers get. `put` gets a whole route (borrowed). Not
 * settled yet: version 0, nothing to tell. */
uint64_t lrp_route_changes(struct lrp *l, uint64_t *since,
                           bool (*put)(void *arg, const Berth__Route *route),
                           bool (*removed)(void *arg, const char *host_path), void *arg,
                           bool *ret_more);
uint64_t lrp_route_version(const struct lrp *l);

/* --- convergence
 * ------------------------------------------------------------------------------------ */

/* Decides everything that is due: start, restart after a crash, replace, stop, forget. Returns when
 * it must be called next at the latest (mono ms). Call it after changes too. It does some 5 ms of
 * work at a time: what is left is for the next call, for which it asks at once (now_ms). */
uint64_t lrp_converge(struct lrp *l, uint64_t now_ms);
bool lrp_is_settled(const struct lrp *l);

/* --- looking
 * ------------------------------------------------------------------------------------------ */

enum lrp_state { LRP_UNCLAIMED, LRP_CLAIMED, LRP_RUNNING, LRP_CRASHED, LRP_STOPPING };
const char *lrp_state_name(enum lrp_state state);

struct lrp_actual {
    const char *app_guid, *app_name, *process, *process_guid, *process_type;
    const char *instance_guid; /* "" while unclaimed or crashed */
    const char *cell_id, *cell_name, *cell_zone;
    uint64_t cell_heard_ms; /* mono; 0: of no cell */
    uint32_t index;
    enum lrp_state state;
    bool suspect;      /* its cell is silent; a replacement may stand beside it */
    bool evacuating;   /* its cell is being emptied; likewise */
    bool old;          /* serves until the one in its place does; only lrp_instances_all() and */
    bool leaving;      /* ... lrp_cell_instances() tell of it, and of who was asked to stop */
    bool spreading;    /* moves, or is the one that takes its place, to spread the instances */
    bool place_failed; /* no cell had room: `reason` says of what; tried again at restart_at_ms */
    uint64_t since_ms; /* mono, of the state */
    uint32_t crash_count;
    uint64_t restart_at_ms; /* mono; when a CRASHED or UNCLAIMED one is due; 0: never, or now */
    const char *reason; /* why crashed, not placed or not evacuated: for the user; "" for none */
    const char *detail; /* what a CLAIMED one is doing; "" for none */
    int exit_status;
    const char *address;             /* "" unless RUNNING */
    const Berth__PortMapping *ports; /* lowest container port first */
    size_t port_count;
    double cpu;
    uint64_t memory_bytes, disk_bytes, log_rate_bytes_s;
    uint32_t memory_mb, disk_mb; /* quotas */
};
/* Instances of a group, by index; one an index (Diego's Resolve: the one that serves). */
void lrp_instances(struct lrp *l, const char *group,
                   void (*each)(void *arg, const struct lrp_actual *a), void *arg);

/* All that there is of a group: of each index who serves or is to and who makes way for it, then
 * who was asked to stop and has not ended, of whatever version of the process. */
void lrp_instances_all(struct lrp *l, const char *group,
                       void (*each)(void *arg, const struct lrp_actual *a), void *arg);
/* All that a cell holds. -ENOENT. */
int lrp_cell_instances(struct lrp *l, const char *cell_id,
                       void (*each)(void *arg, const struct lrp_actual *a), void *arg);

struct lrp_cell_view {
    const char *id, *name, *zone, *address;
    bool present, suspect, evacuating; /* neither of the first two: not heard in this run */
    uint64_t heard_ms, memory_mb, memory_free_mb, disk_mb, disk_free_mb;
    uint32_t containers, containers_free, instances;
};
void lrp_cells(struct lrp *l, void (*each)(void *arg, const struct lrp_cell_view *c), void *arg);
/* "present" | "evacuating" | "drained" (emptied, and silent since) | "suspect" (silent, its
 * instances are replaced) | "expected" (of before this run, not heard yet). */
const char *lrp_cell_state(const struct lrp_cell_view *c);

struct lrp_totals {
    uint64_t desired, running, claimed, unclaimed, crashed, suspect, cells;
    uint64_t cells_silent, cells_evacuating; /* drained ones that are gone are not silent */
    uint64_t evacuating;                     /* instances that are still to leave their cells */
    uint64_t tasks_pending, tasks_running;
};
void lrp_totals(const struct lrp *l, struct lrp_totals *ret);

/* Since lrp_new(). */
struct lrp_counters {
    uint64_t passes_begun, passes_done; /* convergences of all processes, in parts */
    uint64_t placed;
    uint64_t no_memory, no_disk, no_containers; /* tries that found all cells short of it, ... */
    uint64_t no_both, no_cell;                  /* ... each cell short of something, or no cell */
    uint64_t cells_lost, cells_returned;
    uint64_t instances_lost;      /* on silent cells, to be replaced */
    uint64_t evacuations;         /* of cells */
    uint64_t instances_evacuated; /* replacements that were placed */
    uint64_t instances_unknown;   /* reported, desired by nobody, and stopped */
    uint64_t spread_moves;        /* begun, to spread the instances of a process */
    uint64_t spread_given_back;   /* those whose replacement did not come to run */
};
void lrp_counters(const struct lrp *l, struct lrp_counters *ret);

#endif
