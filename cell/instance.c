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

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "cell/instance_parts.h"
#include "common/base/str.h"

/* --- the table --- */

static const struct transition {
    enum instance_state from;
    enum event_kind on;
    enum instance_state to;
    enum event_kind (*action)(struct instance *in, const struct happening *h); /* what follows */
} transitions[] = {
    {INSTANCE_RESERVED, EVENT_BEGIN, INSTANCE_PULLING, instance_do_pull},
    {INSTANCE_RESERVED, EVENT_STOP, INSTANCE_DONE, instance_do_stop_unmade},
    {INSTANCE_RESERVED, EVENT_ADOPT_STARTING, INSTANCE_STARTING, instance_do_adopt_starting},
    {INSTANCE_RESERVED, EVENT_ADOPT_RUNNING, INSTANCE_RUNNING, instance_do_adopt_running},
    {INSTANCE_RESERVED, EVENT_ADOPT_STOPPING, INSTANCE_STOPPING, instance_do_adopt_stopping},
    {INSTANCE_RESERVED, EVENT_ADOPT_ENDED, INSTANCE_DESTROYING, instance_do_adopt_ended},

    {INSTANCE_PULLING, EVENT_PULLED, INSTANCE_CREATING, instance_do_create},
    {INSTANCE_PULLING, EVENT_FAILED, INSTANCE_DONE, instance_do_pull_failed},
    {INSTANCE_PULLING, EVENT_STOP, INSTANCE_DONE, instance_do_cancel_pull},

    {INSTANCE_CREATING, EVENT_CREATED, INSTANCE_STARTING, instance_do_started},
    {INSTANCE_CREATING, EVENT_FAILED, INSTANCE_DONE, instance_do_create_failed},
    {INSTANCE_CREATING, EVENT_STOP, INSTANCE_ABANDONING, instance_do_abandon},

    {INSTANCE_ABANDONING, EVENT_CREATED, INSTANCE_DESTROYING, instance_do_discard},
    {INSTANCE_ABANDONING, EVENT_FAILED, INSTANCE_DONE, instance_do_stop_unmade},

    {INSTANCE_STARTING, EVENT_HEALTHY, INSTANCE_RUNNING, instance_do_running},
    {INSTANCE_STARTING, EVENT_UNHEALTHY, INSTANCE_STOPPING, instance_do_never_healthy},
    {INSTANCE_STARTING, EVENT_EXITED, INSTANCE_DESTROYING, instance_do_exited},
    {INSTANCE_STARTING, EVENT_STOP, INSTANCE_STOPPING, instance_do_stop},

    {INSTANCE_RUNNING, EVENT_UNHEALTHY, INSTANCE_STOPPING, instance_do_unhealthy},
    {INSTANCE_RUNNING, EVENT_EXITED, INSTANCE_DESTROYING, instance_do_exited},
    {INSTANCE_RUNNING, EVENT_STOP, INSTANCE_STOPPING, instance_do_stop},

    {INSTANCE_STOPPING, EVENT_EXITED, INSTANCE_DESTROYING, instance_do_exited},
    {INSTANCE_STOPPING, EVENT_DEADLINE, INSTANCE_KILLING, instance_do_kill},

    {INSTANCE_KILLING, EVENT_EXITED, INSTANCE_DESTROYING, instance_do_exited},
    {INSTANCE_KILLING, EVENT_DEADLINE, INSTANCE_DESTROYING, instance_do_give_up},

    {INSTANCE_DESTROYING, EVENT_DESTROYED, INSTANCE_DONE, instance_do_destroyed},
    {INSTANCE_DESTROYING, EVENT_FAILED, INSTANCE_DESTROYING, instance_do_retry_later},
    {INSTANCE_DESTROYING, EVENT_DEADLINE, INSTANCE_DESTROYING, instance_do_destroy_again},
};

static const struct transition *find_transition(enum instance_state from, enum event_kind on) {
    for (size_t i = 0; i < ARRAY_SIZE(transitions); i++)
        if (transitions[i].from == from && transitions[i].on == on)
            return &transitions[i];
    return NULL;
}

/* The only writer of in->state, but for instance_adopt_outcome(). An action may bring on the next
 * event by itself. */
void instance_handle(struct instance *in, const struct happening *first) {
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

/* --- the module's interface --- */

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

static char *source_type_of(const Berth__DesiredLrp *lrp) {
    if (*lrp->log_source)
        return str_dup(lrp->log_source);
    char *text = str_printf("APP/PROC/%s", lrp->process_type);
    for (char *c = text; c && *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return text;
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
    in->source_type = source_type_of(in->assignment->lrp);
    if (!in->ports || !in->port_pointers || !in->source_type)
        return error_set(err, -ENOMEM, "out of memory");
    in->since_wall_ns = deps->host->wall_ns(deps->host_data);
    *ret = TAKE_PTR(in);
    return 0;
}

void instance_free(struct instance *in) {
    if (!in)
        return;
    instance_end_health(in);
    if (in->pull)
        in->deps.images->cancel(in->pull);
    if (in->lease)
        in->deps.images->release(in->lease);
    if (in->assignment)
        berth__assignment__free_unpacked(in->assignment, NULL);
    free(in->source_type);
    free(in->ports);
    free(in->port_pointers);
    free(in->begin_note);
    free(in);
}

void instance_begin(struct instance *in) {
    instance_handle(in, &(struct happening){.kind = EVENT_BEGIN});
}

static void restore_outcome(struct instance *in, const Berth__ActualLrp *o) {
    in->outcome =
        o->state == BERTH__INSTANCE_STATE__INSTANCE_STOPPED ? OUTCOME_STOPPED : OUTCOME_CRASHED;
    in->exit_status = o->exit_status;
    in->out_of_memory = o->out_of_memory;
    in->platform_fault = o->platform_fault;
    instance_set_reason(in, "%s", o->reason);
}

void instance_adopt(struct instance *in, struct container *c, const Berth__ContainerNote *note,
                    const Berth__InstanceRecord *record) {
    enum event_kind kind = EVENT_ADOPT_STARTING;
    in->container = c;
    in->may_have_begun = true;
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
    instance_handle(in, &(struct happening){.kind = kind});
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
    instance_handle(in, &(struct happening){.kind = EVENT_STOP});
}

void instance_exited(struct instance *in, const struct container_exit *exit) {
    instance_handle(in, &(struct happening){.kind = EVENT_EXITED, .exit = exit});
}

void instance_tick(struct instance *in) {
    if (in->deadline != NO_DEADLINE && now_ms(in) >= in->deadline)
        instance_handle(in, &(struct happening){.kind = EVENT_DEADLINE});
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

void instance_describe_end(const struct instance *in, Berth__ActualLrp *ret) {
    describe(in, end_of(in), ret);
}

void instance_describe_loss(const struct instance *in, Berth__ActualLrp *ret) {
    describe(in, BERTH__INSTANCE_STATE__INSTANCE_CRASHED, ret);
    ret->reason =
        (char *)(uintptr_t)(in->may_have_begun ? INSTANCE_TASK_LOST : INSTANCE_TASK_UNBEGUN);
    ret->platform_fault = !in->may_have_begun;
}

void instance_describe(const struct instance *in, Berth__ActualLrp *ret) {
    describe(in, told_state(in), ret);
}
