/* instance.h - one actual LRP on this cell, from its assignment to its end.
 *
 * A table of states and events (instance.c) that touches the world only through the ops below, so
 * that tests drive it with fakes and random sequences. Owned by the agent; loop thread only. */
#ifndef CELL_INSTANCE_H
#define CELL_INSTANCE_H

#include "bus.pb-c.h"
#include "cell.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#include "cell/container/container.h"
#include "cell/health.h"
#include "cell/image/image.h"
#include "cell/launch.h"
#include "common/base/error.h"
#include "common/base/mem.h"

struct event_base;
struct instance;

#define INSTANCE_STOP_GRACE_MS                                                                     \
    10000 /* Diego: graceful_shutdown_interval, from SIGTERM to SIGKILL */
#define INSTANCE_KILL_WAIT_MS     1000 /* Diego: ExitTimeout, from SIGKILL to giving up on an exit */
#define INSTANCE_DESTROY_RETRY_MS 1000 /* doubling, up to the next */
#define INSTANCE_DESTROY_MAX_MS   60000
#define INSTANCE_REASON_MAX       1024 /* Diego cuts crash reasons there */
#define INSTANCE_TASK_UNBEGUN     "its cell was restarted before it had begun"
#define INSTANCE_TASK_LOST                                                                         \
    "its container was lost with its host or its cell, and its exit status with it"

/* The parts of image.h, container.h and health.h that an instance uses: the functions of the same
 * name there, or fakes. */
struct image_ops {
    int (*pull)(struct image_store *s, const Berth__Image *image, const struct image_pull_ops *ops,
                struct image_pull **ret, struct error *err);
    void (*cancel)(struct image_pull *p);
    int (*adopt)(struct image_store *s, const char *const *diff_ids, size_t n,
                 struct image_lease **ret, struct error *err);
    void (*release)(struct image_lease *lease);
};

struct runtime_ops {
    int (*create)(struct container_engine *e, const struct container_spec *spec,
                  void (*done)(void *arg, struct container *c, const struct error *err), void *arg,
                  struct error *err);
    void (*signal_stop)(struct container *c);
    void (*kill)(struct container *c);
    int (*destroy)(struct container *c, void (*done)(void *arg, const struct error *err), void *arg,
                   struct error *err);
    void (*set_owner)(struct container *c, void *owner);
    const char *(*ip)(const struct container *c);
    uint16_t (*host_port)(const struct container *c, uint16_t container_port);
    pid_t (*pid)(const struct container *c);
};

struct health_ops {
    int (*start)(struct health **ret, struct event_base *loop, const struct health_config *config,
                 const struct health_callbacks *callbacks, struct error *err);
    void (*stop)(struct health *h);
};

/* What the agent does for its instances. None of these may call back into the instance. */
struct instance_host_ops {
    uint64_t (*mono_ms)(void *data);
    uint64_t (*wall_ns)(void *data);
    /* What instance_describe() gives or instance_deadline() has changed. */
    void (*on_change)(void *data, struct instance *in);
    /* A line for the app's log. source_type NULL: the app's own, such as "APP/PROC/WEB". */
    void (*say)(void *data, struct instance *in, const char *source_type, Berth__LogStream stream,
                const char *text);
    void (*follow)(void *data, struct instance *in);   /* its container's log file, from now on */
    void (*unfollow)(void *data, struct instance *in); /* read the rest of it now */
    /* Keep this on disk before going on: it survives the agent. */
    int (*keep)(void *data, struct instance *in, const Berth__InstanceRecord *record);
    /* The same of a packed one, so that it survives the host, too. Any thread. */
    int (*keep_packed)(void *data, const char *guid, const void *bytes, size_t n,
                       struct error *err);
};

/* All borrowed: they outlive the instance. */
struct instance_deps {
    struct event_base *loop;
    const struct image_ops *images;
    struct image_store *store;
    const struct runtime_ops *runtime;
    struct container_engine *engine;
    const struct health_ops *health;
    const struct instance_host_ops *host;
    void *host_data;
    const struct launch_defaults *defaults;
    const char *cell_name; /* in log lines */
    const char *address;   /* where routers reach the host ports */
};

enum instance_state {
    INSTANCE_RESERVED,   /* counted, nothing done yet */
    INSTANCE_PULLING,    /* layers are being fetched */
    INSTANCE_CREATING,   /* the engine makes the container */
    INSTANCE_ABANDONING, /* the same, and it is not wanted any more */
    INSTANCE_STARTING,   /* its process is up, not healthy yet */
    INSTANCE_RUNNING,    /* healthy */
    INSTANCE_STOPPING,   /* its stop signal was sent, SIGKILL is due at the deadline */
    INSTANCE_KILLING,    /* SIGKILL was sent */
    INSTANCE_DESTROYING, /* ended, the outcome stands; the container is being removed */
    INSTANCE_DONE,       /* nothing is left of it but its outcome */
    INSTANCE_STATES,
};
const char *instance_state_name(enum instance_state state);

/* Copies the assignment. Nothing happens before instance_begin() or instance_adopt(). */
int instance_new(struct instance **ret, const struct instance_deps *deps,
                 const Berth__Assignment *assignment, struct error *err);
/* Cancels a pull and health checks; a container stays as it is, for the next agent. */
void instance_free(struct instance *in);
DEFINE_FREEP(instance)

void instance_begin(struct instance *in);
/* Goes on with a container that an earlier agent made. `record` may be NULL. */
void instance_adopt(struct instance *in, struct container *c, const Berth__ContainerNote *note,
                    const Berth__InstanceRecord *record);
/* Its outcome is known and its container gone: only the report is left. */
void instance_adopt_outcome(struct instance *in, const Berth__ActualLrp *outcome);
void instance_stop(struct instance *in); /* in any state; idempotent */
void instance_exited(struct instance *in, const struct container_exit *exit);
void instance_tick(struct instance *in); /* its deadline may have come */

enum instance_state instance_state(const struct instance *in);
uint64_t instance_deadline(const struct instance *in); /* mono ms; UINT64_MAX: none */
const Berth__Assignment *instance_assignment(const struct instance *in);
const char *instance_guid(const struct instance *in);
const char *instance_source_type(const struct instance *in);     /* "APP/PROC/WEB" */
struct container *instance_container(const struct instance *in); /* NULL: none */
void instance_set_stats(struct instance *in, const Berth__InstanceStats *stats);
void instance_set_owner(struct instance *in, void *owner);
void *instance_owner(const struct instance *in);

/* What the controller is told; points into `in`, until its next change. */
void instance_describe(const struct instance *in, Berth__ActualLrp *ret);

#endif
