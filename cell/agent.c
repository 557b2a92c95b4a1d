/* agent.c - who owns what, and who is told of what:
 *
 *   sync ---wanted, unwanted---> instances ---ops---> images, containers, health
 *    ^  ^                            |
 *    |  `----- report <--on_change---+---say, follow---> logs ---> outbox
 *    `------------------------------------------------- lines <------'
 */
#include "cell/agent.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <utlist.h>

#include "cell/agent_parts.h"
#include "cell/capacity.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define STATS_EVERY_S   15 /* Diego: container metrics interval */
#define FLUSH_AT_STOP_S 1  /* for log lines that wait */

struct tracked *agent_find(struct agent *a, const char *guid) {
    struct tracked *t;
    DL_FOREACH (a->instances, t)
        if (str_eq(instance_guid(t->in), guid))
            return t;
    return NULL;
}

/* --- what instances need (instance_host_ops) --- */

static uint64_t host_mono_ms(void *data) {
    (void)data;
    return clock_mono_ms();
}

static uint64_t host_wall_ns(void *data) {
    (void)data;
    return clock_wall_ns();
}

static void arm_deadline(struct agent *a) {
    uint64_t next = UINT64_MAX, now = clock_mono_ms();
    struct tracked *t;
    DL_FOREACH (a->instances, t)
        next = MIN(next, instance_deadline(t->in));
    if (next == UINT64_MAX) {
        event_del(a->deadline);
        return;
    }
    uint64_t ms = next > now ? next - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(a->deadline, &tv);
}

static void count_state(struct agent *a, struct tracked *t, const Berth__ActualLrp *lrp) {
    enum instance_state state = instance_state(t->in);
    a->counters.started += state == INSTANCE_STARTING;
    if (state == INSTANCE_DONE) {
        bool crashed = lrp->state == BERTH__INSTANCE_STATE__INSTANCE_CRASHED &&
                       *lrp->reason; /* a task that succeeded has none */
        a->counters.crashed += crashed;
        a->counters.stopped += !crashed;
        a->counters.platform_faults += crashed && lrp->platform_fault;
        a->counters.out_of_memory += crashed && lrp->out_of_memory;
    }
}

/* What a running instance uses now; rates are since it was last measured. */
static void measure(struct tracked *t) {
    Berth__InstanceStats told = BERTH__INSTANCE_STATS__INIT;
    struct container_stats stats;
    struct container *c = instance_container(t->in);
    uint64_t now = clock_mono_ms(), passed = now - t->sampled_ms;
    if (instance_state(t->in) != INSTANCE_RUNNING || container_stats(c, &stats, NULL) < 0)
        return;
    uint64_t bytes = t->follow ? log_follow_take_bytes(t->follow) : 0;
    if (t->sampled_ms && passed) {
        told.cpu = stats.cpu_ns > t->cpu_ns
                       ? (double)(stats.cpu_ns - t->cpu_ns) / 1e6 / (double)passed
                       : 0;
        told.log_rate_bytes_s = bytes * 1000 / passed;
    }
    told.memory_bytes = stats.memory_bytes;
    told.disk_bytes = stats.disk_bytes;
    t->cpu_ns = stats.cpu_ns;
    t->sampled_ms = now;
    instance_set_stats(t->in, &told);
}

/* What the cell is about to stop itself is told to be stopping already, so that no router sends it
 * anything by then. */
void agent_tell(struct agent *a, Berth__ActualLrp *lrp) {
    if (agent_gives_up_instances(a) && (lrp->state == BERTH__INSTANCE_STATE__INSTANCE_CLAIMED ||
                                        lrp->state == BERTH__INSTANCE_STATE__INSTANCE_RUNNING))
        lrp->state = BERTH__INSTANCE_STATE__INSTANCE_STOPPING;
    sync_put(a->sync, lrp);
}

static void host_on_change(void *data, struct instance *in) {
    struct agent *a = data;
    struct tracked *t = instance_owner(in);
    Berth__ActualLrp lrp;
    bool entered = instance_state(in) != t->logged;
    if (entered && instance_state(in) == INSTANCE_RUNNING)
        measure(t); /* users look at once */
    instance_describe(in, &lrp);
    if (entered) {
        t->logged = instance_state(in);
        log_info("instance", "guid=%s app=%s index=%u state=%s%s%s", lrp.instance_guid,
                 lrp.app_guid, lrp.index, instance_state_name(t->logged),
                 *lrp.reason ? " reason=" : "", *lrp.reason ? log_quote(lrp.reason) : "");
        count_state(a, t, &lrp);
    }
    arm_deadline(a);
    if (!a->sync)
        return; /* the agent is being freed */
    if (!t->acknowledged) {
        agent_tell(a, &lrp);
    } else if (instance_state(in) == INSTANCE_DONE) {
        sync_touch(a->sync); /* what it held is free now */
        event_active(a->reap, EV_TIMEOUT, 0);
    }
}

static void host_say(void *data, struct instance *in, const char *source_type,
                     Berth__LogStream stream, const char *text) {
    struct agent *a = data;
    struct tracked *t = instance_owner(in);
    logs_say(a->logs, t->origin, source_type, stream, clock_wall_ns(), text);
}

static void host_follow(void *data, struct instance *in) {
    struct agent *a = data;
    struct tracked *t = instance_owner(in);
    struct error err = {0};
    _cleanup_(freep) char *position =
        str_printf("%s/log.position", container_dir(instance_container(in)));
    struct log_source source = {
        .path = container_log_path(instance_container(in)),
        .position_path = position,
        .origin = t->origin,
        .rate_limit = instance_assignment(in)->lrp->log_rate_bytes_s,
    };
    if (!position || logs_follow(a->logs, &source, &t->follow, &err) < 0)
        log_error("cannot follow the log of an instance", "guid=%s why=%s", instance_guid(in),
                  log_quote(err.msg));
}

static void host_unfollow(void *data, struct instance *in) {
    struct tracked *t = instance_owner(in);
    (void)data;
    if (!t->follow)
        return;
    log_follow_finish(t->follow);
    log_follow_free(t->follow);
    t->follow = NULL;
}

static int host_keep(void *data, struct instance *in, const Berth__InstanceRecord *record) {
    struct agent *a = data;
    struct error err = {0};
    bool once = instance_assignment(in)->lrp->task; /* a host that comes back must still know it */
    int r = records_keep(a->records, instance_guid(in), record, once, &err);
    if (r < 0)
        log_error("cannot keep the record of an instance", "guid=%s why=%s", instance_guid(in),
                  log_quote(err.msg));
    return r;
}

static int host_keep_packed(void *data, const char *guid, const void *bytes, size_t n,
                            struct error *err) {
    return records_keep_packed(((struct agent *)data)->records, guid, bytes, n, true, err);
}

static const struct instance_host_ops host_ops = {
    host_mono_ms, host_wall_ns,  host_on_change, host_say,
    host_follow,  host_unfollow, host_keep,      host_keep_packed,
};
static const struct image_ops image_ops = {
    image_pull_start,
    image_pull_cancel,
    image_lease_adopt,
    image_lease_free,
};
static const struct runtime_ops runtime_ops = {
    container_create,    container_signal_stop, container_kill,      container_destroy,
    container_set_owner, container_ip,          container_host_port, container_pid,
};
static const struct health_ops health_ops = {health_new, health_free};

/* --- instances --- */

static void untrack(struct tracked *t) {
    if (t->follow)
        log_follow_free(t->follow);
    DL_DELETE(t->agent->instances, t);
    instance_free(t->in);
    outbox_origin_unref(t->origin);
    free(t);
}

struct tracked *agent_track(struct agent *a, const Berth__Assignment *assignment,
                            struct error *err) {
    const struct instance_deps deps = {
        .loop = a->loop,
        .images = &image_ops,
        .store = a->store,
        .runtime = &runtime_ops,
        .engine = a->engine,
        .health = &health_ops,
        .host = &host_ops,
        .host_data = a,
        .defaults = &a->defaults,
        .cell_name = a->settings->name,
        .address = a->settings->address,
    };
    struct tracked *t = mem_zalloc(sizeof *t);
    if (!t) {
        error_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    t->agent = a;
    t->logged = INSTANCE_STATES;
    DL_APPEND(a->instances, t);
    if (instance_new(&t->in, &deps, assignment, err) == 0) {
        t->origin = outbox_origin_new(assignment->lrp->app_guid, instance_source_type(t->in),
                                      assignment->index);
        instance_set_owner(t->in, t);
    }
    if (t->origin)
        return t;
    untrack(t);
    return NULL;
}

static bool has_ended(const struct agent *a, const char *guid) {
    for (size_t i = 0; i < ENDED_KEPT; i++)
        if (str_eq(a->ended[i], guid))
            return true;
    return false;
}

static void remember_ended(struct agent *a, const char *guid) {
    snprintf(a->ended[a->ended_next], sizeof a->ended[0], "%s", guid);
    a->ended_next = (a->ended_next + 1) % ENDED_KEPT;
}

/* Frees what is over and told. Not from inside an instance's own callback. */
static void on_reap(evutil_socket_t fd, short what, void *arg) {
    struct agent *a = arg;
    struct tracked *t, *tmp;
    (void)fd, (void)what;
    DL_FOREACH_SAFE (a->instances, t, tmp) {
        if (instance_state(t->in) != INSTANCE_DONE || !t->acknowledged)
            continue;
        records_forget(a->records, instance_guid(t->in));
        untrack(t);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg) {
    struct agent *a = arg;
    struct tracked *t;
    (void)fd, (void)what;
    DL_FOREACH (a->instances, t)
        instance_tick(t->in);
    arm_deadline(a);
}

static void on_stats(evutil_socket_t fd, short what, void *arg) {
    struct agent *a = arg;
    struct tracked *t;
    (void)fd, (void)what;
    DL_FOREACH (a->instances, t) {
        if (instance_state(t->in) != INSTANCE_RUNNING)
            continue;
        Berth__ActualLrp lrp;
        measure(t);
        instance_describe(t->in, &lrp);
        agent_tell(a, &lrp);
    }
}

/* --- what the controller says --- */

static void on_wanted(void *data, const Berth__Assignment *assignment) {
    struct agent *a = data;
    struct error err = {0};
    if (a->stopping || agent_gives_up_instances(a) || agent_find(a, assignment->instance_guid) ||
        has_ended(a, assignment->instance_guid))
        return;
    struct tracked *t = NULL;
    if (wanted_check(assignment, &err) == 0)
        t = agent_track(a, assignment, &err);
    if (t)
        instance_begin(t->in);
    else
        log_error("cannot take an instance", "why=%s", log_quote(err.msg));
}

static void on_unwanted(void *data, const char *guid) {
    struct tracked *t = agent_find(data, guid);
    if (t)
        instance_stop(t->in);
}

static void on_complete(void *data) {
    struct agent *a = data;
    struct tracked *t;
    DL_FOREACH (a->instances, t)
        if (!sync_is_wanted(a->sync, instance_guid(t->in)))
            instance_stop(t->in);
}

static void on_final(void *data, const char *guid) {
    struct agent *a = data;
    struct tracked *t = agent_find(a, guid);
    remember_ended(a, guid);
    if (!t)
        return;
    t->acknowledged = true;
    event_active(a->reap, EV_TIMEOUT, 0);
}

void agent_free_capacity(const struct agent *a, Berth__Capacity *ret) {
    struct tracked *t;
    *ret = a->total;
    DL_FOREACH (a->instances, t) {
        const Berth__DesiredLrp *lrp = instance_assignment(t->in)->lrp;
        if (instance_state(t->in) != INSTANCE_DONE)
            capacity_take(ret, lrp->memory_mb, lrp->disk_mb);
    }
}

static void free_capacity(void *data, Berth__Capacity *ret) {
    agent_free_capacity(data, ret);
}

static void on_room(void *data) {
    struct agent *a = data;
    logs_resume(a->logs);
    if (a->stopping && outbox_is_empty(a->outbox))
        event_base_loopexit(a->loop, NULL);
}

static void on_lines(void *data) {
    struct agent *a = data;
    if (a->sync)
        sync_kick_logs(a->sync);
}

static void on_container_exit(void *data, struct container *c, const struct container_exit *exit) {
    struct tracked *t = NULL;
    struct instance *in = container_owner(c);
    (void)data;
    if (in)
        t = instance_owner(in);
    if (t)
        instance_exited(in, exit);
}

/* --- building --- */

static int open_store(struct agent *a, struct error *err) {
    const struct settings *s = a->settings;
    const struct image_limits limits = {
        .max_layer_bytes = s->max_layer,
        .max_image_bytes = s->max_image,
        .max_entries = s->max_entries,
        .max_ratio = (unsigned)s->max_ratio,
        .cache_bytes = s->cache,
        .threads = (unsigned)s->pull_threads,
    };
    _cleanup_(freep) char *dir = str_printf("%s/images", s->state_dir);
    if (!dir)
        return error_set(err, -ENOMEM, "out of memory");
    int r = image_store_new(&a->store, a->loop, dir, s->registries, a->peers, &limits, err);
    return r < 0 ? error_wrap(err, "image store") : 0;
}

static int open_records(struct agent *a, struct error *err) {
    _cleanup_(freep) char *dir = str_printf("%s/instances", a->settings->state_dir);
    return dir ? records_open(&a->records, dir, err) : error_set(err, -ENOMEM, "out of memory");
}

static int open_sync(struct agent *a, struct error *err) {
    const struct settings *s = a->settings;
    Berth__Hello hello = BERTH__HELLO__INIT;
    hello.name = s->name;
    hello.zone = s->zone;
    hello.address = s->address;
    hello.version = (char *)(uintptr_t)BERTH_VERSION;
    hello.capacity = &a->total;
    const struct sync_config config = {
        .identity = &a->identity,
        .control_url = s->controller,
        .logs_url = s->controller_logs,
        .hello = &hello,
        .outbox = a->outbox,
        .giver = &a->giver,
    };
    const struct sync_ops ops = {
        .wanted = {on_wanted, on_unwanted, on_complete, a},
        .layers = {agent_on_places, agent_on_keep, a},
        .on_final = on_final,
        .on_room = on_room,
        .free_capacity = free_capacity,
        .data = a,
    };
    return sync_new(&a->sync, a->loop, &config, &ops, err);
}

static int make_timers(struct agent *a, struct error *err) {
    const struct timeval every = {.tv_sec = STATS_EVERY_S};
    a->deadline = evtimer_new(a->loop, on_deadline, a);
    a->reap = event_new(a->loop, -1, 0, on_reap, a);
    a->stats = event_new(a->loop, -1, EV_PERSIST, on_stats, a);
    if (!a->deadline || !a->reap || !a->stats || event_add(a->stats, &every) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

int agent_new(struct agent **ret, struct event_base *loop, const struct settings *settings,
              struct error *err) {
    _cleanup_(agent_freep) struct agent *a = mem_zalloc(sizeof *a);
    const struct container_ops container_ops = {on_container_exit, a};
    int r;
    if (!a)
        return error_set(err, -ENOMEM, "out of memory");
    a->lock = -1;
    a->loop = loop;
    a->settings = settings;
    a->defaults = (struct launch_defaults){
        .disk_bytes = settings->default_disk,
        .pids = (uint32_t)settings->default_pids,
        .nofile = (uint32_t)settings->default_nofile,
    };
    if ((r = agent_lock(settings, &a->lock, err)) < 0 ||
        (r = bus_identity_read(settings->key_file, &a->identity, err)) < 0 ||
        (r = capacity_total(settings, &a->total, err)) < 0 || (r = make_timers(a, err)) < 0 ||
        (r = open_records(a, err)) < 0 || (r = agent_open_peers(a, err)) < 0 ||
        (r = open_store(a, err)) < 0 ||
        (r = outbox_new(&a->outbox, settings->log_buffer, err)) < 0 ||
        (r = logs_new(&a->logs, loop, a->outbox, on_lines, a, err)) < 0 ||
        (r = agent_open_engine(&a->engine, loop, settings, err)) < 0 || (r = open_sync(a, err)) < 0)
        return r;
    container_engine_set_ops(a->engine, &container_ops);
    if ((r = agent_adopt(a, err)) < 0 || (r = agent_start_giving(a, err)) < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

/* In the order of who may still call whom: the engine tells its last jobs when it ends. */
void agent_free(struct agent *a) {
    if (!a)
        return;
    sync_free(a->sync);
    a->sync = NULL;
    container_engine_free(a->engine);
    while (a->instances)
        untrack(a->instances);
    peer_server_free(a->peer_server);
    image_store_free(a->store);
    peers_free(a->peers);
    logs_free(a->logs);
    outbox_free(a->outbox);
    records_free(a->records);
    struct event *const events[] = {a->deadline, a->reap, a->stats, a->flush, a->evacuation_look};
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        if (events[i])
            event_free(events[i]);
    close_fdp(&a->lock);
    mem_wipe(&a->identity, sizeof a->identity);
    free(a);
}

void agent_stop(struct agent *a) {
    const struct timeval flush = {.tv_sec = FLUSH_AT_STOP_S};
    a->stopping = true;
    event_base_loopexit(a->loop,
                        sync_is_up(a->sync) && !outbox_is_empty(a->outbox) ? &flush : NULL);
}
