/* evacuate.c - the cell is emptied: every report says so, the controller starts each instance
 * elsewhere and withdraws it here once that one runs. What is left in the end is stopped here.
 *
 *     NONE -> WAITING -(bound, or a hurry)-> NOTICED -> STOPPING -> the loop ends
 *                `-------(nothing is left)------------------------------^
 */
#include <event2/event.h>
#include <inttypes.h>
#include <utlist.h>

#include "cell/agent_parts.h"
#include "common/base/clock.h"
#include "common/base/daemon.h"
#include "common/base/log.h"

#define LOOK_MS 100
/* From telling that all stop until they are: routers hear within milliseconds, and what they sent
 * before is answered by then. As long as the controller drains those that it withdraws. */
#define NOTICE_MS 2000
/* An end takes its grace and the kill; then the removal, and the last report. */
#define STOP_MS       (INSTANCE_STOP_GRACE_MS + INSTANCE_KILL_WAIT_MS + 5000)
#define STOP_EXTEND_S 30

bool agent_gives_up_instances(const struct agent *a) {
    return a->evacuation >= EVACUATION_NOTICED;
}

static void enter(struct agent *a, enum evacuation state, uint64_t for_ms) {
    a->evacuation = state;
    a->evacuation_end_ms = clock_mono_ms() + for_ms;
}

static bool has_ended(const struct tracked *t) {
    return instance_state(t->in) == INSTANCE_DONE;
}

static unsigned count_left(const struct agent *a) {
    const struct tracked *t;
    unsigned n = 0;
    DL_FOREACH (a->instances, t)
        n += !has_ended(t);
    return n;
}

/* Nothing is here, and nothing is on its way here. */
static bool is_empty(const struct agent *a) {
    return !a->instances && (sync_evacuation_is_known(a->sync) || !sync_is_up(a->sync));
}

static void give_notice(struct agent *a) {
    struct tracked *t;
    log_warn("evacuation is over its time: stopping what is left", "instances=%u", count_left(a));
    enter(a, EVACUATION_NOTICED, NOTICE_MS);
    DL_FOREACH (a->instances, t) {
        if (has_ended(t))
            continue;
        char text[256];
        Berth__ActualLrp lrp;
        snprintf(text, sizeof text, "Cell %s reached evacuation timeout for instance %s",
                 a->settings->name, instance_guid(t->in));
        logs_say(a->logs, t->origin, "CELL", BERTH__LOG_STREAM__LOG_ERR, clock_wall_ns(), text);
        instance_describe(t->in, &lrp);
        agent_tell(a, &lrp);
    }
}

static void stop_all(struct agent *a) {
    struct tracked *t;
    enter(a, EVACUATION_STOPPING, STOP_MS);
    DL_FOREACH (a->instances, t)
        instance_stop(t->in);
}

static void leave(struct agent *a) {
    log_info("evacuated", "left=%u", count_left(a));
    agent_stop(a);
}

/* Whom nobody can be told about any more has nothing left to do here either. */
static bool all_told(const struct agent *a) {
    return !a->instances || (count_left(a) == 0 && !sync_is_up(a->sync));
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    struct agent *a = arg;
    if (a->stopping) {
        event_del(a->evacuation_look);
        return;
    }
    bool due = clock_mono_ms() >= a->evacuation_end_ms;
    daemon_extend_stop(STOP_EXTEND_S);
    switch (a->evacuation) {
    case EVACUATION_NONE:
        break;
    case EVACUATION_WAITING:
        if (is_empty(a))
            leave(a);
        else if (due)
            give_notice(a);
        break;
    case EVACUATION_NOTICED:
        if (due)
            stop_all(a);
        break;
    case EVACUATION_STOPPING:
        if (due || all_told(a))
            leave(a);
        break;
    }
}

void agent_evacuate(struct agent *a) {
    static const struct timeval look = {.tv_usec = LOOK_MS * 1000};
    if (a->evacuation != EVACUATION_NONE || a->stopping)
        return;
    a->evacuation_look = event_new(a->loop, -1, EV_PERSIST, on_look, a);
    if (!a->evacuation_look || event_add(a->evacuation_look, &look) < 0) {
        log_error("cannot evacuate: out of memory", "instances=%u", count_left(a));
        agent_stop(a);
        return;
    }
    log_info("evacuating", "instances=%u timeout_s=%" PRIu64, count_left(a),
             a->settings->drain_timeout);
    enter(a, EVACUATION_WAITING, a->settings->drain_timeout * 1000);
    sync_evacuating(a->sync);
}

bool agent_hurry(struct agent *a) {
    if (a->evacuation == EVACUATION_NONE || a->stopping)
        return false;
    if (a->evacuation == EVACUATION_WAITING)
        a->evacuation_end_ms = 0;
    return true;
}
