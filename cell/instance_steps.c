/* instance_steps.c - what each transition of the table in instance.c does. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell/instance_parts.h"
#include "cell/listeners.h"
#include "common/base/str.h"

#define MEGABYTE         1e6
#define PROGRESS_EVERY   2000 /* ms between log lines of a slow download */
#define PROGRESS_STEP    10   /* per cent between them of a fast one ... */
#define PROGRESS_AT_MOST 500  /* ... and ms between these */

#define OUT BERTH__LOG_STREAM__LOG_OUT
#define ERR BERTH__LOG_STREAM__LOG_ERR

/* --- small things --- */

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

void instance_set_reason(struct instance *in, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(in->reason, sizeof in->reason, fmt, ap);
    va_end(ap);
    /* What was cut in the middle of a character, or came from a hostile image. */
    for (size_t n = strlen(in->reason); n && !str_is_utf8(in->reason, n); n--)
        in->reason[n - 1] = 0;
}

/* `outcome` and `loss` are where what *ret points to is put. */
static void make_record(const struct instance *in, Berth__InstanceRecord *ret,
                        Berth__ActualLrp *outcome, Berth__ActualLrp *loss) {
    berth__instance_record__init(ret);
    ret->running_since_wall_ns = in->running_since_wall_ns;
    ret->stop_wanted = in->stop_wanted;
    if (in->outcome != OUTCOME_NONE) {
        instance_describe_end(in, outcome);
        ret->outcome = outcome;
    }
    if (lrp_of(in)->task) {
        instance_describe_loss(in, loss);
        ret->if_lost = loss;
    }
}

static int keep(struct instance *in) {
    Berth__InstanceRecord record;
    Berth__ActualLrp outcome, loss;
    make_record(in, &record, &outcome, &loss);
    return in->deps.host->keep(in->deps.host_data, in, &record);
}

/* What the engine's worker puts on disk when the task is about to begin. */
static int pack_begin_note(struct instance *in, struct error *err) {
    Berth__InstanceRecord record;
    Berth__ActualLrp outcome, loss;
    in->may_have_begun = true;
    make_record(in, &record, &outcome, &loss);
    in->begin_note_n = berth__instance_record__get_packed_size(&record);
    in->begin_note = malloc(in->begin_note_n);
    if (!in->begin_note)
        return error_set(err, -ENOMEM, "out of memory");
    berth__instance_record__pack(&record, in->begin_note);
    return 0;
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

void instance_end_health(struct instance *in) {
    if (in->health)
        in->deps.health->stop(in->health);
    in->health = NULL;
}

/* --- callbacks: unpack, handle --- */

static void on_pull_progress(void *data, uint64_t done, uint64_t total);

static void on_pulled(void *data, struct image_lease *lease, const struct error *err) {
    struct instance *in = data;
    in->pull = NULL;
    in->lease = lease;
    enum event_kind kind = lease ? EVENT_PULLED : failed(in, -EIO, err);
    instance_handle(in, &(struct happening){.kind = kind, .err = &in->failure});
}

/* On a worker. The last moment at which it certainly has not begun: from here on a task is run
 * once. The loop keeps no record of one that is being created. */
static int on_before_start(void *arg, struct error *err) {
    struct instance *in = arg;
    if (atomic_load(&in->unwanted))
        return error_set(err, -ECANCELED, "it is not wanted any more");
    struct error why = {0};
    if (in->begin_note && in->deps.host->keep_packed(in->deps.host_data, instance_guid(in),
                                                     in->begin_note, in->begin_note_n, &why) < 0)
        return error_set(err, -EIO, "cannot note on disk that the task begins: %s", why.msg);
    return 0;
}

static void on_created(void *arg, struct container *c, const struct error *err) {
    struct instance *in = arg;
    in->container = c;
    enum event_kind kind = c ? EVENT_CREATED : failed(in, -EIO, err);
    instance_handle(in, &(struct happening){.kind = kind, .err = &in->failure});
}

static void on_destroyed(void *arg, const struct error *err) {
    struct instance *in = arg;
    if (!err)
        in->container = NULL;
    enum event_kind kind = err ? failed(in, -EIO, err) : EVENT_DESTROYED;
    instance_handle(in, &(struct happening){.kind = kind, .err = &in->failure});
}

static void on_healthy(void *data) {
    instance_handle(data, &(struct happening){.kind = EVENT_HEALTHY});
}

static void on_unhealthy(void *data, uint64_t after_ms, const char *detail) {
    instance_handle(
        data, &(struct happening){.kind = EVENT_UNHEALTHY, .after_ms = after_ms, .detail = detail});
}

/* --- pull --- */

static enum event_kind cannot_note(struct instance *in) {
    error_set(&in->failure, -EIO, "cannot note on disk how far the task is");
    return failed(in, -EIO, &in->failure);
}

enum event_kind instance_do_pull(struct instance *in, const struct happening *h) {
    const struct image_pull_ops ops = {on_pull_progress, on_pulled, in};
    (void)h;
    if (lrp_of(in)->task && keep(in) < 0) /* an agent that finds this alone: it never began */
        return cannot_note(in);
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

enum event_kind instance_do_cancel_pull(struct instance *in, const struct happening *h) {
    (void)h;
    in->deps.images->cancel(in->pull);
    in->pull = NULL;
    conclude(in, OUTCOME_STOPPED);
    return EVENT_NONE;
}

/* --- creation --- */

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
    bool may_have_run = in->failure.code == -EOWNERDEAD;
    in->platform_fault = is_platform_fault(in->failure.code) && !(lrp_of(in)->task && may_have_run);
    instance_set_reason(in, "failed to create container: %s%s", what, in->failure.msg);
    say(in, "CELL", ERR, "Cell %s failed to create container for instance %s: %s%s",
        in->deps.cell_name, instance_guid(in), what, in->failure.msg);
    conclude(in, OUTCOME_CRASHED);
}

enum event_kind instance_do_pull_failed(struct instance *in, const struct happening *h) {
    char what[256];
    (void)h;
    snprintf(what, sizeof what, "image %s: ", lrp_of(in)->image->reference);
    not_created(in, what);
    return EVENT_NONE;
}

enum event_kind instance_do_create_failed(struct instance *in, const struct happening *h) {
    (void)h;
    not_created(in, "");
    return EVENT_NONE;
}

enum event_kind instance_do_create(struct instance *in, const struct happening *h) {
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
    launch.spec.before_start = on_before_start;
    if (r == 0 && lrp_of(in)->task)
        r = pack_begin_note(in, &in->failure);
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

enum event_kind instance_do_abandon(struct instance *in, const struct happening *h) {
    (void)in, (void)h;
    in->stop_wanted = true; /* nothing to keep yet: without a container it is forgotten anyway */
    atomic_store(&in->unwanted, true);
    return EVENT_NONE;
}

/* --- health --- */

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

enum event_kind instance_do_started(struct instance *in, const struct happening *h) {
    (void)h;
    say(in, "CELL", OUT, "Cell %s successfully created container for instance %s",
        in->deps.cell_name, instance_guid(in));
    take_container(in);
    return watch_health(in, false);
}

enum event_kind instance_do_adopt_starting(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in);
    return watch_health(in, false);
}

enum event_kind instance_do_adopt_running(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in);
    return watch_health(in, true);
}

enum event_kind instance_do_running(struct instance *in, const struct happening *h) {
    (void)h;
    if (lrp_of(in)->n_ports &&
        (!lrp_of(in)->health ||
         lrp_of(in)->health->type != BERTH__HEALTH_CHECK_TYPE__HEALTH_CHECK_PROCESS))
        say(in, "CELL", OUT, "Container became healthy");
    in->running_since_wall_ns = in->since_wall_ns;
    keep(in);
    return EVENT_NONE;
}

/* --- the end: signals and exits --- */

static void send_stop(struct instance *in) {
    instance_end_health(in);
    in->deadline = now_ms(in) + INSTANCE_STOP_GRACE_MS;
    in->deps.runtime->signal_stop(in->container);
}

enum event_kind instance_do_stop(struct instance *in, const struct happening *h) {
    (void)h;
    say(in, "CELL", OUT, "Cell %s stopping instance %s", in->deps.cell_name, instance_guid(in));
    in->stop_wanted = true;
    keep(in); /* an agent that is killed now will know that the exit to come was asked for */
    send_stop(in);
    return EVENT_NONE;
}

enum event_kind instance_do_adopt_stopping(struct instance *in, const struct happening *h) {
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
    instance_set_reason(in, "Instance %s: %s%s%s", what, detail, *hint ? "; " : "", hint);
    send_stop(in);
}

enum event_kind instance_do_never_healthy(struct instance *in, const struct happening *h) {
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

enum event_kind instance_do_unhealthy(struct instance *in, const struct happening *h) {
    say(in, "CELL", ERR, "Container became unhealthy");
    unhealthy(in, h, "became unhealthy", "");
    return EVENT_NONE;
}

enum event_kind instance_do_kill(struct instance *in, const struct happening *h) {
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
        in->platform_fault = !in->stop_wanted && !*in->reason && !lrp_of(in)->task;
        say(in, NULL, ERR, "Exit status unknown: the container's monitor has died");
        if (!*in->reason)
            instance_set_reason(in,
                                "%s: Exited, its status is lost: the container's monitor has died",
                                in->source_type);
        return;
    }
    say(in, NULL, OUT, "Exit status %d%s%s", exit->status,
        in->killed ? " (exceeded 10s graceful shutdown interval)" : "", oom);
    bool succeeded = lrp_of(in)->task && exit->status == 0;
    if (!*in->reason && !succeeded)
        instance_set_reason(in, "%s: Exited with status %d%s", in->source_type, exit->status, oom);
}

enum event_kind instance_do_exited(struct instance *in, const struct happening *h) {
    instance_end_health(in);
    in->deps.host->unfollow(in->deps.host_data, in);
    bool crashed = !in->stop_wanted || *in->reason;
    tell_exit(in, h->exit);
    conclude(in, crashed ? OUTCOME_CRASHED : OUTCOME_STOPPED);
    return begin_destroy(in);
}

/* Not even SIGKILL brought news of an exit: the engine's removal kills what is left. */
enum event_kind instance_do_give_up(struct instance *in, const struct happening *h) {
    (void)h;
    in->deps.host->unfollow(in->deps.host_data, in);
    in->exit_status = 137;
    say(in, NULL, ERR, "No exit status %d s after SIGKILL", INSTANCE_KILL_WAIT_MS / 1000);
    conclude(in, *in->reason ? OUTCOME_CRASHED : OUTCOME_STOPPED);
    return begin_destroy(in);
}

enum event_kind instance_do_discard(struct instance *in, const struct happening *h) {
    (void)h;
    in->deps.runtime->set_owner(in->container, in);
    conclude(in, OUTCOME_STOPPED);
    return begin_destroy(in);
}

enum event_kind instance_do_adopt_ended(struct instance *in, const struct happening *h) {
    (void)h;
    take_container(in); /* for the last lines, if the agent died before they were told */
    in->deps.host->unfollow(in->deps.host_data, in);
    return begin_destroy(in);
}

enum event_kind instance_do_stop_unmade(struct instance *in, const struct happening *h) {
    (void)h;
    conclude(in, OUTCOME_STOPPED);
    return EVENT_NONE;
}

enum event_kind instance_do_retry_later(struct instance *in, const struct happening *h) {
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

enum event_kind instance_do_destroy_again(struct instance *in, const struct happening *h) {
    (void)h;
    return destroy(in);
}

enum event_kind instance_do_destroyed(struct instance *in, const struct happening *h) {
    (void)h;
    say(in, "CELL", OUT, "Cell %s successfully destroyed container for instance %s",
        in->deps.cell_name, instance_guid(in));
    if (in->lease)
        in->deps.images->release(in->lease);
    in->lease = NULL;
    return EVENT_NONE;
}
