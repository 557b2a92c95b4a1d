/* instance_parts.h - the insides of an instance, for instance.c (the table) and instance_steps.c
 * (what each transition does). */
#ifndef CELL_INSTANCE_PARTS_H
#define CELL_INSTANCE_PARTS_H

#include <stdatomic.h>

#include "cell/instance.h"

#define NO_DEADLINE UINT64_MAX
#define DETAIL_MAX  128

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

    bool may_have_begun; /* its process */
    /* For the engine's worker, from CREATING on: */
    void *begin_note; /* owned; the record that says so; NULL: of no task */
    size_t begin_note_n;
    atomic_bool unwanted; /* it need not begin */
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

static inline const Berth__DesiredLrp *lrp_of(const struct instance *in) {
    return in->assignment->lrp;
}

static inline uint64_t now_ms(const struct instance *in) {
    return in->deps.host->mono_ms(in->deps.host_data);
}

static inline void changed(struct instance *in) {
    in->deps.host->on_change(in->deps.host_data, in);
}

/* instance.c */
void instance_handle(struct instance *in, const struct happening *first);
void instance_describe_end(const struct instance *in, Berth__ActualLrp *ret); /* as it is kept */
void instance_describe_loss(const struct instance *in,
                            Berth__ActualLrp *ret); /* of a task: should we die */

/* instance_steps.c */
void instance_end_health(struct instance *in);
void instance_set_reason(struct instance *in, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* One a transition: acts, and returns the event that follows at once, or EVENT_NONE. */
enum event_kind instance_do_pull(struct instance *in, const struct happening *h);
enum event_kind instance_do_cancel_pull(struct instance *in, const struct happening *h);
enum event_kind instance_do_pull_failed(struct instance *in, const struct happening *h);
enum event_kind instance_do_create_failed(struct instance *in, const struct happening *h);
enum event_kind instance_do_create(struct instance *in, const struct happening *h);
enum event_kind instance_do_abandon(struct instance *in, const struct happening *h);
enum event_kind instance_do_started(struct instance *in, const struct happening *h);
enum event_kind instance_do_adopt_starting(struct instance *in, const struct happening *h);
enum event_kind instance_do_adopt_running(struct instance *in, const struct happening *h);
enum event_kind instance_do_running(struct instance *in, const struct happening *h);
enum event_kind instance_do_stop(struct instance *in, const struct happening *h);
enum event_kind instance_do_adopt_stopping(struct instance *in, const struct happening *h);
enum event_kind instance_do_never_healthy(struct instance *in, const struct happening *h);
enum event_kind instance_do_unhealthy(struct instance *in, const struct happening *h);
enum event_kind instance_do_kill(struct instance *in, const struct happening *h);
enum event_kind instance_do_exited(struct instance *in, const struct happening *h);
enum event_kind instance_do_give_up(struct instance *in, const struct happening *h);
enum event_kind instance_do_discard(struct instance *in, const struct happening *h);
enum event_kind instance_do_adopt_ended(struct instance *in, const struct happening *h);
enum event_kind instance_do_stop_unmade(struct instance *in, const struct happening *h);
enum event_kind instance_do_retry_later(struct instance *in, const struct happening *h);
enum event_kind instance_do_destroy_again(struct instance *in, const struct happening *h);
enum event_kind instance_do_destroyed(struct instance *in, const struct happening *h);

#endif
