/* instance.c
 *
 *   RESERVED -> PULLING -> CREATING -> STARTING -> RUNNING -> STOPPING -> DESTROYING -> DONE
 *      |           |          |           |           |    \     |  \         ^          ^
 *      |           |      ABANDONING      `-----------'     \    | KILLING    |          |
 *      |           |          |             ended by itself  `---+----'-------'          |
 *      `-----------+----------'-- never had a container ---------------------------------'
 *
 * The table below is the whole behaviour: in this state, on this event, go to that state and do
 * this. What is not in it is ignored (a stop of what is stopping, an exit after the end). The
 * outcome (CRASHED or STOPPED, and why) is set once, by the action that goes to DESTROYING or DONE,
 * and is on disk before it is told. */
#include "cell/instance.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell/listeners.h"
#include "common/base/str.h"

#define NO_DEADLINE      UINT64_MAX
#define MEGABYTE         1e6
#define PROGRESS_EVERY   2000 /* ms between log lines of a slow download */
#define PROGRESS_STEP    10   /* per cent between them of a fast one ... */
#define PROGRESS_AT_MOST 500  /* ... and ms between these */
#define DETAIL_MAX       128

#define OUT BERTH__LOG_STREAM__LOG_OUT
#define ERR BERTH__LOG_STREAM__LOG_ERR

enum event_kind {
    EVENT_NONE,
    EVENT_BEGIN,
    EVENT_ADOPT_STARTING, /* a container found: never healthy yet, ... */
    EVENT_ADOPT_RUNNING,  /* ... healthy once, ... */
    EVENT_ADOPT_STOPPING, /* ... being stopped, ... */
    EVENT_ADOPT_ENDED,    /* ... or with its outcome known */
    EVENT_STOP,
    EVENT_PULLED,
    EVENT_CREATED,
    EVENT_FAILED, /* pull, creation or removal, by the state */
    EVENT_HEALTHY,
    EVENT_UNHEALTHY,
    EVENT_EXITED,
    EVENT_DEADLINE,
    EVENT_DESTROYED,
};

/* An event with what came along. */
struct happening {
    enum event_kind kind;
    const struct error *err;           /* FAILED */
    const struct container_exit *exit; /* EXITED */
    const char *detail;                /* UNHEALTHY */
    uint64_t after_ms;
};

struct instance {
    struct instance_deps deps;
    Berth__Assignment *assignment; /* owned */
    char *source_type;             /* owned */
    enum instance_state state;
    uint64_t deadline;
    void *owner;

    struct image_pull *pull;     /* PULLING */
    struct image_lease *lease;   /* owned; from PULLED on */
    struct container *container; /* from CREATED to DESTROYED; the engine's */
    struct health *health;       /* owned; STARTING and RUNNING */
    uint64_t destroy_delay_ms;

    bool stop_wanted;
    bool killed; /* did not end within the grace */
    enum { OUTCOME_NONE, OUTCOME_STOPPED, OUTCOME_CRASHED } outcome;
    bool platform_fault, out_of_memory;
    int exit_status;
    char reason[INSTANCE_REASON_MAX + 1];

    uint64_t since_wall_ns, running_since_wall_ns;
    uint64_t pull_begun_ms, pull_told_ms, pull_told_percent, pull_bytes;
    char detail[DETAIL_MAX];
    Berth__InstanceStats stats;
    bool has_stats;
    Berth__PortMapping *ports; /* owned; all of them published */
    Berth__PortMapping **port_pointers;
    size_t port_count;
    struct error failure; /* what a FAILED event points to */
};

static void handle(struct instance *in, const struct happening *first);
static Berth__InstanceState end_of(const struct instance *in);
static void describe(const struct instance *in, Berth__InstanceState state, Berth__ActualLrp *ret);

/* --- small things -------------------------------------------------------------------------------
 */

static const Berth__DesiredLrp *lrp_of(const struct instance *in) {
    return in->assignment->lrp;
}

static uint64_t now_ms(const struct instance *in) {
    return in->deps.host->mono_ms(in->deps.host_data);
}

static void changed(struct instance *in) {
    in->deps.host->on_change(in->deps.host_data, in);
}

static void say(struct instance *in, const char *source, Berth__LogStream stream, const char *fmt,
                ...) __attribute__((format(printf, 4, 5)));
static void say(struct instance *in, const char *source, Berth__LogStream stream, const char *fmt,
                ...) {
    char text[INSTANCE_REASON_MAX + 256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    in->deps.host->say(in->deps.host_data, in, source, stream, text);
}

static void set_reason(struct instance *in, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_reason(struct instance *in, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(in->reason, sizeof in->reason, fmt, ap);
    va_end(ap);
    /* What was cut in the middle of a character, or came from a hostile image. */
    for (size_t n = strlen(in->reason); n && !str_is_utf8(in->reason, n); n--)
        in->reason[n - 1] = 0;
}

static void keep(struct instance *in) {
    Berth__InstanceRecord record = BERTH__INSTANCE_RECORD__INIT;
    Berth__ActualLrp outcome;
    record.running_since_wall_ns = in->running_since_wall_ns;
    record.stop_wanted = in->stop_wanted;
    if (in->outcome != OUTCOME_NONE) {
        describe(in, end_of(in), &outcome);
        record.outcome = &outcome;
    }
    in->deps.host->keep(in->deps.host_data, in, &record);
}

static void conclude(struct instance *in, int outcome) {
    assert(in->outcome == OUTCOME_NONE);
    in->outcome = outcome;
    in->since_wall_ns = in->deps.host->wall_ns(in->deps.host_data);
    keep(in);
}

static enum event_kind failed(struct instance *in, int code, const struct error *err) {
    if (err != &in->failure)
        in->failure = err ? *err : (struct error){.code = code, .msg = "unknown error"};
    return EVENT_FAILED;
}

static void end_health(struct instance *in) {
    if (in->health)
        in->deps.health->stop(in->health);
    in->health = NULL;
}

/* --- callbacks: unpack, handle -------------------------------------------------------------------
 */

static void on_pull_progress(void *data, uint64_t done, uint64_t total);

static void on_pulled(void *data, struct image_lease *lease, const struct error *err) {
    struct instance *in = data;
    in->pull = NULL;
    in->lease = lease;
    enum event_kind kind = lease ? EVENT_PULLED : failed(in, -EIO, err);
    handle(in, &(struct happening){.kind = kind, .err = &in->failure});
}

static void on_created(void *arg, struct container *c, const struct error *err) {
    struct instance *in = arg;
    in->container = c;
    enum event_kind kind = c ? EVENT_CREATED : failed(in, -EIO, err);
    handle(in, &(struct happening){.kind = kind, .err = &in->failure});
}

static void on_destroyed(void *arg, const struct error *err) {
    struct instance *in = arg;
    if (!err)
        in->container = NULL;
    enum event_kind kind = err ? failed(in, -EIO, err) : EVENT_DESTROYED;
    handle(in, &(struct happening){.kind = kind, .err = &in->failure});
}

static void on_healthy(void *data) {
    handle(data, &(struct happening){.kind = EVENT_HEALTHY});
}

static void on_unhealthy(void *data, uint64_t after_ms, const char *detail) {
    handle(data,
           &(struct happening){.kind = EVENT_UNHEALTHY, .after_ms = after_ms, .detail = detail});
}

/* --- pull ----------------------------------------------------------------------------------------
 */

static enum event_kind do_pull(struct instance *in, const struct happening *h) {
    const struct image_pull_ops ops = {on_pull_progress, on_pulled, in};
    (void)h;
    say(in, "CELL", OUT, "Cell %s creating container for instance %s", in->deps.cell_name,
        instance_guid(in));
    snprintf(in->detail, sizeof in->detail, "fetching the image");
    in->pull_begun_ms = now_ms(in);
    int r = in->deps.images->pull(in->deps.store, lrp_of(in)->image, &ops, &in->pull, &in->failure);
    return r < 0 ? failed(in, r, &in->failure) : EVENT_NONE;
}

/* Tells the app's log at the start, then every tenth of a fast download or every 2 s of a slow
 * one. */
static void on_pull_progress(void *data, uint64_t done, uint64_t total) {
    struct instance *in = data;
    uint64_t percent = total ? MIN(done, total) * 100 / total : 0;
    uint64_t now = now_ms(in), since = now - in->pull_told_ms;
    if (!total || in->state != INSTANCE_PULLING)
        return;
    snprintf(in->detail, sizeof in->detail, "downloading %.1f/%.1f MB", (double)done / MEGABYTE,
             (double)total / MEGABYTE);
    if (!in->pull_bytes)
        say(in, "CELL", OUT, "Downloading image %s: %.1f MB", lrp_of(in)->image->reference,
            (double)total / MEGABYTE);
    else if (done < total &&
             (since >= PROGRESS_EVERY ||
              (percent >= in->pull_told_percent + PROGRESS_STEP && since >= PROGRESS_AT_MOST)))
        say(in, "CELL", OUT, "Downloading image %s: %.1f of %.1f MB (%u%%)",
            lrp_of(in)->image->reference, (double)done / MEGABYTE, (double)total / MEGABYTE,
            (unsigned)percent);
    else
        return changed(in);
    in->pull_bytes = total;
    in->pull_told_ms = now;
    in->pull_told_percent = percent;
    changed(in);
}

static enum event_kind do_cancel_pull(struct instance *in, const struct happening *h) {
    (void)h;
    in->deps.images->cancel(in->pull);
    in->pull = NULL;
    conclude(in, OUTCOME_STOPPED);
    return EVENT_NONE;
}

/* --- creation ------------------------------------------------------------------------------------
 */

/* Whose fault is it? What the user can mend is the app's, and counts as a crash. */
static bool is_platform_fault(int code) {
    switch (-code) {
    case EBADMSG: /* wrong digest, malformed or hostile layer */
    case EFBIG:   /* too large, or a decompression bomb */
    case EINVAL:
    case ENOENT: /* gone from the registry */
    case EACCES: /* wrong or missing credentials */
    case ENOTSUP:
    case EPROTO:
        return false;
    default:
        return true;
    }
}

static void not_created(struct instance *in, const char *what) {
    in->platform_fault = is_platform_fault(in->failure.code);
    set_reason(in, "failed to create container: %s%s", what, in->failure.msg);
    say(in, "CELL", ERR, "Cell %s failed to create container for instance %s: %s%s",
        in->deps.cell_name, instance_guid(in), what, in->failure.msg);
    conclude(in, OUTCOME_CRASHED);
}

static enum event_kind do_pull_failed(struct instance *in, const struct happening *h) {
    char what[256];
    (void)h;
    snprintf(what, sizeof what, "image %s: ", lrp_of(in)->image->reference);
    not_created(in, what);
    return EVENT_NONE;
}

static enum event_kind do_create_failed(struct instance *in, const struct happening *h) {
    (void)h;
    not_created(in, "");
    return EVENT_NONE;
}

static enum event_kind do_create(struct instance *in, const struct happening *h) {
    _cleanup_(launch_fini) struct launch launch = {0};
    char took[32];
    int r;
    (void)h;
    if (in->pull_bytes) {
        health_format_duration(now_ms(in) - in->pull_begun_ms, took, sizeof took);
        say(in, "CELL", OUT, "Downloaded image %s: %.1f MB in %s", lrp_of(in)->image->reference,
            (double)in->pull_bytes / MEGABYTE, took);
    }
    snprintf(in->detail, sizeof in->detail, "creating the container");
    r = launch_prepare(&launch, in->assignment, in->lease, in->deps.defaults,
                       in->deps.host->wall_ns(in->deps.host_data), &in->failure);
    if (r == 0)
        r = in->deps.runtime->create(in->deps.engine, &launch.spec, on_created, in, &in->failure);
    return r < 0 ? failed(in, r, &in->failure) : EVENT_NONE;
}

/* The container is ours from here on. */
static void take_container(struct instance *in) {
    in->deps.runtime->set_owner(in->container, in);
    for (size_t i = 0; i < lrp_of(in)->n_ports; i++) {
        Berth__PortMapping *p = &in->ports[in->port_count];
        berth__port_mapping__init(p);
        p->container_port = lrp_of(in)->ports[i];
        p->host_port = in->deps.runtime->host_port(in->container, (uint16_t)p->container_port);
        if (p->host_port)
            in->port_pointers[in->port_count++] = p;
    }
    in->deps.host->follow(in->deps.host_data, in);
}

static enum event_kind do_abandon(struct instance *in, const struct happening *h) {
    (void)in, (void)h;
    in->stop_wanted = true; /* nothing to keep yet: without a container it is forgotten anyway */
    return EVENT_NONE;
}

/* --- health --------------------------------------------------------------------------------------
 */

static enum event_kind watch_health(struct instance *in, bool was_healthy) {
    const Berth__HealthCheck *check = lrp_of(in)->health;
    const struct health_callbacks callbacks = {on_healthy, on_unhealthy, in};
    struct health_config config = {
        .type = HEALTH_PORT,
        .ip = in->deps.runtime->ip(in->container),
        .was_healthy = was_healthy,
    };
    if (check) {
        config.type = check->type == BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_HTTP ? HEALTH_HTTP
                      : check->type == BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PROCESS
                          ? HEALTH_PROCESS
                          : HEALTH_PORT;
        config.path = check->endpoint;
        config.timeout_ms = check->timeout_s * 1000;
        config.invocation_ms = check->invocation_timeout_s * 1000;
        config.interval_ms = check->interval_s * 1000;
    }
    if (lrp_of(in)->n_ports)
        config.port = (uint16_t)lrp_of(in)->ports[0]; /* the routed one: Diego asks all of them */
    else
        config.type = HEALTH_PROCESS;
    if (config.type != HEALTH_PROCESS && !was_healthy)
        say(in, "CELL", OUT, "Starting health monitoring of container");
    snprintf(in->detail, sizeof in->detail,
             config.type == HEALTH_PROCESS ? "starting the app"
                                           : "waiting for the app to answer on port %u",
             config.port);
    int r = in->deps.health->start(&in->health, in->deps.loop, &config, &callbacks, &in->failure);
    return r < 0 ? EVENT_UNHEALTHY : EVENT_NONE;
}

static enum event_kind do_started(struct instance *in, const struct happening *h) {
    (void)h;
    say(in, "CELL", OUT, "Cell %s successfully created container for instance %s",
        in->deps.cell_name, instance_guid(in));
    take_container(in);
    return watch_health(in, false);
}

static enum event_kind do_adopt_starting(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in);
    return watch_health(in, false);
}

static enum event_kind do_adopt_running(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in);
    return watch_health(in, true);
}

static enum event_kind do_running(struct instance *in, const struct happening *h) {
    (void)h;
    if (lrp_of(in)->n_ports &&
        (!lrp_of(in)->health ||
         lrp_of(in)->health->type != BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PROCESS))
        say(in, "CELL", OUT, "Container became healthy");
    in->running_since_wall_ns = in->since_wall_ns;
    keep(in);
    return EVENT_NONE;
}

/* --- the end: signals and exits
 * ------------------------------------------------------------------- */

static void send_stop(struct instance *in) {
    end_health(in);
    in->deadline = now_ms(in) + INSTANCE_STOP_GRACE_MS;
    in->deps.runtime->signal_stop(in->container);
}

static enum event_kind do_stop(struct instance *in, const struct happening *h) {
    (void)h;
    say(in, "CELL", OUT, "Cell %s stopping instance %s", in->deps.cell_name, instance_guid(in));
    in->stop_wanted = true;
    keep(in); /* an agent that is killed now will know that the exit to come was asked for */
    send_stop(in);
    return EVENT_NONE;
}

static enum event_kind do_adopt_stopping(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in);
    send_stop(in);
    return EVENT_NONE;
}

/* The reason is set now; that it crashed is concluded from it when the process has ended. */
static void unhealthy(struct instance *in, const struct happening *h, const char *what,
                      const char *hint) {
    const char *detail = h->detail ? h->detail : in->failure.msg;
    say(in, "HEALTH", ERR, "%s", detail);
    if (*hint)
        say(in, "HEALTH", ERR, "%s", hint);
    set_reason(in, "Instance %s: %s%s%s", what, detail, *hint ? "; " : "", hint);
    send_stop(in);
}

static enum event_kind do_never_healthy(struct instance *in, const struct happening *h) {
    char took[32], what[64], hint[512] = "";
    health_format_duration(h->after_ms, took, sizeof took);
    snprintf(what, sizeof what, "never healthy after %s", took);
    if (lrp_of(in)->n_ports)
        listeners_of(in->deps.runtime->pid(in->container), (uint16_t)lrp_of(in)->ports[0], hint,
                     sizeof hint);
    say(in, "CELL", ERR, "Failed after %s: startup health check never passed.", took);
    unhealthy(in, h, what, hint);
    return EVENT_NONE;
}

static enum event_kind do_unhealthy(struct instance *in, const struct happening *h) {
    say(in, "CELL", ERR, "Container became unhealthy");
    unhealthy(in, h, "became unhealthy", "");
    return EVENT_NONE;
}

static enum event_kind do_kill(struct instance *in, const struct happening *h) {
    (void)h;
    in->killed = true;
    in->deadline = now_ms(in) + INSTANCE_KILL_WAIT_MS;
    in->deps.runtime->kill(in->container);
    return EVENT_NONE;
}

static enum event_kind destroy(struct instance *in) {
    int r = in->deps.runtime->destroy(in->container, on_destroyed, in, &in->failure);
    return r < 0 ? failed(in, r, &in->failure) : EVENT_NONE;
}

static enum event_kind begin_destroy(struct instance *in) {
    say(in, "CELL", OUT, "Cell %s destroying container for instance %s", in->deps.cell_name,
        instance_guid(in));
    return destroy(in);
}

/* The exit in Diego's words: a log line, and the reason of a crash that nothing else explains. */
static void tell_exit(struct instance *in, const struct container_exit *exit) {
    const char *oom = exit->out_of_memory && exit->status ? " (out of memory)" : "";
    in->exit_status = exit->status;
    in->out_of_memory = *oom != 0;
    if (exit->unknown) {
        in->platform_fault = !in->stop_wanted && !*in->reason;
        say(in, NULL, ERR, "Exit status unknown: the container's monitor has died");
        if (!*in->reason)
            set_reason(in, "%s: Exited, its status is lost: the container's monitor has died",
                       in->source_type);
        return;
    }
    say(in, NULL, OUT, "Exit status %d%s%s", exit->status,
        in->killed ? " (exceeded 10s graceful shutdown interval)" : "", oom);
    if (!*in->reason)
        set_reason(in, "%s: Exited with status %d%s", in->source_type, exit->status, oom);
}

static enum event_kind do_exited(struct instance *in, const struct happening *h) {
    end_health(in);
    in->deps.host->unfollow(in->deps.host_data, in);
    bool crashed = !in->stop_wanted || *in->reason;
    tell_exit(in, h->exit);
    conclude(in, crashed ? OUTCOME_CRASHED : OUTCOME_STOPPED);
    return begin_destroy(in);
}

/* Not even SIGKILL brought news of an exit: the engine's removal kills what is left. */
static enum event_kind do_give_up(struct instance *in, const struct happening *h) {
    (void)h;
    in->deps.host->unfollow(in->deps.host_data, in);
    in->exit_status = 137;
    say(in, NULL, ERR, "No exit status %d s after SIGKILL", INSTANCE_KILL_WAIT_MS / 1000);
    conclude(in, *in->reason ? OUTCOME_CRASHED : OUTCOME_STOPPED);
    return begin_destroy(in);
}

static enum event_kind do_discard(struct instance *in, const struct happening *h) {
    (void)h;
    in->deps.runtime->set_owner(in->container, in);
    conclude(in, OUTCOME_STOPPED);
    return begin_destroy(in);
}

static enum event_kind do_adopt_ended(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in); /* for the last lines, if the agent died before they were told */
    in->deps.host->unfollow(in->deps.host_data, in);
    return begin_destroy(in);
}

static enum event_kind do_stop_unmade(struct instance *in, const struct happening *h) {
    (void)h;
    conclude(in, OUTCOME_STOPPED);
    return EVENT_NONE;
}

static enum event_kind do_retry_later(struct instance *in, const struct happening *h) {
    (void)h;
    if (!in->destroy_delay_ms) /* once: the retries are the agent's business */
        say(in, "CELL", ERR, "Cell %s failed to destroy container for instance %s: %s",
            in->deps.cell_name, instance_guid(in), in->failure.msg);
    in->destroy_delay_ms = in->destroy_delay_ms
                               ? MIN(2 * in->destroy_delay_ms, (uint64_t)INSTANCE_DESTROY_MAX_MS)
                               : INSTANCE_DESTROY_RETRY_MS;
    in->deadline = now_ms(in) + in->destroy_delay_ms;
    return EVENT_NONE;
}

static enum event_kind do_destroy_again(struct instance *in, const struct happening *h) {
    (void)h;
    return destroy(in);
}

static enum event_kind do_destroyed(struct instance *in, const struct happening *h) {
    (void)h;
    say(in, "CELL", OUT, "Cell %s successfully destroyed container for instance %s",
        in->deps.cell_name, instance_guid(in));
    if (in->lease)
        in->deps.images->release(in->lease);
    in->lease = NULL;
    return EVENT_NONE;
}

/* --- the table -----------------------------------------------------------------------------------
 */

static const struct transition {
    enum instance_state from;
    enum event_kind on;
    enum instance_state to;
    enum event_kind (*action)(struct instance *in, const struct happening *h); /* what follows */
} transitions[] = {
    {INSTANCE_RESERVED, EVENT_BEGIN, INSTANCE_PULLING, do_pull},
    {INSTANCE_RESERVED, EVENT_STOP, INSTANCE_DONE, do_stop_unmade},
    {INSTANCE_RESERVED, EVENT_ADOPT_STARTING, INSTANCE_STARTING, do_adopt_starting},
    {INSTANCE_RESERVED, EVENT_ADOPT_RUNNING, INSTANCE_RUNNING, do_adopt_running},
    {INSTANCE_RESERVED, EVENT_ADOPT_STOPPING, INSTANCE_STOPPING, do_adopt_stopping},
    {INSTANCE_RESERVED, EVENT_ADOPT_ENDED, INSTANCE_DESTROYING, do_adopt_ended},

    {INSTANCE_PULLING, EVENT_PULLED, INSTANCE_CREATING, do_create},
    {INSTANCE_PULLING, EVENT_FAILED, INSTANCE_DONE, do_pull_failed},
    {INSTANCE_PULLING, EVENT_STOP, INSTANCE_DONE, do_cancel_pull},

    {INSTANCE_CREATING, EVENT_CREATED, INSTANCE_STARTING, do_started},
    {INSTANCE_CREATING, EVENT_FAILED, INSTANCE_DONE, do_create_failed},
    {INSTANCE_CREATING, EVENT_STOP, INSTANCE_ABANDONING, do_abandon},

    {INSTANCE_ABANDONING, EVENT_CREATED, INSTANCE_DESTROYING, do_discard},
    {INSTANCE_ABANDONING, EVENT_FAILED, INSTANCE_DONE, do_stop_unmade},

    {INSTANCE_STARTING, EVENT_HEALTHY, INSTANCE_RUNNING, do_running},
    {INSTANCE_STARTING, EVENT_UNHEALTHY, INSTANCE_STOPPING, do_never_healthy},
    {INSTANCE_STARTING, EVENT_EXITED, INSTANCE_DESTROYING, do_exited},
    {INSTANCE_STARTING, EVENT_STOP, INSTANCE_STOPPING, do_stop},

    {INSTANCE_RUNNING, EVENT_UNHEALTHY, INSTANCE_STOPPING, do_unhealthy},
    {INSTANCE_RUNNING, EVENT_EXITED, INSTANCE_DESTROYING, do_exited},
    {INSTANCE_RUNNING, EVENT_STOP, INSTANCE_STOPPING, do_stop},

    {INSTANCE_STOPPING, EVENT_EXITED, INSTANCE_DESTROYING, do_exited},
    {INSTANCE_STOPPING, EVENT_DEADLINE, INSTANCE_KILLING, do_kill},

    {INSTANCE_KILLING, EVENT_EXITED, INSTANCE_DESTROYING, do_exited},
    {INSTANCE_KILLING, EVENT_DEADLINE, INSTANCE_DESTROYING, do_give_up},

    {INSTANCE_DESTROYING, EVENT_DESTROYED, INSTANCE_DONE, do_destroyed},
    {INSTANCE_DESTROYING, EVENT_FAILED, INSTANCE_DESTROYING, do_retry_later},
    {INSTANCE_DESTROYING, EVENT_DEADLINE, INSTANCE_DESTROYING, do_destroy_again},
};

static const struct transition *find_transition(enum instance_state from, enum event_kind on) {
    for (size_t i = 0; i < ARRAY_SIZE(transitions); i++)
        if (transitions[i].from == from && transitions[i].on == on)
            return &transitions[i];
    return NULL;
}

/* The only writer of in->state, but for instance_adopt_outcome(). An action may bring on the next
 * event by itself. */
static void handle(struct instance *in, const struct happening *first) {
    struct happening h = *first;
    bool any = false;
    while (h.kind != EVENT_NONE) {
        const struct transition *t = find_transition(in->state, h.kind);
        if (!t)
            break;
        any = true;
        if (t->to != in->state)
            in->since_wall_ns = in->deps.host->wall_ns(in->deps.host_data);
        in->state = t->to;
        in->deadline = NO_DEADLINE;
        h = (struct happening){.kind = t->action(in, &h), .err = &in->failure};
    }
    if (any)
        changed(in);
}

/* --- the module's interface ----------------------------------------------------------------------
 */

const char *instance_state_name(enum instance_state state) {
    static const char *const names[INSTANCE_STATES] = {
        "reserved", "pulling",  "creating", "abandoning", "starting",
        "running",  "stopping", "killing",  "destroying", "done",
    };
    return names[state];
}

static Berth__Assignment *copy_assignment(const Berth__Assignment *a) {
    size_t n = berth__assignment__get_packed_size(a);
    _cleanup_(freep) uint8_t *bytes = malloc(n ? n : 1);
    if (!bytes)
        return NULL;
    berth__assignment__pack(a, bytes);
    return berth__assignment__unpack(NULL, n, bytes);
}

int instance_new(struct instance **ret, const struct instance_deps *deps,
                 const Berth__Assignment *assignment, struct error *err) {
    _cleanup_(instance_freep) struct instance *in = mem_zalloc(sizeof *in);
    if (!in)
        return error_set(err, -ENOMEM, "out of memory");
    in->deps = *deps;
    in->deadline = NO_DEADLINE;
    berth__instance_stats__init(&in->stats);
    in->assignment = copy_assignment(assignment);
    if (!in->assignment)
        return error_set(err, -ENOMEM, "out of memory");
    size_t ports = in->assignment->lrp->n_ports;
    in->ports = mem_calloc(ports + 1, sizeof *in->ports);
    in->port_pointers = mem_calloc(ports + 1, sizeof *in->port_pointers);
    in->source_type = str_printf("APP/PROC/%s", in->assignment->lrp->process_type);
    if (!in->ports || !in->port_pointers || !in->source_type)
        return error_set(err, -ENOMEM, "out of memory");
    for (char *c = in->source_type; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    in->since_wall_ns = deps->host->wall_ns(deps->host_data);
    *ret = TAKE_PTR(in);
    return 0;
}

void instance_free(struct instance *in) {
    if (!in)
        return;
    end_health(in);
    if (in->pull)
        in->deps.images->cancel(in->pull);
    if (in->lease)
        in->deps.images->release(in->lease);
    if (in->assignment)
        berth__assignment__free_unpacked(in->assignment, NULL);
    free(in->source_type);
    free(in->ports);
    free(in->port_pointers);
    free(in);
}

void instance_begin(struct instance *in) {
    handle(in, &(struct happening){.kind = EVENT_BEGIN});
}

static void restore_outcome(struct instance *in, const Berth__ActualLrp *o) {
    in->outcome =
        o->state == BERTH__INSTANCE_STATE__INSTANCE_STOPPED ? OUTCOME_STOPPED : OUTCOME_CRASHED;
    in->exit_status = o->exit_status;
    in->out_of_memory = o->out_of_memory;
    in->platform_fault = o->platform_fault;
    set_reason(in, "%s", o->reason);
}

void instance_adopt(struct instance *in, struct container *c, const Berth__ContainerNote *note,
                    const Berth__InstanceRecord *record) {
    enum event_kind kind = EVENT_ADOPT_STARTING;
    in->container = c;
    /* Without its layers in the cache it runs on all the same: they are mounted. */
    if (in->deps.images->adopt(in->deps.store, (const char *const *)note->diff_ids,
                               note->n_diff_ids, &in->lease, NULL) < 0)
        in->lease = NULL;
    if (record) {
        in->running_since_wall_ns = record->running_since_wall_ns;
        in->stop_wanted = record->stop_wanted;
        if (record->outcome)
            restore_outcome(in, record->outcome);
        kind = record->outcome             ? EVENT_ADOPT_ENDED
               : record->stop_wanted       ? EVENT_ADOPT_STOPPING
               : in->running_since_wall_ns ? EVENT_ADOPT_RUNNING
                                           : EVENT_ADOPT_STARTING;
    }
    handle(in, &(struct happening){.kind = kind});
    uint64_t since = record && record->outcome     ? record->outcome->since_wall_ns
                     : kind == EVENT_ADOPT_RUNNING ? in->running_since_wall_ns
                                                   : 0;
    if (since) {
        in->since_wall_ns = since;
        changed(in);
    }
}

void instance_adopt_outcome(struct instance *in, const Berth__ActualLrp *outcome) {
    restore_outcome(in, outcome);
    in->since_wall_ns = outcome->since_wall_ns;
    in->state = INSTANCE_DONE;
    changed(in);
}

void instance_stop(struct instance *in) {
    handle(in, &(struct happening){.kind = EVENT_STOP});
}

void instance_exited(struct instance *in, const struct container_exit *exit) {
    handle(in, &(struct happening){.kind = EVENT_EXITED, .exit = exit});
}

void instance_tick(struct instance *in) {
    if (in->deadline != NO_DEADLINE && now_ms(in) >= in->deadline)
        handle(in, &(struct happening){.kind = EVENT_DEADLINE});
}

enum instance_state instance_state(const struct instance *in) {
    return in->state;
}

uint64_t instance_deadline(const struct instance *in) {
    return in->deadline;
}

const Berth__Assignment *instance_assignment(const struct instance *in) {
    return in->assignment;
}

const char *instance_guid(const struct instance *in) {
    return in->assignment->instance_guid;
}

const char *instance_source_type(const struct instance *in) {
    return in->source_type;
}

struct container *instance_container(const struct instance *in) {
    return in->container;
}

void instance_set_stats(struct instance *in, const Berth__InstanceStats *stats) {
    in->stats = *stats;
    in->has_stats = true;
}

void instance_set_owner(struct instance *in, void *owner) {
    in->owner = owner;
}

void *instance_owner(const struct instance *in) {
    return in->owner;
}

static Berth__InstanceState end_of(const struct instance *in) {
    return in->outcome == OUTCOME_CRASHED ? BERTH__INSTANCE_STATE__INSTANCE_CRASHED
                                          : BERTH__INSTANCE_STATE__INSTANCE_STOPPED;
}

static Berth__InstanceState told_state(const struct instance *in) {
    switch (in->state) {
    case INSTANCE_RESERVED:
    case INSTANCE_PULLING:
    case INSTANCE_CREATING:
    case INSTANCE_STARTING:
        return BERTH__INSTANCE_STATE__INSTANCE_CLAIMED;
    case INSTANCE_RUNNING:
        return BERTH__INSTANCE_STATE__INSTANCE_RUNNING;
    case INSTANCE_ABANDONING:
    case INSTANCE_STOPPING:
    case INSTANCE_KILLING:
        return BERTH__INSTANCE_STATE__INSTANCE_STOPPING;
    case INSTANCE_DESTROYING: /* a crash is told at once, a stop when nothing is left of it */
        return in->outcome == OUTCOME_CRASHED ? end_of(in)
                                              : BERTH__INSTANCE_STATE__INSTANCE_STOPPING;
    case INSTANCE_DONE:
    case INSTANCE_STATES:
        break;
    }
    return end_of(in);
}

static void describe(const struct instance *in, Berth__InstanceState state, Berth__ActualLrp *ret) {
    const Berth__DesiredLrp *lrp = lrp_of(in);
    berth__actual_lrp__init(ret);
    ret->instance_guid = in->assignment->instance_guid;
    ret->index = in->assignment->index;
    ret->process_guid = lrp->process_guid;
    ret->app_guid = lrp->app_guid;
    ret->state = state;
    ret->memory_mb = lrp->memory_mb;
    ret->disk_mb = lrp->disk_mb;
    ret->since_wall_ns = in->since_wall_ns;
    ret->address = (char *)(uintptr_t)in->deps.address;
    if (state == BERTH__INSTANCE_STATE__INSTANCE_CLAIMED)
        ret->detail = (char *)(uintptr_t)in->detail;
    if (state == BERTH__INSTANCE_STATE__INSTANCE_RUNNING) {
        ret->ports = in->port_pointers;
        ret->n_ports = in->port_count;
        ret->stats = in->has_stats ? (Berth__InstanceStats *)(uintptr_t)&in->stats : NULL;
    }
    if (in->outcome == OUTCOME_NONE)
        return;
    ret->exit_status = in->exit_status;
    ret->out_of_memory = in->out_of_memory;
    if (in->outcome == OUTCOME_CRASHED) {
        ret->reason = (char *)(uintptr_t)in->reason;
        ret->platform_fault = in->platform_fault;
    }
}

void instance_describe(const struct instance *in, Berth__ActualLrp *ret) {
    describe(in, told_state(in), ret);
}
