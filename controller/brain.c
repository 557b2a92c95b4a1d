#include "controller/brain.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <utlist.h>

#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/bus/times.h"
#include "controller/api/api.h"
#include "controller/logs/logs.h"
#include "controller/lrp/lrp.h"
#include "controller/nodes/nodes.h"
#include "controller/rollouts.h"
#include "controller/store/store.h"
#include "controller/store/tasks.h"

#define CONVERGE_MS 30000 /* Diego's converger */
/* From the moment that routers are told that an instance goes until its cell is told to stop it:
 * they hear within milliseconds, and what they sent it before is answered by then. */
#define DRAIN_MS       2000
#define NOTICES_A_TIME 100   /* audit events written in one transaction */
#define NOTICES_MAX    10000 /* waiting to be written; more are only in the log */

/* What happened to an instance and is still to be written as an audit event. Owns its texts. */
struct notice {
    struct notice *prev, *next;
    enum api_instance_event event;
    struct lrp_actual actual;
    char *text;
};

struct brain {
    struct brain_deps deps;
    struct lrp *lrp;
    struct nodes *nodes;
    struct rollouts *rollouts;
    struct api *api;
    struct event *converge_timer, *notice_timer;
    struct notice *notices; /* oldest first */
    size_t notice_count;
    uint64_t tasks_succeeded, tasks_failed;
    uint64_t convergences, crash_events, unwritten, slowest_ms;
    uint64_t passes, pass_ns, full_ns; /* convergences of all processes: done, this one, the last */
};

static void arm(struct event *timer, uint64_t in_ms) {
    const struct timeval tv = {.tv_sec = (time_t)(in_ms / 1000),
                               .tv_usec = (suseconds_t)(in_ms % 1000 * 1000)};
    event_add(timer, &tv);
}

/* --- convergence --- */

/* A convergence of all processes is done in parts; what it takes is what they take together. */
static void note_pass(struct brain *b, uint64_t took_ns) {
    struct lrp_counters n;
    lrp_counters(b->lrp, &n);
    if (n.passes_begun > b->passes)
        b->pass_ns += took_ns;
    if (n.passes_done == b->passes)
        return;
    b->passes = n.passes_done;
    b->full_ns = b->pass_ns;
    b->pass_ns = 0;
}

static void on_converge(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct brain *b = arg;
    uint64_t begun_ns = clock_mono_ns();
    uint64_t now = clock_mono_ms(), next = lrp_converge(b->lrp, now), end = clock_mono_ms();
    b->convergences++;
    b->slowest_ms = MAX(b->slowest_ms, end - now);
    note_pass(b, clock_mono_ns() - begun_ns);
    if (!event_pending(b->converge_timer, EV_TIMEOUT, NULL)) /* on_work() may have been quicker */
        arm(b->converge_timer, next > end ? next - end : 0);
}

static void on_work(void *data) {
    struct brain *b = data;
    arm(b->converge_timer, 0);
}

static void on_cell_changed(void *data, const char *cell_id) {
    struct brain *b = data;
    if (b->nodes)
        nodes_cell_changed(b->nodes, cell_id);
}

static void on_routes_changed(void *data) {
    struct brain *b = data;
    if (b->nodes)
        nodes_routes_changed(b->nodes);
}

static void on_new_guid(void *data, char buf[static GUID_SIZE]) {
    (void)data;
    guid_new(buf);
}

/* --- crashes and moves become audit events, in batches: each transaction is a write to disk --- */

static void notice_free(struct notice *c) {
    if (!c)
        return;
    free((char *)c->actual.app_guid);
    free((char *)c->actual.process);
    free((char *)c->actual.process_guid);
    free((char *)c->actual.process_type);
    free((char *)c->actual.instance_guid);
    free((char *)c->actual.cell_id);
    free((char *)c->actual.cell_name);
    free((char *)c->actual.reason);
    free(c->text);
    free(c);
}
DEFINE_FREEP(notice)

static void remember(struct brain *b, enum api_instance_event event, const struct lrp_actual *a,
                     const char *text) {
    _cleanup_(notice_freep) struct notice *c = mem_zalloc(sizeof *c);
    if (!c || b->notice_count >= NOTICES_MAX) {
        b->unwritten++;
        return;
    }
    c->event = event;
    c->actual = (struct lrp_actual){.app_guid = str_dup(a->app_guid),
                                    .process = str_dup(a->process),
                                    .process_guid = str_dup(a->process_guid),
                                    .process_type = str_dup(a->process_type),
                                    .instance_guid = str_dup(a->instance_guid),
                                    .cell_id = str_dup(a->cell_id),
                                    .cell_name = str_dup(a->cell_name),
                                    .reason = str_dup(a->reason),
                                    .index = a->index,
                                    .state = a->state,
                                    .since_ms = a->since_ms,
                                    .crash_count = a->crash_count,
                                    .restart_at_ms = a->restart_at_ms,
                                    .exit_status = a->exit_status,
                                    .memory_mb = a->memory_mb,
                                    .disk_mb = a->disk_mb,
                                    .detail = "",
                                    .address = ""};
    c->text = str_dup(text);
    if (!c->actual.app_guid || !c->actual.process || !c->actual.process_guid ||
        !c->actual.process_type || !c->actual.instance_guid || !c->actual.cell_id ||
        !c->actual.cell_name || !c->actual.reason || !c->text) {
        b->unwritten++;
        return;
    }
    DL_APPEND(b->notices, c);
    c = NULL;
    b->notice_count++;
    if (!event_pending(b->notice_timer, EV_TIMEOUT, NULL))
        arm(b->notice_timer, 0);
}

static void on_write_notices(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct brain *b = arg;
    struct error err = {0};
    bool open = store_begin(b->deps.store, &err) == 0;
    size_t n = 0;
    for (; n < NOTICES_A_TIME && b->notices; n++) {
        struct notice *c = b->notices;
        if (b->api && open && api_record_instance(b->api, c->event, &c->actual, c->text, &err) < 0)
            log_warn("cannot write the event of an instance", "app=%s why=%s", c->actual.app_guid,
                     log_quote(err.msg));
        DL_DELETE(b->notices, c);
        b->notice_count--;
        notice_free(c);
    }
    if (!open || store_commit(b->deps.store, &err) < 0) {
        b->unwritten += n;
        log_warn("cannot write events of instances", "events=%zu why=%s", n, log_quote(err.msg));
    }
    if (b->notices)
        arm(b->notice_timer, 0);
}

/* --- events, as the app's log shows them --- */

/* The text of a value in a line that is not parsed by anybody: quotes and controls blunted. */
static void put_quoted(struct strbuf *out, const char *key, const char *text) {
    strbuf_printf(out, "\"%s\"=>\"", key);
    for (; *text; text++)
        strbuf_putc(out, *text == '"' ? '\'' : (unsigned char)*text < ' ' ? ' ' : *text);
    strbuf_puts(out, "\", ");
}

/* Cloud Controller's two lines. */
static void say_crash(struct brain *b, const struct lrp_actual *a, const char *text) {
    _cleanup_(strbuf_fini) struct strbuf payload = {0};
    uint64_t now = clock_wall_ns();
    const char *version = strlen(a->process_guid) > GUID_SIZE ? a->process_guid + GUID_SIZE : "";
    put_quoted(&payload, "instance", a->instance_guid);
    strbuf_printf(&payload, "\"index\"=>%u, ", a->index);
    put_quoted(&payload, "cell_id", *a->cell_name ? a->cell_name : a->cell_id);
    strbuf_puts(&payload, "\"reason\"=>\"CRASHED\", ");
    put_quoted(&payload, "exit_description", text);
    strbuf_printf(&payload, "\"crash_count\"=>%u, \"crash_timestamp\"=>%llu, \"version\"=>\"%s\"",
                  a->crash_count, (unsigned long long)now, version);
    logs_printf(b->deps.logs, a->app_guid, "API", false, now,
                "Process has crashed with type: \"%s\"", a->process_type);
    if (!payload.failed)
        logs_printf(b->deps.logs, a->app_guid, "API", false, now,
                    "App instance exited with guid %s payload: {%s}", a->app_guid, payload.p);
    uint64_t mono = clock_mono_ms();
    if (a->restart_at_ms > mono)
        logs_printf(b->deps.logs, a->app_guid, "API", false, now,
                    "Instance %u crashed %u times; it is restarted in %llu s", a->index,
                    a->crash_count, (unsigned long long)(a->restart_at_ms - mono + 999) / 1000);
}

static void on_event(void *data, const char *kind, const struct lrp_actual *a, const char *text) {
    struct brain *b = data;
    log_debug("instance event", "kind=%s app=%s index=%u instance=%s cell=%s text=%s", kind,
              a->app_guid, a->index, a->instance_guid, a->cell_name, log_quote(text));
    if (b->rollouts)
        rollouts_changed(b->rollouts);
    if (str_eq(kind, "crash")) {
        b->crash_events++;
        say_crash(b, a, text);
        remember(b, API_INSTANCE_CRASHED, a, text);
    } else if (str_eq(kind, "place-failed")) {
        logs_printf(b->deps.logs, a->app_guid, "API", true, clock_wall_ns(),
                    *a->cell_name ? "Instance %u could not be started, it is tried again: %s"
                                  : "Instance %u cannot be placed: %s",
                    a->index, text);
    } else if (str_eq(kind, "not-evacuated")) {
        logs_printf(b->deps.logs, a->app_guid, "API", true, clock_wall_ns(),
                    "Instance %u stays on cell %s for now: %s", a->index, a->cell_name, text);
    } else if (str_eq(kind, "evacuating")) { /* Diego's words */
        logs_printf(b->deps.logs, a->app_guid, "CELL", false, clock_wall_ns(),
                    "Cell %s requesting replacement for instance %s", a->cell_name,
                    a->instance_guid);
        remember(b, API_INSTANCE_RESCHEDULED, a, "its cell is being emptied");
    } else if (str_eq(kind, "spreading")) {
        logs_printf(b->deps.logs, a->app_guid, "API", false, clock_wall_ns(),
                    "Instance %u on cell %s is %s", a->index, a->cell_name, text);
        remember(b, API_INSTANCE_RESCHEDULED, a, text);
    } else if (str_eq(kind, "not-spread")) {
        logs_printf(b->deps.logs, a->app_guid, "API", false, clock_wall_ns(),
                    "Instance %u stays where it is, its replacement on cell %s did not run: %s",
                    a->index, a->cell_name, text);
    } else if (str_eq(kind, "unknown")) { /* deleted meanwhile, or of after the database's backup */
        log_warn("stopping an instance that nothing in the database wants",
                 "app=%s process=%s index=%u instance=%s cell=%s", a->app_guid, a->process_guid,
                 a->index, a->instance_guid, a->cell_name);
    } else if (str_eq(kind, "cell-lost") || str_eq(kind, "failed")) {
        logs_printf(b->deps.logs, a->app_guid, "API", true, clock_wall_ns(),
                    "Instance %u on cell %s: %s", a->index, a->cell_name, text);
        remember(b, API_INSTANCE_RESCHEDULED, a, text);
    } else if (str_eq(kind, "task-waits")) {
        logs_printf(b->deps.logs, a->app_guid, "API", true, clock_wall_ns(),
                    "Task %s cannot be started yet, it is tried again: %s", a->process_type, text);
    }
}

static void on_cell(void *data, const struct lrp_cell_view *c) {
    (void)data;
    const char *state = lrp_cell_state(c);
    const char *name = log_quote(c->name);
    if (str_eq(state, "suspect"))
        log_warn("a cell has gone silent: its instances are replaced on others",
                 "cell=%s name=%s instances=%u", c->id, name, c->instances);
    else
        log_info(c->suspect ? "an emptied cell is gone" : "a silent cell is heard again",
                 "cell=%s name=%s instances=%u", c->id, name, c->instances);
}

/* --- tasks: what becomes of them is on disk before anything follows from it --- */

static void say_task(struct brain *b, const struct lrp_task_note *n) {
    if (n->state == LRP_TASK_SUCCEEDED)
        b->tasks_succeeded++;
    if (n->state != LRP_TASK_FAILED)
        return;
    b->tasks_failed++;
    logs_printf(b->deps.logs, n->app_guid, "API", true, clock_wall_ns(), "Task %s failed: %s",
                n->name, n->reason);
}

static int write_tasks(struct brain *b, const struct lrp_task_note *notes, size_t n,
                       struct error *err) {
    static const char *const states[] = {[LRP_TASK_PENDING] = "PENDING",
                                         [LRP_TASK_RUNNING] = "RUNNING",
                                         [LRP_TASK_SUCCEEDED] = "SUCCEEDED",
                                         [LRP_TASK_FAILED] = "FAILED"};
    int r = store_begin(b->deps.store, err);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const struct task_progress p = {notes[i].guid,          states[notes[i].state],
                                        notes[i].instance_guid, notes[i].cell_id,
                                        notes[i].reason,        notes[i].tries};
        r = store_task_progress(b->deps.store, &p, err);
    }
    if (r < 0) {
        store_rollback(b->deps.store);
        return r;
    }
    return store_commit(b->deps.store, err);
}

static int on_tasks(void *data, const struct lrp_task_note *notes, size_t n) {
    struct brain *b = data;
    struct error err = {0};
    int r = write_tasks(b, notes, n, &err);
    if (r < 0) {
        log_error("cannot write down what became of tasks; it is tried again", "tasks=%zu why=%s",
                  n, log_quote(err.msg));
        return r;
    }
    for (size_t i = 0; i < n; i++)
        say_task(b, &notes[i]);
    return 0;
}

/* --- made and freed --- */

int brain_new(struct brain **ret, const struct brain_deps *deps, struct error *err) {
    _cleanup_(brain_freep) struct brain *b = mem_zalloc(sizeof *b);
    int r;
    if (!b)
        return error_set(err, -ENOMEM, "out of memory");
    b->deps = *deps;
    b->converge_timer = evtimer_new(deps->loop, on_converge, b);
    b->notice_timer = evtimer_new(deps->loop, on_write_notices, b);
    if (!b->converge_timer || !b->notice_timer)
        return error_set(err, -ENOMEM, "out of memory");
    struct lrp_config config = {.presence_ms = BUS_PRESENCE_MS,
                                .converge_ms = CONVERGE_MS,
                                .settle_ms = BUS_PRESENCE_MS,
                                .drain_ms = DRAIN_MS,
                                .spread_quiet_ms = deps->spread_quiet_ms};
    random_bytes(&config.rng_seed, sizeof config.rng_seed);
    const struct lrp_ops ops = {.on_cell_changed = on_cell_changed,
                                .on_routes_changed = on_routes_changed,
                                .on_work = on_work,
                                .on_event = on_event,
                                .on_cell = on_cell,
                                .on_tasks = on_tasks,
                                .new_guid = on_new_guid,
                                .data = b};
    if ((r = lrp_new(&b->lrp, &config, &ops, clock_mono_ms(), err)) < 0)
        return r;
    arm(b->converge_timer, 0);
    *ret = TAKE_PTR(b);
    return 0;
}

void brain_free(struct brain *b) {
    if (!b)
        return;
    struct notice *c, *tmp;
    DL_FOREACH_SAFE (b->notices, c, tmp) {
        notice_free(c);
    }
    lrp_free(b->lrp);
    if (b->converge_timer)
        event_free(b->converge_timer);
    if (b->notice_timer)
        event_free(b->notice_timer);
    free(b);
}

struct lrp *brain_lrp(struct brain *b) {
    return b->lrp;
}
void brain_flush(struct brain *b) {
    while (b->notices)
        on_write_notices(-1, 0, b);
}
void brain_set_nodes(struct brain *b, struct nodes *nodes) {
    b->nodes = nodes;
}
void brain_set_rollouts(struct brain *b, struct rollouts *rollouts) {
    b->rollouts = rollouts;
}
void brain_set_api(struct brain *b, struct api *api) {
    b->api = api;
}

/* --- looking --- */

static void put_cell(void *arg, const struct lrp_cell_view *c) {
    strbuf_printf(arg,
                  "%s name=%s zone=%s address=%s state=%s instances=%u containers_free=%u/%u "
                  "memory_free_mb=%llu/%llu disk_free_mb=%llu/%llu\n",
                  c->id, c->name, c->zone, c->address, lrp_cell_state(c), c->instances,
                  c->containers_free, c->containers, (unsigned long long)c->memory_free_mb,
                  (unsigned long long)c->memory_mb, (unsigned long long)c->disk_free_mb,
                  (unsigned long long)c->disk_mb);
}

void brain_page(struct brain *b, struct strbuf *out) {
    lrp_cells(b->lrp, put_cell, out);
}

void brain_metrics(struct brain *b, struct strbuf *out) {
    struct lrp_totals t;
    struct lrp_counters n;
    struct lrp_image_totals im;
    lrp_totals(b->lrp, &t);
    lrp_counters(b->lrp, &n);
    lrp_image_totals(b->lrp, &im);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } metrics[] = {
        {"berth_cells", "gauge", "Cells that are heard.", t.cells},
        {"berth_instances_desired", "gauge", "Instances that should run.", t.desired},
        {"berth_instances_running", "gauge", "Instances that run and are healthy.", t.running},
        {"berth_instances_claimed", "gauge", "Instances that are being started.", t.claimed},
        {"berth_instances_unclaimed", "gauge", "Instances that wait for a cell.", t.unclaimed},
        {"berth_instances_crashed", "gauge", "Instances that wait after crashes.", t.crashed},
        {"berth_instances_suspect", "gauge", "Instances on silent cells.", t.suspect},
        {"berth_instances_evacuating", "gauge", "Instances still to leave their cells.",
         t.evacuating},
        {"berth_cells_silent", "gauge", "Cells that were heard in this run and are not now.",
         t.cells_silent},
        {"berth_cells_evacuating", "gauge", "Cells that are being emptied.", t.cells_evacuating},
        {"berth_cells_lost_total", "counter", "Times that a cell fell silent.", n.cells_lost},
        {"berth_cells_returned_total", "counter", "Times that a silent cell came back.",
         n.cells_returned},
        {"berth_evacuations_total", "counter", "Times that a cell began to be emptied.",
         n.evacuations},
        {"berth_instances_placed_total", "counter", "Instances given to a cell.", n.placed},
        {"berth_instances_lost_total", "counter", "Instances replaced for their cell's silence.",
         n.instances_lost},
        {"berth_instances_unknown_total", "counter",
         "Instances stopped that nothing in the database wanted.", n.instances_unknown},
        {"berth_instances_evacuated_total", "counter", "Replacements for evacuated instances.",
         n.instances_evacuated},
        {"berth_spread_moves_total", "counter", "Moves begun to spread the instances of a process.",
         n.spread_moves},
        {"berth_spread_moves_given_back_total", "counter",
         "Such moves whose replacement did not come to run.", n.spread_given_back},
        {"berth_tasks_pending", "gauge", "Tasks that do not run yet.", t.tasks_pending},
        {"berth_tasks_running", "gauge", "Tasks that run.", t.tasks_running},
        {"berth_tasks_succeeded_total", "counter", "Tasks that ended well.", b->tasks_succeeded},
        {"berth_tasks_failed_total", "counter", "Tasks that failed.", b->tasks_failed},
        {"berth_images", "gauge", "Images that apps and tasks run.", im.images},
        {"berth_images_scarce", "gauge", "Those of them that are not whole on two cells.",
         im.scarce},
        {"berth_settled", "gauge", "1 once known cells had their chance to report.",
         lrp_is_settled(b->lrp)},
        {"berth_convergences_total", "counter", "Convergences.", b->convergences},
        {"berth_convergence_slowest_ms", "gauge", "The longest convergence so far.", b->slowest_ms},
        {"berth_convergences_full_total", "counter", "Convergences of all processes.", b->passes},
        {"berth_crashes_total", "counter", "Crashes of instances.", b->crash_events},
        {"berth_crash_events_unwritten_total", "counter",
         "Crashes and moves whose audit event could not be written.", b->unwritten},
        {"berth_log_store_bytes", "gauge", "Memory held by recent log lines.",
         logs_bytes(b->deps.logs)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
        metric_put(out, metrics[i].name, metrics[i].type, metrics[i].help,
                   (double)metrics[i].value);
    metric_put(out, "berth_convergence_full_ms", "gauge",
               "What the last convergence of all processes took.", (double)b->full_ns / 1e6);
    const struct {
        const char *reason;
        uint64_t value;
    } failures[] = {{"memory", n.no_memory},
                    {"disk", n.no_disk},
                    {"containers", n.no_containers},
                    {"no_cell_has_both", n.no_both},
                    {"no_cell", n.no_cell}};
    strbuf_puts(out, "# HELP berth_place_failures_total Tries to place an instance that found no "
                     "cell, by what was short.\n# TYPE berth_place_failures_total counter\n");
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
        strbuf_printf(out, "berth_place_failures_total{reason=\"%s\"} %llu\n", failures[i].reason,
                      (unsigned long long)failures[i].value);
}
